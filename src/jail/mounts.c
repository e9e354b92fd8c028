#include "jail/child.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/log.h"
#include "host/copy_tree.h"
#include "host/lsm.h"
#include "host/mount.h"
#include "host/path.h"
#include "host/userns.h"

/* ---- in the caller: what must be taken from the host's own mount namespace ---- */

static bool wants_shared(const struct mount_options *o)
{
	for (size_t i = 0; i < o->n_propagation; i++)
		if (o->propagation[i] & MS_SHARED)
			return true;
	return false;
}

static bool wants_idmap(const struct jail_mount *m)
{
	return m->options.idmap != MOUNT_IDMAP_NONE || (m->uid_map && m->uid_map->n);
}

static int open_source(const struct jail_mount *m, struct error *err)
{
	int fd = mount_clone_path(m->source, m->options.flags & MS_REC, m->options.source_nofollow);

	if (fd < 0)
		return error_sys(err, fd, "cannot bind '%s'", m->source);
	return fd;
}

static int map_ids(const struct jail_mount *m, int tree_fd, struct error *err)
{
	_cleanup_close_ int userns = -1;
	struct statfs fs;
	int r;

	if (!m->uid_map || !m->gid_map || !m->uid_map->n || !m->gid_map->n)
		return error_set(err, EINVAL, "an id-mapped mount needs uidMappings and gidMappings, its own or the container's");
	userns = userns_make(m->uid_map, m->gid_map, err);
	if (userns < 0)
		return userns;
	r = mount_set_idmap(tree_fd, userns, m->options.idmap == MOUNT_IDMAP_RECURSIVE);
	if (r == -EINVAL && fstatfs(tree_fd, &fs) == 0)
		return error_set(err, EOPNOTSUPP, "'%s' is on a file system (%s) that cannot be id-mapped", m->source,
				 mount_type_name(fs.f_type));
	if (r < 0)
		return error_sys(err, r, "cannot map the ids of '%s'", m->source);
	return 0;
}

int jail_prepare_mounts(struct jail *jail, struct error *err)
{
	for (size_t i = 0; i < jail->n_mounts; i++)
		jail->mounts[i].tree_fd = -1;
	for (size_t i = 0; i < jail->n_mounts; i++) {
		struct jail_mount *m = &jail->mounts[i];
		int r = 0;

		if (m->kind == JAIL_MOUNT_FILESYSTEM && wants_idmap(m))
			return error_set(err, EOPNOTSUPP, "mount '%s': a new file system of type '%s' cannot be id-mapped",
					 m->destination, m->type);
		if (m->kind != JAIL_MOUNT_BIND || m->options.copy_symlink)
			continue;
		/* A shared mount must be the host's very one; and the source may be out of reach for the box's root. */
		if (!wants_idmap(m) && !wants_shared(&m->options) && !(jail->new_namespaces & CLONE_NEWUSER))
			continue;
		m->tree_fd = open_source(m, err);
		if (m->tree_fd < 0)
			r = m->tree_fd;
		else if (wants_idmap(m))
			r = map_ids(m, m->tree_fd, err);
		if (r < 0) {
			error_prefix(err, "mount '%s'", m->destination);
			jail_release_mounts(jail);
			return r;
		}
	}
	return 0;
}

void jail_release_mounts(struct jail *jail)
{
	for (size_t i = 0; i < jail->n_mounts; i++)
		jail->mounts[i].tree_fd = safe_close(jail->mounts[i].tree_fd);
}

/* ---- in the child ---- */

/* Files of procfs that may be covered, as runc has it: what lxcfs provides, and nothing that decides about security. */
static bool may_cover_in_proc(const char *destination)
{
	static const char *const files[] = { "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps",
					     "/proc/uptime", "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev",
					     "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (strcmp(destination, files[i]) == 0)
			return true;
	return false;
}

static int check_target(const struct jail_mount *m, int target, struct error *err)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(target, &fs) < 0)
		return error_sys(err, errno, "cannot inspect the mount point");
	if (fs.f_type != PROC_SUPER_MAGIC || may_cover_in_proc(m->destination))
		return 0;
	/* The root of procfs itself may be covered, by another procfs. */
	if (fstat(target, &st) == 0 && st.st_ino == 1 /* PROC_ROOT_INO */) {
		if (m->type && strcmp(m->type, "proc") == 0)
			return 0;
		if (m->tree_fd >= 0 && fstatfs(m->tree_fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
			return 0;
	}
	return error_set(err, EPERM, "the mount point is inside /proc");
}

static int set_propagations(const struct mount_options *o, int fd, struct error *err)
{
	for (size_t i = 0; i < o->n_propagation; i++) {
		int r = mount_set(fd, 0, 0, o->propagation[i] & ~(unsigned long)MS_REC, o->propagation[i] & MS_REC);

		if (r < 0)
			return error_sys(err, r, "cannot set the propagation");
	}
	return 0;
}

static int set_recursive_attributes(const struct mount_options *o, int fd, struct error *err)
{
	int r = o->attr_set || o->attr_clr ? mount_set(fd, o->attr_set, o->attr_clr, 0, true) : 0;

	return r < 0 ? error_sys(err, r, "cannot set the attributes recursively") : 0;
}

/* Finishes a detached mount and puts it in place. */
static int attach(const struct jail_mount *m, int fd, int target, struct error *err)
{
	int r = set_recursive_attributes(&m->options, fd, err);

	if (r == 0)
		r = set_propagations(&m->options, fd, err);
	if (r < 0)
		return r;
	r = mount_attach(fd, target);
	return r < 0 ? error_sys(err, r, "cannot attach the mount") : 0;
}

static int bind_attributes(const struct mount_options *o, int fd, struct error *err)
{
	uint64_t set = mount_flags_to_attr(o->flags), clear = mount_flags_to_attr(o->cleared);
	int r;

	clear &= ~set;
	if (!set && !clear)
		return 0;
	r = mount_set(fd, set, clear, 0, false);
	if (r < 0)
		return error_sys(err, r, "cannot set the attributes (in a user namespace those of the host cannot be lifted)");
	return 0;
}

static int copy_symlink(const struct child *c, const struct jail_mount *m, const char *target, struct error *err)
{
	_cleanup_close_ int parent = -1;
	char present[4096];
	const char *name;
	ssize_t n;

	parent = path_make_parent(c->root_fd, m->destination, 0755, &name, err);
	if (parent < 0)
		return parent;
	if (symlinkat(target, parent, name) == 0)
		return 0;
	n = errno == EEXIST ? readlinkat(parent, name, present, sizeof(present) - 1) : -1;
	if (n >= 0) {
		present[n] = 0;
		if (strcmp(present, target) == 0)
			return 0;
	}
	return error_set(err, EEXIST, "cannot make the symbolic link: something else is there");
}

static int open_bind_target(const struct child *c, const struct jail_mount *m, int tree, struct error *err)
{
	struct stat st;
	int fd;

	if (m->options.destination_nofollow) {
		fd = path_lookup(c->root_fd, m->destination, true);
		if (fd != -ENOENT)
			return fd < 0 ? error_sys(err, fd, "cannot open the mount point") : fd;
	}
	if (fstat(tree, &st) < 0)
		return error_sys(err, errno, "cannot inspect '%s'", m->source);
	if (S_ISDIR(st.st_mode))
		return path_make_directory(c->root_fd, m->destination, 0755, err);
	return path_make_file(c->root_fd, m->destination, 0644, err);
}

static int mount_bind(const struct child *c, struct jail_mount *m, struct error *err)
{
	_cleanup_close_ int target = -1;
	int r;

	if (m->options.copy_symlink) {
		char link[4096];
		ssize_t n = readlink(m->source, link, sizeof(link) - 1);

		if (n >= 0) {
			link[n] = 0;
			return copy_symlink(c, m, link, err);
		}
	}
	if (m->tree_fd < 0) {
		m->tree_fd = open_source(m, err);
		if (m->tree_fd < 0)
			return m->tree_fd;
	} else if (!wants_shared(&m->options)) {
		r = mount_set(m->tree_fd, 0, 0, MS_SLAVE, true); /* as if taken from our copy of the host's mounts */
		if (r < 0)
			return error_sys(err, r, "cannot make the mount a slave");
	}
	target = open_bind_target(c, m, m->tree_fd, err);
	if (target < 0)
		return target;
	r = check_target(m, target, err);
	if (r == 0)
		r = bind_attributes(&m->options, m->tree_fd, err);
	if (r == 0)
		r = attach(m, m->tree_fd, target, err);
	m->tree_fd = safe_close(m->tree_fd);
	return r;
}

/* A tmpfs is as open as the directory it covers, unless told otherwise. */
static int tmpfs_data(const struct jail_mount *m, int target, bool existed, char **ret, struct error *err)
{
	const char *data = m->options.data;
	struct stat st;
	int n;

	if (!existed || (data && (strncmp(data, "mode=", 5) == 0 || strstr(data, ",mode="))))
		n = asprintf(ret, "%s", data ? data : "");
	else if (fstat(target, &st) < 0)
		return error_sys(err, errno, "cannot inspect the mount point");
	else
		n = asprintf(ret, "%s%smode=%o", data ? data : "", data && *data ? "," : "", st.st_mode & 07777);
	if (n < 0) {
		*ret = NULL;
		return error_oom(err);
	}
	return 0;
}

static int add_label(const struct jail *jail, const char *type, char **data, struct error *err)
{
	char *labelled;
	int r;

	if (!jail->mount_label || !lsm_mount_takes_context(type))
		return 0;
	r = lsm_mount_data(*data, jail->mount_label, &labelled, err);
	if (r < 0)
		return r;
	free(*data);
	*data = labelled;
	return 0;
}

/* What a box without the privilege to mount it anew may see of the host's instead, as crun has it; NULL: nothing. */
static const char *host_instance(const struct jail *jail, const char *type)
{
	if (strcmp(type, "sysfs") == 0 && !(jail->new_namespaces & CLONE_NEWNET))
		return "/sys";
	if (strcmp(type, "proc") == 0 && !(jail->new_namespaces & CLONE_NEWPID))
		return "/proc";
	if (strcmp(type, "mqueue") == 0 && !(jail->new_namespaces & CLONE_NEWIPC))
		return "/dev/mqueue";
	return NULL;
}

static int new_instance(const struct child *c, const struct jail_mount *m, const char *data, struct error *err)
{
	uint64_t attrs = mount_flags_to_attr(m->options.flags);
	const char *host;
	unsigned long sb_flags = mount_flags_superblock(m->options.flags);
	int fd, r;

	if (m->options.tmp_copy_up) { /* filled first, finished by mount_filesystem() */
		attrs = 0;
		sb_flags &= ~(unsigned long)MS_RDONLY;
	}
	fd = mount_new(m->type, m->source, data, sb_flags, attrs, err);
	host = fd == -EPERM ? host_instance(c->jail, m->type) : NULL;
	if (!host)
		return fd;
	fd = mount_clone_path(host, true, false);
	if (fd < 0)
		return error_sys(err, fd, "cannot bind the host's '%s'", host);
	r = mount_set(fd, attrs, 0, 0, false);
	if (r < 0) {
		close(fd);
		return error_sys(err, r, "cannot set the attributes of the host's '%s'", host);
	}
	return fd;
}

static int mount_filesystem(const struct child *c, const struct jail_mount *m, struct error *err)
{
	bool is_tmpfs = strcmp(m->type, "tmpfs") == 0, existed = true;
	_cleanup_close_ int target = -1, fd = -1;
	_cleanup_free_ char *data = NULL;
	int r;

	target = m->options.destination_nofollow ? path_lookup(c->root_fd, m->destination, true) :
						   path_open(c->root_fd, m->destination, O_PATH | O_DIRECTORY, 0);
	if (target == -ENOENT) {
		existed = false;
		target = path_make_directory(c->root_fd, m->destination, 0755, err);
		if (target < 0)
			return target;
	}
	if (target < 0)
		return error_sys(err, target, "cannot open the mount point");
	r = check_target(m, target, err);
	if (r < 0)
		return r;
	if (is_tmpfs)
		r = tmpfs_data(m, target, existed, &data, err);
	else if (m->options.data && !(data = strdup(m->options.data)))
		r = error_oom(err);
	if (r == 0)
		r = add_label(c->jail, m->type, &data, err);
	if (r < 0)
		return r;
	if (!mount_new_takes(data)) {
		r = mount_classic(m->type, m->source, target, m->options.flags, data, err);
		if (r < 0)
			return r;
		fd = path_lookup(c->root_fd, m->destination, false);
		if (fd < 0)
			return error_sys(err, fd, "cannot open the mount");
		r = set_recursive_attributes(&m->options, fd, err);
		return r < 0 ? r : set_propagations(&m->options, fd, err);
	}
	fd = new_instance(c, m, data, err);
	if (fd < 0)
		return fd;
	if (m->options.tmp_copy_up) {
		r = is_tmpfs && existed ? copy_tree(target, fd, err) : 0;
		if (r == 0)
			r = bind_attributes(&m->options, fd, err);
		if (r < 0)
			return r;
	}
	return attach(m, fd, target, err);
}

static int remount(const struct child *c, const struct jail_mount *m, struct error *err)
{
	_cleanup_close_ int fd = path_lookup(c->root_fd, m->destination, m->options.destination_nofollow);
	int r;

	if (fd < 0)
		return error_sys(err, fd, "cannot open the mount");
	if (m->kind == JAIL_MOUNT_REMOUNT && !(m->options.flags & MS_BIND) && m->options.data)
		r = mount_classic(NULL, NULL, fd, m->options.flags, m->options.data, err);
	else
		r = bind_attributes(&m->options, fd, err);
	if (r == 0)
		r = set_recursive_attributes(&m->options, fd, err);
	return r < 0 ? r : set_propagations(&m->options, fd, err);
}

static int mount_one(struct child *c, struct jail_mount *m, struct error *err)
{
	switch (m->kind) {
	case JAIL_MOUNT_FILESYSTEM:
		return mount_filesystem(c, m, err);
	case JAIL_MOUNT_BIND:
		return mount_bind(c, m, err);
	case JAIL_MOUNT_CGROUP:
		return child_mount_cgroups(c, m, err);
	case JAIL_MOUNT_REMOUNT:
	case JAIL_MOUNT_PROPAGATION:
		break;
	}
	return remount(c, m, err);
}

int child_mount_all(struct child *c, struct error *err)
{
	for (size_t i = 0; i < c->jail->n_mounts; i++) {
		struct jail_mount *m = &c->jail->mounts[i];
		int r = mount_one(c, m, err);

		if (r < 0) {
			error_prefix(err, "mount '%s'%s%s", m->destination, m->source ? " of " : "", m->source ? m->source : "");
			return r;
		}
	}
	return 0;
}
