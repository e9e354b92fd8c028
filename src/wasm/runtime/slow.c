#include "wasm/runtime/slow.h"

#include <linux/futex.h>
#include <math.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "wasm/runtime/call.h"
#include "wasm/runtime/constant.h"
#include "wasm/runtime/slow_simd.h"

#define OPERAND(type, slot)                                                                                            \
	({                                                                                                             \
		type operand_;                                                                                         \
		memcpy(&operand_, s + 8 * (slot), sizeof(operand_));                                                   \
		operand_;                                                                                              \
	})

static void put64(uint8_t *s, uint64_t v)
{
	memcpy(s, &v, sizeof(v));
}

static void trap(struct wasm_instance *i, enum wasm_trap t)
{
	wasm_trap_raise(i->store, t);
}

void wasm_helper_trap(struct wasm_instance *i, uint64_t t)
{
	wasm_trap_raise(i->store, (enum wasm_trap)t);
}

void wasm_helper_throw(struct wasm_instance *i, const uint8_t *slots, uint64_t tag)
{
	const struct wasm_typedef *t = wasm_typedef_get(i->tags[tag]->type);
	struct wasm_object *o =
		wasm_gc_alloc(i->store, WASM_OBJECT_EXCEPTION, t->id, t->n_params * sizeof(union wasm_value));

	if (!o)
		wasm_trap_raise(i->store, WASM_TRAP_HEAP);
	o->tag = i->tags[tag];
	for (uint32_t k = 0; k < t->n_params; k++) {
		size_t size = t->params[k] == WASM_V128 ? 16 : 8;

		memcpy(WASM_OBJECT_DATA(o) + k * sizeof(union wasm_value), slots, size);
		slots += size;
	}
	wasm_throw(i->store, o);
}

void wasm_helper_rethrow(struct wasm_instance *i, struct wasm_object *exception)
{
	if (!exception)
		wasm_trap_raise(i->store, WASM_TRAP_NULL_EXN);
	wasm_throw(i->store, exception);
}

wasm_ref_bits wasm_helper_func_ref(struct wasm_instance *i, uint64_t index)
{
	return (wasm_ref_bits)(uintptr_t)wasm_instance_func(i, (uint32_t)index);
}

void wasm_helper_signature(struct wasm_instance *i, uint64_t have, uint64_t want)
{
	if (!wasm_heap_subtype((wasm_heap)have, (wasm_heap)want))
		trap(i, WASM_TRAP_SIGNATURE);
}

void wasm_helper_checkpoint(struct wasm_instance *i, uint64_t entry)
{
	if (atomic_load(&i->exec->stack_limit) == UINTPTR_MAX)
		trap(i, WASM_TRAP_INTERRUPT);
	if (entry)
		trap(i, WASM_TRAP_STACK);
}

/* ---- memory ---- */

static uint64_t address(bool is64, const uint8_t *s, unsigned slot)
{
	return is64 ? OPERAND(uint64_t, slot) : OPERAND(uint32_t, slot);
}

static bool mem64(const struct wasm_instance *i, uint64_t memory)
{
	return i->memories[memory]->type.limits.is64;
}

static void memory_size(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	put64(s, i->memories[a]->size / WASM_PAGE);
}

static void memory_grow(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	int64_t old = wasm_memory_grow(i->store, i->memories[a], address(mem64(i, a), s, 0));

	put64(s, mem64(i, a) ? (uint64_t)old : (uint32_t)old);
}

static void memory_fill(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_memory_inst *m = i->memories[a];
	uint64_t at = address(mem64(i, a), s, 0), n = address(mem64(i, a), s, 2);

	if (!wasm_memory_check(m, at, n))
		trap(i, WASM_TRAP_MEMORY);
	if (n)
		memset(m->base + at, OPERAND(int, 1), n);
}

static void memory_copy(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_memory_inst *d = i->memories[a], *f = i->memories[b];
	uint64_t at = address(mem64(i, a), s, 0), from = address(mem64(i, b), s, 1);
	uint64_t n = address(mem64(i, a) && mem64(i, b), s, 2);

	if (!wasm_memory_check(d, at, n) || !wasm_memory_check(f, from, n))
		trap(i, WASM_TRAP_MEMORY);
	if (n)
		memmove(d->base + at, f->base + from, n);
}

static void memory_init(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	const struct wasm_data *d = &i->module->datas[a];
	uint64_t at = address(mem64(i, b), s, 0), from = OPERAND(uint32_t, 1), n = OPERAND(uint32_t, 2);
	uint64_t len = i->dropped_datas[a] ? 0 : d->len;

	if (from > len || n > len - from || !wasm_memory_check(i->memories[b], at, n))
		trap(i, WASM_TRAP_MEMORY);
	if (n)
		memcpy(i->memories[b]->base + at, i->module->bytes + d->offset + from, n);
}

static void data_drop(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	i->dropped_datas[a] = true;
}

/* ---- tables ---- */

static bool table64(const struct wasm_instance *i, uint64_t table)
{
	return i->tables[table]->type.limits.is64;
}

static void table_get(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	uint64_t at = address(table64(i, a), s, 0);

	if (at >= i->tables[a]->size)
		trap(i, WASM_TRAP_TABLE);
	put64(s, i->tables[a]->elems[at]);
}

static void table_set(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	uint64_t at = address(table64(i, a), s, 0);

	if (at >= i->tables[a]->size)
		trap(i, WASM_TRAP_TABLE);
	i->tables[a]->elems[at] = OPERAND(uint64_t, 1);
}

static void table_size(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	put64(s, i->tables[a]->size);
}

static void table_grow(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	int64_t old = wasm_table_grow(i->store, i->tables[a], address(table64(i, a), s, 1), OPERAND(uint64_t, 0));

	put64(s, table64(i, a) ? (uint64_t)old : (uint32_t)old);
}

static void table_fill(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_table_inst *t = i->tables[a];
	uint64_t at = address(table64(i, a), s, 0), n = address(table64(i, a), s, 2);

	if (at > t->size || n > t->size - at)
		trap(i, WASM_TRAP_TABLE);
	for (uint64_t k = 0; k < n; k++)
		t->elems[at + k] = OPERAND(uint64_t, 1);
}

static void table_copy(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_table_inst *d = i->tables[a], *f = i->tables[b];
	uint64_t at = address(table64(i, a), s, 0), from = address(table64(i, b), s, 1);
	uint64_t n = address(table64(i, a) && table64(i, b), s, 2);

	if (at > d->size || n > d->size - at || from > f->size || n > f->size - from)
		trap(i, WASM_TRAP_TABLE);
	memmove(d->elems + at, f->elems + from, n * sizeof(*d->elems));
}

/* The values of segment A, or NULL when the range [FROM, FROM + N) is not in it. */
static const wasm_ref_bits *segment(struct wasm_instance *i, uint64_t a, uint64_t from, uint64_t n)
{
	uint64_t len = i->dropped_elems[a] ? 0 : i->module->elems[a].n;
	static const wasm_ref_bits nothing;
	const wasm_ref_bits *v;

	if (from > len || n > len - from)
		return NULL;
	if (!n)
		return &nothing;
	v = wasm_instance_elems(i, (uint32_t)a);
	if (!v)
		trap(i, WASM_TRAP_HEAP);
	return v + from;
}

static void table_init(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_table_inst *t = i->tables[b];
	uint64_t at = address(table64(i, b), s, 0), n = OPERAND(uint32_t, 2);
	const wasm_ref_bits *v = segment(i, a, OPERAND(uint32_t, 1), n);

	if (!v || at > t->size || n > t->size - at)
		trap(i, WASM_TRAP_TABLE);
	if (n)
		memcpy(t->elems + at, v, n * sizeof(*v));
}

static void elem_drop(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	i->dropped_elems[a] = true;
}

/* ---- structures and arrays ---- */

static struct wasm_object *object(struct wasm_instance *i, const uint8_t *s, unsigned slot, enum wasm_trap null)
{
	struct wasm_object *o = (struct wasm_object *)(uintptr_t)OPERAND(uint64_t, slot);

	if (!o)
		trap(i, null);
	return o;
}

static void put_new(struct wasm_instance *i, uint8_t *s, wasm_ref_bits ref)
{
	if (!ref)
		trap(i, WASM_TRAP_HEAP);
	put64(s, ref);
}

static size_t slot_size(wasm_type t)
{
	return t == WASM_V128 ? 16 : 8;
}

static void struct_new(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	const struct wasm_typedef *t = wasm_typedef_get((uint32_t)a);
	wasm_ref_bits ref = wasm_struct_new(i->store, t->id, NULL);
	const uint8_t *p = s;

	for (uint32_t k = 0; ref && k < t->n_fields; k++) {
		memcpy(WASM_OBJECT_DATA((struct wasm_object *)(uintptr_t)ref) + t->offsets[k], p,
		       wasm_type_size(t->fields[k].type));
		p += slot_size(t->fields[k].type);
	}
	put_new(i, s, ref);
}

static void struct_new_default(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	put_new(i, s, wasm_struct_new(i->store, (uint32_t)a, NULL));
}

static void get_storage(uint8_t *s, const uint8_t *p, wasm_type t, bool sign)
{
	union wasm_value v = wasm_storage_get(p, t, sign);

	if (sign)
		v.bits[0] = (uint32_t)v.i32;
	memcpy(s, &v, slot_size(t));
}

static void struct_get(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	const struct wasm_typedef *t = wasm_typedef_get((uint32_t)a);
	struct wasm_object *o = object(i, s, 0, WASM_TRAP_NULL_STRUCT);

	get_storage(s, WASM_OBJECT_DATA(o) + t->offsets[b], t->fields[b].type, false);
}

static void struct_get_s(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	const struct wasm_typedef *t = wasm_typedef_get((uint32_t)a);
	struct wasm_object *o = object(i, s, 0, WASM_TRAP_NULL_STRUCT);

	get_storage(s, WASM_OBJECT_DATA(o) + t->offsets[b], t->fields[b].type, true);
}

static void struct_set(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	const struct wasm_typedef *t = wasm_typedef_get((uint32_t)a);
	struct wasm_object *o = object(i, s, 0, WASM_TRAP_NULL_STRUCT);

	memcpy(WASM_OBJECT_DATA(o) + t->offsets[b], s + 8, wasm_type_size(t->fields[b].type));
}

static wasm_type elem_type(uint64_t type)
{
	return wasm_typedef_get((uint32_t)type)->fields[0].type;
}

static uint8_t *element(struct wasm_object *o, wasm_type t, uint64_t index)
{
	return WASM_OBJECT_DATA(o) + index * wasm_type_size(t);
}

static void array_new(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	union wasm_value v = { 0 };
	size_t size = slot_size(elem_type(a));
	uint32_t n;

	memcpy(&v, s, size);
	memcpy(&n, s + size, sizeof(n));
	put_new(i, s, wasm_array_new(i->store, (uint32_t)a, n, &v));
}

static void array_new_default(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	put_new(i, s, wasm_array_new(i->store, (uint32_t)a, OPERAND(uint32_t, 0), NULL));
}

static void array_new_fixed(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	wasm_type t = elem_type(a);
	wasm_ref_bits ref = wasm_array_new(i->store, (uint32_t)a, (uint32_t)b, NULL);

	for (uint64_t k = 0; ref && k < b; k++)
		memcpy(element((struct wasm_object *)(uintptr_t)ref, t, k), s + k * slot_size(t), wasm_type_size(t));
	put_new(i, s, ref);
}

/* The bytes [FROM, FROM + N * SIZE) of data segment B, or a trap. */
static const uint8_t *data_range(struct wasm_instance *i, uint64_t b, uint64_t from, uint64_t n, uint64_t size)
{
	uint64_t len = i->dropped_datas[b] ? 0 : i->module->datas[b].len;

	if (from > len || n * size > len - from)
		trap(i, WASM_TRAP_MEMORY);
	return i->module->bytes + i->module->datas[b].offset + from;
}

static void array_new_data(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	uint64_t n = OPERAND(uint32_t, 1), size = wasm_type_size(elem_type(a));
	const uint8_t *from = data_range(i, b, OPERAND(uint32_t, 0), n, size);
	wasm_ref_bits ref = wasm_array_new(i->store, (uint32_t)a, (uint32_t)n, NULL);

	if (ref && n)
		memcpy(WASM_OBJECT_DATA((struct wasm_object *)(uintptr_t)ref), from, n * size);
	put_new(i, s, ref);
}

static void array_new_elem(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	uint64_t n = OPERAND(uint32_t, 1);
	const wasm_ref_bits *v = segment(i, b, OPERAND(uint32_t, 0), n);
	wasm_ref_bits ref;

	if (!v)
		trap(i, WASM_TRAP_TABLE);
	ref = wasm_array_new(i->store, (uint32_t)a, (uint32_t)n, NULL);
	if (ref && n)
		memcpy(WASM_OBJECT_DATA((struct wasm_object *)(uintptr_t)ref), v, n * sizeof(*v));
	put_new(i, s, ref);
}

static uint8_t *checked_element(struct wasm_instance *i, const uint8_t *s, uint64_t type)
{
	struct wasm_object *o = object(i, s, 0, WASM_TRAP_NULL_ARRAY);
	uint32_t index = OPERAND(uint32_t, 1);

	if (index >= o->length)
		trap(i, WASM_TRAP_ARRAY);
	return element(o, elem_type(type), index);
}

static void array_get(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	get_storage(s, checked_element(i, s, a), elem_type(a), false);
}

static void array_get_s(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	get_storage(s, checked_element(i, s, a), elem_type(a), true);
}

static void array_set(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	memcpy(checked_element(i, s, a), s + 16, wasm_type_size(elem_type(a)));
}

static void array_len(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	put64(s, object(i, s, 0, WASM_TRAP_NULL_ARRAY)->length);
}

static void array_fill(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_object *o = object(i, s, 0, WASM_TRAP_NULL_ARRAY);
	wasm_type t = elem_type(a);
	uint64_t at = OPERAND(uint32_t, 1);
	uint32_t n;

	memcpy(&n, s + 16 + slot_size(t), sizeof(n));
	if (at > o->length || n > o->length - at)
		trap(i, WASM_TRAP_ARRAY);
	for (uint32_t k = 0; k < n; k++)
		memcpy(element(o, t, at + k), s + 16, wasm_type_size(t));
}

static void array_copy(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_object *d = object(i, s, 0, WASM_TRAP_NULL_ARRAY), *f = object(i, s, 2, WASM_TRAP_NULL_ARRAY);
	uint64_t at = OPERAND(uint32_t, 1), from = OPERAND(uint32_t, 3), n = OPERAND(uint32_t, 4);
	wasm_type t = elem_type(a);

	if (at > d->length || n > d->length - at || from > f->length || n > f->length - from)
		trap(i, WASM_TRAP_ARRAY);
	memmove(element(d, t, at), element(f, t, from), n * wasm_type_size(t));
}

static void array_init_data(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_object *o = object(i, s, 0, WASM_TRAP_NULL_ARRAY);
	uint64_t at = OPERAND(uint32_t, 1), n = OPERAND(uint32_t, 3), size = wasm_type_size(elem_type(a));
	const uint8_t *from;

	if (at > o->length || n > o->length - at)
		trap(i, WASM_TRAP_ARRAY);
	from = data_range(i, b, OPERAND(uint32_t, 2), n, size);
	if (n)
		memcpy(element(o, elem_type(a), at), from, n * size);
}

static void array_init_elem(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_object *o = object(i, s, 0, WASM_TRAP_NULL_ARRAY);
	uint64_t at = OPERAND(uint32_t, 1), n = OPERAND(uint32_t, 3);
	const wasm_ref_bits *v;

	if (at > o->length || n > o->length - at)
		trap(i, WASM_TRAP_ARRAY);
	v = segment(i, b, OPERAND(uint32_t, 2), n);
	if (!v)
		trap(i, WASM_TRAP_TABLE);
	if (n)
		memcpy(element(o, elem_type(a), at), v, n * sizeof(*v));
}

static void ref_test(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	put64(s, wasm_ref_matches(OPERAND(uint64_t, 0), (wasm_type)a));
}

static void ref_cast(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	if (!wasm_ref_matches(OPERAND(uint64_t, 0), (wasm_type)a))
		trap(i, WASM_TRAP_CAST);
}

static void ref_i31(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	put64(s, (OPERAND(uint32_t, 0) << 1) | 1u);
}

static void i31_get_s(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	if (!OPERAND(uint64_t, 0))
		trap(i, WASM_TRAP_NULL_I31);
	put64(s, (uint32_t)(OPERAND(int32_t, 0) >> 1));
}

static void i31_get_u(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	if (!OPERAND(uint64_t, 0))
		trap(i, WASM_TRAP_NULL_I31);
	put64(s, OPERAND(uint32_t, 0) >> 1);
}

/* ---- conversions ---- */

#define TRUNC(name, from, to, min, low, high)                                                                               \
	static void name(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                                  \
	{                                                                                                              \
		from x = OPERAND(from, 0);                                                                             \
		if (isnan(x))                                                                                          \
			trap(i, WASM_TRAP_CONVERSION);                                                                 \
		if (!(x > (low) && x < (high)))                                                                        \
			trap(i, WASM_TRAP_OVERFLOW);                                                                   \
		put64(s, sizeof(to) == 4 ? (uint32_t)(to)x : (uint64_t)(to)x);                                         \
	}                                                                                                              \
	static void name##_sat(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                            \
	{                                                                                                              \
		from x = OPERAND(from, 0);                                                                             \
		to v = isnan(x) ? 0 : !(x > (low)) ? (min) : !(x < (high)) ? (to)~(min) : (to)x;                           \
		put64(s, sizeof(to) == 4 ? (uint32_t)v : (uint64_t)v);                                                 \
	}

/* The open interval whose truncation fits. Where the bound below is not exact, one step below the least value is taken. */
TRUNC(i32_trunc_f32_s, float, int32_t, INT32_MIN, -2147483904.0f, 2147483648.0f)
TRUNC(i32_trunc_f32_u, float, uint32_t, 0, -1.0f, 4294967296.0f)
TRUNC(i32_trunc_f64_s, double, int32_t, INT32_MIN, -2147483649.0, 2147483648.0)
TRUNC(i32_trunc_f64_u, double, uint32_t, 0, -1.0, 4294967296.0)
TRUNC(i64_trunc_f32_s, float, int64_t, INT64_MIN, -9223373136366403584.0f, 9223372036854775808.0f)
TRUNC(i64_trunc_f32_u, float, uint64_t, 0, -1.0f, 18446744073709551616.0f)
TRUNC(i64_trunc_f64_s, double, int64_t, INT64_MIN, -9223372036854777856.0, 9223372036854775808.0)
TRUNC(i64_trunc_f64_u, double, uint64_t, 0, -1.0, 18446744073709551616.0)

static void f32_convert_i64_u(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	float f = (float)OPERAND(uint64_t, 0);

	memcpy(s, &f, sizeof(f));
}

static void f64_convert_i64_u(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	double f = (double)OPERAND(uint64_t, 0);

	memcpy(s, &f, sizeof(f));
}

/* ---- atomics ---- */

/* Address of an atomic access at slot 0: A is the static offset, B the memory and, from bit 32 up, the access's bytes. */
static uint8_t *atomic_address(struct wasm_instance *i, const uint8_t *s, uint64_t a, uint64_t b)
{
	struct wasm_memory_inst *m = i->memories[(uint32_t)b];
	uint64_t base = address(m->type.limits.is64, s, 0), size = b >> 32, at;

	if (__builtin_add_overflow(base, a, &at) || !wasm_memory_check(m, at, size)) {
		if (!(at & (size - 1)) || at < base)
			trap(i, WASM_TRAP_MEMORY);
	}
	if (at & (size - 1))
		trap(i, WASM_TRAP_UNALIGNED);
	return m->base + at;
}

#define ATOMIC_OPS(bits, type)                                                                                         \
	static void load##bits(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                            \
	{                                                                                                              \
		put64(s, __atomic_load_n((type *)atomic_address(i, s, a, b), __ATOMIC_SEQ_CST));                       \
	}                                                                                                              \
	static void store##bits(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                           \
	{                                                                                                              \
		__atomic_store_n((type *)atomic_address(i, s, a, b), OPERAND(type, 1), __ATOMIC_SEQ_CST);              \
	}                                                                                                              \
	static void add##bits(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                             \
	{                                                                                                              \
		put64(s, __atomic_fetch_add((type *)atomic_address(i, s, a, b), OPERAND(type, 1), __ATOMIC_SEQ_CST));  \
	}                                                                                                              \
	static void sub##bits(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                             \
	{                                                                                                              \
		put64(s, __atomic_fetch_sub((type *)atomic_address(i, s, a, b), OPERAND(type, 1), __ATOMIC_SEQ_CST));  \
	}                                                                                                              \
	static void and##bits(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                             \
	{                                                                                                              \
		put64(s, __atomic_fetch_and((type *)atomic_address(i, s, a, b), OPERAND(type, 1), __ATOMIC_SEQ_CST));  \
	}                                                                                                              \
	static void or##bits(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                              \
	{                                                                                                              \
		put64(s, __atomic_fetch_or((type *)atomic_address(i, s, a, b), OPERAND(type, 1), __ATOMIC_SEQ_CST));   \
	}                                                                                                              \
	static void xor##bits(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                             \
	{                                                                                                              \
		put64(s, __atomic_fetch_xor((type *)atomic_address(i, s, a, b), OPERAND(type, 1), __ATOMIC_SEQ_CST));  \
	}                                                                                                              \
	static void xchg##bits(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                            \
	{                                                                                                              \
		put64(s, __atomic_exchange_n((type *)atomic_address(i, s, a, b), OPERAND(type, 1), __ATOMIC_SEQ_CST)); \
	}

/* The expected value is compared at the operand's full width: an i32 operand of a narrow access with high bits never matches. */
#define ATOMIC_CMPXCHG(name, type, operand)                                                                            \
	static void name(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)                                  \
	{                                                                                                              \
		type *p = (type *)atomic_address(i, s, a, b);                                                          \
		operand wide = OPERAND(operand, 1);                                                                    \
		type expected = (type)wide;                                                                            \
		if (wide != (operand)expected)                                                                         \
			expected = __atomic_load_n(p, __ATOMIC_SEQ_CST);                                               \
		else                                                                                                   \
			__atomic_compare_exchange_n(p, &expected, OPERAND(type, 2), false, __ATOMIC_SEQ_CST,           \
						    __ATOMIC_SEQ_CST);                                                 \
		put64(s, expected);                                                                                    \
	}

ATOMIC_OPS(8, uint8_t)
ATOMIC_OPS(16, uint16_t)
ATOMIC_OPS(32, uint32_t)
ATOMIC_OPS(64, uint64_t)
ATOMIC_CMPXCHG(cmpxchg8_i32, uint8_t, uint32_t)
ATOMIC_CMPXCHG(cmpxchg16_i32, uint16_t, uint32_t)
ATOMIC_CMPXCHG(cmpxchg32_i32, uint32_t, uint32_t)
ATOMIC_CMPXCHG(cmpxchg8_i64, uint8_t, uint64_t)
ATOMIC_CMPXCHG(cmpxchg16_i64, uint16_t, uint64_t)
ATOMIC_CMPXCHG(cmpxchg32_i64, uint32_t, uint64_t)
ATOMIC_CMPXCHG(cmpxchg64_i64, uint64_t, uint64_t)

static void atomic_fence(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * Waiting maps to the host's futex, private to the process. A 64-bit value is compared under a lock-free double check: the
 * futex sleeps on its low half, which a waker changes with every notify that matters.
 */
static void notify(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	uint8_t *p = atomic_address(i, s, a, b);
	uint32_t n = OPERAND(uint32_t, 1);
	long r = syscall(SYS_futex, p, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n > INT32_MAX ? INT32_MAX : (int)n, NULL, NULL, 0);

	put64(s, r < 0 ? 0 : (uint32_t)r);
}

/* 0 woken, 1 not equal, 2 timed out. */
static uint32_t wait_on(uint8_t *p, uint32_t low, int64_t timeout)
{
	struct timespec ts = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
	long r = syscall(SYS_futex, p, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, low, timeout < 0 ? NULL : &ts, NULL, 0);

	if (r == 0 || errno == EINTR)
		return 0;
	return errno == ETIMEDOUT ? 2 : 1;
}

static void check_shared(struct wasm_instance *i, uint64_t b)
{
	if (!i->memories[(uint32_t)b]->type.limits.shared)
		trap(i, WASM_TRAP_NOT_SHARED);
}

static void wait32(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	uint8_t *p = atomic_address(i, s, a, b);

	check_shared(i, b);
	put64(s, wait_on(p, OPERAND(uint32_t, 1), OPERAND(int64_t, 2)));
}

static void wait64(struct wasm_instance *i, uint8_t *s, uint64_t a, uint64_t b)
{
	uint8_t *p = atomic_address(i, s, a, b);

	check_shared(i, b);
	if (__atomic_load_n((uint64_t *)p, __ATOMIC_SEQ_CST) != OPERAND(uint64_t, 1))
		put64(s, 1);
	else
		put64(s, wait_on(p, (uint32_t)OPERAND(uint64_t, 1), OPERAND(int64_t, 2)));
}

#define ATOMIC_ROW(name, f)                                                                                            \
	[WASM_OP_I32_ATOMIC_RMW_##name] = f##32, [WASM_OP_I64_ATOMIC_RMW_##name] = f##64,                              \
	[WASM_OP_I32_ATOMIC_RMW8_##name##_U] = f##8, [WASM_OP_I32_ATOMIC_RMW16_##name##_U] = f##16,                    \
	[WASM_OP_I64_ATOMIC_RMW8_##name##_U] = f##8, [WASM_OP_I64_ATOMIC_RMW16_##name##_U] = f##16,                    \
	[WASM_OP_I64_ATOMIC_RMW32_##name##_U] = f##32

const wasm_slow_op wasm_slow_ops[WASM_OP_LIMIT] = {
	[WASM_OP_MEMORY_SIZE] = memory_size,
	[WASM_OP_MEMORY_GROW] = memory_grow,
	[WASM_OP_MEMORY_FILL] = memory_fill,
	[WASM_OP_MEMORY_COPY] = memory_copy,
	[WASM_OP_MEMORY_INIT] = memory_init,
	[WASM_OP_DATA_DROP] = data_drop,
	[WASM_OP_TABLE_GET] = table_get,
	[WASM_OP_TABLE_SET] = table_set,
	[WASM_OP_TABLE_SIZE] = table_size,
	[WASM_OP_TABLE_GROW] = table_grow,
	[WASM_OP_TABLE_FILL] = table_fill,
	[WASM_OP_TABLE_COPY] = table_copy,
	[WASM_OP_TABLE_INIT] = table_init,
	[WASM_OP_ELEM_DROP] = elem_drop,
	[WASM_OP_STRUCT_NEW] = struct_new,
	[WASM_OP_STRUCT_NEW_DEFAULT] = struct_new_default,
	[WASM_OP_STRUCT_GET] = struct_get,
	[WASM_OP_STRUCT_GET_S] = struct_get_s,
	[WASM_OP_STRUCT_GET_U] = struct_get,
	[WASM_OP_STRUCT_SET] = struct_set,
	[WASM_OP_ARRAY_NEW] = array_new,
	[WASM_OP_ARRAY_NEW_DEFAULT] = array_new_default,
	[WASM_OP_ARRAY_NEW_FIXED] = array_new_fixed,
	[WASM_OP_ARRAY_NEW_DATA] = array_new_data,
	[WASM_OP_ARRAY_NEW_ELEM] = array_new_elem,
	[WASM_OP_ARRAY_GET] = array_get,
	[WASM_OP_ARRAY_GET_S] = array_get_s,
	[WASM_OP_ARRAY_GET_U] = array_get,
	[WASM_OP_ARRAY_SET] = array_set,
	[WASM_OP_ARRAY_LEN] = array_len,
	[WASM_OP_ARRAY_FILL] = array_fill,
	[WASM_OP_ARRAY_COPY] = array_copy,
	[WASM_OP_ARRAY_INIT_DATA] = array_init_data,
	[WASM_OP_ARRAY_INIT_ELEM] = array_init_elem,
	[WASM_OP_REF_TEST] = ref_test,
	[WASM_OP_REF_TEST_NULL] = ref_test,
	[WASM_OP_REF_CAST] = ref_cast,
	[WASM_OP_REF_CAST_NULL] = ref_cast,
	[WASM_OP_REF_I31] = ref_i31,
	[WASM_OP_I31_GET_S] = i31_get_s,
	[WASM_OP_I31_GET_U] = i31_get_u,
	[WASM_OP_I32_TRUNC_F32_S] = i32_trunc_f32_s,
	[WASM_OP_I32_TRUNC_F32_U] = i32_trunc_f32_u,
	[WASM_OP_I32_TRUNC_F64_S] = i32_trunc_f64_s,
	[WASM_OP_I32_TRUNC_F64_U] = i32_trunc_f64_u,
	[WASM_OP_I64_TRUNC_F32_S] = i64_trunc_f32_s,
	[WASM_OP_I64_TRUNC_F32_U] = i64_trunc_f32_u,
	[WASM_OP_I64_TRUNC_F64_S] = i64_trunc_f64_s,
	[WASM_OP_I64_TRUNC_F64_U] = i64_trunc_f64_u,
	[WASM_OP_I32_TRUNC_SAT_F32_S] = i32_trunc_f32_s_sat,
	[WASM_OP_I32_TRUNC_SAT_F32_U] = i32_trunc_f32_u_sat,
	[WASM_OP_I32_TRUNC_SAT_F64_S] = i32_trunc_f64_s_sat,
	[WASM_OP_I32_TRUNC_SAT_F64_U] = i32_trunc_f64_u_sat,
	[WASM_OP_I64_TRUNC_SAT_F32_S] = i64_trunc_f32_s_sat,
	[WASM_OP_I64_TRUNC_SAT_F32_U] = i64_trunc_f32_u_sat,
	[WASM_OP_I64_TRUNC_SAT_F64_S] = i64_trunc_f64_s_sat,
	[WASM_OP_I64_TRUNC_SAT_F64_U] = i64_trunc_f64_u_sat,
	[WASM_OP_F32_CONVERT_I64_U] = f32_convert_i64_u,
	[WASM_OP_F64_CONVERT_I64_U] = f64_convert_i64_u,
	[WASM_OP_MEMORY_ATOMIC_NOTIFY] = notify,
	[WASM_OP_MEMORY_ATOMIC_WAIT32] = wait32,
	[WASM_OP_MEMORY_ATOMIC_WAIT64] = wait64,
	[WASM_OP_ATOMIC_FENCE] = atomic_fence,
	[WASM_OP_I32_ATOMIC_LOAD] = load32,
	[WASM_OP_I64_ATOMIC_LOAD] = load64,
	[WASM_OP_I32_ATOMIC_LOAD8_U] = load8,
	[WASM_OP_I32_ATOMIC_LOAD16_U] = load16,
	[WASM_OP_I64_ATOMIC_LOAD8_U] = load8,
	[WASM_OP_I64_ATOMIC_LOAD16_U] = load16,
	[WASM_OP_I64_ATOMIC_LOAD32_U] = load32,
	[WASM_OP_I32_ATOMIC_STORE] = store32,
	[WASM_OP_I64_ATOMIC_STORE] = store64,
	[WASM_OP_I32_ATOMIC_STORE8] = store8,
	[WASM_OP_I32_ATOMIC_STORE16] = store16,
	[WASM_OP_I64_ATOMIC_STORE8] = store8,
	[WASM_OP_I64_ATOMIC_STORE16] = store16,
	[WASM_OP_I64_ATOMIC_STORE32] = store32,
	ATOMIC_ROW(ADD, add),
	ATOMIC_ROW(SUB, sub),
	ATOMIC_ROW(AND, and),
	ATOMIC_ROW(OR, or),
	ATOMIC_ROW(XOR, xor),
	ATOMIC_ROW(XCHG, xchg),
	[WASM_OP_I32_ATOMIC_RMW_CMPXCHG] = cmpxchg32_i32,
	[WASM_OP_I64_ATOMIC_RMW_CMPXCHG] = cmpxchg64_i64,
	[WASM_OP_I32_ATOMIC_RMW8_CMPXCHG_U] = cmpxchg8_i32,
	[WASM_OP_I32_ATOMIC_RMW16_CMPXCHG_U] = cmpxchg16_i32,
	[WASM_OP_I64_ATOMIC_RMW8_CMPXCHG_U] = cmpxchg8_i64,
	[WASM_OP_I64_ATOMIC_RMW16_CMPXCHG_U] = cmpxchg16_i64,
	[WASM_OP_I64_ATOMIC_RMW32_CMPXCHG_U] = cmpxchg32_i64,
	WASM_SLOW_SIMD_OPS
};
