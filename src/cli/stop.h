/* Ending and beginning again: what `stop`, `restart`, `start`, `delete` and `rm` share. */
#pragma once

#include "cli/image_box.h"

/*
 * Sends SIGNAL to the workload and waits until whoever looks after the box is done with it; after TIMEOUT_MS kills it. No
 * restart policy brings it back. 0 also when it does not run.
 */
int stop_image_box(const struct cli *cli, const struct image_box *box, int signal, uint64_t timeout_ms, struct error *err);

/* `delete` of a box made from an image. */
int remove_image_box(const struct cli *cli, const char *id, bool force, struct error *err);
