#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "host/cgroup_internal.h"
#include "host/cgroup_path.h"

#define FALLBACK_GROUP "ringwall-exec"

void cgroup_entry_close(struct cgroup_entry *entry)
{
	entry->clone_fd = safe_close(entry->clone_fd);
	for (size_t i = 0; i < entry->n; i++)
		safe_close(entry->fds[i]);
	entry->n = 0;
	cgroup_systemd_release(&entry->hold_fd, &entry->hold_pid);
}

/* A descendant's path from the group's own: "" or "/sub". NULL: no memory. */
static char *sub_path(const char *sub)
{
	char *clean;

	if (!sub || !*sub)
		return strdup("");
	clean = cgroup_path_clean(sub);
	if (clean && strcmp(clean, "/") == 0)
		*clean = 0;
	return clean;
}

static int open_missing(int e, const char *path, const char *sub, struct error *err)
{
	if (e == ENOENT && *sub)
		return error_set(err, ENOENT,
				 "control group '%s' does not exist: make the sub-group '%s' inside the box first",
				 path, sub);
	return error_sys(err, e, "cannot open control group '%s'", path);
}

int cgroup_entry_open(struct cgroup *cg, const char *sub, struct cgroup_entry *ret, struct error *err)
{
	_cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
	_cleanup_free_ char *below = sub_path(sub);
	char path[PATH_MAX];

	if (!below)
		return error_oom(err);
	if (!cgroup_exists(cg)) {
		if (*below)
			return error_set(err, ENOTSUP, "there is no sub-group '%s': this box has no control group",
					 below);
		*ret = CGROUP_ENTRY_INIT;
		return 0;
	}
	if (cg->v2.dir) {
		snprintf(path, sizeof(path), "%s%s", cg->v2.dir, below);
		entry.clone_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (entry.clone_fd < 0)
			return open_missing(errno, path, below, err);
	}
	for (size_t i = 0; i < cg->n_v1; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s%s/tasks", cg->v1[i].dir, below);
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (fd >= 0)
			entry.fds[entry.n++] = fd;
		else if (errno != ENOENT || !cg->v1[i].deferred)
			return open_missing(errno, path, below, err);
	}
	entry.hold_fd = take_fd(&cg->hold_fd);
	entry.hold_pid = cg->hold_pid;
	cg->hold_pid = 0;
	*ret = entry;
	entry = CGROUP_ENTRY_INIT;
	return 0;
}

/* The v2 path of process PID from our own cgroup namespace, in BUF. */
static int v2_path_of(const char *proc, pid_t pid, char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *line;
	int r;

	snprintf(path, sizeof(path), "%s/%d/cgroup", proc, pid);
	r = file_read_at(AT_FDCWD, path, 65536, &text, NULL, NULL);
	if (r < 0)
		return r;
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line)
		return -ENOENT;
	line += *line == '\n' ? 4 : 3;
	line[strcspn(line, "\n")] = 0;
	if (strlen(line) >= size)
		return -ENAMETOOLONG;
	strcpy(buf, line);
	return 0;
}

static int fallback_to_init(const struct cgroup *cg, pid_t init, char path[PATH_MAX])
{
	char rel[PATH_MAX];
	size_t len = strlen(cg->v2.dir) - cg->v2.root_len;
	int r;

	if (init <= 0)
		return -ESRCH;
	r = v2_path_of("/proc", init, rel, sizeof(rel));
	if (r < 0)
		return r;
	/* Only a descendant: what else the process may have got into is not the box. */
	if (strncmp(rel, cg->v2.dir + cg->v2.root_len, len) != 0 || rel[len] != '/' || strstr(rel, "/../"))
		return -ESRCH;
	if (snprintf(path, PATH_MAX, "%.*s%s", (int)cg->v2.root_len, cg->v2.dir, rel) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static int fall_back_below(const struct cgroup *cg, pid_t init, struct cgroup_entry *entry, struct error *err)
{
	char path[PATH_MAX];
	int fd;

	if (fallback_to_init(cg, init, path) < 0) {
		if (snprintf(path, sizeof(path), "%s/%s", cg->v2.dir, FALLBACK_GROUP) >= (int)sizeof(path))
			return error_set(err, ENAMETOOLONG, "the path of control group '%s' is too long", cg->v2.dir);
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return error_sys(err, errno, "cannot make control group '%s'", path);
	}
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "cannot open control group '%s'", path);
	safe_close(entry->clone_fd);
	entry->clone_fd = fd;
	return 0;
}

int cgroup_entry_fall_back(const struct cgroup *cg, int reason, pid_t init, struct cgroup_entry *entry,
			   struct error *err)
{
	if (!cgroup_exists(cg) || !cg->v2.dir)
		return error_sys(err, reason, "cannot make a process");
	if (reason == EBUSY || reason == EOPNOTSUPP)
		return fall_back_below(cg, init, entry, err);
	if (reason == EACCES && cg->unit) {
		entry->clone_fd = safe_close(entry->clone_fd);
		entry->attach = true;
		return 0;
	}
	return error_sys(err, reason, "cannot make a process in control group '%s'", cg->v2.dir);
}

static int write_self(int fd)
{
	ssize_t n;

	do
		n = write(fd, "0", 1);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/*
 * "0" into "tasks" moves the calling thread, for which the kernel need not stop all forks of the host as it must for a
 * write to cgroup.procs or for another process.
 */
int cgroup_entry_join(const struct cgroup_entry *entry, bool cloned)
{
	for (size_t i = 0; i < entry->n; i++) {
		int r = write_self(entry->fds[i]);

		if (r < 0)
			return r;
	}
	if (entry->clone_fd >= 0 && !cloned) {
		_cleanup_close_ int fd = openat(entry->clone_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

		return fd < 0 ? -errno : write_self(fd);
	}
	return 0;
}

int cgroup_attach(const struct cgroup *cg, pid_t pid, struct error *err)
{
	if (!cgroup_exists(cg))
		return 0;
	for (size_t i = 0; i < cgroup_n_nodes(cg); i++) {
		struct cgroup_node *node = cgroup_node_at((struct cgroup *)cg, i);
		int r = cgroup_file_write_u64(node, "cgroup.procs", (uint64_t)pid);

		if ((r == -EACCES || r == -EPERM) && cg->unit)
			return cgroup_systemd_attach(cg, pid, err);
		if (r < 0 && !(r == -ENOENT && node->deferred))
			return error_sys(err, r, "cannot put process %d into control group '%s'", pid, node->dir);
	}
	return 0;
}
