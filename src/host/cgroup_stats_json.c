/* The names are those of runc's types/events.go, which tools such as containerd's read. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "host/cgroup_stats.h"

/* Collects "no memory" from a chain of calls, so that each need not be checked. */
struct builder {
	bool failed;
};

static struct json_object *object(struct builder *b)
{
	struct json_object *o = json_object_new_object();

	b->failed |= !o;
	return o;
}

static void put(struct builder *b, struct json_object *o, const char *key, struct json_object *value)
{
	if (o && value && json_object_object_add(o, key, value) == 0)
		return;
	json_object_put(value);
	b->failed = true;
}

static void put_u64(struct builder *b, struct json_object *o, const char *key, uint64_t v)
{
	put(b, o, key, json_object_new_uint64(v));
}

static void push(struct builder *b, struct json_object *list, struct json_object *value)
{
	if (list && value && json_object_array_add(list, value) == 0)
		return;
	json_object_put(value);
	b->failed = true;
}

static struct json_object *window(struct builder *b, const struct cgroup_psi_window *w)
{
	struct json_object *o = object(b);

	put(b, o, "avg10", json_object_new_double(w->avg10));
	put(b, o, "avg60", json_object_new_double(w->avg60));
	put(b, o, "avg300", json_object_new_double(w->avg300));
	put_u64(b, o, "total", w->total);
	return o;
}

static void put_psi(struct builder *b, struct json_object *o, const struct cgroup_psi *psi)
{
	struct json_object *p;

	if (!psi->present)
		return;
	p = object(b);
	put(b, p, "some", window(b, &psi->some));
	put(b, p, "full", window(b, &psi->full));
	put(b, o, "psi", p);
}

static struct json_object *cpu(struct builder *b, const struct cgroup_stats *s)
{
	struct json_object *o = object(b), *usage = object(b), *throttling = object(b), *burst = object(b);

	put_u64(b, usage, "total", s->cpu.total);
	if (s->cpu.n_per_cpu) {
		struct json_object *list = json_object_new_array();

		for (size_t i = 0; i < s->cpu.n_per_cpu; i++)
			push(b, list, json_object_new_uint64(s->cpu.per_cpu[i]));
		put(b, usage, "percpu", list);
	}
	put_u64(b, usage, "kernel", s->cpu.kernel);
	put_u64(b, usage, "user", s->cpu.user);
	put(b, o, "usage", usage);
	put_u64(b, throttling, "periods", s->cpu.periods);
	put_u64(b, throttling, "throttledPeriods", s->cpu.throttled_periods);
	put_u64(b, throttling, "throttledTime", s->cpu.throttled_time);
	put(b, o, "throttling", throttling);
	put_u64(b, burst, "burstsPeriods", s->cpu.bursts);
	put_u64(b, burst, "burstTime", s->cpu.burst_time);
	put(b, o, "burst", burst);
	put_psi(b, o, &s->cpu.psi);
	return o;
}

/* "0-2,5" to [0,1,2,5]. */
static struct json_object *numbers(struct builder *b, const char *list)
{
	struct json_object *o = json_object_new_array();

	for (const char *p = list; isdigit((unsigned char)*p);) {
		char *end;
		unsigned long first = strtoul(p, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (unsigned long i = first; i <= last && i <= UINT16_MAX; i++)
			push(b, o, json_object_new_uint64(i));
		p = *end == ',' ? end + 1 : end;
	}
	return o;
}

static struct json_object *cpuset(struct builder *b, const struct cgroup_stats *s)
{
	struct json_object *o = object(b);

	put(b, o, "cpus", numbers(b, s->cpuset.cpus));
	put(b, o, "mems", numbers(b, s->cpuset.mems));
	return o;
}

static struct json_object *usage(struct builder *b, const struct cgroup_memory_usage *u)
{
	struct json_object *o = object(b);

	put_u64(b, o, "limit", u->limit);
	put_u64(b, o, "usage", u->usage);
	put_u64(b, o, "max", u->max);
	put_u64(b, o, "failcnt", u->failcnt);
	return o;
}

static struct json_object *memory(struct builder *b, const struct cgroup_stats *s)
{
	struct json_object *o = object(b), *raw = object(b), *oom = object(b);

	put_u64(b, o, "cache", s->memory.cache);
	put(b, o, "usage", usage(b, &s->memory.memory));
	put(b, o, "swap", usage(b, &s->memory.swap));
	put(b, o, "swapOnly", usage(b, &s->memory.swap_only));
	put(b, o, "kernel", usage(b, &s->memory.kernel));
	put(b, o, "kernelTCP", usage(b, &s->memory.kernel_tcp));
	put_u64(b, oom, "events", s->memory.oom_events);
	put_u64(b, oom, "kills", s->memory.oom_kills);
	put(b, o, "oom", oom);
	for (size_t i = 0; i < s->memory.n_raw; i++)
		put_u64(b, raw, s->memory.raw[i].key, s->memory.raw[i].value);
	put(b, o, "raw", raw);
	put_psi(b, o, &s->memory.psi);
	return o;
}

static void put_blkio(struct builder *b, struct json_object *o, const char *key, const struct cgroup_blkio_list *list)
{
	struct json_object *array;

	if (!list->n)
		return;
	array = json_object_new_array();
	for (size_t i = 0; i < list->n; i++) {
		struct json_object *e = object(b);

		put_u64(b, e, "major", list->v[i].major);
		put_u64(b, e, "minor", list->v[i].minor);
		if (*list->v[i].op)
			put(b, e, "op", json_object_new_string(list->v[i].op));
		put_u64(b, e, "value", list->v[i].value);
		push(b, array, e);
	}
	put(b, o, key, array);
}

static struct json_object *blkio(struct builder *b, const struct cgroup_stats *s)
{
	struct json_object *o = object(b);

	put_blkio(b, o, "ioServiceBytesRecursive", &s->blkio.service_bytes);
	put_blkio(b, o, "ioServicedRecursive", &s->blkio.serviced);
	put_blkio(b, o, "ioQueueRecursive", &s->blkio.queued);
	put_blkio(b, o, "ioServiceTimeRecursive", &s->blkio.service_time);
	put_blkio(b, o, "ioWaitTimeRecursive", &s->blkio.wait_time);
	put_blkio(b, o, "ioMergedRecursive", &s->blkio.merged);
	put_blkio(b, o, "ioTimeRecursive", &s->blkio.time);
	put_blkio(b, o, "sectorsRecursive", &s->blkio.sectors);
	put_psi(b, o, &s->blkio.psi);
	return o;
}

static struct json_object *pids(struct builder *b, const struct cgroup_stats *s)
{
	struct json_object *o = object(b);

	put_u64(b, o, "current", s->pids.current);
	if (s->pids.limit != UINT64_MAX)
		put_u64(b, o, "limit", s->pids.limit);
	return o;
}

static struct json_object *hugetlb(struct builder *b, const struct cgroup_stats *s)
{
	struct json_object *o = object(b);

	for (size_t i = 0; i < s->hugetlb.n; i++) {
		struct json_object *e = object(b);

		put_u64(b, e, "usage", s->hugetlb.v[i].usage);
		put_u64(b, e, "max", s->hugetlb.v[i].max);
		put_u64(b, e, "failcnt", s->hugetlb.v[i].failcnt);
		put(b, o, s->hugetlb.v[i].page_size, e);
	}
	return o;
}

static struct json_object *rdma(struct builder *b, const struct cgroup_stats *s)
{
	struct json_object *o = object(b);

	for (size_t i = 0; i < s->rdma.n; i++) {
		struct json_object *e = object(b);

		put_u64(b, e, "hcaHandles", s->rdma.v[i].hca_handles);
		put_u64(b, e, "hcaObjects", s->rdma.v[i].hca_objects);
		put_u64(b, e, "hcaHandlesLimit", s->rdma.v[i].hca_handles_max);
		put_u64(b, e, "hcaObjectsLimit", s->rdma.v[i].hca_objects_max);
		put(b, o, s->rdma.v[i].device, e);
	}
	return o;
}

static struct json_object *misc(struct builder *b, const struct cgroup_stats *s)
{
	struct json_object *o = object(b);

	for (size_t i = 0; i < s->misc.n; i++) {
		struct json_object *e = object(b);

		put_u64(b, e, "usage", s->misc.v[i].usage);
		put_u64(b, e, "events", s->misc.v[i].events);
		put(b, o, s->misc.v[i].resource, e);
	}
	return o;
}

struct json_object *cgroup_stats_to_json(const struct cgroup_stats *s)
{
	struct builder b = {0};
	struct json_object *o = object(&b);

	put(&b, o, "cpu", cpu(&b, s));
	if (s->cpuset.present)
		put(&b, o, "cpuset", cpuset(&b, s));
	put(&b, o, "memory", memory(&b, s));
	put(&b, o, "pids", pids(&b, s));
	put(&b, o, "blkio", blkio(&b, s));
	put(&b, o, "hugetlb", hugetlb(&b, s));
	if (s->rdma.n)
		put(&b, o, "rdma", rdma(&b, s));
	if (s->misc.n)
		put(&b, o, "misc", misc(&b, s));
	if (b.failed) {
		json_object_put(o);
		return NULL;
	}
	return o;
}
