#include "image/hash.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

struct hash {
	EVP_MD_CTX *ctx;
	const char *name;
	bool failed;
};

int hash_new(const char *algorithm, struct hash **ret, struct error *err)
{
	bool is_256 = strncmp(algorithm, "sha256", 6) == 0, is_512 = strncmp(algorithm, "sha512", 6) == 0;
	struct hash *h;

	if ((!is_256 && !is_512) || (algorithm[6] && algorithm[6] != ':'))
		return error_set(err, ENOTSUP, "digest algorithm '%.*s' is not supported; sha256 and sha512 are",
				 (int)strcspn(algorithm, ":"), algorithm);
	h = calloc(1, sizeof(*h));
	if (!h)
		return error_oom(err);
	h->name = is_256 ? "sha256" : "sha512";
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || EVP_DigestInit_ex(h->ctx, is_256 ? EVP_sha256() : EVP_sha512(), NULL) != 1) {
		hash_free(h);
		return error_set(err, EIO, "libcrypto cannot compute %s", is_256 ? "sha256" : "sha512");
	}
	*ret = h;
	return 0;
}

void hash_update(struct hash *h, const void *data, size_t len)
{
	if (EVP_DigestUpdate(h->ctx, data, len) != 1)
		h->failed = true;
}

int hash_final(struct hash *h, char ret[DIGEST_TEXT_MAX], struct error *err)
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char *p;

	if (EVP_DigestFinal_ex(h->ctx, raw, &len) != 1 || h->failed)
		return error_set(err, EIO, "libcrypto failed to compute %s", h->name);
	p = stpcpy(ret, h->name);
	*p++ = ':';
	for (unsigned i = 0; i < len; i++, p += 2)
		snprintf(p, 3, "%02x", raw[i]);
	return 0;
}

void hash_free(struct hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

int hash_bytes(const void *data, size_t len, char ret[DIGEST_TEXT_MAX], struct error *err)
{
	_cleanup_hash_ struct hash *h = NULL;
	int r = hash_new("sha256", &h, err);

	if (r < 0)
		return r;
	hash_update(h, data, len);
	return hash_final(h, ret, err);
}
