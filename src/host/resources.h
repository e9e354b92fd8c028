/*
 * What a control group is asked to limit: the OCI runtime-spec's "resources" (config-linux, "Control groups") as typed
 * data. Pure data: src/oci fills it, src/host/cgroup enforces it on v1, v2 and through systemd.
 * Optional numbers carry a `has_` bit in a field of their own; all strings and arrays are owned.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct opt_i64 {
	bool set;
	int64_t v;
};

struct opt_u64 {
	bool set;
	uint64_t v;
};

struct opt_bool {
	bool set;
	bool v;
};

struct device_rule {
	bool allow;
	char type;             /* 'a', 'b' or 'c' */
	int64_t major, minor;  /* -1: any */
	bool read, write, mknod;
};

struct blkio_device { /* weightDevice and throttle entries */
	int64_t major, minor;
	struct opt_u64 weight, leaf_weight; /* weightDevice */
	uint64_t rate;                      /* throttle */
};

struct blkio_devices {
	struct blkio_device *v;
	size_t n;
};

struct hugepage_limit {
	char *page_size; /* "2MB", "1GB" */
	uint64_t limit;  /* bytes */
};

struct rdma_limit {
	char *device;
	struct opt_u64 hca_handles, hca_objects;
};

struct net_priority {
	char *interface;
	uint32_t priority;
};

struct unified_setting { /* one cgroup v2 file and what to write into it */
	char *file, *value;
};

struct cgroup_resources {
	struct {
		struct device_rule *v;
		size_t n;
	} devices;
	struct {
		struct opt_i64 limit, reservation, swap, kernel, kernel_tcp; /* bytes; -1: none */
		struct opt_u64 swappiness;
		struct opt_bool disable_oom_killer, use_hierarchy, check_before_update;
	} memory;
	struct {
		struct opt_u64 shares, period, realtime_period, burst;
		struct opt_i64 quota, realtime_runtime, idle;
		char *cpus, *mems;
	} cpu;
	struct {
		struct opt_i64 limit; /* -1 or 0: none */
	} pids;
	struct {
		struct opt_u64 weight, leaf_weight;
		struct blkio_devices weight_device, read_bps, write_bps, read_iops, write_iops;
	} blkio;
	struct {
		struct hugepage_limit *v;
		size_t n;
	} hugepages;
	struct {
		struct opt_u64 class_id;
		struct net_priority *priorities;
		size_t n_priorities;
	} network;
	struct {
		struct rdma_limit *v;
		size_t n;
	} rdma;
	struct {
		struct unified_setting *v;
		size_t n;
	} unified;
};

void cgroup_resources_free(struct cgroup_resources *r);
