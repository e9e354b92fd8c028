/*
 * Host code made from guest code. Thunks run one instruction for the interpreter; blocks are what the translator makes,
 * keyed by guest-virtual and guest-physical address and mode. One mapping is writable, another executable.
 */
#pragma once

#include "cpu/soft/core.h"
#include "cpu/soft/native.h"

int cache_create(struct soft_vm *vm, struct code_cache **ret, struct error *err);
void cache_free(struct code_cache *cache);

const struct stubs *cache_stubs(const struct code_cache *cache);
/* Code that runs IN with its memory operand at core->mem_host and then leaves. */
void *cache_make_thunk(struct code_cache *cache, const struct insn *in);
/* Bumped whenever all code, thunks included, was dropped. */
uint64_t cache_generation(const struct code_cache *cache);

/* Guest RAM changed: drop the blocks made from it. */
void cache_memory_written(struct code_cache *cache, uint64_t pa, uint64_t len);
/* Virtual addresses may mean something else now: for the running vCPU, for one page, for global pages too. */
void cache_mappings_changed(struct vcpu *v);
void cache_page_flushed(struct vcpu *v, uint64_t va);
void cache_global_flush(struct vcpu *v);
/* CPL changed outside translated code: its return stack holds what the other privilege level pushed. */
void cache_privilege_changed(struct vcpu *v);

/* Before the first run of V: its return stack needs the cache's code. */
void cache_attach(struct vcpu *v);
