/* Machine faults in compiled code become traps; all others go where they went before. */
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "wasm/runtime/call.h"
#include "wasm/runtime/code.h"

static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
static struct sigaction previous[ARRAY_SIZE(signals)];

static void pass_on(int sig, siginfo_t *info, void *context)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		const struct sigaction *sa = &previous[i];

		if (signals[i] != sig)
			continue;
		if (sa->sa_flags & SA_SIGINFO) {
			sa->sa_sigaction(sig, info, context);
		} else if (sa->sa_handler == SIG_DFL || sa->sa_handler == SIG_IGN) {
			signal(sig, SIG_DFL); /* the faulting instruction runs again and ends the process */
		} else {
			sa->sa_handler(sig);
		}
	}
}

/* rbx is wasm_enter's frame only in wasm_enter itself: the frame is found through the instance, which r14 holds. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	struct wasm_code *code;
	const struct wasm_code_func *f = wasm_code_find((const void *)regs[REG_RIP], &code);
	const struct wasm_code_site *site =
		f ? wasm_code_site_at(f, (uint32_t)((const uint8_t *)regs[REG_RIP] - code->region)) : NULL;
	struct wasm_instance *instance;

	if (!site || site->trap == WASM_TRAP_NONE) {
		pass_on(sig, info, context);
		return;
	}
	instance = (struct wasm_instance *)regs[REG_R14];
	regs[REG_RDI] = (greg_t)instance->store->exec.frames;
	regs[REG_RSI] = (greg_t)site->trap;
	regs[REG_RIP] = (greg_t)wasm_unwind;
}

static void install(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, &previous[i]);
}

void wasm_trap_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}
