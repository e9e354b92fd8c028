/*
 * The code generator: any policy, however odd, compiles to a program that the kernel's rules for filters accept, and that
 * answers as the rules say. The bytes are the policy; the last ones are a call to ask about.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "host/seccomp.h"
#include "host/seccomp_reach.h"
#include "host/seccomp_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p, *end;
};

static uint32_t byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

/* Small values mostly, also in the upper half. */
static uint64_t value(struct input *in)
{
	uint64_t v = byte(in);

	return v < 192 ? v & 15 : v < 224 ? (uint64_t)(v & 15) << 32 | (byte(in) & 15) : ~(uint64_t)0 - (v & 15);
}

static const char *const names[] = {
	"read", "write", "open", "close", "ioctl", "clone", "socket", "connect", "semop", "mmap", "exit_group", "mseal", "recv",
	"no_such_call", "ptrace", "execve", "personality", "io_uring_setup", "time", "shmat",
};

static void add_rule(struct seccomp_policy *p, struct input *in)
{
	struct seccomp_rule *r = seccomp_policy_add(p, byte(in) % 8, names[byte(in) % ARRAY_SIZE(names)]);

	if (!r)
		abort();
	if (r->act == SECCOMP_ACT_ERRNO || r->act == SECCOMP_ACT_TRACE) {
		r->has_errno = true;
		r->errno_ret = byte(in);
	}
	for (uint32_t n = byte(in) % 4; n > 0; n--)
		if (seccomp_rule_add_arg(r, byte(in) % 6, byte(in) % 7, value(in), value(in)) < 0)
			abort();
}

/* seccomp_check_filter() and bpf_check_classic(): what matters of them here. */
static void check_program(const struct seccomp_program *p)
{
	if (p->n == 0 || p->n > BPF_MAXINSNS || BPF_CLASS(p->insns[p->n - 1].code) != BPF_RET)
		abort();
	for (size_t i = 0; i < p->n; i++) {
		const struct sock_filter *f = &p->insns[i];
		size_t rest = p->n - i - 1;

		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		if (f->code == (BPF_JMP | BPF_JA) ? f->k >= rest : f->jt >= rest || f->jf >= rest)
			abort();
	}
}

static bool holds(const struct seccomp_arg *c, uint64_t v, bool wide)
{
	if (!wide)
		v = (uint32_t)v;
	switch (c->op) {
	case SECCOMP_OP_NE:
		return v != c->value;
	case SECCOMP_OP_LT:
		return v < c->value;
	case SECCOMP_OP_LE:
		return v <= c->value;
	case SECCOMP_OP_EQ:
		return v == c->value;
	case SECCOMP_OP_GE:
		return v >= c->value;
	case SECCOMP_OP_GT:
		return v > c->value;
	default:
		return (v & c->value) == c->value_two;
	}
}

static uint32_t meaning(const struct seccomp_table *t, enum seccomp_abi abi, const struct seccomp_data *d)
{
	const struct seccomp_abi_table *a = &t->abi[abi];
	uint32_t nr = (uint32_t)d->nr;

	if (!a->present)
		return SECCOMP_RET_KILL_THREAD;
	for (size_t i = 0; i < a->n; i++) {
		bool all = a->v[i].nr == nr;

		for (size_t c = 0; c < a->v[i].n_conds; c++) {
			const struct seccomp_arg *cond = &a->conds[a->v[i].first_cond + c];

			all = all && holds(cond, d->args[cond->index], seccomp_abis[abi].wide);
		}
		if (all)
			return a->v[i].ret;
	}
	return t->enosys_above && a->highest && nr > a->highest ? SECCOMP_RET_ERRNO | ENOSYS : t->default_ret;
}

static void ask(const struct seccomp_table *t, const struct seccomp_program *p, uint32_t nr, const uint64_t args[6])
{
	for (int abi = 0; abi < SECCOMP_ABI_COUNT; abi++) {
		struct seccomp_data d = { .nr = (int)(nr | (abi == SECCOMP_ABI_X32 ? SECCOMP_X32_BIT : 0)),
					  .arch = seccomp_abis[abi].audit };

		memcpy(d.args, args, sizeof(d.args));
		if (seccomp_interpret(p->insns, p->n, &d) != meaning(t, abi, &d))
			abort();
	}
}

static void build(struct seccomp_policy *p, struct input *in)
{
	uint32_t how = byte(in);

	p->default_act = how % 7; /* not NOTIFY, which a configuration may not have as default */
	p->in_order = how & 8;
	p->has_default_errno = how & 16;
	p->default_errno = byte(in);
	if ((how & 32 && strv_add(&p->architectures, "SCMP_ARCH_X86") < 0) ||
	    (how & 64 && strv_add(&p->architectures, "SCMP_ARCH_X32") < 0))
		abort();
	for (uint32_t n = byte(in) % 24; n > 0; n--)
		add_rule(p, in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_seccomp_policy_ struct seccomp_policy *p = calloc(1, sizeof(*p));
	_cleanup_free_ struct seccomp_program *program = NULL;
	struct input in = { data, data + size };
	struct seccomp_table t = { 0 };
	struct seccomp_reach reach;
	uint64_t args[6];

	if (!p)
		abort();
	build(p, &in);
	if (seccomp_table_build(p, &t, NULL) < 0)
		abort();
	if (t.ambiguous) { /* libseccomp's, which may refuse it, and loses memory over it */
		seccomp_table_free(&t);
		return 0;
	}
	if (seccomp_compile(p, &program, NULL) < 0)
		abort();
	check_program(program);
	seccomp_reach(program, &reach);
	if (reach.allowed + reach.conditional + reach.refused + reach.killed != reach.total)
		abort();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 6; i++)
			args[i] = value(&in);
		for (uint32_t nr = 0; nr < 480; nr++)
			ask(&t, program, nr, args);
	}
	seccomp_table_free(&t);
	return 0;
}
