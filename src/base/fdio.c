#include "base/fdio.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

int fd_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t fd_read_full(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (char *)buf + got, len - got);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

int fd_read_all(int fd, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, cap = 0;
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size <= max)
		cap = (size_t)st.st_size + 2;
	else
		cap = MIN(max, (size_t)4096) + 2;
	buf = malloc(cap);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n;

		if (len + 1 == cap) {
			char *p = realloc(buf, cap * 2);

			if (!p)
				return -ENOMEM;
			buf = p;
			cap *= 2;
		}
		n = read(fd, buf + len, cap - 1 - len);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	buf[len] = 0;
	*ret = take_ptr(buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int file_read_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_sys(err, errno, "cannot open '%s'", path);
	r = fd_read_all(fd, max, ret, ret_len);
	if (r == -EFBIG)
		return error_set(err, EFBIG, "'%s' is larger than the limit of %zu bytes", path, max);
	if (r < 0)
		return error_sys(err, r, "cannot read '%s'", path);
	return 0;
}

int file_write_at(int dirfd, const char *path, const char *data)
{
	_cleanup_close_ int fd = -1;
	size_t len = strlen(data);
	ssize_t n;

	fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	do
		n = write(fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int file_replace_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	_cleanup_free_ char *tmp = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&tmp, "%s.%d.tmp", path, getpid()) < 0)
		return error_oom(err);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return error_sys(err, errno, "cannot create '%s'", tmp);
	r = fd_write_all(fd, data, len);
	if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, tmp, 0);
		return error_sys(err, r, "cannot write '%s'", path);
	}
	return 0;
}

int mkdir_parents_at(int dirfd, const char *path, mode_t mode)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	if (mkdirat(dirfd, copy, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * Trees made by others can be deeper than we have descriptors: what lies REMOVE_DEPTH folders down is moved up into the
 * top folder and removed in a later round.
 */
#define REMOVE_DEPTH 64

struct remover {
	int top;
	dev_t dev;
	unsigned moved;
};

static int move_up(struct remover *rm, int dirfd, const char *name)
{
	char to[64];

	for (;;) {
		snprintf(to, sizeof(to), ".deep-%u", rm->moved++);
		if (renameat2(dirfd, name, rm->top, to, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
}

static int remove_entries(struct remover *rm, int dirfd, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;

	dir = fdopendir(dirfd);
	if (!dir) {
		int r = -errno;

		close(dirfd);
		return r;
	}
	while ((e = readdir(dir))) {
		struct stat st;
		int fd, r;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_type != DT_DIR && unlinkat(dirfd, e->d_name, 0) == 0)
			continue;
		if (fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			return -errno;
		}
		if (!S_ISDIR(st.st_mode)) {
			if (unlinkat(dirfd, e->d_name, 0) < 0 && errno != ENOENT)
				return -errno;
			continue;
		}
		if (st.st_dev != rm->dev)
			return -EXDEV;
		if (depth == REMOVE_DEPTH) {
			r = move_up(rm, dirfd, e->d_name);
			if (r < 0)
				return r;
			continue;
		}
		fd = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		r = remove_entries(rm, fd, depth + 1);
		if (r < 0)
			return r;
		if (unlinkat(dirfd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

/* Removes what is in the folder FD, which stays open. */
static int remove_contents(int fd)
{
	struct remover rm = { .top = fd };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	rm.dev = st.st_dev;
	do {
		int round = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (round < 0)
			return -errno;
		rm.moved = 0;
		r = remove_entries(&rm, round, 0);
	} while (r == 0 && rm.moved);
	return r;
}

int remove_tree_at(int dirfd, const char *path, struct error *err)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		if ((errno == ENOTDIR || errno == ELOOP) && unlinkat(dirfd, path, 0) == 0)
			return 0;
		return error_sys(err, errno, "cannot remove '%s'", path);
	}
	r = remove_contents(fd);
	if (r == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	if (r < 0)
		return error_sys(err, r, "cannot remove '%s'", path);
	return 0;
}
