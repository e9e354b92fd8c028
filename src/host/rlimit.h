/* Resource limits by name, getrlimit(2). */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* "RLIMIT_NOFILE" to its number, or -EINVAL; the other way round, NULL for an unknown number. Static storage. */
int rlimit_from_string(const char *name);
const char *rlimit_to_string(int resource);

/*
 * Sets a limit of process PID (0: the calling one). Raising the hard limit needs CAP_SYS_RESOURCE: the error then names the limit, the
 * value wanted and the one in force.
 */
int rlimit_apply(pid_t pid, int resource, uint64_t soft, uint64_t hard, struct error *err);
