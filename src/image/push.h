/* Sending an image of the store to a registry. */
#pragma once

#include "base/error.h"
#include "image/content.h"
#include "image/registry.h"
#include "image/store.h"

/*
 * Pushes IMAGE as TAG: its blobs, its manifest, and with ALL_PLATFORMS what its record's name points at (the index and
 * every variant, which must be here). RET_DIGEST gets the digest of what TAG means now.
 */
int push_image(struct content *c, struct registry *r, const struct image *image, const char *tag, bool all_platforms,
	       char ret_digest[DIGEST_TEXT_MAX], struct error *err);
