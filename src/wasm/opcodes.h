/* Instruction numbers, immediates and signatures, all from opcodes.def. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One dense number space: the prefix bytes 0xfb to 0xfe become ranges of it. */
#define OP_FB(sub) (0x100 + (sub))
#define OP_FC(sub) (0x180 + (sub))
#define OP_FD(sub) (0x200 + (sub))
#define OP_FE(sub) (0x400 + (sub))
#define WASM_OP_LIMIT 0x480

enum wasm_op {
#define OP(code, ident, name, imm, sig) WASM_OP_##ident = (code),
#include "wasm/opcodes.def"
#undef OP
};

enum wasm_imm {
	WASM_IMM_INVALID, /* no such instruction */
	WASM_IMM_NONE,
	WASM_IMM_BLOCK,
	WASM_IMM_LABEL,
	WASM_IMM_BR_TABLE,
	WASM_IMM_TRY_TABLE,
	WASM_IMM_FUNC,
	WASM_IMM_CALL_INDIRECT,
	WASM_IMM_TYPE,
	WASM_IMM_TAG,
	WASM_IMM_LOCAL,
	WASM_IMM_GLOBAL,
	WASM_IMM_TABLE,
	WASM_IMM_MEMORY,
	WASM_IMM_SELECT_T,
	WASM_IMM_HEAPTYPE,
	WASM_IMM_BR_ON_CAST,
	WASM_IMM_FIELD,
	WASM_IMM_ARRAY_FIXED,
	WASM_IMM_TYPE_DATA,
	WASM_IMM_TYPE_ELEM,
	WASM_IMM_TYPE_TYPE,
	WASM_IMM_DATA,
	WASM_IMM_ELEM,
	WASM_IMM_MEMORY_INIT,
	WASM_IMM_MEMORY_COPY,
	WASM_IMM_TABLE_INIT,
	WASM_IMM_TABLE_COPY,
	WASM_IMM_I32,
	WASM_IMM_I64,
	WASM_IMM_F32,
	WASM_IMM_F64,
	WASM_IMM_V128,
	WASM_IMM_SHUFFLE,
	WASM_IMM_FENCE,
	/* Lane index below n. */
	WASM_IMM_LANE2,
	WASM_IMM_LANE4,
	WASM_IMM_LANE8,
	WASM_IMM_LANE16,
	/* Memory argument with the natural alignment of n bytes; _LANE: and a lane; ATOMIC: the alignment must be exact. */
	WASM_IMM_MEM1,
	WASM_IMM_MEM2,
	WASM_IMM_MEM4,
	WASM_IMM_MEM8,
	WASM_IMM_MEM16,
	WASM_IMM_MEM1_LANE,
	WASM_IMM_MEM2_LANE,
	WASM_IMM_MEM4_LANE,
	WASM_IMM_MEM8_LANE,
	WASM_IMM_ATOMIC1,
	WASM_IMM_ATOMIC2,
	WASM_IMM_ATOMIC4,
	WASM_IMM_ATOMIC8,
};

struct wasm_opcode {
	const char *name; /* NULL: no such instruction */
	const char *sig;
	uint8_t imm; /* enum wasm_imm */
};

/* Indexed by enum wasm_op, WASM_OP_LIMIT entries. */
extern const struct wasm_opcode wasm_opcodes[];

static inline bool wasm_imm_is_memarg(enum wasm_imm imm)
{
	return imm >= WASM_IMM_MEM1;
}

/* log2 of the natural alignment of a memory argument. */
static inline unsigned wasm_imm_align_log2(enum wasm_imm imm)
{
	if (imm >= WASM_IMM_ATOMIC1)
		return imm - WASM_IMM_ATOMIC1;
	if (imm >= WASM_IMM_MEM1_LANE)
		return imm - WASM_IMM_MEM1_LANE;
	return imm - WASM_IMM_MEM1;
}
