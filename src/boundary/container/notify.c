/*
 * sd_notify(3): a service manager that started us waits for READY=1 on $NOTIFY_SOCKET, which the box cannot reach. It gets
 * a socket of its own at /run/notify/notify, and whoever starts the box passes on what comes from there, as crun does.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/strv.h"
#include "boundary/container/container.h"
#include "host/path.h"

#define NOTIFY_DIR "notify"
#define NOTIFY_INSIDE "/run/notify"
#define MESSAGE_MAX 4096

/* Both for create (nobody listens yet) and for start (which takes the place of what create left). */
static int listen_in(int dir_fd, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int notify_fd = -1, sock = -1;

	if (mkdirat(dir_fd, NOTIFY_DIR, 0755) < 0 && errno != EEXIST)
		return error_sys(err, errno, "cannot make the directory of the notify socket");
	notify_fd = openat(dir_fd, NOTIFY_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	sock = notify_fd < 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return error_sys(err, errno, "cannot make the notify socket");
	unlinkat(notify_fd, "notify", 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", fd_path(notify_fd).s);
	/* Any user of the box may say that it is ready. */
	if (bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 || fchmodat(notify_fd, "notify", 0777, 0) < 0)
		return error_sys(err, errno, "cannot make the notify socket");
	return take_fd(&sock);
}

int container_notify_prepare(const struct box *box, struct container_jail *cj, int *ret_sock, struct error *err)
{
	struct jail_mount *m;
	char *source;

	if (!getenv("NOTIFY_SOCKET") || !cj->jail.rootfs)
		return 0;
	*ret_sock = listen_in(box->dir_fd, err);
	if (*ret_sock < 0)
		return *ret_sock;
	m = reallocarray(cj->mounts, cj->jail.n_mounts + 1, sizeof(*m));
	if (!m)
		return error_oom(err);
	cj->jail.mounts = cj->mounts = m;
	if (asprintf(&source, "%s/%s/" NOTIFY_DIR, box->root, box->id) < 0 || strv_push(&cj->sources, source) < 0)
		return error_oom(err);
	m[cj->jail.n_mounts] = (struct jail_mount){
		.kind = JAIL_MOUNT_BIND,
		.destination = NOTIFY_INSIDE,
		.source = source,
		.options.flags = MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		.tree_fd = -1,
	};
	cj->jail.n_mounts++;
	if (strv_env_set(&cj->process.env, "NOTIFY_SOCKET=" NOTIFY_INSIDE "/notify") < 0)
		return error_oom(err);
	cj->jail.process.env = cj->process.env;
	return 0;
}

/* Of a message only what the manager may hear from a stranger: that the box is ready, and which process it is. */
static void pass_on(const struct box *box)
{
	const char *manager = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t len = strlen(manager);
	char text[64];
	int n = snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1", (int)box->pid);

	if (sock < 0 || len >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, manager, len);
	if (*manager == '@')
		address.sun_path[0] = 0; /* an abstract name */
	if (sendto(sock, text, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn("cannot tell the service manager at '%s' that the box is ready: %m", manager);
}

static bool says_ready(char *message)
{
	char *save = NULL;

	for (char *line = strtok_r(message, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strcmp(line, "READY=1") == 0)
			return true;
	return false;
}

/* Waits until the box is ready, or gone. */
static void wait_ready(const struct box *box, int sock)
{
	_cleanup_close_ int pidfd = box_pidfd(box, NULL);
	struct pollfd fds[] = { { .fd = sock, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };

	while (pidfd >= 0) {
		char message[MESSAGE_MAX + 1];
		ssize_t n;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (!fds[0].revents)
			return; /* ended without a word */
		n = recv(sock, message, MESSAGE_MAX, MSG_DONTWAIT);
		if (n <= 0)
			continue;
		message[n] = 0;
		if (says_ready(message))
			return pass_on(box);
	}
}

int container_notify_listen(const struct box *box, struct error *err)
{
	if (!getenv("NOTIFY_SOCKET") || faccessat(box->dir_fd, NOTIFY_DIR, F_OK, 0) < 0)
		return -1;
	return listen_in(box->dir_fd, err);
}

void container_notify_wait(const struct box *box, int sock, bool foreground)
{
	if (sock < 0)
		return;
	if (foreground) {
		/* The caller has a terminal and signals to serve: somebody else waits, and ends with the box at the latest. */
		if (fork() == 0) {
			wait_ready(box, sock);
			_exit(0);
		}
	} else {
		wait_ready(box, sock);
	}
	close(sock);
}
