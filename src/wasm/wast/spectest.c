/* The "spectest" host module, written in the text format. What it would print is of no interest to a test. */
#include <string.h>

#include "wasm/wast/script.h"

static const char source[] =
	"(global (export \"global_i32\") i32 (i32.const 666))"
	"(global (export \"global_i64\") i64 (i64.const 666))"
	"(global (export \"global_f32\") f32 (f32.const 666.6))"
	"(global (export \"global_f64\") f64 (f64.const 666.6))"
	"(table (export \"table\") 10 20 funcref)"
	"(table (export \"table64\") i64 10 20 funcref)"
	"(memory (export \"memory\") 1 2)"
	"(memory (export \"shared_memory\") 1 2 shared)"
	"(func (export \"print\"))"
	"(func (export \"print_i32\") (param i32))"
	"(func (export \"print_i64\") (param i64))"
	"(func (export \"print_f32\") (param f32))"
	"(func (export \"print_f64\") (param f64))"
	"(func (export \"print_i32_f32\") (param i32 f32))"
	"(func (export \"print_f64_f64\") (param f64 f64))";

int wast_spectest(struct script *s)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	struct wasm_instance *instance;
	size_t len;
	int r;

	r = wasm_text_to_binary(source, strlen(source), &bytes, &len, &s->err);
	if (r >= 0)
		r = wasm_module_decode(bytes, len, &s->spectest_module, &s->err);
	if (r >= 0)
		r = wasm_instantiate(s->store, s->spectest_module, NULL, &instance, NULL, &s->err);
	return r < 0 ? r : wast_list_add(&s->registered, "spectest", NULL, instance);
}
