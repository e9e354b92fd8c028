/* Motorola MC146818 real-time clock and its CMOS memory, ports 0x70 and 0x71. Time is the host's, in UTC. */
#pragma once

#include "device/bus.h"

struct rtc {
	uint8_t index;
	uint8_t ram[128];
};

extern const struct region_ops rtc_ops;

void rtc_init(struct rtc *r);
