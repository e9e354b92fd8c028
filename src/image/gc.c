#include "image/gc.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/log.h"
#include "image/limits.h"
#include "image/manifest.h"
#include "image/record.h"
#include "image/reference.h"

/* What is referred to, as sets of names. */
struct marks {
	struct content *content;
	struct json_object *blobs, *layers; /* keys only */
};

static void marks_free(struct marks *m)
{
	json_object_put(m->blobs);
	json_object_put(m->layers);
}

static bool marked(struct json_object *set, const char *name)
{
	return json_object_object_get_ex(set, name, NULL);
}

static int mark(struct json_object *set, const char *name, struct error *err)
{
	return json_object_object_add(set, name, json_object_new_boolean(true)) < 0 ? error_oom(err) : 0;
}

static int mark_document(struct marks *m, const char *digest, unsigned depth, struct error *err);

static int mark_index(struct marks *m, const char *text, size_t len, unsigned depth, struct error *err)
{
	_cleanup_index_ struct index index = {0};
	int r = index_parse(text, len, &index, NULL);

	for (size_t i = 0; r >= 0 && i < index.n; i++)
		if (content_blob_exists(m->content, index.v[i].digest))
			r = mark_document(m, index.v[i].digest, depth - 1, err);
	return r == -ENOMEM ? r : 0;
}

static int mark_manifest(struct marks *m, const char *text, size_t len, struct error *err)
{
	_cleanup_manifest_ struct manifest manifest = {0};
	int r;

	if (manifest_parse(text, len, &manifest, NULL) < 0)
		return 0;
	r = mark(m->blobs, manifest.config.digest, err);
	for (size_t i = 0; r >= 0 && i < manifest.n_layers; i++)
		r = mark(m->blobs, manifest.layers[i].digest, err);
	return r;
}

/* Marks a manifest or index and all it names. One that cannot be read keeps itself only. */
static int mark_document(struct marks *m, const char *digest, unsigned depth, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (!image_digest_valid(digest) || marked(m->blobs, digest))
		return 0;
	r = mark(m->blobs, digest, err);
	if (r < 0 || content_blob_read(m->content, digest, IMAGE_MANIFEST_MAX, &text, &len, NULL) < 0)
		return r;
	r = manifest_kind(text, len, NULL, NULL);
	if (r == MANIFEST_INDEX && depth > 0)
		return mark_index(m, text, len, depth, err);
	return r == MANIFEST_IMAGE ? mark_manifest(m, text, len, err) : 0;
}

static int mark_layers(struct marks *m, struct json_object *o, struct error *err)
{
	struct json_object *layers;
	int r = 0;

	if (json_get_array(o, "", "layers", &layers, NULL) <= 0)
		return 0;
	for (size_t i = 0; r >= 0 && i < json_object_array_length(layers); i++) {
		struct json_object *l = json_object_array_get_idx(layers, i);

		if (json_object_is_type(l, json_type_string))
			r = mark(m->layers, json_object_get_string(l), err);
	}
	return r;
}

static const char *digest_of(struct json_object *o, const char *key)
{
	struct json_object *d;
	const char *digest = NULL;

	if (json_get_object(o, "", key, &d, NULL) > 0)
		json_get_string(d, "", "digest", &digest, NULL);
	return digest;
}

static int mark_record(void *data, const char *name, struct json_object *record, struct error *err)
{
	const char *target = digest_of(record, "target");
	struct json_object *images;
	struct marks *m = data;
	int r = target ? mark_document(m, target, 2, err) : 0;

	if (r < 0 || json_get_array(record, "", "images", &images, NULL) <= 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(images); i++) {
		struct json_object *o = json_object_array_get_idx(images, i);
		const char *digest;

		if (!json_object_is_type(o, json_type_object))
			continue;
		digest = digest_of(o, "manifest");
		if (digest && (r = mark_document(m, digest, 2, err)) < 0)
			return r;
		if ((r = mark_layers(m, o, err)) < 0)
			return r;
	}
	return 0;
}

typedef int (*entry_fn)(void *data, int dirfd, const char *name, struct error *err);

static int each_entry(struct content *c, const char *folder, entry_fn visit, void *data, struct error *err)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int fd = openat(c->dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "cannot open '%s/%s'", c->path, folder);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return error_oom(err);
	}
	while (r >= 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = visit(data, fd, e->d_name, err);
	return r;
}

/* The pin file's JSON, if the box it is for is still there. */
static struct json_object *read_live_pin(int dirfd, const char *name)
{
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_free_ char *text = NULL;
	const char *alive = NULL;
	size_t len;

	if (file_read_at(dirfd, name, 1 << 20, &text, &len, NULL) < 0 || json_parse(text, len, &o, NULL) < 0 ||
	    !json_object_is_type(o, json_type_object) || json_get_string(o, "", "alive", &alive, NULL) <= 0)
		return NULL;
	return access(alive, F_OK) == 0 || errno == EACCES ? take_ptr(o) : NULL;
}

struct sweep {
	struct content *content;
	struct marks *marks;
	bool dry_run;
	const char *algorithm; /* of the blob folder */
	gc_fn removed;
	void *data;
	struct gc_result result;
};

static void tell(struct sweep *s, const char *kind, const char *name)
{
	if (s->removed)
		s->removed(s->data, kind, name);
}

static int sweep_pin(void *data, int dirfd, const char *name, struct error *err)
{
	_cleanup_json_ struct json_object *pin = read_live_pin(dirfd, name);
	struct sweep *s = data;
	const char *manifest = NULL;
	int r;

	if (pin) {
		if (json_get_string(pin, "", "manifest", &manifest, NULL) > 0 &&
		    (r = mark_document(s->marks, manifest, 2, err)) < 0)
			return r;
		return mark_layers(s->marks, pin, err);
	}
	s->result.pins++;
	tell(s, "pin", name);
	if (!s->dry_run && unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "cannot remove pin '%s'", name);
	return 0;
}

static int sweep_partial(void *data, int dirfd, const char *name, struct error *err)
{
	struct sweep *s = data;
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		s->result.bytes += (uint64_t)st.st_size;
	s->result.partials++;
	tell(s, "partial", name);
	return s->dry_run ? 0 : remove_tree_at(dirfd, name, err);
}

static int sweep_record_leftover(void *data, int dirfd, const char *name, struct error *err)
{
	struct sweep *s = data;
	size_t len = strlen(name);

	if (len > 4 && strcmp(name + len - 4, ".tmp") == 0 && !s->dry_run)
		unlinkat(dirfd, name, 0);
	return 0;
}

static int sweep_blob(void *data, int dirfd, const char *name, struct error *err)
{
	struct sweep *s = data;
	char digest[512];
	struct stat st;

	snprintf(digest, sizeof(digest), "%s:%s", s->algorithm, name);
	if (marked(s->marks->blobs, digest))
		return 0;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		s->result.bytes += (uint64_t)st.st_size;
	s->result.blobs++;
	tell(s, "blob", digest);
	if (!s->dry_run && unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "cannot remove blob '%s'", digest);
	return 0;
}

/* Out of layers/ in one step, so that a kill leaves no half layer that looks whole. */
static int discard_layer(struct content *c, const char *id, struct error *err)
{
	char from[512], to[512];

	snprintf(from, sizeof(from), "layers/%s", id);
	snprintf(to, sizeof(to), "ingest/old-%s", id);
	if (remove_tree_at(c->dirfd, to, err) < 0)
		return err ? -err->code : -EIO;
	if (renameat(c->dirfd, from, c->dirfd, to) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "cannot remove layer '%s'", id);
	return remove_tree_at(c->dirfd, to, err);
}

static int sweep_layer(void *data, int dirfd, const char *name, struct error *err)
{
	struct sweep *s = data;

	if (marked(s->marks->layers, name))
		return 0;
	s->result.layers++;
	tell(s, "layer", name);
	return s->dry_run ? 0 : discard_layer(s->content, name, err);
}

static int mark_all(struct marks *m, struct error *err)
{
	m->blobs = json_object_new_object();
	m->layers = json_object_new_object();
	if (!m->blobs || !m->layers)
		return error_oom(err);
	return image_record_each(m->content->dirfd, mark_record, m, err);
}

/* A record we cannot read might refer to anything: then nothing may be removed. */
static int refuse_unreadable(void *data, int dirfd, const char *name, struct error *err)
{
	_cleanup_free_ char *image = image_record_name(name);
	_cleanup_json_ struct json_object *o = NULL;
	struct content *c = data;
	int r;

	if (!image)
		return 0;
	r = image_record_read(c->dirfd, image, &o, err);
	if (r >= 0 || r == -ENOENT)
		return 0;
	error_prefix(
	    err, "nothing was removed, because an image cannot be read (remove it with 'ringwall image rm --force %s')",
	    image);
	return r;
}

int gc_run(struct content *c, bool dry_run, gc_fn removed, void *data, struct gc_result *ret, struct error *err)
{
	_cleanup_(marks_free) struct marks marks = {.content = c};
	struct sweep s = {.content = c, .marks = &marks, .dry_run = dry_run, .removed = removed, .data = data};
	int r;

	if ((r = each_entry(c, "images", refuse_unreadable, c, err)) < 0 || (r = mark_all(&marks, err)) < 0 ||
	    (r = each_entry(c, "pins", sweep_pin, &s, err)) < 0 ||
	    (r = each_entry(c, "ingest", sweep_partial, &s, err)) < 0 ||
	    (r = each_entry(c, "images", sweep_record_leftover, &s, err)) < 0)
		return r;
	for (int i = 0; i < 2; i++) {
		s.algorithm = i ? "sha512" : "sha256";
		r = each_entry(c, i ? "blobs/sha512" : "blobs/sha256", sweep_blob, &s, err);
		if (r < 0)
			return r;
	}
	r = each_entry(c, "layers", sweep_layer, &s, err);
	if (r < 0)
		return r;
	*ret = s.result;
	return 0;
}

struct pin_search {
	const char *manifest;
	char *owner;
};

static int match_pin(void *data, int dirfd, const char *name, struct error *err)
{
	_cleanup_json_ struct json_object *pin = read_live_pin(dirfd, name);
	struct pin_search *s = data;
	const char *manifest = NULL;

	if (!pin || s->owner || json_get_string(pin, "", "manifest", &manifest, NULL) <= 0 ||
	    strcmp(manifest, s->manifest) != 0)
		return 0;
	s->owner = strdup(name);
	return s->owner ? 0 : error_oom(err);
}

int gc_pinned_by(struct content *c, const char *manifest, char **ret, struct error *err)
{
	struct pin_search s = {.manifest = manifest};
	int r = each_entry(c, "pins", match_pin, &s, err);

	if (r >= 0)
		*ret = s.owner;
	return r;
}

struct checker {
	struct content *content;
	const char *algorithm;
	bool repair;
	check_fn complain;
	void *data;
	int complaints;
};

static void complain(struct checker *k, const char *what, const char *why)
{
	k->complaints++;
	k->complain(k->data, what, why);
}

static int hash_file(int fd, const char *algorithm, char ret[DIGEST_TEXT_MAX], struct error *err)
{
	_cleanup_hash_ struct hash *h = NULL;
	_cleanup_free_ char *buf = malloc(256 << 10);
	ssize_t n;
	int r;

	if (!buf)
		return error_oom(err);
	if ((r = hash_new(algorithm, &h, err)) < 0)
		return r;
	while ((n = read(fd, buf, 256 << 10)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "cannot read the blob");
		hash_update(h, buf, (size_t)n);
	}
	return hash_final(h, ret, err);
}

static int check_blob(void *data, int dirfd, const char *name, struct error *err)
{
	struct checker *k = data;
	char want[512], got[DIGEST_TEXT_MAX] = "";
	struct error why = ERROR_INIT;
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	snprintf(want, sizeof(want), "%s:%s", k->algorithm, name);
	if (fd < 0)
		error_sys(&why, errno, "cannot open it");
	else if (hash_file(fd, k->algorithm, got, &why) >= 0 && strcmp(want, got) != 0)
		error_set(&why, EBADMSG, "its content has digest %s", got);
	if (!why.code)
		return 0;
	complain(k, want, why.message);
	if (k->repair && unlinkat(dirfd, name, 0) < 0)
		return error_sys(err, errno, "cannot remove blob '%s'", want);
	return 0;
}

static int check_layer(void *data, int dirfd, const char *name, struct error *err)
{
	struct checker *k = data;
	char path[512];

	snprintf(path, sizeof(path), "%s/diff", name);
	if (content_layer_exists(k->content, name) && faccessat(dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	complain(k, name, "the layer is incomplete");
	return k->repair ? discard_layer(k->content, name, err) : 0;
}

static void check_marked(struct checker *k, struct marks *m)
{
	json_object_object_foreach (m->blobs, digest, v1) {
		(void)v1;
		if (!content_blob_exists(k->content, digest))
			complain(k, digest, "an image refers to this blob, which is missing: pull the image again");
	}
	json_object_object_foreach (m->layers, id, v2) {
		(void)v2;
		if (!content_layer_exists(k->content, id))
			complain(k, id, "an image refers to this layer, which is missing: pull the image again");
	}
}

int check_store(struct content *c, bool repair, check_fn complain_to, void *data, struct error *err)
{
	_cleanup_(marks_free) struct marks marks = {.content = c};
	struct checker k = {.content = c, .repair = repair, .complain = complain_to, .data = data};
	int r = 0;

	for (int i = 0; i < 2 && r >= 0; i++) {
		k.algorithm = i ? "sha512" : "sha256";
		r = each_entry(c, i ? "blobs/sha512" : "blobs/sha256", check_blob, &k, err);
	}
	if (r < 0 || (r = each_entry(c, "layers", check_layer, &k, err)) < 0 || (r = mark_all(&marks, err)) < 0)
		return r;
	check_marked(&k, &marks);
	return k.complaints;
}
