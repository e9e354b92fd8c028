#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "host/seccomp.h"

static const struct {
	const char *name;
	unsigned bit;
} flag_names[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FLAG_WAIT_KILLABLE_RECV },
};

int seccomp_flag_from_string(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (strcmp(name, flag_names[i].name) == 0)
			return (int)flag_names[i].bit;
	return -EINVAL;
}

/* A flag the kernel knows gets as far as the missing program. */
static bool flag_known(unsigned bit)
{
	if (bit == SECCOMP_FLAG_WAIT_KILLABLE_RECV)
		bit |= SECCOMP_FLAG_NEW_LISTENER;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, bit, NULL) < 0 && errno == EFAULT;
}

size_t seccomp_flags_supported(const char *ret[8])
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (flag_known(flag_names[i].bit))
			ret[n++] = flag_names[i].name;
	ret[n] = NULL;
	return n;
}

/* What seccomp(2) wants: flags that only make sense with a listener go without one, and the reverse. */
static unsigned effective_flags(const struct seccomp_program *program, bool listener)
{
	unsigned flags = program->flags;

	if (!listener)
		return flags & ~(SECCOMP_FLAG_NEW_LISTENER | SECCOMP_FLAG_WAIT_KILLABLE_RECV);
	if (flags & SECCOMP_FLAG_TSYNC)
		flags |= SECCOMP_FLAG_TSYNC_ESRCH;
	return flags;
}

static int explain(int code, unsigned flags, struct error *err)
{
	if (code == EINVAL || code == EOPNOTSUPP) {
		for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
			if (flags & flag_names[i].bit && !flag_known(flag_names[i].bit))
				return error_set(err, EINVAL, "seccomp: this kernel does not know %s; take it out of linux.seccomp.flags",
						 flag_names[i].name);
	}
	if (code == EACCES)
		return error_set(err, EACCES,
				 "seccomp: loading a filter needs process.noNewPrivileges or CAP_SYS_ADMIN");
	if (code == EBUSY)
		return error_set(err, EBUSY, "seccomp: an enclosing filter already has a notification listener");
	return error_sys(err, code, "seccomp: cannot load the filter");
}

int seccomp_install(const struct seccomp_program *program, int *ret_listener, struct error *err)
{
	struct sock_fprog prog = { program->n, (struct sock_filter *)program->insns };
	unsigned flags = effective_flags(program, seccomp_program_listens(program));
	long r;

	if (seccomp_program_listens(program) && !ret_listener)
		return error_set(err, EINVAL, "seccomp: the filter notifies, but nobody takes its listener");
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (r < 0)
		return explain(errno, flags, err);
	if (r > 0 && !seccomp_program_listens(program))
		return error_set(err, ESRCH, "seccomp: thread %ld cannot take the filter", r);
	if (ret_listener)
		*ret_listener = seccomp_program_listens(program) ? (int)r : -1;
	return 0;
}

/* Shared by the thread that loads the filter and the helper that hands the listener over. */
struct hand_over {
	_Atomic int listener; /* -1: not yet; -2: the load failed */
	_Atomic int done;     /* 1: passed; negative errno */
	int sock;
};

#define HELPER_STACK (32u << 10)

/* As the helper shares the loader's thread-local storage, it makes system calls without libc, which would set errno. */
static long bare_syscall(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}

static long send_descriptor(int sock, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	char byte = 'L';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	__builtin_memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return bare_syscall(SYS_sendmsg, sock, (long)&msg, MSG_NOSIGNAL, 0);
}

__attribute__((no_stack_protector)) static int helper(void *arg)
{
	struct hand_over *h = arg;
	struct timespec pause = { 0, 20000 };
	int listener;
	long r;

	/* The loader cannot wake us: every system call of its may be trapped by now. */
	while ((listener = atomic_load(&h->listener)) == -1)
		bare_syscall(SYS_nanosleep, (long)&pause, 0, 0, 0);
	if (listener >= 0) {
		do
			r = send_descriptor(h->sock, listener);
		while (r == -EINTR);
		atomic_store(&h->done, r < 0 ? (int)r : 1);
	} else {
		atomic_store(&h->done, 1);
	}
	bare_syscall(SYS_exit, 0, 0, 0, 0);
	return 0;
}

int seccomp_install_and_pass(const struct seccomp_program *program, int sock, struct error *err)
{
	struct hand_over h = { .listener = -1, .sock = sock };
	struct seccomp_program *bare = NULL;
	_cleanup_free_ void *owned = NULL;
	size_t size = sizeof(*program) + program->n * sizeof(program->insns[0]);
	int listener = -1, r, done;
	char *stack;

	/* The helper must stay outside: no TSYNC. The caller has no other thread. */
	owned = bare = malloc(size);
	if (!bare)
		return error_oom(err);
	memcpy(bare, program, size);
	bare->flags &= ~SECCOMP_FLAG_TSYNC;
	stack = mmap(NULL, HELPER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return error_sys(err, errno, "seccomp: no memory for the helper's stack");
	r = clone(helper, stack + HELPER_STACK,
		  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, &h);
	if (r < 0) {
		r = error_sys(err, errno, "seccomp: cannot start the helper thread");
		munmap(stack, HELPER_STACK);
		return r;
	}
	r = seccomp_install(bare, &listener, err);
	atomic_store(&h.listener, r < 0 ? -2 : listener);
	while ((done = atomic_load(&h.done)) == 0)
		__builtin_ia32_pause();
	/* The stack stays mapped: unmapping might be trapped, and execve or exit is next. */
	if (r == 0 && done < 0)
		return error_sys(err, done, "seccomp: cannot pass the listener to the runtime");
	return r;
}
