/* Resolution inside a tree that somebody else wrote: no link leads out of it, whatever it says. */
#include "host/path.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fdio.h"

static char top[] = "/tmp/test-path.XXXXXX";
static int root_fd = -1;

/* The tree is <top>/root; <top>/outside must never be touched. */
static int make_tree(void **state)
{
	char path[128];

	if (!mkdtemp(top))
		return -1;
	snprintf(path, sizeof(path), "%s/root", top);
	if (mkdir(path, 0755) < 0)
		return -1;
	root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/outside", top);
	return root_fd < 0 || mkdir(path, 0755) < 0;
}

static int remove_tree(void **state)
{
	close(root_fd);
	return remove_tree_at(AT_FDCWD, top, NULL);
}

static void assert_same(int fd, const char *path_in_root)
{
	struct stat a, b;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstatat(root_fd, path_in_root, &b, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(a.st_dev == b.st_dev && a.st_ino == b.st_ino);
	close(fd);
}

static void test_directories_are_made(void **state)
{
	assert_same(path_make_directory(root_fd, "/a/b/c", 0755, NULL), "a/b/c");
	assert_same(path_make_directory(root_fd, "a//b/./c/", 0755, NULL), "a/b/c");
	assert_same(path_make_directory(root_fd, "/", 0755, NULL), ".");
	assert_same(path_make_directory(root_fd, "/../../a/x", 0755, NULL), "a/x");
}

static void test_links_stay_inside(void **state)
{
	char absolute[128];

	snprintf(absolute, sizeof(absolute), "%s/outside", top);
	assert_int_equal(mkdirat(root_fd, "in", 0755), 0);
	assert_int_equal(symlinkat("/in", root_fd, "abs"), 0);
	assert_int_equal(symlinkat("../../../../in", root_fd, "up"), 0);
	assert_int_equal(symlinkat(absolute, root_fd, "out"), 0);
	assert_int_equal(symlinkat("../outside", root_fd, "near"), 0);

	assert_same(path_lookup(root_fd, "/abs", false), "in");
	assert_same(path_lookup(root_fd, "/up", false), "in");
	assert_same(path_lookup(root_fd, "/abs", true), "abs");
	assert_int_equal(path_lookup(root_fd, "/out", false), -ENOENT);
	assert_int_equal(path_lookup(root_fd, "/near", false), -ENOENT);
	/* What dangles is made, inside. */
	assert_same(path_make_directory(root_fd, "/near/d", 0755, NULL), "outside/d");
	assert_int_equal(faccessat(AT_FDCWD, absolute, F_OK, 0), 0);
	strcat(absolute, "/d");
	assert_int_equal(faccessat(AT_FDCWD, absolute, F_OK, 0), -1);
}

static void test_link_loops_end(void **state)
{
	assert_int_equal(symlinkat("loop2", root_fd, "loop1"), 0);
	assert_int_equal(symlinkat("loop1", root_fd, "loop2"), 0);
	assert_int_equal(path_make_directory(root_fd, "/loop1/x", 0755, NULL), -ELOOP);
	assert_int_equal(symlinkat("grow/x", root_fd, "grow"), 0);
	assert_true(path_make_directory(root_fd, "/grow/y", 0755, NULL) < 0);
}

static void test_files(void **state)
{
	const char *name;

	assert_same(path_make_file(root_fd, "/f/g/file", 0644, NULL), "f/g/file");
	assert_same(path_make_file(root_fd, "/f/g/file", 0644, NULL), "f/g/file"); /* is there already */
	assert_true(path_make_file(root_fd, "/f/g/file/below", 0644, NULL) < 0);
	assert_true(path_make_directory(root_fd, "/f/g/file", 0755, NULL) < 0);
	assert_int_equal(path_make_parent(root_fd, "/", 0755, &name, NULL), -EINVAL);
	assert_int_equal(path_make_parent(root_fd, "/a/..", 0755, &name, NULL), -EINVAL);
	/* A dangling link is no place for a file. */
	assert_int_equal(symlinkat("/nowhere", root_fd, "dangling"), 0);
	assert_true(path_make_file(root_fd, "/dangling", 0644, NULL) < 0);
	assert_int_equal(faccessat(AT_FDCWD, "/nowhere", F_OK, 0), -1);
}

static void test_magic_links_are_refused(void **state)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(proc >= 0);
	assert_int_equal(path_lookup(proc, "/self/root/etc", false), -ELOOP);
	assert_int_equal(path_lookup(proc, "/self/exe", false), -ELOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directories_are_made), cmocka_unit_test(test_links_stay_inside),
		cmocka_unit_test(test_link_loops_end),	     cmocka_unit_test(test_files),
		cmocka_unit_test(test_magic_links_are_refused),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
