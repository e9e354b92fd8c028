/* Capability sets as bit masks (1 << CAP_x), capabilities(7). */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct cap_sets {
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

/* "CAP_NET_ADMIN" (any case, with or without the prefix) to its number, or -EINVAL. */
int cap_from_string(const char *name);
/* "CAP_NET_ADMIN"; NULL when the number has no name. Static storage. */
const char *cap_to_string(unsigned cap);
/* All capabilities the running kernel knows. */
uint64_t cap_all_known(void);
