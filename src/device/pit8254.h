/* Intel 8254 programmable interval timer at ports 0x40 to 0x43, and the gate and speaker port 0x61. */
#pragma once

#include "device/bus.h"

#define PIT_HZ 1193182ull

struct pit8254_channel {
	uint8_t mode, access, write_low, latch_bytes;
	bool bcd, gate, have_low, read_high, latched_status, armed, loaded;
	uint32_t reload;   /* 1 to 65536 */
	uint16_t latch;
	uint8_t status;
	uint64_t start;    /* ns at which counting began */
	uint64_t fired;    /* periods that have raised the line */
	uint64_t last_fire; /* ns */
};

struct pit8254 {
	struct pit8254_channel ch[3];
	struct irq_line irq; /* output of channel 0 */
	uint64_t (*now)(void *data);
	void *data;
	uint8_t port61;
};

extern const struct region_ops pit8254_ops, pit8254_port61_ops;

void pit8254_init(struct pit8254 *p, struct irq_line irq, uint64_t (*now)(void *), void *data);
/* When channel 0 interrupts next; and doing so when that has come. */
uint64_t pit8254_deadline(const struct pit8254 *p);
void pit8254_tick(struct pit8254 *p);
