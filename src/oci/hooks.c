#include "oci/hooks.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fdio.h"
#include "base/log.h"

#define OUTPUT_KEPT 512 /* bytes: the end of what a hook printed */

struct running {
	pid_t pid;
	int pidfd;
	int output;   /* read side of the hook's 1 and 2; -1 after end of file */
	bool deadline;
	struct timespec end; /* CLOCK_MONOTONIC */
	char tail[OUTPUT_KEPT + 1];
	size_t tail_len;
	char line[OUTPUT_KEPT + 3]; /* ": " and the tail, for messages */
};

/* --- in the child --- */

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Every descriptor above 2 closes at execve. Descriptors come in any numbers, so they move above 2 first. */
static int place_stdio(int input, int output)
{
	_cleanup_close_ int in = fcntl(input, F_DUPFD_CLOEXEC, 3);
	_cleanup_close_ int out = fcntl(output, F_DUPFD_CLOEXEC, 3);

	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		return -errno;
	return close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

static _noreturn_ void child(const struct oci_hook *hook, int input, int output, int failure)
{
	char *const only_path[] = { hook->path, NULL };
	char *const nothing[] = { NULL };
	int code;

	/* the report must survive the placing of 0, 1 and 2 */
	failure = fcntl(failure, F_DUPFD_CLOEXEC, 3);
	setpgid(0, 0);
	reset_signals();
	code = -place_stdio(input, output);
	if (code == 0) {
		execve(hook->path, hook->args && hook->args[0] ? hook->args : only_path, hook->env ? hook->env : nothing);
		code = errno;
	}
	fd_write_all(failure, &code, sizeof(code));
	_exit(127);
}

/* --- in the parent --- */

/* A sealed file: no hook can change what the next one reads, and a hook that does not read cannot block us. */
static int open_state(const char *state, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("state.json", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return error_sys(err, errno, "cannot create a file for the state");
	r = fd_write_all(fd, state, strlen(state));
	if (r == 0 && (lseek(fd, 0, SEEK_SET) < 0 ||
		       fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0))
		r = -errno;
	return r < 0 ? error_sys(err, r, "cannot write the state") : take_fd(&fd);
}

static void forget(struct running *run)
{
	run->pidfd = safe_close(run->pidfd);
	run->output = safe_close(run->output);
}

static int start(const struct oci_hook *hook, const char *state, struct running *run, struct error *err)
{
	_cleanup_close_ int input = open_state(state, err);
	int output[2], failure[2], code;
	ssize_t n;

	if (input < 0)
		return input;
	if (pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_sys(err, errno, "cannot create a pipe");
	if (pipe2(failure, O_CLOEXEC) < 0) {
		code = errno;
		close(output[0]);
		close(output[1]);
		return error_sys(err, code, "cannot create a pipe");
	}
	fcntl(output[1], F_SETFL, 0); /* ours is non-blocking, the hook's is not */
	run->pid = fork();
	code = run->pid < 0 ? errno : 0;
	if (run->pid == 0)
		child(hook, input, output[1], failure[1]);
	close(output[1]);
	close(failure[1]);
	run->output = output[0];
	if (code == 0) {
		do
			n = read(failure[0], &code, sizeof(code));
		while (n < 0 && errno == EINTR);
		if (n != sizeof(code))
			code = 0; /* end of file: execve succeeded */
		else
			waitpid(run->pid, NULL, 0);
	}
	close(failure[0]);
	if (code)
		return error_sys(err, code, "cannot be executed");
	return 0;
}

static void keep_tail(struct running *run, const char *data, size_t n)
{
	size_t keep;

	if (n > OUTPUT_KEPT) {
		data += n - OUTPUT_KEPT;
		n = OUTPUT_KEPT;
	}
	keep = MIN(run->tail_len, OUTPUT_KEPT - n);
	memmove(run->tail, run->tail + run->tail_len - keep, keep);
	memcpy(run->tail + keep, data, n);
	run->tail_len = keep + n;
}

/* Reads what there is, without waiting: a daemon that the hook left behind may hold the pipe open. */
static void read_output(struct running *run)
{
	char buf[4096];
	ssize_t n;

	while (run->output >= 0) {
		n = read(run->output, buf, sizeof(buf));
		if (n > 0)
			keep_tail(run, buf, (size_t)n);
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && errno == EAGAIN)
			return;
		else
			run->output = safe_close(run->output);
	}
}

/* Milliseconds until the deadline, rounded up; -1: there is none. */
static int time_left(const struct running *run)
{
	struct timespec now;
	int64_t ms;

	if (!run->deadline)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (run->end.tv_sec - now.tv_sec) * 1000 + (run->end.tv_nsec - now.tv_nsec + 999999) / 1000000;
	return ms < 0 ? 0 : (int)MIN(ms, (int64_t)INT_MAX);
}

/* 0 when the process ended, -ETIMEDOUT, or what poll said. */
static int wait_end(struct running *run)
{
	for (;;) {
		struct pollfd fds[] = { { .fd = run->pidfd, .events = POLLIN }, { .fd = run->output, .events = POLLIN } };
		int left = time_left(run), n = poll(fds, 2, left);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && left >= 0 && left < INT_MAX)
			return -ETIMEDOUT;
		if (n <= 0)
			continue;
		if (fds[1].revents)
			read_output(run);
		if (fds[0].revents)
			return 0;
	}
}

static int reap(pid_t pid, int *ret)
{
	while (waitpid(pid, ret, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* What the hook printed last, on one line: ": text", or nothing. */
static const char *last_words(struct running *run)
{
	size_t n = run->tail_len;

	while (n && strchr(" \t\r\n", run->tail[n - 1]))
		n--;
	if (!n)
		return "";
	for (size_t i = 0; i < n; i++)
		if (run->tail[i] == '\n' || run->tail[i] == 0)
			run->tail[i] = ' ';
	snprintf(run->line, sizeof(run->line), ": %.*s", (int)n, run->tail);
	return run->line;
}

static int conclude(struct running *run, int r, int64_t timeout, struct error *err)
{
	int status = 0, reaped;

	if (r < 0)
		kill(-run->pid, SIGKILL);
	reaped = reap(run->pid, &status);
	read_output(run);
	if (r == -ETIMEDOUT)
		return error_set(err, ETIMEDOUT, "was killed after its timeout of %lld s%s", (long long)timeout, last_words(run));
	if (r < 0 || reaped < 0)
		return error_sys(err, r < 0 ? r : reaped, "cannot be waited for");
	if (WIFSIGNALED(status))
		return error_set(err, ECANCELED, "was killed by signal %d%s", WTERMSIG(status), last_words(run));
	if (WEXITSTATUS(status))
		return error_set(err, ECANCELED, "ended with exit status %d%s", WEXITSTATUS(status), last_words(run));
	return 0;
}

static void set_deadline(struct running *run, int64_t timeout)
{
	run->deadline = timeout > 0;
	clock_gettime(CLOCK_MONOTONIC, &run->end);
	run->end.tv_sec += (time_t)MIN(timeout, (int64_t)INT_MAX);
}

static int run_one(const struct oci_hook *hook, const char *state, struct error *err)
{
	_cleanup_(forget) struct running run = { .pidfd = -1, .output = -1 };
	int r;

	set_deadline(&run, hook->timeout);
	r = start(hook, state, &run, err);
	if (r < 0)
		return r;
	run.pidfd = pidfd_open(run.pid, 0);
	r = run.pidfd < 0 ? -errno : wait_end(&run);
	return conclude(&run, r, hook->timeout, err);
}

int oci_hooks_run(const struct oci_hooks *hooks, const char *kind, const char *state, struct error *err)
{
	for (size_t i = 0; i < hooks->n; i++) {
		struct error why = ERROR_INIT;
		int r = run_one(&hooks->v[i], state, &why);

		if (r < 0)
			return error_set(err, why.code, "%s hook %zu, '%s', %s", kind, i, hooks->v[i].path, why.message);
	}
	return 0;
}

void oci_hooks_run_all(const struct oci_hooks *hooks, const char *kind, const char *state)
{
	for (size_t i = 0; i < hooks->n; i++) {
		struct error why = ERROR_INIT;

		if (run_one(&hooks->v[i], state, &why) < 0)
			log_warn("%s hook %zu, '%s', %s", kind, i, hooks->v[i].path, why.message);
	}
}
