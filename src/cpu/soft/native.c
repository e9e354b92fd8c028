#include "cpu/soft/native.h"

#include <stddef.h>

static bool in_core(unsigned guest_reg)
{
	return guest_reg >= 13;
}

static unsigned host_reg(unsigned guest_reg)
{
	return guest_reg == RSP ? H_GUEST_RSP : guest_reg;
}

/* One register operand on its way through a scratch register. */
struct operand {
	bool gpr, in_core, load, store;
	uint8_t guest, host;
};

static struct operand operand(bool gpr, unsigned guest, unsigned scratch, bool reads, bool writes, bool partial)
{
	struct operand o = { .gpr = gpr, .guest = guest, .host = guest };

	if (!gpr)
		return o;
	o.in_core = in_core(guest);
	o.host = o.in_core ? scratch : host_reg(guest);
	o.load = o.in_core && (reads || partial);
	o.store = o.in_core && writes;
	return o;
}

static void swap_high_byte(struct emit *e, unsigned n)
{
	e1(e, 0x86);
	e1(e, 0xc0 | (4 + n) << 3 | n);
}

static void emit_prefixes(struct emit *e, const struct insn *in)
{
	bool simd = in->attr & (A_SSE | A_FPU);
	bool opsize = simd && in->map != 0 ? in->has66 : in->osz == 2;

	if (in->lock)
		e1(e, 0xf0);
	if (opsize)
		e1(e, 0x66);
	if ((in->attr & A_PFX) && in->pfx == PFX_F3)
		e1(e, 0xf3);
	if ((in->attr & A_PFX) && in->pfx == PFX_F2)
		e1(e, 0xf2);
}

static void emit_opcode(struct emit *e, const struct insn *in, unsigned opc, unsigned rex)
{
	if (rex)
		e1(e, 0x40 | rex);
	if (in->map)
		e1(e, 0x0f);
	if (in->map >= 2)
		e1(e, in->map == 2 ? 0x38 : 0x3a);
	e1(e, opc);
}

/* Forms that have their register in the opcode, or none at all. */
static void emit_short(struct emit *e, const struct insn *in)
{
	bool has = in->attr & (A_OR | A_OW), byte = in->attr & A_RB;
	unsigned guest = (in->opc & 7) | (in->rex & 1 ? 8 : 0);
	bool high = in->attr & A_HI;
	struct operand o = operand(has && !high, high ? guest : guest, H_R14, in->attr & A_OR, in->attr & A_OW, byte || in->osz == 2);
	unsigned rex = in->rex & 8;

	if (o.load)
		emit_core_load(e, H_R14, core_gpr(guest));
	if (has && o.host >= 8)
		rex |= 1;
	if (has && byte && !high && o.host >= 4)
		rex |= 0x40;
	emit_prefixes(e, in);
	if (in->map == 0 && in->opc >= 0x40 && in->opc <= 0x4f) { /* INC and DEC of 16- and 32-bit code */
		emit_opcode(e, in, 0xff, rex);
		e1(e, 0xc0 | (in->opc & 8) | (o.host & 7));
	} else {
		emit_opcode(e, in, has ? (in->opc & ~7u) | (o.host & 7) : in->opc, rex);
	}
	en(e, in->imm, in->imm_size);
	if (o.store)
		emit_core_store(e, H_R14, core_gpr(guest));
}

static bool uses(const struct hmem *m, unsigned reg)
{
	return m->base == reg || m->index == reg;
}

unsigned native_emit(struct emit *e, const struct insn *in, const struct hmem *mem)
{
	if (!(in->attr & A_M)) {
		emit_short(e, in);
		return 0;
	}
	bool is_mem = in->mod != 3, high = in->attr & A_HI;
	bool reg_gpr = in->attr & (A_RR | A_RW), rm_gpr = !is_mem && !(in->attr & A_EX);
	bool narrow_reg = (in->attr & A_RB) || in->osz == 2, narrow_rm = (in->attr & A_EB) || in->osz == 2;
	struct hmem m = is_mem ? *mem : (struct hmem){ H_NONE, H_NONE, 0, 0 };

	if (reg_gpr && in_core(in->reg) && is_mem && uses(&m, H_R14)) {
		emit_op_mem(e, 0x8d, H_R15, &m); /* lea: one register has to do for the address */
		m = (struct hmem){ H_R15, H_NONE, 0, 0 };
	}
	bool cmpxchg_ah = in->map == 1 && in->opc == 0xb0 && high && is_mem && in->reg == 4;
	if (cmpxchg_ah) { /* AL is an operand too, and stays: AH goes to r14, which costs flags that are overwritten anyway */
		emit_op_mem(e, 0x8d, H_R15, &m);
		m = (struct hmem){ H_R15, H_NONE, 0, 0 };
		emit_mov_reg(e, H_R14, H_RAX);
		en(e, 0x08eec149, 4); /* shr $8, %r14 */
		high = false;
	}
	struct operand reg = operand(reg_gpr, in->reg, H_R14, in->attr & A_RR, in->attr & A_RW, narrow_reg);
	struct operand rm = operand(rm_gpr, in->rm, H_R15, in->attr & A_ER, in->attr & A_EW, narrow_rm);
	if (reg.in_core && rm.in_core && reg.guest == rm.guest)
		rm.host = H_R14;
	/* AH and its kin cannot be named beside a REX prefix: they change places with the low byte */
	if (cmpxchg_ah)
		reg.host = H_R14;
	bool reg_high = high && reg_gpr && (in->attr & A_RB) && in->reg >= 4;
	bool rm_high = high && rm_gpr && (in->attr & A_EB) && in->rm >= 4;
	if (reg_high)
		reg = (struct operand){ .gpr = true, .guest = in->reg, .host = in->reg };
	if (rm_high)
		rm = (struct operand){ .gpr = true, .guest = in->rm, .host = in->rm };
	unsigned rex = (in->rex & 8) | (reg.host & 8 ? 4 : 0);
	if (is_mem)
		rex |= rex_mem(0, &m);
	else
		rex |= rm.host & 8 ? 1 : 0;
	if (reg_gpr && (in->attr & A_RB) && !reg_high && reg.host >= 4)
		rex |= 0x40;
	if (rm_gpr && (in->attr & A_EB) && !rm_high && rm.host >= 4)
		rex |= 0x40;
	bool swap = rex && (reg_high || rm_high);
	unsigned swapped = reg_high ? in->reg - 4 : in->rm - 4;
	if (swap) {
		if (reg_high)
			reg.host -= 4;
		else
			rm.host -= 4;
		swap_high_byte(e, swapped);
	}
	if (reg.load)
		emit_core_load(e, reg.host, core_gpr(reg.guest));
	if (rm.load)
		emit_core_load(e, rm.host, core_gpr(rm.guest));
	emit_prefixes(e, in);
	emit_opcode(e, in, in->map == 0 && in->opc == 0x82 ? 0x80 : in->opc, rex);
	if (is_mem)
		emit_mem(e, reg.host, &m);
	else
		e1(e, 0xc0 | (reg.host & 7) << 3 | (rm.host & 7));
	en(e, in->imm, in->imm_size);
	if (reg.store)
		emit_core_store(e, reg.host, core_gpr(reg.guest));
	if (rm.store)
		emit_core_store(e, rm.host, core_gpr(rm.guest));
	if (swap)
		swap_high_byte(e, swapped);
	return swap ? swapped + 1 : 0;
}

void emit_load_flags(struct emit *e)
{
	emit_core_store(e, H_RAX, CORE_OFF(tmp_rax));
	emit_core_load(e, H_RAX, CORE_OFF(flags_ax));
	e1(e, 0x04); /* add $0x7f, %al: sets OF when al is 1 */
	e1(e, 0x7f);
	e1(e, 0x9e); /* sahf */
	emit_core_load(e, H_RAX, CORE_OFF(tmp_rax));
}

void emit_save_flags(struct emit *e)
{
	emit_core_store(e, H_RAX, CORE_OFF(tmp_rax));
	e1(e, 0x9f); /* lahf */
	e1(e, 0x0f); /* seto %al */
	e1(e, 0x90);
	e1(e, 0xc0);
	emit_core_store(e, H_RAX, CORE_OFF(flags_ax));
	emit_core_load(e, H_RAX, CORE_OFF(tmp_rax));
}

static const uint8_t kept_registers[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

static void emit_push_pop(struct emit *e, uint8_t op, unsigned reg)
{
	if (reg & 8)
		e1(e, 0x41);
	e1(e, op | (reg & 7));
}

/* Reads or writes the FS or GS base: F3 REX.W 0F AE /n. */
static void emit_base(struct emit *e, unsigned n, unsigned reg)
{
	e1(e, 0xf3);
	e1(e, 0x48 | (reg & 8 ? 1 : 0));
	e1(e, 0x0f);
	e1(e, 0xae);
	e1(e, 0xc0 | n << 3 | (reg & 7));
}

enum { BASE_WRFS = 2, BASE_WRGS = 3 };

static void emit_enter(struct emit *e)
{
	struct hmem m = { H_RDI, H_NONE, 0, offsetof(struct core, host_rsp) };

	for (unsigned i = 0; i < sizeof(kept_registers); i++)
		emit_push_pop(e, 0x50, kept_registers[i]);
	emit_op_mem(e, 0x89, H_RSP, &m);
	m.disp = offsetof(struct core, view_gs);
	emit_op_mem(e, 0x8b, H_RAX, &m);
	emit_base(e, BASE_WRGS, H_RAX);
	emit_core_load(e, H_RAX, CORE_OFF(view_fs));
	emit_base(e, BASE_WRFS, H_RAX);
	emit_core_load(e, H_RSP, CORE_OFF(rs_rsp));
	for (unsigned g = 1; g <= 12; g++)
		emit_core_load(e, g == RSP ? H_GUEST_RSP : g, core_gpr(g));
	emit_core_ext(e, 0xf7, 0, CORE_OFF(rflags)); /* test $DF */
	e4(e, F_DF);
	e1(e, 0x74);
	e1(e, 1);
	e1(e, 0xfd); /* std */
	emit_core_load(e, H_RAX, CORE_OFF(flags_ax));
	e1(e, 0x04);
	e1(e, 0x7f);
	e1(e, 0x9e);
	emit_core_load(e, H_RAX, core_gpr(H_RAX));
	emit_core_ext(e, 0xff, 4, CORE_OFF(enter_code)); /* jmp * */
}

static void emit_leave(struct emit *e)
{
	emit_core_ext(e, 0x8f, 0, CORE_OFF(exit_ra)); /* pop */
	for (unsigned g = 0; g <= 12; g++)
		emit_core_store(e, g == RSP ? H_GUEST_RSP : g, core_gpr(g));
	e1(e, 0x9c); /* pushfq */
	emit_core_ext(e, 0x8f, 0, CORE_OFF(hw_flags));
	emit_core_store(e, H_RSP, CORE_OFF(rs_rsp));
	emit_core_load(e, H_RSP, CORE_OFF(host_rsp));
	emit_core_load(e, H_RAX, CORE_OFF(host_fs));
	emit_base(e, BASE_WRFS, H_RAX);
	e1(e, 0xfc); /* cld */
	for (unsigned i = sizeof(kept_registers); i-- > 0;)
		emit_push_pop(e, 0x58, kept_registers[i]);
	e1(e, 0xc3);
}

void stubs_emit(struct emit *e, struct stubs *ret)
{
	ret->enter = (void (*)(struct core *))(uintptr_t)exec_addr(e);
	emit_enter(e);
	while ((uintptr_t)e->p % 64)
		e1(e, 0xcc);
	ret->leave = exec_addr(e);
	emit_leave(e);
	while ((uintptr_t)e->p % 64)
		e1(e, 0xcc);
}
