#include "host/copy_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "host/path.h"

#define DEPTH_MAX 256

static int copy_xattrs(int from, int to)
{
	char names[16384], value[65536];
	ssize_t n = flistxattr(from, names, sizeof(names));

	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (char *name = names; name < names + n; name += strlen(name) + 1) {
		ssize_t len = fgetxattr(from, name, value, sizeof(value));

		/* What the target cannot hold (user attributes on an old tmpfs) is not part of what a tmpfs promises. */
		if (len >= 0 && fsetxattr(to, name, value, (size_t)len, 0) < 0 && errno != ENOTSUP && errno != EPERM)
			return -errno;
	}
	return 0;
}

static int copy_data(int from, int to)
{
	for (;;) {
		ssize_t n = sendfile(to, from, NULL, 1 << 20);

		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int set_owner_and_times(int to, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	/* An owner that is not mapped here cannot be given. */
	if (fchown(to, st->st_uid, st->st_gid) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	if (fchmod(to, st->st_mode & 07777) < 0 || futimens(to, times) < 0)
		return -errno;
	return 0;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	_cleanup_close_ int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_close_ int to = -1;
	int r;

	if (from < 0)
		return -errno;
	to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	r = copy_data(from, to);
	if (r == 0)
		r = copy_xattrs(from, to);
	return r < 0 ? r : set_owner_and_times(to, st);
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = 0;
	if (symlinkat(target, to_dir, name) < 0)
		return -errno;
	if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	return 0;
}

static int copy_node(int to_dir, const char *name, const struct stat *st)
{
	if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0)
		return -errno;
	if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	return fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0 ? -errno : 0;
}

static int copy_entries(int from, int to, dev_t dev, int depth, struct error *err);

static int copy_directory(int from_dir, int to_dir, const char *name, const struct stat *st, int depth, struct error *err)
{
	_cleanup_close_ int from = -1, to = -1;
	int r;

	if (mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	to = from < 0 ? -1 : openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return -errno;
	r = copy_entries(from, to, st->st_dev, depth + 1, err);
	if (r == 0)
		r = copy_xattrs(from, to);
	return r < 0 ? r : set_owner_and_times(to, st);
}

static int copy_entry(int from, int to, const char *name, dev_t dev, int depth, struct error *err)
{
	struct stat st;
	int r;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	else if (S_ISREG(st.st_mode))
		r = copy_file(from, to, name, &st);
	else if (S_ISLNK(st.st_mode))
		r = copy_link(from, to, name, &st);
	else if (!S_ISDIR(st.st_mode))
		r = copy_node(to, name, &st);
	else if (st.st_dev == dev)
		r = copy_directory(from, to, name, &st, depth, err);
	else
		r = mkdirat(to, name, 0755) < 0 ? -errno : 0; /* a mount point */
	if (r < 0 && err->code == 0)
		error_sys(err, r, "cannot copy '%s'", name);
	return r;
}

static int copy_entries(int from, int to, dev_t dev, int depth, struct error *err)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int fd, r = 0;

	if (depth > DEPTH_MAX)
		return error_set(err, ELOOP, "the tree to copy is more than %d directories deep", DEPTH_MAX);
	fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		safe_close(fd);
		return error_sys(err, errno, "cannot read a directory to copy");
	}
	while (r == 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = copy_entry(from, to, e->d_name, dev, depth, err);
	return r;
}

int copy_tree(int from_fd, int to_fd, struct error *err)
{
	struct error local = ERROR_INIT;
	_cleanup_close_ int to = -1;
	struct stat st;
	int r;

	to = openat(to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0 || fstat(from_fd, &st) < 0)
		return error_sys(err, errno, "cannot open a directory to copy");
	r = copy_entries(from_fd, to, st.st_dev, 0, &local);
	if (r < 0)
		return error_set(err, -r, "%s", local.message);
	return 0;
}
