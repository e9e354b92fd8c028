#include "wasm/baseline/compiler.h"

/* ---- integers ---- */

/* OP is the opcode of the "reg, r/m" form; GROUP its number in the immediate group. */
static void binary_alu(struct compiler *c, wasm_type t, uint8_t op, unsigned group)
{
	struct value b = *top(c, 0);
	bool w = t == WASM_I64;
	unsigned a;

	if (b.kind == VALUE_CONST && (w ? (int64_t)b.constant == (int32_t)b.constant : true)) {
		pop_drop(c);
		a = pop_gpr(c);
		x64_alu_imm(&c->a, group, w, a, (int32_t)b.constant);
	} else if (b.kind == VALUE_LOCAL || b.kind == VALUE_SLOT) {
		pop_drop(c);
		a = pop_gpr(c);
		x64_rm(&c->a, X64(0, 0, op), w, a, b.kind == VALUE_LOCAL ? local_mem(c, b.local) : slot_mem(b.slot), 0);
	} else {
		unsigned rb = pop_gpr(c);

		a = pop_gpr(c);
		x64_rr(&c->a, X64(0, 0, op), w, a, rb);
		free_gpr(c, rb);
	}
	push_gpr(c, t, a);
}

static void compare_ints(struct compiler *c, wasm_type t, enum x64_cond cc)
{
	binary_alu(c, t, 0x3b, 7);
	free_gpr(c, pop_gpr(c));
	push_flags(c, cc);
}

static void eqz(struct compiler *c, wasm_type t)
{
	unsigned a;

	if (top(c, 0)->kind == VALUE_FLAGS) { /* not reached by push_flags(), kept for other producers */
		top(c, 0)->reg ^= 1;
		return;
	}
	a = pop_gpr(c);
	x64_rr(&c->a, X64(0, 0, 0x85), t == WASM_I64, a, a);
	free_gpr(c, a);
	push_flags(c, CC_E);
}

static void multiply(struct compiler *c, wasm_type t)
{
	unsigned b = pop_gpr(c), a = pop_gpr(c);

	x64_rr(&c->a, X64(0, 1, 0xaf), t == WASM_I64, a, b);
	free_gpr(c, b);
	push_gpr(c, t, a);
}

/* GROUP: rol 0, ror 1, shl 4, shr 5, sar 7. */
static void shift(struct compiler *c, wasm_type t, unsigned group)
{
	bool w = t == WASM_I64;
	unsigned a, b;

	if (top(c, 0)->kind == VALUE_CONST) {
		uint8_t by = (uint8_t)(top(c, 0)->constant & (w ? 63 : 31));

		pop_drop(c);
		a = pop_gpr(c);
		if (by)
			x64_shift_imm(&c->a, group, w, a, by);
		push_gpr(c, t, a);
		return;
	}
	b = pop_gpr(c);
	if (b != RCX) {
		take_gpr(c, RCX);
		x64_rr(&c->a, X64(0, 0, 0x8b), true, RCX, b);
		free_gpr(c, b);
	}
	a = pop_gpr(c);
	x64_rr(&c->a, X64(0, 0, 0xd3), w, group, a);
	free_gpr(c, RCX);
	push_gpr(c, t, a);
}

static void divide(struct compiler *c, wasm_type t, bool is_signed, bool remainder)
{
	struct x64_label done = X64_LABEL_INIT, normal = X64_LABEL_INIT;
	bool w = t == WASM_I64;
	unsigned b = pop_gpr(c), a;

	/* divisor to r11, dividend to rax, rdx is clobbered */
	x64_rr(&c->a, X64(0, 0, 0x8b), true, R11, b);
	free_gpr(c, b);
	a = pop_gpr(c);
	if (a != RAX) {
		take_gpr(c, RAX);
		x64_rr(&c->a, X64(0, 0, 0x8b), true, RAX, a);
		free_gpr(c, a);
	}
	take_gpr(c, RDX);
	x64_rr(&c->a, X64(0, 0, 0x85), w, R11, R11);
	x64_jcc(&c->a, CC_E, trap_label(c, WASM_TRAP_DIVIDE));
	if (is_signed) {
		x64_alu_imm(&c->a, 7, w, R11, -1);
		x64_jcc(&c->a, CC_NE, &normal);
		if (remainder) { /* x % -1 is 0, and INT_MIN / -1 would fault */
			x64_rr(&c->a, X64(0, 0, 0x33), false, RDX, RDX);
			x64_jmp(&c->a, &done);
		} else {
			x64_rr(&c->a, X64(0, 0, 0xf7), w, 3, RAX); /* neg */
			x64_jcc(&c->a, CC_O, trap_label(c, WASM_TRAP_OVERFLOW));
			x64_jmp(&c->a, &done);
		}
		x64_bind(&c->a, &normal);
		if (w)
			x64_byte(&c->a, 0x48);
		x64_byte(&c->a, 0x99); /* cdq / cqo */
	} else {
		x64_rr(&c->a, X64(0, 0, 0x33), false, RDX, RDX);
	}
	x64_rr(&c->a, X64(0, 0, 0xf7), w, is_signed ? 7 : 6, R11);
	x64_bind(&c->a, &done);
	x64_label_free(&done);
	x64_label_free(&normal);
	free_gpr(c, remainder ? RAX : RDX);
	push_gpr(c, t, remainder ? RDX : RAX);
}

/* clz, ctz: bsr and bsf leave the destination alone for 0, so the answer for 0 is put there first. */
static void count_zeros(struct compiler *c, wasm_type t, bool leading)
{
	bool w = t == WASM_I64;
	unsigned a = pop_gpr(c), bits = w ? 64 : 32;

	x64_mov_imm(&c->a, R11, leading ? bits * 2 - 1 : bits);
	x64_rr(&c->a, X64(0, 1, leading ? 0xbd : 0xbc), w, a, a);
	x64_rr(&c->a, X64(0, 1, 0x44), true, a, R11); /* cmovz */
	if (leading)
		x64_alu_imm(&c->a, 6, false, a, (int32_t)bits - 1);
	push_gpr(c, t, a);
}

static void unary_gpr(struct compiler *c, uint32_t op, bool w, wasm_type result)
{
	unsigned a = pop_gpr(c);

	x64_rr(&c->a, op, w, a, a);
	push_gpr(c, result, a);
}

static void extend8(struct compiler *c, bool w, wasm_type t)
{
	unsigned a = pop_gpr(c);

	if (w)
		x64_rr(&c->a, X64(0, 1, 0xbe), true, a, a);
	else
		x64_rr8(&c->a, X64(0, 1, 0xbe), a, a);
	push_gpr(c, t, a);
}

/* ---- floats ---- */

static uint32_t scalar(wasm_type t, uint8_t op)
{
	return X64(t == WASM_F32 ? 0xf3 : 0xf2, 1, op);
}

static void binary_float(struct compiler *c, wasm_type t, uint8_t op)
{
	unsigned b = pop_xmm(c), a = pop_xmm(c);

	x64_rr(&c->a, scalar(t, op), false, a, b);
	free_xmm(c, b);
	push_xmm(c, t, a);
}

static void ucomis(struct compiler *c, wasm_type t, unsigned a, unsigned b)
{
	x64_rr(&c->a, t == WASM_F32 ? X64(0, 1, 0x2e) : X64(0x66, 1, 0x2e), false, a, b);
}

/* lt and le with swapped operands, gt and ge straight: "above" is false for NaN. */
static void compare_floats(struct compiler *c, wasm_type t, enum x64_cond cc, bool swap)
{
	unsigned b = pop_xmm(c), a = pop_xmm(c);

	ucomis(c, t, swap ? b : a, swap ? a : b);
	free_xmm(c, a);
	free_xmm(c, b);
	push_flags(c, cc);
}

static void equal_floats(struct compiler *c, wasm_type t, bool equal)
{
	unsigned b = pop_xmm(c), a = pop_xmm(c), reg = alloc_gpr(c);

	ucomis(c, t, a, b);
	x64_rr8(&c->a, X64(0, 1, equal ? 0x9b : 0x9a), 0, reg); /* setnp / setp */
	x64_rr8(&c->a, X64(0, 1, equal ? 0x94 : 0x95), 0, R11); /* sete / setne */
	x64_rr8(&c->a, X64(0, 0, equal ? 0x22 : 0x0a), reg, R11);
	x64_rr8(&c->a, X64(0, 1, 0xb6), reg, reg);
	free_xmm(c, a);
	free_xmm(c, b);
	push_gpr(c, WASM_I32, reg);
}

/* r11 to an xmm register. */
static void constant_to_xmm(struct compiler *c, unsigned xmm, uint64_t v)
{
	x64_mov_imm(&c->a, R11, v);
	x64_rr(&c->a, X64(0x66, 1, 0x6e), true, xmm, R11);
}

static uint64_t sign_bit(wasm_type t)
{
	return t == WASM_F32 ? 1ull << 31 : 1ull << 63;
}

static void abs_neg(struct compiler *c, wasm_type t, bool neg)
{
	unsigned a = pop_xmm(c);

	constant_to_xmm(c, XMM_SCRATCH, neg ? sign_bit(t) : t == WASM_F32 ? 0x7fffffffu : ~sign_bit(t));
	x64_rr(&c->a, X64(0, 1, neg ? 0x57 : 0x54), false, a, XMM_SCRATCH);
	push_xmm(c, t, a);
}

static void copysign_float(struct compiler *c, wasm_type t)
{
	unsigned b = pop_xmm(c), a = pop_xmm(c);

	constant_to_xmm(c, XMM_SCRATCH, sign_bit(t));
	x64_rr(&c->a, X64(0, 1, 0x54), false, b, XMM_SCRATCH); /* b & sign */
	x64_rr(&c->a, X64(0, 1, 0x55), false, XMM_SCRATCH, a); /* ~sign & a */
	x64_rr(&c->a, X64(0, 1, 0x56), false, b, XMM_SCRATCH);
	free_xmm(c, a);
	push_xmm(c, t, b);
}

/* roundss/roundsd: 0 nearest, 1 down, 2 up, 3 to zero. */
static void round_float(struct compiler *c, wasm_type t, uint8_t mode)
{
	unsigned a = pop_xmm(c);

	x64_rr(&c->a, X64(0x66, 3, t == WASM_F32 ? 0x0a : 0x0b), false, a, a);
	x64_byte(&c->a, mode);
	push_xmm(c, t, a);
}

/* minss takes its second operand for NaN and for equal zeros: those two cases go another way. */
static void min_max(struct compiler *c, wasm_type t, bool max)
{
	struct x64_label differ = X64_LABEL_INIT, nan = X64_LABEL_INIT, done = X64_LABEL_INIT;
	unsigned b = pop_xmm(c), a = pop_xmm(c);

	ucomis(c, t, a, b);
	x64_jcc(&c->a, CC_P, &nan);
	x64_jcc(&c->a, CC_NE, &differ);
	x64_rr(&c->a, X64(0, 1, max ? 0x54 : 0x56), false, a, b); /* equal: only the sign of zero can differ */
	x64_jmp(&c->a, &done);
	x64_bind(&c->a, &nan);
	x64_rr(&c->a, scalar(t, 0x58), false, a, b);
	x64_jmp(&c->a, &done);
	x64_bind(&c->a, &differ);
	x64_rr(&c->a, scalar(t, max ? 0x5f : 0x5d), false, a, b);
	x64_bind(&c->a, &done);
	x64_label_free(&differ);
	x64_label_free(&nan);
	x64_label_free(&done);
	free_xmm(c, b);
	push_xmm(c, t, a);
}

static void int_to_float(struct compiler *c, wasm_type to, bool from64)
{
	unsigned a = pop_gpr(c), x = alloc_xmm(c);

	x64_rr(&c->a, X64(0, 1, 0x57), false, x, x); /* no dependency on the old value */
	x64_rr(&c->a, scalar(to, 0x2a), from64, x, a);
	free_gpr(c, a);
	push_xmm(c, to, x);
}

static void float_to_float(struct compiler *c, wasm_type from, wasm_type to)
{
	unsigned a = pop_xmm(c);

	x64_rr(&c->a, scalar(from, 0x5a), false, a, a);
	push_xmm(c, to, a);
}

static void xmm_to_gpr(struct compiler *c, wasm_type to)
{
	unsigned a = pop_xmm(c), reg = alloc_gpr(c);

	x64_rr(&c->a, X64(0x66, 1, 0x7e), to == WASM_I64, a, reg);
	free_xmm(c, a);
	push_gpr(c, to, reg);
}

static void gpr_to_xmm(struct compiler *c, wasm_type to)
{
	unsigned a = pop_gpr(c), x = alloc_xmm(c);

	x64_rr(&c->a, X64(0x66, 1, 0x6e), to == WASM_F64, x, a);
	free_gpr(c, a);
	push_xmm(c, to, x);
}

static void float_const(struct compiler *c, wasm_type t, uint64_t bits)
{
	unsigned x = alloc_xmm(c);

	if (bits)
		constant_to_xmm(c, x, bits);
	else
		x64_rr(&c->a, X64(0, 1, 0x57), false, x, x);
	push_xmm(c, t, x);
}

static bool emit_i32_i64(struct compiler *c)
{
	static const uint8_t conds[] = { CC_E, CC_NE, CC_L, CC_B, CC_G, CC_A, CC_LE, CC_BE, CC_GE, CC_AE };
	uint16_t op = c->insn.op;
	wasm_type t = WASM_I32;

	if (op >= WASM_OP_I32_EQ && op <= WASM_OP_I32_GE_U) {
		compare_ints(c, WASM_I32, conds[op - WASM_OP_I32_EQ]);
		return true;
	}
	if (op >= WASM_OP_I64_EQ && op <= WASM_OP_I64_GE_U) {
		compare_ints(c, WASM_I64, conds[op - WASM_OP_I64_EQ]);
		return true;
	}
	if (op >= WASM_OP_I64_CLZ && op <= WASM_OP_I64_ROTR) {
		t = WASM_I64;
		op = (uint16_t)(op - WASM_OP_I64_CLZ + WASM_OP_I32_CLZ);
	}
	switch (op) {
	case WASM_OP_I32_EQZ: eqz(c, WASM_I32); return true;
	case WASM_OP_I64_EQZ: eqz(c, WASM_I64); return true;
	case WASM_OP_I32_CLZ: count_zeros(c, t, true); return true;
	case WASM_OP_I32_CTZ: count_zeros(c, t, false); return true;
	case WASM_OP_I32_POPCNT: unary_gpr(c, X64(0xf3, 1, 0xb8), t == WASM_I64, t); return true;
	case WASM_OP_I32_ADD: binary_alu(c, t, 0x03, 0); return true;
	case WASM_OP_I32_SUB: binary_alu(c, t, 0x2b, 5); return true;
	case WASM_OP_I32_MUL: multiply(c, t); return true;
	case WASM_OP_I32_DIV_S: divide(c, t, true, false); return true;
	case WASM_OP_I32_DIV_U: divide(c, t, false, false); return true;
	case WASM_OP_I32_REM_S: divide(c, t, true, true); return true;
	case WASM_OP_I32_REM_U: divide(c, t, false, true); return true;
	case WASM_OP_I32_AND: binary_alu(c, t, 0x23, 4); return true;
	case WASM_OP_I32_OR: binary_alu(c, t, 0x0b, 1); return true;
	case WASM_OP_I32_XOR: binary_alu(c, t, 0x33, 6); return true;
	case WASM_OP_I32_SHL: shift(c, t, 4); return true;
	case WASM_OP_I32_SHR_S: shift(c, t, 7); return true;
	case WASM_OP_I32_SHR_U: shift(c, t, 5); return true;
	case WASM_OP_I32_ROTL: shift(c, t, 0); return true;
	case WASM_OP_I32_ROTR: shift(c, t, 1); return true;
	default: return false;
	}
}

static bool emit_float(struct compiler *c)
{
	uint16_t op = c->insn.op;
	wasm_type t = WASM_F32;

	if (op >= WASM_OP_F64_EQ && op <= WASM_OP_F64_GE) {
		t = WASM_F64;
		op = (uint16_t)(op - WASM_OP_F64_EQ + WASM_OP_F32_EQ);
	} else if (op >= WASM_OP_F64_ABS && op <= WASM_OP_F64_COPYSIGN) {
		t = WASM_F64;
		op = (uint16_t)(op - WASM_OP_F64_ABS + WASM_OP_F32_ABS);
	}
	switch (op) {
	case WASM_OP_F32_EQ: equal_floats(c, t, true); return true;
	case WASM_OP_F32_NE: equal_floats(c, t, false); return true;
	case WASM_OP_F32_LT: compare_floats(c, t, CC_A, true); return true;
	case WASM_OP_F32_GT: compare_floats(c, t, CC_A, false); return true;
	case WASM_OP_F32_LE: compare_floats(c, t, CC_AE, true); return true;
	case WASM_OP_F32_GE: compare_floats(c, t, CC_AE, false); return true;
	case WASM_OP_F32_ABS: abs_neg(c, t, false); return true;
	case WASM_OP_F32_NEG: abs_neg(c, t, true); return true;
	case WASM_OP_F32_CEIL: round_float(c, t, 2); return true;
	case WASM_OP_F32_FLOOR: round_float(c, t, 1); return true;
	case WASM_OP_F32_TRUNC: round_float(c, t, 3); return true;
	case WASM_OP_F32_NEAREST: round_float(c, t, 0); return true;
	case WASM_OP_F32_SQRT: {
		unsigned a = pop_xmm(c);

		x64_rr(&c->a, scalar(t, 0x51), false, a, a);
		push_xmm(c, t, a);
		return true;
	}
	case WASM_OP_F32_ADD: binary_float(c, t, 0x58); return true;
	case WASM_OP_F32_SUB: binary_float(c, t, 0x5c); return true;
	case WASM_OP_F32_MUL: binary_float(c, t, 0x59); return true;
	case WASM_OP_F32_DIV: binary_float(c, t, 0x5e); return true;
	case WASM_OP_F32_MIN: min_max(c, t, false); return true;
	case WASM_OP_F32_MAX: min_max(c, t, true); return true;
	case WASM_OP_F32_COPYSIGN: copysign_float(c, t); return true;
	default: return false;
	}
}

static bool emit_conversion(struct compiler *c)
{
	switch (c->insn.op) {
	case WASM_OP_I32_CONST: push_const(c, WASM_I32, (uint32_t)c->insn.i32); return true;
	case WASM_OP_I64_CONST: push_const(c, WASM_I64, (uint64_t)c->insn.i64); return true;
	case WASM_OP_F32_CONST: float_const(c, WASM_F32, c->insn.f32); return true;
	case WASM_OP_F64_CONST: float_const(c, WASM_F64, c->insn.f64); return true;
	case WASM_OP_I32_WRAP_I64:
	case WASM_OP_I64_EXTEND_I32_U:
		unary_gpr(c, X64(0, 0, 0x8b), false, c->insn.op == WASM_OP_I32_WRAP_I64 ? WASM_I32 : WASM_I64);
		return true;
	case WASM_OP_I64_EXTEND_I32_S:
	case WASM_OP_I64_EXTEND32_S: unary_gpr(c, X64(0, 0, 0x63), true, WASM_I64); return true;
	case WASM_OP_I32_EXTEND8_S: extend8(c, false, WASM_I32); return true;
	case WASM_OP_I64_EXTEND8_S: extend8(c, true, WASM_I64); return true;
	case WASM_OP_I32_EXTEND16_S: unary_gpr(c, X64(0, 1, 0xbf), false, WASM_I32); return true;
	case WASM_OP_I64_EXTEND16_S: unary_gpr(c, X64(0, 1, 0xbf), true, WASM_I64); return true;
	case WASM_OP_F32_CONVERT_I32_S: int_to_float(c, WASM_F32, false); return true;
	case WASM_OP_F32_CONVERT_I32_U: /* an i32 in a register is zero-extended: convert all 64 bits */
	case WASM_OP_F32_CONVERT_I64_S: int_to_float(c, WASM_F32, true); return true;
	case WASM_OP_F64_CONVERT_I32_S: int_to_float(c, WASM_F64, false); return true;
	case WASM_OP_F64_CONVERT_I32_U:
	case WASM_OP_F64_CONVERT_I64_S: int_to_float(c, WASM_F64, true); return true;
	case WASM_OP_F32_DEMOTE_F64: float_to_float(c, WASM_F64, WASM_F32); return true;
	case WASM_OP_F64_PROMOTE_F32: float_to_float(c, WASM_F32, WASM_F64); return true;
	case WASM_OP_I32_REINTERPRET_F32: xmm_to_gpr(c, WASM_I32); return true;
	case WASM_OP_I64_REINTERPRET_F64: xmm_to_gpr(c, WASM_I64); return true;
	case WASM_OP_F32_REINTERPRET_I32: gpr_to_xmm(c, WASM_F32); return true;
	case WASM_OP_F64_REINTERPRET_I64: gpr_to_xmm(c, WASM_F64); return true;
	default: return false;
	}
}

bool emit_numeric(struct compiler *c)
{
	return emit_i32_i64(c) || emit_float(c) || emit_conversion(c);
}

/* ---- vectors that are one instruction ---- */

static const struct {
	uint16_t op;
	uint32_t x64;
	bool swap; /* the operation is not the first operand's */
} vector_ops[] = {
	{ WASM_OP_V128_AND, X64(0x66, 1, 0xdb) },	 { WASM_OP_V128_OR, X64(0x66, 1, 0xeb) },
	{ WASM_OP_V128_XOR, X64(0x66, 1, 0xef) },	 { WASM_OP_V128_ANDNOT, X64(0x66, 1, 0xdf), true },
	{ WASM_OP_I8X16_ADD, X64(0x66, 1, 0xfc) },	 { WASM_OP_I16X8_ADD, X64(0x66, 1, 0xfd) },
	{ WASM_OP_I32X4_ADD, X64(0x66, 1, 0xfe) },	 { WASM_OP_I64X2_ADD, X64(0x66, 1, 0xd4) },
	{ WASM_OP_I8X16_SUB, X64(0x66, 1, 0xf8) },	 { WASM_OP_I16X8_SUB, X64(0x66, 1, 0xf9) },
	{ WASM_OP_I32X4_SUB, X64(0x66, 1, 0xfa) },	 { WASM_OP_I64X2_SUB, X64(0x66, 1, 0xfb) },
	{ WASM_OP_I16X8_MUL, X64(0x66, 1, 0xd5) },	 { WASM_OP_I32X4_MUL, X64(0x66, 2, 0x40) },
	{ WASM_OP_I8X16_ADD_SAT_S, X64(0x66, 1, 0xec) }, { WASM_OP_I8X16_ADD_SAT_U, X64(0x66, 1, 0xdc) },
	{ WASM_OP_I8X16_SUB_SAT_S, X64(0x66, 1, 0xe8) }, { WASM_OP_I8X16_SUB_SAT_U, X64(0x66, 1, 0xd8) },
	{ WASM_OP_I16X8_ADD_SAT_S, X64(0x66, 1, 0xed) }, { WASM_OP_I16X8_ADD_SAT_U, X64(0x66, 1, 0xdd) },
	{ WASM_OP_I16X8_SUB_SAT_S, X64(0x66, 1, 0xe9) }, { WASM_OP_I16X8_SUB_SAT_U, X64(0x66, 1, 0xd9) },
	{ WASM_OP_I8X16_MIN_S, X64(0x66, 2, 0x38) },	 { WASM_OP_I8X16_MIN_U, X64(0x66, 1, 0xda) },
	{ WASM_OP_I8X16_MAX_S, X64(0x66, 2, 0x3c) },	 { WASM_OP_I8X16_MAX_U, X64(0x66, 1, 0xde) },
	{ WASM_OP_I16X8_MIN_S, X64(0x66, 1, 0xea) },	 { WASM_OP_I16X8_MIN_U, X64(0x66, 2, 0x3a) },
	{ WASM_OP_I16X8_MAX_S, X64(0x66, 1, 0xee) },	 { WASM_OP_I16X8_MAX_U, X64(0x66, 2, 0x3e) },
	{ WASM_OP_I32X4_MIN_S, X64(0x66, 2, 0x39) },	 { WASM_OP_I32X4_MIN_U, X64(0x66, 2, 0x3b) },
	{ WASM_OP_I32X4_MAX_S, X64(0x66, 2, 0x3d) },	 { WASM_OP_I32X4_MAX_U, X64(0x66, 2, 0x3f) },
	{ WASM_OP_I8X16_AVGR_U, X64(0x66, 1, 0xe0) },	 { WASM_OP_I16X8_AVGR_U, X64(0x66, 1, 0xe3) },
	{ WASM_OP_I8X16_EQ, X64(0x66, 1, 0x74) },	 { WASM_OP_I16X8_EQ, X64(0x66, 1, 0x75) },
	{ WASM_OP_I32X4_EQ, X64(0x66, 1, 0x76) },	 { WASM_OP_I64X2_EQ, X64(0x66, 2, 0x29) },
	{ WASM_OP_I8X16_GT_S, X64(0x66, 1, 0x64) },	 { WASM_OP_I16X8_GT_S, X64(0x66, 1, 0x65) },
	{ WASM_OP_I32X4_GT_S, X64(0x66, 1, 0x66) },	 { WASM_OP_I64X2_GT_S, X64(0x66, 2, 0x37) },
	{ WASM_OP_I8X16_LT_S, X64(0x66, 1, 0x64), true }, { WASM_OP_I16X8_LT_S, X64(0x66, 1, 0x65), true },
	{ WASM_OP_I32X4_LT_S, X64(0x66, 1, 0x66), true }, { WASM_OP_I64X2_LT_S, X64(0x66, 2, 0x37), true },
	{ WASM_OP_F32X4_ADD, X64(0, 1, 0x58) },		 { WASM_OP_F32X4_SUB, X64(0, 1, 0x5c) },
	{ WASM_OP_F32X4_MUL, X64(0, 1, 0x59) },		 { WASM_OP_F32X4_DIV, X64(0, 1, 0x5e) },
	{ WASM_OP_F64X2_ADD, X64(0x66, 1, 0x58) },	 { WASM_OP_F64X2_SUB, X64(0x66, 1, 0x5c) },
	{ WASM_OP_F64X2_MUL, X64(0x66, 1, 0x59) },	 { WASM_OP_F64X2_DIV, X64(0x66, 1, 0x5e) },
	{ WASM_OP_I32X4_DOT_I16X8_S, X64(0x66, 1, 0xf5) }, { WASM_OP_I8X16_NARROW_I16X8_S, X64(0x66, 1, 0x63) },
	{ WASM_OP_I8X16_NARROW_I16X8_U, X64(0x66, 1, 0x67) }, { WASM_OP_I16X8_NARROW_I32X4_S, X64(0x66, 1, 0x6b) },
	{ WASM_OP_I16X8_NARROW_I32X4_U, X64(0x66, 2, 0x2b) },
};

static void vector_const(struct compiler *c)
{
	unsigned x = alloc_xmm(c);
	uint64_t low, high;

	__builtin_memcpy(&low, c->insn.v128, 8);
	__builtin_memcpy(&high, c->insn.v128 + 8, 8);
	constant_to_xmm(c, x, low);
	if (high != low) {
		x64_mov_imm(&c->a, R11, high);
		x64_rr(&c->a, X64(0x66, 3, 0x22), true, x, R11); /* pinsrq */
		x64_byte(&c->a, 1);
	} else {
		x64_rr(&c->a, X64(0x66, 1, 0x6c), false, x, x); /* punpcklqdq */
	}
	push_xmm(c, WASM_V128, x);
}

static wasm_type result_type(char s)
{
	return s == 'i' ? WASM_I32 : s == 'I' ? WASM_I64 : s == 'f' ? WASM_F32 : s == 'F' ? WASM_F64 : WASM_V128;
}

static void slow_vector(struct compiler *c)
{
	const struct wasm_opcode *op = &wasm_opcodes[c->insn.op];
	uint64_t a = c->insn.index, b = 0;
	uint32_t n = 0;

	if (op->imm == WASM_IMM_SHUFFLE) {
		__builtin_memcpy(&a, c->insn.v128, 8);
		__builtin_memcpy(&b, c->insn.v128 + 8, 8);
	} else if (op->imm == WASM_IMM_NONE) {
		a = 0;
	}
	while (op->sig[n] != ':')
		n++;
	emit_slow(c, c->insn.op, n, result_type(op->sig[n + 1]), a, b);
}

bool emit_simd(struct compiler *c)
{
	uint16_t op = c->insn.op;

	if (op == WASM_OP_V128_CONST) {
		vector_const(c);
		return true;
	}
	if (op < OP_FD(0) || op >= OP_FE(0) || wasm_imm_is_memarg(wasm_opcodes[op].imm))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(vector_ops); i++) {
		unsigned a, b;

		if (vector_ops[i].op != op)
			continue;
		b = pop_xmm(c);
		a = pop_xmm(c);
		x64_rr(&c->a, vector_ops[i].x64, false, vector_ops[i].swap ? b : a, vector_ops[i].swap ? a : b);
		free_xmm(c, vector_ops[i].swap ? a : b);
		push_xmm(c, WASM_V128, vector_ops[i].swap ? b : a);
		return true;
	}
	slow_vector(c);
	return true;
}
