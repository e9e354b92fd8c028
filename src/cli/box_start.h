/* Starting a box made from an image, and tidying up after it: by this process itself, or through a monitor. */
#pragma once

#include "cli/image_box.h"

/*
 * Sets the stage (stage.h), completes the configuration, and makes the box with its network; the workload runs
 * afterwards. CREATE says where its standard input and output go. This process should then end or wait for it.
 */
int box_start_here(const struct cli *cli, const struct image_box *box, struct create_options *create,
		   struct box **ret_state, struct started *ret, struct error *err);

/*
 * Removes what exists while the workload runs (the wall's state, control group, network), killing it if need be; with
 * REMOVE the box's folder too. What is gone already is no error.
 */
int box_clean(const struct cli *cli, const struct image_box *box, bool remove, struct error *err);

/*
 * Hands the box to a monitor, which starts it. CLIENT_FD: an attached client for it (one end of a SOCK_SEQPACKET pair),
 * or -1. 0 when the workload runs; else the exit status of what failed (which has told why), or a negative errno.
 */
int box_start_monitored(const struct cli *cli, const struct image_box *box, int client_fd, struct error *err);
