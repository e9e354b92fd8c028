/*
 * A module's machine code. One region of address space: a page-aligned head of pointers (helpers, then one entry per
 * function), readable and writable; then code, readable and executable, written only through a second mapping of the
 * same memory. Code reaches the head relative to its own address, so that a region can stand anywhere.
 */
#pragma once

#include <pthread.h>

#include "wasm/runtime/runtime.h"

/* The helpers that compiled code calls through the head, by slot. */
enum wasm_helper {
	WASM_HELPER_LAZY, /* where a function not compiled yet goes */
	WASM_HELPER_SLOW, /* base of the table of slow operations: not a function */
	WASM_HELPER_TRAP,
	WASM_HELPER_THROW,
	WASM_HELPER_RETHROW,
	WASM_HELPER_FUNC_REF,
	WASM_HELPER_SIGNATURE,
	WASM_HELPER_CHECKPOINT,
	WASM_HELPER_COUNT,
};

/* A place in code that may trap or that a frame may stand at. */
struct wasm_code_site {
	uint32_t pc;     /* offset in the region */
	uint32_t offset; /* of the instruction in the module */
	uint32_t trap;   /* enum wasm_trap; NONE for a return address */
};

#define WASM_NO_HANDLER UINT32_MAX

struct wasm_code_handler {
	uint32_t start, end; /* region offsets of the code that is covered */
	uint32_t landing;    /* region offset; 0: delegate to `parent` */
	uint32_t parent;     /* index of the handler outside, or WASM_NO_HANDLER */
};

struct wasm_code_func {
	uint32_t start, end; /* region offsets */
	uint32_t func;
	uint32_t frame_size; /* rbp - rsp in the body */
	struct wasm_code_site *sites; /* by pc */
	uint32_t n_sites;
	struct wasm_code_handler *handlers; /* inner ones after the outer */
	uint32_t n_handlers;
};

struct wasm_code {
	_Atomic unsigned refs;
	struct wasm_module *module;
	uint8_t *region; /* head, then code */
	size_t reserved, head_size;
	uint8_t *writable; /* alias of the code part: writable + (offset - head_size) */
	size_t used;       /* region offset of the next free byte */
	int fd;
	pthread_mutex_t lock;
	struct wasm_code_func **funcs; /* by start */
	_Atomic uint32_t n_funcs;
	uint32_t cap_funcs;
};

/* The code of MODULE, empty: every function's entry leads to the compiler. One per module. */
int wasm_code_new(struct wasm_module *module, struct wasm_code **ret, struct error *err);
void wasm_code_unref(struct wasm_code *code);
struct wasm_code *wasm_code_ref(struct wasm_code *code);

/*
 * Publishes the machine code of a function. CODE was assembled to stand at wasm_code_next(); F's arrays are taken. Called
 * with the lock held.
 */
int wasm_code_publish(struct wasm_code *code, const uint8_t *bytes, size_t len, struct wasm_code_func *f, struct error *err);
uint32_t wasm_code_next(const struct wasm_code *code);

/* Compiles function INDEX if nobody has, and gives its entry. */
int wasm_code_compile(struct wasm_code *code, uint32_t index, const void **ret, struct error *err);

/* Region offsets in the head. */
static inline uint32_t wasm_code_helper_slot(enum wasm_helper h)
{
	return (uint32_t)h * 8;
}

static inline uint32_t wasm_code_entry_slot(uint32_t func)
{
	return (WASM_HELPER_COUNT + func) * 8;
}

/* A jump to whatever the function's entry is at the time: what function references hold. */
const void *wasm_code_thunk(const struct wasm_code *code, uint32_t func);

/* The function whose code PC stands in, and its code region. NULL when it is not ours. Async-signal-safe. */
const struct wasm_code_func *wasm_code_find(const void *pc, struct wasm_code **ret_code);
const struct wasm_code_site *wasm_code_site_at(const struct wasm_code_func *f, uint32_t pc);
