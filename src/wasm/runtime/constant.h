/* Constant expressions (core specification 3.0, 3.3.13 and 4.6): globals, segments and table initializers. */
#pragma once

#include "wasm/runtime/runtime.h"

/* Evaluates E, which has been validated. -ENOMEM when the heap is full. */
int wasm_constant_eval(struct wasm_instance *instance, struct wasm_expr e, union wasm_value *ret, struct error *err);

/* Stores VALUE into (loads it from) memory of storage type T. */
void wasm_storage_put(uint8_t *p, wasm_type t, const union wasm_value *value);
union wasm_value wasm_storage_get(const uint8_t *p, wasm_type t, bool sign);

/* A new structure from its fields' values / an array of N copies of VALUE. 0 when the heap is full. */
wasm_ref_bits wasm_struct_new(struct wasm_store *store, uint32_t type, const union wasm_value *fields);
wasm_ref_bits wasm_array_new(struct wasm_store *store, uint32_t type, uint32_t n, const union wasm_value *value);
