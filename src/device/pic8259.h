/* Two cascaded Intel 8259A interrupt controllers at ports 0x20, 0xa0, with the edge/level registers 0x4d0, 0x4d1. */
#pragma once

#include "device/bus.h"

struct pic8259_half {
	uint8_t irr, imr, isr, vector, elcr, lines, init_step, priority;
	bool auto_eoi, read_isr, poll, special_mask, icw4_needed, rotate_auto;
};

struct pic8259 {
	struct pic8259_half half[2];
	struct irq_line output; /* INTR of the first */
};

extern const struct region_ops pic8259_first_ops, pic8259_second_ops, pic8259_elcr_ops;

void pic8259_init(struct pic8259 *p, struct irq_line output);
/* As irq_line.set: NUMBER 0 to 15. */
void pic8259_set(void *pic, unsigned number, bool level);
/* The processor's acknowledge cycle: the vector (a spurious one if the request is gone). */
uint8_t pic8259_acknowledge(struct pic8259 *p);
