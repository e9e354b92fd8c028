#include "wasm/runtime/code.h"

#include <string.h>
#include <sys/mman.h>

#include "wasm/baseline/baseline.h"
#include "wasm/runtime/call.h"
#include "wasm/runtime/slow.h"

#define STUB_BYTES 24u /* thunk (6) and lazy entry (11) */
#define THUNK_BYTES 8u
#define MAX_REGIONS 65536u

/* Regions for the signal handler, which takes no lock: slots are set and cleared atomically. */
static struct wasm_code *_Atomic regions[MAX_REGIONS];
static _Atomic uint32_t n_regions;
static pthread_mutex_t regions_lock = PTHREAD_MUTEX_INITIALIZER;

static int add_region(struct wasm_code *code, struct error *err)
{
	uint32_t n, i;
	int r = 0;

	pthread_mutex_lock(&regions_lock);
	n = atomic_load(&n_regions);
	for (i = 0; i < n && atomic_load(&regions[i]); i++)
		;
	if (i == MAX_REGIONS) {
		r = error_set(err, EMFILE, "more than %u modules are loaded", MAX_REGIONS);
	} else {
		atomic_store(&regions[i], code);
		if (i == n)
			atomic_store(&n_regions, n + 1);
	}
	pthread_mutex_unlock(&regions_lock);
	return r;
}

static void remove_region(struct wasm_code *code)
{
	uint32_t n = atomic_load(&n_regions);

	for (uint32_t i = 0; i < n; i++)
		if (atomic_load(&regions[i]) == code)
			atomic_store(&regions[i], NULL);
}

static const struct wasm_code_func *find_func(const struct wasm_code *code, uint32_t pc)
{
	uint32_t lo = 0, hi = atomic_load_explicit(&code->n_funcs, memory_order_acquire);

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (code->funcs[mid]->end <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == atomic_load_explicit(&code->n_funcs, memory_order_acquire) || pc < code->funcs[lo]->start)
		return NULL;
	return code->funcs[lo];
}

const struct wasm_code_func *wasm_code_find(const void *pc, struct wasm_code **ret_code)
{
	uint32_t n = atomic_load(&n_regions);

	for (uint32_t i = 0; i < n; i++) {
		struct wasm_code *code = atomic_load(&regions[i]);

		if (!code || (const uint8_t *)pc < code->region || (const uint8_t *)pc >= code->region + code->reserved)
			continue;
		if (ret_code)
			*ret_code = code;
		return find_func(code, (uint32_t)((const uint8_t *)pc - code->region));
	}
	return NULL;
}

const struct wasm_code_site *wasm_code_site_at(const struct wasm_code_func *f, uint32_t pc)
{
	uint32_t lo = 0, hi = f->n_sites;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (f->sites[mid].pc < pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->n_sites && f->sites[lo].pc == pc ? &f->sites[lo] : NULL;
}

const void *wasm_code_thunk(const struct wasm_code *code, uint32_t func)
{
	return code->region + code->head_size + (size_t)func * STUB_BYTES;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* "jmp [rip + disp32]" at region offset AT, to the pointer in head slot SLOT. */
static void put_jump(struct wasm_code *code, uint32_t at, uint32_t slot)
{
	uint8_t *p = code->writable + (at - code->head_size);

	p[0] = 0xff;
	p[1] = 0x25;
	put32(p + 2, slot - (at + 6));
}

static void write_stubs(struct wasm_code *code)
{
	uint64_t *entries = (uint64_t *)(code->region + wasm_code_entry_slot(0));

	for (uint32_t i = 0; i < code->module->n_funcs; i++) {
		uint32_t thunk = (uint32_t)code->head_size + i * STUB_BYTES, lazy = thunk + THUNK_BYTES;
		uint8_t *p = code->writable + (lazy - code->head_size);

		put_jump(code, thunk, wasm_code_entry_slot(i));
		p[0] = 0xb8; /* mov eax, i */
		put32(p + 1, i);
		put_jump(code, lazy + 5, wasm_code_helper_slot(WASM_HELPER_LAZY));
		entries[i] = (uint64_t)(uintptr_t)(code->region + lazy);
	}
}

static void write_helpers(struct wasm_code *code)
{
	const void **slots = (const void **)code->region;

	slots[WASM_HELPER_LAZY] = wasm_lazy_entry;
	slots[WASM_HELPER_SLOW] = wasm_slow_ops;
	slots[WASM_HELPER_TRAP] = wasm_helper_trap;
	slots[WASM_HELPER_THROW] = wasm_helper_throw;
	slots[WASM_HELPER_RETHROW] = wasm_helper_rethrow;
	slots[WASM_HELPER_FUNC_REF] = wasm_helper_func_ref;
	slots[WASM_HELPER_SIGNATURE] = wasm_helper_signature;
	slots[WASM_HELPER_CHECKPOINT] = wasm_helper_checkpoint;
}

static int map_region(struct wasm_code *code, struct error *err)
{
	size_t code_size = code->reserved - code->head_size;
	void *p;

	code->fd = memfd_create("wasm-code", MFD_CLOEXEC);
	if (code->fd < 0 || ftruncate(code->fd, (off_t)code_size) < 0)
		return error_sys(err, errno, "cannot make memory for compiled code");
	p = mmap(NULL, code->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return error_sys(err, errno, "cannot reserve %zu bytes for compiled code", code->reserved);
	code->region = p;
	if (mmap(p, code->head_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mmap(code->region + code->head_size, code_size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, code->fd, 0) ==
		    MAP_FAILED)
		return error_sys(err, errno, "cannot map memory for compiled code");
	p = mmap(NULL, code_size, PROT_READ | PROT_WRITE, MAP_SHARED, code->fd, 0);
	if (p == MAP_FAILED)
		return error_sys(err, errno, "cannot map memory for compiled code");
	code->writable = p;
	return 0;
}

static size_t page_up(size_t n)
{
	return (n + 4095) & ~(size_t)4095;
}

int wasm_code_new(struct wasm_module *module, struct wasm_code **ret, struct error *err)
{
	struct wasm_code *code = calloc(1, sizeof(*code));
	size_t stubs = (size_t)module->n_funcs * STUB_BYTES;
	int r;

	if (!code)
		return error_oom(err);
	wasm_trap_install();
	code->refs = 1;
	code->module = module;
	code->fd = -1;
	pthread_mutex_init(&code->lock, NULL);
	code->head_size = page_up(wasm_code_entry_slot(module->n_funcs));
	/* The baseline makes some ten bytes of one; what a hostile module gets beyond that fails cleanly. */
	code->reserved = page_up(code->head_size + stubs + module->size * 40 + (1u << 20));
	if (code->reserved > 2047ull << 20)
		code->reserved = 2047ull << 20;
	code->used = code->head_size + stubs;
	r = map_region(code, err);
	if (r >= 0)
		r = add_region(code, err);
	if (r < 0) {
		wasm_code_unref(code);
		return r;
	}
	write_helpers(code);
	write_stubs(code);
	*ret = code;
	return 0;
}

struct wasm_code *wasm_code_ref(struct wasm_code *code)
{
	atomic_fetch_add(&code->refs, 1);
	return code;
}

void wasm_code_unref(struct wasm_code *code)
{
	if (!code || atomic_fetch_sub(&code->refs, 1) != 1)
		return;
	remove_region(code);
	for (uint32_t i = 0; i < code->n_funcs; i++) {
		free(code->funcs[i]->sites);
		free(code->funcs[i]->handlers);
		free(code->funcs[i]);
	}
	free(code->funcs);
	if (code->region)
		munmap(code->region, code->reserved);
	if (code->writable)
		munmap(code->writable, code->reserved - code->head_size);
	safe_close(code->fd);
	pthread_mutex_destroy(&code->lock);
	free(code);
}

uint32_t wasm_code_next(const struct wasm_code *code)
{
	return (uint32_t)((code->used + 15) & ~(size_t)15);
}

int wasm_code_publish(struct wasm_code *code, const uint8_t *bytes, size_t len, struct wasm_code_func *f, struct error *err)
{
	uint32_t at = wasm_code_next(code), n = code->n_funcs;
	_Atomic uint64_t *entry = (_Atomic uint64_t *)(code->region + wasm_code_entry_slot(f->func));

	if (len > code->reserved - at)
		return error_set(err, E2BIG, "no room for the machine code of function %u", f->func);
	if (!code->funcs) {
		code->cap_funcs = code->module->n_funcs - code->module->n_imported_funcs;
		code->funcs = calloc(code->cap_funcs + 1, sizeof(*code->funcs)); /* never moves: readers take no lock */
	}
	if (!code->funcs || n >= code->cap_funcs)
		return error_oom(err);
	memcpy(code->writable + (at - code->head_size), bytes, len);
	f->start = at;
	f->end = at + (uint32_t)len;
	code->used = f->end;
	code->funcs[n] = f;
	atomic_store_explicit(&code->n_funcs, n + 1, memory_order_release);
	atomic_store_explicit(entry, (uint64_t)(uintptr_t)(code->region + at), memory_order_release);
	return 0;
}

static bool is_compiled(struct wasm_code *code, uint32_t index, const void **ret)
{
	uint64_t entry = atomic_load((_Atomic uint64_t *)(code->region + wasm_code_entry_slot(index)));
	const uint8_t *lazy = (const uint8_t *)wasm_code_thunk(code, index) + THUNK_BYTES;

	*ret = (const void *)(uintptr_t)entry;
	return *ret != lazy;
}

int wasm_code_compile(struct wasm_code *code, uint32_t index, const void **ret, struct error *err)
{
	int r = wasm_module_validate_func(code->module, index, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&code->lock);
	if (!is_compiled(code, index, ret)) {
		r = wasm_baseline_compile(code, index, err);
		if (r >= 0)
			is_compiled(code, index, ret);
	}
	pthread_mutex_unlock(&code->lock);
	return r;
}
