/*
 * Compilation by libseccomp. The oracle that the code generator is tested against, and what compiles policies whose
 * rules contradict each other: which of them wins is libseccomp's own business.
 */
#pragma once

#include "base/error.h"
#include "host/seccomp.h"
#include "host/seccomp_policy.h"
#include "host/seccomp_table.h"

/* TABLE is POLICY's. OPTIMIZE: 1 a list, 2 a search tree. *RET is freed with free(). */
int seccomp_export(const struct seccomp_policy *policy, const struct seccomp_table *table, int optimize,
		   struct seccomp_program **ret, struct error *err);
