/*
 * Device rules (OCI runtime-spec config-linux, "Allowed Device List"): an ordered list on a default of "deny", where
 * for each kind of access the last matching rule decides. v2 runs that list as it is (cgroup_devices_bpf.h); v1's
 * kernel files know one default and a set of exceptions, which this reduces the list to. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "host/resources.h"

struct device_rules {
	struct device_rule *v; /* owned */
	size_t n;
};

void device_rules_free(struct device_rules *rules);

/*
 * The rules of a box: those of R and then the devices that every box has (null, zero, full, random, urandom, tty,
 * console, ptmx, pts, tun) and the right to make, not to use, any node. Types other than a, b, c are refused.
 */
int device_rules_build(const struct cgroup_resources *r, struct device_rules *ret, struct error *err);

/* True when the list allows everything, so that nothing need be enforced. */
bool device_rules_allow_all(const struct device_rules *rules);

struct device_list {
	bool default_allow;
	struct device_rules exceptions; /* types b and c only, .allow is !default_allow */
};

/* Refuses (ENOTSUP) what v1 cannot say: a rule that takes part of a wider earlier exception away. */
int device_list_build(const struct device_rules *rules, struct device_list *ret, struct error *err);
void device_list_free(struct device_list *list);

/* The text of v1's devices.list. Its "allow" default hides the exceptions. */
int device_list_parse(const char *text, struct device_list *ret, struct error *err);

/* "c 1:3 rwm" */
void device_rule_format(const struct device_rule *rule, char *buf, size_t size);

#define _cleanup_device_rules_ _cleanup_(device_rules_free)
#define _cleanup_device_list_ _cleanup_(device_list_free)
