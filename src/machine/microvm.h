/*
 * The microvm machine: a kernel booted directly on serial port, interrupt controllers and timers, ACPI. Threads: one
 * for each vCPU, one for console input; one lock around all devices.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/cpu.h"

struct microvm_config {
	const char *engine;  /* as cpu_config */
	unsigned cpus;
	uint64_t memory;     /* bytes */
	const void *kernel;
	size_t kernel_len;
	const void *initrd;  /* NULL: none */
	size_t initrd_len;
	const char *command_line;
	int console_in;      /* -1: none; the descriptors stay the caller's */
	int console_out;
	bool escape;         /* Ctrl-A x on the console leaves */
};

enum microvm_end {
	MICROVM_POWER_OFF,
	MICROVM_RESET,
	MICROVM_TRIPLE_FAULT, /* error says where */
	MICROVM_DEBUG_EXIT,   /* status is what was written to the port */
	MICROVM_ESCAPED,
	MICROVM_FAILED,       /* error says why */
};

struct microvm_result {
	enum microvm_end end;
	uint32_t status;
	struct cpu_stats stats; /* of all vCPUs together */
};

/* Runs the machine to its end. Negative: it could not be made. Blocks all signals in the threads it makes. */
int microvm_run(const struct microvm_config *config, struct microvm_result *ret, struct error *err);
