/* What the box sees besides its image: volumes, tmpfs, and the three files of /etc that the runtime writes. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/parse.h"
#include "base/strv.h"
#include "cli/box_config.h"
#include "host/subid.h"
#include "image/store.h"

struct volume {
	bool tmpfs, read_only;
	char *source, *target;
	char **options;
};

static void volume_free(struct volume *v)
{
	free(v->source);
	free(v->target);
	strv_free(v->options);
}

#define _cleanup_volume_ _cleanup_(volume_free)

static bool is_volume_name(const char *name)
{
	return box_check_id(name, NULL) == 0;
}

/* A named volume is a directory of the store, made when it is first used. */
static int named_volume(const struct cli *cli, const char *name, char **ret, struct error *err)
{
	int r;

	if (asprintf(ret, "%s/volumes/%s", cli->store, name) < 0)
		return error_oom(err);
	r = mkdir_parents_at(AT_FDCWD, *ret, 0755);
	return r < 0 ? error_sys(err, r, "cannot make the volume '%s'", *ret) : 0;
}

/* Where SOURCE is: an absolute path, one relative to the current directory ("./x"), or the name of a volume. */
static int resolve_source(const struct cli *cli, struct volume *v, struct error *err)
{
	_cleanup_free_ char *given = take_ptr(v->source);

	if (given[0] != '/' && given[0] != '.' && is_volume_name(given))
		return named_volume(cli, given, &v->source, err);
	v->source = realpath(given, NULL);
	if (!v->source && errno == ENOENT)
		return error_set(err, ENOENT, "'%s' does not exist on the host; make it first: mkdir -p %s", given, given);
	return v->source ? 0 : error_sys(err, errno, "cannot use '%s' of the host", given);
}

static bool selinux_is_enabled(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

/* One word of Docker's options; mount options proper are passed on. */
static int add_option(struct volume *v, const char *word, struct error *err)
{
	static const char *const known[] = { "rprivate", "private", "rshared", "shared", "rslave", "slave",	"runbindable",
					     "unbindable", "nosuid", "suid",   "nodev",	 "dev",	   "noexec",	"exec",
					     "idmap",	 "ridmap",  "bind",    "rbind",	 "rro",	   "noatime",	"relatime",
					     "nosymfollow" };

	if (strcmp(word, "ro") == 0 || strcmp(word, "readonly") == 0) {
		v->read_only = true;
		return 0;
	}
	if (strcmp(word, "rw") == 0 || strcmp(word, "nocopy") == 0 || strcmp(word, "cached") == 0 ||
	    strcmp(word, "delegated") == 0 || strcmp(word, "consistent") == 0)
		return 0;
	if (strcmp(word, "z") == 0 || strcmp(word, "Z") == 0)
		return selinux_is_enabled() ? error_set(err, EOPNOTSUPP, "volume option '%s': relabelling for SELinux is not built in; "
							"use chcon(1), or --security-opt label=disable", word)
					    : 0;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(word, known[i]) == 0 || strncmp(word, "idmap=", 6) == 0)
			return strv_add(&v->options, word) < 0 ? error_oom(err) : 0;
	return error_set(err, EINVAL, "unknown volume option '%s'", word);
}

static int add_volume(const struct box_request *rq, struct oci_spec *spec, struct volume *v, struct error *err)
{
	int r;

	if (!v->target || v->target[0] != '/' || strcmp(v->target, "/") == 0)
		return error_set(err, EINVAL, "'%s' is not an absolute path inside the box", v->target ? v->target : "");
	oci_remove_mount(spec, v->target);
	if (v->tmpfs) {
		r = strv_add(&v->options, "nosuid") | strv_add(&v->options, "nodev");
		if (v->read_only)
			r |= strv_add(&v->options, "ro");
		return r < 0 || oci_add_mount(spec, v->target, "tmpfs", "tmpfs", v->options) < 0 ? error_oom(err) : 0;
	}
	r = resolve_source(rq->cli, v, err);
	if (r < 0)
		return r;
	if (!strv_contains(v->options, "bind") && !strv_contains(v->options, "rbind"))
		r = strv_add(&v->options, "rbind");
	r |= strv_add(&v->options, v->read_only ? "ro" : "rw");
	return r < 0 || oci_add_mount(spec, v->target, "bind", v->source, v->options) < 0 ? error_oom(err) : 0;
}

/* SOURCE:TARGET[:OPTIONS] */
static int add_short_volume(const struct box_request *rq, struct oci_spec *spec, const char *text, struct error *err)
{
	_cleanup_volume_ struct volume v = { 0 };
	_cleanup_strv_ char **parts = strv_split(text, ":"), **words = NULL;
	size_t n = strv_len(parts);
	int r = 0;

	if (n < 2 || n > 3)
		return error_set(err, EINVAL, "option --volume: '%s' is not of the form HOST:BOX[:OPTIONS]", text);
	v.source = strdup(parts[0]);
	v.target = strdup(parts[1]);
	if (!v.source || !v.target)
		return error_oom(err);
	words = n == 3 ? strv_split(parts[2], ",") : NULL;
	for (char **w = words; r == 0 && w && *w; w++)
		r = add_option(&v, *w, err);
	if (r == 0)
		r = add_volume(rq, spec, &v, err);
	return r < 0 ? error_prefix(err, "option --volume %s", text) : 0;
}

/* One KEY=VALUE of --mount. */
static int set_mount_key(struct volume *v, const char **type, const char *key, const char *value, struct error *err)
{
	if (strcmp(key, "type") == 0) {
		*type = strcmp(value, "tmpfs") == 0 ? "tmpfs" : strcmp(value, "volume") == 0 ? "volume" : strcmp(value, "bind") == 0 ? "bind" : NULL;
		return *type ? 0 : error_set(err, EINVAL, "type '%s' is not one of bind, tmpfs, volume", value);
	}
	if (strcmp(key, "source") == 0 || strcmp(key, "src") == 0)
		return oci_set_string(&v->source, value) < 0 ? error_oom(err) : 0;
	if (strcmp(key, "target") == 0 || strcmp(key, "destination") == 0 || strcmp(key, "dst") == 0)
		return oci_set_string(&v->target, value) < 0 ? error_oom(err) : 0;
	if (strcmp(key, "tmpfs-size") == 0)
		return strv_addf(&v->options, "size=%s", value) < 0 ? error_oom(err) : 0;
	if (strcmp(key, "tmpfs-mode") == 0)
		return strv_addf(&v->options, "mode=%s", value) < 0 ? error_oom(err) : 0;
	if (strcmp(key, "bind-propagation") == 0)
		return add_option(v, value, err);
	if (strcmp(key, "readonly") == 0 || strcmp(key, "ro") == 0) {
		bool flag = true;

		if (*value && parse_bool(value, &flag) < 0)
			return error_set(err, EINVAL, "%s=%s is neither true nor false", key, value);
		v->read_only = flag;
		return 0;
	}
	if (!*value)
		return add_option(v, key, err);
	return error_set(err, EINVAL, "unknown key '%s'", key);
}

static int add_long_mount(const struct box_request *rq, struct oci_spec *spec, const char *text, struct error *err)
{
	_cleanup_volume_ struct volume v = { 0 };
	_cleanup_strv_ char **words = strv_split(text, ",");
	const char *type = "volume";
	int r = 0;

	for (char **w = words; r == 0 && w && *w; w++) {
		char *equals = strchr(*w, '=');

		if (equals)
			*equals = 0;
		r = set_mount_key(&v, &type, *w, equals ? equals + 1 : "", err);
	}
	v.tmpfs = strcmp(type, "tmpfs") == 0;
	if (r == 0 && !v.tmpfs && !v.source)
		r = error_set(err, EINVAL, "there is no source=");
	if (r == 0 && v.tmpfs && v.source)
		r = error_set(err, EINVAL, "a tmpfs has no source=");
	if (r == 0)
		r = add_volume(rq, spec, &v, err);
	return r < 0 ? error_prefix(err, "option --mount %s", text) : 0;
}

static int add_tmpfs(const struct box_request *rq, struct oci_spec *spec, const char *text, struct error *err)
{
	_cleanup_volume_ struct volume v = { .tmpfs = true };
	const char *colon = strchrnul(text, ':');
	_cleanup_strv_ char **words = *colon ? strv_split(colon + 1, ",") : NULL;

	v.target = strndup(text, (size_t)(colon - text));
	v.options = take_ptr(words);
	if (!v.target)
		return error_oom(err);
	return add_volume(rq, spec, &v, err) < 0 ? error_prefix(err, "option --tmpfs %s", text) : 0;
}

static int add_etc_files(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	static const char *const names[] = { "hosts", "hostname", "resolv.conf" };
	char *options[] = { (char[]){ "bind" }, (char[]){ "rprivate" }, NULL };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *source = NULL;
		char target[32];

		snprintf(target, sizeof(target), "/etc/%s", names[i]);
		if (asprintf(&source, "%s/etc/%s", rq->folder, names[i]) < 0 ||
		    oci_add_mount(spec, target, "bind", source, options) < 0)
			return error_oom(err);
	}
	return 0;
}

static int add_init(struct oci_spec *spec, struct error *err)
{
	char *options[] = { (char[]){ "bind" }, (char[]){ "ro" }, NULL };
	_cleanup_free_ char *path = NULL;
	int r = image_helper_path("ringwall-init", &path, err);

	if (r < 0)
		return r;
	return oci_add_mount(spec, "/run/ringwall-init", "bind", path, options) < 0 ? error_oom(err) : 0;
}

/* Without subordinate ids there is no group tty in the box, whose number devpts would want. */
static int drop_tty_group(struct oci_spec *spec)
{
	char *options[] = { (char[]){ "nosuid" }, (char[]){ "noexec" }, (char[]){ "newinstance" }, (char[]){ "ptmxmode=0666" },
			    (char[]){ "mode=0620" }, NULL };
	struct id_maps uids = { 0 }, gids = { 0 };
	uint64_t n = 0;
	int r = subid_maps(&uids, &gids, NULL);

	for (size_t i = 0; r == 0 && i < gids.n; i++)
		n += gids.v[i].count;
	free(uids.v);
	free(gids.v);
	if (r < 0 || n > 5)
		return r;
	for (size_t i = 0; i < spec->n_mounts; i++) /* in its place: /dev is mounted before it, /dev/shm after */
		if (strcmp(spec->mounts[i].destination, "/dev/pts") == 0) {
			char **copy = strv_copy(options);

			if (!copy)
				return -ENOMEM;
			strv_free(spec->mounts[i].options);
			spec->mounts[i].options = copy;
		}
	return 0;
}

/* Without a network namespace of its own a box may not mount sysfs; the host's is shown read-only. */
static int adapt_defaults(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	char *sys[] = { (char[]){ "rbind" }, (char[]){ "nosuid" }, (char[]){ "noexec" }, (char[]){ "nodev" }, (char[]){ "ro" }, NULL };
	const struct run_options *o = rq->options;
	_cleanup_strv_ char **shm = NULL;
	int r = 0;

	if (rq->rootless && strcmp(rq->network, "host") == 0) {
		oci_remove_mount(spec, "/sys");
		oci_remove_mount(spec, "/sys/fs/cgroup");
		r = oci_add_mount(spec, "/sys", "none", "/sys", sys);
	}
	if (rq->rootless)
		r |= drop_tty_group(spec);
	oci_remove_mount(spec, "/dev/shm");
	r |= strv_add(&shm, "nosuid") | strv_add(&shm, "noexec") | strv_add(&shm, "nodev") | strv_add(&shm, "mode=1777") |
	     strv_addf(&shm, "size=%lld", (long long)o->shm_size.v);
	r |= oci_add_mount(spec, "/dev/shm", "tmpfs", "shm", shm);
	return r < 0 ? error_oom(err) : 0;
}

int box_config_mounts(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const struct run_options *o = rq->options;
	int r = 0;

	if (rq->own_view) {
		r = adapt_defaults(rq, spec, err);
		if (r == 0)
			r = add_etc_files(rq, spec, err);
	} else {
		while (r == 0 && spec->n_mounts) {
			_cleanup_free_ char *destination = strdup(spec->mounts[0].destination); /* it is freed with the mount */

			if (!destination)
				return error_oom(err);
			oci_remove_mount(spec, destination);
		}
	}
	for (char **t = o->tmpfs; r == 0 && t && *t; t++)
		r = add_tmpfs(rq, spec, *t, err);
	for (char **v = o->volumes; r == 0 && v && *v; v++)
		r = add_short_volume(rq, spec, *v, err);
	for (char **m = o->mounts; r == 0 && m && *m; m++)
		r = add_long_mount(rq, spec, *m, err);
	if (r == 0 && o->init)
		r = add_init(spec, err);
	return r;
}
