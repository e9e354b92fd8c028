#include "image/save.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>

#include "base/fdio.h"
#include "base/json.h"
#include "image/limits.h"
#include "image/manifest.h"

/* Where the files go: a tar archive or a folder. */
struct target {
	int dirfd;		     /* or -1 */
	struct archive *tar;	     /* or NULL */
	struct json_object *written; /* names, as keys */
	struct content *content;
};

static void target_free(struct target *t)
{
	if (t->tar)
		archive_write_free(t->tar);
	json_object_put(t->written);
}

static int tar_failed(struct target *t, const char *name, struct error *err)
{
	return error_set(err, archive_errno(t->tar) > 0 ? archive_errno(t->tar) : EIO, "cannot write '%s': %s", name,
			 archive_error_string(t->tar) ?: "unknown reason");
}

static int tar_begin(struct target *t, const char *name, uint64_t size, struct error *err)
{
	struct archive_entry *e = archive_entry_new();
	int r;

	if (!e)
		return error_oom(err);
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)size);
	archive_entry_set_mtime(e, 0, 0);
	r = archive_write_header(t->tar, e);
	archive_entry_free(e);
	return r == ARCHIVE_OK ? 0 : tar_failed(t, name, err);
}

/* 1 when a file of this NAME was written before (images share blobs). */
static int seen(struct target *t, const char *name, struct error *err)
{
	if (json_object_object_get_ex(t->written, name, NULL))
		return 1;
	return json_object_object_add(t->written, name, json_object_new_boolean(true)) < 0 ? error_oom(err) : 0;
}

static int put_data(struct target *t, const char *name, const char *data, size_t len, struct error *err)
{
	int r = seen(t, name, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (!t->tar)
		return file_replace_at(t->dirfd, name, data, len, 0644, err);
	if ((r = tar_begin(t, name, len, err)) < 0)
		return r;
	return archive_write_data(t->tar, data, len) == (la_ssize_t)len ? 0 : tar_failed(t, name, err);
}

static int copy_to_folder(struct target *t, const char *name, int from, uint64_t size, struct error *err)
{
	_cleanup_close_ int to = openat(t->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (to < 0)
		return error_sys(err, errno, "cannot make '%s'", name);
	while (size > 0) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)MIN(size, (uint64_t)1 << 30), 0);

		if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS)) { /* another file system */
			char buf[64 << 10];
			int r;

			n = read(from, buf, sizeof(buf));
			if (n > 0 && (r = fd_write_all(to, buf, (size_t)n)) < 0)
				return error_sys(err, r, "cannot write '%s'", name);
		}
		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EIO, "cannot copy '%s'", name);
		size -= (uint64_t)n;
	}
	return 0;
}

static int copy_to_tar(struct target *t, const char *name, int from, uint64_t size, struct error *err)
{
	_cleanup_free_ char *buf = malloc(256 << 10);
	int r;

	if (!buf)
		return error_oom(err);
	if ((r = tar_begin(t, name, size, err)) < 0)
		return r;
	while (size > 0) {
		ssize_t n = read(from, buf, (size_t)MIN(size, (uint64_t)256 << 10));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EIO, "cannot read '%s'", name);
		if (archive_write_data(t->tar, buf, (size_t)n) != n)
			return tar_failed(t, name, err);
		size -= (uint64_t)n;
	}
	return 0;
}

static void blob_name(const char *digest, char ret[DIGEST_TEXT_MAX + 8])
{
	snprintf(ret, DIGEST_TEXT_MAX + 8, "blobs/%s", digest);
	*strchr(ret, ':') = '/';
}

static int put_blob(struct target *t, const char *digest, struct error *err)
{
	char name[DIGEST_TEXT_MAX + 8];
	_cleanup_close_ int fd = -1;
	uint64_t size;
	int r;

	blob_name(digest, name);
	r = seen(t, name, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if ((r = content_blob_open(t->content, digest, &fd, &size, err)) < 0)
		return r;
	return t->tar ? copy_to_tar(t, name, fd, size, err) : copy_to_folder(t, name, fd, size, err);
}

static int put_json(struct target *t, const char *name, struct json_object *o, struct error *err)
{
	size_t len;
	const char *text =
	    json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	return text ? put_data(t, name, text, len, err) : error_oom(err);
}

/* One image's line of Docker's manifest.json. */
static struct json_object *docker_entry(const struct image *image, const struct manifest *m)
{
	struct json_object *o = json_object_new_object(), *layers = json_object_new_array(),
			   *tags = json_object_new_array();
	char name[DIGEST_TEXT_MAX + 8];

	if (!o || !layers || !tags)
		return NULL;
	blob_name(m->config.digest, name);
	json_object_object_add(o, "Config", json_object_new_string(name));
	if (!strchr(image->name, '@'))
		json_object_array_add(tags, json_object_new_string(image->name));
	json_object_object_add(o, "RepoTags", tags);
	for (size_t i = 0; i < m->n_layers; i++) {
		blob_name(m->layers[i].digest, name);
		json_object_array_add(layers, json_object_new_string(name));
	}
	json_object_object_add(o, "Layers", layers);
	return o;
}

static struct json_object *index_entry(const struct image *image, const char *media_type, size_t size)
{
	struct json_object *o = json_object_new_object(), *a = json_object_new_object(), *p = json_object_new_object();
	const char *colon = strrchr(image->name, ':');

	if (!o || !a || !p)
		return NULL;
	json_object_object_add(o, "mediaType", json_object_new_string(media_type));
	json_object_object_add(o, "digest", json_object_new_string(image->digest));
	json_object_object_add(o, "size", json_object_new_uint64(size));
	json_object_object_add(p, "architecture", json_object_new_string(image->architecture ?: "unknown"));
	json_object_object_add(p, "os", json_object_new_string(image->os ?: "linux"));
	if (image->variant)
		json_object_object_add(p, "variant", json_object_new_string(image->variant));
	json_object_object_add(o, "platform", p);
	/* as containerd and Docker write it: the tag alone for those who select by tag, the full name beside it */
	if (!strchr(image->name, '@')) {
		json_object_object_add(a, "io.containerd.image.name", json_object_new_string(image->name));
		json_object_object_add(a, "org.opencontainers.image.ref.name",
				       json_object_new_string(colon ? colon + 1 : "latest"));
	}
	json_object_object_add(o, "annotations", a);
	return o;
}

static int put_image(struct target *t, const struct image *image, struct json_object *index, struct json_object *docker,
		     struct error *err)
{
	_cleanup_json_ struct json_object *document = NULL;
	_cleanup_manifest_ struct manifest m = {0};
	_cleanup_free_ char *text = NULL;
	const char *media_type = MEDIA_OCI_MANIFEST;
	struct json_object *line;
	size_t len;
	int r;

	if ((r = content_blob_read(t->content, image->digest, IMAGE_MANIFEST_MAX, &text, &len, err)) < 0 ||
	    (r = manifest_parse(text, len, &m, err)) < 0 || (r = json_parse(text, len, &document, err)) < 0 ||
	    (r = json_get_string(document, "manifest", "mediaType", &media_type, err)) < 0)
		return r;
	for (size_t i = 0; i < m.n_layers; i++)
		if ((r = put_blob(t, m.layers[i].digest, err)) < 0)
			return r;
	if ((r = put_blob(t, m.config.digest, err)) < 0 || (r = put_blob(t, image->digest, err)) < 0)
		return r;
	line = index_entry(image, media_type, len);
	if (!line)
		return error_oom(err);
	json_object_array_add(index, line);
	line = docker_entry(image, &m);
	if (!line)
		return error_oom(err);
	json_object_array_add(docker, line);
	return 0;
}

static int put_all(struct target *t, const struct image *images, size_t n, enum save_format format, struct error *err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	_cleanup_json_ struct json_object *index = json_object_new_object(), *docker = json_object_new_array();
	struct json_object *manifests = json_object_new_array();
	int r;

	if (!index || !docker || !manifests)
		return error_oom(err);
	json_object_object_add(index, "schemaVersion", json_object_new_int(2));
	json_object_object_add(index, "mediaType", json_object_new_string(MEDIA_OCI_INDEX));
	json_object_object_add(index, "manifests", manifests);
	r = put_data(t, "oci-layout", layout, strlen(layout), err);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = put_image(t, &images[i], manifests, docker, err);
	if (r < 0 || (r = put_json(t, "index.json", index, err)) < 0)
		return r;
	return format == SAVE_DOCKER_ARCHIVE ? put_json(t, "manifest.json", docker, err) : 0;
}

static int open_target(struct target *t, enum save_format format, int fd, struct error *err)
{
	int r;

	t->written = json_object_new_object();
	if (!t->written)
		return error_oom(err);
	if (format == SAVE_OCI_DIR) {
		t->dirfd = fd;
		if ((r = mkdir_parents_at(fd, "blobs/sha256", 0755)) < 0 ||
		    (r = mkdir_parents_at(fd, "blobs/sha512", 0755)) < 0)
			return error_sys(err, r, "cannot make the layout's folders");
		return 0;
	}
	t->tar = archive_write_new();
	if (!t->tar)
		return error_oom(err);
	if (archive_write_set_format_pax_restricted(t->tar) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(t->tar, 1) != ARCHIVE_OK ||
	    archive_write_open_fd(t->tar, fd) != ARCHIVE_OK)
		return tar_failed(t, "the archive", err);
	return 0;
}

int save_images(struct content *c, const struct image *images, size_t n, enum save_format format, int fd,
		struct error *err)
{
	_cleanup_(target_free) struct target t = {.dirfd = -1, .content = c};
	int r = open_target(&t, format, fd, err);

	if (r < 0 || (r = put_all(&t, images, n, format, err)) < 0)
		return r;
	return t.tar && archive_write_close(t.tar) != ARCHIVE_OK ? tar_failed(&t, "the archive", err) : 0;
}
