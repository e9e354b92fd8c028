#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/fdio.h"
#include "base/log.h"
#include "oci/hooks.h"
#include "oci/spec_build.h"

struct fixture {
	char dir[64];
	struct oci_spec *spec;
	struct oci_hooks *hooks;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	strcpy(f->dir, "/tmp/test-hooks-XXXXXX");
	f->spec = calloc(1, sizeof(*f->spec));
	if (!f->spec || !mkdtemp(f->dir))
		return -1;
	f->hooks = &f->spec->hooks.prestart;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int r = remove_tree_at(AT_FDCWD, f->dir, NULL);

	oci_spec_free(f->spec);
	free(f);
	return r;
}

/* A hook that runs SCRIPT with the fixture's folder as $1. */
static void add(struct fixture *f, const char *script, int64_t timeout)
{
	char path[] = "/bin/sh", option[] = "-c", name[] = "hook", *body = strdup(script);
	char *const args[] = { name, option, body, name, f->dir, NULL };

	assert_int_equal(oci_add_hook(f->hooks, path, args, NULL, timeout), 0);
	free(body);
}

static char *result(struct fixture *f, const char *name)
{
	char path[128], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return file_read_at(AT_FDCWD, path, 1 << 20, &text, NULL, NULL) < 0 ? NULL : text;
}

static int run(struct fixture *f, struct error *err)
{
	return oci_hooks_run(f->hooks, "prestart", "{\"id\": \"box\"}", err);
}

static void state_argv_and_environment(void **state)
{
	char path[] = "/bin/sh", zero[] = "zero", option[] = "-c", variable[] = "ONLY=this";
	char script[] = "cat >$1/state; echo $0 >$1/zero; env >$1/env";
	struct fixture *f = *state;
	char *const args[] = { zero, option, script, zero, f->dir, NULL }, *const env[] = { variable, NULL };
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *name = NULL;
	_cleanup_free_ char *environment = NULL;

	assert_int_equal(setenv("RINGWALL_TEST_LEAK", "1", 1), 0);
	assert_int_equal(oci_add_hook(f->hooks, path, args, env, 0), 0);
	assert_int_equal(run(f, NULL), 0);
	text = result(f, "state");
	assert_string_equal(text, "{\"id\": \"box\"}");
	name = result(f, "zero");
	assert_string_equal(name, "zero\n");
	environment = result(f, "env");
	assert_non_null(strstr(environment, "ONLY=this"));
	assert_null(strstr(environment, "RINGWALL_TEST_LEAK"));
}

static void in_order_until_one_fails(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	_cleanup_free_ char *one = NULL;
	_cleanup_free_ char *three = NULL;

	add(f, "echo 1 >$1/one", 0);
	add(f, "echo noise; echo 'no such bridge' >&2; exit 3", 0);
	add(f, "echo 3 >$1/three", 0);
	assert_int_equal(run(f, &err), -ECANCELED);
	assert_string_equal(err.message, "prestart hook 1, '/bin/sh', ended with exit status 3: noise no such bridge");
	one = result(f, "one");
	three = result(f, "three");
	assert_non_null(one);
	assert_null(three);
}

static void count_warning(void *data, enum log_level level, const char *message)
{
	++*(int *)data;
}

static void failures_that_are_only_warnings(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *two = NULL;
	int warnings = 0;

	log_set_sink(count_warning, &warnings, LOG_LEVEL_WARN);
	add(f, "exit 1", 0);
	add(f, "echo 2 >$1/two", 0);
	oci_hooks_run_all(f->hooks, "poststop", "{}");
	log_set_sink(NULL, NULL, LOG_LEVEL_WARN);
	two = result(f, "two");
	assert_non_null(two);
	assert_int_equal(warnings, 1);
}

static void timeout_kills_the_group(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	_cleanup_free_ char *pid = NULL;

	add(f, "echo started; sleep 1000 & echo $! >$1/pid; wait", 1);
	assert_int_equal(run(f, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.message, "was killed after its timeout of 1 s: started"));
	pid = result(f, "pid");
	for (int i = 0; i < 500 && kill(atoi(pid), 0) == 0; i++) { /* a killed orphan may stay a zombie of a lazy init */
		char path[64], *stat = NULL;
		struct timespec tick = { 0, 10000000 };
		bool zombie;

		snprintf(path, sizeof(path), "/proc/%d/stat", atoi(pid));
		zombie = file_read_at(AT_FDCWD, path, 4096, &stat, NULL, NULL) == 0 && strstr(stat, ") Z ");
		free(stat);
		if (zombie)
			return;
		nanosleep(&tick, NULL);
	}
	assert_int_equal(kill(atoi(pid), 0), -1);
}

static void killed_by_a_signal(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	add(f, "kill -TERM $$", 0);
	assert_int_equal(run(f, &err), -ECANCELED);
	assert_non_null(strstr(err.message, "was killed by signal 15"));
}

static void not_executable(void **state)
{
	char missing[] = "/nonexistent/hook", plain[96];
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	snprintf(plain, sizeof(plain), "%s/plain", f->dir);
	assert_int_equal(file_replace_at(AT_FDCWD, plain, "x", 1, 0600, NULL), 0);
	assert_int_equal(oci_add_hook(f->hooks, missing, NULL, NULL, 0), 0);
	assert_int_equal(run(f, &err), -ENOENT);
	assert_non_null(strstr(err.message, "'/nonexistent/hook', cannot be executed: No such file"));
	assert_int_equal(oci_set_string(&f->hooks->v[0].path, plain), 0);
	assert_int_equal(run(f, &err), -EACCES);
}

/* A hook that leaves a daemon with its output behind does not hold us up. */
static void daemon_left_behind(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *pid = NULL;

	add(f, "sleep 1000 & echo $! >$1/pid", 0);
	assert_int_equal(run(f, NULL), 0);
	pid = result(f, "pid");
	assert_int_equal(kill(atoi(pid), SIGKILL), 0);
}

/* More output than a pipe holds, and a state that is never read. */
static void floods(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *big = malloc(1 << 20);
	struct error err = ERROR_INIT;

	memset(big, 'x', (1 << 20) - 1);
	big[(1 << 20) - 1] = 0;
	add(f, "head -c 300000 /dev/zero; echo end >&2; exit 1", 0);
	assert_int_equal(oci_hooks_run(f->hooks, "prestart", big, &err), -ECANCELED);
	assert_non_null(strstr(err.message, "end"));
}

static void no_descriptors_leak(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int open_here = open("/", O_RDONLY | O_DIRECTORY); /* without O_CLOEXEC */
	_cleanup_free_ char *fds = NULL;

	/* the shell's own redirection takes one from 10 on */
	add(f, "for fd in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done >$1/fds", 0);
	assert_in_range(open_here, 3, 9);
	assert_int_equal(run(f, NULL), 0);
	fds = result(f, "fds");
	assert_string_equal(fds, "0\n1\n2\n");
}

/* Called with 0, 1 and 2 closed, as in a container's child; and with signals ignored and blocked. */
static void hostile_surroundings(void **state)
{
	struct fixture *f = *state;
	int saved[3];
	sigset_t all, old;
	int r;

	add(f, "cat >$1/state; trap 'echo yes >$1/trapped' PIPE; kill -PIPE $$; echo out; exit 0", 0);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 20);
		close(i);
	}
	r = run(f, NULL);
	for (int i = 0; i < 3; i++) {
		dup2(saved[i], i);
		close(saved[i]);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(r, 0);
	char *text = result(f, "state");
	assert_string_equal(text, "{\"id\": \"box\"}");
	free(text);
	text = result(f, "trapped"); /* an ignored signal could not have been trapped */
	assert_non_null(text);
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(state_argv_and_environment),
		TEST(in_order_until_one_fails),
		TEST(failures_that_are_only_warnings),
		TEST(timeout_kills_the_group),
		TEST(killed_by_a_signal),
		TEST(not_executable),
		TEST(daemon_left_behind),
		TEST(floods),
		TEST(no_descriptors_leak),
		TEST(hostile_surroundings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
