/* The kernel's namespaces, namespaces(7). */
#pragma once

#include <stddef.h>
#include <sched.h>
#include <sys/types.h>

#include "base/error.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

struct namespace_kind {
	int type;           /* CLONE_NEW... */
	const char *name;   /* the OCI runtime-spec's: "mount", "network" */
	const char *proc;   /* below /proc/PID/ns: "mnt", "net" */
};

#define NAMESPACE_KINDS 8

/* All kinds, in the order in which setns(2) must enter them: the user namespace first, which owns the others. */
extern const struct namespace_kind namespace_kinds[NAMESPACE_KINDS];

const struct namespace_kind *namespace_kind_of(int type);

/* Opens the namespace file PATH and checks that it is a namespace of TYPE: the descriptor or a negative errno. */
int namespace_open(const char *path, int type, struct error *err);

/* Opens the namespace of TYPE that process PID (0: ourselves) is in. */
int namespace_open_pid(pid_t pid, int type, struct error *err);

/* Whether process PID is in our own namespace of TYPE: 1, 0 or a negative errno. */
int namespace_shared_with(pid_t pid, int type);

/* Host pids of all processes in the namespace of TYPE that process PID is in. *RET is owned by the caller. */
int namespace_members(pid_t pid, int type, pid_t **ret, size_t *ret_n, struct error *err);
