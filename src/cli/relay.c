#include "cli/relay.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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

/* Moves what can be read without waiting. 0 at end of file, else 1. */
static int pump(int from, int to)
{
	char buf[16384];
	ssize_t n = read(from, buf, sizeof(buf));

	if (n > 0)
		return fd_write_all(to, buf, (size_t)n) < 0 ? 0 : 1;
	return n < 0 && (errno == EINTR || errno == EAGAIN) ? 1 : 0;
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
	int terminal = started->terminal, r = 0;
	bool input = terminal >= 0, ended = false;
	sigset_t set;

	forwarded_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return error_sys(err, errno, "cannot wait for signals");
	if (terminal >= 0) {
		r = relay_raw_terminal(err);
		if (r < 0)
			return r;
		copy_window_size(terminal);
	}
	ended = reap(started->pid, ret_status);
	while (!ended) {
		struct pollfd fds[] = {
			{ .fd = signals, .events = POLLIN },
			{ .fd = terminal, .events = POLLIN },
			{ .fd = input ? STDIN_FILENO : -1, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
			if (errno == EINTR)
				continue;
			r = error_sys(err, errno, "cannot wait for the workload");
			break;
		}
		if (fds[1].revents && pump(terminal, STDOUT_FILENO) == 0)
			terminal = -1;
		if (fds[2].revents && pump(STDIN_FILENO, started->terminal) == 0)
			input = false;
		if (fds[0].revents) {
			struct signalfd_siginfo info;

			while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
				pass_signal(started, (int)info.ssi_signo);
			ended = reap(started->pid, ret_status);
		}
	}
	/* What the workload wrote last is still in the terminal's buffer. */
	if (terminal >= 0) {
		(void)fcntl(terminal, F_SETFL, O_NONBLOCK);
		for (;;) {
			char buf[4096];
			ssize_t n = read(terminal, buf, sizeof(buf));

			if (n <= 0 || fd_write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
				break;
		}
	}
	relay_restore_terminal();
	return r;
}
