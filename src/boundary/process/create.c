#include <string.h>

#include "base/json.h"
#include "boundary/process/process.h"
#include "boundary/process/track.h"
#include "oci/hooks.h"

/* A box in the making; the jail's callbacks get this. */
struct making {
	struct box *box;
	const struct oci_spec *spec;
	const struct cgroup *cgroup;
};

static int state_text(struct box *box, pid_t pid, enum box_status status, struct json_object **ret_owner, const char **ret,
		      struct error *err)
{
	int r;

	box->pid = pid;
	r = box_state_json(box, status, ret_owner, err);
	if (r < 0)
		return r;
	*ret = json_object_to_json_string_ext(*ret_owner, JSON_C_TO_STRING_PLAIN);
	return *ret ? 0 : error_oom(err);
}

static int run_hooks(struct making *m, const struct oci_hooks *hooks, const char *kind, pid_t pid, enum box_status status,
		     struct error *err)
{
	_cleanup_json_ struct json_object *owner = NULL;
	const char *state;
	int r;

	if (hooks->n == 0)
		return 0;
	r = state_text(m->box, pid, status, &owner, &state, err);
	return r < 0 ? r : oci_hooks_run(hooks, kind, state, err);
}

/* There are no namespaces to be made, so the hooks before and after that are one. */
static int on_created(pid_t pid, void *data, struct error *err)
{
	struct making *m = data;
	int r;

	r = box_set_pid(m->box, pid, err);
	if (r == 0)
		r = process_cgroup_record(m->box, m->cgroup, err);
	if (r == 0)
		r = box_save(m->box, err);
	if (r == 0)
		r = run_hooks(m, &m->spec->hooks.prestart, "prestart", pid, BOX_CREATING, err);
	if (r == 0)
		r = run_hooks(m, &m->spec->hooks.create_runtime, "createRuntime", pid, BOX_CREATING, err);
	return r < 0 ? r : run_hooks(m, &m->spec->hooks.create_container, "createContainer", pid, BOX_CREATING, err);
}

static int on_start(pid_t pid, void *data, struct error *err)
{
	struct making *m = data;

	return run_hooks(m, &m->spec->hooks.start_container, "startContainer", pid, BOX_CREATED, err);
}

static int on_listener(pid_t pid, int fd, void *data, struct error *err)
{
	struct making *m = data;
	const struct seccomp_policy *policy = m->spec->linux_.seccomp;
	_cleanup_json_ struct json_object *owner = NULL;
	const char *state;
	int r;

	if (!policy || !policy->listener_path)
		return error_set(err, EINVAL, "linux.seccomp notifies, but has no listenerPath");
	r = state_text(m->box, pid, BOX_CREATING, &owner, &state, err);
	return r < 0 ? r : seccomp_send_listener(policy->listener_path, fd, pid, policy->listener_metadata, state, err);
}

static int spawn(struct process_launch *l, const char *pidfd_socket, struct started *ret, struct error *err)
{
	struct jail_spawned spawned;
	int r = jail_spawn(&l->jail, &spawned, err);

	if (r < 0)
		return r;
	*ret = (struct started){ .pid = spawned.pid, .pidfd = spawned.pidfd, .terminal = spawned.terminal };
	r = jailed_send_pidfd(pidfd_socket, spawned.pidfd, err);
	if (r < 0)
		started_close(ret);
	return r;
}

int process_create(struct box *box, const struct oci_spec *spec, const struct create_options *options, struct started *ret,
		   struct error *err)
{
	_cleanup_(process_launch_free) struct process_launch l = PROCESS_LAUNCH_INIT;
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	struct making making = { .box = box, .spec = spec };
	struct jail_process *p = &l.jail.process;
	int r;

	if (!spec->process)
		return error_set(err, EINVAL, "the configuration has no process");
	r = process_launch_prepare(box, spec, spec->process, &l, err);
	if (r == 0)
		r = jailed_descriptors(options->preserve_fds, &l.jailed, p, err);
	if (r == 0)
		r = jailed_terminal(options->console_socket, options->detach, options->stdio, p, err);
	if (r == 0 && l.setup.host.cgroup)
		r = process_cgroup_make(box, spec, options->cgroup_manager, &cgroup, err);
	if (r == 0 && !options->run)
		r = l.jail.gate_fd = jail_make_gate(box->dir_fd, BOX_START_GATE, err);
	if (r < 0)
		return r;
	making.cgroup = l.jail.cgroup = cgroup;
	l.jail.lock_fd = box->dir_fd;
	l.jail.lock_fd = box->dir_fd;
	l.jail.callback_data = &making;
	l.jail.callbacks.created = on_created;
	l.jail.callbacks.listener = on_listener;
	if (spec->hooks.start_container.n)
		l.jail.callbacks.start = on_start;
	return spawn(&l, options->pidfd_socket, ret, err);
}

/* ---- exec ---- */

static int on_exec_created(pid_t pid, void *data, struct error *err)
{
	return 0;
}

/* Who looks for the box's processes must find this one too. */
static int note_session(const char *root, const char *id, pid_t pid, struct error *err)
{
	_cleanup_box_ struct box *box = NULL;
	int r = box_load(root, id, true, &box, err);

	if (r == 0)
		r = track_add_session(box, pid, err);
	return r < 0 ? r : box_save(box, err);
}

static int on_exec_session(pid_t pid, void *data, struct error *err)
{
	const struct box *box = data;

	return note_session(box->root, box->id, pid, err);
}

int process_exec(struct box *box, const struct oci_spec *spec, const struct exec_request *request, struct started *ret,
		 struct error *err)
{
	_cleanup_(process_launch_free) struct process_launch l = PROCESS_LAUNCH_INIT;
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	struct jail_process *p = &l.jail.process;
	int r;

	r = process_cgroup_find(box, &cgroup, err);
	if (r == 0 && request->cgroup && !cgroup)
		r = error_set(err, ENOTSUP, "container '%s' has no control group", box->id);
	if (r == 0)
		r = process_launch_prepare(box, spec, request->process, &l, err);
	if (r == 0)
		r = jailed_descriptors(request->preserve_fds, &l.jailed, p, err);
	if (r == 0)
		r = jailed_terminal(request->console_socket, request->detach, request->stdio, p, err);
	if (r < 0)
		return r;
	p->initial_cpus = request->process->exec_cpu_affinity.initial;
	p->final_cpus = request->process->exec_cpu_affinity.final;
	l.jail.cgroup = cgroup;
	l.jail.sub_cgroup = request->cgroup;
	l.jail.cgroup_init = box->pid;
	l.jail.callback_data = box;
	l.jail.callbacks.created = cgroup ? on_exec_created : on_exec_session;
	return spawn(&l, request->pidfd_socket, ret, err);
}
