/* Changes of an image's config in the words of a Dockerfile, as docker import and commit take them with --change. */
#pragma once

#include "base/error.h"
#include "base/json.h"

/*
 * Applies TEXT to the whole image config CONFIG: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME,
 * WORKDIR. CMD and ENTRYPOINT take a JSON array, or a line for /bin/sh -c.
 */
int change_apply(struct json_object *config, const char *text, struct error *err);

/* Appends to CONFIG's history; CREATED_BY and COMMENT may be NULL. Also sets "created". */
int change_add_history(struct json_object *config, const char *created_by, const char *comment, struct error *err);
