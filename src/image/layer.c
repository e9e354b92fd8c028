#include "image/layer.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strv.h"
#include "image/record.h"
#include "image/unpack.h"

static int read_info(struct content *c, const char *id, struct layer_info *ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_free_ char *text = NULL;
	struct layer_info info = {0};
	char path[PATH_MAX];
	const char *diff_id;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "layers/%s/layer.json", id);
	if ((r = file_read_at(c->dirfd, path, 1 << 20, &text, &len, err)) < 0 ||
	    (r = json_parse(text, len, &o, err)) < 0)
		return r;
	if ((r = json_get_string(o, "", "diffId", &diff_id, err)) < 0 ||
	    (r > 0 && strlen(diff_id) >= sizeof(info.diff_id)) || (r > 0 && !strcpy(info.diff_id, diff_id)) ||
	    (r = json_get_u64(o, "", "bytes", &info.bytes, err)) < 0 ||
	    (r = json_get_u64(o, "", "entries", &info.entries, err)) < 0 ||
	    (r = json_get_bool(o, "", "opaqueRoot", &info.opaque_root, err)) < 0)
		return r < 0 ? r : error_set(err, EINVAL, "'%s/%s' is damaged", c->path, path);
	snprintf(info.id, sizeof(info.id), "%s", id);
	*ret = info;
	return 0;
}

int layer_find(struct content *c, const char *diff_id, const char *chain_id, struct layer_info *ret, struct error *err)
{
	char id[DIGEST_TEXT_MAX + 8];
	int r;

	for (int chain = 0; chain <= 1; chain++) {
		if (chain && !chain_id)
			break;
		layer_id(chain ? chain_id : diff_id, chain, id);
		if (!content_layer_exists(c, id))
			continue;
		r = read_info(c, id, ret, err);
		return r < 0 ? r : 1;
	}
	return 0;
}

int layer_chain_id(const char *chain_id, const char *diff_id, char ret[DIGEST_TEXT_MAX], struct error *err)
{
	char text[2 * DIGEST_TEXT_MAX];

	if (!*chain_id) {
		snprintf(ret, DIGEST_TEXT_MAX, "%s", diff_id);
		return 0;
	}
	snprintf(text, sizeof(text), "%s %s", chain_id, diff_id);
	return hash_bytes(text, strlen(text), ret, err);
}

struct lowers {
	int *fds; /* the highest first */
	size_t n;
};

static void lowers_free(struct lowers *l)
{
	for (size_t i = 0; i < l->n; i++)
		close(l->fds[i]);
	free(l->fds);
}

static int open_lowers(struct content *c, char *const *ids, struct lowers *ret, struct error *err)
{
	size_t n = strv_len(ids);
	int r;

	ret->fds = calloc(n + 1, sizeof(int));
	if (!ret->fds)
		return error_oom(err);
	while (ret->n < n) {
		r = content_layer_open(c, ids[n - 1 - ret->n], &ret->fds[ret->n], err);
		if (r < 0)
			return r;
		ret->n++;
	}
	return 0;
}

static int write_layer(struct layer_writer *w, const struct layer_job *job, const struct unpack_result *result,
		       struct layer_info *info, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	bool chain = result->depends_on_lowers;
	char chain_id[DIGEST_TEXT_MAX];
	const char *text;

	/* where the chain is not known (import) there is nothing beneath, and the chain-id is the diff-id */
	snprintf(chain_id, sizeof(chain_id), "%s", job->chain_id ?: info->diff_id);
	layer_id(chain ? chain_id : info->diff_id, chain, info->id);
	info->bytes = result->bytes;
	info->entries = result->entries;
	info->opaque_root = result->opaque_root;
	if (!o)
		return error_oom(err);
	json_object_object_add(o, "diffId", json_object_new_string(info->diff_id));
	json_object_object_add(o, "bytes", json_object_new_uint64(info->bytes));
	json_object_object_add(o, "entries", json_object_new_uint64(info->entries));
	json_object_object_add(o, "opaqueRoot", json_object_new_boolean(info->opaque_root));
	json_object_object_add(o, "skippedDevices", json_object_new_uint64(result->skipped_devices));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	return text ? layer_commit(w, info->id, text, err) : error_oom(err);
}

static int unpack(struct content *c, struct layer_writer *w, const struct layer_job *job,
		  const struct image_limits *limits, struct layer_info *info, struct error *err)
{
	_cleanup_layer_stream_ struct layer_stream *stream = NULL;
	_cleanup_(lowers_free) struct lowers lowers = {0};
	struct unpack_request request = {.root = w->diff, .squash_ids = job->squash_ids, .limits = limits};
	struct unpack_result result;
	uint64_t size;
	int r;

	r = open_lowers(c, job->lowers, &lowers, err);
	if (r < 0)
		return r;
	request.lowers = lowers.fds;
	request.n_lowers = lowers.n;
	if ((r = layer_stream_open(&job->input, limits, &stream, err)) < 0 ||
	    (r = unpack_layer(stream, &request, &result, err)) < 0 ||
	    (r = layer_stream_finish(stream, info->diff_id, &size, err)) < 0)
		return r;
	if (job->diff_id && strcmp(job->diff_id, info->diff_id) != 0)
		return error_set(err, EBADMSG, "it unpacks to %s, but the image's config says %s", info->diff_id,
				 job->diff_id);
	if (result.skipped_devices)
		log_info("layer %s: %llu device nodes below /dev were not made; every box gets its own /dev", job->name,
			 (unsigned long long)result.skipped_devices);
	return write_layer(w, job, &result, info, err);
}

int layer_unpack(struct content *c, const struct layer_job *job, const struct image_limits *limits,
		 struct layer_info *ret, struct error *err)
{
	_cleanup_layer_ struct layer_writer w = LAYER_WRITER_INIT;
	struct layer_info info = {0};
	char key[DIGEST_TEXT_MAX + 8];
	int r;

	if (job->diff_id) {
		r = layer_find(c, job->diff_id, job->chain_id, ret, err);
		if (r != 0)
			return r < 0 ? r : 0;
		layer_id(job->diff_id, false, key);
	} else {
		snprintf(key, sizeof(key), "new-%d", getpid());
	}
	r = layer_begin(c, key, &w, err);
	if (r < 0)
		return r;
	if (job->diff_id) {
		r = layer_find(c, job->diff_id, job->chain_id, ret, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	r = unpack(c, &w, job, limits, &info, err);
	if (r < 0) {
		error_prefix(err, "layer %s", job->name);
		return r;
	}
	*ret = info;
	return 0;
}

int layer_make_empty(struct content *c, struct error *err)
{
	_cleanup_layer_ struct layer_writer w = LAYER_WRITER_INIT;
	int r;

	if (content_layer_exists(c, IMAGE_EMPTY_LAYER))
		return 0;
	r = layer_begin(c, IMAGE_EMPTY_LAYER, &w, err);
	if (r < 0)
		return r;
	return content_layer_exists(c, IMAGE_EMPTY_LAYER) ? 0 : layer_commit(&w, IMAGE_EMPTY_LAYER, "{}", err);
}
