/* The local APIC of one processor (SDM volume 3, chapter 11): xAPIC page and x2APIC registers, timer in all three modes. */
#pragma once

#include "device/ioapic.h"

#define APIC_TIMER_HZ 100000000ull /* of the input clock, before the divider; CPUID leaf 0x15 says so */

struct lapic_host {
	void (*send)(void *data, unsigned from, const struct apic_message *message, unsigned shorthand);
	void (*end_of_interrupt)(void *data, uint8_t vector); /* of a level-triggered interrupt */
	uint64_t (*now)(void *data);                          /* ns */
	uint64_t (*tsc)(void *data, unsigned cpu);            /* the guest's time-stamp counter */
	uint64_t (*tsc_to_ns)(void *data, unsigned cpu, uint64_t tsc); /* when it will have that value */
	void *data;
};

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVTS };

struct lapic {
	const struct lapic_host *host;
	unsigned cpu;
	uint64_t base;           /* IA32_APIC_BASE */
	uint32_t id, ldr, dfr, svr, tpr, esr, esr_pending;
	uint64_t icr;
	uint32_t lvt[LVTS], divide, initial;
	uint64_t timer_start, timer_deadline, tsc_deadline; /* ns, ns (NEVER: off), cycles */
	uint32_t irr[8], isr[8], tmr[8];
	bool extint;             /* the 8259's output, as LINT0 has it */
	bool nmi;                /* to be taken by the machine */
};

extern const struct region_ops lapic_ops;

void lapic_init(struct lapic *a, unsigned cpu, const struct lapic_host *host);
/* Whether MESSAGE is for this processor. */
bool lapic_matches(const struct lapic *a, const struct apic_message *message);
void lapic_post(struct lapic *a, uint8_t vector, bool level);

/* The vector that may interrupt now, -1: none. Acknowledging takes it. */
int lapic_pending(const struct lapic *a);
void lapic_acknowledge(struct lapic *a, uint8_t vector);
/* LINT0 passes the 8259's interrupts on. */
bool lapic_accepts_extint(const struct lapic *a);

uint64_t lapic_deadline(const struct lapic *a);
void lapic_tick(struct lapic *a);

/* Model-specific registers 0x1b, 0x6e0, 0x800 to 0x8ff: 0 or -ENOENT. */
int lapic_msr_read(struct lapic *a, uint32_t msr, uint64_t *ret);
int lapic_msr_write(struct lapic *a, uint32_t msr, uint64_t value);
