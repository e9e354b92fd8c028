/* Landlock rulesets against the kernel: what is granted works, what is not fails, and fails only because of the ruleset. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fdio.h"
#include "host/landlock.h"

static char base[64];

static void put(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	assert_int_equal(file_replace_at(AT_FDCWD, path, text, strlen(text), 0644, NULL), 0);
}

static int setup(void **state)
{
	char path[128];

	if (landlock_abi() == 0) {
		print_message("no Landlock on this kernel\n");
		skip();
	}
	strcpy(base, "/tmp/rwtest.XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(path, sizeof(path), "%s/ro", base);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/rw", base);
	mkdir(path, 0755);
	put("ro/file", "x");
	put("rw/file", "x");
	put("hidden", "x");
	return 0;
}

static int teardown(void **state)
{
	return remove_tree_at(AT_FDCWD, base, NULL);
}

static int open_named(const char *name, int flags)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", base, name);
	fd = open(path, flags, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static struct landlock_rules all_handled(void)
{
	int abi = landlock_abi();

	return (struct landlock_rules){ landlock_fs_of(abi), landlock_net_of(abi), landlock_scopes_of(abi) };
}

/* Runs BODY in a child, under RULES unless NULL; its exit status. */
static int in_child(const struct landlock_rules *rules, int (*body)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (rules) {
			struct error err = ERROR_INIT;
			int fd = landlock_make_ruleset(rules, &err);

			if (fd < 0 || landlock_enforce(fd, &err) < 0) {
				fprintf(stderr, "%s\n", err.message);
				_exit(99);
			}
		}
		_exit(body());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* One bit for each attempt that succeeded. */
static int file_attempts(void)
{
	int got = 0;
	char path[128];

	got |= (open_named("ro/file", O_RDONLY) == 0) << 0;
	got |= (open_named("rw/file", O_RDWR) == 0) << 1;
	got |= (open_named("rw/new", O_WRONLY | O_CREAT) == 0) << 2;
	got |= (open_named("ro/file", O_WRONLY) == 0) << 3;
	got |= (open_named("ro/new", O_WRONLY | O_CREAT) == 0) << 4;
	got |= (open_named("hidden", O_RDONLY) == 0) << 5;
	snprintf(path, sizeof(path), "%s/ro/file", base);
	got |= (truncate(path, 1) == 0) << 6;
	got |= (open_named("ro/file", O_RDONLY | O_TRUNC) == 0) << 7;
	return got;
}

static void files(void **state)
{
	_cleanup_landlock_rules_ struct landlock_rules rules = all_handled();
	char path[128];

	snprintf(path, sizeof(path), "%s/ro", base);
	assert_int_equal(landlock_grant_path(&rules, path, LANDLOCK_PATH_READ, false), 0);
	snprintf(path, sizeof(path), "%s/rw", base);
	assert_int_equal(landlock_grant_path(&rules, path, LANDLOCK_PATH_WRITE, false), 0);
	assert_int_equal(landlock_grant_path(&rules, "/no/such/path", LANDLOCK_PATH_READ, true), 0);
	assert_int_equal(in_child(NULL, file_attempts), 0xff);
	if (landlock_abi() >= 3)
		assert_int_equal(in_child(&rules, file_attempts), 0x07);
	else
		assert_int_equal(in_child(&rules, file_attempts) & 0x3f, 0x07);
}

static int single_file(void)
{
	return (open_named("rw/file", O_RDWR) == 0) | (open_named("rw/new", O_WRONLY | O_CREAT) == 0) << 1;
}

/* Directory rights on a file's rule are left out instead of failing. */
static void a_file_can_be_granted(void **state)
{
	_cleanup_landlock_rules_ struct landlock_rules rules = all_handled();
	char path[128];

	snprintf(path, sizeof(path), "%s/rw/file", base);
	landlock_grant_path(&rules, path, LANDLOCK_PATH_WRITE, false);
	assert_int_equal(in_child(NULL, single_file), 3);
	assert_int_equal(in_child(&rules, single_file), 1);
}

static void a_missing_path_is_named(void **state)
{
	_cleanup_landlock_rules_ struct landlock_rules rules = all_handled();
	struct error err = ERROR_INIT;

	landlock_grant_path(&rules, "/no/such/path", LANDLOCK_PATH_READ, false);
	assert_int_equal(landlock_make_ruleset(&rules, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/no/such/path"));
}

static uint16_t listening_port(int *fd)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(*fd, 8), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static uint16_t port_a, port_b;

static int try_connect(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static int connect_attempts(void)
{
	return try_connect(port_a) | try_connect(port_b) << 1;
}

static void ports(void **state)
{
	_cleanup_landlock_rules_ struct landlock_rules rules = all_handled();
	int fd_a, fd_b;

	if (landlock_abi() < 4)
		skip();
	port_a = listening_port(&fd_a);
	port_b = listening_port(&fd_b);
	landlock_grant_port(&rules, port_a, LANDLOCK_NET_CONNECT_TCP);
	assert_int_equal(in_child(NULL, connect_attempts), 3);
	assert_int_equal(in_child(&rules, connect_attempts), 1);
	close(fd_a);
	close(fd_b);
}

static pid_t outsider;

static int scope_attempts(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "rwtest-%d", (int)getppid());

	return (connect(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0) |
	       (kill(outsider, 0) == 0) << 1;
}

static void scopes(void **state)
{
	_cleanup_landlock_rules_ struct landlock_rules rules = all_handled();
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "rwtest-%d", (int)getpid());

	if (landlock_abi() < 6)
		skip();
	assert_int_equal(bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)), 0);
	assert_int_equal(listen(fd, 8), 0);
	outsider = getpid();
	assert_int_equal(in_child(NULL, scope_attempts), 3);
	assert_int_equal(in_child(&rules, scope_attempts), 0);
}

static int device_attempts(void)
{
	_cleanup_close_ int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int n;

	return (fd >= 0) | (fd >= 0 && ioctl(fd, TIOCGPTN, &n) == 0) << 1;
}

static void device_ioctls(void **state)
{
	_cleanup_landlock_rules_ struct landlock_rules without = all_handled(), with = all_handled();

	if (landlock_abi() < 5)
		skip();
	landlock_grant_path(&without, "/dev", LANDLOCK_PATH_WRITE, false);
	landlock_grant_path(&with, "/dev", LANDLOCK_PATH_DEVICE, false);
	assert_int_equal(in_child(&without, device_attempts), 1);
	assert_int_equal(in_child(&with, device_attempts), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_can_be_granted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_path_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(ports, setup, teardown),
		cmocka_unit_test_setup_teardown(scopes, setup, teardown),
		cmocka_unit_test_setup_teardown(device_ioctls, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
