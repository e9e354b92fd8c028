/* A made-up /sys/fs/cgroup and /proc/self in a temporary directory, for tests. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fdio.h"
#include "host/cgroup.h"

struct tree {
	char dir[64];
	char root[80], proc[80];
};

static inline void tree_put(const struct tree *t, const char *path, const char *content)
{
	_cleanup_free_ char *full = NULL;
	_cleanup_close_ int fd = -1;
	char *slash;

	assert_true(asprintf(&full, "%s/%s", t->dir, path) > 0);
	slash = strrchr(full, '/');
	*slash = 0;
	assert_int_equal(mkdir_parents_at(AT_FDCWD, full, 0755), 0);
	*slash = '/';
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, content, strlen(content)), 0);
}

/* Empty files NAMES (blank-separated) in DIR. */
static inline void tree_put_files(const struct tree *t, const char *dir, const char *names)
{
	_cleanup_free_ char *copy = strdup(names);
	char *save = NULL;

	for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		_cleanup_free_ char *path = NULL;

		assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
		tree_put(t, path, "");
	}
}

static inline void tree_expect(const struct tree *t, const char *path, const char *content)
{
	_cleanup_free_ char *full = NULL, *text = NULL;

	assert_true(asprintf(&full, "%s/%s", t->dir, path) > 0);
	assert_int_equal(file_read_at(AT_FDCWD, full, 1 << 20, &text, NULL, NULL), 0);
	assert_string_equal(text, content);
}

static inline bool tree_has(const struct tree *t, const char *path)
{
	_cleanup_free_ char *full = NULL;

	assert_true(asprintf(&full, "%s/%s", t->dir, path) > 0);
	return access(full, F_OK) == 0;
}

static inline void tree_new(struct tree *t)
{
	strcpy(t->dir, "/tmp/ringwall-cgroup.XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->root, sizeof(t->root), "%s/cg", t->dir);
	snprintf(t->proc, sizeof(t->proc), "%s/proc", t->dir);
}

static inline void tree_free(struct tree *t)
{
	remove_tree_at(AT_FDCWD, t->dir, NULL);
}
