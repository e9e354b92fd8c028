#include "wasm/baseline/compiler.h"

static const uint8_t arg_gprs[] = { RDI, RSI, RDX, RCX, R8, R9 };

static void load_pointer(struct compiler *c, unsigned reg, struct x64_mem from)
{
	x64_rm(&c->a, X64(0, 0, 0x8b), true, reg, from, 0);
}

static void move(struct compiler *c, unsigned to, unsigned from)
{
	if (to != from)
		x64_rr(&c->a, X64(0, 0, 0x8b), true, to, from);
}

static void return_site(struct compiler *c)
{
	add_site(c, WASM_TRAP_NONE);
}

void emit_helper(struct compiler *c, enum wasm_helper h)
{
	x64_rm(&c->a, X64(0, 0, 0xff), false, 2, x64_head(wasm_code_helper_slot(h)), 0);
	return_site(c);
}

/* A 64-bit memory 0 may have moved. */
void reload_memory(struct compiler *c)
{
	if (c->m->n_memories && c->m->memories[0].limits.is64)
		load_pointer(c, R15, x64_at(R14, offsetof(struct wasm_instance, memory0)));
}

void emit_slow(struct compiler *c, uint16_t op, uint32_t operands, wasm_type result, uint64_t imm_a, uint64_t imm_b)
{
	uint32_t slot;

	flush(c, 0);
	slot = operands ? top(c, operands - 1)->slot : next_slot(c);
	c->max_slot = MAX(c->max_slot, slot + 16);
	move(c, RDI, R14);
	x64_rm(&c->a, X64(0, 0, 0x8d), true, RSI, slot_mem(slot), 0);
	x64_mov_imm(&c->a, RDX, imm_a);
	x64_mov_imm(&c->a, RCX, imm_b);
	load_pointer(c, RAX, x64_head(wasm_code_helper_slot(WASM_HELPER_SLOW)));
	x64_rm(&c->a, X64(0, 0, 0xff), false, 2, x64_at(RAX, op * 8), 0);
	return_site(c);
	reload_memory(c);
	while (operands--)
		pop_drop(c);
	if (result != WASM_BOT)
		push(c, result, VALUE_SLOT);
}

/* ---- frames ---- */

static void zero_locals(struct compiler *c)
{
	uint32_t n = c->n_locals - c->type->n_params;

	if (!n)
		return;
	if (n > 12) { /* rdi, rcx, rax are free: parameters are stored already */
		int32_t low = c->local_at[c->n_locals - 1];
		uint32_t bytes = (uint32_t)(c->local_at[c->type->n_params] - low) + slot_bytes(c->locals[c->type->n_params]);

		x64_rm(&c->a, X64(0, 0, 0x8d), true, RDI, x64_at(RBP, low), 0);
		x64_mov_imm(&c->a, RCX, bytes / 8);
		x64_rr(&c->a, X64(0, 0, 0x33), false, RAX, RAX);
		x64_byte(&c->a, 0xf3);
		x64_byte(&c->a, 0x48);
		x64_byte(&c->a, 0xab); /* rep stosq */
		return;
	}
	for (uint32_t i = c->type->n_params; i < c->n_locals; i++)
		for (uint32_t k = 0; k < slot_bytes(c->locals[i]); k += 8) {
			x64_rm(&c->a, X64(0, 0, 0xc7), true, 0, x64_at(RBP, c->local_at[i] + (int32_t)k), 4);
			x64_u32(&c->a, 0);
		}
}

static void store_params(struct compiler *c)
{
	struct wasm_arg_walk w = WASM_ARG_WALK_INIT;

	for (uint32_t i = 0; i < c->type->n_params; i++) {
		wasm_type t = c->type->params[i];
		struct wasm_arg_place p = wasm_next_arg(&w, t);

		if (p.where == WASM_ARG_GPR) {
			if (t == WASM_I32) /* the upper half is not the caller's promise */
				x64_rr(&c->a, X64(0, 0, 0x8b), false, arg_gprs[p.index], arg_gprs[p.index]);
			store_gpr(c, t, local_mem(c, i), arg_gprs[p.index]);
		} else if (p.where == WASM_ARG_XMM) {
			store_xmm(c, t, local_mem(c, i), p.index);
		} else {
			for (uint32_t k = 0; k < slot_bytes(t); k += 8) {
				load_pointer(c, R11, x64_at(RBP, 16 + (int32_t)(p.index + k)));
				x64_rm(&c->a, X64(0, 0, 0x89), true, R11, x64_at(RBP, c->local_at[i] + (int32_t)k), 0);
			}
		}
	}
}

static struct out_of_line *add_ool(struct compiler *c, int kind)
{
	struct out_of_line *o = compiler_grow(c, &c->ool, &c->n_ool, &c->cap_ool, sizeof(*c->ool));
	static struct out_of_line nowhere;

	if (!o)
		return &nowhere;
	*o = (struct out_of_line){ .from = X64_LABEL_INIT, .offset = c->insn.offset, .kind = kind };
	return o;
}

void emit_prologue(struct compiler *c)
{
	x64_byte(&c->a, 0x55); /* push rbp */
	x64_rr(&c->a, X64(0, 0, 0x8b), true, RBP, RSP);
	x64_rr(&c->a, X64(0, 0, 0x81), true, 5, RSP); /* sub rsp, frame */
	c->frame_patch = c->a.len;
	x64_u32(&c->a, 0);
	x64_rm(&c->a, X64(0, 0, 0x89), true, R14, x64_at(RBP, FRAME_SAVED_R14), 0);
	x64_rm(&c->a, X64(0, 0, 0x89), true, R15, x64_at(RBP, FRAME_SAVED_R15), 0);
	x64_rm(&c->a, X64(0, 0, 0x89), true, RDI, x64_at(RBP, FRAME_INSTANCE), 0);
	move(c, R14, RDI);
	load_pointer(c, RAX, x64_at(R14, offsetof(struct wasm_instance, exec)));
	x64_rm(&c->a, X64(0, 0, 0x3b), true, RSP, x64_at(RAX, offsetof(struct wasm_exec, stack_limit)), 0);
	x64_jcc(&c->a, CC_B, &add_ool(c, OOL_ENTRY)->from);
	load_pointer(c, R15, x64_at(R14, offsetof(struct wasm_instance, memory0)));
	store_params(c);
	zero_locals(c);
}

void emit_epilogue(struct compiler *c)
{
	uint32_t pop = wasm_arg_stack_bytes(c->type);

	load_pointer(c, R14, x64_at(RBP, FRAME_SAVED_R14));
	load_pointer(c, R15, x64_at(RBP, FRAME_SAVED_R15));
	x64_byte(&c->a, 0xc9); /* leave */
	x64_byte(&c->a, pop ? 0xc2 : 0xc3);
	if (pop) {
		x64_byte(&c->a, (uint8_t)pop);
		x64_byte(&c->a, (uint8_t)(pop >> 8));
	}
}

/* The results are the top values: the first to rax or xmm0, the others to exec->results. */
void emit_return(struct compiler *c)
{
	uint32_t n = c->type->n_results;

	if (n > 1) /* r15 is free to use: the epilogue gives it back. Nothing here may change where values are. */
		load_pointer(c, R15, x64_at(R14, offsetof(struct wasm_instance, exec)));
	for (uint32_t i = 1; i < n; i++)
		store_value(c, top(c, n - 1 - i),
			    x64_at(R15, (int32_t)(offsetof(struct wasm_exec, results) + (i - 1) * sizeof(union wasm_value))));
	if (n) {
		struct value *v = top(c, n - 1);
		struct x64_mem at = v->kind == VALUE_LOCAL ? local_mem(c, v->local) : slot_mem(v->slot);

		if (v->kind == VALUE_GPR)
			move(c, RAX, v->reg);
		else if (v->kind == VALUE_CONST)
			x64_mov_imm(&c->a, RAX, v->constant);
		else if (v->kind == VALUE_XMM && v->reg != 0)
			x64_rr(&c->a, X64(0, 1, 0x28), false, 0, v->reg);
		else if (v->kind != VALUE_XMM && is_xmm_type(v->type))
			load_xmm(c, 0, v->type, at);
		else if (v->kind != VALUE_XMM)
			load_gpr(c, RAX, v->type, at);
	}
	emit_epilogue(c);
}

/* ---- calls ---- */

/*
 * Loads the register arguments of T; the top n_params values are the arguments. BIAS: bytes that rsp is lower than the
 * slots assume. Values in registers have been flushed.
 */
static void load_args(struct compiler *c, const struct wasm_typedef *t, int32_t bias)
{
	struct wasm_arg_walk w = WASM_ARG_WALK_INIT;

	for (uint32_t i = 0; i < t->n_params; i++) {
		const struct value *v = top(c, t->n_params - 1 - i);
		struct wasm_arg_place p = wasm_next_arg(&w, t->params[i]);
		struct x64_mem at = v->kind == VALUE_LOCAL ? local_mem(c, v->local) : x64_at(RSP, (int32_t)v->slot + bias);

		if (p.where == WASM_ARG_XMM)
			load_xmm(c, p.index, v->type, at);
		else if (p.where == WASM_ARG_GPR && v->kind == VALUE_CONST)
			x64_mov_imm(&c->a, arg_gprs[p.index], v->constant);
		else if (p.where == WASM_ARG_GPR)
			load_gpr(c, arg_gprs[p.index], v->type, at);
	}
}

/* Copies the stack arguments to the new bottom of the stack, which is BYTES below the slots' rsp. */
static void push_stack_args(struct compiler *c, const struct wasm_typedef *t, uint32_t bytes)
{
	struct wasm_arg_walk w = WASM_ARG_WALK_INIT;

	if (!bytes)
		return;
	x64_alu_imm(&c->a, 5, true, RSP, (int32_t)bytes);
	for (uint32_t i = 0; i < t->n_params; i++) {
		const struct value *v = top(c, t->n_params - 1 - i);
		struct wasm_arg_place p = wasm_next_arg(&w, t->params[i]);

		if (p.where != WASM_ARG_STACK)
			continue;
		for (uint32_t k = 0; k < slot_bytes(v->type); k += 8) {
			load_pointer(c, R11, x64_at(RSP, (int32_t)(v->slot + bytes + k)));
			x64_rm(&c->a, X64(0, 0, 0x89), true, R11, x64_at(RSP, (int32_t)(p.index + k)), 0);
		}
	}
}

/* Brings the arguments where load_args() and push_stack_args() expect them: those for the stack into their slots. */
static void flush_args(struct compiler *c, const struct wasm_typedef *t)
{
	bool in_registers = wasm_arg_stack_bytes(t) == 0;

	flush(c, in_registers ? t->n_params : 0);
	for (uint32_t i = 0; in_registers && i < t->n_params; i++) {
		struct value *v = top(c, i);

		if (v->kind == VALUE_LOCAL || v->kind == VALUE_CONST || v->kind == VALUE_SLOT)
			continue;
		store_value(c, v, slot_mem(v->slot));
		if (v->kind == VALUE_GPR)
			free_gpr(c, v->reg);
		else if (v->kind == VALUE_XMM)
			free_xmm(c, v->reg);
		v->kind = VALUE_SLOT;
	}
}

static void take_call_results(struct compiler *c, const struct wasm_typedef *t)
{
	reload_memory(c);
	for (uint32_t i = 0; i < t->n_params; i++)
		pop_drop(c);
	if (t->n_results == 1) {
		if (is_xmm_type(t->results[0])) {
			c->used_xmm |= 1;
			push_xmm(c, t->results[0], 0);
		} else {
			c->used_gpr |= 1u << RAX;
			if (t->results[0] == WASM_I32)
				x64_rr(&c->a, X64(0, 0, 0x8b), false, RAX, RAX);
			push_gpr(c, t->results[0], RAX);
		}
		return;
	}
	for (uint32_t i = 0; i < t->n_results; i++) {
		struct x64_mem to;

		push(c, t->results[i], VALUE_SLOT);
		to = slot_mem(top(c, 0)->slot);
		if (i == 0) {
			if (is_xmm_type(t->results[0]))
				store_xmm(c, t->results[0], to, 0);
			else
				store_gpr(c, t->results[0], to, RAX);
			load_pointer(c, RCX, x64_at(R14, offsetof(struct wasm_instance, exec)));
			continue;
		}
		load_xmm(c, XMM_SCRATCH, t->results[i] == WASM_V128 ? WASM_V128 : WASM_F64,
			 x64_at(RCX, (int32_t)(offsetof(struct wasm_exec, results) + (i - 1) * sizeof(union wasm_value))));
		store_xmm(c, t->results[i] == WASM_V128 ? WASM_V128 : WASM_F64, to, XMM_SCRATCH);
	}
}

/* Where a call goes: the entry is read from MEM (with rdi set last, from CONTEXT unless it is our own instance). */
struct callee {
	const struct wasm_typedef *type;
	struct x64_mem entry, context;
	bool own; /* a function of this instance */
	bool through_temp; /* the funcref is in FRAME_TEMP */
};

static void set_context(struct compiler *c, const struct callee *f)
{
	if (f->own) {
		move(c, RDI, R14);
		return;
	}
	if (f->through_temp)
		load_pointer(c, RAX, x64_at(RBP, FRAME_TEMP));
	else
		load_pointer(c, RAX, x64_at(R14, offsetof(struct wasm_instance, imports)));
	load_pointer(c, RDI, f->context);
}

static void emit_plain_call(struct compiler *c, const struct callee *f)
{
	uint32_t bytes = wasm_arg_stack_bytes(f->type);

	flush_args(c, f->type);
	push_stack_args(c, f->type, bytes);
	load_args(c, f->type, (int32_t)bytes);
	set_context(c, f);
	x64_rm(&c->a, X64(0, 0, 0xff), false, 2, f->entry, 0);
	return_site(c);
	take_call_results(c, f->type);
}

/* Moves the stack arguments up to where the caller's own stood; the highest first, since source and target may overlap. */
static void move_stack_args_up(struct compiler *c, const struct wasm_typedef *t, int32_t to)
{
	struct wasm_arg_place places[WASM_MAX_PARAMS];
	struct wasm_arg_walk w = WASM_ARG_WALK_INIT;

	for (uint32_t i = 0; i < t->n_params; i++)
		places[i] = wasm_next_arg(&w, t->params[i]);
	for (uint32_t i = t->n_params; i-- > 0;) {
		const struct value *v = top(c, t->n_params - 1 - i);

		if (places[i].where != WASM_ARG_STACK)
			continue;
		for (int32_t k = (int32_t)slot_bytes(v->type) - 8; k >= 0; k -= 8) {
			load_xmm(c, XMM_SCRATCH, WASM_F64, slot_mem(v->slot + (uint32_t)k));
			x64_rm(&c->a, X64(0xf2, 1, 0x11), false, XMM_SCRATCH, x64_at(RBP, to + (int32_t)places[i].index + k), 0);
		}
	}
}

/*
 * A tail call takes this frame away first: the return address moves to where the callee's stack arguments want it, and
 * the callee, which pops its own, returns to our caller with our caller's stack as it expects it.
 */
static void emit_tail_call(struct compiler *c, const struct callee *f)
{
	int32_t out = (int32_t)wasm_arg_stack_bytes(f->type), in = (int32_t)wasm_arg_stack_bytes(c->type);
	int32_t base = 16 + in - out; /* of the callee's stack arguments, from rbp */

	flush_args(c, f->type);
	load_args(c, f->type, 0);
	set_context(c, f);
	x64_rm(&c->a, X64(0, 0, 0x8b), true, R10, f->entry, 0);
	load_pointer(c, R11, x64_at(RBP, 8));
	load_pointer(c, RAX, x64_at(RBP, 0));
	load_pointer(c, R15, x64_at(RBP, FRAME_SAVED_R15));
	load_pointer(c, R14, x64_at(RBP, FRAME_SAVED_R14));
	move_stack_args_up(c, f->type, base);
	x64_rm(&c->a, X64(0, 0, 0x89), true, R11, x64_at(RBP, base - 8), 0);
	x64_rm(&c->a, X64(0, 0, 0x8d), true, RSP, x64_at(RBP, base - 8), 0);
	move(c, RBP, RAX);
	x64_rr(&c->a, X64(0, 0, 0xff), false, 4, R10); /* jmp r10 */
	set_dead(c);
}

static struct callee direct(struct compiler *c, uint32_t index)
{
	struct callee f = { .type = wasm_func_type(c->m, index) };

	if (index >= c->m->n_imported_funcs) {
		f.own = true;
		f.entry = x64_head(wasm_code_entry_slot(index));
		return f;
	}
	f.entry = x64_at(RAX, (int32_t)(index * sizeof(struct wasm_import_cell) + offsetof(struct wasm_import_cell, entry)));
	f.context = x64_at(RAX, (int32_t)(index * sizeof(struct wasm_import_cell) + offsetof(struct wasm_import_cell, context)));
	return f;
}

static struct callee by_reference(const struct wasm_typedef *type)
{
	return (struct callee){
		.type = type,
		.entry = x64_at(RAX, offsetof(struct wasm_funcref, entry)),
		.context = x64_at(RAX, offsetof(struct wasm_funcref, context)),
		.through_temp = true,
	};
}

/* The operand on top to FRAME_TEMP, as the funcref that by_reference() calls. */
static struct callee call_ref(struct compiler *c)
{
	unsigned ref = pop_gpr(c);

	x64_rr(&c->a, X64(0, 0, 0x85), true, ref, ref);
	x64_jcc(&c->a, CC_E, trap_label(c, WASM_TRAP_NULL_FUNC));
	x64_rm(&c->a, X64(0, 0, 0x89), true, ref, x64_at(RBP, FRAME_TEMP), 0);
	free_gpr(c, ref);
	return by_reference(wasm_typedef_get(c->insn.pair.a));
}

static void check_signature(struct compiler *c, unsigned ref, const struct wasm_typedef *want)
{
	struct x64_label same = X64_LABEL_INIT;

	x64_rm(&c->a, X64(0, 0, 0x81), false, 7, x64_at((enum x64_gpr)ref, offsetof(struct wasm_funcref, type)), 4);
	x64_u32(&c->a, want->id);
	if (want->final) {
		x64_jcc(&c->a, CC_NE, trap_label(c, WASM_TRAP_SIGNATURE));
		return;
	}
	x64_jcc(&c->a, CC_E, &same); /* everything is in its slot: a helper may be called */
	move(c, RDI, R14);
	x64_rm(&c->a, X64(0, 0, 0x8b), false, RSI, x64_at((enum x64_gpr)ref, offsetof(struct wasm_funcref, type)), 0);
	x64_mov_imm(&c->a, RDX, want->id);
	emit_helper(c, WASM_HELPER_SIGNATURE);
	x64_bind(&c->a, &same);
	x64_label_free(&same);
}

static struct callee call_indirect(struct compiler *c)
{
	const struct wasm_typedef *want = wasm_typedef_get(c->insn.pair.a);
	struct x64_mem size = x64_at(RAX, offsetof(struct wasm_table_inst, size));
	unsigned index = pop_gpr(c);

	x64_rm(&c->a, X64(0, 0, 0x89), true, index, x64_at(RBP, FRAME_TEMP), 0); /* flushing uses r11 */
	free_gpr(c, index);
	if (want->final)
		flush_args(c, want); /* constants and locals may stay what they are */
	else
		flush(c, 0);
	load_pointer(c, R11, x64_at(RBP, FRAME_TEMP));
	load_pointer(c, RAX, x64_at(R14, offsetof(struct wasm_instance, tables)));
	load_pointer(c, RAX, x64_at(RAX, (int32_t)c->insn.pair.b * 8));
	x64_rm(&c->a, X64(0, 0, 0x3b), true, R11, size, 0);
	x64_mov_imm(&c->a, RCX, 0);
	x64_rr(&c->a, X64(0, 1, 0x43), true, R11, RCX); /* cmovae: a mispredicted check reads element 0 */
	x64_jcc(&c->a, CC_AE, trap_label(c, WASM_TRAP_TABLE_ELEMENT));
	load_pointer(c, RAX, x64_at(RAX, offsetof(struct wasm_table_inst, elems)));
	load_pointer(c, RAX, x64_indexed(RAX, R11, 3, 0));
	x64_rr(&c->a, X64(0, 0, 0x85), true, RAX, RAX);
	x64_jcc(&c->a, CC_E, trap_label(c, WASM_TRAP_UNINITIALIZED));
	x64_rm(&c->a, X64(0, 0, 0x89), true, RAX, x64_at(RBP, FRAME_TEMP), 0);
	check_signature(c, RAX, want);
	return by_reference(want);
}

void emit_call_instruction(struct compiler *c)
{
	struct callee f;

	switch (c->insn.op) {
	case WASM_OP_CALL:
	case WASM_OP_RETURN_CALL:
		f = direct(c, c->insn.index);
		break;
	case WASM_OP_CALL_REF:
	case WASM_OP_RETURN_CALL_REF:
		f = call_ref(c);
		break;
	default:
		f = call_indirect(c);
	}
	if (c->insn.op == WASM_OP_CALL || c->insn.op == WASM_OP_CALL_REF || c->insn.op == WASM_OP_CALL_INDIRECT)
		emit_plain_call(c, &f);
	else
		emit_tail_call(c, &f);
}
