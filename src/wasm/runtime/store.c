#include <string.h>

#include "wasm/runtime/call.h"
#include "wasm/runtime/code.h"
#include "wasm/runtime/runtime.h"

const char *wasm_trap_message(enum wasm_trap trap)
{
	static const char *const messages[WASM_TRAP_COUNT] = {
		[WASM_TRAP_NONE] = "no trap",
		[WASM_TRAP_UNREACHABLE] = "unreachable",
		[WASM_TRAP_MEMORY] = "out of bounds memory access",
		[WASM_TRAP_TABLE] = "out of bounds table access",
		[WASM_TRAP_TABLE_ELEMENT] = "undefined element",
		[WASM_TRAP_ARRAY] = "out of bounds array access",
		[WASM_TRAP_DIVIDE] = "integer divide by zero",
		[WASM_TRAP_OVERFLOW] = "integer overflow",
		[WASM_TRAP_CONVERSION] = "invalid conversion to integer",
		[WASM_TRAP_UNINITIALIZED] = "uninitialized element",
		[WASM_TRAP_SIGNATURE] = "indirect call type mismatch",
		[WASM_TRAP_NULL] = "null reference",
		[WASM_TRAP_NULL_FUNC] = "null function reference",
		[WASM_TRAP_NULL_STRUCT] = "null structure reference",
		[WASM_TRAP_NULL_ARRAY] = "null array reference",
		[WASM_TRAP_NULL_I31] = "null i31 reference",
		[WASM_TRAP_NULL_EXN] = "null exception reference",
		[WASM_TRAP_CAST] = "cast failure",
		[WASM_TRAP_STACK] = "call stack exhausted",
		[WASM_TRAP_UNALIGNED] = "unaligned atomic",
		[WASM_TRAP_NOT_SHARED] = "expected shared memory",
		[WASM_TRAP_HEAP] = "out of garbage-collected memory",
		[WASM_TRAP_INTERRUPT] = "interrupted",
		[WASM_TRAP_HOST] = "host function failed",
		[WASM_TRAP_EXCEPTION] = "uncaught exception",
		[WASM_TRAP_INVALID] = "invalid function",
	};

	return trap < WASM_TRAP_COUNT && messages[trap] ? messages[trap] : "unknown trap";
}

int wasm_store_new(const struct wasm_limits_config *limits, struct wasm_store **ret, struct error *err)
{
	struct wasm_store *s = calloc(1, sizeof(*s));

	if (!s)
		return error_oom(err);
	s->limits = *limits;
	*ret = s;
	return 0;
}

void *wasm_store_alloc(struct wasm_store *s, size_t size, struct error *err)
{
	void *p;

	if (s->n_owned == s->cap_owned) {
		size_t cap = s->cap_owned ? s->cap_owned * 2 : 16;
		void **v = realloc(s->owned, cap * sizeof(*v));

		if (!v) {
			error_oom(err);
			return NULL;
		}
		s->owned = v;
		s->cap_owned = cap;
	}
	p = calloc(1, size ? size : 1);
	if (!p) {
		error_oom(err);
		return NULL;
	}
	s->owned[s->n_owned++] = p;
	return p;
}

void wasm_store_free(struct wasm_store *s)
{
	if (!s)
		return;
	for (struct wasm_instance *i = s->instances; i; i = i->next) {
		for (uint32_t k = 0; k < i->module->n_elems; k++)
			free(i->elem_values[k]);
		wasm_code_unref(i->code);
	}
	for (size_t i = 0; i < s->n_memories; i++)
		wasm_memory_unref(s->memories[i]);
	for (size_t i = 0; i < s->n_tables; i++)
		wasm_table_free(s->tables[i]);
	free(s->memories);
	free(s->tables);
	free(s->globals);
	wasm_gc_free(s->heap);
	while (s->n_owned)
		free(s->owned[--s->n_owned]);
	free(s->owned);
	free(s);
}

int wasm_func_new(struct wasm_store *s, uint32_t type, wasm_host_callback callback, void *data, struct wasm_funcref **ret,
		  struct error *err)
{
	struct wasm_funcref *f = wasm_store_alloc(s, sizeof(*f), err);

	if (!f)
		return -ENOMEM;
	*f = (struct wasm_funcref){ .entry = wasm_host_entry, .context = f, .type = type, .index = UINT32_MAX,
				    .callback = callback, .data = data, .store = s };
	*ret = f;
	return 0;
}

int wasm_global_new(struct wasm_store *s, struct wasm_global_type type, union wasm_value value, struct wasm_global_inst **ret,
		    struct error *err)
{
	struct wasm_global_inst *g = wasm_store_alloc(s, sizeof(*g), err);
	struct wasm_global_inst **v;

	if (!g)
		return -ENOMEM;
	v = realloc(s->globals, (s->n_globals + 1) * sizeof(*v));
	if (!v)
		return error_oom(err);
	s->globals = v;
	s->globals[s->n_globals++] = g;
	g->type = type;
	g->value = value;
	g->cell = &g->value;
	*ret = g;
	return 0;
}

int wasm_tag_new(struct wasm_store *s, uint32_t type, struct wasm_tag_inst **ret, struct error *err)
{
	struct wasm_tag_inst *t = wasm_store_alloc(s, sizeof(*t), err);

	if (!t)
		return -ENOMEM;
	t->type = type;
	*ret = t;
	return 0;
}
