#include "wasm/wasi/command.h"

#include <string.h>

#include "wasm/text/text.h"

#define STATUS_TRAPPED 134u

static bool is_binary(const struct wasi_command *c)
{
	return c->len >= 4 && memcmp(c->bytes, "\0asm", 4) == 0;
}

static int decode(const struct wasi_command *c, struct wasm_module **ret, struct error *err)
{
	_cleanup_free_ uint8_t *binary = NULL;
	size_t len;
	int r;

	if (is_binary(c))
		return wasm_module_decode(c->bytes, c->len, ret, err);
	r = wasm_text_to_binary(c->bytes, c->len, &binary, &len, err);
	if (r < 0)
		return error_prefix(err, "neither a WebAssembly binary nor its text format");
	return wasm_module_decode(binary, len, ret, err);
}

static int link_module(struct wasi *w, struct wasm_store *store, struct wasm_module *m, struct wasm_instance **ret, enum wasm_trap *trap,
		struct error *err)
{
	_cleanup_free_ struct wasm_extern *imports = calloc(m->n_imports + 1, sizeof(*imports));
	int r;

	if (!imports)
		return error_oom(err);
	for (uint32_t i = 0; i < m->n_imports; i++) {
		const struct wasm_import *im = &m->imports[i];

		if (im->kind != WASM_EXTERN_FUNC)
			return error_set(err, ENOENT, "unknown import '%.*s' from '%.*s': WASI gives functions only",
					 (int)MIN(im->name.len, 200u), im->name.s, (int)MIN(im->module.len, 200u), im->module.s);
		imports[i].kind = WASM_EXTERN_FUNC;
		r = wasi_import(w, store, &im->module, &im->name, m->funcs[im->index].type, &imports[i].func, err);
		if (r < 0)
			return r;
	}
	return wasm_instantiate(store, m, imports, ret, trap, err);
}

static int start(struct wasi *w, struct wasm_instance *inst, enum wasm_trap *trap, struct error *err)
{
	struct wasm_extern e;

	wasi_set_instance(w, inst);
	if (wasm_instance_export(inst, "_start", 6, &e) < 0 || e.kind != WASM_EXTERN_FUNC)
		return error_set(err, ENOEXEC, "the module exports no function '_start': it is a library (a reactor), not a command");
	if (wasm_typedef_get(e.func->type)->n_params || wasm_typedef_get(e.func->type)->n_results)
		return error_set(err, ENOEXEC, "the module's '_start' has parameters or results");
	return wasm_call(e.func, NULL, NULL, trap, err);
}

int wasi_run_command(struct wasi *w, const struct wasi_command *c, uint32_t *ret_status, struct error *err)
{
	_cleanup_wasm_module_ struct wasm_module *m = NULL;
	enum wasm_trap trap = WASM_TRAP_NONE;
	struct wasm_instance *inst;
	struct wasm_store *store;
	int r;

	r = decode(c, &m, err);
	if (r < 0)
		return r;
	r = wasm_store_new(&c->limits, &store, err);
	if (r < 0)
		return r;
	r = link_module(w, store, m, &inst, &trap, err);
	if (r >= 0)
		r = start(w, inst, &trap, err);
	wasm_store_free(store);
	if (wasi_exited(w, ret_status))
		return 0;
	*ret_status = r < 0 ? STATUS_TRAPPED : 0;
	return r;
}
