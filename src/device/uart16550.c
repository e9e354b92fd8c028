#include "device/uart16550.h"

#include <string.h>

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { IER_RX = 1, IER_THRE = 2, IER_LINE = 4, LCR_DLAB = 0x80, MCR_OUT2 = 8, MCR_LOOP = 0x10, FCR_ENABLE = 1, FCR_CLEAR_RX = 2 };
enum { LSR_READY = 1, LSR_OVERRUN = 2, LSR_THRE = 0x20, LSR_EMPTY = 0x40 };

static uint8_t interrupt_id(const struct uart16550 *u)
{
	if ((u->ier & IER_LINE) && u->overrun)
		return 6;
	if ((u->ier & IER_RX) && u->rx_len)
		return 4;
	if ((u->ier & IER_THRE) && u->thr_empty_pending)
		return 2;
	return 1;
}

static void update(struct uart16550 *u)
{
	irq_set(&u->irq, interrupt_id(u) != 1);
}

void uart16550_init(struct uart16550 *u, struct irq_line irq, void (*transmit)(void *, const uint8_t *, unsigned), void *data)
{
	memset(u, 0, sizeof(*u));
	u->irq = irq;
	u->transmit = transmit;
	u->data = data;
	u->dll = 1;
}

unsigned uart16550_room(const struct uart16550 *u)
{
	unsigned depth = u->fcr & FCR_ENABLE ? sizeof(u->rx) : 1;

	return u->rx_len < depth ? depth - u->rx_len : 0;
}

void uart16550_receive(struct uart16550 *u, uint8_t byte)
{
	if (!uart16550_room(u))
		u->overrun = true;
	else
		u->rx[(u->rx_head + u->rx_len++) % sizeof(u->rx)] = byte;
	update(u);
}

static uint8_t read_data(struct uart16550 *u)
{
	uint8_t b = 0;

	if (u->rx_len) {
		b = u->rx[u->rx_head];
		u->rx_head = (u->rx_head + 1) % sizeof(u->rx);
		u->rx_len--;
	}
	update(u);
	return b;
}

static uint8_t modem_status(const struct uart16550 *u)
{
	if (u->mcr & MCR_LOOP) /* outputs come back as inputs */
		return (u->mcr & 1) << 5 | (u->mcr & 2) << 3 | (u->mcr & 4) << 4 | (u->mcr & 8) << 4;
	return 0xb0; /* CTS, DSR, DCD */
}

static uint64_t uart_read(void *device, uint64_t off, unsigned size _unused_)
{
	struct uart16550 *u = device;
	uint8_t x;

	switch (off) {
	case RBR_THR: return u->lcr & LCR_DLAB ? u->dll : read_data(u);
	case IER: return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case IIR_FCR:
		x = interrupt_id(u);
		if (x == 2) {
			u->thr_empty_pending = false;
			update(u);
		}
		return x | (u->fcr & FCR_ENABLE ? 0xc0 : 0);
	case LCR: return u->lcr;
	case MCR: return u->mcr;
	case LSR:
		x = LSR_THRE | LSR_EMPTY | (u->rx_len ? LSR_READY : 0) | (u->overrun ? LSR_OVERRUN : 0);
		u->overrun = false;
		update(u);
		return x;
	case MSR: return modem_status(u);
	default: return u->scr;
	}
}

static void write_data(struct uart16550 *u, uint8_t b)
{
	if (u->mcr & MCR_LOOP)
		uart16550_receive(u, b);
	else
		u->transmit(u->data, &b, 1);
	u->thr_empty_pending = true;
	update(u);
}

static void uart_write(void *device, uint64_t off, unsigned size _unused_, uint64_t value)
{
	struct uart16550 *u = device;
	uint8_t x = value;

	switch (off) {
	case RBR_THR:
		if (u->lcr & LCR_DLAB)
			u->dll = x;
		else
			write_data(u, x);
		return;
	case IER:
		if (u->lcr & LCR_DLAB) {
			u->dlm = x;
			return;
		}
		if ((x & ~u->ier) & IER_THRE)
			u->thr_empty_pending = true; /* the transmitter is always empty */
		u->ier = x & 15;
		break;
	case IIR_FCR:
		u->fcr = x & 0xc9;
		if (x & FCR_CLEAR_RX || !(x & FCR_ENABLE))
			u->rx_len = 0;
		break;
	case LCR: u->lcr = x; return;
	case MCR: u->mcr = x & 0x1f; break;
	case SCR: u->scr = x; return;
	default: return;
	}
	update(u);
}

const struct region_ops uart16550_ops = { uart_read, uart_write };
