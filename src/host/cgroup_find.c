/* Where a group that nobody wrote down must be, worked out from what it was asked with. */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "host/cgroup_internal.h"
#include "host/cgroup_path.h"

/* Adds the group PATH of hierarchy H to CG if it is there. PARENT is "" or "/a". */
static int add_if_there(struct cgroup *cg, const struct cgroup_hierarchy *h, bool v2, const char *parent,
			const char *path)
{
	struct cgroup_node *node = v2 ? &cg->v2 : &cg->v1[cg->n_v1];
	_cleanup_free_ char *whole = NULL;

	if ((v2 && node->dir) || asprintf(&whole, "%s%s", strcmp(parent, "/") ? parent : "", path) < 0)
		return v2 && node->dir ? 0 : -ENOMEM;
	if (cgroup_node_init(node, v2 ? 0 : h->controllers, h->mount, whole) < 0)
		return -ENOMEM;
	if (access(node->dir, F_OK) < 0) {
		free(node->dir);
		node->dir = NULL;
		return 0;
	}
	node->made_from = strlen(node->dir);
	if (!v2)
		cg->n_v1++;
	if (cg->path)
		return 0;
	cg->path = take_ptr(whole);
	return 0;
}

/* DIR without its last component, "/" at the top. */
static char *parent_of(const char *dir)
{
	const char *slash = strrchr(dir, '/');

	return slash == dir ? strdup("/") : strndup(dir, (size_t)(slash - dir));
}

/* In the order in which cgroup_create() tries the places of a rootless group. */
static int find_delegated(struct cgroup *cg, const struct cgroup_hierarchy *v2, const char *path)
{
	_cleanup_free_ char *parent = parent_of(v2->own);
	int r = parent ? add_if_there(cg, v2, true, parent, path) : -ENOMEM;

	return r < 0 ? r : add_if_there(cg, v2, true, v2->own, path);
}

static int find_all(struct cgroup *cg, const struct cgroup_hierarchies *h, bool own, const char *path)
{
	int r = 0;

	for (size_t i = 0; i < h->n_v1 && r == 0; i++)
		r = add_if_there(cg, &h->v1[i], false, own ? h->v1[i].own : "", path);
	if (r < 0 || !h->v2.mount)
		return r;
	return own && h->v2.own ? find_delegated(cg, &h->v2, path) : add_if_there(cg, &h->v2, true, "", path);
}

/* "a-b-c.slice" is in a.slice/a-b.slice; "-.slice" is the root. */
static void add_slice(struct strbuf *b, const char *slice)
{
	size_t len = strlen(slice) - strlen(".slice");

	if (strcmp(slice, "-.slice") == 0)
		return;
	for (size_t i = 1; i <= len; i++)
		if (slice[i] == '-' || i == len)
			strbuf_addf(b, "/%.*s.slice", (int)i, slice);
}

/* The user's systemd keeps its units below its own group, ".../user@1000.service". */
static void add_user_manager(struct strbuf *b, const char *own)
{
	const char *service = own ? strstr(own, "/user@") : NULL;
	size_t len = service ? strcspn(service + 1, "/") + 1 : 0;

	if (service)
		strbuf_add(b, own, (size_t)(service - own) + len);
}

static int systemd_path(struct cgroup *cg, const struct cgroup_request *request, const char *own, char **ret,
			struct error *err)
{
	_cleanup_cgroup_unit_ struct cgroup_unit unit = {0};
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	int r = cgroup_path_unit(request->path, request->id, request->rootless, &unit, err);

	if (r < 0)
		return r;
	if (request->rootless)
		add_user_manager(&b, own);
	add_slice(&b, unit.slice);
	strbuf_addf(&b, "/%s", unit.name);
	cg->unit = take_ptr(unit.name);
	cg->user_manager = request->rootless;
	*ret = strbuf_take(&b);
	return *ret ? 0 : error_oom(err);
}

int cgroup_find(const struct cgroup_request *request, struct cgroup **ret, struct error *err)
{
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = {0};
	_cleanup_cgroup_ struct cgroup *cg = cgroup_new(request);
	_cleanup_free_ char *path = NULL;
	bool own = request->rootless && request->manager == CGROUP_MANAGER_CGROUPFS &&
		   !(request->path && *request->path == '/');
	int r = 0;

	if (!cg)
		return error_oom(err);
	if (request->manager != CGROUP_MANAGER_DISABLED) {
		r = cgroup_hierarchies_find(cg->root, cg->proc_self, true, request->rootless, &h, err);
		if (r == 0)
			r = request->manager == CGROUP_MANAGER_SYSTEMD
				? systemd_path(cg, request, h.v2.own, &path, err)
				: cgroup_path_resolve(request->path, request->id, &path, err);
		if (r == 0 && find_all(cg, &h, own, path) < 0)
			r = error_oom(err);
		if (r < 0)
			return r;
	}
	*ret = take_ptr(cg);
	return 0;
}
