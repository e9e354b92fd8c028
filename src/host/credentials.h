/* The ids and capabilities of the calling process, credentials(7), capabilities(7). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/caps.h"

/* Removes every capability not in KEEP from the bounding set. Needs CAP_SETPCAP when there is one to remove. */
int caps_limit_bounding(uint64_t keep, struct error *err);

/* Sets effective, permitted and inheritable; ambient ones by caps_raise_ambient(). */
int caps_set(const struct cap_sets *sets, struct error *err);
int caps_raise_ambient(uint64_t ambient, struct error *err);

/* The sets of the calling thread (ambient and bounding left 0). */
int caps_get(struct cap_sets *ret);
bool caps_have(unsigned cap);

/* Supplementary groups, group and user, for good. Capabilities are kept as permitted ones. */
int ids_set(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t n_groups, struct error *err);
