/*
 * ringwall-init: the first process of a box that asked for one (--init). It starts the program it is given, passes on the
 * signals it gets, reaps orphans, and ends as the program did.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_text(const char *text)
{
	(void)!write(STDERR_FILENO, text, strlen(text));
}

static int start(char **argv, const sigset_t *old)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	/* A process group of its own, in the foreground, so that the terminal's signals reach it once. */
	if (setpgid(0, 0) == 0 && isatty(STDIN_FILENO)) {
		signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpid());
		signal(SIGTTOU, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, old, NULL);
	execvp(argv[0], argv);
	write_text("ringwall-init: cannot execute ");
	write_text(argv[0]);
	write_text(": ");
	write_text(strerror(errno));
	write_text("\n");
	_exit(errno == ENOENT ? 127 : 126);
}

int main(int argc, char **argv)
{
	sigset_t all, old;
	pid_t child;

	argv += argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
	if (!argv[0]) {
		write_text("usage: ringwall-init [--] PROGRAM [ARGUMENTS]\n");
		return 125;
	}
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	child = start(argv, &old);
	if (child < 0) {
		write_text("ringwall-init: cannot fork\n");
		return 125;
	}
	for (;;) {
		int signal = sigwaitinfo(&all, NULL), status;
		pid_t pid;

		if (signal < 0)
			continue;
		if (signal != SIGCHLD) {
			(void)kill(child, signal);
			continue;
		}
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == child)
				return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}
