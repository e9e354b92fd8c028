/* The conversation between jail_spawn() and its child: a SOCK_SEQPACKET pair, one message a packet. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum channel_message_type {
	/* child to parent */
	CHANNEL_ERROR = 1,    /* `error` tells why the child gives up */
	CHANNEL_SYS_ERROR,    /* the same, strerror(`code`) is to be appended to `text` */
	CHANNEL_EXEC_ERROR,   /* the same, and the exit status follows from `code`: a program that cannot be run */
	CHANNEL_MOUNTED,      /* all is mounted: run before_pivot, answer with CHANNEL_GO */
	CHANNEL_TERMINAL,     /* carries the terminal's master */
	CHANNEL_PREPARED,     /* asks for what only the caller may do (limits), answer with CHANNEL_GO */
	CHANNEL_CLONED,       /* the process in between made the child `code`, whose pidfd comes with this */
	CHANNEL_READY,        /* waits at the gate */
	/* parent to child */
	CHANNEL_GO,
};

struct channel_message {
	uint32_t type;
	int32_t code;        /* CHANNEL_ERROR: errno; CHANNEL_GO: the child's pid as the caller sees it */
	int32_t exit_status; /* CHANNEL_ERROR: struct error's */
	char text[ERROR_MESSAGE_MAX];
};

int channel_open(int ret_fds[2], struct error *err);

/* Sends a message, with descriptor FD unless that is -1. 0 or a negative errno (-EPIPE: the other side is gone). */
int channel_send(int channel, enum channel_message_type type, int code, int fd);
int channel_send_error(int channel, const struct error *err);

/* The error that a message of one of the three kinds tells, or -EPROTO with a message about the message. */
int channel_error(const struct channel_message *m, struct error *err);

/* Docker's exit statuses for a program that cannot be run, into ERR. */
void channel_set_exec_status(int code, struct error *err);

/* The next message: 1, 0 when the other side closed, or a negative errno. *RET_FD: a descriptor that came with it, or -1. */
int channel_receive(int channel, struct channel_message *ret, int *ret_fd);
