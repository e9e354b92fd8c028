/* Without root: a user namespace in which we are, so that layers' owners can be set to subordinate IDs. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/*
 * Enters a user namespace when we are not root; does nothing when we are. *RET_SINGLE_ID: there are no subordinate IDs,
 * so everything can only belong to us. To be called while there is one thread.
 */
int rootless_enter(bool *ret_single_id, struct error *err);
