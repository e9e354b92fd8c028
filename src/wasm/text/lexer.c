#include "wasm/text/lexer.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "wasm/reader.h"

struct scanner {
	struct wat_text *t;
	size_t p;
	uint32_t cap;
	struct error *err;
};

static int fail_at(const char *s, size_t pos, struct error *err, const char *message)
{
	unsigned line = 1, column = 1;

	for (size_t i = 0; i < pos; i++) {
		if (s[i] == '\n') {
			line++;
			column = 1;
		} else {
			column++;
		}
	}
	return error_set(err, WASM_MALFORMED, "line %u, column %u: %s", line, column, message);
}

int wat_fail(const struct wat_text *t, uint32_t index, struct error *err, const char *fmt, ...)
{
	const struct wat_token *tok = &t->tokens[MIN(index, t->n - 1)];
	char message[512], all[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (tok->kind == WAT_END)
		snprintf(all, sizeof(all), "%s, at the end of the text", message);
	else
		snprintf(all, sizeof(all), "%s, at '%.*s'", message, (int)MIN(tok->len, 60u), t->s + tok->pos);
	return fail_at(t->s, tok->pos, err, all);
}

static int fail(struct scanner *sc, const char *message)
{
	return fail_at(sc->t->s, sc->p, sc->err, message);
}

static bool is_idchar(unsigned char c)
{
	return c > 0x20 && c < 0x7f && !strchr("\"(),;[]{}", c);
}

static int add(struct scanner *sc, enum wat_token_kind kind, size_t pos, size_t len)
{
	struct wat_text *t = sc->t;

	if (t->n == sc->cap) {
		uint32_t cap = sc->cap ? sc->cap * 2 : 256;
		struct wat_token *p = realloc(t->tokens, (size_t)cap * sizeof(*p));

		if (!p)
			return error_oom(sc->err);
		t->tokens = p;
		sc->cap = cap;
	}
	t->tokens[t->n++] = (struct wat_token){ .kind = kind, .pos = (uint32_t)pos, .len = (uint32_t)len };
	return 0;
}

/* The bytes from P on must be one UTF-8 character; gives its length, 0 if they are not. */
static size_t utf8_length(const char *s, size_t left)
{
	for (size_t n = 1; n <= 4 && n <= left; n++)
		if (wasm_utf8_valid((const uint8_t *)s, n))
			return n;
	return 0;
}

static int skip_utf8(struct scanner *sc)
{
	size_t n = utf8_length(sc->t->s + sc->p, sc->t->len - sc->p);

	if (!n)
		return fail(sc, "malformed UTF-8 encoding");
	sc->p += n;
	return 0;
}

static int skip_line_comment(struct scanner *sc)
{
	while (sc->p < sc->t->len && sc->t->s[sc->p] != '\n' && sc->t->s[sc->p] != '\r') {
		int r = skip_utf8(sc);

		if (r < 0)
			return r;
	}
	return 0;
}

static int skip_block_comment(struct scanner *sc)
{
	const char *s = sc->t->s;
	unsigned depth = 0;

	do {
		if (sc->p + 1 >= sc->t->len)
			return fail(sc, "unclosed comment");
		if (s[sc->p] == '(' && s[sc->p + 1] == ';') {
			depth++;
			sc->p += 2;
		} else if (s[sc->p] == ';' && s[sc->p + 1] == ')') {
			depth--;
			sc->p += 2;
		} else {
			int r = skip_utf8(sc);

			if (r < 0)
				return r;
		}
	} while (depth);
	return 0;
}

static int skip_escape(struct scanner *sc)
{
	const char *s = sc->t->s;
	size_t left = sc->t->len - sc->p;

	if (left >= 2 && s[sc->p + 1] && strchr("tnr\"'\\", s[sc->p + 1])) {
		sc->p += 2;
		return 0;
	}
	if (left >= 3 && isxdigit((unsigned char)s[sc->p + 1]) && isxdigit((unsigned char)s[sc->p + 2])) {
		sc->p += 3;
		return 0;
	}
	if (left >= 4 && s[sc->p + 1] == 'u' && s[sc->p + 2] == '{') {
		size_t i = sc->p + 3;

		while (i < sc->t->len && (isxdigit((unsigned char)s[i]) || (s[i] == '_' && i > sc->p + 3)))
			i++;
		if (i > sc->p + 3 && i < sc->t->len && s[i] == '}') {
			sc->p = i + 1;
			return 0;
		}
	}
	return fail(sc, "illegal escape in string");
}

static int skip_string(struct scanner *sc)
{
	size_t start = sc->p++;
	const char *s = sc->t->s;

	for (;;) {
		int r;

		if (sc->p >= sc->t->len || s[sc->p] == '\n' || s[sc->p] == '\r') {
			sc->p = start;
			return fail(sc, "unclosed string");
		}
		if (s[sc->p] == '"') {
			sc->p++;
			return 0;
		}
		if ((unsigned char)s[sc->p] < 0x20 || s[sc->p] == 0x7f)
			return fail(sc, "illegal character in string");
		r = s[sc->p] == '\\' ? skip_escape(sc) : skip_utf8(sc);
		if (r < 0)
			return r;
	}
}

static int skip_blank(struct scanner *sc, bool *ret_any)
{
	const char *s = sc->t->s;

	*ret_any = false;
	while (sc->p < sc->t->len) {
		int r = 0;

		if (strchr(" \t\n\r", s[sc->p]) && s[sc->p])
			sc->p++;
		else if (s[sc->p] == ';' && sc->p + 1 < sc->t->len && s[sc->p + 1] == ';')
			r = skip_line_comment(sc);
		else if (s[sc->p] == '(' && sc->p + 1 < sc->t->len && s[sc->p + 1] == ';')
			r = skip_block_comment(sc);
		else
			return 0;
		if (r < 0)
			return r;
		*ret_any = true;
	}
	return 0;
}

/* Skips "(@id ...)": anything that is made of tokens and balanced parentheses. */
static int skip_annotation(struct scanner *sc)
{
	const char *s = sc->t->s;
	size_t start = sc->p;
	unsigned depth = 0;

	sc->p += 2;
	if (sc->p < sc->t->len && s[sc->p] == '"') {
		int r;

		if (sc->p + 1 < sc->t->len && s[sc->p + 1] == '"')
			return fail(sc, "empty annotation id");
		r = skip_string(sc);
		if (r < 0)
			return r;
		for (size_t i = start + 3; i + 1 < sc->p; i++)
			if (s[i] == '\\') { /* an escape may stand for a byte that is no UTF-8: resolved strings must be */
				_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
				struct wat_token tok = { .kind = WAT_STRING, .pos = (uint32_t)start + 2, .len = (uint32_t)(sc->p - start - 2) };
				struct wat_text one = { .s = s, .len = sc->t->len, .tokens = &tok, .n = 1 };

				r = wat_string(&one, 0, &b, sc->err);
				if (r < 0)
					return r;
				if (!wasm_utf8_valid((const uint8_t *)strbuf_str(&b), b.len))
					return fail(sc, "malformed UTF-8 encoding");
				break;
			}
	} else if (sc->p >= sc->t->len || !is_idchar((unsigned char)s[sc->p])) {
		return fail(sc, "empty annotation id");
	}
	while (sc->p < sc->t->len && is_idchar((unsigned char)s[sc->p]))
		sc->p++;
	for (;;) {
		bool any;
		int r = skip_blank(sc, &any);
		unsigned char c;

		if (r < 0)
			return r;
		if (sc->p >= sc->t->len) {
			sc->p = start;
			return fail(sc, "unclosed annotation");
		}
		c = (unsigned char)s[sc->p];
		if (c == '(') {
			depth++;
			sc->p++;
		} else if (c == ')') {
			sc->p++;
			if (!depth--)
				return 0;
		} else if (c == '"') {
			r = skip_string(sc);
			if (r < 0)
				return r;
		} else if (is_idchar(c) || (c && strchr(",;[]{}", c))) {
			sc->p++;
		} else {
			return fail(sc, c >= 0x80 && !utf8_length(s + sc->p, sc->t->len - sc->p) ? "malformed UTF-8 encoding" :
													"illegal character");
		}
	}
}

static int scan_word(struct scanner *sc)
{
	const char *s = sc->t->s;
	size_t start = sc->p;
	enum wat_token_kind kind = s[start] == '"' ? WAT_STRING : s[start] == '$' ? WAT_ID : WAT_ATOM;
	int r;

	if (s[start] == '"' || (s[start] == '$' && start + 1 < sc->t->len && s[start + 1] == '"')) {
		if (s[start] == '$')
			sc->p++;
		r = skip_string(sc);
		if (r < 0)
			return r;
	} else {
		while (sc->p < sc->t->len && is_idchar((unsigned char)s[sc->p]))
			sc->p++;
	}
	if (kind == WAT_ID && sc->p - start == 1)
		return fail(sc, "empty identifier");
	/* Words must be kept apart: "a"b, 1$x and the like are reserved. */
	if (sc->p < sc->t->len && (is_idchar((unsigned char)s[sc->p]) || s[sc->p] == '"'))
		return fail(sc, "unknown operator: words without white space between them");
	return add(sc, kind, start, sc->p - start);
}

int wat_text_scan(const char *s, size_t len, struct wat_text *ret, struct error *err)
{
	struct scanner sc = { .t = ret, .err = err };
	int r = 0;

	*ret = (struct wat_text){ .s = s, .len = len };
	if (len > WAT_MAX_TEXT)
		r = error_set(err, E2BIG, "text of %zu bytes is larger than the limit of %u", len, WAT_MAX_TEXT);
	while (r >= 0) {
		bool any;
		unsigned char c;

		r = skip_blank(&sc, &any);
		if (r < 0 || sc.p >= len)
			break;
		c = (unsigned char)s[sc.p];
		if (c == '(' && sc.p + 1 < len && s[sc.p + 1] == '@')
			r = skip_annotation(&sc);
		else if (c == '(' || c == ')')
			r = add(&sc, c == '(' ? WAT_LPAREN : WAT_RPAREN, sc.p++, 1);
		else if (c == '"' || is_idchar(c))
			r = scan_word(&sc);
		else
			r = fail(&sc, c >= 0x80 && !utf8_length(s + sc.p, len - sc.p) ? "malformed UTF-8 encoding" :
											"illegal character");
	}
	if (r >= 0)
		r = add(&sc, WAT_END, len, 0);
	if (r < 0)
		wat_text_free(ret);
	return r;
}

void wat_text_free(struct wat_text *t)
{
	free(t->tokens);
	*t = (struct wat_text){ 0 };
}

bool wat_is(const struct wat_text *t, uint32_t index, const char *word)
{
	const struct wat_token *tok = &t->tokens[index];

	return tok->kind == WAT_ATOM && strlen(word) == tok->len && memcmp(t->s + tok->pos, word, tok->len) == 0;
}

bool wat_opens(const struct wat_text *t, uint32_t index, const char *word)
{
	return t->tokens[index].kind == WAT_LPAREN && wat_is(t, index + 1, word);
}

uint32_t wat_skip(const struct wat_text *t, uint32_t index)
{
	uint32_t depth = 0;

	do {
		if (t->tokens[index].kind == WAT_END)
			return index;
		if (t->tokens[index].kind == WAT_LPAREN)
			depth++;
		else if (t->tokens[index].kind == WAT_RPAREN && depth)
			depth--;
		index++;
	} while (depth);
	return index;
}

static int hex_value(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static int add_code_point(uint32_t c, struct strbuf *out)
{
	char u[4];

	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return -EINVAL;
	if (c < 0x80) {
		strbuf_addc(out, (char)c);
		return 0;
	}
	u[0] = (char)(c < 0x800 ? 0xc0 | c >> 6 : c < 0x10000 ? 0xe0 | c >> 12 : 0xf0 | c >> 18);
	u[1] = (char)(0x80 | (c >> 12 & 0x3f));
	u[2] = (char)(0x80 | (c >> 6 & 0x3f));
	u[3] = (char)(0x80 | (c & 0x3f));
	strbuf_addc(out, u[0]);
	if (c >= 0x10000)
		strbuf_addc(out, u[1]);
	if (c >= 0x800)
		strbuf_addc(out, u[2]);
	strbuf_addc(out, u[3]);
	return 0;
}

/* The scanner has checked the shape of the escapes. */
static int unescape(const struct wat_text *t, uint32_t index, const char *p, const char *end, struct strbuf *out, struct error *err)
{
	static const char plain[] = "tnr\"'\\", meaning[] = "\t\n\r\"'\\";

	while (p < end) {
		const char *q;

		if (*p != '\\') {
			strbuf_addc(out, *p++);
			continue;
		}
		p++;
		q = strchr(plain, *p);
		if (q) {
			strbuf_addc(out, meaning[q - plain]);
			p++;
		} else if (*p == 'u' && p[1] == '{') {
			uint32_t c = 0;

			for (p += 2; *p != '}'; p++) {
				if (*p != '_')
					c = c << 4 | (uint32_t)hex_value(*p);
				if (c > 0x10ffff)
					return wat_fail(t, index, err, "malformed UTF-8 encoding: no such character");
			}
			p++;
			if (add_code_point(c, out) < 0)
				return wat_fail(t, index, err, "malformed UTF-8 encoding: no such character");
		} else {
			strbuf_addc(out, (char)(hex_value(p[0]) << 4 | hex_value(p[1])));
			p += 2;
		}
	}
	return strbuf_failed(out) ? error_oom(err) : 0;
}

int wat_string(const struct wat_text *t, uint32_t index, struct strbuf *out, struct error *err)
{
	const struct wat_token *tok = &t->tokens[index];

	if (tok->kind != WAT_STRING)
		return wat_fail(t, index, err, "unexpected token: a string is expected");
	return unescape(t, index, t->s + tok->pos + 1, t->s + tok->pos + tok->len - 1, out, err);
}

int wat_identifier(const struct wat_text *t, uint32_t index, struct strbuf *out, struct error *err)
{
	const struct wat_token *tok = &t->tokens[index];
	const char *s = t->s + tok->pos;
	size_t before = out->len;
	int r;

	if (tok->kind != WAT_ID)
		return wat_fail(t, index, err, "unexpected token: an identifier is expected");
	if (s[1] != '"') {
		strbuf_add(out, s + 1, tok->len - 1);
		return strbuf_failed(out) ? error_oom(err) : 0;
	}
	r = unescape(t, index, s + 2, s + tok->len - 1, out, err);
	if (r < 0)
		return r;
	if (out->len == before)
		return wat_fail(t, index, err, "empty identifier");
	if (!wasm_utf8_valid((const uint8_t *)out->data + before, out->len - before))
		return wat_fail(t, index, err, "malformed UTF-8 encoding");
	return 0;
}
