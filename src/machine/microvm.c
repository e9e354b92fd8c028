#include "machine/microvm.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <x86intrin.h>

#include "base/fdio.h"
#include "device/ioapic.h"
#include "device/lapic.h"
#include "device/pic8259.h"
#include "device/pit8254.h"
#include "device/power.h"
#include "device/rtc.h"
#include "device/uart16550.h"
#include "machine/acpi.h"
#include "machine/boot.h"
#include "machine/memory.h"

struct processor {
	struct microvm *vm;
	struct cpu_vcpu *cpu;
	struct lapic lapic;
	pthread_t thread;
	pthread_cond_t wake;
	bool started;             /* the thread exists */
	bool waiting_for_sipi, init, sipi;
	uint8_t sipi_vector;
};

struct microvm {
	const struct microvm_config *config;
	struct memory memory;
	struct cpu_vm *cpu_vm;
	struct processor processor[CPU_MAX];
	struct bus ports, mem;
	struct lapic_host lapic_host;
	struct ioapic ioapic;
	struct pic8259 pic;
	struct pit8254 pit;
	struct uart16550 uart;
	struct power power;
	struct rtc rtc;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done, pic_output;
	int console_event;        /* eventfd: the console thread shall look up */
	uint64_t armed;           /* deadline that the boot processor's timer is set to */
	uint64_t tsc_start, tsc_hz;
	bool ctrl_a;
	struct microvm_result result;
	struct error error;
};

/* --- time --- */

static uint64_t now(void *data)
{
	const struct microvm *vm = data;

	return (unsigned __int128)(__rdtsc() - vm->tsc_start) * 1000000000u / vm->tsc_hz;
}

static uint64_t guest_tsc_offset(const struct microvm *vm, unsigned cpu)
{
	struct cpu_state s;

	/* only on the processor's own thread, from a bus call */
	cpu_get_state(vm->processor[cpu].cpu, &s);
	return s.tsc_offset;
}

static uint64_t guest_tsc(void *data, unsigned cpu)
{
	return __rdtsc() + guest_tsc_offset(data, cpu);
}

static uint64_t tsc_to_ns(void *data, unsigned cpu, uint64_t tsc)
{
	const struct microvm *vm = data;
	uint64_t host = tsc - guest_tsc_offset(vm, cpu), since = host - vm->tsc_start;

	/* a deadline in the past fires at once */
	return (int64_t)since < 0 ? 0 : (uint64_t)((unsigned __int128)since * 1000000000u / vm->tsc_hz);
}

static uint64_t earliest_deadline(const struct microvm *vm)
{
	uint64_t d = pit8254_deadline(&vm->pit);

	for (unsigned i = 0; i < vm->config->cpus; i++)
		d = MIN(d, lapic_deadline(&vm->processor[i].lapic));
	return d;
}

/* --- interrupts --- */

static void wake(struct processor *p)
{
	cpu_kick(p->cpu);
	pthread_cond_signal(&p->wake);
}

/* Called with the lock after anything that may have moved a deadline: the boot processor sees to it. */
static void rearm(struct microvm *vm)
{
	if (earliest_deadline(vm) < vm->armed)
		wake(&vm->processor[0]);
}

static void deliver_to(struct processor *p, const struct apic_message *m)
{
	switch (m->mode) {
	case 0: case 1: lapic_post(&p->lapic, m->vector, m->level); break;
	case 4: p->lapic.nmi = true; break;
	case 5:
		p->init = true;
		p->sipi = false;
		break;
	case 6:
		p->sipi = true;
		p->sipi_vector = m->vector;
		break;
	case 7: p->lapic.extint = true; break;
	default: return;
	}
	wake(p);
}

static void send_message(void *data, const struct apic_message *m)
{
	struct microvm *vm = data;

	for (unsigned i = 0; i < vm->config->cpus; i++) {
		if (!lapic_matches(&vm->processor[i].lapic, m))
			continue;
		deliver_to(&vm->processor[i], m);
		if (m->mode == 1)
			return; /* lowest priority: one of them */
	}
}

static void send_ipi(void *data, unsigned from, const struct apic_message *m, unsigned shorthand)
{
	struct microvm *vm = data;

	for (unsigned i = 0; i < vm->config->cpus; i++) {
		bool to = shorthand == 0 ? lapic_matches(&vm->processor[i].lapic, m) : shorthand == 1 ? i == from : shorthand == 2 || i != from;
		if (to)
			deliver_to(&vm->processor[i], m);
	}
}

static void end_of_interrupt(void *data, uint8_t vector)
{
	ioapic_end_of_interrupt(&((struct microvm *)data)->ioapic, vector);
}

static void set_pic_output(void *data, unsigned n _unused_, bool level)
{
	struct microvm *vm = data;

	vm->pic_output = level;
	if (level)
		wake(&vm->processor[0]);
}

/* ISA interrupt N goes to both controllers; input 0 of the 8259 is input 2 of the I/O APIC. */
static void set_isa_irq(void *data, unsigned n, bool level)
{
	struct microvm *vm = data;

	pic8259_set(&vm->pic, n, level);
	ioapic_set(&vm->ioapic, n == 0 ? 2 : n, level);
}

static bool has_interrupt(const struct microvm *vm, const struct processor *p)
{
	return lapic_pending(&p->lapic) >= 0 || p->lapic.nmi || p->init || p->sipi ||
	       (p == &vm->processor[0] && vm->pic_output && lapic_accepts_extint(&p->lapic));
}

/* Hands the vCPU what it can take now, or asks to be called when it can. */
static void inject(struct microvm *vm, struct processor *p)
{
	int vector = lapic_pending(&p->lapic);
	bool ext = p == &vm->processor[0] && vm->pic_output && lapic_accepts_extint(&p->lapic);

	if (p->lapic.nmi) {
		p->lapic.nmi = false;
		cpu_inject_nmi(p->cpu);
	}
	if (vector < 0 && !ext) {
		cpu_request_window(p->cpu, false);
		return;
	}
	if (!cpu_interruptible(p->cpu)) {
		cpu_request_window(p->cpu, true);
		return;
	}
	cpu_request_window(p->cpu, false);
	if (ext) {
		cpu_inject(p->cpu, pic8259_acknowledge(&vm->pic));
	} else {
		lapic_acknowledge(&p->lapic, vector);
		cpu_inject(p->cpu, vector);
	}
}

/* --- the end --- */

static void finish(struct microvm *vm, enum microvm_end end, uint32_t status, const char *why)
{
	uint64_t one = 1;

	if (vm->done)
		return;
	vm->done = true;
	vm->result.end = end;
	vm->result.status = status;
	if (why)
		error_set(&vm->error, EIO, "%s", why);
	for (unsigned i = 0; i < vm->config->cpus; i++) {
		cpu_stop(vm->processor[i].cpu);
		pthread_cond_signal(&vm->processor[i].wake);
	}
	pthread_cond_signal(&vm->ended);
	if (write(vm->console_event, &one, sizeof(one)) < 0)
		return; /* the counter is full: the thread wakes anyway */
}

static void power_event(void *data, enum power_event e, uint32_t status)
{
	static const enum microvm_end ends[] = { [POWER_OFF] = MICROVM_POWER_OFF, [POWER_RESET] = MICROVM_RESET,
						 [POWER_DEBUG_EXIT] = MICROVM_DEBUG_EXIT };

	finish(data, ends[e], status, NULL);
}

static void console_transmit(void *data, const uint8_t *bytes, unsigned len)
{
	struct microvm *vm = data;

	if (vm->config->console_out >= 0 && fd_write_all(vm->config->console_out, bytes, len) < 0)
		finish(vm, MICROVM_FAILED, 0, "the console cannot be written to");
}

/* --- the processor's bus --- */

static uint32_t port_read(void *data, unsigned cpu _unused_, uint16_t port, unsigned size)
{
	struct microvm *vm = data;

	pthread_mutex_lock(&vm->lock);
	uint32_t x = bus_read(&vm->ports, port, size);
	pthread_mutex_unlock(&vm->lock);
	return x;
}

static void port_write(void *data, unsigned cpu _unused_, uint16_t port, unsigned size, uint32_t value)
{
	struct microvm *vm = data;

	pthread_mutex_lock(&vm->lock);
	bus_write(&vm->ports, port, size, value);
	rearm(vm);
	pthread_mutex_unlock(&vm->lock);
}

/* The local APIC's page is each processor's own, unless it is in x2APIC mode. */
static struct lapic *lapic_at(struct microvm *vm, unsigned cpu, uint64_t addr)
{
	struct lapic *a = &vm->processor[cpu].lapic;

	return addr - LAPIC_BASE < 4096 && (a->base & 0xc00) == 0x800 ? a : NULL;
}

static uint64_t memory_read(void *data, unsigned cpu, uint64_t addr, unsigned size)
{
	struct microvm *vm = data;

	pthread_mutex_lock(&vm->lock);
	struct lapic *a = lapic_at(vm, cpu, addr);
	uint64_t x = a ? lapic_ops.read(a, addr - LAPIC_BASE, size) : bus_read(&vm->mem, addr, size);
	pthread_mutex_unlock(&vm->lock);
	return x;
}

static void memory_write(void *data, unsigned cpu, uint64_t addr, unsigned size, uint64_t value)
{
	struct microvm *vm = data;

	pthread_mutex_lock(&vm->lock);
	struct lapic *a = lapic_at(vm, cpu, addr);
	if (a)
		lapic_ops.write(a, addr - LAPIC_BASE, size, value);
	else
		bus_write(&vm->mem, addr, size, value);
	rearm(vm);
	if (a && has_interrupt(vm, &vm->processor[cpu]))
		cpu_kick(vm->processor[cpu].cpu);
	pthread_mutex_unlock(&vm->lock);
}

static int msr_read(void *data, unsigned cpu, uint32_t msr, uint64_t *ret)
{
	struct microvm *vm = data;

	pthread_mutex_lock(&vm->lock);
	int r = lapic_msr_read(&vm->processor[cpu].lapic, msr, ret);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static int msr_write(void *data, unsigned cpu, uint32_t msr, uint64_t value)
{
	struct microvm *vm = data;

	pthread_mutex_lock(&vm->lock);
	int r = lapic_msr_write(&vm->processor[cpu].lapic, msr, value);
	rearm(vm);
	if (has_interrupt(vm, &vm->processor[cpu]))
		cpu_kick(vm->processor[cpu].cpu);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static uint64_t cr8_read(void *data, unsigned cpu)
{
	struct microvm *vm = data;

	return vm->processor[cpu].lapic.tpr >> 4;
}

static void cr8_write(void *data, unsigned cpu, uint64_t value)
{
	struct microvm *vm = data;

	pthread_mutex_lock(&vm->lock);
	vm->processor[cpu].lapic.tpr = value << 4;
	cpu_kick(vm->processor[cpu].cpu);
	pthread_mutex_unlock(&vm->lock);
}

static const struct cpu_bus_ops bus_ops = {
	.port_read = port_read, .port_write = port_write, .memory_read = memory_read, .memory_write = memory_write,
	.msr_read = msr_read, .msr_write = msr_write, .cr8_read = cr8_read, .cr8_write = cr8_write,
};

/* --- threads --- */

static void start_up(struct processor *p)
{
	struct cpu_state s;

	cpu_get_state(p->cpu, &s);
	s.seg[CPU_CS] = (struct cpu_segment){ .base = (uint64_t)p->sipi_vector << 12, .limit = 0xffff, .selector = p->sipi_vector << 8, .attr = 0x9b };
	s.rip = 0;
	cpu_set_state(p->cpu, &s);
	p->waiting_for_sipi = false;
}

static void tick_devices(struct microvm *vm)
{
	pit8254_tick(&vm->pit);
	for (unsigned i = 0; i < vm->config->cpus; i++) {
		struct processor *p = &vm->processor[i];
		lapic_tick(&p->lapic);
		if (has_interrupt(vm, p))
			wake(p);
	}
}

/* The boot processor's duty: what is due happens, and its timer is set for the next. */
static void run_timers(struct microvm *vm)
{
	uint64_t d = earliest_deadline(vm), t = now(vm);

	if (d <= t) {
		tick_devices(vm);
		d = earliest_deadline(vm);
		t = now(vm);
	}
	if (d == vm->armed && d > t)
		return;
	vm->armed = d;
	cpu_set_deadline(vm->processor[0].cpu, d == NEVER ? NEVER : d > t ? d - t : 1);
}

static struct timespec after_ns(uint64_t ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	ns = MIN(ns, 3600000000000ull);
	t.tv_sec += (t.tv_nsec + ns) / 1000000000u;
	t.tv_nsec = (t.tv_nsec + ns) % 1000000000u;
	return t;
}

/* With the lock: sleeps until there is something to do; a halted processor looks after the timers itself. */
static void wait_for_work(struct microvm *vm, struct processor *p)
{
	while (!vm->done && !has_interrupt(vm, p)) {
		uint64_t d = earliest_deadline(vm), t = now(vm);
		if (d == NEVER) {
			pthread_cond_wait(&p->wake, &vm->lock);
			continue;
		}
		if (d > t) {
			struct timespec ts = after_ns(d - t);
			pthread_cond_timedwait(&p->wake, &vm->lock, &ts);
		}
		tick_devices(vm);
	}
}

static bool prepare(struct microvm *vm, struct processor *p)
{
	if (p->init) {
		p->init = false;
		if (p != &vm->processor[0])
			p->waiting_for_sipi = true;
	}
	while (p->waiting_for_sipi && !vm->done) {
		p->init = false;
		if (p->sipi)
			start_up(p);
		else
			pthread_cond_wait(&p->wake, &vm->lock);
	}
	p->sipi = false;
	if (p == &vm->processor[0])
		run_timers(vm);
	inject(vm, p);
	return !vm->done;
}

static void *processor_main(void *data)
{
	struct processor *p = data;
	struct microvm *vm = p->vm;

	pthread_mutex_lock(&vm->lock);
	while (prepare(vm, p)) {
		pthread_mutex_unlock(&vm->lock);
		enum cpu_exit e = cpu_run(p->cpu);
		pthread_mutex_lock(&vm->lock);
		switch (e) {
		case CPU_EXIT_HALTED: wait_for_work(vm, p); break;
		case CPU_EXIT_TRIPLE_FAULT: finish(vm, MICROVM_TRIPLE_FAULT, 0, cpu_error(p->cpu)); break;
		case CPU_EXIT_ERROR: finish(vm, MICROVM_FAILED, 0, cpu_error(p->cpu)); break;
		default: break;
		}
	}
	pthread_mutex_unlock(&vm->lock);
	return NULL;
}

/* A byte from the user; Ctrl-A x leaves, Ctrl-A a sends Ctrl-A. */
static bool filter_escape(struct microvm *vm, uint8_t b)
{
	if (!vm->config->escape)
		return true;
	if (vm->ctrl_a) {
		vm->ctrl_a = false;
		if (b == 'x')
			finish(vm, MICROVM_ESCAPED, 0, NULL);
		return b != 'x';
	}
	vm->ctrl_a = b == 1;
	return b != 1;
}

static bool console_input(struct microvm *vm, int fd)
{
	uint8_t buf[16];
	ssize_t n = read(fd, buf, MIN(uart16550_room(&vm->uart), (unsigned)sizeof(buf)));

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	for (ssize_t i = 0; i < n; i++)
		if (filter_escape(vm, buf[i]))
			uart16550_receive(&vm->uart, buf[i]);
	return true;
}

static void *console_main(void *data)
{
	struct microvm *vm = data;
	int in = vm->config->console_in;
	uint64_t count;

	pthread_mutex_lock(&vm->lock);
	while (!vm->done) {
		bool room = uart16550_room(&vm->uart) > 0;
		struct pollfd fds[2] = { { vm->console_event, POLLIN, 0 }, { room ? in : -1, POLLIN, 0 } };
		int again = !room && in >= 0 ? 10 : -1; /* ms: until the guest has taken what is there */
		pthread_mutex_unlock(&vm->lock);
		int r = poll(fds, 2, again);
		pthread_mutex_lock(&vm->lock);
		if (r > 0 && fds[0].revents && read(vm->console_event, &count, sizeof(count)) < 0 && errno != EAGAIN)
			finish(vm, MICROVM_FAILED, 0, "the console's event descriptor failed");
		if (r > 0 && fds[1].revents && !console_input(vm, in))
			in = -1;
	}
	pthread_mutex_unlock(&vm->lock);
	return NULL;
}

/* --- making --- */

static int add_devices(struct microvm *vm, struct error *err)
{
	const struct region ports[] = {
		{ "the first 8259", 0x20, 2, &pic8259_first_ops, &vm->pic },
		{ "the timer", 0x40, 4, &pit8254_ops, &vm->pit },
		{ "the keyboard controller", 0x60, 1, &power_i8042_data_ops, &vm->power },
		{ "the speaker port", 0x61, 1, &pit8254_port61_ops, &vm->pit },
		{ "the keyboard controller", 0x64, 1, &power_i8042_command_ops, &vm->power },
		{ "the clock", 0x70, 2, &rtc_ops, &vm->rtc },
		{ "the second 8259", 0xa0, 2, &pic8259_second_ops, &vm->pic },
		{ "the debug exit", 0xf4, 4, &power_debug_exit_ops, &vm->power },
		{ "the serial port", 0x3f8, 8, &uart16550_ops, &vm->uart },
		{ "the edge/level registers", 0x4d0, 2, &pic8259_elcr_ops, &vm->pic },
		{ "ACPI events", PM1_EVENT_PORT, 4, &power_pm1_event_ops, &vm->power },
		{ "ACPI control", PM1_CONTROL_PORT, 2, &power_pm1_control_ops, &vm->power },
		{ "the ACPI timer", PM_TIMER_PORT, 4, &power_timer_ops, &vm->power },
		{ "the reset register", RESET_PORT, 1, &power_reset_ops, &vm->power },
	};
	const struct region ioapic = { "the I/O APIC", IOAPIC_BASE, 0x1000, &ioapic_ops, &vm->ioapic };
	int r;

	ioapic_init(&vm->ioapic, send_message, vm);
	pic8259_init(&vm->pic, (struct irq_line){ set_pic_output, vm, 0 });
	pit8254_init(&vm->pit, (struct irq_line){ set_isa_irq, vm, 0 }, now, vm);
	uart16550_init(&vm->uart, (struct irq_line){ set_isa_irq, vm, 4 }, console_transmit, vm);
	power_init(&vm->power, power_event, now, vm);
	rtc_init(&vm->rtc);
	for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
		if ((r = bus_add(&vm->ports, &ports[i], err)) < 0)
			return r;
	return bus_add(&vm->mem, &ioapic, err);
}

static int load(struct microvm *vm, struct error *err)
{
	const struct microvm_config *c = vm->config;
	struct boot_source src = { c->kernel, c->kernel_len, c->initrd, c->initrd_len, c->command_line, acpi_write(&vm->memory, c->cpus) };
	struct cpu_state s;
	int r;

	cpu_get_state(vm->processor[0].cpu, &s);
	if ((r = boot_load(&vm->memory, &src, &s, err)) < 0)
		return r;
	cpu_set_state(vm->processor[0].cpu, &s);
	for (unsigned i = 0; i < c->cpus; i++) { /* all counters start at zero, together */
		cpu_get_state(vm->processor[i].cpu, &s);
		s.tsc_offset = -vm->tsc_start;
		cpu_set_state(vm->processor[i].cpu, &s);
	}
	return 0;
}

static int make(struct microvm *vm, struct error *err)
{
	const struct microvm_config *c = vm->config;
	pthread_condattr_t attr;
	int r;

	vm->tsc_hz = cpu_tsc_hz();
	vm->tsc_start = __rdtsc();
	pthread_mutex_init(&vm->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&vm->ended, &attr);
	vm->console_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->console_event < 0)
		return error_sys(err, errno, "cannot create an event descriptor");
	if ((r = memory_create(c->memory, &vm->memory, err)) < 0)
		return r;
	struct cpu_config cpus = { c->engine, c->cpus, vm->memory.ram, vm->memory.ram_count, &bus_ops, vm };
	if ((r = cpu_vm_create(&cpus, &vm->cpu_vm, err)) < 0)
		return r;
	vm->lapic_host = (struct lapic_host){ send_ipi, end_of_interrupt, now, guest_tsc, tsc_to_ns, vm };
	for (unsigned i = 0; i < c->cpus; i++) {
		struct processor *p = &vm->processor[i];
		p->vm = vm;
		p->cpu = cpu_vcpu_get(vm->cpu_vm, i);
		p->waiting_for_sipi = i > 0;
		pthread_cond_init(&p->wake, &attr);
		lapic_init(&p->lapic, i, &vm->lapic_host);
	}
	if ((r = add_devices(vm, err)) < 0)
		return r;
	return load(vm, err);
}

static int run_threads(struct microvm *vm, struct error *err)
{
	sigset_t all, old;
	pthread_t console;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&console, NULL, console_main, vm);
	bool has_console = r == 0;
	for (unsigned i = 0; i < vm->config->cpus && r == 0; i++)
		if ((r = pthread_create(&vm->processor[i].thread, NULL, processor_main, &vm->processor[i])) == 0)
			vm->processor[i].started = true;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_mutex_lock(&vm->lock);
	if (r)
		finish(vm, MICROVM_FAILED, 0, "cannot create a thread");
	while (!vm->done)
		pthread_cond_wait(&vm->ended, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
	for (unsigned i = 0; i < vm->config->cpus; i++)
		if (vm->processor[i].started)
			pthread_join(vm->processor[i].thread, NULL);
	if (has_console)
		pthread_join(console, NULL);
	return r ? error_sys(err, r, "cannot create a thread of the virtual machine") : 0;
}

static void add_stats(struct cpu_stats *sum, const struct cpu_stats *s)
{
	const uint64_t *from = (const uint64_t *)s;
	uint64_t *to = (uint64_t *)sum;

	for (unsigned i = 0; i < sizeof(*s) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

int microvm_run(const struct microvm_config *config, struct microvm_result *ret, struct error *err)
{
	struct microvm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return error_oom(err);
	vm->config = config;
	vm->console_event = -1;
	if (config->cpus < 1 || config->cpus > CPU_MAX)
		r = error_set(err, EINVAL, "%u virtual processors asked for: 1 to %u are supported", config->cpus, CPU_MAX);
	else if ((r = make(vm, err)) == 0)
		r = run_threads(vm, err);
	if (r == 0) {
		for (unsigned i = 0; i < config->cpus; i++) {
			struct cpu_stats s;
			cpu_get_stats(vm->processor[i].cpu, &s);
			add_stats(&vm->result.stats, &s);
		}
		*ret = vm->result;
		if (vm->error.code && err)
			*err = vm->error;
	}
	cpu_vm_destroy(vm->cpu_vm);
	memory_free(&vm->memory);
	safe_close(vm->console_event);
	free(vm);
	return r;
}
