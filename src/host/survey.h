/* What this host offers to boxes, as far as `doctor` tells it: one fact a line, with the command that mends what is missing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct host_fact {
	const char *name;  /* "overlayfs"; static */
	bool ok;
	char detail[200];  /* what was found, or what is missing and what that costs */
	char mend[200];    /* the exact command; "" when nothing is wrong or none helps */
};

/* Fills in at most MAX facts; the count. Changes nothing on the host. CRIU: the program's name or path. */
size_t host_survey(const char *criu, struct host_fact *ret, size_t max);
