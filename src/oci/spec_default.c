/* The configuration that `spec` writes and that boxes made from images begin with: runc's, its example.go. */
#include "oci/spec_build.h"

#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "base/strv.h"

struct default_mount {
	const char *destination, *type, *source, *options; /* options: comma-separated, or NULL */
	const char *rootless_type, *rootless_source, *rootless_options; /* NULL: the same */
};

static const struct default_mount mounts[] = {
	{ "/proc", "proc", "proc", NULL },
	{ "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
	/* gid 5 is not mapped in a user namespace of one id */
	{ "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5", NULL, NULL,
	  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620" },
	{ "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k" },
	{ "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
	/* a new sysfs needs an own network namespace */
	{ "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro", "none", "/sys", "rbind,nosuid,noexec,nodev,ro" },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro" },
};

static const char masked_paths[] = "/proc/acpi,/proc/asound,/proc/kcore,/proc/keys,/proc/latency_stats,/proc/timer_list,"
				   "/proc/timer_stats,/proc/sched_debug,/sys/firmware,/proc/scsi";
static const char readonly_paths[] = "/proc/bus,/proc/fs,/proc/irq,/proc/sys,/proc/sysrq-trigger";

static int split(const char *list, char ***ret)
{
	*ret = strv_split(list, ",");
	return *ret ? 0 : -ENOMEM;
}

static int add_process(struct oci_spec *spec)
{
	static const uint64_t caps = 1ull << CAP_AUDIT_WRITE | 1ull << CAP_KILL | 1ull << CAP_NET_BIND_SERVICE;
	struct oci_process *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	spec->process = p;
	p->terminal = true;
	p->no_new_privileges = true;
	p->has_capabilities = true;
	p->capabilities = (struct cap_sets){ .bounding = caps, .effective = caps, .permitted = caps, .ambient = caps };
	if (strv_add(&p->args, "sh") < 0 || strv_add(&p->env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") < 0 ||
	    strv_add(&p->env, "TERM=xterm") < 0 || oci_set_string(&p->cwd, "/") < 0)
		return -ENOMEM;
	return oci_set_rlimit(p, RLIMIT_NOFILE, 1024, 1024);
}

static int add_mounts(struct oci_spec *spec, bool rootless)
{
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		const struct default_mount *m = &mounts[i];
		const char *type = rootless && m->rootless_type ? m->rootless_type : m->type;
		const char *source = rootless && m->rootless_source ? m->rootless_source : m->source;
		const char *list = rootless && m->rootless_options ? m->rootless_options : m->options;
		_cleanup_strv_ char **options = NULL;
		int r = list ? split(list, &options) : 0;

		if (r == 0)
			r = oci_add_mount(spec, m->destination, type, source, options);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_namespaces(struct oci_spec *spec, const struct oci_default *how)
{
	const struct {
		int type;
		bool wanted;
	} types[] = {
		{ CLONE_NEWPID, true },	 { CLONE_NEWNET, !how->rootless },  { CLONE_NEWIPC, true }, { CLONE_NEWUTS, true },
		{ CLONE_NEWNS, true },	 { CLONE_NEWUSER, how->rootless }, { CLONE_NEWCGROUP, how->cgroup_namespace },
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int r = types[i].wanted ? oci_set_namespace(spec, types[i].type, NULL) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_linux(struct oci_spec *spec, const struct oci_default *how)
{
	static const struct device_rule deny_all = { .type = 'a', .major = -1, .minor = -1, .read = true, .write = true,
						     .mknod = true };
	struct oci_linux *l = &spec->linux_;
	int r = add_namespaces(spec, how);

	if (r == 0)
		r = split(masked_paths, &l->masked_paths);
	if (r == 0)
		r = split(readonly_paths, &l->readonly_paths);
	if (r < 0)
		return r;
	if (!how->rootless)
		return oci_add_device_rule(spec, &deny_all);
	r = oci_add_id_map(&l->uid_mappings, 0, how->uid, 1);
	return r < 0 ? r : oci_add_id_map(&l->gid_mappings, 0, how->gid, 1);
}

int oci_spec_default(const struct oci_default *how, struct oci_spec **ret, struct error *err)
{
	_cleanup_oci_spec_ struct oci_spec *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return error_oom(err);
	spec->has_root = spec->has_linux = true;
	spec->root.readonly = true;
	if (oci_set_string(&spec->version, OCI_SPEC_VERSION) < 0 || oci_set_string(&spec->root.path, "rootfs") < 0 ||
	    oci_set_string(&spec->hostname, "ringwall") < 0 || add_process(spec) < 0 ||
	    add_mounts(spec, how->rootless) < 0 || add_linux(spec, how) < 0)
		return error_oom(err);
	*ret = take_ptr(spec);
	return 0;
}
