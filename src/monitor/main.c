/*
 * ringwall-monitor: the one process that stays with a detached box. It holds the workload's terminal or pipes, writes
 * the bounded log, serves those who attach, restarts the box by its policy, records how it ended and has it tidied away.
 * It is small on purpose, there is one for each such box: no JSON, no knowledge of walls; the ringwall program does the rest.
 *
 *	ringwall-monitor [OPTIONS] BOX-DIR ID RINGWALL [GLOBAL-OPTIONS]
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fdio.h"
#include "monitor/clients.h"
#include "monitor/launch.h"
#include "monitor/life.h"
#include "monitor/log_file.h"
#include "opt/options.h"

enum {
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MAX_MS = 60000,
	GOOD_RUN_MS = 10000, /* after a run of this length the back-off begins anew */
	INPUT_MAX = 65536,
	IDLE_MS = 1000, /* after this long without anything to do, memory is given back */
};

static struct {
	bool terminal, interactive, rm;
	const char *restart;
	struct option_number max_retries, log_max_size, log_max_files, ready_fd, client_fd;
} opt;

static const struct option options[] = {
	{ 't', "tty", OPTION_FLAG, &opt.terminal, NULL, "the workload has a terminal" },
	{ 'i', "interactive", OPTION_FLAG, &opt.interactive, NULL, "the workload has standard input" },
	{ 0, "rm", OPTION_FLAG, &opt.rm, NULL, "remove the box at its end" },
	{ 0, "restart", OPTION_STRING, &opt.restart, "no|on-failure|always|unless-stopped", "", .fallback = "no" },
	{ 0, "max-retries", OPTION_NUMBER, &opt.max_retries, "N", "for on-failure", .fallback = "0" },
	{ 0, "log-max-size", OPTION_SIZE, &opt.log_max_size, "BYTES", "of one log file", .fallback = "10m" },
	{ 0, "log-max-files", OPTION_NUMBER, &opt.log_max_files, "N", "log files kept", .fallback = "3" },
	{ 0, "ready-fd", OPTION_NUMBER, &opt.ready_fd, "FD", "closed, after a byte, when the workload runs", .fallback = "-1" },
	{ 0, "client-fd", OPTION_NUMBER, &opt.client_fd, "FD", "an already attached client", .fallback = "-1" },
	{ 0 },
};

static struct {
	struct launch launch;
	struct launched box;
	struct clients clients;
	struct log_file log;
	struct life_record life;
	int life_fd, signals, message_pipe[2];
	char input[INPUT_MAX]; /* typed, not yet taken by the workload */
	size_t input_len;
	bool input_ends, stop;
	unsigned backoff_ms, failures;
} m;

/* ---- what the workload writes ---- */

/* Moves what is there to the log and to the attached. 1: there may be more; 0: nothing now; -1: the end. */
static int pump(int fd, const char *stream, char type)
{
	char buf[MONITOR_PACKET_MAX - 1];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1; /* a terminal ends with EIO */
	if (n == 0)
		return -1;
	log_file_add(&m.log, stream, buf, (size_t)n);
	clients_send(&m.clients, type, buf, (size_t)n);
	return 1;
}

static void pump_output(int index)
{
	int *fd = m.box.terminal >= 0 ? &m.box.terminal : &m.box.output[index];

	if (pump(*fd, index ? "stderr" : "stdout", index ? MONITOR_STDERR : MONITOR_STDOUT) < 0)
		*fd = safe_close(*fd);
}

/* ---- what it is given to read ---- */

static int input_fd(void)
{
	return m.box.terminal >= 0 ? m.box.terminal : m.box.input;
}

static void flush_input(void)
{
	ssize_t n;

	if (m.input_len && input_fd() >= 0) {
		n = write(input_fd(), m.input, m.input_len);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			n = (ssize_t)m.input_len; /* nobody reads it any more */
		if (n > 0) {
			m.input_len -= (size_t)n;
			memmove(m.input, m.input + n, m.input_len);
		}
	}
	if (!m.input_len && m.input_ends && m.box.terminal < 0)
		m.box.input = safe_close(m.box.input);
}

static void on_input(void *data, const char *bytes, size_t len)
{
	if (input_fd() < 0)
		return;
	len = MIN(len, sizeof(m.input) - m.input_len);
	memcpy(m.input + m.input_len, bytes, len);
	m.input_len += len;
	flush_input();
}

static void on_end_of_input(void *data)
{
	m.input_ends = true;
	flush_input();
}

static void on_resize(void *data, const struct monitor_resize *size)
{
	struct winsize ws = { .ws_row = size->rows, .ws_col = size->columns };

	if (m.box.terminal >= 0)
		(void)ioctl(m.box.terminal, TIOCSWINSZ, &ws);
}

static const struct clients_handler handler = { NULL, on_input, on_end_of_input, on_resize };

/* ---- life and death ---- */

/* Lets those who are behind catch up, as long as they are worth waiting for. */
static void wait_for_clients(void)
{
		while (clients_blocked(&m.clients)) {
		struct pollfd fds[CLIENTS_MAX + 1];
		size_t n = clients_poll(&m.clients, fds, false);
		int timeout = clients_expire(&m.clients);

		if (timeout >= 0 && poll(fds, n, timeout) > 0)
			clients_dispatch(&m.clients, fds, n, &handler);
	}
}

/* The rest, after the workload's end; whoever else still holds the pipe is not waited for. */
static void drain(void)
{
	int fds[] = { m.box.terminal >= 0 ? m.box.terminal : m.box.output[0], m.box.output[1] };

	for (int i = 0; i < 2; i++)
		for (int rounds = 0; fds[i] >= 0 && rounds < 256; rounds++) {
			wait_for_clients();
			if (pump(fds[i], i ? "stderr" : "stdout", i ? MONITOR_STDERR : MONITOR_STDOUT) <= 0)
				break;
		}
}

/* Reaps; true when the workload's first process was among the dead. */
static bool reap(void)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == m.box.pid) {
			m.life.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			ended = true;
		}
	return ended;
}

static void on_signal(void)
{
	struct signalfd_siginfo info;

	while (read(m.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		m.stop = true;
		if (m.box.pid > 0)
			(void)kill(m.box.pid, (int)info.ssi_signo);
	}
}

/*
 * Gives back the pages of code and constants that are not used for now, a few hundred KiB: while nothing happens there is
 * one such process for each detached box. They come back from the page cache when they are needed.
 */
static void trim_memory(void)
{
	const ElfW(Phdr) *segment = (const ElfW(Phdr) *)getauxval(AT_PHDR);
	size_t n = getauxval(AT_PHNUM), page = getauxval(AT_PAGESZ);

	for (size_t i = 0; segment && i < n; i++) {
		uintptr_t begin = segment[i].p_vaddr & ~(page - 1), end = (segment[i].p_vaddr + segment[i].p_memsz + page - 1) & ~(page - 1);

		if (segment[i].p_type == PT_LOAD && !(segment[i].p_flags & PF_W))
			(void)madvise((void *)begin, end - begin, MADV_DONTNEED);
	}
}

/* Stands by the workload until it ends. */
static void attend(void)
{
	bool trimmed = false;

	while (!reap()) {
		struct pollfd fds[5 + CLIENTS_MAX + 1];
		bool blocked = clients_blocked(&m.clients);
		size_t n = 0, clients_at;
		int timeout = clients_expire(&m.clients), r;

		fds[n++] = (struct pollfd){ .fd = m.signals, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = blocked ? -1 : m.box.terminal, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = blocked ? -1 : m.box.output[0], .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = blocked ? -1 : m.box.output[1], .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = m.input_len ? input_fd() : -1, .events = POLLOUT };
		clients_at = n;
		n += clients_poll(&m.clients, fds + n, sizeof(m.input) - m.input_len >= MONITOR_PACKET_MAX);
		if (timeout < 0 && !trimmed)
			timeout = IDLE_MS;
		r = poll(fds, n, timeout);
		if (r == 0 && !blocked && !trimmed)
			trim_memory();
		trimmed = r == 0;
		if (r <= 0)
			continue;
		if (fds[0].revents)
			on_signal();
		if (fds[1].revents || fds[2].revents)
			pump_output(0);
		if (fds[3].revents && !clients_blocked(&m.clients))
			pump_output(1);
		if (fds[4].revents)
			flush_input();
		clients_dispatch(&m.clients, fds + clients_at, n - clients_at, &handler);
	}
	drain();
}

/* What ringwall had to say when it restarted or tidied the box is the only trace of a failure: into the log with it. */
static void log_messages(void)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(m.message_pipe[0], buf, sizeof(buf))) > 0)
		log_file_add(&m.log, "stderr", buf, (size_t)n);
}

static bool stopped_by_user(void)
{
	return m.stop || access(MONITOR_STOPPED, F_OK) == 0;
}

static bool wants_restart(void)
{
	if (stopped_by_user() || strcmp(opt.restart, "no") == 0)
		return false;
	if (strcmp(opt.restart, "on-failure") == 0)
		return m.life.status != 0 && (opt.max_retries.v == 0 || m.life.restarts < (uint64_t)opt.max_retries.v);
	return true;
}

/* Waits before a restart, attached people and signals served; false when told to stop meanwhile. */
static bool back_off(void)
{
	struct timespec begin, now;
	int64_t left = m.backoff_ms;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	while (left > 0 && !stopped_by_user()) {
		struct pollfd fds[CLIENTS_MAX + 2] = { { .fd = m.signals, .events = POLLIN } };
		size_t n = 1 + clients_poll(&m.clients, fds + 1, true);

		if (poll(fds, n, (int)MIN(left, (int64_t)250)) > 0) {
			if (fds[0].revents)
				on_signal();
			clients_dispatch(&m.clients, fds + 1, n - 1, &handler);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = (int64_t)m.backoff_ms - (now.tv_sec - begin.tv_sec) * 1000 - (now.tv_nsec - begin.tv_nsec) / 1000000;
	}
	m.backoff_ms = MIN(m.backoff_ms * 2, (unsigned)BACKOFF_MAX_MS);
	return !stopped_by_user();
}

static int launch(struct error *err)
{
	int status = 125, r;

	m.input_len = 0;
	m.input_ends = false;
	r = launch_box(&m.launch, &m.box, &status, err);
	m.life.started = life_now();
	if (r < 0) {
		m.life.status = status;
		m.life.finished = m.life.started;
		(void)life_write(m.life_fd, &m.life);
	}
	return r;
}

static void tidy(const char *argument)
{
	(void)launch_verb(&m.launch, "box-clean", argument);
	log_messages();
}

/* One run of the workload after another, by the restart policy. */
static void supervise(void)
{
	struct error err = ERROR_INIT;

	for (;;) {
		attend();
		m.life.finished = life_now();
		(void)life_write(m.life_fd, &m.life);
		launched_close(&m.box);
		m.box = LAUNCHED_INIT;
		if (m.life.finished - m.life.started > GOOD_RUN_MS * 1000000LL)
			m.backoff_ms = BACKOFF_FIRST_MS;
		if (!wants_restart())
			return;
		tidy(NULL);
		do {
			if (!back_off())
				return;
			m.life.restarts++;
			log_messages();
		} while (launch(&err) < 0 && wants_restart());
		log_messages();
		if (m.box.pid <= 0)
			return;
	}
}

static void finish(void)
{
	char status[16];
	int n = snprintf(status, sizeof(status), "%d", m.life.status);

	tidy(opt.rm ? "--rm" : NULL);
	m.life_fd = safe_close(m.life_fd); /* whoever is told of the end may remove or start the box at once */
	wait_for_clients();
	clients_send(&m.clients, MONITOR_EXITED, status, (size_t)n);
	clients_close(&m.clients);
	log_file_close(&m.log);
}

/* Tells whoever started us that the workload runs, and lets go of their terminal. */
static int settle(void)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (pipe2(m.message_pipe, O_CLOEXEC | O_NONBLOCK) < 0 || null < 0)
		return -errno;
	m.launch.error_fd = m.message_pipe[1];
	for (int i = 0; i < 3; i++)
		(void)dup2(null, i);
	if (opt.ready_fd.v >= 0) {
		(void)fd_write_all((int)opt.ready_fd.v, "1", 1);
		close((int)opt.ready_fd.v);
	}
	return 0;
}

static int prepare(char **operands, struct error *err)
{
	sigset_t set;
	int r;

	if (chdir(operands[0]) < 0)
		return error_sys(err, errno, "cannot enter '%s'", operands[0]);
	umask(077);
	m.launch = (struct launch){ .ringwall = operands + 2, .id = operands[1], .terminal = opt.terminal,
				    .interactive = opt.interactive, .error_fd = STDERR_FILENO };
	m.box = LAUNCHED_INIT;
	m.backoff_ms = BACKOFF_FIRST_MS;
	m.log = LOG_FILE_INIT;
	m.message_pipe[0] = m.message_pipe[1] = -1;
	clients_init(&m.clients);
	m.life_fd = life_take(AT_FDCWD, err);
	if (m.life_fd < 0)
		return m.life_fd;
	(void)unlink(MONITOR_STOPPED);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	m.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m.signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return error_sys(err, errno, "cannot become the box's monitor");
	r = log_file_open(&m.log, AT_FDCWD, (uint64_t)MAX(opt.log_max_size.v, (int64_t)4096),
			  (unsigned)MAX(MIN(opt.log_max_files.v, (int64_t)100), (int64_t)1), err);
	if (r == 0)
		r = clients_listen(&m.clients, err);
	if (r == 0 && opt.client_fd.v >= 0) {
		(void)fcntl((int)opt.client_fd.v, F_SETFD, FD_CLOEXEC);
		clients_add(&m.clients, (int)opt.client_fd.v);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	char **operands;
	int r;

	r = options_defaults(options, &err);
	if (r == 0)
		r = options_parse(options, NULL, true, argv + 1, &operands, &err);
	if (r == 0 && (!operands[0] || !operands[1] || !operands[2]))
		r = error_set(&err, EINVAL, "usage: ringwall-monitor [OPTIONS] BOX-DIR ID RINGWALL [GLOBAL-OPTIONS]");
	if (r == 0 && opt.ready_fd.v >= 0)
		(void)fcntl((int)opt.ready_fd.v, F_SETFD, FD_CLOEXEC);
	if (r == 0)
		r = prepare(operands, &err);
	if (r < 0) {
		dprintf(STDERR_FILENO, "ringwall-monitor: %s\n", err.message);
		return 125;
	}
	if (launch(&err) < 0) { /* ringwall has told why */
		m.launch.error_fd = STDERR_FILENO;
		(void)launch_verb(&m.launch, "box-clean", opt.rm ? "--rm" : NULL);
		clients_close(&m.clients);
		return m.life.status;
	}
	if (settle() == 0)
		supervise();
	finish();
	return 0;
}
