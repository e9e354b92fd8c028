#include "host/seccomp_default.h"

#include <linux/capability.h>
#include <sys/socket.h>

#include "base/strv.h"

#define CAP(name) (1ull << CAP_##name)
#define ANY_CAP 0

/*
 * Calls by the capability that opens them (any one of CAPS; ANY_CAP: open to all). Three kinds stay closed to everybody
 * because no capability governs them well enough: keyrings (not namespaced), io_uring (its requests pass no filter), and
 * what only old or odd programs use (uselib, sysfs, ustat, nfsservctl, vm86, userfaultfd ...).
 */
static const struct {
	uint64_t caps;
	const char *names;
} allowed[] = {
	/* files and directories */
	{ ANY_CAP, "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 "
		   "fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat "
		   "fcntl fcntl64 fdatasync fgetxattr file_getattr file_setattr flistxattr flock fremovexattr fsetxattr fstat "
		   "fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr "
		   "getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link "
		   "linkat listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir "
		   "mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 "
		   "pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat "
		   "renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx "
		   "symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat "
		   "utimensat_time64 utimes vmsplice write writev" },
	{ CAP(DAC_READ_SEARCH), "open_by_handle_at" },
	{ CAP(SYS_CHROOT), "chroot" },

	/* readiness and asynchronous input and output */
	{ ANY_CAP, "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old "
		   "eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit "
		   "_newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4" },

	/* memory */
	{ ANY_CAP, "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 "
		   "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect "
		   "process_mrelease remap_file_pages" },
	{ CAP(SYS_NICE), "get_mempolicy mbind set_mempolicy set_mempolicy_home_node" },

	/* processes, threads, scheduling; clone is below */
	{ ANY_CAP, "arch_prctl execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv "
		   "futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit "
		   "getrusage getsid gettid ioprio_get ioprio_set modify_ldt pidfd_open prctl prlimit64 restart_syscall rseq "
		   "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
		   "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
		   "sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setpgid "
		   "setpriority setrlimit setsid ugetrlimit uretprobe vfork wait4 waitid waitpid" },
	{ ANY_CAP, "process_vm_readv process_vm_writev ptrace" }, /* Linux 4.8 closed their way around filters */
	{ CAP(SYS_PTRACE), "kcmp pidfd_getfd process_madvise" },

	/* signals */
	{ ANY_CAP, "kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
		   "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signal sigaction "
		   "sigpending sigprocmask sigreturn sigsuspend tgkill tkill" },

	/* identity and restrictions */
	{ ANY_CAP, "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid "
		   "getresgid32 getresuid getresuid32 getuid getuid32 landlock_add_rule landlock_create_ruleset "
		   "landlock_restrict_self seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups "
		   "setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid "
		   "setuid32" },

	/* sockets; socket itself is below */
	{ ANY_CAP, "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
		   "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair" },

	/* System V and POSIX IPC */
	{ ANY_CAP, "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
		   "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop "
		   "semtimedop_time64 shmat shmctl shmdt shmget" },

	/* time */
	{ ANY_CAP, "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
		   "clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time "
		   "timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 "
		   "timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times" },
	{ CAP(SYS_TIME), "clock_settime clock_settime64 settimeofday stime" },

	/* the machine */
	{ ANY_CAP, "getrandom sysinfo uname" },
	{ CAP(SYS_ADMIN), "clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
			  "move_mount open_tree open_tree_attr quotactl quotactl_fd setdomainname sethostname setns umount "
			  "umount2 unshare" },
	{ CAP(SYS_ADMIN) | CAP(BPF), "bpf" },
	{ CAP(SYS_ADMIN) | CAP(PERFMON), "perf_event_open" },
	{ CAP(SYS_ADMIN) | CAP(SYSLOG), "syslog" },
	{ CAP(SYS_BOOT), "reboot" },
	{ CAP(SYS_MODULE), "delete_module finit_module init_module" },
	{ CAP(SYS_PACCT), "acct" },
	{ CAP(SYS_RAWIO), "ioperm iopl" },
	{ CAP(SYS_TTY_CONFIG), "vhangup" },
};

/* CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */
#define CLONE_NAMESPACES 0x7e020000ull

/* personality(2): PER_LINUX, PER_LINUX32, each maybe with UNAME26, and the query. */
static const uint64_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };

/* Capability-dependent and argument-dependent rules. */
static int add_tested_rules(struct seccomp_policy *p, uint64_t caps)
{
	struct seccomp_rule *r;

	/* The host talks to hypervisors through AF_VSOCK, which no network namespace holds back. Compared as 64 bits: a
	 * family with rubbish in its upper half, which the kernel would drop, does not pass. */
	r = seccomp_policy_add(p, SECCOMP_ACT_ALLOW, "socket");
	if (!r || seccomp_rule_add_arg(r, 0, SECCOMP_OP_LT, AF_VSOCK, 0) < 0)
		return -ENOMEM;
	r = seccomp_policy_add(p, SECCOMP_ACT_ALLOW, "socket");
	if (!r || seccomp_rule_add_arg(r, 0, SECCOMP_OP_EQ, AF_XDP, 0) < 0)
		return -ENOMEM;
	r = seccomp_policy_add(p, SECCOMP_ACT_ALLOW, "personality");
	for (size_t i = 0; i < ARRAY_SIZE(personalities); i++)
		if (!r || seccomp_rule_add_arg(r, 0, SECCOMP_OP_EQ, personalities[i], 0) < 0)
			return -ENOMEM;
	if (caps & CAP(SYS_ADMIN))
		return 0;
	r = seccomp_policy_add(p, SECCOMP_ACT_ALLOW, "clone");
	if (!r || seccomp_rule_add_arg(r, 0, SECCOMP_OP_MASKED_EQ, CLONE_NAMESPACES, 0) < 0)
		return -ENOMEM;
	/* Its flags are in memory, where no filter sees them; ENOSYS makes libc fall back to clone. */
	r = seccomp_policy_add(p, SECCOMP_ACT_ERRNO, "clone3");
	if (!r)
		return -ENOMEM;
	r->has_errno = true;
	r->errno_ret = ENOSYS;
	return 0;
}

static int fill(struct seccomp_policy *p, uint64_t caps)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (allowed[i].caps == ANY_CAP || allowed[i].caps & caps)
			if (!seccomp_policy_add(p, SECCOMP_ACT_ALLOW, allowed[i].names))
				return -ENOMEM;
	if (strv_add(&p->architectures, "SCMP_ARCH_X86_64") < 0 || strv_add(&p->architectures, "SCMP_ARCH_X86") < 0 ||
	    strv_add(&p->architectures, "SCMP_ARCH_X32") < 0)
		return -ENOMEM;
	return add_tested_rules(p, caps);
}

struct seccomp_policy *seccomp_default_policy(uint64_t caps)
{
	struct seccomp_policy *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->default_act = SECCOMP_ACT_ERRNO;
	p->has_default_errno = true;
	p->default_errno = EPERM;
	if (fill(p, caps) < 0) {
		seccomp_policy_free(p);
		return NULL;
	}
	return p;
}
