/* One instruction, decoded from the binary format (core specification 3.0, 5.4). */
#pragma once

#include "wasm/module.h"
#include "wasm/opcodes.h"
#include "wasm/reader.h"

#define WASM_NO_TYPE UINT32_MAX

struct wasm_block_type {
	uint32_t type;    /* canonical id of a function type, or WASM_NO_TYPE */
	wasm_type single; /* without `type`: the one result, or WASM_BOT for none */
};

struct wasm_insn {
	uint16_t op;     /* enum wasm_op */
	uint32_t offset; /* of its first byte in the module */
	union {
		struct wasm_block_type block; /* block, loop, if, try, try_table */
		uint32_t index;               /* func, label, local, global, table, memory, type, tag, data, elem, lane */
		struct {
			uint32_t a, b; /* in the order of the binary format */
		} pair;
		struct {
			uint64_t offset;
			uint32_t memory;
			uint8_t align; /* log2 */
			uint8_t lane;
		} mem;
		struct {
			uint32_t n;
			wasm_type type; /* of the first */
		} select;
		struct {
			uint32_t label;
			wasm_type from, to;
		} cast;
		wasm_heap heap;
		int32_t i32;
		int64_t i64;
		uint32_t f32; /* bits */
		uint64_t f64;
		uint8_t v128[16]; /* constant, or shuffle lanes */
	};
	/* br_table: n targets and the default follow at `list`; try_table: n catch clauses. */
	uint32_t n_list;
	const uint8_t *list, *list_end;
};

enum wasm_catch_kind { WASM_CATCH, WASM_CATCH_REF, WASM_CATCH_ALL, WASM_CATCH_ALL_REF };

struct wasm_catch {
	enum wasm_catch_kind kind;
	uint32_t tag, label;
};

/* Reads one instruction. 0, or a negative errno when the bytes are malformed or an index in them does not exist. */
int wasm_insn_read(const struct wasm_module *m, struct wasm_reader *r, struct wasm_insn *ret);

/* A reader over an instruction's list, and its elements: u32 labels for br_table, clauses for try_table. */
struct wasm_reader wasm_insn_list(const struct wasm_insn *insn, struct error *err);
struct wasm_catch wasm_read_catch(struct wasm_reader *r);

/* Types as the binary format writes them, checked against the module's types. WASM_BOT / WASM_HEAP_BOT on failure. */
wasm_type wasm_read_valtype(const struct wasm_module *m, struct wasm_reader *r);
wasm_type wasm_read_reftype(const struct wasm_module *m, struct wasm_reader *r);
wasm_heap wasm_read_heaptype(const struct wasm_module *m, struct wasm_reader *r);
