#include "cpu/soft/insn.h"

#include <errno.h>
#include <stddef.h>

/* Bytes of memory behind ModRM, by mandatory prefix: none, 66, F3, F2. Codes below 128 in the tables are plain sizes. */
enum msize {
	Z_NONE = 0, Z_B = 1, Z_W = 2, Z_D = 4, Z_Q = 8, Z_X = 16,
	Z_V = 128, /* operand size */
	Z_PS,      /* 16 16 4 8: arithmetic on packed or scalar */
	Z_MX,      /* 8 16 16 16: MMX or SSE */
	Z_M4,      /* 4 16 */
	Z_LO,      /* 8 8 16 8: MOVLPS and kin */
	Z_CI,      /* 8 8 opsize opsize: CVTPI2PS, CVTSI2SS */
	Z_CF,      /* 8 16 4 8: CVTPS2PI, CVTPS2PD */
	Z_CD,      /* - 16 8 16: CVTDQ2PD */
	Z_UC,      /* 4 8: UCOMISS, UCOMISD */
	Z_Y,       /* 4 or 8 by REX.W */
	Z_FAR,     /* selector and offset of the operand size */
	Z_2V,      /* two of the operand size */
};

struct opinfo {
	uint8_t op, imm, msz;
	uint32_t attr;
};

#define O(op_, imm_, msz_, attr_) { OP_##op_, I_##imm_, Z_##msz_, attr_ }

#define RW_E (A_M | A_ER | A_EW)
#define FL A_FW
#define FRW (A_FR | A_FW)
#define BYTE (A_RB | A_EB)

/* The eight ALU instructions share six forms; CMP does not write, ADC and SBB read the carry. */
#define ALU(base, wr, fl, lk)                                                                                          \
	[base + 0] = O(NATIVE, NONE, B, A_M | A_RR | A_ER | ((wr) ? A_EW : 0) | BYTE | (fl) | (lk)),                    \
	[base + 1] = O(NATIVE, NONE, V, A_M | A_RR | A_ER | ((wr) ? A_EW : 0) | (fl) | (lk)),                           \
	[base + 2] = O(NATIVE, NONE, B, A_M | A_RR | A_ER | ((wr) ? A_RW : 0) | BYTE | (fl)),                           \
	[base + 3] = O(NATIVE, NONE, V, A_M | A_RR | A_ER | ((wr) ? A_RW : 0) | (fl)),                                  \
	[base + 4] = O(NATIVE, 8S, NONE, fl), [base + 5] = O(NATIVE, Z, NONE, fl)

static const struct opinfo map0[256] = {
	ALU(0x00, 1, FL, A_LOCK), ALU(0x08, 1, FL, A_LOCK), ALU(0x10, 1, FRW, A_LOCK), ALU(0x18, 1, FRW, A_LOCK),
	ALU(0x20, 1, FL, A_LOCK), ALU(0x28, 1, FL, A_LOCK), ALU(0x30, 1, FL, A_LOCK), ALU(0x38, 0, FL, 0),
	[0x06] = O(PUSH_SEG, NONE, NONE, A_NO64), [0x07] = O(POP_SEG, NONE, NONE, A_NO64),
	[0x0e] = O(PUSH_SEG, NONE, NONE, A_NO64),
	[0x16] = O(PUSH_SEG, NONE, NONE, A_NO64), [0x17] = O(POP_SEG, NONE, NONE, A_NO64),
	[0x1e] = O(PUSH_SEG, NONE, NONE, A_NO64), [0x1f] = O(POP_SEG, NONE, NONE, A_NO64),
	[0x27] = O(BCD, NONE, NONE, FRW | A_NO64), [0x2f] = O(BCD, NONE, NONE, FRW | A_NO64),
	[0x37] = O(BCD, NONE, NONE, FRW | A_NO64), [0x3f] = O(BCD, NONE, NONE, FRW | A_NO64),
	[0x40 ... 0x4f] = O(NATIVE, NONE, NONE, A_OR | A_OW | FRW | A_NO64), /* INC, DEC; REX in 64-bit mode */
	[0x50 ... 0x57] = O(PUSH_R, NONE, NONE, A_OR | A_D64), [0x58 ... 0x5f] = O(POP_R, NONE, NONE, A_OW | A_D64),
	[0x60] = O(PUSHA, NONE, NONE, A_NO64), [0x61] = O(POPA, NONE, NONE, A_NO64),
	[0x62] = O(BOUND, NONE, 2V, A_M | A_RR | A_NOREG | A_NO64),
	[0x63] = O(NATIVE, NONE, D, A_M | A_ER | A_RW), /* MOVSXD; ARPL outside 64-bit mode */
	[0x68] = O(PUSH_I, Z, NONE, A_D64), [0x69] = O(NATIVE, Z, V, A_M | A_ER | A_RW | FL),
	[0x6a] = O(PUSH_I, 8S, NONE, A_D64), [0x6b] = O(NATIVE, 8S, V, A_M | A_ER | A_RW | FL),
	[0x6c] = O(INS, NONE, B, 0), [0x6d] = O(INS, NONE, V, 0), [0x6e] = O(OUTS, NONE, B, 0), [0x6f] = O(OUTS, NONE, V, 0),
	[0x70 ... 0x7f] = O(JCC, REL8, NONE, A_FR | A_F64),
	[0x80] = O(NATIVE, 8S, B, RW_E | FL | A_EB | A_LOCK), [0x81] = O(NATIVE, Z, V, RW_E | FL | A_LOCK),
	[0x82] = O(NATIVE, 8S, B, RW_E | FL | A_EB | A_LOCK | A_NO64), [0x83] = O(NATIVE, 8S, V, RW_E | FL | A_LOCK),
	[0x84] = O(NATIVE, NONE, B, A_M | A_RR | A_ER | BYTE | FL), [0x85] = O(NATIVE, NONE, V, A_M | A_RR | A_ER | FL),
	[0x86] = O(NATIVE, NONE, B, RW_E | A_RR | A_RW | BYTE | A_LOCK), [0x87] = O(NATIVE, NONE, V, RW_E | A_RR | A_RW | A_LOCK),
	[0x88] = O(MOV, NONE, B, A_M | A_RR | A_EW | BYTE), [0x89] = O(MOV, NONE, V, A_M | A_RR | A_EW),
	[0x8a] = O(MOV, NONE, B, A_M | A_RW | A_ER | BYTE), [0x8b] = O(MOV, NONE, V, A_M | A_RW | A_ER),
	[0x8c] = O(MOV_FROM_SEG, NONE, W, A_M | A_EW), [0x8d] = O(NATIVE, NONE, V, A_M | A_RW | A_NOREG | A_NOACC),
	[0x8e] = O(MOV_TO_SEG, NONE, W, A_M | A_ER), [0x8f] = O(POP_E, NONE, V, A_M | A_EW | A_D64),
	[0x90 ... 0x97] = O(NATIVE, NONE, NONE, A_OR | A_OW), /* XCHG with rAX */
	[0x98] = O(NATIVE, NONE, NONE, 0), [0x99] = O(NATIVE, NONE, NONE, 0),
	[0x9a] = O(CALL_FAR, FAR, NONE, A_NO64), [0x9b] = O(FWAIT, NONE, NONE, A_FPU),
	[0x9c] = O(PUSHF, NONE, NONE, A_FR | A_D64), [0x9d] = O(POPF, NONE, NONE, A_FW | A_D64),
	[0x9e] = O(NATIVE, NONE, NONE, FRW), [0x9f] = O(NATIVE, NONE, NONE, A_FR),
	[0xa0] = O(MOFFS, MOFFS, B, 0), [0xa1] = O(MOFFS, MOFFS, V, 0), [0xa2] = O(MOFFS, MOFFS, B, 0), [0xa3] = O(MOFFS, MOFFS, V, 0),
	[0xa4] = O(MOVS, NONE, B, 0), [0xa5] = O(MOVS, NONE, V, 0), [0xa6] = O(CMPS, NONE, B, FRW), [0xa7] = O(CMPS, NONE, V, FRW),
	[0xa8] = O(NATIVE, 8S, NONE, FL), [0xa9] = O(NATIVE, Z, NONE, FL),
	[0xaa] = O(STOS, NONE, B, 0), [0xab] = O(STOS, NONE, V, 0), [0xac] = O(LODS, NONE, B, 0), [0xad] = O(LODS, NONE, V, 0),
	[0xae] = O(SCAS, NONE, B, FRW), [0xaf] = O(SCAS, NONE, V, FRW),
	[0xb0 ... 0xb7] = O(NATIVE, 8, NONE, A_OW | A_RB), [0xb8 ... 0xbf] = O(NATIVE, V, NONE, A_OW),
	[0xc0] = O(NATIVE, 8, B, RW_E | FRW | A_EB), [0xc1] = O(NATIVE, 8, V, RW_E | FRW),
	[0xc2] = O(RET, 16, NONE, A_F64), [0xc3] = O(RET, NONE, NONE, A_F64),
	[0xc4] = O(LXS, NONE, FAR, A_M | A_NOREG | A_NO64), [0xc5] = O(LXS, NONE, FAR, A_M | A_NOREG | A_NO64),
	[0xc6] = O(MOV, 8, B, A_M | A_EW | A_EB), [0xc7] = O(MOV, Z, V, A_M | A_EW),
	[0xc8] = O(ENTER, ENTER, NONE, A_D64), [0xc9] = O(LEAVE, NONE, NONE, A_D64),
	[0xca] = O(RETF, 16, NONE, 0), [0xcb] = O(RETF, NONE, NONE, 0),
	[0xcc] = O(INT3, NONE, NONE, 0), [0xcd] = O(INT, 8, NONE, 0), [0xce] = O(INTO, NONE, NONE, A_FR | A_NO64),
	[0xcf] = O(IRET, NONE, NONE, A_FW),
	[0xd0] = O(NATIVE, NONE, B, RW_E | FRW | A_EB), [0xd1] = O(NATIVE, NONE, V, RW_E | FRW),
	[0xd2] = O(NATIVE, NONE, B, RW_E | FRW | A_EB), [0xd3] = O(NATIVE, NONE, V, RW_E | FRW),
	[0xd4] = O(AAM, 8, NONE, FRW | A_NO64), [0xd5] = O(AAD, 8, NONE, FRW | A_NO64), [0xd6] = O(SALC, NONE, NONE, A_FR | A_NO64),
	[0xd7] = O(XLAT, NONE, NONE, 0),
	[0xd8 ... 0xdf] = O(NATIVE, NONE, NONE, A_M | A_EX | A_FPU), /* x87: sizes in fix_x87() */
	[0xe0] = O(LOOP, REL8, NONE, A_FR | A_F64), [0xe1] = O(LOOP, REL8, NONE, A_FR | A_F64),
	[0xe2] = O(LOOP, REL8, NONE, A_F64), [0xe3] = O(JCXZ, REL8, NONE, A_F64),
	[0xe4] = O(IN, 8, B, 0), [0xe5] = O(IN, 8, V, 0), [0xe6] = O(OUT, 8, B, 0), [0xe7] = O(OUT, 8, V, 0),
	[0xe8] = O(CALL, RELZ, NONE, A_F64), [0xe9] = O(JMP, RELZ, NONE, A_F64), [0xea] = O(JMP_FAR, FAR, NONE, A_NO64),
	[0xeb] = O(JMP, REL8, NONE, A_F64),
	[0xec] = O(IN, NONE, B, 0), [0xed] = O(IN, NONE, V, 0), [0xee] = O(OUT, NONE, B, 0), [0xef] = O(OUT, NONE, V, 0),
	[0xf1] = O(INT1, NONE, NONE, 0), [0xf4] = O(HLT, NONE, NONE, 0), [0xf5] = O(NATIVE, NONE, NONE, FRW),
	[0xf6] = O(NATIVE, NONE, B, RW_E | A_EB), [0xf7] = O(NATIVE, NONE, V, RW_E), /* fix_group3() */
	[0xf8] = O(NATIVE, NONE, NONE, FRW), [0xf9] = O(NATIVE, NONE, NONE, FRW),
	[0xfa] = O(CLI, NONE, NONE, 0), [0xfb] = O(STI, NONE, NONE, 0),
	[0xfc] = O(NATIVE, NONE, NONE, 0), [0xfd] = O(NATIVE, NONE, NONE, 0),
	[0xfe] = O(NATIVE, NONE, B, RW_E | FRW | A_EB | A_LOCK), [0xff] = O(NATIVE, NONE, V, RW_E | FRW | A_LOCK),
};

#define SSE(msz_) O(NATIVE, NONE, msz_, A_M | A_ER | A_EX | A_SSE | A_PFX)
#define SSEI(msz_) O(NATIVE, 8, msz_, A_M | A_ER | A_EX | A_SSE | A_PFX)
#define SSEW(msz_) O(NATIVE, NONE, msz_, A_M | A_EW | A_EX | A_SSE | A_PFX)

static const struct opinfo map1[256] = {
	[0x00] = O(GRP6, NONE, W, A_M), [0x01] = O(GRP7, NONE, NONE, A_M),
	[0x02] = O(LAR, NONE, W, A_M | A_ER | A_RW | FRW), [0x03] = O(LSL, NONE, W, A_M | A_ER | A_RW | FRW),
	[0x05] = O(SYSCALL, NONE, NONE, A_FR), [0x06] = O(CLTS, NONE, NONE, 0), [0x07] = O(SYSRET, NONE, NONE, A_FW),
	[0x08] = O(INVD, NONE, NONE, 0), [0x09] = O(INVD, NONE, NONE, 0), [0x0b] = O(UD, NONE, NONE, 0),
	[0x0d] = O(NOP, NONE, NONE, A_M | A_NOACC),
	[0x10] = SSE(PS), [0x11] = SSEW(PS), [0x12] = SSE(LO), [0x13] = SSEW(LO), [0x14] = SSE(X), [0x15] = SSE(X),
	[0x16] = SSE(LO), [0x17] = SSEW(LO),
	[0x18 ... 0x1f] = O(NOP, NONE, NONE, A_M | A_NOACC),
	[0x20] = O(MOV_FROM_CR, NONE, NONE, A_M | A_EW), [0x21] = O(MOV_FROM_DR, NONE, NONE, A_M | A_EW),
	[0x22] = O(MOV_TO_CR, NONE, NONE, A_M | A_ER), [0x23] = O(MOV_TO_DR, NONE, NONE, A_M | A_ER),
	[0x28] = SSE(X), [0x29] = SSEW(X), [0x2a] = SSE(CI), [0x2b] = SSEW(X), [0x2c] = SSE(CF), [0x2d] = SSE(CF),
	[0x2e] = O(NATIVE, NONE, UC, A_M | A_ER | A_EX | A_SSE | A_PFX | FL),
	[0x2f] = O(NATIVE, NONE, UC, A_M | A_ER | A_EX | A_SSE | A_PFX | FL),
	[0x30] = O(WRMSR, NONE, NONE, 0), [0x31] = O(RDTSC, NONE, NONE, 0), [0x32] = O(RDMSR, NONE, NONE, 0),
	[0x33] = O(RDPMC, NONE, NONE, 0), [0x34] = O(SYSENTER, NONE, NONE, A_FR), [0x35] = O(SYSEXIT, NONE, NONE, 0),
	[0x40 ... 0x4f] = O(NATIVE, NONE, V, A_M | A_RR | A_RW | A_ER | A_FR),
	[0x50] = O(NATIVE, NONE, NONE, A_M | A_RW | A_EX | A_NOMEM | A_SSE | A_PFX), [0x51] = SSE(PS), [0x52] = SSE(PS), [0x53] = SSE(PS),
	[0x54 ... 0x57] = SSE(X), [0x58] = SSE(PS), [0x59] = SSE(PS), [0x5a] = SSE(CF), [0x5b] = SSE(X), [0x5c ... 0x5f] = SSE(PS),
	[0x60 ... 0x62] = SSE(M4), [0x63 ... 0x6b] = SSE(MX), [0x6c] = SSE(X), [0x6d] = SSE(X),
	[0x6e] = O(NATIVE, NONE, Y, A_M | A_ER | A_SSE | A_PFX), [0x6f] = SSE(MX), [0x70] = SSEI(MX),
	[0x71 ... 0x73] = O(NATIVE, 8, NONE, A_M | A_EX | A_NOMEM | A_SSE | A_PFX), [0x74 ... 0x76] = SSE(MX),
	[0x77] = O(NATIVE, NONE, NONE, A_FPU | A_PFX),
	[0x7c] = SSE(X), [0x7d] = SSE(X), [0x7e] = O(NATIVE, NONE, Y, A_M | A_EW | A_SSE | A_PFX), [0x7f] = SSEW(MX),
	[0x80 ... 0x8f] = O(JCC, RELZ, NONE, A_FR | A_F64), [0x90 ... 0x9f] = O(NATIVE, NONE, B, A_M | A_EW | A_EB | A_FR),
	[0xa0] = O(PUSH_SEG, NONE, NONE, A_D64), [0xa1] = O(POP_SEG, NONE, NONE, A_D64), [0xa2] = O(CPUID, NONE, NONE, 0),
	[0xa3] = O(NATIVE, NONE, V, A_M | A_RR | A_ER | FRW), [0xa4] = O(NATIVE, 8, V, RW_E | A_RR | FRW),
	[0xa5] = O(NATIVE, NONE, V, RW_E | A_RR | FRW), [0xa8] = O(PUSH_SEG, NONE, NONE, A_D64), [0xa9] = O(POP_SEG, NONE, NONE, A_D64),
	[0xaa] = O(RSM, NONE, NONE, 0), [0xab] = O(NATIVE, NONE, V, RW_E | A_RR | FRW | A_LOCK),
	[0xac] = O(NATIVE, 8, V, RW_E | A_RR | FRW), [0xad] = O(NATIVE, NONE, V, RW_E | A_RR | FRW),
	[0xae] = O(GRP15, NONE, NONE, A_M), [0xaf] = O(NATIVE, NONE, V, A_M | A_RR | A_RW | A_ER | FL),
	[0xb0] = O(NATIVE, NONE, B, RW_E | A_RR | BYTE | FL | A_LOCK), [0xb1] = O(NATIVE, NONE, V, RW_E | A_RR | FL | A_LOCK),
	[0xb2] = O(LXS, NONE, FAR, A_M | A_NOREG), [0xb3] = O(NATIVE, NONE, V, RW_E | A_RR | FRW | A_LOCK),
	[0xb4] = O(LXS, NONE, FAR, A_M | A_NOREG), [0xb5] = O(LXS, NONE, FAR, A_M | A_NOREG),
	[0xb6] = O(NATIVE, NONE, B, A_M | A_RW | A_ER | A_EB), [0xb7] = O(NATIVE, NONE, W, A_M | A_RW | A_ER),
	[0xb8] = O(NATIVE, NONE, V, A_M | A_RW | A_ER | FL | A_PFX), /* POPCNT, F3 only */
	[0xb9] = O(UD_MODRM, NONE, NONE, A_M), [0xba] = O(NATIVE, 8, V, RW_E | FRW | A_LOCK),
	[0xbb] = O(NATIVE, NONE, V, RW_E | A_RR | FRW | A_LOCK),
	[0xbc] = O(NATIVE, NONE, V, A_M | A_RR | A_RW | A_ER | FRW), [0xbd] = O(NATIVE, NONE, V, A_M | A_RR | A_RW | A_ER | FRW),
	[0xbe] = O(NATIVE, NONE, B, A_M | A_RW | A_ER | A_EB), [0xbf] = O(NATIVE, NONE, W, A_M | A_RW | A_ER),
	[0xc0] = O(NATIVE, NONE, B, RW_E | A_RR | A_RW | BYTE | FL | A_LOCK), [0xc1] = O(NATIVE, NONE, V, RW_E | A_RR | A_RW | FL | A_LOCK),
	[0xc2] = SSEI(PS), [0xc3] = O(NATIVE, NONE, Y, A_M | A_RR | A_EW | A_NOREG | A_PFX), [0xc4] = O(NATIVE, 8, W, A_M | A_ER | A_SSE | A_PFX),
	[0xc5] = O(NATIVE, 8, NONE, A_M | A_RW | A_EX | A_NOMEM | A_SSE | A_PFX), [0xc6] = SSEI(X),
	[0xc7] = O(GRP9, NONE, NONE, A_M), [0xc8 ... 0xcf] = O(NATIVE, NONE, NONE, A_OR | A_OW),
	[0xd0] = SSE(X), [0xd1 ... 0xd5] = SSE(MX), [0xd6] = SSEW(Q),
	[0xd7] = O(NATIVE, NONE, NONE, A_M | A_RW | A_EX | A_NOMEM | A_SSE | A_PFX), [0xd8 ... 0xe5] = SSE(MX), [0xe6] = SSE(CD),
	[0xe7] = SSEW(MX), [0xe8 ... 0xef] = SSE(MX), [0xf0] = SSE(X), [0xf1 ... 0xf6] = SSE(MX),
	[0xf7] = O(MASKMOV, NONE, NONE, A_M | A_EX | A_NOMEM | A_SSE | A_PFX), [0xf8 ... 0xfe] = SSE(MX),
	[0xff] = O(UD_MODRM, NONE, NONE, A_M),
};

static const struct opinfo map2[256] = {
	[0x00 ... 0x0b] = SSE(MX), [0x10] = SSE(X), [0x14] = SSE(X), [0x15] = SSE(X),
	[0x17] = O(NATIVE, NONE, X, A_M | A_ER | A_EX | A_SSE | A_PFX | FL), [0x1c ... 0x1e] = SSE(MX),
	[0x20] = SSE(Q), [0x21] = SSE(D), [0x22] = SSE(W), [0x23] = SSE(Q), [0x24] = SSE(D), [0x25] = SSE(Q),
	[0x28 ... 0x2b] = SSE(X), [0x30] = SSE(Q), [0x31] = SSE(D), [0x32] = SSE(W), [0x33] = SSE(Q), [0x34] = SSE(D), [0x35] = SSE(Q),
	[0x37 ... 0x41] = SSE(X), [0x82] = O(INVPCID, NONE, X, A_M | A_NOREG),
	[0xdb ... 0xdf] = SSE(X),
	[0xf0] = O(NATIVE, NONE, V, A_M | A_RW | A_ER | A_NOREG), [0xf1] = O(NATIVE, NONE, V, A_M | A_RR | A_EW | A_NOREG),
};

static const struct opinfo map3[256] = {
	[0x08] = SSEI(X), [0x09] = SSEI(X), [0x0a] = SSEI(D), [0x0b] = SSEI(Q), [0x0c ... 0x0e] = SSEI(X), [0x0f] = SSEI(MX),
	[0x14] = O(NATIVE, 8, B, A_M | A_EW | A_SSE | A_PFX), [0x15] = O(NATIVE, 8, W, A_M | A_EW | A_SSE | A_PFX),
	[0x16] = O(NATIVE, 8, Y, A_M | A_EW | A_SSE | A_PFX), [0x17] = O(NATIVE, 8, D, A_M | A_EW | A_SSE | A_PFX),
	[0x20] = O(NATIVE, 8, B, A_M | A_ER | A_SSE | A_PFX), [0x21] = SSEI(D), [0x22] = O(NATIVE, 8, Y, A_M | A_ER | A_SSE | A_PFX),
	[0x40 ... 0x42] = SSEI(X), [0x44] = SSEI(X),
	[0x60 ... 0x63] = O(NATIVE, 8, X, A_M | A_ER | A_EX | A_SSE | A_PFX | FL), [0xdf] = SSEI(X),
};

static const uint8_t pfx_sizes[][4] = {
	[Z_PS - 128] = { 16, 16, 4, 8 }, [Z_MX - 128] = { 8, 16, 16, 16 }, [Z_M4 - 128] = { 4, 16, 16, 16 },
	[Z_LO - 128] = { 8, 8, 16, 8 }, [Z_CI - 128] = { 8, 8, 0, 0 }, [Z_CF - 128] = { 8, 16, 4, 8 },
	[Z_CD - 128] = { 0, 16, 8, 16 }, [Z_UC - 128] = { 4, 8, 0, 0 },
};

/*
 * Which mandatory prefixes (bit 0: none, 1: 66, 2: F3, 3: F2) make an instruction, for the opcodes of A_PFX; what is
 * not listed takes none and 66 (MMX and SSE forms of one operation).
 */
struct pfx_rule {
	uint8_t map, first, last, allowed;
};

static const struct pfx_rule pfx_rules[] = {
	{ 1, 0x10, 0x11, 15 }, { 1, 0x12, 0x12, 15 }, { 1, 0x13, 0x15, 3 }, { 1, 0x16, 0x16, 7 }, { 1, 0x17, 0x17, 3 },
	{ 1, 0x2a, 0x2a, 15 }, { 1, 0x2c, 0x2d, 15 }, { 1, 0x51, 0x51, 15 }, { 1, 0x52, 0x53, 5 }, { 1, 0x58, 0x5a, 15 },
	{ 1, 0x5b, 0x5b, 7 }, { 1, 0x5c, 0x5f, 15 }, { 1, 0x6c, 0x6d, 2 }, { 1, 0x6f, 0x6f, 7 }, { 1, 0x70, 0x70, 15 },
	{ 1, 0x77, 0x77, 1 }, { 1, 0x7c, 0x7d, 10 }, { 1, 0x7e, 0x7e, 7 }, { 1, 0x7f, 0x7f, 7 }, { 1, 0xb8, 0xb8, 4 },
	{ 1, 0xc2, 0xc2, 15 }, { 1, 0xc3, 0xc3, 1 }, { 1, 0xd0, 0xd0, 10 }, { 1, 0xd6, 0xd6, 14 }, { 1, 0xe6, 0xe6, 14 }, { 1, 0xf0, 0xf0, 8 },
	{ 2, 0x00, 0x0b, 3 }, { 2, 0x1c, 0x1e, 3 }, { 2, 0x10, 0x17, 2 }, { 2, 0x20, 0x41, 2 }, { 2, 0xdb, 0xdf, 2 },
	{ 3, 0x0f, 0x0f, 3 }, { 3, 0x08, 0x0e, 2 }, { 3, 0x14, 0xff, 2 },
};

static bool prefix_allowed(const struct insn *in)
{
	for (unsigned i = 0; i < sizeof(pfx_rules) / sizeof(pfx_rules[0]); i++) {
		const struct pfx_rule *r = &pfx_rules[i];

		if (r->map == in->map && in->opc >= r->first && in->opc <= r->last)
			return r->allowed >> in->pfx & 1;
	}
	return in->pfx <= PFX_66;
}

struct cursor {
	const uint8_t *p;
	unsigned pos, len;
};

static int take(struct cursor *c, unsigned n, uint64_t *ret)
{
	uint64_t v = 0;

	if (c->pos + n > INSN_MAX)
		return -E2BIG;
	if (c->pos + n > c->len)
		return -EAGAIN;
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)c->p[c->pos + i] << (8 * i);
	c->pos += n;
	*ret = v;
	return 0;
}

static int64_t sext(uint64_t v, unsigned bytes)
{
	unsigned s = 64 - 8 * bytes;

	return (int64_t)(v << s) >> s;
}

static int take_prefixes(struct cursor *c, unsigned mode, struct insn *in, bool *ret_a67, uint8_t *ret_opc)
{
	uint8_t last_f = 0;
	uint64_t b;
	int r;

	for (;;) {
		if ((r = take(c, 1, &b)) < 0)
			return r;
		if (mode == 8 && (b & 0xf0) == 0x40) {
			in->rex = b;
			continue;
		}
		switch (b) {
		case 0x66: in->has66 = true; break;
		case 0x67: *ret_a67 = true; break;
		case 0xf0: in->lock = true; break;
		case 0xf2: in->repne = true; in->rep = false; last_f = PFX_F2; break;
		case 0xf3: in->rep = true; in->repne = false; last_f = PFX_F3; break;
		case 0x26: case 0x2e: case 0x36: case 0x3e:
			if (mode != 8)
				in->segover = (b >> 3) & 3;
			break;
		case 0x64: case 0x65: in->segover = SEG_FS + (b & 1); break;
		default:
			in->pfx = last_f ? last_f : in->has66 ? PFX_66 : PFX_NONE;
			*ret_opc = b;
			return 0;
		}
		in->rex = 0; /* REX counts only right before the opcode */
	}
}

static int take_vex(struct cursor *c, unsigned mode, bool three, struct insn *in)
{
	uint64_t b1, b2 = 0;
	int r;

	if (in->rex || in->lock || in->has66 || in->rep || in->repne)
		return -EILSEQ;
	if ((r = take(c, 1, &b1)) < 0 || (three && (r = take(c, 1, &b2)) < 0))
		return r;
	in->vex = true;
	in->map = three ? b1 & 31 : 1;
	in->rex = 0x40 | (b1 & 0x80 ? 0 : 4);
	if (three) {
		in->rex |= (b1 & 0x40 ? 0 : 2) | (b1 & 0x20 ? 0 : 1) | (b2 & 0x80 ? 8 : 0);
		in->vex_w = b2 & 0x80;
	} else {
		b2 = b1;
	}
	if (mode != 8)
		in->rex &= ~7;
	in->vvvv = ~(b2 >> 3) & (mode == 8 ? 15 : 7);
	in->vex_l = b2 & 4;
	static const uint8_t pp[4] = { PFX_NONE, PFX_66, PFX_F3, PFX_F2 };
	in->pfx = pp[b2 & 3];
	if (in->map < 1 || in->map > 3)
		return -EILSEQ;
	uint64_t opc;
	if ((r = take(c, 1, &opc)) < 0)
		return r;
	in->opc = opc;
	return 0;
}

static int take_mem16(struct cursor *c, struct insn *in)
{
	static const uint8_t bases[8] = { 3, 3, 5, 5, 6, 7, 5, 3 };
	static const uint8_t indexes[8] = { 6, 7, 6, 7, REG_NO, REG_NO, REG_NO, REG_NO };
	unsigned rm = in->rm & 7, n = in->mod == 1 ? 1 : in->mod == 2 ? 2 : 0;
	uint64_t d = 0;
	int r;

	in->base = bases[rm];
	in->index = indexes[rm];
	if (in->mod == 0 && rm == 6) {
		in->base = REG_NO;
		n = 2;
	}
	if (n && (r = take(c, n, &d)) < 0)
		return r;
	in->disp = n ? sext(d, n) : 0;
	in->seg = in->base == 5 ? SEG_SS : SEG_DS;
	return 0;
}

static int take_mem(struct cursor *c, struct insn *in)
{
	unsigned rm = in->rm & 7, n = in->mod == 1 ? 1 : in->mod == 2 ? 4 : 0;
	uint64_t v;
	int r;

	if (in->asz == 2)
		return take_mem16(c, in);
	in->base = in->rm;
	if (rm == 4) {
		if ((r = take(c, 1, &v)) < 0)
			return r;
		in->scale = v >> 6;
		in->index = (v >> 3 & 7) | (in->rex & 2 ? 8 : 0);
		if (in->index == RSP)
			in->index = REG_NO;
		in->base = (v & 7) | (in->rex & 1 ? 8 : 0);
		if ((v & 7) == 5 && in->mod == 0) {
			in->base = REG_NO;
			n = 4;
		}
	} else if (rm == 5 && in->mod == 0) {
		in->base = in->mode == 8 ? REG_IP : REG_NO;
		n = 4;
	}
	v = 0;
	if (n && (r = take(c, n, &v)) < 0)
		return r;
	in->disp = n ? sext(v, n) : 0;
	in->seg = in->base == 4 || in->base == 5 ? SEG_SS : SEG_DS;
	return 0;
}

static int take_modrm(struct cursor *c, struct insn *in)
{
	uint64_t b;
	int r;

	if ((r = take(c, 1, &b)) < 0)
		return r;
	in->mod = b >> 6;
	in->reg = (b >> 3 & 7) | (in->rex & 4 ? 8 : 0);
	in->rm = (b & 7) | (in->rex & 1 ? 8 : 0);
	/* MOV to and from control and debug registers ignores mod */
	if (in->map == 1 && in->opc >= 0x20 && in->opc <= 0x23)
		in->mod = 3;
	return in->mod == 3 ? 0 : take_mem(c, in);
}

static int take_imm(struct cursor *c, unsigned kind, struct insn *in)
{
	unsigned n = 0, n2 = 0;
	uint64_t v = 0, v2 = 0;
	int r;

	switch (kind) {
	case I_NONE: return 0;
	case I_8: case I_8S: case I_REL8: n = 1; break;
	case I_16: n = 2; break;
	case I_Z: case I_RELZ: n = in->osz == 2 ? 2 : 4; break;
	case I_V: n = in->osz; break;
	case I_MOFFS: n = in->asz; break;
	case I_ENTER: n = 2; n2 = 1; break;
	case I_FAR: n = in->osz; n2 = 2; break;
	}
	if ((r = take(c, n, &v)) < 0 || (n2 && (r = take(c, n2, &v2)) < 0))
		return r;
	in->imm = kind == I_8 || kind == I_16 || kind == I_MOFFS || kind == I_ENTER || kind == I_FAR ? v : (uint64_t)sext(v, n);
	in->imm2 = v2;
	in->imm_size = n + n2;
	return 0;
}

static void fix_x87(struct insn *in)
{
	static const uint8_t sizes[8][8] = {
		{ 4, 4, 4, 4, 4, 4, 4, 4 }, { 4, 0, 4, 4, 28, 2, 28, 2 }, { 4, 4, 4, 4, 4, 4, 4, 4 }, { 4, 4, 4, 4, 0, 10, 0, 10 },
		{ 8, 8, 8, 8, 8, 8, 8, 8 }, { 8, 8, 8, 8, 108, 0, 108, 2 }, { 2, 2, 2, 2, 2, 2, 2, 2 }, { 2, 2, 2, 2, 10, 8, 10, 8 },
	};
	unsigned row = in->opc & 7, reg = in->reg & 7;

	if (in->mod == 3) {
		if (row == 2 || (row == 3 && reg <= 3)) /* FCMOVcc */
			in->attr |= row == 2 && reg == 5 ? 0 : A_FR;
		if ((row == 3 || row == 7) && (reg == 5 || reg == 6)) /* FCOMI and kin */
			in->attr |= FRW;
		if (row == 7 && reg == 4) /* FNSTSW AX */
			in->attr |= in->rm & 7 ? 0 : 0;
		return;
	}
	in->msz = sizes[row][reg];
	if (in->msz == 0) {
		in->op = OP_UD;
		return;
	}
	if (in->msz == 28 && in->osz == 2)
		in->msz = 14;
	if (in->msz == 108 && in->osz == 2)
		in->msz = 94;
	bool store = (row == 1 && (reg == 2 || reg == 3 || reg >= 6)) || (row == 3 && (reg == 1 || reg == 2 || reg == 3 || reg == 7)) ||
		     (row == 5 && (reg == 1 || reg == 2 || reg == 3 || reg >= 6)) || (row == 7 && (reg == 1 || reg == 2 || reg == 3 || reg >= 6));
	in->attr |= store ? A_EW : A_ER;
}

static void fix_group3(struct insn *in)
{
	switch (in->reg & 7) {
	case 0: case 1: in->attr = (in->attr & ~A_EW) | FL; break;  /* TEST, which alone has an immediate */
	case 2: in->attr |= A_LOCK; break;                          /* NOT */
	case 3: in->attr |= FL | A_LOCK; break;                     /* NEG */
	case 4: case 5: in->attr = (in->attr & ~A_EW) | FL; break;  /* MUL, IMUL */
	case 6: in->attr = (in->attr & ~A_EW) | FRW; in->op = OP_DIV; break;
	case 7: in->attr = (in->attr & ~A_EW) | FRW; in->op = OP_IDIV; break;
	}
}

static void fix_group5(struct insn *in)
{
	static const uint8_t ops[8] = { OP_NATIVE, OP_NATIVE, OP_CALL_E, OP_CALL_FAR_E, OP_JMP_E, OP_JMP_FAR_E, OP_PUSH_E, OP_UD };
	unsigned n = in->reg & 7;

	in->op = in->opc == 0xfe && n > 1 ? OP_UD : ops[n];
	if (n < 2)
		return;
	in->attr = A_M | A_ER;
	if (n == 2 || n == 4 || n == 6)
		in->attr |= n == 6 ? A_D64 : A_F64;
	if (n == 3 || n == 5) {
		in->attr |= A_NOREG;
		in->msz = 0xff; /* resolved with the operand size */
	}
}

/* Shifts by an immediate other than zero define all flags that they touch; rotates keep some. */
static void fix_shift(struct insn *in)
{
	unsigned n = in->reg & 7, mask = in->osz == 8 && !(in->attr & A_EB) ? 63 : 31;
	bool by_imm = in->opc == 0xc0 || in->opc == 0xc1, by_one = in->opc == 0xd0 || in->opc == 0xd1;

	if (n >= 4 && (by_one || (by_imm && (in->imm & mask))))
		in->attr &= ~A_FR;
}

static void fix_group15(struct insn *in)
{
	unsigned n = in->reg & 7;

	if (in->mod == 3) {
		bool fence = n >= 5 && in->pfx == PFX_NONE;
		in->op = fence ? OP_NATIVE : n <= 3 && in->pfx == PFX_F3 ? OP_GRP15 : OP_UD;
		in->attr |= n >= 2 && !fence ? A_ER : fence ? A_EX : A_EW;
		return;
	}
	if (in->pfx == PFX_NONE) {
		static const uint16_t sizes[8] = { 512, 512, 4, 4, 0, 0, 0, 0 };
		in->msz = sizes[n];
		if (n == 2 || n == 3) {
			in->attr |= A_SSE | (n == 2 ? A_ER : A_EW); /* LDMXCSR with a reserved bit faults natively */
			in->op = OP_NATIVE;
		} else if (n == 7) {
			in->op = OP_NOP; /* CLFLUSH: nothing is cached, but the address must be readable */
			in->attr |= A_ER;
			in->msz = 1;
		} else {
			in->attr |= n == 1 || n == 5 ? A_ER : A_EW;
		}
	} else {
		in->op = OP_UD;
	}
}

static void fix_group9(struct insn *in)
{
	unsigned n = in->reg & 7;

	if (in->mod != 3 && n == 1) { /* CMPXCHG8B, CMPXCHG16B: only ZF changes */
		in->op = OP_NATIVE;
		in->msz = in->rex & 8 ? 16 : 8;
		in->attr |= A_ER | A_EW | FRW | A_LOCK | A_NOREG | (in->msz == 16 ? A_ALIGN : 0);
	} else if (in->mod == 3 && n == 6) { /* RDRAND */
		in->op = OP_NATIVE;
		in->attr |= A_EW | FL;
	} else {
		in->op = OP_UD;
	}
}

static void fix_map1(struct insn *in)
{
	unsigned n = in->reg & 7;

	switch (in->opc) {
	case 0x12: case 0x16:
		if (in->mod == 3 && in->pfx == PFX_66)
			in->op = OP_UD;
		break;
	case 0x13: case 0x17: case 0x2b: case 0xe7: in->attr |= A_NOREG; break;
	case 0x2a:
		if (in->pfx >= PFX_F3) {
			in->attr &= ~A_EX;
			in->msz = in->osz == 8 ? 8 : 4;
		}
		break;
	case 0x2c: case 0x2d:
		if (in->pfx >= PFX_F3)
			in->attr |= A_RW;
		break;
	case 0x71: case 0x72: case 0x73: {
		bool ok = n == 2 || n == 6 || (n == 4 && in->opc != 0x73) || (in->opc == 0x73 && (n == 3 || n == 7) && in->pfx == PFX_66);
		if (!ok)
			in->op = OP_UD;
		break;
	}
	case 0x7e:
		if (in->pfx == PFX_F3) {
			in->attr = (in->attr & ~A_EW) | A_ER | A_EX;
			in->msz = 8;
		}
		break;
	case 0xa3: case 0xab: case 0xb3: case 0xbb:
		if (in->mod != 3)
			in->op = OP_BT;
		break;
	case 0xa4: case 0xac:
		if (in->imm & (in->osz == 8 ? 63 : 31))
			in->attr &= ~A_FR;
		break;
	case 0xba:
		if (n < 4)
			in->op = OP_UD;
		if (n == 4)
			in->attr &= ~(A_EW | A_LOCK);
		break;
	case 0xb8: break;
	case 0xbc: case 0xbd: break;
	case 0xd6:
		if (in->pfx != PFX_66) {
			in->attr = (in->attr & ~A_EW) | A_NOMEM;
		}
		break;
	case 0xd7:
		break;
	case 0xae: fix_group15(in); break;
	case 0xc7: fix_group9(in); break;
	case 0x0d:
		in->attr |= A_NOREG;
		break;
	default: break;
	}
}

static void fix_map2(struct insn *in)
{
	if (in->opc == 0xf0 || in->opc == 0xf1) {
		if (in->pfx == PFX_F2) { /* CRC32 */
			in->attr = A_M | A_RR | A_RW | A_ER | (in->opc == 0xf0 ? A_EB : 0) | A_PFX;
			in->msz = in->opc == 0xf0 ? 1 : in->osz;
		} else if (in->pfx == PFX_F3) {
			in->op = OP_UD;
		}
	}
	if (in->opc == 0x2a)
		in->attr |= A_NOREG;
	if (in->opc == 0x82 && in->pfx != PFX_66)
		in->op = OP_UD;
}

static void fix_map0(struct insn *in)
{
	switch (in->opc) {
	case 0x63:
		if (in->mode != 8) {
			in->op = OP_ARPL;
			in->attr = RW_E | A_RR | FRW;
			in->msz = 2;
		} else if (in->osz == 2) {
			in->msz = 2;
		}
		break;
	case 0x80 ... 0x83:
		if ((in->reg & 7) == 7)
			in->attr &= ~(A_EW | A_LOCK);
		if ((in->reg & 7) == 2 || (in->reg & 7) == 3)
			in->attr |= A_FR;
		break;
	case 0x8c:
	case 0x8e:
		if ((in->reg & 7) > 5 || (in->opc == 0x8e && (in->reg & 7) == SEG_CS))
			in->op = OP_UD;
		break;
	case 0x8f: case 0xc6: case 0xc7:
		if (in->reg & 7)
			in->op = OP_UD;
		break;
	case 0x90:
		if (!(in->rex & 1) || in->rep) {
			in->op = OP_NOP; /* NOP and PAUSE */
			in->attr = 0;
		}
		break;
	case 0xc0: case 0xc1: case 0xd0 ... 0xd3: fix_shift(in); break;
	case 0xd8 ... 0xdf: fix_x87(in); break;
	case 0xf6: case 0xf7: fix_group3(in); break;
	case 0xfe: case 0xff: fix_group5(in); break;
	default: break;
	}
}

/* SSE wants 16-byte operands aligned, but for the moves and string compares that say they do not. */
static void mark_aligned(struct insn *in)
{
	if (!(in->attr & A_SSE) || in->msz != 16 || !(in->attr & (A_ER | A_EW)))
		return;
	bool loose = in->map == 1 ? in->opc == 0x10 || in->opc == 0x11 || in->opc == 0xf0 ||
					    ((in->opc == 0x6f || in->opc == 0x7f) && in->pfx == PFX_F3)
				  : in->map == 3 && in->opc >= 0x60 && in->opc <= 0x63;
	if (!loose)
		in->attr |= A_ALIGN;
}

static void mark_high_bytes(struct insn *in)
{
	if (in->rex || in->vex)
		return;
	bool hi = ((in->attr & (A_RR | A_RW)) && (in->attr & A_RB) && in->reg >= 4) ||
		  ((in->attr & A_EB) && in->mod == 3 && (in->attr & A_M) && in->rm >= 4) ||
		  ((in->attr & A_OW) && (in->attr & A_RB) && (in->opc & 7) >= 4);
	if (hi)
		in->attr |= A_HI;
}

static unsigned mem_size(unsigned code, const struct insn *in)
{
	if (code < 128)
		return code;
	switch (code) {
	case Z_V: return in->osz;
	case Z_Y: return in->rex & 8 ? 8 : 4;
	case Z_FAR: return in->osz + 2;
	case Z_2V: return 2 * in->osz;
	case Z_CI: return in->pfx >= PFX_F3 ? in->osz : 8;
	default: return pfx_sizes[code - 128][in->pfx];
	}
}

static void set_sizes(unsigned mode, bool a67, uint32_t attr, struct insn *in)
{
	bool w = in->rex & 8;

	in->asz = mode == 8 ? (a67 ? 4 : 8) : (mode == 2) != a67 ? 2 : 4;
	if (mode == 8)
		in->osz = w || (attr & A_F64) ? 8 : in->has66 ? 2 : attr & A_D64 ? 8 : 4;
	else
		in->osz = (mode == 2) != in->has66 ? 2 : 4;
}

int insn_decode(const uint8_t *bytes, unsigned len, unsigned mode, bool vex_enabled, struct insn *ret)
{
	static const struct opinfo *const maps[4] = { map0, map1, map2, map3 };
	struct cursor c = { bytes, 0, len };
	struct insn in = { .base = REG_NO, .index = REG_NO, .seg = SEG_DS, .segover = SEG_NONE, .mode = mode };
	bool a67 = false;
	uint64_t b;
	int r;

	if ((r = take_prefixes(&c, mode, &in, &a67, &in.opc)) < 0)
		return r;
	if (in.opc == 0x0f) {
		if ((r = take(&c, 1, &b)) < 0)
			return r;
		in.map = 1;
		in.opc = b;
		if (b == 0x38 || b == 0x3a) {
			in.map = b == 0x38 ? 2 : 3;
			if ((r = take(&c, 1, &b)) < 0)
				return r;
			in.opc = b;
		}
	} else if (vex_enabled && (in.opc == 0xc4 || in.opc == 0xc5)) {
		if (c.pos >= c.len)
			return -EAGAIN;
		if (mode == 8 || c.p[c.pos] >= 0xc0) {
			if ((r = take_vex(&c, mode, in.opc == 0xc4, &in)) < 0)
				return r;
			return -EILSEQ; /* no model advertises VEX instructions yet */
		}
	}
	const struct opinfo *info = &maps[in.map][in.opc];
	in.op = info->op;
	in.attr = info->attr;
	if (in.op == OP_UD)
		return -EILSEQ;
	set_sizes(mode, a67, in.attr, &in);
	if ((in.attr & A_M) && (r = take_modrm(&c, &in)) < 0)
		return r;
	if (in.map == 0 && in.opc == 0xff && ((in.reg & 7) == 2 || (in.reg & 7) == 4 || (in.reg & 7) == 6))
		set_sizes(mode, a67, (in.reg & 7) == 6 ? A_D64 : A_F64, &in);
	if ((in.attr & A_M) && (in.map != 0 || in.opc < 0xd8 || in.opc > 0xdf))
		in.msz = mem_size(info->msz, &in);
	else if (!(in.attr & A_M) && info->msz)
		in.msz = mem_size(info->msz, &in); /* string and port instructions: element size */
	unsigned imm = info->imm;
	if (in.map == 0 && (in.opc == 0xf6 || in.opc == 0xf7) && (in.reg & 6) == 0)
		imm = in.opc == 0xf6 ? I_8S : I_Z;
	if ((r = take_imm(&c, imm, &in)) < 0)
		return r;
	in.len = c.pos;
	if (in.map == 0)
		fix_map0(&in);
	else if (in.map == 1)
		fix_map1(&in);
	else if (in.map == 2)
		fix_map2(&in);
	if (in.msz == 0xff)
		in.msz = in.osz + 2;
	if (in.op == OP_UD || in.op == OP_UD_MODRM || ((in.attr & A_NO64) && mode == 8) || ((in.attr & A_PFX) && !prefix_allowed(&in)))
		return -EILSEQ;
	if ((in.attr & A_M) && ((in.mod == 3 && (in.attr & A_NOREG)) || (in.mod != 3 && (in.attr & A_NOMEM))))
		return -EILSEQ;
	if (in.lock && !((in.attr & A_LOCK) && insn_has_mem(&in)) && !(in.op == OP_BT || in.op == OP_MOV_TO_CR || in.op == OP_MOV_FROM_CR))
		return -EILSEQ;
	if (in.op == OP_BT && in.lock && in.opc == 0xa3)
		return -EILSEQ;
	if (in.segover != SEG_NONE)
		in.seg = in.segover;
	mark_aligned(&in);
	mark_high_bytes(&in);
	*ret = in;
	return 0;
}
