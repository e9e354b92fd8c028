/* runtime-spec, config-linux.md, "Seccomp". */
#include "oci/records.h"

#include <string.h>

#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO */
#define TRACE_MAX 65535 /* SECCOMP_RET_DATA */

static const struct json_name act_names[] = {
	{ "SCMP_ACT_ALLOW", SECCOMP_ACT_ALLOW },
	{ "SCMP_ACT_ERRNO", SECCOMP_ACT_ERRNO },
	{ "SCMP_ACT_KILL", SECCOMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SECCOMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", SECCOMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_TRAP", SECCOMP_ACT_TRAP },
	{ "SCMP_ACT_TRACE", SECCOMP_ACT_TRACE },
	{ "SCMP_ACT_LOG", SECCOMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", SECCOMP_ACT_NOTIFY },
};

static const struct json_name op_names[] = {
	{ "SCMP_CMP_NE", SECCOMP_OP_NE }, { "SCMP_CMP_LT", SECCOMP_OP_LT }, { "SCMP_CMP_LE", SECCOMP_OP_LE },
	{ "SCMP_CMP_EQ", SECCOMP_OP_EQ }, { "SCMP_CMP_GE", SECCOMP_OP_GE }, { "SCMP_CMP_GT", SECCOMP_OP_GT },
	{ "SCMP_CMP_MASKED_EQ", SECCOMP_OP_MASKED_EQ },
};

static const struct json_name arch_names[] = {
	{ "SCMP_ARCH_X86" },	  { "SCMP_ARCH_X86_64" },   { "SCMP_ARCH_X32" },	 { "SCMP_ARCH_ARM" },
	{ "SCMP_ARCH_AARCH64" },  { "SCMP_ARCH_LOONGARCH64" }, { "SCMP_ARCH_M68K" },	 { "SCMP_ARCH_MIPS" },
	{ "SCMP_ARCH_MIPS64" },	  { "SCMP_ARCH_MIPS64N32" }, { "SCMP_ARCH_MIPSEL" },	 { "SCMP_ARCH_MIPSEL64" },
	{ "SCMP_ARCH_MIPSEL64N32" }, { "SCMP_ARCH_PPC" },    { "SCMP_ARCH_PPC64" },	 { "SCMP_ARCH_PPC64LE" },
	{ "SCMP_ARCH_S390" },	  { "SCMP_ARCH_S390X" },    { "SCMP_ARCH_SH" },	 { "SCMP_ARCH_SHEB" },
	{ "SCMP_ARCH_PARISC" },	  { "SCMP_ARCH_PARISC64" }, { "SCMP_ARCH_RISCV64" },
};

static const struct json_name flag_names[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC" },
	{ "SECCOMP_FILTER_FLAG_LOG" },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW" },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" },
};

const struct json_names oci_seccomp_acts = JSON_NAMES(act_names);
const struct json_names oci_seccomp_ops = JSON_NAMES(op_names);
const struct json_names oci_seccomp_archs = JSON_NAMES(arch_names);
const struct json_names oci_seccomp_flags = JSON_NAMES(flag_names);

#define AT(member) JSON_AT(struct seccomp_arg, member)
static const struct json_field arg_fields[] = {
	{ "index", JSON_UNSIGNED, AT(index), .required = true, .max = 5 },
	{ "value", JSON_UNSIGNED, AT(value), .required = true },
	{ "valueTwo", JSON_UNSIGNED, AT(value_two) },
	{ "op", JSON_ENUM, AT(op), .required = true, .names = &oci_seccomp_ops },
};
#undef AT

static const struct json_record arg = { sizeof(struct seccomp_arg), JSON_FIELDS(arg_fields) };

static int check_errno(const struct json_place *at, const char *key, enum seccomp_act act, bool has, uint32_t value)
{
	uint32_t max = act == SECCOMP_ACT_TRACE ? TRACE_MAX : ERRNO_MAX;

	if (!has)
		return 0;
	if (act != SECCOMP_ACT_ERRNO && act != SECCOMP_ACT_TRACE)
		return json_wrong(at, key, EINVAL, "%u given, but %s returns no error; leave it out", value,
				  json_value_name(&oci_seccomp_acts, act));
	if (value > max)
		return json_wrong(at, key, ERANGE, "%u is not between 0 and %u", value, max);
	return 0;
}

static int check_rule(const struct json_place *at, void *record)
{
	const struct seccomp_rule *r = record;

	if (!r->names[0])
		return json_wrong(at, "names", EINVAL, "empty; name at least one system call");
	return check_errno(at, "errnoRet", r->act, r->has_errno, r->errno_ret);
}

#define AT(member) JSON_AT(struct seccomp_rule, member)
static const struct json_field rule_fields[] = {
	{ "names", JSON_STRINGS, AT(names), .required = true },
	{ "action", JSON_ENUM, AT(act), .required = true, .names = &oci_seccomp_acts },
	{ "errnoRet", JSON_UNSIGNED, AT(errno_ret), JSON_HAS(struct seccomp_rule, has_errno) },
	{ "args", JSON_RECORDS, AT(args), JSON_COUNT(struct seccomp_rule, n_args), .record = &arg },
};
#undef AT

static const struct json_record rule = { sizeof(struct seccomp_rule), JSON_FIELDS(rule_fields), .check = check_rule };

static int check_names(const struct json_place *at, const char *key, char *const *v, const struct json_names *known)
{
	for (; v && *v; v++) {
		size_t i = 0;

		while (i < known->n && strcmp(*v, known->v[i].name) != 0)
			i++;
		if (i == known->n)
			return json_wrong(at, key, EINVAL, "unknown value '%s'; the first known one is %s", *v,
					  known->v[0].name);
	}
	return 0;
}

/* Whoever answers the notifications must be reachable, and must not be asked about its own answer's write. */
static int check_notify(const struct json_place *at, const struct seccomp_policy *p)
{
	bool notify = false;

	if (p->default_act == SECCOMP_ACT_NOTIFY)
		return json_wrong(at, "defaultAction", EINVAL,
				  "SCMP_ACT_NOTIFY cannot be the default: the box could not even start; name the system calls");
	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i].act != SECCOMP_ACT_NOTIFY)
			continue;
		notify = true;
		for (char **name = p->rules[i].names; *name; name++)
			if (strcmp(*name, "write") == 0)
				return json_wrong(at, "syscalls", EINVAL,
						  "SCMP_ACT_NOTIFY cannot be used for the write system call");
	}
	if (notify && !p->listener_path)
		return json_wrong(at, "listenerPath", EINVAL,
				  "missing; SCMP_ACT_NOTIFY needs the path of the socket that takes the listener");
	if (p->listener_metadata && !p->listener_path)
		return json_wrong(at, "listenerMetadata", EINVAL, "given without listenerPath");
	return 0;
}

static int check_policy(const struct json_place *at, void *record)
{
	const struct seccomp_policy *p = record;
	int r = check_errno(at, "defaultErrnoRet", p->default_act, p->has_default_errno, p->default_errno);

	if (r == 0)
		r = check_names(at, "architectures", p->architectures, &oci_seccomp_archs);
	if (r == 0)
		r = check_names(at, "flags", p->flags, &oci_seccomp_flags);
	return r < 0 ? r : check_notify(at, p);
}

#define AT(member) JSON_AT(struct seccomp_policy, member)
static const struct json_field policy_fields[] = {
	{ "defaultAction", JSON_ENUM, AT(default_act), .required = true, .names = &oci_seccomp_acts },
	{ "defaultErrnoRet", JSON_UNSIGNED, AT(default_errno), JSON_HAS(struct seccomp_policy, has_default_errno) },
	{ "architectures", JSON_STRINGS, AT(architectures) },
	{ "flags", JSON_STRINGS, AT(flags), JSON_HAS(struct seccomp_policy, has_flags) },
	{ "listenerPath", JSON_STRING, AT(listener_path) },
	{ "listenerMetadata", JSON_STRING, AT(listener_metadata) },
	{ "syscalls", JSON_RECORDS, AT(rules), JSON_COUNT(struct seccomp_policy, n_rules), .record = &rule },
};

const struct json_record oci_seccomp_record = { sizeof(struct seccomp_policy), JSON_FIELDS(policy_fields),
						.check = check_policy };
