/* Users and groups by the box's own /etc/passwd and /etc/group, read as the hostile data they are. */
#pragma once

#include "base/error.h"
#include "oci/spec.h"

/*
 * Sets uid, gid, additional groups and HOME of PROCESS from TEXT ("USER[:GROUP]", names or numbers; NULL or "": root)
 * and GROUPS (more groups; NULL: none). ROOT_FD is the box's root directory.
 */
int box_users_apply(int root_fd, const char *text, char *const *groups, struct oci_process *process, struct error *err);
