/* The binary format's module structure (core specification 3.0, 5.5) and the validation of all but bodies (3.4, 3.5). */
#include <string.h>

#include "wasm/module.h"
#include "wasm/validate.h"

enum section {
	SECTION_CUSTOM,
	SECTION_TYPE,
	SECTION_IMPORT,
	SECTION_FUNCTION,
	SECTION_TABLE,
	SECTION_MEMORY,
	SECTION_GLOBAL,
	SECTION_EXPORT,
	SECTION_START,
	SECTION_ELEMENT,
	SECTION_CODE,
	SECTION_DATA,
	SECTION_DATA_COUNT,
	SECTION_TAG,
	SECTION_LIMIT,
};

struct decoder {
	struct wasm_module *m;
	struct wasm_reader r; /* the current section */
	uint32_t n_bodies;
};

#define FAIL(...) wasm_reader_fail(&d->r, WASM_INVALID, __VA_ARGS__)
#define MALFORMED(...) wasm_reader_fail(&d->r, WASM_MALFORMED, __VA_ARGS__)

/* Grows an array by N zeroed elements and returns the first new one, or NULL with the reader failed. */
static void *extend(struct decoder *d, void *array, uint32_t *count, uint32_t n, size_t size, uint32_t max, const char *what)
{
	void **p = array, *grown;

	if (n > max || *count > max - n) {
		wasm_reader_fail(&d->r, E2BIG, "more %s than the limit of %u", what, max);
		return NULL;
	}
	grown = realloc(*p, ((size_t)*count + n + 1) * size);
	if (!grown) {
		wasm_reader_fail(&d->r, ENOMEM, "out of memory");
		return NULL;
	}
	*p = grown;
	grown = (char *)grown + *count * size;
	memset(grown, 0, (n + 1) * size);
	*count += n;
	return grown;
}

/* ---- types ---- */

/* While a rec group is being read, m->types maps its own indices to WASM_HEAP_REC | k. */
static wasm_type read_storage_type(struct decoder *d)
{
	if (!d->r.failed && d->r.p < d->r.end && (*d->r.p == WASM_I8 || *d->r.p == WASM_I16))
		return *d->r.p++;
	return wasm_read_valtype(d->m, &d->r);
}

static bool read_mutability(struct decoder *d)
{
	uint8_t b = wasm_read_u8(&d->r);

	if (b > 1)
		MALFORMED("malformed mutability 0x%02x", b);
	return b == 1;
}

static wasm_type *read_types(struct decoder *d, uint32_t max, uint32_t *ret_n, const char *what)
{
	uint32_t n = wasm_read_count(&d->r, 1, max, what);
	wasm_type *v = malloc((n + 1) * sizeof(*v));

	*ret_n = 0;
	if (!v) {
		wasm_reader_fail(&d->r, ENOMEM, "out of memory");
		return NULL;
	}
	for (uint32_t i = 0; i < n && !d->r.failed; i++)
		v[i] = wasm_read_valtype(d->m, &d->r);
	*ret_n = n;
	return v;
}

static void read_fields(struct decoder *d, struct wasm_typedef *t, bool many)
{
	uint32_t n = many ? wasm_read_count(&d->r, 2, WASM_MAX_FIELDS, "fields") : 1;

	t->fields = calloc(n + 1, sizeof(*t->fields));
	if (!t->fields) {
		wasm_reader_fail(&d->r, ENOMEM, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < n && !d->r.failed; i++) {
		t->fields[i].type = read_storage_type(d);
		t->fields[i].mutable = read_mutability(d);
	}
	t->n_fields = n;
}

static void read_composite(struct decoder *d, struct wasm_typedef *t, uint8_t b)
{
	switch (b) {
	case 0x60:
		t->kind = WASM_TYPEDEF_FUNC;
		t->params = read_types(d, WASM_MAX_PARAMS, &t->n_params, "parameters");
		t->results = read_types(d, WASM_MAX_RESULTS, &t->n_results, "results");
		break;
	case 0x5f:
		t->kind = WASM_TYPEDEF_STRUCT;
		read_fields(d, t, true);
		break;
	case 0x5e:
		t->kind = WASM_TYPEDEF_ARRAY;
		read_fields(d, t, false);
		break;
	default:
		if (!d->r.failed)
			MALFORMED("malformed type form 0x%02x (integer representation too long)", b);
	}
}

static void read_subtype(struct decoder *d, struct wasm_typedef *t, uint32_t self)
{
	uint8_t b = wasm_read_u8(&d->r);

	t->final = b != 0x50;
	t->super = WASM_NO_SUPER;
	if (b == 0x50 || b == 0x4f) {
		uint32_t n = wasm_read_count(&d->r, 1, 1, "supertypes");

		if (n) {
			uint32_t i = wasm_read_u32(&d->r);

			if (!d->r.failed && i >= self)
				FAIL("unknown type %u: a supertype must be declared before", i);
			t->super = d->r.failed ? WASM_NO_SUPER : d->m->types[i];
		}
		b = wasm_read_u8(&d->r);
	}
	read_composite(d, t, b);
}

static bool field_matches(const struct wasm_field *sub, const struct wasm_field *super)
{
	if (sub->mutable != super->mutable)
		return false;
	if (sub->mutable)
		return sub->type == super->type;
	return wasm_subtype(sub->type, super->type);
}

static bool typedef_matches(const struct wasm_typedef *sub, const struct wasm_typedef *super)
{
	if (sub->kind != super->kind || super->final)
		return false;
	if (sub->kind == WASM_TYPEDEF_FUNC) {
		if (sub->n_params != super->n_params || sub->n_results != super->n_results)
			return false;
		for (uint32_t i = 0; i < sub->n_params; i++)
			if (!wasm_subtype(super->params[i], sub->params[i]))
				return false;
		for (uint32_t i = 0; i < sub->n_results; i++)
			if (!wasm_subtype(sub->results[i], super->results[i]))
				return false;
		return true;
	}
	if (sub->n_fields < super->n_fields)
		return false;
	for (uint32_t i = 0; i < super->n_fields; i++)
		if (!field_matches(&sub->fields[i], &super->fields[i]))
			return false;
	return true;
}

static void check_supertype(struct decoder *d, uint32_t index)
{
	const struct wasm_typedef *t = wasm_typedef_get(d->m->types[index]);

	if (t->super == WASM_NO_SUPER)
		return;
	if (t->depth > WASM_MAX_SUPERS)
		FAIL("type %u has more than %u supertypes", index, WASM_MAX_SUPERS);
	else if (!typedef_matches(t, wasm_typedef_get(t->super)))
		FAIL("sub type %u does not match super type", index);
}

static void read_rec_group(struct decoder *d, struct wasm_typedef *group, uint32_t n)
{
	uint32_t start = d->m->n_types, first;

	if (!extend(d, &d->m->types, &d->m->n_types, n, sizeof(*d->m->types), WASM_MAX_TYPES, "types"))
		return;
	for (uint32_t i = 0; i < n; i++)
		d->m->types[start + i] = WASM_HEAP_REC | i;
	for (uint32_t i = 0; i < n && !d->r.failed; i++)
		read_subtype(d, &group[i], start + i);
	if (d->r.failed)
		return;
	if (wasm_types_register(group, n, &first, d->r.err) < 0) {
		d->r.failed = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		d->m->types[start + i] = first + i;
	for (uint32_t i = 0; i < n && !d->r.failed; i++)
		check_supertype(d, start + i);
}

static void read_rec_types(struct decoder *d)
{
	struct wasm_typedef *group;
	uint32_t n = 1;

	if (!d->r.failed && d->r.p < d->r.end && *d->r.p == 0x4e) {
		d->r.p++;
		n = wasm_read_count(&d->r, 2, WASM_MAX_TYPES, "types in a rec group");
	}
	group = calloc(n + 1, sizeof(*group));
	if (!group) {
		wasm_reader_fail(&d->r, ENOMEM, "out of memory");
		return;
	}
	read_rec_group(d, group, n);
	for (uint32_t i = 0; i < n; i++) {
		free(group[i].params);
		free(group[i].results);
		free(group[i].fields);
	}
	free(group);
}

static void read_type_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 2, WASM_MAX_TYPES, "types");

	while (n-- && !d->r.failed)
		read_rec_types(d);
}

/* ---- descriptions of imports and definitions ---- */

static struct wasm_limits read_limits(struct decoder *d, bool memory)
{
	struct wasm_limits l = { 0 };
	uint8_t flags = wasm_read_u8(&d->r);

	if (flags > (memory ? 7 : 5) || (!memory && flags & 2)) {
		MALFORMED("malformed limits flags 0x%02x", flags);
		return l;
	}
	l.has_max = flags & 1;
	l.shared = flags & 2;
	l.is64 = flags & 4;
	l.min = wasm_read_u64(&d->r);
	l.max = l.has_max ? wasm_read_u64(&d->r) : UINT64_MAX;
	return l;
}

static struct wasm_table_type read_table_type(struct decoder *d)
{
	struct wasm_table_type t = { 0 };

	t.elem = wasm_read_reftype(d->m, &d->r);
	t.limits = read_limits(d, false);
	if (d->r.failed)
		return t;
	if (!t.limits.is64 && (t.limits.min > UINT32_MAX || (t.limits.has_max && t.limits.max > UINT32_MAX)))
		FAIL("table size must be at most 2^32-1");
	else if (t.limits.has_max && t.limits.min > t.limits.max)
		FAIL("size minimum must not be greater than maximum");
	return t;
}

static struct wasm_memory_type read_memory_type(struct decoder *d)
{
	struct wasm_memory_type t = { .limits = read_limits(d, true) };
	uint64_t max_pages = t.limits.is64 ? 1ull << 48 : 1ull << 16;

	if (d->r.failed)
		return t;
	if (t.limits.min > max_pages || (t.limits.has_max && t.limits.max > max_pages))
		FAIL("memory size must be at most %llu pages", (unsigned long long)max_pages);
	else if (t.limits.has_max && t.limits.min > t.limits.max)
		FAIL("size minimum must not be greater than maximum");
	else if (t.limits.shared && !t.limits.has_max)
		FAIL("shared memory must have maximum");
	return t;
}

static struct wasm_global_type read_global_type(struct decoder *d)
{
	struct wasm_global_type t;

	t.type = wasm_read_valtype(d->m, &d->r);
	t.mutable = read_mutability(d);
	return t;
}

static uint32_t read_func_type(struct decoder *d)
{
	uint32_t i = wasm_read_u32(&d->r);

	if (d->r.failed)
		return 0;
	if (i >= d->m->n_types)
		FAIL("unknown type %u", i);
	else if (wasm_typedef_get(d->m->types[i])->kind != WASM_TYPEDEF_FUNC)
		FAIL("type mismatch: type %u is not a function type", i);
	return d->r.failed ? 0 : d->m->types[i];
}

static uint32_t read_tag_type(struct decoder *d)
{
	uint8_t attribute = wasm_read_u8(&d->r);
	uint32_t type;

	if (attribute != 0)
		MALFORMED("malformed tag attribute 0x%02x", attribute);
	type = read_func_type(d);
	if (!d->r.failed && wasm_typedef_get(type)->n_results)
		FAIL("non-empty tag result type");
	return type;
}

static void read_import(struct decoder *d, struct wasm_import *im)
{
	struct wasm_module *m = d->m;
	uint8_t kind;

	im->module.s = wasm_read_name(&d->r, &im->module.len);
	im->name.s = wasm_read_name(&d->r, &im->name.len);
	kind = wasm_read_u8(&d->r);
	if (d->r.failed)
		return;
	im->kind = kind;
	switch (kind) {
	case WASM_EXTERN_FUNC: {
		struct wasm_func f = { .type = read_func_type(d) }, *p;

		im->index = m->n_funcs;
		p = extend(d, &m->funcs, &m->n_funcs, 1, sizeof(*p), WASM_MAX_FUNCS, "functions");
		if (p)
			p->type = f.type;
		m->n_imported_funcs = m->n_funcs;
		break;
	}
	case WASM_EXTERN_TABLE: {
		struct wasm_table_type t = read_table_type(d);
		struct wasm_table *p;

		im->index = m->n_tables;
		p = extend(d, &m->tables, &m->n_tables, 1, sizeof(*p), WASM_MAX_TABLES, "tables");
		if (p)
			p->type = t;
		m->n_imported_tables = m->n_tables;
		break;
	}
	case WASM_EXTERN_MEMORY: {
		struct wasm_memory_type t = read_memory_type(d), *p;

		im->index = m->n_memories;
		p = extend(d, &m->memories, &m->n_memories, 1, sizeof(*p), WASM_MAX_MEMORIES, "memories");
		if (p)
			*p = t;
		m->n_imported_memories = m->n_memories;
		break;
	}
	case WASM_EXTERN_GLOBAL: {
		struct wasm_global_type t = read_global_type(d);
		struct wasm_global *p;

		im->index = m->n_globals;
		p = extend(d, &m->globals, &m->n_globals, 1, sizeof(*p), WASM_MAX_GLOBALS, "globals");
		if (p)
			p->type = t;
		m->n_imported_globals = m->n_globals;
		break;
	}
	case WASM_EXTERN_TAG: {
		uint32_t t = read_tag_type(d), *p;

		im->index = m->n_tags;
		p = extend(d, &m->tags, &m->n_tags, 1, sizeof(*p), WASM_MAX_TAGS, "tags");
		if (p)
			*p = t;
		m->n_imported_tags = m->n_tags;
		break;
	}
	default:
		MALFORMED("malformed import kind 0x%02x", kind);
	}
}

static void read_import_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 4, WASM_MAX_IMPORTS, "imports");
	struct wasm_import *v = extend(d, &d->m->imports, &d->m->n_imports, n, sizeof(*v), WASM_MAX_IMPORTS, "imports");

	for (uint32_t i = 0; v && i < n && !d->r.failed; i++)
		read_import(d, &v[i]);
}

static void read_function_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 1, WASM_MAX_FUNCS, "functions");
	struct wasm_func *v = extend(d, &d->m->funcs, &d->m->n_funcs, n, sizeof(*v), WASM_MAX_FUNCS, "functions");

	for (uint32_t i = 0; v && i < n && !d->r.failed; i++)
		v[i].type = read_func_type(d);
}

/* ---- constant expressions ---- */

static struct wasm_expr read_constant(struct decoder *d, wasm_type type, uint32_t n_globals)
{
	struct wasm_expr e = { .offset = (uint32_t)wasm_reader_offset(&d->r) };

	wasm_validate_constant(d->m, &d->r, type, n_globals);
	e.len = (uint32_t)wasm_reader_offset(&d->r) - e.offset;
	return e;
}

static void read_table(struct decoder *d, struct wasm_table *t)
{
	if (!d->r.failed && d->r.p < d->r.end && *d->r.p == 0x40) {
		d->r.p++;
		if (wasm_read_u8(&d->r) != 0)
			MALFORMED("malformed table: zero byte expected");
		t->type = read_table_type(d);
		t->has_init = true;
		if (!d->r.failed)
			t->init = read_constant(d, t->type.elem, d->m->n_imported_globals);
		return;
	}
	t->type = read_table_type(d);
	if (!d->r.failed && !wasm_is_defaultable(t->type.elem))
		FAIL("type mismatch: a table of non-nullable references needs an initializer");
}

static void read_table_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 3, WASM_MAX_TABLES, "tables");
	struct wasm_table *v = extend(d, &d->m->tables, &d->m->n_tables, n, sizeof(*v), WASM_MAX_TABLES, "tables");

	for (uint32_t i = 0; v && i < n && !d->r.failed; i++)
		read_table(d, &v[i]);
}

static void read_memory_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 2, WASM_MAX_MEMORIES, "memories");
	struct wasm_memory_type *v =
		extend(d, &d->m->memories, &d->m->n_memories, n, sizeof(*v), WASM_MAX_MEMORIES, "memories");

	for (uint32_t i = 0; v && i < n && !d->r.failed; i++)
		v[i] = read_memory_type(d);
}

static void read_tag_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 2, WASM_MAX_TAGS, "tags");
	uint32_t *v = extend(d, &d->m->tags, &d->m->n_tags, n, sizeof(*v), WASM_MAX_TAGS, "tags");

	for (uint32_t i = 0; v && i < n && !d->r.failed; i++)
		v[i] = read_tag_type(d);
}

static void read_global_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 3, WASM_MAX_GLOBALS, "globals");

	while (n-- && !d->r.failed) {
		struct wasm_global g = { .type = read_global_type(d) }, *p;

		if (d->r.failed)
			return;
		g.init = read_constant(d, g.type.type, d->m->n_globals);
		p = extend(d, &d->m->globals, &d->m->n_globals, 1, sizeof(*p), WASM_MAX_GLOBALS, "globals");
		if (p)
			*p = g;
	}
}

/* ---- exports, start ---- */

static void read_export(struct decoder *d, struct wasm_export *e)
{
	static const char *const kinds[] = { "function", "table", "memory", "global", "tag" };
	uint32_t counts[] = { d->m->n_funcs, d->m->n_tables, d->m->n_memories, d->m->n_globals, d->m->n_tags };
	uint8_t kind;

	e->name.s = wasm_read_name(&d->r, &e->name.len);
	kind = wasm_read_u8(&d->r);
	e->index = wasm_read_u32(&d->r);
	if (d->r.failed)
		return;
	if (kind >= ARRAY_SIZE(kinds)) {
		MALFORMED("malformed export kind 0x%02x", kind);
		return;
	}
	e->kind = kind;
	if (e->index >= counts[kind])
		FAIL("unknown %s %u", kinds[kind], e->index);
	else if (kind == WASM_EXTERN_FUNC)
		d->m->funcs[e->index].declared = true;
}

static int compare_exports(const void *pa, const void *pb)
{
	const struct wasm_export *a = *(const struct wasm_export *const *)pa, *b = *(const struct wasm_export *const *)pb;

	if (a->name.len != b->name.len)
		return a->name.len < b->name.len ? -1 : 1;
	return a->name.len ? memcmp(a->name.s, b->name.s, a->name.len) : 0;
}

static void check_export_names(struct decoder *d)
{
	uint32_t n = d->m->n_exports;
	_cleanup_free_ const struct wasm_export **sorted = calloc(n + 1, sizeof(*sorted));

	if (!sorted) {
		wasm_reader_fail(&d->r, ENOMEM, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		sorted[i] = &d->m->exports[i];
	qsort(sorted, n, sizeof(*sorted), compare_exports);
	for (uint32_t i = 1; i < n; i++)
		if (compare_exports(&sorted[i - 1], &sorted[i]) == 0) {
			FAIL("duplicate export name '%.*s'", (int)MIN(sorted[i]->name.len, 200u), sorted[i]->name.s);
			return;
		}
}

static void read_export_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 3, WASM_MAX_EXPORTS, "exports");
	struct wasm_export *v = extend(d, &d->m->exports, &d->m->n_exports, n, sizeof(*v), WASM_MAX_EXPORTS, "exports");

	for (uint32_t i = 0; v && i < n && !d->r.failed; i++)
		read_export(d, &v[i]);
	if (!d->r.failed)
		check_export_names(d);
}

static void read_start_section(struct decoder *d)
{
	uint32_t i = wasm_read_u32(&d->r);

	if (d->r.failed)
		return;
	if (i >= d->m->n_funcs) {
		FAIL("unknown function %u", i);
		return;
	}
	if (wasm_func_type(d->m, i)->n_params || wasm_func_type(d->m, i)->n_results)
		FAIL("start function %u must have no parameters and no results", i);
	d->m->has_start = true;
	d->m->start = i;
}

/* ---- segments ---- */

static void read_elem_funcs(struct decoder *d, struct wasm_elem *e)
{
	uint32_t n = wasm_read_count(&d->r, 1, WASM_MAX_TABLE_SIZE, "elements");

	e->funcs = malloc((n + 1) * sizeof(*e->funcs));
	if (!e->funcs) {
		wasm_reader_fail(&d->r, ENOMEM, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < n && !d->r.failed; i++) {
		uint32_t f = wasm_read_u32(&d->r);

		if (!d->r.failed && f >= d->m->n_funcs)
			FAIL("unknown function %u", f);
		if (d->r.failed)
			return;
		d->m->funcs[f].declared = true;
		e->funcs[i] = f;
	}
	e->n = n;
}

static void read_elem_exprs(struct decoder *d, struct wasm_elem *e)
{
	uint32_t n = wasm_read_count(&d->r, 2, WASM_MAX_TABLE_SIZE, "elements");

	e->exprs = malloc((n + 1) * sizeof(*e->exprs));
	if (!e->exprs) {
		wasm_reader_fail(&d->r, ENOMEM, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < n && !d->r.failed; i++)
		e->exprs[i] = read_constant(d, e->type, d->m->n_globals);
	e->n = n;
}

static void read_elem_place(struct decoder *d, struct wasm_elem *e)
{
	wasm_type index = WASM_I32;

	if (!d->r.failed && e->table >= d->m->n_tables)
		FAIL("unknown table %u", e->table);
	if (d->r.failed)
		return;
	if (d->m->tables[e->table].type.limits.is64)
		index = WASM_I64;
	e->table_offset = read_constant(d, index, d->m->n_globals);
}

/* Flags: bit 0 passive or declarative, bit 1 explicit table or declarative, bit 2 expressions. */
static void read_elem(struct decoder *d, struct wasm_elem *e)
{
	uint32_t flags = wasm_read_u32(&d->r);

	if (flags > 7)
		MALFORMED("malformed elements segment kind %u", flags);
	e->mode = !(flags & 1) ? WASM_SEGMENT_ACTIVE : flags & 2 ? WASM_SEGMENT_DECLARATIVE : WASM_SEGMENT_PASSIVE;
	if (e->mode == WASM_SEGMENT_ACTIVE) {
		e->table = flags & 2 ? wasm_read_u32(&d->r) : 0;
		read_elem_place(d, e);
	}
	e->type = flags & 4 ? WASM_FUNCREF : wasm_ref(false, WASM_HEAP_FUNC);
	if (flags & 3) {
		if (flags & 4)
			e->type = wasm_read_reftype(d->m, &d->r);
		else if (wasm_read_u8(&d->r) != 0)
			MALFORMED("malformed element kind");
	}
	if (d->r.failed)
		return;
	if (e->mode == WASM_SEGMENT_ACTIVE && !wasm_subtype(e->type, d->m->tables[e->table].type.elem)) {
		FAIL("type mismatch: segment of %s for a table of %s", wasm_type_name(e->type),
		     wasm_type_name(d->m->tables[e->table].type.elem));
		return;
	}
	if (flags & 4)
		read_elem_exprs(d, e);
	else
		read_elem_funcs(d, e);
}

static void read_element_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 2, WASM_MAX_SEGMENTS, "elem segments");
	struct wasm_elem *v = extend(d, &d->m->elems, &d->m->n_elems, n, sizeof(*v), WASM_MAX_SEGMENTS, "elem segments");

	for (uint32_t i = 0; v && i < n && !d->r.failed; i++)
		read_elem(d, &v[i]);
}

static void read_data(struct decoder *d, struct wasm_data *data)
{
	uint32_t flags = wasm_read_u32(&d->r), n;

	if (flags > 2)
		MALFORMED("malformed data segment kind %u", flags);
	data->mode = flags == 1 ? WASM_SEGMENT_PASSIVE : WASM_SEGMENT_ACTIVE;
	if (data->mode == WASM_SEGMENT_ACTIVE) {
		data->memory = flags == 2 ? wasm_read_u32(&d->r) : 0;
		if (!d->r.failed && data->memory >= d->m->n_memories)
			FAIL("unknown memory %u", data->memory);
		if (d->r.failed)
			return;
		data->memory_offset = read_constant(d, d->m->memories[data->memory].limits.is64 ? WASM_I64 : WASM_I32,
						    d->m->n_globals);
	}
	n = wasm_read_u32(&d->r);
	data->offset = (uint32_t)wasm_reader_offset(&d->r);
	data->len = n;
	wasm_read_bytes(&d->r, n);
}

static void read_data_section(struct decoder *d)
{
	uint32_t n = wasm_read_count(&d->r, 2, WASM_MAX_SEGMENTS, "data segments");
	struct wasm_data *v = extend(d, &d->m->datas, &d->m->n_datas, n, sizeof(*v), WASM_MAX_SEGMENTS, "data segments");

	for (uint32_t i = 0; v && i < n && !d->r.failed; i++)
		read_data(d, &v[i]);
}

static void read_data_count_section(struct decoder *d)
{
	d->m->data_count = wasm_read_u32(&d->r);
	d->m->has_data_count = true;
	if (d->m->data_count > WASM_MAX_SEGMENTS)
		FAIL("%u data segments are more than the limit of %u", d->m->data_count, WASM_MAX_SEGMENTS);
}

/* ---- code ---- */

static void read_code_section(struct decoder *d)
{
	struct wasm_module *m = d->m;
	uint32_t n = wasm_read_count(&d->r, 1, WASM_MAX_FUNCS, "function bodies");

	if (!d->r.failed && n != m->n_funcs - m->n_imported_funcs)
		MALFORMED("function and code section have inconsistent lengths");
	for (uint32_t i = 0; i < n && !d->r.failed; i++) {
		struct wasm_func *f = &m->funcs[m->n_imported_funcs + i];

		f->len = wasm_read_u32(&d->r);
		f->offset = (uint32_t)wasm_reader_offset(&d->r);
		if (f->len > WASM_MAX_BODY_BYTES && f->len <= wasm_reader_left(&d->r))
			FAIL("function body of %u bytes is larger than the limit of %u", f->len, WASM_MAX_BODY_BYTES);
		wasm_read_bytes(&d->r, f->len);
	}
	d->n_bodies = n;
}

static void read_custom_section(struct decoder *d)
{
	struct wasm_custom c = { 0 }, *p;

	c.name.s = wasm_read_name(&d->r, &c.name.len);
	c.offset = (uint32_t)wasm_reader_offset(&d->r);
	c.len = (uint32_t)wasm_reader_left(&d->r);
	if (d->r.failed)
		return;
	p = extend(d, &d->m->customs, &d->m->n_customs, 1, sizeof(*p), WASM_MAX_SEGMENTS, "custom sections");
	if (p)
		*p = c;
	d->r.p = d->r.end;
}

static void (*const section_readers[SECTION_LIMIT])(struct decoder *) = {
	[SECTION_CUSTOM] = read_custom_section,
	[SECTION_TYPE] = read_type_section,
	[SECTION_IMPORT] = read_import_section,
	[SECTION_FUNCTION] = read_function_section,
	[SECTION_TABLE] = read_table_section,
	[SECTION_MEMORY] = read_memory_section,
	[SECTION_GLOBAL] = read_global_section,
	[SECTION_EXPORT] = read_export_section,
	[SECTION_START] = read_start_section,
	[SECTION_ELEMENT] = read_element_section,
	[SECTION_CODE] = read_code_section,
	[SECTION_DATA] = read_data_section,
	[SECTION_DATA_COUNT] = read_data_count_section,
	[SECTION_TAG] = read_tag_section,
};

/* Where each section stands in the order that the format demands; custom sections (0) may stand anywhere. */
static const uint8_t section_order[SECTION_LIMIT] = {
	[SECTION_TYPE] = 1,    [SECTION_IMPORT] = 2, [SECTION_FUNCTION] = 3,    [SECTION_TABLE] = 4, [SECTION_MEMORY] = 5,
	[SECTION_TAG] = 6,     [SECTION_GLOBAL] = 7, [SECTION_EXPORT] = 8,      [SECTION_START] = 9, [SECTION_ELEMENT] = 10,
	[SECTION_DATA_COUNT] = 11, [SECTION_CODE] = 12, [SECTION_DATA] = 13,
};

static int read_sections(struct decoder *d, struct wasm_reader *all)
{
	uint8_t last = 0;

	while (all->p < all->end && !all->failed) {
		uint8_t id = wasm_read_u8(all);
		uint32_t size;
		const uint8_t *p;

		if (id >= SECTION_LIMIT)
			return wasm_reader_fail(all, WASM_MALFORMED, "malformed section id %u", id);
		size = wasm_read_u32(all);
		if (!all->failed && size > wasm_reader_left(all))
			return wasm_reader_fail(all, WASM_MALFORMED, "unexpected end: section %u of %u bytes (length out of bounds)",
						id, size);
		p = wasm_read_bytes(all, size);
		if (!p)
			return -WASM_MALFORMED;
		if (id != SECTION_CUSTOM && section_order[id] <= last)
			return wasm_reader_fail(all, WASM_MALFORMED, "unexpected content after last section (section %u)", id);
		if (id != SECTION_CUSTOM)
			last = section_order[id];
		d->r = (struct wasm_reader){ .start = p, .p = p, .end = p + size, .base = (size_t)(p - all->start), .err = all->err };
		if (id == SECTION_CODE)
			d->m->code_offset = (uint32_t)d->r.base;
		section_readers[id](d);
		if (!d->r.failed && d->r.p != d->r.end)
			MALFORMED("section size mismatch (junk after last element of section %u)", id);
		if (d->r.failed)
			return all->err && all->err->code ? -all->err->code : -WASM_MALFORMED;
	}
	return all->failed ? -WASM_MALFORMED : 0;
}

static int decode(struct decoder *d, struct error *err)
{
	struct wasm_module *m = d->m;
	struct wasm_reader all = { .start = m->bytes, .p = m->bytes, .end = m->bytes + m->size, .err = err };
	int r;

	if (m->size < 4 || memcmp(m->bytes, "\0asm", 4) != 0)
		return error_set(err, WASM_MALFORMED, "magic header not detected: not a WebAssembly module");
	if (m->size < 8)
		return error_set(err, WASM_MALFORMED, "unexpected end: the version is missing");
	if (memcmp(m->bytes + 4, "\x0d\0\1\0", 4) == 0)
		return error_set(err, WASM_MALFORMED,
				 "unknown binary version: this is a component (WASI preview 2); only core modules run here, "
				 "build for wasm32-wasip1");
	if (memcmp(m->bytes + 4, "\1\0\0\0", 4) != 0)
		return error_set(err, WASM_MALFORMED, "unknown binary version");
	all.p += 8;
	r = read_sections(d, &all);
	if (r < 0)
		return r;
	if (d->n_bodies != m->n_funcs - m->n_imported_funcs)
		return error_set(err, WASM_MALFORMED, "function and code section have inconsistent lengths");
	if (m->has_data_count && m->data_count != m->n_datas)
		return error_set(err, WASM_MALFORMED, "data count and data section have inconsistent lengths");
	return 0;
}

int wasm_module_decode(const void *bytes, size_t size, struct wasm_module **ret, struct error *err)
{
	_cleanup_wasm_module_ struct wasm_module *m = calloc(1, sizeof(*m));
	struct error local = ERROR_INIT;
	struct decoder d = { .m = m };
	int r;

	if (!m)
		return error_oom(err);
	if (size > WASM_MAX_MODULE_BYTES)
		return error_set(err, E2BIG, "module of %zu bytes is larger than the limit of %u", size, WASM_MAX_MODULE_BYTES);
	m->bytes = malloc(size + 1);
	if (!m->bytes)
		return error_oom(err);
	if (size)
		memcpy(m->bytes, bytes, size);
	m->size = size;
	r = decode(&d, err ? err : &local);
	if (r < 0)
		return r;
	*ret = take_ptr(m);
	return 0;
}

void wasm_module_free(struct wasm_module *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->n_elems; i++) {
		free(m->elems[i].funcs);
		free(m->elems[i].exprs);
	}
	free(m->elems);
	free(m->types);
	free(m->imports);
	free(m->funcs);
	free(m->tables);
	free(m->memories);
	free(m->globals);
	free(m->tags);
	free(m->exports);
	free(m->datas);
	free(m->customs);
	free(m->bytes);
	free(m);
}

static int validate_body(const struct wasm_module *m, uint32_t index, struct error *err)
{
	_cleanup_(cleanup_wasm_validator) struct wasm_validator v;
	struct wasm_insn insn;
	int r = wasm_validator_begin(&v, m, index, err);

	if (r < 0)
		return r;
	while ((r = wasm_validator_read(&v, &insn)) > 0) {
		r = wasm_validator_check(&v, &insn);
		if (r < 0)
			break;
	}
	return r;
}

int wasm_module_validate_func(struct wasm_module *m, uint32_t index, struct error *err)
{
	struct wasm_func *f = &m->funcs[index];
	struct error local = ERROR_INIT;
	int r;

	if (index < m->n_imported_funcs || atomic_load_explicit(&f->validated, memory_order_acquire))
		return 0;
	if (!err)
		err = &local;
	r = validate_body(m, index, err);
	if (r < 0) {
		struct wasm_name name = wasm_module_func_name(m, index);

		return error_prefix(err, "function %u%s%.*s", index, name.len ? " " : "", (int)MIN(name.len, 100u), name.s);
	}
	atomic_store_explicit(&f->validated, 1, memory_order_release);
	return 0;
}

int wasm_module_validate(struct wasm_module *m, struct error *err)
{
	for (uint32_t i = m->n_imported_funcs; i < m->n_funcs; i++) {
		int r = wasm_module_validate_func(m, i, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Name section, subsection 1: a map from function indices to names. What is broken there is no error, just no name. */
static struct wasm_name find_name(struct wasm_reader *r, uint32_t index)
{
	while (wasm_reader_left(r) && !r->failed) {
		uint8_t id = wasm_read_u8(r);
		uint32_t size = wasm_read_u32(r);
		const uint8_t *p = wasm_read_bytes(r, size);
		struct wasm_reader sub = { .start = p, .p = p, .end = p ? p + size : p };
		uint32_t n;

		if (!p || id != 1)
			continue;
		n = wasm_read_u32(&sub);
		while (n-- && !sub.failed) {
			uint32_t i = wasm_read_u32(&sub);
			struct wasm_name name;

			name.s = wasm_read_name(&sub, &name.len);
			if (!sub.failed && i == index)
				return name;
		}
	}
	return (struct wasm_name){ "", 0 };
}

struct wasm_name wasm_module_func_name(const struct wasm_module *m, uint32_t index)
{
	for (uint32_t i = 0; i < m->n_customs; i++) {
		const struct wasm_custom *c = &m->customs[i];

		if (c->name.len == 4 && memcmp(c->name.s, "name", 4) == 0) {
			const uint8_t *p = m->bytes + c->offset;
			struct wasm_reader r = { .start = p, .p = p, .end = p + c->len };

			return find_name(&r, index);
		}
	}
	return (struct wasm_name){ "", 0 };
}
