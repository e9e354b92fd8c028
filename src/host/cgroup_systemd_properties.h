/*
 * What ringwall tells systemd about a box's scope, as the JSON that ringwall-systemd turns into D-Bus: an array of
 * {"name": ..., "type": D-Bus signature, "value": ...}. Pure.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "base/error.h"
#include "host/cgroup.h"

/* The limits of R that systemd has a property for, so that it knows them, shows them and keeps them on a reload. */
int cgroup_systemd_limits(const struct cgroup_resources *r, bool v2, struct json_object *properties, struct error *err);

/*
 * The device rules, for a v1 host: DevicePolicy and DeviceAllow. PROC_DEVICES is the text of /proc/devices, which
 * cgroup_proc_devices() reads (owned; NULL: out of memory).
 */
int cgroup_systemd_devices(const struct cgroup_resources *r, const char *proc_devices, struct json_object *properties,
			   struct error *err);
char *cgroup_proc_devices(void);

/*
 * The annotations org.systemd.property.NAME: VALUE in GVariant's text form (true, 'text', uint64 5, ['a', 'b']). A NAME
 * that ends in "Sec" has its value in seconds and becomes NAMEUSec, as in runc.
 */
int cgroup_systemd_annotations(const struct cgroup_annotation *v, size_t n, struct json_object *properties,
			       struct error *err);

/* Appends one property. VALUE (owned; NULL: out of memory) is taken over. */
int cgroup_systemd_property(struct json_object *properties, const char *name, const char *type,
			    struct json_object *value, struct error *err);
