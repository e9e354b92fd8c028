#include "cpu/soft/fault.h"

#include <signal.h>
#include <sys/mman.h>
#include <stddef.h>
#include <ucontext.h>

#include "cpu/soft/core.h"

#define ALT_STACK (64 * 1024)

/* Read by the handler's first instructions, before it has a thread pointer. */
__attribute__((used)) static uint64_t code_lo, code_hi;
static const uint8_t *leave_stub;

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
static struct sigaction old_actions[4];

/* Not in translated code: a bug of ours (or of a library), which the default action reports. */
static void not_ours(int sig)
{
	for (unsigned i = 0; i < 4; i++)
		if (signals[i] == sig)
			sigaction(sig, &old_actions[i], NULL);
}

static int guest_vector(const ucontext_t *uc)
{
	switch (uc->uc_mcontext.gregs[REG_TRAPNO]) {
	case EXC_DE: case EXC_UD: case EXC_MF: case EXC_AC: case EXC_XM: return uc->uc_mcontext.gregs[REG_TRAPNO];
	default: return EXC_GP;
	}
}

__attribute__((used)) static void on_fault_c(int sig, siginfo_t *info, ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;
	uint64_t rip = g[REG_RIP];

	if (rip < code_lo || rip >= code_hi) {
		not_ours(sig);
		return;
	}
	struct core *k;
	__asm__("rdgsbase %0" : "=r"(k));
	k = (struct core *)((uint8_t *)k - CORE_BYTES);
	uint64_t addr = (uint64_t)info->si_addr;
	if (g[REG_TRAPNO] == EXC_PF && addr < k->rs_base && addr + 65536 >= k->rs_base - RETURN_STACK_BYTES) {
		g[REG_RSP] = k->rs_base; /* calls nested too deep: forget them and go on */
		return;
	}
	k->fault_vector = guest_vector(uc);
	k->fault_rip = rip;
	k->exit_kind = EXIT_FAULT;
	/* as if the instruction had been a call of the exit stub */
	g[REG_RSP] -= 8;
	*(uint64_t *)g[REG_RSP] = rip;
	g[REG_RIP] = (greg_t)leave_stub;
}

/* Translated code has FS for itself: the C handler needs the thread's. 168 is the offset of RIP in ucontext_t. */
_Static_assert(offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP]) == 168, "ucontext_t as the handler's entry knows it");

#define STR2(x) #x
#define STR(x) STR2(x)
_Static_assert(CORE_BYTES == 4096, "the handler's entry knows it");

__attribute__((naked)) static void on_fault(int sig _unused_, siginfo_t *info _unused_, void *uc _unused_)
{
	__asm__("rdfsbase %rax\n\t"
		"push %rax\n\t"
		"mov 168(%rdx), %rcx\n\t"
		"cmp code_lo(%rip), %rcx\n\t"
		"jb 1f\n\t"
		"cmp code_hi(%rip), %rcx\n\t"
		"jae 1f\n\t"
		"mov %gs:-" STR(CORE_BYTES_LITERAL) "+" STR(HOST_FS_OFFSET) ", %rax\n\t"
		"wrfsbase %rax\n\t"
		"1: call on_fault_c\n\t"
		"pop %rax\n\t"
		"wrfsbase %rax\n\t"
		"ret");
}
_Static_assert(offsetof(struct core, host_fs) == HOST_FS_OFFSET, "the handler's entry knows it");

/* Anywhere in the engine, translated code included: no stack protector, no thread pointer. 24 is the offset of si_value. */
__attribute__((naked)) static void on_timer(int sig _unused_, siginfo_t *info _unused_, void *uc _unused_)
{
	__asm__("mov 24(%rsi), %rax\n\t"
		"movl $1, " STR(TIMER_KICK_OFFSET) "(%rax)\n\t"
		"movl $1, " STR(KICK_OFFSET) "(%rax)\n\t"
		"ret");
}
_Static_assert(offsetof(siginfo_t, si_value) == 24 && offsetof(struct core, kick) == KICK_OFFSET &&
		       offsetof(struct core, timer_kick) == TIMER_KICK_OFFSET,
	       "as the handler knows them");

int fault_timer_create(struct core *core, timer_t *ret, struct error *err)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN, .sigev_value.sival_ptr = core };
	struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	sigset_t set;

	sa.sa_sigaction = on_timer;
	sigfillset(&sa.sa_mask);
	ev._sigev_un._tid = gettid();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	if (sigaction(SIGRTMIN, &sa, NULL) < 0 || pthread_sigmask(SIG_UNBLOCK, &set, NULL) || timer_create(CLOCK_MONOTONIC, &ev, ret) < 0)
		return error_sys(err, errno, "cannot create a timer for a vCPU");
	return 0;
}

int fault_install(uint64_t lo, uint64_t hi, const uint8_t *leave, struct error *err)
{
	struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

	if (code_hi)
		return error_set(err, EBUSY, "one process runs one virtual machine, and this one has one already");
	code_lo = lo;
	code_hi = hi;
	leave_stub = leave;
	sa.sa_sigaction = on_fault;
	sigfillset(&sa.sa_mask);
	for (unsigned i = 0; i < 4; i++)
		if (sigaction(signals[i], &sa, &old_actions[i]) < 0)
			return error_sys(err, errno, "cannot catch the signals of guest faults");
	return 0;
}

void fault_remove(void)
{
	for (unsigned i = 0; i < 4; i++)
		sigaction(signals[i], &old_actions[i], NULL);
	code_lo = code_hi = 0;
}

int fault_thread_stack(void **ret, struct error *err)
{
	void *p = mmap(NULL, ALT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t ss = { .ss_sp = p, .ss_size = ALT_STACK };

	if (p == MAP_FAILED)
		return error_oom(err);
	if (sigaltstack(&ss, NULL) < 0) {
		munmap(p, ALT_STACK);
		return error_sys(err, errno, "cannot set the stack for guest faults");
	}
	*ret = p;
	return 0;
}

void fault_thread_stack_free(void *stack)
{
	stack_t ss = { .ss_flags = SS_DISABLE };

	if (!stack)
		return;
	sigaltstack(&ss, NULL);
	munmap(stack, ALT_STACK);
}
