/* Instructions, plain and folded (core specification 3.0, 6.5). */
#include <pthread.h>
#include <string.h>

#include "wasm/opcodes.h"
#include "wasm/text/parser.h"

/* ---- names of instructions ---- */

static uint16_t sorted[WASM_OP_LIMIT];
static unsigned n_sorted;
static pthread_once_t sorted_once = PTHREAD_ONCE_INIT;

static int compare_ops(const void *a, const void *b)
{
	uint16_t x = *(const uint16_t *)a, y = *(const uint16_t *)b;
	int r = strcmp(wasm_opcodes[x].name, wasm_opcodes[y].name);

	return r ? r : (int)x - (int)y;
}

static void sort_ops(void)
{
	for (unsigned i = 0; i < WASM_OP_LIMIT; i++)
		if (wasm_opcodes[i].name)
			sorted[n_sorted++] = (uint16_t)i;
	qsort(sorted, n_sorted, sizeof(*sorted), compare_ops);
}

/* The instruction that token INDEX names (of several with one name, the lowest number), or -1. */
static int find_op(const struct wat_text *t, uint32_t index)
{
	const struct wat_token *tok = &t->tokens[index];
	unsigned lo = 0, hi;
	char word[48];

	pthread_once(&sorted_once, sort_ops);
	if (tok->kind != WAT_ATOM || tok->len >= sizeof(word))
		return -1;
	memcpy(word, t->s + tok->pos, tok->len);
	word[tok->len] = 0;
	hi = n_sorted;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (strcmp(wasm_opcodes[sorted[mid]].name, word) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n_sorted && strcmp(wasm_opcodes[sorted[lo]].name, word) == 0 ? sorted[lo] : -1;
}

static void emit_op(struct strbuf *out, unsigned op)
{
	if (op < OP_FB(0)) {
		strbuf_addc(out, (char)op);
	} else if (op < OP_FC(0)) {
		strbuf_addc(out, (char)0xfb);
		wat_emit_u32(out, op - OP_FB(0));
	} else if (op < OP_FD(0)) {
		strbuf_addc(out, (char)0xfc);
		wat_emit_u32(out, op - OP_FC(0));
	} else if (op < OP_FE(0)) {
		strbuf_addc(out, (char)0xfd);
		wat_emit_u32(out, op - OP_FD(0));
	} else {
		strbuf_addc(out, (char)0xfe);
		wat_emit_u32(out, op - OP_FE(0));
	}
}

/* ---- labels ---- */

static int push_label(struct wat_parser *p)
{
	struct wat_labels *l = &p->labels;
	_cleanup_strbuf_ struct strbuf name = STRBUF_INIT;

	if (l->n == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 16;
		char **v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return error_oom(p->err);
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = NULL;
	if (p->t->tokens[p->p].kind == WAT_ID) {
		TRY(wat_identifier(p->t, p->p, &name, p->err));
		l->v[l->n] = strbuf_take(&name);
		if (!l->v[l->n])
			return error_oom(p->err);
		p->p++;
	}
	l->n++;
	return 0;
}

static void pop_label(struct wat_parser *p)
{
	free(p->labels.v[--p->labels.n]);
}

/* What stands between these two is outside the newest block: its label is out of sight, and out of the way of new ones. */
static char *hide_label(struct wat_parser *p)
{
	return p->labels.v[--p->labels.n];
}

static void show_label(struct wat_parser *p, char *label)
{
	p->labels.v[p->labels.n++] = label;
}

static int parse_label(struct wat_parser *p, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf name = STRBUF_INIT;
	struct wat_names none = { 0 };
	uint32_t index;

	if (p->t->tokens[p->p].kind != WAT_ID) {
		TRY(wat_parse_index(p, &none, "label", &index));
		wat_emit_u32(out, index);
		return 0;
	}
	TRY(wat_identifier(p->t, p->p, &name, p->err));
	for (uint32_t depth = 0; depth < p->labels.n; depth++) {
		const char *s = p->labels.v[p->labels.n - 1 - depth];

		if (!s || strcmp(s, strbuf_str(&name)) != 0)
			continue;
		p->p++;
		wat_emit_u32(out, depth);
		return 0;
	}
	return WAT_FAIL(p, "unknown label");
}

/* An `end` or `else` may repeat the block's label. */
static int check_repeated_label(struct wat_parser *p)
{
	_cleanup_strbuf_ struct strbuf name = STRBUF_INIT;
	const char *label = p->labels.v[p->labels.n - 1];

	if (p->t->tokens[p->p].kind != WAT_ID)
		return 0;
	TRY(wat_identifier(p->t, p->p, &name, p->err));
	if (!label || strcmp(label, strbuf_str(&name)) != 0)
		return WAT_FAIL(p, "mismatching label");
	p->p++;
	return 0;
}

/* ---- immediates ---- */

static int emit_index(struct wat_parser *p, enum wat_space space, const char *what, struct strbuf *out)
{
	uint32_t index;

	TRY(wat_parse_index(p, &p->names[space], what, &index));
	wat_emit_u32(out, index);
	return 0;
}

static int optional_index(struct wat_parser *p, enum wat_space space, const char *what, uint32_t *ret)
{
	*ret = 0;
	return wat_at_index(p) ? wat_parse_index(p, &p->names[space], what, ret) : 0;
}

static bool starts_with(const struct wat_parser *p, const char *prefix)
{
	const struct wat_token *tok = &p->t->tokens[p->p];
	size_t n = strlen(prefix);

	return tok->kind == WAT_ATOM && tok->len > n && memcmp(p->t->s + tok->pos, prefix, n) == 0;
}

/* The number behind "offset=" or "align=". */
static int parse_assignment(struct wat_parser *p, const char *prefix, uint64_t *ret)
{
	struct wat_token tok = p->t->tokens[p->p];
	struct wat_text one = { .s = p->t->s, .len = p->t->len, .tokens = &tok, .n = 1 };

	tok.pos += (uint32_t)strlen(prefix);
	tok.len -= (uint32_t)strlen(prefix);
	TRY(wat_unsigned(&one, 0, UINT64_MAX, ret, p->err));
	p->p++;
	return 0;
}

static int parse_memarg(struct wat_parser *p, enum wasm_imm imm, bool lane, struct strbuf *out)
{
	uint64_t offset = 0, align = 1ull << wasm_imm_align_log2(imm);
	uint32_t memory = 0;

	/* Where one number stands alone in a lane instruction, it is the lane. */
	if (wat_at_index(p) && (!lane || p->t->tokens[p->p].kind == WAT_ID || p->t->tokens[p->p + 1].kind == WAT_ATOM))
		TRY(wat_parse_index(p, &p->names[WAT_MEMORIES], "memory", &memory));
	if (starts_with(p, "offset="))
		TRY(parse_assignment(p, "offset=", &offset));
	if (starts_with(p, "align=")) {
		TRY(parse_assignment(p, "align=", &align));
		if (align == 0 || align & (align - 1))
			return WAT_FAIL(p, "alignment must be a power of two");
	}
	wat_emit_u32(out, (uint64_t)__builtin_ctzll(align) | (memory ? 0x40 : 0));
	if (memory)
		wat_emit_u32(out, memory);
	wat_emit_u32(out, offset);
	return 0;
}

static int parse_lane(struct wat_parser *p, struct strbuf *out)
{
	uint64_t v;

	TRY(wat_unsigned(p->t, p->p, 255, &v, p->err));
	p->p++;
	strbuf_addc(out, (char)v);
	return 0;
}

static int parse_shuffle(struct wat_parser *p, struct strbuf *out)
{
	for (unsigned i = 0; i < 16; i++) {
		if (p->t->tokens[p->p].kind != WAT_ATOM)
			return WAT_FAIL(p, "invalid lane length: sixteen lanes are expected");
		TRY(parse_lane(p, out));
	}
	return 0;
}

static int parse_br_table(struct wat_parser *p, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf labels = STRBUF_INIT;
	uint32_t n = 0;

	while (wat_at_index(p)) {
		TRY(parse_label(p, &labels));
		n++;
	}
	if (!n)
		return WAT_FAIL(p, "unexpected token: br_table needs a label");
	wat_emit_u32(out, n - 1);
	strbuf_add(out, labels.data, labels.len);
	return strbuf_failed(&labels) ? error_oom(p->err) : 0;
}

static int parse_call_indirect(struct wat_parser *p, struct strbuf *out)
{
	uint32_t table, type;

	TRY(optional_index(p, WAT_TABLES, "table", &table));
	TRY(wat_parse_typeuse(p, NULL, &type));
	wat_emit_u32(out, type);
	wat_emit_u32(out, table);
	return 0;
}

/* "x y", "y" or nothing, for the two-index instructions; the defaults are 0. */
static int parse_two(struct wat_parser *p, enum wat_space first, const char *what_first, enum wat_space second,
		     const char *what_second, uint32_t *a, uint32_t *b)
{
	const struct wat_token *next = &p->t->tokens[p->p + 1];
	bool two = wat_at_index(p) && (next->kind == WAT_ID || wat_is_index(p->t, p->p + 1));

	*a = *b = 0;
	if (two)
		TRY(wat_parse_index(p, &p->names[first], what_first, a));
	return wat_parse_index(p, &p->names[second], what_second, b);
}

static int parse_table_or_memory_pair(struct wat_parser *p, enum wasm_imm imm, struct strbuf *out)
{
	bool table = imm == WASM_IMM_TABLE_INIT || imm == WASM_IMM_TABLE_COPY;
	enum wat_space space = table ? WAT_TABLES : WAT_MEMORIES;
	const char *what = table ? "table" : "memory";
	uint32_t a = 0, b = 0;

	if (imm == WASM_IMM_TABLE_INIT || imm == WASM_IMM_MEMORY_INIT) {
		TRY(parse_two(p, space, what, table ? WAT_ELEMS : WAT_DATAS, table ? "elem segment" : "data segment", &a, &b));
		wat_emit_u32(out, b); /* the segment comes first in the binary format */
		wat_emit_u32(out, a);
		p->uses_data |= !table;
		return 0;
	}
	if (wat_at_index(p)) {
		TRY(wat_parse_index(p, &p->names[space], what, &a));
		TRY(wat_parse_index(p, &p->names[space], what, &b));
	}
	wat_emit_u32(out, a);
	wat_emit_u32(out, b);
	return 0;
}

static int parse_field(struct wat_parser *p, struct strbuf *out)
{
	struct wat_names none = { 0 };
	uint32_t type, field;

	TRY(wat_parse_index(p, &p->names[WAT_TYPES], "type", &type));
	TRY(wat_parse_index(p, type < p->n_types ? &p->types[type].fields : &none, "field", &field));
	wat_emit_u32(out, type);
	wat_emit_u32(out, field);
	return 0;
}

static int parse_gc_pair(struct wat_parser *p, enum wasm_imm imm, struct strbuf *out)
{
	uint64_t n;

	TRY(emit_index(p, WAT_TYPES, "type", out));
	switch (imm) {
	case WASM_IMM_ARRAY_FIXED:
		TRY(wat_unsigned(p->t, p->p, UINT32_MAX, &n, p->err));
		p->p++;
		wat_emit_u32(out, n);
		return 0;
	case WASM_IMM_TYPE_DATA:
		p->uses_data = true;
		return emit_index(p, WAT_DATAS, "data segment", out);
	case WASM_IMM_TYPE_ELEM:
		return emit_index(p, WAT_ELEMS, "elem segment", out);
	case WASM_IMM_TYPE_TYPE:
		return emit_index(p, WAT_TYPES, "type", out);
	default:
		return 0;
	}
}

static int parse_number(struct wat_parser *p, enum wasm_imm imm, struct strbuf *out)
{
	uint64_t v;
	uint32_t f;

	switch (imm) {
	case WASM_IMM_I32:
		TRY(wat_integer(p->t, p->p, 32, &v, p->err));
		wat_emit_s64(out, (int32_t)v);
		break;
	case WASM_IMM_I64:
		TRY(wat_integer(p->t, p->p, 64, &v, p->err));
		wat_emit_s64(out, (int64_t)v);
		break;
	case WASM_IMM_F32:
		TRY(wat_f32(p->t, p->p, &f, p->err));
		strbuf_add(out, &f, 4);
		break;
	default:
		TRY(wat_f64(p->t, p->p, &v, p->err));
		strbuf_add(out, &v, 8);
		break;
	}
	p->p++;
	return 0;
}

static int parse_vector(struct wat_parser *p, struct strbuf *out)
{
	uint8_t v[16];

	TRY(wat_parse_v128(p, v));
	strbuf_add(out, v, sizeof(v));
	return 0;
}

static int parse_immediate(struct wat_parser *p, enum wasm_imm imm, struct strbuf *out)
{
	uint32_t index;

	if (wasm_imm_is_memarg(imm)) {
		bool lane = imm >= WASM_IMM_MEM1_LANE && imm <= WASM_IMM_MEM8_LANE;

		TRY(parse_memarg(p, imm, lane, out));
		return lane ? parse_lane(p, out) : 0;
	}
	switch (imm) {
	case WASM_IMM_NONE:
		return 0;
	case WASM_IMM_LABEL:
		return parse_label(p, out);
	case WASM_IMM_BR_TABLE:
		return parse_br_table(p, out);
	case WASM_IMM_FUNC:
		return emit_index(p, WAT_FUNCS, "function", out);
	case WASM_IMM_CALL_INDIRECT:
		return parse_call_indirect(p, out);
	case WASM_IMM_TAG:
		return emit_index(p, WAT_TAGS, "tag", out);
	case WASM_IMM_LOCAL:
		return emit_index(p, WAT_LOCALS, "local", out);
	case WASM_IMM_GLOBAL:
		return emit_index(p, WAT_GLOBALS, "global", out);
	case WASM_IMM_TABLE:
	case WASM_IMM_MEMORY:
		TRY(optional_index(p, imm == WASM_IMM_TABLE ? WAT_TABLES : WAT_MEMORIES,
				   imm == WASM_IMM_TABLE ? "table" : "memory", &index));
		wat_emit_u32(out, index);
		return 0;
	case WASM_IMM_HEAPTYPE:
		return wat_parse_heaptype(p, out);
	case WASM_IMM_FIELD:
		return parse_field(p, out);
	case WASM_IMM_TYPE:
	case WASM_IMM_ARRAY_FIXED:
	case WASM_IMM_TYPE_DATA:
	case WASM_IMM_TYPE_ELEM:
	case WASM_IMM_TYPE_TYPE:
		return parse_gc_pair(p, imm, out);
	case WASM_IMM_DATA:
		p->uses_data = true;
		return emit_index(p, WAT_DATAS, "data segment", out);
	case WASM_IMM_ELEM:
		return emit_index(p, WAT_ELEMS, "elem segment", out);
	case WASM_IMM_MEMORY_INIT:
	case WASM_IMM_MEMORY_COPY:
	case WASM_IMM_TABLE_INIT:
	case WASM_IMM_TABLE_COPY:
		return parse_table_or_memory_pair(p, imm, out);
	case WASM_IMM_I32:
	case WASM_IMM_I64:
	case WASM_IMM_F32:
	case WASM_IMM_F64:
		return parse_number(p, imm, out);
	case WASM_IMM_V128:
		return parse_vector(p, out);
	case WASM_IMM_SHUFFLE:
		return parse_shuffle(p, out);
	case WASM_IMM_FENCE:
		strbuf_addc(out, 0);
		return 0;
	case WASM_IMM_LANE2:
	case WASM_IMM_LANE4:
	case WASM_IMM_LANE8:
	case WASM_IMM_LANE16:
		return parse_lane(p, out);
	default:
		return WAT_FAIL(p, "unexpected token: this instruction cannot stand here");
	}
}

/* ---- instructions whose number depends on their immediates ---- */

static int parse_select(struct wat_parser *p, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf types = STRBUF_INIT;
	uint32_t n = 0;

	if (!wat_opens(p->t, p->p, "result")) {
		emit_op(out, WASM_OP_SELECT);
		return 0;
	}
	while (wat_opens(p->t, p->p, "result")) {
		p->p += 2;
		while (p->t->tokens[p->p].kind != WAT_RPAREN) {
			TRY(wat_parse_valtype(p, &types));
			n++;
		}
		p->p++;
	}
	emit_op(out, WASM_OP_SELECT_T);
	wat_emit_u32(out, n);
	strbuf_add(out, types.data, types.len);
	return strbuf_failed(&types) ? error_oom(p->err) : 0;
}

/* A reference type as nullability and heap type, the way casts encode it. */
static int parse_cast_type(struct wat_parser *p, struct strbuf *heap, bool *nullable)
{
	_cleanup_strbuf_ struct strbuf type = STRBUF_INIT;

	TRY(wat_parse_reftype(p, &type));
	if (strbuf_failed(&type))
		return error_oom(p->err);
	*nullable = (uint8_t)type.data[0] != 0x64;
	if (type.len > 1)
		strbuf_add(heap, type.data + 1, type.len - 1);
	else
		strbuf_add(heap, type.data, 1);
	return 0;
}

static int parse_cast(struct wat_parser *p, unsigned op, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf heap = STRBUF_INIT;
	bool nullable;

	TRY(parse_cast_type(p, &heap, &nullable));
	emit_op(out, op + nullable);
	strbuf_add(out, heap.data, heap.len);
	return 0;
}

static int parse_br_on_cast(struct wat_parser *p, unsigned op, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf label = STRBUF_INIT, from = STRBUF_INIT, to = STRBUF_INIT;
	bool from_null, to_null;

	TRY(parse_label(p, &label));
	TRY(parse_cast_type(p, &from, &from_null));
	TRY(parse_cast_type(p, &to, &to_null));
	emit_op(out, op);
	strbuf_addc(out, (char)(from_null | to_null << 1));
	strbuf_add(out, label.data, label.len);
	strbuf_add(out, from.data, from.len);
	strbuf_add(out, to.data, to.len);
	return 0;
}

/* ---- blocks ---- */

static bool is_block(int op)
{
	return op == WASM_OP_BLOCK || op == WASM_OP_LOOP || op == WASM_OP_IF || op == WASM_OP_TRY || op == WASM_OP_TRY_TABLE;
}

static int parse_catch_clauses(struct wat_parser *p, struct strbuf *out)
{
	static const char *const words[] = { "catch", "catch_ref", "catch_all", "catch_all_ref" };
	_cleanup_strbuf_ struct strbuf clauses = STRBUF_INIT;
	uint32_t n = 0;

	for (;;) {
		unsigned kind = 0;

		while (kind < ARRAY_SIZE(words) && !wat_opens(p->t, p->p, words[kind]))
			kind++;
		if (kind == ARRAY_SIZE(words))
			break;
		p->p += 2;
		strbuf_addc(&clauses, (char)kind);
		if (kind < 2)
			TRY(emit_index(p, WAT_TAGS, "tag", &clauses));
		TRY(parse_label(p, &clauses));
		TRY(wat_expect(p, WAT_RPAREN));
		n++;
	}
	wat_emit_u32(out, n);
	strbuf_add(out, clauses.data, clauses.len);
	return strbuf_failed(&clauses) ? error_oom(p->err) : 0;
}

/*
 * What a block begins with: label, type and a try_table's clauses. The clauses' labels are counted from outside, so the
 * new label is hidden from them.
 */
static int parse_block_head(struct wat_parser *p, unsigned op, struct strbuf *out)
{
	char *label;
	int r;

	TRY(push_label(p));
	emit_op(out, op);
	TRY(wat_parse_blocktype(p, out));
	if (op != WASM_OP_TRY_TABLE)
		return 0;
	label = hide_label(p);
	r = parse_catch_clauses(p, out);
	show_label(p, label);
	return r;
}

static int parse_plain_tail(struct wat_parser *p, unsigned op, struct strbuf *out)
{
	if (op == WASM_OP_IF && wat_is(p->t, p->p, "else")) {
		p->p++;
		TRY(check_repeated_label(p));
		strbuf_addc(out, WASM_OP_ELSE);
		TRY(wat_parse_instrs(p, out));
	}
	while (op == WASM_OP_TRY && (wat_is(p->t, p->p, "catch") || wat_is(p->t, p->p, "catch_all"))) {
		bool all = wat_is(p->t, p->p, "catch_all");

		p->p++;
		TRY(check_repeated_label(p));
		strbuf_addc(out, all ? WASM_OP_CATCH_ALL : WASM_OP_CATCH);
		if (!all)
			TRY(emit_index(p, WAT_TAGS, "tag", out));
		TRY(wat_parse_instrs(p, out));
	}
	if (op == WASM_OP_TRY && wat_is(p->t, p->p, "delegate")) {
		char *label = hide_label(p);
		int r;

		p->p++;
		strbuf_addc(out, WASM_OP_DELEGATE);
		r = parse_label(p, out);
		show_label(p, label);
		return r;
	}
	TRY(wat_expect_word(p, "end"));
	TRY(check_repeated_label(p));
	strbuf_addc(out, WASM_OP_END);
	return 0;
}

static int parse_plain_block(struct wat_parser *p, unsigned op, struct strbuf *out)
{
	uint32_t labels = p->labels.n;
	int r = parse_block_head(p, op, out);

	if (r >= 0)
		r = wat_parse_instrs(p, out);
	if (r >= 0)
		r = parse_plain_tail(p, op, out);
	while (p->labels.n > labels)
		pop_label(p);
	return r;
}

static int parse_folded_if(struct wat_parser *p, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf head = STRBUF_INIT;
	char *label;
	int r = 0;

	TRY(parse_block_head(p, WASM_OP_IF, &head));
	label = hide_label(p); /* the condition stands outside the block */
	while (r >= 0 && !wat_opens(p->t, p->p, "then"))
		r = wat_parse_folded(p, out);
	show_label(p, label);
	if (r < 0)
		return r;
	strbuf_add(out, head.data, head.len);
	p->p += 2;
	TRY(wat_parse_instrs(p, out));
	TRY(wat_expect(p, WAT_RPAREN));
	if (wat_opens(p->t, p->p, "else")) {
		p->p += 2;
		strbuf_addc(out, WASM_OP_ELSE);
		TRY(wat_parse_instrs(p, out));
		TRY(wat_expect(p, WAT_RPAREN));
	}
	strbuf_addc(out, WASM_OP_END);
	return 0;
}

static int parse_folded_try(struct wat_parser *p, struct strbuf *out)
{
	TRY(parse_block_head(p, WASM_OP_TRY, out));
	TRY(wat_expect(p, WAT_LPAREN));
	TRY(wat_expect_word(p, "do"));
	TRY(wat_parse_instrs(p, out));
	TRY(wat_expect(p, WAT_RPAREN));
	while (wat_opens(p->t, p->p, "catch") || wat_opens(p->t, p->p, "catch_all")) {
		bool all = wat_opens(p->t, p->p, "catch_all");

		p->p += 2;
		strbuf_addc(out, all ? WASM_OP_CATCH_ALL : WASM_OP_CATCH);
		if (!all)
			TRY(emit_index(p, WAT_TAGS, "tag", out));
		TRY(wat_parse_instrs(p, out));
		TRY(wat_expect(p, WAT_RPAREN));
	}
	if (wat_opens(p->t, p->p, "delegate")) {
		char *label = hide_label(p);
		int r;

		p->p += 2;
		strbuf_addc(out, WASM_OP_DELEGATE);
		r = parse_label(p, out);
		show_label(p, label);
		return r < 0 ? r : wat_expect(p, WAT_RPAREN);
	}
	strbuf_addc(out, WASM_OP_END);
	return 0;
}

static int parse_folded_block(struct wat_parser *p, unsigned op, struct strbuf *out)
{
	uint32_t labels = p->labels.n;
	int r;

	if (op == WASM_OP_IF) {
		r = parse_folded_if(p, out);
	} else if (op == WASM_OP_TRY) {
		r = parse_folded_try(p, out);
	} else {
		r = parse_block_head(p, op, out);
		if (r >= 0)
			r = wat_parse_instrs(p, out);
		strbuf_addc(out, WASM_OP_END);
	}
	while (p->labels.n > labels)
		pop_label(p);
	return r;
}

/* ---- one instruction ---- */

/* The operator at the cursor with its immediates; not a block. */
static int parse_operator(struct wat_parser *p, struct strbuf *out)
{
	int op = find_op(p->t, p->p);

	if (op < 0)
		return WAT_FAIL(p, "unknown operator or unexpected token");
	p->p++;
	switch (op) {
	case WASM_OP_SELECT:
		return parse_select(p, out);
	case WASM_OP_REF_TEST:
	case WASM_OP_REF_CAST:
		return parse_cast(p, (unsigned)op, out);
	case WASM_OP_BR_ON_CAST:
	case WASM_OP_BR_ON_CAST_FAIL:
		return parse_br_on_cast(p, (unsigned)op, out);
	case WASM_OP_ELSE:
	case WASM_OP_END:
	case WASM_OP_CATCH:
	case WASM_OP_CATCH_ALL:
	case WASM_OP_DELEGATE:
		p->p--;
		return WAT_FAIL(p, "unexpected token");
	default:
		emit_op(out, (unsigned)op);
		return parse_immediate(p, wasm_opcodes[op].imm, out);
	}
}

static int parse_folded(struct wat_parser *p, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf operator = STRBUF_INIT;
	int op;

	TRY(wat_expect(p, WAT_LPAREN));
	op = find_op(p->t, p->p);
	if (is_block(op)) {
		p->p++;
		TRY(parse_folded_block(p, (unsigned)op, out));
		return wat_expect(p, WAT_RPAREN);
	}
	TRY(parse_operator(p, &operator));
	while (p->t->tokens[p->p].kind == WAT_LPAREN)
		TRY(wat_parse_folded(p, out));
	strbuf_add(out, operator.data, operator.len);
	if (strbuf_failed(&operator) || strbuf_failed(out))
		return error_oom(p->err);
	return wat_expect(p, WAT_RPAREN);
}

int wat_parse_folded(struct wat_parser *p, struct strbuf *out)
{
	int r;

	if (p->depth >= WAT_MAX_DEPTH)
		return WAT_FAIL(p, "instructions are nested deeper than the limit of %u", WAT_MAX_DEPTH);
	p->depth++;
	r = parse_folded(p, out);
	p->depth--;
	return r;
}

int wat_at_instr(const struct wat_parser *p)
{
	if (p->t->tokens[p->p].kind == WAT_LPAREN)
		return find_op(p->t, p->p + 1) >= 0;
	return find_op(p->t, p->p) >= 0;
}

static bool ends_sequence(const struct wat_parser *p)
{
	const struct wat_token *tok = &p->t->tokens[p->p];

	return tok->kind == WAT_RPAREN || tok->kind == WAT_END || wat_is(p->t, p->p, "end") || wat_is(p->t, p->p, "else") ||
	       wat_is(p->t, p->p, "catch") || wat_is(p->t, p->p, "catch_all") || wat_is(p->t, p->p, "delegate");
}

static int parse_instrs(struct wat_parser *p, struct strbuf *out)
{
	while (!ends_sequence(p)) {
		if (p->t->tokens[p->p].kind == WAT_LPAREN) {
			TRY(wat_parse_folded(p, out));
			continue;
		}
		int op = find_op(p->t, p->p);

		if (is_block(op)) {
			p->p++;
			TRY(parse_plain_block(p, (unsigned)op, out));
		} else {
			TRY(parse_operator(p, out));
		}
	}
	return strbuf_failed(out) ? error_oom(p->err) : 0;
}

int wat_parse_instrs(struct wat_parser *p, struct strbuf *out)
{
	int r;

	if (p->depth >= WAT_MAX_DEPTH)
		return WAT_FAIL(p, "instructions are nested deeper than the limit of %u", WAT_MAX_DEPTH);
	p->depth++;
	r = parse_instrs(p, out);
	p->depth--;
	return r;
}
