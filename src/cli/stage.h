/*
 * The stage on which a box made from an image is set up: a mount namespace of this process's own (and a user namespace,
 * for others than root) with the box's root file system mounted in it. Nothing is mounted that the host sees, so nothing
 * is left when we are killed; the box's own mount namespace begins as a copy of this one.
 */
#pragma once

#include "cli/image_box.h"
#include "oci/spec.h"

/* Becomes root of a user namespace with all of the caller's ids; nothing to do for root. Once per process. */
int stage_enter_user_namespace(struct error *err);

/* Joins the user namespace that STATE's workload was started from, so that verbs may act on it; nothing to do for root. */
int stage_join_user_namespace(const struct box *state, struct error *err);

/* The root directory of a running box as its process sees it. */
int stage_open_running_root(const struct box *state, struct error *err);

/* Enters a mount namespace and mounts the box's layers at <box>/rootfs. A descriptor of that directory, or an error. */
int stage_mount(const struct image_box *box, struct error *err);

/*
 * For a box with a user namespace of its own, whose root may not walk through our folders: shows <box>/rootfs and <box>/etc
 * below <root>/.stage too, on a file system that only this mount namespace has, and points SPEC there.
 */
int stage_show(const struct cli *cli, const struct image_box *box, struct oci_spec *spec, struct error *err);

/*
 * For walls without mounts of their own: copies the image's layers into <box>/rootfs, whiteouts applied, where they stay.
 * Needs no privilege for an image of one layer.
 */
int stage_unpack(const struct image_box *box, struct error *err);

/* Where the box's root directory is, for a wall that has no mounts: <box>/rootfs as it is. */
int stage_open_unpacked(const struct image_box *box, struct error *err);
