/*
 * Where devices are found: ranges of ports and of guest-physical memory, each with an owner. A device model is a struct
 * that embeds nothing of the processor or machine; it is given its interrupt line and the time, and tells its next
 * deadline. Devices are called with the machine's lock held, one at a time. Every value comes from the guest: hostile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* OFFSET is relative to the start of the range, SIZE 1, 2, 4 or (memory only) 8. */
struct region_ops {
	uint64_t (*read)(void *device, uint64_t offset, unsigned size);
	void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

struct region {
	const char *name;
	uint64_t base, size;
	const struct region_ops *ops;
	void *device;
};

#define BUS_REGIONS 64

struct bus {
	struct region regions[BUS_REGIONS]; /* sorted by base */
	unsigned count;
};

/* -ENOSPC, or -EEXIST when it overlaps another. */
int bus_add(struct bus *bus, const struct region *region, struct error *err);
/* Nothing there reads as all ones; writes are dropped. */
uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned size);
void bus_write(const struct bus *bus, uint64_t addr, unsigned size, uint64_t value);

/* An interrupt input of a controller. */
struct irq_line {
	void (*set)(void *controller, unsigned number, bool level);
	void *controller;
	unsigned number;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->controller, line->number, level);
}

/* Nanoseconds of the guest's clock; a deadline that never comes. */
#define NEVER UINT64_MAX
