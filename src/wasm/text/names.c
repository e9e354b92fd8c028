#include <search.h>
#include <string.h>

#include "wasm/text/parser.h"

struct name {
	char *s; /* may hold NUL bytes */
	size_t len;
	uint32_t index;
};

static int compare(const void *pa, const void *pb)
{
	const struct name *a = pa, *b = pb;

	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->s, b->s, a->len);
}

static void free_name(void *p)
{
	struct name *n = p;

	free(n->s);
	free(n);
}

void wat_names_free(struct wat_names *names)
{
	tdestroy(names->tree, free_name);
	*names = (struct wat_names){ 0 };
}

int wat_names_add(struct wat_parser *p, struct wat_names *names, uint32_t token, uint32_t index, const char *what)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	struct name *n, **found;

	TRY(wat_identifier(p->t, token, &b, p->err));
	n = calloc(1, sizeof(*n));
	if (!n)
		return error_oom(p->err);
	n->len = b.len;
	n->index = index;
	n->s = strbuf_take(&b);
	found = n->s ? tsearch(n, &names->tree, compare) : NULL;
	if (!found) {
		free_name(n);
		return error_oom(p->err);
	}
	if (*found != n) {
		free_name(n);
		return wat_fail(p->t, token, p->err, "duplicate %s", what);
	}
	return 0;
}

bool wat_at_index(const struct wat_parser *p)
{
	return p->t->tokens[p->p].kind == WAT_ID || wat_is_index(p->t, p->p);
}

int wat_parse_index(struct wat_parser *p, struct wat_names *names, const char *what, uint32_t *ret)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	struct name key, **found;

	if (p->t->tokens[p->p].kind != WAT_ID) {
		uint64_t v;

		if (!wat_is_index(p->t, p->p))
			return WAT_FAIL(p, "unexpected token: a %s index is expected", what);
		TRY(wat_unsigned(p->t, p->p, UINT32_MAX, &v, p->err));
		p->p++;
		*ret = (uint32_t)v;
		return 0;
	}
	TRY(wat_identifier(p->t, p->p, &b, p->err));
	key = (struct name){ .s = b.data, .len = b.len };
	found = tfind(&key, &names->tree, compare);
	if (!found)
		return WAT_FAIL(p, "unknown %s", what);
	p->p++;
	*ret = (*found)->index;
	return 0;
}

int wat_expect(struct wat_parser *p, enum wat_token_kind kind)
{
	if (p->t->tokens[p->p].kind != kind)
		return WAT_FAIL(p, "unexpected token: %s is expected",
				kind == WAT_LPAREN ? "'('" : kind == WAT_RPAREN ? "')'" : "another token");
	p->p++;
	return 0;
}

int wat_expect_word(struct wat_parser *p, const char *word)
{
	if (!wat_is(p->t, p->p, word))
		return WAT_FAIL(p, "unexpected token: '%s' is expected", word);
	p->p++;
	return 0;
}
