/*
 * ringwall-wasm: runs one WASI command. It is started inside a box's jail, opens the module and the directories that it is
 * told, puts a filter on itself that leaves only what WASI needs, and runs.
 *
 *   ringwall-wasm [--dir PATH GUEST rw|ro]... [--memory BYTES] -- MODULE [ARGUMENTS]
 *
 *   ringwall-wasm --wast FILE...
 *
 * The second form runs test scripts of the specification. Exit status: the program's; 134 after a trap; 125, 126 and 127 as everywhere in Ringwall. Listening sockets come as
 * systemd passes them ($LISTEN_FDS).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/parse.h"
#include "base/strv.h"
#include "wasmrun/filter.h"
#include "wasm/wasi/command.h"
#include "wasm/wast/wast.h"

enum { EXIT_FAILED = 125, EXIT_CANNOT_EXECUTE = 126, EXIT_NOT_FOUND = 127 };

extern char **environ;

struct directory {
	const char *path, *guest;
	bool read_only;
};

static int fail(int status, const struct error *err)
{
	fprintf(stderr, "ringwall-wasm: %s\n", err->message);
	return status;
}

static int open_directories(struct wasi *w, const struct directory *dirs, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		int fd = open(dirs[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

		if (fd < 0)
			return error_sys(err, errno, "cannot open directory '%s'", dirs[i].path);
		r = wasi_preopen_dir(w, fd, dirs[i].guest, dirs[i].read_only, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_listeners(struct wasi *w, const char *count, struct error *err)
{
	uint32_t n = 0;

	if (!count)
		return 0;
	if (parse_u32(count, &n) < 0 || n > 1000)
		return error_set(err, EINVAL, "LISTEN_FDS is '%s', not a number of sockets", count);
	for (uint32_t i = 0; i < n; i++) {
		int r = wasi_preopen_listener(w, 3 + (int)i, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The environment without what was meant for us. */
static char **guest_environment(void)
{
	static const char *const ours[] = { "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=" };
	char **env = NULL;

	for (char **e = environ; *e; e++) {
		bool skip = false;

		for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
			skip |= strncmp(*e, ours[i], strlen(ours[i])) == 0;
		if (!skip && strv_add(&env, *e) < 0)
			return NULL;
	}
	return env ? env : strv_copy(NULL);
}

/* The module is mapped, not read: only what is used of it is ever touched. */
static int map_module(const char *path, struct wasi_command *c, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	void *p;

	if (fd < 0)
		return error_sys(err, errno, "cannot open module '%s'", path);
	if (size <= 0 || size > WASM_MAX_MODULE_BYTES)
		return error_set(err, ENOEXEC, "'%s' has %lld bytes: a module has 8 to %u", path, (long long)size,
				 WASM_MAX_MODULE_BYTES);
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return error_sys(err, errno, "cannot map module '%s'", path);
	c->bytes = p;
	c->len = (size_t)size;
	return 0;
}

static int run(char **argv, const struct directory *dirs, size_t n_dirs, uint64_t memory)
{
	struct wasi_command c = { .limits = WASM_LIMITS_DEFAULT };
	_cleanup_strv_ char **env = guest_environment();
	const int stdio[3] = { 0, 1, 2 };
	struct error err = ERROR_INIT;
	uint32_t status = EXIT_CANNOT_EXECUTE;
	struct wasi *w;
	int r;

	if (!env)
		return fail(EXIT_FAILED, (error_oom(&err), &err));
	if (memory)
		c.limits.memory_bytes = memory;
	r = map_module(argv[0], &c, &err);
	if (r < 0)
		return fail(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE, &err);
	if (wasi_new(argv, env, stdio, &w, &err) < 0 || open_directories(w, dirs, n_dirs, &err) < 0 ||
	    open_listeners(w, getenv("LISTEN_FDS"), &err) < 0 || wasm_filter_install(&err) < 0)
		return fail(EXIT_FAILED, &err);
	r = wasi_run_command(w, &c, &status, &err);
	wasi_free(w);
	if (r < 0 && r != -EFAULT) /* never ran */
		return fail(EXIT_CANNOT_EXECUTE, &err);
	return r < 0 ? fail((int)status, &err) : (int)status;
}

static void report_failure(void *file, unsigned line, const char *message)
{
	printf("%s:%u: %s\n", (const char *)file, line, message);
}

static int run_scripts(char **files)
{
	struct wasm_wast_report report = { .failure = report_failure };
	unsigned broken = 0;

	for (; *files; files++) {
		_cleanup_free_ char *text = NULL;
		struct error err = ERROR_INIT;
		size_t len;

		report.data = *files;
		if (file_read_at(AT_FDCWD, *files, WASM_MAX_MODULE_BYTES, &text, &len, &err) < 0 ||
		    wasm_wast_run(text, len, &report, &err) < 0) {
			fail(0, &err);
			broken++;
		}
	}
	printf("%u passed, %u failed\n", report.passed, report.failed + broken);
	return report.failed + broken != 0;
}

int main(int argc, char **argv)
{
	_cleanup_free_ struct directory *v = calloc((size_t)argc + 1, sizeof(*v));
	struct error err = ERROR_INIT;
	uint64_t memory = 0;
	size_t n = 0;
	int i = 1;

	if (argc > 2 && strcmp(argv[1], "--wast") == 0)
		return run_scripts(argv + 2);
	for (; v && i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--dir") == 0 && i + 3 < argc) {
			v[n++] = (struct directory){ argv[i + 1], argv[i + 2], strcmp(argv[i + 3], "ro") == 0 };
			i += 3;
		} else if (strcmp(argv[i], "--memory") == 0 && i + 1 < argc && parse_size(argv[i + 1], &memory) == 0) {
			i++;
		} else {
			break;
		}
	}
	if (!v || i + 1 >= argc || strcmp(argv[i], "--") != 0) {
		error_set(&err, EINVAL, "usage: ringwall-wasm [--dir PATH GUEST rw|ro]... [--memory BYTES] -- MODULE [ARGUMENTS]");
		return fail(EXIT_FAILED, &err);
	}
	return run(argv + i + 1, v, n, memory);
}
