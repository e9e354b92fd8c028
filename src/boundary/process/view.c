/*
 * A program in a directory that is not made its root: it is executed by its host path. That works for a program that
 * needs no loader; one that does would get the host's loader and libraries, and a script the host's interpreter.
 */
#include <elf.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fdio.h"
#include "base/strv.h"
#include "boundary/process/process.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND 127

static int open_in(int root_fd, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int host_path(int fd, char **ret, struct error *err)
{
	char link[32], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	if (n < 0 || n == (ssize_t)sizeof(path))
		return error_sys(err, n < 0 ? errno : ENAMETOOLONG, "cannot tell the path of the program");
	*ret = strndup(path, (size_t)n);
	return *ret ? 0 : error_oom(err);
}

static bool has_interpreter(int fd, const Elf64_Ehdr *e)
{
	for (unsigned i = 0; i < e->e_phnum && i < 64; i++) {
		Elf64_Phdr p;

		if (pread(fd, &p, sizeof(p), (off_t)(e->e_phoff + i * sizeof(p))) != sizeof(p))
			return false;
		if (p.p_type == PT_INTERP)
			return true;
	}
	return false;
}

static int cannot_execute(struct error *err, int code, const char *name, const char *why)
{
	int r = error_set(err, code, "cannot execute '%s': %s", name, why);

	if (err)
		err->exit_status = code == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
	return r;
}

static int check_program(int fd, const char *name, struct error *err)
{
	Elf64_Ehdr e = { 0 };
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return cannot_execute(err, EACCES, name, "it is not an executable file");
	if (pread(fd, &e, sizeof(e), 0) < 2)
		return cannot_execute(err, ENOEXEC, name, "it is no program");
	if (memcmp(e.e_ident, "#!", 2) == 0)
		return cannot_execute(err, EOPNOTSUPP, name,
				      "it is a script, and without a root directory of its own it would get the host's interpreter; "
				      "use --isolation container, or run as root");
	if (memcmp(e.e_ident, ELFMAG, SELFMAG) == 0 && e.e_ident[EI_CLASS] == ELFCLASS64 && has_interpreter(fd, &e))
		return cannot_execute(err, EOPNOTSUPP, name,
				      "it is dynamically linked, and without a root directory of its own it would get the host's "
				      "libraries; use --isolation container, or run as root");
	return 0;
}

static int find_in_path(int root_fd, const char *name, const char *dirs, struct error *err)
{
	_cleanup_strv_ char **v = strv_split(dirs, ":");

	for (char **d = v; d && *d; d++) {
		_cleanup_free_ char *path = NULL;
		int fd;

		if (asprintf(&path, "%s/%s", *d, name) < 0)
			return error_oom(err);
		fd = open_in(root_fd, path);
		if (fd >= 0)
			return fd;
	}
	return cannot_execute(err, ENOENT, name, "not found in $PATH below the root directory");
}

int process_find_program(const char *root, const struct oci_process *process, char **ret_program, struct error *err)
{
	_cleanup_close_ int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	const char *name = process->args[0];
	int r;

	if (root_fd < 0)
		return error_sys(err, errno, "cannot open the root directory '%s'", root);
	if (*name == '/') {
		fd = open_in(root_fd, name);
		if (fd < 0)
			return cannot_execute(err, -fd, name, strerror(-fd));
	} else if (strchr(name, '/')) {
		return cannot_execute(err, EINVAL, name, "give an absolute path, or a name to look for in $PATH");
	} else {
		fd = find_in_path(root_fd, name, strv_env_get(process->env, "PATH") ?: DEFAULT_PATH, err);
		if (fd < 0)
			return fd;
	}
	r = check_program(fd, name, err);
	return r < 0 ? r : host_path(fd, ret_program, err);
}
