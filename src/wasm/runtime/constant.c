#include "wasm/runtime/constant.h"

#include <string.h>

#include "wasm/insn.h"

void wasm_storage_put(uint8_t *p, wasm_type t, const union wasm_value *value)
{
	memcpy(p, value, wasm_type_size(t));
}

union wasm_value wasm_storage_get(const uint8_t *p, wasm_type t, bool sign)
{
	union wasm_value v = { 0 };

	memcpy(&v, p, wasm_type_size(t));
	if (sign && t == WASM_I8)
		v.i32 = (int8_t)v.i32;
	if (sign && t == WASM_I16)
		v.i32 = (int16_t)v.i32;
	return v;
}

wasm_ref_bits wasm_struct_new(struct wasm_store *store, uint32_t type, const union wasm_value *fields)
{
	const struct wasm_typedef *t = wasm_typedef_get(type);
	struct wasm_object *o = wasm_gc_alloc(store, WASM_OBJECT_STRUCT, type, t->offsets[t->n_fields]);

	for (uint32_t i = 0; o && fields && i < t->n_fields; i++)
		wasm_storage_put(WASM_OBJECT_DATA(o) + t->offsets[i], t->fields[i].type, &fields[i]);
	return (wasm_ref_bits)(uintptr_t)o;
}

wasm_ref_bits wasm_array_new(struct wasm_store *store, uint32_t type, uint32_t n, const union wasm_value *value)
{
	wasm_type elem = wasm_typedef_get(type)->fields[0].type;
	uint32_t size = wasm_type_size(elem);
	struct wasm_object *o = wasm_gc_alloc(store, WASM_OBJECT_ARRAY, type, (uint64_t)n * size);

	if (!o)
		return 0;
	o->length = n;
	for (uint32_t i = 0; value && i < n; i++)
		wasm_storage_put(WASM_OBJECT_DATA(o) + (size_t)i * size, elem, value);
	return (wasm_ref_bits)(uintptr_t)o;
}

struct stack {
	union wasm_value *v;
	size_t n, cap;
};

static int push(struct stack *s, union wasm_value v, struct error *err)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		union wasm_value *p = realloc(s->v, cap * sizeof(*p));

		if (!p)
			return error_oom(err);
		s->v = p;
		s->cap = cap;
	}
	s->v[s->n++] = v;
	return 0;
}

static union wasm_value arithmetic(uint16_t op, union wasm_value a, union wasm_value b)
{
	union wasm_value v = { 0 };

	switch (op) {
	case WASM_OP_I32_ADD: v.i32 = (int32_t)((uint32_t)a.i32 + (uint32_t)b.i32); break;
	case WASM_OP_I32_SUB: v.i32 = (int32_t)((uint32_t)a.i32 - (uint32_t)b.i32); break;
	case WASM_OP_I32_MUL: v.i32 = (int32_t)((uint32_t)a.i32 * (uint32_t)b.i32); break;
	case WASM_OP_I64_ADD: v.bits[0] = a.bits[0] + b.bits[0]; break;
	case WASM_OP_I64_SUB: v.bits[0] = a.bits[0] - b.bits[0]; break;
	default: v.bits[0] = a.bits[0] * b.bits[0]; break;
	}
	return v;
}

static int new_object(struct wasm_instance *inst, const struct wasm_insn *insn, struct stack *s, struct error *err)
{
	const struct wasm_typedef *t = wasm_typedef_get(insn->pair.a);
	union wasm_value v = { 0 };
	size_t pops = 0;

	switch (insn->op) {
	case WASM_OP_STRUCT_NEW:
		pops = t->n_fields;
		v.ref = wasm_struct_new(inst->store, t->id, s->v + s->n - pops);
		break;
	case WASM_OP_STRUCT_NEW_DEFAULT:
		v.ref = wasm_struct_new(inst->store, t->id, NULL);
		break;
	case WASM_OP_ARRAY_NEW:
		pops = 2;
		v.ref = wasm_array_new(inst->store, t->id, (uint32_t)s->v[s->n - 1].i32, &s->v[s->n - 2]);
		break;
	case WASM_OP_ARRAY_NEW_DEFAULT:
		pops = 1;
		v.ref = wasm_array_new(inst->store, t->id, (uint32_t)s->v[s->n - 1].i32, NULL);
		break;
	default: /* array.new_fixed */
		pops = insn->pair.b;
		v.ref = wasm_array_new(inst->store, t->id, insn->pair.b, NULL);
		for (uint32_t i = 0; v.ref && i < pops; i++)
			wasm_storage_put(WASM_OBJECT_DATA((struct wasm_object *)(uintptr_t)v.ref) +
						 (size_t)i * wasm_type_size(t->fields[0].type),
					 t->fields[0].type, &s->v[s->n - pops + i]);
	}
	if (!v.ref)
		return error_set(err, ENOMEM, "%s", wasm_trap_message(WASM_TRAP_HEAP));
	s->n -= pops;
	return push(s, v, err);
}

static int step(struct wasm_instance *inst, const struct wasm_insn *insn, struct stack *s, struct error *err)
{
	union wasm_value v = { 0 };

	switch (insn->op) {
	case WASM_OP_I32_CONST:
		v.i32 = insn->i32;
		break;
	case WASM_OP_I64_CONST:
		v.i64 = insn->i64;
		break;
	case WASM_OP_F32_CONST:
		v.bits[0] = insn->f32;
		break;
	case WASM_OP_F64_CONST:
		v.bits[0] = insn->f64;
		break;
	case WASM_OP_V128_CONST:
		memcpy(v.v128, insn->v128, 16);
		break;
	case WASM_OP_GLOBAL_GET:
		v = *inst->globals[insn->index];
		break;
	case WASM_OP_REF_NULL:
		break;
	case WASM_OP_REF_FUNC:
		v.ref = (wasm_ref_bits)(uintptr_t)wasm_instance_func(inst, insn->index);
		break;
	case WASM_OP_REF_I31:
		s->v[s->n - 1].bits[0] = ((uint64_t)(uint32_t)s->v[s->n - 1].i32 << 1 & 0xffffffffu) | 1;
		return 0;
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY:
		return 0;
	case WASM_OP_STRUCT_NEW:
	case WASM_OP_STRUCT_NEW_DEFAULT:
	case WASM_OP_ARRAY_NEW:
	case WASM_OP_ARRAY_NEW_DEFAULT:
	case WASM_OP_ARRAY_NEW_FIXED:
		return new_object(inst, insn, s, err);
	default:
		v = arithmetic(insn->op, s->v[s->n - 2], s->v[s->n - 1]);
		s->n -= 2;
	}
	return push(s, v, err);
}

static int eval(struct wasm_instance *inst, struct wasm_expr e, struct stack *s, struct error *err)
{
	const struct wasm_module *m = inst->module;
	struct wasm_reader r = { .start = m->bytes + e.offset, .p = m->bytes + e.offset, .end = m->bytes + e.offset + e.len,
				 .base = e.offset, .err = err };
	struct wasm_insn insn;

	for (;;) {
		int n = wasm_insn_read(m, &r, &insn);

		if (n < 0)
			return n;
		if (insn.op == WASM_OP_END)
			return 0;
		n = step(inst, &insn, s, err);
		if (n < 0)
			return n;
	}
}

int wasm_constant_eval(struct wasm_instance *inst, struct wasm_expr e, union wasm_value *ret, struct error *err)
{
	struct stack s = { 0 };
	int r = eval(inst, e, &s, err);

	if (r >= 0)
		*ret = s.v[s.n - 1];
	free(s.v);
	return r;
}
