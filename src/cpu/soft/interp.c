#include "cpu/soft/interp.h"

#include <errno.h>
#include <stdlib.h>

#include "cpu/soft/cache.h"
#include "cpu/soft/event.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/segment.h"

/* --- decoded instructions, found again by their bytes --- */

struct decoded {
	uint8_t bytes[16];
	uint8_t mode;
	struct insn in;
	void *thunk;
	uint64_t generation; /* of the code cache, when the thunk was made */
};
#define DECODED 8192

struct decoded *interp_alloc(void)
{
	return calloc(DECODED, sizeof(struct decoded));
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static struct decoded *decode_at(struct vcpu *v, const uint8_t *bytes, unsigned avail, uint64_t rip, int *ret_err)
{
	struct decoded *d = &v->decoded[(rip ^ rip >> 13) % DECODED];

	*ret_err = 0;
	if (d->in.len && d->mode == v->mode && d->in.len <= avail && same_bytes(d->bytes, bytes, d->in.len))
		return d;
	struct insn in;
	if ((*ret_err = insn_decode(bytes, avail, v->mode, false, &in)) < 0)
		return NULL;
	d->in = in;
	d->mode = v->mode;
	d->thunk = NULL;
	for (unsigned i = 0; i < in.len; i++)
		d->bytes[i] = bytes[i];
	return d;
}

static void fetch_bytes(struct vcpu *v, uint64_t va, unsigned n, uint8_t *buf)
{
	uint64_t pa;
	const uint8_t *p = fetch_page(v, va, &pa);

	if (!p)
		raise_error(v, EXC_GP, 0); /* code in device memory is not supported by this machine */
	for (unsigned i = 0; i < n; i++)
		buf[i] = p[i];
}

static struct decoded *fetch(struct vcpu *v)
{
	uint64_t rip = v->core->rip, va = v->mode == 8 ? rip : (v->core->seg[SEG_CS].base + rip) & 0xffffffff, pa;
	unsigned left = PAGE_SIZE - (va & ~PAGE_MASK);
	uint8_t buf[INSN_MAX];
	int r;

	if (v->mode != 8 && rip > v->core->seg[SEG_CS].limit)
		raise_error(v, EXC_GP, 0);
	const uint8_t *p = fetch_page(v, va, &pa);
	if (!p)
		raise_error(v, EXC_GP, 0);
	struct decoded *d = decode_at(v, p, left < INSN_MAX ? left : INSN_MAX, rip, &r);
	if (r == -EAGAIN) {
		for (unsigned i = 0; i < left; i++)
			buf[i] = p[i];
		fetch_bytes(v, va + left, INSN_MAX - left, buf + left);
		d = decode_at(v, buf, INSN_MAX, rip, &r);
	}
	if (r == -E2BIG || r == -EAGAIN)
		raise_error(v, EXC_GP, 0);
	if (r < 0)
		raise_exception(v, EXC_UD);
	if (v->mode != 8 && rip + d->in.len - 1 > v->core->seg[SEG_CS].limit)
		raise_error(v, EXC_GP, 0);
	return d;
}

/* --- operands --- */

uint64_t reg_get(const struct vcpu *v, unsigned n, unsigned size, bool rex)
{
	const uint64_t *g = v->core->gpr;

	switch (size) {
	case 1: return !rex && n >= 4 && n < 8 ? g[n - 4] >> 8 & 0xff : g[n] & 0xff;
	case 2: return g[n] & 0xffff;
	case 4: return g[n] & 0xffffffff;
	default: return g[n];
	}
}

void reg_set(struct vcpu *v, unsigned n, unsigned size, bool rex, uint64_t value)
{
	uint64_t *g = v->core->gpr;

	switch (size) {
	case 1:
		if (!rex && n >= 4 && n < 8)
			g[n - 4] = (g[n - 4] & ~0xff00ull) | (value & 0xff) << 8;
		else
			g[n] = (g[n] & ~0xffull) | (value & 0xff);
		break;
	case 2: g[n] = (g[n] & ~0xffffull) | (value & 0xffff); break;
	case 4: g[n] = value & 0xffffffff; break;
	default: g[n] = value; break;
	}
}

uint64_t effective_address(const struct vcpu *v, const struct insn *in)
{
	uint64_t a = (int64_t)in->disp;

	if (in->base == REG_IP)
		a += v->core->rip + in->len;
	else if (in->base != REG_NO)
		a += v->core->gpr[in->base];
	if (in->index != REG_NO)
		a += v->core->gpr[in->index] << in->scale;
	return in->asz == 8 ? a : in->asz == 4 ? a & 0xffffffff : a & 0xffff;
}

uint64_t operand_address(struct vcpu *v, const struct insn *in, unsigned n, bool write)
{
	return seg_linear(v, in->seg, effective_address(v, in), n, write);
}

uint64_t rm_read(struct vcpu *v, const struct insn *in, unsigned size)
{
	if (in->mod == 3)
		return reg_get(v, in->rm, size, in->rex);
	return mem_read(v, operand_address(v, in, size, false), size);
}

void rm_write(struct vcpu *v, const struct insn *in, unsigned size, uint64_t value)
{
	if (in->mod == 3)
		reg_set(v, in->rm, size, in->rex, value);
	else
		mem_write(v, operand_address(v, in, size, true), size, value);
}

/* --- the stack --- */

uint64_t stack_mask(const struct vcpu *v)
{
	if (v->mode == 8)
		return ~0ull;
	return v->core->seg[SEG_SS].attr & ATTR_DB ? 0xffffffff : 0xffff;
}

struct stack stack_begin(struct vcpu *v)
{
	return (struct stack){ .sp = v->core->gpr[RSP], .mask = stack_mask(v) };
}

void stack_push(struct vcpu *v, struct stack *s, unsigned size, uint64_t value)
{
	uint64_t sp = (s->sp & ~s->mask) | ((s->sp - size) & s->mask);

	mem_write(v, seg_linear(v, SEG_SS, sp & s->mask, size, true), size, value);
	s->sp = sp;
}

uint64_t stack_pop(struct vcpu *v, struct stack *s, unsigned size)
{
	uint64_t x = mem_read(v, seg_linear(v, SEG_SS, s->sp & s->mask, size, false), size);

	s->sp = (s->sp & ~s->mask) | ((s->sp + size) & s->mask);
	return x;
}

void stack_commit(struct vcpu *v, const struct stack *s)
{
	v->core->gpr[RSP] = s->sp;
}

static void push(struct vcpu *v, unsigned size, uint64_t value)
{
	struct stack s = stack_begin(v);

	stack_push(v, &s, size, value);
	stack_commit(v, &s);
}

/* --- flags and conditions --- */

bool condition(uint64_t f, unsigned cc)
{
	bool r, zf = f & F_ZF, cf = f & F_CF, sf = f & F_SF, of = f & F_OF;

	switch (cc >> 1 & 7) {
	case 0: r = of; break;
	case 1: r = cf; break;
	case 2: r = zf; break;
	case 3: r = cf || zf; break;
	case 4: r = sf; break;
	case 5: r = f & F_PF; break;
	case 6: r = sf != of; break;
	default: r = zf || sf != of; break;
	}
	return r != (cc & 1);
}

uint64_t rflags_set(struct vcpu *v, uint64_t value, uint64_t mask)
{
	uint64_t old = v->core->rflags, now = (old & ~mask) | (value & mask) | 2;

	v->core->rflags = now;
	if ((old ^ now) & F_AC)
		mmu_update_view(v);
	return now;
}

/* --- native execution --- */

static void check_fpu(struct vcpu *v, const struct insn *in)
{
	if (in->attr & A_SSE) {
		bool mmx = in->attr & A_PFX && in->pfx == PFX_NONE && in->map == 1 &&
			   ((in->opc >= 0x60 && in->opc <= 0x7f) || (in->opc >= 0xd0 && in->opc != 0xe7));
		if ((v->cr0 & CR0_EM) || (!(v->cr4 & CR4_OSFXSR) && !mmx))
			raise_exception(v, EXC_UD);
		if (v->cr0 & CR0_TS)
			raise_exception(v, EXC_NM);
	} else if (in->attr & A_FPU) {
		if (in->opc == 0x77 && in->map == 1 && (v->cr0 & CR0_EM))
			raise_exception(v, EXC_UD);
		if (v->cr0 & (CR0_EM | CR0_TS))
			raise_exception(v, EXC_NM);
	}
	fpu_acquire(v);
}

static void run_thunk(struct vcpu *v, struct decoded *d)
{
	struct core *k = v->core;
	struct code_cache *cache = v->vm->cache;

	if (!d->thunk || d->generation != cache_generation(cache)) {
		d->thunk = cache_make_thunk(cache, &d->in);
		d->generation = cache_generation(cache);
	}
	k->flags_ax = flags_to_ax(k->rflags);
	k->enter_code = (uint64_t)d->thunk;
	k->exit_kind = EXIT_NONE;
	cache_stubs(cache)->enter(k);
	if (k->exit_kind == EXIT_FAULT) {
		int vec = k->fault_vector;
		if (vec == EXC_GP || vec == EXC_SS || vec == EXC_PF || vec == EXC_AC)
			raise_error(v, vec == EXC_AC ? EXC_AC : EXC_GP, 0);
		raise_exception(v, vec);
	}
	k->rflags = (k->rflags & ~(uint64_t)(F_ARITH | F_DF)) | (k->hw_flags & (F_ARITH | F_DF));
}

static void exec_native(struct vcpu *v, struct decoded *d)
{
	const struct insn *in = &d->in;
	struct span s;

	if (in->attr & (A_SSE | A_FPU))
		check_fpu(v, in);
	if (!insn_has_mem(in)) {
		run_thunk(v, d);
		return;
	}
	bool write = in->attr & A_EW, read = in->attr & A_ER;
	if (in->attr & A_ALIGN && (effective_address(v, in) + (in->seg >= SEG_FS ? v->core->seg[in->seg].base : 0)) & 15)
		raise_error(v, EXC_GP, 0); /* comes before all other faults */
	uint64_t va = operand_address(v, in, in->msz, write);
	span_get(v, va, in->msz, write, &s);
	if (s.host[0] && !s.len[1]) {
		v->core->mem_host = (uint64_t)s.host[0];
		run_thunk(v, d);
		if (s.code)
			cache_memory_written(v->vm->cache, s.pa[0], s.len[0]);
		return;
	}
	uint8_t *p = v->bounce + (va & 63);
	if (read)
		span_read(v, &s, p);
	if (in->attr & (A_SSE | A_FPU))
		fpu_acquire(v); /* a device may have been asked */
	v->core->mem_host = (uint64_t)p;
	run_thunk(v, d);
	if (write)
		span_write(v, &s, p);
}

/* --- the rest, in C --- */

static void exec_mov(struct vcpu *v, const struct insn *in)
{
	unsigned size = in->attr & A_EB ? 1 : in->osz;

	if (in->attr & A_RW)
		reg_set(v, in->reg, size, in->rex, rm_read(v, in, size));
	else
		rm_write(v, in, size, in->attr & A_RR ? reg_get(v, in->reg, size, in->rex) : in->imm);
}

static void exec_bt(struct vcpu *v, struct decoded *d)
{
	/* a bit string in memory: the register offset reaches beyond the operand */
	const struct insn *in = &d->in;
	int64_t off = (int64_t)(reg_get(v, in->reg, in->osz, true) << (64 - 8 * in->osz)) >> (64 - 8 * in->osz);
	unsigned bits = 8 * in->osz, op = in->opc >> 3 & 3;
	uint64_t ea = effective_address(v, in) + (off >> (in->osz == 8 ? 6 : in->osz == 4 ? 5 : 4)) * in->osz;
	struct span s;

	ea = in->asz == 8 ? ea : in->asz == 4 ? ea & 0xffffffff : ea & 0xffff;
	span_get(v, seg_linear(v, in->seg, ea, in->osz, op != 0), in->osz, op != 0, &s);
	uint64_t x = 0, bit = 1ull << (off & (bits - 1)), old;
	if (s.host[0] && !s.len[1] && op && !((uint64_t)s.host[0] & (in->osz - 1))) {
		/* another processor may change its neighbours: one byte, atomically */
		uint8_t *b = s.host[0] + (off & (bits - 1)) / 8, m = 1 << (off & 7);
		old = op == 1 ? __atomic_fetch_or(b, m, __ATOMIC_SEQ_CST) : op == 2 ? __atomic_fetch_and(b, (uint8_t)~m, __ATOMIC_SEQ_CST) :
			__atomic_fetch_xor(b, m, __ATOMIC_SEQ_CST);
		if (s.code)
			cache_memory_written(v->vm->cache, s.pa[0], in->osz);
		v->core->rflags = (v->core->rflags & ~F_CF) | (old & m ? F_CF : 0);
		return;
	}
	span_read(v, &s, &x);
	old = x & bit;
	x = op == 1 ? x | bit : op == 2 ? x & ~bit : op == 3 ? x ^ bit : x;
	if (op)
		span_write(v, &s, &x);
	v->core->rflags = (v->core->rflags & ~(uint64_t)F_CF) | (old ? F_CF : 0);
}

static void exec_bcd(struct vcpu *v, const struct insn *in)
{
	uint64_t *g = v->core->gpr, f = v->core->rflags;
	uint8_t al = g[0], ah = g[0] >> 8, old = al;
	bool cf = f & F_CF, af = f & F_AF, low = (al & 15) > 9 || af;

	if (in->opc == 0x27 || in->opc == 0x2f) { /* DAA, DAS */
		bool sub = in->opc == 0x2f, carry = false;
		if (low) {
			carry = sub ? al < 6 : al > 0xf9;
			al += sub ? -6 : 6;
		}
		bool high = old > 0x99 || cf;
		if (high)
			al += sub ? -0x60 : 0x60;
		f &= ~(uint64_t)F_ARITH;
		f |= (high || (sub ? cf || (low && carry) : 0) ? F_CF : 0) | (low ? F_AF : 0) | (al ? 0 : F_ZF) | (al & 0x80 ? F_SF : 0) |
		     (__builtin_parity(al) ? 0 : F_PF);
		g[0] = (g[0] & ~0xffull) | al;
	} else { /* AAA, AAS */
		uint16_t ax = ah << 8 | al;
		if (low)
			ax = in->opc == 0x37 ? ax + 0x106 : ax - 0x106;
		f = (f & ~(uint64_t)(F_CF | F_AF)) | (low ? F_CF | F_AF : 0);
		g[0] = (g[0] & ~0xffffull) | (ax & 0xff0f);
	}
	v->core->rflags = f;
}

static void exec_aam_aad(struct vcpu *v, const struct insn *in)
{
	uint64_t *g = v->core->gpr;
	uint8_t al = g[0], ah = g[0] >> 8, n = in->imm;

	if (in->op == OP_AAM) {
		if (n == 0)
			raise_exception(v, EXC_DE);
		ah = al / n;
		al %= n;
	} else {
		al += ah * n;
		ah = 0;
	}
	g[0] = (g[0] & ~0xffffull) | ah << 8 | al;
	v->core->rflags = (v->core->rflags & ~(uint64_t)F_ARITH) | (al ? 0 : F_ZF) | (al & 0x80 ? F_SF : 0) | (__builtin_parity(al) ? 0 : F_PF);
}

void branch_to(struct vcpu *v, uint64_t rip)
{
	const struct insn *in = v->in;

	if (v->mode == 8) {
		if ((uint64_t)((int64_t)(rip << 16) >> 16) != rip)
			raise_error(v, EXC_GP, 0);
	} else {
		rip &= in->osz == 2 ? 0xffff : 0xffffffff;
		if (rip > v->core->seg[SEG_CS].limit)
			raise_error(v, EXC_GP, 0);
	}
	v->next_rip = rip;
}

static void exec_call(struct vcpu *v, const struct insn *in)
{
	uint64_t target = in->op == OP_CALL ? v->next_rip + in->imm : rm_read(v, in, in->osz), back = v->next_rip;
	struct stack s = stack_begin(v);

	stack_push(v, &s, in->osz, back);
	branch_to(v, target);
	stack_commit(v, &s);
}

static void exec_ret(struct vcpu *v, const struct insn *in)
{
	struct stack s = stack_begin(v);
	uint64_t target = stack_pop(v, &s, in->osz);

	branch_to(v, target);
	s.sp = (s.sp & ~s.mask) | ((s.sp + in->imm) & s.mask);
	stack_commit(v, &s);
}

static void exec_loop(struct vcpu *v, const struct insn *in)
{
	uint64_t n = reg_get(v, CPU_RCX, in->asz, true);
	bool zf = v->core->rflags & F_ZF, taken;

	if (in->op == OP_JCXZ) {
		taken = n == 0;
	} else {
		n = (n - 1) & (in->asz == 8 ? ~0ull : in->asz == 4 ? 0xffffffff : 0xffff);
		taken = n != 0 && (in->opc == 0xe2 || zf == (in->opc == 0xe1));
	}
	if (taken)
		branch_to(v, v->next_rip + in->imm);
	if (in->op == OP_LOOP)
		reg_set(v, CPU_RCX, in->asz, true, n);
}

static void exec_pusha(struct vcpu *v, const struct insn *in)
{
	struct stack s = stack_begin(v);
	uint64_t sp = s.sp;

	for (unsigned i = 0; i < 8; i++)
		stack_push(v, &s, in->osz, i == RSP ? sp : v->core->gpr[i]);
	stack_commit(v, &s);
}

static void exec_popa(struct vcpu *v, const struct insn *in)
{
	struct stack s = stack_begin(v);
	uint64_t regs[8];

	for (unsigned i = 8; i-- > 0;)
		regs[i] = stack_pop(v, &s, in->osz);
	for (unsigned i = 0; i < 8; i++)
		if (i != RSP)
			reg_set(v, i, in->osz, true, regs[i]);
	stack_commit(v, &s);
}

static void exec_pushf(struct vcpu *v, const struct insn *in)
{
	if ((v->core->rflags & F_VM) && (v->core->rflags & F_IOPL) != F_IOPL)
		raise_error(v, EXC_GP, 0);
	push(v, in->osz, v->core->rflags & ~(uint64_t)(F_VM | F_RF));
}

static void exec_popf(struct vcpu *v, const struct insn *in)
{
	uint64_t f = v->core->rflags, mask = F_ARITH | F_TF | F_DF | F_NT | F_AC | F_ID;
	struct stack s = stack_begin(v);

	if ((f & F_VM) && (f & F_IOPL) != F_IOPL)
		raise_error(v, EXC_GP, 0);
	uint64_t x = stack_pop(v, &s, in->osz);
	if (v->core->cpl <= (f & F_IOPL) >> 12)
		mask |= F_IF;
	if (v->core->cpl == 0)
		mask |= F_IOPL;
	if (in->osz == 2)
		mask &= 0xffff;
	stack_commit(v, &s);
	rflags_set(v, x, mask);
	v->core->rflags &= ~(uint64_t)F_RF;
}

static void exec_enter(struct vcpu *v, const struct insn *in)
{
	unsigned level = in->imm2 & 31, size = in->osz;
	struct stack s = stack_begin(v);
	uint64_t bp = v->core->gpr[CPU_RBP], frame;

	stack_push(v, &s, size, bp);
	frame = s.sp;
	for (unsigned i = 1; i < level; i++) {
		bp = (bp & ~s.mask) | ((bp - size) & s.mask);
		stack_push(v, &s, size, mem_read(v, seg_linear(v, SEG_SS, bp & s.mask, size, false), size));
	}
	if (level)
		stack_push(v, &s, size, frame);
	s.sp = (s.sp & ~s.mask) | ((s.sp - in->imm) & s.mask);
	span_get(v, seg_linear(v, SEG_SS, s.sp & s.mask, size, true), size, true, &(struct span){ 0 });
	stack_commit(v, &s);
	reg_set(v, CPU_RBP, size, true, frame);
}

static void exec_leave(struct vcpu *v, const struct insn *in)
{
	struct stack s = stack_begin(v);

	s.sp = (s.sp & ~s.mask) | (v->core->gpr[CPU_RBP] & s.mask);
	uint64_t bp = stack_pop(v, &s, in->osz);
	stack_commit(v, &s);
	reg_set(v, CPU_RBP, in->osz, true, bp);
}

static void exec_push_seg(struct vcpu *v, const struct insn *in)
{
	unsigned seg = in->opc >> 3 & 7;
	struct stack s = stack_begin(v);
	uint64_t sel = v->core->seg[seg].selector;

	if (in->osz == 4) { /* only the low half is written */
		uint64_t sp = (s.sp & ~s.mask) | ((s.sp - 4) & s.mask);
		mem_write(v, seg_linear(v, SEG_SS, sp & s.mask, 2, true), 2, sel);
		s.sp = sp;
	} else {
		stack_push(v, &s, in->osz, sel);
	}
	stack_commit(v, &s);
}

static void exec_pop_seg(struct vcpu *v, const struct insn *in)
{
	struct stack s = stack_begin(v);
	uint64_t sel = stack_pop(v, &s, in->osz);

	seg_load(v, in->opc >> 3 & 7, sel);
	if ((in->opc >> 3 & 7) == SEG_SS)
		v->core->shadow = 1;
	stack_commit(v, &s);
}

static void exec_pop_rm(struct vcpu *v, const struct insn *in)
{
	struct stack s = stack_begin(v);
	uint64_t old = v->core->gpr[RSP], x = stack_pop(v, &s, in->osz);

	/* the address of a memory operand is computed with the new stack pointer */
	stack_commit(v, &s);
	if (in->mod != 3) {
		struct span to;
		uint64_t ea = effective_address(v, in);
		v->core->gpr[RSP] = old;
		span_get(v, seg_linear(v, in->seg, ea, in->osz, true), in->osz, true, &to);
		span_write(v, &to, &x);
		stack_commit(v, &s);
	} else {
		reg_set(v, in->rm, in->osz, true, x);
	}
}

static void exec_pop_r(struct vcpu *v, const struct insn *in)
{
	struct stack s = stack_begin(v);
	uint64_t x = stack_pop(v, &s, in->osz);

	stack_commit(v, &s);
	reg_set(v, (in->opc & 7) | (in->rex & 1 ? 8 : 0), in->osz, true, x);
}

static void exec_moffs(struct vcpu *v, const struct insn *in)
{
	unsigned size = in->opc & 1 ? in->osz : 1;
	unsigned seg = in->segover == SEG_NONE ? SEG_DS : in->segover;

	if (in->opc < 0xa2)
		reg_set(v, 0, size, true, mem_read(v, seg_linear(v, seg, in->imm, size, false), size));
	else
		mem_write(v, seg_linear(v, seg, in->imm, size, true), size, v->core->gpr[0]);
}

static void exec_bound(struct vcpu *v, const struct insn *in)
{
	unsigned n = in->osz, s = 64 - 8 * n;
	uint64_t a = operand_address(v, in, 2 * n, false);
	int64_t lo = (int64_t)(mem_read(v, a, n) << s) >> s, hi = (int64_t)(mem_read(v, a + n, n) << s) >> s;
	int64_t x = (int64_t)(v->core->gpr[in->reg] << s) >> s;

	if (x < lo || x > hi)
		raise_exception(v, EXC_BR);
}

static void software_interrupt(struct vcpu *v, int vector)
{
	/* INT1 is not subject to the gate's privilege */
	event_deliver(v, vector, vector == EXC_DB ? EVENT_EXTERNAL : EVENT_SOFTWARE, false, 0, v->next_rip);
	v->next_rip = v->core->rip;
}

static void exec_lea(struct vcpu *v, const struct insn *in)
{
	reg_set(v, in->reg, in->osz, true, effective_address(v, in));
}

static void exec_xlat(struct vcpu *v, const struct insn *in)
{
	uint64_t ea = v->core->gpr[CPU_RBX] + (v->core->gpr[0] & 0xff);

	ea = in->asz == 8 ? ea : in->asz == 4 ? ea & 0xffffffff : ea & 0xffff;
	reg_set(v, 0, 1, true, mem_read(v, seg_linear(v, in->segover == SEG_NONE ? SEG_DS : in->segover, ea, 1, false), 1));
}

static void exec_maskmov(struct vcpu *v, struct decoded *d)
{
	/* byte by byte, as the mask says: the operands are stored by the host first */
	const struct insn *in = &d->in;
	bool mmx = in->pfx == PFX_NONE;
	unsigned n = mmx ? 8 : 16, seg = in->segover == SEG_NONE ? SEG_DS : in->segover;
	uint64_t di = in->asz == 8 ? v->core->gpr[CPU_RDI] : v->core->gpr[CPU_RDI] & 0xffffffff;

	check_fpu(v, in);
	if (mmx) {
		uint32_t unused;
		__asm__ volatile("movd %%mm0, %0" : "=r"(unused)); /* the x87 unit's transition to MMX */
	}
	__asm__ volatile("fxsave64 %0" : "=m"(v->guest_fpu));
	const uint8_t *x = mmx ? v->guest_fpu + 32 + 16 * (in->reg & 7) : v->guest_fpu + 160 + 16 * in->reg;
	const uint8_t *m = mmx ? v->guest_fpu + 32 + 16 * (in->rm & 7) : v->guest_fpu + 160 + 16 * in->rm;
	uint8_t data[16], mask[16];
	for (unsigned i = 0; i < n; i++) {
		data[i] = x[i];
		mask[i] = m[i];
	}
	for (unsigned i = 0; i < n; i++)
		if (mask[i] & 0x80)
			mem_write(v, seg_linear(v, seg, di + i, 1, true), 1, data[i]);
}

static enum step exec(struct vcpu *v, struct decoded *d)
{
	const struct insn *in = &d->in;
	struct core *k = v->core;

	switch (in->op) {
	case OP_NATIVE:
		if (in->map == 0 && in->opc == 0x8d)
			exec_lea(v, in);
		else
			exec_native(v, d);
		break;
	case OP_DIV: case OP_IDIV: exec_native(v, d); break;
	case OP_FWAIT:
		if ((v->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
			raise_exception(v, EXC_NM);
		fpu_acquire(v);
		run_thunk(v, d);
		break;
	case OP_NOP:
		if (insn_has_mem(in) && !(in->attr & A_NOACC))
			mem_read(v, operand_address(v, in, 1, false), 1); /* CLFLUSH */
		break;
	case OP_MOV: exec_mov(v, in); break;
	case OP_MOFFS: exec_moffs(v, in); break;
	case OP_BT: exec_bt(v, d); break;
	case OP_PUSH_R: push(v, in->osz, k->gpr[(in->opc & 7) | (in->rex & 1 ? 8 : 0)]); break;
	case OP_PUSH_I: push(v, in->osz, in->imm); break;
	case OP_PUSH_E: push(v, in->osz, rm_read(v, in, in->osz)); break;
	case OP_PUSH_SEG: exec_push_seg(v, in); break;
	case OP_PUSHA: exec_pusha(v, in); break;
	case OP_PUSHF: exec_pushf(v, in); break;
	case OP_POP_R: exec_pop_r(v, in); break;
	case OP_POP_E: exec_pop_rm(v, in); break;
	case OP_POP_SEG: exec_pop_seg(v, in); break;
	case OP_POPA: exec_popa(v, in); break;
	case OP_POPF: exec_popf(v, in); break;
	case OP_ENTER: exec_enter(v, in); break;
	case OP_LEAVE: exec_leave(v, in); break;
	case OP_JCC:
		if (condition(k->rflags, in->opc))
			branch_to(v, v->next_rip + in->imm);
		break;
	case OP_JMP: branch_to(v, v->next_rip + in->imm); break;
	case OP_JMP_E: branch_to(v, rm_read(v, in, in->osz)); break;
	case OP_CALL: case OP_CALL_E: exec_call(v, in); break;
	case OP_RET: exec_ret(v, in); break;
	case OP_JMP_FAR: case OP_CALL_FAR: far_jump(v, in->imm2, in->imm, in->op == OP_CALL_FAR); break;
	case OP_JMP_FAR_E: case OP_CALL_FAR_E: {
		uint64_t a = operand_address(v, in, in->osz + 2, false), off = mem_read(v, a, in->osz);
		far_jump(v, mem_read(v, a + in->osz, 2), off, in->op == OP_CALL_FAR_E);
		break;
	}
	case OP_RETF: far_return(v, in->imm); break;
	case OP_LOOP: case OP_JCXZ: exec_loop(v, in); break;
	case OP_INT3: software_interrupt(v, EXC_BP); break;
	case OP_INT1: software_interrupt(v, EXC_DB); break;
	case OP_INT:
		if ((k->rflags & F_VM) && (k->rflags & F_IOPL) != F_IOPL)
			raise_error(v, EXC_GP, 0);
		software_interrupt(v, in->imm);
		break;
	case OP_INTO:
		if (k->rflags & F_OF)
			software_interrupt(v, EXC_OF);
		break;
	case OP_IRET: do_iret(v); break;
	case OP_BOUND: exec_bound(v, in); break;
	case OP_MOVS: case OP_CMPS: case OP_STOS: case OP_LODS: case OP_SCAS: case OP_INS: case OP_OUTS: exec_string(v, in); break;
	case OP_IN: case OP_OUT: exec_port(v, in); break;
	case OP_BCD: exec_bcd(v, in); break;
	case OP_AAM: case OP_AAD: exec_aam_aad(v, in); break;
	case OP_SALC: reg_set(v, 0, 1, true, k->rflags & F_CF ? 0xff : 0); break;
	case OP_XLAT: exec_xlat(v, in); break;
	case OP_MASKMOV: exec_maskmov(v, d); break;
	default: return exec_system(v, in);
	}
	return STEP_OK;
}

/* --- one step --- */

/* SDM volume 3, table 6-5: what a second exception while delivering a first makes of it. -1: shut down. */
static int combine(int first, int second)
{
	bool c1 = first == EXC_DE || (first >= EXC_TS && first <= EXC_GP), c2 = second == EXC_DE || (second >= EXC_TS && second <= EXC_GP);

	if (first == EXC_DF)
		return -1;
	if ((c1 && c2) || (first == EXC_PF && (c2 || second == EXC_PF)))
		return EXC_DF;
	return second;
}

/* Delivers v->exc_*, and what its delivery raises. */
static enum step deliver(struct vcpu *v)
{
	volatile int first = -1;
	enum event_kind kind = EVENT_FAULT;

	if (v->exc_vector == EXC_UNSUPPORTED)
		return STEP_ERROR;
	if (__builtin_setjmp(v->jmp)) {
		if (v->exc_vector == EXC_UNSUPPORTED)
			return STEP_ERROR;
		v->exc_vector = combine(first, v->exc_vector);
		if (v->exc_vector < 0)
			return STEP_TRIPLE_FAULT;
		if (v->exc_vector == EXC_DF) {
			v->exc_has_error = true;
			v->exc_error = 0;
		}
	}
	first = v->exc_vector;
	v->core->shadow = 0;
	event_deliver(v, v->exc_vector, kind, v->exc_has_error, v->exc_error, v->core->rip);
	return STEP_OK;
}

enum step interp_deliver(struct vcpu *v, int vector, bool nmi)
{
	volatile bool again = false;

	v->in = NULL;
	if (__builtin_setjmp(v->jmp))
		again = true;
	if (again)
		return deliver(v);
	event_deliver(v, vector, nmi ? EVENT_FAULT : EVENT_EXTERNAL, false, 0, v->core->rip);
	return STEP_OK;
}

static void single_step_trap(struct vcpu *v)
{
	v->dr[6] |= 1 << 14;
	raise_exception(v, EXC_DB);
}

enum step interp_step(struct vcpu *v)
{
	v->in = NULL;
	v->undo_flags = false;
	if (__builtin_setjmp(v->jmp)) {
		if (v->undo_flags)
			v->core->rflags = v->undo_rflags;
		return deliver(v);
	}
	struct core *k = v->core;
	bool trap = k->rflags & F_TF, shadowed = k->shadow;
	struct decoded *d = fetch(v);
	v->in = &d->in;
	v->next_rip = v->mode == 8 ? k->rip + d->in.len : (k->rip + d->in.len) & 0xffffffff;
	k->shadow = 0;
	enum step r = exec(v, d);
	k->rip = v->next_rip;
	v->stats.interpreted++;
	if (shadowed && k->shadow && v->in->op == OP_STI)
		k->shadow = 0; /* a second STI does not extend the shadow */
	if (trap && !k->shadow)
		single_step_trap(v);
	return r;
}
