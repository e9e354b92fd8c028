/*
 * Processor models: what CPUID (SDM volume 2) answers. `ringwall-v2` is x86-64-v2 as of the x86-64 psABI, from Intel by
 * vendor so that leaf 0x15 tells the clock, with the capability bits that say "not affected" (docs/soft-engine.md has
 * the reasons). Instructions that run natively are offered only when the host has them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

/* What of the vCPU's state shows in the answers. */
struct cpuid_context {
	unsigned vcpu, vcpus;
	bool osxsave, ospke;
	uint64_t tsc_hz;
};

struct cpuid_regs cpuid_answer(const struct cpuid_context *ctx, uint32_t leaf, uint32_t subleaf);

/* IA32_ARCH_CAPABILITIES of the model. */
uint64_t cpuid_arch_capabilities(void);
