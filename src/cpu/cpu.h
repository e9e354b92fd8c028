/*
 * The processor of a virtual machine, whatever runs it. A machine makes one `struct cpu_vm`, gives it memory and a bus,
 * makes vCPUs in it and runs each on a thread of its own: cpu_run() returns at the next event that only the machine
 * can decide about. Accesses to ports, to memory that is no RAM and to model-specific registers of devices (the local
 * APIC) are calls to the bus, on the vCPU's thread. Architecture: Intel SDM volumes 1 to 3; AMD APM for SYSCALL.
 *
 * Functions return 0 or a negative errno and fill ERR, if they take one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CPU_RAX, CPU_RCX, CPU_RDX, CPU_RBX, CPU_RSP, CPU_RBP, CPU_RSI, CPU_RDI };
enum cpu_segment_index { CPU_ES, CPU_CS, CPU_SS, CPU_DS, CPU_FS, CPU_GS };

/* A segment register with its hidden part. ATTR is bytes 5 and 6 of the descriptor: type:4 s:1 dpl:2 p:1, avl l d g in 12..15. */
struct cpu_segment {
	uint64_t base;
	uint32_t limit; /* in bytes, granularity applied */
	uint16_t selector;
	uint16_t attr;
};

struct cpu_table {
	uint64_t base;
	uint16_t limit;
};

struct cpu_state {
	uint64_t gpr[16]; /* hardware numbering: rax rcx rdx rbx rsp rbp rsi rdi r8 .. r15 */
	uint64_t rip, rflags;
	struct cpu_segment seg[6], ldtr, tr;
	struct cpu_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
	uint64_t dr[8];
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_aux, tsc_offset;
	uint32_t pkru;
	uint8_t fxsave[512] __attribute__((aligned(16)));
};

enum cpu_exit {
	CPU_EXIT_KICKED,       /* cpu_kick() */
	CPU_EXIT_HALTED,       /* HLT with nothing to wake it; run again after an interrupt is injected */
	CPU_EXIT_IRQ_WINDOW,   /* an interrupt can be injected now, as asked for */
	CPU_EXIT_TRIPLE_FAULT, /* shut down; the state is that of the first fault of the three */
	CPU_EXIT_STOPPED,      /* the bus asked for it */
	CPU_EXIT_ERROR,        /* the engine cannot go on; see cpu_error() */
};

/* What a vCPU sees beside its memory. SIZE is 1, 2 or 4 for ports and up to 8 for memory. */
struct cpu_bus_ops {
	uint32_t (*port_read)(void *bus, unsigned vcpu, uint16_t port, unsigned size);
	void (*port_write)(void *bus, unsigned vcpu, uint16_t port, unsigned size, uint32_t value);
	uint64_t (*memory_read)(void *bus, unsigned vcpu, uint64_t addr, unsigned size);
	void (*memory_write)(void *bus, unsigned vcpu, uint64_t addr, unsigned size, uint64_t value);
	/* Registers that are the machine's: 0, or -ENOENT, which raises #GP in the guest. */
	int (*msr_read)(void *bus, unsigned vcpu, uint32_t msr, uint64_t *ret);
	int (*msr_write)(void *bus, unsigned vcpu, uint32_t msr, uint64_t value);
	/* CR8 is the local APIC's task priority. */
	uint64_t (*cr8_read)(void *bus, unsigned vcpu);
	void (*cr8_write)(void *bus, unsigned vcpu, uint64_t value);
};

/* RAM: HOST..HOST+SIZE appears at guest-physical BASE. All page-aligned; the memory stays the caller's. */
struct cpu_ram {
	uint64_t base, size;
	void *host;
};

#define CPU_MAX 4u /* virtual processors of one machine: each reserves 24 TiB of address space */

struct cpu_config {
	const char *engine;        /* "soft", or "interpreter": soft without its translator */
	unsigned vcpus;
	const struct cpu_ram *ram; /* sorted, not overlapping */
	unsigned ram_count;
	const struct cpu_bus_ops *bus;
	void *bus_data;
};

struct cpu_stats {
	uint64_t interpreted;  /* guest instructions that the interpreter ran */
	uint64_t blocks;       /* translated so far */
	uint64_t block_insns;  /* guest instructions in them */
	uint64_t code_bytes;   /* host code made for them */
	uint64_t exits;        /* returns from translated code to the engine */
	uint64_t misses;       /* of these: memory accesses that missed the linear page table */
	uint64_t lookups;      /* of these: indirect branches that missed the target cache */
	uint64_t links;        /* of these: direct branches linked on first use */
	uint64_t fills;        /* linear page table entries made */
	uint64_t flushes;      /* of an address-space context, whole */
	uint64_t invalidated;  /* blocks whose guest code was written to */
};

struct cpu_vm;
struct cpu_vcpu;

int cpu_vm_create(const struct cpu_config *config, struct cpu_vm **ret, struct error *err);
/* All vCPUs must have returned from cpu_run(). NULL is fine. */
void cpu_vm_destroy(struct cpu_vm *vm);

/* vCPU INDEX, in the state after power-on (SDM volume 3, table 9-1). */
struct cpu_vcpu *cpu_vcpu_get(struct cpu_vm *vm, unsigned index);

/* On the vCPU's own thread, which runs no other vCPU and has all signals blocked but those that faults raise. */
enum cpu_exit cpu_run(struct cpu_vcpu *vcpu);
/* Why the last run ended in CPU_EXIT_ERROR or CPU_EXIT_TRIPLE_FAULT, one line. */
const char *cpu_error(const struct cpu_vcpu *vcpu);

/* From any thread: makes cpu_run() return CPU_EXIT_KICKED soon (or at once when it is called next). */
void cpu_kick(struct cpu_vcpu *vcpu);
/*
 * Makes cpu_run() return CPU_EXIT_KICKED in NS nanoseconds (UINT64_MAX: no more), wherever the guest is by then. On the
 * vCPU's own thread, between runs; replaces what was set before.
 */
void cpu_set_deadline(struct cpu_vcpu *vcpu, uint64_t ns);
/* From a bus call: cpu_run() returns CPU_EXIT_STOPPED after the instruction. */
void cpu_stop(struct cpu_vcpu *vcpu);

/* On the vCPU's thread, between runs. */
bool cpu_interruptible(const struct cpu_vcpu *vcpu);
void cpu_inject(struct cpu_vcpu *vcpu, uint8_t vector);    /* only when cpu_interruptible() */
void cpu_inject_nmi(struct cpu_vcpu *vcpu);
void cpu_request_window(struct cpu_vcpu *vcpu, bool want); /* return CPU_EXIT_IRQ_WINDOW as soon as interruptible */
void cpu_get_state(struct cpu_vcpu *vcpu, struct cpu_state *ret);
void cpu_set_state(struct cpu_vcpu *vcpu, const struct cpu_state *state);
void cpu_get_stats(struct cpu_vcpu *vcpu, struct cpu_stats *ret);

/* A device wrote to guest memory: before the guest is told, translations of code in it are dropped. Any thread. */
void cpu_memory_written(struct cpu_vm *vm, uint64_t addr, uint64_t len);

/* Cycles a second of the time-stamp counter, as the guest's CPUID leaf 0x15 tells it. */
uint64_t cpu_tsc_hz(void);
