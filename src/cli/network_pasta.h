/* The private network without privilege: pasta(1), a user-mode network stack that is a process of its own. */
#pragma once

#include "cli/image_box.h"

/*
 * Makes a network namespace and has pasta serve it, before the box is made: the box's own process could not be looked into
 * without privilege. A descriptor of the namespace.
 */
int pasta_start(const struct image_box *box, struct json_object *record,
		int (*save)(const struct image_box *, struct json_object *, struct error *), struct error *err);
void pasta_detach(const struct image_box *box, struct json_object *record);
