#include "cpu/soft/block.h"

#include <errno.h>

/* --- state of one translation --- */

/* Code that is only reached when something is in the way; emitted behind the block. */
struct cold {
	uint8_t *slow[2];      /* jumps to the way out */
	uint8_t *unaligned;    /* jump taken when the address is not aligned */
	uint8_t *back;         /* where an access that stays in its page goes on */
	struct hmem ea;        /* to compute the address into r15 again */
	bool ea_is_r14;
	uint16_t size;
	uint32_t record;
};

#define COLDS (8 * BLOCK_INSNS)

struct state {
	const struct translation *t;
	struct emit *e;
	struct block *b;
	struct insn insns[BLOCK_INSNS];
	uint16_t offs[BLOCK_INSNS + 1];
	bool live[BLOCK_INSNS + 1];    /* flags are live before instruction i */
	unsigned count, i;
	const struct insn *in;
	enum flags_place flags;
	struct cold colds[COLDS];
	unsigned cold_count;
	unsigned slow_from;            /* first cold of the instruction at hand */
	struct {
		uint32_t record;
		uint8_t *patch;
	} links[4];
	unsigned link_count;
};

/* --- flags --- */

static void need_hw(struct state *s)
{
	if (s->flags != FLAGS_CORE)
		return;
	emit_load_flags(s->e);
	s->flags = FLAGS_BOTH;
}

/* Code that destroys the hardware's flags follows. */
static void give_up_hw(struct state *s, bool live)
{
	if (!live) {
		s->flags = FLAGS_DEAD;
		return;
	}
	if (s->flags == FLAGS_HW)
		emit_save_flags(s->e);
	if (s->flags != FLAGS_DEAD)
		s->flags = FLAGS_CORE;
}

/* --- exits --- */

static uint32_t add_record(struct state *s, enum exit_kind kind)
{
	uint32_t n = (*s->t->record_count)++;

	s->t->records[n] = (struct exit_record){ .block = s->b, .kind = kind, .guest_off = s->offs[s->i], .flags = s->flags };
	return n;
}

static void emit_leave_call(struct state *s, uint32_t record)
{
	emit_call(s->e, s->t->stubs->leave);
	e4(s->e, record);
}

static uint32_t here(const struct state *s)
{
	return s->e->p - s->b->code;
}

/* Leaves unconditionally so that C interprets the instruction at hand; the block may go on behind it. */
static void emit_slow(struct state *s)
{
	uint32_t r = add_record(s, EXIT_SLOW);

	emit_leave_call(s, r);
	s->t->records[r].resume = here(s);
	/* the engine comes back with the flags in both places */
	s->flags = FLAGS_BOTH;
}

static void emit_interp(struct state *s)
{
	emit_leave_call(s, add_record(s, EXIT_INTERP));
}

/* cmpl $0, %gs:OFF; jne to a cold exit */
static void emit_check(struct state *s, int32_t off, uint32_t record)
{
	struct cold *c = &s->colds[s->cold_count++];

	emit_core_ext(s->e, 0x83, 7, off);
	e1(s->e, 0);
	*c = (struct cold){ .slow = { emit_jcc(s->e, CC_NE) }, .record = record };
}

/* Leaves when an event may be pending; execution goes on at RIP then, where flags are live or not. */
static void emit_kick_check(struct state *s, uint64_t rip, bool live)
{
	uint32_t r;

	give_up_hw(s, live);
	r = add_record(s, EXIT_KICK);
	s->t->records[r].target = rip;
	emit_check(s, CORE_OFF(kick), r);
}

static uint64_t insn_address(const struct state *s)
{
	return s->b->va + s->offs[s->i];
}

static bool same_page(const struct state *s, uint64_t target)
{
	return (target ^ s->b->va) >> PAGE_SHIFT == 0;
}

/* Whether a direct jump to TARGET may stay although the address space changes. */
static bool may_link(const struct state *s, uint64_t target)
{
	return same_page(s, target) || (s->b->global && target >> 63 && !(s->b->mode & BLOCK_USER));
}

/* Whether flags are live at TARGET, as far as this block's own code tells; unknown is live. */
static bool live_at(const struct state *s, uint64_t target)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->b->va + s->offs[i] == target)
			return s->live[i];
	return true;
}

/* A direct jump whose 32-bit displacement was just emitted at s->e->p - 4: to TARGET once that is known. */
static void add_link(struct state *s, uint64_t target)
{
	uint32_t r = add_record(s, EXIT_LINK);

	s->t->records[r].target = target;
	s->t->records[r].patch = s->e->p - 4;
	s->t->records[r].linkable = true;
	s->links[s->link_count].record = r;
	s->links[s->link_count++].patch = s->e->p - 4;
}

/* Jumps to guest address TARGET, flags wherever they are. */
static void emit_goto(struct state *s, uint64_t target)
{
	if (may_link(s, target)) {
		e1(s->e, 0xe9);
		e4(s->e, 0);
		add_link(s, target);
		return;
	}
	give_up_hw(s, true);
	emit_mov_imm(s->e, H_R14, target);
	emit_jmp(s->e, s->t->indirect);
}

/* --- memory --- */

static unsigned host_of(unsigned guest)
{
	return guest == RSP ? H_GUEST_RSP : guest;
}

static bool in_core(unsigned guest)
{
	return guest != REG_NO && guest != REG_IP && guest >= 13;
}

static void emit_lea(struct emit *e, unsigned reg, const struct hmem *m, bool wide)
{
	unsigned rex = rex_mem(reg, m) | (wide ? 8 : 0);

	if (rex)
		e1(e, 0x40 | rex);
	e1(e, 0x8d);
	emit_mem(e, reg, m);
}

/* Computes the effective address of IN into r14; r15 is used too. */
static void emit_address(struct state *s, const struct insn *in)
{
	struct hmem m = { H_NONE, H_NONE, in->scale, in->disp };
	bool wide = in->asz == 8;

	if (in->base == REG_IP) {
		emit_mov_imm(s->e, H_R14, s->b->va + s->offs[s->i] + in->len + (int64_t)in->disp);
		return;
	}
	if (in_core(in->base)) {
		emit_core_load(s->e, H_R14, core_gpr(in->base));
		m.base = H_R14;
	} else if (in->base != REG_NO) {
		m.base = host_of(in->base);
	}
	if (in_core(in->index)) {
		emit_core_load(s->e, H_R15, core_gpr(in->index));
		m.index = H_R15;
	} else if (in->index != REG_NO) {
		m.index = host_of(in->index);
	}
	emit_lea(s->e, H_R14, &m, wide);
}

/* shl $16, %r15; shr $28, %r15: the page number of a 48-bit address */
static void emit_page_number(struct emit *e)
{
	en(e, 0x10e7c149, 4);
	en(e, 0x1cefc149, 4);
}

/* mov %gs:(,%r15,8), %r15 or %fs; test %r15, %r15; jz */
static uint8_t *emit_table_load(struct emit *e, bool write)
{
	e1(e, write ? 0x64 : 0x65);
	en(e, 0xfd3c8b4e, 4);
	e4(e, 0);
	en(e, 0xff854d, 3);
	return emit_jcc(e, CC_E);
}

static void emit_ea_again(struct emit *e, const struct cold *c)
{
	if (c->ea_is_r14)
		emit_mov_reg(e, H_R15, H_R14);
	else if (c->ea.disp == 0 && c->ea.index == H_NONE && c->ea.base != H_NONE)
		emit_mov_reg(e, H_R15, c->ea.base);
	else
		emit_lea(e, H_R15, &c->ea, true);
}

static void add_fault_point(struct state *s)
{
	s->t->points[(*s->t->point_count)++] = (struct fault_point){ here(s), s->offs[s->i], s->flags, 0 };
}

/* A constant address: its page number needs no computing. Returns false when it crosses pages. */
static bool access_constant(struct state *s, uint64_t va, unsigned size, bool write, bool keep_r14, struct hmem *ret)
{
	struct cold *c = &s->colds[s->cold_count];
	bool near = va == (uint64_t)(int64_t)(int32_t)va;

	if ((va & ~PAGE_MASK) + size > PAGE_SIZE || (!near && keep_r14))
		return false;
	s->cold_count++;
	*c = (struct cold){ 0 };
	emit_mov_imm(s->e, H_R15, va << 16 >> 28);
	c->slow[0] = emit_table_load(s->e, write);
	c->record = add_record(s, EXIT_SLOW);
	add_fault_point(s);
	if (near) {
		*ret = (struct hmem){ H_R15, H_NONE, 0, (int32_t)va };
		return true;
	}
	emit_mov_imm(s->e, H_R14, va);
	*ret = (struct hmem){ H_R14, H_R15, 0, 0 };
	return true;
}

/* Checks an access of SIZE bytes at the address that C says how to compute; r15 becomes host minus guest address. */
static void access_checked(struct state *s, struct cold *c, unsigned size, bool write, bool aligned)
{
	c->size = size;
	emit_ea_again(s->e, c);
	if (size > 1) {
		en(s->e, 0xc7f641, 3); /* test $size-1, %r15b */
		e1(s->e, size - 1);
		if (aligned)
			c->slow[1] = emit_jcc(s->e, CC_NE);
		else
			c->unaligned = emit_jcc(s->e, CC_NE);
		c->back = s->e->p;
	}
	emit_page_number(s->e);
	c->slow[0] = emit_table_load(s->e, write);
	c->record = add_record(s, EXIT_SLOW);
	add_fault_point(s); /* an address that is not canonical shows when it is used */
}

static bool is_power_of_two(unsigned n)
{
	return n && !(n & (n - 1));
}

/* Checks the memory operand of IN and makes it a host operand. False: this access is not for translated code. */
static bool access_operand(struct state *s, const struct insn *in, unsigned size, bool write, struct hmem *ret)
{
	bool segment = in->seg >= SEG_FS && in->seg != SEG_NONE;
	bool simple = in->asz == 8 && !segment && in->index == REG_NO && in->base != REG_NO && in->base != REG_IP && !in_core(in->base) &&
		      !(in->attr & A_HI);

	if (!is_power_of_two(size) || size > 64)
		return false;
	give_up_hw(s, s->live[s->i]);
	if (!segment && in->asz == 8 && in->index == REG_NO && (in->base == REG_IP || in->base == REG_NO)) {
		uint64_t va = in->base == REG_IP ? s->b->va + s->offs[s->i] + in->len + (int64_t)in->disp : (uint64_t)(int64_t)in->disp;
		if (in->attr & A_ALIGN && va & 15)
			return false;
		return access_constant(s, va, size, write, false, ret);
	}
	struct cold *c = &s->colds[s->cold_count++];
	*c = (struct cold){ 0 };
	if (simple) {
		c->ea = (struct hmem){ host_of(in->base), H_NONE, 0, in->disp };
		access_checked(s, c, size, write, in->attr & A_ALIGN);
		*ret = (struct hmem){ host_of(in->base), H_R15, 0, in->disp };
		return true;
	}
	emit_address(s, in);
	if (segment) {
		struct hmem sum = { H_R14, H_R15, 0, 0 };
		emit_core_load(s->e, H_R15, CORE_OFF(seg) + in->seg * (int32_t)sizeof(struct cpu_segment) +
					       (int32_t)offsetof(struct cpu_segment, base));
		emit_lea(s->e, H_R14, &sum, true);
	}
	c->ea_is_r14 = true;
	access_checked(s, c, size, write, in->attr & A_ALIGN);
	*ret = (struct hmem){ H_R14, H_R15, 0, 0 };
	return true;
}

/* The stack slot of 8 bytes at rsp + OFF; leaves r14 alone. */
static struct hmem access_stack(struct state *s, int32_t off, bool write)
{
	struct cold *c = &s->colds[s->cold_count++];

	give_up_hw(s, s->live[s->i]);
	*c = (struct cold){ .ea = { H_GUEST_RSP, H_NONE, 0, off } };
	access_checked(s, c, 8, write, false);
	return (struct hmem){ H_GUEST_RSP, H_R15, 0, off };
}

static void move_rsp(struct state *s, int32_t by)
{
	struct hmem m = { H_GUEST_RSP, H_NONE, 0, by };

	emit_lea(s->e, H_GUEST_RSP, &m, true);
}

/* --- instructions --- */

static void after_flags(struct state *s)
{
	if (s->in->attr & A_FW)
		s->flags = FLAGS_HW;
}

static void tr_native(struct state *s)
{
	const struct insn *in = s->in;
	struct hmem m = { H_NONE, H_NONE, 0, 0 };
	bool touches = (in->attr & (A_ER | A_EW)) && !(in->attr & A_NOACC);

	if (insn_has_mem(in) && touches) {
		unsigned size = in->msz;
		if (!access_operand(s, in, size, in->attr & A_EW, &m)) {
			emit_slow(s);
			return;
		}
	}
	if (in->attr & A_FR)
		need_hw(s);
	add_fault_point(s);
	s->t->points[*s->t->point_count - 1].swapped = native_emit(s->e, in, &m);
	after_flags(s);
}

static void tr_lea(struct state *s)
{
	const struct insn *in = s->in;

	emit_address(s, in);
	if (in->osz == 4) /* mov %r14d, %r14d */
		en(s->e, 0xf68945, 3);
	if (in_core(in->reg))
		emit_core_store(s->e, H_R14, core_gpr(in->reg));
	else
		emit_mov_reg(s->e, host_of(in->reg), H_R14);
}

/* LEA of registers that are all where they belong. */
static bool tr_lea_direct(struct state *s)
{
	const struct insn *in = s->in;

	if (in->osz == 2 || in->asz != 8 || in->base == REG_IP || in_core(in->base) || in_core(in->index) || in_core(in->reg))
		return false;
	struct hmem m = { in->base == REG_NO ? H_NONE : host_of(in->base), in->index == REG_NO ? H_NONE : host_of(in->index), in->scale, in->disp };
	emit_lea(s->e, host_of(in->reg), &m, in->osz == 8);
	return true;
}

static unsigned opcode_reg(const struct insn *in)
{
	return (in->opc & 7) | (in->rex & 1 ? 8 : 0);
}

static void tr_push_reg(struct state *s)
{
	unsigned g = opcode_reg(s->in), h = host_of(g);
	struct hmem m = access_stack(s, -8, true);

	if (in_core(g)) {
		emit_core_load(s->e, H_R14, core_gpr(g));
		h = H_R14;
	}
	emit_op_mem(s->e, 0x89, h, &m);
	move_rsp(s, -8);
}

/* mov $imm32, m (sign-extended to 64 bits) */
static void emit_store_imm(struct emit *e, int32_t v, const struct hmem *m)
{
	e1(e, 0x48 | rex_mem(0, m));
	e1(e, 0xc7);
	emit_mem(e, 0, m);
	e4(e, v);
}

static void tr_push_imm(struct state *s)
{
	struct hmem m = access_stack(s, -8, true);

	emit_store_imm(s->e, (int32_t)s->in->imm, &m);
	move_rsp(s, -8);
}

/* Loads the 64-bit r/m operand into r14. */
static bool load_rm(struct state *s)
{
	const struct insn *in = s->in;
	struct hmem m;

	if (in->mod == 3) {
		if (in_core(in->rm))
			emit_core_load(s->e, H_R14, core_gpr(in->rm));
		else
			emit_mov_reg(s->e, H_R14, host_of(in->rm));
		return true;
	}
	if (!access_operand(s, in, 8, false, &m))
		return false;
	emit_op_mem(s->e, 0x8b, H_R14, &m);
	return true;
}

static void tr_push_rm(struct state *s)
{
	if (!load_rm(s)) {
		emit_slow(s);
		return;
	}
	struct hmem m = access_stack(s, -8, true);
	emit_op_mem(s->e, 0x89, H_R14, &m);
	move_rsp(s, -8);
}

static void tr_pop_reg(struct state *s)
{
	unsigned g = opcode_reg(s->in);
	struct hmem m = access_stack(s, 0, false);

	if (in_core(g)) {
		emit_op_mem(s->e, 0x8b, H_R14, &m);
		emit_core_store(s->e, H_R14, core_gpr(g));
		move_rsp(s, 8);
	} else if (g == RSP) {
		emit_op_mem(s->e, 0x8b, H_GUEST_RSP, &m);
	} else {
		emit_op_mem(s->e, 0x8b, g, &m);
		move_rsp(s, 8);
	}
}

static void tr_leave(struct state *s)
{
	struct cold *c = &s->colds[s->cold_count++];
	struct hmem m = { H_RBP, H_R15, 0, 0 }, next = { H_RBP, H_NONE, 0, 8 };

	give_up_hw(s, s->live[s->i]);
	*c = (struct cold){ .ea = { H_RBP, H_NONE, 0, 0 } };
	access_checked(s, c, 8, false, false);
	emit_lea(s->e, H_GUEST_RSP, &next, true);
	emit_op_mem(s->e, 0x8b, H_RBP, &m);
}

/* Stores the return address on the guest's stack; r14 is left alone. */
static void push_return_address(struct state *s, uint64_t ra)
{
	struct hmem m = access_stack(s, -8, true);

	if (ra == (uint64_t)(int64_t)(int32_t)ra) {
		emit_store_imm(s->e, (int32_t)ra, &m);
	} else {
		emit_lea(s->e, H_R15, &m, true);
		struct hmem half = { H_R15, H_NONE, 0, 0 };
		for (unsigned i = 0; i < 2; i++, half.disp = 4) {
			e1(s->e, 0x40 | rex_mem(0, &half));
			e1(s->e, 0xc7);
			emit_mem(s->e, 0, &half);
			e4(s->e, ra >> 32 * i);
		}
	}
	move_rsp(s, -8);
}

/* The guest return address goes on the return stack; the host's follows with the call. Then the code it comes back to. */
static void push_marker(struct state *s, uint64_t ra)
{
	if (ra == (uint64_t)(int64_t)(int32_t)ra) {
		e1(s->e, 0x68);
		e4(s->e, ra);
	} else {
		emit_mov_imm(s->e, H_R15, ra);
		en(s->e, 0x5741, 2); /* push %r15 */
	}
}

static void emit_return_site(struct state *s, uint64_t ra)
{
	en(s->e, 0x0824648d48, 5); /* lea 8(%rsp), %rsp */
	s->flags = FLAGS_CORE;     /* RET put them there */
	emit_goto(s, ra);
}

static void tr_call(struct state *s)
{
	uint64_t ra = s->b->va + s->offs[s->i] + s->in->len, target = ra + s->in->imm;

	emit_kick_check(s, insn_address(s), true);
	push_return_address(s, ra);
	push_marker(s, ra);
	if (may_link(s, target)) {
		e1(s->e, 0xe8);
		e4(s->e, 0);
		add_link(s, target);
	} else {
		emit_mov_imm(s->e, H_R14, target);
		emit_call(s->e, s->t->indirect);
	}
	emit_return_site(s, ra);
}

static void tr_call_rm(struct state *s)
{
	uint64_t ra = s->b->va + s->offs[s->i] + s->in->len;

	emit_kick_check(s, insn_address(s), true);
	if (!load_rm(s)) {
		emit_interp(s);
		return;
	}
	push_return_address(s, ra);
	push_marker(s, ra);
	emit_call(s->e, s->t->indirect);
	emit_return_site(s, ra);
}

static void tr_jmp_rm(struct state *s)
{
	emit_kick_check(s, insn_address(s), true);
	if (!load_rm(s)) {
		emit_interp(s);
		return;
	}
	emit_jmp(s->e, s->t->indirect);
}

static void tr_ret(struct state *s)
{
	struct hmem top = { H_RSP, H_NONE, 0, 8 };

	give_up_hw(s, true);
	struct hmem m = access_stack(s, 0, false);
	emit_op_mem(s->e, 0x8b, H_R14, &m);
	move_rsp(s, 8 + (int32_t)s->in->imm);
	emit_op_mem(s->e, 0x3b, H_R14, &top); /* cmp 8(%rsp), %r14 */
	e1(s->e, 0x0f);
	e1(s->e, 0x80 | CC_NE);
	emit_rel32(s->e, s->t->mismatch);
	e1(s->e, 0xc3);
}

static void tr_jmp(struct state *s)
{
	uint64_t next = s->b->va + s->offs[s->i] + s->in->len, target = next + s->in->imm;

	if (target <= s->b->va + s->offs[s->i])
		emit_kick_check(s, target, live_at(s, target));
	emit_goto(s, target);
}

static void tr_jcc(struct state *s)
{
	uint64_t next = s->b->va + s->offs[s->i] + s->in->len, target = next + s->in->imm;
	unsigned cc = s->in->opc & 15;
	bool backward = target <= s->b->va + s->offs[s->i];

	need_hw(s);
	enum flags_place before = s->flags;
	if (!backward && may_link(s, target)) {
		emit_jcc(s->e, cc);
		add_link(s, target);
	} else {
		uint8_t *over = emit_jcc(s->e, cc ^ 1);
		if (backward)
			emit_kick_check(s, target, live_at(s, target));
		emit_goto(s, target);
		emit_aim(s->e, over);
	}
	s->flags = before;
	emit_goto(s, next);
}

static void tr_sti(struct state *s)
{
	/* with something waiting, the interpreter does it, interrupt shadow and all */
	give_up_hw(s, s->live[s->i]);
	uint32_t r = add_record(s, EXIT_SLOW);
	emit_check(s, CORE_OFF(kick), r);
	emit_check(s, CORE_OFF(window), r);
	emit_core_ext(s->e, 0x80, 1, CORE_OFF(rflags) + 1); /* orb */
	e1(s->e, F_IF >> 8);
}

static void tr_cli(struct state *s)
{
	give_up_hw(s, s->live[s->i]);
	emit_core_ext(s->e, 0x80, 4, CORE_OFF(rflags) + 1); /* andb */
	e1(s->e, (uint8_t)~(F_IF >> 8));
}

/* RFLAGS into r14, for which the arithmetic flags must be in hardware; destroys them there and r15. */
static void emit_rflags(struct emit *e)
{
	const uint32_t own = F_ARITH | F_DF;

	en(e, 0x5e419c, 3); /* pushfq; pop %r14 */
	en(e, 0xe68149, 3); /* and $own, %r14 */
	e4(e, own);
	emit_core_load(e, H_R15, CORE_OFF(rflags));
	en(e, 0xe78149, 3); /* and $~..., %r15 */
	e4(e, ~(own | F_RF | F_VM));
	emit_op_reg(e, 0x09, H_R15, H_R14);
}

/* test $MASK, %r14d or %r11d; jnz to a cold exit that has the instruction interpreted */
static void emit_test_slow(struct state *s, unsigned reg, uint32_t mask, uint32_t record)
{
	struct cold *c = &s->colds[s->cold_count++];

	en(s->e, 0xf741, 2);
	e1(s->e, 0xc0 | (reg & 7));
	e4(s->e, mask);
	*c = (struct cold){ .slow = { emit_jcc(s->e, CC_NE) }, .record = record };
}

/* The arithmetic flags in REG (64-bit RFLAGS) become the guest's, in the core. */
static void emit_flags_from(struct emit *e, unsigned reg)
{
	struct hmem high = { H_NONE, H_NONE, 0, CORE_OFF(flags_ax) + 1 };

	e1(e, 0x65);
	e1(e, 0x40 | rex_mem(reg, &high));
	e1(e, 0x88); /* mov low byte */
	emit_mem(e, reg, &high);
	en(e, 0xba0f41, 3); /* bt $11, reg */
	e1(e, 0xe0 | (reg & 7));
	e1(e, 11);
	e1(e, 0x65);
	en(e, 0x920f, 2); /* setc */
	struct hmem low = { H_NONE, H_NONE, 0, CORE_OFF(flags_ax) };
	emit_mem(e, 0, &low);
}

/* A segment register of the core becomes flat: base 0, the rest as field FROM says. */
static void emit_flat_segment(struct emit *e, unsigned seg, int32_t from)
{
	int32_t at = CORE_OFF(seg) + (int32_t)seg * (int32_t)sizeof(struct cpu_segment);
	struct hmem base = { H_NONE, H_NONE, 0, at };

	emit_core_load(e, H_R15, from);
	emit_core_store(e, H_R15, at + (int32_t)offsetof(struct cpu_segment, limit));
	e1(e, 0x65);
	emit_store_imm(e, 0, &base);
}
_Static_assert(offsetof(struct cpu_segment, selector) == offsetof(struct cpu_segment, limit) + 4 &&
		       offsetof(struct cpu_segment, attr) == offsetof(struct cpu_segment, limit) + 6,
	       "limit, selector and attributes are one 64-bit word");

/* Goes on at the address in r14 with another privilege: other views, an empty return stack. */
static void emit_privilege(struct state *s, unsigned cpl, int32_t fs, int32_t gs)
{
	struct hmem m = { H_NONE, H_NONE, 0, CORE_OFF(cpl) };

	e1(s->e, 0x65);
	emit_store_imm(s->e, (int32_t)cpl, &m);
	emit_core_load(s->e, H_R15, fs);
	emit_core_store(s->e, H_R15, CORE_OFF(view_fs));
	en(s->e, 0xd7ae0f49f3, 5); /* wrfsbase %r15 */
	emit_core_load(s->e, H_R15, gs);
	emit_core_store(s->e, H_R15, CORE_OFF(view_gs));
	en(s->e, 0xdfae0f49f3, 5); /* wrgsbase %r15 */
	emit_jmp(s->e, s->t->mismatch);
}

static void tr_syscall(struct state *s)
{
	uint64_t next = insn_address(s) + s->in->len;
	struct hmem ok = { H_NONE, H_NONE, 0, CORE_OFF(syscall_ok) };

	need_hw(s);
	if (s->flags == FLAGS_HW)
		emit_save_flags(s->e);
	s->flags = FLAGS_CORE;
	uint32_t r = add_record(s, EXIT_INTERP);
	emit_rflags(s->e);
	emit_test_slow(s, H_R14, F_DF | F_AC | F_NT, r);
	e1(s->e, 0x65);
	e1(s->e, 0x83); /* cmpl $0 */
	emit_mem(s->e, 7, &ok);
	e1(s->e, 0);
	s->colds[s->cold_count++] = (struct cold){ .slow = { emit_jcc(s->e, CC_E) }, .record = r };
	emit_mov_reg(s->e, H_R11, H_R14);
	emit_mov_imm(s->e, H_RCX, next);
	emit_core_load(s->e, H_R15, CORE_OFF(sfmask));
	en(s->e, 0xd7f749, 3); /* not %r15 */
	emit_op_reg(s->e, 0x21, H_R15, H_R14);
	en(s->e, 0x02ce8349, 4); /* or $2, %r14 */
	emit_core_store(s->e, H_R14, CORE_OFF(rflags));
	emit_flags_from(s->e, H_R14);
	emit_flat_segment(s->e, SEG_CS, CORE_OFF(syscall_cs));
	emit_flat_segment(s->e, SEG_SS, CORE_OFF(syscall_ss));
	emit_core_load(s->e, H_R14, CORE_OFF(lstar));
	emit_privilege(s, 0, CORE_OFF(nouser_fs), CORE_OFF(nouser_gs));
}

static void tr_sysret(struct state *s)
{
	const uint32_t plain = F_ARITH | F_IF | F_ID | 2;
	struct hmem ok = { H_NONE, H_NONE, 0, CORE_OFF(syscall_ok) };

	give_up_hw(s, true);
	uint32_t r = add_record(s, EXIT_INTERP);
	emit_check(s, CORE_OFF(kick), r);
	emit_check(s, CORE_OFF(window), r);
	e1(s->e, 0x65);
	e1(s->e, 0x83);
	emit_mem(s->e, 7, &ok);
	e1(s->e, 0);
	s->colds[s->cold_count++] = (struct cold){ .slow = { emit_jcc(s->e, CC_E) }, .record = r };
	emit_test_slow(s, H_R11, ~plain, r);
	emit_mov_reg(s->e, H_R14, H_RCX);
	en(s->e, 0x2feec149, 4); /* shr $47, %r14: only the lower half */
	s->colds[s->cold_count++] = (struct cold){ .slow = { emit_jcc(s->e, CC_NE) }, .record = r };
	emit_mov_reg(s->e, H_R14, H_R11);
	en(s->e, 0xe68149, 3); /* and $plain, %r14 */
	e4(s->e, plain);
	en(s->e, 0x02ce8349, 4);
	emit_core_store(s->e, H_R14, CORE_OFF(rflags));
	emit_flags_from(s->e, H_R14);
	emit_flat_segment(s->e, SEG_CS, CORE_OFF(sysret_cs));
	emit_flat_segment(s->e, SEG_SS, CORE_OFF(sysret_ss));
	emit_mov_reg(s->e, H_R14, H_RCX);
	emit_privilege(s, 3, CORE_OFF(user_fs), CORE_OFF(user_gs));
}

/* The page number of the address in REG, whose addend replaces it; out when the page is not there. */
static void emit_string_page(struct state *s, unsigned reg, bool write, uint32_t record)
{
	unsigned low = reg & 7;
	struct hmem m = { H_NONE, reg, 3, 0 };

	en(s->e, 0xc149, 2); /* shl $16, reg; shr $28, reg */
	e1(s->e, 0xe0 | low);
	e1(s->e, 16);
	en(s->e, 0xc149, 2);
	e1(s->e, 0xe8 | low);
	e1(s->e, 28);
	e1(s->e, write ? 0x64 : 0x65);
	emit_op_mem(s->e, 0x8b, reg, &m);
	emit_op_reg(s->e, 0x85, reg, reg);
	s->colds[s->cold_count++] = (struct cold){ .slow = { emit_jcc(s->e, CC_E) }, .record = record };
}

/* Out unless RCX elements of SIZE bytes from the address in PTR lie in one page. */
static void emit_string_fits(struct state *s, unsigned ptr, unsigned size, uint32_t record)
{
	struct hmem sum = { H_R15, H_RCX, (uint8_t)__builtin_ctz(size), 0 };

	emit_mov_reg(s->e, H_R15, ptr);
	en(s->e, 0xe78141, 3); /* and $0xfff, %r15d */
	e4(s->e, 0xfff);
	emit_lea(s->e, H_R15, &sum, true);
	en(s->e, 0xff8149, 3); /* cmp $4096, %r15 */
	e4(s->e, PAGE_SIZE);
	s->colds[s->cold_count++] = (struct cold){ .slow = { emit_jcc(s->e, CC_A) }, .record = record };
}

/* REP MOVS and STOS that stay in a page each run natively; the interpreter does the others a page at a time. */
static void tr_rep(struct state *s)
{
	const struct insn *in = s->in;
	bool movs = in->op == OP_MOVS;

	give_up_hw(s, s->live[s->i]);
	uint32_t r = add_record(s, EXIT_SLOW);
	en(s->e, 0x5f419c, 3); /* pushfq; pop %r15: the direction */
	en(s->e, 0xc7f741, 3); /* test $DF, %r15d */
	e4(s->e, F_DF);
	s->colds[s->cold_count++] = (struct cold){ .slow = { emit_jcc(s->e, CC_NE) }, .record = r };
	en(s->e, 0xf98148, 3); /* cmp $4096, %rcx */
	e4(s->e, PAGE_SIZE);
	s->colds[s->cold_count++] = (struct cold){ .slow = { emit_jcc(s->e, CC_A) }, .record = r };
	emit_string_fits(s, H_RDI, in->msz, r);
	if (movs) {
		emit_string_fits(s, H_RSI, in->msz, r);
		emit_mov_reg(s->e, H_R14, H_RSI);
		emit_string_page(s, H_R14, false, r);
	}
	emit_mov_reg(s->e, H_R15, H_RDI);
	emit_string_page(s, H_R15, true, r);
	add_fault_point(s);
	struct hmem to = { H_RDI, H_R15, 0, 0 }, from = { H_RSI, H_R14, 0, 0 };
	emit_lea(s->e, H_RDI, &to, true);
	if (movs)
		emit_lea(s->e, H_RSI, &from, true);
	if (in->osz == 2 && in->msz == 2)
		e1(s->e, 0x66);
	e1(s->e, 0xf3);
	if (in->msz == 8)
		e1(s->e, 0x48);
	e1(s->e, in->opc);
	emit_op_reg(s->e, 0x29, H_R15, H_RDI); /* sub */
	if (movs)
		emit_op_reg(s->e, 0x29, H_R14, H_RSI);
}

/* MOV from a segment register to a general one. */
static void tr_mov_from_seg(struct state *s)
{
	unsigned seg = s->in->reg & 7;
	struct hmem m = { H_NONE, H_NONE, 0, CORE_OFF(seg) + (int32_t)(seg * sizeof(struct cpu_segment) + offsetof(struct cpu_segment, selector)) };

	e1(s->e, 0x65);
	en(s->e, 0xb70f44, 3); /* movzwl m, %r14d */
	emit_mem(s->e, H_R14, &m);
	if (in_core(s->in->rm))
		emit_core_store(s->e, H_R14, core_gpr(s->in->rm));
	else
		emit_mov_reg(s->e, host_of(s->in->rm), H_R14);
}

static void tr_pushf(struct state *s)
{
	need_hw(s);
	if (s->flags == FLAGS_HW) { /* a miss below has the instruction run once more, which wants them */
		emit_save_flags(s->e);
		s->flags = FLAGS_BOTH;
	}
	emit_rflags(s->e);
	s->flags = FLAGS_CORE;
	struct cold *c = &s->colds[s->cold_count++];
	*c = (struct cold){ .ea = { H_GUEST_RSP, H_NONE, 0, -8 } };
	access_checked(s, c, 8, true, false);
	struct hmem m = { H_GUEST_RSP, H_R15, 0, -8 };
	emit_op_mem(s->e, 0x89, H_R14, &m);
	move_rsp(s, -8);
}

static void tr_swapgs(struct state *s)
{
	int32_t base = CORE_OFF(seg) + SEG_GS * (int32_t)sizeof(struct cpu_segment) + (int32_t)offsetof(struct cpu_segment, base);

	emit_core_load(s->e, H_R14, base);
	emit_core_load(s->e, H_R15, CORE_OFF(kernel_gs_base));
	emit_core_store(s->e, H_R15, base);
	emit_core_store(s->e, H_R14, CORE_OFF(kernel_gs_base));
}

static void tr_rdtsc(struct state *s, bool aux)
{
	give_up_hw(s, s->live[s->i]);
	en(s->e, 0x310f, 2);
	en(s->e, 0x20e2c148, 4); /* shl $32, %rdx */
	emit_op_reg(s->e, 0x09, H_RDX, H_RAX);
	emit_core(s->e, 0x03, H_RAX, CORE_OFF(tsc_offset));
	emit_mov_reg(s->e, H_RDX, H_RAX);
	en(s->e, 0x20eac148, 4); /* shr $32, %rdx */
	en(s->e, 0xc089, 2);     /* mov %eax, %eax */
	if (aux)
		emit_core_load(s->e, H_RCX, CORE_OFF(tsc_aux));
}

/* STAC, CLAC: supervisor accesses to user pages have views of their own. */
static void tr_set_ac(struct state *s, bool on)
{
	give_up_hw(s, s->live[s->i]);
	emit_core_ext(s->e, 0x80, on ? 1 : 4, CORE_OFF(rflags) + 2);
	e1(s->e, on ? F_AC >> 16 : (uint8_t)~(F_AC >> 16));
	emit_core_load(s->e, H_R14, on ? CORE_OFF(sup_fs) : CORE_OFF(nouser_fs));
	emit_core_load(s->e, H_R15, on ? CORE_OFF(sup_gs) : CORE_OFF(nouser_gs));
	emit_core_store(s->e, H_R14, CORE_OFF(view_fs));
	emit_core_store(s->e, H_R15, CORE_OFF(view_gs));
	en(s->e, 0xd6ae0f49f3, 5); /* wrfsbase %r14 */
	en(s->e, 0xdfae0f49f3, 5); /* wrgsbase %r15 */
}

static bool fpu_insn(const struct insn *in)
{
	return in->attr & (A_FPU | A_SSE);
}

/* Group 7, register forms. */
static void tr_group7(struct state *s)
{
	unsigned code = s->in->mod == 3 ? (s->in->reg & 7) << 3 | (s->in->rm & 7) : 0;
	bool kernel = !(s->b->mode & BLOCK_USER);

	if (code == 070 && kernel)
		tr_swapgs(s);
	else if (code == 071 && !(s->b->mode & BLOCK_NO_TSC))
		tr_rdtsc(s, true);
	else if ((code == 012 || code == 013) && kernel)
		tr_set_ac(s, code & 1);
	else
		emit_slow(s);
}

enum ends { ENDS_NOT, ENDS_BLOCK };

/* How instructions that are neither copied nor translated here are left to the interpreter. */
static enum ends tr_other(struct state *s)
{
	switch (s->in->op) {
	case OP_POPF: case OP_PUSH_SEG: case OP_POP_E: case OP_BT: case OP_XLAT: case OP_MOFFS: case OP_MASKMOV: case OP_ENTER:
	case OP_MOVS: case OP_CMPS: case OP_STOS: case OP_LODS: case OP_SCAS: case OP_INS: case OP_OUTS: case OP_IN: case OP_OUT:
	case OP_CPUID: case OP_RDMSR: case OP_GRP15: case OP_MOV_FROM_SEG: case OP_MOV_FROM_CR: case OP_MOV_FROM_DR: case OP_INVD:
	case OP_LAR: case OP_LSL: case OP_RDTSC: case OP_FWAIT: case OP_WRMSR: case OP_CLI: case OP_STI: case OP_PUSHF:
		emit_slow(s);
		return ENDS_NOT;
	default: /* changes where or how execution goes on */
		emit_interp(s);
		return ENDS_BLOCK;
	}
}

static enum ends translate_one(struct state *s)
{
	const struct insn *in = s->in;
	bool kernel = !(s->b->mode & BLOCK_USER);

	if (fpu_insn(in) && s->b->mode & BLOCK_NO_FPU) {
		emit_interp(s);
		return ENDS_BLOCK;
	}
	if (in->osz != 8 && (in->op == OP_PUSH_R || in->op == OP_POP_R || in->op == OP_PUSH_I || in->op == OP_PUSH_E || in->op == OP_LEAVE ||
			     in->op == OP_PUSHF)) {
		emit_slow(s);
		return ENDS_NOT;
	}
	switch (in->op) {
	case OP_NATIVE:
		if (in->map == 0 && in->opc == 0x8d) {
			if (in->osz == 2)
				emit_slow(s);
			else if (!tr_lea_direct(s))
				tr_lea(s);
			return ENDS_NOT;
		}
		tr_native(s);
		return ENDS_NOT;
	case OP_MOV: case OP_DIV: case OP_IDIV: tr_native(s); return ENDS_NOT;
	case OP_NOP:
		if (insn_has_mem(in) && !(in->attr & A_NOACC))
			emit_slow(s);
		return ENDS_NOT;
	case OP_PUSH_R: tr_push_reg(s); return ENDS_NOT;
	case OP_PUSH_I: tr_push_imm(s); return ENDS_NOT;
	case OP_PUSH_E: tr_push_rm(s); return ENDS_NOT;
	case OP_POP_R: tr_pop_reg(s); return ENDS_NOT;
	case OP_LEAVE: tr_leave(s); return ENDS_NOT;
	case OP_PUSHF: tr_pushf(s); return ENDS_NOT;
	case OP_CALL: tr_call(s); return ENDS_BLOCK;
	case OP_CALL_E: tr_call_rm(s); return ENDS_BLOCK;
	case OP_JMP_E: tr_jmp_rm(s); return ENDS_BLOCK;
	case OP_RET: tr_ret(s); return ENDS_BLOCK;
	case OP_JMP: tr_jmp(s); return ENDS_BLOCK;
	case OP_JCC: tr_jcc(s); return ENDS_BLOCK;
	case OP_SYSCALL: tr_syscall(s); return ENDS_BLOCK;
	case OP_SYSRET:
		if (!kernel || in->osz != 8)
			break;
		tr_sysret(s);
		return ENDS_BLOCK;
	case OP_MOVS: case OP_STOS:
		if (!in->rep || in->asz != 8 || in->segover != SEG_NONE)
			break;
		tr_rep(s);
		return ENDS_NOT;
	case OP_MOV_FROM_SEG:
		if (in->mod != 3 || in->osz == 2)
			break;
		tr_mov_from_seg(s);
		return ENDS_NOT;
	case OP_GRP7: tr_group7(s); return ENDS_NOT;
	case OP_CLI:
		if (!kernel)
			break;
		tr_cli(s);
		return ENDS_NOT;
	case OP_STI:
		if (!kernel)
			break;
		tr_sti(s);
		return ENDS_NOT;
	case OP_RDTSC:
		if (s->b->mode & BLOCK_NO_TSC)
			break;
		tr_rdtsc(s, false);
		return ENDS_NOT;
	default: break;
	}
	return tr_other(s);
}

/* --- a block --- */

/* Instructions after which the block's own code cannot go on. */
static bool ends_block(const struct insn *in)
{
	switch (in->op) {
	case OP_NATIVE: case OP_MOV: case OP_DIV: case OP_IDIV: case OP_NOP: case OP_PUSH_R: case OP_PUSH_I: case OP_PUSH_E: case OP_POP_R:
	case OP_LEAVE: case OP_PUSHF: case OP_CLI: case OP_STI: case OP_RDTSC: case OP_POPF: case OP_PUSH_SEG: case OP_POP_E: case OP_BT:
	case OP_XLAT: case OP_MOFFS: case OP_MASKMOV: case OP_ENTER: case OP_MOVS: case OP_CMPS: case OP_STOS: case OP_LODS: case OP_SCAS:
	case OP_INS: case OP_OUTS: case OP_IN: case OP_OUT: case OP_CPUID: case OP_RDMSR: case OP_WRMSR: case OP_GRP15: case OP_MOV_FROM_SEG:
	case OP_MOV_FROM_CR: case OP_MOV_FROM_DR: case OP_INVD: case OP_LAR: case OP_LSL: case OP_FWAIT: case OP_GRP7:
		return false;
	default: return true;
	}
}

static bool decode_block(struct state *s, const uint8_t *bytes, unsigned avail)
{
	unsigned off = 0;

	for (s->count = 0; s->count < BLOCK_INSNS && off < avail; s->count++) {
		struct insn *in = &s->insns[s->count];
		unsigned left = avail - off < INSN_MAX ? avail - off : INSN_MAX;
		if (insn_decode(bytes + off, left, 8, false, in) < 0)
			break; /* crosses the page, or is none: the interpreter's business when it gets there */
		s->offs[s->count] = off;
		off += in->len;
		if (ends_block(in)) {
			s->count++;
			break;
		}
	}
	s->offs[s->count] = off;
	return s->count > 0;
}

static void find_live_flags(struct state *s)
{
	s->live[s->count] = true;
	for (unsigned i = s->count; i-- > 0;) {
		const struct insn *in = &s->insns[i];
		bool writes_all = (in->attr & A_FW) && !(in->attr & A_FR), reads = in->attr & A_FR;
		/* what the interpreter may do with the flags is not looked into */
		if (in->op != OP_NATIVE && in->op != OP_MOV && in->op != OP_NOP && in->op != OP_LEAVE &&
		    !(in->op >= OP_PUSH_R && in->op <= OP_PUSH_E))
			reads = true;
		s->live[i] = reads || (s->live[i + 1] && !writes_all);
	}
}

/* Ways out, behind the code. */
static void emit_cold(struct state *s)
{
	for (unsigned i = 0; i < s->cold_count; i++) {
		struct cold *c = &s->colds[i];
		uint8_t *crossing = NULL;
		if (c->unaligned) {
			emit_aim(s->e, c->unaligned);
			en(s->e, 0xe78141, 3); /* and $0xfff, %r15d */
			e4(s->e, 0xfff);
			en(s->e, 0xff8141, 3); /* cmp $4096 - size, %r15d */
			e4(s->e, PAGE_SIZE - c->size);
			crossing = emit_jcc(s->e, CC_A);
			emit_ea_again(s->e, c);
			emit_jmp(s->e, c->back + s->e->to_exec);
		}
		if (crossing)
			emit_aim(s->e, crossing);
		for (unsigned j = 0; j < 2; j++)
			if (c->slow[j])
				emit_aim(s->e, c->slow[j]);
		emit_leave_call(s, c->record);
	}
	for (unsigned i = 0; i < s->link_count; i++) {
		emit_aim(s->e, s->links[i].patch);
		s->t->records[s->links[i].record].stub = exec_addr(s->e);
		emit_leave_call(s, s->links[i].record);
	}
}

/* Ways out of the instruction just translated come back behind it, unless the block ends with it. */
static void set_resume(struct state *s, uint32_t first_record, enum ends end)
{
	for (uint32_t r = first_record; r < *s->t->record_count; r++)
		if (s->t->records[r].kind == EXIT_SLOW)
			s->t->records[r].resume = end == ENDS_BLOCK ? NO_RESUME : here(s);
}

size_t block_scratch_size(void)
{
	return sizeof(struct state);
}

bool block_translate(const struct translation *t, struct block *b, const uint8_t *bytes, unsigned avail)
{
	struct state *s = t->scratch;
	enum ends end = ENDS_NOT;

	s->t = t;
	s->e = t->e;
	s->b = b;
	s->cold_count = s->link_count = 0;
	if (!decode_block(s, bytes, avail))
		return false;
	find_live_flags(s);
	b->code = s->e->p;
	b->first_point = *t->point_count;
	b->flags_live = s->live[0];
	/* entry for flags in the core, which falls into the one for flags in hardware */
	b->entry_core = 0;
	if (b->flags_live)
		emit_load_flags(s->e);
	b->entry_hw = here(s);
	s->flags = b->flags_live ? FLAGS_HW : FLAGS_DEAD;
	for (s->i = 0; s->i < s->count && end == ENDS_NOT; s->i++) {
		s->in = &s->insns[s->i];
		uint32_t first = *t->record_count;
		end = translate_one(s);
		set_resume(s, first, end);
	}
	s->i--;
	b->insns = s->count;
	b->guest_len = s->offs[s->count];
	if (end == ENDS_NOT) {
		s->i = s->count;
		emit_goto(s, b->va + b->guest_len);
	}
	emit_cold(s);
	b->code_len = here(s);
	b->points = *t->point_count - b->first_point;
	return true;
}

void block_emit_stubs(struct emit *e, const struct stubs *stubs, const uint8_t **ret_indirect, const uint8_t **ret_mismatch)
{
	struct hmem tag = { H_R15, H_NONE, 0, TARGETS_OFF }, host = { H_R15, H_NONE, 0, TARGETS_OFF + 8 };

	*ret_mismatch = exec_addr(e);
	emit_core_load(e, H_RSP, CORE_OFF(rs_base));
	*ret_indirect = exec_addr(e);
	en(e, 0xf78945, 3); /* mov %r14d, %r15d */
	en(e, 0xe78141, 3); /* and $4095, %r15d */
	e4(e, TARGETS - 1);
	en(e, 0x04e7c141, 4); /* shl $4, %r15d */
	e1(e, 0x65);
	emit_op_mem(e, 0x3b, H_R14, &tag);
	uint8_t *miss = emit_jcc(e, CC_NE);
	e1(e, 0x65);
	e1(e, 0x41);
	e1(e, 0xff);
	emit_mem(e, 4, &host); /* jmp *%gs:(%r15) */
	emit_aim(e, miss);
	emit_core_store(e, H_R14, CORE_OFF(rip));
	emit_call(e, stubs->leave);
	e4(e, 0);
}
