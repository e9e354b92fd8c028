/* User namespaces: id maps, user_namespaces(7). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/idmap.h"

/*
 * Writes the maps of the new user namespace that process PID is in. An unprivileged caller may map only its own ids by
 * itself (setgroups(2) is then denied inside); for more newuidmap(1) and newgidmap(1) are asked, whose refusal tells of
 * /etc/subuid.
 */
int userns_write_maps(pid_t pid, const struct id_maps *uids, const struct id_maps *gids, struct error *err);

/* A user namespace with these maps and no process in it, for id-mapped mounts: a descriptor or a negative errno. */
int userns_make(const struct id_maps *uids, const struct id_maps *gids, struct error *err);

/* Whether we are in the initial user namespace, where capabilities are about the machine. */
bool userns_is_initial(void);
