/* The OCI runtime-spec's "seccomp" section (config-linux, "Seccomp") as typed data. All strings and arrays are owned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

enum seccomp_act {
	SECCOMP_ACT_KILL_THREAD, /* SCMP_ACT_KILL and SCMP_ACT_KILL_THREAD */
	SECCOMP_ACT_KILL_PROCESS,
	SECCOMP_ACT_TRAP,
	SECCOMP_ACT_ERRNO,
	SECCOMP_ACT_TRACE,
	SECCOMP_ACT_ALLOW,
	SECCOMP_ACT_LOG,
	SECCOMP_ACT_NOTIFY,
};

enum seccomp_op { SECCOMP_OP_NE, SECCOMP_OP_LT, SECCOMP_OP_LE, SECCOMP_OP_EQ, SECCOMP_OP_GE, SECCOMP_OP_GT, SECCOMP_OP_MASKED_EQ };

struct seccomp_arg {
	uint32_t index; /* 0 to 5 */
	enum seccomp_op op;
	uint64_t value, value_two;
};

struct seccomp_rule {
	char **names;
	enum seccomp_act act;
	bool has_errno;
	uint32_t errno_ret;
	struct seccomp_arg *args;
	size_t n_args;
};

struct seccomp_policy {
	enum seccomp_act default_act;
	bool has_default_errno;
	uint32_t default_errno;
	char **architectures; /* SCMP_ARCH_...; NULL: the native one */
	bool has_flags;       /* "flags" was given, maybe empty; without it SPEC_ALLOW is the default, as in runc */
	char **flags;         /* SECCOMP_FILTER_FLAG_... */
	char *listener_path, *listener_metadata;
	struct seccomp_rule *rules;
	size_t n_rules;
	bool in_order; /* our own policies only: of a call's rules the first that matches answers, whatever follows */
};

void seccomp_policy_free(struct seccomp_policy *p);

/* Builders. NAMES is one string, separated by spaces. The new rule (borrowed, until the next is added) or NULL: out of memory. */
struct seccomp_rule *seccomp_policy_add(struct seccomp_policy *p, enum seccomp_act act, const char *names);
/* 0 or -ENOMEM. */
int seccomp_rule_add_arg(struct seccomp_rule *rule, uint32_t index, enum seccomp_op op, uint64_t value, uint64_t value_two);

static inline void cleanup_seccomp_policy(struct seccomp_policy **p)
{
	seccomp_policy_free(*p);
}

#define _cleanup_seccomp_policy_ _cleanup_(cleanup_seccomp_policy)
