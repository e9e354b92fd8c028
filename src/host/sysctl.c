#include "host/sysctl.h"

#include <sched.h>
#include <string.h>

static int invalid(const char *key, struct error *err)
{
	return error_set(err, EINVAL, "'%.100s' is not the name of a kernel parameter, such as net.ipv4.ip_forward", key);
}

int sysctl_path(const char *key, char ret[SYSCTL_PATH_MAX], struct error *err)
{
	char separator = key[strcspn(key, "./")];
	size_t n = strlen(key), start = 0;
	char path[SYSCTL_PATH_MAX];

	if (n >= sizeof(path) || !separator)
		return invalid(key, err);
	for (size_t i = 0; i <= n; i++) {
		if (key[i] == '.' && separator == '.')
			path[i] = '/';
		else if (key[i] == '/' && separator == '.')
			path[i] = '.';
		else
			path[i] = key[i];
		if (path[i] && path[i] != '/')
			continue;
		/* one whole component: not empty, not "." or ".." */
		if (i == start || (i - start == 1 && path[start] == '.') ||
		    (i - start == 2 && path[start] == '.' && path[start + 1] == '.'))
			return invalid(key, err);
		start = i + 1;
	}
	memcpy(ret, path, n + 1);
	return 0;
}

int sysctl_namespace(const char *path)
{
	static const char *const ipc[] = {
		"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax",
		"kernel/shmmni", "kernel/shm_rmid_forced", "kernel/msg_next_id", "kernel/sem_next_id", "kernel/shm_next_id",
		"kernel/auto_msgmni",
	};

	if (strncmp(path, "net/", 4) == 0)
		return CLONE_NEWNET;
	if (strncmp(path, "fs/mqueue/", 10) == 0)
		return CLONE_NEWIPC;
	if (strncmp(path, "user/", 5) == 0)
		return CLONE_NEWUSER;
	if (strcmp(path, "kernel/hostname") == 0 || strcmp(path, "kernel/domainname") == 0)
		return CLONE_NEWUTS;
	for (size_t i = 0; i < ARRAY_SIZE(ipc); i++)
		if (strcmp(path, ipc[i]) == 0)
			return CLONE_NEWIPC;
	return 0;
}
