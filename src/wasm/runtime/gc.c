/*
 * The collected heap: mark and sweep, nothing moves. Objects are traced exactly; the machine stack is scanned for
 * anything that looks like an object's address, so that compilers need no stack maps and hand-written helpers no rooting.
 */
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>

#include "wasm/runtime/call.h"
#include "wasm/runtime/runtime.h"

#define BLOCK (64u << 10)
#define MAX_SMALL 8192u
#define N_CLASSES 32
#define FIRST_THRESHOLD (32ull << 20)

struct block {
	uint32_t cell;     /* bytes; 0: free; BLOCK and more: the first block of a large object */
	uint32_t tail;     /* number of blocks before this one that belong to the same large object */
	uint64_t *allocated, *marked; /* bits, one per cell */
};

struct cell {
	struct cell *next;
};

struct wasm_heap_space {
	uint8_t *base;
	size_t reserved;
	struct block *blocks;
	uint32_t n_blocks, used_blocks; /* all, and those ever used */
	struct cell *free[N_CLASSES];
	uint64_t live, since, threshold; /* bytes */
	struct wasm_object **stack;
	size_t n_stack, cap_stack;
	bool overflow; /* the mark stack could not grow: nothing may be freed */
};

static const uint16_t classes[N_CLASSES] = {
	16,  32,  48,  64,  80,  96,  112, 128,	 160,  192,  224,  256,	 320,  384,  448,  512,
	640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
};

static unsigned class_of(uint64_t size)
{
	unsigned c = 0;

	while (classes[c] < size)
		c++;
	return c;
}

static struct wasm_heap_space *heap_new(uint64_t limit)
{
	struct wasm_heap_space *h = calloc(1, sizeof(*h));
	void *p;

	if (!h)
		return NULL;
	h->reserved = (MAX(limit, (uint64_t)BLOCK * 16) + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
	h->n_blocks = (uint32_t)(h->reserved / BLOCK);
	p = mmap(NULL, h->reserved + BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	h->blocks = p == MAP_FAILED ? NULL : calloc(h->n_blocks, sizeof(*h->blocks));
	if (!h->blocks) {
		if (p != MAP_FAILED)
			munmap(p, h->reserved + BLOCK);
		free(h);
		return NULL;
	}
	h->base = p;
	h->threshold = FIRST_THRESHOLD;
	return h;
}

static void block_release(struct wasm_heap_space *h, uint32_t i)
{
	free(h->blocks[i].allocated);
	free(h->blocks[i].marked);
	h->blocks[i] = (struct block){ 0 };
	madvise(h->base + (size_t)i * BLOCK, BLOCK, MADV_DONTNEED);
}

void wasm_gc_free(struct wasm_heap_space *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->used_blocks; i++) {
		free(h->blocks[i].allocated);
		free(h->blocks[i].marked);
	}
	munmap(h->base, h->reserved + BLOCK);
	free(h->blocks);
	free(h->stack);
	free(h);
}

/* The first of N free blocks in a row, or n_blocks. */
static uint32_t find_blocks(const struct wasm_heap_space *h, uint32_t n)
{
	uint32_t run = 0;

	for (uint32_t i = 0; i < h->n_blocks; i++) {
		run = h->blocks[i].cell || h->blocks[i].tail ? 0 : run + 1;
		if (run == n)
			return i + 1 - n;
	}
	return h->n_blocks;
}

static bool block_init(struct wasm_heap_space *h, uint32_t i, uint32_t cell, uint32_t n_cells)
{
	struct block *b = &h->blocks[i];
	size_t words = (n_cells + 63) / 64;

	b->allocated = calloc(words, sizeof(*b->allocated));
	b->marked = calloc(words, sizeof(*b->marked));
	if (!b->allocated || !b->marked) {
		free(b->allocated);
		free(b->marked);
		*b = (struct block){ 0 };
		return false;
	}
	b->cell = cell;
	h->used_blocks = MAX(h->used_blocks, i + 1);
	return true;
}

static bool add_small_block(struct wasm_heap_space *h, unsigned c)
{
	uint32_t i = find_blocks(h, 1), n = BLOCK / classes[c];
	uint8_t *p = h->base + (size_t)i * BLOCK;

	if (i == h->n_blocks || !block_init(h, i, classes[c], n))
		return false;
	for (uint32_t k = n; k-- > 0;) {
		struct cell *cell = (struct cell *)(p + (size_t)k * classes[c]);

		cell->next = h->free[c];
		h->free[c] = cell;
	}
	return true;
}

static void *alloc_small(struct wasm_heap_space *h, uint64_t size)
{
	unsigned c = class_of(size);
	struct cell *cell;
	size_t at;
	struct block *b;

	if (!h->free[c] && !add_small_block(h, c))
		return NULL;
	cell = h->free[c];
	h->free[c] = cell->next;
	at = (size_t)((uint8_t *)cell - h->base);
	b = &h->blocks[at / BLOCK];
	at = at % BLOCK / b->cell;
	b->allocated[at / 64] |= 1ull << (at % 64);
	memset(cell, 0, b->cell);
	h->since += b->cell;
	return cell;
}

static void *alloc_large(struct wasm_heap_space *h, uint64_t size)
{
	uint64_t n = (size + BLOCK - 1) / BLOCK;
	uint32_t i = n > h->n_blocks ? h->n_blocks : find_blocks(h, (uint32_t)n);

	if (i == h->n_blocks || !block_init(h, i, (uint32_t)MIN(n * BLOCK, (uint64_t)UINT32_MAX), 1))
		return NULL;
	h->blocks[i].allocated[0] = 1;
	for (uint32_t k = 1; k < n; k++)
		h->blocks[i + k].tail = k;
	h->used_blocks = MAX(h->used_blocks, i + (uint32_t)n);
	h->since += n * BLOCK;
	return h->base + (size_t)i * BLOCK; /* fresh or given back with madvise: zero */
}

struct wasm_object *wasm_gc_alloc(struct wasm_store *store, enum wasm_object_kind kind, uint32_t type, uint64_t data_bytes)
{
	uint64_t size = sizeof(struct wasm_object) + data_bytes;
	struct wasm_object *o;

	if (!store->heap)
		store->heap = heap_new(store->limits.heap_bytes);
	if (!store->heap || data_bytes > store->limits.heap_bytes)
		return NULL;
	if (store->heap->since > store->heap->threshold)
		wasm_gc_collect(store);
	o = size <= MAX_SMALL ? alloc_small(store->heap, size) : alloc_large(store->heap, size);
	if (!o) {
		wasm_gc_collect(store);
		o = size <= MAX_SMALL ? alloc_small(store->heap, size) : alloc_large(store->heap, size);
	}
	if (!o)
		return NULL;
	o->type = type;
	o->kind = kind;
	return o;
}

/* ---- mark ---- */

/* Marks what BITS points to, if it is the address of an object. */
static void mark(struct wasm_heap_space *h, uint64_t bits)
{
	uint64_t at = bits - (uint64_t)(uintptr_t)h->base;
	uint64_t cell;
	struct block *b;

	if (at >= (uint64_t)h->used_blocks * BLOCK)
		return;
	b = &h->blocks[at / BLOCK];
	if (!b->cell)
		return;
	cell = b->cell >= BLOCK ? 0 : at % BLOCK / b->cell;
	if (at % BLOCK != cell * (b->cell >= BLOCK ? 0 : b->cell) || !(b->allocated[cell / 64] >> (cell % 64) & 1) ||
	    b->marked[cell / 64] >> (cell % 64) & 1)
		return;
	b->marked[cell / 64] |= 1ull << (cell % 64);
	if (h->n_stack == h->cap_stack) {
		size_t cap = h->cap_stack ? h->cap_stack * 2 : 1024;
		struct wasm_object **v = realloc(h->stack, cap * sizeof(*v));

		if (!v) {
			h->overflow = true;
			return;
		}
		h->stack = v;
		h->cap_stack = cap;
	}
	h->stack[h->n_stack++] = (struct wasm_object *)(uintptr_t)bits;
}

static void mark_words(struct wasm_heap_space *h, const void *p, size_t bytes)
{
	for (size_t i = 0; i + 8 <= bytes; i += 8) {
		uint64_t w;

		memcpy(&w, (const uint8_t *)p + i, 8);
		mark(h, w);
	}
}

static void trace(struct wasm_heap_space *h, const struct wasm_object *o)
{
	const struct wasm_typedef *t = o->kind == WASM_OBJECT_HOST ? NULL : wasm_typedef_get(o->type);
	const uint8_t *data = WASM_OBJECT_DATA(o);

	switch (o->kind) {
	case WASM_OBJECT_STRUCT:
		for (uint32_t i = 0; i < t->n_fields; i++)
			if (wasm_is_ref(t->fields[i].type))
				mark_words(h, data + t->offsets[i], 8);
		break;
	case WASM_OBJECT_ARRAY:
		if (wasm_is_ref(t->fields[0].type))
			mark_words(h, data, (size_t)o->length * 8);
		break;
	case WASM_OBJECT_EXCEPTION:
		mark_words(h, data, t->n_params * sizeof(union wasm_value));
		break;
	default:
		break;
	}
}

__attribute__((no_sanitize("address"))) static void mark_stack(struct wasm_heap_space *h, const struct wasm_store *store)
{
	const struct wasm_enter_frame *f = store->exec.frames;
	const uint64_t *p = __builtin_frame_address(0), *top = p;

	/* From here to the outermost entry from C; without one only this thread's own callers, who hold nothing. */
	for (; f; f = f->outer)
		top = (const uint64_t *)(uintptr_t)MAX(f->sp, (uint64_t)(uintptr_t)(f + 1));
	for (; p < top; p++)
		mark(h, *p);
}

static void mark_roots(struct wasm_store *store)
{
	struct wasm_heap_space *h = store->heap;
	jmp_buf registers;

	setjmp(registers);
	mark_words(h, registers, sizeof(registers));
	mark_stack(h, store);
	mark_words(h, store->exec.results, sizeof(store->exec.results));
	mark(h, (uint64_t)(uintptr_t)store->exec.exception);
	for (size_t i = 0; i < store->n_globals; i++)
		mark_words(h, store->globals[i]->cell, 8);
	for (size_t i = 0; i < store->n_tables; i++)
		mark_words(h, store->tables[i]->elems, store->tables[i]->size * 8);
	for (struct wasm_instance *i = store->instances; i; i = i->next)
		for (uint32_t k = 0; k < i->module->n_elems; k++)
			if (i->elem_values[k])
				mark_words(h, i->elem_values[k], (size_t)i->module->elems[k].n * 8);
}

/* ---- sweep ---- */

static void sweep_small(struct wasm_heap_space *h, uint32_t i)
{
	struct block *b = &h->blocks[i];
	uint32_t n = BLOCK / b->cell;
	unsigned c = class_of(b->cell);
	bool empty = true;

	for (uint32_t w = 0; w < (n + 63) / 64; w++) {
		b->allocated[w] = b->marked[w];
		b->marked[w] = 0;
		empty &= !b->allocated[w];
	}
	if (empty) {
		block_release(h, i);
		return;
	}
	for (uint32_t k = 0; k < n; k++) {
		struct cell *cell = (struct cell *)(h->base + (size_t)i * BLOCK + (size_t)k * b->cell);

		if (b->allocated[k / 64] >> (k % 64) & 1) {
			h->live += b->cell;
		} else {
			cell->next = h->free[c];
			h->free[c] = cell;
		}
	}
}

static void sweep(struct wasm_heap_space *h)
{
	memset(h->free, 0, sizeof(h->free));
	h->live = 0;
	for (uint32_t i = 0; i < h->used_blocks; i++) {
		struct block *b = &h->blocks[i];

		if (!b->cell)
			continue;
		if (b->cell < BLOCK) {
			sweep_small(h, i);
		} else if (b->marked[0]) {
			b->marked[0] = 0;
			h->live += b->cell;
		} else {
			uint32_t k = i + 1;

			block_release(h, i);
			while (k < h->n_blocks && h->blocks[k].tail)
				block_release(h, k++);
		}
	}
}

void wasm_gc_collect(struct wasm_store *store)
{
	struct wasm_heap_space *h = store->heap;

	if (!h || store->gc_paused)
		return;
	h->overflow = false;
	h->n_stack = 0;
	mark_roots(store);
	while (h->n_stack)
		trace(h, h->stack[--h->n_stack]);
	if (h->overflow) {
		for (uint32_t i = 0; i < h->used_blocks; i++)
			if (h->blocks[i].cell)
				memset(h->blocks[i].marked, 0,
				       h->blocks[i].cell >= BLOCK ? 8 : (BLOCK / h->blocks[i].cell + 63) / 64 * 8);
		return;
	}
	sweep(h);
	h->since = 0;
	h->threshold = MAX(FIRST_THRESHOLD, h->live);
}

/* ---- references ---- */

static bool object_matches(const struct wasm_object *o, wasm_heap heap)
{
	if (o->kind == WASM_OBJECT_EXCEPTION)
		return heap == WASM_HEAP_EXN;
	if (o->kind == WASM_OBJECT_HOST)
		return heap == WASM_HEAP_ANY || heap == WASM_HEAP_EXTERN;
	return heap == WASM_HEAP_EXTERN || wasm_heap_subtype(o->type, heap);
}

bool wasm_ref_matches(wasm_ref_bits ref, wasm_type t)
{
	wasm_heap heap = wasm_heap_of(t);

	if (!ref)
		return wasm_is_nullable(t);
	if (wasm_heap_top(heap) == WASM_HEAP_FUNC)
		return wasm_heap_subtype(((const struct wasm_funcref *)(uintptr_t)ref)->type, heap);
	if (ref & 1)
		return heap == WASM_HEAP_EXTERN || wasm_heap_subtype(WASM_HEAP_I31, heap);
	return object_matches((const struct wasm_object *)(uintptr_t)ref, heap);
}

wasm_ref_bits wasm_host_ref(struct wasm_store *store, void *p)
{
	struct wasm_object *o = wasm_gc_alloc(store, WASM_OBJECT_HOST, 0, 0);

	if (!o)
		return 0;
	o->host = p;
	return (wasm_ref_bits)(uintptr_t)o;
}
