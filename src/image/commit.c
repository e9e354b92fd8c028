#include "image/commit.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#include "base/strv.h"
#include "image/change.h"
#include "image/compose.h"

/* The layer's tar stream on its way into a blob: digested, compressed (a "raw" archive of libarchive's), stored. */
struct packer {
	struct blob_writer blob;
	struct hash *diff_id;
	struct archive *filter;
	struct error err;
};

static void packer_free(struct packer *p)
{
	if (p->filter)
		archive_write_free(p->filter);
	hash_free(p->diff_id);
	blob_abort(&p->blob, false);
}

static la_ssize_t on_packed(struct archive *a, void *data, const void *bytes, size_t len)
{
	struct packer *p = data;

	if (blob_append(&p->blob, bytes, len, &p->err) < 0) {
		archive_set_error(a, p->err.code, "%s", p->err.message);
		return -1;
	}
	return (la_ssize_t)len;
}

static int packer_failed(struct packer *p, struct error *err)
{
	if (p->err.code) {
		if (err)
			*err = p->err;
		return -p->err.code;
	}
	return error_set(err, EIO, "the layer cannot be compressed: %s",
			 archive_error_string(p->filter) ?: "unknown reason");
}

static int on_tar(void *data, const void *bytes, size_t len, struct error *err)
{
	struct packer *p = data;

	hash_update(p->diff_id, bytes, len);
	return archive_write_data(p->filter, bytes, len) == (la_ssize_t)len ? 0 : packer_failed(p, err);
}

static int packer_open(struct packer *p, struct content *c, const char *compression, struct error *err)
{
	struct archive_entry *e = archive_entry_new();
	int r;

	p->filter = archive_write_new();
	if (!e || !p->filter) {
		archive_entry_free(e);
		return error_oom(err);
	}
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_pathname(e, "layer");
	r = blob_begin(c, NULL, UINT64_MAX, &p->blob, err);
	if (r >= 0)
		r = hash_new("sha256", &p->diff_id, err);
	if (r >= 0) {
		r = strcmp(compression, "gzip") == 0   ? archive_write_add_filter_gzip(p->filter)
		    : strcmp(compression, "zstd") == 0 ? archive_write_add_filter_zstd(p->filter)
						       : archive_write_add_filter_none(p->filter);
		/* no time stamp: the same changes give the same blob */
		if (r == ARCHIVE_OK && strcmp(compression, "gzip") == 0)
			r = archive_write_set_filter_option(p->filter, "gzip", "timestamp", NULL);
		if (r != ARCHIVE_OK || archive_write_set_format_raw(p->filter) != ARCHIVE_OK ||
		    archive_write_set_bytes_in_last_block(p->filter, 1) != ARCHIVE_OK ||
		    archive_write_open(p->filter, p, NULL, on_packed, NULL) != ARCHIVE_OK ||
		    archive_write_header(p->filter, e) != ARCHIVE_OK)
			r = packer_failed(p, err);
	}
	archive_entry_free(e);
	return r;
}

/* Writes the diff's blob. */
static int pack(struct content *c, const struct commit_request *request, struct descriptor *ret,
		char diff_id[DIGEST_TEXT_MAX], struct error *err)
{
	_cleanup_(packer_free) struct packer p = {.blob = BLOB_WRITER_INIT};
	struct diff_request diff = request->diff;
	int r = packer_open(&p, c, request->compression, err);

	if (r < 0)
		return r;
	diff.write = on_tar;
	diff.data = &p;
	if ((r = diff_write(&diff, err)) < 0)
		return r;
	if (archive_write_close(p.filter) != ARCHIVE_OK)
		return packer_failed(&p, err);
	if ((r = hash_final(p.diff_id, diff_id, err)) < 0 || (r = blob_commit(&p.blob, err)) < 0)
		return r;
	ret->size = p.blob.offset;
	ret->digest = strdup(p.blob.digest);
	ret->media_type = strdup(strcmp(request->compression, "gzip") == 0   ? MEDIA_OCI_LAYER "+gzip"
				 : strcmp(request->compression, "zstd") == 0 ? MEDIA_OCI_LAYER "+zstd"
									     : MEDIA_OCI_LAYER);
	return ret->digest && ret->media_type ? 0 : error_oom(err);
}

struct stack {
	struct composed_layer *v;
	size_t n;
};

static void stack_free(struct stack *s)
{
	for (size_t i = 0; i < s->n; i++)
		composed_layer_free(&s->v[i]);
	free(s->v);
}

/* The base image's layers; CHAIN gets the chain-id of the topmost. */
static int read_base(struct content *c, const struct image *base, struct stack *s, struct json_object **ret_config,
		     char chain[DIGEST_TEXT_MAX], struct error *err)
{
	_cleanup_image_config_ struct image_config config = {0};
	_cleanup_free_ char *manifest_text = NULL, *config_text = NULL;
	_cleanup_manifest_ struct manifest m = {0};
	size_t manifest_len, config_len;
	int r;

	if ((r = content_blob_read(c, base->digest, IMAGE_MANIFEST_MAX, &manifest_text, &manifest_len, err)) < 0 ||
	    (r = manifest_parse(manifest_text, manifest_len, &m, err)) < 0 ||
	    (r = content_blob_read(c, base->config_digest, IMAGE_CONFIG_MAX, &config_text, &config_len, err)) < 0 ||
	    (r = image_config_parse(config_text, config_len, &config, err)) < 0 ||
	    (r = manifest_check_layers(&m, &config, UINT64_MAX, err)) < 0)
		return r;
	s->v = calloc(m.n_layers + 1, sizeof(*s->v));
	if (!s->v)
		return error_oom(err);
	chain[0] = 0;
	for (; s->n < m.n_layers; s->n++) {
		const char *diff_id = config.diff_ids[s->n];

		if ((r = layer_chain_id(chain, diff_id, chain, err)) < 0 ||
		    (r = layer_find(c, diff_id, chain, &s->v[s->n].info, err)) < 0)
			return r;
		if (r == 0)
			return error_set(err, ENOENT,
					 "layer %s of image '%s' is not in the store: pull the image again", diff_id,
					 base->name);
		if ((r = descriptor_copy(&m.layers[s->n], &s->v[s->n].blob, err)) < 0)
			return r;
	}
	return json_parse(config_text, config_len, ret_config, err);
}

static int add_layer(struct content *c, const struct commit_request *request, struct stack *s, const char *base_chain,
		     struct error *err)
{
	struct composed_layer *layer = &s->v[s->n];
	char diff_id[DIGEST_TEXT_MAX], chain[DIGEST_TEXT_MAX];
	struct layer_job job = {.name = "of the box's changes", .diff_id = diff_id, .chain_id = chain};
	_cleanup_strv_ char **lowers = NULL;
	_cleanup_close_ int fd = -1;
	int r = pack(c, request, &layer->blob, diff_id, err);

	s->n++; /* so that it is freed */
	if (r < 0 || (r = layer_chain_id(base_chain, diff_id, chain, err)) < 0 ||
	    (r = content_blob_open(c, layer->blob.digest, &fd, &job.input.length, err)) < 0)
		return r;
	for (size_t i = 0; i + 1 < s->n; i++) {
		if (s->v[i].info.opaque_root) {
			strv_free(lowers);
			lowers = NULL;
		}
		if (strv_add(&lowers, s->v[i].info.id) < 0)
			return error_oom(err);
	}
	job.lowers = lowers;
	job.input.fd = fd;
	return layer_unpack(c, &job, &request->limits, &layer->info, err);
}

int commit_image(struct content *c, const struct commit_request *request, char ret_id[DIGEST_TEXT_MAX],
		 struct error *err)
{
	_cleanup_(stack_free) struct stack stack = {0};
	_cleanup_json_ struct json_object *config = NULL;
	char chain[DIGEST_TEXT_MAX];
	int r;

	if ((r = read_base(c, request->base, &stack, &config, chain, err)) < 0 ||
	    (r = add_layer(c, request, &stack, chain, err)) < 0)
		return r;
	for (char *const *change = request->changes; change && *change; change++)
		if ((r = change_apply(config, *change, err)) < 0)
			return r;
	if (request->author)
		json_object_object_add(config, "author", json_object_new_string(request->author));
	if ((r = change_add_history(config, request->created_by ?: "ringwall commit", request->message, err)) < 0)
		return r;
	return compose_image(c, request->names, config, stack.v, stack.n, ret_id, err);
}
