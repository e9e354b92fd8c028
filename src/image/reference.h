/*
 * Image references: [REGISTRY/]REPOSITORY[:TAG][@ALGORITHM:HEX], by the grammar of the distribution reference
 * specification. Docker's rule tells a registry from a repository: the first component is a registry when it holds a
 * dot or a colon or is "localhost".
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define IMAGE_DEFAULT_REGISTRY "docker.io"
#define IMAGE_LOCAL_REGISTRY "localhost" /* where short names live that were made on this host */
#define IMAGE_DEFAULT_TAG "latest"
#define IMAGE_REF_MAX 225 /* bytes of a full name: it becomes a file name */

struct image_ref {
	char *registry;	  /* NULL when the text named none */
	char *repository; /* without the registry; "library/" is not yet added */
	char *tag;	  /* or NULL */
	char *digest;	  /* "sha256:HEX" or "sha512:HEX", or NULL */
};

int image_ref_parse(const char *text, struct image_ref *ret, struct error *err);
void image_ref_free(struct image_ref *ref);

/*
 * The full name of REF, "registry/repository:tag" (or "@digest" where no tag is given), with REGISTRY where the text
 * named none. On docker.io a repository without a slash gets "library/". Owned; NULL when out of memory.
 */
char *image_ref_name(const struct image_ref *ref, const char *registry) _must_check_;

/* The repository as the registry's API wants it ("library/debian"). Owned; NULL when out of memory. */
char *image_ref_api_repository(const struct image_ref *ref) _must_check_;

/* Whether S is a well-formed "sha256:<64 hex>" or "sha512:<128 hex>", lower case. */
bool image_digest_valid(const char *s);
/* Whether S is a well-formed tag. */
bool image_tag_valid(const char *s);

#define _cleanup_image_ref_ _cleanup_(image_ref_free)
