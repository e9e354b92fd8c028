#include "wasm/reader.h"

#include <stdarg.h>

int wasm_reader_fail(struct wasm_reader *r, int code, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	if (r->failed)
		return -code;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	error_set(r->err, code, "at byte 0x%zx: %s", wasm_reader_offset(r), message);
	r->failed = true;
	return -code;
}

uint8_t wasm_read_u8(struct wasm_reader *r)
{
	if (r->failed)
		return 0;
	if (r->p == r->end) {
		wasm_reader_fail(r, WASM_MALFORMED, "unexpected end");
		return 0;
	}
	return *r->p++;
}

/* LEB128, unsigned, of at most BITS bits. */
static uint64_t read_unsigned(struct wasm_reader *r, unsigned bits)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		uint8_t b = wasm_read_u8(r);

		if (r->failed)
			return 0;
		if (shift >= bits) {
			wasm_reader_fail(r, WASM_MALFORMED, "integer representation too long");
			return 0;
		}
		if (bits - shift < 7 && (b & 0x7f) >> (bits - shift)) {
			wasm_reader_fail(r, WASM_MALFORMED, b & 0x80 ? "integer representation too long" : "integer too large");
			return 0;
		}
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
}

/* LEB128, signed, of at most BITS bits: unused bits of the last byte must repeat the sign. */
static int64_t read_signed(struct wasm_reader *r, unsigned bits)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		uint8_t b = wasm_read_u8(r);

		if (r->failed)
			return 0;
		if (shift >= bits) {
			wasm_reader_fail(r, WASM_MALFORMED, "integer representation too long");
			return 0;
		}
		if (bits - shift < 7) {
			unsigned used = bits - shift;
			uint8_t rest = (uint8_t)(b & 0x7f) >> (used - 1);
			uint8_t ones = (uint8_t)(0x7f >> (used - 1));

			if (b & 0x80 || (rest != 0 && rest != ones)) {
				wasm_reader_fail(r, WASM_MALFORMED,
						 b & 0x80 ? "integer representation too long" : "integer too large");
				return 0;
			}
		}
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			if (shift + 7 < 64 && b & 0x40)
				v |= ~0ull << (shift + 7);
			return (int64_t)v;
		}
	}
}

uint32_t wasm_read_u32(struct wasm_reader *r)
{
	/* Nearly all indices and lengths take one byte. */
	if (!r->failed && r->p < r->end && *r->p < 0x80)
		return *r->p++;
	return (uint32_t)read_unsigned(r, 32);
}

uint64_t wasm_read_u64(struct wasm_reader *r)
{
	if (!r->failed && r->p < r->end && *r->p < 0x80)
		return *r->p++;
	return read_unsigned(r, 64);
}

int32_t wasm_read_s32(struct wasm_reader *r)
{
	return (int32_t)read_signed(r, 32);
}

int64_t wasm_read_s33(struct wasm_reader *r)
{
	return read_signed(r, 33);
}

int64_t wasm_read_s64(struct wasm_reader *r)
{
	return read_signed(r, 64);
}

const uint8_t *wasm_read_bytes(struct wasm_reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->failed)
		return NULL;
	if ((size_t)(r->end - r->p) < n) {
		wasm_reader_fail(r, WASM_MALFORMED, "unexpected end: %zu bytes wanted, %zu left", n, (size_t)(r->end - r->p));
		return NULL;
	}
	r->p += n;
	return p;
}

uint32_t wasm_read_count(struct wasm_reader *r, size_t min_size, uint32_t max, const char *what)
{
	uint32_t n = wasm_read_u32(r);

	if (r->failed)
		return 0;
	if ((uint64_t)n * min_size > wasm_reader_left(r)) {
		wasm_reader_fail(r, WASM_MALFORMED, "unexpected end: %u %s cannot fit in %zu bytes (length out of bounds)", n,
				 what, wasm_reader_left(r));
		return 0;
	}
	if (n > max) {
		wasm_reader_fail(r, WASM_INVALID, "%u %s are more than the limit of %u", n, what, max);
		return 0;
	}
	return n;
}

const char *wasm_read_name(struct wasm_reader *r, uint32_t *ret_len)
{
	uint32_t n = wasm_read_u32(r);
	const uint8_t *s;

	*ret_len = 0;
	if (r->failed)
		return "";
	if (n > wasm_reader_left(r)) {
		wasm_reader_fail(r, WASM_MALFORMED, "unexpected end: a name of %u bytes (length out of bounds)", n);
		return "";
	}
	s = wasm_read_bytes(r, n);
	if (!wasm_utf8_valid(s, n)) {
		wasm_reader_fail(r, WASM_MALFORMED, "malformed UTF-8 encoding");
		return "";
	}
	*ret_len = n;
	return (const char *)s;
}

bool wasm_utf8_valid(const uint8_t *s, size_t len)
{
	size_t i = 0;

	while (i < len) {
		uint8_t b = s[i++];
		uint32_t c, min;
		unsigned more;

		if (b < 0x80)
			continue;
		if (b >= 0xc2 && b < 0xe0)
			more = 1, c = b & 0x1f, min = 0x80;
		else if (b >= 0xe0 && b < 0xf0)
			more = 2, c = b & 0x0f, min = 0x800;
		else if (b >= 0xf0 && b < 0xf5)
			more = 3, c = b & 0x07, min = 0x10000;
		else
			return false;
		while (more--) {
			if (i == len || (s[i] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (s[i++] & 0x3f);
		}
		if (c < min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
	}
	return true;
}
