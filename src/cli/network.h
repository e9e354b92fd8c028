/*
 * The private network of a box made from an image: for root a veth pair into the bridge ringwall0, with NAT and published
 * ports by nftables; for others pasta. What was set up is in the box's network.json before it is made, so that it can be
 * taken down whatever happened.
 */
#pragma once

#include "cli/image_box.h"

/* Checks and records "publish" ("[[IP:]HOST:]BOX[/PROTO]"): appends to the record's "ports". */
int network_parse_port(const char *text, struct json_object *ports, struct error *err);

/* Whether the box has a private network, which somebody must set up. */
bool network_is_private(const struct image_box *box);

/* Whether the network is made before the box (pasta's), or the box is connected afterwards (the bridge's). */
bool network_comes_first(const struct image_box *box);

/* Makes the network namespace that the box is to join: a descriptor. On failure network_detach() tidies up. */
int network_make(const struct image_box *box, struct error *err);

/* Connects the network namespace of process PID. On failure network_detach() tidies up. */
int network_attach(const struct cli *cli, const struct image_box *box, pid_t pid, struct error *err);

/* Takes down whatever was set up; fine when nothing was. */
void network_detach(const struct cli *cli, const struct image_box *box);
