/* A growing, always NUL-terminated byte string. A failed allocation sticks: check once, at the end, with strbuf_failed(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct strbuf {
	char *data; /* owned; NULL while empty */
	size_t len; /* bytes without the NUL */
	size_t cap;
	bool failed;
};

#define STRBUF_INIT ((struct strbuf){0})

void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addc(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) _printf_(2, 3);
/* Empties the string, keeping its memory. */
void strbuf_reset(struct strbuf *b);
void strbuf_free(struct strbuf *b);
/* The owned string (never NULL unless out of memory); the buffer is empty afterwards. */
char *strbuf_take(struct strbuf *b) _must_check_;
/* The string for reading; "" while empty. */
const char *strbuf_str(const struct strbuf *b);

static inline bool strbuf_failed(const struct strbuf *b)
{
	return b->failed;
}

#define _cleanup_strbuf_ _cleanup_(strbuf_free)
