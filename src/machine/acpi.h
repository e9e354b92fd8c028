/* The ACPI tables (ACPI 6.4) of the microvm machine: RSDP, XSDT, FADT, FACS, DSDT, MADT. */
#pragma once

#include "machine/memory.h"

#define PM1_EVENT_PORT 0x600
#define PM1_CONTROL_PORT 0x604
#define PM_TIMER_PORT 0x608
#define RESET_PORT 0xcf9
#define IOAPIC_BASE 0xfec00000u
#define LAPIC_BASE 0xfee00000u

/* Writes them under 1 MiB; returns the RSDP's address. */
uint64_t acpi_write(const struct memory *m, unsigned cpus);
