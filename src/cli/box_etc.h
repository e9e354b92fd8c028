/* The files of /etc that a box gets from the runtime: hosts, hostname, resolv.conf. */
#pragma once

#include "cli/image_box.h"

/* ADDRESS: the box's own in its private network; NULL: none. NAMESERVER: what to ask when the record names none and the
 * host's servers cannot be reached from the box (pasta's forwarder); NULL: the host's. */
int box_etc_write(const struct image_box *box, const char *address, const char *nameserver, struct error *err);
