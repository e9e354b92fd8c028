/* Descriptors: the table, and the fd_ functions. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wasm/wasi/filestat.h"
#include "wasm/wasi/internal.h"

uint8_t wasi_filetype(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFBLK: return WASI_FILETYPE_BLOCK_DEVICE;
	case S_IFCHR: return WASI_FILETYPE_CHARACTER_DEVICE;
	case S_IFDIR: return WASI_FILETYPE_DIRECTORY;
	case S_IFREG: return WASI_FILETYPE_REGULAR_FILE;
	case S_IFSOCK: return WASI_FILETYPE_SOCKET_STREAM;
	case S_IFLNK: return WASI_FILETYPE_SYMBOLIC_LINK;
	default: return WASI_FILETYPE_UNKNOWN;
	}
}

enum wasi_errno wasi_get_fd(struct wasi *w, uint32_t n, uint64_t rights, struct wasi_fd **ret)
{
	if (n >= w->n_fds || w->fds[n].fd < 0)
		return WASI_EBADF;
	if ((w->fds[n].rights & rights) != rights)
		return WASI_ENOTCAPABLE;
	*ret = &w->fds[n];
	return WASI_SUCCESS;
}

void wasi_close_fd(struct wasi_fd *f)
{
	if (!f->borrowed)
		safe_close(f->fd);
	free(f->preopen);
	*f = (struct wasi_fd){ .fd = -1 };
}

enum wasi_errno wasi_add_fd(struct wasi *w, struct wasi_fd fd, uint32_t *ret)
{
	uint32_t n = 0;

	while (n < w->n_fds && w->fds[n].fd >= 0)
		n++;
	if (n == w->n_fds) {
		uint32_t more = w->n_fds ? w->n_fds * 2 : 16;
		struct wasi_fd *v = more > WASI_MAX_FDS ? NULL : realloc(w->fds, more * sizeof(*v));

		if (!v) {
			wasi_close_fd(&fd);
			return more > WASI_MAX_FDS ? WASI_EMFILE : WASI_ENOMEM;
		}
		for (uint32_t i = w->n_fds; i < more; i++)
			v[i] = (struct wasi_fd){ .fd = -1 };
		w->fds = v;
		w->n_fds = more;
	}
	w->fds[n] = fd;
	*ret = n;
	return WASI_SUCCESS;
}

#define GET(index, rights)                                                                                             \
	struct wasi_fd *f;                                                                                             \
	enum wasi_errno get_e_ = wasi_get_fd(c->w, wasi_u32(c, index), rights, &f);                                    \
	if (get_e_)                                                                                                    \
		return get_e_;

static enum wasi_errno result(long r)
{
	return r < 0 ? wasi_from_errno(errno) : WASI_SUCCESS;
}

static enum wasi_errno fd_close(struct wasi_call *c)
{
	GET(0, 0);
	wasi_close_fd(f);
	return WASI_SUCCESS;
}

static enum wasi_errno fd_advise(struct wasi_call *c)
{
	static const int advice[] = { POSIX_FADV_NORMAL, POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
				      POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE };
	GET(0, WASI_RIGHT_FD_ADVISE);

	if (wasi_u32(c, 3) >= ARRAY_SIZE(advice))
		return WASI_EINVAL;
	return wasi_from_errno(posix_fadvise(f->fd, (off_t)wasi_u64(c, 1), (off_t)wasi_u64(c, 2), advice[wasi_u32(c, 3)]));
}

static enum wasi_errno fd_allocate(struct wasi_call *c)
{
	GET(0, WASI_RIGHT_FD_ALLOCATE);
	return wasi_from_errno(posix_fallocate(f->fd, (off_t)wasi_u64(c, 1), (off_t)wasi_u64(c, 2)));
}

static enum wasi_errno fd_datasync(struct wasi_call *c)
{
	GET(0, WASI_RIGHT_FD_DATASYNC);
	return result(fdatasync(f->fd));
}

static enum wasi_errno fd_sync(struct wasi_call *c)
{
	GET(0, WASI_RIGHT_FD_SYNC);
	return result(fsync(f->fd));
}

static enum wasi_errno fd_fdstat_get(struct wasi_call *c)
{
	uint8_t out[WASI_FDSTAT_SIZE] = { 0 };
	uint16_t flags = 0;
	int host;
	GET(0, 0);

	host = fcntl(f->fd, F_GETFL);
	if (host < 0)
		return wasi_from_errno(errno);
	flags |= host & O_APPEND || f->append ? WASI_FDFLAGS_APPEND : 0;
	flags |= host & O_NONBLOCK ? WASI_FDFLAGS_NONBLOCK : 0;
	flags |= (host & O_SYNC) == O_SYNC ? WASI_FDFLAGS_SYNC | WASI_FDFLAGS_RSYNC : host & O_DSYNC ? WASI_FDFLAGS_DSYNC : 0;
	out[0] = f->type;
	memcpy(out + 2, &flags, 2);
	memcpy(out + 8, &f->rights, 8);
	memcpy(out + 16, &f->inheriting, 8);
	return wasi_put(c, wasi_u32(c, 1), out, sizeof(out));
}

static enum wasi_errno fd_fdstat_set_flags(struct wasi_call *c)
{
	uint32_t flags = wasi_u32(c, 1);
	int host;
	GET(0, WASI_RIGHT_FD_FDSTAT_SET_FLAGS);

	if (flags & ~(WASI_FDFLAGS_APPEND | WASI_FDFLAGS_NONBLOCK))
		return WASI_ENOTSUP; /* Linux cannot change the others on an open file */
	host = fcntl(f->fd, F_GETFL);
	if (host < 0)
		return wasi_from_errno(errno);
	host &= ~(O_APPEND | O_NONBLOCK);
	host |= flags & WASI_FDFLAGS_APPEND ? O_APPEND : 0;
	host |= flags & WASI_FDFLAGS_NONBLOCK ? O_NONBLOCK : 0;
	return result(fcntl(f->fd, F_SETFL, host));
}

static enum wasi_errno fd_fdstat_set_rights(struct wasi_call *c)
{
	uint64_t rights = wasi_u64(c, 1), inheriting = wasi_u64(c, 2);
	GET(0, 0);

	if (rights & ~f->rights || inheriting & ~f->inheriting)
		return WASI_ENOTCAPABLE;
	f->rights = rights;
	f->inheriting = inheriting;
	return WASI_SUCCESS;
}

static enum wasi_errno fd_filestat_set_size(struct wasi_call *c)
{
	GET(0, WASI_RIGHT_FD_FILESTAT_SET_SIZE);
	if (wasi_u64(c, 1) > INT64_MAX)
		return WASI_EINVAL;
	return result(ftruncate(f->fd, (off_t)wasi_u64(c, 1)));
}

static enum wasi_errno transfer(struct wasi_call *c, bool write, bool positioned)
{
	struct iovec iov[WASI_MAX_IOVECS];
	int n = wasi_iovecs(c, wasi_u32(c, 1), wasi_u32(c, 2), iov);
	ssize_t done;
	GET(0, (write ? WASI_RIGHT_FD_WRITE : WASI_RIGHT_FD_READ) | (positioned ? WASI_RIGHT_FD_SEEK : 0));

	if (n < 0)
		return (enum wasi_errno)-n;
	if (positioned && wasi_u64(c, 3) > INT64_MAX)
		return WASI_EINVAL;
	do {
		if (positioned)
			done = write ? pwritev(f->fd, iov, n, (off_t)wasi_u64(c, 3)) : preadv(f->fd, iov, n, (off_t)wasi_u64(c, 3));
		else
			done = write ? writev(f->fd, iov, n) : readv(f->fd, iov, n);
	} while (done < 0 && errno == EINTR);
	return done < 0 ? wasi_from_errno(errno) : wasi_put32(c, wasi_u32(c, positioned ? 4 : 3), (uint32_t)done);
}

static enum wasi_errno fd_read(struct wasi_call *c)
{
	return transfer(c, false, false);
}

static enum wasi_errno fd_write(struct wasi_call *c)
{
	return transfer(c, true, false);
}

static enum wasi_errno fd_pread(struct wasi_call *c)
{
	return transfer(c, false, true);
}

static enum wasi_errno fd_pwrite(struct wasi_call *c)
{
	return transfer(c, true, true);
}

static enum wasi_errno fd_prestat_get(struct wasi_call *c)
{
	uint32_t out[2] = { 0 }; /* tag 0: a directory; the length of its name */
	GET(0, 0);

	if (!f->preopen)
		return WASI_EBADF;
	out[1] = (uint32_t)strlen(f->preopen);
	return wasi_put(c, wasi_u32(c, 1), out, sizeof(out));
}

static enum wasi_errno fd_prestat_dir_name(struct wasi_call *c)
{
	GET(0, 0);
	if (!f->preopen)
		return WASI_EBADF;
	if (wasi_u32(c, 2) < strlen(f->preopen))
		return WASI_ENAMETOOLONG;
	return wasi_put(c, wasi_u32(c, 1), f->preopen, strlen(f->preopen));
}

struct linux_dirent64 {
	uint64_t ino, off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static uint8_t dirent_type(uint8_t t)
{
	return wasi_filetype(DTTOIF((uint32_t)t));
}

/* Copies as much of one entry as fits; WASI's way of saying "there is more" is a full buffer. */
static uint32_t put_dirent(uint8_t *out, uint32_t room, const struct linux_dirent64 *e)
{
	uint8_t head[WASI_DIRENT_SIZE] = { 0 };
	uint32_t len = (uint32_t)strlen(e->name), n = MIN(room, WASI_DIRENT_SIZE), m;

	memcpy(head, &e->off, 8);
	memcpy(head + 8, &e->ino, 8);
	memcpy(head + 16, &len, 4);
	head[20] = dirent_type(e->type);
	memcpy(out, head, n);
	m = MIN(room - n, len);
	memcpy(out + n, e->name, m);
	return n + m;
}

static enum wasi_errno fd_readdir(struct wasi_call *c)
{
	uint32_t room = wasi_u32(c, 2), used = 0;
	uint8_t *out = wasi_span(c, wasi_u32(c, 1), room);
	char buf[8192] __attribute__((aligned(8)));
	GET(0, WASI_RIGHT_FD_READDIR);

	if (!out)
		return WASI_EFAULT;
	if (lseek(f->fd, (off_t)wasi_u64(c, 3), SEEK_SET) < 0)
		return wasi_from_errno(errno);
	while (used < room) {
		long n = syscall(SYS_getdents64, f->fd, buf, sizeof(buf));

		if (n < 0)
			return wasi_from_errno(errno);
		if (n == 0)
			break;
		for (long at = 0; at < n && used < room;) {
			const struct linux_dirent64 *e = (const struct linux_dirent64 *)(const void *)(buf + at);

			used += put_dirent(out + used, room - used, e);
			at += e->reclen;
		}
	}
	return wasi_put32(c, wasi_u32(c, 4), used);
}

static enum wasi_errno fd_renumber(struct wasi_call *c)
{
	struct wasi_fd *to;
	GET(0, 0);

	if (wasi_get_fd(c->w, wasi_u32(c, 1), 0, &to) != WASI_SUCCESS)
		return WASI_EBADF;
	if (f->preopen || to->preopen)
		return WASI_ENOTSUP;
	if (f == to)
		return WASI_SUCCESS;
	wasi_close_fd(to);
	*to = *f;
	*f = (struct wasi_fd){ .fd = -1 };
	return WASI_SUCCESS;
}

static enum wasi_errno seek(struct wasi_call *c, int64_t offset, int whence, uint32_t out, uint64_t rights)
{
	off_t at;
	GET(0, rights);

	at = lseek(f->fd, offset, whence);
	return at < 0 ? wasi_from_errno(errno) : wasi_put64(c, out, (uint64_t)at);
}

static enum wasi_errno fd_seek(struct wasi_call *c)
{
	static const int whence[] = { SEEK_SET, SEEK_CUR, SEEK_END };

	if (wasi_u32(c, 2) >= ARRAY_SIZE(whence))
		return WASI_EINVAL;
	return seek(c, (int64_t)wasi_u64(c, 1), whence[wasi_u32(c, 2)], wasi_u32(c, 3), WASI_RIGHT_FD_SEEK);
}

static enum wasi_errno fd_tell(struct wasi_call *c)
{
	return seek(c, 0, SEEK_CUR, wasi_u32(c, 1), WASI_RIGHT_FD_TELL);
}

static enum wasi_errno fd_filestat_get(struct wasi_call *c)
{
	struct stat st;
	GET(0, WASI_RIGHT_FD_FILESTAT_GET);

	if (fstat(f->fd, &st) < 0)
		return wasi_from_errno(errno);
	return wasi_put_filestat(c, wasi_u32(c, 1), &st);
}

static enum wasi_errno fd_filestat_set_times(struct wasi_call *c)
{
	struct timespec times[2];
	enum wasi_errno e;
	GET(0, WASI_RIGHT_FD_FILESTAT_SET_TIMES);

	e = wasi_times(wasi_u64(c, 1), wasi_u64(c, 2), wasi_u32(c, 3), times);
	return e ? e : result(futimens(f->fd, times));
}

const struct wasi_entry wasi_fd_functions[] = {
	{ "fd_advise", "iIIi:i", fd_advise },
	{ "fd_allocate", "iII:i", fd_allocate },
	{ "fd_close", "i:i", fd_close },
	{ "fd_datasync", "i:i", fd_datasync },
	{ "fd_fdstat_get", "ii:i", fd_fdstat_get },
	{ "fd_fdstat_set_flags", "ii:i", fd_fdstat_set_flags },
	{ "fd_fdstat_set_rights", "iII:i", fd_fdstat_set_rights },
	{ "fd_filestat_get", "ii:i", fd_filestat_get },
	{ "fd_filestat_set_size", "iI:i", fd_filestat_set_size },
	{ "fd_filestat_set_times", "iIIi:i", fd_filestat_set_times },
	{ "fd_pread", "iiiIi:i", fd_pread },
	{ "fd_prestat_get", "ii:i", fd_prestat_get },
	{ "fd_prestat_dir_name", "iii:i", fd_prestat_dir_name },
	{ "fd_pwrite", "iiiIi:i", fd_pwrite },
	{ "fd_read", "iiii:i", fd_read },
	{ "fd_readdir", "iiiIi:i", fd_readdir },
	{ "fd_renumber", "ii:i", fd_renumber },
	{ "fd_seek", "iIii:i", fd_seek },
	{ "fd_sync", "i:i", fd_sync },
	{ "fd_tell", "ii:i", fd_tell },
	{ "fd_write", "iiii:i", fd_write },
	{ NULL, NULL, NULL },
};
