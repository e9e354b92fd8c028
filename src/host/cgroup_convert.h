/* cgroup v1 values (what the OCI runtime-spec speaks) to v2 ones, as runc and crun convert them. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * cpu.shares (2 to 262144, 1024 by default) to cpu.weight (1 to 10000, 100 by default): the curve through the three
 * points that runc 1.4 and crun 1.23 took, not the straight line of before, on which 1024 became 39. 0 stays 0: unset.
 */
uint64_t cgroup_weight_from_shares(uint64_t shares);

/* blkio.weight (10 to 1000) to io.weight (1 to 10000). 0 stays 0. */
uint64_t cgroup_io_weight_from_blkio(uint64_t weight);

/*
 * The limit of memory and swap together, to one of swap alone. Arguments are as in the OCI runtime-spec: -1 none, 0 not
 * given. *RET likewise; *RET_ZERO is set when swap is to be forbidden, which 0 cannot say.
 */
int cgroup_swap_from_memsw(int64_t memsw, int64_t memory, int64_t *ret, bool *ret_zero, struct error *err);
