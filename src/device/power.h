/*
 * The ways a guest ends its machine: the ACPI PM1 block with the PM timer (ACPI 6.4, section 4.8), the reset register
 * 0xcf9, the keyboard controller's reset line (8042, command 0xfe), and the debug exit port 0xf4, which hands a status
 * to the outside as QEMU's isa-debug-exit does.
 */
#pragma once

#include "device/bus.h"

enum power_event { POWER_OFF, POWER_RESET, POWER_DEBUG_EXIT };

struct power {
	void (*event)(void *data, enum power_event event, uint32_t status);
	uint64_t (*now)(void *data);
	void *data;
	uint16_t pm1_status, pm1_enable, pm1_control;
	uint8_t kbd_status, kbd_command, reset;
};

#define ACPI_S5_TYPE 5 /* SLP_TYP of soft-off, as the DSDT says */

extern const struct region_ops power_pm1_event_ops;   /* 4 bytes */
extern const struct region_ops power_pm1_control_ops; /* 2 bytes */
extern const struct region_ops power_timer_ops;       /* 4 bytes */
extern const struct region_ops power_reset_ops;       /* 0xcf9 */
extern const struct region_ops power_i8042_data_ops, power_i8042_command_ops; /* 0x60, 0x64 */
extern const struct region_ops power_debug_exit_ops;  /* 0xf4 */

void power_init(struct power *p, void (*event)(void *, enum power_event, uint32_t), uint64_t (*now)(void *), void *data);
