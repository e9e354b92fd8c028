/*
 * Control groups: one group for each box, on cgroup v1, v2 (unified) or both at once (hybrid), made by ourselves
 * (cgroupfs) or asked of systemd. What is enforced is host/resources.h; the conversion rules between the two kernel
 * interfaces are runc's. Specifications: OCI runtime-spec config-linux "Control groups", cgroups(7), the kernel's
 * admin-guide/cgroup-v1 and admin-guide/cgroup-v2.
 *
 * The life of a group:
 *	cgroup_create()          directories and limits, before the box's first process exists
 *	cgroup_entry_open()      in the parent: what a new process needs to get in
 *	clone3(CLONE_INTO_CGROUP, entry.clone_fd) where clone_fd >= 0, else an ordinary clone
 *	cgroup_entry_join()      in the child, at once: the hierarchies that clone3 cannot reach
 *	cgroup_entry_close()     in the parent, when the child is inside
 *	cgroup_to_json() ... cgroup_from_json()   other verbs find the group again without a second look at the host
 *	cgroup_kill(), cgroup_destroy()
 * A resource that the host cannot enforce is refused by name with the mend; nothing asked is ever dropped, except the
 * device rules of a rootless box (see cgroup_request.rootless).
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "host/resources.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_HIERARCHIES_MAX 20

enum cgroup_manager {
	CGROUP_MANAGER_CGROUPFS, /* we write the directories */
	CGROUP_MANAGER_SYSTEMD,	 /* a transient scope made by systemd, through the ringwall-systemd program */
	CGROUP_MANAGER_DISABLED, /* no group at all: crun's --cgroup-manager=disabled */
};

/* "cgroupfs", "systemd", "disabled". 0 or -EINVAL. */
int cgroup_manager_parse(const char *name, enum cgroup_manager *ret);
const char *cgroup_manager_name(enum cgroup_manager manager);

struct cgroup_annotation {
	const char *key, *value;
};

struct cgroup_request {
	const char *id; /* of the box */
	const char
	    *path; /* linux.cgroupsPath as written ("/a/b", "a/b", systemd's "slice:prefix:name"), NULL: from the id */
	enum cgroup_manager manager;
	/*
	 * The caller is not root of the initial user namespace. A group that may not be made is then no error as long
	 * as neither a path nor a limit was asked for: the box has no group (cgroup_exists() is false). Device rules
	 * are left to the user namespace, which can neither make device nodes nor load device filters.
	 */
	bool rootless;
	const struct cgroup_resources *resources;    /* NULL: nothing asked */
	const struct cgroup_annotation *annotations; /* org.systemd.property.* and run.oci.* ones are read */
	size_t n_annotations;
	const char *systemd_helper; /* path of ringwall-systemd; NULL: beside our own executable or in libexec */
	const char *root;	    /* for tests: what stands for /sys/fs/cgroup */
	const char *proc_self;	    /* for tests: what stands for /proc/self */
};

struct cgroup;

/*
 * Makes the group and applies the limits. An existing empty group at that path is taken over, one with processes in it
 * is refused (EBUSY), the root group too. On failure nothing that we made is left. *RET: cgroup_free().
 */
int cgroup_create(const struct cgroup_request *request, struct cgroup **ret, struct error *err);

/*
 * What a cgroup_create() of REQUEST that was killed may have left, as far as it exists (cgroup_exists() is false:
 * nothing). Makes nothing and minds no processes. For cgroup_kill() and cgroup_destroy() alone. *RET: cgroup_free().
 */
int cgroup_find(const struct cgroup_request *request, struct cgroup **ret, struct error *err);

/* Frees the handle; the group itself stays. */
void cgroup_free(struct cgroup *cg);

/* False for the disabled manager, and for a rootless box that could not have one. All calls below then do nothing or
 * say ENOTSUP where there is nothing to do them with. */
bool cgroup_exists(const struct cgroup *cg);

/* The path below the hierarchies' roots ("/a/b"), for messages and `ps`; NULL without a group. */
const char *cgroup_path(const struct cgroup *cg);

/* The directory of a v1 controller ("memory", "name=systemd") or of the v2 group (NULL or ""), or NULL. */
const char *cgroup_dir(const struct cgroup *cg, const char *controller);

/* Identity to and from the state file. cgroup_to_json() gives an owned object, or NULL when out of memory. */
struct json_object *cgroup_to_json(const struct cgroup *cg);
int cgroup_from_json(struct json_object *o, struct cgroup **ret, struct error *err);

/* ---- getting in ---- */

struct cgroup_entry {
	int clone_fd;			 /* the v2 group for clone3's CLONE_INTO_CGROUP, or -1 */
	int fds[CGROUP_HIERARCHIES_MAX]; /* v1 "tasks" files, open for writing */
	size_t n;
	bool attach;	/* cgroup_entry_fall_back() wants cgroup_attach() */
	int hold_fd;	/* systemd's side, which keeps a new scope alive until the box's process is in it */
	pid_t hold_pid; /* 0: none */
};

#define CGROUP_ENTRY_INIT ((struct cgroup_entry){.clone_fd = -1, .hold_fd = -1})

/*
 * Opens what a process needs to get into the group, or into its descendant SUB (crun's `exec --cgroup`; NULL: the group
 * itself; a missing one is refused). Without a group: an empty entry.
 */
int cgroup_entry_open(struct cgroup *cg, const char *sub, struct cgroup_entry *ret, struct error *err);

/*
 * When clone3() into clone_fd failed with REASON (a positive errno):
 * EBUSY, EOPNOTSUPP: the box gave its v2 group children with domain controllers, so no process may be in the group
 *itself. Points the entry at the group of the box's process INIT, or (INIT 0, or itself in the group) at a child group
 *made for it. Clone again. EACCES: a user has no right to move processes from his login session's group to one of his
 *own systemd's. That systemd may: the entry's clone_fd is then gone and `attach` set. Clone again, and cgroup_attach()
 *the process from outside before it does anything. Any other reason, and an EACCES without the systemd manager, becomes
 *the error.
 */
int cgroup_entry_fall_back(const struct cgroup *cg, int reason, pid_t init, struct cgroup_entry *entry,
			   struct error *err);

/*
 * In the child, single-threaded, before anything else: joins the rest. CLONED: clone3 already put it into clone_fd.
 * Only writes to open descriptors, so it works in any namespace and after clone. 0 or a negative errno.
 */
int cgroup_entry_join(const struct cgroup_entry *entry, bool cloned);

/* From outside: puts process PID (all its threads) in, when it cannot do so by itself. */
int cgroup_attach(const struct cgroup *cg, pid_t pid, struct error *err);

/* Call it in the parent after the child joined: it also lets go what kept a new systemd scope alive. */
void cgroup_entry_close(struct cgroup_entry *entry);

/* ---- limits ---- */

/* Applies the values that are set in R and leaves the others as they are (`update`). */
int cgroup_update(struct cgroup *cg, const struct cgroup_resources *r, struct error *err);

/* ---- processes ---- */

/* All processes of the group and its descendants, in *RET (owned, malloc). */
int cgroup_pids(const struct cgroup *cg, pid_t **ret, size_t *ret_n, struct error *err);

/* Sends SIGNAL to every process of the group and its descendants, such that none escapes by forking. */
int cgroup_kill(const struct cgroup *cg, int signal, struct error *err);

/* Stops or continues every process. Freezing waits until all are stopped, at most TIMEOUT_MS, else thaws: ETIMEDOUT. */
int cgroup_freeze(const struct cgroup *cg, unsigned timeout_ms, struct error *err);
int cgroup_thaw(const struct cgroup *cg, struct error *err);
int cgroup_is_frozen(const struct cgroup *cg, bool *ret, struct error *err);

/*
 * Removes the group and its descendants; a missing one is fine. Processes must be dead or dying: EBUSY is retried for
 * two seconds. With processes still alive afterwards: -EBUSY, naming some.
 */
int cgroup_destroy(struct cgroup *cg, struct error *err);

/* ---- out of memory ---- */

struct cgroup_oom;

/* Watches for the kernel's OOM killer at work in the group. *RET: cgroup_oom_close(). */
int cgroup_oom_open(const struct cgroup *cg, struct cgroup_oom **ret, struct error *err);
/* Readable (POLLIN) when something happened; then call cgroup_oom_read(). */
int cgroup_oom_fd(const struct cgroup_oom *oom);
/*
 * How many OOM events came since the last call (0: none), and whether it was the last one: the group lost its last
 * process (v2) or was removed (v1, which tells no earlier).
 */
int cgroup_oom_read(struct cgroup_oom *oom, uint64_t *ret_events, bool *ret_gone, struct error *err);
void cgroup_oom_close(struct cgroup_oom *oom);

/* ---- the host, for `doctor`, `features` and `plan` ---- */

enum cgroup_layout {
	CGROUP_LAYOUT_NONE,
	CGROUP_LAYOUT_V1,     /* v1 hierarchies only */
	CGROUP_LAYOUT_HYBRID, /* v1 hierarchies and a v2 one, which may carry controllers */
	CGROUP_LAYOUT_V2,
};

/* "none", "v1", "hybrid", "v2". */
const char *cgroup_layout_name(enum cgroup_layout layout);

struct cgroup_host {
	enum cgroup_layout layout;
	char *v1_controllers; /* comma separated, owned */
	char *v2_controllers; /* those the v2 root has, comma separated, owned */
	char *own_v2_path;    /* the caller's own v2 group, "/" at the root; owned, NULL without v2 */
	bool can_create;      /* the caller may make groups below its own (v2) or in all hierarchies (v1) */
};

/* ROOT and PROC_SELF may be NULL (the real ones). */
int cgroup_host_probe(const char *root, const char *proc_self, struct cgroup_host *ret, struct error *err);
void cgroup_host_free(struct cgroup_host *host);

static inline void cleanup_cgroup(struct cgroup **cg)
{
	cgroup_free(*cg);
}

static inline void cleanup_cgroup_oom(struct cgroup_oom **oom)
{
	cgroup_oom_close(*oom);
}

#define _cleanup_cgroup_ _cleanup_(cleanup_cgroup)
#define _cleanup_cgroup_entry_ _cleanup_(cgroup_entry_close)
#define _cleanup_cgroup_oom_ _cleanup_(cleanup_cgroup_oom)
