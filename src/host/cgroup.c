#include "host/cgroup.h"

#include <stdlib.h>
#include <string.h>

#include "host/cgroup_internal.h"

static const char *const manager_names[] = {
    [CGROUP_MANAGER_CGROUPFS] = "cgroupfs",
    [CGROUP_MANAGER_SYSTEMD] = "systemd",
    [CGROUP_MANAGER_DISABLED] = "disabled",
};

int cgroup_manager_parse(const char *name, enum cgroup_manager *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(manager_names); i++) {
		if (strcmp(name, manager_names[i]) == 0) {
			*ret = (enum cgroup_manager)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *cgroup_manager_name(enum cgroup_manager manager)
{
	return manager_names[manager];
}

struct cgroup *cgroup_new(const struct cgroup_request *request)
{
	struct cgroup *cg = calloc(1, sizeof(*cg));

	if (!cg)
		return NULL;
	cg->manager = request->manager;
	cg->rootless = request->rootless;
	cg->hold_fd = -1;
	cg->root = strdup(request->root ? request->root : CGROUP_ROOT);
	cg->proc_self = strdup(request->proc_self ? request->proc_self : "/proc/self");
	if (request->systemd_helper)
		cg->systemd_helper = strdup(request->systemd_helper);
	if (!cg->root || !cg->proc_self || (request->systemd_helper && !cg->systemd_helper)) {
		cgroup_free(cg);
		return NULL;
	}
	return cg;
}

void cgroup_free(struct cgroup *cg)
{
	if (!cg)
		return;
	cgroup_systemd_release(&cg->hold_fd, &cg->hold_pid);
	for (size_t i = 0; i < cgroup_n_nodes(cg); i++)
		free(cgroup_node_at(cg, i)->dir);
	free(cg->path);
	free(cg->unit);
	free(cg->systemd_helper);
	free(cg->root);
	free(cg->proc_self);
	free(cg);
}

bool cgroup_exists(const struct cgroup *cg)
{
	return cg && cg->path;
}

const char *cgroup_path(const struct cgroup *cg)
{
	return cg ? cg->path : NULL;
}

size_t cgroup_n_nodes(const struct cgroup *cg)
{
	return cg->n_v1 + (cg->v2.dir != NULL);
}

struct cgroup_node *cgroup_node_at(struct cgroup *cg, size_t i)
{
	return i < cg->n_v1 ? &cg->v1[i] : &cg->v2;
}

bool cgroup_node_exists(const struct cgroup_node *node)
{
	return !node->deferred || access(node->dir, F_OK) == 0;
}

const struct cgroup_node *cgroup_any_node(const struct cgroup *cg)
{
	if (cg->v2.dir)
		return &cg->v2;
	for (size_t i = 0; i < cg->n_v1; i++)
		if (!cg->v1[i].deferred)
			return &cg->v1[i];
	return NULL;
}

const struct cgroup_node *cgroup_node_of(const struct cgroup *cg, enum cgroup_controller controller, bool *ret_v2)
{
	if (ret_v2)
		*ret_v2 = false;
	for (size_t i = 0; i < cg->n_v1; i++)
		if (cg->v1[i].controllers & CGROUP_BIT(controller))
			return &cg->v1[i];
	if (!cg->v2.dir || !(cg->v2.controllers & CGROUP_BIT(controller)))
		return NULL;
	if (ret_v2)
		*ret_v2 = true;
	return &cg->v2;
}

const char *cgroup_dir(const struct cgroup *cg, const char *controller)
{
	if (!cg)
		return NULL;
	if (!controller || !*controller)
		return cg->v2.dir;
	for (size_t i = 0; i < cg->n_v1; i++)
		if (cg->v1[i].controllers & cgroup_controllers_parse(controller, false))
			return cgroup_node_exists(&cg->v1[i]) ? cg->v1[i].dir : NULL;
	return NULL;
}

/* NODE as a hierarchy and the group's path in it. */
static int describe(const struct cgroup_node *node, struct cgroup_hierarchy *ret)
{
	ret->controllers = node->controllers;
	ret->mount = strndup(node->dir, node->root_len);
	ret->own = strdup(node->dir + node->root_len);
	return ret->mount && ret->own ? 0 : -ENOMEM;
}

int cgroup_hierarchies_of(const struct cgroup *cg, struct cgroup_hierarchies *ret, struct error *err)
{
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = {.pure_v2 = cg->n_v1 == 0};
	int r = 0;

	for (size_t i = 0; i < cg->n_v1 && r == 0; i++)
		if (cgroup_node_exists(&cg->v1[i]))
			r = describe(&cg->v1[i], &h.v1[h.n_v1++]);
	if (r == 0 && cg->v2.dir)
		r = describe(&cg->v2, &h.v2);
	if (r < 0)
		return error_oom(err);
	*ret = h;
	h = (struct cgroup_hierarchies){0};
	return 0;
}

int cgroup_update(struct cgroup *cg, const struct cgroup_resources *r, struct error *err)
{
	int e;

	if (!cgroup_exists(cg)) {
		if (!cgroup_resources_controllers(r) && !r->unified.n)
			return 0;
		return error_set(err, ENOTSUP, "this box has no control group, so its limits cannot be changed");
	}
	e = cgroup_apply_all(cg, r, false, err);
	if (e == 0 && cg->manager == CGROUP_MANAGER_SYSTEMD)
		e = cgroup_systemd_update(cg, r, err);
	return e;
}

int cgroup_destroy(struct cgroup *cg, struct error *err)
{
	int64_t deadline = cgroup_now_ms() + DESTROY_TIMEOUT_MS;
	int first = 0, r;

	if (!cgroup_exists(cg))
		return 0;
	cgroup_systemd_release(&cg->hold_fd, &cg->hold_pid);
	if (cg->unit)
		first = cgroup_systemd_stop(cg, err);
	for (size_t i = 0; i < cgroup_n_nodes(cg); i++) {
		r = cgroup_node_remove(cgroup_node_at(cg, i), deadline, first ? NULL : err);
		if (r < 0 && !first)
			first = r;
	}
	return first;
}
