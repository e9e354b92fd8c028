#include <string.h>

#include "wasm/text/parser.h"

struct word {
	const char *word;
	uint8_t byte;
};

static const struct word heap_words[] = {
	{ "func", 0x70 },   { "extern", 0x6f }, { "any", 0x6e },    { "eq", 0x6d },       { "i31", 0x6c },
	{ "struct", 0x6b }, { "array", 0x6a },  { "exn", 0x69 },    { "none", 0x71 },     { "nofunc", 0x73 },
	{ "noextern", 0x72 }, { "noexn", 0x74 },
};

static const struct word ref_words[] = {
	{ "funcref", 0x70 },   { "externref", 0x6f }, { "anyref", 0x6e },  { "eqref", 0x6d },       { "i31ref", 0x6c },
	{ "structref", 0x6b }, { "arrayref", 0x6a },  { "exnref", 0x69 },  { "nullref", 0x71 },     { "nullfuncref", 0x73 },
	{ "nullexternref", 0x72 }, { "nullexnref", 0x74 },
};

static const struct word number_words[] = {
	{ "i32", 0x7f }, { "i64", 0x7e }, { "f32", 0x7d }, { "f64", 0x7c }, { "v128", 0x7b },
};

static const struct word packed_words[] = { { "i8", 0x78 }, { "i16", 0x77 } };

/* Emits the byte of the word at the cursor, if it is one of the list's. */
static bool take_word(struct wat_parser *p, const struct word *words, size_t n, struct strbuf *out)
{
	for (size_t i = 0; i < n; i++) {
		if (!wat_is(p->t, p->p, words[i].word))
			continue;
		strbuf_addc(out, (char)words[i].byte);
		p->p++;
		return true;
	}
	return false;
}

int wat_parse_heaptype(struct wat_parser *p, struct strbuf *out)
{
	uint32_t index;

	if (take_word(p, heap_words, ARRAY_SIZE(heap_words), out))
		return 0;
	TRY(wat_parse_index(p, &p->names[WAT_TYPES], "type", &index));
	wat_emit_s64(out, index);
	return 0;
}

int wat_at_reftype(const struct wat_parser *p)
{
	if (wat_opens(p->t, p->p, "ref"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(ref_words); i++)
		if (wat_is(p->t, p->p, ref_words[i].word))
			return true;
	return false;
}

int wat_parse_reftype(struct wat_parser *p, struct strbuf *out)
{
	if (take_word(p, ref_words, ARRAY_SIZE(ref_words), out))
		return 0;
	if (!wat_opens(p->t, p->p, "ref"))
		return WAT_FAIL(p, "unexpected token: a reference type is expected");
	p->p += 2;
	if (wat_is(p->t, p->p, "null")) {
		p->p++;
		strbuf_addc(out, 0x63);
	} else {
		strbuf_addc(out, 0x64);
	}
	TRY(wat_parse_heaptype(p, out));
	return wat_expect(p, WAT_RPAREN);
}

int wat_parse_valtype(struct wat_parser *p, struct strbuf *out)
{
	if (take_word(p, number_words, ARRAY_SIZE(number_words), out))
		return 0;
	if (!wat_at_reftype(p))
		return WAT_FAIL(p, "unexpected token: a value type is expected");
	return wat_parse_reftype(p, out);
}

static int parse_fieldtype(struct wat_parser *p, struct strbuf *out)
{
	bool mutable = wat_opens(p->t, p->p, "mut");

	if (mutable)
		p->p += 2;
	if (!take_word(p, packed_words, ARRAY_SIZE(packed_words), out))
		TRY(wat_parse_valtype(p, out));
	strbuf_addc(out, mutable);
	return mutable ? wat_expect(p, WAT_RPAREN) : 0;
}

/* "(param $x t)", "(param t*)" and so on, for WORD. Counts them into *N. */
static int parse_typed_list(struct wat_parser *p, const char *word, struct wat_names *names, struct strbuf *out, uint32_t *n)
{
	while (wat_opens(p->t, p->p, word)) {
		p->p += 2;
		if (p->t->tokens[p->p].kind == WAT_ID) {
			if (!names)
				return WAT_FAIL(p, "unexpected token: no identifier may stand here");
			TRY(wat_names_add(p, names, p->p, names->n, "local"));
			p->p++;
			TRY(wat_parse_valtype(p, out));
			names->n++;
			++*n;
		} else {
			while (p->t->tokens[p->p].kind != WAT_RPAREN) {
				TRY(wat_parse_valtype(p, out));
				if (names)
					names->n++;
				++*n;
			}
		}
		TRY(wat_expect(p, WAT_RPAREN));
	}
	return 0;
}

static int parse_signature(struct wat_parser *p, struct wat_names *locals, struct wat_type *type)
{
	uint32_t n_results = 0;

	TRY(parse_typed_list(p, "param", locals, &type->params, &type->n_params));
	TRY(parse_typed_list(p, "result", NULL, &type->results, &n_results));
	if (wat_opens(p->t, p->p, "param"))
		return WAT_FAIL(p, "unexpected token: param after result");
	/* the count goes in front when the type is emitted */
	if (n_results > UINT32_MAX / 2 || strbuf_failed(&type->params) || strbuf_failed(&type->results))
		return error_oom(p->err);
	return (int)MIN(n_results, 1u << 20);
}

static struct wat_type *add_type(struct wat_parser *p)
{
	if (p->n_types == p->cap_types) {
		uint32_t cap = p->cap_types ? p->cap_types * 2 : 32;
		struct wat_type *v = realloc(p->types, cap * sizeof(*v));

		if (!v)
			return NULL;
		p->types = v;
		p->cap_types = cap;
	}
	p->types[p->n_types] = (struct wat_type){ 0 };
	return &p->types[p->n_types++];
}

static void emit_func_type(struct strbuf *out, const struct wat_type *t, uint32_t n_results)
{
	strbuf_addc(out, 0x60);
	wat_emit_u32(out, t->n_params);
	strbuf_add(out, t->params.data, t->params.len);
	wat_emit_u32(out, n_results);
	strbuf_add(out, t->results.data, t->results.len);
}

static int parse_struct(struct wat_parser *p, struct wat_type *type, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf fields = STRBUF_INIT;
	struct wat_names names = { 0 };
	int r = 0;

	while (r >= 0 && wat_opens(p->t, p->p, "field")) {
		p->p += 2;
		if (p->t->tokens[p->p].kind == WAT_ID) {
			r = wat_names_add(p, &names, p->p++, names.n, "field");
			if (r >= 0)
				r = parse_fieldtype(p, &fields);
			names.n++;
		} else {
			while (r >= 0 && p->t->tokens[p->p].kind != WAT_RPAREN) {
				r = parse_fieldtype(p, &fields);
				names.n++;
			}
		}
		if (r >= 0)
			r = wat_expect(p, WAT_RPAREN);
	}
	type->fields = names;
	strbuf_addc(out, 0x5f);
	wat_emit_u32(out, names.n);
	strbuf_add(out, fields.data, fields.len);
	return r;
}

static int parse_composite(struct wat_parser *p, uint32_t index, struct strbuf *out)
{
	struct wat_type *type = &p->types[index];

	TRY(wat_expect(p, WAT_LPAREN));
	if (wat_is(p->t, p->p, "func")) {
		struct wat_names ignored = { 0 };
		int n;

		p->p++;
		type->kind = WASM_TYPEDEF_FUNC;
		n = parse_signature(p, &ignored, type);
		wat_names_free(&ignored);
		if (n < 0)
			return n;
		emit_func_type(out, type, (uint32_t)n);
	} else if (wat_is(p->t, p->p, "struct")) {
		p->p++;
		type->kind = WASM_TYPEDEF_STRUCT;
		TRY(parse_struct(p, type, out));
	} else if (wat_is(p->t, p->p, "array")) {
		p->p++;
		type->kind = WASM_TYPEDEF_ARRAY;
		strbuf_addc(out, 0x5e);
		TRY(parse_fieldtype(p, out));
	} else {
		return WAT_FAIL(p, "unexpected token: func, struct or array is expected");
	}
	return wat_expect(p, WAT_RPAREN);
}

static int parse_subtype(struct wat_parser *p, uint32_t index, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf supers = STRBUF_INIT;
	uint32_t n = 0;
	bool final;

	if (!wat_opens(p->t, p->p, "sub")) {
		p->types[index].plain = true;
		return parse_composite(p, index, out);
	}
	p->p += 2;
	final = wat_is(p->t, p->p, "final");
	p->p += final;
	while (wat_at_index(p)) {
		uint32_t super;

		TRY(wat_parse_index(p, &p->names[WAT_TYPES], "type", &super));
		wat_emit_u32(&supers, super);
		n++;
	}
	strbuf_addc(out, final ? 0x4f : 0x50);
	wat_emit_u32(out, n);
	strbuf_add(out, supers.data, supers.len);
	p->types[index].plain = final && n == 0;
	TRY(parse_composite(p, index, out));
	return wat_expect(p, WAT_RPAREN);
}

static int parse_typedef(struct wat_parser *p, struct strbuf *out)
{
	TRY(wat_expect(p, WAT_LPAREN));
	TRY(wat_expect_word(p, "type"));
	if (p->t->tokens[p->p].kind == WAT_ID)
		p->p++; /* known since the first pass */
	if (!add_type(p))
		return error_oom(p->err);
	TRY(parse_subtype(p, p->n_types - 1, out));
	return wat_expect(p, WAT_RPAREN);
}

int wat_parse_type_field(struct wat_parser *p)
{
	_cleanup_strbuf_ struct strbuf group = STRBUF_INIT;
	uint32_t first = p->n_types;

	p->type.n++;
	if (!wat_opens(p->t, p->p, "rec"))
		return parse_typedef(p, &p->type.data);
	p->p += 2;
	while (p->t->tokens[p->p].kind == WAT_LPAREN)
		TRY(parse_typedef(p, &group));
	TRY(wat_expect(p, WAT_RPAREN));
	if (p->n_types - first > 1)
		for (uint32_t i = first; i < p->n_types; i++)
			p->types[i].plain = false;
	strbuf_addc(&p->type.data, 0x4e);
	wat_emit_u32(&p->type.data, p->n_types - first);
	strbuf_add(&p->type.data, group.data, group.len);
	return strbuf_failed(&group) ? error_oom(p->err) : 0;
}

static bool same_bytes(const struct strbuf *a, const struct strbuf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool same_signature(const struct wat_type *a, const struct wat_type *b)
{
	return a->kind == WASM_TYPEDEF_FUNC && same_bytes(&a->params, &b->params) && same_bytes(&a->results, &b->results);
}

/* Finds the type of an inline signature, or appends it behind all the others. Takes SIG's buffers. */
static int find_or_add(struct wat_parser *p, struct wat_type *sig, uint32_t n_results, uint32_t *ret)
{
	struct wat_type *t;

	for (uint32_t i = 0; i < p->n_types; i++) {
		if (p->types[i].plain && same_signature(&p->types[i], sig)) {
			*ret = i;
			return 0;
		}
	}
	t = add_type(p);
	if (!t)
		return error_oom(p->err);
	*t = *sig;
	*sig = (struct wat_type){ 0 };
	t->kind = WASM_TYPEDEF_FUNC;
	t->plain = true;
	emit_func_type(&p->type.data, t, n_results);
	p->type.n++;
	*ret = p->n_types - 1;
	return 0;
}

static void cleanup_type(struct wat_type *t)
{
	strbuf_free(&t->params);
	strbuf_free(&t->results);
	wat_names_free(&t->fields);
}

int wat_parse_typeuse(struct wat_parser *p, struct wat_names *locals, uint32_t *ret)
{
	_cleanup_(cleanup_type) struct wat_type sig = { .kind = WASM_TYPEDEF_FUNC };
	uint32_t start, index = 0;
	bool explicit = wat_opens(p->t, p->p, "type");
	int n;

	if (explicit) {
		p->p += 2;
		TRY(wat_parse_index(p, &p->names[WAT_TYPES], "type", &index));
		TRY(wat_expect(p, WAT_RPAREN));
	}
	start = p->p;
	n = parse_signature(p, locals, &sig);
	if (n < 0)
		return n;
	if (!explicit)
		return find_or_add(p, &sig, (uint32_t)n, ret);
	if (p->p != start) {
		if (index >= p->n_types)
			return WAT_FAIL(p, "unknown type %u", index);
		if (!same_signature(&p->types[index], &sig))
			return WAT_FAIL(p, "inline function type differs from type %u", index);
	} else if (locals && index < p->n_types) {
		locals->n += p->types[index].n_params;
	}
	*ret = index;
	return 0;
}

int wat_parse_blocktype(struct wat_parser *p, struct strbuf *out)
{
	uint32_t start = p->p, index;

	if (!wat_opens(p->t, p->p, "type") && !wat_opens(p->t, p->p, "param")) {
		_cleanup_strbuf_ struct strbuf results = STRBUF_INIT;
		uint32_t n = 0;

		TRY(parse_typed_list(p, "result", NULL, &results, &n));
		if (wat_opens(p->t, p->p, "param"))
			return WAT_FAIL(p, "unexpected token: param after result");
		if (n == 0)
			strbuf_addc(out, 0x40);
		else if (n == 1)
			strbuf_add(out, results.data, results.len);
		if (n < 2)
			return strbuf_failed(&results) ? error_oom(p->err) : 0;
		p->p = start;
	}
	TRY(wat_parse_typeuse(p, NULL, &index));
	wat_emit_s64(out, index);
	return 0;
}
