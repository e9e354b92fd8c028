/* The text format (core specification 3.0, chapter 6): a module's text to the bytes of its binary form. */
#pragma once

#include "wasm/text/lexer.h"

/* A whole file. The caller owns *RET. Errors carry line and column. */
int wasm_text_to_binary(const char *text, size_t len, uint8_t **ret, size_t *ret_len, struct error *err);

/*
 * The module fields of T from token FIRST up to its closing parenthesis, or to the end of the text. *RET_END is the
 * index of the token where the fields end.
 */
int wat_fields_to_binary(const struct wat_text *t, uint32_t first, uint32_t *ret_end, uint8_t **ret, size_t *ret_len,
			 struct error *err);

/* A v128 constant's lanes ("i32x4 1 2 3 4") from token *INDEX on; *INDEX moves behind them. For test scripts. */
int wat_v128(const struct wat_text *t, uint32_t *index, uint8_t ret[16], struct error *err);
