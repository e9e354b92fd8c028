#include "boundary/container/container.h"

#include "base/json.h"
#include "host/resctrl.h"

static struct resctrl_request request_of(const struct box *box, const struct oci_intel_rdt *rdt)
{
	return (struct resctrl_request){
		.id = box->id,
		.clos_id = rdt->clos_id && *rdt->clos_id ? rdt->clos_id : NULL,
		.schemata = rdt->schemata,
		.l3_cache_schema = rdt->l3_cache_schema,
		.mem_bw_schema = rdt->mem_bw_schema,
		.monitoring = rdt->enable_monitoring || rdt->enable_cmt || rdt->enable_mbm,
	};
}

int container_rdt_make(struct box *box, const struct oci_spec *spec, struct resctrl **ret, struct error *err)
{
	struct resctrl_request request;
	struct json_object *o;
	int r;

	if (!spec->linux_.intel_rdt)
		return 0;
	request = request_of(box, spec->linux_.intel_rdt);
	r = resctrl_create(&request, ret, err);
	if (r < 0)
		return error_prefix(err, "linux.intelRdt");
	o = resctrl_to_json(*ret);
	if (!o || json_object_object_add(box->data, "rdt", o) < 0) {
		resctrl_destroy(*ret, NULL);
		return error_oom(err);
	}
	return 0;
}

int container_rdt(const struct box *box, struct resctrl **ret, struct error *err)
{
	struct json_object *o;
	int r = json_get_object(box->data, "data", "rdt", &o, err);

	*ret = NULL;
	return r > 0 ? resctrl_from_json(o, ret, err) : r;
}

int container_rdt_destroy(const struct box *box, struct error *err)
{
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	int r = container_rdt(box, &rdt, err);

	return r < 0 || !rdt ? r : resctrl_destroy(rdt, err);
}

int container_update_rdt(struct box *box, const char *l3_schema, const char *mem_bw_schema, struct error *err)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	struct resctrl_request request;
	int r = box_config(box, &spec, err);

	if (r < 0)
		return r;
	if (!spec->linux_.intel_rdt)
		return error_set(err, ENOTSUP, "container '%s' has no class of service of its own: its configuration has no linux.intelRdt",
				 box->id);
	request = request_of(box, spec->linux_.intel_rdt);
	request.schemata = NULL;
	request.l3_cache_schema = l3_schema;
	request.mem_bw_schema = mem_bw_schema;
	return resctrl_create(&request, &rdt, err); /* of a class that exists: writes its schemata */
}
