#include "boundary/process/process.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/json.h"
#include "boundary/process/track.h"
#include "host/cgroup_stats.h"

#define FREEZE_TIMEOUT_MS 10000
#define PAUSED_KEY "paused"

static void process_probe(struct probe *ret)
{
	static const struct process_policy plain = { .floor = PROCESS_PROMISES_ALL };
	struct process_host host;
	unsigned missing;
	size_t used = 0;

	*ret = (struct probe){ .usable = true };
	process_host_probe(&host);
	missing = process_promises_missing(&plain, &host);
	for (unsigned i = 0; process_promise_name(i); i++) {
		const char *why;

		if (!(missing & 1u << i))
			continue;
		ret->usable = false;
		process_promise_kept(1u << i, &plain, &host, &why);
		if (used < sizeof(ret->reason))
			used += (size_t)snprintf(ret->reason + used, sizeof(ret->reason) - used, "%s%s: %s", used ? "; " : "",
						 process_promise_name(i), why);
	}
	if (host.landlock == 0)
		snprintf(ret->mend, sizeof(ret->mend), "add lsm=landlock,lockdown,yama,integrity,apparmor,bpf to the kernel's command line and boot again");
}

static int process_start(struct box *box, struct error *err)
{
	int r = jail_release(box->dir_fd, BOX_START_GATE, err);

	/* Whatever came of it, this gate does not open twice: a process that failed is gone. */
	unlinkat(box->dir_fd, BOX_START_GATE, 0);
	return r;
}

static int signal_first(const struct box *box, int signal, struct error *err)
{
	_cleanup_close_ int pidfd = box_pidfd(box, err);

	if (pidfd < 0)
		return pidfd;
	if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0)
		return error_sys(err, errno, "cannot send signal %d to container '%s'", signal, box->id);
	return 0;
}

static int process_signal(struct box *box, int signal, bool all, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r;

	if (!all)
		return signal_first(box, signal, err);
	r = process_cgroup_find(box, &cgroup, err);
	if (r < 0)
		return r;
	return cgroup ? cgroup_kill(cgroup, signal, err) : track_signal(box, signal, err);
}

static int set_paused(struct box *box, bool paused, struct error *err)
{
	if (json_object_object_add(box->data, PAUSED_KEY, json_object_new_boolean(paused)) < 0)
		return error_oom(err);
	return box_save(box, err);
}

/* Without a control group: SIGSTOP to all. A stopped process cannot continue another. */
static int process_pause(struct box *box, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = process_cgroup_find(box, &cgroup, err);

	if (r < 0)
		return r;
	if (cgroup)
		return cgroup_freeze(cgroup, FREEZE_TIMEOUT_MS, err);
	r = track_signal(box, SIGSTOP, err);
	return r < 0 ? r : set_paused(box, true, err);
}

static int process_resume(struct box *box, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = process_cgroup_find(box, &cgroup, err);

	if (r < 0)
		return r;
	if (cgroup)
		return cgroup_thaw(cgroup, err);
	r = track_signal(box, SIGCONT, err);
	return r < 0 ? r : set_paused(box, false, err);
}

static bool process_paused(const struct box *box)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	bool paused = false;

	if (process_cgroup_find(box, &cgroup, NULL) < 0)
		return false;
	if (cgroup)
		return cgroup_is_frozen(cgroup, &paused, NULL) == 0 && paused;
	json_get_bool(box->data, "data", PAUSED_KEY, &paused, NULL);
	return paused;
}

static int process_update(struct box *box, const struct cgroup_resources *resources, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = process_cgroup_find(box, &cgroup, err);

	if (r == 0 && !cgroup)
		r = error_set(err, ENOTSUP, "cannot update container '%s': it was made without limits, so it has no control group", box->id);
	return r < 0 ? r : cgroup_update(cgroup, resources, err);
}

static int process_pids(struct box *box, pid_t **ret, size_t *ret_n, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = process_cgroup_find(box, &cgroup, err);

	if (r < 0)
		return r;
	return cgroup ? cgroup_pids(cgroup, ret, ret_n, err) : track_processes(box, ret, ret_n, NULL, err);
}

/* In runc's form; what the process table tells. */
static struct json_object *usage_json(const struct process_usage *u)
{
	struct json_object *o = json_object_new_object(), *cpu = json_object_new_object(), *usage = json_object_new_object();
	struct json_object *memory = json_object_new_object(), *bytes = json_object_new_object(), *pids = json_object_new_object();

	json_object_object_add(usage, "total", json_object_new_uint64(u->cpu_ns));
	json_object_object_add(cpu, "usage", usage);
	json_object_object_add(bytes, "usage", json_object_new_uint64(u->memory_bytes));
	json_object_object_add(memory, "usage", bytes);
	json_object_object_add(pids, "current", json_object_new_uint64(u->count));
	json_object_object_add(o, "cpu", cpu);
	json_object_object_add(o, "memory", memory);
	json_object_object_add(o, "pids", pids);
	return o;
}

static int process_stats(struct box *box, struct json_object **ret, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	_cleanup_cgroup_stats_ struct cgroup_stats stats = { 0 };
	_cleanup_free_ pid_t *pids = NULL;
	struct process_usage usage;
	size_t n;
	int r = process_cgroup_find(box, &cgroup, err);

	if (r < 0)
		return r;
	r = cgroup ? cgroup_stats_read(cgroup, &stats, err) : track_processes(box, &pids, &n, &usage, err);
	if (r < 0)
		return r;
	*ret = cgroup ? cgroup_stats_to_json(&stats) : usage_json(&usage);
	return *ret ? 0 : error_oom(err);
}

static int process_destroy(struct box *box, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	int r = process_cgroup_find(box, &cgroup, err);

	if (r < 0)
		return r;
	if (cgroup && cgroup_exists(cgroup)) {
		cgroup_thaw(cgroup, NULL); /* a frozen process cannot die */
		cgroup_kill(cgroup, SIGKILL, NULL);
		return cgroup_destroy(cgroup, err);
	}
	return box->pid > 0 ? track_kill(box, err) : 0;
}

const struct boundary_ops process_boundary = {
	.name = "process",
	.summary = "Landlock and a default-deny seccomp filter around an ordinary process; no privilege, no namespaces",
	.strength = BOUNDARY_STRENGTH_PROCESS,
	.caps = BOUNDARY_EXEC | BOUNDARY_PAUSE | BOUNDARY_UPDATE | BOUNDARY_STATS | BOUNDARY_TERMINAL | BOUNDARY_ROOTLESS,
	.probe = process_probe,
	.plan = process_plan,
	.create = process_create,
	.start = process_start,
	.exec = process_exec,
	.signal = process_signal,
	.pause = process_pause,
	.resume = process_resume,
	.paused = process_paused,
	.update = process_update,
	.stats = process_stats,
	.pids = process_pids,
	.destroy = process_destroy,
};
