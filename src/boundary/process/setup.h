/*
 * Everything that is decided about a process-wall box before it exists, from its configuration and the host: what
 * `plan` prints and `create` carries out.
 */
#pragma once

#include "boundary/boundary.h"
#include "boundary/process/policy.h"
#include "boundary/process/promises.h"
#include "host/landlock.h"
#include "host/seccomp.h"

/* Where the program finds its files. */
enum process_view {
	PROCESS_VIEW_HOST,   /* root.path is "/": the host's file system, as far as granted */
	PROCESS_VIEW_PATH,   /* the program is run by its host path below root.path; it sees the host's root */
	PROCESS_VIEW_CHROOT, /* root.path is its root directory; needs CAP_SYS_CHROOT */
};

struct process_setup {
	struct process_policy policy; /* bind mounts of a path onto itself are among its paths */
	struct process_host host;
	enum process_view view;
};

/* RET is freed with process_setup_free(). */
int process_setup(const struct oci_spec *spec, struct process_setup *ret, struct error *err);
void process_setup_free(struct process_setup *setup);

/* Refuses the box, naming them, when promises of its floor cannot be kept. */
int process_setup_check(const struct process_setup *setup, struct error *err);

/* What Landlock gives. ROOT is the absolute path of root.path. RET is freed with landlock_rules_free(). */
int process_grants(const struct process_setup *setup, const char *root, bool root_readonly, bool terminal,
		   struct landlock_rules *ret, struct error *err);

/* Whether a mount is a bind mount of a path onto itself, which a grant can stand for. */
bool process_mount_is_grant(const struct oci_mount *m, bool *ret_readonly);

/* plan.c */
int process_plan(const struct oci_spec *spec, const struct create_options *options, struct plan *ret, struct error *err);

/* Whether a limit is asked for that only a control group can set. Device rules are none: Landlock grants devices. */
bool process_wants_cgroup(const struct oci_spec *spec);
