/*
 * Instruction decoding (Intel SDM volume 2, chapters 2 and appendix A) into the form both executions use: the
 * interpreter dispatches on `op`, and everything of class OP_NATIVE is re-encoded by native.c and run by the host CPU.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define INSN_MAX 15

/* What an operand field is and what the instruction does to it; see the tables in decode.c. */
enum insn_attr {
	A_M = 1u << 0,      /* has a ModRM byte */
	A_RR = 1u << 1,     /* reads the general register named by ModRM.reg */
	A_RW = 1u << 2,     /* writes it */
	A_ER = 1u << 3,     /* reads ModRM.rm, register or memory */
	A_EW = 1u << 4,     /* writes it */
	A_EX = 1u << 5,     /* a register in ModRM.rm is not a general register (vector, x87, mask) */
	A_RB = 1u << 6,     /* the register of ModRM.reg is a byte register */
	A_EB = 1u << 7,     /* ModRM.rm is a byte register or byte of memory */
	A_OR = 1u << 8,     /* reads the general register in the low opcode bits */
	A_OW = 1u << 9,     /* writes it */
	A_FR = 1u << 10,    /* reads arithmetic flags, or keeps some while changing others */
	A_FW = 1u << 11,    /* changes arithmetic flags */
	A_LOCK = 1u << 12,  /* LOCK is allowed with a memory destination */
	A_NOMEM = 1u << 13, /* #UD with a memory operand */
	A_NOREG = 1u << 14, /* #UD with a register operand */
	A_NO64 = 1u << 15,  /* #UD in 64-bit mode */
	A_D64 = 1u << 16,   /* operand size defaults to 64 bits in 64-bit mode */
	A_F64 = 1u << 17,   /* operand size is forced to 64 bits in 64-bit mode */
	A_FPU = 1u << 18,   /* x87 or MMX: #NM when CR0.TS or CR0.EM */
	A_SSE = 1u << 19,   /* SSE: #UD unless CR4.OSFXSR and not CR0.EM, #NM when CR0.TS */
	A_NOACC = 1u << 20, /* the memory operand is not accessed (LEA, NOP, PREFETCH) */
	A_HI = 1u << 21,    /* decoded: some byte register is AH, CH, DH or BH */
	A_PFX = 1u << 22,   /* 66, F2 and F3 are part of the opcode */
	A_ALIGN = 1u << 23, /* the memory operand must be aligned to its size (LOCK CMPXCHG16B, FXSAVE: 16) */
	A_VV = 1u << 24,    /* VEX.vvvv is a general register, read */
	A_VW = 1u << 25,    /* VEX.vvvv is a general register, written */
};

enum insn_imm { I_NONE, I_8, I_8S, I_16, I_Z, I_V, I_REL8, I_RELZ, I_MOFFS, I_ENTER, I_FAR };

enum insn_op {
	OP_UD,
	OP_NATIVE, /* run by the host CPU on the guest's registers */
	OP_NOP,    /* prefetch, hint NOPs, ENDBR, PAUSE, CLFLUSH (nothing is cached) */
	OP_MOV,    /* MOV between general registers and memory, kept apart for speed only */
	OP_PUSH_R, OP_POP_R, OP_PUSH_I, OP_PUSH_E, OP_POP_E, OP_PUSH_SEG, OP_POP_SEG, OP_PUSHA, OP_POPA, OP_PUSHF, OP_POPF,
	OP_ENTER, OP_LEAVE,
	OP_JCC, OP_JMP, OP_JMP_E, OP_JMP_FAR, OP_JMP_FAR_E, OP_CALL, OP_CALL_E, OP_CALL_FAR, OP_CALL_FAR_E, OP_RET, OP_RETF,
	OP_LOOP, OP_JCXZ,
	OP_INT, OP_INT3, OP_INTO, OP_INT1, OP_IRET, OP_BOUND,
	OP_MOVS, OP_CMPS, OP_STOS, OP_LODS, OP_SCAS, OP_INS, OP_OUTS,
	OP_IN, OP_OUT,
	OP_DIV, OP_IDIV,
	OP_BT,      /* BT, BTS, BTR, BTC with a register bit offset and a memory operand */
	OP_BCD, OP_AAM, OP_AAD, OP_SALC, OP_XLAT,
	OP_CLI, OP_STI, OP_HLT, OP_CLTS, OP_INVD,
	OP_MOV_FROM_SEG, OP_MOV_TO_SEG, OP_LXS, OP_ARPL, OP_LAR, OP_LSL,
	OP_GRP6, OP_GRP7, OP_GRP9 /* resolved by the decoder */, OP_GRP15,
	OP_MOV_FROM_CR, OP_MOV_TO_CR, OP_MOV_FROM_DR, OP_MOV_TO_DR,
	OP_SYSCALL, OP_SYSRET, OP_SYSENTER, OP_SYSEXIT,
	OP_CPUID, OP_RDTSC, OP_RDMSR, OP_WRMSR, OP_RDPMC, OP_RSM,
	OP_INVPCID, OP_MASKMOV, OP_FWAIT, OP_MOFFS, OP_UD_MODRM,
};

#define REG_NO 0xff
#define REG_IP 16

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_NONE = 0xff };
enum { PFX_NONE, PFX_66, PFX_F3, PFX_F2 };
enum { RSP = 4 };

struct insn {
	uint8_t len;
	uint8_t op;       /* enum insn_op */
	uint8_t osz, asz; /* effective operand and address size in bytes */
	uint8_t map, opc; /* opcode map (0, 1 = 0F, 2 = 0F38, 3 = 0F3A) and opcode byte */
	uint8_t pfx;      /* mandatory-prefix value: PFX_ */
	bool lock, rep, repne, has66;
	uint8_t rex;      /* 0x40 | WRXB; 0 when there is none */
	uint8_t mod, reg, rm;
	uint8_t base, index, scale; /* of the memory operand; REG_NO, REG_IP */
	uint8_t seg;      /* segment of the memory operand, defaults applied */
	uint8_t segover;  /* explicit override or SEG_NONE */
	uint16_t msz;     /* bytes of memory accessed through ModRM (0: none) */
	uint8_t imm_size; /* bytes of the immediate as encoded */
	uint8_t mode;     /* 2, 4, 8: code size it was decoded for */
	bool vex, vex_l, vex_w;
	uint8_t vvvv;
	uint32_t attr;
	int32_t disp;
	uint64_t imm;     /* sign-extended where the instruction does so; branch offsets */
	uint16_t imm2;    /* ENTER's level, far selector */
};

/*
 * Decodes the instruction at BYTES of which LEN (up to 15) are there, for code of MODE (2, 4 or 8 bytes). Returns 0;
 * -EAGAIN when more than LEN bytes are needed; -E2BIG past 15 bytes (#GP); -EILSEQ for what is no instruction (#UD;
 * RET->len is then not meaningful).
 */
int insn_decode(const uint8_t *bytes, unsigned len, unsigned mode, bool vex_enabled, struct insn *ret);

static inline bool insn_has_mem(const struct insn *in)
{
	return (in->attr & A_M) && in->mod != 3;
}
