/*
 * The front end against the specification's scripts: every module decodes and validates, every assert_malformed and
 * assert_invalid is refused, for the right reason (malformed or invalid). Executing is the runner's part.
 */
#include <stdio.h>
#include <string.h>

#include "base/fdio.h"
#include "wasm/module.h"
#include "wasm/reader.h"
#include "wasm/text/text.h"

#include <fcntl.h>

static unsigned passed, failed;

/* The threads proposal's scripts predate multiple memories and tables, which 3.0 allows: there the module must be valid. */
static bool superseded(const struct wat_text *t, uint32_t index)
{
	const struct wat_token *why = &t->tokens[wat_skip(t, index) - 2];

	return why->kind == WAT_STRING && why->len > 10 && memcmp(t->s + why->pos, "\"multiple ", 10) == 0 &&
	       memcmp(t->s + why->pos, "\"multiple start", 15) != 0;
}

/* "(module $id? ...)" at INDEX to a validated module; the code of the failure. */
static int compile(const struct wat_text *t, uint32_t index, struct error *err)
{
	_cleanup_wasm_module_ struct wasm_module *m = NULL;
	_cleanup_strbuf_ struct strbuf bytes = STRBUF_INIT;
	_cleanup_free_ uint8_t *binary = NULL;
	uint32_t p = index + 2, end;
	size_t len;
	int r;

	if (wat_is(t, p, "definition"))
		p++;
	if (t->tokens[p].kind == WAT_ID)
		p++;
	if (wat_is(t, p, "binary") || wat_is(t, p, "quote")) {
		bool quote = wat_is(t, p, "quote");

		for (p++; t->tokens[p].kind == WAT_STRING; p++) {
			r = wat_string(t, p, &bytes, err);
			if (r < 0)
				return r;
			if (quote)
				strbuf_addc(&bytes, ' ');
		}
		if (quote) {
			r = wasm_text_to_binary(strbuf_str(&bytes), bytes.len, &binary, &len, err);
			if (r < 0)
				return r;
		} else {
			len = bytes.len;
			binary = (uint8_t *)strbuf_take(&bytes);
		}
	} else {
		r = wat_fields_to_binary(t, p, &end, &binary, &len, err);
		if (r < 0)
			return r;
		if (t->tokens[end].kind != WAT_RPAREN)
			return wat_fail(t, end, err, "unexpected token");
	}
	r = wasm_module_decode(binary, len, &m, err);
	return r < 0 ? r : wasm_module_validate(m, err);
}

static void check(const char *file, const struct wat_text *t, uint32_t i, bool ok, const char *what, const struct error *err)
{
	unsigned line = 1;

	if (ok) {
		passed++;
		return;
	}
	failed++;
	for (uint32_t k = 0; k < t->tokens[i].pos; k++)
		line += t->s[k] == '\n';
	printf("%s:%u: %s: %s\n", file, line, what, err->code ? err->message : "accepted");
}

/* The core's newer scripts call this invalid, the threads proposal's malformed. */
static bool is_refused_as_malformed(const char *file, int r)
{
	return r == -WASM_MALFORMED || (strstr(file, "threads/") && r == -WASM_INVALID);
}

static int run(const char *file)
{
	_cleanup_(cleanup_wat_text) struct wat_text t = { 0 };
	_cleanup_free_ char *s = NULL;
	struct error err = ERROR_INIT;
	size_t len;

	if (file_read_at(AT_FDCWD, file, WAT_MAX_TEXT, &s, &len, &err) < 0 || wat_text_scan(s, len, &t, &err) < 0) {
		printf("%s: %s\n", file, err.message);
		failed++;
		return -1;
	}
	if (t.tokens[0].kind == WAT_LPAREN && !wat_opens(&t, 0, "module") && strstr(file, "inline-module")) {
		_cleanup_free_ uint8_t *binary = NULL;
		size_t n;
		int r = wasm_text_to_binary(s, len, &binary, &n, &err);

		check(file, &t, 0, r == 0, "inline module", &err);
		return 0;
	}
	for (uint32_t i = 0; t.tokens[i].kind == WAT_LPAREN; i = wat_skip(&t, i)) {
		err = ERROR_INIT;
		if (wat_opens(&t, i, "module") && !wat_is(&t, i + 2, "instance")) {
			check(file, &t, i, compile(&t, i, &err) == 0, "module", &err);
		} else if (wat_opens(&t, i, "assert_invalid")) {
			int r = compile(&t, i + 2, &err);

			check(file, &t, i, superseded(&t, i) ? r == 0 : r == -WASM_INVALID || r == -E2BIG, "assert_invalid", &err);
		} else if (wat_opens(&t, i, "assert_malformed")) {
			check(file, &t, i, is_refused_as_malformed(file, compile(&t, i + 2, &err)), "assert_malformed", &err);
		} else if (wat_opens(&t, i, "assert_unlinkable") || wat_opens(&t, i, "assert_trap")) {
			if (wat_opens(&t, i + 2, "module"))
				check(file, &t, i, compile(&t, i + 2, &err) == 0, "module", &err);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
