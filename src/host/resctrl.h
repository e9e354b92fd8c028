/*
 * Cache and memory bandwidth shares through the resctrl file system (Intel RDT, AMD PQoS): OCI runtime-spec
 * config-linux, "IntelRdt"; the kernel's filesystems/resctrl. A "control group" of resctrl is a class of service
 * (CLOS), of which the hardware has a few.
 *
 * A box gets the class named by closID, or one of its own, named after its id, which ends with it. A named class is
 * shared with others: it is made when missing, must agree with what is asked when it exists, and is never removed,
 * because the kernel would throw everybody else in it back into the default class.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"

#define RESCTRL_ROOT "/sys/fs/resctrl"

struct resctrl_request {
	const char *id;				     /* of the box */
	const char *clos_id;			     /* or NULL; "/": the default class */
	char *const *schemata;			     /* lines; or NULL */
	const char *l3_cache_schema, *mem_bw_schema; /* or NULL */
	bool monitoring;  /* enableMonitoring, or the older enableCMT and enableMBM: a monitoring group of its own */
	const char *root; /* for tests: what stands for /sys/fs/resctrl; NULL: the real one */
};

struct resctrl;

/*
 * Makes or finds the class and writes its schemata. Refused: ENOTSUP without resctrl, ENOSPC without a free class,
 * ENOENT for a named class that does not exist when nothing says what it should be, EEXIST for one that is different.
 * *RET: resctrl_free().
 */
int resctrl_create(const struct resctrl_request *request, struct resctrl **ret, struct error *err);
void resctrl_free(struct resctrl *rdt);

/* Puts process PID, and what it forks, into the class and its monitoring group. */
int resctrl_attach(const struct resctrl *rdt, pid_t pid, struct error *err);

/* Removes what was made for this box alone. What is missing is fine. */
int resctrl_destroy(const struct resctrl *rdt, struct error *err);

/* The "intel_rdt" object of runc's `events --stats`. Owned; NULL when out of memory. */
struct json_object *resctrl_stats_to_json(const struct resctrl *rdt);

/* Identity to and from the state file. resctrl_to_json() gives an owned object, or NULL when out of memory. */
struct json_object *resctrl_to_json(const struct resctrl *rdt);
int resctrl_from_json(struct json_object *o, struct resctrl **ret, struct error *err);

static inline void cleanup_resctrl(struct resctrl **rdt)
{
	resctrl_free(*rdt);
}

#define _cleanup_resctrl_ _cleanup_(cleanup_resctrl)
