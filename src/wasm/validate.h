/*
 * Validation of one function body or constant expression (core specification 3.0, 3.4 and appendix "Validation
 * Algorithm"), an instruction at a time, so that a single-pass compiler can walk along: wasm_validator_read() decodes
 * the next instruction while the stacks still show its operands, wasm_validator_check() validates it and moves on.
 */
#pragma once

#include "wasm/insn.h"

struct wasm_frame {
	uint16_t op; /* WASM_OP_BLOCK, LOOP, IF, ELSE, TRY, CATCH, CATCH_ALL, TRY_TABLE; the body itself is a BLOCK */
	bool unreachable;
	struct wasm_block_type type;
	uint32_t height;      /* operands below this frame */
	uint32_t init_height; /* entries of the log of initialized locals */
};

struct wasm_validator {
	const struct wasm_module *m;
	struct wasm_reader r;
	bool constant;               /* a constant expression ... */
	uint32_t n_constant_globals; /* ... that may name the globals below this index */
	wasm_type *locals; /* parameters first */
	uint32_t n_locals, n_params;
	uint8_t *initialized; /* per local */
	uint32_t *init_log;
	uint32_t n_init_log;
	wasm_type *stack;
	uint32_t n_stack, cap_stack;
	struct wasm_frame *frames; /* empty when the body has ended */
	uint32_t n_frames, cap_frames;
	const struct wasm_insn *insn; /* being checked, for messages */
};

/* Begins at the body of function INDEX: its locals are decoded. Free with wasm_validator_free(), also on failure. */
int wasm_validator_begin(struct wasm_validator *v, const struct wasm_module *m, uint32_t index, struct error *err);
void wasm_validator_free(struct wasm_validator *v);

/* 1: RET is the next instruction; 0: the body has ended properly; negative: it is malformed or invalid. */
int wasm_validator_read(struct wasm_validator *v, struct wasm_insn *ret);
int wasm_validator_check(struct wasm_validator *v, const struct wasm_insn *insn);

/* The parameters and results of a frame's block type. The single result of a short block type lives in the frame. */
const wasm_type *wasm_frame_params(const struct wasm_frame *f, uint32_t *ret_n);
const wasm_type *wasm_frame_results(const struct wasm_frame *f, uint32_t *ret_n);
/* What a branch to the frame carries: a loop's parameters, any other's results. */
const wasm_type *wasm_frame_label(const struct wasm_frame *f, uint32_t *ret_n);

/* The frame that label DEPTH names. DEPTH must be below n_frames. */
static inline struct wasm_frame *wasm_validator_frame(const struct wasm_validator *v, uint32_t depth)
{
	return &v->frames[v->n_frames - 1 - depth];
}

/*
 * Validates the constant expression that starts at R: one value of TYPE. R is left behind its `end`. Marks functions it
 * names with ref.func as declared.
 */
int wasm_validate_constant(struct wasm_module *m, struct wasm_reader *r, wasm_type type, uint32_t n_globals);

static inline void cleanup_wasm_validator(struct wasm_validator *v)
{
	wasm_validator_free(v);
}
