#include "monitor/clients.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

enum { PATIENCE_MS = 10000 };

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

void clients_init(struct clients *c)
{
	c->listener = -1;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		c->v[i] = (struct client){ .fd = -1 };
}

int clients_listen(struct clients *c, struct error *err)
{
	static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = MONITOR_SOCKET };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	if (fd < 0)
		return error_sys(err, errno, "cannot make the attach socket");
	(void)unlink(MONITOR_SOCKET);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (r < 0 || listen(fd, 8) < 0)
		return error_sys(err, errno, "cannot listen on the attach socket");
	c->listener = take_fd(&fd);
	return 0;
}

void clients_add(struct clients *c, int fd)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (c->v[i].fd < 0) {
			c->v[i].fd = fd;
			return;
		}
	close(fd);
}

static void drop(struct client *client)
{
	client->fd = safe_close(client->fd);
	free(client->pending);
	client->pending = NULL;
	client->blocked_since = 0;
}

void clients_close(struct clients *c)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		drop(&c->v[i]);
	c->listener = safe_close(c->listener);
	(void)unlink(MONITOR_SOCKET);
}

bool clients_blocked(const struct clients *c)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (c->v[i].blocked_since)
			return true;
	return false;
}

/* Only the box's owner and root may attach, whatever the modes of the directories above say. */
static void accept_client(struct clients *c)
{
	_cleanup_close_ int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	if (peer.uid == 0 || peer.uid == geteuid())
		clients_add(c, take_fd(&fd));
}

static void keep_for_later(struct client *client, const char *packet, size_t len)
{
	if (!client->pending)
		client->pending = malloc(MONITOR_PACKET_MAX);
	if (!client->pending) {
		drop(client);
		return;
	}
	memcpy(client->pending, packet, len);
	client->pending_len = len;
	client->blocked_since = now_ms();
}

void clients_send(struct clients *c, char type, const char *data, size_t len)
{
	char packet[MONITOR_PACKET_MAX];

	len = MIN(len, sizeof(packet) - 1);
	packet[0] = type;
	memcpy(packet + 1, data, len);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (c->v[i].fd < 0)
			continue;
		if (send(c->v[i].fd, packet, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS)
			keep_for_later(&c->v[i], packet, len + 1);
		else
			drop(&c->v[i]);
	}
}

size_t clients_poll(const struct clients *c, struct pollfd *fds, bool read)
{
	size_t n = 0;

	fds[n++] = (struct pollfd){ .fd = c->listener, .events = POLLIN };
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (c->v[i].fd >= 0)
			fds[n++] = (struct pollfd){
				.fd = c->v[i].fd,
				.events = (short)((read ? POLLIN : 0) | (c->v[i].blocked_since ? POLLOUT : 0)),
			};
	return n;
}

static void retry(struct client *client)
{
	if (send(client->fd, client->pending, client->pending_len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		client->blocked_since = 0;
	else if (errno != EAGAIN && errno != ENOBUFS)
		drop(client);
}

static void receive(struct client *client, const struct clients_handler *h)
{
	char packet[MONITOR_PACKET_MAX];
	ssize_t n = recv(client->fd, packet, sizeof(packet), MSG_DONTWAIT);
	struct monitor_resize size;

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			drop(client);
		return;
	}
	switch (packet[0]) {
	case MONITOR_STDIN:
		h->input(h->data, packet + 1, (size_t)n - 1);
		break;
	case MONITOR_EOF:
		h->end_of_input(h->data);
		break;
	case MONITOR_RESIZE:
		if ((size_t)n == 1 + sizeof(size)) {
			memcpy(&size, packet + 1, sizeof(size));
			h->resize(h->data, &size);
		}
		break;
	default:
		drop(client);
	}
}

static struct client *find(struct clients *c, int fd)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (c->v[i].fd == fd)
			return &c->v[i];
	return NULL;
}

void clients_dispatch(struct clients *c, const struct pollfd *fds, size_t n, const struct clients_handler *handler)
{
	for (size_t i = 1; i < n; i++) {
		struct client *client = find(c, fds[i].fd);

		if (client && client->fd >= 0 && (fds[i].revents & POLLOUT) && client->blocked_since)
			retry(client);
		if (client && client->fd >= 0 && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
			receive(client, handler);
	}
	if (fds[0].revents & POLLIN)
		accept_client(c);
}

int clients_expire(struct clients *c)
{
	uint64_t now = now_ms();
	int next = -1;

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (!c->v[i].blocked_since)
			continue;
		if (now - c->v[i].blocked_since >= PATIENCE_MS)
			drop(&c->v[i]);
		else
			next = MAX(next, (int)(PATIENCE_MS - (now - c->v[i].blocked_since)));
	}
	return next;
}
