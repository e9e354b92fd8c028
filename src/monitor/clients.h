/* Those who are attached to the box: they get what it writes, and one of them may type. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "monitor/protocol.h"

#define CLIENTS_MAX 16

struct client {
	int fd; /* -1: free slot */
	size_t pending_len; /* a message that did not fit yet */
	uint64_t blocked_since; /* ms, monotonic; 0: not blocked */
	char *pending; /* owned, MONITOR_PACKET_MAX bytes once needed */
};

struct clients {
	int listener;
	struct client v[CLIENTS_MAX];
};

/* What a client's message asks for. */
struct clients_handler {
	void *data;
	/* Bytes for the workload. */
	void (*input)(void *data, const char *bytes, size_t len);
	void (*end_of_input)(void *data);
	void (*resize)(void *data, const struct monitor_resize *size);
};

void clients_init(struct clients *c);
/* Listens on the attach socket in the current directory; only its owner and root get in. */
int clients_listen(struct clients *c, struct error *err);
/* Takes FD, an already connected client. */
void clients_add(struct clients *c, int fd);
void clients_close(struct clients *c);

/* Whether somebody is behind: the workload's output is then not read until he caught up or gave up. */
bool clients_blocked(const struct clients *c);
/* Sends a message of TYPE to all; at most MONITOR_PACKET_MAX - 1 bytes. Not while somebody is behind. */
void clients_send(struct clients *c, char type, const char *data, size_t len);

/* Fills in what to poll for, at most CLIENTS_MAX + 1 entries; the count. READ: whether input is wanted. */
size_t clients_poll(const struct clients *c, struct pollfd *fds, bool read);
/* Acts on what poll(2) found in the same entries. */
void clients_dispatch(struct clients *c, const struct pollfd *fds, size_t n, const struct clients_handler *handler);
/* Lets go of those who have been behind for too long; how many ms until the next could be (-1: nobody is behind). */
int clients_expire(struct clients *c);
