#include "machine/memory.h"

#include <sys/mman.h>

int memory_create(uint64_t size, struct memory *ret, struct error *err)
{
	uint64_t low = MIN(size, LOW_RAM_END);
	uint8_t *p;

	if (size < MEMORY_MIN || size > MEMORY_MAX || size % 4096)
		return error_set(err, EINVAL, "guest memory of %llu bytes: give whole pages between 16 MiB and 64 GiB", (unsigned long long)size);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return error_sys(err, errno, "cannot map %llu MiB of guest memory", (unsigned long long)size >> 20);
	*ret = (struct memory){ .size = size, .host = p, .ram_count = 1 };
	ret->ram[0] = (struct cpu_ram){ 0, low, p };
	if (size > low) {
		ret->ram[1] = (struct cpu_ram){ HIGH_RAM, size - low, p + low };
		ret->ram_count = 2;
	}
	return 0;
}

void memory_free(struct memory *m)
{
	if (m->host)
		munmap(m->host, m->size);
	m->host = NULL;
}

void *memory_at(const struct memory *m, uint64_t addr, uint64_t len)
{
	for (unsigned i = 0; i < m->ram_count; i++) {
		const struct cpu_ram *r = &m->ram[i];
		if (addr >= r->base && addr - r->base <= r->size && len <= r->size - (addr - r->base))
			return (uint8_t *)r->host + (addr - r->base);
	}
	return NULL;
}

unsigned memory_e820(const struct memory *m, struct e820_entry ret[4])
{
	unsigned n = 0;

	ret[n++] = (struct e820_entry){ 0, EBDA, 1 };
	ret[n++] = (struct e820_entry){ EBDA, 0x100000 - EBDA, 2 };
	ret[n++] = (struct e820_entry){ 0x100000, m->ram[0].size - 0x100000, 1 };
	if (m->ram_count > 1)
		ret[n++] = (struct e820_entry){ HIGH_RAM, m->ram[1].size, 1 };
	return n;
}
