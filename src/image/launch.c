/* Starting ringwall-image, which holds the code that parses hostile archives and talks to networks. */
#include "image/store.h"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/strv.h"
#include "image/base_image.h"

extern char **environ;

/* Where files that belong to the program may be, as seen from the folder of the running executable. */
static const char *const places[] = {"%s/%s", "%s/src/image/%s", "%s/../libexec/ringwall/%s", "%s/../share/ringwall/%s",
				     "%s/../../share/ringwall/%s"};

int image_helper_path(const char *name, char **ret, struct error *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return error_sys(err, errno, "cannot read /proc/self/exe to find '%s'", name);
	self[n] = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *path = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		if (asprintf(&path, places[i], self, name) < 0)
			return error_oom(err);
#pragma GCC diagnostic pop
		if (access(path, R_OK) == 0) {
			*ret = take_ptr(path);
			return 0;
		}
	}
	return error_set(err, ENOENT,
			 "'%s' was not found beside '%s' nor in ../libexec/ringwall: install ringwall whole", name,
			 self);
}

int image_helper_run(const char *store_path, char *const *argv, struct error *err)
{
	_cleanup_free_ char *program = NULL;
	posix_spawn_file_actions_t actions;
	_cleanup_strv_ char **args = NULL;
	int r, status;
	pid_t pid;

	r = image_helper_path("ringwall-image", &program, err);
	if (r < 0)
		return r;
	if (strv_add(&args, "ringwall-image") < 0 ||
	    (store_path && (strv_add(&args, "--store") < 0 || strv_add(&args, store_path) < 0)) ||
	    strv_extend(&args, argv) < 0)
		return error_oom(err);
	/* what it prints is for whoever calls it by hand: our standard output is the workload's */
	r = posix_spawn_file_actions_init(&actions);
	if (r == 0) {
		r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
		if (r == 0)
			r = posix_spawn(&pid, program, &actions, NULL, args, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	if (r != 0)
		return error_sys(err, r, "cannot start '%s'", program);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot wait for '%s'", program);
	if (WIFSIGNALED(status))
		return error_set(err, EIO, "'%s' was killed by signal %d", program, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return error_set(err, EIO, "'ringwall-image %s' failed", argv[0]);
	return 0;
}

/* Whether the store has this version's built-in image. */
static bool has_base(struct image_store *store)
{
	_cleanup_image_ struct image image = {0};

	if (image_store_resolve(store, IMAGE_BASE_NAME, NULL, &image, NULL) < 0)
		return false;
	return strcmp(image.digest, IMAGE_BASE_DIGEST) == 0;
}

int image_store_open_with_base(const char *path, struct image_store **ret, struct error *err)
{
	static char load[] = "load", quiet[] = "--quiet", builtin[] = "--builtin";
	_cleanup_image_store_ struct image_store *store = NULL;
	char *argv[] = {load, quiet, builtin, NULL};
	int r = image_store_open(path, &store, err);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r < 0 || !has_base(store)) {
		r = image_helper_run(store ? image_store_path(store) : path, argv, err);
		if (r < 0) {
			error_prefix(err, "cannot unpack the built-in image");
			return r;
		}
	}
	if (!store && (r = image_store_open(path, &store, err)) < 0)
		return r;
	*ret = take_ptr(store);
	return 0;
}
