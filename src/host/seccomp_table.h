/*
 * A policy resolved to numbers: for each ABI the conditional and unconditional answers per system call number, sorted.
 * The step between the names of a profile and the code generator.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/seccomp_arch.h"
#include "host/seccomp_policy.h"

#define SECCOMP_ARGS 6

/* One alternative: all conditions hold, then the answer is RET (a SECCOMP_RET_... value with data). */
struct seccomp_clause {
	uint32_t nr;
	uint32_t order; /* position in the policy */
	uint32_t ret;
	uint32_t first_cond, n_conds; /* in the table's conds; by ascending index, each index once */
};

struct seccomp_abi_table {
	bool present;
	uint32_t highest; /* highest number any rule names; 0: none */
	struct seccomp_clause *v; /* owned; by number, then in the order they are tried */
	size_t n, cap;
	struct seccomp_arg *conds; /* owned */
	size_t n_conds, cap_conds;
};

struct seccomp_table {
	uint32_t default_ret;
	bool enosys_above; /* numbers above `highest` give ENOSYS */
	unsigned flags;    /* SECCOMP_FLAG_... */
	/* Rules of one call answer differently and may both match: only libseccomp knows which one wins. */
	bool ambiguous;
	struct seccomp_abi_table abi[SECCOMP_ABI_COUNT];
};

/* The SECCOMP_RET_... value of an action and its data. */
int seccomp_action_value(enum seccomp_act act, bool has_errno, uint32_t errno_ret, uint32_t *ret, struct error *err);

int seccomp_table_build(const struct seccomp_policy *policy, struct seccomp_table *ret, struct error *err);
void seccomp_table_free(struct seccomp_table *table);
