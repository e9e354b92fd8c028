#include "jail/jail.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "host/userns.h"
#include "jail/child.h"

/* jail_spawn() at work. */
struct spawn {
	struct jail *jail;
	struct cgroup_entry entry;
	struct cgroup_hierarchies hierarchies;
	int channel[2];  /* ours, the child's */
	int listener[2]; /* for the seccomp listener: ours, the child's */
	int proc_fd;
	bool cloned_into_cgroup;
	bool joins_by_itself; /* clone3 was not to be had: the child enters the v2 group too */
	pid_t pid;
	int pidfd;
	int terminal;
	bool ready;
};

static void spawn_end(struct spawn *s)
{
	cgroup_entry_close(&s->entry);
	cgroup_hierarchies_free(&s->hierarchies);
	for (int i = 0; i < 2; i++) {
		safe_close(s->channel[i]);
		safe_close(s->listener[i]);
	}
	safe_close(s->proc_fd);
	safe_close(s->pidfd);
	safe_close(s->terminal);
	jail_release_mounts(s->jail);
}

static int open_proc(struct error *err)
{
	_cleanup_close_ int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return error_sys(err, errno, "cannot open /proc");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return error_set(err, EINVAL, "/proc is not a procfs; mount one with: mount -t proc proc /proc");
	return take_fd(&fd);
}

static bool joins(const struct jail *jail, int type)
{
	if (jail->process_fd >= 0 && jail->join_process & type)
		return true;
	for (size_t i = 0; i < jail->n_joins; i++)
		if (jail->joins[i].type == type)
			return true;
	return false;
}

/* ---- clone ---- */

/* What CLONE_CLEAR_SIGHAND does. */
static void clear_handlers(void)
{
	struct sigaction action;

	for (int sig = 1; sig < NSIG; sig++)
		if (sigaction(sig, NULL, &action) == 0 && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL)
			signal(sig, SIG_DFL);
}

/* Inside a container whose filter hides clone3 (its flags cannot be judged): the same by clone, in more steps. */
static pid_t clone_old(struct spawn *s, int namespaces, uint64_t more, int *pidfd)
{
	unsigned long flags = (unsigned)namespaces | CLONE_PIDFD | more | (more & CLONE_PARENT ? 0 : SIGCHLD);
	pid_t pid;

	s->joins_by_itself = true;
	pid = (pid_t)syscall(SYS_clone, flags, NULL, pidfd, NULL, 0);
	if (pid == 0)
		clear_handlers();
	return pid;
}

static pid_t clone3(struct spawn *s, int namespaces, uint64_t more, int *pidfd)
{
	struct clone_args args = {
		.flags = (uint64_t)namespaces | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | more,
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = more & CLONE_PARENT ? 0 : SIGCHLD,
	};
	pid_t pid;

	if (s->entry.clone_fd >= 0 && !s->cloned_into_cgroup) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)s->entry.clone_fd;
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	return pid < 0 && errno == ENOSYS ? clone_old(s, namespaces, more, pidfd) : pid;
}

/* Into the group, or where that is not allowed any more, into the one beside its processes; see cgroup_entry_fall_back(). */
static pid_t clone_into_group(struct spawn *s, int namespaces, uint64_t more, int *pidfd, struct error *err)
{
	pid_t pid = clone3(s, namespaces, more, pidfd);

	if (pid < 0 && s->entry.clone_fd >= 0 && !s->cloned_into_cgroup &&
	    (errno == EBUSY || errno == EOPNOTSUPP || errno == EACCES)) {
		int r = cgroup_entry_fall_back(s->jail->cgroup, errno, s->jail->cgroup_init, &s->entry, err);

		if (r < 0)
			return r;
		pid = clone3(s, namespaces, more, pidfd);
	}
	if (pid < 0 && errno == ENOSPC)
		return error_set(err, ENOSPC, "cannot make the namespaces: more than this kernel's limit (/proc/sys/user/max_*_namespaces)");
	return pid < 0 ? error_sys(err, errno, "cannot make the container's process and namespaces") : pid;
}

_noreturn_ static void run_child(struct spawn *s, bool entered)
{
	struct child c = {
		.jail = s->jail,
		.channel = s->channel[1],
		.proc_fd = s->proc_fd,
		.root_fd = -1,
		.terminal = -1,
		.apparmor_fd = -1,
		.selinux_fd = -1,
		.listener_sock = s->listener[1],
		.entered = entered,
		.hierarchies = &s->hierarchies,
	};
	int r = entered ? 0 : cgroup_entry_join(&s->entry, s->entry.clone_fd >= 0 && !s->joins_by_itself);

	/* Only the caller may hold the other ends: their end tells that it died. */
	safe_close(s->channel[0]);
	safe_close(s->listener[0]);
	safe_close(s->jail->lock_fd);
	if (r < 0) {
		struct error err = ERROR_INIT;

		error_sys(&err, r, "cannot enter the control group");
		channel_send_error(c.channel, &err);
		_exit(1);
	}
	child_main(&c);
}

static int made_namespaces(const struct jail *jail)
{
	/* A cgroup namespace begins at the group we are in, a time namespace at the next program: both later. */
	return jail->new_namespaces & ~(CLONE_NEWCGROUP | CLONE_NEWTIME);
}

static int clone_direct(struct spawn *s, struct error *err)
{
	s->pid = clone_into_group(s, made_namespaces(s->jail), 0, &s->pidfd, err);
	if (s->pid < 0)
		return s->pid;
	if (s->pid == 0)
		run_child(s, false);
	return 0;
}

/* A pid namespace is entered by its children: we go there for the one clone and come back. */
static int clone_in_pid_namespace(struct spawn *s, struct error *err)
{
	_cleanup_close_ int own = namespace_open_pid(0, CLONE_NEWPID, err);
	int fd = s->jail->process_fd, r;

	if (own < 0)
		return own;
	for (size_t i = 0; i < s->jail->n_joins; i++)
		if (s->jail->joins[i].type == CLONE_NEWPID)
			fd = s->jail->joins[i].fd;
	if (setns(fd, CLONE_NEWPID) < 0)
		return error_sys(err, errno, "cannot enter the pid namespace");
	r = clone_direct(s, err);
	/* Without privilege over our own there is no way back; it only matters to children, of which we make no more. */
	if (setns(own, CLONE_NEWPID) < 0 && errno != EPERM && r == 0)
		r = error_sys(err, errno, "cannot return to the own pid namespace");
	return r;
}

/*
 * Other namespaces are made or entered with the rights of a user namespace that exists: a process in between goes there
 * and makes the child, as ours (CLONE_PARENT), so that we stay what we are.
 */
_noreturn_ static void run_between(struct spawn *s)
{
	struct child c = { .jail = s->jail, .channel = s->channel[1], .proc_fd = s->proc_fd };
	struct error err = ERROR_INIT;
	int r = cgroup_entry_join(&s->entry, s->entry.clone_fd >= 0 && !s->joins_by_itself);
	pid_t pid;

	if (r < 0)
		error_sys(&err, r, "cannot enter the control group");
	if (r == 0)
		r = child_join_namespaces(&c, &err);
	if (r == 0) {
		s->cloned_into_cgroup = true;
		pid = clone_into_group(s, made_namespaces(s->jail), CLONE_PARENT, &s->pidfd, &err);
		if (pid == 0)
			run_child(s, true);
		if (pid > 0)
			r = channel_send(c.channel, CHANNEL_CLONED, pid, s->pidfd);
		else
			r = pid;
	}
	if (r < 0)
		channel_send_error(c.channel, &err);
	_exit(r < 0);
}

static int receive(struct spawn *s, struct channel_message *m, int *fd, struct error *err);

static int clone_between(struct spawn *s, struct error *err)
{
	_cleanup_close_ int pidfd = -1;
	struct channel_message m;
	pid_t between;
	int r;

	between = clone_into_group(s, 0, 0, &pidfd, err);
	if (between < 0)
		return between;
	if (between == 0)
		run_between(s);
	s->channel[1] = safe_close(s->channel[1]);
	r = receive(s, &m, &s->pidfd, err);
	if (r == 0 && m.type != CHANNEL_CLONED)
		r = error_set(err, EPROTO, "unexpected message %u", m.type);
	if (r == 0)
		s->pid = m.code;
	while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

static int make_child(struct spawn *s, struct error *err)
{
	int r;

	/* Whoever is in that pid namespace already must never see a copy of us that he may look into. */
	if (joins(s->jail, CLONE_NEWPID) && !s->jail->rootless)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (joins(s->jail, CLONE_NEWUSER) && (made_namespaces(s->jail) || joins(s->jail, CLONE_NEWPID)))
		r = clone_between(s, err);
	else if (joins(s->jail, CLONE_NEWPID))
		r = clone_in_pid_namespace(s, err);
	else
		r = clone_direct(s, err);
	s->channel[1] = safe_close(s->channel[1]);
	s->listener[1] = safe_close(s->listener[1]);
	return r;
}

/* ---- conversation ---- */

/* Waits for the child to be gone, and tells how. */
static int reap(struct spawn *s)
{
	int status = 0;

	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
	return status;
}

static int died(struct spawn *s, struct error *err)
{
	int status = s->pid > 0 ? reap(s) : 0;

	if (WIFSIGNALED(status)) {
		int signal = WTERMSIG(status);
		int r = error_set(err, ECHILD, "the container's process was killed by signal %d (%s) while it was set up", signal,
				  sigabbrev_np(signal) ?: "?");

		/* Who deletes a box in which something is just being started: the end is the same as a moment later. */
		if (err)
			err->exit_status = 128 + signal;
		return r;
	}
	return error_set(err, ECHILD, "the container's process ended with status %d while it was set up", WEXITSTATUS(status));
}

/* The next message; the child's error becomes ours, its silent end one too unless it was READY. */
static int receive(struct spawn *s, struct channel_message *m, int *fd, struct error *err)
{
	int r = channel_receive(s->channel[0], m, fd);

	if (r < 0)
		return error_sys(err, r, "cannot hear from the container's process");
	if (r == 0)
		return s->ready ? 1 : died(s, err);
	if (m->type > CHANNEL_EXEC_ERROR)
		return 0;
	return channel_error(m, err);
}

static int go(struct spawn *s, struct error *err)
{
	int r = channel_send(s->channel[0], CHANNEL_GO, s->pid, -1);

	/* Nobody there: its last words are still to be read. */
	return r < 0 && r != -EPIPE ? error_sys(err, r, "cannot speak to the container's process") : 0;
}

static int take_listener(struct spawn *s, struct error *err)
{
	const struct jail *jail = s->jail;
	_cleanup_close_ int fd = seccomp_receive_listener(s->listener[0], err);

	if (fd < 0)
		return fd;
	return jail->callbacks.listener ? jail->callbacks.listener(s->pid, fd, jail->callback_data, err) : 0;
}

static int answer(struct spawn *s, const struct channel_message *m, int *fd, struct error *err)
{
	const struct jail *jail = s->jail;
	int r = 0;

	switch (m->type) {
	case CHANNEL_TERMINAL:
		safe_close(s->terminal);
		s->terminal = take_fd(fd);
		return 0;
	case CHANNEL_MOUNTED:
		if (jail->callbacks.before_pivot)
			r = jail->callbacks.before_pivot(s->pid, jail->callback_data, err);
		return r < 0 ? r : go(s, err);
	case CHANNEL_PREPARED:
		r = process_apply_privileged(&jail->process, s->pid, err);
		return r < 0 ? r : go(s, err);
	case CHANNEL_READY:
		s->ready = true;
		if (jail->process.seccomp && seccomp_program_listens(jail->process.seccomp))
			r = take_listener(s, err);
		return r;
	default:
		return error_set(err, EPROTO, "unexpected message %u from the container's process", m->type);
	}
}

static int converse(struct spawn *s, struct error *err)
{
	for (;;) {
		_cleanup_close_ int fd = -1;
		struct channel_message m;
		int r = receive(s, &m, &fd, err);

		if (r < 0)
			return r;
		if (r > 0) /* READY was the last word: the program runs */
			return 0;
		r = answer(s, &m, &fd, err);
		if (r < 0)
			return r;
		if (s->ready && s->jail->gate_fd >= 0)
			return 0;
	}
}

static int record(struct spawn *s, struct error *err)
{
	const struct jail *jail = s->jail;
	int r = 0;

	if (s->entry.attach)
		r = cgroup_attach(jail->cgroup, s->pid, err);
	if (r == 0 && jail->new_namespaces & CLONE_NEWUSER)
		r = userns_write_maps(s->pid, jail->uid_map, jail->gid_map, err);
	if (r == 0)
		r = jail->callbacks.created(s->pid, jail->callback_data, err);
	return r < 0 ? r : go(s, err);
}

static int prepare(struct spawn *s, struct error *err)
{
	const struct seccomp_program *filter = s->jail->process.seccomp;
	int r;

	r = jail_prepare_mounts(s->jail, err);
	if (r < 0)
		return r;
	/* Inherited by the child on its way into the control group. */
	r = process_set_affinity(s->jail->process.initial_cpus, err);
	if (r < 0)
		return r;
	s->proc_fd = open_proc(err);
	if (s->proc_fd < 0)
		return s->proc_fd;
	r = channel_open(s->channel, err);
	if (r == 0 && filter && seccomp_program_listens(filter))
		r = channel_open(s->listener, err);
	if (r == 0)
		r = jail_find_cgroups(s->jail, &s->hierarchies, err);
	if (r == 0 && s->jail->cgroup)
		r = cgroup_entry_open(s->jail->cgroup, s->jail->sub_cgroup, &s->entry, err);
	return r;
}

int jail_spawn(struct jail *jail, struct jail_spawned *ret, struct error *err)
{
	_cleanup_(spawn_end) struct spawn s = {
		.jail = jail,
		.entry = CGROUP_ENTRY_INIT,
		.channel = { -1, -1 },
		.listener = { -1, -1 },
		.proc_fd = -1,
		.pidfd = -1,
		.terminal = -1,
	};
	int r;

	r = prepare(&s, err);
	if (r == 0)
		r = make_child(&s, err);
	if (r == 0)
		r = record(&s, err);
	if (r == 0)
		r = converse(&s, err);
	if (r < 0) {
		if (s.pid > 0) {
			kill(s.pid, SIGKILL);
			reap(&s);
		}
		return r;
	}
	*ret = (struct jail_spawned){ .pid = s.pid, .pidfd = take_fd(&s.pidfd), .terminal = take_fd(&s.terminal) };
	return 0;
}
