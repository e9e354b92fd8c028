#include "jail/child.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "host/mount.h"
#include "host/path.h"

/* OCI runtime-spec, config-linux, "Default Devices". */
static const struct jail_device default_devices[] = {
	{ "/dev/null", 'c', 1, 3, 0666, 0, 0 },   { "/dev/zero", 'c', 1, 5, 0666, 0, 0 },
	{ "/dev/full", 'c', 1, 7, 0666, 0, 0 },   { "/dev/random", 'c', 1, 8, 0666, 0, 0 },
	{ "/dev/urandom", 'c', 1, 9, 0666, 0, 0 }, { "/dev/tty", 'c', 5, 0, 0666, 0, 0 },
};

/* OCI runtime-spec, runtime-linux, "Dev symbolic links". */
static const struct {
	const char *name, *target;
} dev_links[] = {
	{ "fd", "/proc/self/fd" }, { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" },
};

static mode_t device_type(const struct jail_device *d)
{
	switch (d->type) {
	case 'b':
		return S_IFBLK;
	case 'p':
		return S_IFIFO;
	default:
		return S_IFCHR;
	}
}

static bool is_device(const struct stat *st, const struct jail_device *d)
{
	if ((st->st_mode & S_IFMT) != device_type(d))
		return false;
	return d->type == 'p' || st->st_rdev == makedev(d->major, d->minor);
}

/* Where device nodes cannot be made (a user namespace) the host's own is bound, after a look that it is the right one. */
static int bind_device(const struct jail_device *d, int parent, const char *name, struct error *err)
{
	_cleanup_close_ int source = -1, tree = -1, target = -1;
	struct stat st;
	int r;

	source = open(d->path, O_PATH | O_CLOEXEC);
	if (source < 0 || fstat(source, &st) < 0)
		return error_sys(err, errno, "cannot open the host's '%s', which would be bound", d->path);
	if (!is_device(&st, d))
		return error_set(err, EINVAL, "the host's '%s' is not device %c %u:%u", d->path, d->type, d->major, d->minor);
	target = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	safe_close(target);
	target = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return error_sys(err, errno, "cannot make the mount point '%s'", d->path);
	tree = mount_clone(source, false);
	r = tree < 0 ? tree : mount_attach(tree, target);
	return r < 0 ? error_sys(err, r, "cannot bind the device '%s'", d->path) : 0;
}

static int make_node(const struct jail_device *d, int parent, const char *name, bool bind, struct error *err)
{
	struct stat st;

	if (bind && d->type != 'p')
		return bind_device(d, parent, name, err);
	if (mknodat(parent, name, device_type(d) | d->mode, makedev(d->major, d->minor)) < 0) {
		if (errno == EPERM)
			return bind_device(d, parent, name, err);
		if (errno != EEXIST)
			return error_sys(err, errno, "cannot make the device '%s'", d->path);
		if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_sys(err, errno, "cannot inspect '%s' in the root file system", d->path);
		if (!is_device(&st, d))
			return bind_device(d, parent, name, err);
		if (fchmodat(parent, name, d->mode, 0) < 0)
			return error_sys(err, errno, "cannot set the mode of '%s'", d->path);
	}
	if ((d->uid || d->gid) && fchownat(parent, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "cannot set the owner of '%s'", d->path);
	return 0;
}

/* The directory that D belongs in: DEV_FD for "/dev/x", resolved or made otherwise (*RET_OWNED). */
static int device_parent(const struct child *c, const struct jail_device *d, int dev_fd, int *ret_owned, const char **name,
			 struct error *err)
{
	if (strncmp(d->path, "/dev/", 5) == 0 && d->path[5] && !strchr(d->path + 5, '/')) {
		*name = d->path + 5;
		return dev_fd;
	}
	*ret_owned = path_make_parent(c->root_fd, d->path, 0755, name, err);
	return *ret_owned;
}

static int make_device(const struct child *c, const struct jail_device *d, int dev_fd, struct error *err)
{
	_cleanup_close_ int owned = -1;
	const char *name;
	int parent = device_parent(c, d, dev_fd, &owned, &name, err);

	if (parent < 0)
		return parent;
	return make_node(d, parent, name, c->jail->new_namespaces & CLONE_NEWUSER, err);
}

static int make_link(int dev_fd, const char *name, const char *target, struct error *err)
{
	char present[64];
	ssize_t n;

	if (symlinkat(target, dev_fd, name) == 0)
		return 0;
	if (errno != EEXIST)
		return error_sys(err, errno, "cannot make the symbolic link '/dev/%s'", name);
	n = readlinkat(dev_fd, name, present, sizeof(present) - 1);
	if (n > 0) {
		present[n] = 0;
		if (strcmp(present, target) == 0)
			return 0;
	}
	/* The image's own idea of it gives way, as long as it is no directory. */
	if (unlinkat(dev_fd, name, 0) < 0 || symlinkat(target, dev_fd, name) < 0)
		return error_sys(err, errno, "cannot replace '/dev/%s' by a symbolic link", name);
	return 0;
}

static int make_standard(const struct child *c, int dev_fd, struct error *err)
{
	bool bind = c->jail->new_namespaces & CLONE_NEWUSER;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(default_devices); i++)
		r = make_node(&default_devices[i], dev_fd, default_devices[i].path + 5, bind, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dev_links); i++)
		r = make_link(dev_fd, dev_links[i].name, dev_links[i].target, err);
	return r;
}

int child_make_devices(struct child *c, struct error *err)
{
	const struct jail *jail = c->jail;
	_cleanup_close_ int dev_fd = -1;
	mode_t mask;
	int r = 0;

	if (!jail->standard_dev && jail->n_devices == 0)
		return 0;
	dev_fd = path_make_directory(c->root_fd, "/dev", 0755, err);
	if (dev_fd < 0)
		return dev_fd;
	mask = umask(0);
	if (jail->standard_dev)
		r = make_standard(c, dev_fd, err);
	for (size_t i = 0; r == 0 && i < jail->n_devices; i++)
		r = make_device(c, &jail->devices[i], dev_fd, err);
	umask(mask);
	return r;
}
