/* Whole-file and whole-buffer I/O on descriptors. Everything opens O_CLOEXEC and retries EINTR. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Writes all LEN bytes: 0 or a negative errno. */
int fd_write_all(int fd, const void *data, size_t len);

/* Reads up to LEN bytes until end of file: the count or a negative errno. */
ssize_t fd_read_full(int fd, void *buf, size_t len);

/*
 * Reads the file PATH under DIRFD (or FD itself) whole, at most MAX bytes (-EFBIG past that), into an owned,
 * NUL-terminated buffer; RET_LEN may be NULL.
 */
int file_read_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len, struct error *err);
int fd_read_all(int fd, size_t max, char **ret, size_t *ret_len);

/* Writes DATA with one write(2), as sysfs, cgroup and proc files want it. Does not create. 0 or a negative errno. */
int file_write_at(int dirfd, const char *path, const char *data);

/* Replaces PATH under DIRFD by a new file of MODE, through a temporary name and rename(2). */
int file_replace_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err);

/* mkdir -p below DIRFD; existing directories are fine. */
int mkdir_parents_at(int dirfd, const char *path, mode_t mode);

/* Removes the tree PATH below DIRFD without following a link or crossing a mount point; a missing one is fine. */
int remove_tree_at(int dirfd, const char *path, struct error *err);
