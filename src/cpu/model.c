#include "cpu/model.h"

#include <cpuid.h>
#include <stddef.h>

#define BIT(n) (1u << (n))

/* Leaf 1. What the engine implements itself, and what it passes to the host's execution units. */
#define EDX1_OWN                                                                                                       \
	(BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(11) | BIT(12) | BIT(13) |       \
	 BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26))
#define ECX1_OWN (BIT(0) | BIT(9) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(31))
#define ECX1_HOST (BIT(1) | BIT(22) | BIT(25) | BIT(30)) /* pclmulqdq, movbe, aes, rdrand */

/* Leaf 7: fsgsbase, smep, erms, invpcid, smap; umip, pku; ibrs, stibp, arch_capabilities, ssbd */
#define EBX7 (BIT(0) | BIT(7) | BIT(9) | BIT(10) | BIT(20))
#define ECX7 (BIT(2) | BIT(3))
#define EDX7 (BIT(26) | BIT(27) | BIT(29) | BIT(31))

#define CRYSTAL_HZ 100000000u

static struct cpuid_regs host(uint32_t leaf)
{
	struct cpuid_regs r = { 0 };

	__get_cpuid(leaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
	return r;
}

static struct cpuid_regs words(const char *s)
{
	struct cpuid_regs r;

	__builtin_memcpy(&r, s, sizeof(r));
	return r;
}

static struct cpuid_regs leaf1(const struct cpuid_context *ctx)
{
	/* family 6, model 0xd0: none that kernels keep a list of errata for */
	struct cpuid_regs r = { .eax = 0x000d0601 };

	r.ebx = ctx->vcpu << 24 | ctx->vcpus << 16 | 8 << 8;
	r.ecx = ECX1_OWN | (ECX1_HOST & host(1).ecx) | (ctx->osxsave ? BIT(27) : 0);
	r.edx = EDX1_OWN | (ctx->vcpus > 1 ? BIT(28) : 0);
	return r;
}

static struct cpuid_regs leaf4(uint32_t subleaf)
{
	/* 32 KiB L1 data and code, 1 MiB L2; private */
	static const struct cpuid_regs caches[] = {
		{ 0x121, 7 << 22 | 63, 63, 0 }, { 0x122, 7 << 22 | 63, 63, 0 }, { 0x143, 15 << 22 | 63, 1023, 0 },
	};
	return subleaf < sizeof(caches) / sizeof(caches[0]) ? caches[subleaf] : (struct cpuid_regs){ 0 };
}

static struct cpuid_regs leaf_topology(const struct cpuid_context *ctx, uint32_t subleaf)
{
	unsigned bits = ctx->vcpus > 1 ? 32 - (unsigned)__builtin_clz(ctx->vcpus - 1) : 0;

	if (subleaf == 0)
		return (struct cpuid_regs){ 0, 1, 1 << 8, ctx->vcpu };
	if (subleaf == 1)
		return (struct cpuid_regs){ bits, ctx->vcpus, 2 << 8 | 1, ctx->vcpu };
	return (struct cpuid_regs){ 0, 0, subleaf, ctx->vcpu };
}

static struct cpuid_regs basic(const struct cpuid_context *ctx, uint32_t leaf, uint32_t subleaf)
{
	switch (leaf) {
	case 0: return (struct cpuid_regs){ 0x16, 0x756e6547, 0x6c65746e, 0x49656e69 };
	case 1: return leaf1(ctx);
	case 2: return (struct cpuid_regs){ 0x00feff01, 0, 0, 0 };
	case 4: return leaf4(subleaf);
	case 7:
		if (subleaf == 2)
			return (struct cpuid_regs){ .edx = BIT(4) }; /* BHI_CTRL: no software loop at each system call */
		if (subleaf)
			return (struct cpuid_regs){ 0 };
		return (struct cpuid_regs){ 2, EBX7, ECX7 | (ctx->ospke ? BIT(4) : 0), EDX7 };
	case 0xb: return leaf_topology(ctx, subleaf);
	case 0x15: /* Linux multiplies the kHz of the crystal by EBX in 32 bits */
		return (struct cpuid_regs){ CRYSTAL_HZ / 200000, (uint32_t)(ctx->tsc_hz / 200000), CRYSTAL_HZ, 0 };
	case 0x16: return (struct cpuid_regs){ (uint32_t)(ctx->tsc_hz / 1000000), (uint32_t)(ctx->tsc_hz / 1000000), 100, 0 };
	default: return (struct cpuid_regs){ 0 };
	}
}

struct cpuid_regs cpuid_answer(const struct cpuid_context *ctx, uint32_t leaf, uint32_t subleaf)
{
	static const char brand[] = "Ringwall virtual CPU x86-64-v2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

	switch (leaf) {
	case 0x40000000: return (struct cpuid_regs){ 0x40000000, 0x676e6952, 0x6c6c6177, 0x6c6c6177 }; /* "Ringwallwall" */
	case 0x80000000: return (struct cpuid_regs){ 0x80000008, 0, 0, 0 };
	case 0x80000001: /* lahf; syscall, nx, 1 GiB pages, rdtscp, long mode */
		return (struct cpuid_regs){ 0, 0, BIT(0), BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29) };
	case 0x80000002 ... 0x80000004: return words(brand + 16 * (leaf - 0x80000002));
	case 0x80000006: return (struct cpuid_regs){ 0, 0, 1024 << 16 | 6 << 12 | 64, 0 };
	case 0x80000007: return (struct cpuid_regs){ 0, 0, 0, BIT(8) }; /* invariant TSC */
	case 0x80000008: return (struct cpuid_regs){ 48 << 8 | 46, 0, 0, 0 };
	default: return leaf < 0x40000000 ? basic(ctx, leaf, subleaf) : (struct cpuid_regs){ 0 };
	}
}

uint64_t cpuid_arch_capabilities(void)
{
	/* RDCL_NO IBRS_ALL SKIP_L1DFL SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO SBDR_SSDP_NO FBSDP_NO PSDP_NO BHI_NO PBRSB_NO GDS_NO RFDS_NO */
	return BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(13) | BIT(14) | BIT(15) | BIT(20) | BIT(24) | BIT(26) |
	       BIT(27) | 1ull << 62; /* ITS_NO */
}
