#include "cli/run_options.h"

#include <string.h>

struct run_options run_opt;

#define o_ run_opt
const struct option run_option_table[] = {
	{ 'd', "detach", OPTION_FLAG, &o_.detach, NULL, "do not wait for the workload; of an image, print the box's name" },
	{ 'i', "interactive", OPTION_FLAG, &o_.interactive, NULL, "pass standard input on, also when detached" },
	{ 't', "tty", OPTION_FLAG, &o_.tty, NULL, "give the workload a terminal" },
	{ 0, "rm", OPTION_FLAG, &o_.rm, NULL, "remove the box when its workload ended" },
	{ 0, "name", OPTION_STRING, &o_.name, "NAME", "name of the box; twelve random digits when not given" },
	{ 'v', "volume", OPTION_LIST, &o_.volumes, "HOST:BOX[:OPTIONS]",
	  "show a directory or file of the host (or a named volume) in the box; OPTIONS: ro, rprivate, idmap ..." },
	{ 0, "mount", OPTION_LIST, &o_.mounts, "KEY=VALUE,...", "the same, as type=bind|tmpfs|volume,source=...,target=...,readonly" },
	{ 0, "tmpfs", OPTION_LIST, &o_.tmpfs, "DIR[:OPTIONS]", "an empty file system in memory" },
	{ 'e', "env", OPTION_LIST, &o_.env, "NAME[=VALUE]", "set an environment variable; without a value, to the caller's" },
	{ 0, "env-file", OPTION_LIST, &o_.env_files, "FILE", "the same, from the lines of FILE" },
	{ 'w', "workdir", OPTION_STRING, &o_.workdir, "DIR", "working directory in the box" },
	{ 'u', "user", OPTION_STRING, &o_.user, "USER[:GROUP]", "names (from the image's own files) or numbers" },
	{ 0, "group-add", OPTION_LIST, &o_.groups, "GROUP", "an additional group" },
	{ 0, "entrypoint", OPTION_STRING, &o_.entrypoint, "PROGRAM", "run this instead of the image's entry point" },
	{ 0, "init", OPTION_FLAG, &o_.init, NULL, "let a small init reap orphans and pass on signals" },
	{ 'p', "publish", OPTION_LIST, &o_.publish, "[[IP:]HOST:]BOX[/PROTO]", "make a port of the box reachable at the host" },
	{ 0, "expose", OPTION_LIST, &o_.expose, "PORT", "no effect: every port is open to the other boxes", .hidden = true },
	{ 0, "network", OPTION_STRING, &o_.network, "none|host|private|ns:PATH",
	  "the box's network; private (a bridge with NAT, or pasta without privilege) where the wall can have one, else none",
	  .aliases = "net" },
	{ 0, "ip", OPTION_STRING, &o_.ip, "ADDRESS", "the box's address in the private network" },
	{ 0, "dns", OPTION_LIST, &o_.dns, "ADDRESS", "name server; the host's when not given" },
	{ 0, "dns-search", OPTION_LIST, &o_.dns_search, "DOMAIN", "search domain" },
	{ 0, "dns-option", OPTION_LIST, &o_.dns_options, "OPTION", "option for resolv.conf", .aliases = "dns-opt" },
	{ 0, "add-host", OPTION_LIST, &o_.add_hosts, "NAME:ADDRESS", "a line for /etc/hosts" },
	{ 'h', "hostname", OPTION_STRING, &o_.hostname, "NAME", "host name in the box; the box's name when not given" },
	{ 0, "domainname", OPTION_STRING, &o_.domainname, "NAME", "NIS domain name in the box" },
	{ 'm', "memory", OPTION_SIZE, &o_.memory, "BYTES", "memory limit" },
	{ 0, "memory-swap", OPTION_SIZE, &o_.memory_swap, "BYTES", "limit of memory and swap together; -1 is none" },
	{ 0, "memory-reservation", OPTION_SIZE, &o_.memory_reservation, "BYTES", "memory that is kept under pressure" },
	{ 0, "memory-swappiness", OPTION_NUMBER, &o_.swappiness, "0-100", "how willingly memory is swapped (cgroup v1)" },
	{ 0, "oom-kill-disable", OPTION_FLAG, &o_.oom_kill_disable, NULL, "stop instead of kill at the memory limit (cgroup v1)" },
	{ 0, "oom-score-adj", OPTION_NUMBER, &o_.oom_score_adj, "N", "-1000 to 1000: who is killed first when memory is short" },
	{ 0, "cpus", OPTION_STRING, &o_.cpus, "N", "CPUs' worth of time, such as 1.5" },
	{ 'c', "cpu-shares", OPTION_NUMBER, &o_.cpu_shares, "N", "weight against other boxes" },
	{ 0, "cpu-period", OPTION_NUMBER, &o_.cpu_period, "USEC", "length of the CPU period" },
	{ 0, "cpu-quota", OPTION_NUMBER, &o_.cpu_quota, "USEC", "CPU time in one period" },
	{ 0, "cpuset-cpus", OPTION_STRING, &o_.cpuset_cpus, "LIST", "CPUs to use, such as 0-2,5" },
	{ 0, "cpuset-mems", OPTION_STRING, &o_.cpuset_mems, "LIST", "memory nodes to use" },
	{ 0, "blkio-weight", OPTION_NUMBER, &o_.blkio_weight, "N", "block I/O weight, 10 to 1000" },
	{ 0, "pids-limit", OPTION_NUMBER, &o_.pids_limit, "N", "largest number of processes; -1 is no limit" },
	{ 0, "shm-size", OPTION_SIZE, &o_.shm_size, "BYTES", "size of /dev/shm", .fallback = "64m" },
	{ 0, "ulimit", OPTION_LIST, &o_.ulimits, "NAME=SOFT[:HARD]", "resource limit, such as nofile=1024:2048" },
	{ 0, "read-only", OPTION_FLAG, &o_.read_only, NULL, "the root file system cannot be written to" },
	{ 0, "cap-add", OPTION_LIST, &o_.cap_add, "CAP", "give a capability; ALL gives all" },
	{ 0, "cap-drop", OPTION_LIST, &o_.cap_drop, "CAP", "take a capability away; ALL takes all" },
	{ 0, "security-opt", OPTION_LIST, &o_.security_opt, "OPTION",
	  "seccomp=FILE|unconfined, apparmor=PROFILE, label=..., no-new-privileges[=false], mask=PATHS, unmask=PATHS|ALL" },
	{ 0, "privileged", OPTION_FLAG, &o_.privileged, NULL, "take most of the wall down: all capabilities, all devices, no filter" },
	{ 0, "device", OPTION_LIST, &o_.devices, "HOST[:BOX][:rwm]", "give a device of the host" },
	{ 0, "device-cgroup-rule", OPTION_LIST, &o_.device_rules, "RULE", "allow devices, such as 'c 42:* rmw'" },
	{ 0, "userns", OPTION_STRING, &o_.userns, "host|map:OUTSIDE:COUNT", "user namespace; without privilege there is always one" },
	{ 0, "pid", OPTION_STRING, &o_.pid, "private|host|ns:PATH", "PID namespace" },
	{ 0, "ipc", OPTION_STRING, &o_.ipc, "private|host|ns:PATH", "IPC namespace" },
	{ 0, "uts", OPTION_STRING, &o_.uts, "private|host|ns:PATH", "UTS namespace" },
	{ 0, "cgroupns", OPTION_STRING, &o_.cgroupns, "private|host", "cgroup namespace" },
	{ 0, "cgroup-parent", OPTION_STRING, &o_.cgroup_parent, "PATH", "group under which the box's is made" },
	{ 0, "sysctl", OPTION_LIST, &o_.sysctls, "KEY=VALUE", "kernel setting of the box's namespaces" },
	{ 'l', "label", OPTION_LIST, &o_.labels, "KEY=VALUE", "note kept with the box" },
	{ 0, "label-file", OPTION_LIST, &o_.label_files, "FILE", "the same, from the lines of FILE" },
	{ 0, "annotation", OPTION_LIST, &o_.annotations, "KEY=VALUE", "annotation for the configuration" },
	{ 0, "restart", OPTION_STRING, &o_.restart, "no|on-failure[:N]|always|unless-stopped", "start the workload again when it ends",
	  .fallback = "no" },
	{ 0, "stop-signal", OPTION_STRING, &o_.stop_signal, "SIGNAL", "what `stop` sends; the image's choice, or TERM" },
	{ 0, "stop-timeout", OPTION_NUMBER, &o_.stop_timeout, "SECONDS", "how long `stop` waits before it kills", .fallback = "10" },
	{ 0, "log-max-size", OPTION_SIZE, &o_.log_max_size, "BYTES", "size at which a new log file is begun", .fallback = "10m" },
	{ 0, "log-max-files", OPTION_NUMBER, &o_.log_max_files, "N", "how many log files are kept", .fallback = "3" },
	{ 0, "pull", OPTION_STRING, &o_.pull, "missing|always|never", "when to fetch the image", .fallback = "missing" },
	{ 0, "platform", OPTION_STRING, &o_.platform, "OS/ARCH[/VARIANT]", "the image's platform" },
	{ 0, "cidfile", OPTION_STRING, &o_.cidfile, "FILE", "write the box's name to FILE" },
	{ 'q', "quiet", OPTION_FLAG, &o_.quiet, NULL, "no progress when the image is fetched" },
	{ 0, "dir", OPTION_LIST, &o_.dirs, "HOST[:GUEST[:ro]]", "of a wasm module: a directory that it gets, as GUEST" },
	CREATE_FLAG_ROWS(o_.bundle),
	{ 'f', "config", OPTION_STRING, &o_.bundle.config, "FILE", "of a bundle: use FILE instead of its config.json" },
	{ 0, "keep", OPTION_FLAG, &o_.keep, NULL, "of a bundle: keep the box when the workload ended" },
	{ 0 },
};

bool run_options_want_image(const struct run_options *o)
{
	const void *const given[] = { o->name,	  o->volumes,  o->mounts,   o->tmpfs,	o->env,	     o->env_files, o->publish,
				      o->cap_add, o->cap_drop, o->labels,   o->devices, o->workdir,  o->user,	   o->entrypoint,
				      o->hostname, o->cpus,    o->ulimits,  o->add_hosts, o->dns,    o->security_opt };

	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		if (given[i])
			return true;
	return o->interactive || o->tty || o->rm || o->init || o->privileged || o->read_only || o->memory.given ||
	       o->pids_limit.given || strcmp(o->restart, "no") != 0 || o->network;
}
