#include "device/pit8254.h"

#include <string.h>

#define CATCH_UP_NS 200000u
#define CATCH_UP_MAX 1000u

static uint64_t ns_to_ticks(uint64_t ns)
{
	return (unsigned __int128)ns * PIT_HZ / 1000000000u;
}

static uint64_t ticks_to_ns(uint64_t ticks)
{
	return ((unsigned __int128)ticks * 1000000000u + PIT_HZ - 1) / PIT_HZ;
}

void pit8254_init(struct pit8254 *p, struct irq_line irq, uint64_t (*now)(void *), void *data)
{
	memset(p, 0, sizeof(*p));
	p->irq = irq;
	p->now = now;
	p->data = data;
	for (unsigned i = 0; i < 3; i++) {
		p->ch[i].reload = 65536;
		p->ch[i].access = 3;
		p->ch[i].mode = 3;
		p->ch[i].gate = i != 2;
	}
}

static uint64_t elapsed(const struct pit8254 *p, const struct pit8254_channel *c)
{
	return c->loaded && c->gate ? ns_to_ticks(p->now(p->data) - c->start) : 0;
}

static bool periodic(const struct pit8254_channel *c)
{
	return (c->mode & 3) >= 2;
}

static uint16_t counter(const struct pit8254 *p, const struct pit8254_channel *c)
{
	uint64_t t = elapsed(p, c);

	if (!periodic(c))
		return c->reload - t;
	if ((c->mode & 3) == 3) /* counts by two */
		return c->reload - (2 * t) % c->reload;
	return c->reload - t % c->reload;
}

static bool output(const struct pit8254 *p, const struct pit8254_channel *c)
{
	uint64_t t = elapsed(p, c);

	switch (c->mode & 3) {
	case 3: return t % c->reload < (c->reload + 1) / 2;
	case 2: return t % c->reload != c->reload - 1;
	default: return c->loaded && t >= c->reload;
	}
}

static void load(struct pit8254 *p, unsigned n, uint16_t value)
{
	struct pit8254_channel *c = &p->ch[n];

	c->reload = value ? value : 65536;
	c->start = p->now(p->data);
	c->loaded = true;
	c->fired = 0;
	c->armed = true;
	if (n == 0 && !periodic(c))
		irq_set(&p->irq, false);
}

static uint64_t next_fire(const struct pit8254_channel *c)
{
	return c->start + ticks_to_ns((c->fired + 1) * c->reload);
}

uint64_t pit8254_deadline(const struct pit8254 *p)
{
	const struct pit8254_channel *c = &p->ch[0];

	if (!c->loaded || !c->armed)
		return NEVER;
	uint64_t next = next_fire(c), earliest = c->last_fire + CATCH_UP_NS;
	return next > earliest || !c->fired ? next : earliest;
}

void pit8254_tick(struct pit8254 *p)
{
	struct pit8254_channel *c = &p->ch[0];
	uint64_t now = p->now(p->data);

	if (now < pit8254_deadline(p))
		return;
	if (!periodic(c)) {
		c->armed = false;
		irq_set(&p->irq, true);
		return;
	}
	/* periods that the host slept through are made up for, at a pace that lets the guest take each */
	uint64_t due = elapsed(p, c) / c->reload;
	c->fired = due - c->fired > CATCH_UP_MAX ? due : c->fired + 1;
	c->last_fire = now;
	irq_set(&p->irq, false);
	irq_set(&p->irq, true);
	irq_set(&p->irq, false);
}

static void latch_count(struct pit8254 *p, struct pit8254_channel *c)
{
	if (c->latch_bytes)
		return;
	c->latch = counter(p, c);
	c->latch_bytes = c->access == 3 ? 2 : 1;
	if (c->access == 2)
		c->latch >>= 8;
}

static void write_control(struct pit8254 *p, uint8_t x)
{
	unsigned n = x >> 6;

	if (n == 3) { /* read-back */
		for (unsigned i = 0; i < 3; i++) {
			struct pit8254_channel *c = &p->ch[i];
			if (!(x & 2 << i))
				continue;
			if (!(x & 0x20))
				latch_count(p, c);
			if (!(x & 0x10)) {
				c->status = output(p, c) << 7 | !c->loaded << 6 | c->access << 4 | c->mode << 1 | c->bcd;
				c->latched_status = true;
			}
		}
		return;
	}
	struct pit8254_channel *c = &p->ch[n];
	if (!(x & 0x30)) {
		latch_count(p, c);
		return;
	}
	c->access = x >> 4 & 3;
	c->mode = x >> 1 & 7;
	if (c->mode > 5)
		c->mode &= 3;
	c->bcd = x & 1;
	c->loaded = c->armed = c->have_low = c->read_high = false;
	c->latch_bytes = 0;
	if (n == 0)
		irq_set(&p->irq, false);
}

static void write_count(struct pit8254 *p, unsigned n, uint8_t x)
{
	struct pit8254_channel *c = &p->ch[n];

	switch (c->access) {
	case 1: load(p, n, x); break;
	case 2: load(p, n, x << 8); break;
	default:
		if (c->have_low)
			load(p, n, c->write_low | x << 8);
		else
			c->write_low = x;
		c->have_low = !c->have_low;
	}
}

static uint8_t read_count(struct pit8254 *p, struct pit8254_channel *c)
{
	if (c->latched_status) {
		c->latched_status = false;
		return c->status;
	}
	if (c->latch_bytes) {
		uint8_t x = c->latch;
		c->latch >>= 8;
		c->latch_bytes--;
		return x;
	}
	uint16_t v = counter(p, c);
	if (c->access == 1)
		return v;
	if (c->access == 2)
		return v >> 8;
	c->read_high = !c->read_high;
	return c->read_high ? v : v >> 8;
}

static uint64_t pit_read(void *d, uint64_t off, unsigned size _unused_)
{
	struct pit8254 *p = d;

	return off < 3 ? read_count(p, &p->ch[off]) : 0xff;
}

static void pit_write(void *d, uint64_t off, unsigned size _unused_, uint64_t x)
{
	if (off < 3)
		write_count(d, off, x);
	else
		write_control(d, x);
}

static uint64_t port61_read(void *d, uint64_t off _unused_, unsigned size _unused_)
{
	struct pit8254 *p = d;

	/* bit 4 toggles with memory refresh, every 15 us */
	return (p->port61 & 3) | (p->now(p->data) / 15085 & 1) << 4 | output(p, &p->ch[2]) << 5;
}

static void port61_write(void *d, uint64_t off _unused_, unsigned size _unused_, uint64_t x)
{
	struct pit8254 *p = d;
	bool gate = x & 1;

	if (gate && !p->ch[2].gate)
		p->ch[2].start = p->now(p->data);
	p->ch[2].gate = gate;
	p->port61 = x & 3;
}

const struct region_ops pit8254_ops = { pit_read, pit_write };
const struct region_ops pit8254_port61_ops = { port61_read, port61_write };
