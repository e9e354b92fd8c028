#include <string.h>
#include <sys/mman.h>

#include "wasm/runtime/runtime.h"

bool wasm_memory_check(const struct wasm_memory_inst *m, uint64_t addr, uint64_t len)
{
	uint64_t size = atomic_load_explicit(&m->size, memory_order_relaxed);

	return addr <= size && len <= size - addr;
}

static uint64_t max_bytes(const struct wasm_memory_type *t)
{
	uint64_t pages = t->limits.is64 ? 1ull << 32 : 1ull << 16; /* of 64-bit memories 2^48 bytes: what a process can map */

	if (t->limits.has_max && t->limits.max < pages)
		pages = t->limits.max;
	return pages * WASM_PAGE;
}

/* Address space: all of what a 32-bit address can reach; for 64-bit memories what they may grow to, when that is little. */
static uint64_t reservation(const struct wasm_memory_type *t)
{
	uint64_t max = max_bytes(t), min = t->limits.min * WASM_PAGE;

	if (!t->limits.is64)
		return WASM_RESERVE_32;
	if (max <= WASM_RESERVE_32 || t->limits.shared)
		return max;
	return min > WASM_RESERVE_32 / 2 ? min * 2 : WASM_RESERVE_32;
}

static int track(struct wasm_store *store, struct wasm_memory_inst *m, struct error *err)
{
	struct wasm_memory_inst **v = realloc(store->memories, (store->n_memories + 1) * sizeof(*v));

	if (!v)
		return error_oom(err);
	store->memories = v;
	v[store->n_memories++] = m;
	return 0;
}

int wasm_memory_new(struct wasm_store *store, struct wasm_memory_type type, struct wasm_memory_inst **ret, struct error *err)
{
	uint64_t min = type.limits.min * WASM_PAGE, reserved = reservation(&type);
	struct wasm_memory_inst *m;
	void *p;

	if (type.limits.min > 1ull << 32 || min > store->limits.memory_bytes - store->memory_bytes)
		return error_set(err, ENOMEM, "memory of %llu pages does not fit under the limit of %llu bytes of all memories",
				 (unsigned long long)type.limits.min, (unsigned long long)store->limits.memory_bytes);
	m = calloc(1, sizeof(*m));
	if (!m)
		return error_oom(err);
	p = mmap(NULL, reserved + WASM_GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED || (min && mprotect(p, min, PROT_READ | PROT_WRITE) < 0)) {
		int r = error_sys(err, errno, "cannot reserve %llu bytes of address space for a memory",
				  (unsigned long long)reserved);

		if (p != MAP_FAILED)
			munmap(p, reserved + WASM_GUARD);
		free(m);
		return r;
	}
	m->base = p;
	m->size = min;
	m->type = type;
	m->reserved = reserved;
	m->movable = type.limits.is64 && reserved < max_bytes(&type);
	m->refs = 1;
	if (track(store, m, err) < 0) {
		wasm_memory_unref(m);
		return -ENOMEM;
	}
	store->memory_bytes += min;
	*ret = m;
	return 0;
}

void wasm_memory_unref(struct wasm_memory_inst *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
		return;
	munmap(m->base, m->reserved + WASM_GUARD);
	free(m);
}

/* A 64-bit memory that outgrows its reservation moves to one twice as large. */
static int move(struct wasm_store *store, struct wasm_memory_inst *m, uint64_t size)
{
	uint64_t reserved = size * 2;
	uint8_t *p = mmap(NULL, reserved + WASM_GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	if (m->size && mremap(m->base, m->size, m->size, MREMAP_MAYMOVE | MREMAP_FIXED, p) == MAP_FAILED) {
		munmap(p, reserved + WASM_GUARD);
		return -ENOMEM;
	}
	munmap(m->base + m->size, m->reserved + WASM_GUARD - m->size);
	for (struct wasm_instance *i = store->instances; i; i = i->next)
		if (i->memory0 == m->base)
			i->memory0 = p;
	m->base = p;
	m->reserved = reserved;
	return 0;
}

int64_t wasm_memory_grow(struct wasm_store *store, struct wasm_memory_inst *m, uint64_t pages)
{
	uint64_t old = atomic_load(&m->size), size, bytes;

	do {
		if (__builtin_mul_overflow(pages, WASM_PAGE, &bytes) || __builtin_add_overflow(old, bytes, &size) ||
		    size > max_bytes(&m->type))
			return -1;
		if (bytes > store->limits.memory_bytes || store->memory_bytes > store->limits.memory_bytes - bytes)
			return -1;
		if (!pages)
			return (int64_t)(old / WASM_PAGE);
		if (size > m->reserved && (m->type.limits.shared || move(store, m, size) < 0))
			return -1;
		if (mprotect(m->base + old, bytes, PROT_READ | PROT_WRITE) < 0)
			return -1;
	} while (!atomic_compare_exchange_strong(&m->size, &old, size)); /* shared: another thread may have grown it */
	store->memory_bytes += bytes;
	return (int64_t)(old / WASM_PAGE);
}
