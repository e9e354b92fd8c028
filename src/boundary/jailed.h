/*
 * What the boundaries that start an OCI process through the jailer share: the "process" object as a struct jail_process,
 * terminals, passed descriptors, and the box's control group in its record.
 */
#pragma once

#include "boundary/boundary.h"
#include "jail/jail.h"

/* A jail_process and what it is made of. */
struct jailed_process {
	/* owned */
	struct jail_rlimit *rlimits;
	char **env;
	struct jail_scheduler scheduler;
	unsigned long memory_nodes[1024 / (8 * sizeof(long))];
};

void jailed_process_free(struct jailed_process *jp);

/*
 * Translates PROCESS (and of SPEC what belongs to a process: personality and memory policy) into OUT; seccomp is left to
 * the caller. PROCESS, SPEC and JP must outlive OUT.
 */
int jailed_translate(const struct oci_spec *spec, const struct oci_process *process, struct jailed_process *jp,
		     struct jail_process *out, struct error *err);

/* Adds PRESERVE descriptors and those of $LISTEN_FDS. */
int jailed_descriptors(int preserve, struct jailed_process *jp, struct jail_process *out, struct error *err);

/* Connects OUT->console_socket (owned by the caller afterwards) where CONSOLE_SOCKET is given, and checks that a terminal is served. */
int jailed_terminal(const char *console_socket, bool detach, const int stdio[3], struct jail_process *out, struct error *err);

/* Sends PIDFD to the unix socket PATH; nothing when PATH is NULL. */
int jailed_send_pidfd(const char *path, int pidfd, struct error *err);
