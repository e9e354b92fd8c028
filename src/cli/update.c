/* `update`: options become the runtime-spec's "resources", which the specification's reader then checks. */
#include <fcntl.h>
#include <string.h>

#include "base/fdio.h"
#include "base/json.h"
#include "cli/cli.h"

static struct {
	const char *resources, *cpuset_cpus, *cpuset_mems, *l3_schema, *mem_bw_schema;
	struct option_number blkio_weight, cpu_period, cpu_quota, cpu_burst, cpu_share, cpu_idle, cpu_rt_period, cpu_rt_runtime,
		kernel_memory, kernel_memory_tcp, memory, memory_reservation, memory_swap, pids_limit;
} opt;

static const struct option options[] = {
	{ 'r', "resources", OPTION_STRING, &opt.resources, "FILE", "take everything from a JSON file in the form of the "
	  "runtime-spec's linux.resources; '-' is the standard input" },
	{ 'm', "memory", OPTION_SIZE, &opt.memory, "BYTES", "memory limit; -1 is none" },
	{ 0, "memory-reservation", OPTION_SIZE, &opt.memory_reservation, "BYTES", "memory that is kept under pressure" },
	{ 0, "memory-swap", OPTION_SIZE, &opt.memory_swap, "BYTES", "limit of memory and swap together; -1 is none" },
	{ 0, "kernel-memory", OPTION_SIZE, &opt.kernel_memory, "BYTES", "kernel memory limit (cgroup v1)" },
	{ 0, "kernel-memory-tcp", OPTION_SIZE, &opt.kernel_memory_tcp, "BYTES", "limit of TCP buffers (cgroup v1)" },
	{ 0, "cpu-share", OPTION_NUMBER, &opt.cpu_share, "N", "weight against other boxes", .aliases = "cpu-shares" },
	{ 0, "cpu-quota", OPTION_NUMBER, &opt.cpu_quota, "USEC", "CPU time in one period" },
	{ 0, "cpu-period", OPTION_NUMBER, &opt.cpu_period, "USEC", "length of the period" },
	{ 0, "cpu-burst", OPTION_NUMBER, &opt.cpu_burst, "USEC", "unused quota that may be saved up" },
	{ 0, "cpu-idle", OPTION_NUMBER, &opt.cpu_idle, "0|1", "run only when nothing else wants the CPU" },
	{ 0, "cpu-rt-period", OPTION_NUMBER, &opt.cpu_rt_period, "USEC", "period of real-time scheduling" },
	{ 0, "cpu-rt-runtime", OPTION_NUMBER, &opt.cpu_rt_runtime, "USEC", "real-time CPU time in one period" },
	{ 0, "cpuset-cpus", OPTION_STRING, &opt.cpuset_cpus, "LIST", "CPUs to use" },
	{ 0, "cpuset-mems", OPTION_STRING, &opt.cpuset_mems, "LIST", "memory nodes to use" },
	{ 0, "blkio-weight", OPTION_NUMBER, &opt.blkio_weight, "N", "block I/O weight, 10 to 1000" },
	{ 0, "pids-limit", OPTION_NUMBER, &opt.pids_limit, "N", "largest number of processes; -1 is no limit" },
	{ 0, "l3-cache-schema", OPTION_STRING, &opt.l3_schema, "SCHEMA", "Intel RDT: L3 cache schema" },
	{ 0, "mem-bw-schema", OPTION_STRING, &opt.mem_bw_schema, "SCHEMA", "Intel RDT: memory bandwidth schema" },
	{ 0 },
};

/* Where each option goes in "resources". */
static const struct {
	const char *section, *key;
	const struct option_number *number;
	const char *const *string;
} places[] = {
	{ "memory", "limit", &opt.memory, NULL },
	{ "memory", "reservation", &opt.memory_reservation, NULL },
	{ "memory", "swap", &opt.memory_swap, NULL },
	{ "memory", "kernel", &opt.kernel_memory, NULL },
	{ "memory", "kernelTCP", &opt.kernel_memory_tcp, NULL },
	{ "cpu", "shares", &opt.cpu_share, NULL },
	{ "cpu", "quota", &opt.cpu_quota, NULL },
	{ "cpu", "period", &opt.cpu_period, NULL },
	{ "cpu", "burst", &opt.cpu_burst, NULL },
	{ "cpu", "idle", &opt.cpu_idle, NULL },
	{ "cpu", "realtimePeriod", &opt.cpu_rt_period, NULL },
	{ "cpu", "realtimeRuntime", &opt.cpu_rt_runtime, NULL },
	{ "cpu", "cpus", NULL, &opt.cpuset_cpus },
	{ "cpu", "mems", NULL, &opt.cpuset_mems },
	{ "blockIO", "weight", &opt.blkio_weight, NULL },
	{ "pids", "limit", &opt.pids_limit, NULL },
};

static int from_options(char **ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	const char *text;

	for (size_t i = 0; o && i < ARRAY_SIZE(places); i++) {
		struct json_object *section, *value;

		if (places[i].number ? !places[i].number->given : !*places[i].string)
			continue;
		if (!json_object_object_get_ex(o, places[i].section, &section)) {
			section = json_object_new_object();
			json_object_object_add(o, places[i].section, section);
		}
		value = places[i].number ? json_object_new_int64(places[i].number->v)
					 : json_object_new_string(*places[i].string);
		json_object_object_add(section, places[i].key, value);
	}
	text = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : NULL;
	*ret = text ? strdup(text) : NULL;
	return *ret ? 0 : error_oom(err);
}

static int from_file(char **ret, struct error *err)
{
	int r;

	if (strcmp(opt.resources, "-") != 0)
		return file_read_at(AT_FDCWD, opt.resources, OCI_CONFIG_MAX, ret, NULL, err);
	r = fd_read_all(STDIN_FILENO, OCI_CONFIG_MAX, ret, NULL);
	return r < 0 ? error_sys(err, r, "cannot read the resources from the standard input") : 0;
}

static int run_update(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_(cgroup_resources_free) struct cgroup_resources resources = { 0 };
	_cleanup_free_ char *text = NULL;
	_cleanup_box_ struct box *box = NULL;
	int r;

	r = opt.resources ? from_file(&text, err) : from_options(&text, err);
	if (r == 0)
		r = oci_resources_parse(text, strlen(text), &resources, err);
	if (r == 0)
		r = box_load(cli->root, operands[0], true, &box, err);
	if (r == 0)
		r = boundary_update(box, &resources, err);
	if (r == 0 && (opt.l3_schema || opt.mem_bw_schema))
		r = boundary_update_rdt(box, opt.l3_schema, opt.mem_bw_schema, err);
	return r;
}

const struct command cli_update = {
	.name = "update",
	.group = "Life of a box",
	.operands = "ID",
	.summary = "change the resource limits of a box",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_update,
};
