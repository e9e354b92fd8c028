#include "image/lockdown.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "host/caps.h"
#include "host/credentials.h"
#include "host/landlock.h"
#include "host/seccomp.h"

#define CAP(c) (1ull << CAP_##c)

/* What makes and removes other users' files, whiteouts, set-user-ID programs and programs with capabilities. */
#define KEPT_CAPS (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(MKNOD) | CAP(SETFCAP))

/* Bytes. JSON of a few megabytes can be made to need hundreds; xz may ask for one gigabyte. */
#define DATA_MAX (2ull << 30)

#define STORE_ACCESS                                                                                                   \
	(LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR | LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_TRUNCATE |                \
	 LANDLOCK_FS_REMOVE_DIR | LANDLOCK_FS_REMOVE_FILE | LANDLOCK_FS_MAKE_DIR | LANDLOCK_FS_MAKE_REG |              \
	 LANDLOCK_FS_MAKE_FIFO | LANDLOCK_FS_MAKE_SYM | LANDLOCK_FS_MAKE_CHAR | LANDLOCK_FS_REFER)
#define READ_ACCESS (LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR)

/* Where names, certificates and locales are found. */
static const char *const network_reads[] = {
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/lib/ssl",
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
    "/usr/lib",
    "/lib",
    "/lib64",
    "/run/systemd/resolve",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/urandom",
};

static const char file_calls[] =
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat openat2 close close_range stat fstat "
    "lstat newfstatat statx statfs fstatfs access faccessat faccessat2 lseek flock fsync fdatasync syncfs truncate ftruncate "
    "fallocate getdents64 getcwd rename renameat renameat2 mkdir mkdirat rmdir unlink unlinkat link linkat symlink symlinkat "
    "readlink readlinkat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat umask utimensat futimesat mknod mknodat "
    "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr copy_file_range sendfile fadvise64 "
    "pipe pipe2 dup dup2 dup3 fcntl poll ppoll select pselect6 eventfd2 epoll_create1 epoll_ctl epoll_wait epoll_pwait";
static const char process_calls[] =
    "mmap mprotect munmap mremap madvise brk rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait sigaltstack "
    "futex set_robust_list get_robust_list rseq set_tid_address exit exit_group getpid gettid getppid getuid geteuid getgid "
    "getegid getpgrp tgkill sched_yield sched_getaffinity nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time "
    "getrandom uname sysinfo getrlimit prlimit64 prctl restart_syscall membarrier arch_prctl getrusage times";
static const char network_calls[] =
    "connect bind getsockname getpeername getsockopt setsockopt sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown "
    "socketpair";

static int allow_value(struct seccomp_policy *p, const char *call, unsigned arg, uint64_t value)
{
	struct seccomp_rule *rule = seccomp_policy_add(p, SECCOMP_ACT_ALLOW, call);

	return rule ? seccomp_rule_add_arg(rule, arg, SECCOMP_OP_EQ, value, 0) : -ENOMEM;
}

static int build_policy(struct seccomp_policy *p, bool network)
{
	static const uint64_t ioctls[] = {0x5401 /* TCGETS */, 0x5413 /* TIOCGWINSZ */, 0x541b /* FIONREAD */,
					  0x5421 /* FIONBIO */};
	static const uint64_t families[] = {1 /* unix: nscd, resolved */, 2 /* inet */, 10 /* inet6 */,
					    16 /* netlink */};
	struct seccomp_rule *rule;

	/* libc falls back to clone, whose flags a filter can see: threads only */
	rule = seccomp_policy_add(p, SECCOMP_ACT_ERRNO, "clone3");
	if (!rule)
		return -ENOMEM;
	rule->has_errno = true;
	rule->errno_ret = ENOSYS;
	rule = seccomp_policy_add(p, SECCOMP_ACT_ALLOW, "clone");
	if (!rule || seccomp_rule_add_arg(rule, 0, SECCOMP_OP_MASKED_EQ, 0x10000 /* CLONE_THREAD */, 0x10000) < 0)
		return -ENOMEM;
	if (!seccomp_policy_add(p, SECCOMP_ACT_ALLOW, file_calls) ||
	    !seccomp_policy_add(p, SECCOMP_ACT_ALLOW, process_calls) ||
	    (network && !seccomp_policy_add(p, SECCOMP_ACT_ALLOW, network_calls)))
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(ioctls); i++)
		if (allow_value(p, "ioctl", 1, ioctls[i]) < 0)
			return -ENOMEM;
	for (size_t i = 0; network && i < ARRAY_SIZE(families); i++)
		if (allow_value(p, "socket", 0, families[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int filter_calls(bool network, struct error *err)
{
	struct seccomp_policy *p = calloc(1, sizeof(*p));
	_cleanup_free_ struct seccomp_program *program = NULL;
	int r;

	if (!p)
		return error_oom(err);
	p->default_act = SECCOMP_ACT_ERRNO;
	p->has_default_errno = true;
	p->default_errno = EPERM;
	r = build_policy(p, network) < 0 ? error_oom(err) : seccomp_compile(p, &program, err);
	seccomp_policy_free(p);
	return r < 0 ? r : seccomp_install(program, NULL, err);
}

static int grant_all(struct landlock_rules *rules, const char *const *paths, size_t n, uint64_t access, bool optional)
{
	for (size_t i = 0; i < n && paths[i]; i++)
		if (landlock_grant_path(rules, paths[i], access, optional) < 0)
			return -ENOMEM;
	return 0;
}

static int restrict_files(const struct lockdown *l, struct error *err)
{
	_cleanup_landlock_rules_ struct landlock_rules rules = {0};
	_cleanup_close_ int ruleset = -1;
	uint64_t writes = STORE_ACCESS | (l->devices ? LANDLOCK_FS_MAKE_BLOCK : 0);
	int abi = landlock_abi();

	if (abi < 2) { /* the first version forbids to rename into another folder, which is how layers are committed */
		log_debug("this kernel's Landlock (version %d) cannot be used here; 2 is needed", abi);
		return 0;
	}
	rules.handled_fs = landlock_fs_of(abi);
	rules.scoped = landlock_scopes_of(abi);
	if (!l->network)
		rules.handled_net = landlock_net_of(abi);
	if (grant_all(&rules, l->writes, SIZE_MAX, writes, false) < 0 ||
	    (l->reads && grant_all(&rules, l->reads, SIZE_MAX, READ_ACCESS, true) < 0) ||
	    (l->network && grant_all(&rules, network_reads, ARRAY_SIZE(network_reads), READ_ACCESS, true) < 0))
		return error_oom(err);
	ruleset = landlock_make_ruleset(&rules, err);
	return ruleset < 0 ? ruleset : landlock_enforce(ruleset, err);
}

static int drop_capabilities(struct error *err)
{
	struct cap_sets have, keep = {0};
	int r = caps_get(&have);

	if (r < 0)
		return error_sys(err, r, "cannot read the capabilities");
	if (have.effective & CAP(SETPCAP) && (r = caps_limit_bounding(KEPT_CAPS, err)) < 0)
		return r;
	keep.permitted = keep.effective = have.permitted & KEPT_CAPS;
	return caps_set(&keep, err);
}

int lockdown_enter(const struct lockdown *l, struct error *err)
{
	static const struct rlimit no_core = {0}, memory = { DATA_MAX, DATA_MAX };
	int r;

#ifdef IMAGE_WITHOUT_LOCKDOWN
	/* sanitizers and coverage need files and calls of their own */
	return 0;
#endif
	if (setrlimit(RLIMIT_CORE, &no_core) < 0 || setrlimit(RLIMIT_DATA, &memory) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_sys(err, errno, "cannot give up privileges");
	if ((r = restrict_files(l, err)) < 0 || (r = drop_capabilities(err)) < 0)
		return r;
	return filter_calls(l->network, err);
}
