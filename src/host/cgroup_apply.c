#include <string.h>

#include "base/log.h"
#include "host/cgroup_internal.h"

static bool positive(struct opt_i64 o)
{
	return o.set && o.v > 0;
}

static bool given(struct opt_u64 o)
{
	return o.set && o.v;
}

/*
 * For each kind of limit: is a value there at all, and does one ask for more than what a group without the controller
 * has anyway ("no limit")? Only then does it matter that the controller is missing.
 */
static bool memory_touched(const struct cgroup_resources *r)
{
	return (r->memory.limit.set && r->memory.limit.v) || (r->memory.reservation.set && r->memory.reservation.v) ||
	       (r->memory.swap.set && r->memory.swap.v) || (r->memory.kernel.set && r->memory.kernel.v) ||
	       (r->memory.kernel_tcp.set && r->memory.kernel_tcp.v) || r->memory.swappiness.set ||
	       r->memory.disable_oom_killer.set;
}

static bool memory_asked(const struct cgroup_resources *r)
{
	return positive(r->memory.limit) || positive(r->memory.reservation) || positive(r->memory.swap) ||
	       positive(r->memory.kernel) || positive(r->memory.kernel_tcp) || r->memory.swappiness.set ||
	       (r->memory.disable_oom_killer.set && r->memory.disable_oom_killer.v);
}

static bool cpu_asked(const struct cgroup_resources *r)
{
	return given(r->cpu.shares) || given(r->cpu.period) || given(r->cpu.realtime_period) || given(r->cpu.burst) ||
	       positive(r->cpu.quota) || (r->cpu.realtime_runtime.set && r->cpu.realtime_runtime.v) ||
	       (r->cpu.idle.set && r->cpu.idle.v);
}

static bool cpu_touched(const struct cgroup_resources *r)
{
	return cpu_asked(r) || (r->cpu.quota.set && r->cpu.quota.v) || r->cpu.idle.set || r->cpu.burst.set;
}

static bool cpuset_asked(const struct cgroup_resources *r)
{
	return (r->cpu.cpus && *r->cpu.cpus) || (r->cpu.mems && *r->cpu.mems);
}

static bool io_asked(const struct cgroup_resources *r)
{
	return given(r->blkio.weight) || given(r->blkio.leaf_weight) || r->blkio.weight_device.n ||
	       r->blkio.read_bps.n || r->blkio.write_bps.n || r->blkio.read_iops.n || r->blkio.write_iops.n;
}

static bool pids_touched(const struct cgroup_resources *r)
{
	return r->pids.limit.set;
}

static bool pids_asked(const struct cgroup_resources *r)
{
	return positive(r->pids.limit);
}

static bool hugetlb_asked(const struct cgroup_resources *r)
{
	return r->hugepages.n;
}

static bool net_cls_asked(const struct cgroup_resources *r)
{
	return given(r->network.class_id);
}

static bool net_prio_asked(const struct cgroup_resources *r)
{
	return r->network.n_priorities;
}

static bool rdma_asked(const struct cgroup_resources *r)
{
	return r->rdma.n;
}

static const struct limit {
	enum cgroup_controller controller;
	const char *field;
	bool (*touched)(const struct cgroup_resources *r);
	bool (*asked)(const struct cgroup_resources *r);
	cgroup_apply_fn v1, v2; /* NULL: cannot be done there */
} limits[] = {
    {CGROUP_PIDS, "linux.resources.pids", pids_touched, pids_asked, cgroup_common_pids, cgroup_common_pids},
    {CGROUP_MEMORY, "linux.resources.memory", memory_touched, memory_asked, cgroup_v1_memory, cgroup_v2_memory},
    {CGROUP_IO, "linux.resources.blockIO", io_asked, io_asked, cgroup_v1_blkio, cgroup_v2_io},
    {CGROUP_CPU, "linux.resources.cpu", cpu_touched, cpu_asked, cgroup_v1_cpu, cgroup_v2_cpu},
    {CGROUP_CPUSET, "linux.resources.cpu.cpus and cpu.mems", cpuset_asked, cpuset_asked, cgroup_v1_cpuset,
     cgroup_v2_cpuset},
    {CGROUP_HUGETLB, "linux.resources.hugepageLimits", hugetlb_asked, hugetlb_asked, cgroup_v1_hugetlb,
     cgroup_v2_hugetlb},
    {CGROUP_RDMA, "linux.resources.rdma", rdma_asked, rdma_asked, cgroup_common_rdma, cgroup_common_rdma},
    {CGROUP_NET_CLS, "linux.resources.network.classID", net_cls_asked, net_cls_asked, cgroup_v1_net_cls, NULL},
    {CGROUP_NET_PRIO, "linux.resources.network.priorities", net_prio_asked, net_prio_asked, cgroup_v1_net_prio, NULL},
};

unsigned cgroup_resources_controllers(const struct cgroup_resources *r)
{
	unsigned bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (limits[i].asked(r))
			bits |= CGROUP_BIT(limits[i].controller);
	return bits;
}

static int missing_controller(const struct cgroup *cg, const struct limit *l, struct error *err)
{
	const char *v1 = cgroup_controller_v1_name(l->controller), *v2 = cgroup_controller_v2_name(l->controller);

	if (!cg->n_v1 && !v2)
		return error_set(err, ENOTSUP,
				 "%s cannot be enforced: it needs the '%s' controller, which cgroup v2 does not "
				 "have (leave it out, or boot with systemd.unified_cgroup_hierarchy=0)",
				 l->field, v1);
	if (!cg->n_v1)
		return error_set(err, ENOTSUP, "%s cannot be enforced: the '%s' controller is not enabled in '%s'",
				 l->field, v2, cg->v2.dir);
	return error_set(err, ENOTSUP,
			 "%s cannot be enforced: the '%s' controller is not mounted here (mkdir -p " CGROUP_ROOT
			 "/%s && mount -t cgroup -o %s none " CGROUP_ROOT "/%s)",
			 l->field, v1, v1, v1, v1);
}

/* The device rules, unless the user namespace answers for them. */
static int apply_devices(struct cgroup *cg, const struct cgroup_resources *r, bool create, struct error *err)
{
	struct cgroup_apply a = {.cg = cg, .r = r, .create = create};

	if (cg->rootless || (!create && !r->devices.n))
		return 0;
	a.node = cgroup_node_of(cg, CGROUP_DEVICES, NULL);
	if (a.node)
		return cgroup_v1_devices(&a, err);
	if (!cg->v2.dir)
		return error_set(err, ENOTSUP,
				 "linux.resources.devices cannot be enforced: the 'devices' controller is not "
				 "mounted (mount -t cgroup -o devices none " CGROUP_ROOT "/devices)");
	a.node = &cg->v2;
	return cgroup_v2_devices(&a, err);
}

/* Makes a deferred NODE that is asked for something now, and brings the group's processes into it after APPLY. */
static int apply_to_deferred(struct cgroup_apply *a, cgroup_apply_fn apply, struct error *err)
{
	struct cgroup_node *node = (struct cgroup_node *)a->node;
	int e = cgroup_node_make(node, a->r, false, err);

	if (e == 0)
		e = apply(a, err);
	if (e == 0)
		e = cgroup_move_into(a->cg, node, err);
	if (e < 0)
		cgroup_node_remove(node, cgroup_now_ms(), NULL);
	return e;
}

int cgroup_apply_all(struct cgroup *cg, const struct cgroup_resources *r, bool create, struct error *err)
{
	unsigned asked = (cgroup_resources_controllers(r) | cgroup_unified_controllers(r)) & CGROUP_V2_CONTROLLERS;
	int e;

	for (size_t i = 0; i < cg->n_v1; i++)
		asked &= ~cg->v1[i].controllers;
	if (!create && cg->v2.dir && asked & ~cg->v2.controllers) {
		e = cgroup_node_enable(&cg->v2, asked, 0, err);
		if (e < 0)
			return e;
	}
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct cgroup_apply a = {.cg = cg, .r = r, .create = create};
		const struct limit *l = &limits[i];
		cgroup_apply_fn apply;
		bool v2;

		if (!l->touched(r))
			continue;
		a.node = cgroup_node_of(cg, l->controller, &v2);
		apply = v2 ? l->v2 : l->v1;
		if (!a.node || !apply) {
			if (l->asked(r))
				return missing_controller(cg, l, err);
			continue;
		}
		e = cgroup_node_exists(a.node) ? apply(&a, err) : apply_to_deferred(&a, apply, err);
		if (e < 0)
			return e;
	}
	if (r->unified.n) {
		struct cgroup_apply a = {.cg = cg, .node = &cg->v2, .r = r, .create = create};

		e = cgroup_v2_unified(&a, err);
		if (e < 0)
			return e;
	}
	return apply_devices(cg, r, create, err);
}

/* ---- the same on v1 and v2 ---- */

int cgroup_common_pids(const struct cgroup_apply *a, struct error *err)
{
	int64_t limit = a->r->pids.limit.v;

	if (limit <= 0 && a->create)
		return 0;
	return cgroup_set_limit(a->node, "linux.resources.pids.limit", "pids.max", limit ? limit : -1, "max", err);
}

int cgroup_common_rdma(const struct cgroup_apply *a, struct error *err)
{
	for (size_t i = 0; i < a->r->rdma.n; i++) {
		const struct rdma_limit *l = &a->r->rdma.v[i];
		char line[256];
		int n, r;

		n = snprintf(line, sizeof(line), "%s", l->device);
		if (l->hca_handles.set && n < (int)sizeof(line))
			n += snprintf(line + n, sizeof(line) - (size_t)n, " hca_handle=%llu",
				      (unsigned long long)l->hca_handles.v);
		if (l->hca_objects.set && n < (int)sizeof(line))
			n += snprintf(line + n, sizeof(line) - (size_t)n, " hca_object=%llu",
				      (unsigned long long)l->hca_objects.v);
		if (n >= (int)sizeof(line) || strpbrk(l->device, " \n"))
			return error_set(err, EINVAL, "linux.resources.rdma: '%s' is not the name of a device",
					 l->device);
		r = cgroup_set(a->node, "linux.resources.rdma", "rdma.max", line, err);
		if (r < 0)
			return r;
	}
	return 0;
}
