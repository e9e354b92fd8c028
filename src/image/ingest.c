#include "image/ingest.h"

#include <string.h>
#include <time.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/strv.h"
#include "image/layer.h"
#include "image/record.h"

/* One platform's image while it is brought in. */
struct incoming {
	struct descriptor manifest_descriptor;
	struct manifest manifest;
	struct image_config config;
	char **layers;
	uint64_t bytes;
};

struct ingestion {
	const struct ingest_request *request;
	struct incoming *v;
	size_t n;
};

static void ingestion_free(struct ingestion *g)
{
	for (size_t i = 0; i < g->n; i++) {
		descriptor_free(&g->v[i].manifest_descriptor);
		manifest_free(&g->v[i].manifest);
		image_config_free(&g->v[i].config);
		strv_free(g->v[i].layers);
	}
	free(g->v);
}

/* Reads a document from the store or else from the source, and keeps it in the store. */
static int fetch_document(struct ingestion *g, const struct descriptor *d, size_t max, const char *what, char **ret,
			  size_t *ret_len, struct error *err)
{
	_cleanup_blob_ struct blob_writer w = BLOB_WRITER_INIT;
	struct content *c = g->request->content;
	_cleanup_free_ char *data = NULL;
	size_t len;
	int r;

	if (d->size > max)
		return error_set(err, EFBIG, "%s %s has %llu bytes, more than the limit of %zu", what, d->digest,
				 (unsigned long long)d->size, max);
	if (content_blob_exists(c, d->digest) && content_blob_read(c, d->digest, max, ret, ret_len, NULL) == 0)
		return 0;
	r = g->request->source->ops->read(g->request->source, d, max, &data, &len, err);
	if (r < 0)
		return r;
	r = blob_begin(c, d->digest, d->size, &w, err);
	if (r == -EAGAIN) { /* another process is storing the same few bytes; ours are as good */
		_cleanup_hash_ struct hash *h = NULL;
		char got[DIGEST_TEXT_MAX];

		if ((r = hash_new(d->digest, &h, err)) < 0)
			return r;
		hash_update(h, data, len);
		if ((r = hash_final(h, got, err)) < 0)
			return r;
		if (strcmp(got, d->digest) != 0)
			return error_set(err, EBADMSG, "%s %s has the wrong content: its digest is %s", what, d->digest,
					 got);
		while (!content_blob_exists(c, d->digest)) {
			r = blob_begin(c, d->digest, d->size, &w, err);
			if (r != -EAGAIN)
				break;
			nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		}
		if (r == -EAGAIN)
			r = 1;
	}
	if (r < 0)
		return r;
	if (r == 0 && ((r = blob_restart(&w, err)) < 0 || (r = blob_append(&w, data, len, err)) < 0 ||
		       (r = blob_commit(&w, err)) < 0)) {
		error_prefix(err, "%s", what);
		return r;
	}
	*ret = take_ptr(data);
	*ret_len = len;
	return 0;
}

static int add_manifest(struct ingestion *g, const struct descriptor *d, const char *data, size_t len,
			struct error *err)
{
	_cleanup_free_ char *config = NULL;
	struct incoming *v, *in;
	size_t config_len;
	int r;

	v = reallocarray(g->v, g->n + 1, sizeof(*v));
	if (!v)
		return error_oom(err);
	g->v = v;
	in = &v[g->n++];
	*in = (struct incoming){0};
	if ((r = descriptor_copy(d, &in->manifest_descriptor, err)) < 0 ||
	    (r = manifest_parse(data, len, &in->manifest, err)) < 0 ||
	    (r = fetch_document(g, &in->manifest.config, IMAGE_CONFIG_MAX, "image config", &config, &config_len, err)) <
		0 ||
	    (r = image_config_parse(config, config_len, &in->config, err)) < 0)
		return r;
	return manifest_check_layers(&in->manifest, &in->config, g->request->limits.layers, err);
}

static int no_platform(struct ingestion *g, const struct index *index, struct error *err)
{
	char list[400];
	size_t at = 0;

	list[0] = 0;
	for (size_t i = 0; i < index->n && at < sizeof(list) - 80; i++)
		if (index->v[i].os && index->v[i].architecture && !index->v[i].is_attestation)
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%.20s/%.20s%s%.20s", at ? ", " : "",
					       index->v[i].os, index->v[i].architecture, index->v[i].variant ? "/" : "",
					       index->v[i].variant ?: "");
	return error_set(err, ENOENT, "the image has no variant for platform %s%s; it has: %s",
			 g->request->platform ? "" : "linux/", g->request->platform ?: image_host_architecture(),
			 *list ? list : "none");
}

/* Reads DESCRIPTOR's document; an index is descended into, DEPTH times at most. */
static int add_target(struct ingestion *g, const struct descriptor *d, unsigned depth, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	_cleanup_index_ struct index index = {0};
	size_t len, before = g->n;
	int r;

	r = fetch_document(g, d, IMAGE_MANIFEST_MAX, "manifest", &data, &len, err);
	if (r < 0)
		return r;
	r = manifest_kind(data, len, d->media_type, err);
	if (r < 0)
		return r;
	if (r == MANIFEST_IMAGE)
		return add_manifest(g, d, data, len, err);
	if (depth == 0)
		return error_set(err, ELOOP, "index %s: indexes are nested too deeply", d->digest);
	r = index_parse(data, len, &index, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < index.n; i++) {
		struct descriptor *e = &index.v[i];

		if (e->is_attestation || (e->os && strcmp(e->os, "unknown") == 0))
			continue;
		if (!g->request->all_platforms && e->os && e->architecture &&
		    !image_platform_matches(e->os, e->architecture, e->variant, g->request->platform))
			continue;
		r = add_target(g, e, depth - 1, err);
		if (r < 0)
			return r;
		if (!g->request->all_platforms)
			return 0; /* the first match counts (image-spec, image-index.md) */
	}
	return g->n > before ? 0 : no_platform(g, &index, err);
}

/* Copies the blob's bytes from the source into the store. */
static int copy_blob(const struct layer_input *in, struct blob_writer *w, struct error *err)
{
	_cleanup_free_ char *buf = malloc(256 << 10);
	int r;

	if (!buf)
		return error_oom(err);
	if (w->offset > in->length)
		w->offset = 0;
	for (uint64_t at = w->offset; at < in->length;) {
		ssize_t n =
		    pread(in->fd, buf, (size_t)MIN(in->length - at, (uint64_t)256 << 10), (off_t)(in->offset + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? error_sys(err, errno, "cannot read blob %s", w->digest)
				     : error_set(err, EBADMSG, "blob %s ends after %llu of %llu bytes", w->digest,
						 (unsigned long long)at, (unsigned long long)in->length);
		r = blob_append(w, buf, (size_t)n, err);
		if (r < 0)
			return r;
		at += (uint64_t)n;
	}
	return 0;
}

/* blob_begin() that waits for another process which writes the same blob. */
static int begin_patiently(struct content *c, const struct descriptor *d, struct blob_writer *w, struct error *err)
{
	int r;

	while ((r = blob_begin(c, d->digest, d->size, w, err)) == -EAGAIN)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	return r;
}

static int open_source(const struct ingest_request *request, const struct descriptor *d, struct layer_input *in,
		       bool *in_store, struct error *err)
{
	int r = request->source->ops->open(request->source, d, in, in_store, err);

	if (r < 0)
		return r;
	if (!*in_store && in->length != d->size)
		return error_set(err, EBADMSG, "blob %s has %llu bytes, its descriptor says %llu", d->digest,
				 (unsigned long long)in->length, (unsigned long long)d->size);
	return 0;
}

int ingest_blob(const struct ingest_request *request, const struct descriptor *d, struct error *err)
{
	_cleanup_blob_ struct blob_writer w = BLOB_WRITER_INIT;
	struct layer_input in = {0};
	bool in_store = false;
	int r;

	if (content_blob_exists(request->content, d->digest))
		return 0;
	if ((r = open_source(request, d, &in, &in_store, err)) < 0 || in_store)
		return r;
	r = begin_patiently(request->content, d, &w, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if ((r = copy_blob(&in, &w, err)) < 0)
		return r;
	return blob_commit(&w, err);
}

static int unpack_from_store(const struct ingest_request *request, const struct descriptor *d, struct layer_job *job,
			     struct layer_info *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	int r = content_blob_open(request->content, d->digest, &fd, &job->input.length, err);

	if (r < 0)
		return r;
	job->input.fd = fd;
	job->input.offset = 0;
	job->input.copy = NULL;
	return layer_unpack(request->content, job, &request->limits, ret, err);
}

int ingest_layer(const struct ingest_request *request, const struct descriptor *d, struct layer_job *job,
		 struct layer_info *ret, struct error *err)
{
	_cleanup_blob_ struct blob_writer w = BLOB_WRITER_INIT;
	bool in_store = false;
	int r;

	r = layer_find(request->content, job->diff_id, job->chain_id, ret, err);
	if (r < 0)
		return r;
	if (r > 0)
		return ingest_blob(request, d, err);
	if (content_blob_exists(request->content, d->digest))
		return unpack_from_store(request, d, job, ret, err);
	r = open_source(request, d, &job->input, &in_store, err);
	if (r < 0)
		return r;
	if (in_store)
		return unpack_from_store(request, d, job, ret, err);
	r = begin_patiently(request->content, d, &w, err);
	if (r < 0)
		return r;
	if (r > 0)
		return unpack_from_store(request, d, job, ret, err);
	if (w.offset && (r = blob_restart(&w, err)) < 0) /* the bytes are at hand: one pass does all */
		return r;
	job->input.copy = &w;
	r = layer_unpack(request->content, job, &request->limits, ret, err);
	if (r < 0)
		return r;
	if (w.offset < d->size) { /* another process unpacked it meanwhile */
		if ((r = blob_restart(&w, err)) < 0 || (r = copy_blob(&job->input, &w, err)) < 0)
			return r;
	}
	return blob_commit(&w, err);
}

static int ingest_layers(struct ingestion *g, struct incoming *in, struct error *err)
{
	const struct ingest_request *request = g->request;
	char chain[DIGEST_TEXT_MAX] = "";
	_cleanup_strv_ char **below = NULL;
	int r;

	for (size_t i = 0; i < in->manifest.n_layers; i++) {
		const struct descriptor *d = &in->manifest.layers[i];
		struct layer_job job = {
		    .name = d->digest, .diff_id = in->config.diff_ids[i], .squash_ids = request->squash_ids};
		struct layer_info info;

		if (d->size > request->limits.unpacked)
			return error_set(err, EFBIG,
					 "layer %s: its %llu bytes are more than the limit of %llu; raise it with "
					 "--max-unpacked-size",
					 d->digest, (unsigned long long)d->size, (unsigned long long)request->limits.unpacked);
		if (request->download_only) {
			if ((r = ingest_blob(request, d, err)) < 0)
				return r;
			continue;
		}
		if ((r = layer_chain_id(chain, job.diff_id, chain, err)) < 0)
			return r;
		job.chain_id = chain;
		job.input.algorithm = job.diff_id;
		job.lowers = below;
		r = ingest_layer(request, d, &job, &info, err);
		if (r < 0)
			return r;
		if (info.opaque_root) { /* overlayfs knows no opaque root */
			strv_free(below);
			below = NULL;
		}
		if (strv_add(&below, info.id) < 0)
			return error_oom(err);
		in->bytes += info.bytes;
	}
	in->layers = take_ptr(below);
	return in->layers ? 0 : layer_make_empty(request->content, err);
}

static int write_records(struct ingestion *g, const char *name, const struct descriptor *target, struct error *err)
{
	_cleanup_free_ struct record_image *images = calloc(g->n, sizeof(*images));

	if (!images)
		return error_oom(err);
	for (size_t i = 0; i < g->n; i++)
		images[i] = (struct record_image){&g->v[i].manifest_descriptor, &g->v[i].manifest, &g->v[i].config,
						  g->v[i].layers, g->v[i].bytes};
	return record_write(g->request->content, name, target, images, g->n, err);
}

int ingest_image(const struct ingest_request *request, const char *name, const struct descriptor *target,
		 char ret_id[DIGEST_TEXT_MAX], struct error *err)
{
	_cleanup_(ingestion_free) struct ingestion g = {.request = request};
	int r = add_target(&g, target, 2, err);

	for (size_t i = 0; r >= 0 && i < g.n && request->source->ops->prefetch; i++)
		r = request->source->ops->prefetch(request->source, g.v[i].manifest.layers, g.v[i].manifest.n_layers,
						   err);
	for (size_t i = 0; r >= 0 && i < g.n; i++)
		r = ingest_layers(&g, &g.v[i], err);
	if (r >= 0 && g.n == 0)
		r = error_set(err, ENOENT, "the index has no image in it");
	if (r >= 0)
		r = write_records(&g, name, target, err);
	if (r < 0) {
		error_prefix(err, "image '%s'", name);
		return r;
	}
	if (ret_id)
		snprintf(ret_id, DIGEST_TEXT_MAX, "%s", g.v[0].manifest.config.digest);
	return 0;
}
