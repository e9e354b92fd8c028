#include "cpu/soft/cache.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/soft/block.h"
#include "cpu/soft/event.h"
#include "cpu/soft/fault.h"
#include "cpu/soft/mmu.h"

#define ARENA_BYTES (128ull << 20)
#define THUNK_MAX 256
#define MAX_BLOCKS (1u << 17)
#define MAX_RECORDS (1u << 20)
#define MAX_POINTS (1u << 21)
#define HASH (1u << 16)
#define VA_HASH (1u << 12)

struct code_cache {
	uint8_t *write, *exec; /* two mappings of one memory */
	struct emit e;
	uint8_t *first;        /* behind the stubs */
	struct stubs stubs;
	const uint8_t *indirect, *mismatch;
	uint64_t generation;
	struct soft_vm *vm;
	struct block *blocks;  /* in the order of their code */
	uint32_t block_count, record_count, point_count;
	struct exit_record *records;
	struct fault_point *points;
	struct block *hash[HASH], *by_va[VA_HASH];
	struct block **by_page; /* of RAM: blocks made from it */
	void *scratch;
	bool installed;        /* the fault handler is */
};

static int map_arena(struct code_cache *c, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, ARENA_BYTES) < 0)
		return error_sys(err, errno, "cannot create the code cache");
	c->write = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (c->write == MAP_FAILED)
		return error_sys(err, errno, "cannot map the code cache");
	c->exec = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (c->exec == MAP_FAILED)
		return error_sys(err, errno, "cannot map the code cache for execution; vm.memfd_noexec must not be 2");
	return 0;
}

static void *reserve(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int alloc_tables(struct code_cache *c, struct error *err)
{
	c->blocks = reserve(MAX_BLOCKS * sizeof(struct block));
	c->records = reserve(MAX_RECORDS * sizeof(struct exit_record));
	c->points = reserve(MAX_POINTS * sizeof(struct fault_point));
	c->by_page = reserve((c->vm->ram_pages + 1) * sizeof(struct block *));
	c->scratch = malloc(block_scratch_size());
	if (!c->blocks || !c->records || !c->points || !c->by_page || !c->scratch)
		return error_oom(err);
	c->records[0] = (struct exit_record){ .kind = EXIT_LOOKUP, .flags = FLAGS_CORE };
	c->record_count = 1;
	return 0;
}

int cache_create(struct soft_vm *vm, struct code_cache **ret, struct error *err)
{
	struct code_cache *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return error_oom(err);
	c->write = c->exec = MAP_FAILED;
	c->vm = vm;
	if ((r = map_arena(c, err)) < 0) {
		cache_free(c);
		return r;
	}
	c->e = (struct emit){ c->write, c->write + ARENA_BYTES, c->exec - c->write };
	stubs_emit(&c->e, &c->stubs);
	block_emit_stubs(&c->e, &c->stubs, &c->indirect, &c->mismatch);
	c->first = c->e.p;
	if ((r = alloc_tables(c, err)) < 0) {
		cache_free(c);
		return r;
	}
	if ((r = fault_install((uint64_t)c->exec, (uint64_t)c->exec + ARENA_BYTES, c->stubs.leave, err)) < 0) {
		cache_free(c);
		return r;
	}
	c->installed = true;
	*ret = c;
	return 0;
}

void cache_free(struct code_cache *c)
{
	if (!c)
		return;
	if (c->installed)
		fault_remove();
	if (c->blocks)
		munmap(c->blocks, MAX_BLOCKS * sizeof(struct block));
	if (c->records)
		munmap(c->records, MAX_RECORDS * sizeof(struct exit_record));
	if (c->points)
		munmap(c->points, MAX_POINTS * sizeof(struct fault_point));
	if (c->by_page)
		munmap(c->by_page, (c->vm->ram_pages + 1) * sizeof(struct block *));
	free(c->scratch);
	if (c->write != MAP_FAILED)
		munmap(c->write, ARENA_BYTES);
	if (c->exec != MAP_FAILED)
		munmap(c->exec, ARENA_BYTES);
	free(c);
}

const struct stubs *cache_stubs(const struct code_cache *c)
{
	return &c->stubs;
}

uint64_t cache_generation(const struct code_cache *c)
{
	return c->generation;
}

void *cache_make_thunk(struct code_cache *c, const struct insn *in)
{
	struct hmem m = { H_R15, H_NONE, 0, 0 };

	if (c->e.p + THUNK_MAX > c->e.end)
		cache_flush(c);
	void *code = exec_addr(&c->e);
	if (insn_has_mem(in))
		emit_core_load(&c->e, H_R15, CORE_OFF(mem_host));
	native_emit(&c->e, in, &m);
	emit_call(&c->e, c->stubs.leave);
	return code;
}

/* --- blocks --- */

static uint32_t hash_of(uint64_t va, uint64_t pa, uint32_t mode)
{
	uint64_t x = (pa ^ va << 7 ^ mode) * 0x9e3779b97f4a7c15ull;

	return x >> 48;
}

static struct block **va_bucket(struct code_cache *c, uint64_t va)
{
	return &c->by_va[(va >> PAGE_SHIFT) % VA_HASH];
}

static void reset_return_stack(struct vcpu *v)
{
	v->core->rs_rsp = v->core->rs_base;
}

static void clear_views(struct vcpu *v)
{
	for (unsigned i = 0; i < CONTEXTS; i++)
		for (unsigned j = 0; j < VIEWS; j++)
			if (v->contexts[i].view[j].targets_used)
				mmu_clear_targets(&v->contexts[i].view[j]);
}

void cache_flush(struct code_cache *c)
{
	for (uint32_t i = 0; i < c->block_count; i++) {
		uint64_t page = ram_index(c->vm, c->blocks[i].pa);
		c->by_page[page] = NULL;
		c->vm->code_pages[page] = 0;
	}
	for (unsigned i = 0; i < HASH; i++)
		c->hash[i] = NULL;
	for (unsigned i = 0; i < VA_HASH; i++)
		c->by_va[i] = NULL;
	for (unsigned i = 0; i < c->vm->vcpu_count; i++) {
		clear_views(&c->vm->vcpus[i]);
		reset_return_stack(&c->vm->vcpus[i]);
	}
	c->block_count = c->point_count = 0;
	c->record_count = 1;
	c->e.p = c->first;
	c->generation++;
}

struct block *cache_find(struct code_cache *c, uint64_t va, uint64_t pa, uint32_t mode)
{
	for (struct block *b = c->hash[hash_of(va, pa, mode)]; b; b = b->next_hash)
		if (b->va == va && b->pa == pa && b->mode == mode)
			return b;
	return NULL;
}

struct block *cache_translate(struct vcpu *v, uint64_t va, uint64_t pa, const uint8_t *host, uint32_t mode, bool global)
{
	struct code_cache *c = v->vm->cache;
	struct translation t = { &c->e, &c->stubs, c->indirect, c->mismatch, c->records, &c->record_count, c->points, &c->point_count, c->scratch };

	if (c->e.p + BLOCK_CODE_MAX > c->e.end || c->block_count == MAX_BLOCKS || c->record_count + BLOCK_RECORDS_MAX > MAX_RECORDS ||
	    c->point_count + BLOCK_POINTS_MAX > MAX_POINTS)
		cache_flush(c);
	struct block *b = &c->blocks[c->block_count];
	*b = (struct block){ .va = va, .pa = pa, .mode = mode, .global = global, .valid = true };
	if (!block_translate(&t, b, host, PAGE_SIZE - (va & ~PAGE_MASK)))
		return NULL;
	c->block_count++;
	struct block **h = &c->hash[hash_of(va, pa, mode)], **p = &c->by_page[ram_index(v->vm, pa)], **a = va_bucket(c, va);
	b->next_hash = *h;
	*h = b;
	b->next_va = *a;
	*a = b;
	if (!*p) { /* the page's first code: from now on writes to it are looked at */
		v->vm->code_pages[ram_index(v->vm, pa)] = 1;
		for (unsigned i = 0; i < v->vm->vcpu_count; i++)
			mmu_protect_page(&v->vm->vcpus[i], host - (va & ~PAGE_MASK));
	}
	b->next_page = *p;
	*p = b;
	v->stats.blocks++;
	v->stats.block_insns += b->insns;
	v->stats.code_bytes += b->code_len;
	return b;
}

uint8_t *block_entry(const struct code_cache *c, const struct block *b, bool flags_in_core)
{
	return b->code + c->e.to_exec + (flags_in_core ? b->entry_core : b->entry_hw);
}

static void aim(uint8_t *patch, const struct code_cache *c, const uint8_t *target)
{
	uint32_t rel = target - (patch + c->e.to_exec + 4);

	__atomic_store_n((uint32_t *)patch, rel, __ATOMIC_RELEASE);
}

void cache_link(struct code_cache *c, struct exit_record *r, struct block *to)
{
	if (r->linked || !r->linkable || !r->block->valid || !to->valid)
		return;
	aim(r->patch, c, block_entry(c, to, r->flags == FLAGS_CORE));
	r->linked = true;
	r->next_incoming = to->incoming;
	to->incoming = r;
}

void cache_link_indirect(struct code_cache *c, struct exit_record *r)
{
	if (r->linked || !r->linkable || !r->block->valid || c->e.p + THUNK_MAX > c->e.end)
		return;
	const uint8_t *code = exec_addr(&c->e);
	if (r->flags == FLAGS_HW || r->flags == FLAGS_BOTH)
		emit_save_flags(&c->e);
	emit_mov_imm(&c->e, H_R14, r->target);
	emit_jmp(&c->e, c->indirect);
	aim(r->patch, c, code);
	r->linked = true;
}

static void unlink_incoming(struct code_cache *c, struct block *b, bool cross_page_only)
{
	struct exit_record **at = &b->incoming;

	while (*at) {
		struct exit_record *r = *at;
		if (cross_page_only && (r->block->va ^ b->va) >> PAGE_SHIFT == 0) {
			at = &r->next_incoming;
			continue;
		}
		*at = r->next_incoming;
		r->linked = false;
		aim(r->patch, c, r->stub);
	}
}

static void forget_target(struct code_cache *c, const struct block *b)
{
	for (unsigned i = 0; i < c->vm->vcpu_count; i++)
		for (unsigned j = 0; j < CONTEXTS; j++)
			for (unsigned k = 0; k < VIEWS; k++) {
				struct target *t = &c->vm->vcpus[i].contexts[j].view[k].targets[b->va % TARGETS];
				if (t->va == b->va)
					t->va = t->host = 0;
			}
}

static void remove_from(struct block **at, const struct block *b, size_t next_offset)
{
	while (*at != b)
		at = (struct block **)((uint8_t *)*at + next_offset);
	*at = *(struct block **)((uint8_t *)b + next_offset);
}

static void invalidate(struct code_cache *c, struct block *b)
{
	unlink_incoming(c, b, false);
	forget_target(c, b);
	remove_from(&c->hash[hash_of(b->va, b->pa, b->mode)], b, offsetof(struct block, next_hash));
	remove_from(va_bucket(c, b->va), b, offsetof(struct block, next_va));
	b->valid = false;
	for (unsigned i = 0; i < c->vm->vcpu_count; i++) {
		reset_return_stack(&c->vm->vcpus[i]);
		c->vm->vcpus[i].stats.invalidated += i == 0;
	}
}

static void page_written(struct code_cache *c, uint64_t pa, uint64_t len)
{
	uint64_t page = ram_index(c->vm, pa);
	struct block **at = &c->by_page[page];

	while (*at) {
		struct block *b = *at;
		if (b->pa < pa + len && pa < b->pa + b->guest_len) {
			*at = b->next_page;
			invalidate(c, b);
		} else {
			at = &b->next_page;
		}
	}
	if (!c->by_page[page])
		c->vm->code_pages[page] = 0;
}

void cache_memory_written(struct code_cache *c, uint64_t pa, uint64_t len)
{
	while (len) {
		uint64_t n = PAGE_SIZE - (pa & ~PAGE_MASK);
		n = n < len ? n : len;
		if (ram_at(c->vm, pa) && c->vm->code_pages[ram_index(c->vm, pa)])
			page_written(c, pa, n);
		pa += n;
		len -= n;
	}
}

/* --- changes of address space --- */

void cache_mappings_changed(struct vcpu *v)
{
	v->map_epoch++;
	reset_return_stack(v);
}

/* Unlinks what jumps into B's page from others, if that page is elsewhere now. */
static void recheck(struct vcpu *v, struct block *b)
{
	uint64_t pa;
	uint8_t *host;

	if (!b->incoming || b->mode & BLOCK_USER)
		return;
	if (v->core->cpl == 3 || fetch_probe(v, b->va, &pa, &host) < 0 || pa != b->pa)
		unlink_incoming(v->vm->cache, b, true);
}

void cache_page_flushed(struct vcpu *v, uint64_t va)
{
	struct code_cache *c = v->vm->cache;
	bool any = false;

	for (struct block *b = *va_bucket(c, va); b; b = b->next_va) {
		if ((b->va ^ va) >> PAGE_SHIFT)
			continue;
		any = true;
		forget_target(c, b);
		recheck(v, b);
	}
	v->map_epoch++;
	if (any)
		reset_return_stack(v);
}

void cache_global_flush(struct vcpu *v)
{
	struct code_cache *c = v->vm->cache;

	for (uint32_t i = 0; i < c->block_count; i++)
		if (c->blocks[i].valid)
			recheck(v, &c->blocks[i]);
	cache_mappings_changed(v);
}

void cache_privilege_changed(struct vcpu *v)
{
	reset_return_stack(v);
}

void cache_attach(struct vcpu *v)
{
	/* an entry that no guest return address equals by accident, and whose host side is safe if one does */
	uint64_t *base = (uint64_t *)v->core->rs_base;

	base[0] = (uint64_t)v->vm->cache->mismatch;
	base[1] = 0x8000deadbeef0000ull;
	reset_return_stack(v);
}

/* --- what an exit was --- */

struct exit_record *cache_exit(struct code_cache *c, const struct core *k)
{
	uint32_t n = *(const uint32_t *)k->exit_ra;

	return &c->records[n < c->record_count ? n : 0];
}

const struct fault_point *cache_fault_point(struct code_cache *c, uint64_t rip, struct block **ret)
{
	uint32_t lo = 0, hi = c->block_count;
	const uint8_t *at = (const uint8_t *)rip - c->e.to_exec;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		struct block *b = &c->blocks[mid];
		if (at < b->code) {
			hi = mid;
		} else if (at >= b->code + b->code_len) {
			lo = mid + 1;
		} else {
			const struct fault_point *best = NULL;
			for (uint32_t i = b->first_point; i < b->first_point + b->points && b->code + c->points[i].host_off <= at; i++)
				best = &c->points[i];
			*ret = b;
			return best;
		}
	}
	return NULL;
}
