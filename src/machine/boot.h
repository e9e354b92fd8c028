/*
 * Boot protocols: an ELF kernel entered by PVH (Xen's "x86/HVM direct boot ABI") and a Linux bzImage entered at its
 * 64-bit entry (Documentation/arch/x86/boot.rst). Kernel and initrd files are hostile.
 */
#pragma once

#include "cpu/cpu.h"
#include "machine/memory.h"

struct boot_source {
	const void *kernel;
	size_t kernel_len;
	const void *initrd; /* NULL: none */
	size_t initrd_len;
	const char *command_line;
	uint64_t rsdp;
};

/* Copies everything into memory and sets the registers of the boot processor in STATE (reset values on entry). */
int boot_load(const struct memory *m, const struct boot_source *src, struct cpu_state *state, struct error *err);
