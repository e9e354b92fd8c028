#include "host/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fdio.h"

/* INPUT as a file, so that nobody has to feed a pipe. */
static int input_file(const char *input)
{
	_cleanup_close_ int fd = -1;

	if (!input)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0 || fd_write_all(fd, input, strlen(input)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return take_fd(&fd);
}

static _noreturn_ void become(char *const *argv, int in, int out)
{
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

/* The last line that it printed. */
static void last_words(int out, char *buf, size_t size)
{
	off_t end = lseek(out, 0, SEEK_END);
	ssize_t n = pread(out, buf, size - 1, MAX(end - (off_t)size + 1, (off_t)0));
	char *line;

	buf[MAX(n, (ssize_t)0)] = 0;
	while (n > 0 && buf[n - 1] == '\n')
		buf[--n] = 0;
	line = strrchr(buf, '\n');
	if (line)
		memmove(buf, line + 1, strlen(line + 1) + 1);
}

int program_run(char *const *argv, const char *input, unsigned timeout_ms, const char *package, struct error *err)
{
	_cleanup_close_ int in = input_file(input), out = memfd_create("output", MFD_CLOEXEC), pidfd = -1;
	struct pollfd end = { .events = POLLIN };
	char words[400];
	int status, r;
	pid_t pid;

	if (in < 0 || out < 0)
		return error_sys(err, errno, "cannot start '%s'", argv[0]);
	pid = fork();
	if (pid < 0)
		return error_sys(err, errno, "cannot start '%s'", argv[0]);
	if (pid == 0)
		become(argv, in, out);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	end.fd = pidfd;
	do
		r = poll(&end, 1, (int)timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot wait for '%s'", argv[0]);
	if (r <= 0)
		return error_set(err, ETIMEDOUT, "'%s' did not end within %u ms", argv[0], timeout_ms);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_set(err, ENOENT, "'%s' is not installed; install it with: apt-get install %s", argv[0], package);
	last_words(out, words, sizeof(words));
	return error_set(err, EIO, "'%s' failed: %s", argv[0], words);
}
