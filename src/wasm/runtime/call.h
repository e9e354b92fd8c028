/* Crossing between C and compiled code: see enter.S for the machine side and baseline.h for the convention. */
#pragma once

#include "wasm/runtime/runtime.h"

/* An entry from C. Offsets are enter.S's. */
struct wasm_enter_frame {
	uint64_t sp;      /* 0 */
	const void *entry; /* 8 */
	uint64_t gpr[6];  /* 16: rdi (context), rsi, rdx, rcx, r8, r9 */
	uint8_t xmm[8][16]; /* 64 */
	const uint64_t *stack; /* 192: stack arguments, ascending */
	uint64_t n_stack; /* 200: words, even */
	uint64_t rax;     /* 208 */
	uint64_t trap;    /* 216 */
	uint8_t xmm0[16]; /* 224 */
	struct wasm_enter_frame *outer; /* 240 */
	struct wasm_store *store;
};

struct wasm_host_frame {
	uint64_t gpr[6];    /* 0: rdi is the struct wasm_funcref */
	uint8_t xmm[8][16]; /* 48 */
	const uint64_t *stack; /* 176 */
	uint64_t rax;       /* 184 */
	uint8_t xmm0[16];   /* 192 */
	struct wasm_instance *caller; /* 208 */
};

/* enter.S */
int wasm_enter(struct wasm_enter_frame *frame);
_noreturn_ void wasm_unwind(struct wasm_enter_frame *frame, uint64_t trap);
_noreturn_ void wasm_resume(const void *pc, uint64_t rbp, uint64_t rsp);
void wasm_host_entry(void);
void wasm_lazy_entry(void);

/* Called by enter.S. */
uint64_t wasm_host_dispatch(struct wasm_host_frame *frame);
const void *wasm_lazy_compile(struct wasm_instance *instance, uint32_t index);

/*
 * Where each parameter of a signature goes: the next of rsi, rdx, rcx, r8, r9 for integers and references; the next of
 * xmm0 to xmm7 for floats and vectors; else the stack, 8 bytes each, vectors 16, ascending; the callee pops the stack
 * part, which is a multiple of 16 bytes. The first result is in rax or xmm0, the others in exec->results.
 */
struct wasm_arg_place {
	enum { WASM_ARG_GPR, WASM_ARG_XMM, WASM_ARG_STACK } where;
	uint32_t index; /* register number: 1 to 5 of the six, or 0 to 7; stack: byte offset */
};

struct wasm_arg_walk {
	uint32_t gpr, xmm, stack;
};

#define WASM_ARG_WALK_INIT ((struct wasm_arg_walk){ .gpr = 1 })

static inline bool wasm_type_in_xmm(wasm_type t)
{
	return t == WASM_F32 || t == WASM_F64 || t == WASM_V128;
}

static inline struct wasm_arg_place wasm_next_arg(struct wasm_arg_walk *w, wasm_type t)
{
	struct wasm_arg_place p;

	if (wasm_type_in_xmm(t) && w->xmm < 8)
		return (struct wasm_arg_place){ WASM_ARG_XMM, w->xmm++ };
	if (!wasm_type_in_xmm(t) && w->gpr < 6)
		return (struct wasm_arg_place){ WASM_ARG_GPR, w->gpr++ };
	p = (struct wasm_arg_place){ WASM_ARG_STACK, w->stack };
	w->stack += t == WASM_V128 ? 16 : 8;
	return p;
}

static inline uint32_t wasm_arg_stack_bytes(const struct wasm_typedef *t)
{
	struct wasm_arg_walk w = WASM_ARG_WALK_INIT;

	for (uint32_t i = 0; i < t->n_params; i++)
		wasm_next_arg(&w, t->params[i]);
	return (w.stack + 15) & ~15u;
}

/* trap.c: the process's signal handlers, once. */
void wasm_trap_install(void);


