/* Intel 82093AA I/O APIC, 24 inputs, at 0xfec00000. */
#pragma once

#include "device/bus.h"

#define IOAPIC_PINS 24

/* An interrupt message as LAPICs understand it (SDM volume 3, section 11.11). */
struct apic_message {
	uint8_t vector;
	uint8_t mode;      /* delivery mode: 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 6 start-up, 7 ExtINT */
	bool logical, level;
	uint32_t destination;
};

struct ioapic {
	uint32_t index, id;
	uint64_t redirect[IOAPIC_PINS];
	uint32_t lines;
	void (*send)(void *data, const struct apic_message *message);
	void *data;
};

extern const struct region_ops ioapic_ops;

void ioapic_init(struct ioapic *a, void (*send)(void *, const struct apic_message *), void *data);
void ioapic_set(void *ioapic, unsigned pin, bool level);
/* A LAPIC ended a level-triggered interrupt with VECTOR. */
void ioapic_end_of_interrupt(struct ioapic *a, uint8_t vector);
