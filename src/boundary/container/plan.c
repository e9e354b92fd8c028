#include "boundary/container/container.h"

int container_plan(const struct oci_spec *spec, const struct create_options *options, struct plan *ret, struct error *err)
{
	return 0;
}

void container_probe(struct probe *ret)
{
	*ret = (struct probe){ .usable = true };
}
