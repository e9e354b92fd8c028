/*
 * Docker archives: a tar with manifest.json, [{"Config": file, "RepoTags": [...], "Layers": [files]}], as written by
 * docker save, podman save and skopeo's docker-archive. They carry no manifest with digests, so one is made here.
 */
#include "image/load.h"

#include <string.h>

#include "base/strv.h"
#include "image/compose.h"
#include "image/reference.h"

struct layers {
	struct composed_layer *v;
	size_t n;
};

static void layers_free(struct layers *l)
{
	for (size_t i = 0; i < l->n; i++)
		composed_layer_free(&l->v[i]);
	free(l->v);
}

/* The full names the image gets. */
static int image_names(struct load_request *request, char *const *tags, char ***ret, struct error *err)
{
	if (request->name)
		return strv_add(ret, request->name) < 0 ? error_oom(err) : 0;
	for (; tags && *tags; tags++) {
		_cleanup_image_ref_ struct image_ref ref = {0};
		int r = image_ref_parse(*tags, &ref, err);
		char *name;

		if (r < 0)
			return r;
		name = image_ref_name(&ref, IMAGE_DEFAULT_REGISTRY);
		if (!name || strv_push(ret, name) < 0)
			return error_oom(err);
	}
	if (!*ret) {
		char *name = load_default_name(request->path, IMAGE_DEFAULT_TAG);

		if (!name)
			return error_set(err, EINVAL, "the image in '%s' has no name: give one with --tag",
					 request->path);
		if (strv_push(ret, name) < 0)
			return error_oom(err);
	}
	return 0;
}

static int load_layers(struct load_request *request, char *const *files, const struct image_config *config,
		       struct layers *ret, struct error *err)
{
	_cleanup_strv_ char **below = NULL;
	char chain[DIGEST_TEXT_MAX] = "";
	size_t n = strv_len(files);
	int r;

	if (n != strv_len(config->diff_ids))
		return error_set(err, EINVAL,
				 "manifest.json lists %zu layers, the config %zu: they do not belong together", n,
				 strv_len(config->diff_ids));
	if (n > request->ingest.limits.layers)
		return error_set(err, EFBIG,
				 "the image has %zu layers, more than the limit of %llu; raise it with --max-layers", n,
				 (unsigned long long)request->ingest.limits.layers);
	ret->v = calloc(n + 1, sizeof(*ret->v));
	if (!ret->v)
		return error_oom(err);
	for (size_t i = 0; i < n; i++) {
		struct layer_job job = {.name = files[i],
					.diff_id = config->diff_ids[i],
					.lowers = below,
					.chain_id = chain,
					.squash_ids = request->ingest.squash_ids};

		if ((r = layer_chain_id(chain, job.diff_id, chain, err)) < 0 ||
		    (r = bundle_find(request->bundle, files[i], &job.input, err)) < 0)
			return r;
		job.input.algorithm = job.diff_id;
		r = compose_layer(request->ingest.content, &job, &request->ingest.limits, &ret->v[i], err);
		if (r < 0)
			return r;
		ret->n++;
		if (ret->v[i].info.opaque_root) {
			strv_free(below);
			below = NULL;
		}
		if (strv_add(&below, ret->v[i].info.id) < 0)
			return error_oom(err);
	}
	return 0;
}

static int load_one_docker(struct load_request *request, struct json_object *entry, struct error *err)
{
	_cleanup_image_config_ struct image_config config = {0};
	_cleanup_strv_ char **files = NULL, **tags = NULL, **names = NULL;
	_cleanup_(layers_free) struct layers layers = {0};
	_cleanup_free_ char *text = NULL;
	const char *config_file = NULL;
	char id[DIGEST_TEXT_MAX];
	size_t len;
	int r;

	if ((r = json_get_string(entry, "manifest.json", "Config", &config_file, err)) < 0 ||
	    (r = json_dup_strv(entry, "manifest.json", "Layers", &files, err)) < 0 ||
	    (r = json_dup_strv(entry, "manifest.json", "RepoTags", &tags, err)) < 0)
		return r;
	if (!config_file)
		return error_set(err, EINVAL, "manifest.json: Config is missing");
	if ((r = bundle_read(request->bundle, config_file, IMAGE_CONFIG_MAX, &text, &len, err)) < 0 ||
	    (r = image_config_parse(text, len, &config, err)) < 0 ||
	    (r = image_names(request, tags, &names, err)) < 0 ||
	    (r = load_layers(request, files, &config, &layers, err)) < 0 ||
	    (r = compose_image_verbatim(request->ingest.content, names, text, len, layers.v, layers.n, id, err)) < 0)
		return r;
	for (char **name = names; *name; name++)
		request->loaded(request->data, *name, id);
	return 0;
}

static bool is_wanted(struct json_object *entry, const char *only)
{
	_cleanup_strv_ char **tags = NULL;

	return !only || (json_dup_strv(entry, "", "RepoTags", &tags, NULL) > 0 && strv_contains(tags, only));
}

int load_docker(struct load_request *request, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len, n, wanted = 0;
	int r;

	r = bundle_read(request->bundle, "manifest.json", IMAGE_MANIFEST_MAX, &text, &len, err);
	if (r >= 0 && (r = json_parse(text, len, &o, err)) >= 0 && !json_object_is_type(o, json_type_array))
		r = error_set(err, EINVAL, "expected an array of images");
	if (r < 0) {
		error_prefix(err, "'%s': manifest.json", request->path);
		return r;
	}
	n = json_object_array_length(o);
	for (size_t i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(o, i);

		if (!json_object_is_type(entry, json_type_object))
			return error_set(err, EINVAL, "'%s': manifest.json: expected an array of objects",
					 request->path);
		wanted += is_wanted(entry, request->only);
	}
	if (wanted == 0)
		return error_set(err, ENOENT, "'%s' has no image%s%s", request->path, request->only ? " " : "",
				 request->only ?: "");
	if (wanted > 1 && request->name)
		return error_set(err, EINVAL,
				 "'%s' holds %zu images, and they cannot all be called '%s': choose one with %s:NAME",
				 request->path, wanted, request->name, request->path);
	for (size_t i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(o, i);

		if (!is_wanted(entry, request->only))
			continue;
		r = load_one_docker(request, entry, err);
		if (r < 0) {
			error_prefix(err, "'%s'", request->path);
			return r;
		}
	}
	return 0;
}
