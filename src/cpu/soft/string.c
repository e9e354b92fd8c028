/* String and port instructions. A repeated one runs up to a page at a time and then lets interrupts in. */
#include "cpu/soft/cache.h"
#include "cpu/soft/event.h"
#include "cpu/soft/interp.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/segment.h"

static uint64_t address_mask(const struct insn *in)
{
	return in->asz == 8 ? ~0ull : in->asz == 4 ? 0xffffffff : 0xffff;
}

static void reg_add(struct vcpu *v, unsigned reg, const struct insn *in, int64_t d)
{
	reg_set(v, reg, in->asz, true, v->core->gpr[reg] + d);
}

static uint64_t compare(uint64_t f, uint64_t a, uint64_t b, unsigned n)
{
	uint64_t m = n == 8 ? ~0ull : (1ull << 8 * n) - 1, top = 1ull << (8 * n - 1), r;

	a &= m;
	b &= m;
	r = (a - b) & m;
	f &= ~(uint64_t)F_ARITH;
	return f | (a < b ? F_CF : 0) | (r ? 0 : F_ZF) | (r & top ? F_SF : 0) | ((a ^ b) & (a ^ r) & top ? F_OF : 0) |
	       ((a ^ b ^ r) & 16 ? F_AF : 0) | (__builtin_parity(r & 0xff) ? 0 : F_PF);
}

/* Whole elements at ADDR up to the end of its page. */
static uint64_t room(uint64_t addr, unsigned n)
{
	return (PAGE_SIZE - (addr & ~PAGE_MASK)) / n;
}

static void copy_forward(void *to, const void *from, uint64_t n, unsigned size)
{
	switch (size) {
	case 1: __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
	case 2: __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
	case 4: __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
	default: __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
	}
}

static void fill(void *to, uint64_t value, uint64_t n, unsigned size)
{
	switch (size) {
	case 1: __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
	case 2: __asm__ volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
	case 4: __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
	default: __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
	}
}

/* MOVS and STOS of many elements inside one page each; returns how many were done, 0: do one the slow way. */
static uint64_t bulk(struct vcpu *v, const struct insn *in, uint64_t count)
{
	unsigned n = in->msz;
	uint64_t mask = address_mask(in), di = v->core->gpr[CPU_RDI] & mask, si = v->core->gpr[CPU_RSI] & mask;
	struct span to, from = { 0 };

	if (v->core->rflags & F_DF || count < 2)
		return 0;
	uint64_t src = 0;
	if (in->op == OP_MOVS) { /* the source's faults come first */
		src = seg_linear(v, in->segover == SEG_NONE ? SEG_DS : in->segover, si, n, false);
		span_get(v, src, n, false, &from);
	}
	uint64_t dst = seg_linear(v, SEG_ES, di, n, true), k = room(dst, n);
	if (in->op == OP_MOVS)
		k = room(src, n) < k ? room(src, n) : k;
	k = count < k ? count : k;
	if (k < 2)
		return 0;
	if (v->mode != 8) { /* the limits hold for the last element as for the first */
		seg_linear(v, SEG_ES, di + (k - 1) * n, n, true);
		if (in->op == OP_MOVS)
			seg_linear(v, in->segover == SEG_NONE ? SEG_DS : in->segover, si + (k - 1) * n, n, false);
	}
	span_get(v, dst, n, true, &to);
	if (!to.host[0] || (in->op == OP_MOVS && !from.host[0]))
		return 0;
	if (in->op == OP_MOVS)
		copy_forward(to.host[0], from.host[0], k, n);
	else
		fill(to.host[0], v->core->gpr[0], k, n);
	if (to.code)
		cache_memory_written(v->vm->cache, to.pa[0], k * n);
	reg_add(v, CPU_RDI, in, k * n);
	if (in->op == OP_MOVS)
		reg_add(v, CPU_RSI, in, k * n);
	return k;
}

static uint32_t port_in(struct vcpu *v, uint16_t port, unsigned n)
{
	fpu_release(v);
	return v->vm->bus->port_read(v->vm->bus_data, v->index, port, n);
}

static void port_out(struct vcpu *v, uint16_t port, unsigned n, uint32_t x)
{
	fpu_release(v);
	v->vm->bus->port_write(v->vm->bus_data, v->index, port, n, x);
}

/* One element; sets the flags of a comparison. */
static void element(struct vcpu *v, const struct insn *in)
{
	unsigned n = in->msz > 4 && (in->op == OP_INS || in->op == OP_OUTS) ? 4 : in->msz;
	uint64_t mask = address_mask(in), di = v->core->gpr[CPU_RDI] & mask, si = v->core->gpr[CPU_RSI] & mask, a, b;
	int64_t step = v->core->rflags & F_DF ? -(int64_t)n : n;
	unsigned src = in->segover == SEG_NONE ? SEG_DS : in->segover;
	uint16_t port = v->core->gpr[CPU_RDX];
	struct span s;

	switch (in->op) {
	case OP_MOVS:
		a = mem_read(v, seg_linear(v, src, si, n, false), n);
		mem_write(v, seg_linear(v, SEG_ES, di, n, true), n, a);
		break;
	case OP_STOS: mem_write(v, seg_linear(v, SEG_ES, di, n, true), n, v->core->gpr[0]); break;
	case OP_LODS: reg_set(v, 0, n, true, mem_read(v, seg_linear(v, src, si, n, false), n)); break;
	case OP_CMPS: /* in the order of a real processor's faults */
		b = mem_read(v, seg_linear(v, SEG_ES, di, n, false), n);
		a = mem_read(v, seg_linear(v, src, si, n, false), n);
		v->core->rflags = compare(v->core->rflags, a, b, n);
		break;
	case OP_SCAS:
		b = mem_read(v, seg_linear(v, SEG_ES, di, n, false), n);
		v->core->rflags = compare(v->core->rflags, v->core->gpr[0], b, n);
		break;
	case OP_INS:
		span_get(v, seg_linear(v, SEG_ES, di, n, true), n, true, &s); /* a fault comes before the port is read */
		a = port_in(v, port, n);
		span_write(v, &s, &a);
		break;
	case OP_OUTS: port_out(v, port, n, mem_read(v, seg_linear(v, src, si, n, false), n)); break;
	}
	if (in->op != OP_LODS && in->op != OP_OUTS)
		reg_add(v, CPU_RDI, in, step);
	if (in->op == OP_MOVS || in->op == OP_LODS || in->op == OP_CMPS || in->op == OP_OUTS)
		reg_add(v, CPU_RSI, in, step);
}

void exec_string(struct vcpu *v, const struct insn *in)
{
	bool repeated = in->rep || in->repne, compares = in->op == OP_CMPS || in->op == OP_SCAS;

	if ((in->op == OP_INS || in->op == OP_OUTS) && !port_allowed(v, v->core->gpr[CPU_RDX], in->msz > 4 ? 4 : in->msz))
		raise_error(v, EXC_GP, 0);
	if (!repeated) {
		element(v, in);
		return;
	}
	if (compares) { /* a fault finds the flags as they were before the first element */
		v->undo_flags = true;
		v->undo_rflags = v->core->rflags;
	}
	for (unsigned i = 0; compares || i < 64; i++) {
		uint64_t left = v->core->gpr[CPU_RCX] & address_mask(in), done = 0;
		if (!left)
			return;
		if (in->op == OP_MOVS || in->op == OP_STOS)
			done = bulk(v, in, left);
		if (!done) {
			element(v, in);
			done = 1;
		}
		reg_set(v, CPU_RCX, in->asz, true, left - done);
		bool zf = v->core->rflags & F_ZF;
		if (left == done || (compares && zf != in->rep))
			return;
		if (v->core->kick || (v->core->rflags & F_TF))
			break;
	}
	v->next_rip = v->core->rip; /* more to do */
}

/* --- ports --- */

bool port_allowed(struct vcpu *v, uint16_t port, unsigned size)
{
	if (!(v->cr0 & CR0_PE) || (!(v->core->rflags & F_VM) && v->core->cpl <= (v->core->rflags & F_IOPL) >> 12))
		return true;
	if (!(v->tr.attr & 8) || v->tr.limit < 103)
		return false;
	uint16_t base = mem_read_sys(v, v->tr.base + 102, 2);
	if ((uint32_t)base + port / 8 + 1 > v->tr.limit)
		return false;
	uint16_t bits = mem_read_sys(v, v->tr.base + base + port / 8, 2);
	return !(bits >> (port & 7) & ((1u << size) - 1));
}

void exec_port(struct vcpu *v, const struct insn *in)
{
	unsigned n = in->msz > 4 ? 4 : in->msz;
	uint16_t port = in->opc & 8 ? v->core->gpr[CPU_RDX] : in->imm;

	if (!port_allowed(v, port, n))
		raise_error(v, EXC_GP, 0);
	if (in->op == OP_IN)
		reg_set(v, 0, n, true, port_in(v, port, n));
	else
		port_out(v, port, n, reg_get(v, 0, n, true));
}
