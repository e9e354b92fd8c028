/*
 * What the process wall promises, one by one. Each is kept by a mechanism of the host, some by a second one where the
 * first is missing. A promise that cannot be kept refuses the box, unless the box's floor does without it.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "boundary/process/policy.h"

enum process_promise {
	PROCESS_PROMISE_PRIVILEGES = 1 << 0, /* nothing it executes gains privilege */
	PROCESS_PROMISE_CALLS = 1 << 1,      /* system calls not on the list are refused */
	PROCESS_PROMISE_FILES = 1 << 2,      /* files not granted are neither read, executed, written nor made */
	PROCESS_PROMISE_TRUNCATION = 1 << 3, /* files not granted for writing are not cut */
	PROCESS_PROMISE_IOCTLS = 1 << 4,     /* devices not granted get no requests */
	PROCESS_PROMISE_SOCKETS = 1 << 5,    /* only the allowed kinds of socket are made */
	PROCESS_PROMISE_PORTS = 1 << 6,      /* only the granted TCP ports are connected to and bound */
	PROCESS_PROMISE_ABSTRACT = 1 << 7,   /* abstract unix sockets of the host are out of reach */
	PROCESS_PROMISE_SIGNALS = 1 << 8,    /* processes outside get no signals */
	PROCESS_PROMISE_TERMINAL = 1 << 9,   /* nothing is typed into the caller's terminal */
	PROCESS_PROMISE_PROCESSES = 1 << 10, /* no process of the box escapes kill and delete */
};

#define PROCESS_PROMISES_ALL ((1u << 11) - 1)

/* What of the host matters. */
struct process_host {
	int landlock; /* ABI, 0: none */
	bool seccomp; /* filters */
	bool cgroup;  /* the box gets a control group */
};

void process_host_probe(struct process_host *ret); /* without `cgroup`, which is the box's matter */

/* "files", ...; NULL past the last bit. */
const char *process_promise_name(unsigned bit_index);

/* How HOST keeps promise BIT for a box of POLICY (static storage), or NULL: it cannot; then *RET_WHY says why. */
const char *process_promise_kept(enum process_promise bit, const struct process_policy *policy,
				 const struct process_host *host, const char **ret_why);

/* The promises that cannot be kept. */
unsigned process_promises_missing(const struct process_policy *policy, const struct process_host *host);
