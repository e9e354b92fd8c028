/* OCI image layouts (image-spec, image-layout.md). */
#include "image/load.h"

#include <string.h>

#include "image/record.h"
#include "image/reference.h"

struct layout_source {
	struct image_source base;
	struct bundle *bundle;
};

static void blob_name(const struct descriptor *d, char ret[DIGEST_TEXT_MAX + 8])
{
	snprintf(ret, DIGEST_TEXT_MAX + 8, "blobs/%s", d->digest);
	*strchr(ret, ':') = '/';
}

static int layout_read(struct image_source *s, const struct descriptor *d, size_t max, char **ret, size_t *ret_len,
		       struct error *err)
{
	char name[DIGEST_TEXT_MAX + 8];

	blob_name(d, name);
	return bundle_read(((struct layout_source *)s)->bundle, name, max, ret, ret_len, err);
}

static int layout_open(struct image_source *s, const struct descriptor *d, struct layer_input *ret, bool *ret_in_store,
		       struct error *err)
{
	const char *algorithm = ret->algorithm;
	char name[DIGEST_TEXT_MAX + 8];
	int r;

	blob_name(d, name);
	*ret_in_store = false;
	r = bundle_find(((struct layout_source *)s)->bundle, name, ret, err);
	ret->algorithm = algorithm;
	return r;
}

static void layout_close(struct image_source *s)
{
}

static const struct image_source_ops layout_ops = {.read = layout_read, .open = layout_open, .close = layout_close};

static int layout_image_name(struct load_request *request, const struct descriptor *d, char **ret, struct error *err)
{
	const char *text = d->full_name ?: d->ref_name;
	_cleanup_image_ref_ struct image_ref ref = {0};

	if (request->name)
		*ret = strdup(request->name);
	else if (!text || image_tag_valid(text))
		*ret = load_default_name(request->path, text ?: IMAGE_DEFAULT_TAG);
	else if (image_ref_parse(text, &ref, NULL) == 0)
		*ret = image_ref_name(&ref, IMAGE_LOCAL_REGISTRY);
	else
		*ret = NULL;
	if (!*ret)
		return error_set(err, EINVAL, "'%s': the image %s has no usable name ('%.200s'): give one with --tag",
				 request->path, d->digest, text ?: request->path);
	return 0;
}

static int load_one_oci(struct load_request *request, const struct descriptor *d, struct error *err)
{
	_cleanup_free_ char *name = NULL;
	char id[DIGEST_TEXT_MAX];
	int r = layout_image_name(request, d, &name, err);

	if (r < 0 || (r = ingest_image(&request->ingest, name, d, id, err)) < 0)
		return r;
	request->loaded(request->data, name, id);
	return 0;
}

static bool is_wanted(const struct load_request *request, const struct descriptor *d)
{
	if (d->is_attestation)
		return false;
	return !request->only || (d->ref_name && strcmp(d->ref_name, request->only) == 0) ||
	       (d->full_name && strcmp(d->full_name, request->only) == 0) || strcmp(d->digest, request->only) == 0;
}

/* Entries without names that differ in their platform only are one image: the index itself. */
static bool is_one_image(const struct index *index)
{
	for (size_t i = 0; i < index->n; i++)
		if (index->v[i].ref_name || index->v[i].full_name || !index->v[i].architecture)
			return false;
	return index->n > 1;
}

static const struct descriptor *first_for_platform(const struct load_request *request, const struct index *index)
{
	for (size_t i = 0; i < index->n; i++)
		if (image_platform_matches(index->v[i].os, index->v[i].architecture, index->v[i].variant,
					   request->ingest.platform))
			return &index->v[i];
	return &index->v[0];
}

int load_oci(struct load_request *request, struct error *err)
{
	struct layout_source source = {.base.ops = &layout_ops, .bundle = request->bundle};
	_cleanup_index_ struct index index = {0};
	_cleanup_free_ char *text = NULL;
	size_t len, wanted = 0;
	int r;

	request->ingest.source = &source.base;
	r = bundle_read(request->bundle, "index.json", IMAGE_MANIFEST_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = index_parse(text, len, &index, err);
	if (r < 0) {
		error_prefix(err, "'%s': index.json", request->path);
		return r;
	}
	if (!request->only && is_one_image(&index))
		return load_one_oci(request, first_for_platform(request, &index), err);
	for (size_t i = 0; i < index.n; i++)
		wanted += is_wanted(request, &index.v[i]);
	if (wanted == 0)
		return error_set(err, ENOENT, "'%s' has no image%s%s", request->path, request->only ? " " : "",
				 request->only ?: "");
	if (wanted > 1 && request->name)
		return error_set(err, EINVAL,
				 "'%s' holds %zu images, and they cannot all be called '%s': choose one with %s:REF",
				 request->path, wanted, request->name, request->path);
	for (size_t i = 0; i < index.n; i++)
		if (is_wanted(request, &index.v[i]) && (r = load_one_oci(request, &index.v[i], err)) < 0)
			return r;
	return 0;
}
