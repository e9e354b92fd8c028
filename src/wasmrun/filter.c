#include "wasmrun/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/strv.h"

/* WASI's files, clocks, randomness, sockets that are open already; memory; the end. No way to name a process or a path
 * but openat2 (which is resolved beneath a directory), to make a socket, or to run a program. */
static const char allowed[] =
	"read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close fstat newfstatat openat2 "
	"getdents64 fsync fdatasync ftruncate fallocate fadvise64 fcntl mkdirat unlinkat renameat renameat2 linkat symlinkat "
	"readlinkat utimensat munmap mremap madvise brk futex clock_gettime clock_getres clock_nanosleep getrandom "
	"sched_yield poll ppoll accept4 recvmsg sendmsg shutdown rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack "
	"restart_syscall exit exit_group memfd_create gettid getpid";

#define WX (PROT_WRITE | PROT_EXEC)

static int add_rule(struct seccomp_policy *p, const char *names, const struct seccomp_arg *arg)
{
	struct seccomp_rule *r = &p->rules[p->n_rules];

	*r = (struct seccomp_rule){ .names = strv_split(names, " "), .act = SECCOMP_ACT_ALLOW };
	if (!r->names)
		return -ENOMEM;
	p->n_rules++;
	if (!arg)
		return 0;
	r->args = malloc(sizeof(*arg));
	if (!r->args)
		return -ENOMEM;
	*r->args = *arg;
	r->n_args = 1;
	return 0;
}

/* Memory is never writable and executable at once: compiled code is written through another mapping. */
static int add_memory_rules(struct seccomp_policy *p)
{
	static const uint64_t map[] = { 0, PROT_WRITE, PROT_EXEC };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map) && r == 0; i++)
		r = add_rule(p, "mmap",
			     &(struct seccomp_arg){ .index = 2, .op = SECCOMP_OP_MASKED_EQ, .value = WX, .value_two = map[i] });
	if (r == 0)
		r = add_rule(p, "mprotect",
			     &(struct seccomp_arg){ .index = 2, .op = SECCOMP_OP_MASKED_EQ, .value = PROT_EXEC, .value_two = 0 });
	if (r == 0)
		r = add_rule(p, "ioctl", &(struct seccomp_arg){ .index = 1, .op = SECCOMP_OP_EQ, .value = FIONREAD });
	return r;
}

static void cleanup_policy(struct seccomp_policy **p)
{
	seccomp_policy_free(*p);
}

int wasm_filter_compile(struct seccomp_program **ret, struct error *err)
{
	_cleanup_(cleanup_policy) struct seccomp_policy *p = calloc(1, sizeof(*p));

	if (!p)
		return error_oom(err);
	p->default_act = SECCOMP_ACT_ERRNO;
	p->has_default_errno = true;
	p->default_errno = EPERM;
	p->rules = calloc(8, sizeof(*p->rules));
	if (!p->rules || add_rule(p, allowed, NULL) < 0 || add_memory_rules(p) < 0)
		return error_oom(err);
	return seccomp_compile(p, ret, err);
}

int wasm_filter_install(struct error *err)
{
	_cleanup_free_ struct seccomp_program *program = NULL;
	int r = wasm_filter_compile(&program, err);

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = error_sys(err, errno, "cannot set no_new_privs");
	return r < 0 ? r : seccomp_install(program, NULL, err);
}
