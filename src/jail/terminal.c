#include "host/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "host/mount.h"
#include "host/path.h"
#include "jail/child.h"

/* OCI runtime-spec, config, "terminal": /dev/console is the slave, bound by descriptor. */
static int bind_console(const struct child *c, int slave, struct error *err)
{
	_cleanup_close_ int dev_fd = -1, target = -1, tree = -1;
	int r;

	dev_fd = path_make_directory(c->root_fd, "/dev", 0755, err);
	if (dev_fd < 0)
		return dev_fd;
	target = openat(dev_fd, "console", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	safe_close(target);
	target = openat(dev_fd, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return error_sys(err, errno, "cannot make /dev/console");
	tree = mount_clone(slave, false);
	r = tree < 0 ? tree : mount_attach(tree, target);
	return r < 0 ? error_sys(err, r, "cannot mount the terminal on /dev/console") : 0;
}

static int hand_over(const struct child *c, const struct terminal *t, struct error *err)
{
	int r;

	if (c->jail->process.console_socket >= 0)
		return socket_send_fd(c->jail->process.console_socket, t->master, t->name, err);
	r = channel_send(c->channel, CHANNEL_TERMINAL, 0, t->master);
	return r < 0 ? error_sys(err, r, "cannot hand over the terminal") : 0;
}

int child_open_terminal(struct child *c, struct error *err)
{
	const struct jail_process *p = &c->jail->process;
	_cleanup_(terminal_close) struct terminal t = TERMINAL_INIT;
	int r;

	if (!p->terminal)
		return 0;
	r = terminal_open(c->root_fd, &t, err);
	if (r < 0)
		return r;
	r = p->console_width || p->console_height ? terminal_set_size(t.master, p->console_width, p->console_height) :
						    terminal_copy_size(STDIN_FILENO, t.master);
	if (r < 0)
		return error_sys(err, r, "cannot set the size of the terminal");
	if (p->uid && fchown(t.slave, p->uid, (gid_t)-1) < 0 && errno != EPERM)
		return error_sys(err, errno, "cannot give the terminal to user %u", p->uid);
	if (c->jail->rootfs && c->jail->standard_dev)
		r = bind_console(c, t.slave, err);
	if (r == 0)
		r = hand_over(c, &t, err);
	if (r == 0)
		c->terminal = take_fd(&t.slave);
	return r;
}

/* The user must be able to open /dev/stdout again, which is a link to what is behind it. */
static void give_away(int fd, uint32_t uid)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_uid == uid || S_ISCHR(st.st_mode))
		return;
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		(void)!fchown(fd, uid, (gid_t)-1); /* not ours to give: then it stays as it is */
}

static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/*
 * The caller's /dev/null is a file of the host's, which keeps its mount alive and which a checkpoint cannot find again:
 * the root's own takes its place, when it is one. Looked at before it is opened, since it may be anything.
 */
static void take_own_null(const struct child *c, int fd)
{
	_cleanup_close_ int found = -1, own = -1;
	char link[32];

	if (!is_null(fd))
		return;
	found = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (found < 0 || !is_null(found))
		return;
	snprintf(link, sizeof(link), "self/fd/%d", found);
	own = openat(c->proc_fd, link, (fcntl(fd, F_GETFL) & O_ACCMODE) | O_CLOEXEC);
	if (own >= 0)
		dup2(own, fd);
}

int child_take_stdio(struct child *c, struct error *err)
{
	const struct jail_process *p = &c->jail->process;

	if (p->new_session && setsid() < 0 && errno != EPERM)
		return error_sys(err, errno, "cannot start a new session");
	if (c->terminal >= 0 && ioctl(c->terminal, TIOCSCTTY, 0) < 0)
		return error_sys(err, errno, "cannot take the terminal as the controlling one");
	for (int i = 0; i < 3; i++) {
		int from = c->terminal >= 0 ? c->terminal : p->stdio[i];

		if (from >= 0 && from != i && dup2(from, i) < 0)
			return error_sys(err, errno, "cannot set up descriptor %d", i);
		if (c->terminal < 0 && p->uid)
			give_away(i, p->uid);
		if (c->jail->rootfs)
			take_own_null(c, i);
	}
	return 0;
}
