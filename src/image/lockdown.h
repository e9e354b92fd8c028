/*
 * Giving up rights before the first hostile byte: no_new_privs; Landlock leaves the store and the named paths; the
 * capabilities that unpacking needs and no others; a system-call filter without execve, and without sockets where no
 * registry is spoken to.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct lockdown {
	const char *const *writes; /* NULL-terminated: the store, an output folder */
	const char *const
	    *reads;   /* NULL-terminated: inputs that are opened later; missing ones are fine. May be NULL */
	bool network; /* registries: sockets, and the files that names and certificates are found in */
	bool devices; /* --allow-devices: make block devices too */
};

/* Irrevocable, for the calling thread and those it starts: call it while there is one. */
int lockdown_enter(const struct lockdown *l, struct error *err);
