/*
 * Boxes on disk: the OCI runtime-spec's "State" (runtime, "State") and what the verbs need besides. Every verb is a
 * process of its own; what one must tell the next is in the box's state directory, <root>/<id>/ (mode 0700):
 *
 *	state.json	the record below, versioned, replaced atomically
 *	config.json	the bundle's configuration as it was at creation
 *	start		the start gate: exists from creation until the workload was started
 *
 * The directory itself is the lock (flock(2)): verbs that change a box hold it, verbs that only look do not.
 * The record is written before anything is made for the box, so that whoever finds it can undo what a killed runtime
 * left behind.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/spec.h"

#define BOX_ID_MAX 255
#define BOX_STATE_FILE "state.json"
#define BOX_CONFIG_FILE "config.json"
#define BOX_START_GATE "start"

enum box_status { BOX_CREATING, BOX_CREATED, BOX_RUNNING, BOX_PAUSED, BOX_STOPPED };

struct box {
	char *id;
	char *root; /* absolute path of the directory of all boxes */
	int dir_fd; /* <root>/<id> */
	bool is_new; /* from box_new(): this process is its creator */
	bool saved;  /* there is a record already */
	bool locked; /* this process holds the lock */
	char *bundle; /* absolute */
	char *rootfs; /* absolute */
	char *boundary; /* struct boundary_ops.name */
	char *created; /* RFC 3339, UTC */
	uid_t owner;
	bool has_process, has_poststart, has_poststop; /* of the configuration, so that few verbs must parse it */
	pid_t pid;          /* first process of the box as its creator saw it; 0: none yet */
	uint64_t pid_start; /* its start time in clock ticks since boot, which makes the pid unmistakable */
	struct json_object *annotations; /* owned, NULL or {string: string} */
	struct json_object *data;        /* owned, the boundary's own record; never NULL after box_new() or box_load() */
};

/* The state root when none is given: /run/ringwall, or $XDG_RUNTIME_DIR/ringwall for other users than root. Owned by the caller. */
int box_default_root(char **ret, struct error *err);

/* 1 to BOX_ID_MAX of [A-Za-z0-9_+-.], beginning with none of "-.", or -EINVAL. */
int box_check_id(const char *id, struct error *err);

/*
 * Makes the state directory of a new box (-EEXIST when there is one) and locks it. CONFIG is the text of config.json.
 * The caller fills in the record and calls box_save() before it makes anything else.
 */
int box_new(const char *root, const char *id, const char *config, size_t config_len, struct box **ret, struct error *err);

/* Reads the box ID, -ENOENT when there is none. LOCK: waits until no other verb is changing it (-EBUSY after ten seconds). */
int box_load(const char *root, const char *id, bool lock, struct box **ret, struct error *err);

/* Writes the record. */
int box_save(struct box *box, struct error *err);

/* Lets other verbs at the box. */
void box_unlock(struct box *box);

/* Removes the state directory. The struct stays the caller's. */
int box_remove(struct box *box, struct error *err);

void box_free(struct box *box);

/* Records PID and its start time in the struct (box_save() writes it). */
int box_set_pid(struct box *box, pid_t pid, struct error *err);

/* What the record and the process table tell; whether a running box is paused only its boundary knows. */
enum box_status box_process_status(const struct box *box);

/* A pidfd of the box's process, or -ESRCH when it is gone (a later process of the same number is not it). */
int box_pidfd(const struct box *box, struct error *err);

/* The configuration kept at creation. */
int box_config(const struct box *box, struct oci_spec **ret, struct error *err);

const char *box_status_string(enum box_status status);

/* The state of the runtime-spec as `state` prints it and hooks read it. Owned by the caller. */
int box_state_json(const struct box *box, enum box_status status, struct json_object **ret, struct error *err);

/* The ids of all boxes under ROOT, sorted; a missing ROOT has none. Owned by the caller. */
int box_list(const char *root, char ***ret, struct error *err);

static inline void cleanup_box(struct box **box)
{
	box_free(*box);
}

#define _cleanup_box_ _cleanup_(cleanup_box)
