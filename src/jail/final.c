#include "jail/final.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "jail/channel.h"

#define MFD_EXEC_ 0x10u /* Linux 6.3 */
#define STEPS_MAX 80 /* 64 ambient capabilities and a handful of others */

/* One system call of the list, and what to say when it fails. */
struct call {
	long number;
	unsigned long args[6];
	struct report *report;
};

/* Short: every page that is written here is a fault more. */
#define REPORT_TEXT_MAX 256

struct report {
	long channel, len;
	struct {
		uint32_t type;
		int32_t code, exit_status;
		char text[REPORT_TEXT_MAX];
	} message; /* the head of struct channel_message */
};

/* Everything that must outlive our own data, in one mapping after the page of code. */
struct afterlife {
	struct call calls[STEPS_MAX];
	struct report exec_report, caps_report, ambient_report, filter_report, leave_report;
	struct __user_cap_header_struct cap_header;
	struct __user_cap_data_struct cap_data[2];
	struct sock_fprog filter;
	struct prctl_mm_map map;
	size_t n;
	char *free; /* what follows the struct: strings, vectors, the filter's instructions */
};

#if defined(__x86_64__)
/*
 * In: rdi the first struct call. Makes the calls in turn; the last is execve, which does not return. When one fails, its
 * report gets the errno, is sent, and the process ends.
 */
__asm__(".pushsection .text.final_code,\"ax\",@progbits\n"
	".globl final_code_begin, final_code_end\n"
	"final_code_begin:\n"
	"	mov	%rdi, %rbx\n"
	"1:	mov	(%rbx), %rax\n"
	"	mov	8(%rbx), %rdi\n"
	"	mov	16(%rbx), %rsi\n"
	"	mov	24(%rbx), %rdx\n"
	"	mov	32(%rbx), %r10\n"
	"	mov	40(%rbx), %r8\n"
	"	mov	48(%rbx), %r9\n"
	"	syscall\n"
	"	test	%rax, %rax\n"
	"	js	2f\n"
	"	add	$64, %rbx\n"
	"	jmp	1b\n"
	"2:	neg	%rax\n"
	"	mov	56(%rbx), %rcx\n"
	"	mov	%eax, 20(%rcx)\n" /* report.message.code */
	"	mov	(%rcx), %rdi\n"
	"	mov	8(%rcx), %rdx\n"
	"	lea	16(%rcx), %rsi\n"
	"	mov	$1, %eax\n" /* write */
	"	syscall\n"
	"	mov	$126, %edi\n"
	"	mov	$231, %eax\n" /* exit_group */
	"	syscall\n"
	"final_code_end:\n"
	".popsection\n");
#else
#error "final_code is to be written for this processor"
#endif

extern const char final_code_begin[], final_code_end[];
extern const char __executable_start[], _end[];

_Static_assert(sizeof(struct call) == 64 && offsetof(struct call, report) == 56, "as the code has it");
_Static_assert(offsetof(struct report, message.code) == 20, "as the code has it");
_Static_assert(offsetof(struct report, message.text) - offsetof(struct report, message) == offsetof(struct channel_message, text),
	       "one layout");

bool final_step_possible(void)
{
	unsigned size;

	return prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0;
}

static size_t vector_size(char *const *v)
{
	size_t size = sizeof(char *);

	for (; v && *v; v++)
		size += sizeof(char *) + strlen(*v) + 1;
	return size;
}

static void *put(struct afterlife *a, const void *data, size_t len)
{
	void *p = memcpy(a->free, data, len);

	a->free += (len + 7) & ~(size_t)7;
	return p;
}

static char **put_vector(struct afterlife *a, char *const *v)
{
	char **copy = (char **)(void *)a->free;
	size_t n = 0;

	while (v && v[n])
		n++;
	a->free += (n + 1) * sizeof(*copy);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(v[i]) + 1;

		copy[i] = memcpy(a->free, v[i], len);
		a->free += len;
	}
	copy[n] = NULL;
	a->free = (char *)(((uintptr_t)a->free + 7) & ~(uintptr_t)7);
	return copy;
}

static void add(struct afterlife *a, struct report *report, long number, unsigned long a0, unsigned long a1, unsigned long a2,
		unsigned long a3, unsigned long a4)
{
	a->calls[a->n++] = (struct call){ number, { a0, a1, a2, a3, a4, 0 }, report };
}

static unsigned long pointer(const void *p)
{
	return (unsigned long)(uintptr_t)p;
}

static void set_report(struct report *r, int channel, enum channel_message_type type, const char *what, const char *which)
{
	int n = snprintf(r->message.text, sizeof(r->message.text), which ? "%s '%s'" : "%s", what, which);

	n = MIN(n, (int)sizeof(r->message.text) - 1);
	r->channel = channel;
	r->len = (long)offsetof(struct channel_message, text) + n + 1;
	r->message.type = type;
}

/* An empty file that may be executed, as far as anybody could tell. */
static int empty_program(const char *path)
{
	int fd = memfd_create("left", MFD_CLOEXEC | MFD_EXEC_);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("left", MFD_CLOEXEC);
	if (fd < 0) /* vm.memfd_noexec=2: the workload's own program then */
		fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void leave_program(struct afterlife *a, int exe_fd)
{
	uintptr_t begin = (uintptr_t)__executable_start & ~(uintptr_t)4095, end = ((uintptr_t)_end + 4095) & ~(uintptr_t)4095;
	uint64_t here = (uint64_t)(uintptr_t)a;

	a->map = (struct prctl_mm_map){
		.start_code = here,  .end_code = here + 1, .start_data = here, .end_data = here,  .start_brk = here, .brk = here,
		.start_stack = here, .arg_start = here,    .arg_end = here,    .env_start = here, .env_end = here,
		.exe_fd = (uint32_t)exe_fd,
	};
	add(a, &a->leave_report, SYS_munmap, begin, end - begin, 0, 0, 0);
	add(a, &a->leave_report, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, pointer(&a->map), sizeof(a->map), 0);
}

static void drop_capabilities(struct afterlife *a, const struct cap_sets *s)
{
	a->cap_header.version = _LINUX_CAPABILITY_VERSION_3;
	a->cap_data[0] = (struct __user_cap_data_struct){ (uint32_t)s->effective, (uint32_t)s->permitted, (uint32_t)s->inheritable };
	a->cap_data[1] = (struct __user_cap_data_struct){ (uint32_t)(s->effective >> 32), (uint32_t)(s->permitted >> 32),
							  (uint32_t)(s->inheritable >> 32) };
	add(a, &a->caps_report, SYS_capset, pointer(&a->cap_header), pointer(a->cap_data), 0, 0, 0);
	for (unsigned cap = 0; cap < 64; cap++)
		if (s->ambient & 1ull << cap)
			add(a, &a->ambient_report, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

static void load_filter(struct afterlife *a, const struct seccomp_program *filter)
{
	if (!filter)
		return;
	a->filter.len = filter->n;
	a->filter.filter = put(a, filter->insns, filter->n * sizeof(filter->insns[0]));
	add(a, &a->filter_report, SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, pointer(&a->filter), 0, 0);
}

static void fill(struct afterlife *a, const struct final_step *f, int exe_fd)
{
	char *path, **argv, **env;

	a->free = (char *)(a + 1);
	path = put(a, f->path, strlen(f->path) + 1);
	argv = put_vector(a, f->argv);
	env = put_vector(a, f->env);
	set_report(&a->exec_report, f->channel, CHANNEL_EXEC_ERROR, "cannot execute", f->path);
	set_report(&a->caps_report, f->channel, CHANNEL_SYS_ERROR, "cannot set the capabilities", NULL);
	set_report(&a->ambient_report, f->channel, CHANNEL_SYS_ERROR, "cannot make a capability ambient", NULL);
	set_report(&a->filter_report, f->channel, CHANNEL_SYS_ERROR, "cannot load the seccomp filter", NULL);
	set_report(&a->leave_report, f->channel, CHANNEL_SYS_ERROR, "cannot leave the runtime's program", NULL);
	leave_program(a, exe_fd);
	if (f->filter_first)
		load_filter(a, f->filter);
	drop_capabilities(a, f->caps);
	if (!f->filter_first)
		load_filter(a, f->filter);
	add(a, &a->exec_report, SYS_execve, pointer(path), pointer(argv), pointer(env), 0, 0);
}

int final_step_take(const struct final_step *f, struct error *err)
{
	size_t filter_size = f->filter ? f->filter->n * sizeof(f->filter->insns[0]) : 0;
	size_t size = 4096 + sizeof(struct afterlife) + strlen(f->path) + vector_size(f->argv) + vector_size(f->env) + filter_size + 64;
	_cleanup_close_ int exe_fd = empty_program(f->path);
	struct afterlife *a;
	char *code;

	if (exe_fd < 0)
		return error_sys(err, exe_fd, "cannot make an empty file");
	code = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		return error_sys(err, errno, "cannot map memory for the last step");
	memcpy(code, final_code_begin, (size_t)(final_code_end - final_code_begin));
	a = (struct afterlife *)(void *)(code + 4096);
	fill(a, f, exe_fd);
	if (mprotect(code, 4096, PROT_READ | PROT_EXEC) < 0)
		return error_sys(err, errno, "cannot map code for the last step");
	((void (*)(struct call *))(void *)code)(a->calls);
	__builtin_unreachable();
}
