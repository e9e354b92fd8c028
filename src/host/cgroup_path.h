/*
 * linux.cgroupsPath to a place in the hierarchies (OCI runtime-spec config-linux, "Cgroups Path"). Pure.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Owned: PATH without ".", "..", doubled and trailing slashes, absolute; ".." never leaves the root. NULL: no memory.
 */
char *cgroup_path_clean(const char *path);

/*
 * Where the cgroupfs manager puts the group: PATH (NULL or "": "/ID") from the hierarchies' roots. The root group
 * itself, and an ID with a slash in it, are refused.
 */
int cgroup_path_resolve(const char *path, const char *id, char **ret, struct error *err);

struct cgroup_unit {
	char *slice; /* "system.slice" */
	char *name;  /* "ringwall-ID.scope" */
};

/*
 * The systemd manager's "slice:prefix:name" (PATH NULL or "": the default slice, "ringwall", ID). USER: the default
 * slice of a user's systemd.
 */
int cgroup_path_unit(const char *path, const char *id, bool user, struct cgroup_unit *ret, struct error *err);
void cgroup_unit_free(struct cgroup_unit *unit);

#define _cleanup_cgroup_unit_ _cleanup_(cgroup_unit_free)
