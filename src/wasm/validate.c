#include "wasm/validate.h"

#include <string.h>

#define CHECK(call)                                                                                                    \
	do {                                                                                                           \
		int check_r_ = (call);                                                                                 \
		if (check_r_ < 0)                                                                                      \
			return check_r_;                                                                               \
	} while (0)

#define FAIL(...) wasm_reader_fail(&v->r, WASM_INVALID, __VA_ARGS__)

static const char *op_name(const struct wasm_validator *v)
{
	return v->insn ? wasm_opcodes[v->insn->op].name : "body";
}

/* ---- operand stack ---- */

static int push(struct wasm_validator *v, wasm_type t)
{
	if (v->n_stack == v->cap_stack) {
		uint32_t cap = v->cap_stack ? v->cap_stack * 2 : 64;
		wasm_type *p = realloc(v->stack, cap * sizeof(*p));

		if (!p)
			return wasm_reader_fail(&v->r, ENOMEM, "out of memory");
		v->stack = p;
		v->cap_stack = cap;
	}
	v->stack[v->n_stack++] = t;
	return 0;
}

static int push_all(struct wasm_validator *v, const wasm_type *types, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		CHECK(push(v, types[i]));
	return 0;
}

static int pop_any(struct wasm_validator *v, wasm_type *ret)
{
	struct wasm_frame *f = wasm_validator_frame(v, 0);

	if (v->n_stack == f->height) {
		if (!f->unreachable)
			return FAIL("type mismatch: %s wants an operand, but the stack is empty", op_name(v));
		*ret = WASM_BOT;
		return 0;
	}
	*ret = v->stack[--v->n_stack];
	return 0;
}

static int pop(struct wasm_validator *v, wasm_type want)
{
	wasm_type got;

	CHECK(pop_any(v, &got));
	if (!wasm_subtype(got, want))
		return FAIL("type mismatch: %s wants %s, but the stack has %s", op_name(v), wasm_type_name(want),
			    wasm_type_name(got));
	return 0;
}

static int pop_all(struct wasm_validator *v, const wasm_type *types, uint32_t n)
{
	while (n--)
		CHECK(pop(v, types[n]));
	return 0;
}

/* Pops any reference; RET is WASM_BOT where the code is unreachable. */
static int pop_ref(struct wasm_validator *v, wasm_type *ret)
{
	CHECK(pop_any(v, ret));
	if (*ret != WASM_BOT && !wasm_is_ref(*ret))
		return FAIL("type mismatch: %s wants a reference, but the stack has %s", op_name(v), wasm_type_name(*ret));
	return 0;
}

static wasm_type non_null(wasm_type t)
{
	return t == WASM_BOT ? wasm_ref(false, WASM_HEAP_BOT) : wasm_ref(false, wasm_heap_of(t));
}

/* ---- frames ---- */

const wasm_type *wasm_frame_params(const struct wasm_frame *f, uint32_t *ret_n)
{
	const struct wasm_typedef *t;

	if (f->type.type == WASM_NO_TYPE) {
		*ret_n = 0;
		return NULL;
	}
	t = wasm_typedef_get(f->type.type);
	*ret_n = t->n_params;
	return t->params;
}

const wasm_type *wasm_frame_results(const struct wasm_frame *f, uint32_t *ret_n)
{
	const struct wasm_typedef *t;

	if (f->type.type == WASM_NO_TYPE) {
		*ret_n = f->type.single != WASM_BOT;
		return &f->type.single;
	}
	t = wasm_typedef_get(f->type.type);
	*ret_n = t->n_results;
	return t->results;
}

const wasm_type *wasm_frame_label(const struct wasm_frame *f, uint32_t *ret_n)
{
	return f->op == WASM_OP_LOOP ? wasm_frame_params(f, ret_n) : wasm_frame_results(f, ret_n);
}

static int push_frame(struct wasm_validator *v, uint16_t op, struct wasm_block_type type)
{
	if (v->n_frames == WASM_MAX_NESTING)
		return FAIL("blocks are nested deeper than the limit of %u", WASM_MAX_NESTING);
	if (v->n_frames == v->cap_frames) {
		uint32_t cap = v->cap_frames ? v->cap_frames * 2 : 16;
		struct wasm_frame *p = realloc(v->frames, cap * sizeof(*p));

		if (!p)
			return wasm_reader_fail(&v->r, ENOMEM, "out of memory");
		v->frames = p;
		v->cap_frames = cap;
	}
	v->frames[v->n_frames++] = (struct wasm_frame){
		.op = op, .type = type, .height = v->n_stack, .init_height = v->n_init_log,
	};
	return 0;
}

static int open_block(struct wasm_validator *v, uint16_t op, struct wasm_block_type type)
{
	const wasm_type *params;
	uint32_t n;

	CHECK(push_frame(v, op, type));
	params = wasm_frame_params(wasm_validator_frame(v, 0), &n);
	return push_all(v, params, n);
}

/* Checks the results at a frame's end and forgets which locals it initialized. The frame stays, empty. */
static int close_block(struct wasm_validator *v)
{
	struct wasm_frame *f = wasm_validator_frame(v, 0);
	uint32_t n;
	const wasm_type *results = wasm_frame_results(f, &n);

	CHECK(pop_all(v, results, n));
	if (v->n_stack != f->height)
		return FAIL("type mismatch: values remain on the stack at the end of the block");
	while (v->n_init_log > f->init_height)
		v->initialized[v->init_log[--v->n_init_log]] = 0;
	return 0;
}

static void set_unreachable(struct wasm_validator *v)
{
	struct wasm_frame *f = wasm_validator_frame(v, 0);

	v->n_stack = f->height;
	f->unreachable = true;
}

static int label(struct wasm_validator *v, uint32_t depth, const wasm_type **ret, uint32_t *ret_n)
{
	if (depth >= v->n_frames)
		return FAIL("unknown label %u", depth);
	*ret = wasm_frame_label(wasm_validator_frame(v, depth), ret_n);
	return 0;
}

static int pop_label(struct wasm_validator *v, uint32_t depth)
{
	const wasm_type *types;
	uint32_t n;

	CHECK(label(v, depth, &types, &n));
	return pop_all(v, types, n);
}

/* A conditional branch leaves the label's types on the stack. */
static int pass_label(struct wasm_validator *v, uint32_t depth)
{
	const wasm_type *types;
	uint32_t n;

	CHECK(label(v, depth, &types, &n));
	CHECK(pop_all(v, types, n));
	return push_all(v, types, n);
}

static bool block_types_agree(const wasm_type *a, uint32_t n, const wasm_type *b, uint32_t m)
{
	if (n != m)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!wasm_subtype(a[i], b[i]))
			return false;
	return true;
}

/* ---- control ---- */

static int check_block(struct wasm_validator *v, const struct wasm_insn *insn)
{
	struct wasm_frame f = { .type = insn->block };
	const wasm_type *params;
	uint32_t n;

	if (insn->op == WASM_OP_IF)
		CHECK(pop(v, WASM_I32));
	params = wasm_frame_params(&f, &n);
	CHECK(pop_all(v, params, n));
	return open_block(v, insn->op, insn->block);
}

static int check_catch_clause(struct wasm_validator *v, struct wasm_catch c)
{
	wasm_type values[WASM_MAX_PARAMS + 1];
	uint32_t n = 0, n_label;
	const wasm_type *types;

	CHECK(label(v, c.label, &types, &n_label));
	if (c.kind <= WASM_CATCH_REF) {
		const struct wasm_typedef *t;

		if (c.tag >= v->m->n_tags)
			return FAIL("unknown tag %u", c.tag);
		t = wasm_typedef_get(v->m->tags[c.tag]);
		if (t->n_params)
			memcpy(values, t->params, t->n_params * sizeof(*values));
		n = t->n_params;
	}
	if (c.kind == WASM_CATCH_REF || c.kind == WASM_CATCH_ALL_REF)
		values[n++] = wasm_ref(false, WASM_HEAP_EXN);
	if (!block_types_agree(values, n, types, n_label))
		return FAIL("type mismatch: a catch clause does not give what label %u takes", c.label);
	return 0;
}

static int check_try_table(struct wasm_validator *v, const struct wasm_insn *insn)
{
	struct wasm_reader list = wasm_insn_list(insn, NULL);
	struct wasm_frame f = { .type = insn->block };
	const wasm_type *params;
	uint32_t n;

	params = wasm_frame_params(&f, &n);
	CHECK(pop_all(v, params, n));
	for (uint32_t i = 0; i < insn->n_list; i++)
		CHECK(check_catch_clause(v, wasm_read_catch(&list)));
	return open_block(v, WASM_OP_TRY_TABLE, insn->block);
}

static int check_else(struct wasm_validator *v)
{
	struct wasm_block_type type = wasm_validator_frame(v, 0)->type;

	if (wasm_validator_frame(v, 0)->op != WASM_OP_IF)
		return wasm_reader_fail(&v->r, WASM_MALFORMED, "else without an if");
	CHECK(close_block(v));
	v->n_frames--;
	return open_block(v, WASM_OP_ELSE, type);
}

static int check_catch(struct wasm_validator *v, const struct wasm_insn *insn)
{
	struct wasm_frame *f = wasm_validator_frame(v, 0);
	struct wasm_block_type type = f->type;

	if (f->op != WASM_OP_TRY && f->op != WASM_OP_CATCH)
		return wasm_reader_fail(&v->r, WASM_MALFORMED, "%s outside a try", op_name(v));
	CHECK(close_block(v));
	v->n_frames--;
	CHECK(push_frame(v, insn->op, type));
	if (insn->op == WASM_OP_CATCH) {
		const struct wasm_typedef *t = wasm_typedef_get(v->m->tags[insn->index]);

		return push_all(v, t->params, t->n_params);
	}
	return 0;
}

static int end_frame(struct wasm_validator *v)
{
	struct wasm_frame f = *wasm_validator_frame(v, 0);
	const wasm_type *results;
	uint32_t n;

	CHECK(close_block(v));
	v->n_frames--;
	results = wasm_frame_results(&f, &n);
	return push_all(v, results, n);
}

static int check_end(struct wasm_validator *v)
{
	struct wasm_frame *f = wasm_validator_frame(v, 0);

	if (f->op == WASM_OP_IF) { /* no else: what goes in must be what comes out */
		uint32_t n_params, n_results;
		const wasm_type *params = wasm_frame_params(f, &n_params);
		const wasm_type *results = wasm_frame_results(f, &n_results);

		if (!block_types_agree(params, n_params, results, n_results))
			return FAIL("type mismatch: an if without else must have the same parameters and results");
	}
	if (v->n_frames > 1)
		return end_frame(v);
	CHECK(close_block(v));
	v->n_frames = 0;
	if (!v->constant && v->r.p != v->r.end)
		return wasm_reader_fail(&v->r, WASM_MALFORMED, "code after the end of the body");
	return 0;
}

static int check_delegate(struct wasm_validator *v, const struct wasm_insn *insn)
{
	if (wasm_validator_frame(v, 0)->op != WASM_OP_TRY)
		return wasm_reader_fail(&v->r, WASM_MALFORMED, "delegate outside a try");
	if (insn->index + 1ull >= v->n_frames)
		return FAIL("unknown label %u", insn->index);
	return end_frame(v);
}

static int check_rethrow(struct wasm_validator *v, const struct wasm_insn *insn)
{
	uint16_t op;

	if (insn->index >= v->n_frames)
		return FAIL("unknown label %u", insn->index);
	op = wasm_validator_frame(v, insn->index)->op;
	if (op != WASM_OP_CATCH && op != WASM_OP_CATCH_ALL)
		return FAIL("invalid rethrow label %u: not a catch block", insn->index);
	set_unreachable(v);
	return 0;
}

static int check_br_table(struct wasm_validator *v, const struct wasm_insn *insn)
{
	struct wasm_reader list = wasm_insn_list(insn, NULL);
	const wasm_type *types;
	uint32_t n, arity = 0;

	CHECK(pop(v, WASM_I32));
	for (uint32_t i = 0; i <= insn->n_list; i++) {
		uint32_t height = v->n_stack, depth = wasm_read_u32(&list);
		wasm_type popped[WASM_MAX_RESULTS];
		uint32_t n_popped = 0;

		CHECK(label(v, depth, &types, &n));
		if (i == 0)
			arity = n;
		if (n != arity)
			return FAIL("type mismatch: br_table targets take %u and %u values", arity, n);
		/* The operands are only looked at: what is popped for one target is there again for the next. */
		for (uint32_t k = n; k-- > 0;) {
			wasm_type got;

			CHECK(pop_any(v, &got));
			if (!wasm_subtype(got, types[k]))
				return FAIL("type mismatch: br_table target %u wants %s, but the stack has %s", i,
					    wasm_type_name(types[k]), wasm_type_name(got));
			if (v->n_stack < height && height - v->n_stack > n_popped)
				popped[n_popped++] = got;
		}
		while (n_popped)
			v->stack[v->n_stack++] = popped[--n_popped];
	}
	set_unreachable(v);
	return 0;
}

static int check_return(struct wasm_validator *v)
{
	uint32_t n;
	const wasm_type *results = wasm_frame_results(&v->frames[0], &n);

	CHECK(pop_all(v, results, n));
	set_unreachable(v);
	return 0;
}

static int check_call(struct wasm_validator *v, const struct wasm_typedef *t)
{
	CHECK(pop_all(v, t->params, t->n_params));
	return push_all(v, t->results, t->n_results);
}

static int check_tail_call(struct wasm_validator *v, const struct wasm_typedef *t)
{
	uint32_t n;
	const wasm_type *results = wasm_frame_results(&v->frames[0], &n);

	CHECK(pop_all(v, t->params, t->n_params));
	if (!block_types_agree(t->results, t->n_results, results, n))
		return FAIL("type mismatch: %s of a function with other results", op_name(v));
	set_unreachable(v);
	return 0;
}

static wasm_type table_index_type(const struct wasm_validator *v, uint32_t table)
{
	return v->m->tables[table].type.limits.is64 ? WASM_I64 : WASM_I32;
}

static wasm_type memory_index_type(const struct wasm_validator *v, uint32_t memory)
{
	return v->m->memories[memory].limits.is64 ? WASM_I64 : WASM_I32;
}

static int check_indirect(struct wasm_validator *v, const struct wasm_insn *insn)
{
	if (!wasm_subtype(v->m->tables[insn->pair.b].type.elem, WASM_FUNCREF))
		return FAIL("type mismatch: %s through table %u, which does not hold functions", op_name(v), insn->pair.b);
	return pop(v, table_index_type(v, insn->pair.b));
}

static int check_throw(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const struct wasm_typedef *t = wasm_typedef_get(v->m->tags[insn->index]);

	CHECK(pop_all(v, t->params, t->n_params));
	set_unreachable(v);
	return 0;
}

static int check_control(struct wasm_validator *v, const struct wasm_insn *insn)
{
	switch (insn->op) {
	case WASM_OP_UNREACHABLE:
		set_unreachable(v);
		return 0;
	case WASM_OP_NOP:
		return 0;
	case WASM_OP_BLOCK:
	case WASM_OP_LOOP:
	case WASM_OP_IF:
	case WASM_OP_TRY:
		return check_block(v, insn);
	case WASM_OP_TRY_TABLE:
		return check_try_table(v, insn);
	case WASM_OP_ELSE:
		return check_else(v);
	case WASM_OP_CATCH:
	case WASM_OP_CATCH_ALL:
		return check_catch(v, insn);
	case WASM_OP_END:
		return check_end(v);
	case WASM_OP_DELEGATE:
		return check_delegate(v, insn);
	case WASM_OP_RETHROW:
		return check_rethrow(v, insn);
	case WASM_OP_THROW:
		return check_throw(v, insn);
	case WASM_OP_THROW_REF:
		CHECK(pop(v, WASM_EXNREF));
		set_unreachable(v);
		return 0;
	case WASM_OP_BR:
		CHECK(pop_label(v, insn->index));
		set_unreachable(v);
		return 0;
	case WASM_OP_BR_IF:
		CHECK(pop(v, WASM_I32));
		return pass_label(v, insn->index);
	case WASM_OP_BR_TABLE:
		return check_br_table(v, insn);
	case WASM_OP_RETURN:
		return check_return(v);
	case WASM_OP_CALL:
		return check_call(v, wasm_func_type(v->m, insn->index));
	case WASM_OP_RETURN_CALL:
		return check_tail_call(v, wasm_func_type(v->m, insn->index));
	case WASM_OP_CALL_INDIRECT:
		CHECK(check_indirect(v, insn));
		return check_call(v, wasm_typedef_get(insn->pair.a));
	case WASM_OP_RETURN_CALL_INDIRECT:
		CHECK(check_indirect(v, insn));
		return check_tail_call(v, wasm_typedef_get(insn->pair.a));
	case WASM_OP_CALL_REF:
		CHECK(pop(v, wasm_ref(true, insn->pair.a)));
		return check_call(v, wasm_typedef_get(insn->pair.a));
	case WASM_OP_RETURN_CALL_REF:
		CHECK(pop(v, wasm_ref(true, insn->pair.a)));
		return check_tail_call(v, wasm_typedef_get(insn->pair.a));
	default:
		return FAIL("illegal opcode");
	}
}

/* ---- variables, parametric ---- */

static int check_select(struct wasm_validator *v, const struct wasm_insn *insn)
{
	wasm_type a, b;

	CHECK(pop(v, WASM_I32));
	if (insn->op == WASM_OP_SELECT_T) {
		if (insn->select.n != 1)
			return FAIL("invalid result arity: select with %u types", insn->select.n);
		CHECK(pop(v, insn->select.type));
		CHECK(pop(v, insn->select.type));
		return push(v, insn->select.type);
	}
	CHECK(pop_any(v, &a));
	CHECK(pop_any(v, &b));
	if (wasm_is_ref(a) || wasm_is_ref(b))
		return FAIL("type mismatch: select without a type takes no references");
	if (a != b && a != WASM_BOT && b != WASM_BOT)
		return FAIL("type mismatch: select between %s and %s", wasm_type_name(b), wasm_type_name(a));
	return push(v, a == WASM_BOT ? b : a);
}

static int check_local(struct wasm_validator *v, const struct wasm_insn *insn)
{
	uint32_t i = insn->index;

	if (i >= v->n_locals)
		return FAIL("unknown local %u", i);
	if (insn->op == WASM_OP_LOCAL_GET) {
		if (!v->initialized[i])
			return FAIL("uninitialized local %u", i);
		return push(v, v->locals[i]);
	}
	CHECK(pop(v, v->locals[i]));
	if (!v->initialized[i]) {
		v->initialized[i] = 1;
		v->init_log[v->n_init_log++] = i;
	}
	return insn->op == WASM_OP_LOCAL_TEE ? push(v, v->locals[i]) : 0;
}

static int check_global(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const struct wasm_global_type *g = &v->m->globals[insn->index].type;

	if (insn->op == WASM_OP_GLOBAL_GET) {
		if (v->constant && (insn->index >= v->n_constant_globals))
			return FAIL("unknown global %u", insn->index);
		if (v->constant && g->mutable)
			return FAIL("constant expression required: global %u is mutable", insn->index);
		return push(v, g->type);
	}
	if (!g->mutable)
		return FAIL("immutable global %u", insn->index);
	return pop(v, g->type);
}

static int check_table(struct wasm_validator *v, const struct wasm_insn *insn)
{
	wasm_type elem = v->m->tables[insn->index].type.elem, index = table_index_type(v, insn->index);

	switch (insn->op) {
	case WASM_OP_TABLE_GET:
		CHECK(pop(v, index));
		return push(v, elem);
	case WASM_OP_TABLE_SET:
		CHECK(pop(v, elem));
		return pop(v, index);
	case WASM_OP_TABLE_SIZE:
		return push(v, index);
	case WASM_OP_TABLE_GROW:
		CHECK(pop(v, index));
		CHECK(pop(v, elem));
		return push(v, index);
	default: /* table.fill */
		CHECK(pop(v, index));
		CHECK(pop(v, elem));
		return pop(v, index);
	}
}

static int check_table_pair(struct wasm_validator *v, const struct wasm_insn *insn)
{
	wasm_type dst = insn->op == WASM_OP_TABLE_INIT ? v->m->tables[insn->pair.b].type.elem
						       : v->m->tables[insn->pair.a].type.elem;
	wasm_type src, n, d, s;

	if (insn->op == WASM_OP_TABLE_INIT) {
		src = v->m->elems[insn->pair.a].type;
		n = s = WASM_I32;
		d = table_index_type(v, insn->pair.b);
	} else {
		src = v->m->tables[insn->pair.b].type.elem;
		d = table_index_type(v, insn->pair.a);
		s = table_index_type(v, insn->pair.b);
		n = d == WASM_I64 && s == WASM_I64 ? WASM_I64 : WASM_I32;
	}
	if (!wasm_subtype(src, dst))
		return FAIL("type mismatch: %s of %s into a table of %s", op_name(v), wasm_type_name(src), wasm_type_name(dst));
	CHECK(pop(v, n));
	CHECK(pop(v, s));
	return pop(v, d);
}

/* ---- memory ---- */

static int check_memory(struct wasm_validator *v, const struct wasm_insn *insn)
{
	wasm_type d, s;

	switch (insn->op) {
	case WASM_OP_MEMORY_SIZE:
		return push(v, memory_index_type(v, insn->index));
	case WASM_OP_MEMORY_GROW:
		CHECK(pop(v, memory_index_type(v, insn->index)));
		return push(v, memory_index_type(v, insn->index));
	case WASM_OP_MEMORY_FILL:
		CHECK(pop(v, memory_index_type(v, insn->index)));
		CHECK(pop(v, WASM_I32));
		return pop(v, memory_index_type(v, insn->index));
	case WASM_OP_MEMORY_INIT:
		CHECK(pop(v, WASM_I32));
		CHECK(pop(v, WASM_I32));
		return pop(v, memory_index_type(v, insn->pair.b));
	default: /* memory.copy */
		d = memory_index_type(v, insn->pair.a);
		s = memory_index_type(v, insn->pair.b);
		CHECK(pop(v, d == WASM_I64 && s == WASM_I64 ? WASM_I64 : WASM_I32));
		CHECK(pop(v, s));
		return pop(v, d);
	}
}

static wasm_type sig_type(const struct wasm_validator *v, const struct wasm_insn *insn, char c)
{
	switch (c) {
	case 'i': return WASM_I32;
	case 'I': return WASM_I64;
	case 'f': return WASM_F32;
	case 'F': return WASM_F64;
	case 'v': return WASM_V128;
	default: return memory_index_type(v, insn->mem.memory);
	}
}

/* Everything whose operands and results stand in opcodes.def. */
static int check_by_signature(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const char *sig = wasm_opcodes[insn->op].sig;
	const char *colon = strchr(sig, ':');

	for (const char *p = colon; p-- > sig;)
		CHECK(pop(v, sig_type(v, insn, *p)));
	return colon[1] ? push(v, sig_type(v, insn, colon[1])) : 0;
}

/* ---- references ---- */

static int check_br_on_null(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const wasm_type *types;
	wasm_type t;
	uint32_t n;

	CHECK(pop_ref(v, &t));
	if (insn->op == WASM_OP_BR_ON_NULL) {
		CHECK(pass_label(v, insn->index));
		return push(v, non_null(t));
	}
	CHECK(label(v, insn->index, &types, &n));
	if (n == 0 || !wasm_is_ref(types[n - 1]))
		return FAIL("type mismatch: the label of br_on_non_null takes no reference");
	if (!wasm_subtype(non_null(t), types[n - 1]))
		return FAIL("type mismatch: br_on_non_null wants %s, but the stack has %s", wasm_type_name(types[n - 1]),
			    wasm_type_name(t));
	CHECK(pop_all(v, types, n - 1));
	return push_all(v, types, n - 1);
}

static int check_br_on_cast(struct wasm_validator *v, const struct wasm_insn *insn)
{
	wasm_type from = insn->cast.from, to = insn->cast.to;
	wasm_type rest = wasm_is_nullable(to) ? wasm_ref(false, wasm_heap_of(from)) : from;
	wasm_type taken = insn->op == WASM_OP_BR_ON_CAST ? to : rest;
	const wasm_type *types;
	uint32_t n;

	if (!wasm_subtype(to, from))
		return FAIL("type mismatch: %s is not a subtype of %s", wasm_type_name(to), wasm_type_name(from));
	CHECK(label(v, insn->cast.label, &types, &n));
	if (n == 0 || !wasm_subtype(taken, types[n - 1]))
		return FAIL("type mismatch: label %u does not take %s", insn->cast.label, wasm_type_name(taken));
	CHECK(pop(v, from));
	CHECK(pop_all(v, types, n - 1));
	CHECK(push_all(v, types, n - 1));
	return push(v, insn->op == WASM_OP_BR_ON_CAST ? rest : to);
}

static int check_cast(struct wasm_validator *v, const struct wasm_insn *insn)
{
	bool nullable = insn->op == WASM_OP_REF_TEST_NULL || insn->op == WASM_OP_REF_CAST_NULL;

	CHECK(pop(v, wasm_ref(true, wasm_heap_top(insn->heap))));
	if (insn->op == WASM_OP_REF_TEST || insn->op == WASM_OP_REF_TEST_NULL)
		return push(v, WASM_I32);
	return push(v, wasm_ref(nullable, insn->heap));
}

static int check_convert(struct wasm_validator *v, wasm_heap from, wasm_heap to)
{
	wasm_type t;

	CHECK(pop_ref(v, &t));
	if (t != WASM_BOT && !wasm_heap_subtype(wasm_heap_of(t), from))
		return FAIL("type mismatch: %s wants (ref null %s), but the stack has %s", op_name(v), wasm_heap_name(from),
			    wasm_type_name(t));
	return push(v, wasm_ref(t != WASM_BOT && wasm_is_nullable(t), to));
}

static int check_reference(struct wasm_validator *v, const struct wasm_insn *insn)
{
	wasm_type t;

	switch (insn->op) {
	case WASM_OP_REF_NULL:
		return push(v, wasm_ref(true, insn->heap));
	case WASM_OP_REF_IS_NULL:
		CHECK(pop_ref(v, &t));
		return push(v, WASM_I32);
	case WASM_OP_REF_FUNC:
		if (!v->constant && !v->m->funcs[insn->index].declared)
			return FAIL("undeclared function reference %u", insn->index);
		return push(v, wasm_ref(false, v->m->funcs[insn->index].type));
	case WASM_OP_REF_EQ:
		CHECK(pop(v, wasm_ref(true, WASM_HEAP_EQ)));
		CHECK(pop(v, wasm_ref(true, WASM_HEAP_EQ)));
		return push(v, WASM_I32);
	case WASM_OP_REF_AS_NON_NULL:
		CHECK(pop_ref(v, &t));
		return push(v, non_null(t));
	case WASM_OP_BR_ON_NULL:
	case WASM_OP_BR_ON_NON_NULL:
		return check_br_on_null(v, insn);
	case WASM_OP_BR_ON_CAST:
	case WASM_OP_BR_ON_CAST_FAIL:
		return check_br_on_cast(v, insn);
	case WASM_OP_REF_TEST:
	case WASM_OP_REF_TEST_NULL:
	case WASM_OP_REF_CAST:
	case WASM_OP_REF_CAST_NULL:
		return check_cast(v, insn);
	case WASM_OP_ANY_CONVERT_EXTERN:
		return check_convert(v, WASM_HEAP_EXTERN, WASM_HEAP_ANY);
	case WASM_OP_EXTERN_CONVERT_ANY:
		return check_convert(v, WASM_HEAP_ANY, WASM_HEAP_EXTERN);
	case WASM_OP_REF_I31:
		CHECK(pop(v, WASM_I32));
		return push(v, wasm_ref(false, WASM_HEAP_I31));
	default: /* i31.get_s, i31.get_u */
		CHECK(pop(v, wasm_ref(true, WASM_HEAP_I31)));
		return push(v, WASM_I32);
	}
}

/* ---- structures and arrays ---- */

static bool is_packed(wasm_type t)
{
	return t == WASM_I8 || t == WASM_I16;
}

static wasm_type unpacked(wasm_type t)
{
	return is_packed(t) ? WASM_I32 : t;
}

static int check_field_access(struct wasm_validator *v, const struct wasm_field *f, bool extends)
{
	if (is_packed(f->type) != extends)
		return FAIL("type mismatch: field is %spacked, %s", is_packed(f->type) ? "" : "un", op_name(v));
	return 0;
}

static int check_struct(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const struct wasm_typedef *t = wasm_typedef_get(insn->pair.a);
	const struct wasm_field *f = &t->fields[insn->pair.b];

	switch (insn->op) {
	case WASM_OP_STRUCT_NEW:
		for (uint32_t i = t->n_fields; i-- > 0;)
			CHECK(pop(v, unpacked(t->fields[i].type)));
		return push(v, wasm_ref(false, t->id));
	case WASM_OP_STRUCT_NEW_DEFAULT:
		for (uint32_t i = 0; i < t->n_fields; i++)
			if (!wasm_is_defaultable(t->fields[i].type))
				return FAIL("type mismatch: field %u has no default value", i);
		return push(v, wasm_ref(false, t->id));
	case WASM_OP_STRUCT_SET:
		if (!f->mutable)
			return FAIL("immutable field %u", insn->pair.b);
		CHECK(pop(v, unpacked(f->type)));
		return pop(v, wasm_ref(true, t->id));
	default: /* struct.get, _s, _u */
		CHECK(check_field_access(v, f, insn->op != WASM_OP_STRUCT_GET));
		CHECK(pop(v, wasm_ref(true, t->id)));
		return push(v, unpacked(f->type));
	}
}

static int check_array_new(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const struct wasm_typedef *t = wasm_typedef_get(insn->pair.a);
	wasm_type elem = t->fields[0].type;

	switch (insn->op) {
	case WASM_OP_ARRAY_NEW:
		CHECK(pop(v, WASM_I32));
		CHECK(pop(v, unpacked(elem)));
		break;
	case WASM_OP_ARRAY_NEW_DEFAULT:
		if (!wasm_is_defaultable(elem))
			return FAIL("type mismatch: the array's elements have no default value");
		CHECK(pop(v, WASM_I32));
		break;
	case WASM_OP_ARRAY_NEW_FIXED:
		for (uint32_t i = 0; i < insn->pair.b; i++) {
			CHECK(pop(v, unpacked(elem)));
			if (v->n_stack == wasm_validator_frame(v, 0)->height && wasm_validator_frame(v, 0)->unreachable)
				break; /* the rest would be popped from nothing, and N may be four thousand million */
		}
		break;
	case WASM_OP_ARRAY_NEW_DATA:
		if (wasm_is_ref(elem))
			return FAIL("array type is not numeric or vector");
		CHECK(pop(v, WASM_I32));
		CHECK(pop(v, WASM_I32));
		break;
	default: /* array.new_elem */
		if (!wasm_subtype(v->m->elems[insn->pair.b].type, elem))
			return FAIL("type mismatch: segment of %s for an array of %s",
				    wasm_type_name(v->m->elems[insn->pair.b].type), wasm_type_name(elem));
		CHECK(pop(v, WASM_I32));
		CHECK(pop(v, WASM_I32));
		break;
	}
	return push(v, wasm_ref(false, t->id));
}

static int check_array_copy(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const struct wasm_typedef *dst = wasm_typedef_get(insn->pair.a), *src = wasm_typedef_get(insn->pair.b);
	wasm_type d = dst->fields[0].type, s = src->fields[0].type;

	if (!dst->fields[0].mutable)
		return FAIL("immutable array");
	if (is_packed(d) || is_packed(s) ? d != s : !wasm_subtype(s, d))
		return FAIL("array types do not match: %s into %s", wasm_type_name(s), wasm_type_name(d));
	CHECK(pop(v, WASM_I32));
	CHECK(pop(v, WASM_I32));
	CHECK(pop(v, wasm_ref(true, src->id)));
	CHECK(pop(v, WASM_I32));
	return pop(v, wasm_ref(true, dst->id));
}

static int check_array_init(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const struct wasm_typedef *t = wasm_typedef_get(insn->pair.a);
	wasm_type elem = t->fields[0].type;

	if (!t->fields[0].mutable)
		return FAIL("immutable array");
	if (insn->op == WASM_OP_ARRAY_INIT_DATA && wasm_is_ref(elem))
		return FAIL("array type is not numeric or vector");
	if (insn->op == WASM_OP_ARRAY_INIT_ELEM && !wasm_subtype(v->m->elems[insn->pair.b].type, elem))
		return FAIL("type mismatch: segment of %s for an array of %s", wasm_type_name(v->m->elems[insn->pair.b].type),
			    wasm_type_name(elem));
	CHECK(pop(v, WASM_I32));
	CHECK(pop(v, WASM_I32));
	CHECK(pop(v, WASM_I32));
	return pop(v, wasm_ref(true, t->id));
}

static int check_array(struct wasm_validator *v, const struct wasm_insn *insn)
{
	const struct wasm_typedef *t;

	if (insn->op == WASM_OP_ARRAY_LEN) {
		CHECK(pop(v, wasm_ref(true, WASM_HEAP_ARRAY)));
		return push(v, WASM_I32);
	}
	t = wasm_typedef_get(insn->pair.a);
	switch (insn->op) {
	case WASM_OP_ARRAY_GET:
	case WASM_OP_ARRAY_GET_S:
	case WASM_OP_ARRAY_GET_U:
		CHECK(check_field_access(v, &t->fields[0], insn->op != WASM_OP_ARRAY_GET));
		CHECK(pop(v, WASM_I32));
		CHECK(pop(v, wasm_ref(true, t->id)));
		return push(v, unpacked(t->fields[0].type));
	case WASM_OP_ARRAY_SET:
	case WASM_OP_ARRAY_FILL:
		if (!t->fields[0].mutable)
			return FAIL("immutable array");
		if (insn->op == WASM_OP_ARRAY_FILL)
			CHECK(pop(v, WASM_I32));
		CHECK(pop(v, unpacked(t->fields[0].type)));
		CHECK(pop(v, WASM_I32));
		return pop(v, wasm_ref(true, t->id));
	case WASM_OP_ARRAY_COPY:
		return check_array_copy(v, insn);
	case WASM_OP_ARRAY_INIT_DATA:
	case WASM_OP_ARRAY_INIT_ELEM:
		return check_array_init(v, insn);
	default:
		return check_array_new(v, insn);
	}
}

/* ---- dispatch ---- */

static bool is_constant_op(uint16_t op)
{
	switch (op) {
	case WASM_OP_END:
	case WASM_OP_I32_CONST:
	case WASM_OP_I64_CONST:
	case WASM_OP_F32_CONST:
	case WASM_OP_F64_CONST:
	case WASM_OP_V128_CONST:
	case WASM_OP_I32_ADD:
	case WASM_OP_I32_SUB:
	case WASM_OP_I32_MUL:
	case WASM_OP_I64_ADD:
	case WASM_OP_I64_SUB:
	case WASM_OP_I64_MUL:
	case WASM_OP_GLOBAL_GET:
	case WASM_OP_REF_NULL:
	case WASM_OP_REF_FUNC:
	case WASM_OP_REF_I31:
	case WASM_OP_STRUCT_NEW:
	case WASM_OP_STRUCT_NEW_DEFAULT:
	case WASM_OP_ARRAY_NEW:
	case WASM_OP_ARRAY_NEW_DEFAULT:
	case WASM_OP_ARRAY_NEW_FIXED:
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY:
		return true;
	default:
		return false;
	}
}

static int check_special(struct wasm_validator *v, const struct wasm_insn *insn)
{
	uint16_t op = insn->op;
	wasm_type t;

	if (op <= WASM_OP_RETURN_CALL_REF || op == WASM_OP_DELEGATE || op == WASM_OP_CATCH_ALL || op == WASM_OP_TRY_TABLE)
		return check_control(v, insn);
	if (op >= WASM_OP_STRUCT_NEW && op <= WASM_OP_STRUCT_SET)
		return check_struct(v, insn);
	if (op >= WASM_OP_ARRAY_NEW && op <= WASM_OP_ARRAY_INIT_ELEM)
		return check_array(v, insn);
	switch (op) {
	case WASM_OP_DROP:
		return pop_any(v, &t);
	case WASM_OP_SELECT:
	case WASM_OP_SELECT_T:
		return check_select(v, insn);
	case WASM_OP_LOCAL_GET:
	case WASM_OP_LOCAL_SET:
	case WASM_OP_LOCAL_TEE:
		return check_local(v, insn);
	case WASM_OP_GLOBAL_GET:
	case WASM_OP_GLOBAL_SET:
		return check_global(v, insn);
	case WASM_OP_TABLE_GET:
	case WASM_OP_TABLE_SET:
	case WASM_OP_TABLE_SIZE:
	case WASM_OP_TABLE_GROW:
	case WASM_OP_TABLE_FILL:
		return check_table(v, insn);
	case WASM_OP_TABLE_INIT:
	case WASM_OP_TABLE_COPY:
		return check_table_pair(v, insn);
	case WASM_OP_MEMORY_SIZE:
	case WASM_OP_MEMORY_GROW:
	case WASM_OP_MEMORY_FILL:
	case WASM_OP_MEMORY_INIT:
	case WASM_OP_MEMORY_COPY:
		return check_memory(v, insn);
	case WASM_OP_DATA_DROP:
	case WASM_OP_ELEM_DROP:
		return 0;
	default:
		return check_reference(v, insn);
	}
}

static bool names_data(uint16_t op)
{
	return op == WASM_OP_MEMORY_INIT || op == WASM_OP_DATA_DROP || op == WASM_OP_ARRAY_NEW_DATA ||
	       op == WASM_OP_ARRAY_INIT_DATA;
}

int wasm_validator_check(struct wasm_validator *v, const struct wasm_insn *insn)
{
	v->insn = insn;
	if (v->constant && !is_constant_op(insn->op))
		return FAIL("constant expression required, not %s", op_name(v));
	if (!v->m->has_data_count && names_data(insn->op))
		return wasm_reader_fail(&v->r, WASM_MALFORMED, "data count section required");
	if (wasm_opcodes[insn->op].sig[0] == '-')
		return check_special(v, insn);
	if (wasm_imm_is_memarg(wasm_opcodes[insn->op].imm) && !v->m->memories[insn->mem.memory].limits.is64 &&
	    insn->mem.offset > UINT32_MAX)
		return FAIL("offset out of range: %llu", (unsigned long long)insn->mem.offset);
	return check_by_signature(v, insn);
}

int wasm_validator_read(struct wasm_validator *v, struct wasm_insn *ret)
{
	int r;

	if (v->n_frames == 0)
		return 0;
	if (v->r.p == v->r.end && !v->r.failed)
		return wasm_reader_fail(&v->r, WASM_MALFORMED, "unexpected end: END opcode expected");
	r = wasm_insn_read(v->m, &v->r, ret);
	return r < 0 ? r : 1;
}

static int add_locals(struct wasm_validator *v, const struct wasm_typedef *t)
{
	uint32_t groups = wasm_read_count(&v->r, 2, UINT32_MAX, "groups of locals");
	uint64_t total = t->n_params;
	uint32_t cap = t->n_params + 16;

	v->locals = malloc(cap * sizeof(*v->locals));
	if (!v->locals)
		return wasm_reader_fail(&v->r, ENOMEM, "out of memory");
	if (t->n_params)
		memcpy(v->locals, t->params, t->n_params * sizeof(*v->locals));
	v->n_params = v->n_locals = t->n_params;
	for (uint32_t i = 0; i < groups; i++) {
		uint32_t n = wasm_read_u32(&v->r);
		wasm_type type = wasm_read_valtype(v->m, &v->r);

		if (v->r.failed)
			return -WASM_MALFORMED;
		total += n;
		if (total > UINT32_MAX)
			return wasm_reader_fail(&v->r, WASM_MALFORMED, "too many locals");
		if (total > WASM_MAX_LOCALS)
			continue; /* the format's own limit comes first: read on */
		if (total > cap) {
			wasm_type *p;

			cap = (uint32_t)total * 2;
			p = realloc(v->locals, cap * sizeof(*p));
			if (!p)
				return wasm_reader_fail(&v->r, ENOMEM, "out of memory");
			v->locals = p;
		}
		while (n--)
			v->locals[v->n_locals++] = type;
	}
	if (total > WASM_MAX_LOCALS)
		return FAIL("too many locals: %llu are more than the limit of %u", (unsigned long long)total, WASM_MAX_LOCALS);
	return v->r.failed ? -WASM_MALFORMED : 0;
}

static int add_initialized(struct wasm_validator *v)
{
	v->initialized = malloc(v->n_locals + 1);
	v->init_log = malloc((v->n_locals + 1) * sizeof(*v->init_log));
	if (!v->initialized || !v->init_log)
		return wasm_reader_fail(&v->r, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < v->n_locals; i++)
		v->initialized[i] = i < v->n_params || wasm_is_defaultable(v->locals[i]);
	return 0;
}

int wasm_validator_begin(struct wasm_validator *v, const struct wasm_module *m, uint32_t index, struct error *err)
{
	const struct wasm_func *f = &m->funcs[index];
	const struct wasm_typedef *t = wasm_typedef_get(f->type);

	*v = (struct wasm_validator){
		.m = m,
		.r = { .start = m->bytes + f->offset, .p = m->bytes + f->offset, .end = m->bytes + f->offset + f->len,
		       .base = f->offset, .err = err },
	};
	CHECK(add_locals(v, t));
	CHECK(add_initialized(v));
	return push_frame(v, WASM_OP_BLOCK,
			  t->n_results == 0   ? (struct wasm_block_type){ .type = WASM_NO_TYPE, .single = WASM_BOT } :
			  t->n_results == 1   ? (struct wasm_block_type){ .type = WASM_NO_TYPE, .single = t->results[0] } :
						(struct wasm_block_type){ .type = t->id });
}

void wasm_validator_free(struct wasm_validator *v)
{
	free(v->locals);
	free(v->initialized);
	free(v->init_log);
	free(v->stack);
	free(v->frames);
	*v = (struct wasm_validator){ 0 };
}

int wasm_validate_constant(struct wasm_module *m, struct wasm_reader *r, wasm_type type, uint32_t n_globals)
{
	_cleanup_(cleanup_wasm_validator) struct wasm_validator v = {
		.m = m, .r = *r, .constant = true, .n_constant_globals = n_globals,
	};
	struct wasm_insn insn;
	int n;

	if (r->failed)
		return -WASM_MALFORMED;
	CHECK(push_frame(&v, WASM_OP_BLOCK, (struct wasm_block_type){ .type = WASM_NO_TYPE, .single = type }));
	while ((n = wasm_validator_read(&v, &insn)) > 0) {
		n = wasm_validator_check(&v, &insn);
		if (n < 0)
			break;
		if (insn.op == WASM_OP_REF_FUNC)
			m->funcs[insn.index].declared = true;
	}
	r->p = v.r.p;
	r->failed = v.r.failed;
	return n;
}
