/* Subordinate ids, subuid(5) and subgid(5): the ids that an unprivileged user may map besides his own. */
#pragma once

#include "base/error.h"
#include "host/idmap.h"

/*
 * The maps of a user namespace for the calling user: 0 is himself, 1 and up are his subordinate ids. Where he has none
 * (or newuidmap is missing) only 0 is mapped. The caller frees ret_*->v.
 */
int subid_maps(struct id_maps *ret_uids, struct id_maps *ret_gids, struct error *err);
