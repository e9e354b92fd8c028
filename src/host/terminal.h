/* Pseudo-terminals, pty(7). */
#pragma once

#include <sys/types.h>

#include "base/error.h"

struct terminal {
	int master, slave; /* owned; -1: none */
	char name[32];     /* "/dev/pts/N" as the terminal's own devpts has it */
};

#define TERMINAL_INIT ((struct terminal){ .master = -1, .slave = -1 })
void terminal_close(struct terminal *t);

/*
 * Makes a terminal in the devpts that is mounted at /dev/pts of the tree ROOT_FD, after a look that it is one. The slave is
 * opened through the master, not by a name that could have been changed (CVE-2025-52565).
 */
int terminal_open(int root_fd, struct terminal *ret, struct error *err);

/* Characters; 0 leaves the size alone. */
int terminal_set_size(int fd, unsigned short columns, unsigned short rows);

/* Gives terminal TO the size of FROM, which may also be no terminal: then nothing is done. */
int terminal_copy_size(int from, int to);

/* Sends FD with DATA (a name) over the connected unix socket SOCK, as --console-socket and --pidfd-socket want it. */
int socket_send_fd(int sock, int fd, const char *data, struct error *err);

/* Connects to the unix socket PATH, of any length. The descriptor or a negative errno. */
int socket_connect(int dir_fd, const char *path, int type, struct error *err);
