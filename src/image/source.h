/* Where an image comes from: a registry, an OCI layout, a Docker archive. One ops table for each kind. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "image/layer_stream.h"
#include "image/manifest.h"

struct image_source {
	const struct image_source_ops *ops;
};

struct image_source_ops {
	/*
	 * Reads a small document (manifest, index, config) of at most MAX bytes whole, verified against the descriptor.
	 * Owned, NUL-terminated.
	 */
	int (*read)(struct image_source *s, const struct descriptor *d, size_t max, char **ret, size_t *ret_len,
		    struct error *err);
	/* Begins to fetch blobs in the background; may be NULL. V must live until the source is closed. */
	int (*prefetch)(struct image_source *s, const struct descriptor *v, size_t n, struct error *err);
	/*
	 * Gives access to a blob. *RET_IN_STORE: it was put into the store, verified; else RET tells where its bytes
	 * are, unverified. The descriptor RET->fd stays the source's.
	 */
	int (*open)(struct image_source *s, const struct descriptor *d, struct layer_input *ret, bool *ret_in_store,
		    struct error *err);
	void (*close)(struct image_source *s);
};
