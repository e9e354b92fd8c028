#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/strv.h"
#include "host/cgroup_convert.h"
#include "host/cgroup_internal.h"

#define MEMORY "linux.resources.memory."
#define CPU "linux.resources.cpu."
#define BLKIO "linux.resources.blockIO."
#define UNIFIED "linux.resources.unified"

#define PERIOD_DEFAULT 100000

/* ---- memory ---- */

/* What only v1 has. */
static int refuse_v1_memory(const struct cgroup_resources *r, struct error *err)
{
	const char *what = NULL, *mend = "leave it out";

	if (r->memory.kernel.set && r->memory.kernel.v > 0) {
		what = "kernel";
		mend = "memory.limit counts kernel memory too";
	} else if (r->memory.kernel_tcp.set && r->memory.kernel_tcp.v > 0) {
		what = "kernelTCP";
		mend = "memory.limit counts socket memory too";
	} else if (r->memory.swappiness.set) {
		what = "swappiness";
	} else if (r->memory.disable_oom_killer.set && r->memory.disable_oom_killer.v) {
		what = "disableOOMKiller";
		mend = "leave it out, or set memory.high in linux.resources.unified to slow the box down instead";
	}
	if (!what)
		return 0;
	return error_set(err, ENOTSUP, MEMORY "%s cannot be enforced: cgroup v2 has no such limit (%s)", what, mend);
}

static int check_usage(const struct cgroup_apply *a, struct error *err)
{
	uint64_t usage;

	if (a->create || !a->r->memory.check_before_update.v || !a->r->memory.limit.set || a->r->memory.limit.v <= 0 ||
	    cgroup_file_read_u64(a->node, "memory.current", &usage) < 0 || usage <= (uint64_t)a->r->memory.limit.v)
		return 0;
	return error_set(err, EBUSY,
			 MEMORY "limit: %" PRId64 " bytes is less than the %" PRIu64 " in use, and "
				"checkBeforeUpdate is set",
			 a->r->memory.limit.v, usage);
}

static int set_swap(const struct cgroup_apply *a, struct error *err)
{
	int64_t memsw = a->r->memory.swap.set ? a->r->memory.swap.v : 0;
	int64_t limit = a->r->memory.limit.set ? a->r->memory.limit.v : 0;
	uint64_t current;
	int64_t swap;
	bool zero;
	int r;

	/* An update of the sum alone goes with the limit that is there. */
	if (!a->create && memsw > 0 && !limit && cgroup_file_read_u64(a->node, "memory.max", &current) == 0 &&
	    current <= INT64_MAX)
		limit = (int64_t)current;
	r = cgroup_swap_from_memsw(memsw, limit, &swap, &zero, err);
	if (r < 0 || (!swap && !zero))
		return r;
	if (swap < 0 && a->create)
		return 0;
	r = swap < 0 ? cgroup_file_write(a->node, "memory.swap.max", "max")
		     : cgroup_file_write_u64(a->node, "memory.swap.max", (uint64_t)swap);
	if (r == -ENOENT && swap <= 0) /* without swap accounting: none is used, or any may be */
		return 0;
	if (r < 0)
		return cgroup_set_limit(a->node, MEMORY "swap", "memory.swap.max", swap, "max", err);
	return 0;
}

int cgroup_v2_memory(const struct cgroup_apply *a, struct error *err)
{
	const struct cgroup_resources *res = a->r;
	int r = refuse_v1_memory(res, err);

	if (r == 0)
		r = check_usage(a, err);
	if (r == 0)
		r = set_swap(a, err);
	if (r == 0 && res->memory.limit.set && res->memory.limit.v && (res->memory.limit.v > 0 || !a->create))
		r = cgroup_set_limit(a->node, MEMORY "limit", "memory.max", res->memory.limit.v, "max", err);
	if (r == 0 && res->memory.reservation.set && res->memory.reservation.v)
		r = cgroup_set_limit(a->node, MEMORY "reservation", "memory.low", res->memory.reservation.v, "max",
				     err);
	return r;
}

/* ---- cpu ---- */

/* "QUOTA PERIOD" from what is set in R and, for the other half, from the file. */
static void cpu_max_line(const struct cgroup_apply *a, char *line, size_t size)
{
	char quota[24] = "max", period[24], old[64];

	snprintf(period, sizeof(period), "%d", PERIOD_DEFAULT);
	if (!a->create && cgroup_file_read(a->node, "cpu.max", old, sizeof(old)) == 0)
		sscanf(old, "%23s %23s", quota, period);
	if (a->r->cpu.quota.set && a->r->cpu.quota.v) {
		if (a->r->cpu.quota.v > 0)
			snprintf(quota, sizeof(quota), "%" PRId64, a->r->cpu.quota.v);
		else
			strcpy(quota, "max");
	}
	if (a->r->cpu.period.set && a->r->cpu.period.v)
		snprintf(period, sizeof(period), "%" PRIu64, a->r->cpu.period.v);
	snprintf(line, size, "%s %s", quota, period);
}

static int set_bandwidth(const struct cgroup_apply *a, struct error *err)
{
	bool burst = a->r->cpu.burst.set && (a->r->cpu.burst.v || !a->create), burst_later = false;
	bool max = (a->r->cpu.quota.set && a->r->cpu.quota.v) || (a->r->cpu.period.set && a->r->cpu.period.v);
	char line[64];
	int r;

	/* The burst must be at most the quota, at every moment: try it before and after. */
	if (burst) {
		r = cgroup_file_write_u64(a->node, "cpu.max.burst", a->r->cpu.burst.v);
		burst_later = r == -EINVAL && max;
		if (r < 0 && !burst_later)
			return cgroup_set_u64(a->node, CPU "burst", "cpu.max.burst", a->r->cpu.burst.v, err);
	}
	if (max) {
		cpu_max_line(a, line, sizeof(line));
		r = cgroup_set(a->node, CPU "quota and cpu.period", "cpu.max", line, err);
		if (r < 0)
			return r;
	}
	return burst_later ? cgroup_set_u64(a->node, CPU "burst", "cpu.max.burst", a->r->cpu.burst.v, err) : 0;
}

int cgroup_v2_cpu(const struct cgroup_apply *a, struct error *err)
{
	const struct cgroup_resources *res = a->r;
	int r = 0;

	if ((res->cpu.realtime_period.set && res->cpu.realtime_period.v) ||
	    (res->cpu.realtime_runtime.set && res->cpu.realtime_runtime.v))
		return error_set(err, ENOTSUP,
				 CPU "realtimePeriod and cpu.realtimeRuntime cannot be enforced: cgroup v2 has no "
				     "such limit (leave them out)");
	/* An idle group takes no weight: switch idle off first and on last. */
	if (res->cpu.idle.set && !res->cpu.idle.v && !a->create)
		r = cgroup_set(a->node, CPU "idle", "cpu.idle", "0", err);
	if (r == 0 && res->cpu.shares.set && res->cpu.shares.v)
		r = cgroup_set_u64(a->node, CPU "shares", "cpu.weight", cgroup_weight_from_shares(res->cpu.shares.v),
				   err);
	if (r == 0)
		r = set_bandwidth(a, err);
	if (r == 0 && res->cpu.idle.set && res->cpu.idle.v)
		r = cgroup_set_limit(a->node, CPU "idle", "cpu.idle", res->cpu.idle.v, "-1", err);
	return r;
}

int cgroup_v2_cpuset(const struct cgroup_apply *a, struct error *err)
{
	const char *cpus = a->r->cpu.cpus, *mems = a->r->cpu.mems;
	int r = 0;

	if (cpus && *cpus)
		r = cgroup_set(a->node, CPU "cpus", "cpuset.cpus", cpus, err);
	if (r == 0 && mems && *mems)
		r = cgroup_set(a->node, CPU "mems", "cpuset.mems", mems, err);
	return r;
}

/* ---- io ---- */

static int set_weight(const struct cgroup_apply *a, bool bfq, const char *device, uint64_t weight, struct error *err)
{
	const char *field = *device ? BLKIO "weightDevice" : BLKIO "weight";
	char line[80];

	snprintf(line, sizeof(line), "%s%s%" PRIu64, device, *device ? " " : "",
		 bfq ? weight : cgroup_io_weight_from_blkio(weight));
	return cgroup_set(a->node, field, bfq ? "io.bfq.weight" : "io.weight", line, err);
}

static int set_weights(const struct cgroup_apply *a, struct error *err)
{
	const struct blkio_devices *list = &a->r->blkio.weight_device;
	uint64_t weight = a->r->blkio.weight.set ? a->r->blkio.weight.v : 0;
	bool bfq;
	int r = 0;

	if (!weight && !list->n)
		return 0;
	bfq = cgroup_file_exists(a->node, "io.bfq.weight");
	if (weight)
		r = set_weight(a, bfq, "", weight, err);
	for (size_t i = 0; i < list->n && r == 0; i++) {
		const struct blkio_device *d = &list->v[i];
		char device[64];

		if (d->leaf_weight.set && d->leaf_weight.v)
			return error_set(err, ENOTSUP,
					 BLKIO "weightDevice.leafWeight cannot be enforced: cgroup v2 has no such "
					       "limit (leave it out)");
		if (!d->weight.set || !d->weight.v)
			continue;
		snprintf(device, sizeof(device), "%" PRId64 ":%" PRId64, d->major, d->minor);
		r = set_weight(a, bfq, device, d->weight.v, err);
	}
	return r;
}

static int set_rates(const struct cgroup_apply *a, const char *field, const char *key, const struct blkio_devices *list,
		     struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < list->n && r == 0; i++) {
		const struct blkio_device *d = &list->v[i];
		char line[96];

		if (d->rate) /* v1's way to say "no limit" is 0 */
			snprintf(line, sizeof(line), "%" PRId64 ":%" PRId64 " %s=%" PRIu64, d->major, d->minor, key,
				 d->rate);
		else
			snprintf(line, sizeof(line), "%" PRId64 ":%" PRId64 " %s=max", d->major, d->minor, key);
		r = cgroup_set(a->node, field, "io.max", line, err);
	}
	return r;
}

int cgroup_v2_io(const struct cgroup_apply *a, struct error *err)
{
	int r;

	if (a->r->blkio.leaf_weight.set && a->r->blkio.leaf_weight.v)
		return error_set(err, ENOTSUP,
				 BLKIO "leafWeight cannot be enforced: cgroup v2 has no such limit (leave it "
				       "out)");
	r = set_weights(a, err);
	if (r == 0)
		r = set_rates(a, BLKIO "throttleReadBpsDevice", "rbps", &a->r->blkio.read_bps, err);
	if (r == 0)
		r = set_rates(a, BLKIO "throttleWriteBpsDevice", "wbps", &a->r->blkio.write_bps, err);
	if (r == 0)
		r = set_rates(a, BLKIO "throttleReadIOPSDevice", "riops", &a->r->blkio.read_iops, err);
	if (r == 0)
		r = set_rates(a, BLKIO "throttleWriteIOPSDevice", "wiops", &a->r->blkio.write_iops, err);
	return r;
}

int cgroup_v2_hugetlb(const struct cgroup_apply *a, struct error *err)
{
	for (size_t i = 0; i < a->r->hugepages.n; i++) {
		const struct hugepage_limit *l = &a->r->hugepages.v[i];
		char file[128];
		int r;

		snprintf(file, sizeof(file), "hugetlb.%s.max", l->page_size);
		r = cgroup_set_u64(a->node, "linux.resources.hugepageLimits", file, l->limit, err);
		if (r < 0)
			return r;
		/* Reservations count too since Linux 5.7; before, faults alone are limited. */
		snprintf(file, sizeof(file), "hugetlb.%s.rsvd.max", l->page_size);
		r = cgroup_file_write_u64(a->node, file, l->limit);
		if (r < 0 && r != -ENOENT)
			return cgroup_set_u64(a->node, "linux.resources.hugepageLimits", file, l->limit, err);
	}
	return 0;
}

/* ---- unified ---- */

/* The controller that FILE belongs to: what is before its first dot. 0: none that we know. */
static unsigned file_controller(const char *file)
{
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(file, "."), file);
	return cgroup_controllers_parse(name, true);
}

unsigned cgroup_unified_controllers(const struct cgroup_resources *r)
{
	unsigned bits = 0;

	for (size_t i = 0; i < r->unified.n; i++)
		bits |= file_controller(r->unified.v[i].file);
	return bits;
}

static int check_unified(const struct cgroup_apply *a, const char *file, struct error *err)
{
	/* These move, stop or kill processes, or change what the group is: a limit they are not. */
	static const char *const forbidden[] = {"cgroup.procs",	 "cgroup.threads", "cgroup.type",
						"cgroup.freeze", "cgroup.kill",	   "cgroup.subtree_control"};
	unsigned bits = file_controller(file);

	if (!*file || strchr(file, '/') || !strchr(file, '.') || file[0] == '.' || strlen(file) > 128)
		return error_set(err, EINVAL, UNIFIED ": '%s' is not the name of a cgroup v2 file", file);
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		if (strcmp(file, forbidden[i]) == 0)
			return error_set(err, EINVAL, UNIFIED ": '%s' is not a limit and may not be written to", file);
	if (!a->node->dir)
		return error_set(err, ENOTSUP,
				 UNIFIED ": '%s' cannot be set: there is no cgroup v2 here (use the other fields of "
					 "linux.resources)",
				 file);
	for (size_t i = 0; i < a->cg->n_v1; i++)
		if (bits & a->cg->v1[i].controllers)
			return error_set(err, ENOTSUP,
					 UNIFIED ": '%s' cannot be set: its controller is a v1 one here (use the "
						 "other fields of linux.resources)",
					 file);
	return 0;
}

static int set_unified(const struct cgroup_apply *a, const struct unified_setting *u, struct error *err)
{
	_cleanup_strv_ char **lines = NULL;
	int r = check_unified(a, u->file, err);

	if (r < 0)
		return r;
	/* One write a line: files such as io.max take several. */
	lines = strv_split(u->value, "\n");
	if (!lines)
		return cgroup_set(a->node, UNIFIED, u->file, u->value, err);
	for (size_t i = 0; lines[i] && r == 0; i++)
		r = cgroup_set(a->node, UNIFIED, u->file, lines[i], err);
	return r;
}

int cgroup_v2_unified(const struct cgroup_apply *a, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < a->r->unified.n && r == 0; i++)
		r = set_unified(a, &a->r->unified.v[i], err);
	return r;
}
