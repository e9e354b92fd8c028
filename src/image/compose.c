#include "image/compose.h"

#include <string.h>

#include "base/strv.h"
#include "image/ingest.h"

void composed_layer_free(struct composed_layer *layer)
{
	descriptor_free(&layer->blob);
}

/* The media type by the blob's first bytes; NULL for what no registry would take. */
static const char *sniff_media_type(const struct layer_input *in, struct error *err)
{
	unsigned char magic[6] = {0};
	ssize_t n = pread(in->fd, magic, sizeof(magic), (off_t)in->offset);

	if (n < 0) {
		error_sys(err, errno, "cannot read the layer");
		return NULL;
	}
	if (magic[0] == 0x1f && magic[1] == 0x8b)
		return MEDIA_OCI_LAYER "+gzip";
	if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 || memcmp(magic, "\x50\x2a\x4d\x18", 4) == 0)
		return MEDIA_OCI_LAYER "+zstd";
	if (memcmp(magic, "BZh", 3) == 0 || memcmp(magic,
						   "\xfd"
						   "7zXZ",
						   5) == 0) {
		error_set(err, ENOTSUP, "OCI knows no bzip2 or xz layers: recompress it with gzip or zstd");
		return NULL;
	}
	return MEDIA_OCI_LAYER;
}

static int copy_all(const struct layer_input *in, struct blob_writer *w, struct error *err)
{
	_cleanup_free_ char *buf = malloc(256 << 10);
	int r;

	if (!buf)
		return error_oom(err);
	while (w->offset < in->length) {
		size_t want = (size_t)MIN(in->length - w->offset, (uint64_t)256 << 10);
		ssize_t n = pread(in->fd, buf, want, (off_t)(in->offset + w->offset));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? error_sys(err, errno, "cannot read the layer")
				     : error_set(err, EBADMSG, "the layer is cut off");
		r = blob_append(w, buf, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int compose_layer(struct content *c, struct layer_job *job, const struct image_limits *limits,
		  struct composed_layer *ret, struct error *err)
{
	_cleanup_blob_ struct blob_writer w = BLOB_WRITER_INIT;
	struct composed_layer layer = {0};
	const char *media_type;
	int r;

	media_type = sniff_media_type(&job->input, err);
	if (!media_type)
		return err ? -err->code : -EIO;
	r = blob_begin(c, NULL, UINT64_MAX, &w, err);
	if (r < 0)
		return r;
	job->input.copy = &w;
	if ((r = layer_unpack(c, job, limits, &layer.info, err)) < 0 || (r = copy_all(&job->input, &w, err)) < 0 ||
	    (r = blob_commit(&w, err)) < 0)
		return r;
	layer.blob.size = w.offset;
	layer.blob.digest = strdup(w.digest);
	layer.blob.media_type = strdup(media_type);
	if (!layer.blob.digest || !layer.blob.media_type) {
		composed_layer_free(&layer);
		return error_oom(err);
	}
	*ret = layer;
	return 0;
}

static struct json_object *manifest_to_json(const struct manifest *m)
{
	struct json_object *o = json_object_new_object(), *layers = json_object_new_array();

	if (!o || !layers)
		return NULL;
	json_object_object_add(o, "schemaVersion", json_object_new_int(2));
	json_object_object_add(o, "mediaType", json_object_new_string(MEDIA_OCI_MANIFEST));
	json_object_object_add(o, "config", descriptor_to_json(&m->config));
	for (size_t i = 0; i < m->n_layers; i++)
		json_object_array_add(layers, descriptor_to_json(&m->layers[i]));
	json_object_object_add(o, "layers", layers);
	return o;
}

static int put_json(struct content *c, struct json_object *o, char digest[DIGEST_TEXT_MAX], size_t *ret_len,
		    struct error *err)
{
	const char *text =
	    json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_len);

	return text ? content_blob_put(c, text, *ret_len, digest, err) : error_oom(err);
}

static int write_image(struct content *c, char *const *names, const struct manifest *m,
		       const struct image_config *config, char *const *ids, uint64_t bytes, struct error *err)
{
	static char media_type[] = MEDIA_OCI_MANIFEST;
	_cleanup_json_ struct json_object *o = manifest_to_json(m);
	char digest[DIGEST_TEXT_MAX];
	struct descriptor target = {.media_type = media_type, .digest = digest};
	struct record_image image = {&target, m, config, ids, bytes};
	size_t len;
	int r;

	if (!o)
		return error_oom(err);
	r = put_json(c, o, digest, &len, err);
	if (r < 0)
		return r;
	target.size = len;
	for (; *names; names++) {
		r = record_write(c, *names, &target, &image, 1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int compose_image_verbatim(struct content *c, char *const *names, const char *config, size_t config_len,
			   const struct composed_layer *layers, size_t n, char ret_id[DIGEST_TEXT_MAX],
			   struct error *err)
{
	static char media_type[] = MEDIA_OCI_CONFIG;
	_cleanup_image_config_ struct image_config parsed = {0};
	_cleanup_free_ struct descriptor *v = calloc(n + 1, sizeof(*v));
	_cleanup_strv_ char **ids = NULL;
	char digest[DIGEST_TEXT_MAX];
	struct manifest m = {.layers = v, .n_layers = n};
	uint64_t bytes = 0;
	int r;

	if (!v)
		return error_oom(err);
	if ((r = image_config_parse(config, config_len, &parsed, err)) < 0 ||
	    (r = content_blob_put(c, config, config_len, digest, err)) < 0)
		return r;
	m.config = (struct descriptor){.media_type = media_type, .digest = digest, .size = config_len};
	for (size_t i = 0; i < n; i++) {
		v[i] = layers[i].blob;
		bytes += layers[i].info.bytes;
		if (layers[i].info.opaque_root) {
			strv_free(ids);
			ids = NULL;
		}
		if (strv_add(&ids, layers[i].info.id) < 0)
			return error_oom(err);
	}
	if (n == 0 && (r = layer_make_empty(c, err)) < 0)
		return r;
	r = write_image(c, names, &m, &parsed, ids, bytes, err);
	if (r >= 0)
		strcpy(ret_id, digest);
	return r;
}

int compose_image(struct content *c, char *const *names, struct json_object *config,
		  const struct composed_layer *layers, size_t n, char ret_id[DIGEST_TEXT_MAX], struct error *err)
{
	struct json_object *rootfs = json_object_new_object(), *ids = json_object_new_array();
	const char *text;
	size_t len;

	if (!rootfs || !ids)
		return error_oom(err);
	json_object_object_add(rootfs, "type", json_object_new_string("layers"));
	for (size_t i = 0; i < n; i++)
		json_object_array_add(ids, json_object_new_string(layers[i].info.diff_id));
	json_object_object_add(rootfs, "diff_ids", ids);
	json_object_object_add(config, "rootfs", rootfs);
	text = json_object_to_json_string_length(config, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	return text ? compose_image_verbatim(c, names, text, len, layers, n, ret_id, err) : error_oom(err);
}
