#include "host/terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "host/path.h"

void terminal_close(struct terminal *t)
{
	t->master = safe_close(t->master);
	t->slave = safe_close(t->slave);
}

static int check_ptmx(int fd, struct error *err)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return error_sys(err, errno, "cannot inspect /dev/pts/ptmx");
	if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		return error_set(err, EINVAL, "/dev/pts/ptmx is not a terminal multiplexer; mount a devpts at /dev/pts");
	return 0;
}

int terminal_open(int root_fd, struct terminal *ret, struct error *err)
{
	_cleanup_(terminal_close) struct terminal t = TERMINAL_INIT;
	_cleanup_close_ int found = path_lookup(root_fd, "/dev/pts/ptmx", false);
	int unlock = 0, number, r;

	if (found < 0)
		return error_sys(err, found, "cannot make a terminal: no /dev/pts/ptmx; mount a devpts at /dev/pts");
	/* Looked at before it is opened for good: opening a device of somebody's choice can do harm. */
	r = check_ptmx(found, err);
	if (r < 0)
		return r;
	t.master = open(fd_path(found).s, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t.master < 0)
		return error_sys(err, errno, "cannot open /dev/pts/ptmx");
	if (ioctl(t.master, TIOCSPTLCK, &unlock) < 0 || ioctl(t.master, TIOCGPTN, &number) < 0)
		return error_sys(err, errno, "cannot unlock the terminal");
	t.slave = ioctl(t.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t.slave < 0)
		return error_sys(err, errno, "cannot open the slave side of the terminal");
	snprintf(t.name, sizeof(t.name), "/dev/pts/%d", number);
	*ret = t;
	t = TERMINAL_INIT;
	return 0;
}

int terminal_set_size(int fd, unsigned short columns, unsigned short rows)
{
	struct winsize size = { .ws_col = columns, .ws_row = rows };

	if (!columns && !rows)
		return 0;
	return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int terminal_copy_size(int from, int to)
{
	struct winsize size;

	if (ioctl(from, TIOCGWINSZ, &size) < 0)
		return 0;
	return ioctl(to, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int socket_send_fd(int sock, int fd, const char *data, struct error *err)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (char *)data, .iov_len = strlen(data) + 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	while (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot send a descriptor");
	return 0;
}

int socket_connect(int dir_fd, const char *path, int type, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int sock = -1, found = -1;

	sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return error_sys(err, errno, "cannot make a socket");
	if (dir_fd == AT_FDCWD && strlen(path) < sizeof(address.sun_path)) {
		strcpy(address.sun_path, path);
	} else { /* longer than an address can be, or below a directory: through a descriptor */
		found = openat(dir_fd, path, O_PATH | O_CLOEXEC);
		if (found < 0)
			return error_sys(err, errno, "cannot open the socket '%s'", path);
		strcpy(address.sun_path, fd_path(found).s);
	}
	if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_sys(err, errno, "cannot connect to the socket '%s'", path);
	return take_fd(&sock);
}
