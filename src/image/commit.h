/* A box's changes become a layer on top of its image. */
#pragma once

#include "base/error.h"
#include "image/content.h"
#include "image/diff.h"
#include "image/limits.h"
#include "image/store.h"

struct commit_request {
	const struct image *base;		   /* what the box runs; resolved in the same store */
	struct diff_request diff;		   /* its upper directory; write and data are set here */
	char *const *names;			   /* full names of the new image */
	char *const *changes;			   /* change_apply()'s; or NULL */
	const char *author, *message, *created_by; /* or NULL */
	const char *compression;		   /* "gzip", "zstd" or "none" */
	struct image_limits limits;
};

int commit_image(struct content *c, const struct commit_request *request, char ret_id[DIGEST_TEXT_MAX],
		 struct error *err);
