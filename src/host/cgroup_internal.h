/* What the cgroup_*.c files share. Nothing but their tests includes this. */
#pragma once

#include <limits.h>

#include "host/cgroup.h"
#include "host/cgroup_layout.h"

/* The group in one hierarchy. */
struct cgroup_node {
	unsigned controllers; /* CGROUP_BIT()s; of v2: those known to be enabled in it, 0: not looked */
	char *dir;	      /* its directory, absolute; owned; NULL: no such node */
	size_t root_len;      /* how much of dir is the hierarchy's mount point */
	size_t made_from;     /* dir's shortest prefix that we made; 0: we made nothing */
	bool deferred; /* v1: nothing was asked of it, so it is made when that changes; see cgroup_node_exists() */
};

struct cgroup {
	enum cgroup_manager manager;
	bool rootless;
	char *path; /* below the hierarchies' roots; NULL: no group */
	struct cgroup_node v1[CGROUP_HIERARCHIES_MAX];
	size_t n_v1;
	struct cgroup_node v2; /* dir is NULL when the box has no v2 group */
	char *unit;	       /* systemd manager: "ringwall-ID.scope" */
	bool user_manager;     /* the unit is one of the user's systemd */
	char *systemd_helper;  /* where ringwall-systemd is, when not at its usual place */
	/* Of cgroup_create() only, not of cgroup_from_json(): */
	char *root, *proc_self;
	int hold_fd; /* the helper stays in the scope until this is closed; -1: none */
	pid_t hold_pid;
};

/* The node that carries CONTROLLER: the v1 one, else v2 if it has it; NULL. */
const struct cgroup_node *cgroup_node_of(const struct cgroup *cg, enum cgroup_controller controller, bool *ret_v2);

/* A node to list processes from: v2 or the first v1 one; NULL without a group. */
const struct cgroup_node *cgroup_any_node(const struct cgroup *cg);

/* False for a deferred node as long as it was not made. */
bool cgroup_node_exists(const struct cgroup_node *node);

/* All nodes, for loops: node I (0 to cgroup_n_nodes() - 1). */
size_t cgroup_n_nodes(const struct cgroup *cg);
struct cgroup_node *cgroup_node_at(struct cgroup *cg, size_t i);

/* ---- cgroup_node.c: directories ---- */

/* The group PATH ("/a/b") in the hierarchy at MOUNT. 0 or -ENOMEM, with node->dir NULL. */
int cgroup_node_init(struct cgroup_node *node, unsigned controllers, const char *mount, const char *path);

/*
 * Makes the directory, with missing parents. An existing one is taken over when nothing runs in it, or, with ADOPT,
 * always. v1 cpuset nodes inherit their parent's lists.
 */
int cgroup_node_make(struct cgroup_node *node, const struct cgroup_resources *r, bool adopt, struct error *err);
/* Removes the directory and everything below, and the parents that we made. DEADLINE: of cgroup_now_ms(). */
int cgroup_node_remove(const struct cgroup_node *node, int64_t deadline, struct error *err);
/* Enables the REQUIRED controllers (an error if one cannot be) and, as far as possible, the WANTED ones in a v2 node.
 */
int cgroup_node_enable(struct cgroup_node *node, unsigned required, unsigned wanted, struct error *err);

/* How long a removal waits for processes that are dying. */
#define DESTROY_TIMEOUT_MS 2000

/* CLOCK_MONOTONIC in milliseconds. */
int64_t cgroup_now_ms(void);
void cgroup_sleep_ms(unsigned ms);

/* ---- cgroup_file.c: one file of a node ---- */

/* Small enough for every single-valued file; the buffer is NUL-terminated, the last newline cut. 0 or -errno. */
int cgroup_file_read(const struct cgroup_node *node, const char *file, char *buf, size_t size);
/* A file of any length, owned. 0 or -errno. */
int cgroup_file_read_all(const struct cgroup_node *node, const char *file, char **ret);
/* A number; "max" is UINT64_MAX. 0 or -errno. */
int cgroup_file_read_u64(const struct cgroup_node *node, const char *file, uint64_t *ret);
/* The number after "KEY " at a line's start. 0 or -errno (-ENODATA: no such key). */
int cgroup_file_read_key(const struct cgroup_node *node, const char *file, const char *key, uint64_t *ret);
bool cgroup_file_exists(const struct cgroup_node *node, const char *file);
/* One write(2). 0 or -errno, nothing said. */
int cgroup_file_write(const struct cgroup_node *node, const char *file, const char *value);
int cgroup_file_write_u64(const struct cgroup_node *node, const char *file, uint64_t value);
/* As the two above for a value that FIELD of the configuration asked for: a failure is told with its mend. */
int cgroup_set(const struct cgroup_node *node, const char *field, const char *file, const char *value,
	       struct error *err);
int cgroup_set_u64(const struct cgroup_node *node, const char *field, const char *file, uint64_t v, struct error *err);
/* -1 (and below) is written as UNLIMITED ("max" on v2, "-1" on v1). */
int cgroup_set_limit(const struct cgroup_node *node, const char *field, const char *file, int64_t v,
		     const char *unlimited, struct error *err);
/* Tells why writing VALUE failed with R (a negative errno), and returns R. */
int cgroup_set_failed(const struct cgroup_node *node, const char *field, const char *file, const char *value, int r,
		      struct error *err);

/* ---- cgroup_apply.c, cgroup_v1.c, cgroup_v2.c ---- */

/* What a limit is applied with. */
struct cgroup_apply {
	struct cgroup *cg;
	const struct cgroup_node *node;
	const struct cgroup_resources *r;
	bool create; /* the group is new: its files hold the kernel's defaults, no process is in it */
};

typedef int (*cgroup_apply_fn)(const struct cgroup_apply *a, struct error *err);

int cgroup_v1_memory(const struct cgroup_apply *a, struct error *err);
int cgroup_v1_cpu(const struct cgroup_apply *a, struct error *err);
int cgroup_v1_cpuset(const struct cgroup_apply *a, struct error *err);
int cgroup_v1_blkio(const struct cgroup_apply *a, struct error *err);
int cgroup_v1_hugetlb(const struct cgroup_apply *a, struct error *err);
int cgroup_v1_net_cls(const struct cgroup_apply *a, struct error *err);
int cgroup_v1_net_prio(const struct cgroup_apply *a, struct error *err);
int cgroup_v1_devices(const struct cgroup_apply *a, struct error *err);

int cgroup_v2_memory(const struct cgroup_apply *a, struct error *err);
int cgroup_v2_cpu(const struct cgroup_apply *a, struct error *err);
int cgroup_v2_cpuset(const struct cgroup_apply *a, struct error *err);
int cgroup_v2_io(const struct cgroup_apply *a, struct error *err);
int cgroup_v2_hugetlb(const struct cgroup_apply *a, struct error *err);
int cgroup_v2_unified(const struct cgroup_apply *a, struct error *err);
int cgroup_v2_devices(const struct cgroup_apply *a, struct error *err);

/* pids.max and rdma.max are the same file on both. */
int cgroup_common_pids(const struct cgroup_apply *a, struct error *err);
int cgroup_common_rdma(const struct cgroup_apply *a, struct error *err);

/* Applies R to the nodes of CG. CREATE as in struct cgroup_apply. */
int cgroup_apply_all(struct cgroup *cg, const struct cgroup_resources *r, bool create, struct error *err);

/* The v2 controllers (CGROUP_BIT()s) that the "unified" settings of R name. */
unsigned cgroup_unified_controllers(const struct cgroup_resources *r);

/* The controllers (CGROUP_BIT()s) that R asks something of. Device rules do not count. */
unsigned cgroup_resources_controllers(const struct cgroup_resources *r);

/* Puts the processes of the group into NODE, which was deferred and has just been made. */
int cgroup_move_into(const struct cgroup *cg, const struct cgroup_node *node, struct error *err);

/* An empty handle for REQUEST; NULL: no memory. */
struct cgroup *cgroup_new(const struct cgroup_request *request);

/* ---- cgroup_systemd.c ---- */

/* Starts the transient scope with the helper in it, fills in CG's unit, and tells the control group it got ("/a/b"). */
int cgroup_systemd_start(struct cgroup *cg, const struct cgroup_request *request, bool v2, char **ret_path,
			 struct error *err);
int cgroup_systemd_update(struct cgroup *cg, const struct cgroup_resources *r, struct error *err);
int cgroup_systemd_attach(const struct cgroup *cg, pid_t pid, struct error *err);
int cgroup_systemd_stop(struct cgroup *cg, struct error *err);
/* Lets the helper leave the scope, and waits for its end; nothing when HOLD_PID is 0. */
void cgroup_systemd_release(int *hold_fd, pid_t *hold_pid);
