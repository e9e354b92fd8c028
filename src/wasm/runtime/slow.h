/*
 * Instructions that the baseline compiler does not open-code: C functions over the operand stack's memory. SLOTS is the
 * lowest operand; operands ascend, 8 bytes each, vectors 16; the results replace them in place. A and B are immediates.
 * They may trap or throw, which abandons the C frame.
 */
#pragma once

#include "wasm/opcodes.h"
#include "wasm/runtime/runtime.h"

typedef void (*wasm_slow_op)(struct wasm_instance *instance, uint8_t *slots, uint64_t a, uint64_t b);

/* Indexed by enum wasm_op; NULL where the compiler has code of its own. */
extern const wasm_slow_op wasm_slow_ops[WASM_OP_LIMIT];

/* Helpers with signatures of their own. */
_noreturn_ void wasm_helper_trap(struct wasm_instance *instance, uint64_t trap);
_noreturn_ void wasm_helper_throw(struct wasm_instance *instance, const uint8_t *slots, uint64_t tag);
_noreturn_ void wasm_helper_rethrow(struct wasm_instance *instance, struct wasm_object *exception);
wasm_ref_bits wasm_helper_func_ref(struct wasm_instance *instance, uint64_t index);
/* Whether a function of canonical type HAVE may be called as WANT: traps when not. */
void wasm_helper_signature(struct wasm_instance *instance, uint64_t have, uint64_t want);
/* The stack limit was hit at a function entry (ENTRY) or a loop: traps, unless it was a mere request to look. */
void wasm_helper_checkpoint(struct wasm_instance *instance, uint64_t entry);
