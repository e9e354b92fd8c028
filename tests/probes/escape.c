/*
 * Attempts to reach beyond a wall. `escape NAME [ARGUMENT]` makes one attempt and prints "done", or the errno's name when
 * it was refused; it exits 0 either way (2: unknown attempt). Every attempt succeeds for a program without a wall that
 * runs as the same user, which the tests check first.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MSG_FASTOPEN_ 0x20000000
#define IPPROTO_MPTCP_ 262

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

/* ---- files ---- */

static int opened(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int read_file(const char *path) { return opened(path, O_RDONLY); }
static int write_file(const char *path) { return opened(path, O_WRONLY); }
static int create_file(const char *path) { return opened(path, O_WRONLY | O_CREAT | O_EXCL); }
static int list_directory(const char *path) { return opened(path, O_RDONLY | O_DIRECTORY); }
static int make_directory(const char *path) { return result(mkdir(path, 0700)); }
static int make_device(const char *path) { return result(mknod(path, S_IFCHR | 0600, 0x103)); }
static int remove_file(const char *path) { return result(unlink(path)); }
static int cut_file(const char *path) { return result(truncate(path, 1)); }
static int cut_by_open(const char *path) { return opened(path, O_RDONLY | O_TRUNC); }
static int change_mode(const char *path) { return result(chmod(path, 0640)); }
static int change_owner(const char *path) { return result(chown(path, getuid(), getgid())); }
static int change_times(const char *path) { return result(utimensat(AT_FDCWD, path, NULL, 0)); }
static int set_attribute(const char *path) { return result(setxattr(path, "user.escape", "1", 1, 0)); }

static int rename_away(const char *path)
{
	char to[4096];

	snprintf(to, sizeof(to), "%s.renamed", path);
	return result(rename(path, to));
}

static int hard_link(const char *path)
{
	char to[4096];

	snprintf(to, sizeof(to), "%s.link", path);
	return result(link(path, to));
}

/* Through a descriptor that is open for reading only. */
static int change_mode_of_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : result(fchmod(fd, 0640));
}

static int change_times_of_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : result(futimens(fd, NULL));
}

static int set_flags_of_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), flags = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, _IOR('f', 1, long), &flags) < 0)
		return -errno;
	return result(ioctl(fd, _IOW('f', 2, long), &flags));
}

static int execute(const char *path)
{
	pid_t pid = vfork();
	static int failure;
	int status;

	if (pid == 0) {
		execl(path, path, (char *)NULL);
		failure = errno;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return -failure;
}

static int watch(const char *path)
{
	int fd = inotify_init1(IN_CLOEXEC);

	return fd < 0 ? -errno : result(inotify_add_watch(fd, path, IN_ALL_EVENTS));
}

static int open_handle(const char *path)
{
	struct {
		struct file_handle h;
		char space[128];
	} handle = { .h.handle_bytes = 128 };
	int id, fd = open("/", O_RDONLY | O_DIRECTORY | O_PATH), at = open("/tmp", O_RDONLY | O_DIRECTORY | O_PATH);

	(void)fd;
	if (name_to_handle_at(AT_FDCWD, path, &handle.h, &id, 0) < 0)
		return -errno;
	at = open("/", O_RDONLY | O_DIRECTORY);
	return result(open_by_handle_at(at, &handle.h, O_RDONLY));
}

static int change_root(const char *path) { return result(chroot(path)); }
static int mount_tmpfs(const char *path) { return result(mount("none", path, "tmpfs", 0, NULL)); }

/* ---- network ---- */

static struct sockaddr_in loopback(const char *port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int connect_with(int type, int protocol, const char *port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, type, protocol);

	return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

static int tcp_connect(const char *port) { return connect_with(SOCK_STREAM, 0, port); }
static int mptcp_connect(const char *port) { return connect_with(SOCK_STREAM, IPPROTO_MPTCP_, port); }

static int tcp_fast_open(const char *port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -errno : result(sendto(fd, "x", 1, MSG_FASTOPEN_, (struct sockaddr *)&a, sizeof(a)));
}

static int tcp_bind(const char *port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -errno : result(bind(fd, (struct sockaddr *)&a, sizeof(a)));
}

static int tcp_listen_unbound(const char *unused)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -errno : result(listen(fd, 1));
}

static int udp_send(const char *port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return fd < 0 ? -errno : result(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)));
}

static int make_socket(int family, int type, int protocol) { return result(socket(family, type, protocol)); }
static int raw_socket(const char *unused) { return make_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }
static int ping_socket(const char *unused) { return make_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP); }
static int packet_socket(const char *unused) { return make_socket(AF_PACKET, SOCK_RAW, 0); }
static int netlink_socket(const char *unused) { return make_socket(AF_NETLINK, SOCK_RAW, 0); }
static int netlink_rubbish(const char *unused)
{
	/* bits that the kernel does not look at must not fool a filter */
	return result(syscall(SYS_socket, 0xdeadbeef00000000ull | AF_NETLINK, 0xdeadbeef00000000ull | SOCK_RAW, 0));
}
static int vsock_socket(const char *unused) { return make_socket(AF_VSOCK, SOCK_STREAM, 0); }
static int crypto_socket(const char *unused) { return make_socket(AF_ALG, SOCK_SEQPACKET, 0); }

static int unix_connect(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

static int abstract_connect(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(a.sun_path + 1, name, sizeof(a.sun_path) - 2);
	return fd < 0 ? -errno
		      : result(connect(fd, (struct sockaddr *)&a,
				       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))));
}

/* One end of a datagram pair can send to any socket file. */
static int unix_send_from_pair(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int pair[2];

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0)
		return -errno;
	return result(sendto(pair[0], "x", 1, 0, (struct sockaddr *)&a, sizeof(a)));
}

/* ---- other processes ---- */

static int send_signal(const char *pid) { return result(kill(atoi(pid), SIGUSR1)); }
static int send_thread_signal(const char *pid) { return result(syscall(SYS_tgkill, atoi(pid), atoi(pid), SIGUSR1)); }

static int queue_signal(const char *pid)
{
	return result(sigqueue(atoi(pid), SIGUSR1, (union sigval){ .sival_int = 1 }));
}

static int pidfd_signal(const char *pid)
{
	int fd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);

	return fd < 0 ? -errno : result(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
}

static int steal_descriptor(const char *pid)
{
	int fd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);

	return fd < 0 ? -errno : result(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

static int attach(const char *pid)
{
	if (ptrace(PTRACE_SEIZE, atoi(pid), NULL, NULL) < 0)
		return -errno;
	return 0;
}

static int read_memory(const char *pid)
{
	char buf[8];
	struct iovec local = { buf, sizeof(buf) }, remote = { (void *)1, 8 };
	long r = process_vm_readv(atoi(pid), &local, 1, &remote, 1, 0);

	return r < 0 && errno != EFAULT ? -errno : 0; /* EFAULT: allowed, but nothing is there */
}

static int open_memory(const char *pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	return opened(path, O_RDWR);
}

static int read_environment(const char *pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/environ", pid);
	return opened(path, O_RDONLY);
}

static int list_processes(const char *unused) { return opened("/proc", O_RDONLY | O_DIRECTORY); }

static int limit_other(const char *pid)
{
	struct rlimit l;

	if (prlimit(atoi(pid), RLIMIT_CORE, NULL, &l) < 0)
		return -errno;
	l.rlim_cur = 0;
	return result(prlimit(atoi(pid), RLIMIT_CORE, &l, NULL));
}

static int renice_other(const char *pid) { return result(setpriority(PRIO_PROCESS, (id_t)atoi(pid), 5)); }
static int ioprio_other(const char *pid) { return result(syscall(SYS_ioprio_set, 1, atoi(pid), 2 << 13 | 7)); }

static int pin_other(const char *pid)
{
	cpu_set_t set;

	if (sched_getaffinity(atoi(pid), sizeof(set), &set) < 0)
		return -errno;
	return result(sched_setaffinity(atoi(pid), sizeof(set), &set));
}

/* ---- the kernel ---- */

static int user_namespace(const char *unused) { return result(unshare(CLONE_NEWUSER)); }
static int mount_namespace(const char *unused) { return result(unshare(CLONE_NEWNS)); }

static int cloned_user_namespace(const char *unused)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return -errno;
	waitpid((pid_t)pid, NULL, 0);
	return 0;
}

static int clone3_user_namespace(const char *unused)
{
	uint64_t args[8] = { CLONE_NEWUSER, 0, 0, 0, SIGCHLD };
	long pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return -errno;
	waitpid((pid_t)pid, NULL, 0);
	return 0;
}

static int enter_namespace(const char *unused)
{
	int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : result(setns(fd, CLONE_NEWUTS));
}

static int add_key(const char *unused) { return result(syscall(SYS_add_key, "user", "escape", "x", 1, -1)); }
static int use_keyctl(const char *unused) { return result(syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3, 1)); }

static int load_bpf(const char *unused)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	return result(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int use_io_uring(const char *unused)
{
	char params[256] = { 0 };

	return result(syscall(425, 4, params));
}

static int use_perf(const char *unused)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_TASK_CLOCK,
					.exclude_kernel = 1 };

	return result(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int use_userfaultfd(const char *unused) { return result(syscall(SYS_userfaultfd, 1 /* user mode only */)); }
static int new_filesystem(const char *unused) { return result(syscall(430 /* fsopen */, "tmpfs", 0)); }

static int shared_memory(const char *unused)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600);

	if (id < 0)
		return -errno;
	return result(shmctl(id, IPC_RMID, NULL));
}

static int message_queue(const char *unused)
{
	int id = msgget(IPC_PRIVATE, 0600);

	if (id < 0)
		return -errno;
	return result(msgctl(id, IPC_RMID, NULL));
}

static int posix_queue(const char *name)
{
	struct {
		long flags, maxmsg, msgsize, curmsgs, rest[4];
	} attr = { 0, 1, 8 };
	long fd = syscall(SYS_mq_open, name, O_RDWR | O_CREAT, 0600, &attr);

	if (fd < 0)
		return -errno;
	return result(syscall(SYS_mq_unlink, name));
}

static int leave_session(const char *unused)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(setsid() < 0 ? errno : 0);
	waitpid(pid, &status, 0);
	return -WEXITSTATUS(status);
}

static int type_into_terminal(const char *unused) { return result(ioctl(0, TIOCSTI, "#")); }

/* The same with a number whose upper half the kernel drops. */
static int type_with_rubbish(const char *unused) { return result(syscall(SYS_ioctl, 0, 0xdeadbeef00000000ull | TIOCSTI, "#")); }

/* getpid by the 32-bit gate and by the x32 numbers: other tables that a filter must not forget. */
static int gate_32(const char *unused)
{
	int r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	return r < 0 ? r : 0;
}

static int gain_privilege(const char *unused)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	int set = 0;

	while (f && fgets(line, sizeof(line), f))
		set |= strcmp(line, "NoNewPrivs:\t1\n") == 0;
	return !f ? -errno : set ? -EPERM : 0;
}

/* Descriptors beyond 0, 1, 2: none may be left to us. */
static int leaked_descriptors(const char *unused)
{
	for (int fd = 3; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 0;
	return -EBADF;
}

static int leaked_environment(const char *name) { return getenv(name) ? 0 : -ENOENT; }

static const struct {
	const char *name;
	int (*attempt)(const char *argument);
} attempts[] = {
	{ "read-file", read_file },
	{ "write-file", write_file },
	{ "create-file", create_file },
	{ "list-directory", list_directory },
	{ "make-directory", make_directory },
	{ "make-device", make_device },
	{ "remove-file", remove_file },
	{ "rename-file", rename_away },
	{ "hard-link", hard_link },
	{ "truncate", cut_file },
	{ "open-truncate", cut_by_open },
	{ "chmod", change_mode },
	{ "chown", change_owner },
	{ "utime", change_times },
	{ "setxattr", set_attribute },
	{ "fchmod", change_mode_of_open },
	{ "futimens", change_times_of_open },
	{ "set-flags", set_flags_of_open },
	{ "execute", execute },
	{ "inotify", watch },
	{ "open-by-handle", open_handle },
	{ "chroot", change_root },
	{ "mount", mount_tmpfs },
	{ "tcp-connect", tcp_connect },
	{ "mptcp-connect", mptcp_connect },
	{ "tcp-fastopen", tcp_fast_open },
	{ "tcp-bind", tcp_bind },
	{ "tcp-listen", tcp_listen_unbound },
	{ "udp", udp_send },
	{ "raw", raw_socket },
	{ "ping", ping_socket },
	{ "packet", packet_socket },
	{ "netlink", netlink_socket },
	{ "netlink-rubbish", netlink_rubbish },
	{ "vsock", vsock_socket },
	{ "alg", crypto_socket },
	{ "unix", unix_connect },
	{ "unix-pair", unix_send_from_pair },
	{ "abstract", abstract_connect },
	{ "kill", send_signal },
	{ "tgkill", send_thread_signal },
	{ "sigqueue", queue_signal },
	{ "pidfd-signal", pidfd_signal },
	{ "pidfd-getfd", steal_descriptor },
	{ "ptrace", attach },
	{ "vm-read", read_memory },
	{ "proc-mem", open_memory },
	{ "proc-environ", read_environment },
	{ "proc-list", list_processes },
	{ "prlimit", limit_other },
	{ "renice", renice_other },
	{ "ioprio", ioprio_other },
	{ "affinity", pin_other },
	{ "userns", user_namespace },
	{ "mountns", mount_namespace },
	{ "clone-userns", cloned_user_namespace },
	{ "clone3-userns", clone3_user_namespace },
	{ "setns", enter_namespace },
	{ "add-key", add_key },
	{ "keyctl", use_keyctl },
	{ "bpf", load_bpf },
	{ "io_uring", use_io_uring },
	{ "perf", use_perf },
	{ "userfaultfd", use_userfaultfd },
	{ "fsopen", new_filesystem },
	{ "shm", shared_memory },
	{ "msg", message_queue },
	{ "mq", posix_queue },
	{ "setsid", leave_session },
	{ "tiocsti", type_into_terminal },
	{ "tiocsti-rubbish", type_with_rubbish },
	{ "gate-32", gate_32 },
	{ "new-privileges", gain_privilege },
	{ "descriptors", leaked_descriptors },
	{ "environment", leaked_environment },
};

static void *sleep_long(void *seconds)
{
	sleep((unsigned)atoi(seconds));
	exit(0);
}

/* A process that goes on without its first thread. */
static int headless(char *seconds)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, sleep_long, seconds) != 0)
		return 1;
	pthread_exit(NULL);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "headless") == 0)
		return headless(argv[2]);
	if (strcmp(argv[1], "sleep") == 0) { /* somebody to attack */
		signal(SIGUSR1, SIG_IGN);
		puts("ready");
		fflush(stdout);
		sleep(argc > 2 ? (unsigned)atoi(argv[2]) : 600);
		return 0;
	}
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		int r;

		if (strcmp(argv[1], attempts[i].name) != 0)
			continue;
		r = attempts[i].attempt(argc > 2 ? argv[2] : "");
		puts(r < 0 ? strerrorname_np(-r) : "done");
		return 0;
	}
	fprintf(stderr, "escape: unknown attempt '%s'\n", argv[1]);
	return 2;
}
