#include "host/seccomp_reach.h"

#include <linux/audit.h>
#include <string.h>

#include "host/seccomp_arch.h"

#define WORDS (sizeof(struct seccomp_data) / 4)

struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
};

static uint32_t alu(uint16_t op, uint32_t a, uint32_t v)
{
	switch (op) {
	case BPF_ADD:
		return a + v;
	case BPF_SUB:
		return a - v;
	case BPF_MUL:
		return a * v;
	case BPF_DIV:
		return v ? a / v : 0;
	case BPF_OR:
		return a | v;
	case BPF_AND:
		return a & v;
	case BPF_XOR:
		return a ^ v;
	case BPF_LSH:
		return v < 32 ? a << v : 0;
	case BPF_RSH:
		return v < 32 ? a >> v : 0;
	default: /* BPF_NEG */
		return 0u - a;
	}
}

static bool jump_taken(uint16_t op, uint32_t a, uint32_t v)
{
	switch (op) {
	case BPF_JEQ:
		return a == v;
	case BPF_JGT:
		return a > v;
	case BPF_JGE:
		return a >= v;
	default: /* BPF_JSET */
		return a & v;
	}
}

/* Loads and stores; false for what seccomp(2) does not accept. */
static bool move(struct machine *m, const struct sock_filter *i, const uint32_t *words)
{
	switch (i->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		if (i->k % 4 || i->k / 4 >= WORDS)
			return false;
		m->a = words[i->k / 4];
		return true;
	case BPF_LD | BPF_IMM:
		m->a = i->k;
		return true;
	case BPF_LDX | BPF_IMM:
		m->x = i->k;
		return true;
	case BPF_LD | BPF_W | BPF_LEN:
		m->a = sizeof(struct seccomp_data);
		return true;
	case BPF_LDX | BPF_W | BPF_LEN:
		m->x = sizeof(struct seccomp_data);
		return true;
	case BPF_MISC | BPF_TAX:
		m->x = m->a;
		return true;
	case BPF_MISC | BPF_TXA:
		m->a = m->x;
		return true;
	}
	if (i->k >= BPF_MEMWORDS)
		return false;
	switch (i->code) {
	case BPF_LD | BPF_MEM:
		m->a = m->mem[i->k];
		return true;
	case BPF_LDX | BPF_MEM:
		m->x = m->mem[i->k];
		return true;
	case BPF_ST:
		m->mem[i->k] = m->a;
		return true;
	case BPF_STX:
		m->mem[i->k] = m->x;
		return true;
	}
	return false;
}

uint32_t seccomp_interpret(const struct sock_filter *insns, size_t n, const struct seccomp_data *data)
{
	struct machine m = { 0 };
	uint32_t words[WORDS];

	memcpy(words, data, sizeof(words));
	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &insns[pc];
		uint32_t v = BPF_SRC(i->code) == BPF_X ? m.x : i->k;

		switch (BPF_CLASS(i->code)) {
		case BPF_RET:
			return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA)
				pc += i->k;
			else
				pc += jump_taken(BPF_OP(i->code), m.a, v) ? i->jt : i->jf;
			break;
		case BPF_ALU:
			m.a = alu(BPF_OP(i->code), m.a, v);
			break;
		default:
			if (!move(&m, i, words))
				return SECCOMP_RET_KILL_PROCESS;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* Answers that some path through the program gives, the number known and the arguments not. */
enum { ANSWER_REACHES = 1, ANSWER_ASKS = 2, ANSWER_ERRNO = 4, ANSWER_KILLS = 8 };

struct walk {
	const struct sock_filter *insns;
	size_t n;
	uint32_t nr;
	unsigned answers;
	unsigned steps; /* paths are few; a program made to have many is called conditional */
};

#define WALK_STEPS_MAX 200000

static unsigned classify(uint32_t ret)
{
	switch (ret & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return ANSWER_REACHES;
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_USER_NOTIF:
		return ANSWER_ASKS;
	case SECCOMP_RET_ERRNO:
		return ANSWER_ERRNO;
	default:
		return ANSWER_KILLS;
	}
}

/* What a load puts into the accumulator: known for the number and the architecture only. */
static bool known_load(const struct walk *w, const struct sock_filter *i, uint32_t *a)
{
	if (i->code != (BPF_LD | BPF_W | BPF_ABS))
		return false;
	if (i->k == offsetof(struct seccomp_data, nr))
		*a = w->nr;
	else if (i->k == offsetof(struct seccomp_data, arch))
		*a = AUDIT_ARCH_X86_64;
	else
		return false;
	return true;
}

static void walk_from(struct walk *w, size_t pc, bool known, uint32_t a)
{
	for (; pc < w->n && w->steps < WALK_STEPS_MAX; pc++) {
		const struct sock_filter *i = &w->insns[pc];

		w->steps++;
		switch (BPF_CLASS(i->code)) {
		case BPF_RET:
			w->answers |= BPF_RVAL(i->code) == BPF_A ? ANSWER_REACHES | ANSWER_ERRNO : classify(i->k);
			return;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA) {
				pc += i->k;
			} else if (known && BPF_SRC(i->code) == BPF_K) {
				pc += jump_taken(BPF_OP(i->code), a, i->k) ? i->jt : i->jf;
			} else {
				walk_from(w, pc + 1 + i->jt, known, a);
				pc += i->jf;
			}
			break;
		case BPF_ALU:
			known = known && BPF_SRC(i->code) == BPF_K;
			a = alu(BPF_OP(i->code), a, i->k);
			break;
		case BPF_LD:
			known = known_load(w, i, &a);
			break;
		case BPF_MISC:
			known = known && i->code != (BPF_MISC | BPF_TXA);
			break;
		}
	}
	if (w->steps >= WALK_STEPS_MAX)
		w->answers |= ANSWER_REACHES | ANSWER_ERRNO;
}

static void count(struct seccomp_reach *r, unsigned answers)
{
	if (answers == ANSWER_REACHES)
		r->allowed++;
	else if (answers & (ANSWER_REACHES | ANSWER_ASKS))
		r->conditional++;
	else if (answers == ANSWER_KILLS)
		r->killed++;
	else
		r->refused++;
}

void seccomp_reach(const struct seccomp_program *program, struct seccomp_reach *ret)
{
	uint32_t nrs[SECCOMP_NR_END];
	size_t n = seccomp_implemented(nrs, SECCOMP_NR_END);

	*ret = (struct seccomp_reach){ .total = (unsigned)n };
	for (size_t i = 0; i < n; i++) {
		struct walk w = { .nr = nrs[i], .answers = ANSWER_REACHES };

		if (program) {
			w.insns = program->insns;
			w.n = program->n;
			w.answers = 0;
			walk_from(&w, 0, false, 0);
		}
		count(ret, w.answers);
	}
}
