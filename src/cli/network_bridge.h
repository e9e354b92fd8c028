/* root's private network: the bridge ringwall0 in the caller's network namespace, NAT and published ports by nftables. */
#pragma once

#include "cli/image_box.h"

/* Connects process PID; RECORD (saved by the caller's SAVE before anything is made) tells what to take down. */
int bridge_attach(const struct image_box *box, pid_t pid, struct json_object *record,
		  int (*save)(const struct image_box *, struct json_object *, struct error *), struct error *err);
void bridge_detach(const struct image_box *box, struct json_object *record);
