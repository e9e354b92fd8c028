#include "cpu/soft/dispatch.h"

#include <stdlib.h>

#include "base/log.h"
#include "cpu/soft/block.h"
#include "cpu/soft/event.h"
#include "cpu/soft/mmu.h"

static bool attention(const struct vcpu *v)
{
	const struct core *k = v->core;

	return __atomic_load_n(&k->kick, __ATOMIC_RELAXED) || (k->window && (k->rflags & F_IF) && !k->shadow);
}

/* Translated code is 64-bit code with paging, without single step, breakpoints and alignment checks. */
static bool translatable(const struct vcpu *v)
{
	const struct core *k = v->core;

	return v->mode == 8 && !(k->rflags & F_TF) && !k->shadow && !(v->dr[7] & 0xff) &&
	       !((k->rflags & F_AC) && (v->cr0 & CR0_AM) && k->cpl == 3);
}

static uint32_t mode_of(const struct vcpu *v)
{
	bool user = v->core->cpl == 3;
	uint32_t m = user ? BLOCK_USER : 0;

	if ((v->cr0 & (CR0_EM | CR0_TS)) || !(v->cr4 & CR4_OSFXSR))
		m |= BLOCK_NO_FPU;
	if (user && (v->cr4 & CR4_TSD))
		m |= BLOCK_NO_TSC;
	return m;
}

/* The block for rip; NULL: the interpreter has to do this one. */
static struct block *lookup(struct vcpu *v)
{
	uint64_t va = v->core->rip, pa;
	uint8_t *host;

	if ((uint64_t)((int64_t)(va << 16) >> 16) != va || fetch_probe(v, va, &pa, &host) < 0 || !host)
		return NULL;
	uint32_t mode = mode_of(v);
	struct block *b = cache_find(v->vm->cache, va, pa, mode);
	return b ? b : cache_translate(v, va, pa, host, mode, fetch_is_global(v, va));
}

static void remember_target(struct vcpu *v, const struct block *b)
{
	struct target *t = &v->view->targets[b->va % TARGETS];

	t->va = b->va;
	t->host = (uint64_t)block_entry(v->vm->cache, b, true);
	v->view->targets_used = true;
}

/* Brings the state that translated code kept in hardware into the core. FLAGS: where the arithmetic flags were. */
static void settle(struct vcpu *v, enum flags_place flags)
{
	struct core *k = v->core;
	uint64_t f = flags == FLAGS_CORE ? flags_from_ax(k->flags_ax) : k->hw_flags & F_ARITH;

	k->rflags = (k->rflags & ~(uint64_t)(F_ARITH | F_DF)) | f | (k->hw_flags & F_DF);
	if (k->view_gs != (uint64_t)v->view->read) /* STAC, CLAC */
		mmu_update_view(v);
}

static void enter(struct vcpu *v, uint8_t *code)
{
	struct core *k = v->core;

	fpu_acquire(v);
	k->flags_ax = flags_to_ax(k->rflags);
	k->enter_code = (uint64_t)code;
	k->exit_kind = EXIT_NONE;
	cache_stubs(v->vm->cache)->enter(k);
	v->stats.exits++;
}

/*
 * Interprets the instruction of R; then execution goes on in the same block if nothing has changed that it relies on.
 * Returns where, or NULL.
 */
static uint8_t *slow(struct vcpu *v, const struct exit_record *r, enum step *ret)
{
	struct core *k = v->core;
	struct block *b = r->block;
	uint64_t epoch = v->map_epoch, generation = cache_generation(v->vm->cache), at = k->rip;
	uint32_t resume = r->resume;

	v->stats.misses++;
	do
		*ret = interp_step(v);
	while (*ret == STEP_OK && k->rip == at && v->in && v->in->op >= OP_MOVS && v->in->op <= OP_OUTS && !attention(v));
	if (*ret != STEP_OK || resume == NO_RESUME || !v->in || k->rip != at + v->in->len || v->map_epoch != epoch ||
	    cache_generation(v->vm->cache) != generation || !b->valid || !translatable(v) || mode_of(v) != b->mode || attention(v))
		return NULL;
	return b->code + resume + (block_entry(v->vm->cache, b, false) - (b->code + b->entry_hw));
}

static _noreturn_ void engine_bug(const struct vcpu *v)
{
	log_error("the software engine faulted at %#llx, outside every guest instruction", (unsigned long long)v->core->fault_rip);
	abort();
}

static void fault(struct vcpu *v)
{
	struct block *b;
	const struct fault_point *p = cache_fault_point(v->vm->cache, v->core->fault_rip, &b);

	if (!p)
		engine_bug(v); /* no instruction of the guest's was being run there */
	if (p->swapped) {
		uint64_t *g = &v->core->gpr[p->swapped - 1];
		*g = (*g & ~0xffffull) | (*g & 0xff) << 8 | (*g >> 8 & 0xff);
	}
	settle(v, p->flags);
	v->core->rip = b->va + p->guest_off;
}

static enum step run_block(struct vcpu *v, struct block *b)
{
	struct code_cache *c = v->vm->cache;
	struct core *k = v->core;
	enum step step = STEP_OK;
	uint8_t *code = block_entry(c, b, false);

	for (;;) {
		enter(v, code);
		if (k->exit_kind == EXIT_FAULT) {
			fault(v);
			return interp_step(v);
		}
		struct exit_record *r = cache_exit(c, k);
		settle(v, r->flags);
		if (r->kind != EXIT_LOOKUP)
			k->rip = r->kind == EXIT_LINK || r->kind == EXIT_KICK ? r->target : r->block->va + r->guest_off;
		switch (r->kind) {
		case EXIT_SLOW:
			code = slow(v, r, &step);
			if (!code)
				return step;
			continue;
		case EXIT_INTERP: return interp_step(v);
		case EXIT_LINK: {
			uint64_t generation = cache_generation(c);
			struct block *to = lookup(v);
			if (!to)
				return interp_step(v);
			v->stats.links++;
			bool same_page = ((to->va ^ r->block->va) >> PAGE_SHIFT) == 0;
			if (generation == cache_generation(c)) {
				if (same_page || to->global) {
					cache_link(c, r, to);
				} else {
					cache_link_indirect(c, r);
					remember_target(v, to);
				}
			}
			code = block_entry(c, to, false);
			continue;
		}
		case EXIT_LOOKUP: v->stats.lookups++; return STEP_OK;
		default: return STEP_OK;
		}
	}
}

enum step dispatch_run(struct vcpu *v)
{
	enum step r = STEP_OK;

	while (r == STEP_OK && !attention(v)) {
		struct block *b = translatable(v) ? lookup(v) : NULL;
		if (!b) {
			r = interp_step(v);
			continue;
		}
		remember_target(v, b);
		r = run_block(v, b);
	}
	return r;
}
