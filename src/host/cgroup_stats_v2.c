#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "host/cgroup_stats_internal.h"

#define NSEC_PER_USEC 1000

static void read_cpu(const struct cgroup_node *node, struct cgroup_stats *s)
{
	const struct cgroup_stats_key keys[] = {
	    {"usage_usec", &s->cpu.total},
	    {"user_usec", &s->cpu.user},
	    {"system_usec", &s->cpu.kernel},
	    {"nr_periods", &s->cpu.periods},
	    {"nr_throttled", &s->cpu.throttled_periods},
	    {"throttled_usec", &s->cpu.throttled_time},
	    {"nr_bursts", &s->cpu.bursts},
	    {"burst_usec", &s->cpu.burst_time},
	    {0},
	};

	s->cpu.present = true;
	cgroup_stats_keys(node, "cpu.stat", keys);
	s->cpu.total *= NSEC_PER_USEC;
	s->cpu.user *= NSEC_PER_USEC;
	s->cpu.kernel *= NSEC_PER_USEC;
	s->cpu.throttled_time *= NSEC_PER_USEC;
	s->cpu.burst_time *= NSEC_PER_USEC;
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static int read_memory(const struct cgroup_node *node, struct cgroup_stats *s)
{
	struct cgroup_memory_usage *m = &s->memory.memory, *swap = &s->memory.swap_only;
	const struct cgroup_stats_key events[] = {
	    {"max", &m->failcnt}, {"oom", &s->memory.oom_events}, {"oom_kill", &s->memory.oom_kills}, {0}};
	const struct cgroup_stats_key swap_events[] = {{"max", &swap->failcnt}, {0}};

	if (cgroup_file_read_u64(node, "memory.current", &m->usage) < 0)
		return 0;
	s->memory.present = true;
	s->memory.use_hierarchy = true;
	m->limit = cgroup_stats_u64(node, "memory.max");
	m->max = cgroup_stats_u64(node, "memory.peak");
	cgroup_stats_keys(node, "memory.events", events);
	if (cgroup_file_read_u64(node, "memory.swap.current", &swap->usage) == 0) {
		swap->limit = cgroup_stats_u64(node, "memory.swap.max");
		swap->max = cgroup_stats_u64(node, "memory.swap.peak");
		cgroup_stats_keys(node, "memory.swap.events", swap_events);
		s->memory.swap.usage = saturating_add(m->usage, swap->usage);
		s->memory.swap.limit = saturating_add(m->limit, swap->limit);
	}
	if (cgroup_stats_memory_stat(node, s) < 0)
		return -ENOMEM;
	s->memory.cache = cgroup_stats_raw(s, "file");
	return 0;
}

/* "MAJOR:MINOR rbytes=N wbytes=N rios=N wios=N dbytes=N dios=N" */
static int read_io_line(char *line, struct cgroup_stats *s)
{
	static const struct {
		const char *key, *op;
		bool bytes;
	} fields[] = {{"rbytes", "Read", true}, {"wbytes", "Write", true}, {"dbytes", "Discard", true},
		      {"rios", "Read", false},	{"wios", "Write", false},  {"dios", "Discard", false}};
	char *save = NULL, *device = strtok_r(line, " ", &save);
	uint64_t major, minor, value;

	if (!device || sscanf(device, "%" SCNu64 ":%" SCNu64, &major, &minor) != 2)
		return 0;
	for (char *word = strtok_r(NULL, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');

		if (!equals || parse_u64(equals + 1, &value) < 0)
			continue;
		*equals = 0;
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
			if (strcmp(fields[i].key, word) != 0)
				continue;
			if (cgroup_stats_blkio_add(fields[i].bytes ? &s->blkio.service_bytes : &s->blkio.serviced,
						   major, minor, fields[i].op, value) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static int read_io(const struct cgroup_node *node, struct cgroup_stats *s)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	int r = 0;

	if (cgroup_file_read_all(node, "io.stat", &text) < 0)
		return 0;
	s->blkio.present = true;
	for (char *line = strtok_r(text, "\n", &save); line && r == 0; line = strtok_r(NULL, "\n", &save))
		r = read_io_line(line, s);
	return r;
}

static int read_misc(const struct cgroup_node *node, struct cgroup_stats *s)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (cgroup_file_read_all(node, "misc.current", &text) < 0)
		return 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct cgroup_misc_usage *v;
		char name[64], key[80];
		uint64_t value;

		if (sscanf(line, "%63s %" SCNu64, name, &value) != 2)
			continue;
		v = reallocarray(s->misc.v, s->misc.n + 1, sizeof(*v));
		if (!v)
			return -ENOMEM;
		s->misc.v = v;
		v = &v[s->misc.n];
		*v = (struct cgroup_misc_usage){.resource = strdup(name), .usage = value};
		if (!v->resource)
			return -ENOMEM;
		s->misc.n++;
		snprintf(key, sizeof(key), "%s.max", name);
		cgroup_file_read_key(node, "misc.events", key, &v->events);
	}
	return 0;
}

int cgroup_stats_v2(const struct cgroup *cg, struct cgroup_stats *ret)
{
	const struct cgroup_node *node = &cg->v2;
	int r = 0;

	if (!node->dir)
		return 0;
	/* The pressure of a group is told by v2 whoever has the controllers. */
	cgroup_stats_psi(node, "cpu.pressure", &ret->cpu.psi);
	cgroup_stats_psi(node, "memory.pressure", &ret->memory.psi);
	cgroup_stats_psi(node, "io.pressure", &ret->blkio.psi);
	if (!ret->cpu.present)
		read_cpu(node, ret);
	if (!ret->memory.present)
		r = read_memory(node, ret);
	if (r == 0 && !ret->cpuset.present)
		r = cgroup_stats_cpuset(node, "cpuset.cpus.effective", "cpuset.mems.effective", ret);
	if (r == 0 && !ret->pids.present)
		cgroup_stats_pids(node, ret);
	if (r == 0 && !ret->blkio.present)
		r = read_io(node, ret);
	if (r == 0 && !ret->hugetlb.n)
		r = cgroup_stats_hugetlb(node, "current", NULL, "events", ret);
	if (r == 0 && !ret->rdma.n)
		r = cgroup_stats_rdma(node, ret);
	if (r == 0)
		r = read_misc(node, ret);
	return r;
}
