#include <string.h>

#include "wasm/baseline/compiler.h"

#define ALLOCATABLE_GPR (1u << RAX | 1u << RCX | 1u << RDX | 1u << RSI | 1u << RDI | 1u << R8 | 1u << R9 | 1u << R10)
#define ALLOCATABLE_XMM 0x3fffu /* 14 and 15 are scratch */

void *compiler_grow(struct compiler *c, void *array, uint32_t *n, uint32_t *cap, size_t size)
{
	void **p = array;

	if (*n == *cap) {
		uint32_t more = *cap ? *cap * 2 : 32;
		void *q = realloc(*p, more * size);

		if (!q) {
			c->failed = true;
			*n = *n ? *n - 1 : 0; /* the last element is overwritten: nothing of it will be used */
			return *p ? (char *)*p + (*n)++ * size : NULL;
		}
		*p = q;
		*cap = more;
	}
	memset((char *)*p + *n * size, 0, size);
	return (char *)*p + (*n)++ * size;
}

uint32_t slot_bytes(wasm_type t)
{
	return t == WASM_V128 ? 16 : 8;
}

bool is_xmm_type(wasm_type t)
{
	return wasm_type_in_xmm(t);
}

uint32_t next_slot(const struct compiler *c)
{
	const struct value *v = c->n_values ? &c->values[c->n_values - 1] : NULL;

	return v ? v->slot + slot_bytes(v->type) : 0;
}

struct x64_mem slot_mem(uint32_t slot)
{
	return x64_at(RSP, (int32_t)slot);
}

struct x64_mem local_mem(const struct compiler *c, uint32_t local)
{
	return x64_at(RBP, c->local_at[local]);
}

/* ---- moves ---- */

void load_gpr(struct compiler *c, unsigned reg, wasm_type t, struct x64_mem from)
{
	x64_rm(&c->a, X64(0, 0, 0x8b), t != WASM_I32, reg, from, 0);
}

void store_gpr(struct compiler *c, wasm_type t, struct x64_mem to, unsigned reg)
{
	(void)t; /* the upper half of an i32's slot is written too: slow operations may read all of it */
	x64_rm(&c->a, X64(0, 0, 0x89), true, reg, to, 0);
}

void load_xmm(struct compiler *c, unsigned reg, wasm_type t, struct x64_mem from)
{
	uint32_t op = t == WASM_F32 ? X64(0xf3, 1, 0x10) : t == WASM_F64 ? X64(0xf2, 1, 0x10) : X64(0, 1, 0x10);

	x64_rm(&c->a, op, false, reg, from, 0);
}

void store_xmm(struct compiler *c, wasm_type t, struct x64_mem to, unsigned reg)
{
	/* movsd for f32 as well, so that its slot is written whole */
	x64_rm(&c->a, t == WASM_V128 ? X64(0, 1, 0x11) : X64(0xf2, 1, 0x11), false, reg, to, 0);
}

static void store_const(struct compiler *c, uint64_t v, struct x64_mem to)
{
	if ((int64_t)v == (int32_t)v) {
		x64_rm(&c->a, X64(0, 0, 0xc7), true, 0, to, 4);
		x64_u32(&c->a, (uint32_t)v);
	} else {
		x64_mov_imm(&c->a, R11, v);
		x64_rm(&c->a, X64(0, 0, 0x89), true, R11, to, 0);
	}
}

static void flags_to(struct compiler *c, unsigned cc, unsigned reg)
{
	x64_rr8(&c->a, X64(0, 1, 0x90 | cc), 0, reg);
	x64_rr8(&c->a, X64(0, 1, 0xb6), reg, reg); /* movzx */
}

void store_value(struct compiler *c, struct value *v, struct x64_mem to)
{
	switch (v->kind) {
	case VALUE_GPR:
		store_gpr(c, v->type, to, v->reg);
		break;
	case VALUE_XMM:
		store_xmm(c, v->type, to, v->reg);
		break;
	case VALUE_CONST:
		store_const(c, v->constant, to);
		break;
	case VALUE_FLAGS:
		flags_to(c, v->reg, R11);
		store_gpr(c, v->type, to, R11);
		break;
	default: {
		struct x64_mem from = v->kind == VALUE_LOCAL ? local_mem(c, v->local) : slot_mem(v->slot);

		if (v->type == WASM_V128) {
			load_xmm(c, XMM_SCRATCH, WASM_V128, from);
			store_xmm(c, WASM_V128, to, XMM_SCRATCH);
		} else {
			load_gpr(c, R11, WASM_I64, from);
			store_gpr(c, WASM_I64, to, R11);
		}
	}
	}
}

static void release(struct compiler *c, const struct value *v)
{
	if (v->kind == VALUE_GPR)
		free_gpr(c, v->reg);
	else if (v->kind == VALUE_XMM)
		free_xmm(c, v->reg);
}

static void spill(struct compiler *c, struct value *v)
{
	if (v->kind == VALUE_SLOT)
		return;
	store_value(c, v, slot_mem(v->slot));
	release(c, v);
	v->kind = VALUE_SLOT;
}

void flush(struct compiler *c, uint32_t keep)
{
	for (uint32_t i = 0; i + keep < c->n_values; i++)
		spill(c, &c->values[i]);
}

/* ---- registers ---- */

static bool spill_one(struct compiler *c, enum value_kind kind)
{
	for (uint32_t i = 0; i < c->n_values; i++) {
		if (c->values[i].kind != kind)
			continue;
		spill(c, &c->values[i]);
		return true;
	}
	c->failed = true; /* cannot be: an instruction never owns that many registers */
	return false;
}

unsigned alloc_gpr(struct compiler *c)
{
	uint32_t free = ALLOCATABLE_GPR & ~c->used_gpr;

	if (!free) {
		if (!spill_one(c, VALUE_GPR))
			return RAX;
		free = ALLOCATABLE_GPR & ~c->used_gpr;
	}
	unsigned reg = (unsigned)__builtin_ctz(free);

	c->used_gpr |= 1u << reg;
	return reg;
}

unsigned alloc_xmm(struct compiler *c)
{
	uint32_t free = ALLOCATABLE_XMM & ~c->used_xmm;

	if (!free) {
		if (!spill_one(c, VALUE_XMM))
			return 0;
		free = ALLOCATABLE_XMM & ~c->used_xmm;
	}
	unsigned reg = (unsigned)__builtin_ctz(free);

	c->used_xmm |= 1u << reg;
	return reg;
}

void free_gpr(struct compiler *c, unsigned reg)
{
	c->used_gpr &= ~(1u << reg);
}

void free_xmm(struct compiler *c, unsigned reg)
{
	c->used_xmm &= ~(1u << reg);
}

void take_gpr(struct compiler *c, unsigned reg)
{
	for (uint32_t i = 0; c->used_gpr & 1u << reg && i < c->n_values; i++)
		if (c->values[i].kind == VALUE_GPR && c->values[i].reg == reg)
			spill(c, &c->values[i]);
	c->used_gpr |= 1u << reg;
}

/* ---- the operand stack ---- */

struct value *push(struct compiler *c, wasm_type t, enum value_kind kind)
{
	uint32_t slot = next_slot(c);
	struct value *v = compiler_grow(c, &c->values, &c->n_values, &c->cap_values, sizeof(*c->values));
	static struct value nowhere;

	if (!v)
		v = &nowhere;
	*v = (struct value){ .kind = kind, .type = t, .slot = slot };
	c->max_slot = MAX(c->max_slot, slot + slot_bytes(t));
	return v;
}

void push_gpr(struct compiler *c, wasm_type t, unsigned reg)
{
	push(c, t, VALUE_GPR)->reg = (uint8_t)reg;
}

void push_xmm(struct compiler *c, wasm_type t, unsigned reg)
{
	push(c, t, VALUE_XMM)->reg = (uint8_t)reg;
}

void push_const(struct compiler *c, wasm_type t, uint64_t v)
{
	push(c, t, VALUE_CONST)->constant = v;
}

/* Flags survive only until the next instruction: they stay flags when that is a branch, else they become a number. */
void push_flags(struct compiler *c, enum x64_cond cc)
{
	bool branch = c->r.p < c->r.end && (*c->r.p == WASM_OP_BR_IF || *c->r.p == WASM_OP_IF);
	unsigned reg;

	if (branch) {
		push(c, WASM_I32, VALUE_FLAGS)->reg = (uint8_t)cc;
		return;
	}
	reg = alloc_gpr(c); /* may spill: moves only, the flags live on */
	flags_to(c, cc, reg);
	push_gpr(c, WASM_I32, reg);
}

struct value *top(struct compiler *c, uint32_t depth)
{
	return &c->values[c->n_values - 1 - depth];
}

unsigned pop_gpr(struct compiler *c)
{
	struct value v = c->values[c->n_values - 1];
	unsigned reg;

	c->n_values--;
	if (v.kind == VALUE_GPR)
		return v.reg;
	reg = alloc_gpr(c);
	if (v.kind == VALUE_CONST)
		x64_mov_imm(&c->a, reg, v.constant);
	else if (v.kind == VALUE_FLAGS)
		flags_to(c, v.reg, reg);
	else
		load_gpr(c, reg, v.type, v.kind == VALUE_LOCAL ? local_mem(c, v.local) : slot_mem(v.slot));
	return reg;
}

unsigned pop_xmm(struct compiler *c)
{
	struct value v = c->values[c->n_values - 1];
	unsigned reg;

	c->n_values--;
	if (v.kind == VALUE_XMM)
		return v.reg;
	reg = alloc_xmm(c);
	load_xmm(c, reg, v.type, v.kind == VALUE_LOCAL ? local_mem(c, v.local) : slot_mem(v.slot));
	return reg;
}

void pop_drop(struct compiler *c)
{
	release(c, top(c, 0));
	c->n_values--;
}

void forget_local(struct compiler *c, uint32_t local)
{
	for (uint32_t i = c->n_values; i-- > 0;)
		if (c->values[i].kind == VALUE_LOCAL && c->values[i].local == local)
			spill(c, &c->values[i]);
}

/* ---- sites ---- */

void add_site(struct compiler *c, enum wasm_trap trap)
{
	struct wasm_code_site *s = compiler_grow(c, &c->sites, &c->n_sites, &c->cap_sites, sizeof(*c->sites));

	if (s)
		*s = (struct wasm_code_site){ .pc = c->a.base + c->a.len, .offset = c->insn.offset, .trap = trap };
}

struct x64_label *trap_label(struct compiler *c, enum wasm_trap trap)
{
	struct out_of_line *o;
	static struct x64_label nowhere;

	/* One stub serves all traps of one kind in one instruction. */
	if (c->n_ool) {
		o = &c->ool[c->n_ool - 1];
		if (o->kind == OOL_TRAP && o->trap == trap && o->offset == c->insn.offset)
			return &o->from;
	}
	o = compiler_grow(c, &c->ool, &c->n_ool, &c->cap_ool, sizeof(*c->ool));
	if (!o)
		return &nowhere;
	*o = (struct out_of_line){ .from = X64_LABEL_INIT, .offset = c->insn.offset, .kind = OOL_TRAP, .trap = trap };
	return &o->from;
}
