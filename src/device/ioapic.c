#include "device/ioapic.h"

#include <string.h>

enum { RTE_REMOTE_IRR = 1 << 14, RTE_LEVEL = 1 << 15, RTE_MASKED = 1 << 16 };

void ioapic_init(struct ioapic *a, void (*send)(void *, const struct apic_message *), void *data)
{
	memset(a, 0, sizeof(*a));
	a->send = send;
	a->data = data;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		a->redirect[i] = RTE_MASKED;
}

static void deliver(struct ioapic *a, unsigned pin)
{
	uint64_t e = a->redirect[pin];
	struct apic_message m = { .vector = e, .mode = e >> 8 & 7, .logical = e >> 11 & 1, .level = e & RTE_LEVEL, .destination = e >> 56 };

	if (e & RTE_MASKED)
		return;
	if (e & RTE_LEVEL) {
		if (e & RTE_REMOTE_IRR)
			return;
		a->redirect[pin] |= RTE_REMOTE_IRR;
	}
	a->send(a->data, &m);
}

void ioapic_set(void *ioapic, unsigned pin, bool level)
{
	struct ioapic *a = ioapic;

	if (pin >= IOAPIC_PINS)
		return;
	bool was = a->lines >> pin & 1;
	a->lines = level ? a->lines | 1u << pin : a->lines & ~(1u << pin);
	if (level && (!was || a->redirect[pin] & RTE_LEVEL))
		deliver(a, pin);
}

void ioapic_end_of_interrupt(struct ioapic *a, uint8_t vector)
{
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		if ((uint8_t)a->redirect[i] != vector || !(a->redirect[i] & RTE_LEVEL))
			continue;
		a->redirect[i] &= ~(uint64_t)RTE_REMOTE_IRR;
		if (a->lines >> i & 1)
			deliver(a, i);
	}
}

static uint32_t read_register(const struct ioapic *a)
{
	unsigned pin = (a->index - 0x10) / 2;

	switch (a->index) {
	case 0: case 2: return a->id << 24;
	case 1: return (IOAPIC_PINS - 1) << 16 | 0x20;
	}
	if (a->index < 0x10 || pin >= IOAPIC_PINS)
		return 0;
	return a->index & 1 ? a->redirect[pin] >> 32 : a->redirect[pin];
}

static void write_register(struct ioapic *a, uint32_t x)
{
	unsigned pin = (a->index - 0x10) / 2;

	if (a->index == 0)
		a->id = x >> 24 & 15;
	if (a->index < 0x10 || pin >= IOAPIC_PINS)
		return;
	uint64_t *e = &a->redirect[pin];
	if (a->index & 1)
		*e = (*e & 0xffffffff) | (uint64_t)x << 32;
	else
		*e = (*e & (0xffffffff00000000ull | 0x5000)) | (x & ~0x5000u); /* status and remote IRR are read-only */
	if (!(*e & RTE_LEVEL))
		*e &= ~(uint64_t)RTE_REMOTE_IRR;
	else if (a->lines >> pin & 1)
		deliver(a, pin);
}

static uint64_t ioapic_read(void *d, uint64_t off, unsigned size _unused_)
{
	struct ioapic *a = d;

	return off == 0 ? a->index : off == 0x10 ? read_register(a) : 0;
}

static void ioapic_write(void *d, uint64_t off, unsigned size _unused_, uint64_t x)
{
	struct ioapic *a = d;

	if (off == 0)
		a->index = x & 0xff;
	else if (off == 0x10)
		write_register(a, x);
	else if (off == 0x40)
		ioapic_end_of_interrupt(a, x);
}

const struct region_ops ioapic_ops = { ioapic_read, ioapic_write };
