/* Who we are to a registry: containers-auth.json(5) and Docker's config.json. */
#pragma once

#include "base/error.h"

struct credentials {
	char *user, *password; /* owned; NULL: anonymous */
	char *identity_token;  /* owned: an OAuth 2 refresh token instead of a password; or NULL */
};

/*
 * Looks REGISTRY (and the more specific REGISTRY/REPOSITORY) up in AUTH_FILE, or else in $REGISTRY_AUTH_FILE,
 * $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json, $DOCKER_CONFIG/config.json and
 * ~/.docker/config.json. None found: anonymous, no error. A file that was named must exist.
 */
int credentials_find(const char *auth_file, const char *registry, const char *repository, struct credentials *ret,
		     struct error *err);
/* From "user:password". */
int credentials_parse(const char *text, struct credentials *ret, struct error *err);
void credentials_free(struct credentials *c);

#define _cleanup_credentials_ _cleanup_(credentials_free)
