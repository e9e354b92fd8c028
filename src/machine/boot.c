#include "machine/boot.h"

#include <elf.h>
#include <string.h>

/* Where we put what the kernel is told about, all under 640 KiB. */
enum { START_INFO = 0x6000, PVH_MEMMAP = 0x6100, PVH_MODULES = 0x6200, ZERO_PAGE = 0x7000, BOOT_GDT = 0x8000, PAGE_TABLES = 0x9000,
       COMMAND_LINE = 0x20000, COMMAND_LINE_MAX = 0x10000 };

#define CR0_PE 1ull
#define CR0_ET 16ull
#define CR0_PG (1ull << 31)
#define CR4_PAE 32ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull

static int put_command_line(const struct memory *m, const char *line, struct error *err)
{
	size_t n = strlen(line) + 1;

	if (n > COMMAND_LINE_MAX)
		return error_set(err, E2BIG, "the kernel command line has %zu bytes; %u are possible", n - 1, COMMAND_LINE_MAX - 1);
	memcpy(memory_at(m, COMMAND_LINE, n), line, n);
	return 0;
}

/* As high in low RAM as LIMIT allows, above KERNEL_END. */
static int put_initrd(const struct memory *m, const struct boot_source *src, uint64_t kernel_end, uint64_t limit, uint64_t *ret, struct error *err)
{
	uint64_t top = MIN(m->ram[0].size, limit);

	*ret = 0;
	if (!src->initrd)
		return 0;
	if (src->initrd_len > top || (top - src->initrd_len) / 4096 * 4096 < kernel_end)
		return error_set(err, EFBIG, "the initrd of %zu bytes does not fit beside the kernel in %llu MiB of memory", src->initrd_len,
				 (unsigned long long)(m->size >> 20));
	*ret = (top - src->initrd_len) / 4096 * 4096;
	memcpy(memory_at(m, *ret, src->initrd_len), src->initrd, src->initrd_len);
	return 0;
}

static void flat_segments(struct cpu_state *s, uint16_t code_attr)
{
	for (unsigned i = 0; i < 6; i++)
		s->seg[i] = (struct cpu_segment){ .limit = 0xffffffff, .selector = 0x18, .attr = 0xc093 };
	s->seg[CPU_CS] = (struct cpu_segment){ .limit = 0xffffffff, .selector = 0x10, .attr = code_attr };
	s->tr = (struct cpu_segment){ .limit = 0x67, .attr = 0x8b };
	s->ldtr = (struct cpu_segment){ .attr = 0x82 };
}

/* --- ELF and PVH --- */

static int load_segments(const struct memory *m, const struct boot_source *src, const Elf64_Ehdr *eh, uint64_t *ret_end, struct error *err)
{
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph;
		memcpy(&ph, (const uint8_t *)src->kernel + eh->e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		if (ph.p_filesz > ph.p_memsz || ph.p_offset > src->kernel_len || ph.p_filesz > src->kernel_len - ph.p_offset)
			return error_set(err, ENOEXEC, "segment %u of the kernel lies outside its file", i);
		void *to = ph.p_paddr >= 0x100000 ? memory_at(m, ph.p_paddr, ph.p_memsz) : NULL;
		if (!to)
			return error_set(err, EFBIG, "segment %u of the kernel, %llu bytes at %#llx, is not in the guest's %llu MiB of memory", i,
					 (unsigned long long)ph.p_memsz, (unsigned long long)ph.p_paddr, (unsigned long long)(m->size >> 20));
		memcpy(to, (const uint8_t *)src->kernel + ph.p_offset, ph.p_filesz);
		memset((uint8_t *)to + ph.p_filesz, 0, ph.p_memsz - ph.p_filesz);
		*ret_end = MAX(*ret_end, (uint64_t)(ph.p_paddr + ph.p_memsz));
	}
	return 0;
}

/* The entry point that a Xen note of type 18 (XEN_ELFNOTE_PHYS32_ENTRY) names; 0: none. */
static uint32_t pvh_entry(const struct boot_source *src, const Elf64_Phdr *ph)
{
	const uint8_t *p = (const uint8_t *)src->kernel + ph->p_offset;
	uint64_t left = ph->p_filesz;

	while (left >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		memcpy(&nh, p, sizeof(nh));
		uint64_t name = (nh.n_namesz + 3ull) & ~3ull, desc = (nh.n_descsz + 3ull) & ~3ull;
		if (sizeof(nh) + name + desc > left)
			return 0;
		if (nh.n_type == 18 && nh.n_namesz == 4 && !memcmp(p + sizeof(nh), "Xen", 4) && nh.n_descsz >= 4) {
			uint32_t entry;
			memcpy(&entry, p + sizeof(nh) + name, 4);
			return entry;
		}
		p += sizeof(nh) + name + desc;
		left -= sizeof(nh) + name + desc;
	}
	return 0;
}

struct hvm_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};

struct hvm_modlist_entry {
	uint64_t paddr, size, cmdline_paddr, reserved;
};

struct hvm_memmap_entry {
	uint64_t addr, size;
	uint32_t type, reserved;
};

static void write_start_info(const struct memory *m, const struct boot_source *src, uint64_t initrd)
{
	struct hvm_start_info si = { .magic = 0x336ec578, .version = 1, .cmdline_paddr = COMMAND_LINE, .rsdp_paddr = src->rsdp,
				     .memmap_paddr = PVH_MEMMAP };
	struct e820_entry map[4];
	struct hvm_modlist_entry mod = { .paddr = initrd, .size = src->initrd_len };

	si.memmap_entries = memory_e820(m, map);
	for (unsigned i = 0; i < si.memmap_entries; i++) {
		struct hvm_memmap_entry e = { map[i].addr, map[i].size, map[i].type, 0 };
		memcpy(memory_at(m, PVH_MEMMAP + i * sizeof(e), sizeof(e)), &e, sizeof(e));
	}
	if (src->initrd) {
		si.nr_modules = 1;
		si.modlist_paddr = PVH_MODULES;
		memcpy(memory_at(m, PVH_MODULES, sizeof(mod)), &mod, sizeof(mod));
	}
	memcpy(memory_at(m, START_INFO, sizeof(si)), &si, sizeof(si));
}

static int load_elf(const struct memory *m, const struct boot_source *src, struct cpu_state *s, struct error *err)
{
	Elf64_Ehdr eh;
	uint32_t entry = 0;
	uint64_t end = 0x100000, initrd;
	int r;

	if (src->kernel_len < sizeof(eh))
		return error_set(err, ENOEXEC, "the kernel's ELF header is cut off");
	memcpy(&eh, src->kernel, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64)
		return error_set(err, ENOEXEC, "the kernel is an ELF file for another machine (class %u, machine %u); x86-64 is wanted",
				 eh.e_ident[EI_CLASS], eh.e_machine);
	if (eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phoff > src->kernel_len ||
	    eh.e_phnum > (src->kernel_len - eh.e_phoff) / sizeof(Elf64_Phdr))
		return error_set(err, ENOEXEC, "the kernel's ELF program headers lie outside its file");
	for (unsigned i = 0; i < eh.e_phnum && !entry; i++) {
		Elf64_Phdr ph;
		memcpy(&ph, (const uint8_t *)src->kernel + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_NOTE && ph.p_offset <= src->kernel_len && ph.p_filesz <= src->kernel_len - ph.p_offset)
			entry = pvh_entry(src, &ph);
	}
	if (!entry)
		return error_set(err, ENOEXEC, "the ELF kernel has no PVH entry (Linux needs CONFIG_PVH); give its bzImage instead");
	if ((r = load_segments(m, src, &eh, &end, err)) < 0 || (r = put_initrd(m, src, end, LOW_RAM_END, &initrd, err)) < 0)
		return r;
	write_start_info(m, src, initrd);
	flat_segments(s, 0xc09b);
	s->cr0 = CR0_PE | CR0_ET;
	s->rip = entry;
	s->gpr[CPU_RBX] = START_INFO;
	return 0;
}

/* --- bzImage --- */

/* Offsets in the setup header and zero page. */
enum { ZP_E820_COUNT = 0x1e8, ZP_SETUP_SECTS = 0x1f1, ZP_MAGIC = 0x202, ZP_VERSION = 0x206, ZP_LOADER = 0x210, ZP_LOADFLAGS = 0x211,
       ZP_INITRD = 0x218, ZP_INITRD_LEN = 0x21c, ZP_CMDLINE = 0x228, ZP_INITRD_MAX = 0x22c, ZP_XLOADFLAGS = 0x236, ZP_CMDLINE_MAX = 0x238,
       ZP_PREF_ADDRESS = 0x258, ZP_INIT_SIZE = 0x260, ZP_HEADER_END = 0x268, ZP_E820 = 0x2d0, ZP_RSDP = 0x70 };

static uint64_t get(const uint8_t *p, unsigned off, unsigned n)
{
	uint64_t x = 0;

	memcpy(&x, p + off, n);
	return x;
}

/* Identity-maps the first 4 GiB with 2 MiB pages. */
static uint64_t write_page_tables(const struct memory *m)
{
	uint64_t *t = memory_at(m, PAGE_TABLES, 6 * 4096);

	memset(t, 0, 6 * 4096);
	t[0] = (PAGE_TABLES + 0x1000) | 3;
	for (unsigned i = 0; i < 4; i++)
		t[512 + i] = (PAGE_TABLES + 0x2000 + i * 0x1000) | 3;
	for (unsigned i = 0; i < 2048; i++)
		t[1024 + i] = (uint64_t)i << 21 | 0x83;
	return PAGE_TABLES;
}

static void write_zero_page(const struct memory *m, const struct boot_source *src, uint64_t initrd)
{
	uint8_t *zp = memory_at(m, ZERO_PAGE, 4096);
	const uint8_t *k = src->kernel;
	struct e820_entry map[4];
	unsigned end = MIN(ZP_MAGIC + k[0x201], ZP_HEADER_END), n = memory_e820(m, map);
	uint32_t cmdline = COMMAND_LINE, at = initrd, len = src->initrd_len;

	memset(zp, 0, 4096);
	memcpy(zp + ZP_SETUP_SECTS, k + ZP_SETUP_SECTS, end - ZP_SETUP_SECTS);
	zp[ZP_LOADER] = 0xff;
	memcpy(zp + ZP_CMDLINE, &cmdline, 4);
	if (src->initrd) {
		memcpy(zp + ZP_INITRD, &at, 4);
		memcpy(zp + ZP_INITRD_LEN, &len, 4);
	}
	memcpy(zp + ZP_RSDP, &src->rsdp, 8);
	zp[ZP_E820_COUNT] = n;
	for (unsigned i = 0; i < n; i++) {
		memcpy(zp + ZP_E820 + 20 * i, &map[i].addr, 8);
		memcpy(zp + ZP_E820 + 20 * i + 8, &map[i].size, 8);
		memcpy(zp + ZP_E820 + 20 * i + 16, &map[i].type, 4);
	}
}

static int load_bzimage(const struct memory *m, const struct boot_source *src, struct cpu_state *s, struct error *err)
{
	const uint8_t *k = src->kernel;
	unsigned sects = k[ZP_SETUP_SECTS] ? k[ZP_SETUP_SECTS] : 4;
	size_t setup = (sects + 1) * 512u;
	uint64_t initrd;
	int r;

	if (get(k, ZP_VERSION, 2) < 0x20c || !(get(k, ZP_XLOADFLAGS, 2) & 1))
		return error_set(err, ENOEXEC, "the kernel speaks boot protocol %#x without a 64-bit entry; 2.12 or later is needed",
				 (unsigned)get(k, ZP_VERSION, 2));
	if (setup >= src->kernel_len)
		return error_set(err, ENOEXEC, "the kernel is cut off: %zu bytes, of which %zu are its set-up code", src->kernel_len, setup);
	uint64_t load = get(k, ZP_PREF_ADDRESS, 8), size = get(k, ZP_INIT_SIZE, 4), image = src->kernel_len - setup;
	void *to = load >= 0x100000 && image <= size ? memory_at(m, load, size) : NULL;
	if (!to)
		return error_set(err, EFBIG, "the kernel needs %llu MiB at %#llx; the guest has %llu MiB of memory", (unsigned long long)size >> 20,
				 (unsigned long long)load, (unsigned long long)m->size >> 20);
	if (strlen(src->command_line) > get(k, ZP_CMDLINE_MAX, 4))
		return error_set(err, E2BIG, "the kernel takes a command line of %u bytes, not %zu", (unsigned)get(k, ZP_CMDLINE_MAX, 4),
				 strlen(src->command_line));
	if ((r = put_initrd(m, src, load + size, get(k, ZP_INITRD_MAX, 4) + 1, &initrd, err)) < 0)
		return r;
	memcpy(to, k + setup, image);
	write_zero_page(m, src, initrd);
	uint64_t gdt[4] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	memcpy(memory_at(m, BOOT_GDT, sizeof(gdt)), gdt, sizeof(gdt));
	flat_segments(s, 0xa09b);
	s->gdt = (struct cpu_table){ BOOT_GDT, sizeof(gdt) - 1 };
	s->cr3 = write_page_tables(m);
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
	s->cr0 = CR0_PE | CR0_ET | CR0_PG;
	s->rip = load + 0x200;
	s->gpr[CPU_RSI] = ZERO_PAGE;
	return 0;
}

int boot_load(const struct memory *m, const struct boot_source *src, struct cpu_state *s, struct error *err)
{
	int r = put_command_line(m, src->command_line, err);

	if (r < 0)
		return r;
	s->rflags = 2;
	if (src->kernel_len >= 4 && !memcmp(src->kernel, ELFMAG, SELFMAG))
		return load_elf(m, src, s, err);
	if (src->kernel_len >= 1024 && !memcmp((const uint8_t *)src->kernel + ZP_MAGIC, "HdrS", 4))
		return load_bzimage(m, src, s, err);
	return error_set(err, ENOEXEC, "the kernel (%zu bytes) is neither a bzImage nor an ELF file", src->kernel_len);
}
