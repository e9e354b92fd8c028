#include <string.h>

#include "wasm/runtime/runtime.h"

static uint64_t max_size(const struct wasm_store *store, const struct wasm_table_type *t)
{
	uint64_t max = store->limits.table_elements;

	return t->limits.has_max ? MIN(max, t->limits.max) : max;
}

int wasm_table_new(struct wasm_store *store, struct wasm_table_type type, wasm_ref_bits init, struct wasm_table_inst **ret,
		   struct error *err)
{
	struct wasm_table_inst *t, **v;

	if (type.limits.min > store->limits.table_elements)
		return error_set(err, ENOMEM, "table of %llu elements is larger than the limit of %llu",
				 (unsigned long long)type.limits.min, (unsigned long long)store->limits.table_elements);
	v = realloc(store->tables, (store->n_tables + 1) * sizeof(*v));
	if (!v)
		return error_oom(err);
	store->tables = v;
	t = calloc(1, sizeof(*t));
	if (!t)
		return error_oom(err);
	t->type = type;
	t->size = t->capacity = type.limits.min;
	t->elems = calloc(t->size + 1, sizeof(*t->elems));
	if (!t->elems) {
		free(t);
		return error_oom(err);
	}
	for (uint64_t i = 0; init && i < t->size; i++)
		t->elems[i] = init;
	v[store->n_tables++] = t;
	*ret = t;
	return 0;
}

void wasm_table_free(struct wasm_table_inst *t)
{
	free(t->elems);
	free(t);
}

int64_t wasm_table_grow(struct wasm_store *store, struct wasm_table_inst *t, uint64_t n, wasm_ref_bits init)
{
	uint64_t old = t->size, size;

	if (__builtin_add_overflow(old, n, &size) || size > max_size(store, &t->type))
		return -1;
	if (size > t->capacity) {
		uint64_t cap = MIN(MAX(size, t->capacity * 2), max_size(store, &t->type));
		wasm_ref_bits *p = realloc(t->elems, (cap + 1) * sizeof(*p));

		if (!p)
			return -1;
		t->elems = p;
		t->capacity = cap;
	}
	for (uint64_t i = old; i < size; i++)
		t->elems[i] = init;
	t->size = size;
	return (int64_t)old;
}
