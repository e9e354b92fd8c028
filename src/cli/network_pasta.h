/* The private network without privilege: pasta(1), a user-mode network stack that is a process of its own. */
#pragma once

#include "cli/image_box.h"

int pasta_attach(const struct image_box *box, pid_t pid, struct json_object *record,
		 int (*save)(const struct image_box *, struct json_object *, struct error *), struct error *err);
void pasta_detach(const struct image_box *box, struct json_object *record);
