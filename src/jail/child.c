#include "jail/child.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"
#include "host/lsm.h"
#include "host/path.h"

/* Waits for the caller's next CHANNEL_GO. A caller that died leaves nothing to go on for. */
static int wait_go(struct child *c, struct error *err)
{
	struct channel_message m;
	int fd, r = channel_receive(c->channel, &m, &fd);

	safe_close(fd);
	if (r < 0)
		return error_sys(err, r, "cannot hear from the runtime");
	if (r == 0)
		_exit(1);
	if (m.type != CHANNEL_GO)
		return error_set(err, EPROTO, "unexpected message %u from the runtime", m.type);
	c->outer_pid = m.code;
	return 0;
}

int child_wait_recorded(struct child *c, struct error *err)
{
	return c->outer_pid ? 0 : wait_go(c, err);
}

static int ask(struct child *c, enum channel_message_type question, struct error *err)
{
	int r = child_wait_recorded(c, err);

	if (r < 0)
		return r;
	r = channel_send(c->channel, question, 0, -1);
	return r < 0 ? error_sys(err, r, "cannot speak to the runtime") : wait_go(c, err);
}

static int set_oom_score(const struct child *c, struct error *err)
{
	char text[16];
	int r;

	if (!c->jail->process.has_oom_score_adj)
		return 0;
	snprintf(text, sizeof(text), "%d", c->jail->process.oom_score_adj);
	r = file_write_at(c->proc_fd, "self/oom_score_adj", text);
	/* Without privilege the score can only be raised; where it is asked lower, what we have is the nearest to it. */
	if (r == -EACCES && c->jail->rootless)
		return 0;
	return r < 0 ? error_sys(err, r, "cannot set the oom score adjustment to %s", text) : 0;
}

static int run_callback(struct child *c, int (*callback)(pid_t, void *, struct error *), struct error *err)
{
	int r;

	if (!callback)
		return 0;
	r = child_wait_recorded(c, err);
	return r < 0 ? r : callback(c->outer_pid, c->jail->callback_data, err);
}

/* Like runc and crun: a working directory that the image lacks is made. */
static int make_directory(const struct child *c, struct error *err)
{
	int fd = c->jail->process.cwd ? path_open(c->root_fd, c->jail->process.cwd, O_PATH, 0) : -1;

	if (fd == -ENOENT)
		fd = path_make_directory(c->root_fd, c->jail->process.cwd, 0755, err);
	else if (fd < 0)
		return 0; /* told by chdir(2) later */
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int set_names(const struct child *c, struct error *err)
{
	const char *host = c->jail->hostname, *domain = c->jail->domainname;

	if (host && sethostname(host, strlen(host)) < 0)
		return error_sys(err, errno, "cannot set the hostname to '%s'", host);
	if (domain && setdomainname(domain, strlen(domain)) < 0)
		return error_sys(err, errno, "cannot set the domainname to '%s'", domain);
	return 0;
}

static int build_root(struct child *c, struct error *err)
{
	const struct jail_callbacks *cb = &c->jail->callbacks;
	int r;

	r = child_open_root(c, err);
	if (r == 0)
		r = child_mount_all(c, err);
	if (r == 0)
		r = child_make_devices(c, err);
	if (r == 0)
		r = child_open_terminal(c, err);
	if (r == 0)
		r = make_directory(c, err);
	if (r == 0 && cb->before_pivot)
		r = ask(c, CHANNEL_MOUNTED, err);
	if (r == 0)
		r = run_callback(c, cb->container, err);
	if (r == 0)
		r = child_mask_paths(c, err);
	if (r == 0)
		r = child_switch_root(c, err);
	return r;
}

/* A process in namespaces that exist already, or in none: the root is where it is, or a directory there. */
static int use_root(struct child *c, struct error *err)
{
	const char *root = c->jail->chroot;
	int r = 0;

	if (c->jail->process.terminal) {
		c->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (c->root_fd < 0)
			return error_sys(err, errno, "cannot open the root directory");
		r = child_open_terminal(c, err);
	}
	if (r == 0 && root && (chroot(root) < 0 || chdir("/") < 0))
		r = error_sys(err, errno, "cannot make '%s' the root directory", root);
	return r;
}

/* While /proc is still the host's own. */
static int open_labels(struct child *c, struct error *err)
{
	const struct jail_process *p = &c->jail->process;

	if (p->apparmor) {
		c->apparmor_fd = lsm_open(LSM_APPARMOR_EXEC, err);
		if (c->apparmor_fd < 0)
			return c->apparmor_fd;
	}
	if (p->selinux) {
		c->selinux_fd = lsm_open(LSM_SELINUX_EXEC, err);
		if (c->selinux_fd < 0)
			return c->selinux_fd;
	}
	return 0;
}

static int prepare(struct child *c, struct error *err)
{
	const struct jail *jail = c->jail;
	bool foreign = jail->new_namespaces & CLONE_NEWUSER || jail->rootless;
	int r;

	r = set_oom_score(c, err);
	if (r == 0)
		r = open_labels(c, err);
	if (r == 0 && jail->new_namespaces & CLONE_NEWUSER)
		r = child_wait_recorded(c, err); /* the ids are mapped then */
	if (r == 0)
		r = child_enter_namespaces(c, err);
	/* Nobody who is in the namespaces already may look into this copy of the runtime (CVE-2016-9962). */
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = error_sys(err, errno, "cannot become undumpable");
	if (r == 0)
		r = set_names(c, err);
	if (r == 0)
		r = child_set_sysctls(c, err);
	if (r == 0)
		r = jail->rootfs ? build_root(c, err) : use_root(c, err);
	if (r == 0)
		r = child_take_stdio(c, err);
	if (r == 0 && foreign && (jail->process.n_rlimits || jail->process.scheduler || jail->process.has_io_priority))
		r = ask(c, CHANNEL_PREPARED, err);
	else if (r == 0)
		r = process_apply_privileged(&jail->process, 0, err);
	return r;
}

static int close_others(const struct child *c, struct error *err)
{
	unsigned first = 3 + (unsigned)c->jail->process.preserve_fds;

	/* On exec, not now: the channel and the gate are needed until then (CVE-2024-21626). */
	if (close_range(first, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return error_sys(err, errno, "cannot mark descriptors to be closed");
	for (unsigned fd = 3; fd < first; fd++)
		(void)fcntl((int)fd, F_SETFD, 0);
	return 0;
}

static int live(struct child *c, struct error *err)
{
	int r = prepare(c, err);

	if (r == 0)
		r = close_others(c, err);
	if (r == 0)
		r = child_become(c, err);
	return r < 0 ? r : child_launch(c, err);
}

void child_main(struct child *c)
{
	struct error err = ERROR_INIT;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	live(c, &err);
	channel_send_error(c->channel, &err);
	_exit(err.exit_status ? err.exit_status : 1);
}
