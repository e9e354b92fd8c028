/* What the parts of the text parser share. Outside this folder see text.h. */
#pragma once

#include "base/strbuf.h"
#include "wasm/module.h"
#include "wasm/text/lexer.h"

#define WAT_MAX_DEPTH 2000 /* nested folded instructions and blocks */

enum wat_space {
	WAT_TYPES,
	WAT_FUNCS,
	WAT_TABLES,
	WAT_MEMORIES,
	WAT_GLOBALS,
	WAT_TAGS,
	WAT_ELEMS,
	WAT_DATAS,
	WAT_LOCALS,
	WAT_SPACES,
};

struct wat_names { /* identifiers of one index space */
	void *tree;
	uint32_t n; /* next index */
};

struct wat_type {
	enum wasm_typedef_kind kind;
	bool plain;                    /* alone in its rec group, final, no supertype: an inline signature may use it */
	struct strbuf params, results; /* value types as the binary format has them */
	uint32_t n_params;
	struct wat_names fields;
};

struct wat_section {
	struct strbuf data;
	uint32_t n;
};

struct wat_labels {
	char **v; /* resolved names; NULL for a block without one */
	uint32_t n, cap;
};

struct wat_parser {
	const struct wat_text *t;
	uint32_t p; /* next token */
	struct error *err;
	struct wat_names names[WAT_SPACES];
	struct wat_type *types;
	uint32_t n_types, cap_types;
	struct wat_section type, import, func, table, memory, tag, global, export, elem, code, data, func_names;
	struct wat_labels labels;
	uint32_t depth;
	bool has_start, uses_data;
	uint32_t start;
};

#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		int try_r_ = (call);                                                                                   \
		if (try_r_ < 0)                                                                                        \
			return try_r_;                                                                                 \
	} while (0)

#define WAT_FAIL(p, ...) wat_fail((p)->t, (p)->p, (p)->err, __VA_ARGS__)

/* names.c */
int wat_names_add(struct wat_parser *p, struct wat_names *names, uint32_t token, uint32_t index, const char *what);
void wat_names_free(struct wat_names *names);
/* An index: a number or an identifier of the space. Moves on. */
int wat_parse_index(struct wat_parser *p, struct wat_names *names, const char *what, uint32_t *ret);
bool wat_at_index(const struct wat_parser *p);
int wat_expect(struct wat_parser *p, enum wat_token_kind kind);
int wat_expect_word(struct wat_parser *p, const char *word);

/* emit.c */
void wat_emit_u32(struct strbuf *b, uint64_t v);
void wat_emit_s64(struct strbuf *b, int64_t v);
void wat_emit_bytes(struct strbuf *b, const struct strbuf *bytes); /* length first */

/* types.c */
int wat_parse_heaptype(struct wat_parser *p, struct strbuf *out);
int wat_parse_reftype(struct wat_parser *p, struct strbuf *out);
int wat_parse_valtype(struct wat_parser *p, struct strbuf *out);
int wat_at_reftype(const struct wat_parser *p);
/* (type ...) or (rec ...), into the type section. */
int wat_parse_type_field(struct wat_parser *p);
/*
 * "(type x)? (param ...)* (result ...)*" to a type index; parameters' identifiers go to LOCALS when it is not NULL, and
 * are refused when it is.
 */
int wat_parse_typeuse(struct wat_parser *p, struct wat_names *locals, uint32_t *ret);
/* A block's type, in the binary encoding. */
int wat_parse_blocktype(struct wat_parser *p, struct strbuf *out);

/* instr.c */
int wat_parse_instrs(struct wat_parser *p, struct strbuf *out);
/* One folded instruction "(...)". */
int wat_parse_folded(struct wat_parser *p, struct strbuf *out);
int wat_at_instr(const struct wat_parser *p);

/* constants.c */
int wat_parse_v128(struct wat_parser *p, uint8_t ret[16]);
