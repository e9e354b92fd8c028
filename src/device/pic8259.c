#include "device/pic8259.h"

#include <string.h>

/* The request that would be served next, 8: none. */
static unsigned best(const struct pic8259_half *h)
{
	uint8_t wanting = h->irr & ~h->imr;

	for (unsigned i = 0; i < 8; i++) {
		unsigned n = (h->priority + i) & 7;
		if (h->isr & 1 << n && !h->special_mask)
			return 8;
		if (wanting & 1 << n && !(h->isr & 1 << n))
			return n;
	}
	return 8;
}

static void update(struct pic8259 *p)
{
	struct pic8259_half *a = &p->half[0], *b = &p->half[1];

	if (best(b) < 8)
		a->irr |= 1 << 2;
	else
		a->irr &= ~(1 << 2);
	irq_set(&p->output, best(a) < 8);
}

void pic8259_init(struct pic8259 *p, struct irq_line output)
{
	memset(p, 0, sizeof(*p));
	p->output = output;
}

void pic8259_set(void *pic, unsigned number, bool level)
{
	struct pic8259 *p = pic;
	struct pic8259_half *h = &p->half[number >> 3 & 1];
	uint8_t bit = 1 << (number & 7);
	bool was = h->lines & bit;

	h->lines = level ? h->lines | bit : h->lines & ~bit;
	if (h->elcr & bit ? level : level && !was)
		h->irr |= bit;
	else if (!level)
		h->irr &= ~bit;
	update(p);
}

static unsigned acknowledge_half(struct pic8259_half *h)
{
	unsigned n = best(h);

	if (n == 8)
		return 7;
	if (!h->auto_eoi)
		h->isr |= 1 << n;
	else if (h->rotate_auto)
		h->priority = (n + 1) & 7;
	if (!(h->elcr & 1 << n))
		h->irr &= ~(1 << n);
	return n;
}

uint8_t pic8259_acknowledge(struct pic8259 *p)
{
	struct pic8259_half *a = &p->half[0], *b = &p->half[1];
	unsigned n = acknowledge_half(a);
	uint8_t vector = a->vector + n;

	if (n == 2)
		vector = b->vector + acknowledge_half(b);
	update(p);
	return vector;
}

static void end_of_interrupt(struct pic8259_half *h, unsigned command, unsigned n)
{
	if (!(command & 2)) { /* not specific: the highest in service */
		for (n = 0; n < 8 && !(h->isr & 1 << ((h->priority + n) & 7)); n++)
			;
		if (n == 8)
			return;
		n = (h->priority + n) & 7;
	}
	h->isr &= ~(1 << n);
	if (command & 4)
		h->priority = (n + 1) & 7;
}

static void write_command(struct pic8259_half *h, uint8_t x)
{
	if (x & 0x10) { /* ICW1 */
		uint8_t elcr = h->elcr, lines = h->lines;
		memset(h, 0, sizeof(*h));
		h->elcr = elcr;
		h->lines = lines;
		h->init_step = 1;
		h->icw4_needed = x & 1;
	} else if (x & 8) { /* OCW3 */
		h->poll = x & 4;
		if (x & 2)
			h->read_isr = x & 1;
		if (x & 0x40)
			h->special_mask = x & 0x20;
	} else { /* OCW2 */
		switch (x >> 5) {
		case 0: case 4: h->rotate_auto = x >> 7; break;
		case 1: case 3: case 5: case 7: end_of_interrupt(h, x >> 5, x & 7); break;
		case 6: h->priority = (x + 1) & 7; break;
		}
	}
}

static void write_data(struct pic8259_half *h, uint8_t x)
{
	switch (h->init_step) {
	case 1: h->vector = x & 0xf8; h->init_step = 2; break;
	case 2: h->init_step = h->icw4_needed ? 3 : 0; break;
	case 3: h->auto_eoi = x & 2; h->init_step = 0; break;
	default: h->imr = x; break;
	}
}

static uint64_t half_read(struct pic8259 *p, unsigned i, uint64_t off)
{
	struct pic8259_half *h = &p->half[i];

	if (h->poll) {
		h->poll = false;
		unsigned n = best(h);
		if (n == 8)
			return 0;
		acknowledge_half(h);
		update(p);
		return 0x80 | n;
	}
	return off ? h->imr : h->read_isr ? h->isr : h->irr;
}

static void half_write(struct pic8259 *p, unsigned i, uint64_t off, uint8_t x)
{
	if (off)
		write_data(&p->half[i], x);
	else
		write_command(&p->half[i], x);
	update(p);
}

static uint64_t first_read(void *d, uint64_t off, unsigned size _unused_)
{
	return half_read(d, 0, off);
}

static void first_write(void *d, uint64_t off, unsigned size _unused_, uint64_t x)
{
	half_write(d, 0, off, x);
}

static uint64_t second_read(void *d, uint64_t off, unsigned size _unused_)
{
	return half_read(d, 1, off);
}

static void second_write(void *d, uint64_t off, unsigned size _unused_, uint64_t x)
{
	half_write(d, 1, off, x);
}

static uint64_t elcr_read(void *d, uint64_t off, unsigned size _unused_)
{
	return ((struct pic8259 *)d)->half[off & 1].elcr;
}

static void elcr_write(void *d, uint64_t off, unsigned size _unused_, uint64_t x)
{
	((struct pic8259 *)d)->half[off & 1].elcr = x & (off & 1 ? 0xde : 0xf8);
}

const struct region_ops pic8259_first_ops = { first_read, first_write };
const struct region_ops pic8259_second_ops = { second_read, second_write };
const struct region_ops pic8259_elcr_ops = { elcr_read, elcr_write };
