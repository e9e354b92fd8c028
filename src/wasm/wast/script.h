/* What the parts of the script runner share. */
#pragma once

#include "wasm/runtime/runtime.h"
#include "wasm/text/text.h"
#include "wasm/wast/wast.h"

struct wast_named { /* a module definition or an instance under a name */
	char *name; /* NULL: anonymous */
	struct wasm_module *module;
	struct wasm_instance *instance;
};

struct wast_list {
	struct wast_named *v;
	size_t n;
};

struct script {
	const struct wat_text *t;
	struct wasm_store *store;
	struct wast_list definitions; /* owns the modules */
	struct wast_list instances;   /* by script identifier; the last one is current */
	struct wast_list registered;  /* by import name */
	struct wasm_module *spectest_module;
	struct wasm_wast_report *report;
	struct error err; /* why the current command failed */
};

/* values.c */

/* "(i32.const 1)" and the like at *INDEX; moves behind it. -EBADMSG when it is no value. */
int wast_value(struct script *s, uint32_t *index, union wasm_value *ret, wasm_type *ret_type);
/* Whether VALUE of type TYPE is what the pattern at INDEX expects: a value, a NaN pattern, (either ...), (ref.func) ... */
bool wast_matches(struct script *s, uint32_t index, union wasm_value value, wasm_type type);
void wast_describe(union wasm_value value, wasm_type type, char *out, size_t size);

/* spectest.c */
int wast_spectest(struct script *s);

int wast_list_add(struct wast_list *l, const char *name, struct wasm_module *m, struct wasm_instance *i);
