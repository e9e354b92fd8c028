/* The software engine behind cpu.h: making virtual processors, running them, their state. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <x86intrin.h>

#include "cpu/cpu.h"
#include "cpu/soft/cache.h"
#include "cpu/soft/dispatch.h"
#include "cpu/soft/event.h"
#include "cpu/soft/fault.h"
#include "cpu/soft/interp.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/segment.h"

#define NO_TIMER ((timer_t)-1)

struct cpu_vm {
	struct soft_vm soft;
};

struct cpu_vcpu {
	struct vcpu soft;
};

/* --- making --- */

static void reset_state(struct cpu_state *s)
{
	memset(s, 0, sizeof(*s));
	s->rip = 0xfff0;
	s->rflags = 2;
	for (unsigned i = 0; i < 6; i++)
		s->seg[i] = (struct cpu_segment){ .limit = 0xffff, .attr = 0x93 };
	s->seg[CPU_CS] = (struct cpu_segment){ .base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .attr = 0x9b };
	s->ldtr = (struct cpu_segment){ .limit = 0xffff, .attr = 0x82 };
	s->tr = (struct cpu_segment){ .limit = 0xffff, .attr = 0x8b };
	s->gdt.limit = s->idt.limit = 0xffff;
	s->gpr[CPU_RDX] = 0x000d0601;
	s->cr0 = 0x60000010;
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
	s->pat = 0x0007040600070406;
	s->xcr0 = 1;
	s->fxsave[0] = 0x7f; /* FCW 0x37f, MXCSR 0x1f80 */
	s->fxsave[1] = 0x03;
	s->fxsave[24] = 0x80;
	s->fxsave[25] = 0x1f;
}

static int make_vcpu(struct soft_vm *vm, unsigned index, struct vcpu *v, struct error *err)
{
	struct cpu_state s;
	int r;

	v->vm = vm;
	v->index = index;
	v->core_fd = -1;
	v->timer = NO_TIMER;
	if ((r = mmu_init(v, err)) < 0)
		return r;
	v->decoded = interp_alloc();
	v->return_stack = mmap(NULL, RETURN_STACK_BYTES + PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!v->decoded || v->return_stack == MAP_FAILED)
		return error_oom(err);
	mprotect(v->return_stack, PAGE_SIZE, PROT_NONE);
	v->core->rs_base = (uint64_t)v->return_stack + PAGE_SIZE + RETURN_STACK_BYTES - 64; /* room for the entry that is always there */
	cache_attach(v);
	v->misc_enable = 1;
	v->mtrr_def = 0xc06;
	reset_state(&s);
	cpu_set_state((struct cpu_vcpu *)v, &s);
	return 0;
}

static void free_vcpu(struct vcpu *v)
{
	if (v->timer != NO_TIMER)
		timer_delete(v->timer);
	mmu_free(v);
	free(v->decoded);
	if (v->return_stack && v->return_stack != MAP_FAILED)
		munmap(v->return_stack, RETURN_STACK_BYTES + PAGE_SIZE);
}

static int check_config(const struct cpu_config *c, struct error *err)
{
	if (c->vcpus == 0 || c->vcpus > CPU_MAX)
		return error_set(err, EINVAL, "%u virtual processors asked for: 1 to %u are supported", c->vcpus, CPU_MAX);
	for (unsigned i = 0; i < c->ram_count; i++)
		if ((c->ram[i].base | c->ram[i].size | (uint64_t)c->ram[i].host) % PAGE_SIZE || !c->ram[i].size)
			return error_set(err, EINVAL, "guest memory at %#llx is not made of whole pages", (unsigned long long)c->ram[i].base);
	if (strcmp(c->engine, "soft") && strcmp(c->engine, "interpreter"))
		return error_set(err, EINVAL, "no processor engine is called '%s'; there are soft and interpreter", c->engine);
	unsigned a, b, d, x;
	__asm__("cpuid" : "=a"(a), "=b"(b), "=c"(x), "=d"(d) : "a"(7), "c"(0));
	if (!(b & 1))
		return error_set(err, ENOTSUP, "this processor has no FSGSBASE instructions, which the software engine needs");
	return 0;
}

int cpu_vm_create(const struct cpu_config *config, struct cpu_vm **ret, struct error *err)
{
	struct cpu_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return error_oom(err);
	struct soft_vm *s = &vm->soft;
	if ((r = check_config(config, err)) < 0)
		goto fail;
	pthread_mutex_init(&s->turn, NULL);
	s->bus = config->bus;
	s->bus_data = config->bus_data;
	s->translate = !strcmp(config->engine, "soft");
	s->ram = calloc(config->ram_count, sizeof(*s->ram));
	s->vcpus = aligned_alloc(64, sizeof(struct vcpu) * config->vcpus);
	if (!s->ram || !s->vcpus) {
		r = error_oom(err);
		goto fail;
	}
	memset(s->vcpus, 0, sizeof(struct vcpu) * config->vcpus);
	memcpy(s->ram, config->ram, config->ram_count * sizeof(*s->ram));
	s->ram_count = config->ram_count;
	for (unsigned i = 0; i < s->ram_count; i++)
		s->ram_pages += s->ram[i].size >> PAGE_SHIFT;
	s->code_pages = calloc(s->ram_pages + 1, 1);
	if (!s->code_pages) {
		r = error_oom(err);
		goto fail;
	}
	if ((r = cache_create(s, &s->cache, err)) < 0)
		goto fail;
	for (; s->vcpu_count < config->vcpus; s->vcpu_count++)
		if ((r = make_vcpu(s, s->vcpu_count, &s->vcpus[s->vcpu_count], err)) < 0) {
			free_vcpu(&s->vcpus[s->vcpu_count]);
			goto fail;
		}
	*ret = vm;
	return 0;
fail:
	cpu_vm_destroy(vm);
	return r;
}

void cpu_vm_destroy(struct cpu_vm *vm)
{
	if (!vm)
		return;
	for (unsigned i = 0; i < vm->soft.vcpu_count; i++)
		free_vcpu(&vm->soft.vcpus[i]);
	cache_free(vm->soft.cache);
	free(vm->soft.code_pages);
	free(vm->soft.vcpus);
	free(vm->soft.ram);
	free(vm);
}

struct cpu_vcpu *cpu_vcpu_get(struct cpu_vm *vm, unsigned index)
{
	return index < vm->soft.vcpu_count ? (struct cpu_vcpu *)&vm->soft.vcpus[index] : NULL;
}

/* --- running --- */

static enum cpu_exit triple_fault(struct vcpu *v)
{
	const struct core *k = v->core;

	fpu_release(v);
	snprintf(v->error, sizeof(v->error),
		 "triple fault at rip %#llx (vector %d, error code %#x, cr2 %#llx, cr3 %#llx, rsp %#llx, cpl %u)",
		 (unsigned long long)k->rip, v->exc_vector, v->exc_error, (unsigned long long)v->cr2, (unsigned long long)v->cr3,
		 (unsigned long long)k->gpr[CPU_RSP], (unsigned)k->cpl);
	return CPU_EXIT_TRIPLE_FAULT;
}

/* Delivers what waits at an instruction boundary. */
static enum step deliver_pending(struct vcpu *v)
{
	if (v->injected) {
		v->injected = false;
		v->halted = false;
		return interp_deliver(v, v->inject_vector, false);
	}
	if (v->nmi_pending && !v->nmi_masked && !v->core->shadow) {
		v->nmi_pending = false;
		v->halted = false;
		return interp_deliver(v, EXC_NMI, true);
	}
	return STEP_OK;
}

bool cpu_interruptible(const struct cpu_vcpu *vcpu)
{
	const struct vcpu *v = &vcpu->soft;

	return (v->core->rflags & F_IF) && !v->core->shadow && !v->injected;
}

/* Interprets until something outside wants attention. */
static enum step interpret_some(struct vcpu *v)
{
	struct core *k = v->core;
	enum step r = STEP_OK;

	while (r == STEP_OK) {
		r = interp_step(v);
		if (__atomic_load_n(&k->kick, __ATOMIC_RELAXED) || (k->window && (k->rflags & F_IF) && !k->shadow))
			break;
	}
	return r;
}

#define TURN_NS 100000 /* how long the others wait before they ask for theirs */

static void take_turn(struct vcpu *v)
{
	struct soft_vm *vm = v->vm;

	if (pthread_mutex_trylock(&vm->turn) != 0) {
		atomic_fetch_add(&vm->waiting, 1);
		for (;;) {
			struct timespec t;
			clock_gettime(CLOCK_MONOTONIC, &t);
			t.tv_nsec += TURN_NS;
			t.tv_sec += t.tv_nsec / 1000000000;
			t.tv_nsec %= 1000000000;
			if (pthread_mutex_clocklock(&vm->turn, CLOCK_MONOTONIC, &t) == 0)
				break;
			struct vcpu *other = __atomic_load_n(&vm->running, __ATOMIC_RELAXED);
			if (other)
				__atomic_store_n(&other->core->kick, 1, __ATOMIC_SEQ_CST);
		}
		atomic_fetch_sub(&vm->waiting, 1);
	}
	__atomic_store_n(&vm->running, v, __ATOMIC_RELAXED);
}

static void end_turn(struct vcpu *v)
{
	__atomic_store_n(&v->vm->running, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&v->vm->turn);
}

/* Lets the others in, if they wait: a mutex alone would hand it back to us. */
static void offer_turn(struct vcpu *v)
{
	if (!atomic_load(&v->vm->waiting))
		return;
	fpu_release(v);
	end_turn(v);
	sched_yield();
	take_turn(v);
}

static enum cpu_exit run_loop(struct vcpu *v)
{
	struct core *k = v->core;

	for (;;) {
		enum step r = deliver_pending(v);
		if (r == STEP_OK) {
			offer_turn(v);
			__atomic_store_n(&k->kick, 0, __ATOMIC_SEQ_CST);
			if (atomic_exchange(&v->stopped, false))
				return CPU_EXIT_STOPPED;
			if (__atomic_exchange_n(&k->timer_kick, 0, __ATOMIC_SEQ_CST) | atomic_exchange(&v->kicked, false))
				return CPU_EXIT_KICKED;
			if (k->window && cpu_interruptible((struct cpu_vcpu *)v))
				return CPU_EXIT_IRQ_WINDOW;
			if (v->halted)
				return CPU_EXIT_HALTED;
			r = v->vm->translate ? dispatch_run(v) : interpret_some(v);
		}
		switch (r) {
		case STEP_OK: break;
		case STEP_HALT: v->halted = true; break;
		case STEP_TRIPLE_FAULT: return triple_fault(v);
		case STEP_ERROR: return CPU_EXIT_ERROR;
		}
	}
}

enum cpu_exit cpu_run(struct cpu_vcpu *vcpu)
{
	struct vcpu *v = &vcpu->soft;
	struct error err = ERROR_INIT;

	if (!v->alt_stack && fault_thread_stack(&v->alt_stack, &err) < 0) {
		snprintf(v->error, sizeof(v->error), "%.255s", err.message);
		return CPU_EXIT_ERROR;
	}
	if (v->timer == NO_TIMER && fault_timer_create(v->core, &v->timer, &err) < 0) {
		snprintf(v->error, sizeof(v->error), "%.255s", err.message);
		return CPU_EXIT_ERROR;
	}
	v->core->host_fs = _readfsbase_u64();
	take_turn(v);
	enum cpu_exit e = run_loop(v);
	fpu_release(v);
	end_turn(v);
	return e;
}

void cpu_set_deadline(struct cpu_vcpu *vcpu, uint64_t ns)
{
	struct vcpu *v = &vcpu->soft;
	struct itimerspec t = { 0 };

	if (v->timer == NO_TIMER) { /* the first run makes it; until then the machine is asked again at once */
		__atomic_store_n(&v->core->timer_kick, 1, __ATOMIC_SEQ_CST);
		return;
	}
	if (ns != UINT64_MAX) {
		ns = ns ? ns : 1;
		t.it_value.tv_sec = ns / 1000000000u;
		t.it_value.tv_nsec = ns % 1000000000u;
	}
	timer_settime(v->timer, 0, &t, NULL);
}

const char *cpu_error(const struct cpu_vcpu *vcpu)
{
	return vcpu->soft.error;
}

void cpu_kick(struct cpu_vcpu *vcpu)
{
	atomic_store(&vcpu->soft.kicked, true);
	__atomic_store_n(&vcpu->soft.core->kick, 1, __ATOMIC_SEQ_CST);
}

void cpu_stop(struct cpu_vcpu *vcpu)
{
	atomic_store(&vcpu->soft.stopped, true);
	__atomic_store_n(&vcpu->soft.core->kick, 1, __ATOMIC_SEQ_CST);
}

void cpu_inject(struct cpu_vcpu *vcpu, uint8_t vector)
{
	vcpu->soft.injected = true;
	vcpu->soft.inject_vector = vector;
}

void cpu_inject_nmi(struct cpu_vcpu *vcpu)
{
	vcpu->soft.nmi_pending = true;
}

void cpu_request_window(struct cpu_vcpu *vcpu, bool want)
{
	vcpu->soft.core->window = want;
}

/* --- state --- */

void cpu_get_state(struct cpu_vcpu *vcpu, struct cpu_state *s)
{
	struct vcpu *v = &vcpu->soft;
	const struct core *k = v->core;

	memset(s, 0, sizeof(*s));
	memcpy(s->gpr, k->gpr, sizeof(s->gpr));
	memcpy(s->seg, k->seg, sizeof(s->seg));
	s->rip = k->rip;
	s->rflags = k->rflags;
	s->ldtr = v->ldtr;
	s->tr = v->tr;
	s->gdt = v->gdt;
	s->idt = v->idt;
	s->cr0 = v->cr0;
	s->cr2 = v->cr2;
	s->cr3 = v->cr3;
	s->cr4 = v->cr4;
	s->efer = v->efer;
	s->xcr0 = v->xcr0;
	memcpy(s->dr, v->dr, sizeof(s->dr));
	s->star = k->star;
	s->lstar = k->lstar;
	s->cstar = v->cstar;
	s->sfmask = k->sfmask;
	s->kernel_gs_base = k->kernel_gs_base;
	s->sysenter_cs = v->sysenter_cs;
	s->sysenter_esp = v->sysenter_esp;
	s->sysenter_eip = v->sysenter_eip;
	s->pat = v->pat;
	s->tsc_aux = k->tsc_aux;
	s->tsc_offset = k->tsc_offset;
	s->pkru = v->pkru;
	memcpy(s->fxsave, v->guest_fpu, sizeof(s->fxsave));
}

void cpu_set_state(struct cpu_vcpu *vcpu, const struct cpu_state *s)
{
	struct vcpu *v = &vcpu->soft;
	struct core *k = v->core;

	memcpy(k->gpr, s->gpr, sizeof(s->gpr));
	memcpy(k->seg, s->seg, sizeof(s->seg));
	k->rip = s->rip;
	k->rflags = s->rflags | 2;
	v->ldtr = s->ldtr;
	v->tr = s->tr;
	v->gdt = s->gdt;
	v->idt = s->idt;
	v->cr0 = s->cr0 | CR0_ET;
	v->cr2 = s->cr2;
	v->cr3 = s->cr3;
	v->cr4 = s->cr4;
	v->efer = s->efer;
	v->xcr0 = s->xcr0;
	memcpy(v->dr, s->dr, sizeof(s->dr));
	k->star = s->star;
	k->lstar = s->lstar;
	v->cstar = s->cstar;
	k->sfmask = s->sfmask;
	k->kernel_gs_base = s->kernel_gs_base;
	v->sysenter_cs = s->sysenter_cs;
	v->sysenter_esp = s->sysenter_esp;
	v->sysenter_eip = s->sysenter_eip;
	v->pat = s->pat;
	k->tsc_aux = s->tsc_aux;
	k->tsc_offset = s->tsc_offset;
	v->pkru = s->pkru;
	memcpy(v->guest_fpu, s->fxsave, sizeof(s->fxsave));
	k->cpl = s->cr0 & CR0_PE ? s->seg[CPU_SS].attr >> 5 & 3 : 0;
	k->shadow = 0;
	v->halted = false;
	syscall_registers_changed(v);
	mmu_flush_all(v);
	mode_update(v);
}

void cpu_get_stats(struct cpu_vcpu *vcpu, struct cpu_stats *ret)
{
	*ret = vcpu->soft.stats;
}

void cpu_memory_written(struct cpu_vm *vm, uint64_t addr, uint64_t len)
{
	cache_memory_written(vm->soft.cache, addr, len);
}

/* --- time --- */

static uint64_t measure_tsc(void)
{
	struct timespec a, b;
	uint64_t t0, t1, ns;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	t0 = __rdtsc();
	do {
		clock_gettime(CLOCK_MONOTONIC_RAW, &b);
		t1 = __rdtsc();
		ns = (b.tv_sec - a.tv_sec) * 1000000000ull + b.tv_nsec - a.tv_nsec;
	} while (ns < 10000000);
	return (t1 - t0) * 1000000000ull / ns / 100000 * 100000;
}

/* The host's own CPUID leaf where it has one, else measured once. */
uint64_t cpu_tsc_hz(void)
{
	static uint64_t hz;
	uint64_t known = __atomic_load_n(&hz, __ATOMIC_RELAXED);

	if (known)
		return known;
	unsigned a, b, c, d;
	__asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	if (a >= 0x15) {
		__asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x15), "c"(0));
		if (a && b && c)
			known = (uint64_t)c * b / a;
	}
	if (!known)
		known = measure_tsc();
	__atomic_store_n(&hz, known, __ATOMIC_RELAXED);
	return known;
}
