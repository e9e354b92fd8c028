/*
 * Which control group hierarchies this host has and where they are mounted, found with as few system calls as can be:
 * one access(2) tells v2, one read of /proc/self/cgroup lists v1. The conventional mount points are taken for granted
 * and /proc/self/mountinfo is read only when one is not there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "host/cgroup.h"

enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUACCT,
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_IO, /* v1: blkio */
	CGROUP_DEVICES,
	CGROUP_FREEZER,
	CGROUP_PIDS,
	CGROUP_HUGETLB,
	CGROUP_RDMA,
	CGROUP_MISC,
	CGROUP_NET_CLS,
	CGROUP_NET_PRIO,
	CGROUP_PERF_EVENT,
	CGROUP_SYSTEMD, /* v1: the hierarchy name=systemd */
	CGROUP_CONTROLLERS,
};

#define CGROUP_BIT(c) (1u << (c))

/* Those that v2 has as files and switches. */
#define CGROUP_V2_CONTROLLERS                                                                                          \
	(CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_CPUSET) | CGROUP_BIT(CGROUP_MEMORY) | CGROUP_BIT(CGROUP_IO) |      \
	 CGROUP_BIT(CGROUP_PIDS) | CGROUP_BIT(CGROUP_HUGETLB) | CGROUP_BIT(CGROUP_RDMA) | CGROUP_BIT(CGROUP_MISC))

/* "blkio", "name=systemd", ... / "io". */
const char *cgroup_controller_v1_name(enum cgroup_controller c);
const char *cgroup_controller_v2_name(enum cgroup_controller c);
/* The bits of a list such as "cpu,cpuacct" or "cpuset cpu io"; unknown names are passed over. */
unsigned cgroup_controllers_parse(const char *list, bool v2);

struct cgroup_hierarchy {
	unsigned controllers;
	char *mount; /* mount point, absolute, owned */
	char *own;   /* the caller's own path in it, owned */
};

struct cgroup_hierarchies {
	bool pure_v2;
	struct cgroup_hierarchy v1[CGROUP_HIERARCHIES_MAX];
	size_t n_v1;
	struct cgroup_hierarchy v2; /* mount is NULL when there is none, own when it was not asked for */
};

/*
 * ROOT and PROC_SELF as in struct cgroup_request, not NULL. WANT_V2: also look for the v2 hierarchy beside v1 ones;
 * WANT_OWN: also tell the own path on pure v2. On v1 the own paths are always there.
 */
int cgroup_hierarchies_find(const char *root, const char *proc_self, bool want_v2, bool want_own,
			    struct cgroup_hierarchies *ret, struct error *err);
void cgroup_hierarchies_free(struct cgroup_hierarchies *h);

/* The hierarchies in which CG has a group, with its path as "own": what a process in the group would find. */
int cgroup_hierarchies_of(const struct cgroup *cg, struct cgroup_hierarchies *ret, struct error *err);

/*
 * Looks in mountinfo for a hierarchy that is not where it should be: *RET is its mount point, *RET_OWN the caller's own
 * path OWN as seen from there. 0 or -ENOENT.
 */
int cgroup_mountinfo_find(const char *proc_self, enum cgroup_controller c, const char *own, char **ret, char **ret_own);

#define _cleanup_cgroup_hierarchies_ _cleanup_(cgroup_hierarchies_free)
