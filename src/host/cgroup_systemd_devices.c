/*
 * On v1, systemd owns devices.allow and devices.deny of its scopes and writes them anew on a reload, so it has to know
 * the rules. (On v2 our program stands beside systemd's.) It names devices by number or by the driver names of
 * /proc/devices.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fdio.h"
#include "base/json.h"
#include "host/cgroup_devices.h"
#include "host/cgroup_systemd_properties.h"

#define PROC_DEVICES_MAX 65536

/* "Character devices:\n  1 mem\n...\nBlock devices:\n259 blkext\n" */
static bool driver_name(const char *proc_devices, char type, int64_t major, char name[64])
{
	const char *p = strstr(proc_devices, type == 'c' ? "Character devices:" : "Block devices:");
	int64_t number;

	while (p && (p = strchr(p, '\n')) && *++p && *p != '\n')
		if (sscanf(p, "%" SCNd64 " %63s", &number, name) == 2 && number == major)
			return true;
	return false;
}

/* systemd's name for the devices of D; false: it has none, and the kernel's file alone allows them. */
static bool device_name(const char *proc_devices, const struct device_rule *d, char *buf, size_t size)
{
	const char *kind = d->type == 'c' ? "char" : "block";
	char name[64];

	if (d->major < 0 && d->minor < 0)
		return snprintf(buf, size, "%s-*", kind) > 0;
	if (d->major >= 0 && d->minor >= 0)
		return snprintf(buf, size, "/dev/%s/%" PRId64 ":%" PRId64, kind, d->major, d->minor) > 0;
	return d->major >= 0 && driver_name(proc_devices, d->type, d->major, name) &&
	       snprintf(buf, size, "%s-%s", kind, name) > 0;
}

static int add_pair(struct json_object *list, const char *device, const struct device_rule *d, struct error *err)
{
	_cleanup_json_ struct json_object *pair = json_object_new_array();
	struct json_object *name = json_object_new_string(device), *access = NULL;
	char letters[4];

	snprintf(letters, sizeof(letters), "%s%s%s", d->read ? "r" : "", d->write ? "w" : "", d->mknod ? "m" : "");
	if (!pair || !name || json_object_array_add(pair, name) < 0) {
		json_object_put(name);
		return error_oom(err);
	}
	access = json_object_new_string(letters);
	if (!access || json_object_array_add(pair, access) < 0) {
		json_object_put(access);
		return error_oom(err);
	}
	return json_object_array_add(list, json_object_get(pair)) < 0 ? error_oom(err) : 0;
}

int cgroup_systemd_devices(const struct cgroup_resources *r, const char *proc_devices, struct json_object *properties,
			   struct error *err)
{
	_cleanup_device_rules_ struct device_rules rules = {0};
	_cleanup_device_list_ struct device_list list = {0};
	_cleanup_json_ struct json_object *allow = json_object_new_array();
	int e;

	e = device_rules_build(r, &rules, err);
	if (e == 0)
		e = device_list_build(&rules, &list, err);
	if (e < 0)
		return e;
	e = cgroup_systemd_property(properties, "DevicePolicy", "s",
				    json_object_new_string(list.default_allow ? "auto" : "strict"), err);
	if (e < 0 || list.default_allow)
		return e;
	for (size_t i = 0; i < list.exceptions.n && e == 0; i++) {
		char name[80];

		if (device_name(proc_devices, &list.exceptions.v[i], name, sizeof(name)))
			e = add_pair(allow, name, &list.exceptions.v[i], err);
	}
	if (e < 0)
		return e;
	return cgroup_systemd_property(properties, "DeviceAllow", "a(ss)", json_object_get(allow), err);
}

char *cgroup_proc_devices(void)
{
	char *text = NULL;

	return file_read_at(AT_FDCWD, "/proc/devices", PROC_DEVICES_MAX, &text, NULL, NULL) < 0 ? strdup("") : text;
}
