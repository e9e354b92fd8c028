/* WebAssembly, binary or text: decoded, validated, and every function compiled. Nothing of it is run. */
#include <stdint.h>
#include <string.h>

#include "wasm/module.h"
#include "wasm/runtime/code.h"
#include "wasm/text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compile(struct wasm_module *m)
{
	struct wasm_code *code;

	if (wasm_code_new(m, &code, NULL) < 0)
		return;
	for (uint32_t i = m->n_imported_funcs; i < m->n_funcs; i++) {
		struct error err = ERROR_INIT;
		const void *entry;

		wasm_code_compile(code, i, &entry, &err);
	}
	wasm_code_unref(code);
}

static void try_binary(const void *bytes, size_t size)
{
	_cleanup_wasm_module_ struct wasm_module *m = NULL;
	struct error err = ERROR_INIT;

	if (wasm_module_decode(bytes, size, &m, &err) < 0)
		return;
	for (uint32_t i = 0; i < m->n_funcs; i++)
		wasm_module_func_name(m, i);
	compile(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ uint8_t *binary = NULL;
	struct error err = ERROR_INIT;
	size_t len;

	if (size >= 4 && memcmp(data, "\0asm", 4) == 0)
		try_binary(data, size);
	else if (wasm_text_to_binary((const char *)data, size, &binary, &len, &err) >= 0)
		try_binary(binary, len);
	return 0;
}
