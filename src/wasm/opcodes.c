#include "wasm/opcodes.h"

const struct wasm_opcode wasm_opcodes[WASM_OP_LIMIT] = {
#define OP(code, ident, name, imm, sig) [code] = { name, sig, WASM_IMM_##imm },
#include "wasm/opcodes.def"
#undef OP
};
