#include "host/cgroup.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "host/cgroup_internal.h"
#include "host/cgroup_path.h"

#define DESTROY_TIMEOUT_MS 2000

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

/* ---- making the group ---- */

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
	if (!cg->path && cgroup_n_nodes(cg) > 0) {
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
