/* What one section of config.json demands of another. */
#include "oci/records.h"

#include <sched.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"
#include "host/sysctl.h"

#define NAME_MAX_UTS 64 /* bytes, uname(2) */
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* "MAJOR.MINOR.PATCH", with "-pre" and "+build" after it, https://semver.org. */
static int check_version(const char *version, struct error *err)
{
	char core[64], *save = NULL, *part;
	size_t n = strcspn(version, "-+"), parts = 0;
	uint32_t number[3];

	if (n >= sizeof(core) || n == 0 || version[n - 1] == '.' || *version == '.' || strstr(version, ".."))
		goto invalid;
	memcpy(core, version, n);
	core[n] = 0;
	for (part = strtok_r(core, ".", &save); part; part = strtok_r(NULL, ".", &save)) {
		if (parts == 3 || parse_u32(part, &number[parts]) < 0)
			goto invalid;
		parts++;
	}
	if (parts != 3)
		goto invalid;
	if (number[0] > 1)
		return error_set(err, ENOTSUP, "ociVersion: '%s' is not supported; versions 1.x up to " OCI_SPEC_VERSION " are",
				 version);
	if (number[0] == 0)
		log_warn("ociVersion: '%s' is older than 1.0; the configuration is read as 1.x", version);
	return 0;
invalid:
	return error_set(err, EINVAL, "ociVersion: '%s' is not a version such as " OCI_SPEC_VERSION, version);
}

static int check_uts_name(const struct oci_spec *spec, const char *key, const char *name, struct error *err)
{
	if (!name || !*name)
		return 0;
	if (!oci_spec_namespace(spec, CLONE_NEWUTS))
		return error_set(err, EINVAL, "%s: '%s' cannot be set in the host's uts namespace; add {\"type\": \"uts\"} to linux.namespaces",
				 key, name);
	if (strlen(name) > NAME_MAX_UTS)
		return error_set(err, ENAMETOOLONG, "%s: '%s' is %zu bytes long; the kernel takes at most %d", key, name,
				 strlen(name), NAME_MAX_UTS);
	return 0;
}

static int check_sysctl(const struct oci_spec *spec, struct error *err)
{
	static const struct {
		int type;
		const char *name;
	} names[] = { { CLONE_NEWNET, "network" }, { CLONE_NEWIPC, "ipc" }, { CLONE_NEWUTS, "uts" }, { CLONE_NEWUSER, "user" } };

	for (size_t i = 0; i < spec->linux_.n_sysctl; i++) {
		const char *key = spec->linux_.sysctl[i].key;
		char path[SYSCTL_PATH_MAX];
		int type, r = sysctl_path(key, path, err);

		if (r < 0)
			return r;
		type = sysctl_namespace(path);
		if (type == 0)
			return error_set(err, EINVAL, "linux.sysctl: '%s' belongs to the whole machine, not to a namespace; leave it out",
					 key);
		if (strcmp(path, "kernel/hostname") == 0)
			return error_set(err, EINVAL, "linux.sysctl: '%s' conflicts with hostname; set that", key);
		if (oci_spec_namespace(spec, type))
			continue;
		for (size_t n = 0; n < ARRAY_SIZE(names); n++)
			if (names[n].type == type)
				return error_set(err, EINVAL,
						 "linux.sysctl: '%s' cannot be set in the host's %s namespace; add {\"type\": \"%s\"} to linux.namespaces",
						 key, names[n].name, names[n].name);
	}
	return 0;
}

static int check_user_namespace(const struct oci_spec *spec, struct error *err)
{
	const struct oci_namespace *user = oci_spec_namespace(spec, CLONE_NEWUSER);
	const struct oci_linux *l = &spec->linux_;

	if (!user && (l->uid_mappings.n || l->gid_mappings.n))
		return error_set(err, EINVAL, "linux.%s: given without a user namespace; add {\"type\": \"user\"} to linux.namespaces",
				 l->uid_mappings.n ? "uidMappings" : "gidMappings");
	if (user && !l->uid_mappings.n != !l->gid_mappings.n)
		return error_set(err, EINVAL, "linux.%s: missing; a user namespace needs both uidMappings and gidMappings",
				 l->uid_mappings.n ? "gidMappings" : "uidMappings");
	if (user && user->path && l->uid_mappings.n)
		log_warn("linux.uidMappings, linux.gidMappings: the user namespace '%s' has its own maps; these are ignored",
			 user->path);
	return 0;
}

static int check_id_mapped_mounts(const struct oci_spec *spec, struct error *err)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct oci_mount *m = &spec->mounts[i];

		if (m->uid_mappings.n || oci_spec_namespace(spec, CLONE_NEWUSER))
			continue;
		if (strv_contains(m->options, "idmap") || strv_contains(m->options, "ridmap"))
			return error_set(err, EINVAL,
					 "mounts[%zu] (%s): the option idmap needs uidMappings and gidMappings, or a user namespace whose maps it takes",
					 i, m->destination);
	}
	return 0;
}

static int check_time(const struct oci_spec *spec, struct error *err)
{
	const struct oci_namespace *time = oci_spec_namespace(spec, CLONE_NEWTIME);

	if (!spec->linux_.monotonic_offset.set && !spec->linux_.boottime_offset.set)
		return 0;
	if (!time)
		return error_set(err, EINVAL, "linux.timeOffsets: given without a time namespace; add {\"type\": \"time\"} to linux.namespaces");
	if (time->path)
		return error_set(err, EINVAL, "linux.timeOffsets: the time namespace '%s' exists, and its offsets cannot be changed",
				 time->path);
	return 0;
}

static int check_mount_namespace(const struct oci_spec *spec, struct error *err)
{
	const struct oci_linux *l = &spec->linux_;
	bool masked = l->masked_paths && l->masked_paths[0], readonly = l->readonly_paths && l->readonly_paths[0];

	if ((masked || readonly) && !oci_spec_namespace(spec, CLONE_NEWNS))
		return error_set(err, EINVAL,
				 "linux.%s: would change the host's mount namespace; add {\"type\": \"mount\"} to linux.namespaces",
				 masked ? "maskedPaths" : "readonlyPaths");
	return 0;
}

static int check_net_devices(const struct oci_spec *spec, struct error *err)
{
	const struct oci_linux *l = &spec->linux_;

	if (l->n_net_devices && !oci_spec_namespace(spec, CLONE_NEWNET))
		return error_set(err, EINVAL,
				 "linux.netDevices: '%s' cannot be moved into the host's network namespace; add {\"type\": \"network\"} to linux.namespaces",
				 l->net_devices[0].name);
	return 0;
}

static int check_annotations(const struct oci_spec *spec, struct error *err)
{
	for (size_t i = 0; i < spec->n_annotations; i++)
		if (!*spec->annotations[i].key)
			return error_set(err, EINVAL, "annotations: the empty key is not allowed (its value is '%s')",
					 spec->annotations[i].value);
	return 0;
}

int oci_spec_check(const struct oci_spec *spec, struct error *err)
{
	static int (*const checks[])(const struct oci_spec *, struct error *) = {
		check_sysctl, check_user_namespace, check_id_mapped_mounts, check_time,
		check_mount_namespace, check_net_devices, check_annotations,
	};
	int r = check_version(spec->version, err);

	if (r == 0 && spec->has_root && !*spec->root.path)
		r = error_set(err, EINVAL, "root.path: empty; give the path of the root file system");
	if (r == 0)
		r = check_uts_name(spec, "hostname", spec->hostname, err);
	if (r == 0)
		r = check_uts_name(spec, "domainname", spec->domainname, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(checks); i++)
		r = checks[i](spec, err);
	return r;
}
