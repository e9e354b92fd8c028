#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "host/cgroup_stats_internal.h"

#define NSEC_PER_SEC 1000000000ull

static int read_per_cpu(const struct cgroup_node *node, struct cgroup_stats *s)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (cgroup_file_read_all(node, "cpuacct.usage_percpu", &text) < 0)
		return 0;
	s->cpu.per_cpu = calloc(strlen(text) / 2 + 1, sizeof(*s->cpu.per_cpu));
	if (!s->cpu.per_cpu)
		return -ENOMEM;
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
		if (parse_u64(word, &s->cpu.per_cpu[s->cpu.n_per_cpu]) == 0)
			s->cpu.n_per_cpu++;
	return 0;
}

static int read_cpuacct(const struct cgroup_node *node, struct cgroup_stats *s)
{
	uint64_t tick = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	const struct cgroup_stats_key keys[] = {{"user", &s->cpu.user}, {"system", &s->cpu.kernel}, {0}};

	s->cpu.present = true;
	s->cpu.total = cgroup_stats_u64(node, "cpuacct.usage");
	cgroup_stats_keys(node, "cpuacct.stat", keys);
	s->cpu.user *= tick;
	s->cpu.kernel *= tick;
	return read_per_cpu(node, s);
}

static void read_cpu(const struct cgroup_node *node, struct cgroup_stats *s)
{
	const struct cgroup_stats_key keys[] = {
	    {"nr_periods", &s->cpu.periods},
	    {"nr_throttled", &s->cpu.throttled_periods},
	    {"throttled_time", &s->cpu.throttled_time},
	    {"nr_bursts", &s->cpu.bursts},
	    {"burst_time", &s->cpu.burst_time},
	    {0},
	};

	s->cpu.present = true;
	cgroup_stats_keys(node, "cpu.stat", keys);
}

/* KIND is "", "memsw.", "kmem." or "kmem.tcp.". */
static void read_usage(const struct cgroup_node *node, const char *kind, struct cgroup_memory_usage *ret)
{
	char file[64];

	snprintf(file, sizeof(file), "memory.%susage_in_bytes", kind);
	if (cgroup_file_read_u64(node, file, &ret->usage) < 0)
		return;
	snprintf(file, sizeof(file), "memory.%smax_usage_in_bytes", kind);
	ret->max = cgroup_stats_u64(node, file);
	snprintf(file, sizeof(file), "memory.%sfailcnt", kind);
	ret->failcnt = cgroup_stats_u64(node, file);
	snprintf(file, sizeof(file), "memory.%slimit_in_bytes", kind);
	ret->limit = cgroup_stats_u64(node, file);
}

static int read_memory(const struct cgroup_node *node, struct cgroup_stats *s)
{
	const struct cgroup_stats_key oom[] = {{"oom_kill", &s->memory.oom_kills}, {0}};

	s->memory.present = true;
	read_usage(node, "", &s->memory.memory);
	read_usage(node, "memsw.", &s->memory.swap);
	read_usage(node, "kmem.", &s->memory.kernel);
	read_usage(node, "kmem.tcp.", &s->memory.kernel_tcp);
	s->memory.use_hierarchy = cgroup_stats_u64(node, "memory.use_hierarchy") == 1;
	cgroup_stats_keys(node, "memory.oom_control", oom);
	s->memory.oom_events = s->memory.oom_kills;
	if (cgroup_stats_memory_stat(node, s) < 0)
		return -ENOMEM;
	s->memory.cache = cgroup_stats_raw(s, "cache");
	s->memory.swap_only.usage = cgroup_stats_raw(s, "swap");
	return 0;
}

/* Lines "MAJOR:MINOR OP VALUE" or "MAJOR:MINOR VALUE", and a sum at the end. */
static int read_blkio_file(const struct cgroup_node *node, const char *file, struct cgroup_blkio_list *list)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (cgroup_file_read_all(node, file, &text) < 0)
		return 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint64_t major, minor, value;
		char op[16] = "";
		int r;

		if (sscanf(line, "%" SCNu64 ":%" SCNu64 " %15[A-Za-z] %" SCNu64, &major, &minor, op, &value) != 4) {
			*op = 0;
			if (sscanf(line, "%" SCNu64 ":%" SCNu64 " %" SCNu64, &major, &minor, &value) != 3)
				continue;
		}
		r = cgroup_stats_blkio_add(list, major, minor, op, value);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The first of the schedulers' files that has entries: BFQ, CFQ (before Linux 5.0), the throttling layer. */
static int read_blkio_list(const struct cgroup_node *node, const char *what, struct cgroup_blkio_list *list)
{
	static const struct {
		const char *prefix, *suffix;
	} names[] = {{"bfq.", "_recursive"}, {"", "_recursive"}, {"throttle.", "_recursive"}, {"throttle.", ""}};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0 && !list->n; i++) {
		char file[80];

		snprintf(file, sizeof(file), "blkio.%s%s%s", names[i].prefix, what, names[i].suffix);
		r = read_blkio_file(node, file, list);
	}
	return r;
}

static int read_blkio(const struct cgroup_node *node, struct cgroup_stats *s)
{
	const struct {
		const char *what;
		struct cgroup_blkio_list *list;
	} lists[] = {
	    {"io_service_bytes", &s->blkio.service_bytes},
	    {"io_serviced", &s->blkio.serviced},
	    {"io_queued", &s->blkio.queued},
	    {"io_service_time", &s->blkio.service_time},
	    {"io_wait_time", &s->blkio.wait_time},
	    {"io_merged", &s->blkio.merged},
	    {"time", &s->blkio.time},
	    {"sectors", &s->blkio.sectors},
	};
	int r = 0;

	s->blkio.present = true;
	for (size_t i = 0; i < ARRAY_SIZE(lists) && r == 0; i++)
		r = read_blkio_list(node, lists[i].what, lists[i].list);
	return r;
}

static int read_node(const struct cgroup_node *node, struct cgroup_stats *s)
{
	unsigned has = node->controllers;
	int r = 0;

	if (has & CGROUP_BIT(CGROUP_CPUACCT))
		r = read_cpuacct(node, s);
	if (r == 0 && has & CGROUP_BIT(CGROUP_CPU))
		read_cpu(node, s);
	if (r == 0 && has & CGROUP_BIT(CGROUP_CPUSET))
		r = cgroup_stats_cpuset(node, "cpuset.effective_cpus", "cpuset.effective_mems", s);
	if (r == 0 && has & CGROUP_BIT(CGROUP_MEMORY))
		r = read_memory(node, s);
	if (r == 0 && has & CGROUP_BIT(CGROUP_PIDS))
		cgroup_stats_pids(node, s);
	if (r == 0 && has & CGROUP_BIT(CGROUP_IO))
		r = read_blkio(node, s);
	if (r == 0 && has & CGROUP_BIT(CGROUP_HUGETLB))
		r = cgroup_stats_hugetlb(node, "usage_in_bytes", "max_usage_in_bytes", "failcnt", s);
	if (r == 0 && has & CGROUP_BIT(CGROUP_RDMA))
		r = cgroup_stats_rdma(node, s);
	return r;
}

int cgroup_stats_v1(const struct cgroup *cg, struct cgroup_stats *ret)
{
	int r = 0;

	for (size_t i = 0; i < cg->n_v1 && r == 0; i++)
		r = read_node(&cg->v1[i], ret);
	return r;
}
