#include "monitor/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "monitor/protocol.h"

enum { ARGUMENTS_MAX = 64 };

/* The command line of ringwall with VERB and up to two arguments (NULL: none). */
static int command_line(const struct launch *l, const char *verb, const char *a, const char *b, char **argv)
{
	const char *more[] = { verb, a, b };
	size_t n = 0;

	while (l->ringwall[n]) {
		if (n + ARRAY_SIZE(more) + 1 >= ARGUMENTS_MAX)
			return -E2BIG;
		argv[n] = l->ringwall[n];
		n++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		if (more[i])
			argv[n++] = (char *)more[i];
	argv[n] = NULL;
	return 0;
}

/* In the child: FDS[i] becomes descriptor i (-1: /dev/null), and no other is left. */
static _noreturn_ void become(char **argv, const int *fds, size_t n)
{
	int copies[8];
	sigset_t none;

	for (size_t i = 0; i < n; i++) {
		int fd = fds[i] >= 0 ? fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);

		copies[i] = fcntl(fd, F_DUPFD_CLOEXEC, 64);
		if (copies[i] < 0)
			_exit(125);
	}
	for (size_t i = 0; i < n; i++)
		if (dup2(copies[i], (int)i) < 0)
			_exit(125);
	(void)close_range((unsigned)n, ~0u, 0);
	(void)signal(SIGPIPE, SIG_DFL); /* ours is ignored, and would be the workload's */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execv(argv[0], argv);
	_exit(125);
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int launch_verb(const struct launch *l, const char *verb, const char *argument)
{
	char *argv[ARGUMENTS_MAX];
	int fds[] = { -1, -1, l->error_fd };
	int r = command_line(l, verb, argument ? argument : l->id, argument ? l->id : NULL, argv);
	pid_t pid;

	if (r < 0)
		return r;
	pid = vfork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(argv, fds, ARRAY_SIZE(fds));
	return wait_for(pid);
}

static int receive_reply(int fd, struct launched *ret, struct error *err)
{
	struct launch_reply reply;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &reply, sizeof(reply) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(reply))
		return error_set(err, EIO, "the box could not be started");
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&ret->terminal, CMSG_DATA(c), sizeof(int));
	ret->pid = reply.pid;
	return 0;
}

void launched_close(struct launched *l)
{
	l->input = safe_close(l->input);
	l->output[0] = safe_close(l->output[0]);
	l->output[1] = safe_close(l->output[1]);
	l->terminal = safe_close(l->terminal);
}

struct plumbing { /* ends of pipes: THEIRS become the workload's 0, 1, 2 */
	int theirs[3], reply[2];
};

static void plumbing_close(struct plumbing *p)
{
	for (size_t i = 0; i < 3; i++)
		p->theirs[i] = safe_close(p->theirs[i]);
	p->reply[0] = safe_close(p->reply[0]);
	p->reply[1] = safe_close(p->reply[1]);
}

static int make_plumbing(const struct launch *l, struct plumbing *p, struct launched *ours, struct error *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->reply) < 0)
		return error_sys(err, errno, "cannot make a socket");
	if (l->terminal)
		return 0;
	for (size_t i = 0; i < 2; i++) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return error_sys(err, errno, "cannot make a pipe");
		ours->output[i] = fds[0];
		p->theirs[1 + i] = fds[1];
		(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	}
	if (!l->interactive)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(err, errno, "cannot make a pipe");
	p->theirs[0] = fds[0];
	ours->input = fds[1];
	(void)fcntl(fds[1], F_SETFL, O_NONBLOCK);
	return 0;
}

int launch_box(const struct launch *l, struct launched *ret, int *ret_status, struct error *err)
{
	_cleanup_(plumbing_close) struct plumbing p = { { -1, -1, -1 }, { -1, -1 } };
	_cleanup_(launched_close) struct launched box = LAUNCHED_INIT;
	char *argv[ARGUMENTS_MAX];
	int r, status;
	pid_t pid;

	r = command_line(l, "box-launch", l->id, NULL, argv);
	if (r < 0)
		return error_sys(err, r, "cannot start the box");
	r = make_plumbing(l, &p, &box, err);
	if (r < 0)
		return r;
	pid = vfork();
	if (pid < 0)
		return error_sys(err, errno, "cannot start '%s'", argv[0]);
	if (pid == 0) {
		int fds[] = { -1, -1, l->error_fd, p.reply[1], p.theirs[0], p.theirs[1], p.theirs[2] };

		become(argv, fds, ARRAY_SIZE(fds));
	}
	p.reply[1] = safe_close(p.reply[1]);
	r = receive_reply(p.reply[0], &box, err);
	status = wait_for(pid);
	if (r < 0) {
		*ret_status = status > 0 ? status : 125;
		return r;
	}
	if (box.terminal >= 0)
		(void)fcntl(box.terminal, F_SETFL, O_NONBLOCK);
	*ret = box;
	box = LAUNCHED_INIT;
	return 0;
}
