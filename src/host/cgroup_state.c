#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "host/cgroup_internal.h"

/* Adds VALUE (owned; NULL: no memory) to O. */
static bool add(struct json_object *o, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(o, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static bool add_string(struct json_object *o, const char *key, const char *s)
{
	return !s || add(o, key, json_object_new_string(s));
}

static struct json_object *node_to_json(const struct cgroup_node *node)
{
	struct json_object *o = json_object_new_object();

	if (o && add_string(o, "dir", node->dir) && add(o, "controllers", json_object_new_int64(node->controllers)) &&
	    add(o, "rootLength", json_object_new_int64((int64_t)node->root_len)) &&
	    add(o, "madeFrom", json_object_new_int64((int64_t)node->made_from)) &&
	    (!node->deferred || add(o, "deferred", json_object_new_boolean(true))))
		return o;
	json_object_put(o);
	return NULL;
}

static struct json_object *v1_to_json(const struct cgroup *cg)
{
	_cleanup_json_ struct json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < cg->n_v1; i++) {
		struct json_object *node = node_to_json(&cg->v1[i]);

		if (!node || json_object_array_add(list, node) < 0) {
			json_object_put(node);
			return NULL;
		}
	}
	return take_ptr(list);
}

struct json_object *cgroup_to_json(const struct cgroup *cg)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	if (!o || !add_string(o, "manager", cgroup_manager_name(cg->manager)) ||
	    !add(o, "rootless", json_object_new_boolean(cg->rootless)))
		return NULL;
	if (!cg->path || !cgroup_any_node(cg)) /* a box without privilege may have none */
		return take_ptr(o);
	if (!add_string(o, "path", cg->path) || !add(o, "v1", v1_to_json(cg)))
		return NULL;
	if (cg->v2.dir && !add(o, "v2", node_to_json(&cg->v2)))
		return NULL;
	if (!add_string(o, "unit", cg->unit) || !add_string(o, "systemdHelper", cg->systemd_helper) ||
	    (cg->unit && !add(o, "userManager", json_object_new_boolean(cg->user_manager))))
		return NULL;
	return take_ptr(o);
}

static int node_from_json(struct json_object *o, const char *where, struct cgroup_node *ret, struct error *err)
{
	struct cgroup_node node = {0};
	int64_t root_len = 0, made_from = 0;
	int r;

	r = json_get_u32(o, where, "controllers", &node.controllers, err);
	if (r >= 0)
		r = json_get_i64(o, where, "rootLength", 0, PATH_MAX, &root_len, err);
	if (r >= 0)
		r = json_get_i64(o, where, "madeFrom", 0, PATH_MAX, &made_from, err);
	if (r >= 0)
		r = json_get_bool(o, where, "deferred", &node.deferred, err);
	if (r >= 0)
		r = json_dup_string(o, where, "dir", &node.dir, err);
	if (r < 0)
		return r;
	/* The directory will be removed one day: believe only one that is below its hierarchy's root. */
	if (!node.dir || node.dir[0] != '/' || strlen(node.dir) >= PATH_MAX || strstr(node.dir, "/..") ||
	    (size_t)root_len + 1 >= strlen(node.dir) || node.dir[root_len] != '/' ||
	    (size_t)made_from > strlen(node.dir) || (made_from && made_from <= root_len)) {
		r = error_set(err, EBADMSG, "%s: '%s' is not the directory of a control group", where,
			      node.dir ? node.dir : "");
		free(node.dir);
		return r;
	}
	node.root_len = (size_t)root_len;
	node.made_from = (size_t)made_from;
	*ret = node;
	return 0;
}

static int nodes_from_json(struct json_object *o, struct cgroup *cg, struct error *err)
{
	struct json_object *list = NULL, *v2 = NULL;
	size_t n;
	int r;

	r = json_get_array(o, "cgroup", "v1", &list, err);
	if (r >= 0)
		r = json_get_object(o, "cgroup", "v2", &v2, err);
	if (r < 0)
		return r;
	n = list ? json_object_array_length(list) : 0;
	if (n > CGROUP_HIERARCHIES_MAX)
		return error_set(err, EBADMSG, "cgroup.v1: %zu hierarchies are more than there can be", n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *e = json_object_array_get_idx(list, i);

		if (!json_object_is_type(e, json_type_object))
			return error_set(err, EBADMSG, "cgroup.v1: entry %zu is not an object", i);
		r = node_from_json(e, "cgroup.v1", &cg->v1[i], err);
		if (r < 0)
			return r;
		cg->n_v1++;
	}
	return v2 ? node_from_json(v2, "cgroup.v2", &cg->v2, err) : 0;
}

int cgroup_from_json(struct json_object *o, struct cgroup **ret, struct error *err)
{
	_cleanup_cgroup_ struct cgroup *cg = calloc(1, sizeof(*cg));
	const char *manager = "cgroupfs";
	int r;

	if (!cg)
		return error_oom(err);
	cg->hold_fd = -1;
	r = json_get_string(o, "cgroup", "manager", &manager, err);
	if (r >= 0 && cgroup_manager_parse(manager, &cg->manager) < 0)
		r = error_set(err, EBADMSG, "cgroup.manager: '%s' is unknown", manager);
	if (r >= 0)
		r = json_get_bool(o, "cgroup", "rootless", &cg->rootless, err);
	if (r >= 0)
		r = json_dup_string(o, "cgroup", "path", &cg->path, err);
	if (r >= 0)
		r = json_dup_string(o, "cgroup", "unit", &cg->unit, err);
	if (r >= 0)
		r = json_dup_string(o, "cgroup", "systemdHelper", &cg->systemd_helper, err);
	if (r >= 0)
		r = json_get_bool(o, "cgroup", "userManager", &cg->user_manager, err);
	if (r >= 0)
		r = nodes_from_json(o, cg, err);
	if (r < 0)
		return r;
	if (cg->path && !cgroup_any_node(cg))
		return error_set(err, EBADMSG, "cgroup: a path ('%s') without a directory", cg->path);
	*ret = take_ptr(cg);
	return 0;
}
