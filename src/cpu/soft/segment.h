/* Segmentation (SDM volume 3, chapters 3 and 5) and far control transfers (chapter 7 for tasks). */
#pragma once

#include "cpu/soft/core.h"

/* Linear address of N bytes at OFF in segment SEG, checked for the access; raises #GP or #SS. */
uint64_t seg_linear(struct vcpu *v, unsigned seg, uint64_t off, unsigned n, bool write);
void seg_load(struct vcpu *v, unsigned seg, uint16_t selector);
/* Real and virtual-8086 mode. */
void seg_load_real(struct vcpu *v, unsigned seg, uint16_t selector);
void seg_load_ldtr(struct vcpu *v, uint16_t selector);
void seg_load_tr(struct vcpu *v, uint16_t selector);

/* A descriptor as it is in memory. */
struct descriptor {
	uint64_t low, high; /* HIGH only of 16-byte system descriptors */
	uint64_t address;
};
/* Reads the descriptor of SELECTOR; raises VECTOR with the selector when it is past its table. */
void desc_read(struct vcpu *v, uint16_t selector, int vector, struct descriptor *ret);
bool desc_probe(struct vcpu *v, uint16_t selector, struct descriptor *ret);
void desc_set_accessed(struct vcpu *v, const struct descriptor *d);
struct cpu_segment desc_segment(const struct descriptor *d, uint16_t selector, bool wide);

static inline unsigned desc_type(uint64_t low) { return low >> 40 & 15; }
static inline bool desc_s(uint64_t low) { return low >> 44 & 1; }
static inline unsigned desc_dpl(uint64_t low) { return low >> 45 & 3; }
static inline bool desc_present(uint64_t low) { return low >> 47 & 1; }
static inline bool desc_long(uint64_t low) { return low >> 53 & 1; }
static inline bool desc_big(uint64_t low) { return low >> 54 & 1; }
static inline unsigned seg_type(const struct cpu_segment *s) { return s->attr & 15; }
static inline bool seg_present(const struct cpu_segment *s) { return s->attr >> 7 & 1; }
static inline unsigned seg_dpl(const struct cpu_segment *s) { return s->attr >> 5 & 3; }
enum { ATTR_L = 1 << 13, ATTR_DB = 1 << 14, ATTR_G = 1 << 15 };

static inline bool real_mode(const struct vcpu *v)
{
	return !(v->cr0 & CR0_PE) || (v->core->rflags & F_VM);
}

/* Recomputes what is derived from CS, CR0, EFER and the privilege level. */
void mode_update(struct vcpu *v);
/* Installs CS; raises #GP when RIP is outside it. */
void cs_install(struct vcpu *v, const struct cpu_segment *cs, unsigned cpl, uint64_t rip);

void far_jump(struct vcpu *v, uint16_t selector, uint64_t off, bool call);
void far_return(struct vcpu *v, unsigned pop);
/* The stack that the TSS holds for privilege CPL. */
void tss_stack(struct vcpu *v, unsigned cpl, uint16_t *ret_ss, uint64_t *ret_sp);
uint64_t stack_mask(const struct vcpu *v);
/* Loads SS for a switch to privilege CPL; raises VECTOR. */
void ss_load_for(struct vcpu *v, uint16_t selector, unsigned cpl, int vector, struct cpu_segment *ret);
