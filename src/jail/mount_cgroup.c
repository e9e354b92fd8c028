#include "jail/child.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "host/cgroup_layout.h"
#include "host/mount.h"
#include "host/path.h"

/* The attributes that every mount of the view has: those asked for and what a view of control groups never needs. */
static uint64_t view_attributes(const struct jail_mount *m)
{
	return mount_flags_to_attr(m->options.flags) | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
}

/*
 * A bind of the group's own directory shows what a new instance of the file system in our cgroup namespace would (also
 * in /proc/self/mountinfo), without the cost of an instance for every hierarchy and box.
 */
static int clone_group(const struct jail_mount *m, const char *mount_point, const char *path, struct error *err)
{
	_cleanup_free_ char *dir = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&dir, "%s%s", mount_point, path) < 0)
		return error_oom(err);
	fd = mount_clone_path(dir, false, false);
	if (fd < 0)
		return error_sys(err, fd, "cannot bind the control group '%s'", dir);
	r = mount_set(fd, view_attributes(m), 0, 0, false);
	return r < 0 ? error_sys(err, r, "cannot set the attributes of '%s'", dir) : take_fd(&fd);
}

static int set_propagation(const struct jail_mount *m, int fd)
{
	int r = 0;

	for (size_t i = 0; i < m->options.n_propagation && r == 0; i++)
		r = mount_set(fd, 0, 0, m->options.propagation[i] & ~(unsigned long)MS_REC, false);
	return r;
}

static int mount_v2(const struct jail_mount *m, const struct cgroup_hierarchy *h, const char *own, int target, struct error *err)
{
	_cleanup_close_ int fd = clone_group(m, h->mount, own, err);
	int r;

	if (fd < 0)
		return fd;
	r = set_propagation(m, fd);
	if (r == 0)
		r = mount_attach(fd, target);
	return r < 0 ? error_sys(err, r, "cannot mount the control group") : 0;
}

static int add_hierarchy(const struct jail_mount *m, const struct cgroup_hierarchy *h, const char *own, int top, struct error *err)
{
	const char *name = strrchr(h->mount, '/') + 1;
	_cleanup_close_ int fd = -1;
	int r;

	if (mkdirat(top, name, 0555) < 0)
		return error_sys(err, errno, "cannot make the directory for hierarchy '%s'", name);
	fd = clone_group(m, h->mount, own, err);
	if (fd < 0)
		return fd;
	r = mount_attach_at(fd, top, name); /* by name: nobody else has written to this tmpfs */
	return r < 0 ? error_sys(err, r, "cannot mount hierarchy '%s'", name) : 0;
}

/* "cpu" and "cpuacct" beside "cpu,cpuacct". */
static int add_links(const struct cgroup_hierarchy *h, int top, struct error *err)
{
	const char *name = strrchr(h->mount, '/') + 1;

	if (!strchr(name, ','))
		return 0;
	for (unsigned k = 0; k < CGROUP_CONTROLLERS; k++)
		if (h->controllers & CGROUP_BIT(k) && symlinkat(name, top, cgroup_controller_v1_name(k)) < 0 && errno != EEXIST)
			return error_sys(err, errno, "cannot make the link '%s'", cgroup_controller_v1_name(k));
	return 0;
}

/* The v1 view: a tmpfs with a directory for every hierarchy. It is attached first: only then can others be put into it. */
static int mount_v1(const struct child *c, const struct jail_mount *m, const struct cgroup_hierarchies *h, int target,
		    struct error *err)
{
	_cleanup_close_ int top = -1;
	int r;

	top = mount_new("tmpfs", "cgroup", "mode=755,size=64k", 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
	if (top < 0)
		return top;
	r = set_propagation(m, top);
	if (r == 0)
		r = mount_attach(top, target);
	if (r < 0)
		return error_sys(err, r, "cannot mount the tmpfs of the hierarchies");
	for (size_t i = 0; r == 0 && i < h->n_v1; i++) {
		r = add_hierarchy(m, &h->v1[i], h->v1[i].own, top, err);
		if (r == 0)
			r = add_links(&h->v1[i], top, err);
	}
	if (r == 0 && h->v2.mount)
		r = add_hierarchy(m, &h->v2, h->v2.own ? h->v2.own : "/", top, err);
	if (r == 0 && m->options.flags & MS_RDONLY) {
		r = mount_set(top, MOUNT_ATTR_RDONLY, 0, 0, false);
		if (r < 0)
			error_sys(err, r, "cannot make the view of control groups read-only");
	}
	return r;
}

int child_mount_cgroups(struct child *c, const struct jail_mount *m, struct error *err)
{
	_cleanup_close_ int target = path_make_directory(c->root_fd, m->destination, 0755, err);
	const struct cgroup_hierarchies *h = c->hierarchies;

	if (target < 0)
		return target;
	if (h->pure_v2)
		return mount_v2(m, &h->v2, h->v2.own, target, err);
	return mount_v1(c, m, h, target, err);
}

static bool shows_cgroups(const struct jail *jail)
{
	for (size_t i = 0; jail->rootfs && i < jail->n_mounts; i++)
		if (jail->mounts[i].kind == JAIL_MOUNT_CGROUP)
			return true;
	return false;
}

int jail_find_cgroups(const struct jail *jail, struct cgroup_hierarchies *ret, struct error *err)
{
	if (!shows_cgroups(jail))
		return 0;
	if (cgroup_exists(jail->cgroup))
		return cgroup_hierarchies_of(jail->cgroup, ret, err);
	/* No group of its own: the caller's. */
	return cgroup_hierarchies_find(CGROUP_ROOT, "/proc/self", true, true, ret, err);
}
