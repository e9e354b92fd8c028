/* Policies for the seccomp tests: built by hand and at random. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "host/seccomp_policy.h"

static inline struct seccomp_policy *policy_new(enum seccomp_act default_act)
{
	struct seccomp_policy *p = calloc(1, sizeof(*p));

	p->default_act = default_act;
	return p;
}

static inline struct seccomp_rule *policy_rule(struct seccomp_policy *p, enum seccomp_act act, const char *names)
{
	struct seccomp_rule *r;

	p->rules = realloc(p->rules, (p->n_rules + 1) * sizeof(*p->rules));
	r = &p->rules[p->n_rules++];
	*r = (struct seccomp_rule){ .act = act, .names = strv_split(names, " ") };
	return r;
}

static inline struct seccomp_rule *policy_errno(struct seccomp_policy *p, uint32_t errno_ret, const char *names)
{
	struct seccomp_rule *r = policy_rule(p, SECCOMP_ACT_ERRNO, names);

	r->has_errno = true;
	r->errno_ret = errno_ret;
	return r;
}

static inline void rule_arg(struct seccomp_rule *r, uint32_t index, enum seccomp_op op, uint64_t value, uint64_t value_two)
{
	r->args = realloc(r->args, (r->n_args + 1) * sizeof(*r->args));
	r->args[r->n_args++] = (struct seccomp_arg){ index, op, value, value_two };
}
