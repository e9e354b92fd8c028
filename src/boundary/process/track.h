/*
 * The processes of a box without a control group or namespace. Each program that is put into the box leads a session of
 * its own, which the box's filter lets nobody leave (no setsid), so that the session names them all. A process number
 * stays reserved while any process has it as its session.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/state.h"

struct process_usage {
	uint64_t cpu_ns, memory_bytes, count;
};

/* Notes in the box's record that PID, which exec made, leads a session of the box. box_save() is the caller's. */
int track_add_session(struct box *box, pid_t pid, struct error *err);

/* Live processes (no zombies) of the box, in *RET (owned); USAGE may be NULL. */
int track_processes(const struct box *box, pid_t **ret, size_t *ret_n, struct process_usage *usage, struct error *err);

/* Sends SIGNAL to all. SIGKILL and SIGSTOP: again until none is left that was missed. */
int track_signal(const struct box *box, int signal, struct error *err);

/* Kills all and waits until they are gone. -EBUSY when some would not go in ten seconds. */
int track_kill(const struct box *box, struct error *err);
