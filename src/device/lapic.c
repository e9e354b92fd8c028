#include "device/lapic.h"

#include <errno.h>
#include <string.h>

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };
enum { BASE_BSP = 1 << 8, BASE_X2 = 1 << 10, BASE_ENABLE = 1 << 11 };
enum { LVT_MASKED = 1 << 16, SVR_ENABLE = 1 << 8 };
enum { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_TSC };
enum { REG_ID = 0x02, REG_VERSION, REG_TPR = 0x08, REG_PPR = 0x0a, REG_EOI, REG_LDR = 0x0d, REG_DFR, REG_SVR, REG_ISR, REG_TMR = 0x18,
       REG_IRR = 0x20, REG_ESR = 0x28, REG_ICR = 0x30, REG_ICR_HIGH, REG_LVT = 0x32, REG_INITIAL = 0x38, REG_CURRENT, REG_DIVIDE = 0x3e,
       REG_SELF_IPI };

static bool x2apic(const struct lapic *a)
{
	return a->base & BASE_X2;
}

void lapic_init(struct lapic *a, unsigned cpu, const struct lapic_host *host)
{
	memset(a, 0, sizeof(*a));
	a->host = host;
	a->cpu = cpu;
	a->id = cpu;
	a->base = 0xfee00000 | BASE_ENABLE | (cpu == 0 ? BASE_BSP : 0);
	a->dfr = ~0u;
	a->svr = 0xff;
	a->timer_deadline = NEVER;
	for (unsigned i = 0; i < LVTS; i++)
		a->lvt[i] = LVT_MASKED;
	if (cpu == 0)
		a->lvt[LVT_LINT0] = 7 << 8; /* virtual wire: the 8259 gets through until the guest says otherwise */
}

/* --- requests and service --- */

static void set_bit(uint32_t *set, uint8_t v)
{
	set[v / 32] |= 1u << v % 32;
}

static void clear_bit(uint32_t *set, uint8_t v)
{
	set[v / 32] &= ~(1u << v % 32);
}

static int highest(const uint32_t *set)
{
	for (int i = 7; i >= 0; i--)
		if (set[i])
			return 32 * i + 31 - __builtin_clz(set[i]);
	return -1;
}

static uint32_t ppr(const struct lapic *a)
{
	int isr = highest(a->isr);
	uint32_t service = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

	return (a->tpr & 0xf0) >= service ? a->tpr : service;
}

void lapic_post(struct lapic *a, uint8_t vector, bool level)
{
	if (vector < 16) {
		a->esr_pending |= 1 << 6;
		return;
	}
	set_bit(a->irr, vector);
	if (level)
		set_bit(a->tmr, vector);
	else
		clear_bit(a->tmr, vector);
}

int lapic_pending(const struct lapic *a)
{
	int v = highest(a->irr);

	if (v < 0 || !(a->svr & SVR_ENABLE) || !(a->base & BASE_ENABLE))
		return -1;
	return (uint32_t)(v & 0xf0) > (ppr(a) & 0xf0) ? v : -1;
}

void lapic_acknowledge(struct lapic *a, uint8_t vector)
{
	clear_bit(a->irr, vector);
	set_bit(a->isr, vector);
}

static void end_of_interrupt(struct lapic *a)
{
	int v = highest(a->isr);

	if (v < 0)
		return;
	clear_bit(a->isr, v);
	if (a->tmr[v / 32] >> v % 32 & 1)
		a->host->end_of_interrupt(a->host->data, v);
}

bool lapic_accepts_extint(const struct lapic *a)
{
	if (!(a->base & BASE_ENABLE))
		return true;
	return !(a->lvt[LVT_LINT0] & LVT_MASKED) && (a->lvt[LVT_LINT0] >> 8 & 7) == 7;
}

bool lapic_matches(const struct lapic *a, const struct apic_message *m)
{
	if (!m->logical)
		return m->destination == a->id || m->destination == (x2apic(a) ? 0xffffffff : 0xff) || m->destination == 0xff;
	if (x2apic(a))
		return m->destination >> 16 == a->id >> 4 && (m->destination & 1u << (a->id & 15));
	uint8_t ldr = a->ldr >> 24;
	if (a->dfr >> 28 == 15)
		return m->destination & ldr;
	return (m->destination & 0xf0) == (ldr & 0xf0) && (m->destination & ldr & 15);
}

/* --- the timer --- */

static unsigned timer_mode(const struct lapic *a)
{
	return a->lvt[LVT_TIMER] >> 17 & 3;
}

static unsigned divider(const struct lapic *a)
{
	unsigned n = (a->divide & 3) | (a->divide >> 1 & 4);

	return n == 7 ? 1 : 2u << n;
}

static uint64_t count_ns(const struct lapic *a, uint64_t count)
{
	return count * divider(a) * (1000000000u / APIC_TIMER_HZ);
}

static uint32_t current_count(const struct lapic *a)
{
	if (a->timer_deadline == NEVER || timer_mode(a) == TIMER_TSC)
		return 0;
	uint64_t now = a->host->now(a->host->data);
	return now >= a->timer_deadline ? 0 : (a->timer_deadline - now) / count_ns(a, 1);
}

static void start_timer(struct lapic *a)
{
	a->timer_deadline = NEVER;
	if (timer_mode(a) == TIMER_TSC || !a->initial)
		return;
	a->timer_start = a->host->now(a->host->data);
	a->timer_deadline = a->timer_start + count_ns(a, a->initial);
}

static void start_tsc_timer(struct lapic *a, uint64_t deadline)
{
	a->tsc_deadline = deadline;
	a->timer_deadline = deadline ? a->host->tsc_to_ns(a->host->data, a->cpu, deadline) : NEVER;
}

uint64_t lapic_deadline(const struct lapic *a)
{
	return a->timer_deadline;
}

void lapic_tick(struct lapic *a)
{
	uint64_t now = a->host->now(a->host->data);

	if (a->timer_deadline == NEVER || now < a->timer_deadline)
		return;
	if (timer_mode(a) == TIMER_PERIODIC) {
		uint64_t period = count_ns(a, a->initial);
		a->timer_deadline += period * ((now - a->timer_deadline) / period + 1);
	} else {
		a->timer_deadline = NEVER;
		a->tsc_deadline = 0;
	}
	if (!(a->lvt[LVT_TIMER] & LVT_MASKED))
		lapic_post(a, a->lvt[LVT_TIMER], false);
}

/* --- registers --- */

static void send(struct lapic *a, uint64_t icr)
{
	struct apic_message m = { .vector = icr, .mode = icr >> 8 & 7, .logical = icr >> 11 & 1, .level = icr >> 15 & 1 };

	m.destination = x2apic(a) ? icr >> 32 : icr >> 56;
	if (m.mode == 5 && m.level && !(icr >> 14 & 1))
		return; /* INIT level de-assert */
	a->host->send(a->host->data, a->cpu, &m, icr >> 18 & 3);
}

static uint32_t read_register(const struct lapic *a, unsigned reg)
{
	switch (reg) {
	case REG_ID: return x2apic(a) ? a->id : a->id << 24;
	case REG_VERSION: return 0x14 | (LVTS - 1) << 16;
	case REG_TPR: return a->tpr;
	case REG_PPR: return ppr(a);
	case REG_LDR: return x2apic(a) ? (a->id >> 4) << 16 | 1u << (a->id & 15) : a->ldr;
	case REG_DFR: return a->dfr;
	case REG_SVR: return a->svr;
	case REG_ISR ... REG_ISR + 7: return a->isr[reg - REG_ISR];
	case REG_TMR ... REG_TMR + 7: return a->tmr[reg - REG_TMR];
	case REG_IRR ... REG_IRR + 7: return a->irr[reg - REG_IRR];
	case REG_ESR: return a->esr;
	case REG_ICR: return a->icr;
	case REG_ICR_HIGH: return a->icr >> 32;
	case REG_LVT ... REG_LVT + LVTS - 1: return a->lvt[reg - REG_LVT];
	case REG_INITIAL: return timer_mode(a) == TIMER_TSC ? 0 : a->initial;
	case REG_CURRENT: return current_count(a);
	case REG_DIVIDE: return a->divide;
	default: return 0;
	}
}

static void write_lvt(struct lapic *a, unsigned n, uint32_t x)
{
	static const uint32_t masks[LVTS] = { 0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff };
	unsigned old_mode = timer_mode(a);

	a->lvt[n] = x & (masks[n] | LVT_MASKED);
	if (!(a->svr & SVR_ENABLE))
		a->lvt[n] |= LVT_MASKED;
	if (n == LVT_TIMER && timer_mode(a) != old_mode) {
		a->timer_deadline = NEVER;
		a->initial = 0;
	}
}

static void write_register(struct lapic *a, unsigned reg, uint32_t x)
{
	switch (reg) {
	case REG_ID:
		if (!x2apic(a))
			a->id = x >> 24;
		break;
	case REG_TPR: a->tpr = x & 0xff; break;
	case REG_EOI: end_of_interrupt(a); break;
	case REG_LDR: a->ldr = x & 0xff000000; break;
	case REG_DFR: a->dfr = x | 0x0fffffff; break;
	case REG_SVR:
		a->svr = x & 0x1ff;
		if (!(x & SVR_ENABLE))
			for (unsigned i = 0; i < LVTS; i++)
				a->lvt[i] |= LVT_MASKED;
		break;
	case REG_ESR:
		a->esr = a->esr_pending;
		a->esr_pending = 0;
		break;
	case REG_ICR:
		a->icr = (a->icr & 0xffffffff00000000ull) | (x & ~(1u << 12));
		send(a, a->icr);
		break;
	case REG_ICR_HIGH: a->icr = (a->icr & 0xffffffff) | (uint64_t)x << 32; break;
	case REG_LVT ... REG_LVT + LVTS - 1: write_lvt(a, reg - REG_LVT, x); break;
	case REG_INITIAL:
		a->initial = x;
		start_timer(a);
		break;
	case REG_DIVIDE: a->divide = x & 11; break;
	}
}

/* Only aligned 32-bit accesses mean something; others are undefined on real hardware. */
static uint64_t page_read(void *d, uint64_t off, unsigned size)
{
	struct lapic *a = d;
	uint32_t x = read_register(a, off >> 4);

	return off % 16 < 4 && size <= 4 ? x >> 8 * (off % 4) : 0;
}

static void page_write(void *d, uint64_t off, unsigned size, uint64_t value)
{
	if (off % 16 == 0 && size == 4)
		write_register(d, off >> 4, value);
}

const struct region_ops lapic_ops = { page_read, page_write };

int lapic_msr_read(struct lapic *a, uint32_t msr, uint64_t *ret)
{
	unsigned reg = msr - MSR_X2APIC;

	if (msr == MSR_APIC_BASE) {
		*ret = a->base;
		return 0;
	}
	if (msr == MSR_TSC_DEADLINE) {
		*ret = a->tsc_deadline;
		return 0;
	}
	if (msr < MSR_X2APIC || msr > MSR_X2APIC + 0xff || !x2apic(a) || reg == REG_DFR || reg == REG_ICR_HIGH || reg == REG_EOI ||
	    reg == REG_SELF_IPI)
		return -ENOENT;
	*ret = reg == REG_ICR ? a->icr : read_register(a, reg);
	return 0;
}

static int write_base(struct lapic *a, uint64_t value)
{
	bool x2 = value & BASE_X2, on = value & BASE_ENABLE;

	if ((x2 && !on) || ((a->base & BASE_X2) && on && !x2) || (value & ~0xfffffffffd00ull) || (value & 0xfffffffff000ull) != 0xfee00000)
		return -ENOENT;
	a->base = (value & ~(uint64_t)BASE_BSP) | (a->cpu == 0 ? BASE_BSP : 0);
	if (x2)
		a->id = a->cpu;
	return 0;
}

int lapic_msr_write(struct lapic *a, uint32_t msr, uint64_t value)
{
	unsigned reg = msr - MSR_X2APIC;

	if (msr == MSR_APIC_BASE)
		return write_base(a, value);
	if (msr == MSR_TSC_DEADLINE) {
		if (timer_mode(a) == TIMER_TSC)
			start_tsc_timer(a, value);
		return 0;
	}
	if (msr < MSR_X2APIC || msr > MSR_X2APIC + 0xff || !x2apic(a) || reg == REG_ID || reg == REG_VERSION || reg == REG_PPR || reg == REG_LDR ||
	    reg == REG_DFR || reg == REG_ICR_HIGH || (reg != REG_ICR && value >> 32))
		return -ENOENT;
	if (reg == REG_ICR) {
		a->icr = value & ~(1ull << 12);
		send(a, a->icr);
	} else if (reg == REG_SELF_IPI) {
		lapic_post(a, value, false);
	} else if ((reg == REG_EOI || reg == REG_ESR) && value) {
		return -ENOENT;
	} else {
		write_register(a, reg, value);
	}
	return 0;
}
