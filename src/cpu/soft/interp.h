/* The interpreter: one guest instruction at a time, in every mode. It is the reference that the translator is tested against. */
#pragma once

#include "cpu/soft/core.h"

enum step {
	STEP_OK,
	STEP_HALT,         /* HLT was executed; rip is behind it */
	STEP_TRIPLE_FAULT,
	STEP_ERROR,        /* v->error says what */
};

/* The memory of decoded instructions that a vCPU needs; free() ends it. NULL: out of memory. */
struct decoded *interp_alloc(void);

/* Runs the instruction at rip, or delivers the exception that it raises. */
enum step interp_step(struct vcpu *v);
/* Delivers an interrupt or NMI between instructions. */
enum step interp_deliver(struct vcpu *v, int vector, bool nmi);

/* --- for the files that make up the interpreter --- */

uint64_t reg_get(const struct vcpu *v, unsigned n, unsigned size, bool rex);
void reg_set(struct vcpu *v, unsigned n, unsigned size, bool rex, uint64_t value);
uint64_t effective_address(const struct vcpu *v, const struct insn *in);
/* Linear address of the memory operand of N bytes. */
uint64_t operand_address(struct vcpu *v, const struct insn *in, unsigned n, bool write);
uint64_t rm_read(struct vcpu *v, const struct insn *in, unsigned size);
void rm_write(struct vcpu *v, const struct insn *in, unsigned size, uint64_t value);

/* SP moves only through these; the caller commits. */
struct stack {
	uint64_t sp, mask, base;
	bool limited;
};
struct stack stack_begin(struct vcpu *v);
void stack_push(struct vcpu *v, struct stack *s, unsigned size, uint64_t value);
uint64_t stack_pop(struct vcpu *v, struct stack *s, unsigned size);
void stack_commit(struct vcpu *v, const struct stack *s);

void branch_to(struct vcpu *v, uint64_t rip);

void exec_string(struct vcpu *v, const struct insn *in);
void exec_port(struct vcpu *v, const struct insn *in);
enum step exec_system(struct vcpu *v, const struct insn *in);
bool port_allowed(struct vcpu *v, uint16_t port, unsigned size);
uint64_t rflags_set(struct vcpu *v, uint64_t value, uint64_t mask);
bool condition(uint64_t rflags, unsigned cc);
/* STAR or EFER changed: what translated SYSCALL and SYSRET load. */
void syscall_registers_changed(struct vcpu *v);
