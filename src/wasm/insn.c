#include "wasm/insn.h"

#include <string.h>

/* A one-byte abbreviation of a nullable abstract reference type, 0x69 to 0x74. */
static bool is_abstract_byte(uint8_t b)
{
	return b >= 0x69 && b <= 0x74;
}

static wasm_heap type_index(const struct wasm_module *m, struct wasm_reader *r, int64_t index)
{
	if (index < 0 || index >= m->n_types) {
		wasm_reader_fail(r, WASM_INVALID, "unknown type %lld", (long long)index);
		return WASM_HEAP_BOT;
	}
	return m->types[index];
}

wasm_heap wasm_read_heaptype(const struct wasm_module *m, struct wasm_reader *r)
{
	int64_t v = wasm_read_s33(r);

	if (r->failed)
		return WASM_HEAP_BOT;
	if (v >= 0)
		return type_index(m, r, v);
	if (v >= -64 && is_abstract_byte(v & 0x7f))
		return WASM_HEAP_ABSTRACT | (v & 0x7f);
	wasm_reader_fail(r, WASM_MALFORMED, "malformed heap type");
	return WASM_HEAP_BOT;
}

wasm_type wasm_read_reftype(const struct wasm_module *m, struct wasm_reader *r)
{
	uint8_t b = wasm_read_u8(r);

	if (r->failed)
		return WASM_BOT;
	if (is_abstract_byte(b))
		return wasm_ref(true, WASM_HEAP_ABSTRACT | b);
	if (b == WASM_REF_BYTE || b == WASM_REF_NULL_BYTE)
		return wasm_ref(b == WASM_REF_NULL_BYTE, wasm_read_heaptype(m, r));
	wasm_reader_fail(r, WASM_MALFORMED, "malformed reference type 0x%02x", b);
	return WASM_BOT;
}

wasm_type wasm_read_valtype(const struct wasm_module *m, struct wasm_reader *r)
{
	if (!r->failed && r->p < r->end && *r->p >= WASM_V128 && *r->p <= WASM_I32)
		return *r->p++;
	if (!r->failed && r->p < r->end && !is_abstract_byte(*r->p) && *r->p != WASM_REF_BYTE && *r->p != WASM_REF_NULL_BYTE) {
		wasm_reader_fail(r, WASM_MALFORMED, "malformed value type 0x%02x", *r->p);
		return WASM_BOT;
	}
	return wasm_read_reftype(m, r);
}

static void read_block_type(const struct wasm_module *m, struct wasm_reader *r, struct wasm_block_type *ret)
{
	*ret = (struct wasm_block_type){ .type = WASM_NO_TYPE, .single = WASM_BOT };
	if (!r->failed && r->p < r->end && *r->p == 0x40) {
		r->p++;
		return;
	}
	if (!r->failed && r->p < r->end && (*r->p & 0xc0) == 0x40) {
		ret->single = wasm_read_valtype(m, r);
		return;
	}
	int64_t v = wasm_read_s33(r);

	if (r->failed)
		return;
	if (v < 0) {
		wasm_reader_fail(r, WASM_MALFORMED, "malformed block type");
		return;
	}
	ret->type = type_index(m, r, v);
	if (!r->failed && wasm_typedef_get(ret->type)->kind != WASM_TYPEDEF_FUNC)
		wasm_reader_fail(r, WASM_INVALID, "block type %lld is not a function type", (long long)v);
}

static uint32_t read_index(struct wasm_reader *r, uint32_t n, const char *what)
{
	uint32_t i = wasm_read_u32(r);

	if (!r->failed && i >= n)
		wasm_reader_fail(r, WASM_INVALID, "unknown %s %u", what, i);
	return r->failed ? 0 : i;
}

static void read_memarg(const struct wasm_module *m, struct wasm_reader *r, enum wasm_imm imm, struct wasm_insn *insn)
{
	uint32_t flags = wasm_read_u32(r);
	uint32_t memory = 0;

	if (flags >= 0x80)
		wasm_reader_fail(r, WASM_MALFORMED, "malformed memop flags 0x%x", flags);
	if (flags & 0x40) {
		memory = wasm_read_u32(r);
		flags &= ~0x40u;
	}
	insn->mem.offset = wasm_read_u64(r);
	insn->mem.memory = memory;
	insn->mem.align = (uint8_t)flags;
	if (imm >= WASM_IMM_MEM1_LANE && imm <= WASM_IMM_MEM8_LANE)
		insn->mem.lane = wasm_read_u8(r);
	if (r->failed)
		return;
	if (memory >= m->n_memories)
		wasm_reader_fail(r, WASM_INVALID, "unknown memory %u", memory);
	else if (flags > wasm_imm_align_log2(imm))
		wasm_reader_fail(r, WASM_INVALID, "alignment must not be larger than natural");
	else if (imm >= WASM_IMM_ATOMIC1 && flags != wasm_imm_align_log2(imm))
		wasm_reader_fail(r, WASM_INVALID, "atomic alignment must be natural");
	else if (imm >= WASM_IMM_MEM1_LANE && imm <= WASM_IMM_MEM8_LANE &&
		 insn->mem.lane >= 16u >> wasm_imm_align_log2(imm))
		wasm_reader_fail(r, WASM_INVALID, "invalid lane index %u", insn->mem.lane);
}

static void read_br_table(struct wasm_reader *r, struct wasm_insn *insn)
{
	insn->n_list = wasm_read_count(r, 1, WASM_MAX_BODY_BYTES, "branch targets");
	insn->list = r->p;
	for (uint32_t i = 0; i <= insn->n_list && !r->failed; i++)
		wasm_read_u32(r);
	insn->list_end = r->p;
}

struct wasm_catch wasm_read_catch(struct wasm_reader *r)
{
	struct wasm_catch c = { 0 };
	uint8_t kind = wasm_read_u8(r);

	if (kind > WASM_CATCH_ALL_REF)
		wasm_reader_fail(r, WASM_MALFORMED, "malformed catch clause 0x%02x", kind);
	c.kind = kind;
	if (kind <= WASM_CATCH_REF)
		c.tag = wasm_read_u32(r);
	c.label = wasm_read_u32(r);
	return c;
}

static void read_try_table(const struct wasm_module *m, struct wasm_reader *r, struct wasm_insn *insn)
{
	read_block_type(m, r, &insn->block);
	insn->n_list = wasm_read_count(r, 2, WASM_MAX_BODY_BYTES, "catch clauses");
	insn->list = r->p;
	for (uint32_t i = 0; i < insn->n_list && !r->failed; i++)
		wasm_read_catch(r);
	insn->list_end = r->p;
}

struct wasm_reader wasm_insn_list(const struct wasm_insn *insn, struct error *err)
{
	return (struct wasm_reader){
		.start = insn->list, .p = insn->list, .end = insn->list_end, .base = insn->offset, .err = err,
	};
}

static void read_select(const struct wasm_module *m, struct wasm_reader *r, struct wasm_insn *insn)
{
	insn->select.n = wasm_read_count(r, 1, WASM_MAX_RESULTS, "select types");
	insn->select.type = WASM_BOT;
	for (uint32_t i = 0; i < insn->select.n && !r->failed; i++) {
		wasm_type t = wasm_read_valtype(m, r);

		if (i == 0)
			insn->select.type = t;
	}
}

static void read_cast(const struct wasm_module *m, struct wasm_reader *r, struct wasm_insn *insn)
{
	uint8_t flags = wasm_read_u8(r);

	if (flags > 3)
		wasm_reader_fail(r, WASM_MALFORMED, "malformed br_on_cast flags 0x%02x", flags);
	insn->cast.label = wasm_read_u32(r);
	insn->cast.from = wasm_ref(flags & 1, wasm_read_heaptype(m, r));
	insn->cast.to = wasm_ref(flags & 2, wasm_read_heaptype(m, r));
}

static void read_shuffle(struct wasm_reader *r, struct wasm_insn *insn)
{
	const uint8_t *p = wasm_read_bytes(r, 16);

	for (unsigned i = 0; p && i < 16; i++) {
		if (p[i] >= 32) {
			wasm_reader_fail(r, WASM_INVALID, "invalid lane index %u", p[i]);
			return;
		}
		insn->v128[i] = p[i];
	}
}

/* A type index of the kind KIND; the insn carries the canonical id. */
static uint32_t read_type(const struct wasm_module *m, struct wasm_reader *r, enum wasm_typedef_kind kind)
{
	static const char *const kinds[] = { "function", "structure", "array" };
	uint32_t i = read_index(r, m->n_types, "type");

	if (r->failed)
		return 0;
	if (wasm_typedef_get(m->types[i])->kind != kind) {
		wasm_reader_fail(r, WASM_INVALID, "type mismatch: type %u is not a %s type", i, kinds[kind]);
		return 0;
	}
	return m->types[i];
}

static uint32_t read_data_index(const struct wasm_module *m, struct wasm_reader *r)
{
	uint32_t i = wasm_read_u32(r);

	if (r->failed)
		return 0;
	/* Without a data count section the validator refuses the instruction: constant expressions come before that section. */
	if (m->has_data_count && i >= m->data_count)
		wasm_reader_fail(r, WASM_INVALID, "unknown data segment %u", i);
	return i;
}

static void read_gc_immediate(const struct wasm_module *m, struct wasm_reader *r, enum wasm_imm imm, struct wasm_insn *insn)
{
	bool is_struct = insn->op >= WASM_OP_STRUCT_NEW && insn->op <= WASM_OP_STRUCT_SET;
	bool is_array = insn->op >= WASM_OP_ARRAY_NEW && insn->op <= WASM_OP_ARRAY_INIT_ELEM;

	insn->pair.a = read_type(m, r, is_struct ? WASM_TYPEDEF_STRUCT : is_array ? WASM_TYPEDEF_ARRAY : WASM_TYPEDEF_FUNC);
	switch (imm) {
	case WASM_IMM_FIELD:
		insn->pair.b = wasm_read_u32(r);
		if (!r->failed && insn->pair.b >= wasm_typedef_get(insn->pair.a)->n_fields)
			wasm_reader_fail(r, WASM_INVALID, "unknown field %u", insn->pair.b);
		break;
	case WASM_IMM_ARRAY_FIXED:
		insn->pair.b = wasm_read_u32(r);
		break;
	case WASM_IMM_TYPE_DATA:
		insn->pair.b = read_data_index(m, r);
		break;
	case WASM_IMM_TYPE_ELEM:
		insn->pair.b = read_index(r, m->n_elems, "elem segment");
		break;
	case WASM_IMM_TYPE_TYPE:
		insn->pair.b = read_type(m, r, WASM_TYPEDEF_ARRAY);
		break;
	default:
		break;
	}
}

static void read_table_pair(const struct wasm_module *m, struct wasm_reader *r, enum wasm_imm imm, struct wasm_insn *insn)
{
	if (imm == WASM_IMM_TABLE_INIT)
		insn->pair.a = read_index(r, m->n_elems, "elem segment");
	else
		insn->pair.a = read_index(r, m->n_tables, "table");
	insn->pair.b = read_index(r, m->n_tables, "table");
}

static void read_immediate(const struct wasm_module *m, struct wasm_reader *r, enum wasm_imm imm, struct wasm_insn *insn)
{
	const uint8_t *p;

	if (wasm_imm_is_memarg(imm)) {
		read_memarg(m, r, imm, insn);
		return;
	}
	switch (imm) {
	case WASM_IMM_NONE:
		break;
	case WASM_IMM_BLOCK:
		read_block_type(m, r, &insn->block);
		break;
	case WASM_IMM_LABEL:
	case WASM_IMM_LOCAL:
		insn->index = wasm_read_u32(r); /* against the function's own labels and locals: the validator's part */
		break;
	case WASM_IMM_BR_TABLE:
		read_br_table(r, insn);
		break;
	case WASM_IMM_TRY_TABLE:
		read_try_table(m, r, insn);
		break;
	case WASM_IMM_FUNC:
		insn->index = read_index(r, m->n_funcs, "function");
		break;
	case WASM_IMM_CALL_INDIRECT:
		insn->pair.a = read_type(m, r, WASM_TYPEDEF_FUNC);
		insn->pair.b = read_index(r, m->n_tables, "table");
		break;
	case WASM_IMM_TAG:
		insn->index = read_index(r, m->n_tags, "tag");
		break;
	case WASM_IMM_GLOBAL:
		insn->index = read_index(r, m->n_globals, "global");
		break;
	case WASM_IMM_TABLE:
		insn->index = read_index(r, m->n_tables, "table");
		break;
	case WASM_IMM_MEMORY:
		insn->index = read_index(r, m->n_memories, "memory");
		break;
	case WASM_IMM_SELECT_T:
		read_select(m, r, insn);
		break;
	case WASM_IMM_HEAPTYPE:
		insn->heap = wasm_read_heaptype(m, r);
		break;
	case WASM_IMM_BR_ON_CAST:
		read_cast(m, r, insn);
		break;
	case WASM_IMM_TYPE:
	case WASM_IMM_FIELD:
	case WASM_IMM_ARRAY_FIXED:
	case WASM_IMM_TYPE_DATA:
	case WASM_IMM_TYPE_ELEM:
	case WASM_IMM_TYPE_TYPE:
		read_gc_immediate(m, r, imm, insn);
		break;
	case WASM_IMM_DATA:
		insn->index = read_data_index(m, r);
		break;
	case WASM_IMM_ELEM:
		insn->index = read_index(r, m->n_elems, "elem segment");
		break;
	case WASM_IMM_MEMORY_INIT:
		insn->pair.a = read_data_index(m, r);
		insn->pair.b = read_index(r, m->n_memories, "memory");
		break;
	case WASM_IMM_MEMORY_COPY:
		insn->pair.a = read_index(r, m->n_memories, "memory");
		insn->pair.b = read_index(r, m->n_memories, "memory");
		break;
	case WASM_IMM_TABLE_INIT:
	case WASM_IMM_TABLE_COPY:
		read_table_pair(m, r, imm, insn);
		break;
	case WASM_IMM_I32:
		insn->i32 = wasm_read_s32(r);
		break;
	case WASM_IMM_I64:
		insn->i64 = wasm_read_s64(r);
		break;
	case WASM_IMM_F32:
		p = wasm_read_bytes(r, 4);
		if (p)
			memcpy(&insn->f32, p, 4);
		break;
	case WASM_IMM_F64:
		p = wasm_read_bytes(r, 8);
		if (p)
			memcpy(&insn->f64, p, 8);
		break;
	case WASM_IMM_V128:
		p = wasm_read_bytes(r, 16);
		if (p)
			memcpy(insn->v128, p, 16);
		break;
	case WASM_IMM_SHUFFLE:
		read_shuffle(r, insn);
		break;
	case WASM_IMM_FENCE:
		if (wasm_read_u8(r) != 0)
			wasm_reader_fail(r, WASM_MALFORMED, "zero byte expected");
		break;
	case WASM_IMM_LANE2:
	case WASM_IMM_LANE4:
	case WASM_IMM_LANE8:
	case WASM_IMM_LANE16:
		insn->index = wasm_read_u8(r);
		if (!r->failed && insn->index >= 2u << (imm - WASM_IMM_LANE2))
			wasm_reader_fail(r, WASM_INVALID, "invalid lane index %u", insn->index);
		break;
	default:
		wasm_reader_fail(r, WASM_MALFORMED, "illegal opcode");
	}
}

static uint32_t read_opcode(struct wasm_reader *r)
{
	static const uint16_t base[] = { OP_FB(0), OP_FC(0), OP_FD(0), OP_FE(0), WASM_OP_LIMIT };
	uint8_t b = wasm_read_u8(r);
	uint32_t sub;

	if (b < 0xfb || b == 0xff)
		return b;
	sub = wasm_read_u32(r);
	return sub < (uint32_t)(base[b - 0xfb + 1] - base[b - 0xfb]) ? base[b - 0xfb] + sub : WASM_OP_LIMIT;
}

int wasm_insn_read(const struct wasm_module *m, struct wasm_reader *r, struct wasm_insn *ret)
{
	const uint8_t *at = r->p;
	size_t offset = wasm_reader_offset(r);
	uint32_t op = read_opcode(r);

	if (r->failed)
		return -WASM_MALFORMED;
	if (op >= WASM_OP_LIMIT || !wasm_opcodes[op].name) {
		r->p = at;
		return wasm_reader_fail(r, WASM_MALFORMED, "illegal opcode 0x%02x", *at);
	}
	ret->op = (uint16_t)op;
	ret->offset = (uint32_t)offset;
	read_immediate(m, r, wasm_opcodes[op].imm, ret);
	if (r->failed)
		return r->err && r->err->code ? -r->err->code : -WASM_MALFORMED;
	return 0;
}
