#include <inttypes.h>
#include <string.h>

#include "wasm/reader.h"
#include "wasm/wast/script.h"

/* Host references are numbered by the script; the number, plus one, stands in for the host's pointer. */
static wasm_ref_bits host_ref(struct script *s, uint64_t n)
{
	return wasm_host_ref(s->store, (void *)(uintptr_t)(n + 1));
}

static bool is_host_ref(wasm_ref_bits ref, uint64_t n)
{
	const struct wasm_object *o = (const struct wasm_object *)(uintptr_t)ref;

	return ref && !(ref & 1) && o->kind == WASM_OBJECT_HOST && o->host == (void *)(uintptr_t)(n + 1);
}

int wast_value(struct script *s, uint32_t *index, union wasm_value *ret, wasm_type *ret_type)
{
	const struct wat_text *t = s->t;
	uint32_t i = *index;
	int r = 0;

	*ret = (union wasm_value){ 0 };
	if (wat_opens(t, i, "i32.const")) {
		*ret_type = WASM_I32;
		r = wat_integer(t, i + 2, 32, &ret->bits[0], &s->err);
		ret->bits[0] = (uint32_t)ret->bits[0];
	} else if (wat_opens(t, i, "i64.const")) {
		*ret_type = WASM_I64;
		r = wat_integer(t, i + 2, 64, &ret->bits[0], &s->err);
	} else if (wat_opens(t, i, "f32.const")) {
		uint32_t bits = 0;

		*ret_type = WASM_F32;
		r = wat_f32(t, i + 2, &bits, &s->err);
		ret->bits[0] = bits;
	} else if (wat_opens(t, i, "f64.const")) {
		*ret_type = WASM_F64;
		r = wat_f64(t, i + 2, &ret->bits[0], &s->err);
	} else if (wat_opens(t, i, "v128.const")) {
		uint32_t p = i + 2;

		*ret_type = WASM_V128;
		r = wat_v128(t, &p, ret->v128, &s->err);
	} else if (wat_opens(t, i, "ref.null")) {
		*ret_type = WASM_EXTERNREF;
	} else if (wat_opens(t, i, "ref.extern") || wat_opens(t, i, "ref.host")) {
		uint64_t n = 0;

		*ret_type = WASM_EXTERNREF;
		r = wat_unsigned(t, i + 2, UINT32_MAX, &n, &s->err);
		ret->ref = host_ref(s, n);
	} else {
		return wat_fail(t, i, &s->err, "a value is expected");
	}
	*index = wat_skip(t, i);
	return r;
}

/* ---- expectations ---- */

static bool nan32(uint32_t bits, bool canonical)
{
	return canonical ? (bits & 0x7fffffff) == 0x7fc00000 : (bits & 0x7fc00000) == 0x7fc00000;
}

static bool nan64(uint64_t bits, bool canonical)
{
	return canonical ? (bits & ~(1ull << 63)) == 0x7ff8000000000000 : (bits & 0x7ff8000000000000) == 0x7ff8000000000000;
}

static bool lane_matches(struct script *s, uint32_t index, const uint8_t *p, unsigned bits, bool is_float)
{
	uint64_t want = 0, got = 0;
	uint32_t want32 = 0;

	memcpy(&got, p, bits / 8);
	if (is_float && (wat_is(s->t, index, "nan:canonical") || wat_is(s->t, index, "nan:arithmetic"))) {
		bool canonical = wat_is(s->t, index, "nan:canonical");

		return bits == 32 ? nan32((uint32_t)got, canonical) : nan64(got, canonical);
	}
	if (!is_float) {
		uint64_t mask = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;

		return wat_integer(s->t, index, bits, &want, &s->err) >= 0 && (want & mask) == got;
	}
	if (bits == 64)
		return wat_f64(s->t, index, &want, &s->err) >= 0 && want == got;
	return wat_f32(s->t, index, &want32, &s->err) >= 0 && want32 == got;
}

static bool vector_matches(struct script *s, uint32_t index, const uint8_t *v)
{
	static const struct {
		const char *shape;
		unsigned lanes, bits;
		bool is_float;
	} shapes[] = {
		{ "i8x16", 16, 8, false }, { "i16x8", 8, 16, false }, { "i32x4", 4, 32, false },
		{ "i64x2", 2, 64, false }, { "f32x4", 4, 32, true },  { "f64x2", 2, 64, true },
	};

	for (size_t k = 0; k < ARRAY_SIZE(shapes); k++) {
		if (!wat_is(s->t, index, shapes[k].shape))
			continue;
		for (unsigned i = 0; i < shapes[k].lanes; i++)
			if (!lane_matches(s, index + 1 + i, v + i * shapes[k].bits / 8, shapes[k].bits, shapes[k].is_float))
				return false;
		return true;
	}
	return false;
}

static bool ref_matches(struct script *s, uint32_t index, wasm_ref_bits ref, wasm_type type)
{
	static const struct {
		const char *word;
		wasm_heap heap;
	} kinds[] = {
		{ "ref.any", WASM_HEAP_ANY },	    { "ref.eq", WASM_HEAP_EQ },	      { "ref.i31", WASM_HEAP_I31 },
		{ "ref.struct", WASM_HEAP_STRUCT }, { "ref.array", WASM_HEAP_ARRAY }, { "ref.func", WASM_HEAP_FUNC },
		{ "ref.exn", WASM_HEAP_EXN },
	};
	uint64_t n = 0;

	if (!wasm_is_ref(type))
		return false;
	if (wat_opens(s->t, index, "ref.null"))
		return ref == 0;
	if (wat_opens(s->t, index, "ref.extern") || wat_opens(s->t, index, "ref.host")) {
		if (s->t->tokens[index + 2].kind == WAT_RPAREN)
			return ref != 0;
		return wat_unsigned(s->t, index + 2, UINT32_MAX, &n, &s->err) >= 0 && is_host_ref(ref, n);
	}
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		if (wat_opens(s->t, index, kinds[k].word))
			return wasm_heap_top(wasm_heap_of(type)) == wasm_heap_top(kinds[k].heap) &&
			       wasm_ref_matches(ref, wasm_ref(false, kinds[k].heap));
	return false;
}

bool wast_matches(struct script *s, uint32_t index, union wasm_value value, wasm_type type)
{
	const struct wat_text *t = s->t;

	if (wat_opens(t, index, "either")) {
		for (uint32_t i = index + 2; t->tokens[i].kind == WAT_LPAREN; i = wat_skip(t, i))
			if (wast_matches(s, i, value, type))
				return true;
		return false;
	}
	if (wat_opens(t, index, "i32.const"))
		return type == WASM_I32 && lane_matches(s, index + 2, value.v128, 32, false);
	if (wat_opens(t, index, "i64.const"))
		return type == WASM_I64 && lane_matches(s, index + 2, value.v128, 64, false);
	if (wat_opens(t, index, "f32.const"))
		return type == WASM_F32 && lane_matches(s, index + 2, value.v128, 32, true);
	if (wat_opens(t, index, "f64.const"))
		return type == WASM_F64 && lane_matches(s, index + 2, value.v128, 64, true);
	if (wat_opens(t, index, "v128.const"))
		return type == WASM_V128 && vector_matches(s, index + 2, value.v128);
	return ref_matches(s, index, value.ref, type);
}

void wast_describe(union wasm_value v, wasm_type type, char *out, size_t size)
{
	if (type == WASM_V128)
		snprintf(out, size, "v128 0x%016" PRIx64 "%016" PRIx64, v.bits[1], v.bits[0]);
	else if (type == WASM_F32)
		snprintf(out, size, "f32 %.9g (0x%08" PRIx32 ")", (double)v.f32, (uint32_t)v.i32);
	else if (type == WASM_F64)
		snprintf(out, size, "f64 %.17g (0x%016" PRIx64 ")", v.f64, v.bits[0]);
	else if (type == WASM_I32)
		snprintf(out, size, "i32 %" PRId32 " (0x%" PRIx32 ")", v.i32, (uint32_t)v.i32);
	else
		snprintf(out, size, "%s 0x%" PRIx64, wasm_type_name(type), v.bits[0]);
}
