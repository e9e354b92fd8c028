#include "jail/channel.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND 127

int channel_open(int ret_fds[2], struct error *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0)
		return error_sys(err, errno, "cannot make a socket pair");
	return 0;
}

static int send_packet(int channel, const void *data, size_t len, int fd)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		n = sendmsg(channel, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int channel_send(int channel, enum channel_message_type type, int code, int fd)
{
	struct channel_message m = { .type = type, .code = code };

	return send_packet(channel, &m, offsetof(struct channel_message, text), fd);
}

int channel_send_error(int channel, const struct error *err)
{
	struct channel_message m = { .type = CHANNEL_ERROR, .code = err->code, .exit_status = err->exit_status };

	memcpy(m.text, err->message, sizeof(m.text));
	m.text[sizeof(m.text) - 1] = 0;
	return send_packet(channel, &m, offsetof(struct channel_message, text) + strlen(m.text) + 1, -1);
}

int channel_receive(int channel, struct channel_message *ret, int *ret_fd)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t n;

	*ret_fd = -1;
	/* ECONNRESET tells, once, that the other side ended without hearing us; what it said before is still to come. */
	do
		n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	if ((size_t)n < offsetof(struct channel_message, text))
		return -EPROTO;
	((char *)ret)[n] = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return 1;
}

void channel_set_exec_status(int code, struct error *err)
{
	if (err)
		err->exit_status = code == ENOENT || code == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

int channel_error(const struct channel_message *m, struct error *err)
{
	int r;

	switch (m->type) {
	case CHANNEL_ERROR:
		r = error_set(err, m->code, "%s", m->text);
		if (err)
			err->exit_status = m->exit_status;
		return r;
	case CHANNEL_SYS_ERROR:
		return error_sys(err, m->code, "%s", m->text);
	case CHANNEL_EXEC_ERROR:
		r = error_sys(err, m->code, "%s", m->text);
		channel_set_exec_status(m->code, err);
		return r;
	default:
		return error_set(err, EPROTO, "unexpected message %u from the container's process", m->type);
	}
}
