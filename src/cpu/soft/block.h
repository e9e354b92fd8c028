/*
 * A block: host code for guest instructions that follow each other in one page of 64-bit code. The guest's arithmetic
 * flags are in hardware while possible; a block has one entry for flags in hardware and one for flags in the core.
 */
#pragma once

#include "cpu/soft/cache.h"

enum block_mode {
	BLOCK_USER = 1,   /* CPL 3 */
	BLOCK_NO_FPU = 2, /* x87 and SSE instructions raise exceptions: CR0.EM, CR0.TS or no CR4.OSFXSR */
	BLOCK_NO_TSC = 4, /* RDTSC faults: CR4.TSD at CPL 3 */
};

#define BLOCK_INSNS 64

/* Where the guest's arithmetic flags are at some point of a block. */
enum flags_place { FLAGS_HW, FLAGS_CORE, FLAGS_BOTH, FLAGS_DEAD };

#define NO_RESUME UINT32_MAX

/* One way out of translated code; the index follows the call of the leave stub. */
struct exit_record {
	struct block *block;
	uint64_t target;     /* EXIT_LINK, EXIT_KICK: guest address where execution goes on */
	uint8_t *patch;      /* EXIT_LINK: the 32-bit displacement that leads here, in the writable mapping */
	uint8_t *stub;       /* EXIT_LINK: this exit's code, in the executable mapping */
	struct exit_record *next_incoming; /* of the block that it is linked to */
	uint32_t resume;     /* EXIT_SLOW: offset in the block's code, or NO_RESUME */
	uint16_t guest_off;  /* of the instruction */
	uint8_t kind, flags; /* enum exit_kind, enum flags_place */
	bool linkable, linked;
};

/* Host offset to guest offset, for instructions that may fault natively. */
struct fault_point {
	uint32_t host_off;
	uint16_t guest_off;
	uint8_t flags;
	uint8_t swapped; /* as native_emit() returned */
};

struct block {
	uint64_t va, pa;
	uint32_t mode;
	bool valid, global, flags_live; /* global: its page's mapping; flags_live: on entry */
	uint8_t *code;                  /* start, in the writable mapping */
	uint32_t code_len, entry_core, entry_hw;
	uint16_t guest_len, insns;
	uint32_t first_point, points;
	struct exit_record *incoming;   /* exits that jump here directly */
	struct block *next_hash, *next_page, *next_va;
};

/* What the translator writes into; all of the cache's. */
struct translation {
	struct emit *e;
	const struct stubs *stubs;
	const uint8_t *indirect; /* stub: jump to the guest address in r14 */
	const uint8_t *mismatch; /* the same, for returns that the return stack did not foresee */
	struct exit_record *records;
	uint32_t *record_count;
	struct fault_point *points;
	uint32_t *point_count;
	void *scratch;           /* block_scratch_size() bytes */
};

/*
 * Translates what is at B->va, of which the host sees AVAIL bytes (to the end of the page) at BYTES, for B->mode. Fills
 * the rest of B. False: nothing could be translated there.
 */
bool block_translate(const struct translation *t, struct block *b, const uint8_t *bytes, unsigned avail);

size_t block_scratch_size(void);

/* The most that one block can take of code bytes, records and points. */
#define BLOCK_CODE_MAX (64u * 1024)
#define BLOCK_RECORDS_MAX (8u * BLOCK_INSNS)
#define BLOCK_POINTS_MAX (4u * BLOCK_INSNS)

/* The indirect-branch stubs; record 0 must be the EXIT_LOOKUP one. */
void block_emit_stubs(struct emit *e, const struct stubs *stubs, const uint8_t **ret_indirect, const uint8_t **ret_mismatch);

/* --- the cache's side, for the dispatcher --- */

void cache_flush(struct code_cache *c);
struct block *cache_find(struct code_cache *c, uint64_t va, uint64_t pa, uint32_t mode);
/* Makes a block; NULL when nothing can be translated there. May flush the whole cache. */
struct block *cache_translate(struct vcpu *v, uint64_t va, uint64_t pa, const uint8_t *host, uint32_t mode, bool global);
uint8_t *block_entry(const struct code_cache *c, const struct block *b, bool flags_in_core);
/* From now on R jumps to TO directly. */
void cache_link(struct code_cache *c, struct exit_record *r, struct block *to);
/* Or by way of the target cache, since what R's target means depends on the address space. */
void cache_link_indirect(struct code_cache *c, struct exit_record *r);
struct exit_record *cache_exit(struct code_cache *c, const struct core *k);
/* The instruction whose host code RIP is in; NULL: it is none that may fault. */
const struct fault_point *cache_fault_point(struct code_cache *c, uint64_t rip, struct block **ret);
