/* Runs a fuzz target's entry point over files and folders of inputs, so that corpora are replayed without a fuzzer. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define INPUT_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char current[512];

/* Says which input did it; the default action then ends the process. */
static void on_crash(int signal_number)
{
	fd_write_all(STDERR_FILENO, current, strlen(current));
	raise(signal_number);
}

static int replay_file(int dirfd, const char *folder, const char *name)
{
	_cleanup_free_ char *data = NULL;
	struct error err = ERROR_INIT;
	size_t len;

	snprintf(current, sizeof(current), "crash on input %s/%s\n", folder, name);
	if (file_read_at(dirfd, name, INPUT_MAX, &data, &len, &err) < 0) {
		fprintf(stderr, "%s\n", err.message);
		return -1;
	}
	LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	return 0;
}

static long replay_folder(const char *path)
{
	_cleanup_closedir_ DIR *dir = opendir(path);
	struct dirent *entry;
	long n = 0;

	if (!dir) {
		perror(path);
		return -1;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (replay_file(dirfd(dir), path, entry->d_name) < 0)
			return -1;
		n++;
	}
	return n;
}

int main(int argc, char **argv)
{
	static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	const struct sigaction action = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };
	long total = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &action, NULL);
	for (int i = 1; i < argc; i++) {
		struct stat st;
		long n;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			n = replay_folder(argv[i]);
		else
			n = replay_file(AT_FDCWD, ".", argv[i]) < 0 ? -1 : 1;
		if (n < 0)
			return 1;
		total += n;
	}
	printf("%ld inputs\n", total);
	return total > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
