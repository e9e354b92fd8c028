/* A small x86-64 assembler: instructions as prefix, opcode map and opcode, applied to registers or a memory operand. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum x64_gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, X64_NO_REG = 255 };

enum x64_cond { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };

/* Prefix byte (0 for none), map (0: one byte, 1: 0f, 2: 0f38, 3: 0f3a), opcode. */
#define X64(prefix, map, op) ((uint32_t)(prefix) << 16 | (map) << 8 | (op))

struct x64_mem {
	uint8_t base, index; /* X64_NO_REG for none; base X64_NO_REG with a `rip` target */
	uint8_t scale;       /* log2 */
	int32_t disp;
	bool rip;            /* disp is the target's offset in the code region */
};

/* A place in the code; jumps to it before it is bound are patched. */
struct x64_label {
	uint32_t pos;    /* UINT32_MAX: not bound */
	uint32_t *jumps; /* positions of 32-bit displacements to patch */
	uint32_t n, cap;
};

struct x64 {
	uint8_t *code;
	uint32_t len, cap;
	uint32_t base; /* offset in the region where code[0] will stand */
	bool failed;   /* out of memory */
};

#define X64_LABEL_INIT ((struct x64_label){ .pos = UINT32_MAX })

static inline struct x64_mem x64_at(enum x64_gpr base, int32_t disp)
{
	return (struct x64_mem){ .base = base, .index = X64_NO_REG, .disp = disp };
}

static inline struct x64_mem x64_indexed(enum x64_gpr base, enum x64_gpr index, unsigned scale, int32_t disp)
{
	return (struct x64_mem){ .base = base, .index = index, .scale = (uint8_t)scale, .disp = disp };
}

static inline struct x64_mem x64_head(uint32_t slot)
{
	return (struct x64_mem){ .base = X64_NO_REG, .index = X64_NO_REG, .disp = (int32_t)slot, .rip = true };
}

void x64_byte(struct x64 *a, uint8_t b);
void x64_u32(struct x64 *a, uint32_t v);
void x64_u64(struct x64 *a, uint64_t v);

/* REG, RM with the operand width W (1: 64 bits). BYTE: the registers are byte registers. */
void x64_rr(struct x64 *a, uint32_t op, bool w, unsigned reg, unsigned rm);
void x64_rr8(struct x64 *a, uint32_t op, unsigned reg, unsigned rm);
/* REG, memory. IMM: bytes of immediate that follow (for rip-relative operands). */
void x64_rm(struct x64 *a, uint32_t op, bool w, unsigned reg, struct x64_mem m, unsigned imm);
void x64_rm8(struct x64 *a, uint32_t op, unsigned reg, struct x64_mem m);

/* Overwrites the four bytes at AT. */
void x64_patch(struct x64 *a, uint32_t at, uint32_t v);

void x64_mov_imm(struct x64 *a, unsigned reg, uint64_t v); /* changes no flags */
/* The group of add (0), or (1), and (4), sub (5), xor (6), cmp (7) with an immediate. */
void x64_alu_imm(struct x64 *a, unsigned op, bool w, unsigned rm, int32_t imm);
void x64_shift_imm(struct x64 *a, unsigned op, bool w, unsigned rm, uint8_t imm);

void x64_jmp(struct x64 *a, struct x64_label *l);
void x64_jcc(struct x64 *a, enum x64_cond cc, struct x64_label *l);
void x64_bind(struct x64 *a, struct x64_label *l);
void x64_label_free(struct x64_label *l);
