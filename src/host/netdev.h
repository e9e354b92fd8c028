/* Network interfaces, by rtnetlink(7). */
#pragma once

#include "base/error.h"

/* Brings up "lo" in our own network namespace. */
int netdev_loopback_up(struct error *err);

/*
 * Moves interface NAME of our own network namespace into the one of NETNS_FD as NEW_NAME (which may end in "%d" for the
 * first free number), keeps its addresses of global scope, and brings it up: OCI runtime-spec, config-linux, "Network
 * Devices". -ENODEV: no such interface; -EEXIST: the name is taken there. Enters that namespace for a moment.
 */
int netdev_move(const char *name, const char *new_name, int netns_fd, struct error *err);
