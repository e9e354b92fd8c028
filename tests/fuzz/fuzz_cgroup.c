/*
 * What configurations and state files say of control groups: the first byte chooses the reader. Device rules are also
 * checked against each other: what v1 and v2 make of one list must mean the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "host/cgroup.h"
#include "host/cgroup_devices_bpf.h"
#include "host/cgroup_path.h"
#include "host/cgroup_systemd_properties.h"
#include "host/resctrl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_path(const char *text)
{
	_cleanup_free_ char *clean = cgroup_path_clean(text), *again = cgroup_path_clean(clean);
	_cleanup_cgroup_unit_ struct cgroup_unit unit = {0};

	if (clean[0] != '/' || strcmp(clean, again) != 0 || strstr(clean, "//"))
		abort();
	if (cgroup_path_unit(text, "box", false, &unit, NULL) == 0 &&
	    (strchr(unit.name, '/') || strchr(unit.slice, '/')))
		abort();
}

static void fuzz_annotation(const char *text)
{
	_cleanup_json_ struct json_object *list = json_object_new_array();
	_cleanup_free_ char *key = NULL;
	const char *value = strchr(text, '=');
	struct cgroup_annotation a;

	if (!value || asprintf(&key, "org.systemd.property.%.*s", (int)(value - text), text) < 0)
		return;
	a = (struct cgroup_annotation){key, value + 1};
	if (cgroup_systemd_annotations(&a, 1, list, NULL) == 0 && json_object_array_length(list) != 1)
		abort();
}

static void fuzz_state(const char *text)
{
	_cleanup_json_ struct json_object *o = NULL, *out = NULL, *out2 = NULL;
	_cleanup_cgroup_ struct cgroup *cg = NULL, *cg2 = NULL;
	_cleanup_resctrl_ struct resctrl *rdt = NULL;

	if (json_parse(text, strlen(text), &o, NULL) < 0 || !json_object_is_type(o, json_type_object))
		return;
	resctrl_from_json(o, &rdt, NULL);
	if (cgroup_from_json(o, &cg, NULL) < 0)
		return;
	out = cgroup_to_json(cg);
	if (!out || cgroup_from_json(out, &cg2, NULL) < 0)
		abort();
	out2 = cgroup_to_json(cg2);
	if (!out2 || !json_object_equal(out, out2))
		abort();
}

/* Six bytes a rule. */
static void fuzz_devices(const uint8_t *data, size_t size)
{
	struct device_rule v[64];
	struct device_rules rules = {v, size / 6 < 64 ? size / 6 : 64};
	_cleanup_bpf_program_ struct bpf_program program = {0};
	_cleanup_device_list_ struct device_list list = {0};

	for (size_t i = 0; i < rules.n; i++) {
		const uint8_t *b = data + i * 6;

		v[i] = (struct device_rule){.allow = b[0] & 1,
					    .type = "abc"[b[1] % 3],
					    .major = (int8_t)b[2],
					    .minor = (int8_t)b[3],
					    .read = b[4] & 1,
					    .write = b[4] & 2,
					    .mknod = b[4] & 4};
		v[i].major = v[i].major < 0 ? -1 : v[i].major;
		v[i].minor = v[i].minor < 0 ? -1 : v[i].minor;
	}
	if (device_rules_compile(&rules, &program, NULL) < 0 || program.n > program.cap)
		abort();
	if (device_list_build(&rules, &list, NULL) == 0 && device_rules_allow_all(&rules) &&
	    (!list.default_allow || list.exceptions.n))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_device_list_ struct device_list list = {0};

	if (size < 1)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	switch (data[0]) {
	case 'p':
		fuzz_path(text);
		break;
	case 'a':
		fuzz_annotation(text);
		break;
	case 's':
		fuzz_state(text);
		break;
	case 'l':
		device_list_parse(text, &list, NULL);
		break;
	case 'd':
		fuzz_devices(data + 1, size - 1);
		break;
	}
	return 0;
}
