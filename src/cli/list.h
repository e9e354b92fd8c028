/* One box as `list` and `state` show it. */
#pragma once

#include "cli/cli.h"

/* The runtime-spec's state with runc's additions (rootfs, created, owner) and the wall. *RET is owned. */
int list_describe(const struct box *box, struct json_object **ret, struct error *err);
