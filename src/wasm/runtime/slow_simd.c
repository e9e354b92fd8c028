/* Vector instructions in plain C over lanes (core specification 3.0, 4.3.6); the compiler makes SSE of most loops. */
#include "wasm/runtime/slow_simd.h"

#include <math.h>
#include <string.h>

union vec {
	int8_t i8[16];
	uint8_t u8[16];
	int16_t i16[8];
	uint16_t u16[8];
	int32_t i32[4];
	uint32_t u32[4];
	int64_t i64[2];
	uint64_t u64[2];
	float f32[4];
	double f64[2];
};

static union vec load(const uint8_t *p)
{
	union vec v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void store(uint8_t *p, union vec v)
{
	memcpy(p, &v, sizeof(v));
}

#define OPARGS struct wasm_instance *inst, uint8_t *s, uint64_t imm, uint64_t imm2

/* result lane field TO, N lanes, EXPR of x (first operand) and y (second). */
#define BINARY(name, to, n, expr)                                                                                      \
	void wasm_simd_##name(OPARGS)                                                                                  \
	{                                                                                                              \
		union vec x = load(s), y = load(s + 16), r;                                                            \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			r.to[k] = (__typeof__(r.to[0]))(expr);                                                         \
		store(s, r);                                                                                           \
	}
#define UNARY(name, to, n, expr)                                                                                       \
	void wasm_simd_##name(OPARGS)                                                                                  \
	{                                                                                                              \
		union vec x = load(s), r = { 0 };                                                                      \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			r.to[k] = (__typeof__(r.to[0]))(expr);                                                         \
		store(s, r);                                                                                           \
	}

#define COMPARE(shape, sfield, ufield, n)                                                                              \
	BINARY(shape##_EQ, sfield, n, x.ufield[k] == y.ufield[k] ? -1 : 0)                                             \
	BINARY(shape##_NE, sfield, n, x.ufield[k] != y.ufield[k] ? -1 : 0)                                             \
	BINARY(shape##_LT_S, sfield, n, x.sfield[k] < y.sfield[k] ? -1 : 0)                                            \
	BINARY(shape##_GT_S, sfield, n, x.sfield[k] > y.sfield[k] ? -1 : 0)                                            \
	BINARY(shape##_LE_S, sfield, n, x.sfield[k] <= y.sfield[k] ? -1 : 0)                                           \
	BINARY(shape##_GE_S, sfield, n, x.sfield[k] >= y.sfield[k] ? -1 : 0)
#define COMPARE_U(shape, sfield, ufield, n)                                                                            \
	BINARY(shape##_LT_U, sfield, n, x.ufield[k] < y.ufield[k] ? -1 : 0)                                            \
	BINARY(shape##_GT_U, sfield, n, x.ufield[k] > y.ufield[k] ? -1 : 0)                                            \
	BINARY(shape##_LE_U, sfield, n, x.ufield[k] <= y.ufield[k] ? -1 : 0)                                           \
	BINARY(shape##_GE_U, sfield, n, x.ufield[k] >= y.ufield[k] ? -1 : 0)
#define COMPARE_F(shape, ifield, ffield, n)                                                                            \
	BINARY(shape##_EQ, ifield, n, x.ffield[k] == y.ffield[k] ? -1 : 0)                                             \
	BINARY(shape##_NE, ifield, n, x.ffield[k] != y.ffield[k] ? -1 : 0)                                             \
	BINARY(shape##_LT, ifield, n, x.ffield[k] < y.ffield[k] ? -1 : 0)                                              \
	BINARY(shape##_GT, ifield, n, x.ffield[k] > y.ffield[k] ? -1 : 0)                                              \
	BINARY(shape##_LE, ifield, n, x.ffield[k] <= y.ffield[k] ? -1 : 0)                                             \
	BINARY(shape##_GE, ifield, n, x.ffield[k] >= y.ffield[k] ? -1 : 0)
COMPARE(I8X16, i8, u8, 16)
COMPARE_U(I8X16, i8, u8, 16)
COMPARE(I16X8, i16, u16, 8)
COMPARE_U(I16X8, i16, u16, 8)
COMPARE(I32X4, i32, u32, 4)
COMPARE_U(I32X4, i32, u32, 4)
COMPARE(I64X2, i64, u64, 2)
COMPARE_F(F32X4, i32, f32, 4)
COMPARE_F(F64X2, i64, f64, 2)

BINARY(V128_AND, u64, 2, x.u64[k] & y.u64[k])
BINARY(V128_ANDNOT, u64, 2, x.u64[k] & ~y.u64[k])
BINARY(V128_OR, u64, 2, x.u64[k] | y.u64[k])
BINARY(V128_XOR, u64, 2, x.u64[k] ^ y.u64[k])
UNARY(V128_NOT, u64, 2, ~x.u64[k])

#define ADD_SUB(shape, field, n)                                                                                       \
	BINARY(shape##_ADD, field, n, x.field[k] + y.field[k]) BINARY(shape##_SUB, field, n, x.field[k] - y.field[k])
ADD_SUB(I8X16, u8, 16)
ADD_SUB(I16X8, u16, 8)
ADD_SUB(I32X4, u32, 4)
ADD_SUB(I64X2, u64, 2)
BINARY(I16X8_MUL, u16, 8, (uint32_t)x.u16[k] * y.u16[k])
BINARY(I32X4_MUL, u32, 4, x.u32[k] * y.u32[k])
BINARY(I64X2_MUL, u64, 2, x.u64[k] * y.u64[k])

static int clamp(int v, int low, int high)
{
	return v < low ? low : v > high ? high : v;
}

BINARY(I8X16_ADD_SAT_S, i8, 16, clamp(x.i8[k] + y.i8[k], -128, 127))
BINARY(I8X16_ADD_SAT_U, u8, 16, clamp(x.u8[k] + y.u8[k], 0, 255))
BINARY(I8X16_SUB_SAT_S, i8, 16, clamp(x.i8[k] - y.i8[k], -128, 127))
BINARY(I8X16_SUB_SAT_U, u8, 16, clamp(x.u8[k] - y.u8[k], 0, 255))
BINARY(I16X8_ADD_SAT_S, i16, 8, clamp(x.i16[k] + y.i16[k], -32768, 32767))
BINARY(I16X8_ADD_SAT_U, u16, 8, clamp(x.u16[k] + y.u16[k], 0, 65535))
BINARY(I16X8_SUB_SAT_S, i16, 8, clamp(x.i16[k] - y.i16[k], -32768, 32767))
BINARY(I16X8_SUB_SAT_U, u16, 8, clamp(x.u16[k] - y.u16[k], 0, 65535))

#define LEAST(a, b) ((a) < (b) ? (a) : (b))
#define MOST(a, b) ((a) > (b) ? (a) : (b))
#define MIN_MAX(shape, s_or_u, field, n)                                                                               \
	BINARY(shape##_MIN_##s_or_u, field, n, LEAST(x.field[k], y.field[k]))                                          \
	BINARY(shape##_MAX_##s_or_u, field, n, MOST(x.field[k], y.field[k]))
MIN_MAX(I8X16, S, i8, 16)
MIN_MAX(I8X16, U, u8, 16)
MIN_MAX(I16X8, S, i16, 8)
MIN_MAX(I16X8, U, u16, 8)
MIN_MAX(I32X4, S, i32, 4)
MIN_MAX(I32X4, U, u32, 4)
BINARY(I8X16_AVGR_U, u8, 16, (x.u8[k] + y.u8[k] + 1) / 2)
BINARY(I16X8_AVGR_U, u16, 8, (x.u16[k] + y.u16[k] + 1) / 2)
BINARY(I16X8_Q15MULR_SAT_S, i16, 8, clamp((x.i16[k] * y.i16[k] + 0x4000) >> 15, -32768, 32767))
BINARY(I32X4_DOT_I16X8_S, u32, 4,
       (uint32_t)(x.i16[2 * k] * y.i16[2 * k]) + (uint32_t)(x.i16[2 * k + 1] * y.i16[2 * k + 1]))
BINARY(I16X8_RELAXED_DOT_I8X16_I7X16_S, i16, 8, x.i8[2 * k] * y.i8[2 * k] + x.i8[2 * k + 1] * y.i8[2 * k + 1])
BINARY(I8X16_SWIZZLE, u8, 16, y.u8[k] < 16 ? x.u8[y.u8[k]] : 0)
BINARY(I8X16_NARROW_I16X8_S, i8, 16, clamp(k < 8 ? x.i16[k] : y.i16[k - 8], -128, 127))
BINARY(I8X16_NARROW_I16X8_U, u8, 16, clamp(k < 8 ? x.i16[k] : y.i16[k - 8], 0, 255))
BINARY(I16X8_NARROW_I32X4_S, i16, 8, clamp(k < 4 ? x.i32[k] : y.i32[k - 4], -32768, 32767))
BINARY(I16X8_NARROW_I32X4_U, u16, 8, clamp(k < 4 ? x.i32[k] : y.i32[k - 4], 0, 65535))

#define EXTEND(wide, narrow, sfx, to, from, n)                                                                         \
	UNARY(wide##_EXTEND_LOW_##narrow##_##sfx, to, n, x.from[k])                                                    \
	UNARY(wide##_EXTEND_HIGH_##narrow##_##sfx, to, n, x.from[k + (n)])                                             \
	BINARY(wide##_EXTMUL_LOW_##narrow##_##sfx, to, n, (__typeof__(r.to[0]))x.from[k] * (__typeof__(r.to[0]))y.from[k]) \
	BINARY(wide##_EXTMUL_HIGH_##narrow##_##sfx, to, n,                                                             \
	       (__typeof__(r.to[0]))x.from[k + (n)] * (__typeof__(r.to[0]))y.from[k + (n)])
EXTEND(I16X8, I8X16, S, i16, i8, 8)
EXTEND(I16X8, I8X16, U, u16, u8, 8)
EXTEND(I32X4, I16X8, S, i32, i16, 4)
EXTEND(I32X4, I16X8, U, u32, u16, 4)
EXTEND(I64X2, I32X4, S, i64, i32, 2)
EXTEND(I64X2, I32X4, U, u64, u32, 2)
UNARY(I16X8_EXTADD_PAIRWISE_I8X16_S, i16, 8, x.i8[2 * k] + x.i8[2 * k + 1])
UNARY(I16X8_EXTADD_PAIRWISE_I8X16_U, u16, 8, x.u8[2 * k] + x.u8[2 * k + 1])
UNARY(I32X4_EXTADD_PAIRWISE_I16X8_S, i32, 4, x.i16[2 * k] + x.i16[2 * k + 1])
UNARY(I32X4_EXTADD_PAIRWISE_I16X8_U, u32, 4, x.u16[2 * k] + x.u16[2 * k + 1])

#define ABS_NEG(shape, sfield, ufield, n)                                                                              \
	UNARY(shape##_ABS, ufield, n, x.sfield[k] < 0 ? 0 - x.ufield[k] : x.ufield[k])                                 \
	UNARY(shape##_NEG, ufield, n, 0 - x.ufield[k])
ABS_NEG(I8X16, i8, u8, 16)
ABS_NEG(I16X8, i16, u16, 8)
ABS_NEG(I32X4, i32, u32, 4)
ABS_NEG(I64X2, i64, u64, 2)
UNARY(I8X16_POPCNT, u8, 16, __builtin_popcount(x.u8[k]))

/* The minimum and maximum of the specification: NaN wins and is quiet, -0 is below +0. */
#define FLOAT_MIN_MAX(type, sfx, quiet)                                                                                \
	static type min_##sfx(type a, type b)                                                                          \
	{                                                                                                              \
		if (isnan(a) || isnan(b))                                                                              \
			return a + b;                                                                                  \
		if (a == b)                                                                                            \
			return signbit(a) ? a : b;                                                                     \
		return a < b ? a : b;                                                                                  \
	}                                                                                                              \
	static type max_##sfx(type a, type b)                                                                          \
	{                                                                                                              \
		if (isnan(a) || isnan(b))                                                                              \
			return a + b;                                                                                  \
		if (a == b)                                                                                            \
			return signbit(a) ? b : a;                                                                     \
		return a > b ? a : b;                                                                                  \
	}
FLOAT_MIN_MAX(float, f32, )
FLOAT_MIN_MAX(double, f64, )

#define FLOAT(shape, f, u, n, sfx, root, up, down, cut, near, signmask)                                                \
	BINARY(shape##_ADD, f, n, x.f[k] + y.f[k])                                                                     \
	BINARY(shape##_SUB, f, n, x.f[k] - y.f[k])                                                                     \
	BINARY(shape##_MUL, f, n, x.f[k] * y.f[k])                                                                     \
	BINARY(shape##_DIV, f, n, x.f[k] / y.f[k])                                                                     \
	BINARY(shape##_MIN, f, n, min_##sfx(x.f[k], y.f[k]))                                                           \
	BINARY(shape##_MAX, f, n, max_##sfx(x.f[k], y.f[k]))                                                           \
	BINARY(shape##_PMIN, u, n, y.f[k] < x.f[k] ? y.u[k] : x.u[k])                                                  \
	BINARY(shape##_PMAX, u, n, x.f[k] < y.f[k] ? y.u[k] : x.u[k])                                                  \
	UNARY(shape##_ABS, u, n, x.u[k] & ~(signmask))                                                                 \
	UNARY(shape##_NEG, u, n, x.u[k] ^ (signmask))                                                                  \
	UNARY(shape##_SQRT, f, n, root(x.f[k]))                                                                        \
	UNARY(shape##_CEIL, f, n, isnan(x.f[k]) ? x.f[k] + x.f[k] : up(x.f[k]))	\
	UNARY(shape##_FLOOR, f, n, isnan(x.f[k]) ? x.f[k] + x.f[k] : down(x.f[k]))	\
	UNARY(shape##_TRUNC, f, n, isnan(x.f[k]) ? x.f[k] + x.f[k] : cut(x.f[k]))	\
	UNARY(shape##_NEAREST, f, n, isnan(x.f[k]) ? x.f[k] + x.f[k] : near(x.f[k]))
FLOAT(F32X4, f32, u32, 4, f32, sqrtf, ceilf, floorf, truncf, rintf, 1u << 31)
FLOAT(F64X2, f64, u64, 2, f64, sqrt, ceil, floor, trunc, rint, 1ull << 63)

static int32_t to_i32(double v)
{
	return isnan(v) ? 0 : v <= -2147483648.0 ? INT32_MIN : v >= 2147483647.0 ? INT32_MAX : (int32_t)v;
}

static uint32_t to_u32(double v)
{
	return isnan(v) || v <= 0 ? 0 : v >= 4294967295.0 ? UINT32_MAX : (uint32_t)v;
}

UNARY(I32X4_TRUNC_SAT_F32X4_S, i32, 4, to_i32(x.f32[k]))
UNARY(I32X4_TRUNC_SAT_F32X4_U, u32, 4, to_u32(x.f32[k]))
UNARY(I32X4_TRUNC_SAT_F64X2_S_ZERO, i32, 2, to_i32(x.f64[k]))
UNARY(I32X4_TRUNC_SAT_F64X2_U_ZERO, u32, 2, to_u32(x.f64[k]))
UNARY(F32X4_CONVERT_I32X4_S, f32, 4, x.i32[k])
UNARY(F32X4_CONVERT_I32X4_U, f32, 4, x.u32[k])
UNARY(F64X2_CONVERT_LOW_I32X4_S, f64, 2, x.i32[k])
UNARY(F64X2_CONVERT_LOW_I32X4_U, f64, 2, x.u32[k])
UNARY(F32X4_DEMOTE_F64X2_ZERO, f32, 2, x.f64[k])
UNARY(F64X2_PROMOTE_LOW_F32X4, f64, 2, x.f32[k])

/* ---- other shapes ---- */

static void put64(uint8_t *s, uint64_t v)
{
	memcpy(s, &v, sizeof(v));
}

static uint64_t get64(const uint8_t *s)
{
	uint64_t v;

	memcpy(&v, s, sizeof(v));
	return v;
}

void wasm_bitselect(OPARGS)
{
	union vec a = load(s), b = load(s + 16), m = load(s + 32);

	for (unsigned k = 0; k < 2; k++)
		a.u64[k] = (a.u64[k] & m.u64[k]) | (b.u64[k] & ~m.u64[k]);
	store(s, a);
}

void wasm_any_true(OPARGS)
{
	put64(s, (get64(s) | get64(s + 8)) != 0);
}

void wasm_shuffle(OPARGS)
{
	union vec a = load(s), b = load(s + 16), r;

	for (unsigned k = 0; k < 16; k++) {
		unsigned lane = (unsigned)((k < 8 ? imm >> (8 * k) : imm2 >> (8 * (k - 8))) & 31);

		r.u8[k] = lane < 16 ? a.u8[lane] : b.u8[lane - 16];
	}
	store(s, r);
}

void wasm_relaxed_dot_add(OPARGS)
{
	union vec a = load(s), b = load(s + 16), r = load(s + 32);

	for (unsigned k = 0; k < 4; k++)
		for (unsigned j = 4 * k; j < 4 * k + 4; j++)
			r.u32[k] += (uint32_t)(a.i8[j] * b.i8[j]);
	store(s, r);
}

#define MADD(name, field, n, sign)                                                                                     \
	void wasm_##name(OPARGS)                                                                                       \
	{                                                                                                              \
		union vec a = load(s), b = load(s + 16), c = load(s + 32);                                             \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			a.field[k] = sign(a.field[k] * b.field[k]) + c.field[k];                                       \
		store(s, a);                                                                                           \
	}
MADD(madd32, f32, 4, +)
MADD(nmadd32, f32, 4, -)
MADD(madd64, f64, 2, +)
MADD(nmadd64, f64, 2, -)

#define LANES(bits, n, stype)                                                                                          \
	void wasm_all_true##bits(OPARGS)                                                                               \
	{                                                                                                              \
		union vec x = load(s);                                                                                 \
		uint64_t all = 1;                                                                                      \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			all &= x.u##bits[k] != 0;                                                                      \
		put64(s, all);                                                                                         \
	}                                                                                                              \
	void wasm_bitmask##bits(OPARGS)                                                                                \
	{                                                                                                              \
		union vec x = load(s);                                                                                 \
		uint64_t mask = 0;                                                                                     \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			mask |= (uint64_t)(x.i##bits[k] < 0) << k;                                                     \
		put64(s, mask);                                                                                        \
	}                                                                                                              \
	void wasm_shl##bits(OPARGS)                                                                                    \
	{                                                                                                              \
		union vec x = load(s);                                                                                 \
		unsigned by = (unsigned)get64(s + 16) & ((bits)-1);                                                    \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			x.u##bits[k] = (__typeof__(x.u##bits[0]))((uint64_t)x.u##bits[k] << by);                       \
		store(s, x);                                                                                           \
	}                                                                                                              \
	void wasm_shr_s##bits(OPARGS)                                                                                  \
	{                                                                                                              \
		union vec x = load(s);                                                                                 \
		unsigned by = (unsigned)get64(s + 16) & ((bits)-1);                                                    \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			x.i##bits[k] = (stype)(x.i##bits[k] >> by);                                                    \
		store(s, x);                                                                                           \
	}                                                                                                              \
	void wasm_shr_u##bits(OPARGS)                                                                                  \
	{                                                                                                              \
		union vec x = load(s);                                                                                 \
		unsigned by = (unsigned)get64(s + 16) & ((bits)-1);                                                    \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			x.u##bits[k] = (__typeof__(x.u##bits[0]))(x.u##bits[k] >> by);                                 \
		store(s, x);                                                                                           \
	}                                                                                                              \
	void wasm_splat##bits(OPARGS)                                                                                  \
	{                                                                                                              \
		union vec r;                                                                                           \
		uint64_t v = get64(s);                                                                                 \
		for (unsigned k = 0; k < (n); k++)                                                                     \
			r.u##bits[k] = (__typeof__(r.u##bits[0]))v;                                                    \
		store(s, r);                                                                                           \
	}                                                                                                              \
	void wasm_replace##bits(OPARGS)                                                                                \
	{                                                                                                              \
		union vec x = load(s);                                                                                 \
		x.u##bits[imm & ((n)-1)] = (__typeof__(x.u##bits[0]))get64(s + 16);                                    \
		store(s, x);                                                                                           \
	}                                                                                                              \
	void wasm_extract_u##bits(OPARGS)                                                                              \
	{                                                                                                              \
		union vec x = load(s);                                                                                 \
		put64(s, x.u##bits[imm & ((n)-1)]);                                                                    \
	}
LANES(8, 16, int8_t)
LANES(16, 8, int16_t)
LANES(32, 4, int32_t)
LANES(64, 2, int64_t)

void wasm_extract_s8(OPARGS)
{
	put64(s, (uint32_t)load(s).i8[imm & 15]);
}

void wasm_extract_s16(OPARGS)
{
	put64(s, (uint32_t)load(s).i16[imm & 7]);
}
