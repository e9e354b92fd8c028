#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fdio.h"
#include "base/log.h"
#include "image/unpack_path.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

struct dir_time {
	char *path; /* owned, clean */
	struct timespec mtime;
};

struct unpack {
	const struct unpack_request *request;
	struct unpack_result *result;
	struct layer_stream *stream;
	struct archive *archive;
	struct layer_root root;
	struct dir_time *dirs; /* whose times are set at the end */
	size_t n_dirs, cap_dirs;
	bool xattrs_unsupported;
	bool stream_failed;
};

/* What an entry says about its owner, mode and times. */
struct attributes {
	uid_t uid;
	gid_t gid;
	mode_t mode; /* without the type */
	struct timespec times[2];
};

static void unpack_free(struct unpack *u)
{
	if (u->archive)
		archive_read_free(u->archive);
	layer_forget_parent(&u->root);
	for (size_t i = 0; i < u->n_dirs; i++)
		free(u->dirs[i].path);
	free(u->dirs);
}

static la_ssize_t read_stream(struct archive *a, void *data, const void **ret)
{
	struct unpack *u = data;
	ssize_t n = layer_stream_next(u->stream, ret);

	if (n < 0) {
		u->stream_failed = true;
		archive_set_error(a, (int)-n, "the layer's data cannot be read");
	}
	return n;
}

static int archive_failed(struct unpack *u, const char *path, struct error *err)
{
	char diff_id[DIGEST_TEXT_MAX];
	uint64_t size;
	int r;

	if (u->stream_failed) { /* it knows more than the archive that missed its bytes */
		r = layer_stream_finish(u->stream, diff_id, &size, err);
		if (r < 0)
			return r;
	}
	if (path)
		return error_set(err, EBADMSG, "'%.300s': the archive is damaged: %s", path,
				 archive_error_string(u->archive) ?: "unknown reason");
	return error_set(err, EBADMSG, "the layer is no tar archive, or a damaged one: %s",
			 archive_error_string(u->archive) ?: "unknown reason");
}

static int read_attributes(struct unpack *u, struct archive_entry *e, const char *path, struct attributes *ret,
			   struct error *err)
{
	la_int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e);

	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return error_set(err, ERANGE, "'%.300s': owner %lld:%lld is out of range", path, (long long)uid,
				 (long long)gid);
	ret->uid = u->request->squash_ids ? 0 : (uid_t)uid;
	ret->gid = u->request->squash_ids ? 0 : (gid_t)gid;
	ret->mode = archive_entry_mode(e) & 07777;
	ret->times[1].tv_sec = archive_entry_mtime(e);
	ret->times[1].tv_nsec = archive_entry_mtime_nsec(e);
	if (ret->times[1].tv_nsec < 0 || ret->times[1].tv_nsec > 999999999)
		ret->times[1].tv_nsec = 0;
	ret->times[0] = ret->times[1];
	return 0;
}

static int owner_error(struct error *err, int r, const char *path, const struct attributes *at)
{
	if (r == -EINVAL)
		return error_set(
		    err, EINVAL,
		    "'%.300s': owner %u:%u is outside this user namespace's IDs: give this user more subordinate "
		    "IDs in /etc/subuid and /etc/subgid",
		    path, at->uid, at->gid);
	return error_sys(err, r, "'%.300s': cannot give it the owner %u:%u", path, at->uid, at->gid);
}

static int set_xattr(struct unpack *u, int fd, const char *path, const char *name, const void *value, size_t size,
		     struct error *err)
{
	if (!layer_xattr_permitted(name)) {
		log_debug("'%s': xattr %s is not taken over", path, name);
		return 0;
	}
	if (fsetxattr(fd, name, value, size, 0) == 0)
		return 0;
	if (errno == ENOTSUP) {
		if (!u->xattrs_unsupported)
			log_warn("'%s': the store's file system takes no xattr %s", path, name);
		u->xattrs_unsupported = true;
		return 0;
	}
	return error_sys(err, errno, "'%.300s': cannot set xattr %.100s", path, name);
}

static int set_xattrs(struct unpack *u, int fd, struct archive_entry *e, const char *path, struct error *err)
{
	const void *value;
	const char *name;
	size_t size;
	int r;

	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
		r = set_xattr(u, fd, path, name, value, size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Owner first: it clears set-user-ID and file capabilities. CREATED_MODE is what the file surely has, so that the
 * common case costs nothing.
 */
static int set_attributes(struct unpack *u, int fd, struct archive_entry *e, const char *path,
			  const struct attributes *at, mode_t created_mode, struct error *err)
{
	bool chowned = at->uid != 0 || at->gid != 0 || u->root.parent_setgid;

	if (chowned && fchown(fd, at->uid, at->gid) < 0)
		return owner_error(err, -errno, path, at);
	if (at->mode != created_mode && fchmod(fd, at->mode) < 0)
		return error_sys(err, errno, "'%.300s': cannot set mode %04o", path, at->mode);
	return archive_entry_xattr_count(e) > 0 ? set_xattrs(u, fd, e, path, err) : 0;
}

static int write_data(struct unpack *u, int fd, uint64_t size, const char *path, struct error *err)
{
	la_int64_t offset, at = 0;
	const void *data;
	size_t len;
	int r;

	if (size > u->request->limits->unpacked)
		return error_set(
		    err, EFBIG,
		    "'%.300s': its %llu bytes are more than the limit of %llu; raise it with --max-unpacked-size", path,
		    (unsigned long long)size, (unsigned long long)u->request->limits->unpacked);
	while ((r = archive_read_data_block(u->archive, &data, &len, &offset)) == ARCHIVE_OK) {
		if (len == 0)
			continue;
		if (offset < 0 || (uint64_t)offset > size || len > size - (uint64_t)offset)
			return error_set(err, EBADMSG, "'%.300s': the archive is damaged: data beyond the file's end",
					 path);
		if (offset != at && lseek(fd, offset, SEEK_SET) < 0)
			return error_sys(err, errno, "'%.300s': cannot seek", path);
		r = fd_write_all(fd, data, len);
		if (r < 0)
			return error_sys(err, r, "'%.300s': cannot write", path);
		at = offset + (la_int64_t)len;
		u->result->bytes += len;
	}
	if (r != ARCHIVE_EOF)
		return archive_failed(u, path, err);
	if ((uint64_t)at < size && ftruncate(fd, (off_t)size) < 0) /* ends with a hole */
		return error_sys(err, errno, "'%.300s': cannot make it %llu bytes long", path,
				 (unsigned long long)size);
	return 0;
}

static int unpack_file(struct unpack *u, struct archive_entry *e, const char *path, int dirfd, const char *base,
		       const struct attributes *at, struct error *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
	_cleanup_close_ int fd = -1;
	int r;

	fd = openat(dirfd, base, flags, at->mode & 0777);
	if (fd < 0 && errno == EEXIST) {
		r = layer_remove(&u->root, dirfd, base, err);
		if (r < 0)
			return r;
		fd = openat(dirfd, base, flags, at->mode & 0777);
	}
	if (fd < 0)
		return error_sys(err, errno, "'%.300s': cannot make the file", path);
	if ((r = write_data(u, fd, (uint64_t)archive_entry_size(e), path, err)) < 0 ||
	    (r = set_attributes(u, fd, e, path, at, at->mode & 0777, err)) < 0)
		return r;
	if (futimens(fd, at->times) < 0)
		return error_sys(err, errno, "'%.300s': cannot set its times", path);
	return 0;
}

static int remember_dir(struct unpack *u, const char *path, const struct timespec *mtime, struct error *err)
{
	if (u->n_dirs == u->cap_dirs) {
		size_t cap = u->cap_dirs ? u->cap_dirs * 2 : 256;
		struct dir_time *p = reallocarray(u->dirs, cap, sizeof(*p));

		if (!p)
			return error_oom(err);
		u->dirs = p;
		u->cap_dirs = cap;
	}
	u->dirs[u->n_dirs].path = strdup(path);
	u->dirs[u->n_dirs].mtime = *mtime;
	return u->dirs[u->n_dirs++].path ? 0 : error_oom(err);
}

/* 0: made; 1: made in place of a whiteout; 2: it was there. */
static int make_dir(struct unpack *u, const char *path, int dirfd, const char *base, mode_t mode, struct error *err)
{
	struct stat st;
	int r;

	if (mkdirat(dirfd, base, mode) == 0)
		return 0;
	if (errno != EEXIST || fstatat(dirfd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "'%.300s': cannot make the folder", path);
	if (S_ISDIR(st.st_mode))
		return 2;
	r = layer_remove(&u->root, dirfd, base, err);
	if (r < 0)
		return r;
	if (mkdirat(dirfd, base, mode) < 0)
		return error_sys(err, errno, "'%.300s': cannot make the folder", path);
	return r;
}

static int unpack_dir(struct unpack *u, struct archive_entry *e, const char *path, int dirfd, const char *base,
		      const struct attributes *at, struct error *err)
{
	const mode_t created = at->mode & 01777;
	_cleanup_close_ int fd = -1;
	int how, r;

	how = make_dir(u, path, dirfd, base, created, err);
	if (how < 0)
		return how;
	if (how || at->mode != created || at->uid || at->gid || u->root.parent_setgid ||
	    archive_entry_xattr_count(e) > 0) {
		fd = openat(dirfd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return error_sys(err, errno, "'%.300s': cannot open the folder", path);
		r = set_attributes(u, fd, e, path, at, how || u->root.parent_setgid ? (mode_t)-1 : created, err);
		if (r < 0)
			return r;
	}
	if (how == 1 && (r = layer_set_opaque(fd)) < 0)
		return error_sys(err, r, "'%.300s': cannot make the folder opaque", path);
	return remember_dir(u, path, &at->times[1], err);
}

static int unpack_root(struct unpack *u, struct archive_entry *e, const struct attributes *at, struct error *err)
{
	if (archive_entry_filetype(e) != AE_IFDIR)
		return error_set(err, EINVAL, "'%.100s': the layer's root is no folder", archive_entry_pathname(e));
	if (fchown(u->root.fd, at->uid, at->gid) < 0)
		return owner_error(err, -errno, "/", at);
	if (fchmod(u->root.fd, at->mode) < 0)
		return error_sys(err, errno, "'/': cannot set mode %04o", at->mode);
	layer_forget_parent(&u->root); /* it may have become set-group-ID */
	return remember_dir(u, "", &at->times[1], err);
}

/* Runs MAKE (symlinkat and its like) and once more after removing what is in the way. */
#define MAKE_ENTRY(make)                                                                                               \
	({                                                                                                             \
		int make_r_ = (make);                                                                                  \
		if (make_r_ < 0 && errno == EEXIST) {                                                                  \
			make_r_ = layer_remove(&u->root, dirfd, base, err);                                            \
			if (make_r_ < 0)                                                                               \
				return make_r_;                                                                        \
			make_r_ = (make);                                                                              \
		}                                                                                                      \
		make_r_ < 0 ? -errno : 0;                                                                              \
	})

static int set_special_attributes(struct unpack *u, const char *path, int dirfd, const char *base,
				  const struct attributes *at, bool link, struct error *err)
{
	if ((at->uid || at->gid || u->root.parent_setgid) &&
	    fchownat(dirfd, base, at->uid, at->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return owner_error(err, -errno, path, at);
	/* nothing but us writes in this folder, and what we made a moment ago is no link: the name may be used */
	if (!link && fchmodat(dirfd, base, at->mode, 0) < 0)
		return error_sys(err, errno, "'%.300s': cannot set mode %04o", path, at->mode);
	if (utimensat(dirfd, base, at->times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "'%.300s': cannot set its times", path);
	return 0;
}

static int unpack_symlink(struct unpack *u, struct archive_entry *e, const char *path, int dirfd, const char *base,
			  const struct attributes *at, struct error *err)
{
	const char *target = archive_entry_symlink(e);
	int r;

	if (!target || !*target)
		return error_set(err, EINVAL, "'%.300s': a symbolic link without a target", path);
	r = MAKE_ENTRY(symlinkat(target, dirfd, base));
	if (r < 0)
		return error_sys(err, r, "'%.300s': cannot make the symbolic link", path);
	return set_special_attributes(u, path, dirfd, base, at, true, err);
}

/* Copies the file TARGET of the layers beneath into this layer, so that it can be linked to. */
static int copy_up(struct unpack *u, const char *target, int *ret_dirfd, const char **ret_base, struct error *err)
{
	_cleanup_close_ int from = -1, to = -1;
	off_t left;
	struct stat st;
	int dirfd, r;

	r = layer_open_lower(&u->root, target, &from, err);
	if (r < 0)
		return r;
	u->root.depends_on_lowers = true;
	if ((r = layer_open_parent(&u->root, target, &dirfd, ret_base, err)) < 0)
		return r;
	to = openat(dirfd, *ret_base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0 || fstat(from, &st) < 0)
		return error_sys(err, errno, "cannot copy '%.300s' from the layer beneath", target);
	for (left = st.st_size; left > 0;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)MIN(left, (off_t)1 << 30), 0);

		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EIO, "cannot copy '%.300s' from the layer beneath",
					 target);
		left -= n;
		u->result->bytes += (uint64_t)n;
	}
	r = layer_copy_metadata(from, to);
	if (r < 0)
		return error_sys(err, r, "cannot copy '%.300s' from the layer beneath", target);
	*ret_dirfd = dup(dirfd);
	return *ret_dirfd < 0 ? error_sys(err, errno, "cannot keep a folder open") : 0;
}

static int missing_target(struct error *err, const char *path, const char *target)
{
	return error_set(err, ENOENT, "'%.300s': a hard link to '%.300s', which this image does not have", path,
			 target);
}

static int unpack_hardlink(struct unpack *u, const char *path, const char *name, struct error *err)
{
	_cleanup_free_ char *target = NULL;
	_cleanup_close_ int from_dir = -1;
	const char *from_base = NULL, *base;
	struct stat from, to;
	int dirfd, r;

	r = layer_clean_name(name, &target, err);
	if (r < 0) {
		error_prefix(err, "'%.300s': the target of the hard link", path);
		return r;
	}
	if (!*target)
		return error_set(err, EINVAL, "'%.300s': a hard link to the root", path);
	r = layer_find_parent(&u->root, target, &from_dir, &from_base, err);
	if (r == 0 && fstatat(from_dir, from_base, &from, AT_SYMLINK_NOFOLLOW) < 0) {
		r = -errno;
		from_dir = safe_close(from_dir);
	}
	if (r == -ENOENT) {
		r = copy_up(u, target, &from_dir, &from_base, err);
		if (r == -ENOENT)
			return missing_target(err, path, target);
		if (r == 0 && fstatat(from_dir, from_base, &from, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
	}
	if (r < 0)
		return r;
	if (S_ISDIR(from.st_mode))
		return error_set(err, EINVAL, "'%.300s': a hard link to the folder '%.300s'", path, target);
	if (S_ISCHR(from.st_mode) && from.st_rdev == makedev(0, 0))
		return missing_target(err, path, target);
	if ((r = layer_open_parent(&u->root, path, &dirfd, &base, err)) < 0)
		return r;
	if (fstatat(dirfd, base, &to, AT_SYMLINK_NOFOLLOW) == 0 && to.st_ino == from.st_ino && to.st_dev == from.st_dev)
		return 0; /* to itself */
	r = MAKE_ENTRY(linkat(from_dir, from_base, dirfd, base, 0));
	if (r < 0)
		return error_sys(err, r, "'%.300s': cannot link it to '%.300s'", path, target);
	return 0;
}

static int unpack_node(struct unpack *u, struct archive_entry *e, const char *path, int dirfd, const char *base,
		       const struct attributes *at, struct error *err)
{
	mode_t type = archive_entry_filetype(e);
	dev_t dev = makedev(archive_entry_rdevmajor(e), archive_entry_rdevminor(e));
	int r;

	if (type != AE_IFIFO) {
		if (type == AE_IFCHR && dev == 0)
			return error_set(err, EINVAL,
					 "'%.300s': character device 0:0 is overlayfs's whiteout, no device", path);
		if (!u->request->limits->allow_devices)
			return error_set(
			    err, EPERM,
			    "'%.300s': the layer holds a device node (%s %u:%u) outside /dev; if you trust the image, "
			    "give --allow-devices",
			    path, type == AE_IFCHR ? "character device" : "block device", major(dev), minor(dev));
	}
	r = MAKE_ENTRY(mknodat(dirfd, base, type | 0600, type == AE_IFIFO ? 0 : dev));
	if (r == -EPERM)
		return error_set(err, EPERM, "'%.300s': only root makes device nodes: unpack the image as root", path);
	if (r < 0)
		return error_sys(err, r, "'%.300s': cannot make the node", path);
	return set_special_attributes(u, path, dirfd, base, at, false, err);
}

/* ".wh..wh..opq" in the folder DIRFD (an O_PATH descriptor), which is the root where PATH has no slash. */
static int apply_opaque(struct unpack *u, const char *path, int dirfd, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!strchr(path, '/')) {
		u->result->opaque_root =
		    true; /* overlayfs has no opaque root: whoever stacks the layers leaves the lower out */
		return 0;
	}
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : layer_set_opaque(fd);
	if (r < 0)
		return error_sys(err, r, "'%.300s': cannot make the folder opaque", path);
	return 0;
}

static int apply_whiteout(struct unpack *u, const char *path, int dirfd, const char *base, struct error *err)
{
	const char *name = base + strlen(WHITEOUT_PREFIX);
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (strcmp(base, WHITEOUT_OPAQUE) == 0)
		return apply_opaque(u, path, dirfd, err);
	if (strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
		return 0; /* AUFS's own files */
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return error_set(err, EINVAL, "'%.300s': a whiteout of nothing", path);
	r = layer_make_whiteout(dirfd, name);
	if (r != -EEXIST)
		return r < 0 ? error_sys(err, r, "'%.300s': cannot make the whiteout", path) : 0;
	/* The layer brings a new one itself: it hides a lower file as it is, and a lower folder when it is opaque. */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : layer_set_opaque(fd);
	return r < 0 ? error_sys(err, r, "'%.300s': cannot make the folder opaque", path) : 0;
}

static bool is_device_below_dev(struct archive_entry *e, const char *path)
{
	return strncmp(path, "dev/", 4) == 0 &&
	       (archive_entry_filetype(e) == AE_IFCHR || archive_entry_filetype(e) == AE_IFBLK);
}

static int unpack_typed(struct unpack *u, struct archive_entry *e, const char *path, struct error *err)
{
	struct attributes at;
	const char *base;
	int dirfd, r;

	r = read_attributes(u, e, path, &at, err);
	if (r < 0)
		return r;
	if (!*path)
		return unpack_root(u, e, &at, err);
	if (is_device_below_dev(e, path) && !u->request->limits->allow_devices) {
		u->result->skipped_devices++;
		return 0;
	}
	r = layer_open_parent(&u->root, path, &dirfd, &base, err);
	if (r < 0)
		return r;
	if (strncmp(base, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
		return apply_whiteout(u, path, dirfd, base, err);
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return unpack_file(u, e, path, dirfd, base, &at, err);
	case AE_IFDIR:
		return unpack_dir(u, e, path, dirfd, base, &at, err);
	case AE_IFLNK:
		return unpack_symlink(u, e, path, dirfd, base, &at, err);
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		return unpack_node(u, e, path, dirfd, base, &at, err);
	default:
		return error_set(err, EINVAL, "'%.300s': an entry of unknown type 0%o", path,
				 (unsigned)archive_entry_filetype(e));
	}
}

static int unpack_entry(struct unpack *u, struct archive_entry *e, struct error *err)
{
	const char *name = archive_entry_pathname(e), *link = archive_entry_hardlink(e);
	_cleanup_free_ char *path = NULL;
	int r;

	if (!name)
		return error_set(err, EILSEQ, "an entry of the layer has no readable name");
	r = layer_clean_name(name, &path, err);
	if (r < 0)
		return r;
	return link ? unpack_hardlink(u, path, link, err) : unpack_typed(u, e, path, err);
}

/* Folder times last, because every entry made in a folder changes them; a folder that was replaced is passed over. */
static void set_dir_times(struct unpack *u)
{
	for (size_t i = 0; i < u->n_dirs; i++) {
		_cleanup_close_ int dir = -1, fd = -1;
		const char *base = NULL;

		if (!*u->dirs[i].path) {
			futimens(u->root.fd, (struct timespec[]){u->dirs[i].mtime, u->dirs[i].mtime});
			continue;
		}
		if (layer_find_parent(&u->root, u->dirs[i].path, &dir, &base, NULL) < 0)
			continue;
		fd = openat(dir, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			futimens(fd, (struct timespec[]){u->dirs[i].mtime, u->dirs[i].mtime});
	}
}

static int unpack_entries(struct unpack *u, struct error *err)
{
	const struct image_limits *limits = u->request->limits;
	struct archive_entry *e;
	int r;

	for (;;) {
		r = archive_read_next_header(u->archive, &e);
		if (r == ARCHIVE_EOF)
			return 0;
		if (r == ARCHIVE_RETRY)
			continue;
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return archive_failed(u, NULL, err);
		if (++u->result->entries > limits->entries)
			return error_set(
			    err, EFBIG,
			    "the layer has more than %llu entries; raise the limit with --max-entries if you trust it",
			    (unsigned long long)limits->entries);
		r = unpack_entry(u, e, err);
		if (r < 0)
			return r;
	}
}

int unpack_layer(struct layer_stream *stream, const struct unpack_request *request, struct unpack_result *ret,
		 struct error *err)
{
	struct unpack_result result = {0};
	_cleanup_(unpack_free) struct unpack u = {
	    .request = request,
	    .result = &result,
	    .stream = stream,
	    .root = {.fd = request->root, .lowers = request->lowers, .n_lowers = request->n_lowers, .parent_fd = -1},
	};
	mode_t old_mask;
	int r;

	u.archive = archive_read_new();
	if (!u.archive)
		return error_oom(err);
	if (archive_read_support_format_tar(u.archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(u.archive) != ARCHIVE_OK ||
	    archive_read_open(u.archive, &u, NULL, read_stream, NULL) != ARCHIVE_OK)
		return archive_failed(&u, NULL, err);
	old_mask = umask(0);
	r = unpack_entries(&u, err);
	umask(old_mask);
	if (r < 0)
		return r;
	set_dir_times(&u);
	result.depends_on_lowers = u.root.depends_on_lowers;
	*ret = result;
	return 0;
}
