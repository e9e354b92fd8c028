#include "wasm/baseline/asm.h"

#include <stdlib.h>
#include <string.h>

void x64_byte(struct x64 *a, uint8_t b)
{
	if (a->len == a->cap) {
		uint32_t cap = a->cap ? a->cap * 2 : 1024;
		uint8_t *p = a->failed ? NULL : realloc(a->code, cap);

		if (!p) {
			a->failed = true;
			a->len = 0; /* what follows overwrites: nothing of it will be used */
			if (!a->code)
				return;
		} else {
			a->code = p;
			a->cap = cap;
		}
	}
	a->code[a->len++] = b;
}

void x64_u32(struct x64 *a, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		x64_byte(a, (uint8_t)(v >> (8 * i)));
}

void x64_u64(struct x64 *a, uint64_t v)
{
	x64_u32(a, (uint32_t)v);
	x64_u32(a, (uint32_t)(v >> 32));
}

static void prefix_and_opcode(struct x64 *a, uint32_t op, bool w, unsigned reg, unsigned index, unsigned base, bool force)
{
	uint8_t prefix = (uint8_t)(op >> 16), map = (uint8_t)(op >> 8);
	uint8_t rex = (uint8_t)(0x40 | w << 3 | (reg > 7) << 2 | (index > 7) << 1 | (base > 7));

	if (prefix)
		x64_byte(a, prefix);
	if (rex != 0x40 || force)
		x64_byte(a, rex);
	if (map)
		x64_byte(a, 0x0f);
	if (map == 2)
		x64_byte(a, 0x38);
	if (map == 3)
		x64_byte(a, 0x3a);
	x64_byte(a, (uint8_t)op);
}

void x64_rr(struct x64 *a, uint32_t op, bool w, unsigned reg, unsigned rm)
{
	prefix_and_opcode(a, op, w, reg, 0, rm, false);
	x64_byte(a, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

void x64_rr8(struct x64 *a, uint32_t op, unsigned reg, unsigned rm)
{
	prefix_and_opcode(a, op, false, reg, 0, rm, reg > 3 || rm > 3);
	x64_byte(a, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

static void modrm(struct x64 *a, unsigned reg, struct x64_mem m, unsigned imm)
{
	uint8_t r = (uint8_t)((reg & 7) << 3);
	bool has_index = m.index != X64_NO_REG, sib = has_index || (m.base & 7) == RSP;
	uint8_t mod = m.disp == 0 && (m.base & 7) != RBP ? 0 : m.disp >= -128 && m.disp < 128 ? 0x40 : 0x80;

	if (m.rip) {
		x64_byte(a, r | 5);
		x64_u32(a, (uint32_t)m.disp - (a->base + a->len + 4 + imm));
		return;
	}
	x64_byte(a, mod | r | (sib ? 4 : m.base & 7));
	if (sib)
		x64_byte(a, (uint8_t)(m.scale << 6 | (has_index ? m.index & 7 : 4) << 3 | (m.base & 7)));
	if (mod == 0x40)
		x64_byte(a, (uint8_t)m.disp);
	else if (mod == 0x80)
		x64_u32(a, (uint32_t)m.disp);
}

static void memory_op(struct x64 *a, uint32_t op, bool w, unsigned reg, struct x64_mem m, unsigned imm, bool force)
{
	prefix_and_opcode(a, op, w, reg, m.index == X64_NO_REG ? 0 : m.index, m.base == X64_NO_REG ? 0 : m.base, force);
	modrm(a, reg, m, imm);
}

void x64_rm(struct x64 *a, uint32_t op, bool w, unsigned reg, struct x64_mem m, unsigned imm)
{
	memory_op(a, op, w, reg, m, imm, false);
}

void x64_rm8(struct x64 *a, uint32_t op, unsigned reg, struct x64_mem m)
{
	memory_op(a, op, false, reg, m, 0, reg > 3);
}

void x64_mov_imm(struct x64 *a, unsigned reg, uint64_t v)
{
	if (v <= UINT32_MAX) {
		if (reg > 7)
			x64_byte(a, 0x41);
		x64_byte(a, (uint8_t)(0xb8 | (reg & 7)));
		x64_u32(a, (uint32_t)v);
	} else if ((int64_t)v == (int32_t)v) {
		x64_rr(a, X64(0, 0, 0xc7), true, 0, reg);
		x64_u32(a, (uint32_t)v);
	} else {
		x64_byte(a, (uint8_t)(0x48 | (reg > 7)));
		x64_byte(a, (uint8_t)(0xb8 | (reg & 7)));
		x64_u64(a, v);
	}
}

void x64_alu_imm(struct x64 *a, unsigned op, bool w, unsigned rm, int32_t imm)
{
	bool small = imm >= -128 && imm < 128;

	x64_rr(a, X64(0, 0, small ? 0x83 : 0x81), w, op, rm);
	if (small)
		x64_byte(a, (uint8_t)imm);
	else
		x64_u32(a, (uint32_t)imm);
}

void x64_shift_imm(struct x64 *a, unsigned op, bool w, unsigned rm, uint8_t imm)
{
	x64_rr(a, X64(0, 0, 0xc1), w, op, rm);
	x64_byte(a, imm);
}

void x64_patch(struct x64 *a, uint32_t at, uint32_t v)
{
	if (!a->failed)
		memcpy(a->code + at, &v, sizeof(v));
}

static void displacement(struct x64 *a, struct x64_label *l)
{
	if (l->pos != UINT32_MAX) {
		x64_u32(a, l->pos - (a->len + 4));
		return;
	}
	if (l->n == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 4;
		uint32_t *p = realloc(l->jumps, cap * sizeof(*p));

		if (!p) {
			a->failed = true;
			return;
		}
		l->jumps = p;
		l->cap = cap;
	}
	l->jumps[l->n++] = a->len;
	x64_u32(a, 0);
}

void x64_jmp(struct x64 *a, struct x64_label *l)
{
	x64_byte(a, 0xe9);
	displacement(a, l);
}

void x64_jcc(struct x64 *a, enum x64_cond cc, struct x64_label *l)
{
	x64_byte(a, 0x0f);
	x64_byte(a, (uint8_t)(0x80 | cc));
	displacement(a, l);
}

void x64_bind(struct x64 *a, struct x64_label *l)
{
	l->pos = a->len;
	for (uint32_t i = 0; i < l->n; i++)
		x64_patch(a, l->jumps[i], l->pos - (l->jumps[i] + 4));
	l->n = 0;
}

void x64_label_free(struct x64_label *l)
{
	free(l->jumps);
	*l = X64_LABEL_INIT;
}
