/*
 * Structured control. Where blocks begin and end every operand is in its own slot, so that all ways into a label agree;
 * a branch moves its values down to the slots of the label.
 */
#include "wasm/baseline/compiler.h"

static struct control *control_at(struct compiler *c, uint32_t depth)
{
	return &c->controls[c->n_controls - 1 - depth];
}

static const wasm_type *label_types(const struct control *k, uint32_t *n)
{
	return k->op == WASM_OP_LOOP ? wasm_frame_params(&k->types, n) : wasm_frame_results(&k->types, n);
}

static struct control *push_control(struct compiler *c, uint16_t op, struct wasm_block_type type)
{
	struct control *k = compiler_grow(c, &c->controls, &c->n_controls, &c->cap_controls, sizeof(*c->controls));
	static struct control nowhere;
	uint32_t n;

	if (!k)
		k = &nowhere;
	*k = (struct control){ .op = op, .types = { .op = op, .type = type }, .end = X64_LABEL_INIT, .other = X64_LABEL_INIT,
			       .handler = WASM_NO_HANDLER, .dead = c->unreachable };
	if (c->unreachable)
		return k;
	wasm_frame_params(&k->types, &n);
	k->height = c->n_values - n;
	k->slot = n ? top(c, n - 1)->slot : next_slot(c);
	return k;
}

void open_body(struct compiler *c)
{
	const struct wasm_typedef *t = c->type;
	struct wasm_block_type type = { .type = WASM_NO_TYPE, .single = t->n_results ? t->results[0] : WASM_BOT };
	struct control *k;

	k = push_control(c, WASM_OP_BLOCK, type);
	if (t->n_results > 1)
		k->types.type = (struct wasm_block_type){ .type = t->id };
}

/* Drops operands down to HEIGHT; their registers are free. */
static void unwind_values(struct compiler *c, uint32_t height)
{
	while (c->n_values > height)
		pop_drop(c);
}

void set_dead(struct compiler *c)
{
	unwind_values(c, control_at(c, 0)->height);
	c->unreachable = true;
}

/* The block's results (the top values) to the slots of K, lowest first: they only ever move down. */
static void move_to_label(struct compiler *c, const struct control *k)
{
	uint32_t n, slot = k->slot;
	const wasm_type *types = label_types(k, &n);

	for (uint32_t i = 0; i < n; i++) {
		struct value *v = top(c, n - 1 - i);

		if (v->kind != VALUE_SLOT || v->slot != slot)
			store_value(c, v, slot_mem(slot));
		slot += slot_bytes(types[i]);
	}
}

static void push_slots(struct compiler *c, const wasm_type *types, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		push(c, types[i], VALUE_SLOT);
}

/* Jumps to label DEPTH with the values on top; they stay in the compiler's picture. */
static void jump_to(struct compiler *c, uint32_t depth)
{
	struct control *k = control_at(c, depth);

	if (depth == c->n_controls - 1) {
		emit_return(c);
		return;
	}
	move_to_label(c, k);
	if (k->op == WASM_OP_LOOP) {
		struct x64_label head = { .pos = k->loop };

		x64_jmp(&c->a, &head);
	} else {
		x64_jmp(&c->a, &k->end);
	}
}

/* ---- blocks ---- */

static void open_loop(struct compiler *c)
{
	struct control *k;
	struct out_of_line *o;

	flush(c, 0);
	k = push_control(c, WASM_OP_LOOP, c->insn.block);
	k->loop = c->a.len;
	x64_rm(&c->a, X64(0, 0, 0x8b), true, RAX, x64_at(R14, offsetof(struct wasm_instance, exec)), 0);
	x64_rm(&c->a, X64(0, 0, 0x3b), true, RSP, x64_at(RAX, offsetof(struct wasm_exec, stack_limit)), 0);
	o = compiler_grow(c, &c->ool, &c->n_ool, &c->cap_ool, sizeof(*c->ool));
	if (!o)
		return;
	*o = (struct out_of_line){ .from = X64_LABEL_INIT, .offset = c->insn.offset, .kind = OOL_LOOP };
	x64_jcc(&c->a, CC_B, &o->from);
	o->back = c->a.len;
}

/* The condition on top becomes flags; the code of the condition that is to jump is returned. */
static enum x64_cond pop_condition(struct compiler *c)
{
	struct value v = *top(c, 0);
	unsigned reg;

	if (v.kind == VALUE_FLAGS) {
		c->n_values--;
		return v.reg;
	}
	reg = pop_gpr(c);
	x64_rr(&c->a, X64(0, 0, 0x85), false, reg, reg);
	free_gpr(c, reg);
	return CC_NE;
}

static void open_if(struct compiler *c)
{
	enum x64_cond cc = pop_condition(c);
	struct control *k;

	flush(c, 0);
	k = push_control(c, WASM_OP_IF, c->insn.block);
	x64_jcc(&c->a, cc ^ 1, &k->other);
}

/* ---- exceptions ---- */

static uint32_t add_handler(struct compiler *c, uint32_t parent)
{
	struct wasm_code_handler *h = compiler_grow(c, &c->handlers, &c->n_handlers, &c->cap_handlers, sizeof(*c->handlers));

	if (h)
		*h = (struct wasm_code_handler){ .start = c->a.base + c->a.len, .end = UINT32_MAX, .parent = parent };
	return c->n_handlers - 1;
}

/* The handler of the innermost try whose body surrounds label DEPTH. */
static uint32_t enclosing_handler(struct compiler *c, uint32_t depth)
{
	for (; depth < c->n_controls; depth++) {
		const struct control *k = control_at(c, depth);

		if (!k->dead && (k->op == WASM_OP_TRY || k->op == WASM_OP_TRY_TABLE))
			return k->handler;
	}
	return WASM_NO_HANDLER;
}

static void open_try(struct compiler *c)
{
	uint32_t parent = enclosing_handler(c, 0);
	struct control *k;

	flush(c, 0);
	k = push_control(c, c->insn.op, c->insn.block);
	k->catches = c->insn.list;
	k->catches_end = c->insn.list_end;
	k->n_catches = c->insn.op == WASM_OP_TRY_TABLE ? c->insn.n_list : 0;
	k->handler = add_handler(c, parent);
}

/* What follows is where an exception lands: rsp and rbp are right, nothing else. The exception goes to rax. */
static void landing_pad(struct compiler *c, uint32_t handler)
{
	c->handlers[handler].landing = c->a.base + c->a.len;
	x64_rm(&c->a, X64(0, 0, 0x8b), true, R14, x64_at(RBP, FRAME_INSTANCE), 0);
	x64_rm(&c->a, X64(0, 0, 0x8b), true, R15, x64_at(R14, offsetof(struct wasm_instance, memory0)), 0);
	x64_rm(&c->a, X64(0, 0, 0x8b), true, RAX, x64_at(R14, offsetof(struct wasm_instance, exec)), 0);
	x64_rm(&c->a, X64(0, 0, 0x8b), true, RAX, x64_at(RAX, offsetof(struct wasm_exec, exception)), 0);
}

/* Compares the tag of the exception in rax with TAG; jumps to NO when it is another. */
static void match_tag(struct compiler *c, uint32_t tag, struct x64_label *no)
{
	x64_rm(&c->a, X64(0, 0, 0x8b), true, RCX, x64_at(R14, offsetof(struct wasm_instance, tags)), 0);
	x64_rm(&c->a, X64(0, 0, 0x8b), true, RCX, x64_at(RCX, (int32_t)tag * 8), 0);
	x64_rm(&c->a, X64(0, 0, 0x3b), true, RCX, x64_at(RAX, offsetof(struct wasm_object, tag)), 0);
	x64_jcc(&c->a, CC_NE, no);
}

/* Copies the values of the exception in rax to the slots from SLOT on; the slot after them. */
static uint32_t unpack_exception(struct compiler *c, uint32_t tag, uint32_t slot)
{
	const struct wasm_typedef *t = wasm_typedef_get(c->m->tags[tag]);

	for (uint32_t i = 0; i < t->n_params; i++) {
		wasm_type as = t->params[i] == WASM_V128 ? WASM_V128 : WASM_F64;

		load_xmm(c, XMM_SCRATCH, as, x64_at(RAX, (int32_t)(sizeof(struct wasm_object) + i * sizeof(union wasm_value))));
		c->max_slot = MAX(c->max_slot, slot + 16);
		store_xmm(c, as, slot_mem(slot), XMM_SCRATCH);
		slot += slot_bytes(t->params[i]);
	}
	return slot;
}

static void rethrow_rax(struct compiler *c)
{
	x64_rr(&c->a, X64(0, 0, 0x8b), true, RSI, RAX);
	x64_rr(&c->a, X64(0, 0, 0x8b), true, RDI, R14);
	emit_helper(c, WASM_HELPER_RETHROW);
	x64_byte(&c->a, 0xcc);
}

static void catch_clause(struct compiler *c, struct wasm_catch clause)
{
	struct x64_label next = X64_LABEL_INIT;
	/* The clause's label counts from outside the try_table, which is still on the control stack. */
	struct control *target = control_at(c, clause.label + 1);
	uint32_t slot = target->slot;

	if (clause.kind <= WASM_CATCH_REF) {
		match_tag(c, clause.tag, &next);
		slot = unpack_exception(c, clause.tag, slot);
	}
	if (clause.kind == WASM_CATCH_REF || clause.kind == WASM_CATCH_ALL_REF) {
		c->max_slot = MAX(c->max_slot, slot + 16);
		store_gpr(c, WASM_EXNREF, slot_mem(slot), RAX);
	}
	if (clause.label + 1 == c->n_controls - 1) {
		/* the function's own label: its results are in the slots now */
		uint32_t n;
		const wasm_type *types = wasm_frame_results(&target->types, &n);

		unwind_values(c, 0);
		push_slots(c, types, n);
		emit_return(c);
		unwind_values(c, 0);
	} else if (target->op == WASM_OP_LOOP) {
		struct x64_label head = { .pos = target->loop };

		x64_jmp(&c->a, &head);
	} else {
		x64_jmp(&c->a, &target->end);
	}
	x64_bind(&c->a, &next);
	x64_label_free(&next);
}

/* The end of a try_table's body: its landing pad stands behind a jump over it. */
static void close_try_table(struct compiler *c)
{
	struct control *k = control_at(c, 0);
	struct wasm_reader list = { .start = k->catches, .p = k->catches, .end = k->catches_end };
	uint32_t n = k->n_catches;

	c->handlers[k->handler].end = c->a.base + c->a.len;
	if (!c->unreachable)
		x64_jmp(&c->a, &k->end);
	landing_pad(c, k->handler);
	for (uint32_t i = 0; i < n; i++)
		catch_clause(c, wasm_read_catch(&list));
	rethrow_rax(c);
}

/* Ends the body or the catch before a catch, catch_all, delegate or end of an old-style try. */
static void close_try_part(struct compiler *c)
{
	struct control *k = control_at(c, 0);

	if (!c->unreachable) {
		move_to_label(c, k);
		x64_jmp(&c->a, &k->end);
	}
	if (k->op == WASM_OP_TRY)
		c->handlers[k->handler].end = c->a.base + c->a.len;
	unwind_values(c, k->height);
	c->unreachable = false;
}

static void open_catch(struct compiler *c)
{
	struct control *k = control_at(c, 0);
	bool first = k->op == WASM_OP_TRY;
	struct value *exception;

	close_try_part(c);
	k = control_at(c, 0);
	if (first) {
		landing_pad(c, k->handler);
	} else {
		x64_bind(&c->a, &k->other);
		x64_label_free(&k->other);
	}
	k->op = c->insn.op;
	/* The exception lives below the catch's values, for rethrow. Its slot is the results' first: it is dead by then. */
	exception = push(c, WASM_EXNREF, VALUE_SLOT);
	k->exception = exception->slot;
	if (c->insn.op == WASM_OP_CATCH) {
		const struct wasm_typedef *t = wasm_typedef_get(c->m->tags[c->insn.index]);

		match_tag(c, c->insn.index, &k->other);
		store_gpr(c, WASM_EXNREF, slot_mem(k->exception), RAX);
		unpack_exception(c, c->insn.index, next_slot(c));
		push_slots(c, t->params, t->n_params);
	} else {
		store_gpr(c, WASM_EXNREF, slot_mem(k->exception), RAX);
	}
}

/* An exception that no catch of an old-style try takes goes on. */
static void close_old_try(struct compiler *c)
{
	struct control *k = control_at(c, 0);

	close_try_part(c);
	k = control_at(c, 0);
	if (k->op == WASM_OP_TRY) { /* no catch at all */
		landing_pad(c, k->handler);
		rethrow_rax(c);
	} else if (k->op == WASM_OP_CATCH) {
		x64_bind(&c->a, &k->other);
		rethrow_rax(c);
	}
	c->unreachable = true; /* what comes to the end label came by jumps */
}

static void emit_throw(struct compiler *c)
{
	uint32_t n = wasm_typedef_get(c->m->tags[c->insn.index])->n_params;

	flush(c, 0);
	x64_rr(&c->a, X64(0, 0, 0x8b), true, RDI, R14);
	x64_rm(&c->a, X64(0, 0, 0x8d), true, RSI, slot_mem(n ? top(c, n - 1)->slot : next_slot(c)), 0);
	x64_mov_imm(&c->a, RDX, c->insn.index);
	emit_helper(c, WASM_HELPER_THROW);
	x64_byte(&c->a, 0xcc);
	set_dead(c);
}

void emit_throw_ref(struct compiler *c)
{
	flush(c, 0);
	load_gpr(c, RAX, WASM_EXNREF, slot_mem(top(c, 0)->slot));
	rethrow_rax(c);
	set_dead(c);
}

static void emit_rethrow(struct compiler *c)
{
	load_gpr(c, RAX, WASM_EXNREF, slot_mem(control_at(c, c->insn.index)->exception));
	rethrow_rax(c);
	set_dead(c);
}

/* ---- ends ---- */

static void pop_control(struct compiler *c)
{
	struct control *k = control_at(c, 0);

	x64_label_free(&k->end);
	x64_label_free(&k->other);
	c->n_controls--;
}

static void close_block(struct compiler *c)
{
	struct control *k = control_at(c, 0);
	uint32_t n;
	const wasm_type *results;
	struct wasm_frame types;
	bool reached;

	if (k->op == WASM_OP_TRY || k->op == WASM_OP_CATCH || k->op == WASM_OP_CATCH_ALL)
		close_old_try(c);
	k = control_at(c, 0);
	if (!c->unreachable) {
		results = wasm_frame_results(&k->types, &n);
		for (uint32_t i = 0, slot = k->slot; i < n; slot += slot_bytes(results[i++])) {
			struct value *v = top(c, n - 1 - i);

			if (v->kind != VALUE_SLOT || v->slot != slot)
				store_value(c, v, slot_mem(slot));
		}
	}
	if (k->op == WASM_OP_TRY_TABLE)
		close_try_table(c);
	k = control_at(c, 0);
	reached = !c->unreachable || k->end.n || (k->op == WASM_OP_IF && !k->has_else);
	if (k->op == WASM_OP_IF && !k->has_else)
		x64_bind(&c->a, &k->other);
	x64_bind(&c->a, &k->end);
	unwind_values(c, k->height);
	types = k->types;
	pop_control(c);
	results = wasm_frame_results(&types, &n);
	c->unreachable = !reached;
	if (reached)
		push_slots(c, results, n);
}

static void close_body(struct compiler *c)
{
	if (!c->unreachable)
		emit_return(c);
	unwind_values(c, 0);
	pop_control(c);
}

static void emit_else(struct compiler *c)
{
	struct control *k = control_at(c, 0);
	const wasm_type *params;
	uint32_t n;

	if (!c->unreachable) {
		move_to_label(c, k);
		x64_jmp(&c->a, &k->end);
	}
	unwind_values(c, k->height);
	x64_bind(&c->a, &k->other);
	k->has_else = true;
	c->unreachable = false;
	params = wasm_frame_params(&k->types, &n);
	push_slots(c, params, n);
}

static void emit_delegate(struct compiler *c)
{
	struct control *k = control_at(c, 0);
	uint32_t handler = k->handler, parent = enclosing_handler(c, c->insn.index + 1);

	close_try_part(c);
	c->handlers[handler].landing = 0;
	c->handlers[handler].parent = parent;
	control_at(c, 0)->op = WASM_OP_BLOCK;
	c->unreachable = true;
	close_block(c);
}

/* ---- branches ---- */

static void emit_br_if(struct compiler *c)
{
	enum x64_cond cc = pop_condition(c);
	struct control *k = control_at(c, c->insn.index);
	struct x64_label over = X64_LABEL_INIT;
	uint32_t n;

	label_types(k, &n);
	if (n == 0 && c->insn.index != c->n_controls - 1) {
		struct x64_label head = { .pos = k->loop };

		x64_jcc(&c->a, cc, k->op == WASM_OP_LOOP ? &head : &k->end);
		return;
	}
	x64_jcc(&c->a, cc ^ 1, &over);
	jump_to(c, c->insn.index);
	x64_bind(&c->a, &over);
	x64_label_free(&over);
}

static void emit_br_table(struct compiler *c)
{
	struct wasm_reader list = wasm_insn_list(&c->insn, NULL);
	uint32_t n = c->insn.n_list, table;
	unsigned index = pop_gpr(c);

	/* Values in registers would be lost to the stubs' own use of them only if they moved: jump_to() does not free. */
	x64_mov_imm(&c->a, R11, n);
	x64_rr(&c->a, X64(0, 0, 0x3b), false, index, R11);
	x64_rr(&c->a, X64(0, 1, 0x43), false, index, R11); /* cmovae: the default, and the mask */
	x64_byte(&c->a, 0x4c); /* lea r11, [rip + table] */
	x64_byte(&c->a, 0x8d);
	x64_byte(&c->a, 0x1d);
	x64_u32(&c->a, 0);
	table = c->a.len - 4;
	x64_rm(&c->a, X64(0, 0, 0x63), true, index, x64_indexed(R11, index, 2, 0), 0); /* movsxd */
	x64_rr(&c->a, X64(0, 0, 0x03), true, R11, index);
	x64_rr(&c->a, X64(0, 0, 0xff), false, 4, R11);
	free_gpr(c, index);
	x64_patch(&c->a, table, c->a.len - (table + 4));
	table = c->a.len;
	for (uint32_t i = 0; i <= n; i++)
		x64_u32(&c->a, 0);
	for (uint32_t i = 0; i <= n; i++) {
		uint32_t depth = wasm_read_u32(&list);

		x64_patch(&c->a, table + 4 * i, c->a.len - table);
		jump_to(c, depth);
	}
	set_dead(c);
}

/* ref.test's outcome decides: the reference stays on the stack either way. */
static void emit_br_on_cast(struct compiler *c)
{
	struct x64_label over = X64_LABEL_INIT;
	bool fail = c->insn.op == WASM_OP_BR_ON_CAST_FAIL;
	wasm_type from = c->insn.cast.from, to = c->insn.cast.to;
	wasm_type rest = wasm_is_nullable(to) ? wasm_ref(false, wasm_heap_of(from)) : from;
	uint32_t depth = c->insn.cast.label;
	unsigned ref, answer;

	flush(c, 0);
	ref = alloc_gpr(c);
	load_gpr(c, ref, from, slot_mem(top(c, 0)->slot));
	push_gpr(c, from, ref); /* a copy for the test, which replaces it by its answer */
	emit_slow(c, WASM_OP_REF_TEST, 1, WASM_I32, to, 0);
	answer = pop_gpr(c);
	x64_rr(&c->a, X64(0, 0, 0x85), false, answer, answer);
	free_gpr(c, answer);
	x64_jcc(&c->a, fail ? CC_NE : CC_E, &over);
	top(c, 0)->type = fail ? rest : to;
	jump_to(c, depth);
	x64_bind(&c->a, &over);
	x64_label_free(&over);
	top(c, 0)->type = fail ? to : rest;
}

static void emit_br_on_null(struct compiler *c)
{
	struct x64_label over = X64_LABEL_INIT;
	bool on_null = c->insn.op == WASM_OP_BR_ON_NULL;
	wasm_type t = top(c, 0)->type;
	unsigned ref = pop_gpr(c);

	x64_rr(&c->a, X64(0, 0, 0x85), true, ref, ref);
	if (on_null) {
		x64_jcc(&c->a, CC_NE, &over);
		jump_to(c, c->insn.index);
		x64_bind(&c->a, &over);
		push_gpr(c, t, ref);
	} else {
		push_gpr(c, t, ref);
		x64_jcc(&c->a, CC_E, &over);
		jump_to(c, c->insn.index);
		x64_bind(&c->a, &over);
		pop_drop(c);
	}
	x64_label_free(&over);
}

bool is_control(uint16_t op)
{
	return op <= WASM_OP_RETURN || op == WASM_OP_DELEGATE || op == WASM_OP_CATCH_ALL || op == WASM_OP_TRY_TABLE ||
	       op == WASM_OP_BR_ON_NULL || op == WASM_OP_BR_ON_NON_NULL || op == WASM_OP_BR_ON_CAST ||
	       op == WASM_OP_BR_ON_CAST_FAIL;
}

void emit_control(struct compiler *c)
{
	switch (c->insn.op) {
	case WASM_OP_NOP:
		break;
	case WASM_OP_UNREACHABLE:
		x64_jmp(&c->a, trap_label(c, WASM_TRAP_UNREACHABLE));
		set_dead(c);
		break;
	case WASM_OP_BLOCK:
		flush(c, 0);
		push_control(c, WASM_OP_BLOCK, c->insn.block);
		break;
	case WASM_OP_LOOP:
		open_loop(c);
		break;
	case WASM_OP_IF:
		open_if(c);
		break;
	case WASM_OP_ELSE:
		emit_else(c);
		break;
	case WASM_OP_TRY:
	case WASM_OP_TRY_TABLE:
		open_try(c);
		break;
	case WASM_OP_CATCH:
	case WASM_OP_CATCH_ALL:
		open_catch(c);
		break;
	case WASM_OP_DELEGATE:
		emit_delegate(c);
		break;
	case WASM_OP_END:
		if (c->n_controls == 1)
			close_body(c);
		else
			close_block(c);
		break;
	case WASM_OP_THROW:
		emit_throw(c);
		break;
	case WASM_OP_THROW_REF:
		emit_throw_ref(c);
		break;
	case WASM_OP_RETHROW:
		emit_rethrow(c);
		break;
	case WASM_OP_BR:
		jump_to(c, c->insn.index);
		set_dead(c);
		break;
	case WASM_OP_BR_IF:
		emit_br_if(c);
		break;
	case WASM_OP_BR_TABLE:
		emit_br_table(c);
		break;
	case WASM_OP_RETURN:
		emit_return(c);
		set_dead(c);
		break;
	case WASM_OP_BR_ON_NULL:
	case WASM_OP_BR_ON_NON_NULL:
		emit_br_on_null(c);
		break;
	default:
		emit_br_on_cast(c);
	}
}

/* In unreachable code only the nesting is followed, until the block that is open ends. */
void skip_dead(struct compiler *c)
{
	switch (c->insn.op) {
	case WASM_OP_BLOCK:
	case WASM_OP_LOOP:
	case WASM_OP_IF:
	case WASM_OP_TRY:
	case WASM_OP_TRY_TABLE:
		push_control(c, c->insn.op, c->insn.block);
		break;
	case WASM_OP_ELSE:
	case WASM_OP_CATCH:
	case WASM_OP_CATCH_ALL:
		if (!control_at(c, 0)->dead)
			emit_control(c);
		break;
	case WASM_OP_DELEGATE:
	case WASM_OP_END:
		if (!control_at(c, 0)->dead)
			emit_control(c);
		else
			pop_control(c);
		break;
	default:
		break;
	}
}
