/* Guest memory and where it lies: RAM from 0, a hole under 4 GiB for devices, the rest of RAM above. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "cpu/cpu.h"

#define LOW_RAM_END 0xc0000000ull
#define HIGH_RAM 0x100000000ull
#define EBDA 0x9fc00ull
#define MEMORY_MIN (16ull << 20)
#define MEMORY_MAX (64ull << 30)

struct memory {
	struct cpu_ram ram[2];
	unsigned ram_count;
	uint64_t size;
	void *host;
};

int memory_create(uint64_t size, struct memory *ret, struct error *err);
void memory_free(struct memory *m);

/* Host address of LEN bytes of RAM at ADDR, NULL when they are not all RAM of one piece. */
void *memory_at(const struct memory *m, uint64_t addr, uint64_t len);

struct e820_entry {
	uint64_t addr, size;
	uint32_t type; /* 1 usable, 2 reserved */
};
/* The map that boot protocols hand over; at most 4 entries, returns how many. */
unsigned memory_e820(const struct memory *m, struct e820_entry ret[4]);
