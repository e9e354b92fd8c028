/*
 * A cursor over hostile bytes (core specification 3.0, 5.2 "Values"). The first error sticks: later reads return 0, and
 * the caller looks at `failed` when convenient. The reason is in `err` with the offset of the byte.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The code of an error in the shape of the bytes ("malformed"); what is well-formed but wrong ("invalid") has EINVAL. */
#define WASM_MALFORMED EBADMSG
#define WASM_INVALID EINVAL

struct wasm_reader {
	const uint8_t *start, *p, *end;
	size_t base; /* offset of `start` in the module, for messages */
	struct error *err;
	bool failed;
};

static inline size_t wasm_reader_offset(const struct wasm_reader *r)
{
	return r->base + (size_t)(r->p - r->start);
}

static inline size_t wasm_reader_left(const struct wasm_reader *r)
{
	return r->failed ? 0 : (size_t)(r->end - r->p);
}

/* Records "at byte N: ..." and makes the reader fail; returns -code. */
int wasm_reader_fail(struct wasm_reader *r, int code, const char *fmt, ...) _printf_(3, 4);

uint8_t wasm_read_u8(struct wasm_reader *r);
uint32_t wasm_read_u32(struct wasm_reader *r);
uint64_t wasm_read_u64(struct wasm_reader *r);
int32_t wasm_read_s32(struct wasm_reader *r);
int64_t wasm_read_s64(struct wasm_reader *r);
/* A signed number of 33 bits: block types and heap types. */
int64_t wasm_read_s33(struct wasm_reader *r);
/* N raw bytes, or NULL. */
const uint8_t *wasm_read_bytes(struct wasm_reader *r, size_t n);
/* A vector's length; fails when fewer bytes are left than N elements of MIN_SIZE need. */
uint32_t wasm_read_count(struct wasm_reader *r, size_t min_size, uint32_t max, const char *what);
/* A UTF-8 name: not NUL-terminated, points into the input. */
const char *wasm_read_name(struct wasm_reader *r, uint32_t *ret_len);

bool wasm_utf8_valid(const uint8_t *s, size_t len);
