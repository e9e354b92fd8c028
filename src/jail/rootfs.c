#include "jail/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/strbuf.h"
#include "base/strv.h"
#include "base/fdio.h"
#include "host/mount.h"
#include "host/path.h"

static bool is_same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * The root becomes a mount of its own on top of its directory. Our copy of the host's mounts is first made its slave:
 * nothing that we mount travels back.
 */
int child_open_root(struct child *c, struct error *err)
{
	struct jail *jail = c->jail;
	_cleanup_close_ int target = -1, tree = -1;
	int r;

	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return error_sys(err, errno, "cannot make the mounts of the host a slave");
	target = open(jail->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		return error_sys(err, errno, "cannot open the root file system '%s'", jail->rootfs);
	tree = mount_clone(target, true);
	if (tree < 0)
		return error_sys(err, tree, "cannot bind the root file system '%s'", jail->rootfs);
	if (is_same_file(target, "/"))
		jail->no_pivot = true; /* pivot_root(2) cannot switch to the very root */
	r = mount_attach(tree, target);
	if (r < 0)
		return error_sys(err, r, "cannot mount the root file system '%s'", jail->rootfs);
	c->root_fd = take_fd(&tree);
	return 0;
}

static int pivot(struct error *err)
{
	/* pivot_root(2), NOTES: the old root is stacked over the new one, and "." is it. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return error_sys(err, errno, "cannot pivot into the root file system");
	if (umount2(".", MNT_DETACH) < 0)
		return error_sys(err, errno, "cannot detach the host's root file system");
	return 0;
}

/* Hides one mount of the host for good: what chroot(2) alone leaves behind could be uncovered. */
static int hide_mount(const char *path, struct error *err)
{
	if (umount2(path, MNT_DETACH) == 0 || errno == ENOENT)
		return 0;
	if (errno != EINVAL && errno != EPERM)
		return error_sys(err, errno, "cannot detach '%s'", path);
	/* locked, in a user namespace */
	if (mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0k,nr_inodes=1") < 0)
		return error_sys(err, errno, "cannot cover '%s'", path);
	return 0;
}

/* Octal escapes of proc_pid_mountinfo(5), in place. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		unsigned v;

		if (*s == '\\' && sscanf(s + 1, "%3o", &v) == 1) {
			*out++ = (char)v;
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = 0;
}

static int hide_proc_and_sys(const struct child *c, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_strv_ char **hide = NULL;
	size_t root_len = strlen(c->jail->rootfs);
	char *save = NULL;
	int r = file_read_at(c->proc_fd, "self/mountinfo", 16u << 20, &text, NULL, err);

	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char point[4096], *type = strstr(line, " - ");

		if (!type || sscanf(line, "%*d %*d %*s %*s %4095s", point) != 1)
			continue;
		type += 3;
		if (strncmp(type, "proc ", 5) != 0 && strncmp(type, "sysfs ", 6) != 0)
			continue;
		unescape(point);
		if (strncmp(point, c->jail->rootfs, root_len) == 0 && (point[root_len] == '/' || !point[root_len]))
			continue;
		if (strv_add(&hide, point) < 0)
			return error_oom(err);
	}
	for (size_t i = 0; r == 0 && hide && hide[i]; i++)
		r = hide_mount(hide[i], err);
	return r;
}

static int move_to_root(const struct child *c, struct error *err)
{
	int r = is_same_file(c->root_fd, "/") ? 0 : hide_proc_and_sys(c, err);

	if (r < 0)
		return r;
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
		return error_sys(err, errno, "cannot move the root file system to '/'");
	if (chroot(".") < 0)
		return error_sys(err, errno, "cannot change the root to the root file system");
	return 0;
}

int child_switch_root(struct child *c, struct error *err)
{
	const struct jail *jail = c->jail;
	unsigned long propagation = jail->rootfs_propagation;
	int r;

	if (jail->rootfs_readonly) {
		r = mount_set(c->root_fd, MOUNT_ATTR_RDONLY, 0, 0, false);
		if (r < 0)
			return error_sys(err, r, "cannot make the root file system read-only");
	}
	if (fchdir(c->root_fd) < 0)
		return error_sys(err, errno, "cannot change into the root file system");
	r = jail->no_pivot ? move_to_root(c, err) : pivot(err);
	if (r < 0)
		return r;
	if (chdir("/") < 0)
		return error_sys(err, errno, "cannot change into the new root");
	if (propagation && mount(NULL, "/", NULL, propagation, NULL) < 0)
		return error_sys(err, errno, "cannot set the propagation of the root file system");
	return 0;
}
