/* What `run IMAGE` was asked for: Docker's options, as given. */
#pragma once

#include "cli/create.h"

struct run_options {
	struct create_flags bundle; /* of the form `run ID` */
	bool detach, keep, interactive, tty, rm, read_only, init, privileged, oom_kill_disable, quiet;
	const char *name, *hostname, *domainname, *workdir, *user, *entrypoint, *restart, *network, *cpuset_cpus, *cpuset_mems,
		*stop_signal, *userns, *pid, *ipc, *uts, *cgroupns, *cgroup_parent, *platform, *pull, *cidfile, *ip;
	const char *cpus; /* "1.5" */
	char **volumes, **mounts, **tmpfs, **env, **env_files, **publish, **cap_add, **cap_drop, **security_opt, **labels,
		**label_files, **devices, **device_rules, **ulimits, **dns, **dns_search, **dns_options, **add_hosts, **groups,
		**sysctls, **annotations, **expose, **dirs, **grant_ro, **grant_rw, **allow_device, **allow_tcp_connect,
		**allow_tcp_bind, **allow;
	struct option_number memory, memory_swap, memory_reservation, pids_limit, shm_size, cpu_shares, cpu_quota, cpu_period,
		blkio_weight, oom_score_adj, stop_timeout, swappiness, log_max_size, log_max_files;
};

extern struct run_options run_opt;
extern const struct option run_option_table[];

/* Whether an option was given that only boxes made from images have. */
bool run_options_want_image(const struct run_options *o);
