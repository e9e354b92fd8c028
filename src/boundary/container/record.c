#include "boundary/container/container.h"

#include "base/json.h"
#include "host/userns.h"

static int add(struct json_object *o, const char *key, struct json_object *value)
{
	return value && json_object_object_add(o, key, value) == 0 ? 0 : -ENOMEM;
}

int container_record(struct box *box, const struct cgroup *cg, const struct oci_spec *spec, bool rootless, struct error *err)
{
	const struct oci_namespace *pid = oci_spec_namespace(spec, CLONE_NEWPID);
	int r = 0;

	if (cg && cgroup_exists(cg))
		r = add(box->data, "cgroup", cgroup_to_json(cg));
	if (rootless)
		r |= add(box->data, "rootless", json_object_new_boolean(true));
	if (pid && !pid->path)
		r |= add(box->data, "ownPids", json_object_new_boolean(true));
	return r ? error_oom(err) : 0;
}

static bool flag(const struct box *box, const char *key)
{
	bool v = false;

	json_get_bool(box->data, "data", key, &v, NULL);
	return v;
}

bool container_is_rootless(const struct box *box)
{
	return flag(box, "rootless");
}

bool container_owns_pids(const struct box *box)
{
	return flag(box, "ownPids");
}

static int copy_annotations(const struct oci_spec *spec, struct cgroup_annotation **ret, struct error *err)
{
	struct cgroup_annotation *v = calloc(spec->n_annotations + 1, sizeof(*v));

	if (!v)
		return error_oom(err);
	for (size_t i = 0; i < spec->n_annotations; i++)
		v[i] = (struct cgroup_annotation){ spec->annotations[i].key, spec->annotations[i].value };
	*ret = v;
	return 0;
}

int container_cgroup_request(const struct box *box, const struct oci_spec *spec, enum cgroup_manager manager, bool rootless,
			     struct cgroup_request *ret, struct cgroup_annotation **ret_annotations, struct error *err)
{
	int r = copy_annotations(spec, ret_annotations, err);

	if (r < 0)
		return r;
	*ret = (struct cgroup_request){
		.id = box->id,
		.path = spec->linux_.cgroups_path && *spec->linux_.cgroups_path ? spec->linux_.cgroups_path : NULL,
		.manager = manager,
		.rootless = rootless,
		.resources = &spec->linux_.resources,
		.annotations = *ret_annotations,
		.n_annotations = spec->n_annotations,
	};
	return 0;
}

int container_cgroup_again(const struct box *box, const struct oci_spec *spec, enum cgroup_manager manager,
			   struct cgroup **ret, struct error *err)
{
	_cleanup_free_ struct cgroup_annotation *annotations = NULL;
	struct cgroup_request request;
	int r = container_cgroup_request(box, spec, manager, !userns_is_initial() || geteuid() != 0, &request, &annotations, err);

	if (r < 0)
		return r;
	return cgroup_find(&request, ret, err);
}

int container_cgroup(const struct box *box, struct cgroup **ret, struct error *err)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	struct json_object *o;
	int64_t manager = 0;
	int r = json_get_object(box->data, "data", "cgroup", &o, err);

	*ret = NULL;
	if (r > 0)
		return cgroup_from_json(o, ret, err);
	if (r < 0 || json_get_i64(box->data, "data", "manager", 0, CGROUP_MANAGER_DISABLED, &manager, err) <= 0)
		return r;
	/* The creation was cut off while systemd made the group. */
	r = box_config(box, &spec, err);
	return r < 0 ? r : container_cgroup_again(box, spec, (enum cgroup_manager)manager, ret, err);
}

int container_record_manager(struct box *box, enum cgroup_manager manager, struct error *err)
{
	if (manager == CGROUP_MANAGER_CGROUPFS)
		return 0; /* what container_recover() expects of a box without a record */
	if (add(box->data, "manager", json_object_new_int(manager)))
		return error_oom(err);
	return box_save(box, err);
}
