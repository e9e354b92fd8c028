#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/strv.h"
#include "boundary/process/profile.h"
#include "boundary/process/setup.h"
#include "host/credentials.h"
#include "host/seccomp_reach.h"

static int plan_oom(int r, struct error *err)
{
	return r < 0 ? error_oom(err) : 0;
}

/* ---- what the wall itself does ---- */

static int plan_promises(const struct process_setup *s, struct plan *p)
{
	int r = 0;

	for (unsigned i = 0; process_promise_name(i) && r == 0; i++) {
		const char *why = NULL, *how = process_promise_kept(1u << i, &s->policy, &s->host, &why);
		char what[64];

		snprintf(what, sizeof(what), "promise: %s", process_promise_name(i));
		if (how)
			r = plan_enforced(p, what, "%s", how);
		else if (s->policy.floor & 1u << i)
			r = plan_refused(p, what, "%s; the annotation " PROCESS_ANNOTATION_PREFIX "floor can do without it", why);
		else
			r = plan_enforced(p, what, "NOT kept (%s), and the box's floor does without it", why);
	}
	return r;
}

static int plan_paths(struct plan *p, char *const *paths, const char *how)
{
	int r = 0;

	for (; paths && *paths && r == 0; paths++)
		r = plan_enforced(p, *paths, "%s", how);
	return r;
}

static int plan_ports(struct plan *p, const char *what, const struct process_ports *ports)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	if (ports->any)
		return plan_enforced(p, what, "any port");
	for (size_t i = 0; i < ports->n; i++)
		strbuf_addf(&b, "%s%u", i ? ", " : "", ports->v[i]);
	return plan_enforced(p, what, "%s", ports->n ? strbuf_str(&b) : "none");
}

static int plan_filter(const struct process_setup *s, struct plan *p)
{
	_cleanup_seccomp_policy_ struct seccomp_policy *profile = process_profile(&s->policy, &s->host);
	_cleanup_free_ struct seccomp_program *program = NULL;
	struct seccomp_reach reach;

	if (!profile || seccomp_compile(profile, &program, NULL) < 0)
		return -ENOMEM;
	seccomp_reach(program, &reach);
	return plan_enforced(p, "system calls", "seccomp: of %u, %u pass, %u for some arguments", reach.total, reach.allowed,
			     reach.conditional);
}

static int plan_allow(const struct process_setup *s, struct plan *p)
{
	int r = 0;

	for (unsigned i = 0; process_allow_name(i) && r == 0; i++)
		if (s->policy.allow & 1u << i)
			r = plan_enforced(p, process_allow_name(i), "allowed");
	return r;
}

/* What no mechanism here can close; said, not hidden. */
static int plan_limits_of_the_wall(struct plan *p)
{
	int r = plan_enforced(p, "not a promise", "names, sizes and owners of files elsewhere can be asked for (stat), as file permissions let it");

	if (r == 0)
		r = plan_enforced(p, "not a promise", "host name, process numbers, users and the kernel's version are the host's");
	if (r == 0)
		r = plan_enforced(p, "not a promise", "processor time and memory are shared with the caller, unless limits are set");
	return r;
}

static int plan_wall(const struct process_setup *s, struct plan *p)
{
	int r = plan_promises(s, p);

	if (r < 0 || !p->detailed)
		return r;
	r = plan_paths(p, s->policy.read_only, "Landlock: read and execute");
	if (r == 0)
		r = plan_paths(p, s->policy.read_write, "Landlock: read, execute, write, make and remove");
	if (r == 0)
		r = plan_paths(p, s->policy.devices, "Landlock: read, write, requests");
	if (r == 0 && s->view == PROCESS_VIEW_HOST && s->policy.system)
		r = plan_enforced(p, "the host's programs and libraries", "Landlock: read and execute");
	if (r == 0)
		r = plan_ports(p, "TCP connect", &s->policy.tcp_connect);
	if (r == 0)
		r = plan_ports(p, "TCP bind", &s->policy.tcp_bind);
	if (r == 0)
		r = plan_allow(s, p);
	if (r == 0)
		r = plan_filter(s, p);
	return r < 0 ? r : plan_limits_of_the_wall(p);
}

/* ---- the configuration, field by field ---- */

static int plan_root(const struct oci_spec *spec, const struct process_setup *s, struct plan *p)
{
	const char *root = spec->root.path ? spec->root.path : "rootfs";

	if (!spec->has_root)
		return plan_refused(p, "root", "missing; give a directory, or \"/\" for the host's file system");
	switch (s->view) {
	case PROCESS_VIEW_HOST:
		return plan_enforced(p, "root.path /", "the host's file system, as far as granted");
	case PROCESS_VIEW_CHROOT:
		return plan_enforced(p, "root.path", "'%s' by chroot(2); Landlock: %s", root, spec->root.readonly ? "read only" : "writable");
	default:
		return plan_enforced(p, "root.path",
				     "the program is run by its path below '%s' and sees the host's root (no CAP_SYS_CHROOT); Landlock: %s",
				     root, spec->root.readonly ? "read only" : "writable");
	}
}

static int plan_mounts(const struct oci_spec *spec, const struct process_setup *s, struct plan *p)
{
	int r = 0;

	for (size_t i = 0; i < spec->n_mounts && r == 0; i++) {
		const struct oci_mount *m = &spec->mounts[i];
		_cleanup_free_ char *what = NULL;
		bool readonly;

		if (asprintf(&what, "mounts[%zu] %s", i, m->destination) < 0)
			return -ENOMEM;
		if (!process_mount_is_grant(m, &readonly))
			r = plan_refused(p, what, "nothing can be mounted without a namespace; only a bind mount of a path onto itself "
						  "is possible, as a grant");
		else if (s->view == PROCESS_VIEW_CHROOT)
			r = plan_refused(p, what, "nothing can be mounted without a namespace, and the path would be outside the root");
		else
			r = plan_enforced(p, what, "Landlock: %s", readonly ? "read only" : "writable");
	}
	return r;
}

static int plan_namespaces(const struct oci_spec *spec, struct plan *p)
{
	static const struct {
		int type;
		const char *name;
	} names[] = {
		{ CLONE_NEWPID, "pid" },   { CLONE_NEWNET, "network" }, { CLONE_NEWIPC, "ipc" },	{ CLONE_NEWUTS, "uts" },
		{ CLONE_NEWNS, "mount" },  { CLONE_NEWUSER, "user" },	{ CLONE_NEWCGROUP, "cgroup" }, { 0x80, "time" },
	};
	int r = 0;

	for (size_t i = 0; i < spec->linux_.n_namespaces && r == 0; i++)
		for (size_t j = 0; j < ARRAY_SIZE(names) && r == 0; j++)
			if (names[j].type == spec->linux_.namespaces[i].type) {
				char what[64];

				snprintf(what, sizeof(what), "linux.namespaces: %s", names[j].name);
				r = plan_refused(p, what, "this wall has no namespaces");
			}
	return r;
}

/* What only namespaces, or a root of one's own, could do. */
static int plan_impossible(const struct oci_spec *spec, struct plan *p)
{
	const struct oci_linux *l = &spec->linux_;
	const struct {
		bool asked;
		const char *what, *why;
	} fields[] = {
		{ spec->hostname, "hostname", "the host's name is shown; needs an uts namespace" },
		{ spec->domainname, "domainname", "the host's is shown; needs an uts namespace" },
		{ spec->vm, "vm", "belongs to another kind of boundary" },
		{ l->uid_mappings.n, "linux.uidMappings", "needs a user namespace" },
		{ l->gid_mappings.n, "linux.gidMappings", "needs a user namespace" },
		{ l->n_devices, "linux.devices", "no device is made; grant the host's with annotation " PROCESS_ANNOTATION_PREFIX "devices" },
		{ l->n_net_devices, "linux.netDevices", "needs a network namespace" },
		{ l->n_sysctl, "linux.sysctl", "the host's settings are everybody's" },
		{ l->masked_paths, "linux.maskedPaths", "nothing is mounted; what is not granted is out of reach" },
		{ l->readonly_paths, "linux.readonlyPaths", "nothing is mounted; grant less with annotation " PROCESS_ANNOTATION_PREFIX "read-write" },
		{ l->rootfs_propagation, "linux.rootfsPropagation", "nothing is mounted" },
		{ l->mount_label, "linux.mountLabel", "nothing is mounted" },
		{ l->intel_rdt, "linux.intelRdt", "not implemented by this boundary" },
		{ l->monotonic_offset.set || l->boottime_offset.set, "linux.timeOffsets", "needs a time namespace" },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields) && r == 0; i++)
		if (fields[i].asked)
			r = plan_refused(p, fields[i].what, "%s", fields[i].why);
	return r;
}

/* Capabilities that act on the whole host, not on files and processes that other walls judge. */
#define CAP_BIT(name) (1ull << CAP_##name)
#define HOST_CAPS                                                                                                      \
	(CAP_BIT(SYS_ADMIN) | CAP_BIT(SYS_MODULE) | CAP_BIT(SYS_RAWIO) | CAP_BIT(SYS_BOOT) | CAP_BIT(SYS_PTRACE) |      \
	 CAP_BIT(SYS_TIME) | CAP_BIT(SYS_CHROOT) | CAP_BIT(NET_ADMIN) | CAP_BIT(MAC_ADMIN) | CAP_BIT(MAC_OVERRIDE) |    \
	 CAP_BIT(DAC_READ_SEARCH) | CAP_BIT(SYSLOG) | CAP_BIT(AUDIT_CONTROL) | CAP_BIT(PERFMON) | CAP_BIT(BPF) |        \
	 CAP_BIT(CHECKPOINT_RESTORE) | CAP_BIT(SYS_RESOURCE) | CAP_BIT(SYS_PACCT) | CAP_BIT(SYS_TTY_CONFIG) |           \
	 CAP_BIT(WAKE_ALARM) | CAP_BIT(BLOCK_SUSPEND) | CAP_BIT(LINUX_IMMUTABLE) | CAP_BIT(SYS_NICE))

static int plan_capabilities(const struct oci_process *process, struct plan *p)
{
	const struct cap_sets *c = &process->capabilities;
	uint64_t asked = c->effective | c->permitted | c->ambient;
	int r = 0;

	if (!process->has_capabilities || !asked)
		return plan_enforced(p, "process.capabilities", "none");
	for (unsigned cap = 0; cap < 64 && r == 0; cap++) {
		if (!(asked & 1ull << cap))
			continue;
		char what[64];

		snprintf(what, sizeof(what), "process.capabilities %s", cap_to_string(cap) ?: "?");
		if (HOST_CAPS & 1ull << cap)
			r = plan_refused(p, what, "it acts on the whole host, and this wall has no namespace to hold it");
		else if (!caps_have(cap))
			r = plan_refused(p, what, "the caller does not have it; take it out of the configuration");
		else
			r = plan_enforced(p, what, "capset(2)");
	}
	return r;
}

static int plan_user(const struct oci_process *process, struct plan *p)
{
	char what[64];

	snprintf(what, sizeof(what), "process.user %u:%u", process->uid, process->gid);
	if ((process->uid == geteuid() || caps_have(CAP_SETUID)) && (process->gid == getegid() || caps_have(CAP_SETGID)))
		return plan_enforced(p, what, "setresuid(2), setresgid(2)");
	return plan_refused(p, what, "without CAP_SETUID and CAP_SETGID it can only be the caller's own, %u:%u", geteuid(), getegid());
}

static int plan_process(const struct oci_spec *spec, struct plan *p)
{
	const struct oci_process *process = spec->process;
	int r;

	if (!process)
		return 0;
	r = plan_user(process, p);
	if (r == 0 && process->n_additional_gids && !caps_have(CAP_SETGID))
		r = plan_refused(p, "process.user.additionalGids", "needs CAP_SETGID");
	if (r == 0)
		r = plan_capabilities(process, p);
	if (r == 0 && process->terminal)
		r = plan_enforced(p, "process.terminal", "a new terminal of the host's devpts");
	for (size_t i = 0; i < process->n_rlimits && r == 0; i++)
		r = plan_enforced(p, "process.rlimits", "prlimit(2)");
	if (r == 0)
		r = plan_enforced(p, "process.env, descriptors", "cleared but for what the configuration gives");
	return r;
}

static int plan_linux(const struct oci_spec *spec, const struct process_setup *s, const struct create_options *options,
		      struct plan *p)
{
	const struct oci_linux *l = &spec->linux_;
	int r = 0;

	if (s->host.cgroup && options->cgroup_manager == CGROUP_MANAGER_DISABLED)
		r = plan_refused(p, "linux.resources", "control groups are disabled by --cgroup-manager");
	else if (s->host.cgroup)
		r = plan_enforced(p, "linux.resources", "control group");
	if (r == 0 && l->resources.devices.n)
		r = plan_enforced(p, "linux.resources.devices", "Landlock: only device nodes that are granted");
	if (r == 0 && l->seccomp)
		r = plan_enforced(p, "linux.seccomp", "a second filter, after the wall's own");
	return r;
}

int process_plan(const struct oci_spec *spec, const struct create_options *options, struct plan *ret, struct error *err)
{
	_cleanup_(process_setup_free) struct process_setup s = { 0 };
	int r;

	r = process_setup(spec, &s, err);
	if (r < 0)
		return r;
	r = plan_wall(&s, ret);
	if (r == 0)
		r = plan_root(spec, &s, ret);
	if (r == 0)
		r = plan_process(spec, ret);
	if (r == 0)
		r = plan_mounts(spec, &s, ret);
	if (r == 0)
		r = plan_namespaces(spec, ret);
	if (r == 0)
		r = plan_impossible(spec, ret);
	if (r == 0)
		r = plan_linux(spec, &s, options, ret);
	return plan_oom(r, err);
}
