#include "device/power.h"

#include <string.h>

#define PM_TIMER_HZ 3579545u

void power_init(struct power *p, void (*event)(void *, enum power_event, uint32_t), uint64_t (*now)(void *), void *data)
{
	memset(p, 0, sizeof(*p));
	p->event = event;
	p->now = now;
	p->data = data;
	p->pm1_control = 1; /* SCI_EN: ACPI mode from the start */
}

static uint64_t event_read(void *d, uint64_t off, unsigned size)
{
	const struct power *p = d;
	uint32_t both = p->pm1_status | (uint32_t)p->pm1_enable << 16;

	return both >> 8 * off & (size == 4 ? ~0u : (1u << 8 * size) - 1);
}

static void event_write(void *d, uint64_t off, unsigned size, uint64_t x)
{
	struct power *p = d;

	if (off == 0) {
		p->pm1_status &= ~x; /* write one to clear */
		if (size == 4)
			p->pm1_enable = x >> 16;
	} else if (off == 2) {
		p->pm1_enable = x;
	}
}

static uint64_t control_read(void *d, uint64_t off, unsigned size _unused_)
{
	return ((struct power *)d)->pm1_control >> 8 * off;
}

static void control_write(void *d, uint64_t off, unsigned size, uint64_t x)
{
	struct power *p = d;
	uint16_t v = size == 1 ? (p->pm1_control & ~(0xff << 8 * off)) | (x & 0xff) << 8 * off : x;

	p->pm1_control = (v & ~(1 << 13)) | 1;
	if ((v & 1 << 13) && (v >> 10 & 7) == ACPI_S5_TYPE)
		p->event(p->data, POWER_OFF, 0);
}

static uint64_t timer_read(void *d, uint64_t off, unsigned size _unused_)
{
	const struct power *p = d;
	uint32_t t = (unsigned __int128)p->now(p->data) * PM_TIMER_HZ / 1000000000u;

	return t >> 8 * off;
}

static uint64_t reset_read(void *d, uint64_t off _unused_, unsigned size _unused_)
{
	return ((struct power *)d)->reset;
}

static void reset_write(void *d, uint64_t off _unused_, unsigned size _unused_, uint64_t x)
{
	struct power *p = d;

	p->reset = x & 0xe;
	if (x & 4)
		p->event(p->data, POWER_RESET, 0);
}

static uint64_t i8042_data_read(void *d, uint64_t off _unused_, unsigned size _unused_)
{
	struct power *p = d;
	uint8_t x = p->kbd_command;

	p->kbd_status = 0;
	p->kbd_command = 0xff;
	return x;
}

static void i8042_data_write(void *d _unused_, uint64_t off _unused_, unsigned size _unused_, uint64_t x _unused_)
{
	/* no keyboard is attached */
}

static uint64_t i8042_command_read(void *d, uint64_t off _unused_, unsigned size _unused_)
{
	return ((struct power *)d)->kbd_status;
}

static void i8042_command_write(void *d, uint64_t off _unused_, unsigned size _unused_, uint64_t x)
{
	struct power *p = d;

	if ((x & 0xff) == 0xfe)
		p->event(p->data, POWER_RESET, 0);
}

static void debug_exit_write(void *d, uint64_t off _unused_, unsigned size _unused_, uint64_t x)
{
	struct power *p = d;

	p->event(p->data, POWER_DEBUG_EXIT, x);
}

const struct region_ops power_pm1_event_ops = { event_read, event_write };
const struct region_ops power_pm1_control_ops = { control_read, control_write };
const struct region_ops power_timer_ops = { timer_read, NULL };
const struct region_ops power_reset_ops = { reset_read, reset_write };
const struct region_ops power_i8042_data_ops = { i8042_data_read, i8042_data_write };
const struct region_ops power_i8042_command_ops = { i8042_command_read, i8042_command_write };
const struct region_ops power_debug_exit_ops = { NULL, debug_exit_write };
