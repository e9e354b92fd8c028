#include "base/json.h"
#include "boundary/process/process.h"

#define CGROUP_KEY "cgroup"
#define RECORDED_KEY "recorded"

int process_cgroup_make(const struct box *box, const struct oci_spec *spec, enum cgroup_manager manager, struct cgroup **ret,
			struct error *err)
{
	_cleanup_free_ struct cgroup_annotation *annotations = calloc(spec->n_annotations + 1, sizeof(*annotations));
	struct cgroup_request request = {
		.id = box->id,
		.path = spec->linux_.cgroups_path && *spec->linux_.cgroups_path ? spec->linux_.cgroups_path : NULL,
		.manager = manager,
		.rootless = geteuid() != 0,
		.resources = &spec->linux_.resources,
		.annotations = annotations,
		.n_annotations = spec->n_annotations,
	};

	if (!annotations)
		return error_oom(err);
	for (size_t i = 0; i < spec->n_annotations; i++)
		annotations[i] = (struct cgroup_annotation){ spec->annotations[i].key, spec->annotations[i].value };
	return cgroup_create(&request, ret, err);
}

int process_cgroup_record(struct box *box, const struct cgroup *cgroup, struct error *err)
{
	struct json_object *group = cgroup && cgroup_exists(cgroup) ? cgroup_to_json(cgroup) : NULL;

	if ((cgroup && cgroup_exists(cgroup) && !group) || (group && json_object_object_add(box->data, CGROUP_KEY, group) < 0) ||
	    json_object_object_add(box->data, RECORDED_KEY, json_object_new_boolean(true)) < 0)
		return error_oom(err);
	return 0;
}

/* Its creator was killed between making the group and writing that down: taking it over again names it. */
static int find_again(const struct box *box, struct cgroup **ret, struct error *err)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	int r = box_config(box, &spec, err);

	if (r < 0 || !process_wants_cgroup(spec))
		return r;
	return process_cgroup_make(box, spec, CGROUP_MANAGER_CGROUPFS, ret, err);
}

int process_cgroup_find(const struct box *box, struct cgroup **ret, struct error *err)
{
	struct json_object *o;
	bool recorded = false;
	int r = json_get_object(box->data, "data", CGROUP_KEY, &o, err);

	*ret = NULL;
	if (r < 0)
		return r;
	if (r > 0)
		return cgroup_from_json(o, ret, err);
	json_get_bool(box->data, "data", RECORDED_KEY, &recorded, NULL);
	return recorded ? 0 : find_again(box, ret, err);
}
