/*
 * Mounts by descriptor: fsopen(2), fsmount(2), open_tree(2), mount_setattr(2), move_mount(2). A mount is made detached,
 * finished, and attached in one step to a target that was resolved before, so nobody can put a link in between.
 * Where the kernel (or a filter around us) lacks a call, mount(2) on /proc/self/fd does the same.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A new file system of TYPE as a detached mount. DATA: comma-separated options ("size=64k,mode=755") or NULL; SB_FLAGS:
 * MS_RDONLY, MS_SYNCHRONOUS... of the superblock; ATTRS: MOUNT_ATTR_... The descriptor or a negative errno, with what the
 * file system itself says.
 */
int mount_new(const char *type, const char *source, const char *data, unsigned long sb_flags, uint64_t attrs,
	      struct error *err);

/* Whether mount_new() can take DATA (fsconfig(2) limits a value to 255 bytes). */
bool mount_new_takes(const char *data);

/* mount(2) onto a descriptor. */
int mount_classic(const char *type, const char *source, int target_fd, unsigned long flags, const char *data, struct error *err);

/* A detached copy of the mount at FD, with all below it when RECURSIVE. The descriptor or a negative errno. */
int mount_clone(int fd, bool recursive);

/* As mount_clone() of PATH in our own mount namespace. NOFOLLOW: a link itself is refused with -ELOOP. */
int mount_clone_path(const char *path, bool recursive, bool nofollow);

/* Sets and clears MOUNT_ATTR_... of the mount FD; PROPAGATION: MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE or 0. */
int mount_set(int fd, uint64_t set, uint64_t clear, unsigned long propagation, bool recursive);

/* Maps the ids of a detached mount through the user namespace USERNS_FD. */
int mount_set_idmap(int fd, int userns_fd, bool recursive);

/* Puts the detached mount FD onto the directory or file TARGET_FD. */
int mount_attach(int fd, int target_fd);

/* The same onto NAME in DIR_FD, which must be a directory that nobody else can change. */
int mount_attach_at(int fd, int dir_fd, const char *name);

/* The name a file system has in messages ("overlay", "nfs"): by statfs(2) type, "unknown (0x...)" else. Static storage. */
const char *mount_type_name(long fs_type);
