/* The steps of the child that jail_spawn() makes, in the order in which jail/child.c takes them. Private to src/jail. */
#pragma once

#include "host/cgroup_layout.h"
#include "jail/channel.h"
#include "jail/jail.h"

struct child {
	struct jail *jail;
	int channel;     /* to the caller */
	pid_t outer_pid; /* ours as the caller sees it; 0 until the caller recorded it */
	int proc_fd;     /* the caller's procfs, verified */
	int root_fd;     /* the root of our file system: before the switch the mount that will be it */
	int terminal;    /* slave side, -1 */
	int apparmor_fd, selinux_fd; /* where the labels of the next program are written, -1 */
	int listener_sock; /* takes the seccomp listener, -1 */
	bool entered;    /* the namespaces that exist are entered */
	const struct cgroup_hierarchies *hierarchies; /* for a view of the control groups; empty when none is wanted */
};

/* The whole life of the child after clone. Never returns. */
_noreturn_ void child_main(struct child *c);

/* child.c: waits until the caller recorded us and wants us to go on. */
int child_wait_recorded(struct child *c, struct error *err);

/* namespaces.c: enters and makes namespaces, becomes root of a new user namespace. */
int child_enter_namespaces(struct child *c, struct error *err);
/* Only the part that enters what exists, the pid namespace too (for the next child). */
int child_join_namespaces(struct child *c, struct error *err);

/* rootfs.c */
int child_open_root(struct child *c, struct error *err);
int child_switch_root(struct child *c, struct error *err);

/* mounts.c; jail_prepare_mounts() runs in the caller before the child exists. */
int jail_prepare_mounts(struct jail *jail, struct error *err);
void jail_release_mounts(struct jail *jail);
int child_mount_all(struct child *c, struct error *err);

/* mount_cgroup.c; jail_find_cgroups() runs in the caller */
int jail_find_cgroups(const struct jail *jail, struct cgroup_hierarchies *ret, struct error *err);
int child_mount_cgroups(struct child *c, const struct jail_mount *m, struct error *err);

/* devices.c, mask.c, sysctls.c, terminal.c */
int child_make_devices(struct child *c, struct error *err);
int child_mask_paths(struct child *c, struct error *err);
int child_set_sysctls(struct child *c, struct error *err);
int child_open_terminal(struct child *c, struct error *err);
int child_take_stdio(struct child *c, struct error *err);

/* process.c */
int process_apply_privileged(const struct jail_process *p, pid_t pid, struct error *err);
int process_set_affinity(const char *cpus, struct error *err); /* of the calling process; NULL: leaves it */
int child_become(struct child *c, struct error *err);

/* launch.c: seccomp, final capabilities, the program. Returns only on failure. */
int child_launch(struct child *c, struct error *err);
