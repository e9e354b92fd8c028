/* Sockets: only what a preopened listener leads to. */
#include <string.h>
#include <sys/socket.h>

#include "wasm/wasi/internal.h"

#define GET(rights_)                                                                                                   \
	struct wasi_fd *f;                                                                                             \
	enum wasi_errno get_e_ = wasi_get_fd(c->w, wasi_u32(c, 0), rights_, &f);                                       \
	if (get_e_)                                                                                                    \
		return get_e_;

static enum wasi_errno sock_accept(struct wasi_call *c)
{
	uint32_t flags = wasi_u32(c, 1), number;
	enum wasi_errno e;
	int fd;
	GET(WASI_RIGHT_SOCK_ACCEPT);

	if (flags & ~WASI_FDFLAGS_NONBLOCK)
		return WASI_EINVAL;
	do
		fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | (flags & WASI_FDFLAGS_NONBLOCK ? SOCK_NONBLOCK : 0));
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return wasi_from_errno(errno);
	e = wasi_add_fd(c->w,
			(struct wasi_fd){ .fd = fd, .type = WASI_FILETYPE_SOCKET_STREAM,
					  .rights = WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | WASI_RIGHT_POLL_FD_READWRITE |
						    WASI_RIGHT_SOCK_SHUTDOWN | WASI_RIGHT_FD_FDSTAT_SET_FLAGS |
						    WASI_RIGHT_FD_FILESTAT_GET },
			&number);
	return e ? e : wasi_put32(c, wasi_u32(c, 2), number);
}

static enum wasi_errno sock_recv(struct wasi_call *c)
{
	struct iovec iov[WASI_MAX_IOVECS];
	int n = wasi_iovecs(c, wasi_u32(c, 1), wasi_u32(c, 2), iov), flags = 0;
	uint32_t want = wasi_u32(c, 3);
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n > 0 ? (size_t)n : 0 };
	uint16_t out;
	enum wasi_errno e;
	ssize_t done;
	GET(WASI_RIGHT_FD_READ);

	if (n < 0)
		return (enum wasi_errno)-n;
	if (want & ~(WASI_RIFLAGS_PEEK | WASI_RIFLAGS_WAITALL))
		return WASI_EINVAL;
	flags |= want & WASI_RIFLAGS_PEEK ? MSG_PEEK : 0;
	flags |= want & WASI_RIFLAGS_WAITALL ? MSG_WAITALL : 0;
	do
		done = recvmsg(f->fd, &msg, flags | MSG_CMSG_CLOEXEC);
	while (done < 0 && errno == EINTR);
	if (done < 0)
		return wasi_from_errno(errno);
	out = msg.msg_flags & MSG_TRUNC ? WASI_ROFLAGS_DATA_TRUNCATED : 0;
	e = wasi_put32(c, wasi_u32(c, 4), (uint32_t)done);
	return e ? e : wasi_put(c, wasi_u32(c, 5), &out, sizeof(out));
}

static enum wasi_errno sock_send(struct wasi_call *c)
{
	struct iovec iov[WASI_MAX_IOVECS];
	int n = wasi_iovecs(c, wasi_u32(c, 1), wasi_u32(c, 2), iov);
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n > 0 ? (size_t)n : 0 };
	ssize_t done;
	GET(WASI_RIGHT_FD_WRITE);

	if (n < 0)
		return (enum wasi_errno)-n;
	if (wasi_u32(c, 3))
		return WASI_EINVAL;
	do
		done = sendmsg(f->fd, &msg, MSG_NOSIGNAL);
	while (done < 0 && errno == EINTR);
	return done < 0 ? wasi_from_errno(errno) : wasi_put32(c, wasi_u32(c, 4), (uint32_t)done);
}

static enum wasi_errno sock_shutdown(struct wasi_call *c)
{
	static const int how[] = { -1, SHUT_RD, SHUT_WR, SHUT_RDWR };
	uint32_t flags = wasi_u32(c, 1);
	GET(WASI_RIGHT_SOCK_SHUTDOWN);

	if (flags < 1 || flags > 3)
		return WASI_EINVAL;
	return shutdown(f->fd, how[flags]) < 0 ? wasi_from_errno(errno) : WASI_SUCCESS;
}

const struct wasi_entry wasi_socket_functions[] = {
	{ "sock_accept", "iii:i", sock_accept },
	{ "sock_recv", "iiiiii:i", sock_recv },
	{ "sock_send", "iiiii:i", sock_send },
	{ "sock_shutdown", "ii:i", sock_shutdown },
	{ NULL, NULL, NULL },
};
