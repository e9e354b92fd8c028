/*
 * A layer's bytes on their way to the unpacker, in one pass: read, copied to the store (where asked for), decompressed
 * and digested, each on a thread of its own, in a ring of buffers. gzip, zstd, bzip2, xz and plain archives.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "image/content.h"
#include "image/limits.h"

struct layer_input {
	int fd;
	uint64_t offset, length;  /* the layer's place in FD; length UINT64_MAX: until end of file (FD may be a pipe) */
	struct blob_writer *copy; /* also gets the packed bytes; or NULL */
	const char *algorithm;	  /* of the digest of the unpacked bytes, as hash_new() takes it; NULL: sha256 */
};

struct layer_stream;

/* INPUT and LIMITS must outlive the stream. */
int layer_stream_open(const struct layer_input *input, const struct image_limits *limits, struct layer_stream **ret,
		      struct error *err);

/* The next bytes of the unpacked archive, valid until the next call: their count, 0 at the end, a negative errno. */
ssize_t layer_stream_next(struct layer_stream *s, const void **ret);

/* Reads what the unpacker left, ends the threads, and gives the digest of all unpacked bytes, and their count. */
int layer_stream_finish(struct layer_stream *s, char ret_diff_id[DIGEST_TEXT_MAX], uint64_t *ret_size,
			struct error *err);

/* Ends the threads, wherever they are. */
void layer_stream_free(struct layer_stream *s);

static inline void cleanup_layer_stream(struct layer_stream **s)
{
	layer_stream_free(*s);
}

#define _cleanup_layer_stream_ _cleanup_(cleanup_layer_stream)
