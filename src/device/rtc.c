#include "device/rtc.h"

#include <string.h>
#include <time.h>

enum { SECONDS = 0, MINUTES = 2, HOURS = 4, WEEKDAY = 6, DAY, MONTH, YEAR, REG_A, REG_B, REG_C, REG_D, CENTURY = 0x32 };
enum { B_24H = 2, B_BINARY = 4 };

void rtc_init(struct rtc *r)
{
	memset(r, 0, sizeof(*r));
	r->ram[REG_A] = 0x26;
	r->ram[REG_B] = B_24H;
	r->ram[REG_D] = 0x80; /* the battery is fine */
}

static uint8_t encode(const struct rtc *r, unsigned v)
{
	return r->ram[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10;
}

static uint8_t hour(const struct rtc *r, unsigned h)
{
	if (r->ram[REG_B] & B_24H)
		return encode(r, h);
	return encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? 0x80 : 0);
}

static uint8_t read_time(const struct rtc *r)
{
	time_t t = time(NULL);
	struct tm tm;

	gmtime_r(&t, &tm);
	switch (r->index) {
	case SECONDS: return encode(r, tm.tm_sec);
	case MINUTES: return encode(r, tm.tm_min);
	case HOURS: return hour(r, tm.tm_hour);
	case WEEKDAY: return encode(r, tm.tm_wday + 1);
	case DAY: return encode(r, tm.tm_mday);
	case MONTH: return encode(r, tm.tm_mon + 1);
	case YEAR: return encode(r, tm.tm_year % 100);
	default: return encode(r, (tm.tm_year + 1900) / 100);
	}
}

static uint64_t rtc_read(void *d, uint64_t off, unsigned size _unused_)
{
	struct rtc *r = d;

	if (off == 0)
		return 0xff;
	switch (r->index) {
	case SECONDS: case MINUTES: case HOURS: case WEEKDAY: case DAY: case MONTH: case YEAR: case CENTURY: return read_time(r);
	case REG_C: return 0; /* no interrupt is ever pending: alarms are not wired */
	default: return r->ram[r->index];
	}
}

static void rtc_write(void *d, uint64_t off, unsigned size _unused_, uint64_t x)
{
	struct rtc *r = d;

	if (off == 0)
		r->index = x & 127;
	else if (r->index == REG_A)
		r->ram[REG_A] = x & 0x7f;
	else if (r->index != REG_C && r->index != REG_D)
		r->ram[r->index] = x;
}

const struct region_ops rtc_ops = { rtc_read, rtc_write };
