/*
 * What a running module is made of (core specification 3.0, 4.2 "Runtime Structure"): stores, instances and what they
 * hold. The leading parts of struct wasm_instance and struct wasm_funcref are read by compiled code.
 *
 * A store owns everything in it until it is freed; it is used by one thread at a time. Shared memories may belong to
 * several stores.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wasm/module.h"

#define WASM_PAGE 65536ull
#define WASM_RESERVE_32 (8ull << 30) /* a 32-bit address plus a 32-bit offset cannot leave this */
#define WASM_GUARD (64ull << 10)     /* behind it, for the widest access */

/*
 * A reference is 64 bits: 0 is null; an odd number is an i31 (value << 1 | 1); otherwise a pointer: to a struct
 * wasm_funcref for function references, to a struct wasm_object for all others (host references are boxed).
 */
typedef uint64_t wasm_ref_bits;

union wasm_value {
	int32_t i32;
	int64_t i64;
	float f32;
	double f64;
	uint8_t v128[16];
	wasm_ref_bits ref;
	uint64_t bits[2];
};

enum wasm_trap {
	WASM_TRAP_NONE,
	WASM_TRAP_UNREACHABLE,
	WASM_TRAP_MEMORY,
	WASM_TRAP_TABLE,
	WASM_TRAP_TABLE_ELEMENT, /* call_indirect beyond the table */
	WASM_TRAP_ARRAY,
	WASM_TRAP_DIVIDE,
	WASM_TRAP_OVERFLOW,
	WASM_TRAP_CONVERSION,
	WASM_TRAP_UNINITIALIZED,
	WASM_TRAP_SIGNATURE,
	WASM_TRAP_NULL,
	WASM_TRAP_NULL_FUNC,
	WASM_TRAP_NULL_STRUCT,
	WASM_TRAP_NULL_ARRAY,
	WASM_TRAP_NULL_I31,
	WASM_TRAP_NULL_EXN,
	WASM_TRAP_CAST,
	WASM_TRAP_STACK,
	WASM_TRAP_UNALIGNED,
	WASM_TRAP_NOT_SHARED,
	WASM_TRAP_HEAP,      /* the store's limit of garbage-collected memory */
	WASM_TRAP_INTERRUPT, /* deadline, fuel, or the embedder's request */
	WASM_TRAP_HOST,      /* a host function failed; its message is in the store */
	WASM_TRAP_EXCEPTION, /* an exception that nobody caught */
	WASM_TRAP_INVALID,   /* a function that is only now found to be invalid */
	WASM_TRAP_COUNT,
};

/* "out of bounds memory access" and so on: the texts of the specification's tests. */
const char *wasm_trap_message(enum wasm_trap trap);

struct wasm_instance;
struct wasm_store;
struct wasm_code;
struct wasm_heap_space;

struct wasm_memory_inst {
	uint8_t *base;           /* compiled code reads base and size */
	_Atomic uint64_t size;   /* bytes accessible */
	struct wasm_memory_type type;
	uint64_t reserved;       /* bytes of address space, guard not counted */
	bool movable;            /* growing may move it: no guard region covers its address space */
	_Atomic unsigned refs;   /* of stores */
};

struct wasm_table_inst {
	wasm_ref_bits *elems; /* compiled code reads elems and size */
	uint64_t size;
	uint64_t capacity;
	struct wasm_table_type type;
};

struct wasm_global_inst {
	union wasm_value value; /* where `cell` points, unless the cell is inside an instance */
	union wasm_value *cell;
	struct wasm_global_type type;
};

struct wasm_tag_inst {
	uint32_t type; /* canonical id of the function type */
};

/*
 * A host function. ARGS holds the parameters; RESULTS is to be filled. 0, or negative with the reason in ERR, which
 * traps; -ECANCELED unwinds without a trap message (proc_exit).
 */
typedef int (*wasm_host_callback)(void *data, struct wasm_store *store, struct wasm_instance *caller, const union wasm_value *args,
				  union wasm_value *results, struct error *err);

/* A function reference: compiled code loads entry, context and type. */
struct wasm_funcref {
	const void *entry;
	void *context; /* the struct wasm_instance it belongs to; for a host function the struct wasm_funcref itself */
	uint32_t type; /* canonical id */
	uint32_t index; /* in its module; UINT32_MAX for a host function */
	wasm_host_callback callback;
	void *data;
	struct wasm_store *store;
};

/* An imported function, as compiled code calls it. */
struct wasm_import_cell {
	const void *entry;
	void *context;
};

/* Per-call state of the thread that runs a store: compiled code compares its stack pointer with stack_limit. */
struct wasm_exec {
	_Atomic uintptr_t stack_limit; /* UINTPTR_MAX: stop at the next function entry or loop */
	struct wasm_enter_frame *frames; /* innermost entry from C */
	union wasm_value results[WASM_MAX_RESULTS]; /* results after the first, in order */
	struct wasm_object *exception; /* on its way to a handler, or uncaught */
};

struct wasm_instance {
	/* ---- read by compiled code ---- */
	struct wasm_exec *exec;
	uint8_t *memory0; /* base of memory 0 */
	struct wasm_memory_inst **memories;
	struct wasm_table_inst **tables;
	union wasm_value **globals;
	struct wasm_import_cell *imports;
	struct wasm_funcref *funcs; /* one per function of the index space; entry NULL until first referred to */
	uint64_t call_count;
	/* ---- read by the runtime ---- */
	struct wasm_store *store;
	struct wasm_module *module;
	struct wasm_code *code;
	struct wasm_tag_inst **tags;
	struct wasm_global_inst **global_insts;
	struct wasm_funcref **func_refs; /* imported functions' references; own ones are in funcs */
	bool *dropped_elems, *dropped_datas;
	wasm_ref_bits **elem_values; /* evaluated segments, made on first use */
	struct wasm_instance *next;
};

/* A collected object: structures, arrays, exceptions and boxed host references. */
enum wasm_object_kind { WASM_OBJECT_STRUCT, WASM_OBJECT_ARRAY, WASM_OBJECT_EXCEPTION, WASM_OBJECT_HOST };

struct wasm_object {
	uint32_t type;   /* canonical id of the structure or array; of the tag's function type for an exception */
	uint8_t kind;    /* enum wasm_object_kind */
	uint8_t unused[3];
	union {
		uint32_t length;           /* array: elements */
		struct wasm_tag_inst *tag; /* exception: its values follow as union wasm_value */
		void *host;
	};
	/* fields or elements follow */
};

#define WASM_OBJECT_DATA(o) ((uint8_t *)((o) + 1))

struct wasm_limits_config {
	uint64_t memory_bytes;  /* of all unshared memories of a store */
	uint64_t heap_bytes;    /* garbage-collected */
	uint64_t table_elements;
	uint32_t instances;
	uint64_t stack_bytes;
};

#define WASM_LIMITS_DEFAULT                                                                                            \
	((struct wasm_limits_config){ .memory_bytes = 64ull << 30, .heap_bytes = 4ull << 30, .table_elements = 10000000, \
				      .instances = 10000, .stack_bytes = 1ull << 20 })

struct wasm_store {
	struct wasm_exec exec;
	struct wasm_limits_config limits;
	struct wasm_instance *instances;
	uint32_t n_instances;
	struct wasm_heap_space *heap;
	unsigned gc_paused; /* references are where the collector does not look: instantiation */
	uint64_t memory_bytes;
	void **owned; /* memories, tables, globals, tags, host functions: freed with the store */
	size_t n_owned, cap_owned;
	struct wasm_memory_inst **memories;
	size_t n_memories;
	struct wasm_table_inst **tables;
	size_t n_tables;
	struct wasm_global_inst **globals;
	size_t n_globals;
	struct error host_error; /* of the host function that failed last */
};

/* One thing to import or that was exported. */
struct wasm_extern {
	enum wasm_extern_kind kind;
	union {
		struct wasm_funcref *func;
		struct wasm_table_inst *table;
		struct wasm_memory_inst *memory;
		struct wasm_global_inst *global;
		struct wasm_tag_inst *tag;
	};
};

/* ---- store.c ---- */

int wasm_store_new(const struct wasm_limits_config *limits, struct wasm_store **ret, struct error *err);
void wasm_store_free(struct wasm_store *store);

int wasm_func_new(struct wasm_store *store, uint32_t type, wasm_host_callback callback, void *data, struct wasm_funcref **ret,
		  struct error *err);
int wasm_global_new(struct wasm_store *store, struct wasm_global_type type, union wasm_value value,
		    struct wasm_global_inst **ret, struct error *err);
int wasm_tag_new(struct wasm_store *store, uint32_t type, struct wasm_tag_inst **ret, struct error *err);
/* Memory that the store frees. */
void *wasm_store_alloc(struct wasm_store *store, size_t size, struct error *err);

/* ---- memory.c ---- */

int wasm_memory_new(struct wasm_store *store, struct wasm_memory_type type, struct wasm_memory_inst **ret, struct error *err);
/* The old size in pages, or -1. */
int64_t wasm_memory_grow(struct wasm_store *store, struct wasm_memory_inst *m, uint64_t pages);
void wasm_memory_unref(struct wasm_memory_inst *m);
/* Whether [addr, addr + len) lies inside. */
bool wasm_memory_check(const struct wasm_memory_inst *m, uint64_t addr, uint64_t len);

/* ---- table.c ---- */

int wasm_table_new(struct wasm_store *store, struct wasm_table_type type, wasm_ref_bits init, struct wasm_table_inst **ret,
		   struct error *err);
int64_t wasm_table_grow(struct wasm_store *store, struct wasm_table_inst *t, uint64_t n, wasm_ref_bits init);
void wasm_table_free(struct wasm_table_inst *t);

/* ---- instance.c ---- */

/*
 * Links MODULE (which must outlive the store) with IMPORTS, one per import in order, and initializes it; the start
 * function runs. -ENOEXEC: an import does not fit ("incompatible import type"). -EFAULT with *RET_TRAP: it trapped.
 */
int wasm_instantiate(struct wasm_store *store, struct wasm_module *module, const struct wasm_extern *imports,
		     struct wasm_instance **ret, enum wasm_trap *ret_trap, struct error *err);
/* 0, or -ENOENT. */
int wasm_instance_export(struct wasm_instance *instance, const char *name, size_t len, struct wasm_extern *ret);
/* The reference to function INDEX of the instance. */
struct wasm_funcref *wasm_instance_func(struct wasm_instance *instance, uint32_t index);
/* Evaluates element segment INDEX (once). NULL when out of memory. */
wasm_ref_bits *wasm_instance_elems(struct wasm_instance *instance, uint32_t index);

/* ---- call.c ---- */

/*
 * Calls FUNC. 0; -EFAULT with the trap (an uncaught exception included: it is in store->exec.exception); -ECANCELED when
 * a host function asked to unwind.
 */
int wasm_call(struct wasm_funcref *func, const union wasm_value *args, union wasm_value *results, enum wasm_trap *ret_trap,
	      struct error *err);
/* Ends the running call from within (a C function that compiled code called). Nothing of the C frames is cleaned up. */
_noreturn_ void wasm_trap_raise(struct wasm_store *store, enum wasm_trap trap);
/* Throws the exception object to the innermost handler. */
_noreturn_ void wasm_throw(struct wasm_store *store, struct wasm_object *exception);

/* ---- gc.c ---- */

struct wasm_object *wasm_gc_alloc(struct wasm_store *store, enum wasm_object_kind kind, uint32_t type, uint64_t data_bytes);
void wasm_gc_collect(struct wasm_store *store);
void wasm_gc_free(struct wasm_heap_space *heap);

/* Whether the reference is of type T (nullability included). */
bool wasm_ref_matches(wasm_ref_bits ref, wasm_type t);

/* Boxes a host pointer as an external reference. 0 when the heap is full. */
wasm_ref_bits wasm_host_ref(struct wasm_store *store, void *p);
