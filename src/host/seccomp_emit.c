#include "host/seccomp_emit.h"

#include <linux/seccomp.h>
#include <string.h>

/*
 * Jumps in classic BPF only go forward, so code is written from its end to its beginning: every target is then known
 * when a jump to it is written. A label is a distance from the end of the program, so labels grow as code is written.
 */
typedef size_t label;

struct emitter {
	struct sock_filter *insns;
	size_t max, n;
	bool overflow;
	struct {
		uint32_t k;
		label at;
	} rets[64];
	size_t n_rets;
};

#define REACH 255 /* how far a conditional jump's 8-bit offset goes */

static label emit(struct emitter *e, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (e->n == e->max) {
		e->overflow = true;
		return e->n;
	}
	e->n++;
	e->insns[e->max - e->n] = (struct sock_filter){ code, jt, jf, k };
	return e->n;
}

/* How many instructions an instruction written next would skip to reach L. */
static size_t distance(const struct emitter *e, label l)
{
	return e->n - l;
}

/* A label that means L and that a conditional jump written after at most SLACK more instructions reaches. */
static label within_reach(struct emitter *e, label l, size_t slack)
{
	if (distance(e, l) + slack <= REACH)
		return l;
	return emit(e, BPF_JMP | BPF_JA, 0, 0, (uint32_t)distance(e, l));
}

/* A comparison of the accumulator with K; where both ways are one, there is nothing to compare. */
static label emit_jump(struct emitter *e, uint16_t op, uint32_t k, label jt, label jf)
{
	if (jt == jf)
		return jt;
	jt = within_reach(e, jt, 1);
	jf = within_reach(e, jf, 0);
	return emit(e, BPF_JMP | op | BPF_K, (uint8_t)distance(e, jt), (uint8_t)distance(e, jf), k);
}

static label emit_load(struct emitter *e, uint32_t offset, label next)
{
	if (next != e->n)
		emit(e, BPF_JMP | BPF_JA, 0, 0, (uint32_t)distance(e, next));
	return emit(e, BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
}

/* A return of K: one that is near, or a new one. */
static label emit_ret(struct emitter *e, uint32_t k)
{
	size_t i;

	for (i = 0; i < e->n_rets; i++)
		if (e->rets[i].k == k)
			break;
	if (i < e->n_rets && distance(e, e->rets[i].at) < REACH - 64)
		return e->rets[i].at;
	if (i == e->n_rets) {
		if (i == ARRAY_SIZE(e->rets))
			return emit(e, BPF_RET | BPF_K, 0, 0, k);
		e->n_rets++;
	}
	e->rets[i].k = k;
	return e->rets[i].at = emit(e, BPF_RET | BPF_K, 0, 0, k);
}

static uint32_t arg_low(uint32_t index)
{
	return (uint32_t)offsetof(struct seccomp_data, args) + index * 8;
}

static uint32_t arg_high(uint32_t index)
{
	return arg_low(index) + 4;
}

/* Tests the low 32 bits. */
static label emit_low(struct emitter *e, const struct seccomp_arg *c, label yes, label no)
{
	uint32_t v = (uint32_t)c->value;
	label l;

	switch (c->op) {
	case SECCOMP_OP_EQ:
		l = emit_jump(e, BPF_JEQ, v, yes, no);
		break;
	case SECCOMP_OP_NE:
		l = emit_jump(e, BPF_JEQ, v, no, yes);
		break;
	case SECCOMP_OP_GT:
		l = emit_jump(e, BPF_JGT, v, yes, no);
		break;
	case SECCOMP_OP_LE:
		l = emit_jump(e, BPF_JGT, v, no, yes);
		break;
	case SECCOMP_OP_GE:
		l = emit_jump(e, BPF_JGE, v, yes, no);
		break;
	case SECCOMP_OP_LT:
		l = emit_jump(e, BPF_JGE, v, no, yes);
		break;
	default: /* SECCOMP_OP_MASKED_EQ */
		l = emit_jump(e, BPF_JEQ, (uint32_t)c->value_two, yes, no);
		if (v != UINT32_MAX) {
			if (l != e->n)
				emit(e, BPF_JMP | BPF_JA, 0, 0, (uint32_t)distance(e, l));
			l = emit(e, BPF_ALU | BPF_AND | BPF_K, 0, 0, v);
		}
	}
	return emit_load(e, arg_low(c->index), l);
}

/* Tests all 64 bits: the high half decides, or leaves it to LOW. */
static label emit_high(struct emitter *e, const struct seccomp_arg *c, label low, label yes, label no)
{
	uint32_t v = (uint32_t)(c->value >> 32);
	label l;

	switch (c->op) {
	case SECCOMP_OP_EQ:
		l = emit_jump(e, BPF_JEQ, v, low, no);
		break;
	case SECCOMP_OP_NE:
		l = emit_jump(e, BPF_JEQ, v, low, yes);
		break;
	case SECCOMP_OP_GT:
	case SECCOMP_OP_GE:
		l = v ? emit_jump(e, BPF_JEQ, v, low, no) : low;
		l = emit_jump(e, v ? BPF_JGT : BPF_JEQ, v, v ? yes : l, v ? l : yes);
		break;
	case SECCOMP_OP_LT:
	case SECCOMP_OP_LE:
		l = v ? emit_jump(e, BPF_JEQ, v, low, yes) : low;
		l = emit_jump(e, v ? BPF_JGT : BPF_JEQ, v, v ? no : l, v ? l : no);
		break;
	default: /* SECCOMP_OP_MASKED_EQ; value is the mask */
		if (v == 0)
			return low;
		l = emit_jump(e, BPF_JEQ, (uint32_t)(c->value_two >> 32), low, no);
		if (v != UINT32_MAX) {
			if (l != e->n)
				emit(e, BPF_JMP | BPF_JA, 0, 0, (uint32_t)distance(e, l));
			l = emit(e, BPF_ALU | BPF_AND | BPF_K, 0, 0, v);
		}
	}
	return emit_load(e, arg_high(c->index), l);
}

static label emit_condition(struct emitter *e, const struct seccomp_arg *c, bool wide, label yes, label no)
{
	label low;

	if (c->op == SECCOMP_OP_MASKED_EQ && (uint32_t)c->value == 0)
		low = yes; /* nothing in the low half is looked at */
	else
		low = emit_low(e, c, yes, no);
	return wide ? emit_high(e, c, low, yes, no) : low;
}

/* Whether the clause only asks whether 32 bits of an argument have a value. */
static bool is_plain(const struct seccomp_abi_table *a, const struct seccomp_clause *c, bool wide)
{
	const struct seccomp_arg *cond = &a->conds[c->first_cond];

	if (c->n_conds != 1)
		return false;
	return cond->op == SECCOMP_OP_MASKED_EQ ? cond->value == UINT32_MAX : cond->op == SECCOMP_OP_EQ && !wide;
}

static uint32_t plain_value(const struct seccomp_arg *cond)
{
	return (uint32_t)(cond->op == SECCOMP_OP_MASKED_EQ ? cond->value_two : cond->value);
}

/* The first of the plain clauses up to V[LAST] that ask about the same argument. */
static size_t plain_from(const struct seccomp_abi_table *a, const struct seccomp_clause *v, size_t last, bool wide)
{
	while (last > 0 && is_plain(a, &v[last], wide) && is_plain(a, &v[last - 1], wide) &&
	       a->conds[v[last].first_cond].index == a->conds[v[last - 1].first_cond].index)
		last--;
	return last;
}

static label emit_clause(struct emitter *e, const struct seccomp_abi_table *a, const struct seccomp_clause *c, bool wide,
			 label next)
{
	label l = emit_ret(e, c->ret);

	for (size_t i = c->n_conds; i-- > 0;)
		l = emit_condition(e, &a->conds[c->first_cond + i], wide, l, next);
	return l;
}

/* A list of values of one argument: loaded once, compared with each. */
static label emit_plain(struct emitter *e, const struct seccomp_abi_table *a, const struct seccomp_clause *v, size_t from,
			size_t last, label next)
{
	for (size_t i = last + 1; i-- > from;) {
		label yes = emit_ret(e, v[i].ret);

		next = emit_jump(e, BPF_JEQ, plain_value(&a->conds[v[i].first_cond]), yes, next);
	}
	return emit_load(e, arg_low(a->conds[v[from].first_cond].index), next);
}

/* The clauses of one number, first to last; none matching gives the default. */
static label emit_clauses(struct emitter *e, const struct seccomp_abi_table *a, const struct seccomp_clause *v, size_t n,
			  bool wide, uint32_t default_ret)
{
	label next = emit_ret(e, default_ret);

	for (size_t i = n; i-- > 0;) {
		size_t from = plain_from(a, v, i, wide);

		next = from < i ? emit_plain(e, a, v, from, i, next) : emit_clause(e, a, &v[i], wide, next);
		i = from;
	}
	return next;
}

/* A run of numbers from FIRST (to the next run's) with one answer: RET, or the clauses of one number. */
struct run {
	uint32_t first;
	uint32_t ret;
	uint32_t clause, n_clauses; /* n_clauses 0: RET */
	uint8_t abi;
};

struct runs {
	struct run *v; /* owned */
	size_t n, cap;
};

static int add_run(struct runs *r, uint32_t first, uint32_t ret, const struct run *tested)
{
	struct run *last = r->n ? &r->v[r->n - 1] : NULL;

	if (last && last->first == first)
		r->n--; /* nothing is in it */
	last = r->n ? &r->v[r->n - 1] : NULL;
	if (!tested && last && !last->n_clauses && last->ret == ret)
		return 0;
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 256;
		struct run *v = realloc(r->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = tested ? *tested : (struct run){ .first = first, .ret = ret };
	return 0;
}

static int add_abi_runs(struct runs *runs, const struct seccomp_table *t, enum seccomp_abi abi)
{
	const struct seccomp_abi_info *info = &seccomp_abis[abi];
	const struct seccomp_abi_table *a = &t->abi[abi];
	int r;

	if (!a->present)
		return add_run(runs, info->first, SECCOMP_RET_KILL_THREAD, NULL);
	r = add_run(runs, info->first, t->default_ret, NULL);
	for (size_t i = 0; i < a->n && r == 0;) {
		uint32_t nr = a->v[i].nr;
		size_t end = i + 1;

		while (end < a->n && a->v[end].nr == nr)
			end++;
		if (a->v[i].n_conds) {
			struct run tested = { .first = nr, .clause = (uint32_t)i, .n_clauses = (uint32_t)(end - i), .abi = abi };

			r = add_run(runs, nr, 0, &tested);
		} else {
			r = add_run(runs, nr, a->v[i].ret, NULL);
		}
		if (r == 0 && nr < info->last)
			r = add_run(runs, nr + 1, t->default_ret, NULL);
		i = end;
	}
	if (r == 0 && t->enosys_above && a->highest)
		r = add_run(runs, a->highest + 1, SECCOMP_RET_ERRNO | ENOSYS, NULL);
	return r;
}

static label emit_run(struct emitter *e, const struct seccomp_table *t, const struct run *r)
{
	const struct seccomp_abi_table *a = &t->abi[r->abi];

	if (!r->n_clauses)
		return emit_ret(e, r->ret);
	return emit_clauses(e, a, &a->v[r->clause], r->n_clauses, seccomp_abis[r->abi].wide, t->default_ret);
}

static bool same_answer(const struct run *a, const struct run *b)
{
	return !a->n_clauses && !b->n_clauses && a->ret == b->ret;
}

/* The tree over runs FROM to TO (exclusive); the number is in the accumulator. */
static label emit_tree(struct emitter *e, const struct seccomp_table *t, const struct run *v, size_t from, size_t to)
{
	size_t mid = from + (to - from) / 2;
	label left, right;

	if (to - from == 1)
		return emit_run(e, t, &v[from]);
	/* One odd number between alike neighbours: one comparison for equality does the work of two for order. */
	if (to - from == 3 && v[from + 2].first == v[from + 1].first + 1 && same_answer(&v[from], &v[from + 2])) {
		right = emit_run(e, t, &v[from]);
		left = emit_run(e, t, &v[from + 1]);
		return emit_jump(e, BPF_JEQ, v[from + 1].first, left, right);
	}
	right = emit_tree(e, t, v, mid, to);
	left = emit_tree(e, t, v, from, mid);
	return emit_jump(e, BPF_JGE, v[mid].first, right, left);
}

static void cleanup_runs(struct runs *r)
{
	free(r->v);
}

/* The tree for one audit architecture, its ABIs FIRST to LAST. */
static int emit_arch(struct emitter *e, const struct seccomp_table *t, enum seccomp_abi first, enum seccomp_abi last,
		     label *ret)
{
	_cleanup_(cleanup_runs) struct runs runs = { 0 };
	label tree;

	for (enum seccomp_abi abi = first; abi <= last; abi++)
		if (add_abi_runs(&runs, t, abi) < 0)
			return -ENOMEM;
	tree = emit_tree(e, t, runs.v, 0, runs.n);
	*ret = emit_load(e, offsetof(struct seccomp_data, nr), tree);
	return 0;
}

int seccomp_emit(const struct seccomp_table *table, struct sock_filter *insns, size_t max)
{
	struct emitter e = { .insns = insns, .max = max };
	label l, other;
	int r;

	other = emit_ret(&e, SECCOMP_RET_KILL_THREAD);
	if (table->abi[SECCOMP_ABI_I386].present) {
		r = emit_arch(&e, table, SECCOMP_ABI_I386, SECCOMP_ABI_I386, &l);
		if (r < 0)
			return r;
		other = emit_jump(&e, BPF_JEQ, seccomp_abis[SECCOMP_ABI_I386].audit, l, other);
	}
	r = emit_arch(&e, table, SECCOMP_ABI_X86_64, SECCOMP_ABI_X32, &l);
	if (r < 0)
		return r;
	l = emit_jump(&e, BPF_JEQ, seccomp_abis[SECCOMP_ABI_X86_64].audit, l, other);
	emit_load(&e, offsetof(struct seccomp_data, arch), l);
	return e.overflow ? -E2BIG : (int)e.n;
}
