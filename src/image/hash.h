/* Content digests as OCI writes them, "sha256:HEX" and "sha512:HEX" (image-spec, descriptor.md), by libcrypto. */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define DIGEST_TEXT_MAX 136 /* "sha512:" + 128 hex digits + NUL */

struct hash; /* a digest being computed */

/* ALGORITHM is "sha256" or "sha512", or a whole digest that begins with one of them and a colon. */
int hash_new(const char *algorithm, struct hash **ret, struct error *err);
void hash_update(struct hash *h, const void *data, size_t len);
/* Ends the computation: "sha256:HEX" goes to RET. */
int hash_final(struct hash *h, char ret[DIGEST_TEXT_MAX], struct error *err);
void hash_free(struct hash *h);

/* The sha256 digest of DATA. */
int hash_bytes(const void *data, size_t len, char ret[DIGEST_TEXT_MAX], struct error *err);

static inline void cleanup_hash(struct hash **h)
{
	hash_free(*h);
}

#define _cleanup_hash_ _cleanup_(cleanup_hash)
