/* What the cgroup_stats_*.c files share. */
#pragma once

#include "host/cgroup_internal.h"
#include "host/cgroup_stats.h"

/* Each fills its sections of RET as far as the node has files for them; -ENOMEM or 0. */
int cgroup_stats_v1(const struct cgroup *cg, struct cgroup_stats *ret);
int cgroup_stats_v2(const struct cgroup *cg, struct cgroup_stats *ret);

/* ---- the readers that both use ---- */

/* A number, or 0 where there is no such file. */
uint64_t cgroup_stats_u64(const struct cgroup_node *node, const char *file);

/* Lines "KEY VALUE" of FILE, each to the number that has its KEY in KEYS (ended by a NULL key). Unknown ones are
 * skipped. */
struct cgroup_stats_key {
	const char *key;
	uint64_t *value;
};
void cgroup_stats_keys(const struct cgroup_node *node, const char *file, const struct cgroup_stats_key *keys);

int cgroup_stats_memory_stat(const struct cgroup_node *node, struct cgroup_stats *ret);
uint64_t cgroup_stats_raw(const struct cgroup_stats *s, const char *key);
int cgroup_stats_blkio_add(struct cgroup_blkio_list *list, uint64_t major, uint64_t minor, const char *op,
			   uint64_t value);
int cgroup_stats_cpuset(const struct cgroup_node *node, const char *cpus, const char *mems, struct cgroup_stats *ret);
void cgroup_stats_pids(const struct cgroup_node *node, struct cgroup_stats *ret);
/* USAGE, MAX and FAILCNT are what follows "hugetlb.SIZE." in the files' names; USAGE finds the sizes. */
int cgroup_stats_hugetlb(const struct cgroup_node *node, const char *usage, const char *max, const char *failcnt,
			 struct cgroup_stats *ret);
int cgroup_stats_rdma(const struct cgroup_node *node, struct cgroup_stats *ret);
void cgroup_stats_psi(const struct cgroup_node *node, const char *file, struct cgroup_psi *ret);
