#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"

/* Deeper than there are descriptors, and deeper than PATH_MAX, as a hostile archive can make it. */
static void deep_trees_are_removed(void **state)
{
	char top[] = "/tmp/ringwall-test-fdio.XXXXXX";
	int fd;

	assert_non_null(mkdtemp(top));
	fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "deep", 0700), 0);
		assert_int_equal(symlinkat("/", fd, "link"), 0);
		next = openat(fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(remove_tree_at(AT_FDCWD, top, NULL), 0);
	assert_int_equal(access(top, F_OK), -1);
	assert_int_equal(access("/etc", F_OK), 0);
}

static void removing_what_is_not_there_is_fine(void **state)
{
	assert_int_equal(remove_tree_at(AT_FDCWD, "/tmp/ringwall-no-such-file", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deep_trees_are_removed),
		cmocka_unit_test(removing_what_is_not_there_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
