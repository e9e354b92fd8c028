/*
 * Guest memory: address translation (SDM volume 3, chapter 4), the linear page tables that cache it for translated
 * code and interpreter alike, and accesses that may fault. Everything that can fault raises the guest's exception
 * (event.h) and does not return then; nothing has been changed by that time.
 */
#pragma once

#include "cpu/soft/core.h"

enum { ACC_READ, ACC_WRITE, ACC_EXEC };

int mmu_init(struct vcpu *v, struct error *err);
void mmu_free(struct vcpu *v);

/* The page-table walk's answer: 0, or -EFAULT with the page fault's error code. Sets accessed and dirty bits. */
struct mapping {
	uint64_t pa;
	bool global, user;
	uint32_t fault;
};
int mmu_walk(struct vcpu *v, uint64_t va, int acc, bool user, struct mapping *ret);

/* Host address of guest-physical PA, NULL when that is no RAM. */
uint8_t *ram_at(const struct soft_vm *vm, uint64_t pa);
/* Index into vm->code_pages of RAM page PA; PA must be RAM. */
uint64_t ram_index(const struct soft_vm *vm, uint64_t pa);

/* A guest access, translated: at most two pages. */
struct span {
	uint8_t *host[2]; /* NULL: not RAM */
	uint64_t pa[2];
	unsigned len[2];
	bool code;        /* a page of it holds translated code */
};
void span_get(struct vcpu *v, uint64_t va, unsigned n, bool write, struct span *ret);
void span_read(struct vcpu *v, const struct span *s, void *buf);
void span_write(struct vcpu *v, const struct span *s, const void *buf);

uint64_t mem_read(struct vcpu *v, uint64_t va, unsigned n);
void mem_write(struct vcpu *v, uint64_t va, unsigned n, uint64_t value);
/* Accesses of the processor itself (descriptor tables, task state): always privileged. */
uint64_t mem_read_sys(struct vcpu *v, uint64_t va, unsigned n);
void mem_write_sys(struct vcpu *v, uint64_t va, unsigned n, uint64_t value);

/* Host address of the instruction byte at VA and the guest-physical one; raises #PF. NULL: not RAM. */
uint8_t *fetch_page(struct vcpu *v, uint64_t va, uint64_t *ret_pa);
/* The same without raising: -EFAULT when it would. */
int fetch_probe(struct vcpu *v, uint64_t va, uint64_t *ret_pa, uint8_t **ret_host);

/* Whether the page of VA, which was just fetched from, is mapped globally. */
bool fetch_is_global(struct vcpu *v, uint64_t va);

/* Chooses the view after anything it depends on has changed: CPL, RFLAGS.AC, CR0, CR3, CR4, EFER. */
void mmu_update_view(struct vcpu *v);
void mmu_flush_page(struct vcpu *v, uint64_t va, bool all_contexts);
void mmu_flush_context(struct vcpu *v, struct context *c, bool global_too);
void mmu_flush_all(struct vcpu *v);
void mmu_clear_targets(struct view *w);
/* MOV to CR3: changes the context. */
void mmu_set_cr3(struct vcpu *v, uint64_t value);
/* The page now holds translated code: no table may let it be written directly. */
void mmu_protect_page(struct vcpu *v, const uint8_t *host_page);
