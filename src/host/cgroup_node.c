#include "host/cgroup_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/strbuf.h"

#define MAKE_TRIES 5

int64_t cgroup_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void cgroup_sleep_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* ---- making ---- */

int cgroup_node_init(struct cgroup_node *node, unsigned controllers, const char *mount, const char *path)
{
	*node = (struct cgroup_node){.controllers = controllers, .root_len = strlen(mount)};
	if (asprintf(&node->dir, "%s%s", mount, path) < 0) {
		node->dir = NULL;
		return -ENOMEM;
	}
	return 0;
}

/*
 * Fills FILE ("cpuset.cpus", "cpuset.mems") of the v1 cpuset group DIR from its nearest ancestor that has a value: a
 * new group's lists are empty, and no process may join such a group. FRESH: DIR was just made, so its list is empty.
 */
static int cpuset_inherit(const char *dir, size_t root_len, const char *file, bool fresh, char *buf, size_t size)
{
	struct cgroup_node node = {.dir = (char *)dir};
	_cleanup_free_ char *parent = NULL;
	char *slash;
	int r;

	if (!fresh || strlen(dir) <= root_len) {
		r = cgroup_file_read(&node, file, buf, size);
		if (r < 0 || *buf)
			return r;
	}
	parent = strdup(dir);
	if (!parent)
		return -ENOMEM;
	slash = strrchr(parent, '/');
	if (!slash || (size_t)(slash - parent) < root_len)
		return -ENODATA;
	*slash = 0;
	r = cpuset_inherit(parent, root_len, file, false, buf, size);
	return r < 0 ? r : cgroup_file_write(&node, file, buf);
}

static int cpuset_prepare(const struct cgroup_node *node, bool fresh, const struct cgroup_resources *r,
			  struct error *err)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	const char *asked[] = {r ? r->cpu.cpus : NULL, r ? r->cpu.mems : NULL};
	bool nested = strchr(node->dir + node->root_len + 1, '/');

	for (int i = 0; i < 2; i++) {
		char list[4096];
		int e;

		/* With a value of its own in sight the group needs none from above, only its ancestors might. */
		if (asked[i] && *asked[i] && !nested)
			continue;
		e = cpuset_inherit(node->dir, node->root_len, files[i], fresh, list, sizeof(list));
		if (e < 0)
			return error_sys(err, e, "cannot inherit '%s' for control group '%s'", files[i], node->dir);
	}
	return 0;
}

/* mkdir -p below the mount point; -ENOENT when that itself is not there. */
static int make_dirs(struct cgroup_node *node, bool *ret_fresh)
{
	*ret_fresh = true;
	for (int try = 0; try < MAKE_TRIES; try++) {
		if (mkdir(node->dir, 0755) == 0) {
			if (!node->made_from)
				node->made_from = strlen(node->dir);
			return 0;
		}
		if (errno == EEXIST) {
			*ret_fresh = false;
			return 0;
		}
		if (errno != ENOENT)
			return -errno;
		for (char *p = node->dir + node->root_len + 1; (p = strchr(p, '/')); p++) {
			int r;

			*p = 0;
			r = mkdir(node->dir, 0755) < 0 ? -errno : 0;
			if (r == 0 && !node->made_from)
				node->made_from = strlen(node->dir);
			*p = '/';
			if (r < 0 && r != -EEXIST && r != -ENOENT)
				return r;
		}
		/* Another box's end may just have removed a common parent: once more. */
	}
	return -ENOENT;
}

/* Refuses a node with processes in it. */
static int check_empty(const struct cgroup_node *node, struct error *err)
{
	char buf[64];
	int r = cgroup_file_read(node, "cgroup.procs", buf, sizeof(buf));

	if (r == -EOPNOTSUPP) /* a threaded v2 group */
		return error_set(err, EOPNOTSUPP,
				 "control group '%s' is threaded and cannot hold a box: choose another "
				 "linux.cgroupsPath",
				 node->dir);
	if (r < 0)
		return error_sys(err, r, "cannot read '%s/cgroup.procs'", node->dir);
	if (*buf)
		return error_set(err, EBUSY,
				 "control group '%s' is in use: process %.*s is in it (choose another "
				 "linux.cgroupsPath)",
				 node->dir, (int)strcspn(buf, "\n"), buf);
	if ((cgroup_file_read(node, "cgroup.freeze", buf, sizeof(buf)) == 0 && strcmp(buf, "1") == 0) ||
	    (cgroup_file_read(node, "freezer.state", buf, sizeof(buf)) == 0 && strcmp(buf, "THAWED") != 0))
		return error_set(err, EBUSY,
				 "control group '%s' exists and is frozen: a process put into it would never run",
				 node->dir);
	return 0;
}

int cgroup_node_make(struct cgroup_node *node, const struct cgroup_resources *r, bool adopt, struct error *err)
{
	bool fresh;
	int e = make_dirs(node, &fresh);

	if (e == -ENOENT)
		return error_set(err, ENOENT,
				 "cannot make control group '%s': is a cgroup file system mounted at '%.*s'?",
				 node->dir, (int)node->root_len, node->dir);
	if (e == -EROFS)
		return error_set(err, EROFS,
				 "cannot make control group '%s': '%.*s' is mounted read-only (remount it "
				 "read-write, or run with --cgroup-manager=disabled)",
				 node->dir, (int)node->root_len, node->dir);
	if (e == -EACCES || e == -EPERM)
		return error_set(err, -e,
				 "cannot make control group '%s': %s (a group that root delegated to this user is "
				 "needed: 'systemd-run --user --scope -p Delegate=yes ...', or --systemd-cgroup)",
				 node->dir, strerror(-e));
	if (e == -EINVAL)
		return error_set(err, EINVAL, "cannot make control group '%s': the kernel takes no such name",
				 node->dir);
	if (e < 0)
		return error_sys(err, e, "cannot make control group '%s'", node->dir);
	if (!fresh && !adopt) {
		e = check_empty(node, err);
		if (e < 0)
			return e;
	}
	if (node->controllers & CGROUP_BIT(CGROUP_CPUSET))
		return cpuset_prepare(node, fresh, r, err);
	return 0;
}

/* ---- v2: switching controllers on ---- */

static unsigned read_controllers(const char *dir)
{
	struct cgroup_node node = {.dir = (char *)dir};
	char buf[512];

	return cgroup_file_read(&node, "cgroup.controllers", buf, sizeof(buf)) < 0
		   ? 0
		   : cgroup_controllers_parse(buf, true);
}

/* Switches BITS on for the children of DIR, one by one when the kernel does not take them together. */
static void enable_in(const char *dir, unsigned bits, int *ret_errno, char *failed, size_t failed_size)
{
	struct cgroup_node node = {.dir = (char *)dir};
	char line[256] = "";
	int r;

	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (bits & CGROUP_BIT(c))
			snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s+%s", *line ? " " : "",
				 cgroup_controller_v2_name(c));
	if (!*line || cgroup_file_write(&node, "cgroup.subtree_control", line) == 0)
		return;
	for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
		if (!(bits & CGROUP_BIT(c)))
			continue;
		snprintf(line, sizeof(line), "+%s", cgroup_controller_v2_name(c));
		r = cgroup_file_write(&node, "cgroup.subtree_control", line);
		if (r < 0 && !*ret_errno) {
			*ret_errno = -r;
			snprintf(failed, failed_size, "%s", dir);
		}
	}
}

static int enable_failed(const struct cgroup_node *node, enum cgroup_controller c, int e, const char *where,
			 struct error *err)
{
	const char *name = cgroup_controller_v2_name(c);

	if (e == EBUSY)
		return error_set(
		    err, EBUSY,
		    "cannot enable the '%s' controller for control group '%s': processes are in its "
		    "ancestor '%s', which therefore may not give controllers to its children (move them into "
		    "a group of their own, or choose another linux.cgroupsPath)",
		    name, node->dir, where);
	if (e)
		return error_set(
		    err, e,
		    "cannot enable the '%s' controller for control group '%s': %s/cgroup.subtree_control: "
		    "%s (the group must be delegated with this controller: 'Delegate=%s' in its systemd unit)",
		    name, node->dir, where, strerror(e), name);
	return error_set(err, ENOTSUP,
			 "the '%s' controller is not available to control group '%s': it is not in "
			 "'%.*s/cgroup.controllers' (a kernel without it, or a v1 hierarchy has taken it)",
			 name, node->dir, (int)node->root_len, node->dir);
}

int cgroup_node_enable(struct cgroup_node *node, unsigned required, unsigned wanted, struct error *err)
{
	_cleanup_free_ char *dir = strdup(node->dir);
	char failed[PATH_MAX] = "";
	unsigned missing, here, below;
	int first = 0;

	if (!dir)
		return error_oom(err);
	required &= CGROUP_V2_CONTROLLERS;
	node->controllers = read_controllers(node->dir);
	missing = (required | wanted) & ~node->controllers;
	if (!missing)
		return 0;
	dir[node->root_len] = 0;
	here = read_controllers(dir);
	/* From the root down: a group can give its children what it has itself. */
	for (size_t at = node->root_len; node->dir[at] && here & missing;) {
		size_t next = at + 1 + strcspn(node->dir + at + 1, "/");

		dir[at] = '/';
		dir[next] = 0;
		below = read_controllers(dir);
		if (here & missing & ~below) {
			dir[at] = 0;
			enable_in(dir, here & missing & ~below, &first, failed, sizeof(failed));
			dir[at] = '/';
			below = read_controllers(dir);
		}
		here = below;
		at = next;
	}
	node->controllers = read_controllers(node->dir);
	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (required & ~node->controllers & CGROUP_BIT(c))
			return enable_failed(node, c, first, failed, err);
	return 0;
}

/* ---- removing ---- */

/* The first child group of DIRFD into NAME; false: it has none. */
static bool first_child(int dirfd, char name[NAME_MAX + 1])
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return false;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	while ((e = readdir(dir))) {
		if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(name, NAME_MAX + 1, "%s", e->d_name);
		return true;
	}
	return false;
}

static int still_busy(const struct cgroup_node *node, struct error *err)
{
	char pids[64] = "";

	cgroup_file_read(node, "cgroup.procs", pids, sizeof(pids));
	for (char *p = pids; *p; p++)
		if (*p == '\n')
			*p = ' ';
	return error_set(err, EBUSY, "cannot remove control group '%s': it is still in use%s%s", node->dir,
			 *pids ? ", by processes " : "", pids);
}

/* Sleeps a little, longer each time. False: the deadline is over. */
static bool wait_more(int64_t deadline, unsigned *pause)
{
	if (cgroup_now_ms() >= deadline)
		return false;
	cgroup_sleep_ms(*pause);
	*pause = MIN(*pause * 2, 50u);
	return true;
}

/*
 * Removes all descendants. A box can nest groups as deeply as it likes, so this walks with one descriptor and "..",
 * instead of recursing. 0, -EBUSY at the deadline, or another negative errno.
 */
static int remove_children(const char *path, int64_t deadline, unsigned *pause)
{
	_cleanup_close_ int cur = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char name[NAME_MAX + 1], below[NAME_MAX + 1];
	size_t depth = 0;

	if (cur < 0)
		return errno == ENOENT ? 0 : -errno;
	for (;;) {
		int next;

		if (!first_child(cur, name)) {
			if (depth == 0)
				return 0;
			next = openat(cur, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (next < 0)
				return -errno;
			close(cur);
			cur = next;
			depth--;
			continue;
		}
		if (unlinkat(cur, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			continue;
		if (errno != EBUSY)
			return -errno;
		next = openat(cur, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 && errno != ENOENT)
			return -errno;
		if (next >= 0 && first_child(next, below)) {
			close(cur);
			cur = next;
			depth++;
			continue;
		}
		safe_close(next);
		if (!wait_more(deadline, pause))
			return -EBUSY;
	}
}

/* Our parents, innermost first; one that others use too stays. */
static void remove_made_parents(const struct cgroup_node *node)
{
	_cleanup_free_ char *dir = strdup(node->dir);
	char *slash;

	while (dir && node->made_from && (slash = strrchr(dir, '/')) && (size_t)(slash - dir) >= node->made_from) {
		*slash = 0;
		if (rmdir(dir) < 0)
			return;
	}
}

int cgroup_node_remove(const struct cgroup_node *node, int64_t deadline, struct error *err)
{
	unsigned pause = 1;
	int r;

	while (rmdir(node->dir) < 0 && errno != ENOENT) {
		if (errno != EBUSY)
			return error_sys(err, errno, "cannot remove control group '%s'", node->dir);
		r = remove_children(node->dir, deadline, &pause);
		if (r == 0) {
			if (rmdir(node->dir) == 0 || errno == ENOENT)
				break;
			r = errno == EBUSY && wait_more(deadline, &pause) ? 0 : -errno;
		}
		if (r == -EBUSY)
			return still_busy(node, err);
		if (r < 0 && r != -ENOENT) /* ENOENT: somebody else removes it too */
			return error_sys(err, r, "cannot remove control group '%s'", node->dir);
	}
	remove_made_parents(node);
	return 0;
}
