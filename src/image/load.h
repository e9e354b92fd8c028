/* OCI layouts (folder, tar), Docker archives, and plain root file systems into the store. */
#pragma once

#include "base/error.h"
#include "image/bundle.h"
#include "image/ingest.h"

/* Told for each image that has come in. */
typedef void (*loaded_fn)(void *data, const char *name, const char *id);

struct load_request {
	struct ingest_request ingest; /* its source is set by load_bundle() */
	struct bundle *bundle;
	const char *path; /* as the user gave it: an image without a name is called after it */
	const char *only; /* NULL, or the reference (OCI) or name (Docker) of the one image wanted */
	const char *name; /* NULL, or the full name for the one image */
	loaded_fn loaded;
	void *data;
};

/* Loads every image of the bundle (or the one wanted). */
int load_bundle(struct load_request *request, struct error *err);

/* The two kinds, and the name of what has none: localhost/<file name without its ending>:TAG, owned; NULL if
 * impossible. */
int load_oci(struct load_request *request, struct error *err);
int load_docker(struct load_request *request, struct error *err);
char *load_default_name(const char *path, const char *tag);
