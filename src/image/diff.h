/*
 * The other direction of unpack.h: an overlayfs upper directory becomes a layer's archive. Whiteouts and opaque folders
 * become .wh. files (image-spec, layer.md), overlayfs's own xattrs are left out, sockets too.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/idmap.h"

struct diff_request {
	int upper;			  /* the upper directory */
	const struct id_map *uids, *gids; /* of the box's user namespace: owners are translated back; or none */
	size_t n_uids, n_gids;
	int (*write)(void *data, const void *bytes, size_t len, struct error *err); /* gets the tar stream */
	void *data;
};

int diff_write(const struct diff_request *request, struct error *err);
