/* From a layer's blob to layers/ID in the store. */
#pragma once

#include "base/error.h"
#include "image/content.h"
#include "image/layer_stream.h"
#include "image/limits.h"

struct layer_job {
	struct layer_input input;
	const char *name;     /* for messages: the blob's digest or the file */
	const char *diff_id;  /* what the unpacked bytes must digest to; NULL: not known (image import) */
	const char *chain_id; /* identifies this layer together with those beneath (image-spec, config.md) */
	char *const *lowers;  /* IDs of the layers beneath, lowest first; NULL: none */
	bool squash_ids;
};

struct layer_info {
	char id[DIGEST_TEXT_MAX + 8]; /* its folder below layers/ */
	char diff_id[DIGEST_TEXT_MAX];
	uint64_t bytes, entries;
	bool opaque_root;
};

/* 1: the layer is unpacked already, and RET tells which. 0: it is not. */
int layer_find(struct content *c, const char *diff_id, const char *chain_id, struct layer_info *ret, struct error *err);

/*
 * Unpacks the layer, verifying DIFF_ID, unless it is there already (then the input is not read). Two processes that
 * want the same layer share the work.
 */
int layer_unpack(struct content *c, const struct layer_job *job, const struct image_limits *limits,
		 struct layer_info *ret, struct error *err);

/* The chain-id of DIFF_ID on top of CHAIN_ID ("" at the bottom). */
int layer_chain_id(const char *chain_id, const char *diff_id, char ret[DIGEST_TEXT_MAX], struct error *err);

/* Makes the layer that stands for "none". */
int layer_make_empty(struct content *c, struct error *err);
