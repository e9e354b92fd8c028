/*
 * The files of an image archive by name, whether it is a folder or a tar file (plain, compressed, or coming through a
 * pipe). Used for OCI layouts and Docker archives.
 */
#pragma once

#include "base/error.h"
#include "image/content.h"
#include "image/layer_stream.h"

struct bundle;

/*
 * Opens what FD (taken over; also on failure) is: a folder, a tar file, or a pipe. Compressed archives and pipes are
 * spooled to a nameless file in the store. PATH is for messages; C lends the store, LIMITS the bounds.
 */
int bundle_open(int fd, const char *path, struct content *c, const struct image_limits *limits, struct bundle **ret,
		struct error *err);
void bundle_close(struct bundle *b);

bool bundle_has(struct bundle *b, const char *name);
/* Where the regular file NAME lies; links inside the archive are followed. The descriptor stays the bundle's. */
int bundle_find(struct bundle *b, const char *name, struct layer_input *ret, struct error *err);
/* Reads a file of at most MAX bytes whole; NUL-terminated, owned. */
int bundle_read(struct bundle *b, const char *name, size_t max, char **ret, size_t *ret_len, struct error *err);

static inline void cleanup_bundle(struct bundle **b)
{
	bundle_close(*b);
}

#define _cleanup_bundle_ _cleanup_(cleanup_bundle)
