#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "host/cgroup_internal.h"

#define V1_REFREEZE_EVERY 50 /* tries */

/* Where the group is frozen: v2 since Linux 5.2, else v1's freezer. NULL: nowhere. */
static const struct cgroup_node *freezer_node(const struct cgroup *cg, bool *ret_v2)
{
	*ret_v2 = cg->v2.dir && (!cg->n_v1 || cgroup_file_exists(&cg->v2, "cgroup.freeze"));
	return *ret_v2 ? &cg->v2 : cgroup_node_of(cg, CGROUP_FREEZER, NULL);
}

static int no_freezer(const struct cgroup *cg, struct error *err)
{
	if (!cgroup_exists(cg))
		return error_set(err, ENOTSUP, "this box cannot be paused: it has no control group");
	return error_set(err, ENOTSUP,
			 "this box cannot be paused: the v1 'freezer' controller is not mounted (mount -t cgroup -o "
			 "freezer none " CGROUP_ROOT "/freezer, or boot with cgroup v2)");
}

static int freeze_failed(const struct cgroup_node *node, const char *file, int r, struct error *err)
{
	return error_sys(err, r, "cannot freeze control group '%s': '%s'", node->dir, file);
}

/* Waits for "frozen 1" in cgroup.events, which the kernel announces with POLLPRI. */
static int wait_frozen_v2(const struct cgroup_node *node, int64_t deadline)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX], buf[256];

	snprintf(path, sizeof(path), "%s/cgroup.events", node->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLPRI};
		ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
		int64_t left = deadline - cgroup_now_ms();

		if (n < 0)
			return -errno;
		buf[n] = 0;
		if (strstr(buf, "frozen 1"))
			return 0;
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)MIN(left, (int64_t)1000)) < 0 && errno != EINTR)
			return -errno;
	}
}

/* v1 tells nothing: ask again and again. A group caught between two states (vfork) needs a moment of thaw. */
static int wait_frozen_v1(const struct cgroup_node *node, int64_t deadline)
{
	char state[32];
	int r;

	for (unsigned try = 1;; try++) {
		r = cgroup_file_read(node, "freezer.state", state, sizeof(state));
		if (r < 0)
			return r;
		if (strcmp(state, "FROZEN") == 0)
			return 0;
		if (cgroup_now_ms() >= deadline)
			return -ETIMEDOUT;
		if (try > 3)
			cgroup_sleep_ms(try < 20 ? 1 : 10);
		if (try % V1_REFREEZE_EVERY == 0) {
			cgroup_file_write(node, "freezer.state", "THAWED");
			cgroup_sleep_ms(1);
		}
		r = cgroup_file_write(node, "freezer.state", "FROZEN");
		if (r < 0)
			return r;
	}
}

int cgroup_freeze(const struct cgroup *cg, unsigned timeout_ms, struct error *err)
{
	int64_t deadline = cgroup_now_ms() + timeout_ms;
	const struct cgroup_node *node;
	const char *file;
	bool v2;
	int r;

	node = cgroup_exists(cg) ? freezer_node(cg, &v2) : NULL;
	if (!node)
		return no_freezer(cg, err);
	file = v2 ? "cgroup.freeze" : "freezer.state";
	r = cgroup_file_write(node, file, v2 ? "1" : "FROZEN");
	if (r < 0)
		return freeze_failed(node, file, r, err);
	r = v2 ? wait_frozen_v2(node, deadline) : wait_frozen_v1(node, deadline);
	if (r < 0) {
		cgroup_file_write(node, file, v2 ? "0" : "THAWED");
		if (r == -ETIMEDOUT)
			return error_set(err, ETIMEDOUT,
					 "control group '%s' did not freeze within %u ms: a process in it is stuck "
					 "in the kernel",
					 node->dir, timeout_ms);
		return freeze_failed(node, file, r, err);
	}
	return 0;
}

int cgroup_thaw(const struct cgroup *cg, struct error *err)
{
	const struct cgroup_node *node;
	const char *file;
	bool v2;
	int r;

	node = cgroup_exists(cg) ? freezer_node(cg, &v2) : NULL;
	if (!node)
		return no_freezer(cg, err);
	file = v2 ? "cgroup.freeze" : "freezer.state";
	r = cgroup_file_write(node, file, v2 ? "0" : "THAWED");
	return r < 0 ? error_sys(err, r, "cannot thaw control group '%s': '%s'", node->dir, file) : 0;
}

int cgroup_is_frozen(const struct cgroup *cg, bool *ret, struct error *err)
{
	const struct cgroup_node *node;
	char state[32];
	bool v2;
	int r;

	node = cgroup_exists(cg) ? freezer_node(cg, &v2) : NULL;
	if (!node) {
		*ret = false;
		return 0;
	}
	r = cgroup_file_read(node, v2 ? "cgroup.freeze" : "freezer.state", state, sizeof(state));
	if (r == -ENOENT || r == -ENODEV)
		strcpy(state, "");
	else if (r < 0)
		return error_sys(err, r, "cannot tell whether control group '%s' is frozen", node->dir);
	*ret = strcmp(state, v2 ? "1" : "FROZEN") == 0;
	return 0;
}
