/* Brings an image from a source into the store: documents, layers (unpacked while they come), and last its record. */
#pragma once

#include "base/error.h"
#include "image/content.h"
#include "image/limits.h"
#include "image/source.h"

struct ingest_request {
	struct content *content;
	struct image_source *source;
	struct image_limits limits;
	const char *platform; /* "os/arch[/variant]"; NULL: this host's */
	bool all_platforms;
	bool squash_ids;
	bool download_only; /* no unpacking: nothing here will run it */
};

/*
 * Ingests what TARGET (an index or a manifest) points at under NAME, a full image name. RET_DIGEST, if not NULL, gets
 * the ID (config digest) of the image that NAME now means.
 */
int ingest_image(const struct ingest_request *request, const char *name, const struct descriptor *target,
		 char ret_id[DIGEST_TEXT_MAX], struct error *err);

/*
 * Copies a blob from the source to the store, verified, unless it is there. UNPACKED_AS, if not NULL, unpacks it too.
 */
struct layer_job;
struct layer_info;
int ingest_blob(const struct ingest_request *request, const struct descriptor *d, struct error *err);
int ingest_layer(const struct ingest_request *request, const struct descriptor *d, struct layer_job *job,
		 struct layer_info *ret, struct error *err);

/* One platform's image as the record has it; everything borrowed. */
struct record_image {
	const struct descriptor *manifest;
	const struct manifest *parsed;
	const struct image_config *config;
	char *const *layers; /* IDs, lowest first */
	uint64_t bytes;	     /* unpacked */
};

/* Writes (replaces) the record of NAME. */
int record_write(struct content *c, const char *name, const struct descriptor *target,
		 const struct record_image *images, size_t n, struct error *err);
/* Gives the image of record OLD_NAME another name too. */
int record_copy(struct content *c, const char *old_name, const char *new_name, struct error *err);
