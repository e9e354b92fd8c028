/* Being attached to a box that a monitor looks after. */
#pragma once

#include "cli/cli.h"

struct attach_mode {
	bool input;               /* pass our standard input on */
	bool terminal;            /* the box has one: ours becomes raw, its size is passed on */
	const char *detach_keys;  /* "ctrl-p,ctrl-q" when NULL; "" for none */
	const char *signal_box;   /* id of the box that gets the signals sent to us; NULL: none does */
};

/* FD: connected to the monitor. The workload's exit status, 0 when the user detached, or a negative errno. */
int attach_run(int fd, const struct attach_mode *mode, const struct cli *cli, struct error *err);
