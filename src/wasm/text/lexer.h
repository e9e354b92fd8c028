/*
 * Tokens of the text format (core specification 3.0, 6.3 "Lexical Format"), for modules and for test scripts. The whole
 * text is cut into tokens at once, so that the parser can look ahead and go over it twice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

#define WAT_MAX_TEXT (256u << 20)

enum wat_token_kind {
	WAT_LPAREN,
	WAT_RPAREN,
	WAT_ATOM,   /* keyword, number or reserved word */
	WAT_ID,     /* $name */
	WAT_STRING, /* with its quotes, escapes unresolved */
	WAT_END,
};

struct wat_token {
	uint8_t kind; /* enum wat_token_kind */
	uint32_t pos, len;
};

struct wat_text {
	const char *s; /* borrowed */
	size_t len;
	struct wat_token *tokens; /* the last is WAT_END */
	uint32_t n;
};

/* -EBADMSG with line and column when the text is not made of tokens. S must outlive RET. Free with wat_text_free(). */
int wat_text_scan(const char *s, size_t len, struct wat_text *ret, struct error *err);
void wat_text_free(struct wat_text *t);

/* Records "line L, column C: ..." for token INDEX; returns -EBADMSG. */
int wat_fail(const struct wat_text *t, uint32_t index, struct error *err, const char *fmt, ...) _printf_(4, 5);

/* Whether token INDEX is the atom WORD. */
bool wat_is(const struct wat_text *t, uint32_t index, const char *word);
/* Whether tokens INDEX and INDEX + 1 are "(" and WORD. */
bool wat_opens(const struct wat_text *t, uint32_t index, const char *word);
/* The index after the list or token that starts at INDEX. */
uint32_t wat_skip(const struct wat_text *t, uint32_t index);

/* Appends the bytes that string token INDEX stands for. */
int wat_string(const struct wat_text *t, uint32_t index, struct strbuf *out, struct error *err);
/* The name of identifier token INDEX without the $, escapes of the $"..." form resolved, appended to OUT. */
int wat_identifier(const struct wat_text *t, uint32_t index, struct strbuf *out, struct error *err);

/* Numbers, from atom INDEX. The bits wide integer may be signed or unsigned; *RET is sign- or zero-extended as written. */
int wat_integer(const struct wat_text *t, uint32_t index, unsigned bits, uint64_t *ret, struct error *err);
int wat_unsigned(const struct wat_text *t, uint32_t index, uint64_t max, uint64_t *ret, struct error *err);
int wat_f32(const struct wat_text *t, uint32_t index, uint32_t *ret_bits, struct error *err);
int wat_f64(const struct wat_text *t, uint32_t index, uint64_t *ret_bits, struct error *err);
/* Whether the atom looks like a number of the unsigned kind (an index). */
bool wat_is_index(const struct wat_text *t, uint32_t index);

static inline void cleanup_wat_text(struct wat_text *t)
{
	wat_text_free(t);
}
