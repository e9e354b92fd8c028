/*
 * A boundary is one kind of wall around a workload. Each is one `struct boundary_ops`, and boundary.c lists them all in
 * one array. The functions boundary_*() below are what the command line calls: they find the wall, refuse what it cannot
 * do, keep the record in the state directory, run the hooks that are the same for every wall, and undo what failed.
 *
 * Every verb is a one-shot process: ops get a `struct box` loaded from the state directory and keep what the next verb
 * needs in box->data.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/cgroup.h"
#include "oci/spec.h"
#include "oci/state.h"

struct boundary_ops;

/* How much a hostile workload must break to reach the host; the order behind --at-least. */
enum boundary_strength {
	BOUNDARY_STRENGTH_PROCESS = 10,   /* the host's system calls, filtered; the host's view of itself */
	BOUNDARY_STRENGTH_CONTAINER = 20, /* the host's system calls, an own view */
	BOUNDARY_STRENGTH_SANDBOX = 30,   /* no direct system calls */
	BOUNDARY_STRENGTH_WASM = 40,      /* no native instructions of the workload's choice, a jail around the engine */
	BOUNDARY_STRENGTH_VM = 50,        /* an own kernel, a jail around the monitor */
};

enum boundary_caps {
	BOUNDARY_EXEC = 1 << 0,
	BOUNDARY_PAUSE = 1 << 1,
	BOUNDARY_CHECKPOINT = 1 << 2,
	BOUNDARY_UPDATE = 1 << 3,
	BOUNDARY_STATS = 1 << 4,
	BOUNDARY_TERMINAL = 1 << 5,
	BOUNDARY_NETWORK = 1 << 6,  /* can be given network namespaces */
	BOUNDARY_ROOTLESS = 1 << 7, /* works without privilege */
};

/* What `doctor` says about a wall on this host. */
struct probe {
	bool usable;
	char reason[256]; /* why not; or, when usable, in what way it is limited ("" when it is not) */
	char mend[256];   /* the exact command that mends it; "" when none does */
};

/*
 * What will be enforced, and by what. Pure: planning touches nothing and needs no privilege.
 * An item that is refused makes the plan one that cannot be carried out.
 */
struct plan_item {
	char *what;   /* the configuration's field and value: "linux.resources.memory.limit 512M" */
	char *how;    /* what enforces it, or why it is refused */
	bool refused;
};

struct plan {
	const struct boundary_ops *boundary;
	bool detailed; /* false: plan_enforced() records nothing, only refusals matter */
	struct plan_item *items;
	size_t n_items, n_refused;
};

/* Both take a copy of WHAT; HOW is a format. */
int plan_enforced(struct plan *plan, const char *what, const char *how, ...) _printf_(3, 4);
int plan_refused(struct plan *plan, const char *what, const char *how, ...) _printf_(3, 4);
void plan_free(struct plan *plan);
/* 0, or -EOPNOTSUPP naming every refused item. */
int plan_check(const struct plan *plan, struct error *err);

enum tristate { TRI_AUTO = -1, TRI_NO = 0, TRI_YES = 1 };

/* How a box is made, besides what its configuration says. Strings and descriptors stay the caller's. */
struct create_options {
	enum cgroup_manager cgroup_manager;
	enum tristate rootless;
	const char *console_socket; /* path of a unix socket that gets the terminal's master */
	const char *pidfd_socket;   /* path of a unix socket that gets a pidfd of the workload */
	const char *pid_file;
	int preserve_fds; /* descriptors from 3 on that the workload keeps, besides those of $LISTEN_FDS */
	bool no_pivot, no_new_keyring;
	bool no_subreaper;
	bool detach;    /* the caller will not wait: no terminal may be proxied by it */
	bool run;       /* start the workload at once: start() is not called, and no gate is left */
	int stdio[3];   /* what becomes the workload's 0, 1, 2 when it has no terminal; -1: inherited */
};

#define CREATE_OPTIONS_INIT ((struct create_options){ .rootless = TRI_AUTO, .stdio = { -1, -1, -1 } })

/* What the process that created a box, or ran something in it, holds afterwards. */
struct started {
	pid_t pid;
	int pidfd;    /* owned; -1 when the wall gives none */
	int terminal; /* owned; master side to proxy, -1 when there is none */
};

#define STARTED_INIT ((struct started){ .pidfd = -1, .terminal = -1 })
void started_close(struct started *s);

struct exec_request {
	const struct oci_process *process; /* complete: what the caller did not say was taken from the box's configuration */
	const char *console_socket, *pidfd_socket, *pid_file;
	const char *cgroup; /* sub-cgroup below the box's, or NULL */
	int preserve_fds;
	bool detach, ignore_paused;
	int stdio[3];
};

#define EXEC_REQUEST_INIT ((struct exec_request){ .stdio = { -1, -1, -1 } })

struct checkpoint_request { /* criu(8) */
	const char *image_path, *work_path, *parent_path, *lsm_profile, *lsm_mount_context;
	const char *manage_cgroups_mode, *page_server, *status_fd;
	const char *network_lock;
	char *const *empty_ns, *const *external;
	bool leave_running, tcp_established, tcp_close, ext_unix_sk, shell_job, file_locks, pre_dump, lazy_pages, auto_dedup;
	bool skip_in_flight;
};

struct boundary_ops {
	const char *name;    /* "container" */
	const char *summary; /* one line for `doctor` and `--help` */
	enum boundary_strength strength;
	uint32_t caps; /* enum boundary_caps */
	bool runs_modules; /* programs are WebAssembly modules, not executables of the host's kind */

	/* Usable here? Never fails; costs a few milliseconds at most. */
	void (*probe)(struct probe *ret);
	/* Adds to RET what would be enforced and what is refused. An error only when out of memory. */
	int (*plan)(const struct oci_spec *spec, const struct create_options *options, struct plan *ret, struct error *err);
	/* Makes the box; on failure destroy() is called. BOX was saved by the core before unless there is a recover();
	 * the op saves it whenever it records something that must be undone. */
	int (*create)(struct box *box, const struct oci_spec *spec, const struct create_options *options,
		      struct started *ret, struct error *err);
	int (*start)(struct box *box, struct error *err);
	int (*exec)(struct box *box, const struct oci_spec *spec, const struct exec_request *request, struct started *ret,
		    struct error *err);
	/* -ESRCH when nothing is left to signal. ALL: every process of the box. */
	int (*signal)(struct box *box, int signal, bool all, struct error *err);
	int (*pause)(struct box *box, struct error *err);
	int (*resume)(struct box *box, struct error *err);
	/* Whether a live box is paused; NULL: never. */
	bool (*paused)(const struct box *box);
	int (*update)(struct box *box, const struct cgroup_resources *resources, struct error *err);
	/* Intel RDT schemata of a running box. */
	int (*update_rdt)(struct box *box, const char *l3_schema, const char *mem_bw_schema, struct error *err);
	/* Statistics in the form runc's `events` has them ({"cpu":..., "memory":..., "pids":...}). */
	int (*stats)(struct box *box, struct json_object **ret, struct error *err);
	/* Watches for the kernel's OOM killer at work among the box's processes; NULL: the wall cannot tell. */
	int (*watch_oom)(struct box *box, struct cgroup_oom **ret, struct error *err);
	/* Host pids of the box's processes. *RET is owned by the caller. */
	int (*pids)(struct box *box, pid_t **ret, size_t *ret_n, struct error *err);
	int (*checkpoint)(struct box *box, const struct oci_spec *spec, const struct checkpoint_request *request,
			  struct error *err);
	int (*restore)(struct box *box, const struct oci_spec *spec, const struct create_options *options,
		       const struct checkpoint_request *request, struct started *ret, struct error *err);
	/* Undoes what a creation may have made before it saved its record, as far as the configuration alone tells. With
	 * this op the core does not save the record before create(), which costs a fortieth of a container's start. */
	int (*recover)(struct box *box, const struct oci_spec *spec, struct error *err);
	/* Undoes all that the record tells of; the workload may still be running and is killed. Must succeed on a box
	 * whose creation was cut off anywhere. */
	int (*destroy)(struct box *box, struct error *err);
};

/* All walls, NULL-terminated, weakest first. */
extern const struct boundary_ops *const boundaries[];

/* The wall called NAME, or NULL and a message that lists those there are. */
const struct boundary_ops *boundary_find(const char *name, struct error *err);

/* The caller's bundle: directory and configuration. */
struct bundle {
	const char *path;   /* absolute */
	const char *config; /* text of config.json */
	size_t config_len;
	const struct oci_spec *spec;
};

/*
 * create (and with options->run, run): state directory, plan, hooks, workload, pid file. The box is RET_BOX's, locked no
 * more; RET is the caller's to wait for. On failure nothing is left.
 */
int boundary_create(const struct boundary_ops *boundary, const char *root, const char *id, const struct bundle *bundle,
		    const struct create_options *options, struct box **ret_box, struct started *ret, struct error *err);
int boundary_restore(const struct boundary_ops *boundary, const char *root, const char *id, const struct bundle *bundle,
		     const struct create_options *options, const struct checkpoint_request *request,
		     struct box **ret_box, struct started *ret, struct error *err);

/* Verbs on a loaded box. start, pause, resume, update and destroy want it locked. */
int boundary_start(struct box *box, struct error *err);
int boundary_exec(struct box *box, const struct exec_request *request, struct started *ret, struct error *err);
int boundary_signal(struct box *box, int signal, bool all, struct error *err);
int boundary_pause(struct box *box, struct error *err);
int boundary_resume(struct box *box, struct error *err);
int boundary_update(struct box *box, const struct cgroup_resources *resources, struct error *err);
int boundary_update_rdt(struct box *box, const char *l3_schema, const char *mem_bw_schema, struct error *err);
int boundary_stats(struct box *box, struct json_object **ret, struct error *err);
int boundary_watch_oom(struct box *box, struct cgroup_oom **ret, struct error *err);
int boundary_pids(struct box *box, pid_t **ret, size_t *ret_n, struct error *err);
int boundary_checkpoint(struct box *box, const struct checkpoint_request *request, struct error *err);
enum box_status boundary_status(const struct box *box);
/* delete: refuses a live box unless FORCE; runs the poststop hooks; removes the state directory. */
int boundary_delete(struct box *box, bool force, struct error *err);
