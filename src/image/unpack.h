/*
 * Unpacks one layer's archive (image-spec, layer.md) into an overlayfs lower directory: whiteouts become character
 * devices 0:0, opaque whiteouts the xattr user.overlay.opaque. Names and links are resolved inside the layer's root
 * only, every byte of the archive counts as hostile, and the limits hold.
 *
 * A layer that does not name all of its folders, or links to a file it does not bring, depends on what is beneath it:
 * then the layers beneath are consulted, and the result is marked as valid above them only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "image/layer_stream.h"

struct unpack_request {
	int root;	   /* the empty directory to fill */
	const int *lowers; /* directories of the layers beneath, the highest first */
	size_t n_lowers;
	bool squash_ids; /* everything belongs to us: a user namespace with a single ID */
	const struct image_limits *limits;
};

struct unpack_result {
	uint64_t entries;
	uint64_t bytes;		  /* of file content */
	uint64_t skipped_devices; /* nodes below /dev, which every box gets afresh */
	bool depends_on_lowers;
	bool opaque_root; /* nothing beneath shows through */
};

int unpack_layer(struct layer_stream *stream, const struct unpack_request *request, struct unpack_result *ret,
		 struct error *err);
