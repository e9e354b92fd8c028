/*
 * A box made from an image. Besides the state that every box has while it exists for its wall (oci/state.h, in --root),
 * it has a folder that outlives the workload, a reboot and `stop`: <store>/boxes/<id>/, mode 0700:
 *
 *	box.json	the record below
 *	config.json	the bundle's configuration
 *	upper, work	what the box changed: overlayfs's upper and work directories
 *	rootfs		where the root file system is mounted, in a mount namespace of the box's own
 *	etc/		hosts, hostname, resolv.conf as the box sees them
 *	network.json	what network was set up, and must be taken down
 *	life, log, ...	monitor/protocol.h
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"
#include "cli/cli.h"

#define IMAGE_BOX_RECORD "box.json"
#define IMAGE_BOX_NETWORK "network.json"

struct image_box {
	char *id, *path; /* owned; path is absolute */
	int dir_fd;
	struct json_object *record; /* owned */
};

#define IMAGE_BOX_INIT ((struct image_box){ .dir_fd = -1 })

/* "<store>/boxes". Owned. */
int image_box_folder(const struct cli *cli, char **ret, struct error *err);

/* Makes the folder of a new box: -EEXIST when the name is taken. The record is empty. */
int image_box_new(const struct cli *cli, const char *id, struct image_box *ret, struct error *err);

/* -ENOENT (and a message that names the box) when there is no box of this name made from an image. */
int image_box_load(const struct cli *cli, const char *id, struct image_box *ret, struct error *err);

int image_box_save(const struct image_box *box, struct error *err);

/* The state of the box at its wall, as box_load(); -ENOENT also when a box of that name was made from another bundle. */
int image_box_state(const struct cli *cli, const struct image_box *box, bool lock, struct box **ret, struct error *err);

/* Removes the folder; the workload must be gone. */
int image_box_remove(const struct image_box *box, struct error *err);

void image_box_free(struct image_box *box);

/* Ids of all boxes made from images, sorted. Owned. */
int image_box_list(const struct cli *cli, char ***ret, struct error *err);

/* Members of the record; NULL, false or 0 when absent. Strings are the record's. */
const char *image_box_string(const struct image_box *box, const char *key);
bool image_box_flag(const struct image_box *box, const char *key);
int64_t image_box_number(const struct image_box *box, const char *key);
/* The owned strings of an array; NULL when there are none. */
char **image_box_strings(const struct image_box *box, const char *key);

/* What `list`, `state` and `inspect` say of it, in the form of list_describe(). */
int image_box_describe(const struct cli *cli, const struct image_box *box, struct json_object **ret, struct error *err);

#define _cleanup_image_box_ _cleanup_(image_box_free)
