/*
 * Paths inside a tree that a hostile workload may change while we look: every resolution starts at a directory
 * descriptor, stays below it (openat2(2), RESOLVE_IN_ROOT: absolute links and ".." end at that root) and never follows
 * the kernel's magic links. What is found is used by descriptor, never by name again.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Opens PATH inside the tree of ROOT_FD. FLAGS as for openat2(2), O_CLOEXEC added. The descriptor or a negative errno. */
int path_open(int root_fd, const char *path, int flags, mode_t mode);

/* Opens the absolute PATH in our own root, following links but the kernel's magic ones. The descriptor or a negative errno. */
int path_open_plain(const char *path, int flags);

/* As path_open() with O_PATH, to the last component itself when that is a symbolic link and NOFOLLOW. */
int path_lookup(int root_fd, const char *path, bool nofollow);

/* Makes the directory PATH and its missing parents (mode MODE), following links inside the tree: an O_PATH descriptor. */
int path_make_directory(int root_fd, const char *path, mode_t mode, struct error *err);

/* Makes an empty regular file at PATH unless something is there, parents too: an O_PATH descriptor. */
int path_make_file(int root_fd, const char *path, mode_t mode, struct error *err);

/* Opens the parent directory of PATH, made where missing. *RET_NAME points at the last component inside PATH.
 * -EINVAL when there is none ("/", ".."). */
int path_make_parent(int root_fd, const char *path, mode_t mode, const char **ret_name, struct error *err);

/* "/proc/self/fd/N", for the few calls that only take a path. */
struct fd_path {
	char s[32];
};
struct fd_path fd_path(int fd);
