/*
 * Differential test: random instruction sequences on the host CPU and in the software engine, both ending in an
 * exception; registers, flags, vector state, memory, faulting address and vector must be the same.
 *
 *   differential ENGINE COUNT [FIRST-SEED]      seeds in turn; exits 1 at the first difference, which it prints
 *   differential ENGINE --seeds FILE            the seeds of failures past
 */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "cpu/cpu.h"
#include "cpu/soft/insn.h"

#define DATA_VA 0x5a0000000000ull
#define DATA_BYTES 0x4000u
#define CODE_VA 0x5b0000000000ull
#define CODE_BYTES 0x2000u
#define GUEST_RAM (1u << 20)
#define STUB_VA 0x8000ull /* exception entries, 16 bytes each; guest physical, identity-mapped for CPL 0 */

struct outcome {
	uint64_t gpr[16], rip, rflags, cr2;
	int vector;
	uint8_t fx[512];
	uint8_t data[DATA_BYTES];
};

/* --- random --- */

static uint64_t rng;

static uint64_t rnd(void)
{
	rng += 0x9e3779b97f4a7c15ull;
	uint64_t z = rng;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned below(unsigned n)
{
	return rnd() % n;
}

static uint64_t interesting(void)
{
	static const uint64_t v[] = { 0, 1, 2, 7, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
				      0x7fffffffffffffff, 0x8000000000000000, ~0ull };
	switch (below(4)) {
	case 0: return v[below(sizeof(v) / sizeof(v[0]))];
	case 1: return rnd() >> below(64);
	case 2: return below(200);
	default: return rnd();
	}
}

static uint64_t data_pointer(void)
{
	uint64_t off = below(3) ? 0x400 + below(DATA_BYTES - 0x800) : 0x1000 * (1 + below(3)) - 16 + below(20);

	if (below(3))
		off &= ~15ull;
	return DATA_VA + off;
}

/* --- the host's side: enter and leave through signal frames --- */

static ucontext_t saved_uc;
static uint8_t saved_fx[512];
static const struct outcome *start_state;
static struct outcome *host_result;
static volatile bool running;

static void load_context(ucontext_t *uc, const struct outcome *o)
{
	static const int regs[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				      REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

	for (unsigned i = 0; i < 16; i++)
		uc->uc_mcontext.gregs[regs[i]] = o->gpr[i];
	uc->uc_mcontext.gregs[REG_RIP] = o->rip;
	uc->uc_mcontext.gregs[REG_EFL] = o->rflags;
	memcpy(uc->uc_mcontext.fpregs, o->fx, 416);
}

static void store_context(const ucontext_t *uc, struct outcome *o)
{
	static const int regs[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				      REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

	for (unsigned i = 0; i < 16; i++)
		o->gpr[i] = uc->uc_mcontext.gregs[regs[i]];
	o->rip = uc->uc_mcontext.gregs[REG_RIP];
	o->rflags = uc->uc_mcontext.gregs[REG_EFL];
	o->vector = uc->uc_mcontext.gregs[REG_TRAPNO];
	o->cr2 = o->vector == 14 ? uc->uc_mcontext.gregs[REG_CR2] : 0;
	memcpy(o->fx, uc->uc_mcontext.fpregs, 416);
}

static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;

	(void)info;
	if (sig == SIGUSR1) {
		memcpy(saved_uc.uc_mcontext.gregs, uc->uc_mcontext.gregs, sizeof(gregset_t));
		memcpy(saved_fx, uc->uc_mcontext.fpregs, 512);
		load_context(uc, start_state);
		running = true;
		return;
	}
	if (!running) {
		signal(sig, SIG_DFL);
		return;
	}
	running = false;
	store_context(uc, host_result);
	memcpy(uc->uc_mcontext.gregs, saved_uc.uc_mcontext.gregs, sizeof(gregset_t));
	memcpy(uc->uc_mcontext.fpregs, saved_fx, 416);
}

static const int used_signals[] = { SIGUSR1, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

static void run_host(const struct outcome *start, struct outcome *ret)
{
	struct sigaction old[6], sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static uint8_t stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) }, old_ss;

	sigaltstack(&ss, &old_ss);
	sa.sa_sigaction = on_signal;
	sigfillset(&sa.sa_mask);
	for (unsigned i = 0; i < 6; i++)
		sigaction(used_signals[i], &sa, &old[i]);
	memcpy((void *)DATA_VA, start->data, DATA_BYTES);
	start_state = start;
	host_result = ret;
	raise(SIGUSR1);
	memcpy(ret->data, (void *)DATA_VA, DATA_BYTES);
	for (unsigned i = 0; i < 6; i++)
		sigaction(used_signals[i], &old[i], NULL);
	sigaltstack(&old_ss, NULL);
}

/* --- the guest's side --- */

static uint8_t *ram;
static struct cpu_vm *vm;
static struct cpu_vcpu *vcpu;

enum { PT_BASE = 0x1000, IDT_AT = 0x9000, GDT_AT = 0xa000, TSS_AT = 0xa800, KSTACK = 0xd000, DATA_AT = 0x20000, CODE_AT = 0x30000 };

static uint64_t next_table = PT_BASE + 0x1000;

static void map_page(uint64_t va, uint64_t pa, uint64_t flags)
{
	uint64_t table = PT_BASE;

	for (int level = 3; level >= 0; level--) {
		uint64_t *e = (uint64_t *)(ram + table) + (va >> (12 + 9 * level) & 511);
		if (level == 0) {
			*e = pa | flags;
			return;
		}
		if (!(*e & 1)) {
			*e = next_table | 7;
			next_table += 0x1000;
			if (next_table == STUB_VA)
				next_table = 0x10000;
		}
		table = *e & ~0xfffull;
	}
}

static void setup_guest(void)
{
	for (uint64_t a = 0x8000; a < 0xe000; a += 0x1000)
		map_page(a, a, 3);
	for (uint64_t i = 0; i < DATA_BYTES; i += 4096)
		map_page(DATA_VA + i, DATA_AT + i, 7);
	for (uint64_t i = 0; i < CODE_BYTES; i += 4096)
		map_page(CODE_VA + i, CODE_AT + i, 7);
	uint64_t *idt = (uint64_t *)(ram + IDT_AT);
	for (unsigned i = 0; i < 32; i++) {
		uint64_t off = STUB_VA + 16 * i;
		idt[2 * i] = (off & 0xffff) | 0x8ull << 16 | (i == 3 ? 0xeeull : 0x8eull) << 40 | (off & 0xffff0000) << 32;
		idt[2 * i + 1] = 0;
		ram[off] = 0xf4; /* hlt */
	}
	uint64_t *gdt = (uint64_t *)(ram + GDT_AT);
	gdt[1] = 0x00af9b000000ffffull;
	gdt[2] = 0x00cf93000000ffffull;
	uint64_t sp0 = KSTACK;
	memcpy(ram + TSS_AT + 4, &sp0, 8);
	memset(ram + TSS_AT + 102, 0xff, 2); /* no port bitmap */
}

static void guest_state(const struct outcome *o, struct cpu_state *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->gpr, o->gpr, sizeof(s->gpr));
	s->rip = o->rip;
	s->rflags = o->rflags;
	s->cr0 = 0x80050033;
	s->cr3 = PT_BASE;
	s->cr4 = 0x6b0 | 0x600;
	s->efer = 0xd01;
	s->pat = 0x0007040600070406;
	for (unsigned i = 0; i < 6; i++)
		s->seg[i] = (struct cpu_segment){ .limit = ~0u, .selector = 0x2b, .attr = 0xc0f3 };
	s->seg[CPU_CS] = (struct cpu_segment){ .limit = ~0u, .selector = 0x33, .attr = 0xa0fb };
	s->tr = (struct cpu_segment){ .base = TSS_AT, .limit = 103, .selector = 0x40, .attr = 0x8b };
	s->gdt = (struct cpu_table){ GDT_AT, 0xff };
	s->idt = (struct cpu_table){ IDT_AT, 511 };
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
	memcpy(s->fxsave, o->fx, 512);
}

static bool run_guest(const struct outcome *start, const uint8_t *code, struct outcome *ret)
{
	struct cpu_state s;

	memcpy(ram + DATA_AT, start->data, DATA_BYTES);
	memcpy(ram + CODE_AT, code, CODE_BYTES);
	cpu_memory_written(vm, CODE_AT, CODE_BYTES);
	guest_state(start, &s);
	cpu_set_state(vcpu, &s);
	enum cpu_exit e = cpu_run(vcpu);
	if (e != CPU_EXIT_HALTED) {
		printf("the engine left with %d: %s\n", e, cpu_error(vcpu));
		return false;
	}
	cpu_get_state(vcpu, &s);
	ret->vector = (s.rip - 1 - STUB_VA) / 16;
	bool has_error = ret->vector == 8 || (ret->vector >= 10 && ret->vector <= 14) || ret->vector == 17;
	const uint64_t *frame = (uint64_t *)(ram + s.gpr[CPU_RSP]) + has_error;
	memcpy(ret->gpr, s.gpr, sizeof(s.gpr));
	ret->rip = frame[0];
	ret->rflags = frame[2];
	ret->gpr[CPU_RSP] = frame[3];
	ret->cr2 = ret->vector == 14 ? s.cr2 : 0;
	memcpy(ret->fx, s.fxsave, 416);
	memcpy(ret->data, ram + DATA_AT, DATA_BYTES);
	return true;
}

/* --- making programs --- */

static bool acceptable(const struct insn *in)
{
	if (in->segover == SEG_FS || in->segover == SEG_GS)
		return false; /* the host's own thread pointer */
	switch (in->op) {
	case OP_NATIVE:
		if (in->map == 1 && (in->opc == 0xbc || in->opc == 0xbd) && in->rep)
			return false; /* LZCNT, TZCNT on the host; the model has neither */
		if (in->map == 1 && in->opc == 0xc7 && in->mod == 3)
			return false; /* RDRAND */
		if (in->map == 0 && in->opc == 0x8d)
			return true;
		if ((in->attr & A_FPU) && insn_has_mem(in) && (in->msz >= 14 || (in->opc == 0xd9 && (in->reg & 7) == 5)))
			return false; /* FNSTENV, FNSAVE store the host's instruction pointer; unmasked x87 errors void stores */
		return true;
	case OP_NOP: case OP_MOV: case OP_PUSH_R: case OP_POP_R: case OP_PUSH_I: case OP_PUSH_E: case OP_POP_E: case OP_PUSHF: case OP_LEAVE:
	case OP_MOVS: case OP_CMPS: case OP_STOS: case OP_LODS: case OP_SCAS: case OP_DIV: case OP_IDIV: case OP_BT: case OP_XLAT:
	case OP_MASKMOV: case OP_FWAIT: case OP_ENTER:
		/* with 32-bit addresses a real processor truncates the registers even when the first element faults */
		return in->asz == 8 || (in->op != OP_MOVS && in->op != OP_CMPS && in->op != OP_STOS && in->op != OP_LODS && in->op != OP_SCAS);
	case OP_JCC: case OP_LOOP: case OP_JCXZ: case OP_JMP:
		return in->imm_size == 1 && in->imm < 12;
	default: return false;
	}
}

static unsigned put_operand(uint8_t *p)
{
	unsigned n = 0, reg = below(8), kind = below(10);

	if (kind < 4) {
		p[n++] = 0xc0 | reg << 3 | below(8);
	} else if (kind < 7) {
		unsigned base = (unsigned[]){ 3, 5, 6, 7, 3 }[below(5)];
		p[n++] = 0x40 | reg << 3 | base;
		p[n++] = (below(64) - 32) & (below(2) ? ~7 : ~0);
	} else if (kind < 8) {
		p[n++] = 0x44 | reg << 3;
		p[n++] = below(4) << 6 | 1 << 3 | 3; /* rbx or r11 + rcx or r9 * s */
		p[n++] = below(64) - 32;
	} else if (kind < 9) {
		p[n++] = 0x44 | reg << 3;
		p[n++] = 0x24; /* rsp or r12 */
		p[n++] = (below(64) - 32) & ~7;
	} else {
		p[n++] = below(256);
		for (unsigned i = 0; i < 5; i++)
			p[n++] = rnd();
	}
	return n;
}

static unsigned make_insn(uint8_t *p)
{
	struct insn in;

	for (;;) {
		unsigned n = 0, kind = below(16);
		if (!below(5))
			p[n++] = 0x66;
		if (!below(4))
			p[n++] = below(2) ? 0xf3 : 0xf2;
		if (!below(16))
			p[n++] = 0xf0;
		if (below(2))
			p[n++] = 0x40 | below(16);
		if (kind >= 8)
			p[n++] = 0x0f;
		if (kind == 14)
			p[n++] = 0x38;
		if (kind == 15)
			p[n++] = 0x3a;
		p[n++] = rnd();
		n += put_operand(p + n);
		for (unsigned i = 0; i < 8; i++)
			p[n++] = rnd();
		if (insn_decode(p, 15, 8, false, &in) == 0 && acceptable(&in))
			return in.len;
	}
}

static void make_case(uint64_t seed, struct outcome *start, uint8_t *code)
{
	rng = seed * 0x2545f4914f6cdd1dull + 12345;
	memset(start, 0, sizeof(*start));
	memset(code, 0xcc, CODE_BYTES);
	unsigned n = 1 + below(6), at = below(8) ? 0x100 : 0xff0 + below(16);
	start->rip = CODE_VA + at;
	for (unsigned i = 0; i < n; i++)
		at += make_insn(code + at);
	memset(code + at, 0xcc, 64);
	for (unsigned i = 0; i < 16; i++) {
		bool pointer = i == CPU_RSP || (i != CPU_RCX && i != CPU_RAX && i != CPU_RDX && below(4));
		start->gpr[i] = pointer ? data_pointer() : interesting();
	}
	if (below(2))
		start->gpr[CPU_RCX] = below(below(2) ? 10 : 600);
	start->rflags = 0x202 | (rnd() & 0x8d5);
	if (!below(8))
		start->rflags |= 0x400;
	for (unsigned i = 0; i < DATA_BYTES; i += 8) {
		uint64_t x = below(4) ? rnd() : interesting();
		memcpy(start->data + i, &x, 8);
	}
	start->fx[0] = 0x7f;
	start->fx[1] = 0x03;
	uint32_t mxcsr = below(8) ? 0x1f80 | (rnd() & 0xe040) : 0x1f80 & ~(0x80u << below(6));
	memcpy(start->fx + 24, &mxcsr, 4);
	uint32_t mask = 0xffff;
	memcpy(start->fx + 28, &mask, 4);
	start->fx[4] = below(2) ? 0xff : 0;
	for (unsigned i = 0; i < 8; i++) {
		uint64_t m = rnd() | 1ull << 63;
		uint16_t e = 0x3fff + below(40) - 20;
		memcpy(start->fx + 32 + 16 * i, &m, 8);
		memcpy(start->fx + 40 + 16 * i, &e, 2);
	}
	for (unsigned i = 160; i < 416; i += 4) {
		float f = (float)(int32_t)rnd() / (1 << below(31));
		uint32_t x = rnd();
		memcpy(start->fx + i, below(2) ? (void *)&f : (void *)&x, 4);
	}
}

/* --- comparing --- */

static bool dead_flags;

static bool compare(const struct outcome *h, const struct outcome *g, bool print)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					       "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	/* the translator does not keep flags that nothing reads before they are written again, not even for a fault between */
	const uint64_t flags = dead_flags && h->vector != 3 ? 0x400 : 0xcd5;
	bool same = true;

#define CHECK(cond, ...)                                                                                               \
	do {                                                                                                           \
		if (!(cond)) {                                                                                         \
			same = false;                                                                                  \
			if (print)                                                                                     \
				printf(__VA_ARGS__);                                                                   \
		}                                                                                                      \
	} while (0)
	CHECK(h->vector == g->vector, "vector: host %d, engine %d\n", h->vector, g->vector);
	CHECK(h->rip == g->rip, "rip: host %#" PRIx64 ", engine %#" PRIx64 "\n", h->rip, g->rip);
	CHECK(h->cr2 == g->cr2, "cr2: host %#" PRIx64 ", engine %#" PRIx64 "\n", h->cr2, g->cr2);
	CHECK((h->rflags & flags) == (g->rflags & flags), "flags: host %#" PRIx64 ", engine %#" PRIx64 "\n", h->rflags & flags,
	      g->rflags & flags);
	for (unsigned i = 0; i < 16; i++)
		CHECK(h->gpr[i] == g->gpr[i], "%s: host %#" PRIx64 ", engine %#" PRIx64 "\n", names[i], h->gpr[i], g->gpr[i]);
	for (unsigned i = 0; i < 416; i++) {
		if ((i >= 6 && i < 24) || (i >= 28 && i < 32))
			continue; /* last x87 opcode and pointers; the mask */
		if (h->vector >= 12 && h->vector <= 14 && i >= 2 && i < 160 && (i < 24 || i >= 32))
			continue; /* a faulting MMX access has or has not reset the x87 stack already: not architectural */
		CHECK(h->fx[i] == g->fx[i], "fxsave[%u]: host %#x, engine %#x\n", i, h->fx[i], g->fx[i]);
	}
	for (unsigned i = 0; i < DATA_BYTES; i++)
		CHECK(h->data[i] == g->data[i], "data[%#x]: host %#x, engine %#x\n", i, h->data[i], g->data[i]);
	return same;
}

static unsigned strays;

static bool run_case(uint64_t seed, unsigned *vectors)
{
	static struct outcome start, host, guest;
	static uint8_t code[CODE_BYTES];

	make_case(seed, &start, code);
	memcpy((void *)CODE_VA, code, CODE_BYTES);
	run_host(&start, &host);
	/* #DB from a single step or the like is not wanted here; #BP reports the address behind it on both sides */
	vectors[host.vector & 31]++;
	bool ran = run_guest(&start, code, &guest);
	if (ran && guest.vector == 14 && !(host.vector == 14 && host.cr2 == guest.cr2) && guest.cr2 - DATA_VA >= DATA_BYTES &&
	    guest.cr2 - CODE_VA >= CODE_BYTES) {
		strays++; /* a random address that this process happens to have mapped */
		return true;
	}
	if (ran && compare(&host, &guest, false))
		return true;
	printf("seed %" PRIu64 " differs; code at %#" PRIx64 ":", seed, start.rip);
	unsigned at = start.rip - CODE_VA;
	while (code[at] != 0xcc || code[at + 1] != 0xcc || code[at + 2] != 0xcc) {
		struct insn in;
		if (insn_decode(code + at, 15, 8, false, &in) < 0)
			break;
		printf("\n  ");
		for (unsigned i = 0; i < in.len; i++)
			printf(" %02x", code[at + i]);
		at += in.len;
	}
	printf("\n");
	for (unsigned i = 0; i < 16; i++)
		printf(" g%u=%#" PRIx64, i, start.gpr[i]);
	printf("\n flags %#" PRIx64 "; ended with vector %d at %#" PRIx64 ", cr2 %#" PRIx64 "\n", start.rflags, host.vector, host.rip, host.cr2);
	if (ran)
		compare(&host, &guest, true);
	return false;
}

/* --- a bus with nothing on it --- */

static uint32_t no_port_read(void *b, unsigned v, uint16_t port, unsigned size)
{
	(void)b, (void)v, (void)port, (void)size;
	return ~0u;
}
static void no_port_write(void *b, unsigned v, uint16_t port, unsigned size, uint32_t x)
{
	(void)b, (void)v, (void)port, (void)size, (void)x;
}
static uint64_t no_memory_read(void *b, unsigned v, uint64_t addr, unsigned size)
{
	(void)b, (void)v, (void)addr, (void)size;
	return ~0ull;
}
static void no_memory_write(void *b, unsigned v, uint64_t addr, unsigned size, uint64_t x)
{
	(void)b, (void)v, (void)addr, (void)size, (void)x;
}
static int no_msr_read(void *b, unsigned v, uint32_t msr, uint64_t *ret)
{
	(void)b, (void)v, (void)msr, (void)ret;
	return -ENOENT;
}
static int no_msr_write(void *b, unsigned v, uint32_t msr, uint64_t x)
{
	(void)b, (void)v, (void)msr, (void)x;
	return -ENOENT;
}
static const struct cpu_bus_ops no_bus = {
	.port_read = no_port_read, .port_write = no_port_write, .memory_read = no_memory_read, .memory_write = no_memory_write,
	.msr_read = no_msr_read, .msr_write = no_msr_write,
};

static bool set_up(const char *engine)
{
	struct error err = ERROR_INIT;

	ram = mmap(NULL, GUEST_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* The host's copy of data and code lies at the guest's own addresses, with nothing around it. */
	if (ram == MAP_FAILED ||
	    mmap((void *)DATA_VA, DATA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED ||
	    mmap((void *)CODE_VA, CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
		    MAP_FAILED) {
		perror("mmap");
		return false;
	}
	dead_flags = !strcmp(engine, "soft");
	struct cpu_ram slot = { 0, GUEST_RAM, ram };
	struct cpu_config config = { .engine = engine, .vcpus = 1, .ram = &slot, .ram_count = 1, .bus = &no_bus };
	if (cpu_vm_create(&config, &vm, &err) < 0) {
		printf("%s\n", err.message);
		return false;
	}
	vcpu = cpu_vcpu_get(vm, 0);
	setup_guest();
	return true;
}

static int run_seed_file(const char *path, unsigned *vectors)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	unsigned done = 0, bad = 0;
	char line[256];

	if (!f) {
		perror(path);
		return 2;
	}
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		done++;
		bad += !run_case(strtoull(line, NULL, 10), vectors);
	}
	printf("%u passed, %u failed\n", done - bad, bad);
	return bad != 0;
}

int main(int argc, char **argv)
{
	unsigned vectors[32] = { 0 };

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc < 3 || !set_up(argv[1])) {
		fprintf(stderr, "usage: differential ENGINE COUNT [FIRST-SEED] | ENGINE --seeds FILE\n");
		return 2;
	}
	if (!strcmp(argv[2], "--seeds"))
		return argc < 4 ? 2 : run_seed_file(argv[3], vectors);
	uint64_t count = strtoull(argv[2], NULL, 10), first = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	unsigned bad = 0;
	for (uint64_t i = 0; i < count && bad < 3; i++)
		bad += !run_case(first + i, vectors);
	for (unsigned i = 0; i < 32; i++)
		if (vectors[i])
			printf("vector %u: %u cases\n", i, vectors[i]);
	printf("%u cases reached memory that only the host has\n", strays);
	printf("%" PRIu64 " passed, %u failed\n", count - bad, bad);
	cpu_vm_destroy(vm);
	return bad != 0;
}
