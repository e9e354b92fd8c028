/* National Semiconductor PC16550D: an asynchronous serial port with 16-byte FIFOs; eight byte registers. */
#pragma once

#include "device/bus.h"

struct uart16550 {
	struct irq_line irq;
	/* Takes LEN transmitted bytes; may not block for long. */
	void (*transmit)(void *data, const uint8_t *bytes, unsigned len);
	void *data;
	uint8_t ier, lcr, mcr, scr, dll, dlm, fcr;
	bool thr_empty_pending, overrun;
	uint8_t rx[16];
	unsigned rx_head, rx_len;
};

extern const struct region_ops uart16550_ops;

void uart16550_init(struct uart16550 *u, struct irq_line irq, void (*transmit)(void *, const uint8_t *, unsigned), void *data);
/* Room in the receive FIFO; and a byte into it (with none left: an overrun, as on the wire). */
unsigned uart16550_room(const struct uart16550 *u);
void uart16550_receive(struct uart16550 *u, uint8_t byte);
