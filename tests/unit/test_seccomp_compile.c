/*
 * The code generator against libseccomp and against the meaning of the rules: the programs of a policy are interpreted
 * for every number of every architecture with arguments around every value a rule compares with, and must answer alike.
 * Then the same programs against the kernel itself.
 *
 * libseccomp 2.5.4 loses some alternatives where a call has several rules and not all compare for equality (a < 2^33
 * beside a <= 5; "a != 1 and b == 0" beside another rule); there the meaning of the rules decides alone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "host/seccomp.h"
#include "host/seccomp_emit.h"
#include "host/seccomp_export.h"
#include "host/seccomp_reach.h"
#include "host/seccomp_table.h"
#include "seccomp_policies.h"

#define NR_END 600

static uint64_t rng = 88172645463325252ull;

static uint32_t random_below(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 20) % n;
}

struct values {
	uint64_t v[512];
	size_t n;
};

static void add_value(struct values *s, uint64_t v)
{
	if (s->n < ARRAY_SIZE(s->v))
		s->v[s->n++] = v;
}

/* Every value compared with, its neighbours, and the same in one half only. */
static void collect_values(const struct seccomp_policy *p, struct values *s)
{
	static const uint64_t fixed[] = { 0, 1, 2, 3, UINT32_MAX, 1ull << 32, UINT64_MAX, 0x8000000000000000ull };

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		add_value(s, fixed[i]);
	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t j = 0; j < p->rules[i].n_args; j++) {
			const struct seccomp_arg *a = &p->rules[i].args[j];
			uint64_t v[] = { a->value, a->value_two };

			for (size_t k = 0; k < 2; k++) {
				add_value(s, v[k]);
				add_value(s, v[k] + 1);
				add_value(s, v[k] - 1);
				add_value(s, v[k] + (1ull << 32));
				add_value(s, v[k] ^ (1ull << 63));
				add_value(s, (uint32_t)v[k]);
			}
		}
}

static bool names_number(const struct seccomp_table *t, enum seccomp_abi abi, uint32_t nr)
{
	for (size_t i = 0; i < t->abi[abi].n; i++)
		if (t->abi[abi].v[i].nr == nr && t->abi[abi].v[i].n_conds)
			return true;
	return false;
}

static const struct seccomp_table *current; /* of the policy being compared, for the message */

static void show_clauses(enum seccomp_abi abi, uint32_t nr)
{
	static const char *const ops[] = { "!=", "<", "<=", "==", ">=", ">", "&" };
	const struct seccomp_abi_table *a = &current->abi[abi];

	print_message("default %#x\n", current->default_ret);
	for (size_t i = 0; i < a->n; i++) {
		if (a->v[i].nr != nr)
			continue;
		print_message("rule %u:", a->v[i].order);
		for (size_t c = 0; c < a->v[i].n_conds; c++) {
			const struct seccomp_arg *arg = &a->conds[a->v[i].first_cond + c];

			print_message(" a%u %s %#llx %#llx;", arg->index, ops[arg->op], (unsigned long long)arg->value,
				      (unsigned long long)arg->value_two);
		}
		print_message(" -> %#x\n", a->v[i].ret);
	}
}

static unsigned long compared, libseccomp_erred;

static bool holds(const struct seccomp_arg *a, bool wide, const struct seccomp_data *d)
{
	uint64_t mask = wide ? UINT64_MAX : UINT32_MAX, v = d->args[a->index] & mask;
	uint64_t value = a->value & mask, two = a->value_two & mask;

	switch (a->op) {
	case SECCOMP_OP_NE:
		return v != value;
	case SECCOMP_OP_LT:
		return v < value;
	case SECCOMP_OP_LE:
		return v <= value;
	case SECCOMP_OP_EQ:
		return v == value;
	case SECCOMP_OP_GE:
		return v >= value;
	case SECCOMP_OP_GT:
		return v > value;
	default:
		return (v & value) == (two & value);
	}
}

/* What the table's clauses mean, without any code generation. */
static uint32_t meaning(enum seccomp_abi abi, uint32_t nr, const struct seccomp_data *d, bool *intricate)
{
	const struct seccomp_abi_table *a = &current->abi[abi];
	uint32_t answer = current->default_ret;
	size_t clauses = 0;
	bool found = false;

	*intricate = false;
	for (size_t i = 0; i < a->n; i++) {
		bool all = true;

		if (a->v[i].nr != nr)
			continue;
		clauses++;
		for (size_t c = 0; c < a->v[i].n_conds; c++) {
			const struct seccomp_arg *arg = &a->conds[a->v[i].first_cond + c];

			all &= holds(arg, seccomp_abis[abi].wide, d);
			*intricate |= arg->op != SECCOMP_OP_EQ;
		}
		if (all && !found) {
			answer = a->v[i].ret;
			found = true;
		}
	}
	*intricate = *intricate && clauses > 1;
	return found || !current->enosys_above || nr <= a->highest ? answer : SECCOMP_RET_ERRNO | ENOSYS;
}

static void compare_one(const struct seccomp_program *ours, const struct seccomp_program *theirs, enum seccomp_abi abi,
			uint32_t nr, const uint64_t args[6])
{
	struct seccomp_data d = { .nr = (int)nr, .arch = seccomp_abis[abi].audit };
	uint32_t a, b, m;
	bool intricate = false;

	for (int i = 0; i < 6; i++)
		d.args[i] = abi == SECCOMP_ABI_I386 ? (uint32_t)args[i] : args[i];
	a = seccomp_interpret(ours->insns, ours->n, &d);
	b = seccomp_interpret(theirs->insns, theirs->n, &d);
	m = current->abi[abi].present && current->abi[abi].highest && nr >= seccomp_abis[abi].first &&
			    nr <= seccomp_abis[abi].last
		    ? meaning(abi, nr, &d, &intricate)
		    : a;
	compared++;
	if (a == m && a == b)
		return;
	if (a == m && intricate) {
		libseccomp_erred++;
		return;
	}
	show_clauses(abi, nr);
	fail_msg("%s nr %#x args %llx %llx %llx %llx %llx %llx: ours %#x, libseccomp %#x, meant %#x",
		 seccomp_abis[abi].name, nr, d.args[0], d.args[1], d.args[2], d.args[3], d.args[4], d.args[5], a, b, m);
}

static void compare_number(const struct seccomp_program *ours, const struct seccomp_program *theirs,
			   const struct seccomp_table *t, enum seccomp_abi abi, uint32_t nr, const struct values *s)
{
	uint64_t args[6] = { 0 };

	compare_one(ours, theirs, abi, nr, args);
	if (!names_number(t, abi, nr))
		return;
	for (int i = 0; i < 6; i++)
		for (size_t v = 0; v < s->n; v++) {
			for (int j = 0; j < 6; j++)
				args[j] = s->v[random_below((uint32_t)s->n)];
			args[i] = s->v[v];
			compare_one(ours, theirs, abi, nr, args);
		}
}

static const uint32_t odd_numbers[] = { 0x3fffffff, 0x40000000, 0x400001ff, 0x7fffffff, 0x80000000, 0xfffffffe };

/* Compiles both ways and compares; false when the policy is one that only libseccomp can settle. */
static bool compare_programs(const struct seccomp_policy *p)
{
	_cleanup_free_ struct seccomp_program *ours = NULL, *theirs = NULL;
	struct seccomp_table t;
	struct error err = ERROR_INIT;
	struct values s = { .n = 0 };

	assert_int_equal(seccomp_table_build(p, &t, &err), 0);
	if (t.ambiguous) {
		seccomp_table_free(&t);
		return false;
	}
	if (seccomp_compile(p, &ours, &err) < 0 || seccomp_export(p, &t, 1, &theirs, &err) < 0)
		fail_msg("%s", err.message);
	current = &t;
	assert_int_equal(ours->flags, theirs->flags);
	collect_values(p, &s);
	for (int abi = 0; abi < SECCOMP_ABI_COUNT; abi++) {
		uint32_t base = abi == SECCOMP_ABI_X32 ? SECCOMP_X32_BIT : 0;

		for (uint32_t nr = 0; nr < NR_END; nr++)
			compare_number(ours, theirs, &t, abi, base | nr, &s);
		for (size_t i = 0; i < ARRAY_SIZE(odd_numbers); i++)
			compare_number(ours, theirs, &t, abi, odd_numbers[i], &s);
	}
	seccomp_table_free(&t);
	return true;
}

static enum seccomp_act random_action(void)
{
	static const enum seccomp_act acts[] = { SECCOMP_ACT_KILL_THREAD, SECCOMP_ACT_KILL_PROCESS, SECCOMP_ACT_TRAP,
						 SECCOMP_ACT_ERRNO,	  SECCOMP_ACT_TRACE,	    SECCOMP_ACT_ALLOW,
						 SECCOMP_ACT_LOG,	  SECCOMP_ACT_NOTIFY };

	return acts[random_below(ARRAY_SIZE(acts))];
}

static uint64_t random_value(void)
{
	switch (random_below(4)) {
	case 0:
		return random_below(4);
	case 1:
		return random_below(64);
	case 2:
		return (uint64_t)random_below(3) << 32 | random_below(4);
	default:
		rng ^= rng << 13;
		return rng;
	}
}

static void add_random_rule(struct seccomp_policy *p, enum seccomp_act common, bool mixed)
{
	struct seccomp_rule *r = policy_rule(p, mixed ? random_action() : common, "");
	uint32_t names = 1 + random_below(mixed ? 3 : 40), used = 0;

	for (uint32_t i = 0; i < names; i++) {
		char *name = seccomp_syscall_resolve_num_arch(random_below(3) ? SCMP_ARCH_X86_64 : SCMP_ARCH_X86,
							      (int)random_below(457));

		/* libseccomp answers multiplexers' sub-calls by rules of its own; they have a test below */
		if (name && strcmp(name, "socketcall") && strcmp(name, "ipc"))
			strv_add(&r->names, name);
		free(name);
	}
	if (r->act == SECCOMP_ACT_ERRNO) {
		r->has_errno = random_below(2);
		r->errno_ret = random_below(130);
	}
	if (random_below(3))
		return;
	for (uint32_t n = 1 + random_below(3); n > 0; n--) {
		uint32_t index = random_below(6);

		if (used & 1u << index && random_below(4))
			continue;
		used |= 1u << index;
		rule_arg(r, index, random_below(7), random_value(), random_value());
	}
}

static struct seccomp_policy *random_policy(void)
{
	struct seccomp_policy *p = policy_new(random_action());
	bool mixed = random_below(2);
	enum seccomp_act common = random_action();

	p->has_default_errno = random_below(2);
	p->default_errno = random_below(3) ? EPERM : ENOSYS;
	if (random_below(2))
		strv_add(&p->architectures, "SCMP_ARCH_X86");
	if (random_below(2))
		strv_add(&p->architectures, "SCMP_ARCH_X32");
	for (uint32_t n = 1 + random_below(mixed ? 20 : 8); n > 0; n--)
		add_random_rule(p, common, mixed);
	return p;
}

static void random_policies(void **state)
{
	unsigned settled = 0, total = 400;

	for (unsigned i = 0; i < total; i++) {
		struct seccomp_policy *p = random_policy();

		settled += compare_programs(p);
		seccomp_policy_free(p);
	}
	print_message("%u of %u random policies compared, %lu answers; libseccomp wrong in %lu\n", settled, total, compared,
		      libseccomp_erred);
	assert_true(libseccomp_erred < compared / 100);
	assert_true(settled > total / 3);
}

static void multiplexers(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);

	strv_add(&p->architectures, "SCMP_ARCH_X86");
	policy_rule(p, SECCOMP_ACT_ALLOW, "read connect recv accept semop msgrcv shmat recvmmsg sendmmsg accept4");
	rule_arg(policy_rule(p, SECCOMP_ACT_ALLOW, "socket"), 0, SECCOMP_OP_NE, AF_VSOCK, 0);
	rule_arg(policy_rule(p, SECCOMP_ACT_ALLOW, "semget"), 1, SECCOMP_OP_LT, 7, 0);
	assert_true(compare_programs(p));
	policy_rule(p, SECCOMP_ACT_ALLOW, "socketcall ipc");
	assert_true(compare_programs(p));
	seccomp_policy_free(p);
}

static uint32_t answer(const struct seccomp_program *p, uint32_t arch, uint32_t nr, uint64_t arg0)
{
	struct seccomp_data d = { .nr = (int)nr, .arch = arch, .args = { arg0 } };

	return seccomp_interpret(p->insns, p->n, &d);
}

static struct seccomp_program *compiled(const struct seccomp_policy *p)
{
	struct seccomp_program *prog = NULL;
	struct error err = ERROR_INIT;

	if (seccomp_compile(p, &prog, &err) < 0)
		fail_msg("%s", err.message);
	return prog;
}

static void newer_numbers_are_enosys(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_program *prog;

	policy_rule(p, SECCOMP_ACT_ALLOW, "read openat2");
	prog = compiled(p);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, 436, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, 437, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, 438, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, 0x40000000, 0), SECCOMP_RET_KILL_THREAD);
	assert_int_equal(answer(prog, AUDIT_ARCH_I386, 3, 0), SECCOMP_RET_KILL_THREAD);
	assert_int_equal(answer(prog, AUDIT_ARCH_AARCH64, 63, 0), SECCOMP_RET_KILL_THREAD);
	free(prog);

	p->default_act = SECCOMP_ACT_LOG; /* lets them through: nothing to soften */
	prog = compiled(p);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, 438, 0), SECCOMP_RET_LOG);
	free(prog);
	seccomp_policy_free(p);
}

static void names_newer_than_libseccomp(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_program *prog;

	strv_add(&p->architectures, "SCMP_ARCH_X86");
	strv_add(&p->architectures, "SCMP_ARCH_AARCH64");
	policy_rule(p, SECCOMP_ACT_ALLOW, "read mseal no_such_call file_setattr");
	prog = compiled(p);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, 462, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_I386, 469, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_I386, 461, 0), SECCOMP_RET_ERRNO | EPERM);
	free(prog);
	seccomp_policy_free(p);
}

static void repeated_argument_means_either(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_rule *r = policy_rule(p, SECCOMP_ACT_ALLOW, "personality");
	struct seccomp_program *prog;

	rule_arg(r, 0, SECCOMP_OP_EQ, 0, 0);
	rule_arg(r, 0, SECCOMP_OP_EQ, 8, 0);
	prog = compiled(p);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_personality, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_personality, 8), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_personality, 1), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_personality, 1ull << 32), SECCOMP_RET_ERRNO | EPERM);
	free(prog);
	seccomp_policy_free(p);
}

/* Our own policies: the first match answers, also before a rule for all arguments, and the default may be an exception. */
static void in_order_the_first_match_answers(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_program *prog;

	p->in_order = true;
	rule_arg(policy_errno(p, 5, "ioctl"), 0, SECCOMP_OP_MASKED_EQ, 0xffffffff, 7);
	rule_arg(policy_rule(p, SECCOMP_ACT_ERRNO, "ioctl"), 0, SECCOMP_OP_GT, 1ull << 40, 0);
	policy_rule(p, SECCOMP_ACT_ALLOW, "ioctl close");
	rule_arg(policy_errno(p, 6, "ioctl"), 0, SECCOMP_OP_EQ, 9, 0);
	prog = compiled(p);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_ioctl, 7), SECCOMP_RET_ERRNO | 5);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_ioctl, 3ull << 32 | 7), SECCOMP_RET_ERRNO | 5);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_ioctl, 8), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_ioctl, 9), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_ioctl, (1ull << 40) + 1), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_close, 7), SECCOMP_RET_ALLOW);
	free(prog);
	seccomp_policy_free(p);
}

/* Lists of values of one argument, broken by other rules. */
static void lists_of_values(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_program *prog;

	p->in_order = true;
	strv_add(&p->architectures, "SCMP_ARCH_X86");
	for (uint32_t i = 0; i < 400; i++) {
		struct seccomp_rule *r = i % 3 ? policy_rule(p, SECCOMP_ACT_ALLOW, "ioctl") : policy_errno(p, i / 3, "ioctl");

		rule_arg(r, 0, SECCOMP_OP_MASKED_EQ, i % 50 == 7 ? 0xffffffffffull : 0xffffffff, i * 2);
	}
	prog = compiled(p);
	for (uint32_t v = 0; v < 810; v++) {
		uint32_t i = v / 2, want = v % 2 || i >= 400 ? EPERM : i % 3 ? 0 : i / 3;
		uint32_t expected = !(v % 2) && i < 400 && i % 3 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | want;

		assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_ioctl, v), expected);
		assert_int_equal(answer(prog, AUDIT_ARCH_I386, 54, v), expected);
		if (i % 50 != 7)
			assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_ioctl, 1ull << 33 | v), expected);
	}
	free(prog);
	seccomp_policy_free(p);
}

/* Overlapping rules that differ: libseccomp compiles them, with the same ENOSYS rule before its program. */
static void ambiguous_goes_to_libseccomp(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_program *prog;
	struct seccomp_table t;

	strv_add(&p->architectures, "SCMP_ARCH_X86");
	strv_add(&p->architectures, "SCMP_ARCH_X32");
	policy_rule(p, SECCOMP_ACT_ALLOW, "read fsync");
	rule_arg(policy_rule(p, SECCOMP_ACT_ALLOW, "close"), 0, SECCOMP_OP_GT, 7, 0);
	rule_arg(policy_errno(p, 5, "close"), 1, SECCOMP_OP_EQ, 1, 0);
	assert_int_equal(seccomp_table_build(p, &t, NULL), 0);
	assert_true(t.ambiguous);
	seccomp_table_free(&t);
	prog = compiled(p);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_read, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_close, 9), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_close, 3), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, SYS_fsync + 1, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, 0x40000000, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_X86_64, 0x40000000 + SYS_fsync + 1, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer(prog, AUDIT_ARCH_I386, 3, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_I386, 118, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(prog, AUDIT_ARCH_I386, 119, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer(prog, AUDIT_ARCH_AARCH64, 63, 0), SECCOMP_RET_KILL_THREAD);
	free(prog);
	seccomp_policy_free(p);
}

static void bad_policies(void **state)
{
	struct seccomp_program *prog = NULL;
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_rule *r = policy_rule(p, SECCOMP_ACT_ALLOW, "read");
	struct error err = ERROR_INIT;

	rule_arg(r, 6, SECCOMP_OP_EQ, 0, 0);
	assert_int_equal(seccomp_compile(p, &prog, &err), -EINVAL);
	assert_non_null(strstr(err.message, "argument index 6"));
	r->args[0].index = 0;
	strv_add(&p->architectures, "SCMP_ARCH_Z80");
	assert_int_equal(seccomp_compile(p, &prog, &err), -EINVAL);
	assert_non_null(strstr(err.message, "SCMP_ARCH_Z80"));
	strv_free(p->architectures);
	p->architectures = NULL;
	strv_add(&p->flags, "SECCOMP_FILTER_FLAG_FOO");
	assert_int_equal(seccomp_compile(p, &prog, &err), -EINVAL);
	assert_non_null(strstr(err.message, "SECCOMP_FILTER_FLAG_FOO"));
	strv_free(p->flags);
	p->flags = NULL;
	p->has_default_errno = true;
	p->default_errno = 70000;
	assert_int_equal(seccomp_compile(p, &prog, &err), -EINVAL);
	assert_null(prog);
	seccomp_policy_free(p);
}

static void too_large_is_refused(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_program *prog = NULL;
	struct error err = ERROR_INIT;

	for (unsigned i = 0; i < 3000; i++)
		rule_arg(policy_rule(p, SECCOMP_ACT_ALLOW, "close"), 0, SECCOMP_OP_EQ, (uint64_t)i << 32 | i, 0);
	assert_int_equal(seccomp_compile(p, &prog, &err), -E2BIG);
	assert_non_null(strstr(err.message, "4096"));
	seccomp_policy_free(p);
}

/* Long jumps: a leaf of hundreds of instructions in the middle of the tree. */
static void long_jumps(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_KILL_PROCESS);

	strv_add(&p->architectures, "SCMP_ARCH_X86");
	for (unsigned i = 0; i < 24; i++) {
		struct seccomp_rule *r = policy_rule(p, SECCOMP_ACT_ALLOW, i % 2 ? "ioctl" : "fcntl");

		rule_arg(r, 1, SECCOMP_OP_EQ, i * 7, 0);
		rule_arg(r, 2, SECCOMP_OP_MASKED_EQ, 0xff00000000ull | i, i & 5);
		rule_arg(r, 0, SECCOMP_OP_GE, i, 0);
	}
	policy_rule(p, SECCOMP_ACT_ALLOW, "read write close mmap exit_group brk openat getpid");
	policy_errno(p, 3, "open stat poll lseek execve kill");
	assert_true(compare_programs(p));
	seccomp_policy_free(p);
}

/* In a child under FILTER: 0 when CALL(number, arg0) fails with ERRNO (0: succeeds). */
static int try_call(const struct seccomp_program *prog, long nr, long arg0, int expected)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		long r;

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (seccomp_install(prog, NULL, NULL) < 0)
			_exit(2);
		errno = 0;
		r = syscall(nr, arg0, 0, 0, 0, 0, 0);
		_exit(r < 0 ? errno != expected : expected != 0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void the_kernel_agrees(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ALLOW);
	struct seccomp_program *prog;

	policy_errno(p, EDOM, "getpid");
	rule_arg(policy_errno(p, EXDEV, "personality"), 0, SECCOMP_OP_EQ, 8, 0);
	prog = compiled(p);
	assert_int_equal(try_call(prog, SYS_getpid, 0, EDOM), 0);
	assert_int_equal(try_call(prog, SYS_getppid, 0, 0), 0);
	assert_int_equal(try_call(prog, SYS_personality, 8, EXDEV), 0);
	assert_int_equal(try_call(prog, SYS_personality, 0xffffffff, 0), 0);
	assert_int_equal(try_call(prog, SYS_getpid, 0, ESRCH), 1 << 8); /* the check can fail */
	free(prog);
	seccomp_policy_free(p);
}

static void a_listener_is_passed_although_sendmsg_is_trapped(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ALLOW);
	struct seccomp_program *prog;
	struct error err = ERROR_INIT;
	int pair[2], listener, status;
	char link[64], target[64] = "";
	pid_t pid;

	policy_rule(p, SECCOMP_ACT_NOTIFY, "sendmsg write futex munmap nanosleep clock_nanosleep");
	prog = compiled(p);
	assert_true(seccomp_program_listens(prog));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(seccomp_install_and_pass(prog, pair[1], NULL) < 0 ? 1 : 0);
	}
	close(pair[1]);
	listener = seccomp_receive_listener(pair[0], &err);
	if (listener < 0)
		fail_msg("%s", err.message);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", listener);
	assert_true(readlink(link, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "anon_inode:seccomp notify");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(listener);
	assert_int_equal(seccomp_receive_listener(pair[0], &err), -EPROTO);
	close(pair[0]);
	free(prog);
	seccomp_policy_free(p);
}

static void counting(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_program *prog;
	struct seccomp_reach r, none;

	seccomp_reach(NULL, &none);
	assert_true(none.total > 300 && none.total < 450);
	assert_int_equal(none.allowed, none.total);
	policy_rule(p, SECCOMP_ACT_ALLOW, "read write exit_group uselib");
	policy_rule(p, SECCOMP_ACT_LOG, "close");
	rule_arg(policy_rule(p, SECCOMP_ACT_ALLOW, "personality"), 0, SECCOMP_OP_EQ, 8, 0);
	policy_rule(p, SECCOMP_ACT_NOTIFY, "mount");
	policy_rule(p, SECCOMP_ACT_KILL_PROCESS, "ptrace");
	policy_rule(p, SECCOMP_ACT_TRAP, "bpf");
	prog = compiled(p);
	seccomp_reach(prog, &r);
	assert_int_equal(r.total, none.total);
	assert_int_equal(r.allowed, 4); /* uselib is not implemented */
	assert_int_equal(r.conditional, 2);
	assert_int_equal(r.killed, 2);
	assert_int_equal(r.refused, r.total - 8);
	free(prog);
	seccomp_policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_policies),
		cmocka_unit_test(multiplexers),
		cmocka_unit_test(newer_numbers_are_enosys),
		cmocka_unit_test(names_newer_than_libseccomp),
		cmocka_unit_test(repeated_argument_means_either),
		cmocka_unit_test(in_order_the_first_match_answers),
		cmocka_unit_test(lists_of_values),
		cmocka_unit_test(ambiguous_goes_to_libseccomp),
		cmocka_unit_test(bad_policies),
		cmocka_unit_test(too_large_is_refused),
		cmocka_unit_test(long_jumps),
		cmocka_unit_test(the_kernel_agrees),
		cmocka_unit_test(a_listener_is_passed_although_sendmsg_is_trapped),
		cmocka_unit_test(counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
