#include "boundary/process/profile.h"

#include <fcntl.h>
#include <asm/termbits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <linux/netlink.h>
#include <linux/tiocl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/strv.h"

/*
 * Landlock judges opening, making, removing and renaming files, TCP's bind and connect, and in its newer versions ioctls
 * on devices, abstract sockets and signals. Everything else that reaches beyond the box is closed here:
 * - socket files: whoever may connect to /run/docker.sock owns the host. No AF_UNIX, except connected pairs; only
 *   stream and seqpacket ones, as a datagram one of a pair can still send to any address;
 * - TCP Fast Open connects without asking Landlock, MPTCP and SCTP are not TCP to it;
 * - modes, owners, times and attributes of files can be changed by path, or through a descriptor open for reading, and
 *   file systems have requests (ioctl) of their own that make and remove things: only ordinary ones pass;
 * - limits, priorities and processors of other processes of the same user (prlimit and sched_set* with a pid);
 * - inotify sees directories that cannot be read; System V and POSIX queues are the host's.
 */

/* On x86-64; without arguments that matter. */
static const char *const always[] = {
	/* files */
	"access chdir close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchdir "
	"fcntl fdatasync fgetxattr flistxattr flock fstat fstatfs fsync ftruncate getcwd getdents getdents64 getxattr "
	"getxattrat lgetxattr link linkat listxattr listxattrat llistxattr lseek lstat mkdir mkdirat mknod mknodat "
	"newfstatat pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv "
	"rename renameat renameat2 rmdir sendfile splice stat statfs statx symlink symlinkat sync_file_range syncfs tee umask "
	"unlink unlinkat vmsplice write writev",
	/* readiness and asynchronous input and output */
	"epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 io_cancel io_destroy "
	"io_getevents io_pgetevents io_setup io_submit poll ppoll pselect6 select signalfd signalfd4",
	/* memory */
	"brk madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync "
	"munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect",
	/* processes and threads */
	"arch_prctl execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list "
	"getcpu getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid ioprio_get pidfd_open prctl "
	"restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
	"sched_getscheduler sched_rr_get_interval sched_yield set_robust_list set_tid_address setpgid setrlimit uretprobe vfork "
	"wait4 waitid",
	/* signals: to whom is Landlock's matter */
	"kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
	"rt_sigtimedwait rt_tgsigqueueinfo sigaltstack tgkill tkill",
	/* identity and more restrictions */
	"capget capset getegid geteuid getgid getgroups getresgid getresuid getuid landlock_add_rule landlock_create_ruleset "
	"landlock_restrict_self seccomp setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid",
	/* sockets there are: inherited, accepted, pairs */
	"getpeername getsockname getsockopt recvfrom recvmmsg recvmsg shutdown",
	/* time */
	"alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create "
	"timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times",
	/* the machine */
	"getrandom sysinfo uname",
};

/* Calls that one word of `allow` opens. */
static const struct {
	unsigned allow;
	const char *names;
} on_request[] = {
	{ PROCESS_ALLOW_PTRACE, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace" },
	{ PROCESS_ALLOW_INOTIFY, "inotify_add_watch inotify_init inotify_init1 inotify_rm_watch" },
	{ PROCESS_ALLOW_IPC, "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd "
			     "semctl semget semop semtimedop shmat shmctl shmdt shmget" },
	{ PROCESS_ALLOW_METADATA,
	  "chmod chown fchmod fchmodat fchmodat2 fchown fchownat file_setattr fremovexattr fsetxattr futimesat lchown "
	  "lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat utime utimensat utimes" },
};

#define LOW32 0xffffffffull                /* arguments that the kernel takes as 32 bits */
#define CLONE_NAMESPACES 0x7e020000ull     /* CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */
#define SOCKET_FLAGS ((uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC))
#define IOPRIO_PROCESS 1

/* Requests that reach beyond the file they are sent to. */
static const uint32_t bad_requests[] = { TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS };

/* Changes to files that a descriptor open for reading suffices for. */
static const uint32_t metadata_requests[] = {
	FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS, FS_IOC_SETVERSION, FS_IOC32_SETVERSION, FS_IOC_FSSETXATTR, FS_IOC_SETFSLABEL,
	FS_IOC_ENABLE_VERITY, FS_IOC_SET_ENCRYPTION_POLICY, FS_IOC_ADD_ENCRYPTION_KEY,
};

/* What files, pipes, sockets and terminals are sent in ordinary life. */
static const uint32_t ordinary_requests[] = {
	FIOCLEX, FIONCLEX, FIONBIO, FIOASYNC, FIONREAD, FIOQSIZE, FIGETBSZ, FICLONE, FICLONERANGE, FIDEDUPERANGE,
	FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC_FSGETXATTR, FS_IOC_FIEMAP, TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETS2, TCSETS2,
	TCSETSW2, TCSETSF2, TCGETA, TCSETA, TCSETAW, TCSETAF, TCSBRK, TCSBRKP, TIOCSBRK, TIOCCBRK, TCXONC, TCFLSH, TIOCGWINSZ,
	TIOCSWINSZ, TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCSCTTY, TIOCNOTTY, TIOCOUTQ, TIOCEXCL, TIOCNXCL, TIOCGEXCL, TIOCPKT,
	TIOCGPKT, TIOCGPTN, TIOCSPTLCK, TIOCGPTLCK, TIOCGPTPEER, TIOCMGET, SIOCATMARK, SIOCGIFCONF, SIOCGIFNAME, SIOCGIFFLAGS,
	SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMTU, SIOCGSTAMP_OLD, SIOCGSTAMPNS_OLD,
};

/* personality(2): PER_LINUX, PER_LINUX32, each maybe with UNAME26, ADDR_NO_RANDOMIZE, and the query. */
static const uint32_t personalities[] = { 0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xffffffff };

/* Rules under construction: a failed allocation sticks. */
struct profile {
	struct seccomp_policy *p;
	bool failed;
};

static struct seccomp_rule *rule(struct profile *f, enum seccomp_act act, const char *names)
{
	struct seccomp_rule *r = seccomp_policy_add(f->p, act, names);

	f->failed |= !r;
	return r;
}

static void refuse(struct profile *f, uint32_t errno_ret, const char *names)
{
	struct seccomp_rule *r = rule(f, SECCOMP_ACT_ERRNO, names);

	if (r) {
		r->has_errno = true;
		r->errno_ret = errno_ret;
	}
}

static void allow(struct profile *f, const char *names)
{
	rule(f, SECCOMP_ACT_ALLOW, names);
}

/* Adds "(argument INDEX & MASK) == VALUE" to a rule, which is the one form that rubbish in unused bits does not fool. */
static void when(struct profile *f, struct seccomp_rule *r, uint32_t index, uint64_t mask, uint64_t value)
{
	f->failed |= !r || seccomp_rule_add_arg(r, index, SECCOMP_OP_MASKED_EQ, mask, value) < 0;
}

static void allow_when(struct profile *f, const char *names, uint32_t index, uint64_t mask, uint64_t value)
{
	when(f, rule(f, SECCOMP_ACT_ALLOW, names), index, mask, value);
}

static void refuse_when(struct profile *f, uint32_t errno_ret, const char *names, uint32_t index, uint64_t mask, uint64_t value)
{
	struct seccomp_rule *r = rule(f, SECCOMP_ACT_ERRNO, names);

	if (r) {
		r->has_errno = true;
		r->errno_ret = errno_ret;
	}
	when(f, r, index, mask, value);
}

static void processes(struct profile *f, const struct process_host *host)
{
	struct seccomp_rule *r;

	allow_when(f, "clone", 0, CLONE_NAMESPACES, 0);
	refuse(f, ENOSYS, "clone3 io_uring_setup io_uring_enter io_uring_register"); /* libc and libraries fall back */
	/* the caller itself only */
	allow_when(f, "prlimit64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler", 0, LOW32, 0);
	r = rule(f, SECCOMP_ACT_ALLOW, "setpriority");
	when(f, r, 0, LOW32, PRIO_PROCESS);
	when(f, r, 1, LOW32, 0);
	r = rule(f, SECCOMP_ACT_ALLOW, "ioprio_set");
	when(f, r, 0, LOW32, IOPRIO_PROCESS);
	when(f, r, 1, LOW32, 0);
	for (size_t i = 0; i < ARRAY_SIZE(personalities); i++)
		allow_when(f, "personality", 0, LOW32, personalities[i]);
	/* Without a control group the session is what tells the box's processes. */
	if (host->cgroup)
		allow(f, "setsid");
}

static void requests(struct profile *f, const struct process_policy *policy)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_requests); i++)
		refuse_when(f, EPERM, "ioctl", 1, LOW32, bad_requests[i]);
	for (size_t i = 0; i < ARRAY_SIZE(metadata_requests); i++)
		if (policy->allow & PROCESS_ALLOW_METADATA)
			allow_when(f, "ioctl", 1, LOW32, metadata_requests[i]);
		else
			refuse_when(f, EPERM, "ioctl", 1, LOW32, metadata_requests[i]);
	if (policy->devices) {
		allow(f, "ioctl"); /* which devices is Landlock's matter */
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ordinary_requests); i++)
		allow_when(f, "ioctl", 1, LOW32, ordinary_requests[i]);
	refuse(f, ENOTTY, "ioctl"); /* as a file answers that does not know the request */
}

static void opening(struct profile *f, const struct process_host *host)
{
	if (host->landlock >= 3) {
		allow(f, "open openat openat2 truncate");
		return;
	}
	/* Landlock before ABI 3 lets O_RDONLY | O_TRUNC cut a file that may only be read. */
	refuse_when(f, EACCES, "open", 1, O_ACCMODE | O_TRUNC, O_RDONLY | O_TRUNC);
	refuse_when(f, EACCES, "openat", 2, O_ACCMODE | O_TRUNC, O_RDONLY | O_TRUNC);
	allow(f, "open openat");
	refuse(f, ENOSYS, "openat2");
}

/* socket(FAMILY, TYPE [| flags], PROTOCOL) */
static void allow_socket(struct profile *f, uint32_t family, uint32_t type, uint32_t protocol)
{
	struct seccomp_rule *r = rule(f, SECCOMP_ACT_ALLOW, "socket");

	when(f, r, 0, LOW32, family);
	when(f, r, 1, LOW32 & ~SOCKET_FLAGS, type);
	when(f, r, 2, LOW32, protocol);
}

static void allow_inet(struct profile *f, uint32_t type, uint32_t protocol)
{
	static const uint32_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		allow_socket(f, families[i], type, 0);
		allow_socket(f, families[i], type, protocol);
	}
}

static void pairs(struct profile *f)
{
	static const uint32_t types[] = { SOCK_STREAM, SOCK_SEQPACKET };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct seccomp_rule *r = rule(f, SECCOMP_ACT_ALLOW, "socketpair");

		when(f, r, 0, LOW32, AF_UNIX);
		when(f, r, 1, LOW32 & ~SOCKET_FLAGS, types[i]);
	}
}

static void raw_sockets(struct profile *f)
{
	static const uint32_t families[] = { AF_INET, AF_INET6, AF_PACKET };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		for (uint32_t type = SOCK_DGRAM; type <= SOCK_RAW; type++) {
			struct seccomp_rule *r = rule(f, SECCOMP_ACT_ALLOW, "socket");

			when(f, r, 0, LOW32, families[i]);
			when(f, r, 1, LOW32 & ~SOCKET_FLAGS, type);
		}
}

/* A TCP socket that turns into another protocol's (SMC) is one to Landlock no more. */
static void upper_layers(struct profile *f)
{
	struct seccomp_rule *r = rule(f, SECCOMP_ACT_ERRNO, "setsockopt");

	if (r) {
		r->has_errno = true;
		r->errno_ret = EPERM;
	}
	when(f, r, 1, LOW32, IPPROTO_TCP);
	when(f, r, 2, LOW32, TCP_ULP);
	allow(f, "setsockopt");
}

static bool grants_any(const struct process_ports *ports)
{
	return ports->any || ports->n;
}

static void sockets(struct profile *f, const struct process_policy *policy)
{
	bool connects = grants_any(&policy->tcp_connect), binds = grants_any(&policy->tcp_bind);
	bool others = policy->allow & (PROCESS_ALLOW_UDP | PROCESS_ALLOW_UNIX | PROCESS_ALLOW_NETLINK | PROCESS_ALLOW_RAW);

	pairs(f);
	upper_layers(f);
	if (connects || binds)
		allow_inet(f, SOCK_STREAM, IPPROTO_TCP);
	if (policy->allow & PROCESS_ALLOW_UDP)
		allow_inet(f, SOCK_DGRAM, IPPROTO_UDP);
	if (policy->allow & PROCESS_ALLOW_RAW)
		raw_sockets(f);
	if (policy->allow & PROCESS_ALLOW_UNIX) {
		allow_when(f, "socket", 0, LOW32, AF_UNIX);
		allow_when(f, "socketpair", 0, LOW32, AF_UNIX);
	}
	if (policy->allow & PROCESS_ALLOW_NETLINK) {
		allow_socket(f, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
		allow_socket(f, AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
	}
	if (connects || others)
		allow(f, "connect");
	if (binds || others)
		allow(f, "bind");
	/* listen(2) without bind(2) takes a port that nobody granted. */
	if (binds || policy->allow & PROCESS_ALLOW_UNIX)
		allow(f, "listen accept accept4");
	allow_when(f, "sendto sendmmsg", 3, MSG_FASTOPEN, 0);
	allow_when(f, "sendmsg", 2, MSG_FASTOPEN, 0);
}

static int fill(struct profile *f, const struct process_policy *policy, const struct process_host *host)
{
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		allow(f, always[i]);
	for (size_t i = 0; i < ARRAY_SIZE(on_request); i++)
		if (policy->allow & on_request[i].allow)
			allow(f, on_request[i].names);
	processes(f, host);
	requests(f, policy);
	opening(f, host);
	sockets(f, policy);
	return f->failed ? -ENOMEM : 0;
}

struct seccomp_policy *process_profile(const struct process_policy *policy, const struct process_host *host)
{
	struct profile f = { calloc(1, sizeof(*f.p)) };

	if (!f.p)
		return NULL;
	f.p->default_act = SECCOMP_ACT_ERRNO;
	f.p->has_default_errno = true;
	f.p->default_errno = EPERM;
	f.p->in_order = true;
	if (fill(&f, policy, host) < 0) {
		seccomp_policy_free(f.p);
		return NULL;
	}
	return f.p;
}

void process_profile_describe(const struct process_policy *policy, const struct process_host *host,
			      char ret[PROCESS_PROFILE_DESCRIPTION])
{
	snprintf(ret, PROCESS_PROFILE_DESCRIPTION, "process: allow %#x devices %d connect %d bind %d landlock %d cgroup %d",
		 policy->allow, policy->devices != NULL, grants_any(&policy->tcp_connect), grants_any(&policy->tcp_bind),
		 host->landlock, host->cgroup);
}
