/*
 * The last step into the workload: execve(2) without a way back to our own program file.
 *
 * While a process of ours is inside a box, /proc/self/exe leads to the host's ringwall. A box whose program is
 * "#!/proc/self/exe" would run that file, and whoever holds a descriptor of it can write into it once nobody executes it
 * any more (CVE-2019-5736). Others run themselves again from a copy, at the cost of a second start. We leave our program
 * before the last execve: a page of position-independent code removes our own text and data from the address space, makes
 * an empty file the one that /proc/self/exe names (PR_SET_MM_MAP), and only then drops the last capabilities, loads the
 * filter and executes. This costs a few microseconds.
 *
 * Before that, nobody in the box can look into the process that enters it (PR_SET_DUMPABLE), except one with
 * CAP_SYS_PTRACE over the host's own user namespace: who gives that to a box gives it whatever enters the box.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "host/caps.h"
#include "host/seccomp.h"

struct final_step {
	const char *path;
	char *const *argv, *const *env;
	const struct cap_sets *caps; /* final ones; `ambient` is raised */
	const struct seccomp_program *filter; /* NULL: none, or loaded already */
	bool filter_first;           /* before the capabilities are dropped, for want of no_new_privs */
	int channel;                 /* gets a CHANNEL_ERROR when a step fails; our own errors cannot be told otherwise */
};

/* Whether this kernel can do it: it was built with CONFIG_CHECKPOINT_RESTORE. */
bool final_step_possible(void);

/* Needs CAP_SYS_ADMIN in the user namespace. Returns only when the preparation failed. */
int final_step_take(const struct final_step *f, struct error *err);
