#include "wasm/runtime/call.h"

#include <string.h>

#include "wasm/runtime/code.h"

/* ---- from C into compiled code ---- */

static void put_arg(struct wasm_enter_frame *f, uint64_t *stack, struct wasm_arg_place p, wasm_type t, const union wasm_value *v)
{
	switch (p.where) {
	case WASM_ARG_GPR:
		f->gpr[p.index] = t == WASM_I32 ? (uint32_t)v->i32 : v->bits[0];
		break;
	case WASM_ARG_XMM:
		memcpy(f->xmm[p.index], v, 16);
		break;
	default:
		memcpy((uint8_t *)stack + p.index, v, t == WASM_V128 ? 16 : 8);
	}
}

static void take_results(const struct wasm_typedef *t, const struct wasm_exec *exec, uint64_t rax, const uint8_t *xmm0,
			 union wasm_value *results)
{
	for (uint32_t i = 0; i < t->n_results; i++) {
		results[i] = (union wasm_value){ 0 };
		if (i > 0)
			results[i] = exec->results[i - 1];
		else if (wasm_type_in_xmm(t->results[0]))
			memcpy(&results[0], xmm0, 16);
		else
			results[0].bits[0] = rax;
		if (wasm_type_size(t->results[i]) == 4)
			results[i].bits[0] = (uint32_t)results[i].bits[0];
		if (t->results[i] != WASM_V128)
			results[i].bits[1] = 0;
	}
}

static uintptr_t stack_floor(const struct wasm_store *store)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	return here > store->limits.stack_bytes ? here - store->limits.stack_bytes : 0;
}

static int enter(struct wasm_enter_frame *f, struct wasm_store *store)
{
	struct wasm_exec *exec = &store->exec;
	bool outermost = !exec->frames;
	int trapped;

	if (outermost && atomic_load(&exec->stack_limit) != UINTPTR_MAX)
		atomic_store(&exec->stack_limit, stack_floor(store));
	f->outer = exec->frames;
	f->store = store;
	exec->frames = f;
	trapped = wasm_enter(f);
	exec->frames = f->outer;
	if (outermost && atomic_load(&exec->stack_limit) != UINTPTR_MAX)
		atomic_store(&exec->stack_limit, 0);
	return trapped;
}

static int failure(struct wasm_store *store, uint64_t trap, enum wasm_trap *ret_trap, struct error *err)
{
	if (ret_trap)
		*ret_trap = (enum wasm_trap)trap;
	if (trap == WASM_TRAP_HOST) {
		if (err)
			*err = store->host_error;
		return store->host_error.code == ECANCELED ? -ECANCELED : -EFAULT;
	}
	if (trap == WASM_TRAP_INVALID) {
		if (err)
			*err = store->host_error;
		return -EFAULT;
	}
	return error_set(err, EFAULT, "%s", wasm_trap_message((enum wasm_trap)trap));
}

static int call_host(struct wasm_funcref *func, const union wasm_value *args, union wasm_value *results, enum wasm_trap *ret_trap,
		     struct error *err)
{
	struct wasm_store *store = func->store;

	store->host_error = ERROR_INIT;
	if (func->callback(func->data, store, NULL, args, results, &store->host_error) < 0)
		return failure(store, WASM_TRAP_HOST, ret_trap, err);
	return 0;
}

int wasm_call(struct wasm_funcref *func, const union wasm_value *args, union wasm_value *results, enum wasm_trap *ret_trap,
	      struct error *err)
{
	const struct wasm_typedef *t = wasm_typedef_get(func->type);
	uint64_t stack[WASM_MAX_PARAMS * 2 + 2];
	struct wasm_enter_frame f = { .entry = func->entry, .gpr = { (uint64_t)(uintptr_t)func->context }, .stack = stack };
	struct wasm_arg_walk w = WASM_ARG_WALK_INIT;

	if (func->callback)
		return call_host(func, args, results, ret_trap, err);
	for (uint32_t i = 0; i < t->n_params; i++)
		put_arg(&f, stack, wasm_next_arg(&w, t->params[i]), t->params[i], &args[i]);
	f.n_stack = wasm_arg_stack_bytes(t) / 8;
	if (enter(&f, func->store))
		return failure(func->store, f.trap, ret_trap, err);
	take_results(t, &func->store->exec, f.rax, f.xmm0, results);
	return 0;
}

/* ---- from compiled code into C ---- */

static union wasm_value get_arg(const struct wasm_host_frame *f, struct wasm_arg_place p, wasm_type t)
{
	union wasm_value v = { 0 };

	switch (p.where) {
	case WASM_ARG_GPR:
		v.bits[0] = f->gpr[p.index];
		break;
	case WASM_ARG_XMM:
		memcpy(&v, f->xmm[p.index], 16);
		break;
	default:
		memcpy(&v, (const uint8_t *)f->stack + p.index, t == WASM_V128 ? 16 : 8);
	}
	if (wasm_type_size(t) == 4)
		v.bits[0] = (uint32_t)v.bits[0];
	return v;
}

uint64_t wasm_host_dispatch(struct wasm_host_frame *f)
{
	struct wasm_funcref *func = (struct wasm_funcref *)(uintptr_t)f->gpr[0];
	const struct wasm_typedef *t = wasm_typedef_get(func->type);
	struct wasm_store *store = func->store;
	union wasm_value args[WASM_MAX_PARAMS], results[WASM_MAX_RESULTS];
	struct wasm_arg_walk w = WASM_ARG_WALK_INIT;

	for (uint32_t i = 0; i < t->n_params; i++)
		args[i] = get_arg(f, wasm_next_arg(&w, t->params[i]), t->params[i]);
	memset(results, 0, t->n_results * sizeof(*results));
	store->host_error = ERROR_INIT;
	if (func->callback(func->data, store, f->caller, args, results, &store->host_error) < 0)
		wasm_trap_raise(store, WASM_TRAP_HOST);
	if (t->n_results) {
		f->rax = results[0].bits[0];
		memcpy(f->xmm0, &results[0], 16);
	}
	for (uint32_t i = 1; i < t->n_results; i++)
		store->exec.results[i - 1] = results[i];
	return wasm_arg_stack_bytes(t);
}

const void *wasm_lazy_compile(struct wasm_instance *instance, uint32_t index)
{
	const void *entry = NULL;

	if (wasm_code_compile(instance->code, index, &entry, &instance->store->host_error) < 0)
		wasm_trap_raise(instance->store, WASM_TRAP_INVALID);
	return entry;
}

/* ---- unwinding ---- */

void wasm_trap_raise(struct wasm_store *store, enum wasm_trap trap)
{
	wasm_unwind(store->exec.frames, trap);
}

static const struct wasm_code_handler *innermost(const struct wasm_code_func *f, uint32_t pc)
{
	const struct wasm_code_handler *found = NULL;

	for (uint32_t i = 0; i < f->n_handlers; i++)
		if (pc >= f->handlers[i].start && pc < f->handlers[i].end)
			found = &f->handlers[i];
	while (found && !found->landing)
		found = found->parent == WASM_NO_HANDLER ? NULL : &f->handlers[found->parent];
	return found;
}

void wasm_throw(struct wasm_store *store, struct wasm_object *exception)
{
	struct wasm_enter_frame *bottom = store->exec.frames;
	const uint64_t *fp = __builtin_frame_address(0);

	store->exec.exception = exception;
	while (fp && (uint64_t)(uintptr_t)fp < bottom->sp) {
		const uint8_t *ret = (const uint8_t *)(uintptr_t)fp[1];
		const uint64_t *caller = (const uint64_t *)(uintptr_t)fp[0];
		struct wasm_code *code;
		const struct wasm_code_func *f = wasm_code_find(ret - 1, &code);
		const struct wasm_code_handler *h = f ? innermost(f, (uint32_t)(ret - 1 - code->region)) : NULL;

		if (h)
			wasm_resume(code->region + h->landing, (uint64_t)(uintptr_t)caller,
				    (uint64_t)(uintptr_t)caller - f->frame_size);
		fp = caller;
	}
	wasm_unwind(bottom, WASM_TRAP_EXCEPTION);
}
