/* Instantiation (core specification 3.0, 4.7). */
#include <string.h>

#include "wasm/runtime/call.h"
#include "wasm/runtime/code.h"
#include "wasm/runtime/constant.h"
#include "wasm/runtime/runtime.h"

#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		int try_r_ = (call);                                                                                   \
		if (try_r_ < 0)                                                                                        \
			return try_r_;                                                                                 \
	} while (0)

/* ---- imports ---- */

static bool limits_match(const struct wasm_limits *have, uint64_t size, const struct wasm_limits *want)
{
	if (have->is64 != want->is64 || have->shared != want->shared || size < want->min)
		return false;
	return !want->has_max || (have->has_max && have->max <= want->max);
}

static bool import_matches(const struct wasm_module *m, const struct wasm_import *im, const struct wasm_extern *e)
{
	const struct wasm_table_type *tt;
	const struct wasm_global_type *gt;

	if (e->kind != im->kind)
		return false;
	switch (im->kind) {
	case WASM_EXTERN_FUNC:
		return wasm_heap_subtype(e->func->type, m->funcs[im->index].type);
	case WASM_EXTERN_TABLE:
		tt = &m->tables[im->index].type;
		return e->table->type.elem == tt->elem && limits_match(&e->table->type.limits, e->table->size, &tt->limits);
	case WASM_EXTERN_MEMORY:
		return limits_match(&e->memory->type.limits, e->memory->size / WASM_PAGE, &m->memories[im->index].limits);
	case WASM_EXTERN_GLOBAL:
		gt = &m->globals[im->index].type;
		if (e->global->type.mutable != gt->mutable)
			return false;
		return gt->mutable ? e->global->type.type == gt->type : wasm_subtype(e->global->type.type, gt->type);
	default:
		return e->tag->type == m->tags[im->index];
	}
}

static int link_import(struct wasm_instance *inst, const struct wasm_import *im, const struct wasm_extern *e, struct error *err)
{
	if (!import_matches(inst->module, im, e))
		return error_set(err, ENOEXEC, "incompatible import type: '%.*s' from '%.*s'", (int)MIN(im->name.len, 200u),
				 im->name.s, (int)MIN(im->module.len, 200u), im->module.s);
	switch (im->kind) {
	case WASM_EXTERN_FUNC:
		inst->func_refs[im->index] = e->func;
		inst->imports[im->index] = (struct wasm_import_cell){ .entry = e->func->entry, .context = e->func->context };
		break;
	case WASM_EXTERN_TABLE:
		inst->tables[im->index] = e->table;
		break;
	case WASM_EXTERN_MEMORY:
		inst->memories[im->index] = e->memory;
		break;
	case WASM_EXTERN_GLOBAL:
		inst->global_insts[im->index] = e->global;
		inst->globals[im->index] = e->global->cell;
		break;
	default:
		inst->tags[im->index] = e->tag;
	}
	return 0;
}

/* ---- allocation ---- */

static int allocate(struct wasm_store *store, struct wasm_module *m, struct wasm_instance **ret, struct error *err)
{
	struct wasm_instance *i = wasm_store_alloc(store, sizeof(*i), err);

	if (!i)
		return -ENOMEM;
	i->exec = &store->exec;
	i->store = store;
	i->module = m;
	i->memories = wasm_store_alloc(store, m->n_memories * sizeof(*i->memories), err);
	i->tables = wasm_store_alloc(store, m->n_tables * sizeof(*i->tables), err);
	i->globals = wasm_store_alloc(store, m->n_globals * sizeof(*i->globals), err);
	i->global_insts = wasm_store_alloc(store, m->n_globals * sizeof(*i->global_insts), err);
	i->imports = wasm_store_alloc(store, m->n_imported_funcs * sizeof(*i->imports), err);
	i->func_refs = wasm_store_alloc(store, m->n_imported_funcs * sizeof(*i->func_refs), err);
	i->funcs = wasm_store_alloc(store, m->n_funcs * sizeof(*i->funcs), err);
	i->tags = wasm_store_alloc(store, m->n_tags * sizeof(*i->tags), err);
	i->dropped_elems = wasm_store_alloc(store, m->n_elems * sizeof(*i->dropped_elems), err);
	i->dropped_datas = wasm_store_alloc(store, m->n_datas * sizeof(*i->dropped_datas), err);
	i->elem_values = wasm_store_alloc(store, m->n_elems * sizeof(*i->elem_values), err);
	if (!i->memories || !i->tables || !i->globals || !i->global_insts || !i->imports || !i->func_refs || !i->funcs ||
	    !i->tags || !i->dropped_elems || !i->dropped_datas || !i->elem_values)
		return -ENOMEM;
	*ret = i;
	return 0;
}

/* The module's code, shared by all its instances of the store. */
static int find_code(struct wasm_store *store, struct wasm_instance *inst, struct error *err)
{
	for (struct wasm_instance *i = store->instances; i; i = i->next) {
		if (i->module == inst->module) {
			inst->code = wasm_code_ref(i->code);
			return 0;
		}
	}
	return wasm_code_new(inst->module, &inst->code, err);
}

struct wasm_funcref *wasm_instance_func(struct wasm_instance *inst, uint32_t index)
{
	struct wasm_funcref *f = &inst->funcs[index];

	if (index < inst->module->n_imported_funcs)
		return inst->func_refs[index];
	if (!f->entry)
		*f = (struct wasm_funcref){ .entry = wasm_code_thunk(inst->code, index), .context = inst,
					    .type = inst->module->funcs[index].type, .index = index, .store = inst->store };
	return f;
}

static int make_globals(struct wasm_instance *inst, struct error *err)
{
	const struct wasm_module *m = inst->module;

	for (uint32_t i = m->n_imported_globals; i < m->n_globals; i++) {
		union wasm_value v;

		TRY(wasm_constant_eval(inst, m->globals[i].init, &v, err));
		TRY(wasm_global_new(inst->store, m->globals[i].type, v, &inst->global_insts[i], err));
		inst->globals[i] = inst->global_insts[i]->cell;
	}
	return 0;
}

static int make_tables(struct wasm_instance *inst, struct error *err)
{
	const struct wasm_module *m = inst->module;

	for (uint32_t i = m->n_imported_tables; i < m->n_tables; i++) {
		union wasm_value v = { 0 };

		if (m->tables[i].has_init)
			TRY(wasm_constant_eval(inst, m->tables[i].init, &v, err));
		TRY(wasm_table_new(inst->store, m->tables[i].type, v.ref, &inst->tables[i], err));
	}
	return 0;
}

static int make_definitions(struct wasm_instance *inst, struct error *err)
{
	const struct wasm_module *m = inst->module;

	for (uint32_t i = m->n_imported_memories; i < m->n_memories; i++)
		TRY(wasm_memory_new(inst->store, m->memories[i], &inst->memories[i], err));
	if (m->n_memories)
		inst->memory0 = inst->memories[0]->base;
	for (uint32_t i = m->n_imported_tags; i < m->n_tags; i++)
		TRY(wasm_tag_new(inst->store, m->tags[i], &inst->tags[i], err));
	TRY(make_globals(inst, err));
	return make_tables(inst, err);
}

/* ---- segments ---- */

wasm_ref_bits *wasm_instance_elems(struct wasm_instance *inst, uint32_t index)
{
	const struct wasm_elem *e = &inst->module->elems[index];
	wasm_ref_bits *v = inst->elem_values[index];

	if (v)
		return v;
	v = calloc(e->n + 1, sizeof(*v));
	for (uint32_t i = 0; v && i < e->n; i++) {
		union wasm_value value = { 0 };

		if (e->funcs) {
			value.ref = (wasm_ref_bits)(uintptr_t)wasm_instance_func(inst, e->funcs[i]);
		} else {
			int r;

			inst->store->gc_paused++;
			r = wasm_constant_eval(inst, e->exprs[i], &value, NULL);
			inst->store->gc_paused--;
			if (r < 0) {
				free(v);
				return NULL;
			}
		}
		v[i] = value.ref;
	}
	inst->elem_values[index] = v;
	return v;
}

static uint64_t address(bool is64, union wasm_value v)
{
	return is64 ? (uint64_t)v.i64 : (uint32_t)v.i32;
}

static int init_table(struct wasm_instance *inst, uint32_t index, enum wasm_trap *trap, struct error *err)
{
	const struct wasm_elem *e = &inst->module->elems[index];
	struct wasm_table_inst *t = inst->tables[e->table];
	union wasm_value v;
	wasm_ref_bits *refs;
	uint64_t at;

	TRY(wasm_constant_eval(inst, e->table_offset, &v, err));
	at = address(t->type.limits.is64, v);
	if (at > t->size || e->n > t->size - at) {
		*trap = WASM_TRAP_TABLE;
		return error_set(err, EFAULT, "%s: element segment %u", wasm_trap_message(*trap), index);
	}
	refs = wasm_instance_elems(inst, index);
	if (!refs)
		return error_oom(err);
	memcpy(t->elems + at, refs, e->n * sizeof(*refs));
	return 0;
}

static int init_memory(struct wasm_instance *inst, uint32_t index, enum wasm_trap *trap, struct error *err)
{
	const struct wasm_data *d = &inst->module->datas[index];
	struct wasm_memory_inst *m = inst->memories[d->memory];
	union wasm_value v;
	uint64_t at;

	TRY(wasm_constant_eval(inst, d->memory_offset, &v, err));
	at = address(m->type.limits.is64, v);
	if (!wasm_memory_check(m, at, d->len)) {
		*trap = WASM_TRAP_MEMORY;
		return error_set(err, EFAULT, "%s: data segment %u", wasm_trap_message(*trap), index);
	}
	if (d->len)
		memcpy(m->base + at, inst->module->bytes + d->offset, d->len);
	return 0;
}

static int init_segments(struct wasm_instance *inst, enum wasm_trap *trap, struct error *err)
{
	const struct wasm_module *m = inst->module;

	for (uint32_t i = 0; i < m->n_elems; i++) {
		if (m->elems[i].mode == WASM_SEGMENT_ACTIVE)
			TRY(init_table(inst, i, trap, err));
		inst->dropped_elems[i] = m->elems[i].mode != WASM_SEGMENT_PASSIVE;
	}
	for (uint32_t i = 0; i < m->n_datas; i++) {
		if (m->datas[i].mode == WASM_SEGMENT_ACTIVE)
			TRY(init_memory(inst, i, trap, err));
		inst->dropped_datas[i] = m->datas[i].mode != WASM_SEGMENT_PASSIVE;
	}
	return 0;
}

static int initialize(struct wasm_instance *inst, enum wasm_trap *trap, struct error *err)
{
	int r;

	/* From here on the instance may be reached (its functions stand in tables), so it stays in the store in any case. */
	inst->next = inst->store->instances;
	inst->store->instances = inst;
	inst->store->n_instances++;
	inst->store->gc_paused++;
	r = make_definitions(inst, err);
	if (r >= 0)
		r = init_segments(inst, trap, err);
	inst->store->gc_paused--;
	if (r >= 0 && inst->module->has_start)
		r = wasm_call(wasm_instance_func(inst, inst->module->start), NULL, NULL, trap, err);
	return r;
}

int wasm_instantiate(struct wasm_store *store, struct wasm_module *m, const struct wasm_extern *imports,
		     struct wasm_instance **ret, enum wasm_trap *ret_trap, struct error *err)
{
	enum wasm_trap trap = WASM_TRAP_NONE;
	struct wasm_instance *inst;
	int r;

	if (store->n_instances >= store->limits.instances)
		return error_set(err, EMFILE, "the limit of %u instances is reached", store->limits.instances);
	TRY(allocate(store, m, &inst, err));
	for (uint32_t i = 0; i < m->n_imports; i++)
		TRY(link_import(inst, &m->imports[i], &imports[i], err));
	TRY(find_code(store, inst, err));
	r = initialize(inst, &trap, err);
	if (ret_trap)
		*ret_trap = trap;
	if (r >= 0)
		*ret = inst;
	return r;
}

int wasm_instance_export(struct wasm_instance *inst, const char *name, size_t len, struct wasm_extern *ret)
{
	const struct wasm_module *m = inst->module;

	for (uint32_t i = 0; i < m->n_exports; i++) {
		const struct wasm_export *e = &m->exports[i];

		if (e->name.len != len || (len && memcmp(e->name.s, name, len) != 0))
			continue;
		ret->kind = e->kind;
		switch (e->kind) {
		case WASM_EXTERN_FUNC:
			ret->func = wasm_instance_func(inst, e->index);
			break;
		case WASM_EXTERN_TABLE:
			ret->table = inst->tables[e->index];
			break;
		case WASM_EXTERN_MEMORY:
			ret->memory = inst->memories[e->index];
			break;
		case WASM_EXTERN_GLOBAL:
			ret->global = inst->global_insts[e->index];
			break;
		default:
			ret->tag = inst->tags[e->index];
		}
		return 0;
	}
	return -ENOENT;
}
