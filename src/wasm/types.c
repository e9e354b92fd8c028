#include "wasm/types.h"

#include <pthread.h>
#include <search.h>
#include <string.h>

/* Definitions live in chunks that never move, so that reading needs no lock. */
#define CHUNK 4096u
#define MAX_CHUNKS (WASM_HEAP_REC / CHUNK)

static struct {
	pthread_mutex_t lock;
	struct wasm_typedef **chunks[MAX_CHUNKS];
	uint32_t count;
	void *groups; /* tsearch tree of struct group */
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct group {
	uint32_t n, first;
	const struct wasm_typedef *types; /* in their unregistered form: references inside are WASM_HEAP_REC */
};

static int compare_words(const uint32_t *a, const uint32_t *b, size_t n)
{
	return n ? memcmp(a, b, n * sizeof(*a)) : 0;
}

#define COMPARE(x, y)                                                                                                  \
	do {                                                                                                           \
		if ((x) != (y))                                                                                        \
			return (x) < (y) ? -1 : 1;                                                                     \
	} while (0)

static int compare_typedefs(const struct wasm_typedef *a, const struct wasm_typedef *b)
{
	int r;

	COMPARE(a->kind, b->kind);
	COMPARE(a->final, b->final);
	COMPARE(a->super, b->super);
	COMPARE(a->n_params, b->n_params);
	COMPARE(a->n_results, b->n_results);
	COMPARE(a->n_fields, b->n_fields);
	r = compare_words(a->params, b->params, a->n_params);
	if (r)
		return r;
	r = compare_words(a->results, b->results, a->n_results);
	if (r)
		return r;
	for (uint32_t i = 0; i < a->n_fields; i++) {
		COMPARE(a->fields[i].type, b->fields[i].type);
		COMPARE(a->fields[i].mutable, b->fields[i].mutable);
	}
	return 0;
}

static int compare_groups(const void *pa, const void *pb)
{
	const struct group *a = pa, *b = pb;

	COMPARE(a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		int r = compare_typedefs(&a->types[i], &b->types[i]);

		if (r)
			return r;
	}
	return 0;
}

static void *copy(const void *p, size_t n, size_t size)
{
	void *q = malloc(n ? n * size : 1);

	if (q && n)
		memcpy(q, p, n * size);
	return q;
}

static void typedef_free_arrays(struct wasm_typedef *t)
{
	free(t->params);
	free(t->results);
	free(t->fields);
	free(t->supers);
	free(t->offsets);
}

static int typedef_copy(const struct wasm_typedef *from, struct wasm_typedef *to)
{
	*to = *from;
	to->supers = NULL;
	to->offsets = NULL;
	to->params = copy(from->params, from->n_params, sizeof(*from->params));
	to->results = copy(from->results, from->n_results, sizeof(*from->results));
	to->fields = copy(from->fields, from->n_fields, sizeof(*from->fields));
	if (!to->params || !to->results || !to->fields) {
		typedef_free_arrays(to);
		return -ENOMEM;
	}
	return 0;
}

static wasm_heap absolute(wasm_heap h, uint32_t first)
{
	return !wasm_heap_is_abstract(h) && (h & WASM_HEAP_REC) ? first + (h & ~WASM_HEAP_REC) : h;
}

static wasm_type absolute_type(wasm_type t, uint32_t first)
{
	return wasm_is_ref(t) ? wasm_ref(wasm_is_nullable(t), absolute(wasm_heap_of(t), first)) : t;
}

static void resolve(struct wasm_typedef *t, uint32_t first)
{
	for (uint32_t i = 0; i < t->n_params; i++)
		t->params[i] = absolute_type(t->params[i], first);
	for (uint32_t i = 0; i < t->n_results; i++)
		t->results[i] = absolute_type(t->results[i], first);
	for (uint32_t i = 0; i < t->n_fields; i++)
		t->fields[i].type = absolute_type(t->fields[i].type, first);
	if (t->super != WASM_NO_SUPER)
		t->super = absolute(t->super, first);
}

const struct wasm_typedef *wasm_typedef_get(uint32_t id)
{
	return registry.chunks[id / CHUNK][id % CHUNK];
}

/* A deep chain would make each display long: 63 levels is what engines allow, and what the decoder checks. */
static int make_display(struct wasm_typedef *t)
{
	const struct wasm_typedef *super = t->super == WASM_NO_SUPER ? NULL : wasm_typedef_get(t->super);

	t->depth = super ? super->depth + 1 : 0;
	t->supers = malloc((t->depth + 1) * sizeof(*t->supers));
	if (!t->supers)
		return -ENOMEM;
	if (super)
		memcpy(t->supers, super->supers, (super->depth + 1) * sizeof(*t->supers));
	t->supers[t->depth] = t->id;
	return 0;
}

static int lay_out(struct wasm_typedef *t)
{
	uint32_t at = 0;

	t->offsets = malloc((t->n_fields + 1) * sizeof(*t->offsets));
	if (!t->offsets)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n_fields; i++) {
		uint32_t size = wasm_type_size(t->fields[i].type), align = size < 8 ? size : 8;

		at = (at + align - 1) & ~(align - 1);
		t->offsets[i] = at;
		at += size;
	}
	t->offsets[t->n_fields] = at;
	return 0;
}

static int publish(struct wasm_typedef *t)
{
	struct wasm_typedef ***chunk = &registry.chunks[t->id / CHUNK];

	if (!*chunk)
		*chunk = calloc(CHUNK, sizeof(**chunk));
	if (!*chunk || make_display(t) < 0 || lay_out(t) < 0)
		return -ENOMEM;
	(*chunk)[t->id % CHUNK] = t;
	return 0;
}

static int add_types(const struct wasm_typedef *group, uint32_t n)
{
	uint32_t first = registry.count;

	for (uint32_t i = 0; i < n; i++) {
		struct wasm_typedef *t = calloc(1, sizeof(*t));

		if (!t || typedef_copy(&group[i], t) < 0) {
			free(t);
			return -ENOMEM;
		}
		t->id = first + i;
		t->group = first;
		t->index = i;
		resolve(t, first);
		if (publish(t) < 0) {
			typedef_free_arrays(t);
			free(t);
			return -ENOMEM;
		}
	}
	return 0;
}

static struct group *remember(const struct wasm_typedef *group, uint32_t n)
{
	struct group *g = calloc(1, sizeof(*g));
	struct wasm_typedef *types = calloc(n ? n : 1, sizeof(*types));

	if (!g || !types) {
		free(g);
		free(types);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (typedef_copy(&group[i], &types[i]) < 0) {
			while (i--)
				typedef_free_arrays(&types[i]);
			free(types);
			free(g);
			return NULL;
		}
	}
	*g = (struct group){ .n = n, .first = registry.count, .types = types };
	return g;
}

static int register_locked(const struct wasm_typedef *group, uint32_t n, uint32_t *ret_first, struct error *err)
{
	const struct group key = { .n = n, .types = group };
	struct group **found = tfind(&key, &registry.groups, compare_groups);
	struct group *g;

	if (found) {
		*ret_first = (*found)->first;
		return 0;
	}
	if (n > WASM_HEAP_REC - CHUNK - registry.count)
		return error_set(err, E2BIG, "too many types are in use in this process");
	g = remember(group, n);
	/* On failure the few types already published stay, unreachable; nothing frees while readers go unlocked. */
	if (!g || add_types(group, n) < 0 || !tsearch(g, &registry.groups, compare_groups))
		return error_oom(err);
	registry.count += n;
	*ret_first = g->first;
	return 0;
}

int wasm_types_register(const struct wasm_typedef *group, uint32_t n, uint32_t *ret_first, struct error *err)
{
	int r;

	pthread_mutex_lock(&registry.lock);
	r = register_locked(group, n, ret_first, err);
	pthread_mutex_unlock(&registry.lock);
	return r;
}

int wasm_types_func(const wasm_type *params, uint32_t n_params, const wasm_type *results, uint32_t n_results,
		    uint32_t *ret_id, struct error *err)
{
	const struct wasm_typedef t = {
		.kind = WASM_TYPEDEF_FUNC,
		.final = true,
		.super = WASM_NO_SUPER,
		.params = (wasm_type *)params,
		.n_params = n_params,
		.results = (wasm_type *)results,
		.n_results = n_results,
	};

	return wasm_types_register(&t, 1, ret_id, err);
}

wasm_heap wasm_heap_top(wasm_heap h)
{
	if (!wasm_heap_is_abstract(h))
		return wasm_typedef_get(h)->kind == WASM_TYPEDEF_FUNC ? WASM_HEAP_FUNC : WASM_HEAP_ANY;
	switch (h) {
	case WASM_HEAP_FUNC:
	case WASM_HEAP_NOFUNC:
		return WASM_HEAP_FUNC;
	case WASM_HEAP_EXTERN:
	case WASM_HEAP_NOEXTERN:
		return WASM_HEAP_EXTERN;
	case WASM_HEAP_EXN:
	case WASM_HEAP_NOEXN:
		return WASM_HEAP_EXN;
	default:
		return WASM_HEAP_ANY;
	}
}

wasm_heap wasm_heap_bottom(wasm_heap h)
{
	switch (wasm_heap_top(h)) {
	case WASM_HEAP_FUNC:
		return WASM_HEAP_NOFUNC;
	case WASM_HEAP_EXTERN:
		return WASM_HEAP_NOEXTERN;
	case WASM_HEAP_EXN:
		return WASM_HEAP_NOEXN;
	default:
		return WASM_HEAP_NONE;
	}
}

static bool concrete_below_abstract(const struct wasm_typedef *t, wasm_heap super)
{
	switch (t->kind) {
	case WASM_TYPEDEF_FUNC:
		return super == WASM_HEAP_FUNC;
	case WASM_TYPEDEF_STRUCT:
		return super == WASM_HEAP_STRUCT || super == WASM_HEAP_EQ || super == WASM_HEAP_ANY;
	default:
		return super == WASM_HEAP_ARRAY || super == WASM_HEAP_EQ || super == WASM_HEAP_ANY;
	}
}

bool wasm_heap_subtype(wasm_heap sub, wasm_heap super)
{
	if (sub == super || sub == WASM_HEAP_BOT)
		return true;
	if (super == WASM_HEAP_BOT)
		return false;
	if (!wasm_heap_is_abstract(sub)) {
		const struct wasm_typedef *t = wasm_typedef_get(sub);

		if (wasm_heap_is_abstract(super))
			return concrete_below_abstract(t, super);
		return wasm_typedef_get(super)->depth < t->depth && t->supers[wasm_typedef_get(super)->depth] == super;
	}
	switch (sub) {
	case WASM_HEAP_NONE:
	case WASM_HEAP_NOFUNC:
	case WASM_HEAP_NOEXTERN:
	case WASM_HEAP_NOEXN:
		return wasm_heap_bottom(super) == sub;
	case WASM_HEAP_I31:
	case WASM_HEAP_STRUCT:
	case WASM_HEAP_ARRAY:
		return super == WASM_HEAP_EQ || super == WASM_HEAP_ANY;
	case WASM_HEAP_EQ:
		return super == WASM_HEAP_ANY;
	default:
		return false;
	}
}

bool wasm_subtype(wasm_type sub, wasm_type super)
{
	if (sub == super || sub == WASM_BOT)
		return true;
	if (!wasm_is_ref(sub) || !wasm_is_ref(super))
		return false;
	if (wasm_is_nullable(sub) && !wasm_is_nullable(super))
		return false;
	return wasm_heap_subtype(wasm_heap_of(sub), wasm_heap_of(super));
}

const char *wasm_heap_name(wasm_heap h)
{
	static __thread char ring[4][16];
	static __thread unsigned next;
	char *s;

	switch (h) {
	case WASM_HEAP_NOEXN: return "noexn";
	case WASM_HEAP_NOFUNC: return "nofunc";
	case WASM_HEAP_NOEXTERN: return "noextern";
	case WASM_HEAP_NONE: return "none";
	case WASM_HEAP_FUNC: return "func";
	case WASM_HEAP_EXTERN: return "extern";
	case WASM_HEAP_ANY: return "any";
	case WASM_HEAP_EQ: return "eq";
	case WASM_HEAP_I31: return "i31";
	case WASM_HEAP_STRUCT: return "struct";
	case WASM_HEAP_ARRAY: return "array";
	case WASM_HEAP_EXN: return "exn";
	case WASM_HEAP_BOT: return "bot";
	default: break;
	}
	s = ring[next++ % 4];
	snprintf(s, sizeof(ring[0]), "%u", h);
	return s;
}

const char *wasm_type_name(wasm_type t)
{
	static __thread char ring[4][40];
	static __thread unsigned next;
	char *s;

	switch (t) {
	case WASM_BOT: return "any type";
	case WASM_I32: return "i32";
	case WASM_I64: return "i64";
	case WASM_F32: return "f32";
	case WASM_F64: return "f64";
	case WASM_V128: return "v128";
	case WASM_I8: return "i8";
	case WASM_I16: return "i16";
	default: break;
	}
	s = ring[next++ % 4];
	snprintf(s, sizeof(ring[0]), "(ref %s%s)", wasm_is_nullable(t) ? "null " : "", wasm_heap_name(wasm_heap_of(t)));
	return s;
}

uint32_t wasm_type_size(wasm_type t)
{
	switch (t & 0xff) {
	case WASM_I8:
		return 1;
	case WASM_I16:
		return 2;
	case WASM_I32:
	case WASM_F32:
		return 4;
	case WASM_V128:
		return 16;
	default:
		return 8;
	}
}
