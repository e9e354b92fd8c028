/*
 * The image store as the runtime sees it: read-only, json-c only, no archive or network code. `ringwall-image` writes
 * the store; this side resolves a reference to an image that is ready to run, and pins what a box uses.
 *
 *   STORE/                 0700; /var/lib/ringwall, or $XDG_DATA_HOME/ringwall without root
 *     lock                 flock(2): shared while somebody adds or resolves and pins, exclusive while gc removes
 *     images/NAME.json     one record for each image name, '/' written as '!'; replaced by rename(2)
 *     blobs/ALG/HEX        manifests, configs and layers as they came, verified before they got this name
 *     layers/ID/diff       an unpacked layer, an overlayfs lower directory; committed by rename(2), then never changed
 *     layers/ID/layer.json its size and origin
 *     ingest/              downloads (resumable) and unpackings under way, each flock(2)ed by its writer
 *     pins/OWNER           what a box uses: gc keeps it
 *
 * Layers carry overlayfs whiteouts (character device 0:0) and the xattr user.overlay.opaque, so that one form serves
 * root and rootless mounts: mount overlayfs with the option "userxattr".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define IMAGE_BASE_NAME "localhost/base:latest" /* the built-in image */

struct image_store;

/* One image, ready to run. Everything is owned; image_free() frees it. */
struct image {
	char *name;			   /* full name: "docker.io/library/debian:12" */
	char *digest;			   /* of the manifest: "sha256:..." */
	char *config_digest;		   /* of the config, Docker's image ID: "sha256:..." */
	char *os, *architecture, *variant; /* as the image's config has them; variant may be NULL */
	/*
	 * Absolute paths of the layer directories, lowest first (overlayfs's lowerdir= wants them the other way round).
	 * Never empty: an image without layers has one empty directory.
	 */
	char **layers;

	/* The config's "config" object (OCI image-spec, config.md); NULL where absent. */
	char **entrypoint, **cmd, **env;
	char *workdir, *user, *stop_signal;
	char **exposed_ports; /* "80/tcp" */
	char **volumes;	      /* absolute paths inside the box */
	char **labels;	      /* "key=value" */
	char **healthcheck;   /* Docker's Healthcheck.Test, or NULL */
};

/*
 * The store's folder: PATH, or else $RINGWALL_STORE, or else the default for this user. Owned; NULL when out of memory
 * or when neither HOME nor XDG_DATA_HOME is set for a user that is not root.
 */
char *image_store_default_path(const char *path) _must_check_;

/* Opens the store at PATH (NULL: the default). A store that does not exist yet gives -ENOENT. */
int image_store_open(const char *path, struct image_store **ret, struct error *err);
void image_store_close(struct image_store *store);
const char *image_store_path(const struct image_store *store);
int image_store_dirfd(const struct image_store *store);

/*
 * Finds the image that TEXT names: NAME[:TAG][@DIGEST], or at least three digits of an image ID or manifest digest. A
 * name without a registry means localhost/NAME, then docker.io/library/NAME. PLATFORM is "os/arch[/variant]" or NULL
 * for this host's. -ENOENT when there is none, -ENOTUNIQ when an ID prefix is ambiguous.
 */
int image_store_resolve(struct image_store *store, const char *text, const char *platform, struct image *ret,
			struct error *err);
void image_free(struct image *image);

/*
 * Resolves, and makes the store keep what it resolved to, until image_store_unpin(). OWNER (a box ID: letters, digits,
 * "_.+-") names the pin; a pin counts for as long as the path ALIVE (the box's state directory) exists.
 */
int image_store_pin(struct image_store *store, const char *text, const char *platform, const char *owner,
		    const char *alive, struct image *ret, struct error *err);
int image_store_unpin(struct image_store *store, const char *owner, struct error *err);

/*
 * Starts `ringwall-image --store PATH ARGV...`, which lives beside the running program or in its libexec folder, and
 * waits for it. Its output goes to our standard error. 0, -EIO when it failed (it has said why), or another error if it
 * could not be started.
 */
int image_helper_run(const char *store_path, char *const *argv, struct error *err);
/* The owned path of the file NAME that is installed with the program (or is in the build folder with it). */
int image_helper_path(const char *name, char **ret, struct error *err);

/*
 * Opens the store, making it and unpacking the built-in image first if this version's is not yet there. Costs a few
 * file look-ups when it is.
 */
int image_store_open_with_base(const char *path, struct image_store **ret, struct error *err);

static inline void cleanup_image_store(struct image_store **s)
{
	image_store_close(*s);
}

#define _cleanup_image_store_ _cleanup_(cleanup_image_store)
#define _cleanup_image_ _cleanup_(image_free)
