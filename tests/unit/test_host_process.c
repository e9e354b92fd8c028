/* Limits, parameters, labels and number lists: what a process is given before it runs. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/bitlist.h"
#include "host/lsm.h"
#include "host/rlimit.h"
#include "host/sysctl.h"

static void rlimit_names(void **state)
{
	for (int i = 0; i < RLIM_NLIMITS; i++)
		assert_int_equal(rlimit_from_string(rlimit_to_string(i)), i);
	assert_int_equal(rlimit_from_string("RLIMIT_NOFILE"), RLIMIT_NOFILE);
	assert_int_equal(rlimit_from_string("RLIMIT_NOPE"), -EINVAL);
	assert_null(rlimit_to_string(RLIM_NLIMITS));
	assert_null(rlimit_to_string(-1));
}

static void rlimit_set(void **state)
{
	struct rlimit old, now;
	struct error err = ERROR_INIT;

	assert_int_equal(getrlimit(RLIMIT_CORE, &old), 0);
	assert_int_equal(rlimit_apply(0, RLIMIT_CORE, 0, old.rlim_max, &err), 0);
	assert_int_equal(getrlimit(RLIMIT_CORE, &now), 0);
	assert_int_equal(now.rlim_cur, 0);
	assert_int_equal(now.rlim_max, old.rlim_max);
	assert_int_equal(rlimit_apply(0, RLIMIT_CORE, 2, 1, &err), -EINVAL);
}

/* In a child without privilege, lowered first: raising it again is refused and says both values. */
static void rlimit_raised(void **state)
{
	int status, pipe_fds[2];
	char message[ERROR_MESSAGE_MAX] = "";
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		struct error err = ERROR_INIT;
		ssize_t n;

		if (rlimit_apply(0, RLIMIT_NOFILE, 64, 64, &err) < 0 || (getuid() == 0 && setuid(65534) < 0))
			_exit(2);
		if (rlimit_apply(0, RLIMIT_NOFILE, 100, 100, &err) != -EPERM)
			_exit(3);
		n = write(pipe_fds[1], err.message, strlen(err.message));
		_exit(n > 0 ? 0 : 4);
	}
	close(pipe_fds[1]);
	assert_true(read(pipe_fds[0], message, sizeof(message) - 1) > 0);
	close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(message, "RLIMIT_NOFILE: the hard limit cannot be raised from 64 to 100 without "
				     "CAP_SYS_RESOURCE; ask for at most 64");
}

static void sysctl_paths(void **state)
{
	static const struct {
		const char *key, *path;
	} good[] = {
		{ "net.ipv4.ip_forward", "net/ipv4/ip_forward" },
		{ "net/ipv4/ip_forward", "net/ipv4/ip_forward" },
		{ "net.ipv4.conf.eth0/1.mtu", "net/ipv4/conf/eth0.1/mtu" },
		{ "net/ipv4/conf/eth0.1/mtu", "net/ipv4/conf/eth0.1/mtu" },
		{ "kernel.shmmax", "kernel/shmmax" },
	};
	static const char *const bad[] = {
		"", ".", "..", "kernel", "/net/x", ".net.x", "net.", "net/", "net..x", "net/../kernel/core_pattern",
		"net/./x", "net//x", "net./.", "net.//.kernel.core_pattern", "../../etc/passwd",
	};
	char path[SYSCTL_PATH_MAX], longest[SYSCTL_PATH_MAX + 1];
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(sysctl_path(good[i].key, path, &err), 0);
		assert_string_equal(path, good[i].path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (sysctl_path(bad[i], path, &err) != -EINVAL)
			fail_msg("'%s' was taken for '%s'", bad[i], path);
	memset(longest, 'a', sizeof(longest));
	longest[1] = '.';
	longest[SYSCTL_PATH_MAX] = 0;
	assert_int_equal(sysctl_path(longest, path, &err), -EINVAL);
	longest[SYSCTL_PATH_MAX - 1] = 0;
	assert_int_equal(sysctl_path(longest, path, &err), 0);
}

static void sysctl_namespaces(void **state)
{
	assert_int_equal(sysctl_namespace("net/ipv4/ip_forward"), CLONE_NEWNET);
	assert_int_equal(sysctl_namespace("kernel/shmmax"), CLONE_NEWIPC);
	assert_int_equal(sysctl_namespace("fs/mqueue/msg_max"), CLONE_NEWIPC);
	assert_int_equal(sysctl_namespace("kernel/domainname"), CLONE_NEWUTS);
	assert_int_equal(sysctl_namespace("user/max_user_namespaces"), CLONE_NEWUSER);
	assert_int_equal(sysctl_namespace("kernel/core_pattern"), 0);
	assert_int_equal(sysctl_namespace("network/x"), 0);
	assert_int_equal(sysctl_namespace("vm/swappiness"), 0);
}

static void lists(void **state)
{
	static const char *const bad[] = { "-", "1-", "3-1", "a", "1,,2", "1 2", "0x1", "+1", "1;2", "0-3/2" };
	unsigned long bits[2];
	struct error err = ERROR_INIT;

	assert_int_equal(bitlist_parse("0-3,8, 64 - 65", bits, 128, &err), 0);
	assert_int_equal(bits[0], 0x10f);
	assert_int_equal(bits[1], 3);
	assert_int_equal(bitlist_parse("0-127", bits, 128, &err), 0);
	assert_true(bits[0] == ~0ul && bits[1] == ~0ul);
	assert_int_equal(bitlist_parse("63-64,5-5", bits, 128, &err), 0);
	assert_true(bits[0] == (1ul << 63 | 1 << 5) && bits[1] == 1);
	assert_int_equal(bitlist_parse("", bits, 128, &err), 0);
	assert_int_equal(bits[0] | bits[1], 0);
	assert_int_equal(bitlist_parse("127", bits, 128, &err), 0);
	assert_int_equal(bitlist_parse("128", bits, 128, &err), -ERANGE);
	assert_int_equal(bitlist_parse("0-99999999999999999999999999", bits, 128, &err), -ERANGE);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(bitlist_parse(bad[i], bits, 128, &err), -EINVAL);
}

static void labels_are_refused_where_nothing_enforces_them(void **state)
{
	struct error err = ERROR_INIT;

	assert_int_equal(lsm_check(NULL, NULL, NULL, &err), 0);
	assert_int_equal(lsm_check("", "", "", &err), 0);
	assert_int_equal(lsm_check("unconfined", NULL, NULL, &err), 0);
	if (!lsm_apparmor_enabled()) {
		assert_int_equal(lsm_check("some_profile", NULL, NULL, &err), -ENOTSUP);
		assert_non_null(strstr(err.message, "'some_profile'"));
	} else {
		assert_int_equal(lsm_check("some_profile", NULL, NULL, &err), 0);
	}
	if (!lsm_selinux_enabled()) {
		assert_int_equal(lsm_check(NULL, "a:b:c:s0", NULL, &err), -ENOTSUP);
		assert_non_null(strstr(err.message, "process.selinuxLabel"));
		assert_int_equal(lsm_check(NULL, NULL, "a:b:c:s0", &err), -ENOTSUP);
		assert_non_null(strstr(err.message, "linux.mountLabel"));
	}
}

static void attribute_files(void **state)
{
	struct error err = ERROR_INIT;
	_cleanup_close_ int fd = lsm_open(LSM_SELINUX_EXEC, &err);
	char big[5000];

	assert_true(fd >= 0);
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = 0;
	assert_int_equal(lsm_set(fd, LSM_SELINUX_EXEC, big, &err), -ENAMETOOLONG);
	if (!lsm_selinux_enabled() && !lsm_apparmor_enabled())
		assert_true(lsm_set(fd, LSM_SELINUX_EXEC, "a:b:c:s0", &err) < 0);
}

static void mount_contexts(void **state)
{
	_cleanup_free_ char *alone = NULL;
	_cleanup_free_ char *after = NULL;
	char *none = NULL;

	assert_true(lsm_mount_takes_context("tmpfs"));
	assert_false(lsm_mount_takes_context("proc"));
	assert_false(lsm_mount_takes_context(NULL));
	assert_int_equal(lsm_mount_data(NULL, "a:b:c:s0:c1,c2", &alone, NULL), 0);
	assert_string_equal(alone, "context=\"a:b:c:s0:c1,c2\"");
	assert_int_equal(lsm_mount_data("mode=755", "a:b:c:s0", &after, NULL), 0);
	assert_string_equal(after, "mode=755,context=\"a:b:c:s0\"");
	assert_int_equal(lsm_mount_data(NULL, "a\",size=1,x=\"", &none, NULL), -EINVAL);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rlimit_names),	     cmocka_unit_test(rlimit_set),   cmocka_unit_test(rlimit_raised),
		cmocka_unit_test(sysctl_paths),	     cmocka_unit_test(sysctl_namespaces), cmocka_unit_test(lists),
		cmocka_unit_test(labels_are_refused_where_nothing_enforces_them),
		cmocka_unit_test(attribute_files),   cmocka_unit_test(mount_contexts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
