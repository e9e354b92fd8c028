#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host/cgroup_internal.h"

#define MEMORY "linux.resources.memory."
#define CPU "linux.resources.cpu."
#define BLKIO "linux.resources.blockIO."

/* ---- memory ---- */

static int set_limit(const struct cgroup_apply *a, int64_t limit, struct error *err)
{
	const char *file = "memory.limit_in_bytes";
	uint64_t usage = 0, peak = 0;
	char value[24] = "-1";
	int r;

	if (!limit)
		return 0;
	if (limit > 0)
		snprintf(value, sizeof(value), "%" PRId64, limit);
	r = cgroup_file_write(a->node, file, value);
	if (r != -EBUSY)
		return r < 0 ? cgroup_set_failed(a->node, MEMORY "limit", file, value, r, err) : 0;
	cgroup_file_read_u64(a->node, "memory.usage_in_bytes", &usage);
	cgroup_file_read_u64(a->node, "memory.max_usage_in_bytes", &peak);
	return error_set(err, EBUSY,
			 MEMORY "limit: cannot lower the limit to %" PRId64 " bytes: %" PRIu64 " are in use and "
				"cannot be reclaimed (at most %" PRIu64 " were)",
			 limit, usage, peak);
}

static int set_swap(const struct cgroup_apply *a, int64_t memsw, struct error *err)
{
	if (!memsw)
		return 0;
	return cgroup_set_limit(a->node, MEMORY "swap", "memory.memsw.limit_in_bytes", memsw, "-1", err);
}

/* The kernel keeps limit <= memsw at every moment, so growing and shrinking need opposite orders. */
static int set_memory_and_swap(const struct cgroup_apply *a, struct error *err)
{
	int64_t limit = a->r->memory.limit.set ? a->r->memory.limit.v : 0;
	int64_t memsw = a->r->memory.swap.set ? a->r->memory.swap.v : 0;
	uint64_t current = UINT64_MAX;
	bool swap_first = false;
	int r;

	if (limit > 0 && memsw > 0 && memsw < limit)
		return error_set(err, EINVAL,
				 MEMORY "swap %" PRId64 " counts memory and swap together, so it cannot be less "
					"than memory.limit %" PRId64,
				 memsw, limit);
	if (limit < 0 && !memsw && cgroup_file_exists(a->node, "memory.memsw.limit_in_bytes"))
		memsw = -1;
	if (limit && memsw) {
		if (!a->create && memsw > 0)
			cgroup_file_read_u64(a->node, "memory.limit_in_bytes", &current);
		swap_first = memsw < 0 || current < (uint64_t)memsw;
	}
	r = swap_first ? set_swap(a, memsw, err) : set_limit(a, limit, err);
	if (r < 0)
		return r;
	return swap_first ? set_limit(a, limit, err) : set_swap(a, memsw, err);
}

static int check_usage(const struct cgroup_apply *a, struct error *err)
{
	uint64_t usage;

	if (a->create || !a->r->memory.check_before_update.v || !a->r->memory.limit.set || a->r->memory.limit.v <= 0 ||
	    cgroup_file_read_u64(a->node, "memory.usage_in_bytes", &usage) < 0 ||
	    usage <= (uint64_t)a->r->memory.limit.v)
		return 0;
	return error_set(err, EBUSY,
			 MEMORY "limit: %" PRId64 " bytes is less than the %" PRIu64 " in use, and "
				"checkBeforeUpdate is set",
			 a->r->memory.limit.v, usage);
}

/* Since Linux 5.16 the file is there for old programs' sake only: what is written to it has no effect. */
static int set_kernel_limit(const struct cgroup_apply *a, struct error *err)
{
	const char *file = "memory.kmem.limit_in_bytes";
	uint64_t limit = (uint64_t)a->r->memory.kernel.v, now;
	int r = cgroup_set_u64(a->node, MEMORY "kernel", file, limit, err);

	if (r == 0 && cgroup_file_read_u64(a->node, file, &now) == 0 && now > limit)
		r = error_set(err, ENOTSUP,
			      MEMORY "kernel cannot be enforced: this kernel ignores %s (memory.limit counts kernel "
				     "memory too: leave memory.kernel out)",
			      file);
	return r;
}

int cgroup_v1_memory(const struct cgroup_apply *a, struct error *err)
{
	const struct cgroup_resources *res = a->r;
	int r = check_usage(a, err);

	if (r == 0)
		r = set_memory_and_swap(a, err);
	if (r == 0 && res->memory.kernel.set && res->memory.kernel.v > 0)
		r = set_kernel_limit(a, err);
	if (r == 0 && res->memory.kernel_tcp.set && res->memory.kernel_tcp.v &&
	    (res->memory.kernel_tcp.v > 0 || !a->create))
		r = cgroup_set_limit(a->node, MEMORY "kernelTCP", "memory.kmem.tcp.limit_in_bytes",
				     res->memory.kernel_tcp.v, "-1", err);
	if (r == 0 && res->memory.reservation.set && res->memory.reservation.v)
		r = cgroup_set_limit(a->node, MEMORY "reservation", "memory.soft_limit_in_bytes",
				     res->memory.reservation.v, "-1", err);
	if (r == 0 && res->memory.disable_oom_killer.set && (res->memory.disable_oom_killer.v || !a->create))
		r = cgroup_set(a->node, MEMORY "disableOOMKiller", "memory.oom_control",
			       res->memory.disable_oom_killer.v ? "1" : "0", err);
	if (r == 0 && res->memory.swappiness.set) {
		if (res->memory.swappiness.v > 100)
			return error_set(err, EINVAL, MEMORY "swappiness: %" PRIu64 " is not from 0 to 100",
					 res->memory.swappiness.v);
		r = cgroup_set_u64(a->node, MEMORY "swappiness", "memory.swappiness", res->memory.swappiness.v, err);
	}
	return r;
}

/* ---- cpu ---- */

static int set_bandwidth(const struct cgroup_apply *a, struct error *err)
{
	const struct cgroup_node *node = a->node;
	uint64_t period = a->r->cpu.period.set ? a->r->cpu.period.v : 0;
	int64_t quota = a->r->cpu.quota.set ? a->r->cpu.quota.v : 0;
	bool burst_later = false, period_later = false;
	int r = 0;

	/*
	 * The kernel checks each write against the other two files' old values. What it refuses at first it may take
	 * when the quota is written.
	 */
	if (period) {
		r = cgroup_file_write_u64(node, "cpu.cfs_period_us", period);
		period_later = r == -EINVAL && quota;
		if (r < 0 && !period_later)
			return cgroup_set_u64(node, CPU "period", "cpu.cfs_period_us", period, err);
	}
	if (a->r->cpu.burst.set && (a->r->cpu.burst.v || !a->create)) {
		r = cgroup_file_write_u64(node, "cpu.cfs_burst_us", a->r->cpu.burst.v);
		burst_later = r == -EINVAL && quota;
		if (r < 0 && !burst_later)
			return cgroup_set_u64(node, CPU "burst", "cpu.cfs_burst_us", a->r->cpu.burst.v, err);
	}
	r = 0;
	if (quota && (quota > 0 || !a->create))
		r = cgroup_set_limit(node, CPU "quota", "cpu.cfs_quota_us", quota, "-1", err);
	if (r == 0 && period_later)
		r = cgroup_set_u64(node, CPU "period", "cpu.cfs_period_us", period, err);
	if (r == 0 && burst_later)
		r = cgroup_set_u64(node, CPU "burst", "cpu.cfs_burst_us", a->r->cpu.burst.v, err);
	return r;
}

int cgroup_v1_cpu(const struct cgroup_apply *a, struct error *err)
{
	const struct cgroup_resources *res = a->r;
	uint64_t shares = res->cpu.shares.set ? res->cpu.shares.v : 0;
	int r = 0;

	if (shares == 1 || shares > 262144)
		return error_set(err, ERANGE, CPU "shares: %" PRIu64 " is not from 2 to 262144", shares);
	if (res->cpu.realtime_period.set && res->cpu.realtime_period.v)
		r = cgroup_set_u64(a->node, CPU "realtimePeriod", "cpu.rt_period_us", res->cpu.realtime_period.v, err);
	if (r == 0 && res->cpu.realtime_runtime.set && res->cpu.realtime_runtime.v)
		r = cgroup_set_limit(a->node, CPU "realtimeRuntime", "cpu.rt_runtime_us", res->cpu.realtime_runtime.v,
				     "-1", err);
	/* An idle group takes no shares: switch idle off first and on last. */
	if (r == 0 && res->cpu.idle.set && !res->cpu.idle.v && !a->create)
		r = cgroup_set(a->node, CPU "idle", "cpu.idle", "0", err);
	if (r == 0 && shares)
		r = cgroup_set_u64(a->node, CPU "shares", "cpu.shares", shares, err);
	if (r == 0)
		r = set_bandwidth(a, err);
	if (r == 0 && res->cpu.idle.set && res->cpu.idle.v)
		r = cgroup_set_limit(a->node, CPU "idle", "cpu.idle", res->cpu.idle.v, "-1", err);
	return r;
}

int cgroup_v1_cpuset(const struct cgroup_apply *a, struct error *err)
{
	const char *cpus = a->r->cpu.cpus, *mems = a->r->cpu.mems;
	int r = 0;

	if (cpus && *cpus)
		r = cgroup_set(a->node, CPU "cpus", "cpuset.cpus", cpus, err);
	if (r == 0 && mems && *mems)
		r = cgroup_set(a->node, CPU "mems", "cpuset.mems", mems, err);
	return r;
}

/* ---- block I/O ---- */

static int set_device(const struct cgroup_apply *a, const char *field, const char *file, const struct blkio_device *d,
		      uint64_t value, struct error *err)
{
	char line[80];

	snprintf(line, sizeof(line), "%" PRId64 ":%" PRId64 " %" PRIu64, d->major, d->minor, value);
	return cgroup_set(a->node, field, file, line, err);
}

static int set_rates(const struct cgroup_apply *a, const char *field, const char *file,
		     const struct blkio_devices *list, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < list->n && r == 0; i++)
		r = set_device(a, field, file, &list->v[i], list->v[i].rate, err);
	return r;
}

static int set_weights(const struct cgroup_apply *a, struct error *err)
{
	const struct blkio_devices *list = &a->r->blkio.weight_device;
	const char *file = "blkio.weight", *device_file = "blkio.weight_device";
	int r = 0;

	if (!a->r->blkio.weight.set && !list->n)
		return 0;
	if (!cgroup_file_exists(a->node, file)) {
		file = "blkio.bfq.weight";
		device_file = "blkio.bfq.weight_device";
	}
	if (a->r->blkio.weight.set && a->r->blkio.weight.v)
		r = cgroup_set_u64(a->node, BLKIO "weight", file, a->r->blkio.weight.v, err);
	for (size_t i = 0; i < list->n && r == 0; i++) {
		if (list->v[i].weight.set && list->v[i].weight.v)
			r = set_device(a, BLKIO "weightDevice", device_file, &list->v[i], list->v[i].weight.v, err);
		if (r == 0 && list->v[i].leaf_weight.set && list->v[i].leaf_weight.v)
			r = set_device(a, BLKIO "weightDevice", "blkio.leaf_weight_device", &list->v[i],
				       list->v[i].leaf_weight.v, err);
	}
	return r;
}

int cgroup_v1_blkio(const struct cgroup_apply *a, struct error *err)
{
	int r = set_weights(a, err);

	if (r == 0 && a->r->blkio.leaf_weight.set && a->r->blkio.leaf_weight.v)
		r = cgroup_set_u64(a->node, BLKIO "leafWeight", "blkio.leaf_weight", a->r->blkio.leaf_weight.v, err);
	if (r == 0)
		r = set_rates(a, BLKIO "throttleReadBpsDevice", "blkio.throttle.read_bps_device", &a->r->blkio.read_bps,
			      err);
	if (r == 0)
		r = set_rates(a, BLKIO "throttleWriteBpsDevice", "blkio.throttle.write_bps_device",
			      &a->r->blkio.write_bps, err);
	if (r == 0)
		r = set_rates(a, BLKIO "throttleReadIOPSDevice", "blkio.throttle.read_iops_device",
			      &a->r->blkio.read_iops, err);
	if (r == 0)
		r = set_rates(a, BLKIO "throttleWriteIOPSDevice", "blkio.throttle.write_iops_device",
			      &a->r->blkio.write_iops, err);
	return r;
}

/* ---- the small ones ---- */

int cgroup_v1_hugetlb(const struct cgroup_apply *a, struct error *err)
{
	for (size_t i = 0; i < a->r->hugepages.n; i++) {
		const struct hugepage_limit *l = &a->r->hugepages.v[i];
		char file[128];
		int r;

		snprintf(file, sizeof(file), "hugetlb.%s.limit_in_bytes", l->page_size);
		r = cgroup_set_u64(a->node, "linux.resources.hugepageLimits", file, l->limit, err);
		if (r < 0)
			return r;
		/* Reservations count too since Linux 5.7; before, faults alone are limited. */
		snprintf(file, sizeof(file), "hugetlb.%s.rsvd.limit_in_bytes", l->page_size);
		r = cgroup_file_write_u64(a->node, file, l->limit);
		if (r < 0 && r != -ENOENT)
			return cgroup_set_u64(a->node, "linux.resources.hugepageLimits", file, l->limit, err);
	}
	return 0;
}

int cgroup_v1_net_cls(const struct cgroup_apply *a, struct error *err)
{
	return cgroup_set_u64(a->node, "linux.resources.network.classID", "net_cls.classid", a->r->network.class_id.v,
			      err);
}

int cgroup_v1_net_prio(const struct cgroup_apply *a, struct error *err)
{
	for (size_t i = 0; i < a->r->network.n_priorities; i++) {
		const struct net_priority *p = &a->r->network.priorities[i];
		char line[64];
		int r;

		snprintf(line, sizeof(line), "%s %" PRIu32, p->interface, p->priority);
		r = cgroup_set(a->node, "linux.resources.network.priorities", "net_prio.ifpriomap", line, err);
		if (r < 0)
			return r;
	}
	return 0;
}
