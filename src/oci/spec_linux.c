/* runtime-spec, config-linux.md, but for its control groups and seccomp. */
#include "oci/records.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "base/bitlist.h"
#include "host/sysctl.h"

#define NODES_MAX 1024
#define ID_MAX (UINT32_MAX - 1) /* -1 means "leave as it is" to chown */
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define MPOL_WEIGHTED_INTERLEAVE_ABI 6 /* Linux 6.9 */

#define L struct oci_linux
#define AT(member) JSON_AT(L, member)

static int check_absolute(const struct json_place *at, const char *key, const char *path)
{
	return *path == '/' ? 0 : json_wrong(at, key, EINVAL, "'%s' is not an absolute path", path);
}

static int check_all_absolute(const struct json_place *at, const char *key, char *const *paths)
{
	for (; paths && *paths; paths++) {
		int r = check_absolute(at, key, *paths);

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- namespaces --- */

static const struct json_name namespace_names[] = {
	{ "pid", CLONE_NEWPID },   { "network", CLONE_NEWNET }, { "ipc", CLONE_NEWIPC },       { "uts", CLONE_NEWUTS },
	{ "mount", CLONE_NEWNS },  { "user", CLONE_NEWUSER },   { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME },
};
const struct json_names oci_namespace_types = JSON_NAMES(namespace_names);

static int check_namespace(const struct json_place *at, void *record)
{
	struct oci_namespace *ns = record;

	if (ns->path && !*ns->path) { /* written by Go programs for "no path" */
		free(ns->path);
		ns->path = NULL;
	}
	return ns->path ? check_absolute(at, "path", ns->path) : 0;
}

static const struct json_field namespace_fields[] = {
	{ "type", JSON_ENUM, JSON_AT(struct oci_namespace, type), .required = true, .names = &oci_namespace_types },
	{ "path", JSON_STRING, JSON_AT(struct oci_namespace, path) },
};

static const struct json_record namespace = { sizeof(struct oci_namespace), JSON_FIELDS(namespace_fields),
					      .check = check_namespace };

static int check_namespaces(const struct json_place *at, const L *linux_)
{
	int seen = 0;

	for (size_t i = 0; i < linux_->n_namespaces; i++) {
		int type = linux_->namespaces[i].type;

		if (seen & type)
			return json_wrong(at, "namespaces", EINVAL, "the %s namespace is listed twice",
					  json_value_name(&oci_namespace_types, type));
		seen |= type;
	}
	return 0;
}

/* --- devices, netDevices --- */

static const struct json_name device_type_names[] = { { "c", 'c' }, { "b", 'b' }, { "u", 'u' }, { "p", 'p' } };
static const struct json_names device_types = JSON_NAMES(device_type_names);

static int check_device(const struct json_place *at, void *record)
{
	struct oci_device *d = record;

	if (d->type != 'p' && (d->major < 0 || d->minor < 0))
		return json_wrong(at, d->major < 0 ? "major" : "minor", EINVAL, "missing; the device '%s' of type %c needs it",
				  d->path, d->type);
	if (d->type == 'p' && d->major < 0)
		d->major = 0;
	if (d->type == 'p' && d->minor < 0)
		d->minor = 0;
	d->mode &= 07777;
	return check_absolute(at, "path", d->path);
}

#define D(member) JSON_AT(struct oci_device, member)
static const struct json_field device_fields[] = {
	{ "type", JSON_ENUM, D(type), .required = true, .names = &device_types },
	{ "path", JSON_STRING, D(path), .required = true },
	{ "major", JSON_SIGNED, D(major), .max = UINT32_MAX },
	{ "minor", JSON_SIGNED, D(minor), .max = UINT32_MAX },
	{ "fileMode", JSON_UNSIGNED, D(mode), JSON_HAS(struct oci_device, has_mode), .max = S_IFMT | 07777 },
	{ "uid", JSON_UNSIGNED, D(uid), JSON_HAS(struct oci_device, has_uid), .max = ID_MAX },
	{ "gid", JSON_UNSIGNED, D(gid), JSON_HAS(struct oci_device, has_gid), .max = ID_MAX },
};

static const struct oci_device device_defaults = { .major = -1, .minor = -1 };
static const struct json_record device = { sizeof(struct oci_device), JSON_FIELDS(device_fields),
					   .defaults = &device_defaults, .check = check_device };

/* What the kernel takes for the name of an interface, dev_valid_name(). */
static bool valid_interface(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < 16 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strpbrk(name, "/: \t\n\v\f\r");
}

static int check_net_device(const struct json_place *at, void *record)
{
	struct oci_net_device *d = record;

	if (d->new_name && !*d->new_name) {
		free(d->new_name);
		d->new_name = NULL;
	}
	if (!valid_interface(d->name))
		return json_wrong(at, NULL, EINVAL, "not the name of a network interface (1 to 15 bytes, no '/', ':' or space)");
	if (d->new_name && !valid_interface(d->new_name))
		return json_wrong(at, "name", EINVAL,
				  "'%s' is not the name of a network interface (1 to 15 bytes, no '/', ':' or space)",
				  d->new_name);
	return 0;
}

static const struct json_field net_device_fields[] = {
	{ "name", JSON_STRING, JSON_AT(struct oci_net_device, new_name) },
};

static const struct json_record net_device = { sizeof(struct oci_net_device), JSON_FIELDS(net_device_fields),
					       .check = check_net_device };

/* --- rootfsPropagation, personality, timeOffsets --- */

static const struct json_name propagation_names[] = {
	{ "private", MS_PRIVATE },
	{ "shared", MS_SHARED },
	{ "slave", MS_SLAVE },
	{ "unbindable", MS_UNBINDABLE },
	{ "rprivate", MS_PRIVATE | MS_REC },
	{ "rshared", MS_SHARED | MS_REC },
	{ "rslave", MS_SLAVE | MS_REC },
	{ "runbindable", MS_UNBINDABLE | MS_REC },
	{ "", 0 },
};
static const struct json_names propagations = JSON_NAMES(propagation_names);

static const struct json_name domain_names[] = { { "LINUX", PER_LINUX }, { "LINUX32", PER_LINUX32 } };
static const struct json_names domains = JSON_NAMES(domain_names);

static int read_no_flags(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	if (!json_object_is_type(v, json_type_array) || json_object_array_length(v) > 0)
		return json_wrong(at, NULL, EINVAL, "the specification defines no flags; leave the list empty");
	return 0;
}

static int write_nothing(const struct json_field *f, const void *record, struct json_object **ret)
{
	return 0;
}

static const struct json_codec no_flags_codec = { read_no_flags, write_nothing, NULL };

static const struct json_field personality_fields[] = {
	{ "domain", JSON_ENUM, AT(personality), .required = true, .names = &domains },
	{ "flags", JSON_CODEC, .codec = &no_flags_codec },
};

static const struct json_record personality_ = { sizeof(L), JSON_FIELDS(personality_fields) };

static const struct json_field offset_fields[] = {
	{ "secs", JSON_SIGNED, JSON_AT(struct oci_time_offset, secs), .always = true },
	{ "nanosecs", JSON_UNSIGNED, JSON_AT(struct oci_time_offset, nanosecs), .always = true, .max = 999999999 },
};

static const struct json_record offset = { sizeof(struct oci_time_offset), JSON_FIELDS(offset_fields) };

static const struct json_field offsets_fields[] = {
	{ "monotonic", JSON_RECORD, AT(monotonic_offset), JSON_HAS(L, monotonic_offset.set), .record = &offset },
	{ "boottime", JSON_RECORD, AT(boottime_offset), JSON_HAS(L, boottime_offset.set), .record = &offset },
};

static const struct json_record offsets = { sizeof(L), JSON_FIELDS(offsets_fields) };

/* --- intelRdt --- */

static int check_line(const struct json_place *at, const char *key, const char *s)
{
	return s && strchr(s, '\n') ? json_wrong(at, key, EINVAL, "'%s' holds a line break; one entry is one line", s) : 0;
}

/* "/" is the default group, the root of resctrl; else the name of one directory in it. */
static bool valid_clos_id(const char *id)
{
	return strcmp(id, "/") == 0 || (*id && !strpbrk(id, "/\n") && strcmp(id, ".") != 0 && strcmp(id, "..") != 0);
}

static int check_intel_rdt(const struct json_place *at, void *record)
{
	struct oci_intel_rdt *rdt = record;
	int r = check_line(at, "memBwSchema", rdt->mem_bw_schema);

	for (char **s = rdt->schemata; r == 0 && s && *s; s++)
		r = check_line(at, "schemata", *s);
	if (r < 0)
		return r;
	if (rdt->mem_bw_schema && strncmp(rdt->mem_bw_schema, "MB:", 3) != 0)
		return json_wrong(at, "memBwSchema", EINVAL, "'%s' does not begin with MB:", rdt->mem_bw_schema);
	if (rdt->clos_id && !*rdt->clos_id) { /* written by Go programs for "none" */
		free(rdt->clos_id);
		rdt->clos_id = NULL;
	}
	if (rdt->clos_id && !valid_clos_id(rdt->clos_id))
		return json_wrong(at, "closID", EINVAL, "'%s' is neither \"/\" nor the name of one directory in resctrl",
				  rdt->clos_id);
	return 0;
}

#define I(member) JSON_AT(struct oci_intel_rdt, member)
static const struct json_field intel_rdt_fields[] = {
	{ "closID", JSON_STRING, I(clos_id) },
	{ "schemata", JSON_STRINGS, I(schemata) },
	{ "l3CacheSchema", JSON_STRING, I(l3_cache_schema) },
	{ "memBwSchema", JSON_STRING, I(mem_bw_schema) },
	{ "enableMonitoring", JSON_BOOL, I(enable_monitoring) },
	{ "enableCMT", JSON_BOOL, I(enable_cmt) }, /* runtime-spec 1.1 and 1.2 */
	{ "enableMBM", JSON_BOOL, I(enable_mbm) },
};

static const struct json_record intel_rdt = { sizeof(struct oci_intel_rdt), JSON_FIELDS(intel_rdt_fields),
					      .check = check_intel_rdt };

/* --- memoryPolicy --- */

static const struct json_name mode_names[] = {
	{ "MPOL_DEFAULT", MPOL_DEFAULT },
	{ "MPOL_PREFERRED", MPOL_PREFERRED },
	{ "MPOL_BIND", MPOL_BIND },
	{ "MPOL_INTERLEAVE", MPOL_INTERLEAVE },
	{ "MPOL_LOCAL", MPOL_LOCAL },
	{ "MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY },
	{ "MPOL_WEIGHTED_INTERLEAVE", MPOL_WEIGHTED_INTERLEAVE_ABI },
};
const struct json_names oci_memory_modes = JSON_NAMES(mode_names);

static const struct json_name mode_flag_names[] = {
	{ "MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING },
	{ "MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES },
	{ "MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES },
};
const struct json_names oci_memory_flags = JSON_NAMES(mode_flag_names);

/* The combinations that set_mempolicy(2) refuses with a bare EINVAL. */
static int check_memory_policy(const struct json_place *at, void *record)
{
	const struct oci_memory_policy *p = record;
	const char *mode = json_value_name(&oci_memory_modes, p->mode);
	unsigned long bits[NODES_MAX / (8 * sizeof(long))];
	bool nodes = p->nodes && *p->nodes;
	struct error err = ERROR_INIT;

	if (p->nodes && bitlist_parse(p->nodes, bits, NODES_MAX, &err) < 0)
		return json_wrong(at, "nodes", err.code, "%s", err.message);
	if (nodes && (p->mode == MPOL_DEFAULT || p->mode == MPOL_LOCAL))
		return json_wrong(at, "nodes", EINVAL, "'%s' given, but %s takes no nodes", p->nodes, mode);
	if (!nodes && p->mode != MPOL_DEFAULT && p->mode != MPOL_LOCAL && p->mode != MPOL_PREFERRED)
		return json_wrong(at, "nodes", EINVAL, "missing; %s needs at least one node", mode);
	if ((p->flags & MPOL_F_STATIC_NODES) && (p->flags & MPOL_F_RELATIVE_NODES))
		return json_wrong(at, "flags", EINVAL, "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other");
	if ((p->flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)) && !nodes)
		return json_wrong(at, "flags", EINVAL, "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES need nodes");
	if ((p->flags & MPOL_F_NUMA_BALANCING) && p->mode != MPOL_BIND && p->mode != MPOL_PREFERRED_MANY)
		return json_wrong(at, "flags", EINVAL, "MPOL_F_NUMA_BALANCING goes with MPOL_BIND or MPOL_PREFERRED_MANY, not %s",
				  mode);
	return 0;
}

#define M(member) JSON_AT(struct oci_memory_policy, member)
static const struct json_field memory_policy_fields[] = {
	{ "mode", JSON_ENUM, M(mode), .required = true, .names = &oci_memory_modes },
	{ "nodes", JSON_STRING, M(nodes) },
	{ "flags", JSON_FLAGS, M(flags), .names = &oci_memory_flags },
};

static const struct json_record memory_policy = { sizeof(struct oci_memory_policy), JSON_FIELDS(memory_policy_fields),
						  .check = check_memory_policy };

/* --- linux --- */

static int check_sysctl(const struct json_place *at, const L *linux_)
{
	char path[SYSCTL_PATH_MAX];
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < linux_->n_sysctl; i++)
		if (sysctl_path(linux_->sysctl[i].key, path, &err) < 0)
			return json_wrong(at, "sysctl", err.code, "%s", err.message);
	return 0;
}

static int check_cgroups_path(const struct json_place *at, const char *path)
{
	for (const char *p = path; p && *p; p += strcspn(p, "/")) {
		p += strspn(p, "/");
		if (strcspn(p, "/") == 2 && strncmp(p, "..", 2) == 0)
			return json_wrong(at, "cgroupsPath", EINVAL, "'%s' leads upwards; leave '..' out", path);
	}
	return 0;
}

static int check_linux(const struct json_place *at, void *record)
{
	const L *linux_ = record;
	int r = check_namespaces(at, linux_);

	if (r == 0)
		r = oci_id_maps_check(at, "uidMappings", &linux_->uid_mappings);
	if (r == 0)
		r = oci_id_maps_check(at, "gidMappings", &linux_->gid_mappings);
	if (r == 0)
		r = check_all_absolute(at, "maskedPaths", linux_->masked_paths);
	if (r == 0)
		r = check_all_absolute(at, "readonlyPaths", linux_->readonly_paths);
	if (r == 0)
		r = check_sysctl(at, linux_);
	return r < 0 ? r : check_cgroups_path(at, linux_->cgroups_path);
}

static const struct json_field linux_fields[] = {
	{ "uidMappings", JSON_RECORDS, AT(uid_mappings.v), JSON_COUNT(L, uid_mappings.n), .record = &oci_id_map_record },
	{ "gidMappings", JSON_RECORDS, AT(gid_mappings.v), JSON_COUNT(L, gid_mappings.n), .record = &oci_id_map_record },
	{ "sysctl", JSON_STRING_MAP, AT(sysctl), JSON_COUNT(L, n_sysctl) },
	{ "resources", JSON_RECORD, AT(resources), .record = &oci_resources_record },
	{ "cgroupsPath", JSON_STRING, AT(cgroups_path) },
	{ "namespaces", JSON_RECORDS, AT(namespaces), JSON_COUNT(L, n_namespaces), .record = &namespace },
	{ "devices", JSON_RECORDS, AT(devices), JSON_COUNT(L, n_devices), .record = &device },
	{ "netDevices", JSON_MAP, AT(net_devices), JSON_COUNT(L, n_net_devices), .record = &net_device },
	{ "seccomp", JSON_POINTER, AT(seccomp), .record = &oci_seccomp_record },
	{ "rootfsPropagation", JSON_ENUM, AT(rootfs_propagation), .names = &propagations },
	{ "maskedPaths", JSON_STRINGS, AT(masked_paths) },
	{ "readonlyPaths", JSON_STRINGS, AT(readonly_paths) },
	{ "mountLabel", JSON_STRING, AT(mount_label) },
	{ "intelRdt", JSON_POINTER, AT(intel_rdt), .record = &intel_rdt },
	{ "personality", JSON_RECORD, JSON_HAS(L, has_personality), .record = &personality_ },
	{ "memoryPolicy", JSON_POINTER, AT(memory_policy), .record = &memory_policy },
	{ "timeOffsets", JSON_RECORD, .record = &offsets },
};

const struct json_record oci_linux_record = { sizeof(L), JSON_FIELDS(linux_fields), .check = check_linux };
