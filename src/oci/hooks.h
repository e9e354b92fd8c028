/*
 * Running hooks: runtime-spec, config.md, "POSIX-platform Hooks". A hook is a process of its own group with the state on
 * its standard input, its given argv and environment and nothing else of ours: no descriptor beyond 0, 1, 2, default
 * signal dispositions, nothing blocked. What it prints is kept for the error message and otherwise dropped.
 *
 * May be called in the runtime and in the container's child (createContainer, startContainer): it needs no thread, no
 * /proc and no file system but the hook's own program.
 */
#pragma once

#include "oci/spec.h"

/*
 * Runs HOOKS in order, each with STATE (a JSON text) on its standard input. KIND ("createRuntime") is for messages.
 * The first one that cannot be run, fails, or outlives its timeout (its process group is then killed) ends it:
 * -ETIMEDOUT, the errno of execve(2), or -ECANCELED, with the hook's last output in the message.
 */
int oci_hooks_run(const struct oci_hooks *hooks, const char *kind, const char *state, struct error *err);

/* The same for poststop hooks, whose failures are only warned about: all of them run. */
void oci_hooks_run_all(const struct oci_hooks *hooks, const char *kind, const char *state);
