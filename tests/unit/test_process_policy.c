/* The process wall's decisions, without a kernel: annotations, promises by Landlock ABI, the filter, the plan. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/strbuf.h"
#include "boundary/process/policy.h"
#include "boundary/process/profile.h"
#include "boundary/process/promises.h"
#include "boundary/process/setup.h"
#include "host/seccomp_reach.h"

#define ALLOW SECCOMP_RET_ALLOW
#define REFUSE(e) (SECCOMP_RET_ERRNO | (e))

/* A configuration with one annotation below the wall's prefix; the rest of the JSON may be given. */
static struct oci_spec *spec_with(const char *key, const char *value, const char *more)
{
	struct strbuf b = STRBUF_INIT;
	struct oci_spec *spec = NULL;
	struct error err = ERROR_INIT;
	char *text;

	strbuf_addf(&b, "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"/\"},\"process\":{\"user\":{\"uid\":%u,\"gid\":%u},"
			"\"cwd\":\"/\",\"args\":[\"true\"]}",
		    geteuid(), getegid());
	if (key)
		strbuf_addf(&b, ",\"annotations\":{\"" PROCESS_ANNOTATION_PREFIX "%s\":\"%s\"}", key, value);
	strbuf_addf(&b, "%s}", more ?: "");
	text = strbuf_take(&b);
	if (oci_spec_parse(text, strlen(text), &spec, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	free(text);
	return spec;
}

static struct process_policy parsed(const char *key, const char *value)
{
	struct oci_spec *spec = spec_with(key, value, NULL);
	struct process_policy p = { 0 };
	struct error err = ERROR_INIT;

	if (process_policy_parse(spec, &p, &err) < 0)
		fail_msg("%s", err.message);
	oci_spec_free(spec);
	return p;
}

static void annotations(void **state)
{
	struct process_policy p = parsed("read-only", "/a//b/:/c/./d::/");

	assert_string_equal(p.read_only[0], "/a/b");
	assert_string_equal(p.read_only[1], "/c/d");
	assert_string_equal(p.read_only[2], "/");
	assert_null(p.read_only[3]);
	assert_true(p.system);
	assert_int_equal(p.floor, PROCESS_PROMISES_ALL);
	process_policy_free(&p);

	p = parsed("tcp-connect", "80,443,0");
	assert_int_equal(p.tcp_connect.n, 3);
	assert_int_equal(p.tcp_connect.v[1], 443);
	assert_false(p.tcp_connect.any);
	process_policy_free(&p);

	p = parsed("allow", "abstract-unix,udp");
	assert_int_equal(p.allow, PROCESS_ALLOW_ABSTRACT_UNIX | PROCESS_ALLOW_UNIX | PROCESS_ALLOW_UDP);
	process_policy_free(&p);

	p = parsed("floor", "files,system-calls");
	assert_int_equal(p.floor, PROCESS_PROMISE_FILES | PROCESS_PROMISE_CALLS);
	process_policy_free(&p);
}

static void bad_annotations(void **state)
{
	static const char *const bad[][3] = {
		{ "read-only", "relative", "relative" },   { "read-write", "/a/../b", "/a/../b" },
		{ "read-only", ":", "empty" },		   { "devices", "dev/null", "dev/null" },
		{ "tcp-connect", "80,,x", "'x'" },	   { "tcp-bind", "65536", "65536" },
		{ "tcp-bind", "-1", "-1" },		   { "allow", "everything", "everything" },
		{ "floor", "files;signals", "files;signals" }, { "system", "perhaps", "perhaps" },
		{ "readonly", "/", "unknown annotation" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct oci_spec *spec = spec_with(bad[i][0], bad[i][1], NULL);
		struct process_policy p = { 0 };
		struct error err = ERROR_INIT;

		assert_int_equal(process_policy_parse(spec, &p, &err), -EINVAL);
		assert_non_null(strstr(err.message, bad[i][2]));
		assert_non_null(strstr(err.message, bad[i][0]));
		oci_spec_free(spec);
	}
}

static unsigned missing(const char *key, const char *value, int landlock, bool seccomp)
{
	struct process_host host = { .landlock = landlock, .seccomp = seccomp };
	struct process_policy p = parsed(key, value);
	unsigned m = process_promises_missing(&p, &host);

	process_policy_free(&p);
	return m;
}

static void promises_by_kernel(void **state)
{
	assert_int_equal(missing(NULL, NULL, 7, true), 0);
	assert_int_equal(missing(NULL, NULL, 6, true), 0);
	/* Debian 12's own kernel */
	assert_int_equal(missing(NULL, NULL, 2, true), PROCESS_PROMISE_SIGNALS);
	assert_int_equal(missing("allow", "signals", 2, true), 0);
	assert_int_equal(missing("tcp-connect", "80", 3, true), PROCESS_PROMISE_SIGNALS | PROCESS_PROMISE_PORTS);
	assert_int_equal(missing("tcp-connect", "80", 4, true), PROCESS_PROMISE_SIGNALS);
	assert_int_equal(missing("devices", "/dev/dri", 4, true), PROCESS_PROMISE_SIGNALS | PROCESS_PROMISE_IOCTLS);
	assert_int_equal(missing("allow", "unix", 5, true), PROCESS_PROMISE_SIGNALS | PROCESS_PROMISE_ABSTRACT);
	assert_int_equal(missing("allow", "abstract-unix", 5, true), PROCESS_PROMISE_SIGNALS);
	assert_int_equal(missing(NULL, NULL, 0, true), PROCESS_PROMISE_FILES | PROCESS_PROMISE_SIGNALS);
	assert_int_equal(missing(NULL, NULL, 7, false), PROCESS_PROMISE_CALLS | PROCESS_PROMISE_SOCKETS |
								PROCESS_PROMISE_TERMINAL | PROCESS_PROMISE_PROCESSES |
								PROCESS_PROMISE_PORTS | PROCESS_PROMISE_ABSTRACT | PROCESS_PROMISE_IOCTLS);
}

static void a_floor_refuses_and_says_what_would_do(void **state)
{
	struct oci_spec *spec = spec_with("floor", "files,signals,terminal", NULL);
	struct process_setup s = { .host = { .landlock = 2, .seccomp = true } };
	struct error err = ERROR_INIT;

	assert_int_equal(process_policy_parse(spec, &s.policy, &err), 0);
	assert_int_equal(process_setup_check(&s, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.message, "signals (needs Landlock ABI 6"));
	assert_non_null(strstr(err.message, "floor=files,terminal"));
	s.policy.floor &= ~(unsigned)PROCESS_PROMISE_SIGNALS;
	assert_int_equal(process_setup_check(&s, &err), 0);
	process_setup_free(&s);
	oci_spec_free(spec);
}

/* ---- the filter ---- */

struct filter {
	struct seccomp_program *program;
};

static struct filter filter_of(const char *key, const char *value, int landlock, bool cgroup)
{
	struct process_host host = { .landlock = landlock, .seccomp = true, .cgroup = cgroup };
	struct process_policy p = parsed(key, value);
	struct seccomp_policy *profile = process_profile(&p, &host);
	struct filter f = { NULL };
	struct error err = ERROR_INIT;

	assert_non_null(profile);
	if (seccomp_compile(profile, &f.program, &err) < 0)
		fail_msg("%s", err.message);
	seccomp_policy_free(profile);
	process_policy_free(&p);
	return f;
}

static uint32_t ask(const struct filter *f, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct seccomp_data data = { .nr = (int)nr, .arch = AUDIT_ARCH_X86_64, .args = { a, b, c, d } };

	return seccomp_interpret(f->program->insns, f->program->n, &data);
}

#define RUBBISH 0xdeadbeef00000000ull

static void filter_basics(void **state)
{
	struct filter f = filter_of(NULL, NULL, 7, false);
	struct seccomp_data other = { .nr = 3, .arch = AUDIT_ARCH_I386 };

	assert_int_equal(ask(&f, SYS_read, 0, 0, 0, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_ptrace, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_bpf, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_keyctl, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_mount, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, 425 /* io_uring_setup */, 0, 0, 0, 0), REFUSE(ENOSYS));
	assert_int_equal(ask(&f, SYS_clone3, 0, 0, 0, 0), REFUSE(ENOSYS));
	assert_int_equal(ask(&f, SYS_clone, 0x01200011, 0, 0, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_setsid, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_prlimit64, 0, 7, 0, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_prlimit64, 1, 7, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_chmod, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, 2000, 0, 0, 0, 0), REFUSE(ENOSYS));
	assert_int_equal(ask(&f, 0x40000000, 0, 0, 0, 0), SECCOMP_RET_KILL_THREAD);
	assert_int_equal(seccomp_interpret(f.program->insns, f.program->n, &other), SECCOMP_RET_KILL_THREAD);
	free(f.program);

	f = filter_of(NULL, NULL, 7, true);
	assert_int_equal(ask(&f, SYS_setsid, 0, 0, 0, 0), ALLOW);
	free(f.program);
	f = filter_of("allow", "ptrace,metadata", 7, false);
	assert_int_equal(ask(&f, SYS_ptrace, 0, 0, 0, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_chmod, 0, 0, 0, 0), ALLOW);
	free(f.program);
}

static void filter_requests(void **state)
{
	struct filter f = filter_of(NULL, NULL, 7, false);

	assert_int_equal(ask(&f, SYS_ioctl, 0, TIOCGWINSZ, 0, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_ioctl, 0, FS_IOC_SETFLAGS, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_ioctl, 0, 0x5000940e /* BTRFS_IOC_SUBVOL_CREATE */, 0, 0), REFUSE(ENOTTY));
	assert_int_equal(ask(&f, SYS_ioctl, 0, TIOCSTI, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_ioctl, 0, RUBBISH | TIOCSTI, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_ioctl, RUBBISH, TIOCLINUX, 0, 0), REFUSE(EPERM));
	free(f.program);
	f = filter_of("devices", "/dev/x", 7, false);
	assert_int_equal(ask(&f, SYS_ioctl, 0, 0x12345678, 0, 0), ALLOW); /* Landlock's matter */
	assert_int_equal(ask(&f, SYS_ioctl, 0, TIOCSTI, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_ioctl, 0, FS_IOC_SETFLAGS, 0, 0), REFUSE(EPERM));
	free(f.program);
	f = filter_of("allow", "metadata", 7, false);
	assert_int_equal(ask(&f, SYS_ioctl, 0, FS_IOC_SETFLAGS, 0, 0), ALLOW);
	free(f.program);
}

static void filter_opening(void **state)
{
	struct filter f = filter_of(NULL, NULL, 2, false);

	assert_int_equal(ask(&f, SYS_openat, 0, 0, O_RDONLY | O_CLOEXEC, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_openat, 0, 0, O_WRONLY | O_TRUNC | O_CREAT, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_openat, 0, 0, O_RDONLY | O_TRUNC, 0), REFUSE(EACCES));
	assert_int_equal(ask(&f, SYS_open, 0, O_RDONLY | O_TRUNC | O_CLOEXEC, 0, 0), REFUSE(EACCES));
	assert_int_equal(ask(&f, SYS_openat2, 0, 0, 0, 0), REFUSE(ENOSYS));
	assert_int_equal(ask(&f, SYS_truncate, 0, 0, 0, 0), REFUSE(EPERM));
	free(f.program);
	f = filter_of(NULL, NULL, 3, false);
	assert_int_equal(ask(&f, SYS_openat2, 0, 0, 0, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_truncate, 0, 0, 0, 0), ALLOW);
	free(f.program);
}

static uint32_t ask_socket(const struct filter *f, uint64_t family, uint64_t type, uint64_t protocol)
{
	return ask(f, SYS_socket, family, type, protocol, 0);
}

static void filter_sockets(void **state)
{
	struct filter f = filter_of(NULL, NULL, 7, false);

	for (unsigned family = 0; family < 50; family++)
		for (unsigned type = 0; type < 12; type++)
			assert_int_equal(ask_socket(&f, family, type, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_connect, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_listen, 0, 0, 0, 0), REFUSE(EPERM));
	free(f.program);

	f = filter_of("tcp-connect", "80", 7, false);
	assert_int_equal(ask_socket(&f, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), ALLOW);
	assert_int_equal(ask_socket(&f, AF_INET6, SOCK_STREAM, IPPROTO_TCP), ALLOW);
	assert_int_equal(ask_socket(&f, RUBBISH | AF_INET, RUBBISH | SOCK_STREAM, RUBBISH), ALLOW);
	assert_int_equal(ask_socket(&f, AF_INET, SOCK_STREAM, 262 /* MPTCP */), REFUSE(EPERM));
	assert_int_equal(ask_socket(&f, AF_INET, SOCK_STREAM, 132 /* SCTP */), REFUSE(EPERM));
	assert_int_equal(ask_socket(&f, AF_INET, SOCK_DGRAM, 0), REFUSE(EPERM));
	assert_int_equal(ask_socket(&f, AF_INET, SOCK_RAW, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_connect, 0, 0, 0, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_bind, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_listen, 0, 0, 0, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_setsockopt, 0, IPPROTO_TCP, 1 /* TCP_NODELAY */, 0), ALLOW);
	assert_int_equal(ask(&f, SYS_setsockopt, 0, IPPROTO_TCP, 31 /* TCP_ULP */, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_sendto, 0, 0, 0, MSG_NOSIGNAL), ALLOW);
	assert_int_equal(ask(&f, SYS_sendto, 0, 0, 0, MSG_FASTOPEN), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_sendmsg, 0, 0, RUBBISH | MSG_FASTOPEN, 0), REFUSE(EPERM));
	assert_int_equal(ask(&f, SYS_sendmmsg, 0, 0, 0, MSG_FASTOPEN), REFUSE(EPERM));
	free(f.program);

	f = filter_of("allow", "udp,netlink", 7, false);
	assert_int_equal(ask_socket(&f, AF_INET, SOCK_DGRAM, IPPROTO_UDP), ALLOW);
	assert_int_equal(ask_socket(&f, AF_INET, SOCK_DGRAM, IPPROTO_ICMP), REFUSE(EPERM));
	assert_int_equal(ask_socket(&f, AF_INET, SOCK_STREAM, 0), REFUSE(EPERM));
	assert_int_equal(ask_socket(&f, AF_NETLINK, SOCK_RAW, 0), ALLOW);
	assert_int_equal(ask_socket(&f, AF_NETLINK, SOCK_RAW, 9 /* audit */), REFUSE(EPERM));
	assert_int_equal(ask_socket(&f, AF_UNIX, SOCK_STREAM, 0), REFUSE(EPERM));
	free(f.program);
}

static void a_description_tells_profiles_apart(void **state)
{
	static const struct {
		const char *key, *value;
		int landlock;
		bool cgroup;
	} cases[] = {
		{ NULL, NULL, 7, false },	   { NULL, NULL, 7, true },	    { NULL, NULL, 4, false },
		{ "devices", "/dev/x", 4, false }, { "allow", "udp", 7, false },    { "allow", "unix", 7, false },
		{ "tcp-connect", "1", 7, false },  { "tcp-bind", "1", 7, false },
	};
	char text[ARRAY_SIZE(cases)][PROCESS_PROFILE_DESCRIPTION];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct process_host host = { .landlock = cases[i].landlock, .seccomp = true, .cgroup = cases[i].cgroup };
		struct process_policy p = parsed(cases[i].key, cases[i].value);

		process_profile_describe(&p, &host, text[i]);
		process_policy_free(&p);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(text[i], text[j]);
	}
}

/* ---- grants and plan ---- */

static uint64_t granted(const struct landlock_rules *rules, const char *path)
{
	for (size_t i = 0; i < rules->n_paths; i++)
		if (strcmp(rules->paths[i].path, path) == 0)
			return rules->paths[i].access;
	return 0;
}

static void grants(void **state)
{
	struct process_setup s = { .policy = parsed("read-write", "/srv"), .host = { .landlock = 7 }, .view = PROCESS_VIEW_HOST };
	_cleanup_landlock_rules_ struct landlock_rules rules = { 0 }, image = { 0 }, chrooted = { 0 };

	assert_int_equal(process_grants(&s, "/", true, false, &rules, NULL), 0);
	assert_int_equal(granted(&rules, "/srv"), LANDLOCK_PATH_WRITE);
	assert_int_equal(granted(&rules, "/usr"), LANDLOCK_PATH_READ);
	assert_int_equal(granted(&rules, "/"), 0);
	assert_int_equal(granted(&rules, "/etc"), 0);
	assert_int_equal(granted(&rules, "/dev/tty"), 0);
	assert_int_equal(rules.handled_fs, landlock_fs_of(7));
	assert_int_equal(rules.handled_net, LANDLOCK_NET_BIND_TCP | LANDLOCK_NET_CONNECT_TCP);
	assert_int_equal(rules.scoped, LANDLOCK_SCOPED_ABSTRACT_UNIX | LANDLOCK_SCOPED_SIGNAL);

	s.view = PROCESS_VIEW_PATH;
	assert_int_equal(process_grants(&s, "/image", true, true, &image, NULL), 0);
	assert_int_equal(granted(&image, "/image"), LANDLOCK_PATH_READ);
	assert_int_equal(granted(&image, "/usr"), 0);
	assert_int_equal(granted(&image, "/dev/tty"), LANDLOCK_PATH_DEVICE);
	assert_null(image.root);

	s.view = PROCESS_VIEW_CHROOT;
	assert_int_equal(process_grants(&s, "/image", false, false, &chrooted, NULL), 0);
	assert_string_equal(chrooted.root, "/image");
	assert_int_equal(granted(&chrooted, "/"), LANDLOCK_PATH_WRITE);
	process_setup_free(&s);
}

static size_t refusals(const char *more, char *what, size_t size)
{
	struct oci_spec *spec = spec_with(NULL, NULL, more);
	struct plan plan = { .detailed = true };
	struct create_options options = CREATE_OPTIONS_INIT;
	struct error err = ERROR_INIT;
	size_t n;

	if (process_plan(spec, &options, &plan, &err) < 0)
		fail_msg("%s", err.message);
	n = plan.n_refused;
	what[0] = 0;
	for (size_t i = 0; i < plan.n_items; i++)
		if (plan.items[i].refused)
			snprintf(what + strlen(what), size - strlen(what), "%s;", plan.items[i].what);
	plan_free(&plan);
	oci_spec_free(spec);
	return n;
}

static void plan_refuses_by_name(void **state)
{
	char what[512];

	if (landlock_abi() < 6)
		skip();
	assert_int_equal(refusals(NULL, what, sizeof(what)), 0);
	assert_int_equal(refusals(",\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"}]}", what, sizeof(what)), 2);
	assert_string_equal(what, "linux.namespaces: pid;linux.namespaces: mount;");
	assert_int_equal(refusals(",\"mounts\":[{\"destination\":\"/tmp\",\"type\":\"bind\",\"source\":\"/tmp\"},"
				  "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"}]",
				  what, sizeof(what)),
			 1);
	assert_string_equal(what, "mounts[1] /proc;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(annotations),
		cmocka_unit_test(bad_annotations),
		cmocka_unit_test(promises_by_kernel),
		cmocka_unit_test(a_floor_refuses_and_says_what_would_do),
		cmocka_unit_test(filter_basics),
		cmocka_unit_test(filter_requests),
		cmocka_unit_test(filter_opening),
		cmocka_unit_test(filter_sockets),
		cmocka_unit_test(a_description_tells_profiles_apart),
		cmocka_unit_test(grants),
		cmocka_unit_test(plan_refuses_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
