/* Modules (core specification 3.0, 6.6): identifiers first, then types, then everything in the order of the text. */
#include <string.h>

#include "wasm/reader.h"
#include "wasm/text/parser.h"
#include "wasm/text/text.h"

/* ---- first pass: identifiers ---- */

static const struct {
	const char *word;
	enum wat_space space;
	const char *what;
} spaces[] = {
	{ "func", WAT_FUNCS, "func" },       { "table", WAT_TABLES, "table" }, { "memory", WAT_MEMORIES, "memory" },
	{ "global", WAT_GLOBALS, "global" }, { "tag", WAT_TAGS, "tag" },       { "elem", WAT_ELEMS, "elem" },
	{ "data", WAT_DATAS, "data" },       { "type", WAT_TYPES, "type" },
};

static int space_of(const struct wat_parser *p, uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(spaces); i++)
		if (wat_is(p->t, index, spaces[i].word))
			return (int)i;
	return -1;
}

/* "(word $id? ..." at INDEX, of a kind that has an index space. */
static int collect(struct wat_parser *p, uint32_t index)
{
	int kind = space_of(p, index + 1);
	struct wat_names *names;

	if (kind < 0)
		return wat_fail(p->t, index + 1, p->err, "unexpected token");
	names = &p->names[spaces[kind].space];
	if (p->t->tokens[index + 2].kind == WAT_ID)
		TRY(wat_names_add(p, names, index + 2, names->n, spaces[kind].what));
	names->n++;
	return kind;
}

static bool is_importable(enum wat_space space)
{
	return space >= WAT_FUNCS && space <= WAT_TAGS;
}

/* The index after the identifier and the inline exports of the definition at INDEX. */
static uint32_t skip_exports(const struct wat_parser *p, uint32_t index)
{
	index += 2;
	if (p->t->tokens[index].kind == WAT_ID)
		index++;
	while (wat_opens(p->t, index, "export"))
		index = wat_skip(p->t, index);
	return index;
}

/* Whether a table has inline elements, a memory inline data. */
static bool has_inline_segment(const struct wat_parser *p, uint32_t index, const char *word)
{
	uint32_t end = wat_skip(p->t, index);

	for (uint32_t i = skip_exports(p, index); i + 1 < end; i = wat_skip(p->t, i))
		if (wat_opens(p->t, i, word))
			return true;
	return false;
}

static int collect_definition(struct wat_parser *p, uint32_t index, bool *defined)
{
	int kind = collect(p, index);
	enum wat_space space;

	if (kind < 0)
		return kind;
	space = spaces[kind].space;
	if (!is_importable(space))
		return 0;
	if (wat_opens(p->t, skip_exports(p, index), "import")) {
		if (*defined)
			return wat_fail(p->t, index, p->err, "import after %s: imports must come first", "a definition");
	} else {
		*defined = true;
	}
	if (space == WAT_TABLES && has_inline_segment(p, index, "elem"))
		p->names[WAT_ELEMS].n++;
	if (space == WAT_MEMORIES && has_inline_segment(p, index, "data"))
		p->names[WAT_DATAS].n++;
	return 0;
}

static int collect_import(struct wat_parser *p, uint32_t index, bool defined)
{
	int kind;

	if (defined)
		return wat_fail(p->t, index, p->err, "import after %s: imports must come first", "a definition");
	if (p->t->tokens[index + 2].kind != WAT_STRING || p->t->tokens[index + 3].kind != WAT_STRING ||
	    p->t->tokens[index + 4].kind != WAT_LPAREN)
		return wat_fail(p->t, index + 2, p->err, "unexpected token: (import \"module\" \"name\" (...)) is expected");
	kind = space_of(p, index + 5);
	if (kind < 0 || !is_importable(spaces[kind].space))
		return wat_fail(p->t, index + 5, p->err, "unexpected token: this cannot be imported");
	return collect(p, index + 4);
}

static int collect_rec(struct wat_parser *p, uint32_t index)
{
	uint32_t end = wat_skip(p->t, index);

	for (uint32_t i = index + 2; i + 1 < end; i = wat_skip(p->t, i)) {
		if (!wat_opens(p->t, i, "type"))
			return wat_fail(p->t, i, p->err, "unexpected token: rec holds types");
		TRY(collect(p, i));
	}
	return 0;
}

static bool at_end(const struct wat_parser *p, uint32_t index)
{
	return p->t->tokens[index].kind == WAT_RPAREN || p->t->tokens[index].kind == WAT_END;
}

static int collect_all(struct wat_parser *p, uint32_t first)
{
	bool defined = false;

	for (uint32_t i = first; !at_end(p, i); i = wat_skip(p->t, i)) {
		if (p->t->tokens[i].kind != WAT_LPAREN)
			return wat_fail(p->t, i, p->err, "unexpected token");
		if (wat_opens(p->t, i, "rec"))
			TRY(collect_rec(p, i));
		else if (wat_opens(p->t, i, "import"))
			TRY(collect_import(p, i, defined));
		else if (!wat_opens(p->t, i, "export") && !wat_opens(p->t, i, "start"))
			TRY(collect_definition(p, i, &defined));
	}
	return 0;
}

static int parse_types(struct wat_parser *p, uint32_t first)
{
	for (uint32_t i = first; !at_end(p, i); i = wat_skip(p->t, i)) {
		if (!wat_opens(p->t, i, "rec") && !wat_opens(p->t, i, "type"))
			continue;
		p->p = i;
		TRY(wat_parse_type_field(p));
	}
	return 0;
}

/* ---- parts of definitions ---- */

static int emit_name(struct wat_parser *p, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf name = STRBUF_INIT;

	TRY(wat_string(p->t, p->p, &name, p->err));
	if (!wasm_utf8_valid((const uint8_t *)strbuf_str(&name), name.len))
		return WAT_FAIL(p, "malformed UTF-8 encoding");
	p->p++;
	wat_emit_bytes(out, &name);
	return 0;
}

static int parse_limits(struct wat_parser *p, bool memory, struct strbuf *out, bool *ret_is64)
{
	bool is64 = wat_is(p->t, p->p, "i64"), has_max, shared = false;
	uint64_t min, max = 0; /* what is too much for the address type is invalid, not malformed: the decoder says so */

	if (is64 || wat_is(p->t, p->p, "i32"))
		p->p++;
	TRY(wat_unsigned(p->t, p->p, UINT64_MAX, &min, p->err));
	p->p++;
	has_max = wat_is_index(p->t, p->p);
	if (has_max) {
		TRY(wat_unsigned(p->t, p->p, UINT64_MAX, &max, p->err));
		p->p++;
	}
	if (memory && wat_is(p->t, p->p, "shared")) {
		shared = true;
		p->p++;
	}
	strbuf_addc(out, (char)(has_max | shared << 1 | is64 << 2));
	wat_emit_u32(out, min);
	if (has_max)
		wat_emit_u32(out, max);
	if (ret_is64)
		*ret_is64 = is64;
	return 0;
}

static int parse_global_type(struct wat_parser *p, struct strbuf *out)
{
	bool mutable = wat_opens(p->t, p->p, "mut");

	if (mutable)
		p->p += 2;
	TRY(wat_parse_valtype(p, out));
	strbuf_addc(out, mutable);
	return mutable ? wat_expect(p, WAT_RPAREN) : 0;
}

static int parse_table_type(struct wat_parser *p, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf limits = STRBUF_INIT;

	TRY(parse_limits(p, false, &limits, NULL));
	TRY(wat_parse_reftype(p, out));
	strbuf_add(out, limits.data, limits.len);
	return 0;
}

/* What an import says of the thing it brings in, kind byte first. LOCALS as in wat_parse_typeuse(). */
static int parse_description(struct wat_parser *p, enum wat_space space, struct strbuf *out)
{
	struct wat_names ignored = { 0 };
	uint32_t type;
	int r;

	strbuf_addc(out, (char)(space - WAT_FUNCS));
	switch (space) {
	case WAT_TABLES:
		return parse_table_type(p, out);
	case WAT_MEMORIES:
		return parse_limits(p, true, out, NULL);
	case WAT_GLOBALS:
		return parse_global_type(p, out);
	default:
		if (space == WAT_TAGS)
			strbuf_addc(out, 0);
		r = wat_parse_typeuse(p, &ignored, &type);
		wat_names_free(&ignored);
		wat_emit_u32(out, type);
		return r;
	}
}

static int record_func_name(struct wat_parser *p, uint32_t token, uint32_t index)
{
	_cleanup_strbuf_ struct strbuf name = STRBUF_INIT;

	if (p->t->tokens[token].kind != WAT_ID)
		return 0;
	TRY(wat_identifier(p->t, token, &name, p->err));
	wat_emit_u32(&p->func_names.data, index);
	wat_emit_bytes(&p->func_names.data, &name);
	p->func_names.n++;
	return 0;
}

/* "(export "name")*" of a definition. */
static int parse_inline_exports(struct wat_parser *p, enum wat_space space, uint32_t index)
{
	while (wat_opens(p->t, p->p, "export")) {
		p->p += 2;
		TRY(emit_name(p, &p->export.data));
		strbuf_addc(&p->export.data, (char)(space - WAT_FUNCS));
		wat_emit_u32(&p->export.data, index);
		p->export.n++;
		TRY(wat_expect(p, WAT_RPAREN));
	}
	return 0;
}

/* "(import "module" "name")" of a definition, and the description that follows. 1: it was one. */
static int parse_inline_import(struct wat_parser *p, enum wat_space space)
{
	if (!wat_opens(p->t, p->p, "import"))
		return 0;
	p->p += 2;
	TRY(emit_name(p, &p->import.data));
	TRY(emit_name(p, &p->import.data));
	TRY(wat_expect(p, WAT_RPAREN));
	TRY(parse_description(p, space, &p->import.data));
	p->import.n++;
	return 1;
}

static int parse_const_expr(struct wat_parser *p, struct strbuf *out)
{
	TRY(wat_parse_instrs(p, out));
	strbuf_addc(out, 0x0b);
	return 0;
}

/* "(offset expr)", "(item expr)" or one folded instruction. */
static int parse_wrapped_expr(struct wat_parser *p, const char *word, struct strbuf *out)
{
	if (wat_opens(p->t, p->p, word)) {
		p->p += 2;
		TRY(parse_const_expr(p, out));
		return wat_expect(p, WAT_RPAREN);
	}
	TRY(wat_parse_folded(p, out));
	strbuf_addc(out, 0x0b);
	return 0;
}

/* ---- definitions ---- */

static int parse_locals(struct wat_parser *p, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf types = STRBUF_INIT;
	struct wat_names *names = &p->names[WAT_LOCALS];
	uint32_t n = 0;

	while (wat_opens(p->t, p->p, "local")) {
		bool named;

		p->p += 2;
		named = p->t->tokens[p->p].kind == WAT_ID;
		if (named)
			TRY(wat_names_add(p, names, p->p++, names->n, "local"));
		while (p->t->tokens[p->p].kind != WAT_RPAREN) {
			wat_emit_u32(&types, 1);
			TRY(wat_parse_valtype(p, &types));
			names->n++;
			n++;
			if (named)
				break;
		}
		TRY(wat_expect(p, WAT_RPAREN));
	}
	wat_emit_u32(out, n);
	strbuf_add(out, types.data, types.len);
	return strbuf_failed(&types) ? error_oom(p->err) : 0;
}

static int parse_func_body(struct wat_parser *p)
{
	_cleanup_strbuf_ struct strbuf body = STRBUF_INIT;
	uint32_t type;

	TRY(wat_parse_typeuse(p, &p->names[WAT_LOCALS], &type));
	wat_emit_u32(&p->func.data, type);
	p->func.n++;
	TRY(parse_locals(p, &body));
	TRY(wat_parse_instrs(p, &body));
	strbuf_addc(&body, 0x0b);
	if (strbuf_failed(&body))
		return error_oom(p->err);
	wat_emit_bytes(&p->code.data, &body);
	p->code.n++;
	return 0;
}

static int parse_func(struct wat_parser *p, uint32_t index)
{
	int r = parse_inline_import(p, WAT_FUNCS);

	(void)index;
	if (r != 0)
		return r;
	r = parse_func_body(p);
	wat_names_free(&p->names[WAT_LOCALS]);
	return r;
}

/* Elements of a segment: functions by index, or expressions. */
struct elements {
	bool exprs;
	uint32_t n;
	struct strbuf data;
};

static void cleanup_elements(struct elements *e)
{
	strbuf_free(&e->data);
}

static int parse_func_indices(struct wat_parser *p, struct elements *e)
{
	while (wat_at_index(p)) {
		uint32_t f;

		TRY(wat_parse_index(p, &p->names[WAT_FUNCS], "function", &f));
		if (e->exprs)
			strbuf_addc(&e->data, (char)0xd2); /* ref.func f end */
		wat_emit_u32(&e->data, f);
		if (e->exprs)
			strbuf_addc(&e->data, 0x0b);
		e->n++;
	}
	return 0;
}

static int parse_items(struct wat_parser *p, struct elements *e)
{
	e->exprs = true;
	while (p->t->tokens[p->p].kind == WAT_LPAREN) {
		TRY(parse_wrapped_expr(p, "item", &e->data));
		e->n++;
	}
	return 0;
}

static int parse_inline_elements(struct wat_parser *p, const struct strbuf *type, bool is64, uint32_t table)
{
	_cleanup_(cleanup_elements) struct elements e = { 0 };

	p->p += 2;
	e.exprs = type->len != 1 || type->data[0] != 0x70; /* indices alone make a segment of (ref func) */
	TRY(wat_at_index(p) || p->t->tokens[p->p].kind == WAT_RPAREN ? parse_func_indices(p, &e) : parse_items(p, &e));
	TRY(wat_expect(p, WAT_RPAREN));
	strbuf_add(&p->table.data, type->data, type->len);
	strbuf_addc(&p->table.data, (char)(1 | is64 << 2));
	wat_emit_u32(&p->table.data, e.n);
	wat_emit_u32(&p->table.data, e.n);
	p->table.n++;
	wat_emit_u32(&p->elem.data, e.exprs ? 6 : 2);
	wat_emit_u32(&p->elem.data, table);
	strbuf_addc(&p->elem.data, is64 ? 0x42 : 0x41);
	strbuf_addc(&p->elem.data, 0);
	strbuf_addc(&p->elem.data, 0x0b);
	if (e.exprs)
		strbuf_add(&p->elem.data, type->data, type->len);
	else
		strbuf_addc(&p->elem.data, 0);
	wat_emit_u32(&p->elem.data, e.n);
	strbuf_add(&p->elem.data, e.data.data, e.data.len);
	p->elem.n++;
	return strbuf_failed(&e.data) ? error_oom(p->err) : 0;
}

static int parse_table(struct wat_parser *p, uint32_t index)
{
	_cleanup_strbuf_ struct strbuf type = STRBUF_INIT;
	uint32_t word = p->p;
	bool is64;

	int r = parse_inline_import(p, WAT_TABLES);

	if (r != 0)
		return r;
	is64 = wat_is(p->t, p->p, "i64");
	if (is64 || wat_is(p->t, p->p, "i32"))
		word++;
	if (!wat_is_index(p->t, word)) {
		p->p = word;
		TRY(wat_parse_reftype(p, &type));
		if (!wat_opens(p->t, p->p, "elem"))
			return WAT_FAIL(p, "unexpected token: (elem ...) is expected");
		return parse_inline_elements(p, &type, is64, index);
	}
	TRY(parse_table_type(p, &type));
	p->table.n++;
	if (p->t->tokens[p->p].kind == WAT_RPAREN) {
		strbuf_add(&p->table.data, type.data, type.len);
		return 0;
	}
	strbuf_add(&p->table.data, "\x40", 2);
	strbuf_add(&p->table.data, type.data, type.len);
	return parse_const_expr(p, &p->table.data);
}

static int parse_strings(struct wat_parser *p, struct strbuf *out)
{
	while (p->t->tokens[p->p].kind == WAT_STRING)
		TRY(wat_string(p->t, p->p++, out, p->err));
	return strbuf_failed(out) ? error_oom(p->err) : 0;
}

static int parse_memory(struct wat_parser *p, uint32_t index)
{
	_cleanup_strbuf_ struct strbuf bytes = STRBUF_INIT;
	bool is64 = false;
	uint64_t pages;

	int r = parse_inline_import(p, WAT_MEMORIES);

	if (r != 0)
		return r;
	p->memory.n++;
	if (!wat_opens(p->t, p->p, "data") && !wat_opens(p->t, p->p + 1, "data"))
		return parse_limits(p, true, &p->memory.data, NULL);
	if (wat_is(p->t, p->p, "i64") || wat_is(p->t, p->p, "i32"))
		is64 = wat_is(p->t, p->p++, "i64");
	TRY(wat_expect(p, WAT_LPAREN));
	TRY(wat_expect_word(p, "data"));
	TRY(parse_strings(p, &bytes));
	TRY(wat_expect(p, WAT_RPAREN));
	pages = (bytes.len + 65535) / 65536;
	strbuf_addc(&p->memory.data, (char)(1 | is64 << 2));
	wat_emit_u32(&p->memory.data, pages);
	wat_emit_u32(&p->memory.data, pages);
	wat_emit_u32(&p->data.data, 2);
	wat_emit_u32(&p->data.data, index);
	strbuf_addc(&p->data.data, is64 ? 0x42 : 0x41);
	strbuf_addc(&p->data.data, 0);
	strbuf_addc(&p->data.data, 0x0b);
	wat_emit_bytes(&p->data.data, &bytes);
	p->data.n++;
	return 0;
}

static int parse_global(struct wat_parser *p, uint32_t index)
{
	int r = parse_inline_import(p, WAT_GLOBALS);

	(void)index;
	if (r != 0)
		return r;
	p->global.n++;
	TRY(parse_global_type(p, &p->global.data));
	return parse_const_expr(p, &p->global.data);
}

static int parse_tag(struct wat_parser *p, uint32_t index)
{
	struct wat_names ignored = { 0 };
	uint32_t type;
	int r = parse_inline_import(p, WAT_TAGS);

	(void)index;
	if (r != 0)
		return r;
	r = wat_parse_typeuse(p, &ignored, &type);
	wat_names_free(&ignored);
	if (r < 0)
		return r;
	p->tag.n++;
	strbuf_addc(&p->tag.data, 0);
	wat_emit_u32(&p->tag.data, type);
	return 0;
}

/* "(table x)" or "(memory x)", or the bare index of old texts. */
static int parse_use(struct wat_parser *p, const char *word, enum wat_space space, uint32_t *ret, bool *ret_given)
{
	*ret = 0;
	*ret_given = true;
	if (wat_at_index(p) && p->t->tokens[p->p + 1].kind == WAT_LPAREN)
		return wat_parse_index(p, &p->names[space], word, ret);
	if (wat_opens(p->t, p->p, word)) {
		p->p += 2;
		TRY(wat_parse_index(p, &p->names[space], word, ret));
		return wat_expect(p, WAT_RPAREN);
	}
	*ret_given = false;
	return 0;
}

static int parse_element_list(struct wat_parser *p, bool active, struct elements *e, struct strbuf *type)
{
	if (wat_is(p->t, p->p, "func")) {
		p->p++;
		return parse_func_indices(p, e);
	}
	if (wat_at_reftype(p)) {
		TRY(wat_parse_reftype(p, type));
		return parse_items(p, e);
	}
	if (active)
		return parse_func_indices(p, e);
	return WAT_FAIL(p, "unexpected token: an element list is expected");
}

static int parse_elem(struct wat_parser *p, uint32_t index)
{
	_cleanup_(cleanup_elements) struct elements e = { 0 };
	_cleanup_strbuf_ struct strbuf type = STRBUF_INIT, offset = STRBUF_INIT;
	bool declare = wat_is(p->t, p->p, "declare"), active = false, given = false, short_form;
	struct strbuf *out = &p->elem.data;
	uint32_t table = 0;

	(void)index;
	p->p += declare;
	if (!declare) {
		TRY(parse_use(p, "table", WAT_TABLES, &table, &given));
		active = given || wat_opens(p->t, p->p, "offset") ||
			 (p->t->tokens[p->p].kind == WAT_LPAREN && !wat_at_reftype(p));
		if (active)
			TRY(parse_wrapped_expr(p, "offset", &offset));
	}
	TRY(parse_element_list(p, active, &e, &type));
	if (strbuf_failed(&type) || strbuf_failed(&offset) || strbuf_failed(&e.data))
		return error_oom(p->err);
	short_form = active && table == 0 && (!e.exprs || (type.len == 1 && type.data[0] == 0x70));
	wat_emit_u32(out, (active ? short_form ? 0 : 2 : declare ? 3 : 1) | (e.exprs ? 4 : 0));
	if (active && !short_form)
		wat_emit_u32(out, table);
	strbuf_add(out, offset.data, offset.len);
	if (!short_form) {
		if (e.exprs)
			strbuf_add(out, type.data, type.len);
		else
			strbuf_addc(out, 0);
	}
	wat_emit_u32(out, e.n);
	strbuf_add(out, e.data.data, e.data.len);
	p->elem.n++;
	return 0;
}

static int parse_data(struct wat_parser *p, uint32_t index)
{
	_cleanup_strbuf_ struct strbuf bytes = STRBUF_INIT;
	struct strbuf *out = &p->data.data;
	uint32_t memory;
	bool given;

	(void)index;
	TRY(parse_use(p, "memory", WAT_MEMORIES, &memory, &given));
	if (given || p->t->tokens[p->p].kind == WAT_LPAREN) {
		wat_emit_u32(out, memory ? 2 : 0);
		if (memory)
			wat_emit_u32(out, memory);
		TRY(parse_wrapped_expr(p, "offset", out));
	} else {
		wat_emit_u32(out, 1);
	}
	TRY(parse_strings(p, &bytes));
	wat_emit_bytes(out, &bytes);
	p->data.n++;
	return 0;
}

static int parse_export(struct wat_parser *p)
{
	uint32_t index;
	int kind;

	TRY(emit_name(p, &p->export.data));
	TRY(wat_expect(p, WAT_LPAREN));
	kind = space_of(p, p->p);
	if (kind < 0 || !is_importable(spaces[kind].space))
		return WAT_FAIL(p, "unexpected token: this cannot be exported");
	p->p++;
	TRY(wat_parse_index(p, &p->names[spaces[kind].space], spaces[kind].what, &index));
	TRY(wat_expect(p, WAT_RPAREN));
	strbuf_addc(&p->export.data, (char)(spaces[kind].space - WAT_FUNCS));
	wat_emit_u32(&p->export.data, index);
	p->export.n++;
	return 0;
}

static int parse_import(struct wat_parser *p, uint32_t *next)
{
	enum wat_space space;

	TRY(emit_name(p, &p->import.data));
	TRY(emit_name(p, &p->import.data));
	TRY(wat_expect(p, WAT_LPAREN));
	space = spaces[space_of(p, p->p)].space; /* the first pass has looked */
	p->p++;
	if (space == WAT_FUNCS)
		TRY(record_func_name(p, p->p, next[space]));
	if (p->t->tokens[p->p].kind == WAT_ID)
		p->p++;
	TRY(parse_description(p, space, &p->import.data));
	TRY(wat_expect(p, WAT_RPAREN));
	p->import.n++;
	next[space]++;
	return 0;
}

static int parse_start(struct wat_parser *p)
{
	if (p->has_start)
		return WAT_FAIL(p, "multiple start sections");
	p->has_start = true;
	return wat_parse_index(p, &p->names[WAT_FUNCS], "function", &p->start);
}

static int parse_definition(struct wat_parser *p, uint32_t *next)
{
	static int (*const parsers[WAT_SPACES])(struct wat_parser *, uint32_t) = {
		[WAT_FUNCS] = parse_func,     [WAT_TABLES] = parse_table, [WAT_MEMORIES] = parse_memory,
		[WAT_GLOBALS] = parse_global, [WAT_TAGS] = parse_tag,     [WAT_ELEMS] = parse_elem,
		[WAT_DATAS] = parse_data,
	};
	enum wat_space space = spaces[space_of(p, p->p)].space;
	uint32_t index = next[space]++;

	p->p++;
	if (space == WAT_FUNCS)
		TRY(record_func_name(p, p->p, index));
	if (p->t->tokens[p->p].kind == WAT_ID)
		p->p++;
	if (is_importable(space))
		TRY(parse_inline_exports(p, space, index));
	return parsers[space](p, index);
}

static int parse_field(struct wat_parser *p, uint32_t *next)
{
	TRY(wat_expect(p, WAT_LPAREN));
	if (wat_is(p->t, p->p, "import")) {
		p->p++;
		TRY(parse_import(p, next));
	} else if (wat_is(p->t, p->p, "export")) {
		p->p++;
		TRY(parse_export(p));
	} else if (wat_is(p->t, p->p, "start")) {
		p->p++;
		TRY(parse_start(p));
	} else {
		TRY(parse_definition(p, next));
	}
	return wat_expect(p, WAT_RPAREN);
}

static int parse_fields(struct wat_parser *p, uint32_t first, uint32_t *ret_end)
{
	uint32_t next[WAT_SPACES] = { 0 };

	TRY(collect_all(p, first));
	TRY(parse_types(p, first));
	p->p = first;
	while (!at_end(p, p->p)) {
		if (wat_opens(p->t, p->p, "rec") || wat_opens(p->t, p->p, "type"))
			p->p = wat_skip(p->t, p->p);
		else
			TRY(parse_field(p, next));
	}
	*ret_end = p->p;
	return 0;
}

/* ---- the binary ---- */

static void emit_section(struct strbuf *out, uint8_t id, const struct wat_section *s)
{
	_cleanup_strbuf_ struct strbuf body = STRBUF_INIT;

	if (!s->n)
		return;
	wat_emit_u32(&body, s->n);
	strbuf_add(&body, s->data.data, s->data.len);
	if (strbuf_failed(&s->data))
		body.failed = true;
	strbuf_addc(out, (char)id);
	wat_emit_bytes(out, &body);
}

static void emit_number_section(struct strbuf *out, uint8_t id, uint32_t value)
{
	_cleanup_strbuf_ struct strbuf body = STRBUF_INIT;

	wat_emit_u32(&body, value);
	strbuf_addc(out, (char)id);
	wat_emit_bytes(out, &body);
}

static void emit_name_section(struct strbuf *out, const struct wat_section *names)
{
	_cleanup_strbuf_ struct strbuf body = STRBUF_INIT;

	if (!names->n)
		return;
	strbuf_add(&body, "\4name", 5);
	emit_section(&body, 1, names);
	strbuf_addc(out, 0);
	wat_emit_bytes(out, &body);
}

static int emit_module(struct wat_parser *p, uint8_t **ret, size_t *ret_len)
{
	_cleanup_strbuf_ struct strbuf out = STRBUF_INIT;

	strbuf_add(&out, "\0asm\1\0\0\0", 8);
	emit_section(&out, 1, &p->type);
	emit_section(&out, 2, &p->import);
	emit_section(&out, 3, &p->func);
	emit_section(&out, 4, &p->table);
	emit_section(&out, 5, &p->memory);
	emit_section(&out, 13, &p->tag);
	emit_section(&out, 6, &p->global);
	emit_section(&out, 7, &p->export);
	if (p->has_start)
		emit_number_section(&out, 8, p->start);
	emit_section(&out, 9, &p->elem);
	if (p->uses_data || p->data.n)
		emit_number_section(&out, 12, p->data.n);
	emit_section(&out, 10, &p->code);
	emit_section(&out, 11, &p->data);
	emit_name_section(&out, &p->func_names);
	if (strbuf_failed(&out))
		return error_oom(p->err);
	*ret_len = out.len;
	*ret = (uint8_t *)strbuf_take(&out);
	return *ret ? 0 : error_oom(p->err);
}

static void parser_free(struct wat_parser *p)
{
	struct wat_section *const sections[] = { &p->type, &p->import, &p->func,  &p->table, &p->memory, &p->tag,
						 &p->global, &p->export, &p->elem, &p->code,  &p->data,   &p->func_names };

	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		strbuf_free(&sections[i]->data);
	for (size_t i = 0; i < WAT_SPACES; i++)
		wat_names_free(&p->names[i]);
	for (uint32_t i = 0; i < p->n_types; i++) {
		strbuf_free(&p->types[i].params);
		strbuf_free(&p->types[i].results);
		wat_names_free(&p->types[i].fields);
	}
	free(p->types);
	while (p->labels.n)
		free(p->labels.v[--p->labels.n]);
	free(p->labels.v);
}

int wat_fields_to_binary(const struct wat_text *t, uint32_t first, uint32_t *ret_end, uint8_t **ret, size_t *ret_len,
			 struct error *err)
{
	_cleanup_(parser_free) struct wat_parser p = { .t = t, .err = err };

	TRY(parse_fields(&p, first, ret_end));
	return emit_module(&p, ret, ret_len);
}

static int whole_text(const struct wat_text *t, uint8_t **ret, size_t *ret_len, struct error *err)
{
	bool wrapped = wat_opens(t, 0, "module");
	uint32_t first = 0, end;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t len;

	if (wrapped) {
		first = 2;
		if (t->tokens[first].kind == WAT_ID)
			first++;
	}
	TRY(wat_fields_to_binary(t, first, &end, &bytes, &len, err));
	if (wrapped && t->tokens[end].kind != WAT_RPAREN)
		return wat_fail(t, end, err, "unexpected token: ')' is expected");
	if (t->tokens[end + wrapped].kind != WAT_END)
		return wat_fail(t, end + wrapped, err, "unexpected token after the module");
	*ret = take_ptr(bytes);
	*ret_len = len;
	return 0;
}

int wasm_text_to_binary(const char *text, size_t len, uint8_t **ret, size_t *ret_len, struct error *err)
{
	_cleanup_(cleanup_wat_text) struct wat_text t = { 0 };

	TRY(wat_text_scan(text, len, &t, err));
	return whole_text(&t, ret, ret_len, err);
}
