/* Removing what nothing refers to any more, and looking whether the store is sound. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/content.h"

struct gc_result {
	uint64_t blobs, layers, partials, pins; /* removed */
	uint64_t bytes;				/* of removed blobs and partial downloads */
};

/* Told for each thing removed: "blob", "layer", "partial" or "pin", and its name. May be NULL. */
typedef void (*gc_fn)(void *data, const char *kind, const char *name);

/* The store must be locked exclusively. */
int gc_run(struct content *c, bool dry_run, gc_fn removed, void *data, struct gc_result *ret, struct error *err);

/* Whether a box that is still there uses the image of MANIFEST; RET gets its name (owned) or NULL. */
int gc_pinned_by(struct content *c, const char *manifest, char **ret, struct error *err);

/* A complaint about the store: what is damaged, and why. */
typedef void (*check_fn)(void *data, const char *what, const char *why);

/*
 * Verifies every blob and that every record's parts are there. REPAIR removes damaged blobs (and the layers unpacked of
 * them), so that the next pull brings them anew. The number of complaints, or a negative errno.
 */
int check_store(struct content *c, bool repair, check_fn complain, void *data, struct error *err);
