/*
 * A repository of a registry that speaks the distribution-spec (Docker Registry HTTP API V2): an image source, and
 * where images are pushed to.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/content.h"
#include "image/http.h"
#include "image/reference.h"
#include "image/source.h"

struct registry_options {
	struct http_options http;
	const char *credentials; /* "user:password", or NULL */
	const char *auth_file;	 /* or NULL */
	unsigned parallel;	 /* downloads at once */
	bool push;		 /* the token must allow it */
	/* Told now and then, from another thread: bytes and blobs fetched so far, and in all. Or NULL. */
	void (*progress)(void *data, uint64_t bytes, uint64_t all_bytes, unsigned blobs, unsigned all_blobs);
	void *progress_data;
};

struct registry;

int registry_open(const struct image_ref *ref, struct content *c, const struct registry_options *options,
		  struct registry **ret, struct error *err);
void registry_close(struct registry *r);

/* Asks what the reference's tag or digest means; the document goes to the store. The caller frees RET. */
int registry_resolve(struct registry *r, const struct image_ref *ref, struct descriptor *ret, struct error *err);

struct image_source *registry_source(struct registry *r);

/* Uploads a blob of the store unless the registry has it. RET_SENT may be NULL. */
int registry_push_blob(struct registry *r, const struct descriptor *d, bool *ret_sent, struct error *err);
/* Uploads a manifest or index as TAG (a tag or a digest). */
int registry_push_manifest(struct registry *r, const char *tag, const char *media_type, const char *data, size_t len,
			   struct error *err);

static inline void cleanup_registry(struct registry **r)
{
	registry_close(*r);
}

#define _cleanup_registry_ _cleanup_(cleanup_registry)
