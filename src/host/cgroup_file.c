#include "host/cgroup_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fdio.h"
#include "base/parse.h"

#define CGROUP_FILE_MAX (4u << 20)

static int file_path(const struct cgroup_node *node, const char *file, char path[PATH_MAX])
{
	if (strchr(file, '/')) /* file names are made from a configuration's words */
		return -EINVAL;
	return snprintf(path, PATH_MAX, "%s/%s", node->dir, file) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int file_open(const struct cgroup_node *node, const char *file, int flags)
{
	char path[PATH_MAX];
	int fd, r = file_path(node, file, path);

	if (r < 0)
		return r;
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int cgroup_file_read(const struct cgroup_node *node, const char *file, char *buf, size_t size)
{
	_cleanup_close_ int fd = file_open(node, file, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return 0;
}

int cgroup_file_read_all(const struct cgroup_node *node, const char *file, char **ret)
{
	_cleanup_close_ int fd = file_open(node, file, O_RDONLY);

	return fd < 0 ? fd : fd_read_all(fd, CGROUP_FILE_MAX, ret, NULL);
}

int cgroup_file_read_u64(const struct cgroup_node *node, const char *file, uint64_t *ret)
{
	char buf[64];
	int r = cgroup_file_read(node, file, buf, sizeof(buf));

	if (r < 0)
		return r;
	if (strcmp(buf, "max") == 0 || buf[0] == '-') {
		*ret = UINT64_MAX;
		return 0;
	}
	return parse_u64(buf, ret);
}

int cgroup_file_read_key(const struct cgroup_node *node, const char *file, const char *key, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len = strlen(key);
	char *save = NULL;
	int r = cgroup_file_read_all(node, file, &text);

	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return parse_u64(line + len + 1, ret);
	return -ENODATA;
}

bool cgroup_file_exists(const struct cgroup_node *node, const char *file)
{
	char path[PATH_MAX];

	return file_path(node, file, path) == 0 && access(path, F_OK) == 0;
}

int cgroup_file_write(const struct cgroup_node *node, const char *file, const char *value)
{
	_cleanup_close_ int fd = file_open(node, file, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	do
		n = write(fd, value, strlen(value));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int cgroup_file_write_u64(const struct cgroup_node *node, const char *file, uint64_t value)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, value);
	return cgroup_file_write(node, file, buf);
}

/* What to do about a file that this kernel does not have, by the start of its name. */
static const struct {
	const char *prefix, *mend;
} missing_file[] = {
    {"memory.memsw.", "swap accounting is off: boot with swapaccount=1, or leave memory.swap out"},
    {"memory.swap.", "swap accounting is off: boot with swapaccount=1, or leave memory.swap out"},
    {"memory.kmem.tcp.", "Linux removed this limit in 6.12: use memory.limit, which counts socket memory too"},
    {"memory.kmem.", "Linux no longer has a kernel memory limit: use memory.limit, which counts kernel memory too"},
    {"blkio.weight", "needs the BFQ scheduler (CONFIG_BFQ_GROUP_IOSCHED) or, before Linux 5.0, CFQ"},
    {"blkio.bfq.weight", "needs the BFQ scheduler: modprobe bfq, and 'bfq' in /sys/block/DISK/queue/scheduler"},
    {"blkio.leaf_weight", "only the CFQ scheduler had it, which Linux 5.0 removed: leave blockIO.leafWeight out"},
    {"blkio.throttle.", "needs CONFIG_BLK_DEV_THROTTLING"},
    {"io.weight", "needs CONFIG_BLK_CGROUP_IOCOST, or the BFQ scheduler"},
    {"io.max", "needs CONFIG_BLK_DEV_THROTTLING"},
    {"cpu.rt_", "needs CONFIG_RT_GROUP_SCHED: leave cpu.realtimePeriod and cpu.realtimeRuntime out"},
    {"cpu.max.burst", "needs Linux 5.14"},
    {"cpu.cfs_burst_us", "needs Linux 5.14"},
    {"cpu.cfs_", "needs CONFIG_CFS_BANDWIDTH"},
    {"cpu.max", "needs CONFIG_CFS_BANDWIDTH"},
    {"cpu.idle", "needs Linux 5.15"},
    {"hugetlb.", "this kernel has no huge pages of that size: see /sys/kernel/mm/hugepages"},
};

static const char *mend_of(const char *file, int r)
{
	switch (-r) {
	case ENOENT:
	case EOPNOTSUPP:
		for (size_t i = 0; i < ARRAY_SIZE(missing_file); i++)
			if (strncmp(file, missing_file[i].prefix, strlen(missing_file[i].prefix)) == 0)
				return missing_file[i].mend;
		return r == -ENOENT ? "this kernel has no such file" : "this kernel no longer enforces it";
	case EACCES:
	case EPERM:
		return "the control group is not delegated to this user, or a parent group forbids it";
	case EROFS:
		return "control groups are mounted read-only here";
	case EINVAL:
		return "the kernel takes no such value";
	case ERANGE:
		return "the value is out of the kernel's range";
	case EBUSY:
		return "the group uses more than that already, or has children";
	case ENODEV:
	case ENXIO:
		return "there is no such device";
	default:
		return NULL;
	}
}

int cgroup_set_failed(const struct cgroup_node *node, const char *field, const char *file, const char *value, int r,
		      struct error *err)
{
	const char *mend = mend_of(file, r);

	return error_set(err, -r, "%s: cannot write '%s' to %s/%s: %s%s%s%s", field, value, node->dir, file,
			 strerror(-r), mend ? " (" : "", mend ? mend : "", mend ? ")" : "");
}

int cgroup_set(const struct cgroup_node *node, const char *field, const char *file, const char *value,
	       struct error *err)
{
	int r = cgroup_file_write(node, file, value);

	return r < 0 ? cgroup_set_failed(node, field, file, value, r, err) : 0;
}

int cgroup_set_u64(const struct cgroup_node *node, const char *field, const char *file, uint64_t v, struct error *err)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, v);
	return cgroup_set(node, field, file, buf, err);
}

int cgroup_set_limit(const struct cgroup_node *node, const char *field, const char *file, int64_t v,
		     const char *unlimited, struct error *err)
{
	return v < 0 ? cgroup_set(node, field, file, unlimited, err)
		     : cgroup_set_u64(node, field, file, (uint64_t)v, err);
}
