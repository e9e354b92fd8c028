/* The process wall: Landlock, seccomp and no_new_privs around an ordinary process; no privilege, no namespaces. */
#pragma once

#include "boundary/boundary.h"
#include "boundary/jailed.h"
#include "boundary/process/setup.h"

extern const struct boundary_ops process_boundary;

/* A process about to be started behind the wall, and what it is made of. */
struct process_launch {
	struct jail jail;
	struct process_setup setup;
	struct jailed_process jailed;
	struct seccomp_program *filter, *second_filter; /* owned: the wall's, the configuration's */
	int ruleset;                                    /* owned: Landlock's, -1: none */
	char *program, *cwd;                            /* owned: in PROCESS_VIEW_PATH, by their host paths */
};

#define PROCESS_LAUNCH_INIT ((struct process_launch){ .jail = JAIL_INIT, .ruleset = -1 })
void process_launch_free(struct process_launch *launch);

/* launch.c: everything but the conversation with the jailer. */
int process_launch_prepare(const struct box *box, const struct oci_spec *spec, const struct oci_process *process,
			   struct process_launch *ret, struct error *err);

/* view.c: in PROCESS_VIEW_PATH, what to execute in place of ARGS[0], by its host path. */
int process_find_program(const char *root, const struct oci_process *process, char **ret_program, struct error *err);

/* create.c */
int process_create(struct box *box, const struct oci_spec *spec, const struct create_options *options, struct started *ret,
		   struct error *err);
int process_exec(struct box *box, const struct oci_spec *spec, const struct exec_request *request, struct started *ret,
		 struct error *err);

/* record.c: the box's control group; *RET is NULL when it has none. */
int process_cgroup_make(const struct box *box, const struct oci_spec *spec, enum cgroup_manager manager, struct cgroup **ret,
			struct error *err);
int process_cgroup_record(struct box *box, const struct cgroup *cgroup, struct error *err);
int process_cgroup_find(const struct box *box, struct cgroup **ret, struct error *err);
