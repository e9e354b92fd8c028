#include "image/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fdio.h"
#include "image/unpack_path.h"

#define MEMBERS_MAX 100000
#define LINKS_MAX 16

struct member {
	char *name; /* owned, clean */
	char *link; /* of a symbolic or hard link, owned; already relative to the archive's root */
	uint64_t offset, size;
};

struct bundle {
	char *path;		/* for messages */
	int dirfd;		/* a folder, or -1 */
	int file;		/* the file found last in the folder */
	int tar;		/* a plain, seekable tar file */
	struct member *members; /* sorted by name */
	size_t n, cap;
};

static int compare_members(const void *a, const void *b)
{
	return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

/* The target of the symbolic link NAME as a name from the root; NULL when it leads out. */
static char *absolute_link(const char *name, const char *target)
{
	_cleanup_free_ char *text = NULL;
	char *out, *result, *save = NULL;
	const char *slash = strrchr(name, '/');

	if (asprintf(&text, "%.*s/%s", *target == '/' || !slash ? 0 : (int)(slash - name), name, target) < 0)
		return NULL;
	result = calloc(1, strlen(text) + 2);
	if (!result)
		return NULL;
	out = result;
	for (char *part = strtok_r(text, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			if (out == result) {
				free(result);
				return NULL;
			}
			while (out > result && *--out != '/')
				;
			*out = 0;
			continue;
		}
		if (out != result)
			*out++ = '/';
		out = stpcpy(out, part);
	}
	return result;
}

static int add_member(struct bundle *b, struct archive *a, struct archive_entry *e, struct error *err)
{
	const char *name = archive_entry_pathname(e), *link = archive_entry_hardlink(e);
	bool symlink = archive_entry_filetype(e) == AE_IFLNK;
	struct member *m;
	int r;

	if (!name)
		return error_set(err, EILSEQ, "'%s': a member has no readable name", b->path);
	if (!link && !symlink && archive_entry_filetype(e) != AE_IFREG)
		return 0;
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 64;

		if (cap > MEMBERS_MAX)
			return error_set(err, EFBIG, "'%s': more than %d members", b->path, MEMBERS_MAX / 2);
		m = reallocarray(b->members, cap, sizeof(*m));
		if (!m)
			return error_oom(err);
		b->members = m;
		b->cap = cap;
	}
	m = &b->members[b->n];
	*m = (struct member){.offset = (uint64_t)archive_filter_bytes(a, 0), .size = (uint64_t)archive_entry_size(e)};
	r = layer_clean_name(name, &m->name, err);
	if (r < 0) {
		error_prefix(err, "'%s'", b->path);
		return r;
	}
	b->n++;
	if (!link && !symlink)
		return archive_entry_sparse_count(e)
			   ? error_set(err, ENOTSUP, "'%s': '%s' is a sparse member", b->path, name)
			   : 0;
	m->link = link ? absolute_link("", link) : absolute_link(m->name, archive_entry_symlink(e) ?: "");
	if (!m->link)
		return error_set(err, EINVAL, "'%s': the link '%.200s' leads out of the archive", b->path, name);
	return 0;
}

static int index_tar(struct bundle *b, struct error *err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int r;

	if (!a)
		return error_oom(err);
	if (lseek(b->tar, 0, SEEK_SET) < 0 || archive_read_append_filter(a, ARCHIVE_FILTER_NONE) != ARCHIVE_OK ||
	    archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_open_fd(a, b->tar, 64 << 10) != ARCHIVE_OK) {
		r = error_set(err, EINVAL, "'%s' is no tar archive: %s", b->path,
			      archive_error_string(a) ?: strerror(errno));
		goto out;
	}
	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		r = add_member(b, a, e, err);
		if (r < 0)
			goto out;
	}
	r = r == ARCHIVE_EOF ? 0
			     : error_set(err, EBADMSG, "'%s' is no tar archive, or a damaged one: %s", b->path,
					 archive_error_string(a) ?: "unknown reason");
	if (r == 0 && b->n)
		qsort(b->members, b->n, sizeof(*b->members), compare_members);
out:
	archive_read_free(a);
	return r;
}

/* Unpacks (or copies) FD to a nameless file below the store's ingest/. */
static int spool(struct bundle *b, int fd, struct content *c, const struct image_limits *limits, struct error *err)
{
	_cleanup_layer_stream_ struct layer_stream *stream = NULL;
	struct layer_input in = {.fd = fd, .length = UINT64_MAX};
	struct image_limits spool_limits = *limits;
	char digest[DIGEST_TEXT_MAX];
	const void *p;
	uint64_t size;
	ssize_t n;
	int r;

	b->tar = openat(c->dirfd, "ingest", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (b->tar < 0)
		return error_sys(err, errno, "cannot make a temporary file in '%s/ingest'", c->path);
	if (spool_limits.unpacked < UINT64_MAX / 4)
		spool_limits.unpacked *= 2; /* it holds several layers */
	r = layer_stream_open(&in, &spool_limits, &stream, err);
	if (r < 0)
		return r;
	while ((n = layer_stream_next(stream, &p)) > 0) {
		r = fd_write_all(b->tar, p, (size_t)n);
		if (r < 0)
			return error_sys(err, r, "cannot write a temporary file in '%s/ingest'", c->path);
	}
	r = layer_stream_finish(stream, digest, &size, err);
	if (r < 0)
		error_prefix(err, "'%s'", b->path);
	return r;
}

static bool is_plain_tar(int fd)
{
	char block[512];

	return pread(fd, block, sizeof(block), 0) == sizeof(block) && memcmp(block + 257, "ustar", 5) == 0;
}

int bundle_open(int fd, const char *path, struct content *c, const struct image_limits *limits, struct bundle **ret,
		struct error *err)
{
	_cleanup_close_ int owned = fd;
	_cleanup_bundle_ struct bundle *b = calloc(1, sizeof(*b));
	struct stat st;
	int r;

	if (!b)
		return error_oom(err);
	b->dirfd = b->tar = b->file = -1;
	b->path = strdup(path);
	if (!b->path)
		return error_oom(err);
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "cannot look at '%s'", path);
	if (S_ISDIR(st.st_mode)) {
		b->dirfd = take_fd(&owned);
	} else {
		if (S_ISREG(st.st_mode) && is_plain_tar(fd))
			b->tar = take_fd(&owned);
		else if ((r = spool(b, fd, c, limits, err)) < 0)
			return r;
		r = index_tar(b, err);
		if (r < 0)
			return r;
	}
	*ret = take_ptr(b);
	return 0;
}

void bundle_close(struct bundle *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++) {
		free(b->members[i].name);
		free(b->members[i].link);
	}
	free(b->members);
	safe_close(b->dirfd);
	safe_close(b->file);
	safe_close(b->tar);
	free(b->path);
	free(b);
}

static int find_in_folder(struct bundle *b, const char *name, struct layer_input *ret, struct error *err)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	struct stat st;
	int fd = -1;

	for (unsigned i = 0; i < 1000 && fd < 0; i++) { /* EAGAIN: something was renamed while ".." was resolved */
		fd = (int)syscall(SYS_openat2, b->dirfd, name, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN)
			break;
	}
	if (fd < 0)
		return error_sys(err, errno, "cannot open '%s' in '%s'", name, b->path);
	safe_close(b->file);
	b->file = fd;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "cannot look at '%s' in '%s'", name, b->path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "'%s' in '%s' is no regular file", name, b->path);
	*ret = (struct layer_input){.fd = fd, .length = (uint64_t)st.st_size};
	return 0;
}

int bundle_find(struct bundle *b, const char *name, struct layer_input *ret, struct error *err)
{
	struct member key = {.name = (char *)name};

	if (b->dirfd >= 0)
		return find_in_folder(b, name, ret, err);
	for (int hops = 0; hops < LINKS_MAX; hops++) {
		struct member *m = b->n ? bsearch(&key, b->members, b->n, sizeof(*m), compare_members) : NULL;

		if (!m)
			return error_set(err, ENOENT, "'%s' has no member '%.300s'", b->path, name);
		if (!m->link) {
			*ret = (struct layer_input){.fd = b->tar, .offset = m->offset, .length = m->size};
			return 0;
		}
		key.name = m->link;
	}
	return error_set(err, ELOOP, "'%s': the links of '%.300s' lead in a circle", b->path, name);
}

bool bundle_has(struct bundle *b, const char *name)
{
	struct layer_input in;

	return bundle_find(b, name, &in, NULL) == 0;
}

int bundle_read(struct bundle *b, const char *name, size_t max, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	struct layer_input in;
	int r = bundle_find(b, name, &in, err);

	if (r < 0)
		return r;
	if (in.length > max)
		return error_set(err, EFBIG, "'%s' in '%s' has %llu bytes, more than the limit of %zu", name, b->path,
				 (unsigned long long)in.length, max);
	data = malloc(in.length + 1);
	if (!data)
		return error_oom(err);
	for (size_t at = 0; at < in.length;) {
		ssize_t n = pread(in.fd, data + at, in.length - at, (off_t)(in.offset + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? error_sys(err, errno, "cannot read '%s' in '%s'", name, b->path)
				     : error_set(err, EBADMSG, "'%s' in '%s' is cut off", name, b->path);
		at += (size_t)n;
	}
	data[in.length] = 0;
	*ret = take_ptr(data);
	*ret_len = in.length;
	return 0;
}
