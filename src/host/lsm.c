#include "host/lsm.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/fdio.h"

#define LABEL_MAX 4095 /* bytes: one page for the attribute file */

bool lsm_apparmor_enabled(void)
{
	_cleanup_close_ int fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
	char answer = 0;

	return fd >= 0 && fd_read_full(fd, &answer, 1) == 1 && answer == 'Y';
}

bool lsm_selinux_enabled(void)
{
	struct statfs fs;

	return statfs("/sys/fs/selinux", &fs) == 0 && fs.f_type == SELINUX_MAGIC;
}

static bool asked(const char *label)
{
	return label && *label;
}

int lsm_check(const char *apparmor_profile, const char *selinux_label, const char *mount_label, struct error *err)
{
	if (asked(apparmor_profile) && strcmp(apparmor_profile, "unconfined") != 0 && !lsm_apparmor_enabled())
		return error_set(err, ENOTSUP,
				 "AppArmor profile '%s' cannot be enforced: this kernel runs without AppArmor; leave process.apparmorProfile out",
				 apparmor_profile);
	if (!asked(selinux_label) && !asked(mount_label))
		return 0;
	if (!lsm_selinux_enabled())
		return error_set(err, ENOTSUP, "SELinux label '%s' cannot be enforced: SELinux is not enabled here; leave %s out",
				 asked(selinux_label) ? selinux_label : mount_label,
				 asked(selinux_label) ? "process.selinuxLabel" : "linux.mountLabel");
	return 0;
}

static const char *file_of(enum lsm_attribute attribute)
{
	switch (attribute) {
	case LSM_APPARMOR_EXEC:
		return "thread-self/attr/apparmor/exec"; /* Linux 5.1; whatever other module owns the common files */
	case LSM_SELINUX_EXEC:
		return "thread-self/attr/exec";
	case LSM_SELINUX_KEYCREATE:
		return "thread-self/attr/keycreate";
	}
	return "";
}

/* No mount on top of a file of procfs is stepped into. */
static int open_in_proc(int proc, const char *path)
{
	const struct open_how how = { .flags = O_WRONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, proc, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int lsm_open(enum lsm_attribute attribute, struct error *err)
{
	_cleanup_close_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	int fd;

	if (proc < 0 || fstatfs(proc, &fs) < 0)
		return error_sys(err, errno, "cannot open /proc");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return error_set(err, ENOTSUP, "/proc is not a proc file system, so no security label can be set; mount one");
	fd = open_in_proc(proc, file_of(attribute));
	if (fd == -ENOENT && attribute == LSM_APPARMOR_EXEC)
		fd = open_in_proc(proc, "thread-self/attr/exec");
	if (fd < 0)
		return error_sys(err, fd, "cannot open /proc/%s", file_of(attribute));
	return fd;
}

int lsm_set(int fd, enum lsm_attribute attribute, const char *label, struct error *err)
{
	bool apparmor = attribute == LSM_APPARMOR_EXEC;
	char text[LABEL_MAX + 1];
	int n = snprintf(text, sizeof(text), "%s%s", apparmor ? "exec " : "", label);
	ssize_t written;

	if (n >= (int)sizeof(text))
		return error_set(err, ENAMETOOLONG, "security label of %d bytes; at most %d are possible", n, LABEL_MAX);
	/* one write(2): the kernel takes a label whole or not at all */
	written = write(fd, text, (size_t)n);
	if (written == n)
		return 0;
	if (written < 0 && errno == ENOENT && apparmor)
		return error_set(err, ENOENT, "AppArmor profile '%s' is not loaded; load it with apparmor_parser(8)", label);
	if (written < 0 && errno == EINVAL && !apparmor)
		return error_set(err, EINVAL, "'%s' is not a context of the SELinux policy in force", label);
	return error_sys(err, written < 0 ? errno : EIO, "cannot set the %s '%s'",
			 apparmor ? "AppArmor profile" : "SELinux label", label);
}

bool lsm_mount_takes_context(const char *type)
{
	static const char *const labelled_by_policy[] = { "proc", "sysfs", "mqueue", "cgroup", "cgroup2", "bind", "none" };

	for (size_t i = 0; type && i < ARRAY_SIZE(labelled_by_policy); i++)
		if (strcmp(type, labelled_by_policy[i]) == 0)
			return false;
	return type != NULL;
}

int lsm_mount_data(const char *data, const char *label, char **ret, struct error *err)
{
	if (strpbrk(label, "\"\\\n"))
		return error_set(err, EINVAL, "'%s' cannot be a mount's SELinux context", label);
	if (asprintf(ret, "%s%scontext=\"%s\"", data ? data : "", asked(data) ? "," : "", label) < 0)
		return error_oom(err);
	return 0;
}
