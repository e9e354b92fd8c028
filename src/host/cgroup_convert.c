#include "host/cgroup_convert.h"

#include <inttypes.h>
#include <math.h>

#define SHARES_MIN 2
#define SHARES_MAX 262144
#define WEIGHT_MIN 1
#define WEIGHT_MAX 10000

uint64_t cgroup_weight_from_shares(uint64_t shares)
{
	double l;

	if (shares == 0)
		return 0;
	if (shares <= SHARES_MIN)
		return WEIGHT_MIN;
	if (shares >= SHARES_MAX)
		return WEIGHT_MAX;
	l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
}

uint64_t cgroup_io_weight_from_blkio(uint64_t weight)
{
	if (weight == 0)
		return 0;
	if (weight <= 10)
		return WEIGHT_MIN;
	if (weight >= 1000)
		return WEIGHT_MAX;
	return 1 + (weight - 10) * 9999 / 990;
}

int cgroup_swap_from_memsw(int64_t memsw, int64_t memory, int64_t *ret, bool *ret_zero, struct error *err)
{
	*ret_zero = false;
	if (memsw == 0) {
		*ret = memory < 0 ? -1 : 0; /* as v1 does: memory without a limit means swap without one */
		return 0;
	}
	if (memsw < 0) {
		*ret = -1;
		return 0;
	}
	if (memory <= 0)
		return error_set(err, EINVAL,
				 "linux.resources.memory.swap %" PRId64 " counts memory and swap together, so it "
				 "needs a memory.limit beside it",
				 memsw);
	if (memsw < memory)
		return error_set(err, EINVAL,
				 "linux.resources.memory.swap %" PRId64 " counts memory and swap together, so it "
				 "cannot be less than memory.limit %" PRId64,
				 memsw, memory);
	*ret = memsw - memory;
	*ret_zero = memsw == memory;
	return 0;
}
