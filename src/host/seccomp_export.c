#include "host/seccomp_export.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fdio.h"

static void cleanup_context(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static uint32_t as_scmp(uint32_t ret)
{
	return ret & SECCOMP_RET_ACTION_FULL ? ret : SCMP_ACT_KILL_THREAD;
}

static int add_rule(scmp_filter_ctx ctx, uint32_t ret, int nr, const struct seccomp_arg *args, size_t n)
{
	static const enum scmp_compare ops[] = {
		[SECCOMP_OP_NE] = SCMP_CMP_NE, [SECCOMP_OP_LT] = SCMP_CMP_LT, [SECCOMP_OP_LE] = SCMP_CMP_LE,
		[SECCOMP_OP_EQ] = SCMP_CMP_EQ, [SECCOMP_OP_GE] = SCMP_CMP_GE, [SECCOMP_OP_GT] = SCMP_CMP_GT,
		[SECCOMP_OP_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
	};
	struct scmp_arg_cmp cmp[SECCOMP_ARGS];

	for (size_t i = 0; i < n; i++)
		cmp[i] = (struct scmp_arg_cmp){ args[i].index, ops[args[i].op], args[i].value, args[i].value_two };
	return seccomp_rule_add_array(ctx, as_scmp(ret), nr, (unsigned)n, cmp);
}

/* As runc: conditions that repeat an argument are alternatives. */
static bool alternatives(const struct seccomp_rule *rule)
{
	for (size_t i = 0; i < rule->n_args; i++)
		for (size_t j = 0; j < i; j++)
			if (rule->args[i].index == rule->args[j].index)
				return true;
	return false;
}

static int add_rule_for_name(scmp_filter_ctx ctx, const struct seccomp_rule *rule, uint32_t ret, const char *name)
{
	struct seccomp_mux mux;
	int nr = seccomp_syscall_resolve_name(name);
	bool newer = false;
	int r = 0;

	if (nr == __NR_SCMP_ERROR) {
		int64_t recent = seccomp_resolve(SECCOMP_ABI_X86_64, name, &mux);

		if (recent < 0)
			return 0;
		nr = (int)recent;
		newer = true;
	}
	if (!alternatives(rule))
		r = add_rule(ctx, ret, nr, rule->args, rule->n_args);
	for (size_t i = 0; i < rule->n_args && r == 0 && alternatives(rule); i++)
		r = add_rule(ctx, ret, nr, &rule->args[i], 1);
	/* Beside other architectures libseccomp takes no number that it has no name for: the default action stays. */
	return newer && r == -EFAULT ? 0 : r;
}

static int add_rules(scmp_filter_ctx ctx, const struct seccomp_policy *policy, uint32_t default_ret, struct error *err)
{
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct seccomp_rule *rule = &policy->rules[i];
		uint32_t ret;
		int r;

		r = seccomp_action_value(rule->act, rule->has_errno, rule->errno_ret, &ret, err);
		if (r < 0)
			return r;
		if (ret == default_ret)
			continue;
		for (char **name = rule->names; name && *name; name++) {
			r = add_rule_for_name(ctx, rule, ret, *name);
			if (r < 0)
				return error_sys(err, r, "seccomp: rule %zu for '%s' contradicts another rule", i, *name);
		}
	}
	return 0;
}

/* The program text that libseccomp writes to a file. */
static int export_program(scmp_filter_ctx ctx, char **ret, size_t *ret_len, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return error_sys(err, errno, "seccomp: cannot create a memory file");
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return error_sys(err, r, "seccomp: libseccomp cannot compile the filter");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_sys(err, errno, "seccomp: cannot rewind");
	r = fd_read_all(fd, BPF_MAXINSNS * sizeof(struct sock_filter), ret, ret_len);
	if (r < 0)
		return error_sys(err, r, "seccomp: cannot read the compiled filter");
	return 0;
}

/* "Numbers above the highest that the rules name give ENOSYS", to stand before the program. */
static size_t enosys_stub(const struct seccomp_table *t, struct sock_filter out[16])
{
	const struct seccomp_abi_table *abi = t->abi;
	uint32_t i386 = abi[SECCOMP_ABI_I386].highest, x32 = abi[SECCOMP_ABI_X32].highest, x64 = abi[SECCOMP_ABI_X86_64].highest;
	const struct sock_filter stub[] = {
		/* 0 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		/* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_abis[SECCOMP_ABI_X86_64].audit, 3, 0),
		/* 2 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_abis[SECCOMP_ABI_I386].audit, 0, 7),
		/* 3 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		/* 4 */ BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, i386 ? i386 : UINT32_MAX, 4, 5),
		/* 5 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		/* 6 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SECCOMP_X32_BIT, 1, 0),
		/* 7 */ BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, x64 ? x64 : UINT32_MAX, 1, 2),
		/* 8 */ BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, x32 ? x32 : UINT32_MAX, 0, 1),
		/* 9 */ BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	memcpy(out, stub, sizeof(stub));
	return ARRAY_SIZE(stub);
}

static int build_context(const struct seccomp_policy *policy, const struct seccomp_table *table, int optimize,
			 scmp_filter_ctx ctx, struct error *err)
{
	int r;

	for (int abi = 0; abi < SECCOMP_ABI_COUNT; abi++) {
		if (!table->abi[abi].present)
			continue;
		r = seccomp_arch_add(ctx, seccomp_abis[abi].token);
		if (r < 0 && r != -EEXIST)
			return error_sys(err, r, "seccomp: cannot add %s", seccomp_abis[abi].name);
	}
	r = add_rules(ctx, policy, table->default_ret, err);
	if (r < 0)
		return r;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, (uint32_t)optimize);
	return r < 0 ? error_sys(err, r, "seccomp: libseccomp has no optimization level %d", optimize) : 0;
}

int seccomp_export(const struct seccomp_policy *policy, const struct seccomp_table *table, int optimize,
		   struct seccomp_program **ret, struct error *err)
{
	_cleanup_(cleanup_context) scmp_filter_ctx ctx = seccomp_init(as_scmp(table->default_ret));
	_cleanup_free_ char *text = NULL;
	struct seccomp_program *p;
	struct sock_filter stub[16];
	size_t len, n_stub = 0;
	int r;

	if (!ctx)
		return error_set(err, EINVAL, "seccomp: libseccomp refuses the default action %#x", table->default_ret);
	r = build_context(policy, table, optimize, ctx, err);
	if (r < 0)
		return r;
	r = export_program(ctx, &text, &len, err);
	if (r < 0)
		return r;
	if (table->enosys_above)
		n_stub = enosys_stub(table, stub);
	if (n_stub + len / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return error_set(err, E2BIG, "seccomp: the filter needs more than %d instructions", BPF_MAXINSNS);
	p = malloc(sizeof(*p) + n_stub * sizeof(struct sock_filter) + len);
	if (!p)
		return error_oom(err);
	p->flags = table->flags;
	p->n = (unsigned short)(n_stub + len / sizeof(struct sock_filter));
	memcpy(p->insns, stub, n_stub * sizeof(struct sock_filter));
	memcpy(p->insns + n_stub, text, len);
	*ret = p;
	return 0;
}
