/* runtime-spec, config.md, "Process". */
#include "oci/records.h"

#include <linux/sched.h>
#include <string.h>

#include "base/bitlist.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "host/rlimit.h"

#define CPUS_MAX 8192
#define ID_MAX (UINT32_MAX - 1) /* -1 means "leave as it is" to the set*id calls: it must never get there */

#define P struct oci_process
#define AT(member) JSON_AT(P, member)

/* --- user, consoleSize --- */

static const struct json_field user_fields[] = {
	{ "uid", JSON_UNSIGNED, AT(uid), .always = true, .max = ID_MAX },
	{ "gid", JSON_UNSIGNED, AT(gid), .always = true, .max = ID_MAX },
	{ "umask", JSON_UNSIGNED, AT(umask), JSON_HAS(P, has_umask), .max = 0777 },
	{ "additionalGids", JSON_UNSIGNEDS, AT(additional_gids), JSON_COUNT(P, n_additional_gids), .max = ID_MAX },
};

static const struct json_field console_fields[] = {
	{ "height", JSON_UNSIGNED, AT(console_height), .required = true, .max = UINT16_MAX },
	{ "width", JSON_UNSIGNED, AT(console_width), .required = true, .max = UINT16_MAX },
};

/* --- capabilities --- */

#define IGNORED_MAX 400 /* bytes of names in the one warning for a set */

static int read_capabilities(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	uint64_t *set = (uint64_t *)((char *)record + f->offset);
	_cleanup_strbuf_ struct strbuf ignored = STRBUF_INIT;

	if (!json_object_is_type(v, json_type_array))
		return json_wrong(at, NULL, EINVAL, "expected an array of strings");
	for (size_t i = 0, n = json_object_array_length(v); i < n; i++) {
		const struct json_place here = { .up = at, .index = i, .err = at->err };
		const char *name = json_text(&here, json_object_array_get_idx(v, i));
		int cap;

		if (!name)
			return -EINVAL;
		cap = cap_from_string(name);
		if (cap >= 0)
			*set |= 1ull << cap;
		else if (ignored.len < IGNORED_MAX)
			strbuf_addf(&ignored, "%s'%.80s'", ignored.len ? ", " : "", name);
	}
	if (ignored.len)
		log_warn("process.capabilities.%s: unknown capabilities are ignored: %s%s", f->key, strbuf_str(&ignored),
			 ignored.len < IGNORED_MAX ? "" : ", ...");
	return 0;
}

static int write_capabilities(const struct json_field *f, const void *record, struct json_object **ret)
{
	uint64_t set = *(const uint64_t *)((const char *)record + f->offset);
	struct json_object *a;

	if (!set)
		return 0;
	a = json_object_new_array();
	for (unsigned i = 0; a && i < 64; i++)
		if (set & (1ull << i) && cap_to_string(i))
			json_object_array_add(a, json_object_new_string(cap_to_string(i)));
	*ret = a;
	return a ? 0 : -ENOMEM;
}

static const struct json_codec capabilities_codec = { read_capabilities, write_capabilities, NULL };

static const struct json_field capabilities_fields[] = {
	{ "bounding", JSON_CODEC, AT(capabilities.bounding), .codec = &capabilities_codec },
	{ "effective", JSON_CODEC, AT(capabilities.effective), .codec = &capabilities_codec },
	{ "inheritable", JSON_CODEC, AT(capabilities.inheritable), .codec = &capabilities_codec },
	{ "permitted", JSON_CODEC, AT(capabilities.permitted), .codec = &capabilities_codec },
	{ "ambient", JSON_CODEC, AT(capabilities.ambient), .codec = &capabilities_codec },
};

/* --- rlimits --- */

static int read_rlimit_type(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	struct oci_rlimit *limit = record;
	const char *name = json_text(at, v);
	int resource;

	if (!name)
		return -EINVAL;
	resource = rlimit_from_string(name);
	if (resource < 0)
		return json_wrong(at, NULL, EINVAL, "unknown value '%.80s'; getrlimit(2) lists the names, such as RLIMIT_NOFILE",
				  name);
	limit->resource = resource;
	return 0;
}

static int write_rlimit_type(const struct json_field *f, const void *record, struct json_object **ret)
{
	const char *name = rlimit_to_string(((const struct oci_rlimit *)record)->resource);

	if (!name)
		return -EINVAL;
	*ret = json_object_new_string(name);
	return *ret ? 0 : -ENOMEM;
}

static const struct json_codec rlimit_codec = { read_rlimit_type, write_rlimit_type, NULL };

static int check_rlimit(const struct json_place *at, void *record)
{
	const struct oci_rlimit *limit = record;

	if (limit->soft > limit->hard)
		return json_wrong(at, "soft", EINVAL, "%llu is more than the hard limit %llu of %s",
				  (unsigned long long)limit->soft, (unsigned long long)limit->hard,
				  rlimit_to_string(limit->resource));
	return 0;
}

static const struct json_field rlimit_fields[] = {
	{ "type", JSON_CODEC, .required = true, .codec = &rlimit_codec },
	{ "hard", JSON_UNSIGNED, JSON_AT(struct oci_rlimit, hard), .required = true },
	{ "soft", JSON_UNSIGNED, JSON_AT(struct oci_rlimit, soft), .required = true },
};

static const struct json_record rlimit = { sizeof(struct oci_rlimit), JSON_FIELDS(rlimit_fields), .check = check_rlimit };

/* --- scheduler, ioPriority --- */

static const struct json_name policy_names[] = {
	{ "SCHED_OTHER", SCHED_NORMAL }, { "SCHED_FIFO", SCHED_FIFO }, { "SCHED_RR", SCHED_RR },
	{ "SCHED_BATCH", SCHED_BATCH },	 { "SCHED_ISO", 4 },	       { "SCHED_IDLE", SCHED_IDLE },
	{ "SCHED_DEADLINE", SCHED_DEADLINE },
};
static const struct json_names policies = JSON_NAMES(policy_names);

static const struct json_name scheduler_flag_names[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
};
static const struct json_names scheduler_flags = JSON_NAMES(scheduler_flag_names);

static int check_scheduler(const struct json_place *at, void *record)
{
	const struct oci_scheduler *s = record;
	const char *policy = json_value_name(&policies, s->policy);
	bool realtime = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

	if (s->policy == 4)
		return json_wrong(at, "policy", EINVAL, "Linux reserves SCHED_ISO but does not implement it");
	if (realtime && (s->priority < 1 || s->priority > 99))
		return json_wrong(at, "priority", EINVAL, "%d is not between 1 and 99, as %s wants it", s->priority, policy);
	if (!realtime && s->priority)
		return json_wrong(at, "priority", EINVAL, "%d given, but only SCHED_FIFO and SCHED_RR have one, not %s",
				  s->priority, policy);
	if (s->policy != SCHED_DEADLINE && (s->runtime || s->deadline || s->period))
		return json_wrong(at, NULL, EINVAL, "runtime, deadline and period belong to SCHED_DEADLINE, not to %s", policy);
	if (s->policy == SCHED_DEADLINE && (!s->runtime || s->runtime > s->deadline || (s->period && s->deadline > s->period)))
		return json_wrong(at, NULL, EINVAL, "SCHED_DEADLINE needs 0 < runtime <= deadline <= period, not %llu, %llu, %llu",
				  (unsigned long long)s->runtime, (unsigned long long)s->deadline,
				  (unsigned long long)s->period);
	return 0;
}

#define S(member) JSON_AT(struct oci_scheduler, member)
static const struct json_field scheduler_fields[] = {
	{ "policy", JSON_ENUM, S(policy), .required = true, .names = &policies },
	{ "nice", JSON_SIGNED, S(nice), .min = -20, .max = 19 },
	{ "priority", JSON_SIGNED, S(priority) },
	{ "flags", JSON_FLAGS, S(flags), .names = &scheduler_flags },
	{ "runtime", JSON_UNSIGNED, S(runtime) },
	{ "deadline", JSON_UNSIGNED, S(deadline) },
	{ "period", JSON_UNSIGNED, S(period) },
};

static const struct json_record scheduler = { sizeof(struct oci_scheduler), JSON_FIELDS(scheduler_fields),
					      .check = check_scheduler };

/* linux/ioprio.h */
static const struct json_name io_class_names[] = {
	{ "IOPRIO_CLASS_RT", 1 },
	{ "IOPRIO_CLASS_BE", 2 },
	{ "IOPRIO_CLASS_IDLE", 3 },
};
static const struct json_names io_classes = JSON_NAMES(io_class_names);

static const struct json_field io_priority_fields[] = {
	{ "class", JSON_ENUM, JSON_AT(struct oci_io_priority, class), .required = true, .names = &io_classes },
	{ "priority", JSON_SIGNED, JSON_AT(struct oci_io_priority, priority), .max = 7 },
};

static const struct json_record io_priority = { sizeof(struct oci_io_priority), JSON_FIELDS(io_priority_fields) };

/* --- execCPUAffinity --- */

static int check_affinity(const struct json_place *at, void *record)
{
	static const char *const keys[] = { "initial", "final" };
	const P *p = record;
	const char *const lists[] = { p->exec_cpu_affinity.initial, p->exec_cpu_affinity.final };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		unsigned long bits[CPUS_MAX / (8 * sizeof(long))];
		struct error err = ERROR_INIT;

		if (lists[i] && bitlist_parse(lists[i], bits, CPUS_MAX, &err) < 0)
			return json_wrong(at, keys[i], err.code, "%s", err.message);
	}
	return 0;
}

static const struct json_field affinity_fields[] = {
	{ "initial", JSON_STRING, AT(exec_cpu_affinity.initial) },
	{ "final", JSON_STRING, AT(exec_cpu_affinity.final) },
};

/* --- process --- */

static int check_env(const struct json_place *at, char *const *env)
{
	for (size_t i = 0; env && env[i]; i++)
		if (!strchr(env[i], '=') || *env[i] == '=')
			return json_wrong(at, "env", EINVAL, "'%.100s' is not of the form NAME=value", env[i]);
	return 0;
}

static int check_process(const struct json_place *at, void *record)
{
	const P *p = record;
	uint32_t seen = 0;

	if (*p->cwd != '/')
		return json_wrong(at, "cwd", EINVAL, "'%s' is not an absolute path", p->cwd);
	if (!p->args || !p->args[0])
		return json_wrong(at, "args", EINVAL, "%s; name the program to run", p->args ? "empty" : "missing");
	if (!*p->args[0])
		return json_wrong(at, "args", EINVAL, "the first one is empty; name the program to run");
	for (size_t i = 0; i < p->n_rlimits; i++) {
		if (seen & (1u << p->rlimits[i].resource))
			return json_wrong(at, "rlimits", EINVAL, "%s is given twice",
					  rlimit_to_string(p->rlimits[i].resource));
		seen |= 1u << p->rlimits[i].resource;
	}
	return check_env(at, p->env);
}

static const struct json_record user = { sizeof(P), JSON_FIELDS(user_fields) };
static const struct json_record console = { sizeof(P), JSON_FIELDS(console_fields) };
static const struct json_record capabilities = { sizeof(P), JSON_FIELDS(capabilities_fields) };
static const struct json_record affinity = { sizeof(P), JSON_FIELDS(affinity_fields), .check = check_affinity };

static const struct json_field process_fields[] = {
	{ "terminal", JSON_BOOL, AT(terminal) },
	{ "consoleSize", JSON_RECORD, JSON_HAS(P, has_console_size), .record = &console },
	{ "user", JSON_RECORD, .record = &user, .always = true },
	{ "args", JSON_STRINGS, AT(args) },
	{ "env", JSON_STRINGS, AT(env) },
	{ "cwd", JSON_STRING, AT(cwd), .required = true },
	{ "capabilities", JSON_RECORD, JSON_HAS(P, has_capabilities), .record = &capabilities },
	{ "rlimits", JSON_RECORDS, AT(rlimits), JSON_COUNT(P, n_rlimits), .record = &rlimit },
	{ "noNewPrivileges", JSON_BOOL, AT(no_new_privileges) },
	{ "apparmorProfile", JSON_STRING, AT(apparmor_profile) },
	{ "oomScoreAdj", JSON_SIGNED, AT(oom_score_adj), JSON_HAS(P, has_oom_score_adj), .min = -1000, .max = 1000 },
	{ "selinuxLabel", JSON_STRING, AT(selinux_label) },
	{ "scheduler", JSON_POINTER, AT(scheduler), .record = &scheduler },
	{ "ioPriority", JSON_POINTER, AT(io_priority), .record = &io_priority },
	{ "execCPUAffinity", JSON_RECORD, .record = &affinity },
};

const struct json_record oci_process_record = { sizeof(P), JSON_FIELDS(process_fields), .check = check_process };
