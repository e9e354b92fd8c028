/* System instructions: control, debug and model-specific registers, tables, privilege changes (SDM volume 3). */
#include <errno.h>
#include <x86intrin.h>

#include "cpu/model.h"
#include "cpu/soft/cache.h"
#include "cpu/soft/event.h"
#include "cpu/soft/interp.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/segment.h"

static void require_cpl0(struct vcpu *v)
{
	if (v->core->cpl)
		raise_error(v, EXC_GP, 0);
}

static bool canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

enum { CODE64 = 0xa09b, CODE32 = 0xc09b, DATA32 = 0xc093 };

static bool iopl_allows(const struct vcpu *v)
{
	return v->core->cpl <= (v->core->rflags & F_IOPL) >> 12;
}

/* --- control registers --- */

static void check_long_mode_entry(struct vcpu *v)
{
	if (!(v->cr4 & CR4_PAE) || (v->core->seg[SEG_CS].attr & ATTR_L))
		raise_error(v, EXC_GP, 0);
}

static void set_cr0(struct vcpu *v, uint64_t x)
{
	uint64_t old = v->cr0;

	if ((x >> 32) || ((x & CR0_PG) && !(x & CR0_PE)) || ((x & (1u << 29)) && !(x & (1u << 30))))
		raise_error(v, EXC_GP, 0);
	x = (x & 0xe005003full) | CR0_ET;
	if ((x & CR0_PG) && !(old & CR0_PG) && (v->efer & EFER_LME)) {
		check_long_mode_entry(v);
		v->efer |= EFER_LMA;
	}
	if (!(x & CR0_PG) && (old & CR0_PG)) {
		if (v->mode == 8 || (v->cr4 & CR4_PCIDE))
			raise_error(v, EXC_GP, 0);
		v->efer &= ~EFER_LMA;
	}
	v->cr0 = x;
	if ((old ^ x) & (CR0_PG | CR0_WP | CR0_PE))
		mmu_flush_all(v);
	mode_update(v);
}

static void set_cr4(struct vcpu *v, uint64_t x)
{
	const uint64_t known = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP |
			       CR4_FSGSBASE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE;
	uint64_t old = v->cr4;

	if ((x & ~known) || (long_mode(v) && !(x & CR4_PAE)) ||
	    ((x & CR4_PCIDE) && !(old & CR4_PCIDE) && (!long_mode(v) || (v->cr3 & 0xfff))))
		raise_error(v, EXC_GP, 0);
	v->cr4 = x;
	if ((old ^ x) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE))
		mmu_flush_all(v);
	if ((old ^ x) & CR4_OSFXSR)
		cache_mappings_changed(v);
	mmu_update_view(v);
}

static void mov_from_cr(struct vcpu *v, const struct insn *in)
{
	unsigned n = in->reg + (in->lock ? 8 : 0);
	uint64_t x;

	require_cpl0(v);
	switch (n) {
	case 0: x = v->cr0; break;
	case 2: x = v->cr2; break;
	case 3: x = v->cr3; break;
	case 4: x = v->cr4; break;
	case 8: x = v->vm->bus->cr8_read(v->vm->bus_data, v->index); break;
	default: raise_exception(v, EXC_UD);
	}
	reg_set(v, in->rm, v->mode == 8 ? 8 : 4, true, x);
}

static void mov_to_cr(struct vcpu *v, const struct insn *in)
{
	unsigned n = in->reg + (in->lock ? 8 : 0);
	uint64_t x = v->mode == 8 ? v->core->gpr[in->rm] : v->core->gpr[in->rm] & 0xffffffff;

	require_cpl0(v);
	switch (n) {
	case 0: set_cr0(v, x); break;
	case 2: v->cr2 = x; break;
	case 3:
		if (x & (v->cr4 & CR4_PCIDE ? 0x7fffc00000000000ull : long_mode(v) ? 0xffffc00000000000ull : 0))
			raise_error(v, EXC_GP, 0);
		mmu_set_cr3(v, x);
		break;
	case 4: set_cr4(v, x); break;
	case 8:
		if (x & ~15ull)
			raise_error(v, EXC_GP, 0);
		v->vm->bus->cr8_write(v->vm->bus_data, v->index, x);
		break;
	default: raise_exception(v, EXC_UD);
	}
}

static void mov_dr(struct vcpu *v, const struct insn *in)
{
	unsigned n = in->reg;

	if (n > 7 || ((n == 4 || n == 5) && (v->cr4 & CR4_DE)))
		raise_exception(v, EXC_UD);
	require_cpl0(v);
	if (v->dr[7] & (1u << 13)) {
		v->dr[6] |= 1u << 13;
		raise_exception(v, EXC_DB);
	}
	n = n == 4 || n == 5 ? n + 2 : n;
	if (in->op == OP_MOV_FROM_DR) {
		reg_set(v, in->rm, v->mode == 8 ? 8 : 4, true, v->dr[n]);
		return;
	}
	uint64_t x = v->mode == 8 ? v->core->gpr[in->rm] : v->core->gpr[in->rm] & 0xffffffff;
	if (n >= 6 && x >> 32)
		raise_error(v, EXC_GP, 0);
	v->dr[n] = n == 6 ? (x & 0xe00f) | 0xffff0ff0 : n == 7 ? (x & 0xffff2bff) | 0x400 : x;
}

/* --- model-specific registers --- */

enum {
	MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17, MSR_APIC_BASE = 0x1b, MSR_FEATURE_CONTROL = 0x3a, MSR_SPEC_CTRL = 0x48,
	MSR_PRED_CMD = 0x49, MSR_UCODE_REV = 0x8b, MSR_MTRR_CAP = 0xfe, MSR_ARCH_CAP = 0x10a, MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP,
	MSR_SYSENTER_EIP, MSR_MCG_CAP = 0x179, MSR_MCG_STATUS, MSR_MISC_ENABLE = 0x1a0, MSR_MTRR_VAR = 0x200, MSR_MTRR_FIX64K = 0x250,
	MSR_MTRR_FIX16K = 0x258, MSR_MTRR_FIX4K = 0x268, MSR_PAT = 0x277, MSR_MTRR_DEF = 0x2ff, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800,
};
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103

static uint64_t *mtrr(struct vcpu *v, uint32_t msr)
{
	if (msr >= MSR_MTRR_VAR && msr < MSR_MTRR_VAR + 16)
		return &v->mtrr_var[msr - MSR_MTRR_VAR];
	if (msr == MSR_MTRR_FIX64K)
		return &v->mtrr_fixed[0];
	if (msr == MSR_MTRR_FIX16K || msr == MSR_MTRR_FIX16K + 1)
		return &v->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K];
	if (msr >= MSR_MTRR_FIX4K && msr < MSR_MTRR_FIX4K + 8)
		return &v->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K];
	return msr == MSR_MTRR_DEF ? &v->mtrr_def : NULL;
}

/* Registers that are plain storage; *RET_CANONICAL: hold an address. */
static uint64_t *stored_msr(struct vcpu *v, uint32_t msr, bool *ret_canonical)
{
	struct core *k = v->core;

	*ret_canonical = true;
	switch (msr) {
	case MSR_LSTAR: return &k->lstar;
	case MSR_CSTAR: return &v->cstar;
	case MSR_FS_BASE: return &k->seg[SEG_FS].base;
	case MSR_GS_BASE: return &k->seg[SEG_GS].base;
	case MSR_KERNEL_GS_BASE: return &k->kernel_gs_base;
	case MSR_SYSENTER_ESP: return &v->sysenter_esp;
	case MSR_SYSENTER_EIP: return &v->sysenter_eip;
	}
	*ret_canonical = false;
	switch (msr) {
	case MSR_STAR: return &k->star;
	case MSR_SFMASK: return &k->sfmask;
	case MSR_SYSENTER_CS: return &v->sysenter_cs;
	case MSR_MISC_ENABLE: return &v->misc_enable;
	case MSR_TSC_AUX: return &k->tsc_aux;
	}
	return mtrr(v, msr);
}

static int msr_read(struct vcpu *v, uint32_t msr, uint64_t *ret)
{
	bool addr;
	const uint64_t *p = stored_msr(v, msr, &addr);

	if (p) {
		*ret = *p;
		return 0;
	}
	switch (msr) {
	case MSR_TSC: *ret = __rdtsc() + v->core->tsc_offset; return 0;
	case MSR_EFER: *ret = v->efer; return 0;
	case MSR_PAT: *ret = v->pat; return 0;
	case MSR_SPEC_CTRL: *ret = v->spec_ctrl; return 0;
	case MSR_ARCH_CAP: *ret = cpuid_arch_capabilities(); return 0;
	case MSR_MTRR_CAP: *ret = 8 | 1 << 8 | 1 << 10; return 0;
	case MSR_FEATURE_CONTROL: *ret = 1; return 0;
	case MSR_UCODE_REV: *ret = 1ull << 32; return 0;
	case MSR_PLATFORM_ID: case MSR_MCG_CAP: case MSR_MCG_STATUS: *ret = 0; return 0;
	}
	return v->vm->bus->msr_read(v->vm->bus_data, v->index, msr, ret);
}

static int set_efer(struct vcpu *v, uint64_t x)
{
	if ((x & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) || (((x ^ v->efer) & EFER_LME) && (v->cr0 & CR0_PG)))
		return -ENOENT;
	uint64_t changed = x ^ v->efer;
	v->efer = (x & ~EFER_LMA) | (v->efer & EFER_LMA);
	if (changed & EFER_NXE)
		mmu_flush_all(v);
	syscall_registers_changed(v);
	return 0;
}

static int set_pat(struct vcpu *v, uint64_t x)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned t = x >> (8 * i) & 0xff;
		if (t > 7 || t == 2 || t == 3)
			return -ENOENT;
	}
	v->pat = x;
	return 0;
}

/* A flat segment as the second word of struct cpu_segment: limit, selector, attributes. */
static uint64_t flat_word(uint16_t selector, uint16_t attr)
{
	return 0xffffffff | (uint64_t)selector << 32 | (uint64_t)attr << 48;
}

void syscall_registers_changed(struct vcpu *v)
{
	struct core *k = v->core;

	k->syscall_ok = v->efer & EFER_SCE;
	k->syscall_cs = flat_word(k->star >> 32 & ~3, CODE64);
	k->syscall_ss = flat_word((k->star >> 32) + 8, DATA32);
	k->sysret_cs = flat_word(((k->star >> 48) + 16) | 3, CODE64 | 3 << 5);
	k->sysret_ss = flat_word(((k->star >> 48) + 8) | 3, DATA32 | 3 << 5);
}

static int msr_write(struct vcpu *v, uint32_t msr, uint64_t x)
{
	bool addr;
	uint64_t *p = stored_msr(v, msr, &addr);

	if (p) {
		if (addr && !canonical(x))
			return -ENOENT;
		*p = msr == MSR_TSC_AUX ? x & 0xffffffff : x;
		if (msr == MSR_STAR)
			syscall_registers_changed(v);
		return 0;
	}
	switch (msr) {
	case MSR_TSC: v->core->tsc_offset = x - __rdtsc(); return 0;
	case MSR_EFER: return set_efer(v, x);
	case MSR_PAT: return set_pat(v, x);
	case MSR_SPEC_CTRL:
		if (x & ~0x407ull) /* IBRS, STIBP, SSBD, BHI_DIS_S */
			return -ENOENT;
		v->spec_ctrl = x;
		return 0;
	case MSR_PRED_CMD: return x & ~1ull ? -ENOENT : 0;
	case MSR_UCODE_REV: case MSR_MCG_STATUS: return 0;
	}
	return v->vm->bus->msr_write(v->vm->bus_data, v->index, msr, x);
}

static void exec_msr(struct vcpu *v, const struct insn *in)
{
	uint64_t *g = v->core->gpr, x = (g[CPU_RDX] << 32) | (g[CPU_RAX] & 0xffffffff);

	require_cpl0(v);
	fpu_release(v);
	if (in->op == OP_WRMSR) {
		if (msr_write(v, g[CPU_RCX], x) < 0)
			raise_error(v, EXC_GP, 0);
		return;
	}
	if (msr_read(v, g[CPU_RCX], &x) < 0)
		raise_error(v, EXC_GP, 0);
	g[CPU_RAX] = x & 0xffffffff;
	g[CPU_RDX] = x >> 32;
}

/* --- privilege changes --- */

static struct cpu_segment flat(uint16_t selector, uint16_t attr)
{
	return (struct cpu_segment){ .selector = selector, .limit = 0xffffffff, .attr = attr };
}


static void exec_syscall(struct vcpu *v)
{
	struct core *k = v->core;

	if (!(v->efer & EFER_SCE) || v->mode != 8) /* Intel: 64-bit mode only */
		raise_exception(v, EXC_UD);
	k->gpr[CPU_RCX] = v->next_rip;
	k->gpr[11] = k->rflags & ~(uint64_t)F_RF;
	struct cpu_segment cs = flat(k->star >> 32 & ~3, CODE64);
	k->seg[SEG_SS] = flat((k->star >> 32) + 8, DATA32);
	rflags_set(v, 0, k->sfmask | F_RF);
	cs_install(v, &cs, 0, k->lstar);
	cache_privilege_changed(v);
}

static void exec_sysret(struct vcpu *v, const struct insn *in)
{
	struct core *k = v->core;
	bool wide = in->osz == 8;
	uint64_t rip = wide ? k->gpr[CPU_RCX] : k->gpr[CPU_RCX] & 0xffffffff;

	if (!(v->efer & EFER_SCE) || v->mode != 8)
		raise_exception(v, EXC_UD);
	require_cpl0(v);
	if (!canonical(rip))
		raise_error(v, EXC_GP, 0);
	rflags_set(v, k->gpr[11], F_ALL & ~(F_RF | F_VM));
	struct cpu_segment cs = flat(((k->star >> 48) + (wide ? 16 : 0)) | 3, (wide ? CODE64 : CODE32) | 3 << 5);
	k->seg[SEG_SS] = flat(((k->star >> 48) + 8) | 3, DATA32 | 3 << 5);
	cs_install(v, &cs, 3, rip);
	cache_privilege_changed(v);
}

static void exec_sysenter(struct vcpu *v)
{
	struct core *k = v->core;

	if (!(v->cr0 & CR0_PE) || !(v->sysenter_cs & 0xfffc))
		raise_error(v, EXC_GP, 0);
	rflags_set(v, 0, F_VM | F_IF);
	struct cpu_segment cs = flat(v->sysenter_cs & ~3, long_mode(v) ? CODE64 : CODE32);
	k->seg[SEG_SS] = flat((v->sysenter_cs & ~3) + 8, DATA32);
	cs_install(v, &cs, 0, long_mode(v) ? v->sysenter_eip : v->sysenter_eip & 0xffffffff);
	k->gpr[RSP] = long_mode(v) ? v->sysenter_esp : v->sysenter_esp & 0xffffffff;
	cache_privilege_changed(v);
}

static void exec_sysexit(struct vcpu *v, const struct insn *in)
{
	struct core *k = v->core;
	bool wide = in->osz == 8;
	uint64_t rip = k->gpr[CPU_RDX], sp = k->gpr[CPU_RCX];

	if (!(v->cr0 & CR0_PE) || !(v->sysenter_cs & 0xfffc))
		raise_error(v, EXC_GP, 0);
	require_cpl0(v);
	if (wide && (!canonical(rip) || !canonical(sp)))
		raise_error(v, EXC_GP, 0);
	unsigned off = wide ? 32 : 16;
	struct cpu_segment cs = flat((v->sysenter_cs + off) | 3, (wide ? CODE64 : CODE32) | 3 << 5);
	k->seg[SEG_SS] = flat((v->sysenter_cs + off + 8) | 3, DATA32 | 3 << 5);
	cs_install(v, &cs, 3, wide ? rip : rip & 0xffffffff);
	k->gpr[RSP] = wide ? sp : sp & 0xffffffff;
	cache_privilege_changed(v);
}

/* --- segment and table instructions --- */

static void exec_mov_seg(struct vcpu *v, const struct insn *in)
{
	unsigned seg = in->reg & 7;

	if (in->op == OP_MOV_FROM_SEG) {
		uint64_t sel = v->core->seg[seg].selector;
		if (in->mod == 3)
			reg_set(v, in->rm, in->osz, true, sel);
		else
			rm_write(v, in, 2, sel);
		return;
	}
	seg_load(v, seg, rm_read(v, in, 2));
	if (seg == SEG_SS)
		v->core->shadow = 1;
}

static void exec_lxs(struct vcpu *v, const struct insn *in)
{
	unsigned seg = in->map == 0 ? (in->opc == 0xc4 ? SEG_ES : SEG_DS) : in->opc == 0xb2 ? SEG_SS : in->opc == 0xb4 ? SEG_FS : SEG_GS;
	uint64_t a = operand_address(v, in, in->osz + 2, false), off = mem_read(v, a, in->osz);

	seg_load(v, seg, mem_read(v, a + in->osz, 2));
	reg_set(v, in->reg, in->osz, true, off);
}

static void set_zf(struct vcpu *v, bool on)
{
	v->core->rflags = (v->core->rflags & ~(uint64_t)F_ZF) | (on ? F_ZF : 0);
}

static void exec_arpl(struct vcpu *v, const struct insn *in)
{
	if (real_mode(v))
		raise_exception(v, EXC_UD);
	uint16_t a = rm_read(v, in, 2), b = v->core->gpr[in->reg];
	bool less = (a & 3) < (b & 3);
	rm_write(v, in, 2, less ? (a & ~3) | (b & 3) : a);
	set_zf(v, less);
}

/* LAR, LSL, VERR, VERW: whether SELECTOR may be looked at, and its descriptor. */
static bool inspect(struct vcpu *v, uint16_t selector, struct descriptor *d, unsigned system_types)
{
	if (!(selector & ~3) || !desc_probe(v, selector, d))
		return false;
	unsigned type = desc_type(d->low), dpl = desc_dpl(d->low);
	if (!desc_s(d->low) && !(system_types >> type & 1))
		return false;
	return (desc_s(d->low) && (type & 0xc) == 0xc) || (dpl >= v->core->cpl && dpl >= (unsigned)(selector & 3));
}

static void exec_lar_lsl(struct vcpu *v, const struct insn *in)
{
	struct descriptor d;
	bool lar = in->op == OP_LAR;
	unsigned types = long_mode(v) ? 1 << 2 | 1 << 9 | 1 << 11 | (lar ? 1 << 12 : 0)
				      : 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11 | (lar ? 1 << 4 | 1 << 5 | 1 << 12 : 0);

	if (real_mode(v))
		raise_exception(v, EXC_UD);
	bool ok = inspect(v, rm_read(v, in, 2), &d, types);
	if (ok)
		reg_set(v, in->reg, in->osz, true, lar ? d.low >> 32 & 0x00ffff00 : desc_segment(&d, 0, false).limit);
	set_zf(v, ok);
}

static void umip_check(struct vcpu *v)
{
	if ((v->cr4 & CR4_UMIP) && v->core->cpl)
		raise_error(v, EXC_GP, 0);
}

static void store_word(struct vcpu *v, const struct insn *in, uint64_t x)
{
	if (in->mod == 3)
		reg_set(v, in->rm, in->osz, true, x);
	else
		rm_write(v, in, 2, x);
}

static void exec_group6(struct vcpu *v, const struct insn *in)
{
	struct descriptor d;
	unsigned n = in->reg & 7;

	if (real_mode(v) || n > 5)
		raise_exception(v, EXC_UD);
	if (n < 2) {
		umip_check(v);
		store_word(v, in, n ? v->tr.selector : v->ldtr.selector);
		return;
	}
	if (n < 4) {
		require_cpl0(v);
		uint16_t sel = rm_read(v, in, 2);
		if (n == 2)
			seg_load_ldtr(v, sel);
		else
			seg_load_tr(v, sel);
		return;
	}
	bool ok = inspect(v, rm_read(v, in, 2), &d, 0);
	if (ok) {
		unsigned type = desc_type(d.low);
		ok = n == 4 ? !(type & 8) || (type & 2) : !(type & 8) && (type & 2);
	}
	set_zf(v, ok);
}

static void load_table(struct vcpu *v, const struct insn *in, struct cpu_table *t)
{
	unsigned n = v->mode == 8 ? 8 : 4;
	uint64_t a = operand_address(v, in, 2 + n, false);
	uint16_t limit = mem_read(v, a, 2);
	uint64_t base = mem_read(v, a + 2, n);

	require_cpl0(v);
	if (n == 8 && !canonical(base))
		raise_error(v, EXC_GP, 0);
	t->limit = limit;
	t->base = n == 4 && in->osz == 2 ? base & 0xffffff : base;
}

static void store_table(struct vcpu *v, const struct insn *in, const struct cpu_table *t)
{
	unsigned n = v->mode == 8 ? 8 : 4;
	struct span s;
	uint8_t buf[10];

	umip_check(v);
	__builtin_memcpy(buf, &t->limit, 2);
	__builtin_memcpy(buf + 2, &t->base, 8);
	span_get(v, operand_address(v, in, 2 + n, true), 2 + n, true, &s);
	span_write(v, &s, buf);
}

static void exec_rdtsc(struct vcpu *v, bool aux)
{
	if ((v->cr4 & CR4_TSD) && v->core->cpl)
		raise_error(v, EXC_GP, 0);
	uint64_t t = __rdtsc() + v->core->tsc_offset;
	v->core->gpr[CPU_RAX] = t & 0xffffffff;
	v->core->gpr[CPU_RDX] = t >> 32;
	if (aux)
		v->core->gpr[CPU_RCX] = v->core->tsc_aux;
}

static void exec_pkru(struct vcpu *v, bool write)
{
	uint64_t *g = v->core->gpr;

	if (!(v->cr4 & CR4_PKE))
		raise_exception(v, EXC_UD);
	if ((g[CPU_RCX] & 0xffffffff) || (write && (g[CPU_RDX] & 0xffffffff)))
		raise_error(v, EXC_GP, 0);
	if (write) {
		if (v->pkru != (uint32_t)g[CPU_RAX]) {
			v->pkru = g[CPU_RAX];
			for (unsigned i = 0; i < CONTEXTS; i++)
				mmu_flush_context(v, &v->contexts[i], false);
		}
		return;
	}
	g[CPU_RAX] = v->pkru;
	g[CPU_RDX] = 0;
}

static void exec_group7_reg(struct vcpu *v, const struct insn *in)
{
	struct core *k = v->core;
	unsigned code = (in->reg & 7) << 3 | (in->rm & 7);

	switch (code) {
	case 1 << 3 | 2: case 1 << 3 | 3: /* CLAC, STAC */
		if (k->cpl)
			raise_exception(v, EXC_UD);
		rflags_set(v, code & 1 ? F_AC : 0, F_AC);
		return;
	case 5 << 3 | 6: exec_pkru(v, false); return;
	case 5 << 3 | 7: exec_pkru(v, true); return;
	case 7 << 3 | 0: { /* SWAPGS */
		if (v->mode != 8)
			raise_exception(v, EXC_UD);
		require_cpl0(v);
		uint64_t t = k->seg[SEG_GS].base;
		k->seg[SEG_GS].base = k->kernel_gs_base;
		k->kernel_gs_base = t;
		return;
	}
	case 7 << 3 | 1: exec_rdtsc(v, true); return;
	}
	if ((in->reg & 7) == 4) {
		umip_check(v);
		reg_set(v, in->rm, in->osz, true, v->cr0);
	} else if ((in->reg & 7) == 6) {
		require_cpl0(v);
		uint64_t x = k->gpr[in->rm];
		set_cr0(v, (v->cr0 & ~14ull) | (x & 15) | (v->cr0 & CR0_PE));
	} else {
		raise_exception(v, EXC_UD);
	}
}

static void exec_group7(struct vcpu *v, const struct insn *in)
{
	if (in->mod == 3) {
		exec_group7_reg(v, in);
		return;
	}
	switch (in->reg & 7) {
	case 0: store_table(v, in, &v->gdt); break;
	case 1: store_table(v, in, &v->idt); break;
	case 2: load_table(v, in, &v->gdt); break;
	case 3: load_table(v, in, &v->idt); break;
	case 4: umip_check(v); rm_write(v, in, 2, v->cr0); break;
	case 6: {
		require_cpl0(v);
		uint64_t x = rm_read(v, in, 2);
		set_cr0(v, (v->cr0 & ~14ull) | (x & 15) | (v->cr0 & CR0_PE));
		break;
	}
	case 7: {
		require_cpl0(v);
		uint64_t a = effective_address(v, in);
		a = v->mode == 8 ? a + (in->seg >= SEG_FS ? v->core->seg[in->seg].base : 0) : (a + v->core->seg[in->seg].base) & 0xffffffff;
		if (canonical(a))
			mmu_flush_page(v, a, true);
		break;
	}
	default: raise_exception(v, EXC_UD);
	}
}

static void exec_fxsave(struct vcpu *v, const struct insn *in, bool save)
{
	struct span s;
	uint64_t va = operand_address(v, in, 512, save);
	bool wide = in->rex & 8;

	if (v->cr0 & (CR0_EM | CR0_TS))
		raise_exception(v, EXC_NM);
	if (va & 15)
		raise_error(v, EXC_GP, 0);
	span_get(v, va, 512, save, &s);
	uint8_t *p = s.host[0] && !s.len[1] ? s.host[0] : v->bounce;
	if (save) {
		fpu_acquire(v);
		if (wide)
			__asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[512])p));
		else
			__asm__ volatile("fxsave %0" : "=m"(*(uint8_t(*)[512])p));
		if (p == v->bounce || s.code)
			span_write(v, &s, p);
		return;
	}
	if (p == v->bounce)
		span_read(v, &s, p);
	uint32_t mxcsr;
	__builtin_memcpy(&mxcsr, p + 24, 4);
	if (mxcsr & ~0xffffu)
		raise_error(v, EXC_GP, 0);
	fpu_acquire(v);
	if (wide)
		__asm__ volatile("fxrstor64 %0" : : "m"(*(uint8_t(*)[512])p));
	else
		__asm__ volatile("fxrstor %0" : : "m"(*(uint8_t(*)[512])p));
}

static void exec_group15(struct vcpu *v, const struct insn *in)
{
	unsigned n = in->reg & 7;

	if (in->mod != 3) {
		if (n > 1)
			raise_exception(v, EXC_UD); /* XSAVE and kin: not advertised */
		exec_fxsave(v, in, n == 0);
		return;
	}
	if (v->mode != 8 || !(v->cr4 & CR4_FSGSBASE))
		raise_exception(v, EXC_UD);
	uint64_t *base = &v->core->seg[n & 1 ? SEG_GS : SEG_FS].base;
	if (n < 2) {
		reg_set(v, in->rm, in->osz, true, *base);
		return;
	}
	uint64_t x = reg_get(v, in->rm, in->osz, true);
	if (!canonical(x))
		raise_error(v, EXC_GP, 0);
	*base = x;
}

static void exec_invpcid(struct vcpu *v, const struct insn *in)
{
	uint64_t a = operand_address(v, in, 16, false), pcid = mem_read(v, a, 8), addr = mem_read(v, a + 8, 8);
	uint64_t kind = reg_get(v, in->reg, v->mode == 8 ? 8 : 4, true);

	require_cpl0(v);
	if (kind > 3 || (kind < 2 && (pcid >> 12)) || (kind == 0 && !canonical(addr)) || (kind < 2 && !(v->cr4 & CR4_PCIDE) && pcid))
		raise_error(v, EXC_GP, 0);
	if (kind == 2) {
		mmu_flush_all(v);
		return;
	}
	for (unsigned i = 0; i < CONTEXTS; i++) {
		struct context *c = &v->contexts[i];
		if (!c->used || (kind < 2 && c->pcid != pcid))
			continue;
		if (kind == 0 && c == v->ctx)
			mmu_flush_page(v, addr, false);
		else
			mmu_flush_context(v, c, false);
	}
}

static void exec_cpuid(struct vcpu *v)
{
	uint64_t *g = v->core->gpr;
	struct cpuid_context ctx = { v->index, v->vm->vcpu_count, v->cr4 & CR4_OSXSAVE, v->cr4 & CR4_PKE, cpu_tsc_hz() };
	struct cpuid_regs r = cpuid_answer(&ctx, g[CPU_RAX], g[CPU_RCX]);

	g[CPU_RAX] = r.eax;
	g[CPU_RBX] = r.ebx;
	g[CPU_RCX] = r.ecx;
	g[CPU_RDX] = r.edx;
}

static void set_if(struct vcpu *v, bool on)
{
	if (!iopl_allows(v))
		raise_error(v, EXC_GP, 0);
	if (on && !(v->core->rflags & F_IF))
		v->core->shadow = 1;
	v->core->rflags = (v->core->rflags & ~(uint64_t)F_IF) | (on ? F_IF : 0);
}

enum step exec_system(struct vcpu *v, const struct insn *in)
{
	switch (in->op) {
	case OP_CLI: set_if(v, false); break;
	case OP_STI: set_if(v, true); break;
	case OP_HLT: require_cpl0(v); return STEP_HALT;
	case OP_CLTS: require_cpl0(v); v->cr0 &= ~CR0_TS; cache_mappings_changed(v); break;
	case OP_INVD: require_cpl0(v); break; /* caches are coherent: WBINVD and INVD have nothing to do */
	case OP_MOV_FROM_SEG: case OP_MOV_TO_SEG: exec_mov_seg(v, in); break;
	case OP_LXS: exec_lxs(v, in); break;
	case OP_ARPL: exec_arpl(v, in); break;
	case OP_LAR: case OP_LSL: exec_lar_lsl(v, in); break;
	case OP_GRP6: exec_group6(v, in); break;
	case OP_GRP7: exec_group7(v, in); break;
	case OP_GRP15: exec_group15(v, in); break;
	case OP_MOV_FROM_CR: fpu_release(v); mov_from_cr(v, in); break;
	case OP_MOV_TO_CR: fpu_release(v); mov_to_cr(v, in); break;
	case OP_MOV_FROM_DR: case OP_MOV_TO_DR: mov_dr(v, in); break;
	case OP_SYSCALL: exec_syscall(v); break;
	case OP_SYSRET: exec_sysret(v, in); break;
	case OP_SYSENTER: exec_sysenter(v); break;
	case OP_SYSEXIT: exec_sysexit(v, in); break;
	case OP_CPUID: fpu_release(v); exec_cpuid(v); break;
	case OP_RDTSC: exec_rdtsc(v, false); break;
	case OP_RDMSR: case OP_WRMSR: exec_msr(v, in); break;
	case OP_RDPMC: raise_error(v, EXC_GP, 0);
	case OP_INVPCID: exec_invpcid(v, in); break;
	default: raise_exception(v, EXC_UD);
	}
	return STEP_OK;
}
