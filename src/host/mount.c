#include "host/mount.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "host/path.h"

#define FSCONFIG_VALUE_MAX 255

/* What the file system wrote about its refusal ("e tmpfs: Bad value for 'size'"), newline-free; "" when nothing. */
static void read_fs_log(int fs_fd, char *buf, size_t size)
{
	ssize_t n = read(fs_fd, buf, size - 1);

	if (n < 0)
		n = 0;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	if (n > 2 && buf[1] == ' ')
		memmove(buf, buf + 2, strlen(buf + 2) + 1);
}

static int fs_error(int fs_fd, int code, const char *type, const char *option, struct error *err)
{
	char log[256];

	read_fs_log(fs_fd, log, sizeof(log));
	return error_sys(err, code, "cannot mount a file system of type '%s'%s%s%s%s%s%s", type, option ? " with option '" : "",
			 option ? option : "", option ? "'" : "", *log ? " (" : "", log, *log ? ")" : "");
}

/* The next option of a comma-separated list, cut off in place; NULL after the last. A value in quotes loses them. */
static char *next_option(char **p)
{
	char *option = *p, *quote, *end;

	if (!option)
		return NULL;
	*p = strchr(option, ',');
	quote = strstr(option, "=\"");
	if (quote && (!*p || quote < *p)) {
		end = strchr(quote + 2, '"');
		if (end) {
			*p = strchr(end, ',');
			memmove(quote + 1, quote + 2, (size_t)(end - quote - 2));
			end[-1] = 0;
		}
	}
	if (*p)
		*(*p)++ = 0;
	return option;
}

bool mount_new_takes(const char *data)
{
	while (data && *data) {
		size_t len = strcspn(data, ",");

		if (len > FSCONFIG_VALUE_MAX)
			return false;
		data += len;
		data += *data == ',';
	}
	return true;
}

static int configure(int fs_fd, const char *type, const char *data, struct error *err)
{
	_cleanup_free_ char *copy = NULL;
	char *rest, *option;

	if (!data)
		return 0;
	rest = copy = strdup(data);
	if (!copy)
		return error_oom(err);
	while ((option = next_option(&rest))) {
		char *value = strchr(option, '=');
		int r;

		if (!*option)
			continue;
		if (value)
			*value++ = 0;
		r = value ? fsconfig(fs_fd, FSCONFIG_SET_STRING, option, value, 0) :
			    fsconfig(fs_fd, FSCONFIG_SET_FLAG, option, NULL, 0);
		if (r < 0) {
			int code = errno;

			if (value)
				value[-1] = '=';
			return fs_error(fs_fd, code, type, option, err);
		}
	}
	return 0;
}

static int configure_flags(int fs_fd, const char *type, unsigned long sb_flags, struct error *err)
{
	static const struct {
		unsigned long flag;
		const char *name;
	} flags[] = { { MS_RDONLY, "ro" }, { MS_SYNCHRONOUS, "sync" }, { MS_DIRSYNC, "dirsync" }, { MS_MANDLOCK, "mand" },
		      { 1ul << 25 /* MS_LAZYTIME */, "lazytime" } };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (sb_flags & flags[i].flag && fsconfig(fs_fd, FSCONFIG_SET_FLAG, flags[i].name, NULL, 0) < 0)
			return fs_error(fs_fd, errno, type, flags[i].name, err);
	return 0;
}

int mount_new(const char *type, const char *source, const char *data, unsigned long sb_flags, uint64_t attrs,
	      struct error *err)
{
	_cleanup_close_ int fs_fd = fsopen(type, FSOPEN_CLOEXEC);
	int fd, r;

	if (fs_fd < 0) {
		if (errno == ENODEV)
			return error_set(err, ENODEV, "this kernel has no file system of type '%s'", type);
		return error_sys(err, errno, "cannot open a file system of type '%s'", type);
	}
	if (source && fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return fs_error(fs_fd, errno, type, "source", err);
	r = configure_flags(fs_fd, type, sb_flags, err);
	if (r == 0)
		r = configure(fs_fd, type, data, err);
	if (r < 0)
		return r;
	if (fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fs_error(fs_fd, errno, type, NULL, err);
	fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, (unsigned)attrs);
	if (fd < 0)
		return fs_error(fs_fd, errno, type, NULL, err);
	return fd;
}

int mount_classic(const char *type, const char *source, int target_fd, unsigned long flags, const char *data, struct error *err)
{
	if (mount(source, fd_path(target_fd).s, type, flags, data) < 0)
		return error_sys(err, errno, "cannot mount a file system of type '%s'", type ? type : "none");
	return 0;
}

int mount_clone(int fd, bool recursive)
{
	int r = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));

	return r < 0 ? -errno : r;
}

int mount_clone_path(const char *path, bool recursive, bool nofollow)
{
	int r = open_tree(AT_FDCWD, path,
			  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) |
				  (nofollow ? AT_SYMLINK_NOFOLLOW : 0));

	return r < 0 ? -errno : r;
}

int mount_set(int fd, uint64_t set, uint64_t clear, unsigned long propagation, bool recursive)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

	/* The access time modes are one field: to set one is to clear all. */
	if (set & MOUNT_ATTR__ATIME || clear & MOUNT_ATTR__ATIME)
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr)) < 0)
		return -errno;
	return 0;
}

int mount_set_idmap(int fd, int userns_fd, bool recursive)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd };

	if (mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr)) < 0)
		return -errno;
	return 0;
}

int mount_attach(int fd, int target_fd)
{
	if (move_mount(fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int mount_attach_at(int fd, int dir_fd, const char *name)
{
	return move_mount(fd, "", dir_fd, name, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

const char *mount_type_name(long fs_type)
{
	static const struct {
		unsigned long type;
		const char *name;
	} names[] = {
		{ OVERLAYFS_SUPER_MAGIC, "overlay" }, { PROC_SUPER_MAGIC, "proc" },     { SYSFS_MAGIC, "sysfs" },
		{ TMPFS_MAGIC, "tmpfs" },             { EXT4_SUPER_MAGIC, "ext4" },     { XFS_SUPER_MAGIC, "xfs" },
		{ BTRFS_SUPER_MAGIC, "btrfs" },       { NFS_SUPER_MAGIC, "nfs" },       { 0x65735546, "fuse" },
		{ CGROUP_SUPER_MAGIC, "cgroup" },     { CGROUP2_SUPER_MAGIC, "cgroup2" }, { DEVPTS_SUPER_MAGIC, "devpts" },
		{ 0x19800202, "mqueue" },             { SQUASHFS_MAGIC, "squashfs" },   { 0xe0f5e1e2, "erofs" },
		{ F2FS_SUPER_MAGIC, "f2fs" },         { V9FS_MAGIC, "9p" },             { 0xff534d42, "cifs" },
		{ 0x64626720, "debugfs" },            { 0x73636673, "securityfs" },     { 0x794c7630, "overlay" },
		{ 0x2fc12fc1, "zfs" },                { 0x00c36400, "ceph" },           { 0x858458f6, "ramfs" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].type == (unsigned long)fs_type)
			return names[i].name;
	return "another";
}
