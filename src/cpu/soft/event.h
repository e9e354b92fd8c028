/* Exceptions and interrupts: raising them, and delivering them through the IDT (SDM volume 3, chapter 6). */
#pragma once

#include "cpu/soft/core.h"

/* Abandons the instruction being interpreted; the engine delivers the exception. rip is still the instruction's. */
_noreturn_ void raise_exception(struct vcpu *v, int vector);
_noreturn_ void raise_error(struct vcpu *v, int vector, uint32_t code);

/* Raises what is recorded once more. */
_noreturn_ void raise_again(struct vcpu *v);
/* The guest uses something this engine does not do: the run ends with an error that says so. */
_noreturn_ void engine_unsupported(struct vcpu *v, const char *what);
#define EXC_UNSUPPORTED 256

enum event_kind { EVENT_FAULT, EVENT_SOFTWARE, EVENT_EXTERNAL };
/* Delivers VECTOR; NEXT_RIP is where IRET shall come back to. May raise. */
void event_deliver(struct vcpu *v, int vector, enum event_kind kind, bool has_error, uint32_t error, uint64_t return_rip);

void do_iret(struct vcpu *v);

/* The guest's x87 and SSE state is in the host's registers while the engine runs; calls out of it need it saved. */
void fpu_acquire(struct vcpu *v);
void fpu_release(struct vcpu *v);
