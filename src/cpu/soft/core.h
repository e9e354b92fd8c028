/*
 * One virtual processor of the software engine: `struct core` is what translated code reaches through GS (its page is
 * mapped just below every linear page table of the processor), `struct vcpu` all the rest.
 */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cpu/cpu.h"
#include "cpu/soft/insn.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ull
#define PAGE_MASK (~(PAGE_SIZE - 1))

enum {
	F_CF = 1, F_PF = 4, F_AF = 16, F_ZF = 64, F_SF = 128, F_TF = 256, F_IF = 512, F_DF = 1024, F_OF = 2048,
	F_IOPL = 0x3000, F_NT = 0x4000, F_RF = 0x10000, F_VM = 0x20000, F_AC = 0x40000, F_VIF = 0x80000, F_VIP = 0x100000,
	F_ID = 0x200000,
	F_ARITH = F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF,
	F_ALL = 0x3f7fd7,
};

#define CR0_PE 1ull
#define CR0_MP 2ull
#define CR0_EM 4ull
#define CR0_TS 8ull
#define CR0_ET 16ull
#define CR0_NE 32ull
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_PG (1ull << 31)
#define CR4_VME 1ull
#define CR4_PVI 2ull
#define CR4_TSD 4ull
#define CR4_DE 8ull
#define CR4_PSE 16ull
#define CR4_PAE 32ull
#define CR4_MCE 64ull
#define CR4_PGE 128ull
#define CR4_PCE 256ull
#define CR4_OSFXSR 512ull
#define CR4_OSXMMEXCPT 1024ull
#define CR4_UMIP (1ull << 11)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_PCIDE (1ull << 17)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CR4_PKE (1ull << 22)
#define EFER_SCE 1ull
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)

enum { EXC_DE, EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM, EXC_DF, EXC_TS = 10, EXC_NP, EXC_SS, EXC_GP, EXC_PF,
       EXC_MF = 16, EXC_AC, EXC_MC, EXC_XM };

/* Address-space contexts: each holds what one PCID may cache. Views: what one privilege may reach. */
#define CONTEXTS 8
enum { VIEW_USER, VIEW_SUP, VIEW_SUP_NOUSER, VIEWS };

#define TABLE_BYTES (1ull << 39) /* 2^36 pages of the 48-bit space, 8 bytes each */
#define CORE_BYTES 4096u
#define TARGETS 4096u            /* entries of a target cache, indexed by the low address bits */

/* Guest address of a branch target and the code for it; sits below `struct core` in every view. */
struct target {
	uint64_t va;
	uint64_t host;
};

/* What one privilege level of one context can reach: base addresses that GS and FS are loaded with. */
struct view {
	uint64_t *read;  /* index: guest page number; value: host address minus guest address, 0: not here */
	uint64_t *write;
	struct target *targets;
	uint32_t *log;   /* pages entered, to flush them; bit 31 of the second word marks global pages */
	uint32_t log_len;
	bool targets_used;
};

enum exit_kind {
	EXIT_NONE,   /* a single-instruction thunk came to its end */
	EXIT_SLOW,   /* interpret this instruction, then go on behind it */
	EXIT_INTERP, /* interpret this instruction, then look up where to go on */
	EXIT_LINK,   /* direct branch not linked yet */
	EXIT_LOOKUP, /* indirect branch that missed the target cache; rip is set */
	EXIT_KICK,   /* an event may be pending */
	EXIT_FAULT,  /* a natively run instruction raised a host signal */
};

/* Literals for the entry of the signal handler, which is assembly. */
#define CORE_BYTES_LITERAL 4096
#define HOST_FS_OFFSET 0
#define KICK_OFFSET 8
#define TIMER_KICK_OFFSET 12

/* Reached from translated code as %gs:offset; offsets are negative, see CORE_OFF(). */
struct core {
	uint64_t host_fs;        /* the thread's own, while translated code uses FS */
	uint32_t kick;           /* not zero: leave translated code at the next check */
	uint32_t timer_kick;     /* the deadline has passed */
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t rflags;
	uint64_t hw_flags;       /* as they were at the last exit */
	uint64_t flags_ax;       /* arithmetic flags as LAHF; SETO %al leave them in AX */
	uint64_t tmp_rax;
	uint32_t window;         /* not zero: leave when RFLAGS.IF becomes set */
	uint32_t exit_kind;
	uint64_t exit_ra;        /* host address behind the call that left translated code */
	uint64_t host_rsp;
	uint64_t view_fs, view_gs;
	uint64_t rs_rsp;         /* return stack pointer of the running privilege */
	uint64_t rs_base;
	uint64_t mem_host;       /* a thunk's memory operand */
	uint64_t enter_code;
	uint64_t fault_vector, fault_rip;
	struct cpu_segment seg[6];
	uint64_t kernel_gs_base, lstar, star, sfmask;
	uint64_t tsc_offset, tsc_aux;
	uint64_t user_gs, user_fs, sup_gs, sup_fs, nouser_gs, nouser_fs; /* views of the current context */
	uint64_t cpl;
	uint64_t syscall_ok;     /* EFER.SCE */
	uint64_t syscall_cs, syscall_ss, sysret_cs, sysret_ss; /* limit, selector and attributes that they load, from STAR */
	uint64_t shadow;         /* not zero: no interrupt before the next instruction has run */
};
_Static_assert(sizeof(struct core) <= CORE_BYTES, "the core is one page");

#define CORE_OFF(field) ((int32_t)offsetof(struct core, field) - (int32_t)CORE_BYTES)
#define TARGETS_OFF (-(int32_t)(CORE_BYTES + TARGETS * sizeof(struct target)))

/* The private stack of return addresses that translated code runs on; a guard page below it. */
#define RETURN_STACK_BYTES (256u * 1024)

struct code_cache;

struct context {
	struct view view[VIEWS];
	uint16_t pcid;
	bool used;
	uint64_t stamp; /* of last use */
};

struct itlb_entry {
	uint64_t va;   /* page address | privilege in bit 0; ~0: empty */
	uint64_t pa;
	uint8_t *host;
	bool global;
};
#define ITLB_ENTRIES 256

struct decoded;

struct soft_vm {
	struct cpu_ram *ram;
	unsigned ram_count;
	const struct cpu_bus_ops *bus;
	void *bus_data;
	bool translate;
	unsigned vcpu_count;
	struct vcpu *vcpus;
	struct code_cache *cache;
	uint8_t *code_pages; /* by RAM page: 1 when translated code was made from it */
	uint64_t ram_pages;
	/*
	 * One vCPU runs at a time: code cache, links and page protection are shared without further locks. A vCPU that
	 * waits for its turn kicks the one that runs.
	 */
	pthread_mutex_t turn;
	struct vcpu *running;
	atomic_uint waiting;
};

struct vcpu {
	struct core *core;
	struct soft_vm *vm;
	unsigned index;
	struct cpu_segment ldtr, tr;
	struct cpu_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
	uint64_t dr[8];
	uint64_t cstar, sysenter_cs, sysenter_esp, sysenter_eip, pat, spec_ctrl, misc_enable, mtrr_def, mtrr_fixed[11], mtrr_var[16];
	uint32_t pkru;

	unsigned mode;           /* 2, 4, 8: bytes of the code segment's default size (8: 64-bit mode) */
	struct context contexts[CONTEXTS];
	struct context *ctx;
	uint64_t ctx_clock;
	struct view *view;       /* of the current privilege */
	void *tables;            /* the reservation for all of them */
	size_t tables_len;
	void *core_alias;
	int core_fd;
	struct itlb_entry itlb[ITLB_ENTRIES];

	struct insn *in;         /* being interpreted */
	struct decoded *decoded;
	uint64_t next_rip;
	void *jmp[5];            /* __builtin_setjmp: where raise() goes */
	int exc_vector;          /* raised: vector, error code */
	uint32_t exc_error;
	bool exc_has_error;
	bool undo_flags;         /* on a fault, RFLAGS become undo_rflags */
	uint64_t undo_rflags;
	atomic_bool kicked, stopped;
	bool nmi_pending, nmi_masked, halted, fpu_live, injected;
	uint8_t inject_vector;
	uint64_t map_epoch;      /* bumped when a virtual address may mean something else */
	char error[256];
	struct cpu_stats stats;
	uint8_t *return_stack;
	void *alt_stack;
	timer_t timer;           /* raises a signal in this vCPU's thread at its deadline */
	uint8_t guest_fpu[512] __attribute__((aligned(64)));
	uint8_t host_fpu[512] __attribute__((aligned(64)));
	uint8_t bounce[1024] __attribute__((aligned(64)));
};

static inline bool long_mode(const struct vcpu *v)
{
	return v->efer & EFER_LMA;
}
