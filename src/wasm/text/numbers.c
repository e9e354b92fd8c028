/* Number literals of the text format (core specification 3.0, 6.3.1 "Integers" and 6.3.2 "Floating-Point"). */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "wasm/text/lexer.h"

#define MAX_DIGITS 8192 /* a longer literal is refused: nothing that a tool writes comes near */

bool wat_is_index(const struct wat_text *t, uint32_t index)
{
	const struct wat_token *tok = &t->tokens[index];

	return tok->kind == WAT_ATOM && isdigit((unsigned char)t->s[tok->pos]);
}

/* Copies the digits of S without underscores, which may stand between digits only. Gives the end, or NULL. */
static const char *copy_digits(const char *s, const char *end, bool hex, char *out, size_t *n)
{
	bool digit = false;

	while (s < end) {
		if (hex ? isxdigit((unsigned char)*s) : isdigit((unsigned char)*s)) {
			if (*n >= MAX_DIGITS)
				return NULL;
			out[(*n)++] = *s++;
			digit = true;
		} else if (*s == '_') {
			if (!digit || s + 1 == end || !(hex ? isxdigit((unsigned char)s[1]) : isdigit((unsigned char)s[1])))
				return NULL;
			s++;
		} else {
			break;
		}
	}
	return digit ? s : NULL;
}

/* Sign and magnitude of an integer literal; false when it is none, or past 64 bits (*RET_OVERFLOW). */
static bool parse_magnitude(const struct wat_text *t, uint32_t index, bool *negative, bool *sign, uint64_t *ret, bool *ret_overflow)
{
	const struct wat_token *tok = &t->tokens[index];
	const char *s = t->s + tok->pos, *end = s + tok->len;
	char digits[MAX_DIGITS + 1];
	bool hex = false;
	size_t n = 0;
	uint64_t v = 0;

	*ret_overflow = false;
	if (tok->kind != WAT_ATOM)
		return false;
	*negative = *s == '-';
	*sign = *s == '-' || *s == '+';
	s += *sign;
	if (end - s > 2 && s[0] == '0' && s[1] == 'x') {
		hex = true;
		s += 2;
	}
	if (copy_digits(s, end, hex, digits, &n) != end)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned)(digits[i] <= '9' ? digits[i] - '0' : (digits[i] | 0x20) - 'a' + 10);

		if (__builtin_mul_overflow(v, hex ? 16u : 10u, &v) || __builtin_add_overflow(v, d, &v))
			*ret_overflow = true;
	}
	*ret = v;
	return true;
}

int wat_integer(const struct wat_text *t, uint32_t index, unsigned bits, uint64_t *ret, struct error *err)
{
	uint64_t max = bits == 64 ? UINT64_MAX : (1ull << bits) - 1, v;
	bool negative, sign, overflow;

	if (!parse_magnitude(t, index, &negative, &sign, &v, &overflow))
		return wat_fail(t, index, err, "unexpected token (unknown operator): an integer is expected");
	if (overflow || (negative ? v > max / 2 + 1 : v > max))
		return wat_fail(t, index, err, "constant out of range of %u bits", bits);
	*ret = negative ? -v : v;
	return 0;
}

int wat_unsigned(const struct wat_text *t, uint32_t index, uint64_t max, uint64_t *ret, struct error *err)
{
	bool negative, sign, overflow;
	uint64_t v;

	if (!parse_magnitude(t, index, &negative, &sign, &v, &overflow) || sign)
		return wat_fail(t, index, err, "unexpected token (unknown operator): an unsigned number is expected");
	if (overflow || v > max)
		return wat_fail(t, index, err, "i32 constant out of range: at most %llu", (unsigned long long)max);
	*ret = v;
	return 0;
}

/* Rewrites the literal for strtod(): no underscores. False when it is not a number of the grammar. */
static bool normalize_float(const char *s, const char *end, char *out)
{
	bool hex = end - s > 2 && s[0] == '0' && s[1] == 'x';
	size_t n = 0;

	if (hex) {
		out[n++] = '0';
		out[n++] = 'x';
		s += 2;
	}
	s = copy_digits(s, end, hex, out, &n);
	if (!s)
		return false;
	if (s < end && *s == '.') {
		out[n++] = *s++;
		if (s < end && (hex ? isxdigit((unsigned char)*s) : isdigit((unsigned char)*s))) {
			s = copy_digits(s, end, hex, out, &n);
			if (!s)
				return false;
		}
	}
	if (s < end && (hex ? *s == 'p' || *s == 'P' : *s == 'e' || *s == 'E')) {
		out[n++] = *s++;
		if (s < end && (*s == '+' || *s == '-'))
			out[n++] = *s++;
		s = copy_digits(s, end, false, out, &n);
	}
	out[n] = 0;
	return s == end;
}

/* "nan", "nan:0x..." with a payload of BITS bits. 1 found, 0 no NaN, negative: wrong. */
static int parse_nan(const char *s, const char *end, unsigned bits, uint64_t *ret_payload)
{
	uint64_t v = 0;

	if (end - s < 3 || memcmp(s, "nan", 3) != 0)
		return 0;
	if (end - s == 3) {
		*ret_payload = 1ull << (bits - 1);
		return 1;
	}
	if (end - s < 7 || memcmp(s + 3, ":0x", 3) != 0)
		return -EINVAL;
	for (s += 6; s < end; s++) {
		if (*s == '_') {
			if (s + 1 == end || !isxdigit((unsigned char)s[1]) || s[-1] == 'x')
				return -EINVAL;
			continue;
		}
		if (!isxdigit((unsigned char)*s))
			return -EINVAL;
		v = v << 4 | (uint64_t)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
		if (v >> bits)
			return -ERANGE;
	}
	if (!v)
		return -ERANGE;
	*ret_payload = v;
	return 1;
}

struct float_literal {
	bool negative, infinite, nan;
	uint64_t payload;
	char digits[MAX_DIGITS + 32];
};

static int parse_float(const struct wat_text *t, uint32_t index, unsigned mantissa, struct float_literal *ret, struct error *err)
{
	const struct wat_token *tok = &t->tokens[index];
	const char *s = t->s + tok->pos, *end = s + tok->len;
	int r;

	if (tok->kind != WAT_ATOM)
		return wat_fail(t, index, err, "unexpected token (unknown operator): a number is expected");
	*ret->digits = 0;
	ret->negative = *s == '-';
	s += *s == '-' || *s == '+';
	ret->infinite = end - s == 3 && memcmp(s, "inf", 3) == 0;
	r = parse_nan(s, end, mantissa, &ret->payload);
	if (r == -ERANGE)
		return wat_fail(t, index, err, "constant out of range: NaN payload");
	ret->nan = r > 0;
	if (!ret->nan && !ret->infinite && (r < 0 || !normalize_float(s, end, ret->digits)))
		return wat_fail(t, index, err, "unexpected token (unknown operator): a number is expected");
	return 0;
}

int wat_f32(const struct wat_text *t, uint32_t index, uint32_t *ret_bits, struct error *err)
{
	struct float_literal l;
	uint32_t bits;
	float f;
	int r = parse_float(t, index, 23, &l, err);

	if (r < 0)
		return r;
	if (l.nan) {
		bits = 0x7f800000u | (uint32_t)l.payload;
	} else {
		f = l.infinite ? HUGE_VALF : strtof(l.digits, NULL);
		if (!l.infinite && isinf(f))
			return wat_fail(t, index, err, "constant out of range of f32");
		memcpy(&bits, &f, 4);
	}
	*ret_bits = bits | (l.negative ? 1u << 31 : 0);
	return 0;
}

int wat_f64(const struct wat_text *t, uint32_t index, uint64_t *ret_bits, struct error *err)
{
	struct float_literal l;
	uint64_t bits;
	double f;
	int r = parse_float(t, index, 52, &l, err);

	if (r < 0)
		return r;
	if (l.nan) {
		bits = 0x7ff0000000000000u | l.payload;
	} else {
		f = l.infinite ? HUGE_VAL : strtod(l.digits, NULL);
		if (!l.infinite && isinf(f))
			return wat_fail(t, index, err, "constant out of range of f64");
		memcpy(&bits, &f, 8);
	}
	*ret_bits = bits | (l.negative ? 1ull << 63 : 0);
	return 0;
}
