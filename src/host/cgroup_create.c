/* cgroup_create(): the directories of a new group, in every hierarchy, and the undoing of them. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/cgroup_internal.h"
#include "host/cgroup_path.h"

/* Removes what we made, in all hierarchies. */
static void undo(struct cgroup *cg)
{
	int64_t deadline = cgroup_now_ms() + DESTROY_TIMEOUT_MS;

	cgroup_systemd_release(&cg->hold_fd, &cg->hold_pid);
	for (size_t i = 0; i < cgroup_n_nodes(cg); i++)
		if (cgroup_node_at(cg, i)->made_from)
			cgroup_node_remove(cgroup_node_at(cg, i), deadline, NULL);
	if (cg->unit)
		cgroup_systemd_stop(cg, NULL);
}

static void drop_nodes(struct cgroup *cg)
{
	for (size_t i = 0; i < cgroup_n_nodes(cg); i++)
		free(cgroup_node_at(cg, i)->dir);
	cg->n_v1 = 0;
	cg->v2 = (struct cgroup_node){0};
}

static bool is_permission(int r)
{
	return r == -EACCES || r == -EPERM || r == -EROFS;
}

/* What `make_*` need to know. */
struct make {
	struct cgroup *cg;
	const struct cgroup_resources *r;
	const struct cgroup_hierarchies *h;
	const char *proc_self;
	const char *path;
	unsigned asked; /* the controllers of R */
	bool may_lack;	/* rootless and nothing asked: no permission is no error */
	bool own;	/* the path is seen from the caller's own group */
	bool adopt;	/* systemd made the group and its helper is in it */
};

/*
 * Controllers that do nothing to a group without limits, except keep it from its parent's. A group directly below the
 * root is therefore not made for them until a limit is asked for; its processes stay in the root, as our own.
 */
#define DEFERRABLE                                                                                                     \
	(CGROUP_BIT(CGROUP_CPUSET) | CGROUP_BIT(CGROUP_HUGETLB) | CGROUP_BIT(CGROUP_RDMA) | CGROUP_BIT(CGROUP_MISC) |  \
	 CGROUP_BIT(CGROUP_NET_CLS) | CGROUP_BIT(CGROUP_NET_PRIO))

static bool can_defer(const struct make *m, const struct cgroup_hierarchy *v)
{
	return !(v->controllers & ~DEFERRABLE) && !(m->asked & v->controllers) && strcmp(v->own, "/") == 0 &&
	       !strchr(m->path + 1, '/');
}

static int make_v1_node(const struct make *m, const struct cgroup_hierarchy *v, struct error *err)
{
	_cleanup_free_ char *mount = NULL, *own = NULL, *path = NULL;
	struct cgroup *cg = m->cg;
	struct cgroup_node *node = &cg->v1[cg->n_v1];
	const char *parent = m->own && strcmp(v->own, "/") != 0 ? v->own : "";
	int r;

	if (asprintf(&path, "%s%s", parent, m->path) < 0) {
		path = NULL;
		return error_oom(err);
	}
	if (cgroup_node_init(node, v->controllers, v->mount, path) < 0)
		return error_oom(err);
	if (can_defer(m, v)) {
		node->deferred = true;
		cg->n_v1++;
		return 0;
	}
	r = cgroup_node_make(node, m->r, m->adopt, err);
	if (r == -ENOENT) {
		free(node->dir);
		node->dir = NULL;
		/* Not at the usual place: elsewhere, or listed by the kernel but not mounted. */
		if (cgroup_mountinfo_find(m->proc_self, __builtin_ctz(v->controllers), v->own, &mount, &own) < 0)
			return 0;
		if (cgroup_node_init(node, v->controllers, mount, m->path) < 0)
			return error_oom(err);
		r = cgroup_node_make(node, m->r, m->adopt, err);
	}
	if (r < 0 && m->may_lack && is_permission(r)) {
		free(node->dir);
		node->dir = NULL;
		return 0;
	}
	cg->n_v1++; /* also after a failure: it may have made parents, which undo() removes */
	return r;
}

static int make_v2_node(const struct make *m, const char *parent, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	struct cgroup *cg = m->cg;
	int r;

	if (asprintf(&path, "%s%s", strcmp(parent, "/") ? parent : "", m->path) < 0) {
		path = NULL;
		return error_oom(err);
	}
	if (cgroup_node_init(&cg->v2, 0, m->h->v2.mount, path) < 0)
		return error_oom(err);
	r = cgroup_node_make(&cg->v2, m->r, m->adopt, err);
	if (r == 0 && m->h->pure_v2) {
		free(cg->path);
		cg->path = take_ptr(path);
	}
	return r;
}

/*
 * Without root's rights only the caller's delegated part of the tree can be written to. Its own group holds processes,
 * so children of it could get no controllers: its parent is tried first (as runc does), then the group itself.
 */
static int make_v2_delegated(const struct make *m, struct error *err)
{
	_cleanup_free_ char *parent = strdup(m->h->v2.own ? m->h->v2.own : "/");
	char *slash;
	int r;

	if (!parent)
		return error_oom(err);
	slash = strrchr(parent, '/');
	*(slash == parent ? slash + 1 : slash) = 0;
	r = make_v2_node(m, parent, err);
	if (!is_permission(r) || !m->h->v2.own)
		return r;
	free(m->cg->v2.dir);
	m->cg->v2 = (struct cgroup_node){0};
	return make_v2_node(m, m->h->v2.own, err);
}

static int make_nodes(const struct make *m, struct error *err)
{
	struct cgroup *cg = m->cg;
	int r = 0;

	for (size_t i = 0; i < m->h->n_v1; i++) {
		r = make_v1_node(m, &m->h->v1[i], err);
		if (r < 0)
			return r;
	}
	if (m->h->v2.mount) {
		r = m->own ? make_v2_delegated(m, err) : make_v2_node(m, "/", err);
		if (r < 0 && m->may_lack && is_permission(r)) {
			free(cg->v2.dir);
			cg->v2 = (struct cgroup_node){0};
			r = 0;
		}
	}
	if (r < 0)
		return r;
	if (!cg->path && cgroup_any_node(cg)) {
		cg->path = strdup(m->path);
		if (!cg->path)
			return error_oom(err);
	}
	return 0;
}

/*
 * Pure v2: everything the host has, as crun and runc do, so that statistics and later updates work; beside v1 only what
 * was asked, because there the controllers are v1's.
 */
static int enable_controllers(struct cgroup *cg, const struct cgroup_resources *r, bool pure_v2, struct error *err)
{
	unsigned asked = r ? cgroup_resources_controllers(r) | cgroup_unified_controllers(r) : 0;

	if (!cg->v2.dir)
		return 0;
	for (size_t i = 0; i < cg->n_v1; i++)
		asked &= ~cg->v1[i].controllers;
	if (!pure_v2 && !asked)
		return 0;
	return cgroup_node_enable(&cg->v2, asked, pure_v2 ? CGROUP_V2_CONTROLLERS : 0, err);
}

static int create_cgroupfs(struct cgroup *cg, const struct cgroup_request *request, struct error *err)
{
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = {0};
	_cleanup_free_ char *path = NULL;
	const struct cgroup_resources *res = request->resources;
	bool asked_path = request->path && *request->path;
	bool asked_limit = res && (cgroup_resources_controllers(res) || res->unified.n);
	struct make m = {.cg = cg, .r = res, .h = &h, .proc_self = cg->proc_self};
	int r;

	m.own = request->rootless && !(asked_path && *request->path == '/');
	m.may_lack = request->rootless && !asked_path && !asked_limit;
	r = cgroup_path_resolve(request->path, request->id, &path, err);
	if (r < 0)
		return r;
	m.path = path;
	m.asked = res ? cgroup_resources_controllers(res) : 0;
	r = cgroup_hierarchies_find(cg->root, cg->proc_self, true, m.own, &h, err);
	if (r < 0)
		return r;
	r = make_nodes(&m, err);
	if (r < 0)
		return r;
	if (!cg->path) {
		if (m.may_lack || (!asked_path && !asked_limit && !h.n_v1 && !h.v2.mount && request->rootless)) {
			log_debug("no control group for this box: none is delegated to this user");
			return 0;
		}
		return error_set(err, ENOTSUP,
				 "no control group file system is mounted below '%s' (mount -t cgroup2 none %s, or "
				 "run with --cgroup-manager=disabled)",
				 cg->root, cg->root);
	}
	return enable_controllers(cg, res, h.pure_v2, err);
}

static int create_systemd(struct cgroup *cg, const struct cgroup_request *request, struct error *err)
{
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = {0};
	_cleanup_free_ char *path = NULL;
	struct make m = {.cg = cg, .r = request->resources, .h = &h, .proc_self = cg->proc_self, .adopt = true};
	int r;

	r = cgroup_hierarchies_find(cg->root, cg->proc_self, true, false, &h, err);
	if (r < 0)
		return r;
	r = cgroup_systemd_start(cg, request, h.pure_v2, &path, err);
	if (r < 0)
		return r;
	m.path = path;
	m.asked = request->resources ? cgroup_resources_controllers(request->resources) : 0;
	r = make_nodes(&m, err);
	return r < 0 ? r : enable_controllers(cg, request->resources, h.pure_v2, err);
}

static int create_disabled(const struct cgroup_request *request, struct error *err)
{
	if (request->resources && (cgroup_resources_controllers(request->resources) || request->resources->unified.n))
		return error_set(err, EINVAL,
				 "linux.resources asks for limits, but control groups are disabled "
				 "(--cgroup-manager=disabled): leave one of the two out");
	return 0;
}

int cgroup_create(const struct cgroup_request *request, struct cgroup **ret, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cg = cgroup_new(request);
	int r;

	if (!cg)
		return error_oom(err);
	switch (request->manager) {
	case CGROUP_MANAGER_DISABLED:
		r = create_disabled(request, err);
		break;
	case CGROUP_MANAGER_SYSTEMD:
		r = create_systemd(cg, request, err);
		break;
	default:
		r = create_cgroupfs(cg, request, err);
		break;
	}
	if (r == 0 && cg->path && request->resources)
		r = cgroup_apply_all(cg, request->resources, true, err);
	if (r < 0) {
		undo(cg);
		return r;
	}
	if (!cg->path)
		drop_nodes(cg);
	*ret = take_ptr(cg);
	return 0;
}
