#include "image/diff.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "base/strv.h"
#include "image/limits.h"
#include "image/unpack_path.h"

/* A file with several names, by its first one. */
struct linked {
	dev_t dev;
	ino_t ino;
	char *path;
};

struct diff {
	const struct diff_request *request;
	struct archive *archive;
	struct linked *links;
	size_t n_links, cap_links;
	struct error write_error;
};

static void diff_free(struct diff *d)
{
	if (d->archive)
		archive_write_free(d->archive);
	for (size_t i = 0; i < d->n_links; i++)
		free(d->links[i].path);
	free(d->links);
}

static la_ssize_t on_write(struct archive *a, void *data, const void *bytes, size_t len)
{
	struct diff *d = data;
	int r = d->request->write(d->request->data, bytes, len, &d->write_error);

	if (r < 0) {
		archive_set_error(a, -r, "%s", d->write_error.message);
		return -1;
	}
	return (la_ssize_t)len;
}

static int failed(struct diff *d, const char *path, struct error *err)
{
	if (d->write_error.code) {
		if (err)
			*err = d->write_error;
		return -d->write_error.code;
	}
	return error_set(err, EIO, "'%.300s': cannot be archived: %s", path,
			 archive_error_string(d->archive) ?: "unknown reason");
}

/* The ID inside the box; an ID that no map covers belongs to nobody there. */
static uint32_t translate(const struct id_map *maps, size_t n, uint32_t id)
{
	if (n == 0)
		return id;
	for (size_t i = 0; i < n; i++)
		if (id >= maps[i].outside && id - maps[i].outside < maps[i].count)
			return maps[i].inside + (id - maps[i].outside);
	return 65534;
}

static bool is_opaque(int fd)
{
	char value[2];

	return (fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y') ||
	       (fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y');
}

static int add_xattrs(struct archive_entry *e, int fd, const char *path, struct error *err)
{
	_cleanup_free_ char *names = malloc(XATTR_LIST_MAX), *value = malloc(XATTR_SIZE_MAX);
	ssize_t len;

	if (!names || !value)
		return error_oom(err);
	len = flistxattr(fd, names, XATTR_LIST_MAX);
	for (const char *n = names; len > 0 && n < names + len; n += strlen(n) + 1) {
		ssize_t size;

		if (!layer_xattr_permitted(n))
			continue;
		size = fgetxattr(fd, n, value, XATTR_SIZE_MAX);
		if (size < 0)
			return error_sys(err, errno, "'%.300s': cannot read xattr %.100s", path, n);
		archive_entry_xattr_add_entry(e, n, value, (size_t)size);
	}
	return 0;
}

static struct archive_entry *new_entry(struct diff *d, const char *path, const struct stat *st)
{
	struct archive_entry *e = archive_entry_new();

	if (!e)
		return NULL;
	archive_entry_copy_stat(e, st);
	archive_entry_set_pathname(e, path);
	archive_entry_set_uid(e, translate(d->request->uids, d->request->n_uids, st->st_uid));
	archive_entry_set_gid(e, translate(d->request->gids, d->request->n_gids, st->st_gid));
	archive_entry_unset_atime(e);
	archive_entry_unset_ctime(e);
	archive_entry_unset_birthtime(e);
	archive_entry_set_dev(e, 0);
	archive_entry_set_ino(e, 0);
	archive_entry_set_nlink(e, 1);
	if (!S_ISREG(st->st_mode))
		archive_entry_set_size(e, 0);
	return e;
}

static int write_header(struct diff *d, struct archive_entry *e, const char *path, struct error *err)
{
	int r = archive_write_header(d->archive, e);

	archive_entry_free(e);
	return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 0 : failed(d, path, err);
}

/* An empty file whose name says that PATH (or all below its folder) is gone. */
static int write_mark(struct diff *d, const char *path, struct error *err)
{
	struct stat st = {.st_mode = S_IFREG | 0644};
	struct archive_entry *e = new_entry(d, path, &st);

	if (!e)
		return error_oom(err);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	return write_header(d, e, path, err);
}

/* 1: PATH is another name of a file that was written; 0: it is not, and is remembered. */
static int find_link(struct diff *d, const struct stat *st, const char *path, const char **ret, struct error *err)
{
	for (size_t i = 0; i < d->n_links; i++)
		if (d->links[i].ino == st->st_ino && d->links[i].dev == st->st_dev) {
			*ret = d->links[i].path;
			return 1;
		}
	if (d->n_links == d->cap_links) {
		size_t cap = d->cap_links ? d->cap_links * 2 : 64;
		struct linked *v = reallocarray(d->links, cap, sizeof(*v));

		if (!v)
			return error_oom(err);
		d->links = v;
		d->cap_links = cap;
	}
	d->links[d->n_links] = (struct linked){st->st_dev, st->st_ino, strdup(path)};
	return d->links[d->n_links++].path ? 0 : error_oom(err);
}

static int write_file(struct diff *d, int dirfd, const char *name, const char *path, const struct stat *st,
		      struct error *err)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *buf = malloc(256 << 10);
	struct archive_entry *e = new_entry(d, path, st);
	int64_t left = st->st_size;
	int r = 0;

	if (fd < 0)
		r = error_sys(err, errno, "'%.300s': cannot open it", path);
	else if (!buf || !e)
		r = error_oom(err);
	if (r < 0 || (r = add_xattrs(e, fd, path, err)) < 0) {
		archive_entry_free(e);
		return r;
	}
	if ((r = write_header(d, e, path, err)) < 0)
		return r;
	while (left > 0) {
		ssize_t n = read(fd, buf, (size_t)MIN(left, (int64_t)256 << 10));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0
				   ? error_sys(err, errno, "'%.300s': cannot read it", path)
				   : error_set(err, EBUSY,
					       "'%.300s' shrank while it was read: stop or pause the box first", path);
		if (archive_write_data(d->archive, buf, (size_t)n) != n)
			return failed(d, path, err);
		left -= n;
	}
	return 0;
}

static int write_symlink(struct diff *d, int dirfd, const char *name, const char *path, const struct stat *st,
			 struct error *err)
{
	struct archive_entry *e = new_entry(d, path, st);
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

	if (!e)
		return error_oom(err);
	if (n < 0) {
		archive_entry_free(e);
		return error_sys(err, errno, "'%.300s': cannot read the link", path);
	}
	target[n] = 0;
	archive_entry_set_symlink(e, target);
	return write_header(d, e, path, err);
}

static int write_folder(struct diff *d, int fd, const char *path, unsigned depth, struct error *err);

static int write_subfolder(struct diff *d, int dirfd, const char *name, const char *path, const struct stat *st,
			   unsigned depth, struct error *err)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *mark = NULL;
	struct archive_entry *e;
	int r;

	if (fd < 0)
		return error_sys(err, errno, "'%.300s': cannot open the folder", path);
	if (depth >= IMAGE_DEPTH_MAX)
		return error_set(err, ENAMETOOLONG, "'%.300s': more than %d folders below each other", path,
				 IMAGE_DEPTH_MAX);
	e = new_entry(d, path, st);
	if (!e)
		return error_oom(err);
	if ((r = add_xattrs(e, fd, path, err)) < 0) {
		archive_entry_free(e);
		return r;
	}
	if ((r = write_header(d, e, path, err)) < 0)
		return r;
	if (is_opaque(fd)) {
		if (asprintf(&mark, "%s/.wh..wh..opq", path) < 0)
			return error_oom(err);
		if ((r = write_mark(d, mark, err)) < 0)
			return r;
	}
	return write_folder(d, fd, path, depth + 1, err);
}

static int write_node(struct diff *d, const char *path, const struct stat *st, struct error *err)
{
	struct archive_entry *e;

	if (S_ISSOCK(st->st_mode)) {
		log_debug("'%s': sockets are not archived", path);
		return 0;
	}
	e = new_entry(d, path, st);
	if (!e)
		return error_oom(err);
	archive_entry_set_rdev(e, st->st_rdev);
	return write_header(d, e, path, err);
}

static int write_whiteout(struct diff *d, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	int parent = slash ? (int)(slash - path) + 1 : 0;
	_cleanup_free_ char *mark = NULL;

	if (asprintf(&mark, "%.*s.wh.%s", parent, path, path + parent) < 0)
		return error_oom(err);
	return write_mark(d, mark, err);
}

static int write_one(struct diff *d, int dirfd, const char *name, const char *path, unsigned depth, struct error *err)
{
	const char *first = NULL;
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "'%.300s': cannot look at it", path);
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
		return write_whiteout(d, path, err);
	if (strncmp(name, ".wh.", 4) == 0)
		return error_set(
		    err, EINVAL,
		    "'%.300s': a file of this name cannot be in an image: it would mean that another is gone", path);
	if (S_ISDIR(st.st_mode))
		return write_subfolder(d, dirfd, name, path, &st, depth, err);
	if (st.st_nlink > 1 && (r = find_link(d, &st, path, &first, err)) != 0) {
		struct archive_entry *e = r > 0 ? new_entry(d, path, &st) : NULL;

		if (!e)
			return r < 0 ? r : error_oom(err);
		archive_entry_set_size(e, 0);
		archive_entry_set_hardlink(e, first);
		return write_header(d, e, path, err);
	}
	if (S_ISREG(st.st_mode))
		return write_file(d, dirfd, name, path, &st, err);
	return S_ISLNK(st.st_mode) ? write_symlink(d, dirfd, name, path, &st, err) : write_node(d, path, &st, err);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in the folder FD, sorted: the same changes give the same layer. */
static int list_names(int fd, char ***ret, struct error *err)
{
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_strv_ char **names = NULL;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0, cap = 0;
	struct dirent *e;

	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		safe_close(copy);
		return error_sys(err, errno, "cannot read a folder");
	}
	while ((e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (n + 1 >= cap) {
			char **v = reallocarray(names, cap ? cap * 2 : 32, sizeof(*v));

			if (!v)
				return error_oom(err);
			names = v;
			cap = cap ? cap * 2 : 32;
		}
		names[n] = strdup(e->d_name);
		names[n + 1] = NULL;
		if (!names[n++])
			return error_oom(err);
	}
	if (n)
		qsort(names, n, sizeof(*names), compare_names);
	*ret = take_ptr(names);
	return 0;
}

static int write_folder(struct diff *d, int fd, const char *path, unsigned depth, struct error *err)
{
	_cleanup_strv_ char **names = NULL;
	int r = list_names(fd, &names, err);

	for (char **n = names; r >= 0 && n && *n; n++) {
		_cleanup_free_ char *child = NULL;

		if (asprintf(&child, "%s%s%s", path, *path ? "/" : "", *n) < 0)
			return error_oom(err);
		r = write_one(d, fd, *n, child, depth, err);
	}
	return r;
}

int diff_write(const struct diff_request *request, struct error *err)
{
	_cleanup_(diff_free) struct diff d = {.request = request};
	int r;

	d.archive = archive_write_new();
	if (!d.archive)
		return error_oom(err);
	/* pax: long names, xattrs, owners beyond 2^21; no blocking beyond the end marker */
	if (archive_write_set_format_pax_restricted(d.archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(d.archive, 1) != ARCHIVE_OK ||
	    archive_write_open(d.archive, &d, NULL, on_write, NULL) != ARCHIVE_OK)
		return failed(&d, "", err);
	r = write_folder(&d, request->upper, "", 0, err);
	if (r < 0)
		return r;
	return archive_write_close(d.archive) == ARCHIVE_OK ? 0 : failed(&d, "", err);
}
