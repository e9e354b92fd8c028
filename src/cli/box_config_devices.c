/* --device, --device-cgroup-rule, and all devices for --privileged. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/parse.h"
#include "base/strv.h"
#include "cli/box_config.h"

static int add_node(struct oci_spec *spec, const char *host, const char *inside, const char *access, bool optional,
		    struct error *err)
{
	struct oci_device device = { .path = (char *)inside, .has_mode = true, .has_uid = true, .has_gid = true };
	struct device_rule rule = { .allow = true };
	struct stat st;

	if (stat(host, &st) < 0)
		return optional ? 0 : error_sys(err, errno, "cannot use the device '%s'", host);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return optional ? 0 : error_set(err, ENODEV, "'%s' is not a device", host);
	device.type = rule.type = S_ISCHR(st.st_mode) ? 'c' : 'b';
	device.major = rule.major = major(st.st_rdev);
	device.minor = rule.minor = minor(st.st_rdev);
	device.mode = st.st_mode & 07777;
	device.uid = st.st_uid;
	device.gid = st.st_gid;
	rule.read = strchr(access, 'r');
	rule.write = strchr(access, 'w');
	rule.mknod = strchr(access, 'm');
	return oci_add_device(spec, &device) < 0 || oci_add_device_rule(spec, &rule) < 0 ? error_oom(err) : 0;
}

/* Without privilege device nodes cannot be made: the host's own is shown instead. */
static int add_bind(struct oci_spec *spec, const char *host, const char *inside, struct error *err)
{
	char *options[] = { (char[]){ "bind" }, (char[]){ "nosuid" }, (char[]){ "noexec" }, NULL };

	if (access(host, F_OK) < 0)
		return error_sys(err, errno, "cannot use the device '%s'", host);
	return oci_add_mount(spec, inside, "bind", host, options) < 0 ? error_oom(err) : 0;
}

/* HOST[:BOX][:rwm] */
static int add_device(const struct box_request *rq, struct oci_spec *spec, const char *text, struct error *err)
{
	_cleanup_strv_ char **parts = strv_split(text, ":");
	size_t n = strv_len(parts);
	const char *inside, *access = "rwm";

	if (n < 1 || n > 3)
		return error_set(err, EINVAL, "option --device: '%s' is not of the form HOST[:BOX][:rwm]", text);
	if (n == 3 || (n == 2 && parts[1][0] != '/'))
		access = parts[n - 1];
	inside = n >= 2 && parts[1][0] == '/' ? parts[1] : parts[0];
	if (strspn(access, "rwm") != strlen(access) || !*access)
		return error_set(err, EINVAL, "option --device: '%s' is not made of r, w and m", access);
	return rq->rootless ? add_bind(spec, parts[0], inside, err) : add_node(spec, parts[0], inside, access, false, err);
}

static int parse_number_or_any(const char *text, int64_t *ret)
{
	uint32_t v;

	if (strcmp(text, "*") == 0) {
		*ret = -1;
		return 0;
	}
	if (parse_u32(text, &v) < 0)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* "TYPE MAJOR:MINOR ACCESS" */
static int add_rule(struct oci_spec *spec, const char *text, struct error *err)
{
	_cleanup_strv_ char **words = strv_split(text, " "), **numbers = NULL;
	struct device_rule rule = { .allow = true };

	numbers = strv_len(words) == 3 ? strv_split(words[1], ":") : NULL;
	if (strv_len(numbers) != 2 || strlen(words[0]) != 1 || !strchr("abc", words[0][0]) ||
	    parse_number_or_any(numbers[0], &rule.major) < 0 || parse_number_or_any(numbers[1], &rule.minor) < 0 ||
	    strspn(words[2], "rwm") != strlen(words[2]))
		return error_set(err, EINVAL, "option --device-cgroup-rule: '%s' is not of the form 'c 42:* rmw'", text);
	rule.type = words[0][0];
	rule.read = strchr(words[2], 'r');
	rule.write = strchr(words[2], 'w');
	rule.mknod = strchr(words[2], 'm');
	return oci_add_device_rule(spec, &rule) < 0 ? error_oom(err) : 0;
}

/* Everything directly in /dev; what the box gets anyway is passed over. */
static int add_all(struct oci_spec *spec, struct error *err)
{
	static const char *const usual[] = { "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx" };
	static const struct device_rule all = { .allow = true, .type = 'a', .major = -1, .minor = -1, .read = true, .write = true, .mknod = true };
	_cleanup_closedir_ DIR *dir = opendir("/dev");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[300];
		bool skip = e->d_type != DT_CHR && e->d_type != DT_BLK;

		for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
			skip |= strcmp(e->d_name, usual[i]) == 0;
		if (skip)
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		if (add_node(spec, path, path, "rwm", true, err) < 0)
			return -err->code;
	}
	return oci_add_device_rule(spec, &all) < 0 ? error_oom(err) : 0;
}

int box_config_devices(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const struct run_options *o = rq->options;
	int r = 0;

	if (o->privileged && !rq->rootless)
		r = add_all(spec, err);
	for (char **d = o->devices; r == 0 && d && *d; d++)
		r = add_device(rq, spec, *d, err);
	for (char **d = o->device_rules; r == 0 && d && *d; d++)
		r = add_rule(spec, *d, err);
	return r;
}
