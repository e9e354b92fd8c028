/*
 * Host signals raised by guest instructions that run natively (division, alignment, x87 and SSE exceptions, addresses
 * that are not canonical) come back as exits of kind EXIT_FAULT. Process-wide, for one code cache.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#include "base/error.h"

/* Code in [LO, HI) is the cache's; LEAVE is its exit stub. */
int fault_install(uint64_t lo, uint64_t hi, const uint8_t *leave, struct error *err);
void fault_remove(void);

/*
 * A timer that, in the calling thread, makes the vCPU of CORE leave translated code. It needs no other thread to get a
 * processor first, which on a busy host takes tens of milliseconds.
 */
struct core;
int fault_timer_create(struct core *core, timer_t *ret, struct error *err);

/* For each thread that runs a vCPU, as translated code has no stack that a handler could use; LO..HI is its return stack's guard. */
int fault_thread_stack(void **ret, struct error *err);
void fault_thread_stack_free(void *stack);
