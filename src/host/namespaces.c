#include "host/namespaces.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/parse.h"

#define NSIO 0xb7
#define NS_GET_NSTYPE _IO(NSIO, 0x3)

const struct namespace_kind namespace_kinds[NAMESPACE_KINDS] = {
	{ CLONE_NEWUSER, "user", "user" },       { CLONE_NEWPID, "pid", "pid" },
	{ CLONE_NEWNET, "network", "net" },      { CLONE_NEWUTS, "uts", "uts" },
	{ CLONE_NEWIPC, "ipc", "ipc" },          { CLONE_NEWTIME, "time", "time" },
	{ CLONE_NEWCGROUP, "cgroup", "cgroup" }, { CLONE_NEWNS, "mount", "mnt" },
};

const struct namespace_kind *namespace_kind_of(int type)
{
	for (size_t i = 0; i < NAMESPACE_KINDS; i++)
		if (namespace_kinds[i].type == type)
			return &namespace_kinds[i];
	return NULL;
}

int namespace_open(const char *path, int type, struct error *err)
{
	const struct namespace_kind *kind = namespace_kind_of(type);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int got;

	if (fd < 0)
		return error_sys(err, errno, "cannot open the %s namespace '%s'", kind->name, path);
	got = ioctl(fd, NS_GET_NSTYPE);
	if (got < 0)
		return error_set(err, EINVAL, "'%s', given as the %s namespace, is not a namespace", path, kind->name);
	if (got != type)
		return error_set(err, EINVAL, "'%s' is a namespace, but not a %s namespace", path, kind->name);
	return take_fd(&fd);
}

static void proc_path(char *buf, size_t size, pid_t pid, int type)
{
	if (pid)
		snprintf(buf, size, "/proc/%d/ns/%s", (int)pid, namespace_kind_of(type)->proc);
	else
		snprintf(buf, size, "/proc/self/ns/%s", namespace_kind_of(type)->proc);
}

int namespace_open_pid(pid_t pid, int type, struct error *err)
{
	char path[64];
	int fd;

	proc_path(path, sizeof(path), pid, type);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "cannot open '%s'", path) : fd;
}

int namespace_shared_with(pid_t pid, int type)
{
	struct stat own, other;
	char path[64];

	proc_path(path, sizeof(path), 0, type);
	if (stat(path, &own) < 0)
		return -errno;
	proc_path(path, sizeof(path), pid, type);
	if (stat(path, &other) < 0)
		return -errno;
	return own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

int namespace_members(pid_t pid, int type, pid_t **ret, size_t *ret_n, struct error *err)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	_cleanup_free_ pid_t *pids = NULL;
	struct stat wanted, st;
	struct dirent *e;
	char path[64];
	size_t n = 0;

	proc_path(path, sizeof(path), pid, type);
	if (!dir || stat(path, &wanted) < 0)
		return error_sys(err, errno, "cannot inspect '%s'", path);
	while ((e = readdir(dir))) {
		uint32_t number;
		pid_t *more;

		if (parse_u32(e->d_name, &number) < 0)
			continue;
		proc_path(path, sizeof(path), (pid_t)number, type);
		if (stat(path, &st) < 0 || st.st_dev != wanted.st_dev || st.st_ino != wanted.st_ino)
			continue;
		more = reallocarray(pids, n + 1, sizeof(*pids));
		if (!more)
			return error_oom(err);
		pids = more;
		pids[n++] = (pid_t)number;
	}
	*ret = take_ptr(pids);
	*ret_n = n;
	return 0;
}
