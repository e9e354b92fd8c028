/* What the parts of the registry client share. */
#pragma once

#include "image/auth.h"
#include "image/registry.h"

struct downloads;

struct registry {
	struct image_source source; /* first: the source's functions get it */
	struct registry_options options;
	struct content *content;
	struct http_client client;
	struct credentials credentials;
	char *name;	  /* "registry/repository", for messages and the token's scope */
	char *repository; /* as the API wants it */
	char *base;	  /* "https://host/v2" */
	char *token;	  /* bearer token, or NULL */
	bool basic;	  /* the registry wants the password itself */
	struct downloads *downloads;
};

/* Answers the challenges of a 401. */
int registry_authenticate(struct registry *r, char *const *challenges, struct error *err);
/* The credentials to send now. */
struct http_auth registry_auth(const struct registry *r);
/* Performs a request to the registry, authenticating when asked to. URL is relative to base when it begins with '/'. */
int registry_perform(struct registry *r, const struct http_request *request, struct http_response *ret,
		     struct error *err);

/* Background downloads. V must live until downloads_free(). */
int downloads_add(struct registry *r, const struct descriptor *v, size_t n, struct error *err);
/* Waits until DIGEST is in the store. -ENOENT when it was never added. */
int downloads_wait(struct registry *r, const char *digest, struct error *err);
/* Stops and forgets them; partial downloads stay for a later attempt. */
void downloads_free(struct registry *r);
