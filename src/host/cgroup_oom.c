#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "host/cgroup_internal.h"

struct cgroup_oom {
	bool v2;
	struct cgroup_node node; /* .dir is ours */
	int fd;			 /* v1: eventfd; v2: inotify */
	int control_fd;		 /* v1: memory.oom_control, which the eventfd hangs on */
	uint64_t kills;		 /* v2: oom_kill at the last look */
	bool populated;		 /* v2: there was a process at the last look */
};

void cgroup_oom_close(struct cgroup_oom *oom)
{
	if (!oom)
		return;
	safe_close(oom->fd);
	safe_close(oom->control_fd);
	free(oom->node.dir);
	free(oom);
}

int cgroup_oom_fd(const struct cgroup_oom *oom)
{
	return oom->fd;
}

static int watch_failed(const struct cgroup_oom *oom, const char *file, int e, struct error *err)
{
	return error_sys(err, e, "cannot watch '%s/%s'", oom->node.dir, file);
}

static int open_v1(struct cgroup_oom *oom, struct error *err)
{
	char path[PATH_MAX], line[64];
	int r;

	oom->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (oom->fd < 0)
		return error_sys(err, errno, "cannot make an eventfd");
	snprintf(path, sizeof(path), "%s/memory.oom_control", oom->node.dir);
	oom->control_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (oom->control_fd < 0)
		return watch_failed(oom, "memory.oom_control", errno, err);
	snprintf(line, sizeof(line), "%d %d", oom->fd, oom->control_fd);
	r = cgroup_file_write(&oom->node, "cgroup.event_control", line);
	return r < 0 ? watch_failed(oom, "memory.oom_control", r, err) : 0;
}

static int open_v2(struct cgroup_oom *oom, struct error *err)
{
	static const char *const files[] = {"memory.events", "cgroup.events"};
	uint64_t populated = 0;
	char path[PATH_MAX];
	int r;

	oom->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (oom->fd < 0)
		return error_sys(err, errno, "cannot make an inotify descriptor");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", oom->node.dir, files[i]);
		if (inotify_add_watch(oom->fd, path, IN_MODIFY | IN_DELETE_SELF) < 0)
			return watch_failed(oom, files[i], errno, err);
	}
	r = cgroup_file_read_key(&oom->node, "memory.events", "oom_kill", &oom->kills);
	if (r == 0)
		r = cgroup_file_read_key(&oom->node, "cgroup.events", "populated", &populated);
	oom->populated = populated;
	return r < 0 ? watch_failed(oom, "memory.events", r, err) : 0;
}

int cgroup_oom_open(const struct cgroup *cg, struct cgroup_oom **ret, struct error *err)
{
	_cleanup_cgroup_oom_ struct cgroup_oom *oom = NULL;
	const struct cgroup_node *node;
	bool v2;
	int r;

	node = cgroup_exists(cg) ? cgroup_node_of(cg, CGROUP_MEMORY, &v2) : NULL;
	if (!node)
		return error_set(err, ENOTSUP,
				 "out-of-memory events need the 'memory' controller, which this box's control group "
				 "does not have");
	oom = calloc(1, sizeof(*oom));
	if (!oom)
		return error_oom(err);
	oom->fd = oom->control_fd = -1;
	oom->v2 = v2;
	oom->node = (struct cgroup_node){.dir = strdup(node->dir), .root_len = node->root_len};
	if (!oom->node.dir)
		return error_oom(err);
	r = v2 ? open_v2(oom, err) : open_v1(oom, err);
	if (r < 0)
		return r;
	*ret = take_ptr(oom);
	return 0;
}

static int read_v1(struct cgroup_oom *oom, uint64_t *ret_events, bool *ret_gone)
{
	uint64_t n = 0;
	ssize_t r = read(oom->fd, &n, sizeof(n));

	if (r < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	/* The end of the group is announced in the same way. */
	*ret_gone = !cgroup_file_exists(&oom->node, "cgroup.event_control");
	*ret_events = *ret_gone && n ? n - 1 : n;
	return 0;
}

static int read_v2(struct cgroup_oom *oom, uint64_t *ret_events, bool *ret_gone)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	uint64_t kills = oom->kills, populated = 0;
	ssize_t n;
	int r;

	do
		n = read(oom->fd, buf, sizeof(buf));
	while (n > 0);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	r = cgroup_file_read_key(&oom->node, "memory.events", "oom_kill", &kills);
	if (r < 0 && r != -ENOENT && r != -ENODEV)
		return r;
	r = cgroup_file_read_key(&oom->node, "cgroup.events", "populated", &populated);
	*ret_events = kills > oom->kills ? kills - oom->kills : 0;
	*ret_gone = r < 0 || (oom->populated && !populated);
	oom->populated = populated;
	oom->kills = kills;
	return 0;
}

int cgroup_oom_read(struct cgroup_oom *oom, uint64_t *ret_events, bool *ret_gone, struct error *err)
{
	int r = oom->v2 ? read_v2(oom, ret_events, ret_gone) : read_v1(oom, ret_events, ret_gone);

	return r < 0 ? error_sys(err, r, "cannot read the out-of-memory events of '%s'", oom->node.dir) : 0;
}
