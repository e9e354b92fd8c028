#include "boundary/container/container.h"

#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/strv.h"
#include "host/credentials.h"
#include "host/lsm.h"
#include "host/namespaces.h"
#include "host/resctrl.h"
#include "host/userns.h"
#include "jail/final.h"

/* ---- what is refused: looked at for every box, so nothing here costs more than it must ---- */

static int refuse_namespaces(const struct oci_spec *spec, struct plan *p)
{
	const struct oci_namespace *mount = oci_spec_namespace(spec, CLONE_NEWNS);
	int r = 0;

	if (!mount)
		r = plan_refused(p, "root", "a root file system of its own needs a mount namespace in linux.namespaces");
	else if (mount->path)
		r = plan_refused(p, "linux.namespaces mount path",
				 "the root would be switched for everybody who is in that namespace; leave the path out");
	if (r == 0 && geteuid() != 0 && !oci_spec_namespace(spec, CLONE_NEWUSER))
		r = plan_refused(p, "linux.namespaces",
				 "without privilege a user namespace is needed; 'ringwall spec --rootless' has one");
	if (r == 0 && oci_spec_namespace(spec, CLONE_NEWTIME) && access("/proc/self/ns/time", F_OK) < 0)
		r = plan_refused(p, "linux.namespaces time", "this kernel has no time namespaces (Linux 5.6)");
	return r;
}

static int refuse_labels(const struct oci_spec *spec, struct plan *p)
{
	const struct oci_process *process = spec->process;
	struct error why = ERROR_INIT;

	if (lsm_check(process ? process->apparmor_profile : NULL, process ? process->selinux_label : NULL,
		      spec->linux_.mount_label, &why) == 0)
		return 0;
	return plan_refused(p, "security label", "%s", why.message);
}

static int refuse_unprivileged(const struct oci_spec *spec, struct plan *p)
{
	const struct oci_linux *l = &spec->linux_;
	int r = 0;

	if (geteuid() == 0)
		return 0;
	if (l->n_net_devices)
		r = plan_refused(p, "linux.netDevices", "moving a network interface of the host needs root");
	if (r == 0 && spec->process && spec->process->n_additional_gids && l->gid_mappings.n <= 1)
		r = plan_refused(p, "process.user.additionalGids",
				 "a user namespace that maps one group only has no others; map more (/etc/subgid)");
	return r;
}

/* A box whose root is the host's must not reach the program that made it; jail/final.h tells how, and what it needs. */
static int refuse_unprotected(const struct oci_spec *spec, struct plan *p)
{
	struct statvfs fs;

	if (final_step_possible() || geteuid() != 0 || oci_spec_namespace(spec, CLONE_NEWUSER))
		return 0;
	if (statvfs("/proc/self/exe", &fs) == 0 && fs.f_flag & ST_RDONLY)
		return 0;
	return plan_refused(p, "the runtime's own program",
			    "this kernel lacks CONFIG_CHECKPOINT_RESTORE, without which it could be overwritten from inside; put "
			    "ringwall on a read-only file system, or use a user namespace");
}

static int refuse(const struct oci_spec *spec, struct plan *p)
{
	int r = refuse_namespaces(spec, p);

	if (r == 0 && !spec->process)
		r = plan_refused(p, "no process", "a box is made around its first process, which the configuration must have");
	if (r == 0)
		r = refuse_labels(spec, p);
	if (r == 0)
		r = refuse_unprivileged(spec, p);
	if (r == 0)
		r = refuse_unprotected(spec, p);
	if (r == 0 && spec->linux_.intel_rdt && access(RESCTRL_ROOT "/schemata", F_OK) < 0)
		r = plan_refused(p, "linux.intelRdt", "no resctrl at " RESCTRL_ROOT "; mount it with: mount -t resctrl resctrl "
				 RESCTRL_ROOT);
	if (r == 0 && spec->vm)
		r = plan_refused(p, "vm", "a container runs on the host's kernel; use --isolation=vm");
	return r;
}

/* ---- what is enforced, in words ---- */

static int plan_namespaces(const struct oci_linux *l, struct plan *p)
{
	int r = 0;

	for (size_t i = 0; i < l->n_namespaces && r == 0; i++) {
		char what[64];

		snprintf(what, sizeof(what), "linux.namespaces %s", namespace_kind_of(l->namespaces[i].type)->name);
		r = l->namespaces[i].path ? plan_enforced(p, what, "joined: %s", l->namespaces[i].path) :
					    plan_enforced(p, what, "new: clone3(2)");
	}
	if (r == 0 && l->uid_mappings.n)
		r = plan_enforced(p, "linux.uidMappings", "%zu range%s from host user %u on", l->uid_mappings.n,
				  l->uid_mappings.n == 1 ? "" : "s", l->uid_mappings.v[0].outside);
	return r;
}

static int plan_root(const struct oci_spec *spec, const struct create_options *options, struct plan *p)
{
	return plan_enforced(p, spec->root.readonly ? "root, read-only" : "root", "%s",
			     options->no_pivot ? "a mount moved to / and chroot(2): weaker than pivot_root(2), as asked" :
						 "pivot_root(2), the host's tree detached");
}

static int plan_mounts(const struct oci_spec *spec, struct plan *p)
{
	int r = 0;

	for (size_t i = 0; i < spec->n_mounts && r == 0; i++) {
		_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
		const struct oci_mount *m = &spec->mounts[i];

		strbuf_addf(&b, "mount %s", m->destination);
		for (char **o = m->options; o && *o; o++)
			strbuf_addf(&b, "%s%s", o == m->options ? " (" : ",", *o);
		if (m->options && *m->options)
			strbuf_addc(&b, ')');
		r = plan_enforced(p, strbuf_str(&b), "%s%s%s, attached to a descriptor inside the root",
				  m->type ? m->type : "bind", m->source ? " of " : "", m->source ? m->source : "");
	}
	return r;
}

static int plan_paths(const struct oci_linux *l, struct plan *p)
{
	size_t masked = strv_len(l->masked_paths), readonly = strv_len(l->readonly_paths);
	int r = 0;

	if (masked)
		r = plan_enforced(p, "linux.maskedPaths", "%zu, each covered by the host's /dev/null or an empty tmpfs", masked);
	if (r == 0 && readonly)
		r = plan_enforced(p, "linux.readonlyPaths", "%zu, each a read-only mount of itself", readonly);
	if (r == 0 && l->n_devices)
		r = plan_enforced(p, "linux.devices", "%zu besides the default ones: mknod(2), in a user namespace binds", l->n_devices);
	for (size_t i = 0; i < l->n_sysctl && r == 0; i++)
		r = plan_enforced(p, l->sysctl[i].key, "sysctl of the namespace: %s", l->sysctl[i].value);
	return r;
}

static void add_limit(struct strbuf *b, const char *name, bool set)
{
	if (set)
		strbuf_addf(b, "%s%s", b->len ? ", " : "", name);
}

static int plan_resources(const struct oci_linux *l, const struct create_options *options, struct plan *p)
{
	_cleanup_(cgroup_host_free) struct cgroup_host host = { 0 };
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	const struct cgroup_resources *res = &l->resources;

	add_limit(&b, "devices", res->devices.n);
	add_limit(&b, "memory", res->memory.limit.set);
	add_limit(&b, "memory reservation", res->memory.reservation.set);
	add_limit(&b, "swap", res->memory.swap.set);
	add_limit(&b, "cpu shares", res->cpu.shares.set);
	add_limit(&b, "cpu quota", res->cpu.quota.set);
	add_limit(&b, "cpuset", res->cpu.cpus || res->cpu.mems);
	add_limit(&b, "pids", res->pids.limit.set);
	add_limit(&b, "block I/O", res->blkio.weight.set || res->blkio.read_bps.n || res->blkio.write_bps.n);
	add_limit(&b, "hugepages", res->hugepages.n);
	add_limit(&b, "rdma", res->rdma.n);
	add_limit(&b, "unified", res->unified.n);
	if (cgroup_host_probe(NULL, NULL, &host, NULL) < 0)
		return plan_enforced(p, "linux.resources", "no control groups on this host");
	return plan_enforced(p, "linux.resources", "control group %s (%s, %s): %s", l->cgroups_path ? l->cgroups_path : "of its own",
			     cgroup_layout_name(host.layout), cgroup_manager_name(options->cgroup_manager),
			     b.len ? strbuf_str(&b) : "no limit asked for");
}

static int plan_capabilities(const struct oci_process *process, struct plan *p)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	for (unsigned cap = 0; cap < 64; cap++)
		if (process->capabilities.bounding & 1ull << cap)
			strbuf_addf(&b, "%s%s", b.len ? " " : "", cap_to_string(cap) ?: "?");
	return plan_enforced(p, "process.capabilities", "capset(2), at most: %s", b.len ? strbuf_str(&b) : "none");
}

static int plan_seccomp(const struct seccomp_policy *policy, struct plan *p)
{
	if (!policy)
		return plan_enforced(p, "linux.seccomp", "NOT asked for: every system call of the host's kernel can be reached");
	return plan_enforced(p, "linux.seccomp", "a filter of %zu rules, loaded before the program runs%s", policy->n_rules,
			     policy->listener_path ? ", with an agent that is asked" : "");
}

static int plan_process(const struct oci_spec *spec, struct plan *p)
{
	const struct oci_process *process = spec->process;
	int r;

	if (!process)
		return 0;
	r = plan_enforced(p, "process.user", "user %u, group %u, %zu more", process->uid, process->gid, process->n_additional_gids);
	if (r == 0)
		r = plan_capabilities(process, p);
	if (r == 0)
		r = plan_enforced(p, "process.noNewPrivileges", process->no_new_privileges ? "prctl(2)" :
				  "NOT asked for: setuid programs of the image gain privileges inside the box");
	if (r == 0)
		r = plan_seccomp(spec->linux_.seccomp, p);
	if (r == 0 && process->apparmor_profile && *process->apparmor_profile)
		r = plan_enforced(p, "process.apparmorProfile", "AppArmor: %s", process->apparmor_profile);
	if (r == 0 && process->selinux_label && *process->selinux_label)
		r = plan_enforced(p, "process.selinuxLabel", "SELinux: %s", process->selinux_label);
	if (r == 0 && process->n_rlimits)
		r = plan_enforced(p, "process.rlimits", "%zu, prlimit(2)", process->n_rlimits);
	if (r == 0)
		r = plan_enforced(p, "the runtime's own program", "out of reach: left behind before the workload's program is executed");
	return r;
}

int container_plan(const struct oci_spec *spec, const struct create_options *options, struct plan *p, struct error *err)
{
	int r = refuse(spec, p);

	if (r == 0 && p->detailed) {
		r = plan_namespaces(&spec->linux_, p);
		if (r == 0)
			r = plan_root(spec, options, p);
		if (r == 0)
			r = plan_mounts(spec, p);
		if (r == 0)
			r = plan_paths(&spec->linux_, p);
		if (r == 0)
			r = plan_resources(&spec->linux_, options, p);
		if (r == 0)
			r = plan_process(spec, p);
		if (r == 0 && spec->linux_.intel_rdt)
			r = plan_enforced(p, "linux.intelRdt", "resctrl");
	}
	return r < 0 ? error_oom(err) : 0;
}

/* ---- doctor ---- */

static void unusable(struct probe *ret, const char *reason, const char *mend)
{
	ret->usable = false;
	snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
	snprintf(ret->mend, sizeof(ret->mend), "%s", mend);
}

/* Whether an unprivileged user may make user namespaces, as far as the knobs tell. */
static bool userns_forbidden(const char *knob)
{
	char value = 0;
	FILE *f = fopen(knob, "re");

	if (!f)
		return false;
	if (fread(&value, 1, 1, f) != 1)
		value = 0;
	fclose(f);
	return value == '0';
}

/* The newest system call that nothing here can do without: mount_setattr(2). */
static bool kernel_is_too_old(void)
{
	return syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) < 0 && errno == ENOSYS;
}

void container_probe(struct probe *ret)
{
	*ret = (struct probe){ .usable = true };
	if (kernel_is_too_old())
		return unusable(ret, "Linux 5.12 or later is needed, or a filter around us hides mount_setattr(2)", "");
	if (access("/proc/self/ns/mnt", F_OK) < 0)
		return unusable(ret, "/proc is not mounted", "mount -t proc proc /proc");
	if (geteuid() != 0) {
		if (access("/proc/self/ns/user", F_OK) < 0)
			return unusable(ret, "this kernel has no user namespaces, which a box without root needs", "");
		if (userns_forbidden("/proc/sys/kernel/unprivileged_userns_clone"))
			return unusable(ret, "user namespaces are forbidden to users", "sysctl kernel.unprivileged_userns_clone=1");
		if (userns_forbidden("/proc/sys/user/max_user_namespaces"))
			return unusable(ret, "the number of user namespaces is limited to 0", "sysctl user.max_user_namespaces=15000");
		snprintf(ret->reason, sizeof(ret->reason), "without root: limits only in a delegated control group");
		return;
	}
	if (!caps_have(21 /* CAP_SYS_ADMIN */))
		return unusable(ret, "root here has no CAP_SYS_ADMIN, so no namespace can be made",
				"run it outside of the container it is in, or give that one the capability");
	if (!userns_is_initial())
		snprintf(ret->reason, sizeof(ret->reason), "in a user namespace: limits only in a delegated control group");
}
