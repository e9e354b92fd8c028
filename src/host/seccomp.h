/*
 * System-call filters: from the OCI runtime-spec's "seccomp" section (struct seccomp_policy) to a classic BPF program
 * (seccomp(2), Documentation/userspace-api/seccomp_filter.rst), and that program onto the calling thread.
 *
 * Semantics are libseccomp's and runc's, which every published profile was tested with:
 * - the native architecture is always part of a filter; architectures this host cannot execute are left out, because
 *   no call of theirs can occur; a call of an architecture that is not in the filter kills the thread;
 * - a name the architecture does not have is skipped (debug log); a rule equal to the default action is skipped;
 * - several conditions on one argument of a rule are alternatives, conditions on different arguments must all hold;
 * - a rule without conditions covers every conditional one of the same call;
 * - where the default action refuses, a number above the highest that the rules name gives ENOSYS, so that a libc newer
 *   than the profile falls back to the older call.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/seccomp_policy.h"

/* seccomp(2) filter flags; Debian 12's headers lack the newest. */
#define SECCOMP_FLAG_TSYNC (1u << 0)
#define SECCOMP_FLAG_LOG (1u << 1)
#define SECCOMP_FLAG_SPEC_ALLOW (1u << 2)
#define SECCOMP_FLAG_NEW_LISTENER (1u << 3)
#define SECCOMP_FLAG_TSYNC_ESRCH (1u << 4)
#define SECCOMP_FLAG_WAIT_KILLABLE_RECV (1u << 5)

/* A compiled filter: one allocation, freed with free(). */
struct seccomp_program {
	unsigned flags; /* SECCOMP_FLAG_..., for seccomp(2) as they are; NEW_LISTENER is set when a rule notifies */
	unsigned short n;
	struct sock_filter insns[];
};

static inline bool seccomp_program_listens(const struct seccomp_program *p)
{
	return p->flags & SECCOMP_FLAG_NEW_LISTENER;
}

/* Compiles POLICY. *RET is freed with free(). Fails on an unknown architecture, action or flag, or too many rules. */
int seccomp_compile(const struct seccomp_policy *policy, struct seccomp_program **ret, struct error *err);

/*
 * As seccomp_compile(), keeping compiled programs as files in CACHE_DIR (created 0700), keyed by content. A directory or
 * file that is not ours, or a file that does not verify, is never used. The cache only saves time: its failures are
 * debug messages, not errors. CACHE_DIR may be NULL: no cache.
 */
int seccomp_compile_cached(const char *cache_dir, const struct seccomp_policy *policy, struct seccomp_program **ret,
			   struct error *err);

/* The usual CACHE_DIR of this user: it lives until the machine ends. Owned by the caller; *RET is NULL when there is none. */
int seccomp_cache_dir(char **ret, struct error *err);

/*
 * The same for a policy that this program makes itself: BUILD is only asked when the cache has no program for DESCRIPTION,
 * a text with everything that BUILD's answer depends on (besides this very program, which is part of the key).
 */
int seccomp_build_cached(const char *cache_dir, const char *description, struct seccomp_policy *(*build)(const void *data),
			 const void *data, struct seccomp_program **ret, struct error *err);

/*
 * Puts the filter on the calling thread. It needs no_new_privs or CAP_SYS_ADMIN in the user namespace: with
 * noNewPrivileges load it as the very last step before execve, without it before capabilities are dropped.
 * RET_LISTENER receives the notification descriptor (O_CLOEXEC) or -1; it may be NULL only when the program does not
 * listen. When a flag is not known to this kernel, the error says which.
 */
int seccomp_install(const struct seccomp_program *program, int *ret_listener, struct error *err);

/*
 * As seccomp_install() for a program that listens, passing the listener with SCM_RIGHTS (one byte of data) over SOCK, a
 * connected AF_UNIX socket, from a short-lived helper thread that is not under the filter: a filter that notifies on
 * sendmsg(2) or write(2) cannot deadlock its own hand-over. The caller must be single-threaded. SOCK stays open.
 */
int seccomp_install_and_pass(const struct seccomp_program *program, int sock, struct error *err);

/* Receives one descriptor (O_CLOEXEC) from SOCK, as seccomp_install_and_pass() sends it: the descriptor or -errno. */
int seccomp_receive_listener(int sock, struct error *err);

/*
 * Connects to PATH (any length) and sends LISTENER with the container process state (OCI runtime-spec, config-linux,
 * "The Container Process State"): pid and METADATA (may be NULL) of the container process, STATE_JSON the state object.
 * Waits at most ten seconds for the agent.
 */
int seccomp_send_listener(const char *path, int listener, pid_t pid, const char *metadata, const char *state_json,
			  struct error *err);

/* SECCOMP_FILTER_FLAG_... to its bit, or -EINVAL. */
int seccomp_flag_from_string(const char *name);
/* The flags, in name, that this kernel knows; NULL-terminated static strings. The count is returned. */
size_t seccomp_flags_supported(const char *ret[8]);
