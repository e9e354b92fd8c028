/* runtime-spec, config-linux.md, "Control groups". */
#include "oci/records.h"

#include <string.h>

#include "base/bitlist.h"

#define LIST_MAX 8192 /* CPUs, nodes */

#define R struct cgroup_resources
#define AT(member) JSON_AT(R, member)
#define OPT(member) JSON_AT(R, member.v), JSON_HAS(R, member.set)

/* --- devices --- */

static int read_access(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	struct device_rule *rule = record;
	const char *s = json_text(at, v);

	if (!s)
		return -EINVAL;
	if (s[strspn(s, "rwm")])
		return json_wrong(at, NULL, EINVAL, "'%s' is not made of r, w and m", s);
	if (!*s) /* the same as absent */
		return 0;
	rule->read = strchr(s, 'r');
	rule->write = strchr(s, 'w');
	rule->mknod = strchr(s, 'm');
	return 0;
}

static int write_access(const struct json_field *f, const void *record, struct json_object **ret)
{
	const struct device_rule *rule = record;
	char s[4], *p = s;

	if (rule->read)
		*p++ = 'r';
	if (rule->write)
		*p++ = 'w';
	if (rule->mknod)
		*p++ = 'm';
	*p = 0;
	*ret = json_object_new_string(s);
	return *ret ? 0 : -ENOMEM;
}

static const struct json_codec access_codec = { read_access, write_access, NULL };

static const struct json_name rule_type_names[] = { { "a", 'a' }, { "b", 'b' }, { "c", 'c' }, { "", 'a' } };
static const struct json_names rule_types = JSON_NAMES(rule_type_names);

#define D(member) JSON_AT(struct device_rule, member)
static const struct json_field device_rule_fields[] = {
	{ "allow", JSON_BOOL, D(allow), .required = true },
	{ "type", JSON_ENUM, D(type), .names = &rule_types },
	{ "major", JSON_SIGNED, D(major), .min = -1, .max = UINT32_MAX },
	{ "minor", JSON_SIGNED, D(minor), .min = -1, .max = UINT32_MAX },
	{ "access", JSON_CODEC, .codec = &access_codec },
};

static const struct device_rule device_rule_defaults = {
	.type = 'a', .major = -1, .minor = -1, .read = true, .write = true, .mknod = true,
};
static const struct json_record device_rule = { sizeof(struct device_rule), JSON_FIELDS(device_rule_fields),
						.defaults = &device_rule_defaults };

/* --- memory, cpu, pids --- */

static const struct json_field memory_fields[] = {
	{ "limit", JSON_SIGNED, OPT(memory.limit), .min = -1 },
	{ "reservation", JSON_SIGNED, OPT(memory.reservation), .min = -1 },
	{ "swap", JSON_SIGNED, OPT(memory.swap), .min = -1 },
	{ "kernel", JSON_SIGNED, OPT(memory.kernel), .min = -1 },
	{ "kernelTCP", JSON_SIGNED, OPT(memory.kernel_tcp), .min = -1 },
	{ "swappiness", JSON_UNSIGNED, OPT(memory.swappiness), .max = 100 },
	{ "disableOOMKiller", JSON_BOOL, OPT(memory.disable_oom_killer) },
	{ "useHierarchy", JSON_BOOL, OPT(memory.use_hierarchy) },
	{ "checkBeforeUpdate", JSON_BOOL, OPT(memory.check_before_update) },
};

static int check_list(const struct json_place *at, const char *key, const char *list)
{
	unsigned long bits[LIST_MAX / (8 * sizeof(long))];
	struct error err = ERROR_INIT;
	int r = list ? bitlist_parse(list, bits, LIST_MAX, &err) : 0;

	return r < 0 ? json_wrong(at, key, err.code, "%s", err.message) : 0;
}

static int check_cpu(const struct json_place *at, void *record)
{
	const R *r = record;
	int e = check_list(at, "cpus", r->cpu.cpus);

	return e < 0 ? e : check_list(at, "mems", r->cpu.mems);
}

static const struct json_field cpu_fields[] = {
	{ "shares", JSON_UNSIGNED, OPT(cpu.shares) },
	{ "quota", JSON_SIGNED, OPT(cpu.quota) },
	{ "burst", JSON_UNSIGNED, OPT(cpu.burst) },
	{ "period", JSON_UNSIGNED, OPT(cpu.period) },
	{ "realtimeRuntime", JSON_SIGNED, OPT(cpu.realtime_runtime) },
	{ "realtimePeriod", JSON_UNSIGNED, OPT(cpu.realtime_period) },
	{ "idle", JSON_SIGNED, OPT(cpu.idle), .max = 1 },
	{ "cpus", JSON_STRING, AT(cpu.cpus) },
	{ "mems", JSON_STRING, AT(cpu.mems) },
};

static const struct json_field pids_fields[] = {
	{ "limit", JSON_SIGNED, OPT(pids.limit) },
};

static int check_pids(const struct json_place *at, void *record)
{
	const R *r = record;

	return r->pids.limit.set ? 0 : json_wrong(at, "limit", EINVAL, "missing; it must be given");
}

/* --- blockIO --- */

#define B(member) JSON_AT(struct blkio_device, member)
#define B_OPT(member) B(member.v), JSON_HAS(struct blkio_device, member.set)
static const struct json_field weight_fields[] = {
	{ "major", JSON_SIGNED, B(major), .required = true, .max = UINT32_MAX },
	{ "minor", JSON_SIGNED, B(minor), .required = true, .max = UINT32_MAX },
	{ "weight", JSON_UNSIGNED, B_OPT(weight), .max = UINT16_MAX },
	{ "leafWeight", JSON_UNSIGNED, B_OPT(leaf_weight), .max = UINT16_MAX },
};

static const struct json_field throttle_fields[] = {
	{ "major", JSON_SIGNED, B(major), .required = true, .max = UINT32_MAX },
	{ "minor", JSON_SIGNED, B(minor), .required = true, .max = UINT32_MAX },
	{ "rate", JSON_UNSIGNED, B(rate), .always = true },
};

static const struct json_record weight = { sizeof(struct blkio_device), JSON_FIELDS(weight_fields) };
static const struct json_record throttle = { sizeof(struct blkio_device), JSON_FIELDS(throttle_fields) };

static const struct json_field block_io_fields[] = {
	{ "weight", JSON_UNSIGNED, OPT(blkio.weight), .max = UINT16_MAX },
	{ "leafWeight", JSON_UNSIGNED, OPT(blkio.leaf_weight), .max = UINT16_MAX },
	{ "weightDevice", JSON_RECORDS, AT(blkio.weight_device.v), JSON_COUNT(R, blkio.weight_device.n), .record = &weight },
	{ "throttleReadBpsDevice", JSON_RECORDS, AT(blkio.read_bps.v), JSON_COUNT(R, blkio.read_bps.n), .record = &throttle },
	{ "throttleWriteBpsDevice", JSON_RECORDS, AT(blkio.write_bps.v), JSON_COUNT(R, blkio.write_bps.n), .record = &throttle },
	{ "throttleReadIOPSDevice", JSON_RECORDS, AT(blkio.read_iops.v), JSON_COUNT(R, blkio.read_iops.n), .record = &throttle },
	{ "throttleWriteIOPSDevice", JSON_RECORDS, AT(blkio.write_iops.v), JSON_COUNT(R, blkio.write_iops.n),
	  .record = &throttle },
};

/* --- hugepageLimits, network, rdma, unified --- */

static int check_hugepage(const struct json_place *at, void *record)
{
	const struct hugepage_limit *h = record;
	size_t digits = strspn(h->page_size, "0123456789");
	const char *unit = h->page_size + digits;

	if (digits == 0 || *h->page_size == '0' || !*unit || !strchr("KMG", *unit) || strcmp(unit + 1, "B") != 0)
		return json_wrong(at, "pageSize", EINVAL, "'%s' is not a size such as 64KB, 2MB or 1GB", h->page_size);
	return 0;
}

static const struct json_field hugepage_fields[] = {
	{ "pageSize", JSON_STRING, JSON_AT(struct hugepage_limit, page_size), .required = true },
	{ "limit", JSON_UNSIGNED, JSON_AT(struct hugepage_limit, limit), .required = true },
};

static const struct json_record hugepage = { sizeof(struct hugepage_limit), JSON_FIELDS(hugepage_fields),
					     .check = check_hugepage };

static const struct json_field priority_fields[] = {
	{ "name", JSON_STRING, JSON_AT(struct net_priority, interface), .required = true },
	{ "priority", JSON_UNSIGNED, JSON_AT(struct net_priority, priority), .required = true },
};

static const struct json_record priority = { sizeof(struct net_priority), JSON_FIELDS(priority_fields) };

static const struct json_field network_fields[] = {
	{ "classID", JSON_UNSIGNED, OPT(network.class_id), .max = UINT32_MAX },
	{ "priorities", JSON_RECORDS, AT(network.priorities), JSON_COUNT(R, network.n_priorities), .record = &priority },
};

static const struct json_field rdma_fields[] = {
	{ "hcaHandles", JSON_UNSIGNED, JSON_AT(struct rdma_limit, hca_handles.v), JSON_HAS(struct rdma_limit, hca_handles.set),
	  .max = UINT32_MAX },
	{ "hcaObjects", JSON_UNSIGNED, JSON_AT(struct rdma_limit, hca_objects.v), JSON_HAS(struct rdma_limit, hca_objects.set),
	  .max = UINT32_MAX },
};

static const struct json_record rdma = { sizeof(struct rdma_limit), JSON_FIELDS(rdma_fields) };

/* The keys of these maps become file names and lines of cgroup files. */
static int check_resources(const struct json_place *at, void *record)
{
	const R *r = record;

	for (size_t i = 0; i < r->unified.n; i++) {
		const char *file = r->unified.v[i].file;

		if (!*file || strchr(file, '/') || !strchr(file, '.') || *file == '.')
			return json_wrong(at, "unified", EINVAL, "'%s' is not the name of a cgroup v2 file, such as memory.high",
					  file);
	}
	for (size_t i = 0; i < r->rdma.n; i++)
		if (!*r->rdma.v[i].device || strpbrk(r->rdma.v[i].device, " \n"))
			return json_wrong(at, "rdma", EINVAL, "'%s' is not the name of a device", r->rdma.v[i].device);
	return 0;
}

static const struct json_record memory = { sizeof(R), JSON_FIELDS(memory_fields) };
static const struct json_record cpu = { sizeof(R), JSON_FIELDS(cpu_fields), .check = check_cpu };
static const struct json_record pids = { sizeof(R), JSON_FIELDS(pids_fields), .check = check_pids };
static const struct json_record block_io = { sizeof(R), JSON_FIELDS(block_io_fields) };
static const struct json_record network = { sizeof(R), JSON_FIELDS(network_fields) };

static const struct json_field resources_fields[] = {
	{ "devices", JSON_RECORDS, AT(devices.v), JSON_COUNT(R, devices.n), .record = &device_rule },
	{ "memory", JSON_RECORD, .record = &memory },
	{ "cpu", JSON_RECORD, .record = &cpu },
	{ "pids", JSON_RECORD, .record = &pids },
	{ "blockIO", JSON_RECORD, .record = &block_io },
	{ "hugepageLimits", JSON_RECORDS, AT(hugepages.v), JSON_COUNT(R, hugepages.n), .record = &hugepage },
	{ "network", JSON_RECORD, .record = &network },
	{ "rdma", JSON_MAP, AT(rdma.v), JSON_COUNT(R, rdma.n), .record = &rdma },
	{ "unified", JSON_STRING_MAP, AT(unified.v), JSON_COUNT(R, unified.n) },
};

const struct json_record oci_resources_record = { sizeof(R), JSON_FIELDS(resources_fields), .check = check_resources };
