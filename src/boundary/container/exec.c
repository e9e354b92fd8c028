#include "boundary/container/container.h"

#include <string.h>

#include "host/resctrl.h"

/* The box's class of service is that of everything in it. */
static int on_created(pid_t pid, void *data, struct error *err)
{
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	int r = container_rdt(data, &rdt, err);

	return r < 0 || !rdt ? r : resctrl_attach(rdt, pid, err);
}

/* The namespaces of the box, those of its configuration: entered through its first process, whatever they were made of. */
static int set_namespaces(const struct box *box, const struct oci_spec *spec, struct jail *jail, struct error *err)
{
	jail->process_fd = box_pidfd(box, err);
	if (jail->process_fd < 0)
		return jail->process_fd;
	for (size_t i = 0; i < spec->linux_.n_namespaces; i++)
		jail->join_process |= spec->linux_.namespaces[i].type;
	if (jail->join_process & CLONE_NEWUSER) {
		int shared = namespace_shared_with(box->pid, CLONE_NEWUSER);

		if (shared < 0)
			return error_sys(err, shared, "cannot inspect the user namespace of container '%s'", box->id);
		if (shared)
			jail->join_process &= ~CLONE_NEWUSER;
	}
	return 0;
}

int container_exec(struct box *box, const struct oci_spec *spec, const struct exec_request *request, struct started *ret,
		   struct error *err)
{
	_cleanup_container_jail_ struct container_jail cj = CONTAINER_JAIL_INIT;
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	struct jail_spawned spawned;
	int r;

	r = container_cgroup(box, &cgroup, err);
	if (r == 0)
		r = set_namespaces(box, spec, &cj.jail, err);
	if (r == 0)
		r = translate_process(box, spec, request->process, &cj, err);
	if (r == 0)
		r = jailed_descriptors(request->preserve_fds, &cj.process, &cj.jail.process, err);
	if (r == 0)
		r = jailed_terminal(request->console_socket, request->detach, request->stdio, &cj.jail.process, err);
	if (r < 0)
		return r;
	cj.jail.process.initial_cpus = request->process->exec_cpu_affinity.initial;
	cj.jail.process.final_cpus = request->process->exec_cpu_affinity.final;
	cj.jail.rootless = container_is_rootless(box);
	cj.jail.cgroup = cgroup;
	cj.jail.sub_cgroup = request->cgroup;
	cj.jail.cgroup_init = box->pid;
	cj.jail.callbacks.created = on_created;
	cj.jail.callback_data = box;
	r = jail_spawn(&cj.jail, &spawned, err);
	if (r < 0)
		return r;
	*ret = (struct started){ .pid = spawned.pid, .pidfd = spawned.pidfd, .terminal = spawned.terminal };
	r = jailed_send_pidfd(request->pidfd_socket, spawned.pidfd, err);
	if (r < 0)
		started_close(ret);
	return r;
}
