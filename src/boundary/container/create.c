#include "boundary/container/container.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <string.h>

#include "base/json.h"
#include "host/netdev.h"
#include "host/resctrl.h"
#include "host/userns.h"
#include "oci/hooks.h"

/* A box in the making; the jail's callbacks get this. */
struct making {
	struct box *box;
	const struct oci_spec *spec;
	const struct resctrl *rdt; /* or NULL */
};

static int state_text(struct making *m, pid_t pid, enum box_status status, struct json_object **ret_owner, const char **ret,
		      struct error *err)
{
	int r;

	m->box->pid = pid;
	r = box_state_json(m->box, status, ret_owner, err);
	if (r < 0)
		return r;
	*ret = json_object_to_json_string_ext(*ret_owner, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
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
	r = state_text(m, pid, status, &owner, &state, err);
	return r < 0 ? r : oci_hooks_run(hooks, kind, state, err);
}

static int move_net_devices(const struct oci_linux *l, pid_t pid, struct error *err)
{
	_cleanup_close_ int netns = -1;
	int r = 0;

	if (l->n_net_devices == 0)
		return 0;
	netns = namespace_open_pid(pid, CLONE_NEWNET, err);
	if (netns < 0)
		return netns;
	for (size_t i = 0; i < l->n_net_devices && r == 0; i++)
		r = netdev_move(l->net_devices[i].name, l->net_devices[i].new_name ?: l->net_devices[i].name, netns, err);
	return r;
}

static int on_created(pid_t pid, void *data, struct error *err)
{
	struct making *m = data;
	int r;

	r = box_set_pid(m->box, pid, err);
	if (r == 0 && m->rdt)
		r = resctrl_attach(m->rdt, pid, err);
	if (r == 0)
		r = box_save(m->box, err);
	return r < 0 ? r : move_net_devices(&m->spec->linux_, pid, err);
}

static int on_before_pivot(pid_t pid, void *data, struct error *err)
{
	struct making *m = data;
	int r = run_hooks(m, &m->spec->hooks.prestart, "prestart", pid, BOX_CREATING, err);

	return r < 0 ? r : run_hooks(m, &m->spec->hooks.create_runtime, "createRuntime", pid, BOX_CREATING, err);
}

static int on_container(pid_t pid, void *data, struct error *err)
{
	struct making *m = data;

	return run_hooks(m, &m->spec->hooks.create_container, "createContainer", pid, BOX_CREATING, err);
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

	if (!policy->listener_path)
		return error_set(err, EINVAL, "linux.seccomp notifies, but has no listenerPath");
	r = state_text(m, pid, BOX_CREATING, &owner, &state, err);
	return r < 0 ? r : seccomp_send_listener(policy->listener_path, fd, pid, policy->listener_metadata, state, err);
}

static void set_callbacks(struct jail *jail, struct making *m)
{
	const struct oci_spec *s = m->spec;

	jail->callback_data = m;
	jail->callbacks.created = on_created;
	if (s->hooks.prestart.n || s->hooks.create_runtime.n)
		jail->callbacks.before_pivot = on_before_pivot;
	if (s->hooks.create_container.n)
		jail->callbacks.container = on_container;
	if (s->hooks.start_container.n)
		jail->callbacks.start = on_start;
	jail->callbacks.listener = on_listener;
}

static int set_keyring(const struct box *box, const struct create_options *o, struct container_jail *cj, struct error *err)
{
	if (o->no_new_keyring)
		return 0;
	if (asprintf(&cj->keyring, "_ses.%s", box->id) < 0) {
		cj->keyring = NULL;
		return error_oom(err);
	}
	cj->jail.process.keyring = cj->keyring;
	return 0;
}

static int translate(const struct box *box, const struct oci_spec *spec, const struct create_options *options,
		     struct container_jail *cj, struct error *err)
{
	int r = translate_world(box, spec, options, cj, err);

	if (r == 0)
		r = translate_process(box, spec, spec->process, cj, err);
	if (r == 0)
		r = jailed_descriptors(options->preserve_fds, &cj->process, &cj->jail.process, err);
	if (r == 0)
		r = jailed_terminal(options->console_socket, options->detach, options->stdio, &cj->jail.process, err);
	return r < 0 ? r : set_keyring(box, options, cj, err);
}

static int make_cgroup(const struct box *box, const struct oci_spec *spec, const struct create_options *options, bool rootless,
		       struct cgroup **ret, struct error *err)
{
	_cleanup_free_ struct cgroup_annotation *annotations = NULL;
	struct cgroup_request request;
	int r = container_cgroup_request(box, spec, options->cgroup_manager, rootless, &request, &annotations, err);

	return r < 0 ? r : cgroup_create(&request, ret, err);
}

int container_create(struct box *box, const struct oci_spec *spec, const struct create_options *options,
		     struct started *ret, struct error *err)
{
	_cleanup_container_jail_ struct container_jail cj = CONTAINER_JAIL_INIT;
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	bool rootless = options->rootless == TRI_AUTO ? geteuid() != 0 || !userns_is_initial() : options->rootless == TRI_YES;
	struct making making = { .box = box, .spec = spec };
	_cleanup_close_ int notify = -1;
	struct jail_spawned spawned;
	int r;

	r = translate(box, spec, options, &cj, err);
	if (r == 0)
		r = container_notify_prepare(box, &cj, &notify, err);
	if (r == 0 && !options->run)
		r = cj.jail.gate_fd = jail_make_gate(box->dir_fd, BOX_START_GATE, err);
	if (r >= 0)
		r = container_record_manager(box, options->cgroup_manager, err);
	if (r == 0)
		r = make_cgroup(box, spec, options, rootless, &cgroup, err);
	/* In memory now, so that a failure finds it; on disk as soon as there is a process. */
	if (r == 0)
		r = container_record(box, cgroup, spec, rootless, err);
	if (r < 0) {
		if (cgroup && !json_object_object_get(box->data, "cgroup"))
			cgroup_destroy(cgroup, NULL);
		return r;
	}
	r = container_rdt_make(box, spec, &rdt, err);
	if (r < 0)
		return r;
	making.rdt = rdt;
	cj.jail.lock_fd = box->dir_fd;
	cj.jail.cgroup = cgroup;
	cj.jail.rootless = rootless;
	set_callbacks(&cj.jail, &making);
	r = jail_spawn(&cj.jail, &spawned, err);
	if (r < 0)
		return r;
	*ret = (struct started){ .pid = spawned.pid, .pidfd = spawned.pidfd, .terminal = spawned.terminal };
	r = jailed_send_pidfd(options->pidfd_socket, spawned.pidfd, err);
	if (r < 0)
		started_close(ret);
	else if (options->run)
		container_notify_wait(box, take_fd(&notify), !options->detach);
	return r;
}
