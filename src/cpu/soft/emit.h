/* Writing host machine code: raw bytes, and the few instruction forms that the engine's own code consists of. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpu/soft/core.h"

enum { H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI, H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15, H_NONE = 0xff };

/* Where guest registers live: rax..rbp..r12 where they are, rsp in r13, r13 to r15 in the core. r14 and r15 are scratch. */
#define H_GUEST_RSP H_R13

struct emit {
	uint8_t *p;       /* next byte, in the writable mapping */
	uint8_t *end;     /* code must end before it */
	intptr_t to_exec; /* from the writable to the executable mapping */
};

/* A memory operand: base and index may be H_NONE; scale is a shift. */
struct hmem {
	uint8_t base, index, scale;
	int32_t disp;
};

static inline void e1(struct emit *e, uint8_t b)
{
	*e->p++ = b;
}

static inline void e4(struct emit *e, uint32_t v)
{
	__builtin_memcpy(e->p, &v, 4);
	e->p += 4;
}

static inline void e8(struct emit *e, uint64_t v)
{
	__builtin_memcpy(e->p, &v, 8);
	e->p += 8;
}

static inline void en(struct emit *e, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		e1(e, v >> (8 * i));
}

static inline uint8_t *exec_addr(const struct emit *e)
{
	return e->p + e->to_exec;
}

/* ModRM, SIB and displacement of memory operand M with register field REG. */
static inline void emit_mem(struct emit *e, unsigned reg, const struct hmem *m)
{
	unsigned r = (reg & 7) << 3, b = m->base & 7;

	if (m->base == H_NONE) {
		e1(e, r | 4);
		e1(e, m->scale << 6 | (m->index == H_NONE ? 4 : m->index & 7) << 3 | 5);
		e4(e, m->disp);
		return;
	}
	unsigned mod = m->disp == 0 && b != 5 ? 0 : m->disp == (int8_t)m->disp ? 1 : 2;
	if (m->index != H_NONE || b == 4) {
		e1(e, mod << 6 | r | 4);
		e1(e, m->scale << 6 | (m->index == H_NONE ? 4 : m->index & 7) << 3 | b);
	} else {
		e1(e, mod << 6 | r | b);
	}
	if (mod == 1)
		e1(e, m->disp);
	else if (mod == 2)
		e4(e, m->disp);
}

static inline unsigned rex_mem(unsigned reg, const struct hmem *m)
{
	return (reg & 8 ? 4 : 0) | (m->index != H_NONE && m->index & 8 ? 2 : 0) | (m->base != H_NONE && m->base & 8 ? 1 : 0);
}

/* 64-bit OP reg, mem (or the reverse, as the opcode says). */
static inline void emit_op_mem(struct emit *e, uint8_t op, unsigned reg, const struct hmem *m)
{
	e1(e, 0x48 | rex_mem(reg, m));
	e1(e, op);
	emit_mem(e, reg, m);
}

/* 64-bit OP rm, reg. */
static inline void emit_op_reg(struct emit *e, uint8_t op, unsigned reg, unsigned rm)
{
	e1(e, 0x48 | (reg & 8 ? 4 : 0) | (rm & 8 ? 1 : 0));
	e1(e, op);
	e1(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static inline void emit_mov_reg(struct emit *e, unsigned to, unsigned from)
{
	emit_op_reg(e, 0x89, from, to);
}

static inline void emit_mov_imm(struct emit *e, unsigned reg, uint64_t v)
{
	if (v == (uint32_t)v) {
		if (reg & 8)
			e1(e, 0x41);
		e1(e, 0xb8 | (reg & 7));
		e4(e, v);
	} else if (v == (uint64_t)(int64_t)(int32_t)v) {
		e1(e, 0x48 | (reg & 8 ? 1 : 0));
		e1(e, 0xc7);
		e1(e, 0xc0 | (reg & 7));
		e4(e, v);
	} else {
		e1(e, 0x48 | (reg & 8 ? 1 : 0));
		e1(e, 0xb8 | (reg & 7));
		e8(e, v);
	}
}

/* 64-bit OP between a register and a field of the core. */
static inline void emit_core(struct emit *e, uint8_t op, unsigned reg, int32_t off)
{
	struct hmem m = { H_NONE, H_NONE, 0, off };

	e1(e, 0x65);
	emit_op_mem(e, op, reg, &m);
}

static inline void emit_core_load(struct emit *e, unsigned reg, int32_t off)
{
	emit_core(e, 0x8b, reg, off);
}

static inline void emit_core_store(struct emit *e, unsigned reg, int32_t off)
{
	emit_core(e, 0x89, reg, off);
}

/* OP /n with a 32-bit core field and no register: 83, 81, c7, 80 and the like; the immediate follows. */
static inline void emit_core_ext(struct emit *e, uint8_t op, unsigned n, int32_t off)
{
	struct hmem m = { H_NONE, H_NONE, 0, off };

	e1(e, 0x65);
	e1(e, op);
	emit_mem(e, n, &m);
}

static inline int32_t core_gpr(unsigned guest_reg)
{
	return CORE_OFF(gpr) + 8 * (int32_t)guest_reg;
}

static inline void emit_rel32(struct emit *e, const uint8_t *exec_target)
{
	e4(e, (uint32_t)(exec_target - (exec_addr(e) + 4)));
}

static inline void emit_jmp(struct emit *e, const uint8_t *exec_target)
{
	e1(e, 0xe9);
	emit_rel32(e, exec_target);
}

static inline void emit_call(struct emit *e, const uint8_t *exec_target)
{
	e1(e, 0xe8);
	emit_rel32(e, exec_target);
}

/* Jcc rel32 to be aimed later with emit_aim(); returns where the displacement is. */
static inline uint8_t *emit_jcc(struct emit *e, unsigned cc)
{
	e1(e, 0x0f);
	e1(e, 0x80 | cc);
	e4(e, 0);
	return e->p - 4;
}

static inline void emit_aim(const struct emit *e, uint8_t *disp)
{
	uint32_t v = e->p - (disp + 4);

	__builtin_memcpy(disp, &v, 4);
}

enum { CC_B = 2, CC_AE = 3, CC_E = 4, CC_NE = 5, CC_A = 7 };
