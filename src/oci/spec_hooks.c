/* runtime-spec, config.md, "POSIX-platform Hooks". */
#include "oci/records.h"

static int check_hook(const struct json_place *at, void *record)
{
	const struct oci_hook *hook = record;

	if (*hook->path != '/')
		return json_wrong(at, "path", EINVAL, "'%s' is not an absolute path", hook->path);
	return 0;
}

static const struct json_field hook_fields[] = {
	{ "path", JSON_STRING, JSON_AT(struct oci_hook, path), .required = true },
	{ "args", JSON_STRINGS, JSON_AT(struct oci_hook, args) },
	{ "env", JSON_STRINGS, JSON_AT(struct oci_hook, env) },
	{ "timeout", JSON_SIGNED, JSON_AT(struct oci_hook, timeout), .min = 1 },
};

static const struct json_record hook = { sizeof(struct oci_hook), JSON_FIELDS(hook_fields), .check = check_hook };

#define KIND(name, member)                                                                                             \
	{                                                                                                              \
		name, JSON_RECORDS, JSON_AT(struct oci_spec, hooks.member.v), JSON_COUNT(struct oci_spec, hooks.member.n),     \
			.record = &hook                                                                                \
	}
static const struct json_field hooks_fields[] = {
	KIND("prestart", prestart),
	KIND("createRuntime", create_runtime),
	KIND("createContainer", create_container),
	KIND("startContainer", start_container),
	KIND("poststart", poststart),
	KIND("poststop", poststop),
};

const struct json_record oci_hooks_record = { sizeof(struct oci_spec), JSON_FIELDS(hooks_fields) };
