#include "cpu/soft/event.h"

#include "base/strbuf.h"
#include "cpu/soft/cache.h"
#include "cpu/soft/interp.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/segment.h"

void raise_again(struct vcpu *v)
{
	__builtin_longjmp(v->jmp, 1);
}

void raise_exception(struct vcpu *v, int vector)
{
	v->exc_vector = vector;
	v->exc_has_error = false;
	v->exc_error = 0;
	raise_again(v);
}

void raise_error(struct vcpu *v, int vector, uint32_t code)
{
	v->exc_vector = vector;
	v->exc_has_error = true;
	v->exc_error = code;
	raise_again(v);
}

void engine_unsupported(struct vcpu *v, const char *what)
{
	fpu_release(v);
	snprintf(v->error, sizeof(v->error), "the guest used %s at %#llx, which the software engine does not support", what,
		 (unsigned long long)v->core->rip);
	v->exc_vector = EXC_UNSUPPORTED;
	raise_again(v);
}

void fpu_acquire(struct vcpu *v)
{
	if (v->fpu_live)
		return;
	__asm__ volatile("fxsave64 %0\n\tfxrstor64 %1" : "=m"(v->host_fpu) : "m"(v->guest_fpu));
	v->fpu_live = true;
}

void fpu_release(struct vcpu *v)
{
	if (!v->fpu_live)
		return;
	__asm__ volatile("fxsave64 %0\n\tfxrstor64 %1" : "=m"(v->guest_fpu) : "m"(v->host_fpu));
	v->fpu_live = false;
}

/* --- real mode --- */

static void deliver_real(struct vcpu *v, int vector, uint64_t return_rip)
{
	struct stack s = stack_begin(v);

	if (vector * 4 + 3 > v->idt.limit)
		raise_error(v, EXC_GP, vector * 8 + 2);
	uint32_t entry = mem_read_sys(v, v->idt.base + vector * 4, 4);
	stack_push(v, &s, 2, v->core->rflags);
	stack_push(v, &s, 2, v->core->seg[SEG_CS].selector);
	stack_push(v, &s, 2, return_rip);
	stack_commit(v, &s);
	seg_load_real(v, SEG_CS, entry >> 16);
	v->core->rip = entry & 0xffff;
	rflags_set(v, 0, F_IF | F_TF | F_AC);
}

/* --- protected and long mode --- */

struct idt_gate {
	unsigned type, dpl, ist;
	bool present;
	uint16_t selector;
	uint64_t off;
};

static struct idt_gate read_idt(struct vcpu *v, int vector, unsigned ext)
{
	bool wide = long_mode(v);
	unsigned size = wide ? 16 : 8;

	if (vector * size + size - 1 > v->idt.limit)
		raise_error(v, EXC_GP, vector * 8 + 2 + ext);
	uint64_t low = mem_read_sys(v, v->idt.base + vector * size, 8);
	struct idt_gate g = { .type = desc_type(low), .dpl = desc_dpl(low), .present = desc_present(low), .selector = low >> 16 };
	g.off = (low & 0xffff) | (low >> 32 & 0xffff0000);
	if (g.type == 6 || g.type == 7)
		g.off &= 0xffff;
	if (wide) {
		g.ist = low >> 32 & 7;
		g.off |= mem_read_sys(v, v->idt.base + vector * size + 8, 8) << 32;
	}
	if (desc_s(low))
		g.type = 0;
	return g;
}

static void check_gate(struct vcpu *v, const struct idt_gate *g, int vector, bool software, unsigned ext)
{
	bool ok = g->type == 14 || g->type == 15 || (!long_mode(v) && (g->type == 6 || g->type == 7 || g->type == 5));

	if (!ok || (software && g->dpl < v->core->cpl))
		raise_error(v, EXC_GP, vector * 8 + 2 + ext);
	if (!g->present)
		raise_error(v, EXC_NP, vector * 8 + 2 + ext);
}

/* What a delivery is about to change, so that a fault half-way leaves nothing changed. */
struct frame {
	uint64_t old_sp, old_ss, old_cs, old_flags;
	bool v86;
};

static void push_frame64(struct vcpu *v, struct stack *s, const struct frame *f, uint64_t rip, bool has_error, uint32_t error)
{
	s->sp &= ~15ull;
	stack_push(v, s, 8, f->old_ss);
	stack_push(v, s, 8, f->old_sp);
	stack_push(v, s, 8, f->old_flags);
	stack_push(v, s, 8, f->old_cs);
	stack_push(v, s, 8, rip);
	if (has_error)
		stack_push(v, s, 8, error);
}

static void push_frame32(struct vcpu *v, struct stack *s, const struct frame *f, unsigned n, bool inward, uint64_t rip, bool has_error,
			 uint32_t error)
{
	if (f->v86) {
		static const uint8_t order[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };
		for (unsigned i = 0; i < sizeof(order); i++)
			stack_push(v, s, n, v->core->seg[order[i]].selector);
	}
	if (inward) {
		stack_push(v, s, n, f->old_ss);
		stack_push(v, s, n, f->old_sp);
	}
	stack_push(v, s, n, f->old_flags);
	stack_push(v, s, n, f->old_cs);
	stack_push(v, s, n, rip);
	if (has_error)
		stack_push(v, s, n, error);
}

static struct cpu_segment handler_segment(struct vcpu *v, const struct idt_gate *g, unsigned ext, unsigned *ret_cpl)
{
	struct descriptor d;

	if (!(g->selector & ~3))
		raise_error(v, EXC_GP, ext);
	if (!desc_probe(v, g->selector, &d))
		raise_error(v, EXC_GP, (g->selector & ~3) + ext);
	unsigned type = desc_type(d.low), dpl = desc_dpl(d.low);
	if (!desc_s(d.low) || !(type & 8) || dpl > v->core->cpl || (long_mode(v) && (!desc_long(d.low) || desc_big(d.low))))
		raise_error(v, EXC_GP, (g->selector & ~3) + ext);
	if (!desc_present(d.low))
		raise_error(v, EXC_NP, (g->selector & ~3) + ext);
	if ((v->core->rflags & F_VM) && ((type & 4) || dpl != 0))
		raise_error(v, EXC_GP, (g->selector & ~3) + ext);
	*ret_cpl = type & 4 ? v->core->cpl : dpl;
	return desc_segment(&d, g->selector, false);
}

static uint64_t ist_stack(struct vcpu *v, unsigned ist)
{
	unsigned off = 28 + 8 * ist;

	if (off + 7 > v->tr.limit)
		raise_error(v, EXC_TS, v->tr.selector & ~3);
	return mem_read_sys(v, v->tr.base + off, 8);
}

static void deliver_protected(struct vcpu *v, int vector, enum event_kind kind, bool has_error, uint32_t error, uint64_t return_rip)
{
	struct core *k = v->core;
	unsigned ext = kind != EVENT_SOFTWARE, cpl;
	struct idt_gate g = read_idt(v, vector, ext);

	check_gate(v, &g, vector, kind == EVENT_SOFTWARE, ext);
	if (g.type == 5)
		engine_unsupported(v, "a task gate in its interrupt table");
	struct cpu_segment cs = handler_segment(v, &g, ext, &cpl), ss = k->seg[SEG_SS];
	struct frame f = { k->gpr[RSP], k->seg[SEG_SS].selector, k->seg[SEG_CS].selector, k->rflags, k->rflags & F_VM };
	bool inward = cpl < k->cpl, wide = long_mode(v);
	uint64_t sp = k->gpr[RSP];
	uint16_t sel;

	if (kind == EVENT_FAULT && vector != EXC_DB && vector != EXC_NMI)
		f.old_flags |= F_RF;
	if (wide && g.ist)
		sp = ist_stack(v, g.ist);
	if (inward) {
		uint64_t tss_sp;
		tss_stack(v, cpl, &sel, &tss_sp);
		if (!(wide && g.ist))
			sp = tss_sp;
		if (wide)
			ss = (struct cpu_segment){ .selector = cpl, .attr = cpl << 5 };
		else
			ss_load_for(v, sel, cpl, EXC_TS, &ss);
	}
	/* pushes happen with the new stack and privilege; a fault among them must find the old ones */
	struct cpu_segment old_ss = k->seg[SEG_SS];
	uint64_t old_cpl = k->cpl;
	unsigned old_mode = v->mode;
	void *outer[5];
	__builtin_memcpy(outer, v->jmp, sizeof(outer));
	if (__builtin_setjmp(v->jmp)) {
		k->seg[SEG_SS] = old_ss;
		k->cpl = old_cpl;
		v->mode = old_mode;
		k->rflags |= f.v86 ? F_VM : 0;
		__builtin_memcpy(v->jmp, outer, sizeof(outer));
		raise_again(v);
	}
	k->seg[SEG_SS] = ss;
	k->cpl = cpl;
	if (wide)
		v->mode = 8;
	struct stack s = { .sp = sp, .mask = stack_mask(v) };
	if (f.v86)
		k->rflags &= ~(uint64_t)F_VM;
	if (wide)
		push_frame64(v, &s, &f, return_rip, has_error, error);
	else
		push_frame32(v, &s, &f, g.type >= 14 ? 4 : 2, inward, return_rip, has_error, error);
	cs_install(v, &cs, cpl, g.off);
	__builtin_memcpy(v->jmp, outer, sizeof(outer));
	stack_commit(v, &s);
	if (f.v86)
		for (unsigned i = 0; i < 6; i++)
			if (i != SEG_CS && i != SEG_SS)
				k->seg[i] = (struct cpu_segment){ 0 };
	rflags_set(v, 0, F_TF | F_NT | F_RF | F_VM | (g.type & 1 ? 0 : F_IF));
	k->rip = v->next_rip;
	cache_privilege_changed(v);
}

void event_deliver(struct vcpu *v, int vector, enum event_kind kind, bool has_error, uint32_t error, uint64_t return_rip)
{
	if (vector == EXC_DB && kind == EVENT_FAULT)
		v->dr[7] &= ~(1ull << 13);
	if (vector == EXC_NMI && kind == EVENT_FAULT)
		v->nmi_masked = true;
	if (!(v->cr0 & CR0_PE))
		deliver_real(v, vector, return_rip);
	else
		deliver_protected(v, vector, kind, has_error, error, return_rip);
}
