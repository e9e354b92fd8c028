/*
 * A decoded module (core specification 3.0, chapter 2, binary format chapter 5). Immutable once decoded, but for the
 * lazily set per-function validation marks. All indices in it have been checked where the format allows to check them
 * at once; function bodies and constant expressions stay as byte ranges until somebody validates them.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wasm/types.h"

/* Limits, those of the JavaScript API where it has one. */
#define WASM_MAX_MODULE_BYTES (1u << 30)
#define WASM_MAX_FUNCS 1000000u
#define WASM_MAX_IMPORTS 1000000u
#define WASM_MAX_EXPORTS 1000000u
#define WASM_MAX_GLOBALS 1000000u
#define WASM_MAX_TAGS 1000000u
#define WASM_MAX_SEGMENTS 100000u
#define WASM_MAX_TABLES 100000u
#define WASM_MAX_MEMORIES 1000u
#define WASM_MAX_PARAMS 1000u
#define WASM_MAX_RESULTS 1000u
#define WASM_MAX_FIELDS 10000u
#define WASM_MAX_LOCALS 50000u
#define WASM_MAX_SUPERS 63u
#define WASM_MAX_BODY_BYTES (7u << 20 | 1u << 19)
#define WASM_MAX_NESTING 10000u
#define WASM_MAX_TABLE_SIZE 10000000u

struct wasm_name { /* UTF-8, not NUL-terminated, inside the module's bytes */
	const char *s;
	uint32_t len;
};

struct wasm_expr { /* a constant expression: [offset, offset + len) of the module's bytes, the final `end` included */
	uint32_t offset, len;
};

struct wasm_limits {
	uint64_t min, max;
	bool has_max, is64, shared;
};

struct wasm_table_type {
	wasm_type elem;
	struct wasm_limits limits; /* elements */
};

struct wasm_memory_type {
	struct wasm_limits limits; /* pages of 64 KiB */
};

struct wasm_global_type {
	wasm_type type;
	bool mutable;
};

enum wasm_extern_kind { WASM_EXTERN_FUNC, WASM_EXTERN_TABLE, WASM_EXTERN_MEMORY, WASM_EXTERN_GLOBAL, WASM_EXTERN_TAG };

struct wasm_import {
	struct wasm_name module, name;
	enum wasm_extern_kind kind;
	uint32_t index; /* in the index space of its kind */
};

struct wasm_export {
	struct wasm_name name;
	enum wasm_extern_kind kind;
	uint32_t index;
};

struct wasm_func {
	uint32_t type;   /* canonical id */
	uint32_t offset; /* of the body's locals in the module's bytes; 0 for an import */
	uint32_t len;
	_Atomic uint8_t validated; /* 1: known good */
	bool declared;             /* ref.func may name it */
};

struct wasm_table {
	struct wasm_table_type type;
	bool has_init;
	struct wasm_expr init;
};

struct wasm_global {
	struct wasm_global_type type;
	struct wasm_expr init; /* len 0 for an import */
};

enum wasm_segment_mode { WASM_SEGMENT_ACTIVE, WASM_SEGMENT_PASSIVE, WASM_SEGMENT_DECLARATIVE };

struct wasm_elem {
	enum wasm_segment_mode mode;
	wasm_type type;
	uint32_t table;
	struct wasm_expr table_offset;
	uint32_t n;
	uint32_t *funcs;         /* n function indices, or NULL */
	struct wasm_expr *exprs; /* n expressions, or NULL */
};

struct wasm_data {
	enum wasm_segment_mode mode;
	uint32_t memory;
	struct wasm_expr memory_offset;
	uint32_t offset, len; /* in the module's bytes */
};

struct wasm_custom {
	struct wasm_name name;
	uint32_t offset, len; /* payload */
};

struct wasm_module {
	uint8_t *bytes; /* owned copy of the input */
	size_t size;

	uint32_t *types; /* type index -> canonical id */
	uint32_t n_types;
	struct wasm_import *imports;
	uint32_t n_imports;
	struct wasm_func *funcs; /* imports first, as in all the index spaces below */
	uint32_t n_funcs, n_imported_funcs;
	struct wasm_table *tables;
	uint32_t n_tables, n_imported_tables;
	struct wasm_memory_type *memories;
	uint32_t n_memories, n_imported_memories;
	struct wasm_global *globals;
	uint32_t n_globals, n_imported_globals;
	uint32_t *tags; /* canonical id of the tag's function type */
	uint32_t n_tags, n_imported_tags;
	struct wasm_export *exports;
	uint32_t n_exports;
	bool has_start;
	uint32_t start;
	struct wasm_elem *elems;
	uint32_t n_elems;
	struct wasm_data *datas;
	uint32_t n_datas;
	bool has_data_count;
	uint32_t data_count;
	uint32_t code_offset; /* of the code section's contents: what DWARF addresses are relative to */
	struct wasm_custom *customs;
	uint32_t n_customs;
};

/*
 * Decodes BYTES (copied) and validates all but the function bodies. Errors: -EBADMSG malformed, -EINVAL invalid,
 * -E2BIG past a limit, -ENOMEM. Free with wasm_module_free().
 */
int wasm_module_decode(const void *bytes, size_t size, struct wasm_module **ret, struct error *err);
void wasm_module_free(struct wasm_module *m);

/* Validates the body of function INDEX (not an import) once; cheap when it has been done. Thread-safe. */
int wasm_module_validate_func(struct wasm_module *m, uint32_t index, struct error *err);
/* All of them. */
int wasm_module_validate(struct wasm_module *m, struct error *err);

/* The function's name from the name section; len 0 when it has none. A linear scan: for backtraces only. */
struct wasm_name wasm_module_func_name(const struct wasm_module *m, uint32_t index);

static inline const struct wasm_typedef *wasm_func_type(const struct wasm_module *m, uint32_t func)
{
	return wasm_typedef_get(m->funcs[func].type);
}

static inline void cleanup_wasm_module(struct wasm_module **m)
{
	wasm_module_free(*m);
}

#define _cleanup_wasm_module_ _cleanup_(cleanup_wasm_module)
