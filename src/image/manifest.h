/*
 * Manifests, indexes and configs: OCI image-spec 1.1 and Docker's image manifest version 2 schema 2. Whoever sent them
 * is not trusted: every field that is used is checked, a document that could be read as both kinds is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"

struct descriptor {
	char *media_type;
	char *digest; /* valid by image_digest_valid() */
	uint64_t size;
	char *os, *architecture, *variant; /* NULL where there is no platform */
	char *ref_name;			   /* org.opencontainers.image.ref.name, or NULL */
	char *full_name;		   /* io.containerd.image.name, or NULL */
	bool is_attestation;		   /* BuildKit's: no image */
};

struct index {
	struct descriptor *v;
	size_t n;
};

struct manifest {
	struct descriptor config;
	struct descriptor *layers; /* lowest first */
	size_t n_layers;
};

struct image_config {
	char *os, *architecture, *variant, *created; /* variant and created may be NULL */
	char **diff_ids;			     /* lowest first */
	struct json_object *execution;		     /* the "config" object, owned; or NULL */
	size_t history;
};

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

/* Tells by content, and by MEDIA_TYPE (as a descriptor or a registry gave it; may be NULL), what DATA is. */
int manifest_kind(const char *data, size_t len, const char *media_type, struct error *err);

int index_parse(const char *data, size_t len, struct index *ret, struct error *err);
void index_free(struct index *index);
int manifest_parse(const char *data, size_t len, struct manifest *ret, struct error *err);
void manifest_free(struct manifest *manifest);
int image_config_parse(const char *data, size_t len, struct image_config *ret, struct error *err);
void image_config_free(struct image_config *config);

void descriptor_free(struct descriptor *d);
int descriptor_copy(const struct descriptor *d, struct descriptor *ret, struct error *err);
/* {"mediaType", "digest", "size"}; NULL when out of memory. */
struct json_object *descriptor_to_json(const struct descriptor *d);
int descriptor_parse(struct json_object *o, const char *where, struct descriptor *ret, struct error *err);

/* Whether the layers' number and the config's agree, and every layer is of a kind we can unpack. */
int manifest_check_layers(const struct manifest *m, const struct image_config *config, uint64_t max_layers,
			  struct error *err);

#define _cleanup_descriptor_ _cleanup_(descriptor_free)
#define _cleanup_index_ _cleanup_(index_free)
#define _cleanup_manifest_ _cleanup_(manifest_free)
#define _cleanup_image_config_ _cleanup_(image_config_free)
