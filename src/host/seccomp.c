#include "host/seccomp.h"

#include <linux/seccomp.h>
#include <string.h>

#include "base/log.h"
#include "host/seccomp_emit.h"
#include "host/seccomp_export.h"
#include "host/seccomp_table.h"

static void cleanup_table(struct seccomp_table *t)
{
	seccomp_table_free(t);
}

static int emit(const struct seccomp_table *table, struct seccomp_program **ret, struct error *err)
{
	struct sock_filter insns[BPF_MAXINSNS];
	struct seccomp_program *p;
	int n = seccomp_emit(table, insns, BPF_MAXINSNS);

	if (n == -E2BIG)
		return error_set(err, E2BIG, "seccomp: the filter needs more than %d instructions", BPF_MAXINSNS);
	if (n < 0)
		return error_oom(err);
	p = malloc(sizeof(*p) + (size_t)n * sizeof(insns[0]));
	if (!p)
		return error_oom(err);
	p->flags = table->flags;
	p->n = (unsigned short)n;
	memcpy(p->insns, insns + BPF_MAXINSNS - n, (size_t)n * sizeof(insns[0]));
	*ret = p;
	return 0;
}

int seccomp_compile(const struct seccomp_policy *policy, struct seccomp_program **ret, struct error *err)
{
	_cleanup_(cleanup_table) struct seccomp_table table = { 0 };
	int r;

	r = seccomp_table_build(policy, &table, err);
	if (r < 0)
		return r;
	if (!table.ambiguous)
		return emit(&table, ret, err);
	log_debug("seccomp: rules of one system call overlap and answer differently; compiling with libseccomp");
	return seccomp_export(policy, &table, 2, ret, err);
}
