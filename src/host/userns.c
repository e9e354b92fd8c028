#include "host/userns.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fdio.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "host/namespaces.h"

static void format_map(struct strbuf *b, const struct id_maps *maps)
{
	for (size_t i = 0; i < maps->n; i++)
		strbuf_addf(b, "%u %u %u\n", maps->v[i].inside, maps->v[i].outside, maps->v[i].count);
}

static int write_proc(pid_t pid, const char *file, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return file_write_at(AT_FDCWD, path, text);
}

/* Runs HELPER (newuidmap, newgidmap): PID, then the triples. */
static int run_helper(const char *helper, pid_t pid, const struct id_maps *maps, struct error *err)
{
	_cleanup_strv_ char **argv = NULL;
	int status, r;
	pid_t child;

	r = strv_add(&argv, helper) | strv_addf(&argv, "%d", (int)pid);
	for (size_t i = 0; i < maps->n; i++)
		r |= strv_addf(&argv, "%u", maps->v[i].inside) | strv_addf(&argv, "%u", maps->v[i].outside) |
		     strv_addf(&argv, "%u", maps->v[i].count);
	if (r < 0)
		return error_oom(err);
	r = posix_spawnp(&child, helper, NULL, NULL, argv, environ);
	if (r != 0)
		return error_set(err, r, "cannot map more ids than one's own: %s: %s; install it with: apt-get install uidmap", helper,
				 strerror(r));
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot wait for %s", helper);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, EPERM, "%s refused the id map (is the range in /etc/sub%cid?)", helper, helper[3]);
	return 0;
}

static bool maps_only(const struct id_maps *maps, uint32_t id)
{
	return maps->n == 1 && maps->v[0].count == 1 && maps->v[0].outside == id;
}

static int write_map(pid_t pid, const char *file, const char *helper, const struct id_maps *maps, bool own, struct error *err)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
	int r;

	format_map(&text, maps);
	if (strbuf_failed(&text))
		return error_oom(err);
	r = write_proc(pid, file, strbuf_str(&text));
	if (r == -EPERM && geteuid() != 0 && !own)
		return run_helper(helper, pid, maps, err);
	if (r < 0)
		return error_sys(err, r, "cannot write the user namespace's %s", file);
	return 0;
}

int userns_write_maps(pid_t pid, const struct id_maps *uids, const struct id_maps *gids, struct error *err)
{
	bool own_gid = maps_only(gids, getegid());
	int r;

	if (uids->n == 0 || gids->n == 0)
		return error_set(err, EINVAL, "a new user namespace needs uidMappings and gidMappings");
	r = write_map(pid, "uid_map", "newuidmap", uids, maps_only(uids, geteuid()), err);
	if (r < 0)
		return r;
	if (geteuid() != 0 && own_gid) {
		r = write_proc(pid, "setgroups", "deny");
		if (r < 0 && r != -ENOENT)
			return error_sys(err, r, "cannot deny setgroups in the user namespace");
	}
	return write_map(pid, "gid_map", "newgidmap", gids, own_gid, err);
}

int userns_make(const struct id_maps *uids, const struct id_maps *gids, struct error *err)
{
	int fd, r, hold[2];
	pid_t pid;

	if (pipe2(hold, O_CLOEXEC) < 0)
		return error_sys(err, errno, "cannot make a pipe");
	pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWUSER | SIGCHLD), NULL, NULL, NULL, 0);
	if (pid == 0) { /* only holds the namespace; ends with the pipe even when we are killed */
		char c;

		close(hold[1]);
		while (read(hold[0], &c, 1) < 0 && errno == EINTR)
			;
		_exit(0);
	}
	r = pid < 0 ? error_sys(err, errno, "cannot make a user namespace") : userns_write_maps(pid, uids, gids, err);
	fd = r < 0 ? r : namespace_open_pid(pid, CLONE_NEWUSER, err);
	close(hold[0]);
	close(hold[1]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

bool userns_is_initial(void)
{
	char link[64];
	ssize_t n = readlink("/proc/self/ns/user", link, sizeof(link) - 1);

	if (n < 0)
		return true;
	link[n] = 0;
	return strcmp(link, "user:[4026531837]") == 0; /* PROC_USER_INIT_INO */
}
