#include "wasm/baseline/baseline.h"

#include <string.h>

#include "wasm/baseline/compiler.h"

/* ---- instructions without a family of their own ---- */

static void emit_local(struct compiler *c)
{
	uint32_t i = c->insn.index;
	wasm_type t = c->locals[i];
	struct value *v;

	if (c->insn.op == WASM_OP_LOCAL_GET) {
		push(c, t, VALUE_LOCAL)->local = i;
		return;
	}
	v = top(c, 0);
	if (v->kind == VALUE_LOCAL && v->local == i) {
		if (c->insn.op == WASM_OP_LOCAL_SET)
			pop_drop(c);
		return;
	}
	c->n_values--; /* not the value itself */
	forget_local(c, i);
	c->n_values++;
	store_value(c, v, local_mem(c, i));
	if (c->insn.op == WASM_OP_LOCAL_SET) {
		pop_drop(c);
	} else if (v->kind == VALUE_SLOT || v->kind == VALUE_FLAGS) {
		pop_drop(c);
		push(c, t, VALUE_LOCAL)->local = i;
	}
}

static void emit_global(struct compiler *c)
{
	wasm_type t = c->m->globals[c->insn.index].type.type;
	bool xmm = is_xmm_type(t), get = c->insn.op == WASM_OP_GLOBAL_GET;
	unsigned v = get ? (xmm ? alloc_xmm(c) : alloc_gpr(c)) : xmm ? pop_xmm(c) : pop_gpr(c);

	x64_rm(&c->a, X64(0, 0, 0x8b), true, R11, x64_at(R14, offsetof(struct wasm_instance, globals)), 0);
	x64_rm(&c->a, X64(0, 0, 0x8b), true, R11, x64_at(R11, (int32_t)c->insn.index * 8), 0);
	if (get && xmm) {
		load_xmm(c, v, t, x64_at(R11, 0));
		push_xmm(c, t, v);
	} else if (get) {
		load_gpr(c, v, t, x64_at(R11, 0));
		push_gpr(c, t, v);
	} else if (xmm) {
		store_xmm(c, t, x64_at(R11, 0), v);
		free_xmm(c, v);
	} else {
		store_gpr(c, t, x64_at(R11, 0), v);
		free_gpr(c, v);
	}
}

static void emit_select(struct compiler *c)
{
	struct x64_label keep = X64_LABEL_INIT;
	unsigned cond = pop_gpr(c);
	wasm_type t = top(c, 0)->type;

	if (is_xmm_type(t)) {
		unsigned b = pop_xmm(c), a = pop_xmm(c);

		x64_rr(&c->a, X64(0, 0, 0x85), false, cond, cond);
		x64_jcc(&c->a, CC_NE, &keep);
		x64_rr(&c->a, X64(0, 1, 0x28), false, a, b);
		x64_bind(&c->a, &keep);
		x64_label_free(&keep);
		free_xmm(c, b);
		push_xmm(c, t, a);
	} else {
		unsigned b = pop_gpr(c), a = pop_gpr(c);

		x64_rr(&c->a, X64(0, 0, 0x85), false, cond, cond);
		x64_rr(&c->a, X64(0, 1, 0x44), true, a, b); /* cmove */
		free_gpr(c, b);
		push_gpr(c, t, a);
	}
	free_gpr(c, cond);
}

static void emit_ref_func(struct compiler *c)
{
	flush(c, 0);
	x64_rr(&c->a, X64(0, 0, 0x8b), true, RDI, R14);
	x64_mov_imm(&c->a, RSI, c->insn.index);
	emit_helper(c, WASM_HELPER_FUNC_REF);
	c->used_gpr |= 1u << RAX;
	push_gpr(c, wasm_ref(false, c->m->funcs[c->insn.index].type), RAX);
}

static void emit_ref_eq(struct compiler *c)
{
	unsigned b = pop_gpr(c), a = pop_gpr(c);

	x64_rr(&c->a, X64(0, 0, 0x3b), true, a, b);
	free_gpr(c, a);
	free_gpr(c, b);
	push_flags(c, CC_E);
}

static void emit_ref_is_null(struct compiler *c)
{
	unsigned a = pop_gpr(c);

	x64_rr(&c->a, X64(0, 0, 0x85), true, a, a);
	free_gpr(c, a);
	push_flags(c, CC_E);
}

static void emit_ref_as_non_null(struct compiler *c)
{
	wasm_type t = top(c, 0)->type;
	unsigned a = pop_gpr(c);

	x64_rr(&c->a, X64(0, 0, 0x85), true, a, a);
	x64_jcc(&c->a, CC_E, trap_label(c, WASM_TRAP_NULL));
	push_gpr(c, t, a);
}

/* ---- operations that the runtime does ---- */

struct slow_shape {
	uint32_t operands;
	wasm_type result;
	uint64_t a, b;
};

static wasm_type index_type(bool is64)
{
	return is64 ? WASM_I64 : WASM_I32;
}

static struct slow_shape slow_memory_or_table(struct compiler *c)
{
	const struct wasm_insn *i = &c->insn;
	bool mem64 = i->op == WASM_OP_MEMORY_SIZE || i->op == WASM_OP_MEMORY_GROW ? c->m->memories[i->index].limits.is64 : false;
	bool tab64 = i->op == WASM_OP_TABLE_SIZE || i->op == WASM_OP_TABLE_GROW ? c->m->tables[i->index].type.limits.is64 : false;

	switch (i->op) {
	case WASM_OP_MEMORY_SIZE: return (struct slow_shape){ 0, index_type(mem64), i->index, 0 };
	case WASM_OP_MEMORY_GROW: return (struct slow_shape){ 1, index_type(mem64), i->index, 0 };
	case WASM_OP_MEMORY_FILL: return (struct slow_shape){ 3, WASM_BOT, i->index, 0 };
	case WASM_OP_MEMORY_COPY:
	case WASM_OP_MEMORY_INIT:
	case WASM_OP_TABLE_COPY:
	case WASM_OP_TABLE_INIT: return (struct slow_shape){ 3, WASM_BOT, i->pair.a, i->pair.b };
	case WASM_OP_DATA_DROP:
	case WASM_OP_ELEM_DROP: return (struct slow_shape){ 0, WASM_BOT, i->index, 0 };
	case WASM_OP_TABLE_GET: return (struct slow_shape){ 1, c->m->tables[i->index].type.elem, i->index, 0 };
	case WASM_OP_TABLE_SET: return (struct slow_shape){ 2, WASM_BOT, i->index, 0 };
	case WASM_OP_TABLE_SIZE: return (struct slow_shape){ 0, index_type(tab64), i->index, 0 };
	case WASM_OP_TABLE_GROW: return (struct slow_shape){ 2, index_type(tab64), i->index, 0 };
	default: return (struct slow_shape){ 3, WASM_BOT, i->index, 0 }; /* table.fill */
	}
}

static wasm_type unpacked(wasm_type t)
{
	return t == WASM_I8 || t == WASM_I16 ? WASM_I32 : t;
}

static struct slow_shape slow_object(struct compiler *c)
{
	const struct wasm_insn *i = &c->insn;
	const struct wasm_typedef *t = i->op == WASM_OP_ARRAY_LEN ? NULL : wasm_typedef_get(i->pair.a);
	wasm_type ref = t ? wasm_ref(false, t->id) : WASM_BOT;

	switch (i->op) {
	case WASM_OP_STRUCT_NEW: return (struct slow_shape){ t->n_fields, ref, t->id, 0 };
	case WASM_OP_STRUCT_NEW_DEFAULT: return (struct slow_shape){ 0, ref, t->id, 0 };
	case WASM_OP_STRUCT_GET:
	case WASM_OP_STRUCT_GET_S:
	case WASM_OP_STRUCT_GET_U:
		return (struct slow_shape){ 1, unpacked(t->fields[i->pair.b].type), t->id, i->pair.b };
	case WASM_OP_STRUCT_SET: return (struct slow_shape){ 2, WASM_BOT, t->id, i->pair.b };
	case WASM_OP_ARRAY_NEW: return (struct slow_shape){ 2, ref, t->id, 0 };
	case WASM_OP_ARRAY_NEW_DEFAULT: return (struct slow_shape){ 1, ref, t->id, 0 };
	case WASM_OP_ARRAY_NEW_FIXED: return (struct slow_shape){ i->pair.b, ref, t->id, i->pair.b };
	case WASM_OP_ARRAY_NEW_DATA:
	case WASM_OP_ARRAY_NEW_ELEM: return (struct slow_shape){ 2, ref, t->id, i->pair.b };
	case WASM_OP_ARRAY_GET:
	case WASM_OP_ARRAY_GET_S:
	case WASM_OP_ARRAY_GET_U: return (struct slow_shape){ 2, unpacked(t->fields[0].type), t->id, 0 };
	case WASM_OP_ARRAY_SET: return (struct slow_shape){ 3, WASM_BOT, t->id, 0 };
	case WASM_OP_ARRAY_LEN: return (struct slow_shape){ 1, WASM_I32, 0, 0 };
	case WASM_OP_ARRAY_FILL: return (struct slow_shape){ 4, WASM_BOT, t->id, 0 };
	case WASM_OP_ARRAY_COPY: return (struct slow_shape){ 5, WASM_BOT, t->id, i->pair.b };
	default: return (struct slow_shape){ 4, WASM_BOT, t->id, i->pair.b }; /* array.init_data, array.init_elem */
	}
}

static void emit_slow_shape(struct compiler *c, struct slow_shape s)
{
	emit_slow(c, c->insn.op, s.operands, s.result, s.a, s.b);
}

static void emit_other(struct compiler *c)
{
	const struct wasm_opcode *op = &wasm_opcodes[c->insn.op];
	uint16_t o = c->insn.op;

	if (o >= WASM_OP_STRUCT_NEW && o <= WASM_OP_ARRAY_INIT_ELEM) {
		emit_slow_shape(c, slow_object(c));
	} else if (o == WASM_OP_REF_TEST || o == WASM_OP_REF_TEST_NULL) {
		emit_slow(c, o, 1, WASM_I32, wasm_ref(o == WASM_OP_REF_TEST_NULL, c->insn.heap), 0);
	} else if (o == WASM_OP_REF_CAST || o == WASM_OP_REF_CAST_NULL) {
		wasm_type t = wasm_ref(o == WASM_OP_REF_CAST_NULL, c->insn.heap);

		emit_slow(c, o, 1, t, t, 0);
	} else if (o == WASM_OP_REF_I31) {
		emit_slow(c, o, 1, wasm_ref(false, WASM_HEAP_I31), 0, 0);
	} else if (o == WASM_OP_I31_GET_S || o == WASM_OP_I31_GET_U) {
		emit_slow(c, o, 1, WASM_I32, 0, 0);
	} else if (op->sig[0] != '-') { /* a conversion, or atomic.fence: all of one operand at most */
		static const char letters[] = "iIfFv";
		static const wasm_type types[] = { WASM_I32, WASM_I64, WASM_F32, WASM_F64, WASM_V128 };
		const char *colon = strchr(op->sig, ':'), *r = strchr(letters, colon[1]);

		emit_slow(c, o, (uint32_t)(colon - op->sig), colon[1] ? types[r - letters] : WASM_BOT, 0, 0);
	} else {
		emit_slow_shape(c, slow_memory_or_table(c));
	}
}

static void emit_misc(struct compiler *c)
{
	switch (c->insn.op) {
	case WASM_OP_DROP:
		pop_drop(c);
		break;
	case WASM_OP_SELECT:
	case WASM_OP_SELECT_T:
		emit_select(c);
		break;
	case WASM_OP_LOCAL_GET:
	case WASM_OP_LOCAL_SET:
	case WASM_OP_LOCAL_TEE:
		emit_local(c);
		break;
	case WASM_OP_GLOBAL_GET:
	case WASM_OP_GLOBAL_SET:
		emit_global(c);
		break;
	case WASM_OP_REF_NULL:
		push_const(c, wasm_ref(true, c->insn.heap), 0);
		break;
	case WASM_OP_REF_FUNC:
		emit_ref_func(c);
		break;
	case WASM_OP_REF_EQ:
		emit_ref_eq(c);
		break;
	case WASM_OP_REF_IS_NULL:
		emit_ref_is_null(c);
		break;
	case WASM_OP_REF_AS_NON_NULL:
		emit_ref_as_non_null(c);
		break;
	case WASM_OP_ANY_CONVERT_EXTERN:
		top(c, 0)->type = wasm_ref(true, WASM_HEAP_ANY);
		break;
	case WASM_OP_EXTERN_CONVERT_ANY:
		top(c, 0)->type = wasm_ref(true, WASM_HEAP_EXTERN);
		break;
	default:
		emit_other(c);
	}
}

static bool is_call(uint16_t op)
{
	return op >= WASM_OP_CALL && op <= WASM_OP_RETURN_CALL_REF;
}

static void emit_instruction(struct compiler *c)
{
	if (c->unreachable)
		skip_dead(c);
	else if (is_control(c->insn.op))
		emit_control(c);
	else if (is_call(c->insn.op))
		emit_call_instruction(c);
	else if (!emit_numeric(c) && !emit_memory(c) && !emit_simd(c))
		emit_misc(c);
}

/* ---- functions ---- */

static int read_locals(struct compiler *c, struct error *err)
{
	struct wasm_validator v;
	int r;

	r = wasm_validator_begin(&v, c->m, c->insn.index, err);
	if (r >= 0) {
		c->r = v.r;
		c->n_locals = v.n_locals;
		c->locals = v.locals;
		v.locals = NULL;
	}
	wasm_validator_free(&v);
	if (r < 0)
		return r;
	c->local_at = malloc((c->n_locals + 1) * sizeof(*c->local_at));
	if (!c->local_at)
		return error_oom(err);
	for (uint32_t i = 0; i < c->n_locals; i++) {
		c->locals_bytes += slot_bytes(c->locals[i]);
		c->local_at[i] = -(int32_t)(FRAME_FIXED + c->locals_bytes);
	}
	return 0;
}

static void emit_out_of_line(struct compiler *c)
{
	for (uint32_t i = 0; i < c->n_ool; i++) {
		struct out_of_line *o = &c->ool[i];
		struct x64_label back = { .pos = o->back };

		c->insn.offset = o->offset;
		x64_bind(&c->a, &o->from);
		switch (o->kind) {
		case OOL_TRAP:
			add_site(c, o->trap);
			x64_byte(&c->a, 0x0f); /* ud2 */
			x64_byte(&c->a, 0x0b);
			break;
		case OOL_LOOP:
			x64_rr(&c->a, X64(0, 0, 0x8b), true, RDI, R14);
			x64_mov_imm(&c->a, RSI, 0);
			emit_helper(c, WASM_HELPER_CHECKPOINT);
			x64_jmp(&c->a, &back);
			break;
		default: /* OOL_ENTRY: the frame may reach far below the limit; the helper does not return */
			x64_rm(&c->a, X64(0, 0, 0x8d), true, RSP, x64_at(RBP, -64), 0);
			x64_rr(&c->a, X64(0, 0, 0x8b), true, RDI, R14);
			x64_mov_imm(&c->a, RSI, 1);
			emit_helper(c, WASM_HELPER_CHECKPOINT);
			x64_byte(&c->a, 0xcc); /* so that the return address is no other stub's */
		}
	}
}

static uint32_t frame_size(const struct compiler *c)
{
	return (FRAME_FIXED + c->locals_bytes + c->max_slot + 32 + 15) & ~15u;
}

static int compare_sites(const void *a, const void *b)
{
	uint32_t x = ((const struct wasm_code_site *)a)->pc, y = ((const struct wasm_code_site *)b)->pc;

	return x < y ? -1 : x > y;
}

static int emit_function(struct compiler *c, struct error *err)
{
	emit_prologue(c);
	open_body(c);
	while (c->n_controls && !c->failed && !c->a.failed) {
		int r = wasm_insn_read(c->m, &c->r, &c->insn);

		if (r < 0)
			return r;
		emit_instruction(c);
	}
	emit_out_of_line(c);
	if (c->failed || c->a.failed)
		return error_oom(err);
	if ((uint64_t)FRAME_FIXED + c->locals_bytes + c->max_slot > (64u << 20))
		return error_set(err, E2BIG, "function frame is too large");
	uint32_t size = frame_size(c);

	x64_patch(&c->a, c->frame_patch, size);
	qsort(c->sites, c->n_sites, sizeof(*c->sites), compare_sites);
	return 0;
}

static int publish(struct compiler *c, uint32_t index, struct error *err)
{
	struct wasm_code_func *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return error_oom(err);
	*f = (struct wasm_code_func){ .func = index, .frame_size = frame_size(c), .sites = c->sites, .n_sites = c->n_sites,
				      .handlers = c->handlers, .n_handlers = c->n_handlers };
	r = wasm_code_publish(c->code, c->a.code, c->a.len, f, err);
	if (r < 0) {
		free(f);
		return r;
	}
	c->sites = NULL;
	c->handlers = NULL;
	return 0;
}

static void compiler_free(struct compiler *c)
{
	for (uint32_t i = 0; i < c->n_controls; i++) {
		x64_label_free(&c->controls[i].end);
		x64_label_free(&c->controls[i].other);
	}
	for (uint32_t i = 0; i < c->n_ool; i++)
		x64_label_free(&c->ool[i].from);
	free(c->a.code);
	free(c->locals);
	free(c->local_at);
	free(c->values);
	free(c->controls);
	free(c->sites);
	free(c->handlers);
	free(c->ool);
}

int wasm_baseline_compile(struct wasm_code *code, uint32_t index, struct error *err)
{
	_cleanup_(compiler_free) struct compiler c = {
		.code = code, .m = code->module, .type = wasm_func_type(code->module, index), .insn = { .index = index },
	};
	int r;

	c.a.base = wasm_code_next(code);
	r = read_locals(&c, err);
	if (r >= 0)
		r = emit_function(&c, err);
	if (r >= 0)
		r = publish(&c, index, err);
	return r;
}
