#include "image/unpack_path.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fdio.h"
#include "base/strbuf.h"
#include "image/limits.h"

#define LINK_HOPS_MAX 40

static int sys_openat2(int dirfd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS};
	long fd;

	/* EAGAIN: a rename or mount somewhere on the system raced with a ".." on the way; it says so to be sure */
	for (unsigned i = 0; i < 1000; i++) {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

int layer_clean_name(const char *name, char **ret, struct error *err)
{
	_cleanup_free_ char *clean = malloc(strlen(name) + 1);
	char *out = clean;
	unsigned depth = 0;

	if (!clean)
		return error_oom(err);
	for (const char *p = name; *p;) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.')
			return error_set(
			    err, EINVAL,
			    "'%.200s': a name with '..' could lead out of the layer; the image is broken or hostile",
			    name);
		if (len > NAME_MAX)
			return error_set(err, ENAMETOOLONG, "'%.100s...': a component of %zu bytes is longer than %d",
					 name, len, NAME_MAX);
		if (len && !(len == 1 && *p == '.')) {
			if (out != clean)
				*out++ = '/';
			memcpy(out, p, len);
			out += len;
			depth++;
		}
		p += len + (p[len] == '/');
	}
	*out = 0;
	if (out - clean >= PATH_MAX)
		return error_set(err, ENAMETOOLONG, "'%.100s...': a path of %zu bytes is longer than %d", name,
				 (size_t)(out - clean), PATH_MAX - 1);
	if (depth > IMAGE_DEPTH_MAX)
		return error_set(err, ENAMETOOLONG, "'%.100s...': %u folders below each other are more than %d", name,
				 depth, IMAGE_DEPTH_MAX);
	*ret = take_ptr(clean);
	return 0;
}

bool layer_is_whiteout(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(0, 0);
}

int layer_make_whiteout(int dirfd, const char *name)
{
	return mknodat(dirfd, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
}

int layer_set_opaque(int fd)
{
	return fsetxattr(fd, OVERLAY_OPAQUE_XATTR, "y", 1, 0) < 0 ? -errno : 0;
}

void layer_forget_parent(struct layer_root *root)
{
	free(root->parent);
	root->parent = NULL;
	root->parent_fd = safe_close(root->parent_fd);
}

int layer_remove(struct layer_root *root, int dirfd, const char *name, struct error *err)
{
	bool whiteout = layer_is_whiteout(dirfd, name);

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return whiteout;
	if (errno != EISDIR)
		return error_sys(err, errno, "cannot replace '%s'", name);
	if (dirfd != root->parent_fd) {
		layer_forget_parent(root);
		return remove_tree_at(dirfd, name, err);
	}
	/* the cached folder cannot lie inside the one we remove: it holds it */
	return remove_tree_at(dirfd, name, err);
}

bool layer_xattr_permitted(const char *name)
{
	if (strncmp(name, "user.", 5) == 0)
		return strncmp(name, "user.overlay.", 13) != 0;
	return strcmp(name, "security.capability") == 0 || strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static int copy_xattrs(int from, int to)
{
	_cleanup_free_ char *names = NULL, *value = NULL;
	ssize_t len = flistxattr(from, NULL, 0);

	if (len <= 0)
		return 0;
	names = malloc((size_t)len);
	value = malloc(XATTR_SIZE_MAX);
	if (!names || !value)
		return -ENOMEM;
	len = flistxattr(from, names, (size_t)len);
	for (const char *n = names; len > 0 && n < names + len; n += strlen(n) + 1) {
		ssize_t size;

		if (!layer_xattr_permitted(n))
			continue;
		size = fgetxattr(from, n, value, XATTR_SIZE_MAX);
		if (size >= 0 && fsetxattr(to, n, value, (size_t)size, 0) < 0 && errno != ENOTSUP)
			return -errno;
	}
	return 0;
}

int layer_copy_metadata(int from, int to)
{
	struct stat st;
	int r;

	if (fstat(from, &st) < 0)
		return -errno;
	if (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
		return -errno;
	r = copy_xattrs(from, to);
	if (r < 0)
		return r;
	return futimens(to, (struct timespec[]){st.st_atim, st.st_mtim}) < 0 ? -errno : 0;
}

/* Whether a folder above PATH in the layer LOWER cuts PATH off from the layers beneath it. */
static bool hides(int lower, const char *path)
{
	_cleanup_free_ char *prefix = strdup(path);

	if (!prefix)
		return true;
	for (char *slash = strchr(prefix, '/'); slash; slash = strchr(slash + 1, '/')) {
		_cleanup_close_ int fd = -1;
		int r;

		*slash = 0;
		r = sys_openat2(lower, prefix, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		*slash = '/';
		if (r == -ENOENT)
			return false;
		if (r < 0)
			return true;
		fd = r;
		if (fgetxattr(fd, OVERLAY_OPAQUE_XATTR, NULL, 0) > 0)
			return true;
	}
	return false;
}

/*
 * What the layers beneath show at PATH, whose folders are no symbolic links: an O_PATH descriptor of the thing itself,
 * or -ENOENT.
 */
static int find_lower(struct layer_root *root, const char *path, int *ret_fd)
{
	for (size_t i = 0; i < root->n_lowers; i++) {
		_cleanup_close_ int fd =
		    sys_openat2(root->lowers[i], path, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		struct stat st;

		if (fd >= 0) {
			if (fstat(fd, &st) < 0)
				return -errno;
			if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
				return -ENOENT;
			*ret_fd = take_fd(&fd);
			return 0;
		}
		if (fd != -ENOENT && fd != -ENOTDIR && fd != -ELOOP)
			return fd;
		if (hides(root->lowers[i], path))
			return -ENOENT;
	}
	return -ENOENT;
}

/* A walk through the merged layers that makes the folders it comes to. */
struct walk {
	struct layer_root *root;
	struct strbuf at;   /* the real path so far */
	struct strbuf rest; /* components to come */
	int fd;		    /* of `at`, O_PATH */
	unsigned hops;
};

static void walk_free(struct walk *w)
{
	strbuf_free(&w->at);
	strbuf_free(&w->rest);
	safe_close(w->fd);
}

static int walk_to(struct walk *w, int fd)
{
	if (fd < 0)
		return fd;
	safe_close(w->fd);
	w->fd = fd;
	return 0;
}

static int walk_up(struct walk *w)
{
	char *slash = w->at.data ? strrchr(w->at.data, '/') : NULL;

	if (w->at.len == 0)
		return 0; /* ".." of the root is the root */
	w->at.len = slash ? (size_t)(slash - w->at.data) : 0;
	w->at.data[w->at.len] = 0;
	return walk_to(w, sys_openat2(w->root->fd, w->at.len ? w->at.data : ".", O_PATH | O_DIRECTORY,
				      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
}

static int walk_down(struct walk *w, const char *name)
{
	int r = walk_to(
	    w, sys_openat2(w->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));

	if (r < 0)
		return r;
	if (w->at.len)
		strbuf_addc(&w->at, '/');
	strbuf_adds(&w->at, name);
	return strbuf_failed(&w->at) ? -ENOMEM : 0;
}

/* Goes on with TARGET, a symbolic link's, in place of the link. */
static int walk_link(struct walk *w, const char *target)
{
	struct strbuf rest = STRBUF_INIT;

	if (++w->hops > LINK_HOPS_MAX || !*target)
		return -ELOOP;
	strbuf_addf(&rest, "%s/%s", target, strbuf_str(&w->rest));
	if (strbuf_failed(&rest))
		return -ENOMEM;
	strbuf_free(&w->rest);
	w->rest = rest;
	if (w->rest.len > 4 * PATH_MAX)
		return -ENAMETOOLONG;
	if (*target == '/') {
		strbuf_reset(&w->at);
		return walk_to(w, sys_openat2(w->root->fd, ".", O_PATH | O_DIRECTORY, 0));
	}
	return 0;
}

static int make_folder(struct walk *w, const char *name, int like, bool opaque)
{
	_cleanup_close_ int fd = -1;
	int r = 0;

	if (mkdirat(w->fd, name, 0755) < 0)
		return -errno;
	fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (like >= 0) {
		r = layer_copy_metadata(like, fd);
	} else if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0755) < 0) {
		r = -errno;
	}
	if (r >= 0 && opaque)
		r = layer_set_opaque(fd);
	return r < 0 ? r : walk_down(w, name);
}

static int read_link(int dirfd, const char *name, char target[PATH_MAX])
{
	ssize_t n = readlinkat(dirfd, name, target, PATH_MAX);

	if (n < 0)
		return -errno;
	if (n == PATH_MAX)
		return -ENAMETOOLONG;
	target[n] = 0;
	return 0;
}

/* NAME is not in this layer: the layers beneath say what it is. */
static int walk_missing(struct walk *w, const char *name)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int lower = -1, dir = -1;
	char target[PATH_MAX];
	struct stat st;
	int r;

	w->root->depends_on_lowers = true;
	if (asprintf(&path, "%s%s%s", strbuf_str(&w->at), w->at.len ? "/" : "", name) < 0)
		return -ENOMEM;
	r = find_lower(w->root, path, &lower);
	if (r == -ENOENT)
		return make_folder(w, name, -1, false);
	if (r < 0)
		return r;
	if (fstat(lower, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) {
		r = read_link(lower, "", target);
		return r < 0 ? r : walk_link(w, target);
	}
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	dir = sys_openat2(lower, ".", O_RDONLY | O_DIRECTORY, 0);
	return dir < 0 ? dir : make_folder(w, name, dir, false);
}

static int walk_step(struct walk *w, const char *name)
{
	char target[PATH_MAX];
	struct stat st;
	int r;

	if (strcmp(name, "..") == 0)
		return walk_up(w);
	if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? walk_missing(w, name) : -errno;
	if (S_ISDIR(st.st_mode))
		return walk_down(w, name);
	if (S_ISLNK(st.st_mode)) {
		r = read_link(w->fd, name, target);
		return r < 0 ? r : walk_link(w, target);
	}
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0)) { /* whited out, and now there is something below it */
		if (unlinkat(w->fd, name, 0) < 0)
			return -errno;
		return make_folder(w, name, -1, true);
	}
	return -ENOTDIR;
}

static unsigned depth_of(const char *path)
{
	unsigned depth = 1;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

/* Makes the folder PATH, component by component; the result is an O_PATH descriptor. */
static int make_parents(struct layer_root *root, const char *path)
{
	_cleanup_(walk_free) struct walk w = {.root = root, .fd = -1};
	int r = walk_to(&w, sys_openat2(root->fd, ".", O_PATH | O_DIRECTORY, 0));

	if (r < 0)
		return r;
	strbuf_adds(&w.rest, path);
	while (w.rest.len) {
		char name[NAME_MAX + 1];
		size_t len = strcspn(w.rest.data, "/"), skip = len;

		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, w.rest.data, len);
		name[len] = 0;
		while (w.rest.data[skip] == '/')
			skip++;
		memmove(w.rest.data, w.rest.data + skip, w.rest.len - skip + 1);
		w.rest.len -= skip;
		if (len == 0 || strcmp(name, ".") == 0)
			continue;
		r = walk_step(&w, name);
		if (r < 0)
			return r;
		if (depth_of(strbuf_str(&w.at)) > IMAGE_DEPTH_MAX)
			return -ENAMETOOLONG;
	}
	return strbuf_failed(&w.rest) ? -ENOMEM : take_fd(&w.fd);
}

static int parent_error(struct error *err, int r, const char *path)
{
	if (r == -ENOTDIR)
		return error_set(err, ENOTDIR, "'%.300s': a folder above it is no folder in this image", path);
	if (r == -ELOOP)
		return error_set(err, ELOOP, "'%.300s': too many symbolic links above it", path);
	return error_sys(err, r, "'%.300s': cannot make the folders above it", path);
}

int layer_open_parent(struct layer_root *root, const char *path, int *ret_fd, const char **ret_base, struct error *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	_cleanup_free_ char *parent = NULL;
	struct stat st;
	int fd;

	*ret_base = slash ? slash + 1 : path;
	if (root->parent && strlen(root->parent) == len && strncmp(root->parent, path, len) == 0) {
		*ret_fd = root->parent_fd;
		return 0;
	}
	layer_forget_parent(root);
	parent = strndup(path, len);
	if (!parent)
		return error_oom(err);
	fd = sys_openat2(root->fd, len ? parent : ".", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_XDEV);
	if (fd == -ENOENT || fd == -ENOTDIR)
		fd = make_parents(root, parent);
	if (fd < 0)
		return parent_error(err, fd, path);
	if (fstat(fd, &st) < 0) {
		close(fd);
		return error_sys(err, errno, "'%.300s': cannot look at the folder above it", path);
	}
	root->parent = take_ptr(parent);
	root->parent_fd = fd;
	root->parent_setgid = st.st_mode & S_ISGID;
	*ret_fd = fd;
	return 0;
}

int layer_find_parent(struct layer_root *root, const char *path, int *ret_fd, const char **ret_base, struct error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	int fd;

	if (!parent)
		return error_oom(err);
	fd = sys_openat2(root->fd, parent, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_XDEV);
	if (fd < 0)
		return fd == -ENOENT ? -ENOENT : parent_error(err, fd, path);
	*ret_base = slash ? slash + 1 : path;
	*ret_fd = fd;
	return 0;
}

int layer_open_lower(struct layer_root *root, const char *path, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r = find_lower(root, path, &fd);

	if (r < 0)
		return r == -ENOENT ? r : error_sys(err, r, "cannot look for '%.300s' in the layers beneath", path);
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "cannot look at '%.300s' in the layers beneath", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "'%.300s' in the layers beneath is no regular file", path);
	/* reopened by its name: O_PATH descriptors cannot be read, and /proc may not be there */
	for (size_t i = 0; i < root->n_lowers; i++) {
		struct stat there;

		r = sys_openat2(root->lowers[i], path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		if (r >= 0 && fstat(r, &there) == 0 && there.st_ino == st.st_ino && there.st_dev == st.st_dev) {
			*ret_fd = r;
			return 0;
		}
		safe_close(r);
	}
	return -ENOENT;
}
