/*
 * What a control group used so far. Times are nanoseconds unless a name says otherwise, sizes bytes. A section whose
 * controller is not there has `present` false. Limits: UINT64_MAX is "none" on v2; v1 tells a huge number of its own.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/cgroup.h"

struct cgroup_psi_window { /* one line of a pressure file: shares of time in percent, total in microseconds */
	double avg10, avg60, avg300;
	uint64_t total;
};

struct cgroup_psi {
	bool present;
	struct cgroup_psi_window some, full;
};

struct cgroup_memory_usage {
	uint64_t usage, max, failcnt, limit;
};

struct cgroup_stat_entry { /* one line of memory.stat */
	char *key;
	uint64_t value;
};

struct cgroup_blkio_entry {
	uint64_t major, minor, value;
	char op[16]; /* "Read", "Write", "Sync", "Async", "Discard", "Total", "" */
};

struct cgroup_blkio_list {
	struct cgroup_blkio_entry *v;
	size_t n;
};

struct cgroup_hugetlb_usage {
	char *page_size; /* "2MB" */
	uint64_t usage, max, failcnt;
};

struct cgroup_rdma_usage {
	char *device;
	uint64_t hca_handles, hca_objects;	   /* in use */
	uint64_t hca_handles_max, hca_objects_max; /* limits */
};

struct cgroup_misc_usage {
	char *resource;
	uint64_t usage, events;
};

struct cgroup_stats {
	struct {
		bool present;
		uint64_t total, kernel, user;
		uint64_t *per_cpu; /* owned */
		size_t n_per_cpu;
		uint64_t periods, throttled_periods, throttled_time;
		uint64_t bursts, burst_time;
		struct cgroup_psi psi;
	} cpu;
	struct {
		bool present;
		char *cpus, *mems; /* effective lists */
	} cpuset;
	struct {
		bool present;
		struct cgroup_memory_usage memory, swap, swap_only, kernel,
		    kernel_tcp; /* swap: memory and swap together */
		uint64_t cache;
		struct cgroup_stat_entry *raw;
		size_t n_raw;
		bool use_hierarchy;
		uint64_t oom_events, oom_kills;
		struct cgroup_psi psi;
	} memory;
	struct {
		bool present;
		uint64_t current, limit;
	} pids;
	struct {
		bool present;
		struct cgroup_blkio_list service_bytes, serviced, queued, service_time, wait_time, merged, time,
		    sectors;
		struct cgroup_psi psi;
	} blkio;
	struct {
		struct cgroup_hugetlb_usage *v;
		size_t n;
	} hugetlb;
	struct {
		struct cgroup_rdma_usage *v;
		size_t n;
	} rdma;
	struct {
		struct cgroup_misc_usage *v;
		size_t n;
	} misc;
};

int cgroup_stats_read(const struct cgroup *cg, struct cgroup_stats *ret, struct error *err);
void cgroup_stats_free(struct cgroup_stats *stats);

/* The "data" object of runc's `events --stats`. Owned; NULL when out of memory. */
struct json_object *cgroup_stats_to_json(const struct cgroup_stats *stats);

#define _cleanup_cgroup_stats_ _cleanup_(cgroup_stats_free)
