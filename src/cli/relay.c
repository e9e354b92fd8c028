#include "cli/relay.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/fdio.h"

static struct termios saved_terminal;
static bool terminal_is_raw;

/* All signals but those that tell of our own faults, or that concern nobody else. */
static void forwarded_signals(sigset_t *set)
{
	static const int ours[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT, SIGURG, SIGTTOU, SIGTTIN };

	sigfillset(set);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		sigdelset(set, ours[i]);
}

int relay_prepare(bool subreaper, struct error *err)
{
	sigset_t set;

	forwarded_signals(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return error_sys(err, errno, "cannot block signals");
	if (subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return error_sys(err, errno, "cannot become the reaper of orphans");
	return 0;
}

void relay_restore_terminal(void)
{
	if (terminal_is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_terminal);
	terminal_is_raw = false;
}

int relay_raw_terminal(struct error *err)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO))
		return 0;
	if (tcgetattr(STDIN_FILENO, &saved_terminal) < 0)
		return error_sys(err, errno, "cannot read the terminal's settings");
	raw = saved_terminal;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return error_sys(err, errno, "cannot change the terminal's settings");
	terminal_is_raw = true;
	return 0;
}

static void copy_window_size(int terminal)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		(void)ioctl(terminal, TIOCSWINSZ, &size);
}

/* Our terminal (or what stands for it) and the workload's, and what was typed but not yet taken. */
struct link {
	int terminal;      /* master side; -1: none, or at its end */
	bool input;        /* standard input may still give something */
	char typed[16384];
	size_t n_typed;
};

/* Output first: a workload that waits for its output to be read takes no input, so nothing here may wait for it. */
static void pass_output(struct link *l)
{
	char buf[16384];
	ssize_t n = read(l->terminal, buf, sizeof(buf));

	if (n > 0 ? fd_write_all(STDOUT_FILENO, buf, (size_t)n) < 0 : n == 0 || (errno != EINTR && errno != EAGAIN))
		l->terminal = -1;
}

static void pass_typed(struct link *l)
{
	ssize_t n = write(l->terminal, l->typed, l->n_typed);

	if (n < 0 && errno != EINTR && errno != EAGAIN)
		n = (ssize_t)l->n_typed;
	if (n > 0) {
		l->n_typed -= (size_t)n;
		memmove(l->typed, l->typed + n, l->n_typed);
	}
}

static void read_typed(struct link *l)
{
	ssize_t n = read(STDIN_FILENO, l->typed, sizeof(l->typed));

	if (n > 0)
		l->n_typed = (size_t)n;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		l->input = false;
}

/* Reaps whatever ended; true when PID was among it. */
static bool reap(pid_t pid, int *ret_status)
{
	bool found = false;
	int status;
	pid_t child;

	while ((child = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
		if (child == pid) {
			*ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			found = true;
		}
	return found;
}

static void pass_signal(const struct started *started, int signal)
{
	if (signal == SIGCHLD || signal == SIGPIPE)
		return;
	if (signal == SIGWINCH && started->terminal >= 0) {
		copy_window_size(started->terminal);
		return;
	}
	if (started->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, started->pidfd, signal, NULL, 0);
	else
		(void)kill(started->pid, signal);
}

int relay_wait(const struct started *started, int *ret_status, struct error *err)
{
	_cleanup_close_ int signals = -1;
	struct link link = { .terminal = started->terminal, .input = started->terminal >= 0 };
	bool ended = false;
	sigset_t set;
	int r = 0;

	forwarded_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return error_sys(err, errno, "cannot wait for signals");
	if (link.terminal >= 0) {
		r = relay_raw_terminal(err);
		if (r < 0)
			return r;
		copy_window_size(link.terminal);
		(void)fcntl(link.terminal, F_SETFL, O_NONBLOCK);
	}
	ended = reap(started->pid, ret_status);
	while (!ended) {
		struct pollfd fds[] = {
			{ .fd = signals, .events = POLLIN },
			{ .fd = link.terminal, .events = (short)(POLLIN | (link.n_typed ? POLLOUT : 0)) },
			{ .fd = link.input && !link.n_typed && link.terminal >= 0 ? STDIN_FILENO : -1, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
			if (errno == EINTR)
				continue;
			r = error_sys(err, errno, "cannot wait for the workload");
			break;
		}
		if (fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			pass_output(&link);
		if ((fds[1].revents & POLLOUT) && link.terminal >= 0)
			pass_typed(&link);
		if (fds[2].revents)
			read_typed(&link);
		if (fds[0].revents) {
			struct signalfd_siginfo info;

			while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
				pass_signal(started, (int)info.ssi_signo);
			ended = reap(started->pid, ret_status);
		}
	}
	/* What the workload wrote last is still in the terminal's buffer. */
	while (link.terminal >= 0) {
		struct pollfd more = { .fd = link.terminal, .events = POLLIN };

		if (poll(&more, 1, 0) <= 0 || !(more.revents & POLLIN))
			break;
		pass_output(&link);
	}
	relay_restore_terminal();
	return r;
}
