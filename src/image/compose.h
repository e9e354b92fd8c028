/* Making images here: from layers without a manifest (Docker archives, import) and from a box's changes (commit). */
#pragma once

#include "base/error.h"
#include "image/content.h"
#include "image/layer.h"
#include "image/manifest.h"

struct composed_layer {
	struct descriptor blob;
	struct layer_info info;
};

void composed_layer_free(struct composed_layer *layer);

/*
 * Takes the layer at JOB->input into the store: its blob (whose digest nobody told us) and, unpacked, its folder.
 * JOB->diff_id may be NULL.
 */
int compose_layer(struct content *c, struct layer_job *job, const struct image_limits *limits,
		  struct composed_layer *ret, struct error *err);

/*
 * Writes config and manifest of an image and its record under each of NAMES. CONFIG is the whole config; its
 * "rootfs" is set from LAYERS. RET_ID gets the config's digest.
 */
int compose_image(struct content *c, char *const *names, struct json_object *config,
		  const struct composed_layer *layers, size_t n, char ret_id[DIGEST_TEXT_MAX], struct error *err);
/* The same with a config that must stay as it is, byte for byte. */
int compose_image_verbatim(struct content *c, char *const *names, const char *config, size_t config_len,
			   const struct composed_layer *layers, size_t n, char ret_id[DIGEST_TEXT_MAX],
			   struct error *err);
