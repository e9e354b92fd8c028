/* v128 constants: a shape and its lanes. */
#include <string.h>

#include "wasm/text/parser.h"
#include "wasm/text/text.h"

static const struct shape {
	const char *word;
	unsigned lanes, bits;
	bool is_float;
} shapes[] = {
	{ "i8x16", 16, 8, false }, { "i16x8", 8, 16, false }, { "i32x4", 4, 32, false },
	{ "i64x2", 2, 64, false }, { "f32x4", 4, 32, true },  { "f64x2", 2, 64, true },
};

static int parse_lane(const struct wat_text *t, uint32_t index, const struct shape *shape, uint64_t *ret, struct error *err)
{
	uint32_t f32;

	if (!shape->is_float)
		return wat_integer(t, index, shape->bits, ret, err);
	if (shape->bits == 64)
		return wat_f64(t, index, ret, err);
	TRY(wat_f32(t, index, &f32, err));
	*ret = f32;
	return 0;
}

int wat_v128(const struct wat_text *t, uint32_t *index, uint8_t ret[16], struct error *err)
{
	const struct shape *shape = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
		if (wat_is(t, *index, shapes[i].word))
			shape = &shapes[i];
	if (!shape)
		return wat_fail(t, *index, err, "unexpected token (unknown operator): the shape of a vector is expected");
	++*index;
	for (unsigned i = 0; i < shape->lanes; i++) {
		uint64_t v;

		if (t->tokens[*index].kind != WAT_ATOM)
			return wat_fail(t, *index, err, "wrong number of lane literals");
		TRY(parse_lane(t, *index, shape, &v, err));
		memcpy(ret + i * shape->bits / 8, &v, shape->bits / 8);
		++*index;
	}
	return 0;
}

int wat_parse_v128(struct wat_parser *p, uint8_t ret[16])
{
	return wat_v128(p->t, &p->p, ret, p->err);
}
