/*
 * The baseline compiler: one pass over a function's body, validated and emitted together, x86-64-v2.
 *
 * Convention of compiled code: rdi is the callee's instance; parameters as call.h places them; rbx, rbp, r12 to r15 are
 * the caller's. In a body r14 is the instance and r15 the base of memory 0; [rbp - 8] and [rbp - 16] keep the caller's
 * r14 and r15, [rbp - 24] the instance. Locals lie below that, then, upwards from rsp, the operand stack.
 */
#pragma once

#include "wasm/runtime/code.h"

/* Compiles function INDEX (validated, not an import) and publishes it. The code's lock is held. */
int wasm_baseline_compile(struct wasm_code *code, uint32_t index, struct error *err);
