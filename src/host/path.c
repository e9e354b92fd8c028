#include "host/path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define RACE_RETRIES 64 /* openat2(2) says EAGAIN when the tree was renamed around a ".." under its feet */
#define LINKS_MAX 40

int path_open(int root_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	for (int i = 0; i < RACE_RETRIES; i++) {
		long fd = syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

int path_open_plain(const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int path_lookup(int root_fd, const char *path, bool nofollow)
{
	return path_open(root_fd, path, O_PATH | (nofollow ? O_NOFOLLOW : 0), 0);
}

/* A link that dangles inside the tree: its target is what has to be made. *REST goes on after it. */
static int follow_dangling(int parent_fd, const char *name, const char *done, const char *rest, char **ret)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(parent_fd, name, target, sizeof(target) - 1);

	if (n < 0)
		return errno == EINVAL ? -ENOTDIR : -errno;
	target[n] = 0;
	if (asprintf(ret, "%s/%s/%s", *target == '/' ? "" : done, target, rest) < 0)
		return -ENOMEM;
	return 0;
}

/* One pass over the components of PATH; *RET_AGAIN is set when a dangling link asks for another path. */
static int make_components(int root_fd, char *path, mode_t mode, char **ret_again)
{
	_cleanup_close_ int parent = path_open(root_fd, ".", O_PATH | O_DIRECTORY, 0);
	char *p = path;

	if (parent < 0)
		return parent;
	for (;;) {
		_cleanup_close_ int fd = -1;
		char *name, saved;
		int r;

		p += strspn(p, "/");
		if (!*p)
			return take_fd(&parent);
		name = p;
		p += strcspn(p, "/");
		saved = *p;
		*p = 0;
		fd = path_open(root_fd, path, O_PATH | O_DIRECTORY, 0);
		if (fd == -ENOENT) {
			if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
				return -errno;
			fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
				_cleanup_free_ char *done = strndup(path, (size_t)(name - path));

				r = done ? follow_dangling(parent, name, done, saved ? p + 1 : "", ret_again) : -ENOMEM;
				return r < 0 ? r : -ELOOP;
			}
			if (fd < 0)
				return -errno;
		}
		if (fd < 0)
			return fd;
		*p = saved;
		close(parent);
		parent = take_fd(&fd);
	}
}

static int make_directory(int root_fd, const char *path, mode_t mode)
{
	_cleanup_free_ char *current = NULL;
	int fd = path_open(root_fd, path, O_PATH | O_DIRECTORY, 0);

	if (fd != -ENOENT)
		return fd;
	current = strdup(path);
	for (int i = 0; current && i < LINKS_MAX; i++) {
		char *again = NULL;

		fd = make_components(root_fd, current, mode, &again);
		if (!again)
			return fd;
		free(current);
		current = again;
	}
	return current ? -ELOOP : -ENOMEM;
}

int path_make_directory(int root_fd, const char *path, mode_t mode, struct error *err)
{
	int fd = make_directory(root_fd, path, mode);

	return fd < 0 ? error_sys(err, fd, "cannot make the directory '%s' in the root file system", path) : fd;
}

int path_make_parent(int root_fd, const char *path, mode_t mode, const char **ret_name, struct error *err)
{
	const char *name = strrchr(path, '/');
	_cleanup_free_ char *parent = NULL;
	int fd;

	name = name ? name + 1 : path;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return error_set(err, EINVAL, "'%s' does not name a file", path);
	parent = strndup(path, (size_t)(name - path));
	if (!parent)
		return error_oom(err);
	fd = path_make_directory(root_fd, parent, mode, err);
	if (fd >= 0)
		*ret_name = name;
	return fd;
}

int path_make_file(int root_fd, const char *path, mode_t mode, struct error *err)
{
	_cleanup_close_ int parent = -1;
	const char *name;
	int fd;

	fd = path_lookup(root_fd, path, false);
	if (fd >= 0)
		return fd;
	if (fd != -ENOENT)
		return error_sys(err, fd, "cannot open '%s' in the root file system", path);
	parent = path_make_parent(root_fd, path, 0755, &name, err);
	if (parent < 0)
		return parent;
	fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return error_sys(err, errno, "cannot make the file '%s' in the root file system", path);
	close(fd);
	fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "cannot open '%s' in the root file system", path) : fd;
}

struct fd_path fd_path(int fd)
{
	struct fd_path p;

	snprintf(p.s, sizeof(p.s), "/proc/self/fd/%d", fd);
	return p;
}
