#include "machine/acpi.h"

#include <stddef.h>
#include <string.h>

#include "device/power.h"

#define TABLES 0xe0000u
#define TABLES_MAX 0x10000u
#define SCI_IRQ 9

/* One table after the other in a buffer that lies at TABLES in the guest. */
struct writer {
	uint8_t *base;
	uint32_t len;
};

static void put(struct writer *w, uint64_t value, unsigned n)
{
	if (w->len + n > TABLES_MAX)
		return;
	memcpy(w->base + w->len, &value, n);
	w->len += n;
}

static void put_bytes(struct writer *w, const void *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(w, ((const uint8_t *)p)[i], 1);
}

static void pad(struct writer *w, unsigned n)
{
	while (n--)
		put(w, 0, 1);
}

static uint8_t checksum(const uint8_t *p, unsigned n)
{
	uint8_t sum = 0;

	while (n--)
		sum += *p++;
	return -sum;
}

static uint32_t begin(struct writer *w, const char *signature, uint8_t revision)
{
	while (w->len % 16)
		put(w, 0, 1);
	uint32_t at = w->len;
	put_bytes(w, signature, 4);
	put(w, 0, 4); /* length, filled in by end() */
	put(w, revision, 1);
	put(w, 0, 1);
	put_bytes(w, "RINGWLMICROVM ", 14);
	put(w, 1, 4);
	put_bytes(w, "RINW", 4);
	put(w, 1, 4);
	return at;
}

static uint32_t end(struct writer *w, uint32_t at)
{
	uint32_t len = w->len - at;

	memcpy(w->base + at + 4, &len, 4);
	w->base[at + 9] = checksum(w->base + at, len);
	return TABLES + at;
}

/* Name (\_S5, Package () { 5, 5, 0, 0 }) */
static uint32_t write_dsdt(struct writer *w)
{
	static const uint8_t aml[] = { 0x08, '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, ACPI_S5_TYPE, 0x0a, ACPI_S5_TYPE, 0x00, 0x00 };
	uint32_t at = begin(w, "DSDT", 2);

	put_bytes(w, aml, sizeof(aml));
	return end(w, at);
}

static uint32_t write_facs(struct writer *w)
{
	while (w->len % 64)
		put(w, 0, 1);
	uint32_t at = w->len;
	put_bytes(w, "FACS", 4);
	put(w, 64, 4);
	pad(w, 56);
	return TABLES + at;
}

/* Generic address: system I/O. */
static void put_gas(struct writer *w, uint16_t port, unsigned bytes)
{
	put(w, 1, 1);
	put(w, bytes * 8, 1);
	put(w, 0, 1);
	put(w, bytes == 1 ? 1 : bytes == 2 ? 2 : 3, 1);
	put(w, port, 8);
}

static uint32_t write_fadt(struct writer *w, uint32_t facs, uint32_t dsdt)
{
	uint32_t at = begin(w, "FACP", 6);

	put(w, facs, 4);
	put(w, dsdt, 4);
	put(w, 0, 1);
	put(w, 0, 1);                /* preferred profile: unspecified */
	put(w, SCI_IRQ, 2);
	put(w, 0, 4);                /* no SMI command port: ACPI mode is always on */
	put(w, 0, 4);
	put(w, PM1_EVENT_PORT, 4);
	put(w, 0, 4);
	put(w, PM1_CONTROL_PORT, 4);
	put(w, 0, 4);
	put(w, 0, 4);
	put(w, PM_TIMER_PORT, 4);
	put(w, 0, 8);                /* no general-purpose events */
	put(w, 4, 1);
	put(w, 2, 1);
	put(w, 0, 1);
	put(w, 4, 1);
	put(w, 0, 4);
	put(w, 0xfff, 2);            /* no C2, no C3 */
	put(w, 0xfff, 2);
	pad(w, 8);                   /* flush size and stride, duty offset and width, day and month alarm */
	put(w, 0x32, 1);             /* century in CMOS */
	put(w, 1 << 1 | 1 << 2, 2);  /* boot flags: 8042 present, no VGA */
	put(w, 0, 1);
	put(w, 1 << 0 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 10, 4); /* WBINVD, no power or sleep button, 32-bit timer, reset register */
	put_gas(w, RESET_PORT, 1);
	put(w, 6, 1);                /* value that resets */
	put(w, 0, 2);
	put(w, 3, 1);
	put(w, 0, 8);                /* X_FACS: the 32-bit one is used */
	put(w, dsdt, 8);
	put_gas(w, PM1_EVENT_PORT, 4);
	pad(w, 12);
	put_gas(w, PM1_CONTROL_PORT, 2);
	pad(w, 12);
	pad(w, 12);
	put_gas(w, PM_TIMER_PORT, 4);
	pad(w, 24);
	pad(w, 24);                  /* sleep registers */
	put(w, 0, 8);
	return end(w, at);
}

static uint32_t write_madt(struct writer *w, unsigned cpus)
{
	uint32_t at = begin(w, "APIC", 5);

	put(w, LAPIC_BASE, 4);
	put(w, 1, 4); /* 8259s are there too */
	for (unsigned i = 0; i < cpus; i++) {
		put(w, 0 | 8 << 8, 2);
		put(w, i, 1);
		put(w, i, 1);
		put(w, 1, 4);
	}
	put(w, 1 | 12 << 8, 2);
	put(w, 0, 2);
	put(w, IOAPIC_BASE, 4);
	put(w, 0, 4);
	put(w, 2 | 10 << 8, 2); /* ISA IRQ 0 is input 2 */
	put(w, 0, 2);
	put(w, 2, 4);
	put(w, 0, 2);
	put(w, 2 | 10 << 8, 2); /* the SCI is level-triggered, active high */
	put(w, SCI_IRQ << 8, 2);
	put(w, SCI_IRQ, 4);
	put(w, 13, 2);
	put(w, 4 | 6 << 8, 2); /* NMI on LINT1 of all */
	put(w, 0xff, 1);
	put(w, 0, 2);
	put(w, 1, 1);
	return end(w, at);
}

uint64_t acpi_write(const struct memory *m, unsigned cpus)
{
	struct writer w = { memory_at(m, TABLES, TABLES_MAX), 0 };

	pad(&w, 64); /* the RSDP comes last, at the start */
	uint32_t dsdt = write_dsdt(&w), facs = write_facs(&w), fadt = write_fadt(&w, facs, dsdt), madt = write_madt(&w, cpus);
	uint32_t at = begin(&w, "XSDT", 1);
	put(&w, fadt, 8);
	put(&w, madt, 8);
	uint64_t xsdt = end(&w, at);

	struct writer r = { w.base, 0 };
	put_bytes(&r, "RSD PTR ", 8);
	put(&r, 0, 1);
	put_bytes(&r, "RINGWL", 6);
	put(&r, 2, 1);
	put(&r, 0, 4);
	put(&r, 36, 4);
	put(&r, xsdt, 8);
	put(&r, 0, 4);
	w.base[8] = checksum(w.base, 20);
	w.base[32] = checksum(w.base, 36);
	return TABLES;
}
