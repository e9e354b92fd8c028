/* Names of a hostile archive, resolved inside a layer's root. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define OVERLAY_OPAQUE_XATTR "user.overlay.opaque"

/* The parent of the entry being unpacked; entries of one folder follow each other, so it is kept. */
struct layer_root {
	int fd;		   /* the layer's root */
	const int *lowers; /* the highest first */
	size_t n_lowers;
	char *parent;	    /* path of the cached folder, owned; NULL when there is none */
	int parent_fd;	    /* O_PATH */
	bool parent_setgid; /* new entries take the folder's group */
	bool depends_on_lowers;
};

#define LAYER_ROOT_INIT ((struct layer_root){.fd = -1, .parent_fd = -1})

/*
 * NAME without leading slashes, "." and empty components; "" is the root. ".." and overlong names are refused. Owned.
 */
int layer_clean_name(const char *name, char **ret, struct error *err);

/*
 * Finds (and where it is missing makes) the folder that holds PATH, a clean name, following symbolic links inside the
 * root. The descriptor belongs to ROOT and is valid until the next call; *RET_BASE points into PATH.
 */
int layer_open_parent(struct layer_root *root, const char *path, int *ret_fd, const char **ret_base, struct error *err);
/* The same for a name that must exist, without making anything and without the cache; the caller owns *RET_FD. */
int layer_find_parent(struct layer_root *root, const char *path, int *ret_fd, const char **ret_base, struct error *err);
/* To be called when a folder is removed or replaced. */
void layer_forget_parent(struct layer_root *root);

/* Opens PATH as the layers beneath show it, read-only: -ENOENT when they have none. */
int layer_open_lower(struct layer_root *root, const char *path, int *ret_fd, struct error *err);

/* Whether the entry NAME of DIRFD is an overlayfs whiteout. */
bool layer_is_whiteout(int dirfd, const char *name);
int layer_make_whiteout(int dirfd, const char *name);
int layer_set_opaque(int fd);
/* Removes NAME whatever it is; 1 when it was a whiteout. */
int layer_remove(struct layer_root *root, int dirfd, const char *name, struct error *err);

/* Copies owner, mode, times and the permitted xattrs from FROM to TO, both open for real (not O_PATH). */
int layer_copy_metadata(int from, int to);
/* Whether a layer may set the xattr NAME. */
bool layer_xattr_permitted(const char *name);
