#include "image/content.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "image/reference.h"
#include "image/store.h"

#define STORE_MARK "ringwall-store"
#define STORE_VERSION "1\n"

static const char *const folders[] = {"blobs", "blobs/sha256", "blobs/sha512", "images", "ingest", "layers", "pins"};

static bool directory_is_empty(int dirfd)
{
	_cleanup_closedir_ DIR *dir = NULL;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;

	if (fd < 0)
		return false;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	while ((e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    strcmp(e->d_name, "lost+found") != 0 &&
		    strncmp(e->d_name, STORE_MARK, strlen(STORE_MARK)) != 0) /* somebody was killed while marking it */
			return false;
	return true;
}

/* 1: marked; 0: not. */
static int read_mark(int dirfd, const char *path, struct error *err)
{
	_cleanup_free_ char *text = NULL;

	if (file_read_at(dirfd, STORE_MARK, 64, &text, NULL, NULL) < 0)
		return 0;
	if (strcmp(text, STORE_VERSION) != 0)
		return error_set(err, ENOTSUP, "the image store '%s' has format '%.20s', this version knows '%.1s'",
				 path, text, STORE_VERSION);
	return 1;
}

/* A new store is marked first, under a lock, since others may be making it too; a folder that holds other things is
 * none. */
static int check_mark(int dirfd, const char *path, struct error *err)
{
	int r = read_mark(dirfd, path, err);

	if (r != 0)
		return r < 0 ? r : 0;
	while (flock(dirfd, LOCK_EX) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot lock '%s'", path);
	r = read_mark(dirfd, path, err);
	if (r == 0 && !directory_is_empty(dirfd))
		r = error_set(err, ENOTEMPTY,
			      "'%s' is not an image store and not empty: choose another folder with --store", path);
	else if (r == 0)
		r = file_replace_at(dirfd, STORE_MARK, STORE_VERSION, strlen(STORE_VERSION), 0600, err);
	flock(dirfd, LOCK_UN);
	return r < 0 ? r : 0;
}

int content_open(const char *path, struct content *ret, struct error *err)
{
	_cleanup_free_ char *where = image_store_default_path(path);
	_cleanup_content_ struct content c = CONTENT_INIT;
	struct stat st = {0};
	int r;

	if (!where)
		return error_set(err, ENOENT, "no place for the image store: set HOME or give --store DIR");
	r = mkdir_parents_at(AT_FDCWD, where, 0700);
	if (r < 0)
		return error_sys(err, r, "cannot make the image store '%s'", where);
	c.dirfd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c.dirfd < 0)
		return error_sys(err, errno, "cannot open the image store '%s'", where);
	c.path = realpath(where, NULL);
	if (!c.path)
		return error_sys(err, errno, "cannot find the image store '%s'", where);
	if (strchr(c.path, ':') || strchr(c.path, ',') || strchr(c.path, '\\'))
		return error_set(
		    err, EINVAL,
		    "the image store '%s' cannot be used: overlayfs takes no ':', ',' or '\\' in a layer's path",
		    c.path);
	if (fstat(c.dirfd, &st) < 0 || st.st_uid != geteuid())
		return error_set(err, EPERM, "the image store '%s' belongs to another user (%u)", c.path, st.st_uid);
	r = check_mark(c.dirfd, c.path, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (mkdirat(c.dirfd, folders[i], 0700) < 0 && errno != EEXIST)
			return error_sys(err, errno, "cannot make '%s/%s'", c.path, folders[i]);
	/* set-user-ID programs of images must be out of reach for the host's other users */
	if (fchmod(c.dirfd, 0700) < 0)
		return error_sys(err, errno, "cannot close '%s' to other users", c.path);
	*ret = c;
	c = CONTENT_INIT;
	return 0;
}

void content_close(struct content *c)
{
	safe_close(c->dirfd);
	safe_close(c->lock);
	free(c->path);
	*c = CONTENT_INIT;
}

int content_lock(struct content *c, bool exclusive, bool wait, struct error *err)
{
	if (c->lock < 0)
		c->lock = openat(c->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (c->lock < 0)
		return error_sys(err, errno, "cannot open '%s/lock'", c->path);
	while (flock(c->lock, (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EWOULDBLOCK)
			return error_set(err, EWOULDBLOCK, "the image store '%s' is in use by another command",
					 c->path);
		return error_sys(err, errno, "cannot lock '%s/lock'", c->path);
	}
	return 0;
}

char *content_blob_path(const char *digest)
{
	const char *hex = strchr(digest, ':');
	char *path;

	return asprintf(&path, "blobs/%.*s/%s", (int)(hex - digest), digest, hex + 1) < 0 ? NULL : path;
}

int content_blob_open(struct content *c, const char *digest, int *ret_fd, uint64_t *ret_size, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (!image_digest_valid(digest))
		return error_set(err, EINVAL, "'%s' is no sha256 or sha512 digest", digest);
	path = content_blob_path(digest);
	if (!path)
		return error_oom(err);
	fd = openat(c->dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_sys(err, errno, "cannot open blob '%s/%s'", c->path, path);
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "cannot look at blob '%s/%s'", c->path, path);
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	*ret_fd = take_fd(&fd);
	return 0;
}

bool content_blob_exists(struct content *c, const char *digest)
{
	_cleanup_close_ int fd = -1;

	return content_blob_open(c, digest, &fd, NULL, NULL) == 0;
}

int content_blob_read(struct content *c, const char *digest, size_t max, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_hash_ struct hash *h = NULL;
	_cleanup_free_ char *data = NULL;
	_cleanup_close_ int fd = -1;
	char got[DIGEST_TEXT_MAX];
	size_t len;
	int r;

	r = content_blob_open(c, digest, &fd, NULL, err);
	if (r < 0)
		return r;
	r = fd_read_all(fd, max, &data, &len);
	if (r == -EFBIG)
		return error_set(err, EFBIG, "blob %s is larger than the limit of %zu bytes", digest, max);
	if (r < 0)
		return error_sys(err, r, "cannot read blob %s", digest);
	if ((r = hash_new(digest, &h, err)) < 0)
		return r;
	hash_update(h, data, len);
	if ((r = hash_final(h, got, err)) < 0)
		return r;
	if (strcmp(got, digest) != 0)
		return error_set(
		    err, EBADMSG,
		    "blob %s in the store is damaged (it has digest %s): run 'ringwall image check --repair', then "
		    "pull the image again",
		    digest, got);
	*ret = take_ptr(data);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int content_blob_put(struct content *c, const void *data, size_t len, char ret_digest[DIGEST_TEXT_MAX],
		     struct error *err)
{
	_cleanup_blob_ struct blob_writer w = BLOB_WRITER_INIT;
	char digest[DIGEST_TEXT_MAX];
	int r;

	if ((r = hash_bytes(data, len, digest, err)) < 0)
		return r;
	if (!content_blob_exists(c, digest)) {
		if ((r = blob_begin(c, NULL, UINT64_MAX, &w, err)) < 0 || (r = blob_append(&w, data, len, err)) < 0 ||
		    (r = blob_commit(&w, err)) < 0)
			return r;
	}
	strcpy(ret_digest, digest);
	return 0;
}

/* Whether FD is still what the file NAME of ingest/ is: a finished writer renames or removes it while we wait. */
static bool still_named(struct content *c, int fd, const char *name)
{
	struct stat mine, there;
	char path[NAME_MAX + 16];

	snprintf(path, sizeof(path), "ingest/%s", name);
	return fstat(fd, &mine) == 0 && fstatat(c->dirfd, path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

/* Opens ingest/NAME and takes its lock: -EAGAIN when another holds it and not WAIT. */
static int open_locked(struct content *c, const char *name, bool wait, int *ret, struct error *err)
{
	char path[NAME_MAX + 16];

	snprintf(path, sizeof(path), "ingest/%s", name);
	for (;;) {
		_cleanup_close_ int fd = openat(c->dirfd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return error_sys(err, errno, "cannot open '%s/%s'", c->path, path);
		if (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EWOULDBLOCK)
				return error_set(err, EAGAIN, "another command is writing '%s/%s'", c->path, path);
			return error_sys(err, errno, "cannot lock '%s/%s'", c->path, path);
		}
		if (still_named(c, fd, name)) {
			*ret = take_fd(&fd);
			return 0;
		}
	}
}

/* Hashes what an earlier attempt left. */
static int resume(struct blob_writer *w, struct error *err)
{
	_cleanup_free_ char *buf = malloc(256 << 10);

	if (!buf)
		return error_oom(err);
	for (;;) {
		ssize_t n = read(w->fd, buf, 256 << 10);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "cannot read '%s/ingest/%s'", w->content->path, w->name);
		if (n == 0)
			break;
		w->offset += (uint64_t)n;
		if (w->offset > w->size)
			return blob_restart(w, err);
		hash_update(w->hash, buf, (size_t)n);
	}
	return 0;
}

static void writer_free(struct blob_writer *w)
{
	safe_close(w->fd);
	hash_free(w->hash);
	*w = BLOB_WRITER_INIT;
}

static int begin_anonymous(struct content *c, struct blob_writer *w, struct error *err)
{
	uint64_t id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return error_sys(err, errno, "cannot get a random number");
	snprintf(w->name, sizeof(w->name), "new-%016llx", (unsigned long long)id);
	return open_locked(c, w->name, false, &w->fd, err);
}

int blob_begin(struct content *c, const char *digest, uint64_t size, struct blob_writer *w, struct error *err)
{
	int r;

	*w = BLOB_WRITER_INIT;
	w->content = c;
	w->size = size;
	if (digest && !image_digest_valid(digest))
		return error_set(err, EINVAL, "'%s' is no sha256 or sha512 digest", digest);
	if (digest && content_blob_exists(c, digest))
		return 1;
	r = hash_new(digest ?: "sha256", &w->hash, err);
	if (r < 0)
		return r;
	if (digest) {
		strcpy(w->digest, digest);
		snprintf(w->name, sizeof(w->name), "%s", digest);
		*strchr(w->name, ':') = '-';
		r = open_locked(c, w->name, false, &w->fd, err);
	} else {
		r = begin_anonymous(c, w, err);
	}
	if (r < 0) {
		writer_free(w);
		return r;
	}
	if (digest && content_blob_exists(c, digest)) { /* finished while we came to the lock */
		blob_abort(w, false);
		return 1;
	}
	r = resume(w, err);
	if (r < 0)
		writer_free(w);
	return r;
}

int blob_restart(struct blob_writer *w, struct error *err)
{
	_cleanup_hash_ struct hash *h = NULL;
	int r = hash_new(w->digest[0] ? w->digest : "sha256", &h, err);

	if (r < 0)
		return r;
	if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
		return error_sys(err, errno, "cannot empty '%s/ingest/%s'", w->content->path, w->name);
	hash_free(w->hash);
	w->hash = take_ptr(h);
	w->offset = 0;
	return 0;
}

int blob_append(struct blob_writer *w, const void *data, size_t len, struct error *err)
{
	int r;

	if (len > w->size - w->offset)
		return error_set(err, EFBIG, "blob %s is longer than its descriptor says (%llu bytes)", w->digest,
				 (unsigned long long)w->size);
	r = fd_write_all(w->fd, data, len);
	if (r < 0)
		return error_sys(err, r, "cannot write '%s/ingest/%s'", w->content->path, w->name);
	hash_update(w->hash, data, len);
	w->offset += len;
	return 0;
}

static int verify(struct blob_writer *w, struct error *err)
{
	char got[DIGEST_TEXT_MAX];
	int r;

	if (w->size != UINT64_MAX && w->offset != w->size)
		return error_set(err, EBADMSG, "blob %s has %llu bytes, its descriptor says %llu", w->digest,
				 (unsigned long long)w->offset, (unsigned long long)w->size);
	r = hash_final(w->hash, got, err);
	if (r < 0)
		return r;
	if (w->digest[0] && strcmp(w->digest, got) != 0)
		return error_set(err, EBADMSG, "blob %s has the wrong content: its digest is %s", w->digest, got);
	strcpy(w->digest, got);
	return 0;
}

int blob_commit(struct blob_writer *w, struct error *err)
{
	_cleanup_free_ char *to = NULL;
	char from[NAME_MAX + 16];
	int r = verify(w, err);

	if (r < 0) {
		blob_abort(w, false);
		return r;
	}
	to = content_blob_path(w->digest);
	if (!to)
		return error_oom(err);
	snprintf(from, sizeof(from), "ingest/%s", w->name);
	if (fchmod(w->fd, 0400) < 0 || renameat(w->content->dirfd, from, w->content->dirfd, to) < 0)
		return error_sys(err, errno, "cannot commit '%s/%s'", w->content->path, to);
	w->fd = safe_close(w->fd);
	hash_free(w->hash);
	w->hash = NULL;
	return 0;
}

void blob_abort(struct blob_writer *w, bool keep)
{
	char path[NAME_MAX + 16];

	if (w->fd < 0) {
		hash_free(w->hash);
		w->hash = NULL;
		return;
	}
	snprintf(path, sizeof(path), "ingest/%s", w->name);
	if (!keep || !w->digest[0] || w->offset == 0)
		unlinkat(w->content->dirfd, path, 0);
	w->fd = safe_close(w->fd);
	hash_free(w->hash);
	w->hash = NULL;
}

void layer_id(const char *digest, bool chain, char ret[DIGEST_TEXT_MAX + 8])
{
	snprintf(ret, DIGEST_TEXT_MAX + 8, "%s%s", chain ? "chain-" : "", digest);
	*strchr(ret, ':') = '-';
}

bool content_layer_exists(struct content *c, const char *id)
{
	char path[NAME_MAX + 16];

	snprintf(path, sizeof(path), "layers/%s/layer.json", id);
	return faccessat(c->dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int content_layer_open(struct content *c, const char *id, int *ret_fd, struct error *err)
{
	char path[NAME_MAX + 16];
	int fd;

	snprintf(path, sizeof(path), "layers/%s/diff", id);
	fd = openat(c->dirfd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "cannot open layer '%s/%s'", c->path, path);
	*ret_fd = fd;
	return 0;
}

int layer_begin(struct content *c, const char *key, struct layer_writer *w, struct error *err)
{
	char lock[NAME_MAX + 1], path[NAME_MAX + 16];
	int r;

	*w = LAYER_WRITER_INIT;
	w->content = c;
	snprintf(w->name, sizeof(w->name), "layer-%s", key);
	snprintf(lock, sizeof(lock), "%s.lock", w->name);
	r = open_locked(c, lock, true, &w->lock, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "ingest/%s", w->name);
	r = remove_tree_at(c->dirfd, path, err); /* a killed writer's */
	if (r < 0)
		return r;
	if (mkdirat(c->dirfd, path, 0700) < 0)
		return error_sys(err, errno, "cannot make '%s/%s'", c->path, path);
	w->dirfd = openat(c->dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->dirfd < 0 || mkdirat(w->dirfd, "diff", 0755) < 0)
		return error_sys(err, errno, "cannot make '%s/%s/diff'", c->path, path);
	w->diff = openat(w->dirfd, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->diff < 0 || fchmod(w->diff, 0755) < 0)
		return error_sys(err, errno, "cannot open '%s/%s/diff'", c->path, path);
	return 0;
}

int layer_commit(struct layer_writer *w, const char *id, const char *info, struct error *err)
{
	char from[NAME_MAX + 16], to[NAME_MAX + 16];
	struct content *c = w->content;
	int r = file_replace_at(w->dirfd, "layer.json", info, strlen(info), 0600, err);

	if (r < 0)
		return r;
	snprintf(from, sizeof(from), "ingest/%s", w->name);
	snprintf(to, sizeof(to), "layers/%s", id);
	if (renameat2(c->dirfd, from, c->dirfd, to, RENAME_NOREPLACE) < 0 && errno != EEXIST)
		return error_sys(err, errno, "cannot commit '%s/%s'", c->path, to);
	return 0;
}

void layer_end(struct layer_writer *w)
{
	char path[NAME_MAX + 16];

	if (w->lock < 0)
		return;
	w->diff = safe_close(w->diff);
	w->dirfd = safe_close(w->dirfd);
	snprintf(path, sizeof(path), "ingest/%s", w->name);
	remove_tree_at(w->content->dirfd, path, NULL);
	snprintf(path, sizeof(path), "ingest/%s.lock", w->name);
	unlinkat(w->content->dirfd, path, 0);
	w->lock = safe_close(w->lock);
}
