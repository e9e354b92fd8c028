#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fdio.h"
#include "host/seccomp.h"
#include "host/seccomp_default.h"
#include "host/seccomp_reach.h"
#include "seccomp_policies.h"

static char base[64], dir[96];

static int setup(void **state)
{
	strcpy(base, "/tmp/rwtest.XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(dir, sizeof(dir), "%s/run/seccomp", base);
	return 0;
}

static int teardown(void **state)
{
	return remove_tree_at(AT_FDCWD, base, NULL);
}

/* The one file in the cache. */
static char *only_file(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char *path = NULL;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			assert_null(path);
			assert_true(asprintf(&path, "%s/%s", dir, e->d_name) > 0);
		}
	closedir(d);
	return path;
}

static unsigned files(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static struct seccomp_program *get(const struct seccomp_policy *p)
{
	struct seccomp_program *prog = NULL;
	struct error err = ERROR_INIT;

	if (seccomp_compile_cached(dir, p, &prog, &err) < 0)
		fail_msg("%s", err.message);
	return prog;
}

static void assert_same(const struct seccomp_program *a, const struct seccomp_program *b)
{
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->flags, b->flags);
	assert_memory_equal(a->insns, b->insns, a->n * sizeof(a->insns[0]));
}

/* Replaces what is in the file, keeping it a valid answer to "who owns it". */
static void overwrite(const char *path, long offset, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, offset), len);
	close(fd);
}

static void a_hit_gives_the_same_program(void **state)
{
	struct seccomp_policy *p = seccomp_default_policy(0);
	struct seccomp_program *first = get(p), *second = get(p), *plain = NULL;
	struct stat st;

	assert_int_equal(files(), 1);
	assert_int_equal(seccomp_compile(p, &plain, NULL), 0);
	assert_same(first, plain);
	assert_same(second, plain);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	free(first);
	free(second);
	free(plain);
	seccomp_policy_free(p);
}

static void a_hit_leaves_the_file_alone(void **state)
{
	struct seccomp_policy *a = policy_new(SECCOMP_ACT_ALLOW), *b = policy_new(SECCOMP_ACT_LOG);
	struct seccomp_program *pa, *pb;
	_cleanup_free_ char *path = NULL;
	struct stat before, after;

	pa = get(a);
	path = only_file();
	assert_int_equal(stat(path, &before), 0);
	free(get(a));
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino); /* not rebuilt */
	pb = get(b);
	assert_int_equal(files(), 2);
	assert_int_not_equal(memcmp(pa->insns, pb->insns, pa->n * sizeof(pa->insns[0])), 0);
	free(pa);
	free(pb);
	seccomp_policy_free(a);
	seccomp_policy_free(b);
}

static void every_part_of_the_policy_counts(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	struct seccomp_rule *r = policy_rule(p, SECCOMP_ACT_ALLOW, "read write");
	unsigned n = 0;

#define DIFFERS()                                                                                                      \
	do {                                                                                                           \
		free(get(p));                                                                                          \
		assert_int_equal(files(), ++n);                                                                        \
	} while (0)
	DIFFERS();
	p->has_default_errno = true;
	DIFFERS();
	p->default_errno = 5;
	DIFFERS();
	p->has_flags = true;
	DIFFERS();
	p->in_order = true;
	DIFFERS();
	strv_add(&p->flags, "SECCOMP_FILTER_FLAG_LOG");
	DIFFERS();
	strv_add(&p->architectures, "SCMP_ARCH_X86");
	DIFFERS();
	rule_arg(r, 1, SECCOMP_OP_EQ, 1, 2);
	DIFFERS();
	r->args[0].value_two = 3;
	DIFFERS();
	r->args[0].value = 3;
	DIFFERS();
	r->args[0].op = SECCOMP_OP_NE;
	DIFFERS();
	r->args[0].index = 2;
	DIFFERS();
	r->act = SECCOMP_ACT_TRACE;
	DIFFERS();
	strv_add(&r->names, "close");
	DIFFERS();
	r = policy_rule(p, SECCOMP_ACT_ALLOW, "fsync");
	DIFFERS();
	r->has_errno = true;
	r->errno_ret = 9;
	DIFFERS();
	seccomp_policy_free(p);
}

static void damaged_files_are_rebuilt(void **state)
{
	struct seccomp_policy *p = seccomp_default_policy(0);
	struct seccomp_program *good = get(p), *prog;
	_cleanup_free_ char *path = only_file();
	struct sock_filter allow = { 0x06, 0, 0, SECCOMP_RET_ALLOW };
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	for (long offset = 0; offset < st.st_size; offset += 7) {
		char byte;
		int fd = open(path, O_RDONLY);

		assert_int_equal(pread(fd, &byte, 1, offset), 1);
		close(fd);
		byte ^= 0x40;
		overwrite(path, offset, &byte, 1);
		prog = get(p);
		assert_same(prog, good);
		free(prog);
	}
	/* first instruction replaced by "allow everything" */
	overwrite(path, st.st_size - (long)(good->n * sizeof(allow)), &allow, sizeof(allow));
	prog = get(p);
	assert_same(prog, good);
	free(prog);
	assert_int_equal(truncate(path, st.st_size - 8), 0);
	prog = get(p);
	assert_same(prog, good);
	free(prog);
	assert_int_equal(truncate(path, 0), 0);
	prog = get(p);
	assert_same(prog, good);
	free(prog);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 1000); /* mended */
	free(good);
	seccomp_policy_free(p);
}

static void what_others_can_write_is_not_read(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ALLOW);
	_cleanup_free_ char *path = NULL;
	struct stat before, after;

	free(get(p));
	path = only_file();
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(chmod(path, 0666), 0);
	free(get(p));
	assert_int_equal(stat(path, &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino); /* replaced */

	assert_int_equal(unlink(path), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	free(get(p));
	assert_int_equal(files(), 0); /* neither read nor written */
	if (geteuid() == 0) {
		assert_int_equal(chmod(dir, 0700), 0);
		assert_int_equal(chown(dir, 65534, 65534), 0);
		free(get(p));
		assert_int_equal(files(), 0);
	}
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(symlink("/tmp", dir), 0);
	free(get(p));
	assert_int_equal(unlink(dir), 0);
	seccomp_policy_free(p);
}

static void links_and_pipes_are_not_read(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ALLOW);
	_cleanup_free_ char *path = NULL, *other = NULL;
	struct stat st;

	free(get(p));
	path = only_file();
	assert_true(asprintf(&other, "%s/other", base) > 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	free(get(p));
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	free(get(p));
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	seccomp_policy_free(p);
}

static void the_size_is_bounded(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);

	p->has_default_errno = true;
	for (p->default_errno = 1; p->default_errno < 100; p->default_errno++)
		free(get(p));
	assert_int_equal(files(), 64);
	seccomp_policy_free(p);
}

static void concurrent_use(void **state)
{
	struct seccomp_policy *p = policy_new(SECCOMP_ACT_ERRNO);
	pid_t pids[8];

	p->has_default_errno = true;
	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		for (int round = 0; round < 300; round++) {
			struct seccomp_data d = { .nr = 1, .arch = 0xc000003e };
			struct seccomp_program *prog = NULL;

			p->default_errno = 1 + (uint32_t)(round * 7 + i) % 90;
			if (seccomp_compile_cached(dir, p, &prog, NULL) < 0 ||
			    seccomp_interpret(prog->insns, prog->n, &d) != (SECCOMP_RET_ERRNO | p->default_errno))
				_exit(1);
			free(prog);
		}
		_exit(0);
	}
	for (int i = 0; i < 8; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_true(files() <= 64 + 8);
	seccomp_policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_hit_gives_the_same_program, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hit_leaves_the_file_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(every_part_of_the_policy_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_files_are_rebuilt, setup, teardown),
		cmocka_unit_test_setup_teardown(what_others_can_write_is_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(links_and_pipes_are_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(the_size_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(concurrent_use, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
