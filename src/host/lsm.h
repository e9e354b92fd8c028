/*
 * Labels of the Linux security modules: AppArmor profiles and SELinux contexts for the next execve(2), and SELinux
 * contexts of mounts. A label that this host cannot enforce is refused, never dropped.
 *
 * The attribute files are opened before the process changes its mount namespace or root and written after: the /proc of
 * a container may be somebody's imitation.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

bool lsm_apparmor_enabled(void);
bool lsm_selinux_enabled(void);

/*
 * Whether this host can enforce what is asked; NULL or "" asks nothing, and the AppArmor profile "unconfined" is had
 * everywhere. -ENOTSUP, with the reason and what to do.
 */
int lsm_check(const char *apparmor_profile, const char *selinux_label, const char *mount_label, struct error *err);

enum lsm_attribute {
	LSM_APPARMOR_EXEC,     /* profile of the next execve */
	LSM_SELINUX_EXEC,      /* context of the next execve */
	LSM_SELINUX_KEYCREATE, /* context of keys made from now on */
};

/* The attribute file of the calling thread, on a real procfs: a descriptor or a negative errno. */
int lsm_open(enum lsm_attribute attribute, struct error *err);
/* Writes LABEL. Only the thread that opened FD can. */
int lsm_set(int fd, enum lsm_attribute attribute, const char *label, struct error *err);

/* Whether a new mount of TYPE takes a context: not those whose files the policy labels by itself. */
bool lsm_mount_takes_context(const char *type);
/* DATA (may be NULL) with context="LABEL" after it, for mount(2); owned. For fsconfig(2) the key is "context", unquoted. */
int lsm_mount_data(const char *data, const char *label, char **ret, struct error *err);
