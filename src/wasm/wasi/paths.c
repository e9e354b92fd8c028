/*
 * The path_ functions. Linux resolves only open(2) beneath a directory, so every other operation opens the parent of its
 * last component that way and works on that descriptor with the component alone, never following it.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wasm/wasi/filestat.h"
#include "wasm/wasi/internal.h"

static int open_beneath(int dir, const char *path, int flags, mode_t mode, bool follow)
{
	struct open_how how = { .flags = (uint64_t)(uint32_t)flags | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW), .mode = mode,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int fd;

	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: a rename raced with ".." */
	return fd;
}

/* Where an operation happens: the directory and the last component. */
struct place {
	int dir; /* owned */
	char path[WASI_MAX_PATH];
	const char *name;
	bool must_be_dir; /* a slash stood at the end */
};

static void cleanup_place(struct place *p)
{
	safe_close(p->dir);
}

static enum wasi_errno locate(struct wasi_call *c, unsigned fd_arg, unsigned path_arg, uint64_t rights, struct place *ret)
{
	struct wasi_fd *f;
	enum wasi_errno e = wasi_get_fd(c->w, wasi_u32(c, fd_arg), rights, &f);
	char *slash;
	size_t n;

	if (e)
		return e;
	e = wasi_path(c, wasi_u32(c, path_arg), wasi_u32(c, path_arg + 1), ret->path);
	if (e)
		return e;
	if (ret->path[0] == '/')
		return WASI_ENOTCAPABLE;
	if (!ret->path[0])
		return WASI_ENOENT;
	n = strlen(ret->path);
	while (n > 1 && ret->path[n - 1] == '/') {
		ret->path[--n] = 0;
		ret->must_be_dir = true;
	}
	slash = strrchr(ret->path, '/');
	ret->name = slash ? slash + 1 : ret->path;
	if (slash)
		*slash = 0;
	/* ".", ".." as the last component are directories, to be opened as such. */
	if (strcmp(ret->name, ".") == 0 || strcmp(ret->name, "..") == 0) {
		if (slash)
			*slash = '/';
		ret->dir = open_beneath(f->fd, ret->path, O_PATH | O_DIRECTORY, 0, true);
		ret->name = ".";
	} else {
		ret->dir = open_beneath(f->fd, slash ? ret->path : ".", O_PATH | O_DIRECTORY, 0, true);
	}
	return ret->dir < 0 ? wasi_from_errno(errno) : WASI_SUCCESS;
}

#define PLACE(var, fd_arg, path_arg, rights)                                                                           \
	_cleanup_(cleanup_place) struct place var = { .dir = -1 };                                                     \
	enum wasi_errno var##_e_ = locate(c, fd_arg, path_arg, rights, &var);                                          \
	if (var##_e_)                                                                                                  \
		return var##_e_;

static enum wasi_errno result(long r)
{
	return r < 0 ? wasi_from_errno(errno) : WASI_SUCCESS;
}

static enum wasi_errno path_create_directory(struct wasi_call *c)
{
	PLACE(at, 0, 1, WASI_RIGHT_PATH_CREATE_DIRECTORY);
	return result(mkdirat(at.dir, at.name, 0777));
}

static enum wasi_errno path_remove_directory(struct wasi_call *c)
{
	PLACE(at, 0, 1, WASI_RIGHT_PATH_REMOVE_DIRECTORY);
	return result(unlinkat(at.dir, at.name, AT_REMOVEDIR));
}

static enum wasi_errno path_unlink_file(struct wasi_call *c)
{
	PLACE(at, 0, 1, WASI_RIGHT_PATH_UNLINK_FILE);
	if (at.must_be_dir) {
		struct stat st;

		return fstatat(at.dir, at.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) ? WASI_EISDIR : WASI_ENOTDIR;
	}
	return result(unlinkat(at.dir, at.name, 0));
}

/* Opens what a path names without reading it, links followed as the lookup flags say. */
static enum wasi_errno open_path(struct wasi_call *c, unsigned fd_arg, uint32_t lookup, unsigned path_arg, uint64_t rights, int *ret)
{
	struct wasi_fd *f;
	char path[WASI_MAX_PATH];
	enum wasi_errno e = wasi_get_fd(c->w, wasi_u32(c, fd_arg), rights, &f);

	if (!e)
		e = wasi_path(c, wasi_u32(c, path_arg), wasi_u32(c, path_arg + 1), path);
	if (e)
		return e;
	*ret = open_beneath(f->fd, path, O_PATH, 0, lookup & WASI_LOOKUP_SYMLINK_FOLLOW);
	return *ret < 0 ? wasi_from_errno(errno) : WASI_SUCCESS;
}

static enum wasi_errno path_filestat_get(struct wasi_call *c)
{
	_cleanup_close_ int fd = -1;
	enum wasi_errno e = open_path(c, 0, wasi_u32(c, 1), 2, WASI_RIGHT_PATH_FILESTAT_GET, &fd);
	struct stat st;

	if (e)
		return e;
	if (fstat(fd, &st) < 0)
		return wasi_from_errno(errno);
	return wasi_put_filestat(c, wasi_u32(c, 4), &st);
}

static enum wasi_errno path_filestat_set_times(struct wasi_call *c)
{
	_cleanup_close_ int fd = -1;
	struct timespec times[2];
	enum wasi_errno e = wasi_times(wasi_u64(c, 4), wasi_u64(c, 5), wasi_u32(c, 6), times);

	if (!e)
		e = open_path(c, 0, wasi_u32(c, 1), 2, WASI_RIGHT_PATH_FILESTAT_SET_TIMES, &fd);
	return e ? e : result(utimensat(fd, "", times, AT_EMPTY_PATH));
}

static enum wasi_errno path_link(struct wasi_call *c)
{
	PLACE(from, 0, 2, WASI_RIGHT_PATH_LINK_SOURCE);
	PLACE(to, 4, 5, WASI_RIGHT_PATH_LINK_TARGET);
	if (wasi_u32(c, 1) & WASI_LOOKUP_SYMLINK_FOLLOW)
		return WASI_EINVAL; /* as other engines have it: the link itself is what is linked */
	if (to.must_be_dir)
		return WASI_ENOENT;
	return result(linkat(from.dir, from.name, to.dir, to.name, 0));
}

static enum wasi_errno path_rename(struct wasi_call *c)
{
	PLACE(from, 0, 1, WASI_RIGHT_PATH_RENAME_SOURCE);
	PLACE(to, 3, 4, WASI_RIGHT_PATH_RENAME_TARGET);
	if (from.must_be_dir || to.must_be_dir) {
		struct stat st;

		if (fstatat(from.dir, from.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return wasi_from_errno(errno);
		if (!S_ISDIR(st.st_mode))
			return WASI_ENOTDIR;
	}
	return result(renameat(from.dir, from.name, to.dir, to.name));
}

static enum wasi_errno path_symlink(struct wasi_call *c)
{
	char target[WASI_MAX_PATH];
	enum wasi_errno e = wasi_path(c, wasi_u32(c, 0), wasi_u32(c, 1), target);
	PLACE(at, 2, 3, WASI_RIGHT_PATH_SYMLINK);

	if (e)
		return e;
	if (target[0] == '/')
		return WASI_ENOTCAPABLE; /* it would lead out for whoever follows it with other means */
	if (at.must_be_dir)
		return WASI_ENOENT;
	return result(symlinkat(target, at.dir, at.name));
}

static enum wasi_errno path_readlink(struct wasi_call *c)
{
	uint32_t room = wasi_u32(c, 4);
	uint8_t *out = wasi_span(c, wasi_u32(c, 3), room);
	ssize_t n;
	PLACE(at, 0, 1, WASI_RIGHT_PATH_READLINK);

	if (!out)
		return WASI_EFAULT;
	if (!room)
		return wasi_put32(c, wasi_u32(c, 5), 0);
	n = readlinkat(at.dir, at.name, (char *)out, room);
	return n < 0 ? wasi_from_errno(errno) : wasi_put32(c, wasi_u32(c, 5), (uint32_t)n);
}

/* ---- path_open ---- */

static int access_mode(uint64_t rights)
{
	bool read = rights & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_READDIR);
	bool write = rights & (WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE |
			       WASI_RIGHT_FD_DATASYNC);

	return read && write ? O_RDWR : write ? O_WRONLY : O_RDONLY;
}

static int open_flags(uint32_t oflags, uint32_t fdflags)
{
	int flags = O_NOCTTY | O_NONBLOCK; /* a pipe must not hold us up; NONBLOCK is taken off again below */

	flags |= oflags & WASI_OFLAGS_CREAT ? O_CREAT : 0;
	flags |= oflags & WASI_OFLAGS_DIRECTORY ? O_DIRECTORY : 0;
	flags |= oflags & WASI_OFLAGS_EXCL ? O_EXCL : 0;
	flags |= oflags & WASI_OFLAGS_TRUNC ? O_TRUNC : 0;
	flags |= fdflags & WASI_FDFLAGS_APPEND ? O_APPEND : 0;
	flags |= fdflags & WASI_FDFLAGS_DSYNC ? O_DSYNC : 0;
	flags |= fdflags & (WASI_FDFLAGS_SYNC | WASI_FDFLAGS_RSYNC) ? O_SYNC : 0;
	return flags;
}

static uint64_t needed_rights(uint32_t oflags, uint32_t fdflags)
{
	uint64_t rights = WASI_RIGHT_PATH_OPEN;

	rights |= oflags & WASI_OFLAGS_CREAT ? WASI_RIGHT_PATH_CREATE_FILE : 0;
	rights |= oflags & WASI_OFLAGS_TRUNC ? WASI_RIGHT_PATH_FILESTAT_SET_SIZE : 0;
	rights |= fdflags & (WASI_FDFLAGS_SYNC | WASI_FDFLAGS_RSYNC) ? WASI_RIGHT_FD_SYNC : 0;
	rights |= fdflags & WASI_FDFLAGS_DSYNC ? WASI_RIGHT_FD_DATASYNC : 0;
	return rights;
}

static enum wasi_errno path_open(struct wasi_call *c)
{
	uint32_t lookup = wasi_u32(c, 1), oflags = wasi_u32(c, 4), fdflags = wasi_u32(c, 7), number;
	uint64_t rights = wasi_u64(c, 5), inheriting = wasi_u64(c, 6);
	_cleanup_close_ int fd = -1;
	char path[WASI_MAX_PATH];
	struct wasi_fd *dir;
	struct stat st;
	enum wasi_errno e;

	e = wasi_get_fd(c->w, wasi_u32(c, 0), needed_rights(oflags, fdflags), &dir);
	if (!e)
		e = wasi_path(c, wasi_u32(c, 2), wasi_u32(c, 3), path);
	if (e)
		return e;
	if (!wasi_span(c, wasi_u32(c, 8), 4))
		return WASI_EFAULT;
	rights &= dir->inheriting;
	inheriting &= dir->inheriting;
	if (oflags & WASI_OFLAGS_DIRECTORY)
		rights &= ~(WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE | WASI_RIGHT_FD_DATASYNC);
	fd = open_beneath(dir->fd, path, open_flags(oflags, fdflags) | access_mode(rights),
			  oflags & WASI_OFLAGS_CREAT ? 0666 : 0, lookup & WASI_LOOKUP_SYMLINK_FOLLOW);
	if (fd < 0 && errno == EISDIR && !(oflags & (WASI_OFLAGS_CREAT | WASI_OFLAGS_TRUNC))) /* write rights asked on a directory */
		fd = open_beneath(dir->fd, path, open_flags(oflags, fdflags) | O_RDONLY, 0, lookup & WASI_LOOKUP_SYMLINK_FOLLOW);
	if (fd < 0)
		return wasi_from_errno(errno);
	if (fstat(fd, &st) < 0 || (!(fdflags & WASI_FDFLAGS_NONBLOCK) && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0))
		return wasi_from_errno(errno);
	e = wasi_add_fd(c->w,
			(struct wasi_fd){ .fd = take_fd(&fd), .type = wasi_filetype(st.st_mode), .rights = rights,
					  .inheriting = inheriting, .append = fdflags & WASI_FDFLAGS_APPEND },
			&number);
	return e ? e : wasi_put32(c, wasi_u32(c, 8), number);
}

const struct wasi_entry wasi_path_functions[] = {
	{ "path_create_directory", "iii:i", path_create_directory },
	{ "path_filestat_get", "iiiii:i", path_filestat_get },
	{ "path_filestat_set_times", "iiiiIIi:i", path_filestat_set_times },
	{ "path_link", "iiiiiii:i", path_link },
	{ "path_open", "iiiiiIIii:i", path_open },
	{ "path_readlink", "iiiiii:i", path_readlink },
	{ "path_remove_directory", "iii:i", path_remove_directory },
	{ "path_rename", "iiiiii:i", path_rename },
	{ "path_symlink", "iiiii:i", path_symlink },
	{ "path_unlink_file", "iii:i", path_unlink_file },
	{ NULL, NULL, NULL },
};
