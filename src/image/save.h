/* Images out of the store into files. */
#pragma once

#include "base/error.h"
#include "image/content.h"
#include "image/store.h"

enum save_format {
	SAVE_DOCKER_ARCHIVE, /* a tar that is an OCI layout and has Docker's manifest.json too, as Docker 25 writes it
			      */
	SAVE_OCI_ARCHIVE,    /* a tar with an OCI layout */
	SAVE_OCI_DIR,	     /* a folder with an OCI layout */
};

/*
 * Writes IMAGES to FD: a tar file's descriptor (a pipe will do), or for SAVE_OCI_DIR an empty folder's. The images must
 * have been resolved in C's store.
 */
int save_images(struct content *c, const struct image *images, size_t n, enum save_format format, int fd,
		struct error *err);
