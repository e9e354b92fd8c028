#include "wasm/wast/wast.h"

#include <stdarg.h>
#include <string.h>

#include "wasm/reader.h"
#include "wasm/wast/script.h"

#define MAX_ARGS 64

int wast_list_add(struct wast_list *l, const char *name, struct wasm_module *m, struct wasm_instance *i)
{
	struct wast_named *v = realloc(l->v, (l->n + 1) * sizeof(*v));
	char *copy = NULL;

	if (!v)
		return -ENOMEM;
	l->v = v;
	if (name) {
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
	}
	v[l->n++] = (struct wast_named){ .name = copy, .module = m, .instance = i };
	return 0;
}

/* The newest entry of that name; without a name the newest of all. */
static struct wast_named *find(struct wast_list *l, const char *name)
{
	for (size_t i = l->n; i-- > 0;)
		if (!name || (l->v[i].name && strcmp(l->v[i].name, name) == 0))
			return &l->v[i];
	return NULL;
}

static void free_list(struct wast_list *l, bool modules)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		if (modules)
			wasm_module_free(l->v[i].module);
	}
	free(l->v);
}

/* The identifier at *INDEX, if there is one; moves behind it. The caller frees. */
static char *take_name(struct script *s, uint32_t *index)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	if (s->t->tokens[*index].kind != WAT_ID || wat_identifier(s->t, *index, &b, &s->err) < 0)
		return NULL;
	++*index;
	return strbuf_take(&b);
}

static char *take_string(struct script *s, uint32_t *index, size_t *len)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	if (wat_string(s->t, *index, &b, &s->err) < 0)
		return NULL;
	++*index;
	*len = b.len;
	return strbuf_take(&b);
}

/* ---- modules ---- */

static int strings_to_bytes(struct script *s, uint32_t p, bool quote, uint8_t **ret, size_t *ret_len)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	for (; s->t->tokens[p].kind == WAT_STRING; p++) {
		int r = wat_string(s->t, p, &b, &s->err);

		if (r < 0)
			return r;
		if (quote)
			strbuf_addc(&b, ' ');
	}
	if (quote)
		return wasm_text_to_binary(strbuf_str(&b), b.len, ret, ret_len, &s->err);
	*ret_len = b.len;
	*ret = (uint8_t *)strbuf_take(&b);
	return *ret ? 0 : error_oom(&s->err);
}

/* "(module ...)" at INDEX, behind the keywords and the identifier, to a validated module. */
static int compile_body(struct script *s, uint32_t p, struct wasm_module **ret)
{
	_cleanup_wasm_module_ struct wasm_module *m = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	uint32_t end;
	size_t len;
	int r;

	if (wat_is(s->t, p, "binary") || wat_is(s->t, p, "quote")) {
		r = strings_to_bytes(s, p + 1, wat_is(s->t, p, "quote"), &bytes, &len);
	} else {
		r = wat_fields_to_binary(s->t, p, &end, &bytes, &len, &s->err);
		if (r >= 0 && s->t->tokens[end].kind != WAT_RPAREN)
			r = wat_fail(s->t, end, &s->err, "unexpected token");
	}
	if (r >= 0)
		r = wasm_module_decode(bytes, len, &m, &s->err);
	if (r >= 0)
		r = wasm_module_validate(m, &s->err);
	if (r >= 0)
		*ret = take_ptr(m);
	return r;
}

static int define(struct script *s, uint32_t index, struct wasm_module **ret, char **ret_name)
{
	uint32_t p = index + 2;
	int r;

	if (wat_is(s->t, p, "definition"))
		p++;
	*ret_name = take_name(s, &p);
	r = compile_body(s, p, ret);
	return r < 0 ? r : wast_list_add(&s->definitions, *ret_name, *ret, NULL);
}

static int instantiate(struct script *s, struct wasm_module *m, struct wasm_instance **ret, enum wasm_trap *trap)
{
	_cleanup_free_ struct wasm_extern *imports = calloc(m->n_imports + 1, sizeof(*imports));

	if (!imports)
		return error_oom(&s->err);
	for (uint32_t i = 0; i < m->n_imports; i++) {
		const struct wasm_import *im = &m->imports[i];
		_cleanup_free_ char *module = strndup(im->module.s, im->module.len);
		struct wast_named *from = module ? find(&s->registered, module) : NULL;

		if (!from || wasm_instance_export(from->instance, im->name.s, im->name.len, &imports[i]) < 0)
			return error_set(&s->err, ENOEXEC, "unknown import '%.*s' '%.*s'", (int)im->module.len, im->module.s,
					 (int)im->name.len, im->name.s);
	}
	return wasm_instantiate(s->store, m, imports, ret, trap, &s->err);
}

static int run_module(struct script *s, uint32_t index)
{
	_cleanup_free_ char *name = NULL, *definition = NULL;
	struct wasm_instance *instance = NULL;
	struct wasm_module *m = NULL;
	uint32_t p = index + 2;
	int r;

	if (wat_is(s->t, p, "instance")) {
		struct wast_named *d;

		p++;
		name = take_name(s, &p);
		definition = take_name(s, &p);
		d = find(&s->definitions, definition);
		if (!d)
			return error_set(&s->err, ENOENT, "unknown module definition");
		m = d->module;
	} else {
		r = define(s, index, &m, &name);
		if (r < 0 || wat_is(s->t, p, "definition"))
			return r;
	}
	r = instantiate(s, m, &instance, NULL);
	return r < 0 ? r : wast_list_add(&s->instances, name, m, instance);
}

/* ---- actions ---- */

struct outcome {
	union wasm_value values[WASM_MAX_RESULTS];
	const wasm_type *types;
	wasm_type global;
	uint32_t n;
	enum wasm_trap trap;
};

static int find_export(struct script *s, uint32_t *p, struct wasm_extern *ret)
{
	_cleanup_free_ char *module = take_name(s, p), *field = NULL;
	struct wast_named *i = find(&s->instances, module);
	size_t len = 0;

	field = take_string(s, p, &len);
	if (!i || !field || wasm_instance_export(i->instance, field, len, ret) < 0)
		return error_set(&s->err, ENOENT, "unknown module or export '%s'", field ? field : "?");
	return 0;
}

static int invoke(struct script *s, uint32_t index, struct outcome *ret)
{
	union wasm_value args[MAX_ARGS];
	const struct wasm_typedef *t;
	struct wasm_extern e;
	uint32_t p = index + 2, n = 0;
	int r = find_export(s, &p, &e);

	if (r < 0)
		return r;
	if (e.kind != WASM_EXTERN_FUNC)
		return error_set(&s->err, EINVAL, "the export is no function");
	t = wasm_typedef_get(e.func->type);
	for (; s->t->tokens[p].kind == WAT_LPAREN; n++) {
		wasm_type type;

		if (n == MAX_ARGS)
			return error_set(&s->err, E2BIG, "too many arguments");
		r = wast_value(s, &p, &args[n], &type);
		if (r < 0)
			return r;
	}
	if (n != t->n_params)
		return error_set(&s->err, EINVAL, "%u arguments for %u parameters", n, t->n_params);
	ret->types = t->results;
	ret->n = t->n_results;
	return wasm_call(e.func, args, ret->values, &ret->trap, &s->err);
}

static int run_action(struct script *s, uint32_t index, struct outcome *ret)
{
	struct wasm_extern e;
	uint32_t p = index + 2;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (wat_opens(s->t, index, "invoke"))
		return invoke(s, index, ret);
	if (!wat_opens(s->t, index, "get"))
		return error_set(&s->err, EINVAL, "unknown action");
	r = find_export(s, &p, &e);
	if (r < 0)
		return r;
	if (e.kind != WASM_EXTERN_GLOBAL)
		return error_set(&s->err, EINVAL, "the export is no global");
	ret->values[0] = *e.global->cell;
	ret->global = e.global->type.type;
	ret->types = &ret->global;
	ret->n = 1;
	return 0;
}

/* ---- assertions ---- */

static int assert_return(struct script *s, uint32_t index)
{
	uint32_t p = wat_skip(s->t, index + 2), n = 0;
	struct outcome out;
	int r = run_action(s, index + 2, &out);

	if (r < 0)
		return r;
	for (; s->t->tokens[p].kind == WAT_LPAREN; p = wat_skip(s->t, p), n++) {
		char got[96];

		if (n >= out.n)
			return error_set(&s->err, EINVAL, "fewer results than expected");
		if (wast_matches(s, p, out.values[n], out.types[n]))
			continue;
		wast_describe(out.values[n], out.types[n], got, sizeof(got));
		return error_set(&s->err, EINVAL, "result %u is %s", n, got);
	}
	return n == out.n ? 0 : error_set(&s->err, EINVAL, "%u results, %u expected", out.n, n);
}

/* Whether the message that the assertion expects and what happened begin alike. */
static int expect_message(struct script *s, uint32_t index, const char *got)
{
	_cleanup_free_ char *want = NULL;
	size_t len = 0, n;

	if (s->t->tokens[index].kind != WAT_STRING)
		return 0;
	want = take_string(s, &index, &len);
	n = MIN(len, strlen(got));
	if (want && strncmp(want, got, n) == 0)
		return 0;
	return error_set(&s->err, EINVAL, "'%s' happened, '%s' expected", got, want ? want : "?");
}

static int assert_trap(struct script *s, uint32_t index)
{
	uint32_t message = wat_skip(s->t, index + 2);
	enum wasm_trap trap = WASM_TRAP_NONE;
	struct outcome out;
	int r;

	if (wat_opens(s->t, index + 2, "module")) {
		_cleanup_free_ char *name = NULL;
		struct wasm_instance *instance;
		struct wasm_module *m = NULL;

		r = define(s, index + 2, &m, &name);
		if (r < 0)
			return r;
		r = instantiate(s, m, &instance, &trap);
	} else {
		r = run_action(s, index + 2, &out);
		trap = out.trap;
	}
	if (r >= 0)
		return error_set(&s->err, EINVAL, "no trap");
	if (trap == WASM_TRAP_NONE)
		return r;
	return expect_message(s, message, wasm_trap_message(trap));
}

static int assert_exception(struct script *s, uint32_t index)
{
	struct outcome out;
	int r = run_action(s, index + 2, &out);

	if (r >= 0 || out.trap != WASM_TRAP_EXCEPTION)
		return error_set(&s->err, EINVAL, "no exception");
	return 0;
}

static int assert_unlinkable(struct script *s, uint32_t index)
{
	_cleanup_free_ char *name = NULL;
	struct wasm_instance *instance;
	struct wasm_module *m = NULL;
	int r = define(s, index + 2, &m, &name);

	if (r < 0)
		return r;
	r = instantiate(s, m, &instance, NULL);
	if (r == -ENOEXEC)
		return 0;
	return r < 0 ? r : error_set(&s->err, EINVAL, "the module was linked");
}

/* The threads proposal's scripts predate multiple memories and tables, which 3.0 allows: there the module must be valid. */
static bool superseded(const struct wat_text *t, uint32_t index)
{
	const struct wat_token *why = &t->tokens[wat_skip(t, index) - 2];
	static const char *const messages[] = { "\"multiple memories\"", "\"multiple tables\"" };

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (why->len == strlen(messages[i]) && memcmp(t->s + why->pos, messages[i], why->len) == 0)
			return true;
	return false;
}

/* Both are "refused before it is run"; which of the two it is has changed between editions of the specification. */
static int assert_refused(struct script *s, uint32_t index)
{
	_cleanup_free_ char *name = NULL;
	struct wasm_module *m = NULL;
	int r = define(s, index + 2, &m, &name);

	if (superseded(s->t, index))
		return r;
	if (r >= 0)
		return error_set(&s->err, EINVAL, "the module was accepted");
	return r == -WASM_MALFORMED || r == -WASM_INVALID || r == -E2BIG ? 0 : r;
}

static int run_register(struct script *s, uint32_t index)
{
	_cleanup_free_ char *as = NULL, *name = NULL;
	uint32_t p = index + 2;
	struct wast_named *i;
	size_t len;

	as = take_string(s, &p, &len);
	name = take_name(s, &p);
	i = find(&s->instances, name);
	if (!as || !i)
		return error_set(&s->err, ENOENT, "unknown module to register");
	return wast_list_add(&s->registered, as, NULL, i->instance);
}

static int run_bare_action(struct script *s, uint32_t index)
{
	struct outcome out;

	return run_action(s, index, &out);
}

static const struct {
	const char *word;
	int (*run)(struct script *s, uint32_t index);
} commands[] = {
	{ "module", run_module },
	{ "register", run_register },
	{ "invoke", run_bare_action },
	{ "get", run_bare_action },
	{ "assert_return", assert_return },
	{ "assert_trap", assert_trap },
	{ "assert_exhaustion", assert_trap },
	{ "assert_exception", assert_exception },
	{ "assert_malformed", assert_refused },
	{ "assert_invalid", assert_refused },
	{ "assert_unlinkable", assert_unlinkable },
};

static unsigned line_of(const struct wat_text *t, uint32_t index)
{
	unsigned line = 1;

	for (uint32_t i = 0; i < t->tokens[index].pos; i++)
		line += t->s[i] == '\n';
	return line;
}

static void run_command(struct script *s, uint32_t index)
{
	int r = -EINVAL;

	s->err = ERROR_INIT;
	error_set(&s->err, EINVAL, "unknown command");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (wat_opens(s->t, index, commands[i].word))
			r = commands[i].run(s, index);
	if (r >= 0) {
		s->report->passed++;
		return;
	}
	s->report->failed++;
	if (s->report->failure)
		s->report->failure(s->report->data, line_of(s->t, index), s->err.message);
}

/* A script may be a module's fields without "(module ...)" around them. */
static bool is_inline_module(const struct wat_text *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (wat_opens(t, 0, commands[i].word))
			return false;
	return t->tokens[0].kind == WAT_LPAREN;
}

static int run_script(struct script *s, const char *text, size_t len)
{
	const struct wasm_limits_config limits = WASM_LIMITS_DEFAULT;
	int r = wasm_store_new(&limits, &s->store, &s->err);

	if (r >= 0)
		r = wast_spectest(s);
	if (r < 0)
		return r;
	if (is_inline_module(s->t)) {
		_cleanup_wasm_module_ struct wasm_module *m = NULL;
		_cleanup_free_ uint8_t *bytes = NULL;
		size_t n;

		r = wasm_text_to_binary(text, len, &bytes, &n, &s->err);
		if (r >= 0)
			r = wasm_module_decode(bytes, n, &m, &s->err);
		s->report->passed += r >= 0;
		return r;
	}
	for (uint32_t i = 0; s->t->tokens[i].kind == WAT_LPAREN; i = wat_skip(s->t, i))
		run_command(s, i);
	return 0;
}

int wasm_wast_run(const char *text, size_t len, struct wasm_wast_report *report, struct error *err)
{
	_cleanup_(cleanup_wat_text) struct wat_text t = { 0 };
	struct script s = { .t = &t, .report = report };
	int r = wat_text_scan(text, len, &t, err);

	if (r < 0)
		return r;
	r = run_script(&s, text, len);
	if (r < 0 && err)
		*err = s.err;
	wasm_store_free(s.store);
	wasm_module_free(s.spectest_module);
	free_list(&s.definitions, true);
	free_list(&s.instances, false);
	free_list(&s.registered, false);
	return r;
}
