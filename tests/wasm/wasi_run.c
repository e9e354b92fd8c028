/* Runs a WASI command without a wall around it: wasi-run [--dir HOST:GUEST]... MODULE ARGS... */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fdio.h"
#include "wasm/wasi/command.h"

extern char **environ;

int main(int argc, char **argv)
{
	struct wasi_command c = { .limits = WASM_LIMITS_DEFAULT };
	const int stdio[3] = { 0, 1, 2 };
	struct error err = ERROR_INIT;
	_cleanup_free_ char *bytes = NULL;
	struct wasi *w;
	uint32_t status = 125;
	int i = 1;

	while (i + 1 < argc && strcmp(argv[i], "--dir") == 0)
		i += 2;
	if (i >= argc)
		return 125;
	if (wasi_new(argv + i, environ, stdio, &w, &err) < 0)
		goto fail;
	for (int k = 1; k < i; k += 2) {
		char *colon = strchr(argv[k + 1], ':');
		int fd;

		if (colon)
			*colon = 0;
		fd = open(argv[k + 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || wasi_preopen_dir(w, fd, colon ? colon + 1 : argv[k + 1], false, &err) < 0)
			goto fail;
	}
	if (file_read_at(AT_FDCWD, argv[i], WASM_MAX_MODULE_BYTES, &bytes, &c.len, &err) < 0)
		goto fail;
	c.bytes = bytes;
	if (wasi_run_command(w, &c, &status, &err) < 0)
		goto fail;
	wasi_free(w);
	return (int)status;
fail:
	fprintf(stderr, "wasi-run: %s\n", err.message);
	return (int)status;
}
