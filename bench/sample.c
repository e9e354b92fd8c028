/*
 * Runs commands one after the other and prints what they cost, all their descendants included:
 *
 *	sample [--stdout] COMMAND ARG... [+++ COMMAND ARG...]...
 *
 * One line: wall clock us, CPU us (user and system of every process that was started, daemons too: they become our
 * children and are waited for), the largest peak RSS of one process in KiB, and the first exit status that is not 0.
 * A static program, so that what the child inherits between vfork and exec is small.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int run(char **argv, int out)
{
	int status = 0;
	pid_t pid = vfork();

	if (pid == 0) {
		dup2(out, 1);
		dup2(out, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		return 126;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	int out = open("/dev/null", O_RDWR | O_CLOEXEC), first = 1, result = 0;
	struct rusage usage;
	long long began, wall;

	if (argc > 1 && !strcmp(argv[1], "--stdout")) {
		out = fcntl(1, F_DUPFD_CLOEXEC, 3);
		first = 2;
	}
	dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	began = now_us();
	while (first < argc) {
		int end = first, status;

		while (end < argc && strcmp(argv[end], "+++") != 0)
			end++;
		argv[end] = NULL;
		status = run(argv + first, out);
		if (!result)
			result = status;
		first = end + 1;
	}
	wall = now_us() - began;
	/* Whatever still runs in the background must end by itself now; what does not is not counted but killed. */
	signal(SIGALRM, SIG_DFL);
	alarm(60);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	getrusage(RUSAGE_CHILDREN, &usage);
	printf("%lld %lld %ld %d\n", wall,
	       (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec,
	       usage.ru_maxrss, result);
	return 0;
}
