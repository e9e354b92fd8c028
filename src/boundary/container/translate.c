#include "boundary/container/container.h"

#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/strv.h"
#include "host/namespaces.h"

void container_jail_free(struct container_jail *cj)
{
	for (size_t i = 0; cj->mounts && i < cj->jail.n_mounts; i++)
		mount_options_free(&cj->mounts[i].options);
	for (size_t i = 0; cj->maps && i < cj->n_maps; i++)
		free(cj->maps[i].v);
	for (size_t i = 0; i < cj->jail.n_joins; i++)
		safe_close(cj->jail.joins[i].fd);
	safe_close(cj->jail.process_fd);
	safe_close(cj->jail.gate_fd);
	safe_close(cj->jail.process.console_socket);
	free(cj->mounts);
	strv_free(cj->sources);
	free(cj->maps);
	free(cj->devices);
	free(cj->sysctls);
	jailed_process_free(&cj->process);
	free(cj->seccomp);
	free(cj->keyring);
	*cj = CONTAINER_JAIL_INIT;
}

/* ---- namespaces ---- */

static int own_maps(struct container_jail *cj)
{
	/* A user namespace without maps, asked for by somebody who may only map himself. */
	cj->own_map[0] = (struct id_map){ 0, geteuid(), 1 };
	cj->own_map[1] = (struct id_map){ 0, getegid(), 1 };
	for (int i = 0; i < 2; i++)
		cj->own_maps[i] = (struct id_maps){ &cj->own_map[i], 1 };
	cj->jail.uid_map = &cj->own_maps[0];
	cj->jail.gid_map = &cj->own_maps[1];
	return 0;
}

/* Where we are already need not be entered, and may not be: our own user namespace, or any once another one is entered. */
static bool is_own(int fd, int type)
{
	struct stat own, other;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", namespace_kind_of(type)->proc);
	return stat(path, &own) == 0 && fstat(fd, &other) == 0 && own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

static int join_namespace(struct jail *jail, const struct oci_namespace *ns, struct error *err)
{
	int fd = namespace_open(ns->path, ns->type, err);

	if (fd < 0)
		return fd;
	if (is_own(fd, ns->type))
		close(fd);
	else
		jail->joins[jail->n_joins++] = (struct jail_join){ ns->type, fd };
	return 0;
}

static int translate_namespaces(const struct oci_spec *spec, struct container_jail *cj, struct error *err)
{
	const struct oci_linux *l = &spec->linux_;

	for (size_t i = 0; i < l->n_namespaces; i++) {
		int r = l->namespaces[i].path ? join_namespace(&cj->jail, &l->namespaces[i], err) : 0;

		if (r < 0)
			return r;
		if (!l->namespaces[i].path)
			cj->jail.new_namespaces |= l->namespaces[i].type;
	}
	cj->jail.uid_map = &l->uid_mappings;
	cj->jail.gid_map = &l->gid_mappings;
	cj->jail.monotonic = (struct jail_time_offset){ l->monotonic_offset.set, l->monotonic_offset.secs,
							l->monotonic_offset.nanosecs };
	cj->jail.boottime = (struct jail_time_offset){ l->boottime_offset.set, l->boottime_offset.secs,
						       l->boottime_offset.nanosecs };
	if (cj->jail.new_namespaces & CLONE_NEWUSER && !l->uid_mappings.n && !l->gid_mappings.n && geteuid() != 0)
		return own_maps(cj);
	return 0;
}

/* ---- mounts ---- */

static enum jail_mount_kind kind_of(const struct oci_mount *m, const struct mount_options *o)
{
	const char *type = m->type ? m->type : "";

	if (o->flags & MS_REMOUNT)
		return JAIL_MOUNT_REMOUNT;
	if (o->flags & MS_BIND || strcmp(type, "bind") == 0)
		return JAIL_MOUNT_BIND;
	if (strcmp(type, "cgroup") == 0 || strcmp(type, "cgroup2") == 0)
		return JAIL_MOUNT_CGROUP;
	if (!*type || (strcmp(type, "none") == 0 && o->n_propagation))
		return o->n_propagation ? JAIL_MOUNT_PROPAGATION : JAIL_MOUNT_BIND;
	return JAIL_MOUNT_FILESYSTEM;
}

static int translate_idmap(const struct oci_spec *spec, const struct oci_mount *m, struct jail_mount *out, struct id_maps *maps,
			   struct error *err)
{
	int r;

	if (out->options.idmap_mappings) {
		r = mount_idmap_parse(out->options.idmap_mappings, &spec->linux_.uid_mappings, &spec->linux_.gid_mappings,
				      &maps[0], &maps[1], err);
		if (r < 0)
			return r;
		out->uid_map = &maps[0];
		out->gid_map = &maps[1];
	} else if (m->uid_mappings.n || m->gid_mappings.n) {
		out->uid_map = &m->uid_mappings;
		out->gid_map = &m->gid_mappings;
	} else if (out->options.idmap != MOUNT_IDMAP_NONE) {
		out->uid_map = &spec->linux_.uid_mappings;
		out->gid_map = &spec->linux_.gid_mappings;
	}
	return 0;
}

static int translate_mount(const struct box *box, const struct oci_spec *spec, const struct oci_mount *m, struct container_jail *cj,
			   size_t i, struct error *err)
{
	struct jail_mount *out = &cj->mounts[i];
	int r = mount_options_parse(m->options, &out->options, err);

	if (r < 0)
		return error_prefix(err, "mount '%s'", m->destination);
	cj->jail.n_mounts = i + 1;
	out->kind = kind_of(m, &out->options);
	out->destination = m->destination;
	out->type = m->type;
	out->source = m->source;
	out->tree_fd = -1;
	if (out->kind == JAIL_MOUNT_BIND) {
		if (!m->source)
			return error_set(err, EINVAL, "mount '%s': a bind mount needs a source", m->destination);
		if (*m->source != '/') {
			if (strv_addf(&cj->sources, "%s/%s", box->bundle, m->source) < 0)
				return error_oom(err);
			out->source = cj->sources[strv_len(cj->sources) - 1];
		}
		if (strcmp(m->destination, "/dev") == 0)
			cj->jail.standard_dev = false; /* the host's own, as runc has it */
	}
	r = translate_idmap(spec, m, out, &cj->maps[2 * i], err);
	return r < 0 ? error_prefix(err, "mount '%s'", m->destination) : 0;
}

static int translate_mounts(const struct box *box, const struct oci_spec *spec, struct container_jail *cj, struct error *err)
{
	int r = 0;

	if (spec->n_mounts == 0)
		return 0;
	cj->mounts = calloc(spec->n_mounts, sizeof(*cj->mounts));
	cj->maps = calloc(2 * spec->n_mounts, sizeof(*cj->maps));
	if (!cj->mounts || !cj->maps)
		return error_oom(err);
	cj->n_maps = 2 * spec->n_mounts;
	for (size_t i = 0; i < spec->n_mounts && r == 0; i++)
		r = translate_mount(box, spec, &spec->mounts[i], cj, i, err);
	cj->jail.mounts = cj->mounts;
	return r;
}

static int translate_devices(const struct oci_linux *l, struct container_jail *cj, struct error *err)
{
	cj->devices = calloc(l->n_devices + 1, sizeof(*cj->devices));
	if (!cj->devices)
		return error_oom(err);
	for (size_t i = 0; i < l->n_devices; i++) {
		const struct oci_device *d = &l->devices[i];

		cj->devices[i] = (struct jail_device){
			.path = d->path,
			.type = d->type == 'u' ? 'c' : d->type,
			.major = (unsigned)d->major,
			.minor = (unsigned)d->minor,
			.mode = d->has_mode ? d->mode & 07777 : 0666,
			.uid = d->has_uid ? d->uid : 0,
			.gid = d->has_gid ? d->gid : 0,
		};
	}
	cj->jail.devices = cj->devices;
	cj->jail.n_devices = l->n_devices;
	return 0;
}

static int translate_sysctls(const struct oci_linux *l, struct container_jail *cj, struct error *err)
{
	cj->sysctls = calloc(l->n_sysctl + 1, sizeof(*cj->sysctls));
	if (!cj->sysctls)
		return error_oom(err);
	for (size_t i = 0; i < l->n_sysctl; i++)
		cj->sysctls[i] = (struct jail_sysctl){ l->sysctl[i].key, l->sysctl[i].value };
	cj->jail.sysctls = cj->sysctls;
	cj->jail.n_sysctls = l->n_sysctl;
	return 0;
}

int translate_world(const struct box *box, const struct oci_spec *spec, const struct create_options *options,
		    struct container_jail *cj, struct error *err)
{
	const struct oci_linux *l = &spec->linux_;
	struct jail *jail = &cj->jail;
	int r;

	cj->spec = spec;
	r = translate_namespaces(spec, cj, err);
	if (r < 0)
		return r;
	jail->standard_dev = true;
	r = translate_mounts(box, spec, cj, err);
	if (r == 0)
		r = translate_devices(l, cj, err);
	if (r == 0)
		r = translate_sysctls(l, cj, err);
	if (r < 0)
		return r;
	jail->rootfs = jail->new_namespaces & CLONE_NEWNS ? box->rootfs : NULL;
	jail->rootfs_propagation = l->rootfs_propagation;
	jail->rootfs_readonly = spec->root.readonly;
	jail->no_pivot = options->no_pivot;
	jail->masked_paths = l->masked_paths;
	jail->readonly_paths = l->readonly_paths;
	jail->mount_label = l->mount_label && *l->mount_label ? l->mount_label : NULL;
	jail->hostname = spec->hostname;
	jail->domainname = spec->domainname;
	return 0;
}

/* ---- the process ---- */

static int translate_seccomp(const struct box *box, const struct oci_spec *spec, struct container_jail *cj, struct error *err)
{
	_cleanup_free_ char *cache = NULL;
	int r;

	if (!spec->linux_.seccomp)
		return 0;
	r = seccomp_cache_dir(&cache, err);
	if (r < 0)
		return r;
	r = seccomp_compile_cached(cache, spec->linux_.seccomp, &cj->seccomp, err);
	if (r < 0)
		return error_prefix(err, "linux.seccomp");
	cj->jail.process.seccomp = cj->seccomp;
	return 0;
}

int translate_process(const struct box *box, const struct oci_spec *spec, const struct oci_process *p, struct container_jail *cj,
		      struct error *err)
{
	int r = jailed_translate(spec, p, &cj->process, &cj->jail.process, err);

	return r < 0 ? r : translate_seccomp(box, spec, cj, err);
}
