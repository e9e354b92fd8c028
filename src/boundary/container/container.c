#include "boundary/container/container.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "host/cgroup_stats.h"
#include "host/process_info.h"
#include "host/resctrl.h"

#define KILL_TIMEOUT_MS 10000
#define KILL_POLL_MS 50
#define RECOVER_TIMEOUT_MS 2000
#define FREEZE_TIMEOUT_MS 10000

static int container_start(struct box *box, struct error *err)
{
	int notify = container_notify_listen(box, err);
	int r = notify < -1 ? notify : jail_release(box->dir_fd, BOX_START_GATE, err);

	/* Whatever came of it, this gate does not open twice: a process that failed is gone. */
	unlinkat(box->dir_fd, BOX_START_GATE, 0);
	if (r < 0) {
		safe_close(notify);
		return r;
	}
	box_unlock(box); /* it runs; getting ready may take its time */
	container_notify_wait(box, notify, false);
	return 0;
}

static int container_pids(struct box *box, pid_t **ret, size_t *ret_n, struct error *err);

static int signal_members(struct box *box, int signal, struct error *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t n;
	int r = container_pids(box, &pids, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++)
		if (kill(pids[i], signal) < 0 && errno != ESRCH)
			r = error_sys(err, errno, "cannot send signal %d to process %d", signal, (int)pids[i]);
	return r;
}

static int signal_all(struct box *box, int signal, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = container_cgroup(box, &cgroup, err);

	if (r < 0)
		return r;
	return cgroup_exists(cgroup) ? cgroup_kill(cgroup, signal, err) : signal_members(box, signal, err);
}

static int container_signal(struct box *box, int signal, bool all, struct error *err)
{
	_cleanup_close_ int pidfd = -1;

	if (all)
		return signal_all(box, signal, err);
	pidfd = box_pidfd(box, err);
	if (pidfd < 0)
		return pidfd;
	if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0)
		return error_sys(err, errno, "cannot send signal %d to container '%s'", signal, box->id);
	return 0;
}

/* The box's group, for verbs that make no sense without one. */
static int need_cgroup(const struct box *box, const char *what, struct cgroup **ret, struct error *err)
{
	int r = container_cgroup(box, ret, err);

	if (r == 0 && !cgroup_exists(*ret))
		r = error_set(err, ENOTSUP, "cannot %s container '%s': it has no control group", what, box->id);
	return r;
}

static int container_pause(struct box *box, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = need_cgroup(box, "pause", &cgroup, err);

	return r < 0 ? r : cgroup_freeze(cgroup, FREEZE_TIMEOUT_MS, err);
}

static int container_resume(struct box *box, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = need_cgroup(box, "resume", &cgroup, err);

	return r < 0 ? r : cgroup_thaw(cgroup, err);
}

static bool container_paused(const struct box *box)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	bool frozen = false;

	if (container_cgroup(box, &cgroup, NULL) < 0 || !cgroup_exists(cgroup))
		return false;
	return cgroup_is_frozen(cgroup, &frozen, NULL) == 0 && frozen;
}

static int container_update(struct box *box, const struct cgroup_resources *resources, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = need_cgroup(box, "update", &cgroup, err);

	return r < 0 ? r : cgroup_update(cgroup, resources, err);
}

static int container_watch_oom(struct box *box, struct cgroup_oom **ret, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = need_cgroup(box, "watch", &cgroup, err);

	return r < 0 ? r : cgroup_oom_open(cgroup, ret, err);
}

static int container_stats(struct box *box, struct json_object **ret, struct error *err)
{
	_cleanup_cgroup_stats_ struct cgroup_stats stats = { 0 };
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = need_cgroup(box, "read statistics of", &cgroup, err);

	if (r == 0)
		r = cgroup_stats_read(cgroup, &stats, err);
	if (r == 0)
		r = container_rdt(box, &rdt, err);
	if (r < 0)
		return r;
	*ret = cgroup_stats_to_json(&stats);
	if (*ret && rdt && json_object_object_add(*ret, "intel_rdt", resctrl_stats_to_json(rdt)) < 0) {
		json_object_put(*ret);
		*ret = NULL;
	}
	return *ret ? 0 : error_oom(err);
}

static int container_pids(struct box *box, pid_t **ret, size_t *ret_n, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = container_cgroup(box, &cgroup, err);

	if (r < 0)
		return r;
	if (cgroup_exists(cgroup))
		return cgroup_pids(cgroup, ret, ret_n, err);
	if (!container_owns_pids(box))
		return error_set(err, ENOTSUP,
				 "cannot tell the processes of container '%s': it has neither a control group nor a pid namespace",
				 box->id);
	return namespace_members(box->pid, CLONE_NEWPID, ret, ret_n, err);
}

static bool has_ended(pid_t pid)
{
	struct process_info info;

	return process_info_read(pid, &info) < 0 || info.ended;
}

/* Kills the first process and waits until it is gone, and with it all others of its pid namespace. */
static int end_process(const struct box *box, struct cgroup *cgroup, struct error *err)
{
	_cleanup_close_ int pidfd = box_pidfd(box, NULL);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd < 0)
		return 0;
	if (cgroup_exists(cgroup))
		cgroup_thaw(cgroup, NULL); /* a frozen process cannot die */
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return errno == ESRCH ? 0 : error_sys(err, errno, "cannot kill container '%s'", box->id);
	for (int waited = 0; waited < KILL_TIMEOUT_MS; waited += KILL_POLL_MS)
		if (poll(&p, 1, KILL_POLL_MS) > 0 || has_ended(box->pid))
			return 0;
	return error_set(err, ETIMEDOUT, "process %d of container '%s' does not die", (int)box->pid, box->id);
}

static int container_destroy(struct box *box, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = container_cgroup(box, &cgroup, err);

	if (r == 0)
		r = end_process(box, cgroup, err);
	if (r == 0)
		r = container_rdt_destroy(box, err);
	if (r < 0 || !cgroup_exists(cgroup))
		return r;
	if (!container_owns_pids(box))
		cgroup_kill(cgroup, SIGKILL, NULL); /* whoever is left; cgroup_destroy() tells */
	return cgroup_destroy(cgroup, err);
}

/* Before the record there are only the control group and the class of service that we made. */
static int container_recover(struct box *box, const struct oci_spec *spec, struct error *err)
{
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	struct error why = ERROR_INIT;
	int r;

	if (container_rdt_make(box, spec, &rdt, &why) == 0 && rdt)
		resctrl_destroy(rdt, &why);

	/* Its process, if there was one already, ends when it finds its creator dead; until then the group is busy. One
	 * that stays busy is not the one that was just begun. */
	for (int waited = 0; (r = container_cgroup_again(box, spec, CGROUP_MANAGER_CGROUPFS, &cgroup, &why)) == -EBUSY &&
			     waited < RECOVER_TIMEOUT_MS; waited += KILL_POLL_MS)
		poll(NULL, 0, KILL_POLL_MS);
	if (r < 0) {
		log_debug("%s", why.message);
		return 0;
	}
	return cgroup_exists(cgroup) ? cgroup_destroy(cgroup, err) : 0;
}

const struct boundary_ops container_boundary = {
	.name = "container",
	.summary = "own namespaces, mounts, control group, capabilities and a seccomp filter on the host's kernel",
	.strength = BOUNDARY_STRENGTH_CONTAINER,
	.caps = BOUNDARY_EXEC | BOUNDARY_PAUSE | BOUNDARY_UPDATE | BOUNDARY_STATS | BOUNDARY_TERMINAL | BOUNDARY_NETWORK |
		BOUNDARY_ROOTLESS | BOUNDARY_CHECKPOINT,
	.probe = container_probe,
	.plan = container_plan,
	.create = container_create,
	.start = container_start,
	.exec = container_exec,
	.signal = container_signal,
	.pause = container_pause,
	.resume = container_resume,
	.paused = container_paused,
	.update = container_update,
	.update_rdt = container_update_rdt,
	.stats = container_stats,
	.watch_oom = container_watch_oom,
	.pids = container_pids,
	.checkpoint = container_checkpoint,
	.restore = container_restore,
	.recover = container_recover,
	.destroy = container_destroy,
};
