/*
 * Loads and stores. A 32-bit memory needs no check: base, zero-extended index and offset cannot leave its reservation, and
 * a fault becomes a trap. A 64-bit memory is checked, and the checked address is masked so that a mispredicted check reads
 * nothing but the memory's first bytes.
 */
#include <string.h>

#include "wasm/baseline/compiler.h"

/* An address in registers that must be given back. */
struct address {
	struct x64_mem mem;
	unsigned reg; /* owned, or X64_NO_REG */
};

static void instance_pointer(struct compiler *c, unsigned reg, size_t field)
{
	x64_rm(&c->a, X64(0, 0, 0x8b), true, reg, x64_at(R14, (int32_t)field), 0);
}

/* reg = the struct wasm_memory_inst of memory INDEX */
static void memory_instance(struct compiler *c, unsigned reg, uint32_t index)
{
	instance_pointer(c, reg, offsetof(struct wasm_instance, memories));
	x64_rm(&c->a, X64(0, 0, 0x8b), true, reg, x64_at(reg, (int32_t)index * 8), 0);
}

static struct address address32(struct compiler *c, uint32_t memory, uint64_t offset)
{
	unsigned base = R15, index;

	if (memory != 0) {
		memory_instance(c, R11, memory);
		x64_rm(&c->a, X64(0, 0, 0x8b), true, R11, x64_at(R11, offsetof(struct wasm_memory_inst, base)), 0);
		base = R11;
	}
	if (top(c, 0)->kind == VALUE_CONST && (uint32_t)top(c, 0)->constant + offset <= INT32_MAX) {
		int32_t at = (int32_t)((uint32_t)top(c, 0)->constant + offset);

		pop_drop(c);
		return (struct address){ x64_at(base, at), X64_NO_REG };
	}
	index = pop_gpr(c);
	if (offset <= INT32_MAX)
		return (struct address){ x64_indexed(base, index, 0, (int32_t)offset), index };
	if (base == R11) { /* base + offset in r11 */
		unsigned t = alloc_gpr(c);

		x64_mov_imm(&c->a, t, offset);
		x64_rr(&c->a, X64(0, 0, 0x03), true, R11, t);
		free_gpr(c, t);
	} else {
		x64_mov_imm(&c->a, R11, offset);
		x64_rr(&c->a, X64(0, 0, 0x03), true, R11, R15);
	}
	return (struct address){ x64_indexed(R11, index, 0, 0), index };
}

static struct address address64(struct compiler *c, uint32_t memory, uint64_t offset, uint32_t bytes)
{
	unsigned index = pop_gpr(c), t = alloc_gpr(c);
	struct x64_label *trap = trap_label(c, WASM_TRAP_MEMORY);

	if (offset) {
		x64_mov_imm(&c->a, R11, offset);
		x64_rr(&c->a, X64(0, 0, 0x03), true, index, R11);
		x64_jcc(&c->a, CC_B, trap);
	}
	memory_instance(c, R11, memory);
	/* t = last byte + 1, then against the size */
	x64_rm(&c->a, X64(0, 0, 0x8d), true, t, x64_at(index, (int32_t)bytes), 0);
	x64_rr(&c->a, X64(0, 0, 0x3b), true, t, index);
	x64_jcc(&c->a, CC_B, trap_label(c, WASM_TRAP_MEMORY));
	x64_rm(&c->a, X64(0, 0, 0x3b), true, t, x64_at(R11, offsetof(struct wasm_memory_inst, size)), 0);
	x64_mov_imm(&c->a, t, 0);
	x64_rr(&c->a, X64(0, 1, 0x47), true, index, t); /* cmova: the mask */
	x64_jcc(&c->a, CC_A, trap_label(c, WASM_TRAP_MEMORY));
	x64_rm(&c->a, X64(0, 0, 0x03), true, index, x64_at(R11, offsetof(struct wasm_memory_inst, base)), 0);
	free_gpr(c, t);
	return (struct address){ x64_at(index, 0), index };
}

/* Pops the address of the instruction's memory argument. BYTES wide. */
static struct address pop_address(struct compiler *c, uint32_t bytes)
{
	uint32_t memory = c->insn.mem.memory;

	if (c->m->memories[memory].limits.is64)
		return address64(c, memory, c->insn.mem.offset, bytes);
	return address32(c, memory, c->insn.mem.offset);
}

static void done(struct compiler *c, struct address at)
{
	if (at.reg != X64_NO_REG)
		free_gpr(c, at.reg);
}

static void load_int(struct compiler *c, uint32_t op, bool w, uint32_t bytes, wasm_type t)
{
	struct address at = pop_address(c, bytes);
	unsigned reg;

	done(c, at);
	reg = alloc_gpr(c); /* may be the index's own register */
	add_site(c, WASM_TRAP_MEMORY);
	x64_rm(&c->a, op, w, reg, at.mem, 0);
	push_gpr(c, t, reg);
}

static void load_float(struct compiler *c, wasm_type t)
{
	struct address at = pop_address(c, wasm_type_size(t));
	unsigned x;

	done(c, at);
	x = alloc_xmm(c);
	add_site(c, WASM_TRAP_MEMORY);
	load_xmm(c, x, t, at.mem);
	push_xmm(c, t, x);
}

static void store_int(struct compiler *c, uint32_t bytes)
{
	unsigned v = pop_gpr(c);
	struct address at = pop_address(c, bytes);

	add_site(c, WASM_TRAP_MEMORY);
	if (bytes == 1)
		x64_rm8(&c->a, X64(0, 0, 0x88), v, at.mem);
	else
		x64_rm(&c->a, X64(bytes == 2 ? 0x66 : 0, 0, 0x89), bytes == 8, v, at.mem, 0);
	free_gpr(c, v);
	done(c, at);
}

static void store_float(struct compiler *c, wasm_type t)
{
	unsigned v = pop_xmm(c);
	struct address at = pop_address(c, wasm_type_size(t));

	add_site(c, WASM_TRAP_MEMORY);
	x64_rm(&c->a, t == WASM_F32 ? X64(0xf3, 1, 0x11) : t == WASM_F64 ? X64(0xf2, 1, 0x11) : X64(0, 1, 0x11), false, v,
	       at.mem, 0);
	free_xmm(c, v);
	done(c, at);
}

/* An unsigned number of BYTES from memory, as i32 or i64. */
static void load_unsigned(struct compiler *c, uint32_t bytes)
{
	static const uint32_t ops[] = { X64(0, 1, 0xb6), X64(0, 1, 0xb7), X64(0, 0, 0x8b), X64(0, 0, 0x8b) };

	load_int(c, ops[__builtin_ctz(bytes)], bytes == 8, bytes, bytes == 8 ? WASM_I64 : WASM_I32);
}

static void load_zero(struct compiler *c, uint32_t bytes)
{
	unsigned v, x = alloc_xmm(c);

	load_unsigned(c, bytes);
	v = pop_gpr(c);
	x64_rr(&c->a, X64(0x66, 1, 0x6e), bytes == 8, x, v);
	free_gpr(c, v);
	push_xmm(c, WASM_V128, x);
}

static void load_extend(struct compiler *c)
{
	/* pmovsx/zx bw, wd, dq */
	static const uint8_t ops[] = { 0x20, 0x30, 0x23, 0x33, 0x25, 0x35 };
	unsigned x;

	load_zero(c, 8);
	x = pop_xmm(c);
	x64_rr(&c->a, X64(0x66, 2, ops[c->insn.op - WASM_OP_V128_LOAD8X8_S]), false, x, x);
	push_xmm(c, WASM_V128, x);
}

static void load_splat(struct compiler *c, uint32_t bytes)
{
	static const uint16_t splats[] = { WASM_OP_I8X16_SPLAT, WASM_OP_I16X8_SPLAT, WASM_OP_I32X4_SPLAT, WASM_OP_I64X2_SPLAT };

	load_unsigned(c, bytes);
	emit_slow(c, splats[__builtin_ctz(bytes)], 1, WASM_V128, 0, 0);
}

/* The vector to a register, the scalar from memory behind it, and the replacing instruction. */
static void load_lane(struct compiler *c, uint32_t bytes)
{
	static const uint16_t replaces[] = { WASM_OP_I8X16_REPLACE_LANE, WASM_OP_I16X8_REPLACE_LANE,
					     WASM_OP_I32X4_REPLACE_LANE, WASM_OP_I64X2_REPLACE_LANE };
	uint8_t lane = c->insn.mem.lane;
	unsigned v = pop_xmm(c), s;

	load_unsigned(c, bytes);
	s = pop_gpr(c);
	push_xmm(c, WASM_V128, v);
	push_gpr(c, bytes == 8 ? WASM_I64 : WASM_I32, s);
	emit_slow(c, replaces[__builtin_ctz(bytes)], 2, WASM_V128, lane, 0);
}

static void store_lane(struct compiler *c, uint32_t bytes)
{
	static const uint16_t extracts[] = { WASM_OP_I8X16_EXTRACT_LANE_U, WASM_OP_I16X8_EXTRACT_LANE_U,
					     WASM_OP_I32X4_EXTRACT_LANE, WASM_OP_I64X2_EXTRACT_LANE };

	emit_slow(c, extracts[__builtin_ctz(bytes)], 1, bytes == 8 ? WASM_I64 : WASM_I32, c->insn.mem.lane, 0);
	store_int(c, bytes);
}

static void atomic(struct compiler *c)
{
	const struct wasm_opcode *op = &wasm_opcodes[c->insn.op];
	uint64_t bytes = 1ull << wasm_imm_align_log2(op->imm);
	uint32_t n = (uint32_t)(strchr(op->sig, ':') - op->sig);
	wasm_type result = op->sig[n + 1] == 'i' ? WASM_I32 : op->sig[n + 1] == 'I' ? WASM_I64 : WASM_BOT;

	emit_slow(c, c->insn.op, n, result, c->insn.mem.offset, c->insn.mem.memory | bytes << 32);
}

static bool emit_scalar(struct compiler *c)
{
	switch (c->insn.op) {
	case WASM_OP_I32_LOAD: load_int(c, X64(0, 0, 0x8b), false, 4, WASM_I32); return true;
	case WASM_OP_I64_LOAD: load_int(c, X64(0, 0, 0x8b), true, 8, WASM_I64); return true;
	case WASM_OP_F32_LOAD: load_float(c, WASM_F32); return true;
	case WASM_OP_F64_LOAD: load_float(c, WASM_F64); return true;
	case WASM_OP_V128_LOAD: load_float(c, WASM_V128); return true;
	case WASM_OP_I32_LOAD8_S: load_int(c, X64(0, 1, 0xbe), false, 1, WASM_I32); return true;
	case WASM_OP_I32_LOAD8_U: load_int(c, X64(0, 1, 0xb6), false, 1, WASM_I32); return true;
	case WASM_OP_I32_LOAD16_S: load_int(c, X64(0, 1, 0xbf), false, 2, WASM_I32); return true;
	case WASM_OP_I32_LOAD16_U: load_int(c, X64(0, 1, 0xb7), false, 2, WASM_I32); return true;
	case WASM_OP_I64_LOAD8_S: load_int(c, X64(0, 1, 0xbe), true, 1, WASM_I64); return true;
	case WASM_OP_I64_LOAD8_U: load_int(c, X64(0, 1, 0xb6), false, 1, WASM_I64); return true;
	case WASM_OP_I64_LOAD16_S: load_int(c, X64(0, 1, 0xbf), true, 2, WASM_I64); return true;
	case WASM_OP_I64_LOAD16_U: load_int(c, X64(0, 1, 0xb7), false, 2, WASM_I64); return true;
	case WASM_OP_I64_LOAD32_S: load_int(c, X64(0, 0, 0x63), true, 4, WASM_I64); return true;
	case WASM_OP_I64_LOAD32_U: load_int(c, X64(0, 0, 0x8b), false, 4, WASM_I64); return true;
	case WASM_OP_I32_STORE:
	case WASM_OP_I64_STORE32: store_int(c, 4); return true;
	case WASM_OP_I64_STORE: store_int(c, 8); return true;
	case WASM_OP_I32_STORE8:
	case WASM_OP_I64_STORE8: store_int(c, 1); return true;
	case WASM_OP_I32_STORE16:
	case WASM_OP_I64_STORE16: store_int(c, 2); return true;
	case WASM_OP_F32_STORE: store_float(c, WASM_F32); return true;
	case WASM_OP_F64_STORE: store_float(c, WASM_F64); return true;
	case WASM_OP_V128_STORE: store_float(c, WASM_V128); return true;
	default: return false;
	}
}

bool emit_memory(struct compiler *c)
{
	uint16_t op = c->insn.op;
	enum wasm_imm imm = wasm_opcodes[op].imm;
	uint32_t bytes;

	if (!wasm_imm_is_memarg(imm))
		return false;
	if (emit_scalar(c))
		return true;
	bytes = 1u << wasm_imm_align_log2(imm);
	if (imm >= WASM_IMM_ATOMIC1)
		atomic(c);
	else if (op >= WASM_OP_V128_LOAD8X8_S && op <= WASM_OP_V128_LOAD32X2_U)
		load_extend(c);
	else if (op >= WASM_OP_V128_LOAD8_SPLAT && op <= WASM_OP_V128_LOAD64_SPLAT)
		load_splat(c, bytes);
	else if (op == WASM_OP_V128_LOAD32_ZERO || op == WASM_OP_V128_LOAD64_ZERO)
		load_zero(c, bytes);
	else if (op >= WASM_OP_V128_LOAD8_LANE && op <= WASM_OP_V128_LOAD64_LANE)
		load_lane(c, bytes);
	else
		store_lane(c, bytes);
	return true;
}
