/*
 * The one jailer: starts one process in namespaces, mounts, a control group and with the credentials that a plain
 * description asks for. The container wall translates an OCI configuration into it; every other wall puts its own
 * processes (a virtual machine monitor, a wasm engine, a system-call kernel) behind it, and the process wall uses it
 * without any namespace.
 *
 * All strings, arrays and descriptors of a struct jail stay the caller's and must live until jail_spawn() returns. The
 * child is a copy of the caller: what it needs is in memory, nothing is serialized.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/caps.h"
#include "host/cgroup.h"
#include "host/idmap.h"
#include "host/mount_options.h"
#include "host/namespaces.h"
#include "host/seccomp.h"

struct jail_join {
	int type; /* CLONE_NEW... */
	int fd;   /* a namespace of that type */
};

struct jail_time_offset {
	bool set;
	int64_t secs;
	uint32_t nanosecs;
};

enum jail_mount_kind {
	JAIL_MOUNT_FILESYSTEM, /* a new file system of `type` */
	JAIL_MOUNT_BIND,
	JAIL_MOUNT_CGROUP,     /* the process's own control groups, whatever the host's layout is */
	JAIL_MOUNT_REMOUNT,    /* change what is mounted at the destination */
	JAIL_MOUNT_PROPAGATION /* only propagation */
};

struct jail_mount {
	enum jail_mount_kind kind;
	const char *destination; /* absolute inside the root */
	const char *type, *source;
	struct mount_options options;
	const struct id_maps *uid_map, *gid_map; /* id-mapped mount; NULL: none */
	int tree_fd;                             /* used by the jail: a detached mount made before the child, -1 */
};

struct jail_device {
	const char *path;
	char type; /* 'c', 'b', 'p'; 'u' is 'c' */
	unsigned major, minor;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

struct jail_sysctl {
	const char *key, *value; /* "net.ipv4.ip_forward" or "net/ipv4/ip_forward" */
};

struct jail_rlimit {
	int resource;
	uint64_t soft, hard;
};

struct jail_scheduler { /* sched_setattr(2) */
	int policy;
	int32_t nice, priority;
	uint64_t flags, runtime, deadline, period;
};

/* The process itself: what it runs and as whom. */
struct jail_process {
	char **argv, **env;
	const char *program; /* what is executed with argv; NULL: argv[0], looked for in $PATH */
	const char *cwd;
	int (*main)(void *data); /* instead of a program: run in the child when all is applied, its result the exit status */
	void *main_data;

	uint32_t uid, gid;
	const uint32_t *groups;
	size_t n_groups;
	bool has_umask;
	mode_t umask;
	bool has_caps;
	struct cap_sets caps;
	const struct jail_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privs;
	const char *apparmor, *selinux;
	bool has_oom_score_adj;
	int oom_score_adj;
	const struct jail_scheduler *scheduler;
	bool has_io_priority;
	int io_priority; /* IOPRIO_PRIO_VALUE */
	bool has_personality;
	unsigned long personality;
	bool has_memory_policy;
	int memory_policy_mode; /* with flags, as set_mempolicy(2) takes it */
	const unsigned long *memory_policy_nodes;
	unsigned long memory_policy_max; /* bits */
	const char *initial_cpus, *final_cpus; /* CPU lists */
	const struct seccomp_program *seccomp;
	/* Also confines the process by means that the jail does not know (Landlock): the last step before seccomp. */
	int (*confine)(void *data, struct error *err);
	void *confine_data;

	bool terminal;
	unsigned short console_width, console_height;
	int console_socket; /* connected; gets the terminal's master instead of the caller. -1: none */
	int stdio[3];       /* what becomes 0, 1, 2 without a terminal; -1: inherited */
	int preserve_fds;   /* 3 to 2 + preserve_fds are kept */
	bool new_session;
	const char *keyring; /* join a new session keyring of this name; NULL: keep ours */
};

/* Points at which the caller's own work is done. Each gets `callback_data`; a negative result ends the jail. */
struct jail_callbacks {
	/* In the caller, the namespaces exist, the process waits: record it, move network devices, ... Never NULL. */
	int (*created)(pid_t pid, void *data, struct error *err);
	/* In the caller, everything is mounted, the root not yet switched. */
	int (*before_pivot)(pid_t pid, void *data, struct error *err);
	/* In the child, in its namespaces, the root not yet switched. PID is the child as the caller sees it. */
	int (*container)(pid_t pid, void *data, struct error *err);
	/* In the child, the root switched, released from the gate. */
	int (*start)(pid_t pid, void *data, struct error *err);
	/* In the caller: the seccomp notification descriptor (stays the jail's). */
	int (*listener)(pid_t pid, int fd, void *data, struct error *err);
};

struct jail {
	/* Namespaces. A type is in at most one of both. */
	int new_namespaces; /* CLONE_NEW... */
	struct jail_join joins[NAMESPACE_KINDS];
	size_t n_joins;
	int process_fd; /* a pidfd: join all its namespaces of join_process at once, before `joins`; -1: none */
	int join_process; /* CLONE_NEW... */
	const struct id_maps *uid_map, *gid_map; /* of a new user namespace */
	bool rootless;                           /* the caller is not privileged: maps may need newuidmap(1) */
	struct jail_time_offset monotonic, boottime;

	struct cgroup *cgroup; /* NULL: stays in the caller's */
	const char *sub_cgroup;
	pid_t cgroup_init; /* exec: the box's first process, for cgroup_entry_fall_back() */

	/* File systems, in a new mount namespace. rootfs NULL: none of this is done. */
	const char *rootfs; /* absolute path in the caller's view */
	unsigned long rootfs_propagation; /* MS_...; 0: private to us, slave of the host */
	bool rootfs_readonly, no_pivot;
	const char *chroot; /* without rootfs: becomes the root directory by chroot(2). NULL: the caller's root stays */
	struct jail_mount *mounts;
	size_t n_mounts;
	const struct jail_device *devices;
	size_t n_devices;
	bool standard_dev; /* default devices, /dev/fd and friends, /dev/ptmx, /dev/console */
	char *const *masked_paths, *const *readonly_paths;
	const char *mount_label; /* SELinux */

	const char *hostname, *domainname;
	const struct jail_sysctl *sysctls;
	size_t n_sysctls;

	struct jail_process process;

	int gate_fd; /* listening unix socket the child waits on before it runs its program; -1: none */
	int lock_fd; /* the caller's lock: closed in the child at once, or it would outlive a caller that is killed; -1: none */
	struct jail_callbacks callbacks;
	void *callback_data;
};

#define JAIL_INIT                                                                                                      \
	((struct jail){ .process_fd = -1, .gate_fd = -1, .lock_fd = -1,                                                \
			.process = { .console_socket = -1, .stdio = { -1, -1, -1 } } })

struct jail_spawned {
	pid_t pid;    /* the caller's child */
	int pidfd;    /* owned */
	int terminal; /* owned: the terminal's master, -1 when there is none or a console socket took it */
};

/*
 * Starts the process. Returns when it waits at its gate or, without one, when its program runs. On failure the child is
 * dead and reaped, the message says what went wrong and where; undoing the control group is the caller's.
 */
int jail_spawn(struct jail *jail, struct jail_spawned *ret, struct error *err);

/* Connects to the gate PATH (below DIR_FD), and waits until the program runs. On failure the message is the child's. */
int jail_release(int dir_fd, const char *path, struct error *err);

/* Makes the gate: a listening socket at PATH below DIR_FD. The descriptor or a negative errno. */
int jail_make_gate(int dir_fd, const char *path, struct error *err);
