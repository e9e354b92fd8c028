#include "host/seccomp_table.h"

#include <linux/seccomp.h>
#include <string.h>

#include "base/log.h"
#include "base/strv.h"
#include "host/seccomp.h"

#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO: larger values are capped by it */

int seccomp_action_value(enum seccomp_act act, bool has_errno, uint32_t errno_ret, uint32_t *ret, struct error *err)
{
	uint32_t data = has_errno ? errno_ret : EPERM;

	switch (act) {
	case SECCOMP_ACT_KILL_THREAD:
		*ret = SECCOMP_RET_KILL_THREAD;
		return 0;
	case SECCOMP_ACT_KILL_PROCESS:
		*ret = SECCOMP_RET_KILL_PROCESS;
		return 0;
	case SECCOMP_ACT_TRAP:
		*ret = SECCOMP_RET_TRAP;
		return 0;
	case SECCOMP_ACT_ALLOW:
		*ret = SECCOMP_RET_ALLOW;
		return 0;
	case SECCOMP_ACT_LOG:
		*ret = SECCOMP_RET_LOG;
		return 0;
	case SECCOMP_ACT_NOTIFY:
		*ret = SECCOMP_RET_USER_NOTIF;
		return 0;
	case SECCOMP_ACT_ERRNO:
		if (data > ERRNO_MAX)
			return error_set(err, EINVAL, "seccomp: errnoRet %u is not an error number (at most %u)", data,
					 ERRNO_MAX);
		*ret = SECCOMP_RET_ERRNO | data;
		return 0;
	case SECCOMP_ACT_TRACE:
		if (data > SECCOMP_RET_DATA)
			return error_set(err, EINVAL, "seccomp: errnoRet %u does not fit the 16 bits a tracer gets", data);
		*ret = SECCOMP_RET_TRACE | data;
		return 0;
	}
	return error_set(err, EINVAL, "seccomp: unknown action %d", act);
}

static int parse_flags(const struct seccomp_policy *policy, unsigned *ret, struct error *err)
{
	unsigned flags = policy->has_flags || policy->flags ? 0 : SECCOMP_FLAG_SPEC_ALLOW;

	for (char **f = policy->flags; f && *f; f++) {
		int bit = seccomp_flag_from_string(*f);

		if (bit < 0)
			return error_set(err, EINVAL, "seccomp: unknown flag '%s'", *f);
		flags |= (unsigned)bit;
	}
	*ret = flags;
	return 0;
}

static int choose_abis(const struct seccomp_policy *policy, struct seccomp_table *t, struct error *err)
{
	t->abi[SECCOMP_ABI_X86_64].present = true;
	for (char **a = policy->architectures; a && *a; a++) {
		int abi = seccomp_abi_from_string(*a);

		if (abi == -ENOEXEC)
			log_debug("seccomp: %s: this host cannot execute it, left out", *a);
		else if (abi < 0)
			return error_set(err, EINVAL, "seccomp: unknown architecture '%s'", *a);
		else
			t->abi[abi].present = true;
	}
	return 0;
}

static int add_clause(struct seccomp_abi_table *a, uint32_t nr, uint32_t order, uint32_t ret)
{
	if (a->n == a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 512;
		struct seccomp_clause *v = realloc(a->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		a->v = v;
		a->cap = cap;
	}
	a->v[a->n++] = (struct seccomp_clause){ nr, order, ret, (uint32_t)a->n_conds, 0 };
	return 0;
}

/* What is compared: in an ABI whose registers have 32 bits, only the low halves. */
static struct seccomp_arg as_compared(const struct seccomp_arg *arg, bool wide)
{
	struct seccomp_arg c = *arg;

	if (!wide) {
		c.value = (uint32_t)c.value;
		c.value_two = (uint32_t)c.value_two;
	}
	if (c.op == SECCOMP_OP_MASKED_EQ)
		c.value_two &= c.value;
	return c;
}

/* Adds a condition to the newest clause. */
static int add_condition(struct seccomp_abi_table *a, const struct seccomp_arg *arg, bool wide)
{
	struct seccomp_clause *c = &a->v[a->n - 1];
	struct seccomp_arg cond = as_compared(arg, wide);
	size_t i;

	if (cond.op == SECCOMP_OP_MASKED_EQ && cond.value == 0)
		return 0; /* always holds */
	if (a->n_conds == a->cap_conds) {
		size_t cap = a->cap_conds ? a->cap_conds * 2 : 32;
		struct seccomp_arg *v = realloc(a->conds, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		a->conds = v;
		a->cap_conds = cap;
	}
	for (i = a->n_conds++; i > c->first_cond && a->conds[i - 1].index > cond.index; i--)
		a->conds[i] = a->conds[i - 1];
	a->conds[i] = cond;
	c->n_conds++;
	return 0;
}

/* ARGS all hold, for the call itself and, with the first argument taken by the sub-call, for its multiplexer. */
static int add_conjunction(struct seccomp_table *t, enum seccomp_abi abi, int64_t nr, const struct seccomp_mux *mux,
			   uint32_t order, uint32_t ret, const struct seccomp_arg *args, size_t n)
{
	struct seccomp_abi_table *a = &t->abi[abi];
	bool wide = seccomp_abis[abi].wide;
	int r = 0;

	if (nr >= 0) {
		r = add_clause(a, (uint32_t)nr, order, ret);
		for (size_t i = 0; i < n && r == 0; i++)
			r = add_condition(a, &args[i], wide);
	}
	if (mux->nr && r == 0) {
		struct seccomp_arg subcall = { .index = 0, .op = SECCOMP_OP_EQ, .value = mux->subcall };

		r = add_clause(a, mux->nr, order, ret);
		if (r == 0)
			r = add_condition(a, &subcall, wide);
		for (size_t i = 0; i < n && r == 0; i++)
			if (args[i].index != 0)
				r = add_condition(a, &args[i], wide);
	}
	return r;
}

static bool repeats_an_index(const struct seccomp_rule *rule)
{
	unsigned seen = 0;

	for (size_t i = 0; i < rule->n_args; i++) {
		if (seen & (1u << rule->args[i].index))
			return true;
		seen |= 1u << rule->args[i].index;
	}
	return false;
}

static int add_name(struct seccomp_table *t, enum seccomp_abi abi, const struct seccomp_rule *rule, const char *name,
		    uint32_t order, uint32_t ret, bool in_order)
{
	struct seccomp_abi_table *a = &t->abi[abi];
	struct seccomp_mux mux;
	int64_t nr = seccomp_resolve(abi, name, &mux);
	int r = 0;

	if (nr < 0 && !mux.nr) {
		if (abi == SECCOMP_ABI_X86_64 && !seccomp_name_known(name))
			log_debug("seccomp: unknown system call '%s' skipped", name);
		return 0;
	}
	if (nr > a->highest)
		a->highest = (uint32_t)nr;
	if (mux.nr > a->highest)
		a->highest = mux.nr;
	if (ret == t->default_ret && !in_order)
		return 0;
	if (!repeats_an_index(rule))
		return add_conjunction(t, abi, nr, &mux, order, ret, rule->args, rule->n_args);
	for (size_t i = 0; i < rule->n_args && r == 0; i++)
		r = add_conjunction(t, abi, nr, &mux, order, ret, &rule->args[i], 1);
	return r;
}

static int check_args(const struct seccomp_rule *rule, struct error *err)
{
	const char *name = rule->names && rule->names[0] ? rule->names[0] : "?";

	for (size_t i = 0; i < rule->n_args; i++) {
		if (rule->args[i].index >= SECCOMP_ARGS)
			return error_set(err, EINVAL, "seccomp: rule for '%s': argument index %u is above 5", name,
					 rule->args[i].index);
		if (rule->args[i].op > SECCOMP_OP_MASKED_EQ)
			return error_set(err, EINVAL, "seccomp: rule for '%s': unknown operator %d", name,
					 rule->args[i].op);
	}
	return 0;
}

static int add_rules(const struct seccomp_policy *policy, struct seccomp_table *t, struct error *err)
{
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct seccomp_rule *rule = &policy->rules[i];
		uint32_t ret;
		int r;

		r = seccomp_action_value(rule->act, rule->has_errno, rule->errno_ret, &ret, err);
		if (r < 0)
			return r;
		r = check_args(rule, err);
		if (r < 0)
			return r;
		if (rule->act == SECCOMP_ACT_NOTIFY)
			t->flags |= SECCOMP_FLAG_NEW_LISTENER;
		for (char **name = rule->names; name && *name; name++)
			for (int abi = 0; abi < SECCOMP_ABI_COUNT; abi++)
				if (t->abi[abi].present && add_name(t, abi, rule, *name, (uint32_t)i, ret, policy->in_order) < 0)
					return error_oom(err);
	}
	return 0;
}

static int compare_in_order(const void *pa, const void *pb)
{
	const struct seccomp_clause *a = pa, *b = pb;

	if (a->nr != b->nr)
		return a->nr < b->nr ? -1 : 1;
	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	return 0;
}

static int compare_clauses(const void *pa, const void *pb)
{
	const struct seccomp_clause *a = pa, *b = pb;

	if (a->nr == b->nr && !a->n_conds != !b->n_conds)
		return a->n_conds ? 1 : -1;
	return compare_in_order(pa, pb);
}

/* The values OP leaves, as a closed interval; false when they are none or no interval. */
static bool interval(const struct seccomp_arg *a, uint64_t *lo, uint64_t *hi)
{
	*lo = 0;
	*hi = UINT64_MAX;
	switch (a->op) {
	case SECCOMP_OP_LT:
		*hi = a->value - 1;
		return a->value != 0;
	case SECCOMP_OP_LE:
		*hi = a->value;
		return true;
	case SECCOMP_OP_EQ:
		*lo = *hi = a->value;
		return true;
	case SECCOMP_OP_GE:
		*lo = a->value;
		return true;
	case SECCOMP_OP_GT:
		*lo = a->value + 1;
		return a->value != UINT64_MAX;
	default:
		return false;
	}
}

/* Whether no value satisfies both. Says false when in doubt. */
static bool conditions_exclude(const struct seccomp_arg *a, const struct seccomp_arg *b)
{
	uint64_t alo, ahi, blo, bhi;

	if (a->op == SECCOMP_OP_NE && b->op == SECCOMP_OP_EQ)
		return a->value == b->value;
	if (a->op == SECCOMP_OP_EQ && b->op == SECCOMP_OP_NE)
		return a->value == b->value;
	if (a->op == SECCOMP_OP_MASKED_EQ && b->op == SECCOMP_OP_EQ)
		return (b->value & a->value) != a->value_two;
	if (a->op == SECCOMP_OP_EQ && b->op == SECCOMP_OP_MASKED_EQ)
		return (a->value & b->value) != b->value_two;
	if (a->op == SECCOMP_OP_MASKED_EQ && b->op == SECCOMP_OP_MASKED_EQ)
		return (a->value_two & b->value) != (b->value_two & a->value);
	return interval(a, &alo, &ahi) && interval(b, &blo, &bhi) && (ahi < blo || bhi < alo);
}

static bool clauses_exclude(const struct seccomp_arg *conds, const struct seccomp_clause *a,
			    const struct seccomp_clause *b)
{
	for (size_t i = 0; i < a->n_conds; i++)
		for (size_t j = 0; j < b->n_conds; j++) {
			const struct seccomp_arg *x = &conds[a->first_cond + i], *y = &conds[b->first_cond + j];

			if (x->index == y->index && conditions_exclude(x, y))
				return true;
		}
	return false;
}

static bool group_is_ambiguous(const struct seccomp_arg *conds, const struct seccomp_clause *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (v[i].ret != v[j].ret && !clauses_exclude(conds, &v[i], &v[j]))
				return true;
	return false;
}

/* Sorts, and drops of each number's clauses those behind an unconditional one. */
static bool settle(struct seccomp_abi_table *a, bool in_order)
{
	bool ambiguous = false;
	size_t out = 0;

	qsort(a->v, a->n, sizeof(a->v[0]), in_order ? compare_in_order : compare_clauses);
	for (size_t i = 0; i < a->n;) {
		size_t end = i + 1, keep = 0;

		while (end < a->n && a->v[end].nr == a->v[i].nr)
			end++;
		while (i + keep < end && a->v[i + keep].n_conds)
			keep++;
		if (i + keep < end)
			keep++;
		ambiguous |= !in_order && group_is_ambiguous(a->conds, &a->v[i], keep);
		memmove(&a->v[out], &a->v[i], keep * sizeof(a->v[0]));
		out += keep;
		i = end;
	}
	a->n = out;
	return ambiguous;
}

static bool refuses(uint32_t ret)
{
	ret &= SECCOMP_RET_ACTION_FULL;
	return ret != SECCOMP_RET_ALLOW && ret != SECCOMP_RET_LOG && ret != SECCOMP_RET_TRACE;
}

static int build(const struct seccomp_policy *policy, struct seccomp_table *t, struct error *err)
{
	int r;

	r = seccomp_action_value(policy->default_act, policy->has_default_errno, policy->default_errno, &t->default_ret, err);
	if (r < 0)
		return r;
	r = parse_flags(policy, &t->flags, err);
	if (r < 0)
		return r;
	if (policy->default_act == SECCOMP_ACT_NOTIFY)
		t->flags |= SECCOMP_FLAG_NEW_LISTENER;
	t->enosys_above = refuses(t->default_ret) && t->default_ret != (SECCOMP_RET_ERRNO | ENOSYS);
	r = choose_abis(policy, t, err);
	if (r < 0)
		return r;
	r = add_rules(policy, t, err);
	if (r < 0)
		return r;
	for (int abi = 0; abi < SECCOMP_ABI_COUNT; abi++)
		if (t->abi[abi].n)
			t->ambiguous |= settle(&t->abi[abi], policy->in_order);
	return 0;
}

int seccomp_table_build(const struct seccomp_policy *policy, struct seccomp_table *ret, struct error *err)
{
	struct seccomp_table t = { 0 };
	int r = build(policy, &t, err);

	if (r < 0) {
		seccomp_table_free(&t);
		return r;
	}
	*ret = t;
	return 0;
}

void seccomp_table_free(struct seccomp_table *table)
{
	for (int abi = 0; abi < SECCOMP_ABI_COUNT; abi++) {
		free(table->abi[abi].v);
		free(table->abi[abi].conds);
	}
	*table = (struct seccomp_table){ 0 };
}
