#include "jail/child.h"

#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/fdio.h"
#include "host/netdev.h"

static int enter(int fd, int type, struct error *err)
{
	if (setns(fd, type) < 0)
		return error_sys(err, errno, "cannot enter the %s namespace", namespace_kind_of(type)->name);
	return 0;
}

static int enter_all(const struct jail *jail, bool with_pid, struct error *err)
{
	int process = jail->join_process & ~(with_pid ? 0 : CLONE_NEWPID);

	if (jail->process_fd >= 0 && process && setns(jail->process_fd, process) < 0)
		return error_sys(err, errno, "cannot enter the namespaces of the container's process");
	/* In the table's order, the user namespace first. The pid namespace is for children: the caller entered it. */
	for (size_t k = 0; k < NAMESPACE_KINDS; k++)
		for (size_t i = 0; i < jail->n_joins; i++) {
			int r;

			if (jail->joins[i].type != namespace_kinds[k].type ||
			    (jail->joins[i].type == CLONE_NEWPID && !with_pid))
				continue;
			r = enter(jail->joins[i].fd, jail->joins[i].type, err);
			if (r < 0)
				return r;
		}
	return 0;
}

static bool has_user_namespace(const struct jail *jail)
{
	if (jail->new_namespaces & CLONE_NEWUSER || (jail->process_fd >= 0 && jail->join_process & CLONE_NEWUSER))
		return true;
	for (size_t i = 0; i < jail->n_joins; i++)
		if (jail->joins[i].type == CLONE_NEWUSER)
			return true;
	return false;
}

/* In a user namespace the ids we came with mean nothing: be its root, who owns what the other steps make. */
static int become_root(const struct child *c, struct error *err)
{
	const struct id_maps *map = c->jail->uid_map;
	bool mapped = !(c->jail->new_namespaces & CLONE_NEWUSER);

	for (size_t i = 0; !mapped && map && i < map->n; i++)
		mapped = map->v[i].inside == 0;
	if (!mapped)
		return 0; /* a namespace without a root: its capabilities are all that the steps need */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return error_sys(err, errno, "cannot drop supplementary groups");
	/* EINVAL: one that exists and has no root */
	if (setresgid(0, 0, 0) < 0 && errno != EINVAL)
		return error_sys(err, errno, "cannot become group 0 in the user namespace");
	if (setresuid(0, 0, 0) < 0 && errno != EINVAL)
		return error_sys(err, errno, "cannot become root in the user namespace");
	return 0;
}

static int add_offset(char *buf, size_t size, const char *clock, const struct jail_time_offset *o)
{
	return o->set ? snprintf(buf, size, "%s %lld %u\n", clock, (long long)o->secs, o->nanosecs) : 0;
}

/*
 * A process does not move into the time namespace it makes, its children do, and from Linux 6.3 on its next program. The
 * offsets can be written until somebody is in it; then we enter it ourselves, for older kernels.
 */
static int make_time_namespace(const struct child *c, struct error *err)
{
	_cleanup_close_ int own = -1;
	char text[128];
	int n, r;

	if (unshare(CLONE_NEWTIME) < 0)
		return error_sys(err, errno, "cannot make a time namespace");
	n = add_offset(text, sizeof(text), "monotonic", &c->jail->monotonic);
	n += add_offset(text + n, sizeof(text) - (size_t)n, "boottime", &c->jail->boottime);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the change of user took our own files in /proc from us */
	r = n ? file_write_at(c->proc_fd, "self/timens_offsets", text) : 0;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (r < 0)
		return error_sys(err, r, "cannot set the offsets of the time namespace");
	own = openat(c->proc_fd, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(own, CLONE_NEWTIME) < 0)
		return error_sys(err, errno, "cannot enter the time namespace");
	return 0;
}

int child_join_namespaces(struct child *c, struct error *err)
{
	return enter_all(c->jail, true, err);
}

int child_enter_namespaces(struct child *c, struct error *err)
{
	const struct jail *jail = c->jail;
	int r;

	r = c->entered ? 0 : enter_all(jail, false, err);
	if (r == 0 && has_user_namespace(jail))
		r = become_root(c, err);
	/* Its root is the control group we are in, so it cannot be made together with us. */
	if (r == 0 && jail->new_namespaces & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
		r = error_sys(err, errno, "cannot make a cgroup namespace");
	if (r == 0 && jail->new_namespaces & CLONE_NEWNET)
		r = netdev_loopback_up(err);
	if (r == 0 && jail->new_namespaces & CLONE_NEWTIME)
		r = make_time_namespace(c, err);
	return r;
}
