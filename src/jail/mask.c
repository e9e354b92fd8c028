#include "jail/child.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "host/lsm.h"
#include "host/mount.h"
#include "host/path.h"

/* What masks: made once, cloned for every path. */
struct masks {
	int null_fd;      /* the host's /dev/null, verified */
	int directory_fd; /* an empty read-only tmpfs */
};

static void masks_close(struct masks *m)
{
	safe_close(m->null_fd);
	safe_close(m->directory_fd);
}

/* The host's device, not the one in the root file system, which may be anything (CVE-2025-31133). */
static int clone_null(struct masks *m, struct error *err)
{
	if (m->null_fd < 0) {
		_cleanup_close_ int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0)
			return error_sys(err, errno, "cannot open the host's /dev/null");
		if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
			return error_set(err, EINVAL, "the host's /dev/null is not device 1:3");
		m->null_fd = take_fd(&fd);
	}
	return mount_clone(m->null_fd, false);
}

static int new_directory(const char *label, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	int r = label ? lsm_mount_data("size=0k,nr_inodes=1", label, &data, err) : 0;

	return r < 0 ? r : mount_new("tmpfs", "tmpfs", data ? data : "size=0k,nr_inodes=1", MS_RDONLY,
				     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
}

static int clone_directory(struct masks *m, const char *label, struct error *err)
{
	int tree;

	if (m->directory_fd < 0) {
		m->directory_fd = new_directory(label, err);
		if (m->directory_fd < 0)
			return m->directory_fd;
	}
	tree = mount_clone(m->directory_fd, false);
	/* Before Linux 6.15 what is mounted nowhere cannot be cloned. */
	return tree == -EINVAL ? new_directory(label, err) : tree;
}

static int mask(const struct child *c, struct masks *m, const char *path, struct error *err)
{
	_cleanup_close_ int target = path_lookup(c->root_fd, path, false), tree = -1;
	struct stat st;
	int r;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return error_sys(err, target, "cannot open the masked path '%s'", path);
	if (fstat(target, &st) < 0)
		return error_sys(err, errno, "cannot inspect the masked path '%s'", path);
	tree = S_ISDIR(st.st_mode) ? clone_directory(m, c->jail->mount_label, err) : clone_null(m, err);
	r = tree < 0 ? tree : mount_attach(tree, target);
	return r < 0 ? error_sys(err, r, "cannot mask '%s'", path) : 0;
}

static int make_readonly(const struct child *c, const char *path, struct error *err)
{
	_cleanup_close_ int target = path_lookup(c->root_fd, path, false), tree = -1;
	int r;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return error_sys(err, target, "cannot open the read-only path '%s'", path);
	tree = mount_clone(target, true);
	r = tree < 0 ? tree : mount_set(tree, MOUNT_ATTR_RDONLY, 0, 0, true);
	if (r == 0)
		r = mount_attach(tree, target);
	return r < 0 ? error_sys(err, r, "cannot make '%s' read-only", path) : 0;
}

int child_mask_paths(struct child *c, struct error *err)
{
	_cleanup_(masks_close) struct masks m = { -1, -1 };
	char *const *p;
	int r = 0;

	for (p = c->jail->readonly_paths; r == 0 && p && *p; p++)
		r = make_readonly(c, *p, err);
	for (p = c->jail->masked_paths; r == 0 && p && *p; p++)
		r = mask(c, &m, *p, err);
	return r;
}
