#include "host/resources.h"

#include <stdlib.h>

void cgroup_resources_free(struct cgroup_resources *r)
{
	free(r->devices.v);
	free(r->cpu.cpus);
	free(r->cpu.mems);
	free(r->blkio.weight_device.v);
	free(r->blkio.read_bps.v);
	free(r->blkio.write_bps.v);
	free(r->blkio.read_iops.v);
	free(r->blkio.write_iops.v);
	for (size_t i = 0; i < r->hugepages.n; i++)
		free(r->hugepages.v[i].page_size);
	free(r->hugepages.v);
	for (size_t i = 0; i < r->network.n_priorities; i++)
		free(r->network.priorities[i].interface);
	free(r->network.priorities);
	for (size_t i = 0; i < r->rdma.n; i++)
		free(r->rdma.v[i].device);
	free(r->rdma.v);
	for (size_t i = 0; i < r->unified.n; i++) {
		free(r->unified.v[i].file);
		free(r->unified.v[i].value);
	}
	free(r->unified.v);
	*r = (struct cgroup_resources){ 0 };
}
