/*
 * WebAssembly types (core specification 3.0, 2.3 "Types" and 3.1 "Conventions").
 *
 * A value type is one 32-bit word, so that types compare with `==`: the binary format's byte in the low 8 bits; for
 * references the heap type in the upper 24, which is an abstract heap type's byte or a *canonical type id*. Canonical
 * ids are given out by one process-wide registry: two rec groups that the specification calls equivalent have the same
 * ids, in whichever modules they stand.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef uint32_t wasm_type; /* a value, storage or (validation only) bottom type */
typedef uint32_t wasm_heap; /* a heap type: canonical id or WASM_HEAP_... */

#define WASM_BOT 0u /* the type of what unreachable code pops */
#define WASM_I32 0x7fu
#define WASM_I64 0x7eu
#define WASM_F32 0x7du
#define WASM_F64 0x7cu
#define WASM_V128 0x7bu
#define WASM_I8 0x78u /* storage types, in fields only */
#define WASM_I16 0x77u
#define WASM_REF_NULL_BYTE 0x63u
#define WASM_REF_BYTE 0x64u

#define WASM_HEAP_ABSTRACT 0xffff00u
#define WASM_HEAP_NOEXN (WASM_HEAP_ABSTRACT | 0x74u)
#define WASM_HEAP_NOFUNC (WASM_HEAP_ABSTRACT | 0x73u)
#define WASM_HEAP_NOEXTERN (WASM_HEAP_ABSTRACT | 0x72u)
#define WASM_HEAP_NONE (WASM_HEAP_ABSTRACT | 0x71u)
#define WASM_HEAP_FUNC (WASM_HEAP_ABSTRACT | 0x70u)
#define WASM_HEAP_EXTERN (WASM_HEAP_ABSTRACT | 0x6fu)
#define WASM_HEAP_ANY (WASM_HEAP_ABSTRACT | 0x6eu)
#define WASM_HEAP_EQ (WASM_HEAP_ABSTRACT | 0x6du)
#define WASM_HEAP_I31 (WASM_HEAP_ABSTRACT | 0x6cu)
#define WASM_HEAP_STRUCT (WASM_HEAP_ABSTRACT | 0x6bu)
#define WASM_HEAP_ARRAY (WASM_HEAP_ABSTRACT | 0x6au)
#define WASM_HEAP_EXN (WASM_HEAP_ABSTRACT | 0x69u)
#define WASM_HEAP_BOT 0xffffffu /* validation only: below every heap type */

static inline bool wasm_heap_is_abstract(wasm_heap h)
{
	return (h & 0xffff00u) == WASM_HEAP_ABSTRACT;
}

static inline wasm_type wasm_ref(bool nullable, wasm_heap h)
{
	return (nullable ? WASM_REF_NULL_BYTE : WASM_REF_BYTE) | h << 8;
}

static inline bool wasm_is_ref(wasm_type t)
{
	return (t & 0xff) == WASM_REF_NULL_BYTE || (t & 0xff) == WASM_REF_BYTE;
}

static inline bool wasm_is_nullable(wasm_type t)
{
	return (t & 0xff) == WASM_REF_NULL_BYTE;
}

static inline wasm_heap wasm_heap_of(wasm_type t)
{
	return t >> 8;
}

#define WASM_FUNCREF wasm_ref(true, WASM_HEAP_FUNC)
#define WASM_EXTERNREF wasm_ref(true, WASM_HEAP_EXTERN)
#define WASM_EXNREF wasm_ref(true, WASM_HEAP_EXN)

/* Numbers, vectors and nullable references have a default value; non-null references have none. */
static inline bool wasm_is_defaultable(wasm_type t)
{
	return (t & 0xff) != WASM_REF_BYTE;
}

enum wasm_typedef_kind { WASM_TYPEDEF_FUNC, WASM_TYPEDEF_STRUCT, WASM_TYPEDEF_ARRAY };

struct wasm_field {
	wasm_type type; /* a value type, WASM_I8 or WASM_I16 */
	bool mutable;
};

#define WASM_NO_SUPER UINT32_MAX

/* A defined type. Immutable once registered, and never freed. */
struct wasm_typedef {
	enum wasm_typedef_kind kind;
	bool final;
	uint32_t id;          /* canonical */
	uint32_t super;       /* canonical id of the declared supertype, or WASM_NO_SUPER */
	uint32_t depth;       /* number of supertypes above */
	uint32_t *supers;     /* display: supers[k] is the ancestor at depth k, supers[depth] the type itself */
	uint32_t group, index; /* canonical id of the rec group's first type; position in the group */
	wasm_type *params;    /* func */
	wasm_type *results;
	uint32_t n_params, n_results;
	struct wasm_field *fields; /* struct: n_fields of them; array: one */
	uint32_t n_fields;
	uint32_t *offsets; /* of each field in an object's data, and the size of all of them last */
};

/* Within a rec group that is not registered yet, a reference to its own k-th type has the heap WASM_HEAP_REC | k. */
#define WASM_HEAP_REC 0x800000u
#define WASM_MAX_TYPES 1000000u

/*
 * Registers the rec group of N types (or finds its equal) and gives the canonical id of its first; the others follow.
 * GROUP's arrays are copied, not taken. `super` may carry WASM_HEAP_REC too. Thread-safe.
 */
int wasm_types_register(const struct wasm_typedef *group, uint32_t n, uint32_t *ret_first, struct error *err);

/* The definition of canonical id ID, which must have been given out. Thread-safe, without a lock. */
const struct wasm_typedef *wasm_typedef_get(uint32_t id);

/* Registers (or finds) the final function type on its own: for host functions and block types. */
int wasm_types_func(const wasm_type *params, uint32_t n_params, const wasm_type *results, uint32_t n_results,
		    uint32_t *ret_id, struct error *err);

bool wasm_heap_subtype(wasm_heap sub, wasm_heap super);
bool wasm_subtype(wasm_type sub, wasm_type super);

/* The top of the hierarchy that H is in: any, func, extern or exn. */
wasm_heap wasm_heap_top(wasm_heap h);
/* The bottom of that hierarchy: none, nofunc, noextern or noexn. */
wasm_heap wasm_heap_bottom(wasm_heap h);

/* "i32", "(ref null func)", "(ref 7)". Static storage per thread, good for the next four calls. */
const char *wasm_type_name(wasm_type t);
const char *wasm_heap_name(wasm_heap h);

/* Bytes a value of the type takes in a field or on the stack: 1, 2, 4, 8 or 16; references 8. */
uint32_t wasm_type_size(wasm_type t);
