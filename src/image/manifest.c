#include "image/manifest.h"

#include <string.h>

#include "base/strv.h"
#include "image/reference.h"

#define INDEX_ENTRIES_MAX 10000

void descriptor_free(struct descriptor *d)
{
	free(d->media_type);
	free(d->digest);
	free(d->os);
	free(d->architecture);
	free(d->variant);
	free(d->ref_name);
	free(d->full_name);
	*d = (struct descriptor){0};
}

static int copy_string(const char *s, char **ret)
{
	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? -ENOMEM : 0;
}

int descriptor_copy(const struct descriptor *d, struct descriptor *ret, struct error *err)
{
	struct descriptor c = {.size = d->size, .is_attestation = d->is_attestation};

	if (copy_string(d->media_type, &c.media_type) < 0 || copy_string(d->digest, &c.digest) < 0 ||
	    copy_string(d->os, &c.os) < 0 || copy_string(d->architecture, &c.architecture) < 0 ||
	    copy_string(d->variant, &c.variant) < 0 || copy_string(d->ref_name, &c.ref_name) < 0 ||
	    copy_string(d->full_name, &c.full_name) < 0) {
		descriptor_free(&c);
		return error_oom(err);
	}
	*ret = c;
	return 0;
}

struct json_object *descriptor_to_json(const struct descriptor *d)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	json_object_object_add(o, "mediaType", json_object_new_string(d->media_type));
	json_object_object_add(o, "digest", json_object_new_string(d->digest));
	json_object_object_add(o, "size", json_object_new_uint64(d->size));
	return o;
}

static int parse_platform(struct json_object *o, const char *where, struct descriptor *d, struct error *err)
{
	struct json_object *p;
	int r = json_get_object(o, where, "platform", &p, err);

	if (r <= 0)
		return r;
	if ((r = json_dup_string(p, where, "os", &d->os, err)) < 0 ||
	    (r = json_dup_string(p, where, "architecture", &d->architecture, err)) < 0 ||
	    (r = json_dup_string(p, where, "variant", &d->variant, err)) < 0)
		return r;
	if (d->variant && !*d->variant) {
		free(d->variant);
		d->variant = NULL;
	}
	return 0;
}

static int parse_annotations(struct json_object *o, const char *where, struct descriptor *d, struct error *err)
{
	struct json_object *a;
	const char *kind;
	int r = json_get_object(o, where, "annotations", &a, err);

	if (r <= 0)
		return r;
	if ((r = json_dup_string(a, where, "org.opencontainers.image.ref.name", &d->ref_name, err)) < 0 ||
	    (r = json_dup_string(a, where, "io.containerd.image.name", &d->full_name, err)) < 0)
		return r;
	d->is_attestation = json_get_string(a, where, "vnd.docker.reference.type", &kind, NULL) > 0;
	return 0;
}

int descriptor_parse(struct json_object *o, const char *where, struct descriptor *ret, struct error *err)
{
	_cleanup_descriptor_ struct descriptor d = {0};
	int r;

	if (!json_object_is_type(o, json_type_object))
		return error_set(err, EINVAL, "%s: expected an object", where);
	if ((r = json_dup_string(o, where, "mediaType", &d.media_type, err)) < 0)
		return r;
	if (!d.media_type)
		return error_set(err, EINVAL, "%s: mediaType is missing", where);
	if ((r = json_dup_string(o, where, "digest", &d.digest, err)) < 0)
		return r;
	if (!d.digest || !image_digest_valid(d.digest))
		return error_set(err, EINVAL, "%s.digest: expected sha256: or sha512: and hex digits, got '%.160s'",
				 where, d.digest ?: "");
	r = json_get_u64(o, where, "size", &d.size, err);
	if (r < 0)
		return r;
	if (r == 0 || d.size > INT64_MAX)
		return error_set(err, EINVAL, "%s.size: %s", where, r ? "out of range" : "is missing");
	if ((r = parse_platform(o, where, &d, err)) < 0 || (r = parse_annotations(o, where, &d, err)) < 0)
		return r;
	*ret = d;
	d = (struct descriptor){0};
	return 0;
}

static int parse_document(const char *data, size_t len, const char *what, struct json_object **ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	int r = json_parse(data, len, &o, err);

	if (r >= 0 && !json_object_is_type(o, json_type_object))
		r = error_set(err, EINVAL, "expected a JSON object");
	if (r < 0) {
		error_prefix(err, "%s", what);
		return r;
	}
	*ret = take_ptr(o);
	return 0;
}

static bool is_index_type(const char *t)
{
	return strcmp(t, MEDIA_OCI_INDEX) == 0 || strcmp(t, MEDIA_DOCKER_INDEX) == 0;
}

static bool is_manifest_type(const char *t)
{
	return strcmp(t, MEDIA_OCI_MANIFEST) == 0 || strcmp(t, MEDIA_DOCKER_MANIFEST) == 0;
}

/* What TYPE says DATA is: a kind, -ENODATA when it says nothing. */
static int kind_of_type(const char *type, struct error *err)
{
	if (!type || !*type || strcmp(type, "application/json") == 0 || strncmp(type, "text/", 5) == 0 ||
	    strcmp(type, "application/octet-stream") == 0)
		return -ENODATA;
	if (is_index_type(type))
		return MANIFEST_INDEX;
	if (is_manifest_type(type))
		return MANIFEST_IMAGE;
	if (strncmp(type, "application/vnd.docker.distribution.manifest.v1", 47) == 0)
		return error_set(
		    err, ENOTSUP,
		    "the manifest is of Docker's schema 1, which is obsolete and carries no digests: push the image "
		    "again with a current tool");
	return error_set(err, ENOTSUP, "'%.100s' is no image manifest: it may be an artifact of another kind", type);
}

static int kind_of_content(struct json_object *o, struct error *err)
{
	struct json_object *v;
	bool index = json_object_object_get_ex(o, "manifests", &v) && v;
	bool image =
	    (json_object_object_get_ex(o, "layers", &v) && v) || (json_object_object_get_ex(o, "config", &v) && v);
	int64_t version = 0;
	int r = json_get_i64(o, "manifest", "schemaVersion", 0, 1000, &version, err);

	if (r < 0)
		return r;
	if (version == 1)
		return kind_of_type("application/vnd.docker.distribution.manifest.v1", err);
	if (version != 2)
		return error_set(err, EINVAL, "manifest.schemaVersion: expected 2");
	if (index == image)
		return error_set(err, EINVAL,
				 index ? "the manifest could be read as an image and as an index: refused"
				       : "the manifest has neither layers nor manifests");
	return index ? MANIFEST_INDEX : MANIFEST_IMAGE;
}

int manifest_kind(const char *data, size_t len, const char *media_type, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	const char *own = NULL;
	int r, kind, said;

	if ((r = parse_document(data, len, "manifest", &o, err)) < 0 || (kind = kind_of_content(o, err)) < 0)
		return r < 0 ? r : kind;
	if ((r = json_get_string(o, "manifest", "mediaType", &own, err)) < 0)
		return r;
	for (int i = 0; i < 2; i++) {
		said = kind_of_type(i ? media_type : own, err);
		if (said == -ENODATA)
			continue;
		if (said < 0)
			return said;
		if (said != kind)
			return error_set(err, EINVAL, "the manifest's content contradicts its media type '%s'",
					 i ? media_type : own);
	}
	return kind;
}

static int parse_descriptors(struct json_object *a, const char *what, size_t max, struct descriptor **ret,
			     size_t *ret_n, struct error *err)
{
	size_t n = json_object_array_length(a);
	struct descriptor *v;

	if (n > max)
		return error_set(err, EFBIG, "%s: %zu entries are more than %zu", what, n, max);
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return error_oom(err);
	for (size_t i = 0; i < n; i++) {
		char where[64];
		int r;

		snprintf(where, sizeof(where), "%s[%zu]", what, i);
		r = descriptor_parse(json_object_array_get_idx(a, i), where, &v[i], err);
		if (r < 0) {
			while (i > 0)
				descriptor_free(&v[--i]);
			free(v);
			return r;
		}
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

int index_parse(const char *data, size_t len, struct index *ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct json_object *a;
	struct index index = {0};
	int r = parse_document(data, len, "index", &o, err);

	if (r < 0 || (r = json_get_array(o, "index", "manifests", &a, err)) < 0)
		return r;
	if (r == 0)
		return error_set(err, EINVAL, "index: manifests is missing");
	r = parse_descriptors(a, "manifests", INDEX_ENTRIES_MAX, &index.v, &index.n, err);
	if (r < 0)
		return r;
	*ret = index;
	return 0;
}

void index_free(struct index *index)
{
	for (size_t i = 0; i < index->n; i++)
		descriptor_free(&index->v[i]);
	free(index->v);
	*index = (struct index){0};
}

int manifest_parse(const char *data, size_t len, struct manifest *ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_manifest_ struct manifest m = {0};
	struct json_object *config, *layers;
	int r = parse_document(data, len, "manifest", &o, err);

	if (r < 0 || (r = json_get_object(o, "manifest", "config", &config, err)) < 0)
		return r;
	if (r == 0)
		return error_set(err, EINVAL, "manifest: config is missing");
	if ((r = descriptor_parse(config, "config", &m.config, err)) < 0 ||
	    (r = json_get_array(o, "manifest", "layers", &layers, err)) < 0)
		return r;
	if (strcmp(m.config.media_type, MEDIA_OCI_CONFIG) != 0 && strcmp(m.config.media_type, MEDIA_DOCKER_CONFIG) != 0)
		return error_set(err, ENOTSUP,
				 "config.mediaType: '%.100s' is no image's config: this is an artifact, no image",
				 m.config.media_type);
	if (r && (r = parse_descriptors(layers, "layers", INDEX_ENTRIES_MAX, &m.layers, &m.n_layers, err)) < 0)
		return r;
	*ret = m;
	m = (struct manifest){0};
	return 0;
}

void manifest_free(struct manifest *manifest)
{
	descriptor_free(&manifest->config);
	for (size_t i = 0; i < manifest->n_layers; i++)
		descriptor_free(&manifest->layers[i]);
	free(manifest->layers);
	*manifest = (struct manifest){0};
}

static int parse_rootfs(struct json_object *o, struct image_config *c, struct error *err)
{
	struct json_object *rootfs;
	int r = json_get_object(o, "config", "rootfs", &rootfs, err);

	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, EINVAL, "image config: rootfs is missing");
	r = json_dup_strv(rootfs, "rootfs", "diff_ids", &c->diff_ids, err);
	if (r < 0)
		return r;
	for (char **d = c->diff_ids; d && *d; d++)
		if (!image_digest_valid(*d))
			return error_set(err, EINVAL, "image config: rootfs.diff_ids: '%.160s' is no digest", *d);
	return 0;
}

int image_config_parse(const char *data, size_t len, struct image_config *ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_image_config_ struct image_config c = {0};
	struct json_object *v;
	int r = parse_document(data, len, "image config", &o, err);

	if (r < 0 || (r = json_dup_string(o, "config", "os", &c.os, err)) < 0 ||
	    (r = json_dup_string(o, "config", "architecture", &c.architecture, err)) < 0 ||
	    (r = json_dup_string(o, "config", "variant", &c.variant, err)) < 0 ||
	    (r = json_dup_string(o, "config", "created", &c.created, err)) < 0 || (r = parse_rootfs(o, &c, err)) < 0 ||
	    (r = json_get_array(o, "config", "history", &v, err)) < 0)
		return r;
	c.history = r ? json_object_array_length(v) : 0;
	r = json_get_object(o, "config", "config", &v, err);
	if (r < 0)
		return r;
	c.execution = r ? json_object_get(v) : NULL;
	if (!c.os && !(c.os = strdup("linux")))
		return error_oom(err);
	if (!c.architecture && !(c.architecture = strdup("unknown")))
		return error_oom(err);
	*ret = c;
	c = (struct image_config){0};
	return 0;
}

void image_config_free(struct image_config *config)
{
	free(config->os);
	free(config->architecture);
	free(config->variant);
	free(config->created);
	strv_free(config->diff_ids);
	json_object_put(config->execution);
	*config = (struct image_config){0};
}

static bool is_layer_type(const char *t)
{
	static const char *const types[] = {
	    MEDIA_OCI_LAYER,
	    MEDIA_OCI_LAYER "+gzip",
	    MEDIA_OCI_LAYER "+zstd",
	    MEDIA_DOCKER_LAYER,
	    "application/vnd.docker.image.rootfs.diff.tar",
	    "application/vnd.docker.image.rootfs.diff.tar.zstd",
	    "application/vnd.oci.image.layer.nondistributable.v1.tar",
	    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
	    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(t, types[i]) == 0)
			return true;
	return false;
}

int manifest_check_layers(const struct manifest *m, const struct image_config *config, uint64_t max_layers,
			  struct error *err)
{
	if (m->n_layers != strv_len(config->diff_ids))
		return error_set(err, EINVAL,
				 "the manifest lists %zu layers, the config %zu: they do not belong together",
				 m->n_layers, strv_len(config->diff_ids));
	if (m->n_layers > max_layers)
		return error_set(err, EFBIG,
				 "the image has %zu layers, more than the limit of %llu; raise it with --max-layers",
				 m->n_layers, (unsigned long long)max_layers);
	for (size_t i = 0; i < m->n_layers; i++)
		if (!is_layer_type(m->layers[i].media_type))
			return error_set(err, ENOTSUP,
					 "layers[%zu].mediaType: '%.100s' is no layer that can be unpacked", i,
					 m->layers[i].media_type);
	return 0;
}
