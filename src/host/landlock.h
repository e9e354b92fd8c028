/*
 * Landlock (Documentation/userspace-api/landlock.rst): a process gives up access to files, TCP ports, abstract unix
 * sockets and signals for itself and its descendants, without privilege. The constants are the kernel's; Debian 12's
 * headers lack the newer ones.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* File system accesses, LANDLOCK_ACCESS_FS_... */
#define LANDLOCK_FS_EXECUTE (1ull << 0)
#define LANDLOCK_FS_WRITE_FILE (1ull << 1)
#define LANDLOCK_FS_READ_FILE (1ull << 2)
#define LANDLOCK_FS_READ_DIR (1ull << 3)
#define LANDLOCK_FS_REMOVE_DIR (1ull << 4)
#define LANDLOCK_FS_REMOVE_FILE (1ull << 5)
#define LANDLOCK_FS_MAKE_CHAR (1ull << 6)
#define LANDLOCK_FS_MAKE_DIR (1ull << 7)
#define LANDLOCK_FS_MAKE_REG (1ull << 8)
#define LANDLOCK_FS_MAKE_SOCK (1ull << 9)
#define LANDLOCK_FS_MAKE_FIFO (1ull << 10)
#define LANDLOCK_FS_MAKE_BLOCK (1ull << 11)
#define LANDLOCK_FS_MAKE_SYM (1ull << 12)
#define LANDLOCK_FS_REFER (1ull << 13)     /* ABI 2 */
#define LANDLOCK_FS_TRUNCATE (1ull << 14)  /* ABI 3 */
#define LANDLOCK_FS_IOCTL_DEV (1ull << 15) /* ABI 5 */

/* TCP ports, LANDLOCK_ACCESS_NET_...; ABI 4 */
#define LANDLOCK_NET_BIND_TCP (1ull << 0)
#define LANDLOCK_NET_CONNECT_TCP (1ull << 1)

/* LANDLOCK_SCOPE_...; ABI 6 */
#define LANDLOCK_SCOPED_ABSTRACT_UNIX (1ull << 0)
#define LANDLOCK_SCOPED_SIGNAL (1ull << 1)

/* What a box may do with a granted path. */
#define LANDLOCK_PATH_READ (LANDLOCK_FS_EXECUTE | LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR)
#define LANDLOCK_PATH_WRITE                                                                                            \
	(LANDLOCK_PATH_READ | LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_TRUNCATE | LANDLOCK_FS_REMOVE_DIR |                 \
	 LANDLOCK_FS_REMOVE_FILE | LANDLOCK_FS_MAKE_DIR | LANDLOCK_FS_MAKE_REG | LANDLOCK_FS_MAKE_SOCK |               \
	 LANDLOCK_FS_MAKE_FIFO | LANDLOCK_FS_MAKE_SYM | LANDLOCK_FS_REFER)
#define LANDLOCK_PATH_DEVICE (LANDLOCK_FS_READ_FILE | LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_READ_DIR | LANDLOCK_FS_IOCTL_DEV)

struct landlock_path {
	char *path; /* owned; absolute */
	uint64_t access;
	bool optional; /* a missing path is no error */
};

struct landlock_port {
	uint16_t port;
	uint64_t access;
};

struct landlock_rules {
	uint64_t handled_fs, handled_net, scoped; /* what is taken away, save for the grants below */
	struct landlock_path *paths;              /* owned */
	size_t n_paths;
	struct landlock_port *ports; /* owned */
	size_t n_ports;
	char *root; /* owned; paths are resolved with this directory as their root. NULL: the caller's own root */
};

/* The ABI version of the running kernel; 0: not compiled in, or not switched on at boot. */
int landlock_abi(void);

/* What ABI can restrict. */
uint64_t landlock_fs_of(int abi);
uint64_t landlock_net_of(int abi);
uint64_t landlock_scopes_of(int abi);

/* Grants ACCESS beneath PATH (a copy is taken), or to TCP port PORT. 0 or -ENOMEM. */
int landlock_grant_path(struct landlock_rules *rules, const char *path, uint64_t access, bool optional);
int landlock_grant_port(struct landlock_rules *rules, uint16_t port, uint64_t access);

/*
 * Makes the ruleset: a descriptor (O_CLOEXEC) or a negative errno. Paths are resolved now, in the caller's view, links
 * followed; accesses that make no sense for a path's type are left out. Accesses beyond the kernel's ABI are dropped
 * from what is handled and granted: the caller decides beforehand, with landlock_abi(), whether it can do without.
 */
int landlock_make_ruleset(const struct landlock_rules *rules, struct error *err);

/* Adds one more path, resolved in the caller's view now ("/proc/self" of a process that is about to be confined). */
int landlock_ruleset_add(int ruleset_fd, const char *path, uint64_t access, struct error *err);

/* Puts the calling thread, for ever, under RULESET_FD; sets no_new_privs. */
int landlock_enforce(int ruleset_fd, struct error *err);

void landlock_rules_free(struct landlock_rules *rules);

#define _cleanup_landlock_rules_ _cleanup_(landlock_rules_free)
