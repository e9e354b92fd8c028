/* What the parts of the baseline compiler share. See baseline.h for the frame. */
#pragma once

#include "wasm/baseline/asm.h"
#include "wasm/insn.h"
#include "wasm/runtime/call.h"
#include "wasm/runtime/code.h"
#include "wasm/runtime/slow.h"
#include "wasm/validate.h"

#define FRAME_SAVED_R14 (-8)
#define FRAME_SAVED_R15 (-16)
#define FRAME_INSTANCE (-24)
#define FRAME_TEMP (-32)
#define FRAME_FIXED 32

#define XMM_SCRATCH 15
#define XMM_SCRATCH2 14

enum value_kind { VALUE_SLOT, VALUE_GPR, VALUE_XMM, VALUE_CONST, VALUE_LOCAL, VALUE_FLAGS };

/* An operand: where it is now, and the stack slot that is its own. */
struct value {
	uint8_t kind; /* enum value_kind */
	uint8_t reg;  /* register, or enum x64_cond */
	wasm_type type;
	uint32_t slot; /* offset from rsp */
	union {
		uint64_t constant; /* i32 and i64, and null references */
		uint32_t local;
	};
};

struct control {
	uint16_t op;
	bool dead;          /* opened in unreachable code: nothing of it is emitted */
	bool has_else;
	struct wasm_frame types; /* for wasm_frame_params() and the like */
	uint32_t height;    /* operands below */
	uint32_t slot;      /* where its parameters and results begin */
	struct x64_label end, other; /* `other`: the else part, or the next catch */
	uint32_t loop;      /* position of a loop's head */
	uint32_t handler;   /* of a try: index in handlers */
	uint32_t exception; /* of a catch: slot of the caught exception */
	const uint8_t *catches, *catches_end;
	uint32_t n_catches;
};

/* Code behind the function's end. */
struct out_of_line {
	struct x64_label from;
	uint32_t back;   /* position to return to */
	uint32_t offset; /* of the instruction in the module */
	enum { OOL_TRAP, OOL_LOOP, OOL_ENTRY } kind;
	enum wasm_trap trap;
};

struct compiler {
	struct x64 a;
	struct wasm_code *code;
	const struct wasm_module *m;
	const struct wasm_typedef *type;
	struct wasm_reader r;
	struct wasm_insn insn;
	wasm_type *locals;
	int32_t *local_at; /* offsets from rbp */
	uint32_t n_locals;
	uint32_t locals_bytes;
	struct value *values;
	uint32_t n_values, cap_values;
	struct control *controls;
	uint32_t n_controls, cap_controls;
	uint32_t used_gpr, used_xmm; /* masks of registers taken */
	uint32_t max_slot;
	struct wasm_code_site *sites;
	uint32_t n_sites, cap_sites;
	struct wasm_code_handler *handlers;
	uint32_t n_handlers, cap_handlers;
	struct out_of_line *ool;
	uint32_t n_ool, cap_ool;
	uint32_t frame_patch; /* position of the frame size */
	bool unreachable;
	bool failed; /* out of memory, or past a limit */
};

/* ---- values.c: the operand stack and registers ---- */

void *compiler_grow(struct compiler *c, void *array, uint32_t *n, uint32_t *cap, size_t size);

uint32_t slot_bytes(wasm_type t);
uint32_t next_slot(const struct compiler *c);
unsigned alloc_gpr(struct compiler *c);
unsigned alloc_xmm(struct compiler *c);
void free_gpr(struct compiler *c, unsigned reg);
void free_xmm(struct compiler *c, unsigned reg);
/* Makes exactly REG free (spilling who has it) and takes it. */
void take_gpr(struct compiler *c, unsigned reg);

struct value *push(struct compiler *c, wasm_type t, enum value_kind kind);
void push_gpr(struct compiler *c, wasm_type t, unsigned reg);
void push_xmm(struct compiler *c, wasm_type t, unsigned reg);
void push_const(struct compiler *c, wasm_type t, uint64_t v);
void push_flags(struct compiler *c, enum x64_cond cc);
struct value *top(struct compiler *c, uint32_t depth);
/* Pops into a register that the caller then owns. */
unsigned pop_gpr(struct compiler *c);
unsigned pop_xmm(struct compiler *c);
void pop_drop(struct compiler *c);
/* Moves all operands but the top KEEP to their slots. Changes no flags. */
void flush(struct compiler *c, uint32_t keep);
void store_value(struct compiler *c, struct value *v, struct x64_mem to);
struct x64_mem slot_mem(uint32_t slot);
struct x64_mem local_mem(const struct compiler *c, uint32_t local);
bool is_xmm_type(wasm_type t);
/* Before local LOCAL changes: operands that still stand for it are read. */
void forget_local(struct compiler *c, uint32_t local);

void load_gpr(struct compiler *c, unsigned reg, wasm_type t, struct x64_mem from);
void store_gpr(struct compiler *c, wasm_type t, struct x64_mem to, unsigned reg);
void load_xmm(struct compiler *c, unsigned reg, wasm_type t, struct x64_mem from);
void store_xmm(struct compiler *c, wasm_type t, struct x64_mem to, unsigned reg);

void add_site(struct compiler *c, enum wasm_trap trap);
struct x64_label *trap_label(struct compiler *c, enum wasm_trap trap);

/* ---- numeric.c ---- */

/* Emits INSN if it is arithmetic, a comparison or a conversion with code of its own. */
bool emit_numeric(struct compiler *c);
bool emit_simd(struct compiler *c);

/* ---- memory_access.c ---- */

bool emit_memory(struct compiler *c);

/* ---- calls.c ---- */

void emit_call_instruction(struct compiler *c);
void emit_prologue(struct compiler *c);
void emit_epilogue(struct compiler *c);
void emit_return(struct compiler *c);
/* An operation of wasm_slow_ops: pops OPERANDS values, pushes RESULT unless WASM_BOT. */
void emit_slow(struct compiler *c, uint16_t op, uint32_t operands, wasm_type result, uint64_t imm_a, uint64_t imm_b);
void emit_helper(struct compiler *c, enum wasm_helper h);
void reload_memory(struct compiler *c);

/* ---- control.c ---- */

void emit_control(struct compiler *c);
void open_body(struct compiler *c);
void emit_throw_ref(struct compiler *c);
bool is_control(uint16_t op);
/* After a branch, trap or return: nothing is emitted until the block ends. */
void set_dead(struct compiler *c);
void skip_dead(struct compiler *c);
