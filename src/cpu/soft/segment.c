#include "cpu/soft/segment.h"

#include "cpu/soft/cache.h"
#include "cpu/soft/event.h"
#include "cpu/soft/interp.h"
#include "cpu/soft/mmu.h"

static bool canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static bool in_limit(const struct cpu_segment *s, uint64_t off, unsigned n)
{
	uint64_t last = off + n - 1;

	if ((s->attr & 0x1c) == 0x14) { /* expand-down data: above the limit, up to 64 KiB or 4 GiB */
		uint64_t top = s->attr & ATTR_DB ? 0xffffffff : 0xffff;
		return off > s->limit && last <= top;
	}
	return last <= s->limit;
}

uint64_t seg_linear(struct vcpu *v, unsigned seg, uint64_t off, unsigned n, bool write)
{
	const struct cpu_segment *s = &v->core->seg[seg];

	int vector = seg == SEG_SS ? EXC_SS : EXC_GP;
	if (v->mode == 8) {
		off += seg >= SEG_FS ? s->base : 0;
		if (!canonical(off) || !canonical(off + (n ? n - 1 : 0)))
			raise_error(v, vector, 0);
		return off;
	}
	off &= 0xffffffff;
	if (!real_mode(v)) {
		bool code = s->attr & 8;
		if (!seg_present(s))
			raise_error(v, vector, 0);
		if (write ? code || !(s->attr & 2) : code && !(s->attr & 2))
			raise_error(v, EXC_GP, 0);
	}
	if (!in_limit(s, off, n ? n : 1))
		raise_error(v, vector, 0);
	return (s->base + off) & 0xffffffff;
}

void mode_update(struct vcpu *v)
{
	const struct cpu_segment *cs = &v->core->seg[SEG_CS];

	v->mode = long_mode(v) && (cs->attr & ATTR_L) ? 8 : !real_mode(v) && (cs->attr & ATTR_DB) ? 4 : 2;
	if (!(v->cr0 & CR0_PE))
		v->core->cpl = 0;
	else if (v->core->rflags & F_VM)
		v->core->cpl = 3;
	mmu_update_view(v);
}

void cs_install(struct vcpu *v, const struct cpu_segment *cs, unsigned cpl, uint64_t rip)
{
	if (long_mode(v) && (cs->attr & ATTR_L)) {
		if (!canonical(rip))
			raise_error(v, EXC_GP, 0);
	} else if ((rip & 0xffffffff) > cs->limit) {
		raise_error(v, EXC_GP, 0);
	}
	v->core->seg[SEG_CS] = *cs;
	v->core->seg[SEG_CS].selector = (cs->selector & ~3) | cpl;
	v->core->cpl = cpl;
	mode_update(v);
	v->next_rip = v->mode == 8 ? rip : rip & 0xffffffff;
}

/* --- descriptors --- */

bool desc_probe(struct vcpu *v, uint16_t selector, struct descriptor *ret)
{
	uint64_t base = selector & 4 ? v->ldtr.base : v->gdt.base, limit = selector & 4 ? v->ldtr.limit : v->gdt.limit;
	unsigned off = selector & ~7;

	if ((selector & 4 && !seg_present(&v->ldtr)) || off + 7 > limit)
		return false;
	ret->address = base + off;
	ret->low = mem_read_sys(v, ret->address, 8);
	ret->high = 0;
	if (long_mode(v) && !desc_s(ret->low) && desc_type(ret->low)) {
		if (off + 15 > limit)
			return false;
		ret->high = mem_read_sys(v, ret->address + 8, 8);
	}
	return true;
}

void desc_read(struct vcpu *v, uint16_t selector, int vector, struct descriptor *ret)
{
	if (!desc_probe(v, selector, ret))
		raise_error(v, vector, selector & ~3);
}

void desc_set_accessed(struct vcpu *v, const struct descriptor *d)
{
	if (!(d->low >> 40 & 1))
		mem_write_sys(v, d->address + 5, 1, (d->low >> 40 & 0xff) | 1);
}

struct cpu_segment desc_segment(const struct descriptor *d, uint16_t selector, bool wide)
{
	struct cpu_segment s = { .selector = selector };

	s.attr = (d->low >> 40 & 0xff) | (d->low >> 52 & 15) << 12;
	s.limit = (d->low & 0xffff) | (d->low >> 32 & 0xf0000);
	if (s.attr & ATTR_G)
		s.limit = s.limit << 12 | 0xfff;
	s.base = (d->low >> 16 & 0xffffff) | (d->low >> 32 & 0xff000000);
	if (wide)
		s.base |= d->high << 32;
	return s;
}

void seg_load_real(struct vcpu *v, unsigned seg, uint16_t selector)
{
	struct cpu_segment *s = &v->core->seg[seg];

	s->selector = selector;
	s->base = (uint64_t)selector << 4;
	if (v->core->rflags & F_VM) {
		s->limit = 0xffff;
		s->attr = 0xf3;
	}
}

static void load_stack_segment(struct vcpu *v, uint16_t selector)
{
	struct cpu_segment s;

	if (!(selector & ~3)) {
		if (v->mode != 8 || v->core->cpl == 3 || (selector & 3) != v->core->cpl)
			raise_error(v, EXC_GP, 0);
		v->core->seg[SEG_SS] = (struct cpu_segment){ .selector = selector, .attr = v->core->cpl << 5 };
		return;
	}
	if ((selector & 3) != v->core->cpl)
		raise_error(v, EXC_GP, selector & ~3);
	ss_load_for(v, selector, v->core->cpl, EXC_GP, &s);
	v->core->seg[SEG_SS] = s;
}

void ss_load_for(struct vcpu *v, uint16_t selector, unsigned cpl, int vector, struct cpu_segment *ret)
{
	struct descriptor d;

	if (!(selector & ~3))
		raise_error(v, vector, 0);
	desc_read(v, selector, vector, &d);
	bool writable = desc_s(d.low) && !(desc_type(d.low) & 8) && (desc_type(d.low) & 2);
	if (!writable || desc_dpl(d.low) != cpl || (selector & 3) != cpl)
		raise_error(v, vector, selector & ~3);
	if (!desc_present(d.low))
		raise_error(v, EXC_SS, selector & ~3);
	desc_set_accessed(v, &d);
	*ret = desc_segment(&d, selector, false);
}

void seg_load(struct vcpu *v, unsigned seg, uint16_t selector)
{
	struct descriptor d;

	if (real_mode(v)) {
		seg_load_real(v, seg, selector);
		return;
	}
	if (seg == SEG_SS) {
		load_stack_segment(v, selector);
		return;
	}
	if (!(selector & ~3)) {
		v->core->seg[seg].selector = selector;
		v->core->seg[seg].attr = 0;
		v->core->seg[seg].base = 0;
		v->core->seg[seg].limit = 0;
		return;
	}
	desc_read(v, selector, EXC_GP, &d);
	unsigned type = desc_type(d.low), dpl = desc_dpl(d.low);
	bool code = type & 8, conforming = code && (type & 4);
	if (!desc_s(d.low) || (code && !(type & 2)) || (!conforming && (dpl < (selector & 3) || dpl < v->core->cpl)))
		raise_error(v, EXC_GP, selector & ~3);
	if (!desc_present(d.low))
		raise_error(v, EXC_NP, selector & ~3);
	desc_set_accessed(v, &d);
	v->core->seg[seg] = desc_segment(&d, selector, false);
}

void seg_load_ldtr(struct vcpu *v, uint16_t selector)
{
	struct descriptor d;

	if (!(selector & ~3)) {
		v->ldtr = (struct cpu_segment){ .selector = selector };
		return;
	}
	if (selector & 4)
		raise_error(v, EXC_GP, selector & ~3);
	desc_read(v, selector, EXC_GP, &d);
	if (desc_s(d.low) || desc_type(d.low) != 2)
		raise_error(v, EXC_GP, selector & ~3);
	if (!desc_present(d.low))
		raise_error(v, EXC_NP, selector & ~3);
	v->ldtr = desc_segment(&d, selector, long_mode(v));
}

void seg_load_tr(struct vcpu *v, uint16_t selector)
{
	struct descriptor d;

	if (!(selector & ~3) || (selector & 4))
		raise_error(v, EXC_GP, selector & ~3);
	desc_read(v, selector, EXC_GP, &d);
	if (desc_s(d.low) || (desc_type(d.low) != 9 && (long_mode(v) || desc_type(d.low) != 1)))
		raise_error(v, EXC_GP, selector & ~3);
	if (!desc_present(d.low))
		raise_error(v, EXC_NP, selector & ~3);
	mem_write_sys(v, d.address + 5, 1, (d.low >> 40 & 0xff) | 2);
	d.low |= 2ull << 40;
	v->tr = desc_segment(&d, selector, long_mode(v));
}

void tss_stack(struct vcpu *v, unsigned cpl, uint16_t *ret_ss, uint64_t *ret_sp)
{
	if (long_mode(v)) {
		if (4 + 8 * cpl + 7 > v->tr.limit)
			raise_error(v, EXC_TS, v->tr.selector & ~3);
		*ret_sp = mem_read_sys(v, v->tr.base + 4 + 8 * cpl, 8);
		*ret_ss = cpl;
		return;
	}
	bool wide = v->tr.attr & 8;
	unsigned off = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
	if (off + (wide ? 5 : 3) > v->tr.limit)
		raise_error(v, EXC_TS, v->tr.selector & ~3);
	*ret_sp = mem_read_sys(v, v->tr.base + off, wide ? 4 : 2);
	*ret_ss = mem_read_sys(v, v->tr.base + off + (wide ? 4 : 2), 2);
}

/* --- far transfers --- */

/* Checks a code segment as the target of a direct far transfer; returns its descriptor as a segment. */
static struct cpu_segment code_target(struct vcpu *v, uint16_t selector, const struct descriptor *d)
{
	bool conforming = desc_type(d->low) & 4;

	if (conforming ? desc_dpl(d->low) > v->core->cpl : desc_dpl(d->low) != v->core->cpl || (selector & 3) > v->core->cpl)
		raise_error(v, EXC_GP, selector & ~3);
	if (!desc_present(d->low))
		raise_error(v, EXC_NP, selector & ~3);
	if (long_mode(v) && desc_long(d->low) && desc_big(d->low))
		raise_error(v, EXC_GP, selector & ~3);
	desc_set_accessed(v, d);
	return desc_segment(d, selector, false);
}

static void real_far_jump(struct vcpu *v, uint16_t selector, uint64_t off, bool call)
{
	const struct insn *in = v->in;
	struct stack s = stack_begin(v);

	if (call) {
		stack_push(v, &s, in->osz, v->core->seg[SEG_CS].selector);
		stack_push(v, &s, in->osz, v->next_rip);
	}
	branch_to(v, off);
	if (call)
		stack_commit(v, &s);
	seg_load_real(v, SEG_CS, selector);
}

struct gate {
	uint16_t selector;
	uint64_t off;
	unsigned words, width;
};

static struct gate read_gate(struct vcpu *v, uint16_t selector, const struct descriptor *d)
{
	struct gate g = { .selector = d->low >> 16, .words = d->low >> 32 & 31 };

	if (desc_dpl(d->low) < v->core->cpl || desc_dpl(d->low) < (selector & 3))
		raise_error(v, EXC_GP, selector & ~3);
	if (!desc_present(d->low))
		raise_error(v, EXC_NP, selector & ~3);
	g.width = long_mode(v) ? 8 : desc_type(d->low) == 12 ? 4 : 2;
	g.off = (d->low & 0xffff) | (g.width > 2 ? d->low >> 32 & 0xffff0000 : 0) | (g.width == 8 ? d->high << 32 : 0);
	return g;
}

/* CALL through a gate to a more privileged segment: a new stack, with the old one's parameters. */
static void gate_call_inward(struct vcpu *v, const struct gate *g, const struct cpu_segment *cs, unsigned cpl)
{
	uint16_t old_ss = v->core->seg[SEG_SS].selector, old_cs = v->core->seg[SEG_CS].selector, ss;
	struct cpu_segment new_ss, saved = v->core->seg[SEG_SS];
	uint64_t params[32], sp, old_sp = v->core->gpr[RSP], back = v->next_rip;
	struct stack from = stack_begin(v);

	tss_stack(v, cpl, &ss, &sp);
	if (long_mode(v))
		new_ss = (struct cpu_segment){ .selector = cpl, .attr = cpl << 5 };
	else
		ss_load_for(v, ss, cpl, EXC_TS, &new_ss);
	for (unsigned i = 0; i < (long_mode(v) ? 0 : g->words); i++)
		params[i] = stack_pop(v, &from, g->width);
	unsigned old_cpl = v->core->cpl, old_mode = v->mode;
	v->core->seg[SEG_SS] = new_ss;
	v->core->cpl = cpl;
	if (long_mode(v))
		v->mode = 8;
	struct stack s = { .sp = sp, .mask = stack_mask(v) };
	/* the segment registers come back if a push faults */
	void *outer[5];
	__builtin_memcpy(outer, v->jmp, sizeof(outer));
	if (__builtin_setjmp(v->jmp)) {
		v->core->seg[SEG_SS] = saved;
		v->core->cpl = old_cpl;
		v->mode = old_mode;
		__builtin_memcpy(v->jmp, outer, sizeof(outer));
		raise_again(v);
	}
	stack_push(v, &s, g->width, old_ss);
	stack_push(v, &s, g->width, old_sp);
	for (unsigned i = long_mode(v) ? 0 : g->words; i-- > 0;)
		stack_push(v, &s, g->width, params[i]);
	stack_push(v, &s, g->width, old_cs);
	stack_push(v, &s, g->width, back);
	__builtin_memcpy(v->jmp, outer, sizeof(outer));
	cs_install(v, cs, cpl, g->off);
	stack_commit(v, &s);
}

static void gate_transfer(struct vcpu *v, uint16_t selector, const struct descriptor *gate, bool call)
{
	struct gate g = read_gate(v, selector, gate);
	struct descriptor d;

	if (!(g.selector & ~3))
		raise_error(v, EXC_GP, 0);
	desc_read(v, g.selector, EXC_GP, &d);
	unsigned type = desc_type(d.low), dpl = desc_dpl(d.low);
	if (!desc_s(d.low) || !(type & 8) || dpl > v->core->cpl || (long_mode(v) && !desc_long(d.low)))
		raise_error(v, EXC_GP, g.selector & ~3);
	if (!call && !(type & 4) && dpl != v->core->cpl)
		raise_error(v, EXC_GP, g.selector & ~3);
	if (!desc_present(d.low))
		raise_error(v, EXC_NP, g.selector & ~3);
	struct cpu_segment cs = desc_segment(&d, g.selector, false);
	if (call && !(type & 4) && dpl < v->core->cpl) {
		gate_call_inward(v, &g, &cs, dpl);
		return;
	}
	struct stack s = stack_begin(v);
	if (call) {
		stack_push(v, &s, g.width, v->core->seg[SEG_CS].selector);
		stack_push(v, &s, g.width, v->next_rip);
	}
	cs_install(v, &cs, v->core->cpl, g.off);
	if (call)
		stack_commit(v, &s);
}

void far_jump(struct vcpu *v, uint16_t selector, uint64_t off, bool call)
{
	const struct insn *in = v->in;
	struct descriptor d;

	if (real_mode(v)) {
		real_far_jump(v, selector, off, call);
		return;
	}
	if (!(selector & ~3))
		raise_error(v, EXC_GP, 0);
	desc_read(v, selector, EXC_GP, &d);
	unsigned type = desc_type(d.low);
	if (!desc_s(d.low)) {
		if (type == 12 || (type == 4 && !long_mode(v))) {
			gate_transfer(v, selector, &d, call);
			return;
		}
		if (!long_mode(v) && (type == 5 || type == 9 || type == 1))
			engine_unsupported(v, "a hardware task switch by far jump or call");
		raise_error(v, EXC_GP, selector & ~3);
	}
	if (!(type & 8))
		raise_error(v, EXC_GP, selector & ~3);
	struct cpu_segment cs = code_target(v, selector, &d);
	struct stack s = stack_begin(v);
	if (call) {
		stack_push(v, &s, in->osz, v->core->seg[SEG_CS].selector);
		stack_push(v, &s, in->osz, v->next_rip);
	}
	cs_install(v, &cs, v->core->cpl, in->osz == 2 ? off & 0xffff : off);
	if (call)
		stack_commit(v, &s);
}

/* On a return to less privilege, data segments that it may not use become null. */
static void drop_segments(struct vcpu *v, unsigned cpl)
{
	for (unsigned i = 0; i < 6; i++) {
		struct cpu_segment *s = &v->core->seg[i];
		if (i == SEG_CS || i == SEG_SS)
			continue;
		bool conforming = (s->attr & 0xc) == 0xc;
		if (seg_present(s) && !conforming && seg_dpl(s) < cpl)
			*s = (struct cpu_segment){ .base = i >= SEG_FS ? s->base : 0 };
	}
}

static struct cpu_segment return_target(struct vcpu *v, uint16_t selector)
{
	struct descriptor d;

	if (!(selector & ~3))
		raise_error(v, EXC_GP, 0);
	desc_read(v, selector, EXC_GP, &d);
	unsigned type = desc_type(d.low), rpl = selector & 3, dpl = desc_dpl(d.low);
	if (!desc_s(d.low) || !(type & 8) || rpl < v->core->cpl || (type & 4 ? dpl > rpl : dpl != rpl) ||
	    (long_mode(v) && desc_long(d.low) && desc_big(d.low)))
		raise_error(v, EXC_GP, selector & ~3);
	if (!desc_present(d.low))
		raise_error(v, EXC_NP, selector & ~3);
	desc_set_accessed(v, &d);
	return desc_segment(&d, selector, false);
}

static struct cpu_segment return_stack_segment(struct vcpu *v, uint16_t ss, unsigned cpl, bool to64)
{
	struct cpu_segment s;

	if (!(ss & ~3) && to64 && cpl != 3)
		return (struct cpu_segment){ .selector = ss, .attr = cpl << 5 };
	ss_load_for(v, ss, cpl, EXC_GP, &s);
	return s;
}

static void finish_return(struct vcpu *v, const struct cpu_segment *cs, uint64_t rip, bool outward, const struct cpu_segment *ss,
			  uint64_t sp)
{
	unsigned cpl = cs->selector & 3;

	cs_install(v, cs, cpl, rip);
	if (ss) {
		v->core->seg[SEG_SS] = *ss;
		uint64_t m = stack_mask(v);
		v->core->gpr[RSP] = (v->core->gpr[RSP] & ~m) | (sp & m);
		if (v->mode == 8)
			v->core->gpr[RSP] = sp;
	}
	if (outward)
		drop_segments(v, cpl);
}

void far_return(struct vcpu *v, unsigned extra)
{
	const struct insn *in = v->in;
	struct stack s = stack_begin(v);
	uint64_t rip = stack_pop(v, &s, in->osz);
	uint16_t sel = stack_pop(v, &s, in->osz);

	if (real_mode(v)) {
		branch_to(v, rip);
		seg_load_real(v, SEG_CS, sel);
		s.sp = (s.sp & ~s.mask) | ((s.sp + extra) & s.mask);
		stack_commit(v, &s);
		return;
	}
	struct cpu_segment cs = return_target(v, sel), ss;
	s.sp = (s.sp & ~s.mask) | ((s.sp + extra) & s.mask);
	if ((sel & 3) == v->core->cpl) {
		cs_install(v, &cs, v->core->cpl, rip);
		stack_commit(v, &s);
		return;
	}
	uint64_t sp = stack_pop(v, &s, in->osz);
	ss = return_stack_segment(v, stack_pop(v, &s, in->osz), sel & 3, cs.attr & ATTR_L);
	finish_return(v, &cs, rip, true, &ss, sp + extra);
}

/* --- IRET --- */

static void iret_real(struct vcpu *v)
{
	const struct insn *in = v->in;
	struct stack s = stack_begin(v);
	bool vm = v->core->rflags & F_VM;

	if (vm && (v->core->rflags & F_IOPL) != F_IOPL)
		raise_error(v, EXC_GP, 0);
	uint64_t rip = stack_pop(v, &s, in->osz), sel = stack_pop(v, &s, in->osz), f = stack_pop(v, &s, in->osz);
	branch_to(v, rip);
	seg_load_real(v, SEG_CS, sel);
	stack_commit(v, &s);
	rflags_set(v, f, (F_ALL & ~(F_VM | F_VIF | F_VIP | (vm ? F_IOPL : 0))) & (in->osz == 2 ? 0xffff : ~0ull));
}

static void iret_to_v86(struct vcpu *v, uint64_t rip, uint16_t cs, uint64_t flags, struct stack *s)
{
	uint64_t sp = stack_pop(v, s, 4);
	uint16_t sel[6];
	static const uint8_t order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned i = 0; i < sizeof(order); i++)
		sel[order[i]] = stack_pop(v, s, 4);
	sel[SEG_CS] = cs;
	rflags_set(v, flags, F_ALL);
	for (unsigned i = 0; i < 6; i++)
		seg_load_real(v, i, sel[i]);
	v->core->gpr[RSP] = sp;
	v->core->cpl = 3;
	mode_update(v);
	v->next_rip = rip & 0xffff;
}

void do_iret(struct vcpu *v)
{
	const struct insn *in = v->in;
	unsigned n = in->osz;

	v->nmi_masked = false;
	if (real_mode(v)) {
		iret_real(v);
		return;
	}
	if (v->core->rflags & F_NT) {
		if (long_mode(v))
			raise_error(v, EXC_GP, 0);
		engine_unsupported(v, "IRET from a nested hardware task");
	}
	struct stack s = stack_begin(v);
	uint64_t rip = stack_pop(v, &s, n);
	uint16_t sel = stack_pop(v, &s, n);
	uint64_t flags = stack_pop(v, &s, n);
	if ((flags & F_VM) && v->core->cpl == 0 && !long_mode(v) && n == 4) {
		iret_to_v86(v, rip, sel, flags, &s);
		return;
	}
	struct cpu_segment cs = return_target(v, sel), ss;
	uint64_t mask = F_ARITH | F_TF | F_DF | F_NT | F_RF | F_AC | F_ID;
	unsigned old_cpl = v->core->cpl;
	if (old_cpl <= (v->core->rflags & F_IOPL) >> 12)
		mask |= F_IF;
	if (old_cpl == 0)
		mask |= F_IOPL | F_VIF | F_VIP;
	if (n == 2)
		mask &= 0xffff;
	bool outward = (sel & 3) != old_cpl;
	if (outward || v->mode == 8) {
		uint64_t sp = stack_pop(v, &s, n);
		ss = return_stack_segment(v, stack_pop(v, &s, n), sel & 3, cs.attr & ATTR_L);
		finish_return(v, &cs, rip, outward, &ss, sp);
	} else {
		cs_install(v, &cs, old_cpl, rip);
		stack_commit(v, &s);
	}
	rflags_set(v, flags, mask);
	cache_privilege_changed(v);
}
