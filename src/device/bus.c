#include "device/bus.h"

#include <string.h>

int bus_add(struct bus *bus, const struct region *r, struct error *err)
{
	unsigned at = 0;

	if (bus->count == BUS_REGIONS)
		return error_set(err, ENOSPC, "no room on the bus for %s", r->name);
	while (at < bus->count && bus->regions[at].base < r->base)
		at++;
	if ((at > 0 && bus->regions[at - 1].base + bus->regions[at - 1].size > r->base) ||
	    (at < bus->count && r->base + r->size > bus->regions[at].base))
		return error_set(err, EEXIST, "%s overlaps another device at %#llx", r->name, (unsigned long long)r->base);
	memmove(&bus->regions[at + 1], &bus->regions[at], (bus->count - at) * sizeof(*r));
	bus->regions[at] = *r;
	bus->count++;
	return 0;
}

static const struct region *find(const struct bus *bus, uint64_t addr, unsigned size)
{
	unsigned lo = 0, hi = bus->count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct region *r = &bus->regions[mid];
		if (addr < r->base)
			hi = mid;
		else if (addr - r->base >= r->size)
			lo = mid + 1;
		else
			return addr - r->base + size <= r->size ? r : NULL;
	}
	return NULL;
}

uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned size)
{
	const struct region *r = find(bus, addr, size);
	uint64_t all = size == 8 ? ~0ull : (1ull << 8 * size) - 1;

	return r && r->ops->read ? r->ops->read(r->device, addr - r->base, size) & all : all;
}

void bus_write(const struct bus *bus, uint64_t addr, unsigned size, uint64_t value)
{
	const struct region *r = find(bus, addr, size);

	if (r && r->ops->write)
		r->ops->write(r->device, addr - r->base, size, value);
}
