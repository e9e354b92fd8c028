/*
 * Mount option strings, as the OCI runtime-spec ("Mounts", "Linux mount options") and crun have them, to typed flags:
 * what mount(2), mount_setattr(2) and fsconfig(2) want. Names the table does not know are file system data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/idmap.h"

#define MOUNT_PROPAGATIONS_MAX 8

enum mount_idmap { MOUNT_IDMAP_NONE, MOUNT_IDMAP, MOUNT_IDMAP_RECURSIVE };

struct mount_options {
	unsigned long flags;   /* MS_... to set, MS_BIND and MS_REC ("rbind") and MS_REMOUNT included */
	unsigned long cleared; /* MS_... the options explicitly negate ("rw", "suid", ...) and no later one sets */
	unsigned long propagation[MOUNT_PROPAGATIONS_MAX]; /* MS_SHARED, ... each maybe with MS_REC, in the order given */
	size_t n_propagation;
	uint64_t attr_set, attr_clr; /* MOUNT_ATTR_... for mount_setattr(AT_RECURSIVE): "rro", "rnosuid", ...; 0, 0: none */
	bool tmp_copy_up;            /* "tmpcopyup": a tmpfs starts with what was there */
	bool copy_symlink;           /* "copy-symlink": a source that is a symbolic link is made again, not followed */
	bool source_nofollow, destination_nofollow; /* "src-nofollow", "dest-nofollow" */
	enum mount_idmap idmap;                     /* "idmap", "ridmap" */
	char *idmap_mappings; /* what follows "idmap=", for mount_idmap_parse(); NULL: the mount's or the box's own maps */
	char *data;           /* comma-separated file system options; NULL: none */
};

/* Interprets OPTIONS (NULL-terminated, or NULL for none). RET is freed with mount_options_free(). */
int mount_options_parse(char *const *options, struct mount_options *ret, struct error *err);
void mount_options_free(struct mount_options *o);

/* The MOUNT_ATTR_... that a new mount of MS_... FLAGS has: for fsmount(2) and mount_setattr(2). */
uint64_t mount_flags_to_attr(unsigned long flags);
/* The MS_... among the flags that belong to the superblock, not to the mount: for fsconfig(FSCONFIG_SET_FLAG). */
unsigned long mount_flags_superblock(unsigned long flags);

/* The I-th option name known, in alphabetical order, or NULL after the last. Static storage. */
const char *mount_option_name(size_t i);

/*
 * crun's explicit maps, "uids=FROM-TO-COUNT[#...];gids=...": ids of the file system FROM.. appear as host ids TO..; a
 * triple that begins with '@' gives TO as an id inside the box, looked up in BOX_UIDS or BOX_GIDS. In the result FROM is
 * `inside` and TO is `outside`. The caller frees ret_*->v.
 */
int mount_idmap_parse(const char *mappings, const struct id_maps *box_uids, const struct id_maps *box_gids,
		      struct id_maps *ret_uids, struct id_maps *ret_gids, struct error *err);

#define _cleanup_mount_options_ _cleanup_(mount_options_free)
