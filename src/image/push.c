#include "image/push.h"

#include <string.h>

#include "image/limits.h"
#include "image/manifest.h"
#include "image/record.h"

static int push_document(struct content *c, struct registry *r, const char *digest, const char *media_type,
			 const char *tag, unsigned depth, struct error *err);

static int push_parts(struct content *c, struct registry *r, const char *text, size_t len, struct error *err)
{
	_cleanup_manifest_ struct manifest m = {0};
	int code = manifest_parse(text, len, &m, err);

	for (size_t i = 0; code >= 0 && i < m.n_layers; i++)
		code = registry_push_blob(r, &m.layers[i], NULL, err);
	return code < 0 ? code : registry_push_blob(r, &m.config, NULL, err);
}

static int push_variants(struct content *c, struct registry *r, const char *text, size_t len, unsigned depth,
			 struct error *err)
{
	_cleanup_index_ struct index index = {0};
	int code = index_parse(text, len, &index, err);

	if (depth == 0)
		return error_set(err, ELOOP, "indexes are nested too deeply");
	for (size_t i = 0; code >= 0 && i < index.n; i++) {
		if (!content_blob_exists(c, index.v[i].digest))
			return error_set(
			    err, ENOENT,
			    "variant %s/%s is not here: pull the image with --all-platforms before pushing all of it",
			    index.v[i].os ?: "unknown", index.v[i].architecture ?: "unknown");
		code = push_document(c, r, index.v[i].digest, index.v[i].media_type, index.v[i].digest, depth - 1, err);
	}
	return code;
}

/* Parts first: a registry refuses a manifest whose blobs it does not have. */
static int push_document(struct content *c, struct registry *r, const char *digest, const char *media_type,
			 const char *tag, unsigned depth, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int code;

	if ((code = content_blob_read(c, digest, IMAGE_MANIFEST_MAX, &text, &len, err)) < 0 ||
	    (code = manifest_kind(text, len, media_type, err)) < 0)
		return code;
	code = code == MANIFEST_INDEX ? push_variants(c, r, text, len, depth, err) : push_parts(c, r, text, len, err);
	return code < 0 ? code : registry_push_manifest(r, tag, media_type, text, len, err);
}

static int push_descriptor(struct content *c, struct registry *r, struct json_object *o, const char *tag,
			   char ret_digest[DIGEST_TEXT_MAX], struct error *err)
{
	_cleanup_descriptor_ struct descriptor d = {0};
	int code;

	if ((code = descriptor_parse(o, "record", &d, err)) < 0 ||
	    (code = push_document(c, r, d.digest, d.media_type, tag, 2, err)) < 0)
		return code;
	snprintf(ret_digest, DIGEST_TEXT_MAX, "%s", d.digest);
	return 0;
}

int push_image(struct content *c, struct registry *r, const struct image *image, const char *tag, bool all_platforms,
	       char ret_digest[DIGEST_TEXT_MAX], struct error *err)
{
	_cleanup_json_ struct json_object *record = NULL;
	struct json_object *images, *o;
	int code = image_record_read(c->dirfd, image->name, &record, err);

	if (code < 0)
		return code;
	if (all_platforms) {
		code = json_get_object(record, "", "target", &o, err);
		if (code > 0)
			return push_descriptor(c, r, o, tag, ret_digest, err);
	} else {
		code = json_get_array(record, "", "images", &images, err);
		for (size_t i = 0; code > 0 && i < json_object_array_length(images); i++) {
			const char *digest = NULL;

			if (json_get_object(json_object_array_get_idx(images, i), "", "manifest", &o, NULL) > 0 &&
			    json_get_string(o, "", "digest", &digest, NULL) > 0 && strcmp(digest, image->digest) == 0)
				return push_descriptor(c, r, o, tag, ret_digest, err);
		}
	}
	return code < 0 ? code : error_set(err, EINVAL, "the record of image '%s' is damaged", image->name);
}
