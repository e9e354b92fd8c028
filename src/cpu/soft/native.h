/*
 * Guest and host speak one instruction set: most instructions are run by copying them, with their registers renamed to
 * where the engine keeps them and their memory operand replaced by a host address.
 */
#pragma once

#include "cpu/soft/emit.h"

/*
 * Emits IN, of class OP_NATIVE or OP_MOV. Its memory operand, if any, is MEM, which may use r14 and r15 (host) and,
 * unless IN names a high byte register, guest registers other than those in the core. Clobbers r14 and r15.
 * Returns 1 + N when the two low bytes of register N are exchanged while the instruction itself runs, else 0.
 */
unsigned native_emit(struct emit *e, const struct insn *in, const struct hmem *mem);

/* AX as LAHF; SETO %al leave it, back into the arithmetic flags; RAX is saved in the core meanwhile. */
void emit_load_flags(struct emit *e);
/* The reverse. */
void emit_save_flags(struct emit *e);

/* Code that enters and leaves translated code; emitted once for each cache. */
struct stubs {
	void (*enter)(struct core *);
	const uint8_t *leave; /* called by translated code; stores everything into the core and returns from enter() */
};
void stubs_emit(struct emit *e, struct stubs *ret);

static inline uint64_t flags_to_ax(uint64_t rflags)
{
	return ((rflags & 0xff) | 2) << 8 | (rflags >> 11 & 1);
}

static inline uint64_t flags_from_ax(uint64_t ax)
{
	return (ax >> 8 & 0xd5) | (ax & 1) << 11;
}
