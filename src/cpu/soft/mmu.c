#include "cpu/soft/mmu.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/soft/cache.h"
#include "cpu/soft/event.h"

#define LOG_MAX (1u << 16)
#define LOG_GLOBAL (1u << 31)

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 32ull
#define PTE_D 64ull
#define PTE_PS 128ull
#define PTE_G 256ull
#define PTE_NX (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

static uint64_t table_index(uint64_t va)
{
	return va << 16 >> 28;
}

/* --- the reservation --- */

static size_t view_bytes(void)
{
	return sizeof(struct target) * TARGETS + CORE_BYTES + TABLE_BYTES;
}

/* targets | core | read table, then the write table */
static int init_view(struct vcpu *v, struct view *w, uint8_t *base, struct error *err)
{
	uint8_t *core = base + sizeof(struct target) * TARGETS;

	if (mmap(core, CORE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, v->core_fd, 0) == MAP_FAILED)
		return error_sys(err, errno, "cannot map the state of vCPU %u", v->index);
	w->targets = (struct target *)base;
	w->read = (uint64_t *)(core + CORE_BYTES);
	w->write = (uint64_t *)(base + view_bytes());
	w->log = mmap(NULL, 2 * LOG_MAX * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->log == MAP_FAILED)
		return error_oom(err);
	return 0;
}

int mmu_init(struct vcpu *v, struct error *err)
{
	size_t one = view_bytes() + TABLE_BYTES;
	uint8_t *p;
	int r;

	v->core_fd = memfd_create("vcpu", MFD_CLOEXEC);
	if (v->core_fd < 0 || ftruncate(v->core_fd, CORE_BYTES) < 0)
		return error_sys(err, errno, "cannot create the state page of a vCPU");
	v->core = mmap(NULL, CORE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, v->core_fd, 0);
	if (v->core == MAP_FAILED) {
		v->core = NULL;
		return error_sys(err, errno, "cannot map the state page of a vCPU");
	}
	v->tables_len = one * CONTEXTS * VIEWS;
	v->tables = mmap(NULL, v->tables_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (v->tables == MAP_FAILED) {
		v->tables = NULL;
		return error_sys(err, errno,
				 "cannot reserve %zu TiB of address space for the page tables of a vCPU; "
				 "check `ulimit -v` and that vm.overcommit_memory is not 2", v->tables_len >> 40);
	}
	madvise(v->tables, v->tables_len, MADV_NOHUGEPAGE);
	p = v->tables;
	for (unsigned c = 0; c < CONTEXTS; c++)
		for (unsigned w = 0; w < VIEWS; w++, p += one)
			if ((r = init_view(v, &v->contexts[c].view[w], p, err)) < 0)
				return r;
	v->ctx = &v->contexts[0];
	v->ctx->used = true;
	for (unsigned i = 0; i < ITLB_ENTRIES; i++)
		v->itlb[i].va = ~0ull;
	return 0;
}

void mmu_free(struct vcpu *v)
{
	for (unsigned c = 0; c < CONTEXTS; c++)
		for (unsigned w = 0; w < VIEWS; w++)
			if (v->contexts[c].view[w].log)
				munmap(v->contexts[c].view[w].log, 2 * LOG_MAX * sizeof(uint32_t));
	if (v->tables)
		munmap(v->tables, v->tables_len);
	if (v->core)
		munmap(v->core, CORE_BYTES);
	if (v->core_fd >= 0)
		close(v->core_fd);
}

/* --- RAM --- */

uint8_t *ram_at(const struct soft_vm *vm, uint64_t pa)
{
	for (unsigned i = 0; i < vm->ram_count; i++)
		if (pa - vm->ram[i].base < vm->ram[i].size)
			return (uint8_t *)vm->ram[i].host + (pa - vm->ram[i].base);
	return NULL;
}

uint64_t ram_index(const struct soft_vm *vm, uint64_t pa)
{
	uint64_t before = 0;

	for (unsigned i = 0; i < vm->ram_count; i++) {
		if (pa - vm->ram[i].base < vm->ram[i].size)
			return before + ((pa - vm->ram[i].base) >> PAGE_SHIFT);
		before += vm->ram[i].size >> PAGE_SHIFT;
	}
	return 0;
}

/* --- the walk --- */

struct walk {
	bool user, writable, nx, global;
	uint64_t pa;
};

/* Sets A, and D for a write, of an entry that may change under us; -EAGAIN when it did. */
static int mark(void *entry, uint64_t old, uint64_t bits, unsigned size)
{
	if ((old & bits) == bits)
		return 0;
	if (size == 8)
		return __atomic_compare_exchange_n((uint64_t *)entry, &old, old | bits, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 0 : -EAGAIN;
	uint32_t o = old;
	return __atomic_compare_exchange_n((uint32_t *)entry, &o, o | (uint32_t)bits, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 0 : -EAGAIN;
}

static uint64_t reserved_bits(const struct vcpu *v, unsigned level, uint64_t e, bool pae32)
{
	uint64_t rsvd = 0x000fffffffffffffull & ~((1ull << 46) - 1); /* MAXPHYADDR 46 */

	if (!(v->efer & EFER_NXE))
		rsvd |= PTE_NX;
	if (pae32)
		rsvd |= level == 3 ? 0xfff00000000001e6ull & ~PTE_NX : 0x7ff0000000000000ull;
	if (level == 4)
		rsvd |= PTE_PS;
	if (level == 3 && (e & PTE_PS) && !pae32)
		rsvd |= 0x3fffe000ull;
	if (level == 2 && (e & PTE_PS))
		rsvd |= 0x1fe000ull;
	return rsvd;
}

/* 64-bit entries: four levels, or three for PAE. Returns 0, the P and RSVD bits of a fault as a positive number, -EAGAIN. */
static int walk64(struct vcpu *v, uint64_t va, int acc, bool (*allowed)(struct vcpu *, const struct walk *, int, bool), bool user,
		  struct walk *w)
{
	bool pae32 = !long_mode(v);
	int top = pae32 ? 3 : 4;
	uint64_t table = v->cr3 & (pae32 ? 0xffffffe0ull : PTE_ADDR);
	uint64_t *slots[5], values[5];

	*w = (struct walk){ .user = true, .writable = true };
	for (int level = top; level >= 1; level--) {
		unsigned idx = va >> (12 + 9 * (level - 1)) & (level == 3 && pae32 ? 3 : 511);
		uint64_t *slot = (uint64_t *)ram_at(v->vm, table + idx * 8);
		if (!slot)
			return 0x100; /* tables outside RAM: nothing is there */
		uint64_t e = __atomic_load_n(slot, __ATOMIC_RELAXED);
		if (!(e & PTE_P))
			return 0x100;
		if (e & reserved_bits(v, level, e, pae32))
			return 9;
		slots[level] = slot;
		values[level] = e;
		if (!(pae32 && level == 3)) {
			w->user &= !!(e & PTE_U);
			w->writable &= !!(e & PTE_W);
			w->nx |= !!(e & PTE_NX);
		}
		table = e & PTE_ADDR;
		if (level == 1 || ((e & PTE_PS) && (level == 2 || (level == 3 && !pae32)))) {
			uint64_t size = 1ull << (12 + 9 * (level - 1));
			w->pa = (e & PTE_ADDR & ~(size - 1)) | (va & (size - 1));
			w->global = (e & PTE_G) && (v->cr4 & CR4_PGE);
			if (!allowed(v, w, acc, user) || (w->user && (v->cr4 & CR4_PKE) && long_mode(v) && acc != ACC_EXEC &&
			    ((v->pkru >> (2 * (e >> 59 & 15)) & 1) || (acc == ACC_WRITE && (v->pkru >> (2 * (e >> 59 & 15)) & 2) && (user || (v->cr0 & CR0_WP))))))
				return allowed(v, w, acc, user) ? 0x21 : 1;
			for (int l = top - pae32; l > level; l--)
				if (mark(slots[l], values[l], PTE_A, 8) < 0)
					return -EAGAIN;
			return mark(slot, e, PTE_A | (acc == ACC_WRITE ? PTE_D : 0), 8);
		}
	}
	return 0x100;
}

static int walk32(struct vcpu *v, uint64_t va, int acc, bool (*allowed)(struct vcpu *, const struct walk *, int, bool), bool user,
		  struct walk *w)
{
	uint32_t *pde = (uint32_t *)ram_at(v->vm, (v->cr3 & 0xfffff000) + (va >> 22 & 1023) * 4), *pte;

	*w = (struct walk){ 0 };
	if (!pde || !(*pde & PTE_P))
		return 0x100;
	uint32_t d = *pde, e;
	w->user = d & PTE_U;
	w->writable = d & PTE_W;
	if ((d & PTE_PS) && (v->cr4 & CR4_PSE)) {
		w->pa = (d & 0xffc00000) | ((uint64_t)(d >> 13 & 0xff) << 32) | (va & 0x3fffff);
		w->global = (d & PTE_G) && (v->cr4 & CR4_PGE);
		if (!allowed(v, w, acc, user))
			return 1;
		return mark(pde, d, PTE_A | (acc == ACC_WRITE ? PTE_D : 0), 4);
	}
	pte = (uint32_t *)ram_at(v->vm, (d & 0xfffff000) + (va >> 12 & 1023) * 4);
	if (!pte || !((e = *pte) & PTE_P))
		return 0x100;
	w->user &= !!(e & PTE_U);
	w->writable &= !!(e & PTE_W);
	w->global = (e & PTE_G) && (v->cr4 & CR4_PGE);
	w->pa = (e & 0xfffff000) | (va & 0xfff);
	if (!allowed(v, w, acc, user))
		return 1;
	if (mark(pde, d, PTE_A, 4) < 0)
		return -EAGAIN;
	return mark(pte, e, PTE_A | (acc == ACC_WRITE ? PTE_D : 0), 4);
}

/* SDM volume 3, section 4.6: rights for supervisor- and user-mode accesses. */
static bool access_allowed(struct vcpu *v, const struct walk *w, int acc, bool user)
{
	if (user && !w->user)
		return false;
	if (acc == ACC_EXEC)
		return !((w->nx && (v->efer & EFER_NXE)) || (!user && w->user && (v->cr4 & CR4_SMEP)));
	if (!user && w->user && (v->cr4 & CR4_SMAP) && !(v->core->rflags & F_AC))
		return false;
	return acc == ACC_READ || w->writable || (!user && !(v->cr0 & CR0_WP));
}

int mmu_walk(struct vcpu *v, uint64_t va, int acc, bool user, struct mapping *ret)
{
	struct walk w;
	int r;

	if (!(v->cr0 & CR0_PG)) {
		*ret = (struct mapping){ .pa = va & 0xffffffff, .user = true };
		return 0;
	}
	do
		r = v->cr4 & CR4_PAE ? walk64(v, va, acc, access_allowed, user, &w) : walk32(v, va, acc, access_allowed, user, &w);
	while (r == -EAGAIN);
	if (r == 0) {
		*ret = (struct mapping){ .pa = w.pa, .global = w.global, .user = w.user };
		return 0;
	}
	bool fetch_bit = acc == ACC_EXEC && ((v->efer & EFER_NXE && v->cr4 & CR4_PAE) || (v->cr4 & CR4_SMEP));
	ret->fault = (r & 0x29) | (acc == ACC_WRITE ? 2 : 0) | (user ? 4 : 0) | (fetch_bit ? 16 : 0);
	return -EFAULT;
}

/* --- entries --- */

static void log_entry(struct vcpu *v, struct view *w, uint64_t idx, bool global)
{
	if (w->log_len == LOG_MAX) {
		/* too many to remember: the whole table goes */
		madvise(w->read, TABLE_BYTES, MADV_DONTNEED);
		madvise(w->write, TABLE_BYTES, MADV_DONTNEED);
		w->log_len = 0;
	}
	w->log[2 * w->log_len] = idx;
	w->log[2 * w->log_len + 1] = (uint32_t)(idx >> 32) | (global ? LOG_GLOBAL : 0);
	w->log_len++;
	v->stats.fills++;
}

static uint64_t log_index(const struct view *w, uint32_t i)
{
	return w->log[2 * i] | (uint64_t)(w->log[2 * i + 1] & ~LOG_GLOBAL) << 32;
}

static void enter_page(struct vcpu *v, struct view *w, uint64_t va, uint8_t *host, bool write, bool global)
{
	uint64_t idx = table_index(va);
	uint64_t addend = (uint64_t)(host - (va & ~PAGE_MASK)) - (va & PAGE_MASK);

	/* a zero addend means "miss": such a page (host address equal to the guest's) is served by the slow path for ever */
	if (!w->read[idx] && !w->write[idx])
		log_entry(v, w, idx, global);
	if (write)
		w->write[idx] = addend;
	w->read[idx] = addend;
}

static _noreturn_ void page_fault(struct vcpu *v, uint64_t va, uint32_t code)
{
	v->cr2 = va;
	raise_error(v, EXC_PF, code);
}

static struct view *view_for(struct vcpu *v, bool user)
{
	if (user)
		return &v->ctx->view[VIEW_USER];
	return &v->ctx->view[(v->cr4 & CR4_SMAP) && !(v->core->rflags & F_AC) ? VIEW_SUP_NOUSER : VIEW_SUP];
}

/* One page of an access: host address (NULL: not RAM), guest-physical address, whether it holds translated code. */
static uint8_t *translate(struct vcpu *v, uint64_t va, bool write, bool user, uint64_t *ret_pa, bool *ret_code)
{
	struct view *w = view_for(v, user);
	uint64_t addend = (write ? w->write : w->read)[table_index(va)];
	struct mapping m;
	uint8_t *host;

	if (addend)
		return (uint8_t *)(va + addend);
	if (mmu_walk(v, va, write ? ACC_WRITE : ACC_READ, user, &m) < 0)
		page_fault(v, va, m.fault);
	*ret_pa = m.pa;
	host = ram_at(v->vm, m.pa);
	if (!host)
		return NULL;
	if (write && v->vm->code_pages[ram_index(v->vm, m.pa)]) {
		*ret_code = true;
		enter_page(v, w, va, host, false, m.global);
	} else {
		enter_page(v, w, va, host, write, m.global);
	}
	return host;
}

static void span_make(struct vcpu *v, uint64_t va, unsigned n, bool write, bool user, struct span *s)
{
	unsigned first = PAGE_SIZE - (va & ~PAGE_MASK);

	s->code = false;
	s->len[0] = first < n ? first : n;
	s->len[1] = n - s->len[0];
	s->pa[0] = s->pa[1] = 0;
	s->host[1] = NULL;
	s->host[0] = translate(v, va, write, user, &s->pa[0], &s->code);
	if (s->len[1]) {
		uint64_t next = va + s->len[0];
		if (!long_mode(v) || v->mode != 8)
			next &= 0xffffffff;
		s->host[1] = translate(v, next, write, user, &s->pa[1], &s->code);
	}
}

void span_get(struct vcpu *v, uint64_t va, unsigned n, bool write, struct span *ret)
{
	span_make(v, va, n, write, v->core->cpl == 3, ret);
}

static void copy_bytes(void *to, const void *from, unsigned n)
{
	switch (n) {
	case 1: *(uint8_t *)to = *(const uint8_t *)from; return;
	case 2: *(uint16_t *)to = *(const uint16_t *)from; return;
	case 4: *(uint32_t *)to = *(const uint32_t *)from; return;
	case 8: *(uint64_t *)to = *(const uint64_t *)from; return;
	default: __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	}
}

static void device_read(struct vcpu *v, uint64_t pa, uint8_t *buf, unsigned n)
{
	for (unsigned i = 0, k; i < n; i += k) {
		for (k = 8; k > n - i || (pa + i) % k; k /= 2)
			;
		fpu_release(v);
		uint64_t x = v->vm->bus->memory_read(v->vm->bus_data, v->index, pa + i, k);
		copy_bytes(buf + i, &x, k);
	}
}

static void device_write(struct vcpu *v, uint64_t pa, const uint8_t *buf, unsigned n)
{
	for (unsigned i = 0, k; i < n; i += k) {
		uint64_t x = 0;
		for (k = 8; k > n - i || (pa + i) % k; k /= 2)
			;
		copy_bytes(&x, buf + i, k);
		fpu_release(v);
		v->vm->bus->memory_write(v->vm->bus_data, v->index, pa + i, k, x);
	}
}

void span_read(struct vcpu *v, const struct span *s, void *buf)
{
	for (unsigned i = 0; i < 2 && s->len[i]; i++) {
		uint8_t *p = (uint8_t *)buf + (i ? s->len[0] : 0);
		if (s->host[i])
			copy_bytes(p, s->host[i], s->len[i]);
		else
			device_read(v, s->pa[i], p, s->len[i]);
	}
}

void span_write(struct vcpu *v, const struct span *s, const void *buf)
{
	for (unsigned i = 0; i < 2 && s->len[i]; i++) {
		const uint8_t *p = (const uint8_t *)buf + (i ? s->len[0] : 0);
		if (s->host[i]) {
			copy_bytes(s->host[i], p, s->len[i]);
			if (s->code)
				cache_memory_written(v->vm->cache, s->pa[i], s->len[i]);
		} else {
			device_write(v, s->pa[i], p, s->len[i]);
		}
	}
}

static uint64_t read_as(struct vcpu *v, uint64_t va, unsigned n, bool user)
{
	uint64_t x = 0;
	struct span s;

	span_make(v, va, n, false, user, &s);
	span_read(v, &s, &x);
	return x;
}

static void write_as(struct vcpu *v, uint64_t va, unsigned n, uint64_t value, bool user)
{
	struct span s;

	span_make(v, va, n, true, user, &s);
	span_write(v, &s, &value);
}

uint64_t mem_read(struct vcpu *v, uint64_t va, unsigned n)
{
	return read_as(v, va, n, v->core->cpl == 3);
}

void mem_write(struct vcpu *v, uint64_t va, unsigned n, uint64_t value)
{
	write_as(v, va, n, value, v->core->cpl == 3);
}

/* Implicit supervisor accesses heed SMAP as if AC were clear; the tables of an operating system are never user pages. */
uint64_t mem_read_sys(struct vcpu *v, uint64_t va, unsigned n)
{
	return read_as(v, va, n, false);
}

void mem_write_sys(struct vcpu *v, uint64_t va, unsigned n, uint64_t value)
{
	write_as(v, va, n, value, false);
}

int fetch_probe(struct vcpu *v, uint64_t va, uint64_t *ret_pa, uint8_t **ret_host)
{
	bool user = v->core->cpl == 3;
	uint64_t tag = (va & PAGE_MASK) | user;
	struct itlb_entry *e = &v->itlb[(va >> PAGE_SHIFT) % ITLB_ENTRIES];
	struct mapping m;

	if (e->va != tag) {
		if (mmu_walk(v, va, ACC_EXEC, user, &m) < 0) {
			*ret_pa = m.fault;
			return -EFAULT;
		}
		e->va = tag;
		e->pa = m.pa & PAGE_MASK;
		e->host = ram_at(v->vm, e->pa);
		e->global = m.global;
	}
	*ret_pa = e->pa | (va & ~PAGE_MASK);
	*ret_host = e->host ? e->host + (va & ~PAGE_MASK) : NULL;
	return 0;
}

bool fetch_is_global(struct vcpu *v, uint64_t va)
{
	return v->itlb[(va >> PAGE_SHIFT) % ITLB_ENTRIES].global;
}

uint8_t *fetch_page(struct vcpu *v, uint64_t va, uint64_t *ret_pa)
{
	uint8_t *host;

	if (fetch_probe(v, va, ret_pa, &host) < 0)
		page_fault(v, va, *ret_pa);
	return host;
}

/* --- flushing --- */

static void flush_itlb(struct vcpu *v)
{
	for (unsigned i = 0; i < ITLB_ENTRIES; i++)
		v->itlb[i].va = ~0ull;
}

void mmu_clear_targets(struct view *w)
{
	void *p = w->targets;
	size_t n = TARGETS * sizeof(struct target) / 8;

	__asm__ volatile("rep stosq" : "+D"(p), "+c"(n) : "a"(0) : "memory");
	w->targets_used = false;
}

static void flush_view(struct view *w, bool global_too)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < w->log_len; i++) {
		if (!global_too && (w->log[2 * i + 1] & LOG_GLOBAL)) {
			w->log[2 * kept] = w->log[2 * i];
			w->log[2 * kept + 1] = w->log[2 * i + 1];
			kept++;
			continue;
		}
		uint64_t idx = log_index(w, i);
		w->read[idx] = 0;
		w->write[idx] = 0;
	}
	if (w->targets_used)
		mmu_clear_targets(w);
	w->log_len = kept;
}

void mmu_flush_context(struct vcpu *v, struct context *c, bool global_too)
{
	for (unsigned i = 0; i < VIEWS; i++)
		flush_view(&c->view[i], global_too);
	v->stats.flushes++;
	if (c == v->ctx) {
		flush_itlb(v);
		cache_mappings_changed(v);
	}
}

void mmu_flush_all(struct vcpu *v)
{
	for (unsigned i = 0; i < CONTEXTS; i++) {
		mmu_flush_context(v, &v->contexts[i], true);
		if (&v->contexts[i] != v->ctx)
			v->contexts[i].used = false;
	}
	cache_global_flush(v);
}

void mmu_flush_page(struct vcpu *v, uint64_t va, bool all_contexts)
{
	uint64_t idx = table_index(va);

	for (unsigned c = 0; c < CONTEXTS; c++) {
		if (!v->contexts[c].used || (!all_contexts && &v->contexts[c] != v->ctx))
			continue;
		for (unsigned i = 0; i < VIEWS; i++) {
			struct view *w = &v->contexts[c].view[i];
			if (w->read[idx])
				w->read[idx] = 0;
			if (w->write[idx])
				w->write[idx] = 0;
		}
	}
	cache_page_flushed(v, va);
	flush_itlb(v);
}

static struct context *context_for(struct vcpu *v, uint16_t pcid, bool *ret_fresh)
{
	struct context *oldest = &v->contexts[0];

	*ret_fresh = false;
	for (unsigned i = 0; i < CONTEXTS; i++) {
		if (v->contexts[i].used && v->contexts[i].pcid == pcid)
			return &v->contexts[i];
		if (!v->contexts[i].used)
			v->contexts[i].stamp = 0;
		if (v->contexts[i].stamp < oldest->stamp)
			oldest = &v->contexts[i];
	}
	*ret_fresh = true;
	return oldest;
}

void mmu_set_cr3(struct vcpu *v, uint64_t value)
{
	bool pcid = v->cr4 & CR4_PCIDE, fresh;
	struct context *c = context_for(v, pcid ? value & 0xfff : 0, &fresh);
	bool keep = pcid && (value >> 63);

	v->cr3 = value & ~(1ull << 63);
	c->stamp = ++v->ctx_clock;
	bool switched = c != v->ctx;
	v->ctx = c;
	if (fresh)
		mmu_flush_context(v, c, true);
	else if (!keep)
		mmu_flush_context(v, c, false);
	c->used = true;
	c->pcid = pcid ? value & 0xfff : 0;
	if (switched) {
		flush_itlb(v);
		cache_mappings_changed(v);
	}
	mmu_update_view(v);
}

void mmu_update_view(struct vcpu *v)
{
	struct core *k = v->core;
	struct view *w = v->ctx->view;

	k->user_gs = (uint64_t)w[VIEW_USER].read;
	k->user_fs = (uint64_t)w[VIEW_USER].write;
	k->sup_gs = (uint64_t)w[VIEW_SUP].read;
	k->sup_fs = (uint64_t)w[VIEW_SUP].write;
	unsigned strict = v->cr4 & CR4_SMAP ? VIEW_SUP_NOUSER : VIEW_SUP;
	k->nouser_gs = (uint64_t)w[strict].read;
	k->nouser_fs = (uint64_t)w[strict].write;
	v->view = view_for(v, k->cpl == 3);
	k->view_gs = (uint64_t)v->view->read;
	k->view_fs = (uint64_t)v->view->write;
}

void mmu_protect_page(struct vcpu *v, const uint8_t *host_page)
{
	for (unsigned c = 0; c < CONTEXTS; c++)
		for (unsigned i = 0; i < VIEWS; i++) {
			struct view *w = &v->contexts[c].view[i];
			for (uint32_t n = 0; n < w->log_len; n++) {
				uint64_t idx = log_index(w, n), page = (uint64_t)((int64_t)(idx << 28) >> 16);
				if (w->write[idx] && (const uint8_t *)(page + w->write[idx]) == host_page)
					w->write[idx] = 0;
			}
		}
}
