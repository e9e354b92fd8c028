#include "jail/child.h"

#include <fcntl.h>
#include <string.h>

#include "base/fdio.h"
#include "host/path.h"
#include "host/sysctl.h"

/*
 * Written through the caller's procfs, which shows the parameters of the namespaces of whoever looks: no file of the box
 * is touched, and nothing the box mounted over its /proc can redirect the write (CVE-2025-52881).
 */
int child_set_sysctls(struct child *c, struct error *err)
{
	_cleanup_close_ int sys_fd = -1;

	if (c->jail->n_sysctls == 0)
		return 0;
	sys_fd = openat(c->proc_fd, "sys", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sys_fd < 0)
		return error_sys(err, errno, "cannot open /proc/sys");
	for (size_t i = 0; i < c->jail->n_sysctls; i++) {
		const struct jail_sysctl *s = &c->jail->sysctls[i];
		_cleanup_close_ int fd = -1;
		char path[SYSCTL_PATH_MAX];
		int r = sysctl_path(s->key, path, err);

		if (r < 0)
			return r;
		fd = path_open(sys_fd, path, O_WRONLY | O_NOFOLLOW, 0);
		if (fd < 0)
			return error_sys(err, fd, "cannot open the kernel parameter '%s'", s->key);
		r = fd_write_all(fd, s->value, strlen(s->value));
		if (r < 0)
			return error_sys(err, r, "cannot set the kernel parameter '%s' to '%s'", s->key, s->value);
	}
	return 0;
}
