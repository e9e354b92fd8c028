/* Runs scripts; what `ringwall wasm wast` does, without the program around it. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fdio.h"
#include "wasm/wast/wast.h"

static void failure(void *file, unsigned line, const char *message)
{
	printf("%s:%u: %s\n", (const char *)file, line, message);
}

int main(int argc, char **argv)
{
	struct wasm_wast_report report = { .failure = failure };
	unsigned broken = 0;

	for (int i = 1; i < argc; i++) {
		_cleanup_free_ char *s = NULL;
		struct error err = ERROR_INIT;
		size_t len;

		report.data = argv[i];
		if (file_read_at(AT_FDCWD, argv[i], 256u << 20, &s, &len, &err) < 0 || wasm_wast_run(s, len, &report, &err) < 0) {
			printf("%s: %s\n", argv[i], err.message);
			broken++;
		}
		fflush(stdout);
	}
	printf("%u passed, %u failed\n", report.passed, report.failed + broken);
	return report.failed + broken != 0;
}
