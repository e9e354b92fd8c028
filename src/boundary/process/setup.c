#include "boundary/process/setup.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/mount.h>

#include "base/strbuf.h"
#include "base/strv.h"
#include "host/credentials.h"
#include "host/mount_options.h"


static bool may_chroot(void)
{
	return caps_have(CAP_SYS_CHROOT);
}

bool process_wants_cgroup(const struct oci_spec *spec)
{
	const struct cgroup_resources *r = &spec->linux_.resources;

	return spec->linux_.cgroups_path || r->memory.limit.set || r->memory.reservation.set || r->memory.swap.set ||
	       r->memory.kernel.set || r->memory.kernel_tcp.set || r->memory.swappiness.set ||
	       r->memory.disable_oom_killer.set || r->cpu.shares.set || r->cpu.period.set || r->cpu.quota.set ||
	       r->cpu.burst.set || r->cpu.realtime_period.set || r->cpu.realtime_runtime.set || r->cpu.idle.set ||
	       r->cpu.cpus || r->cpu.mems || r->pids.limit.set || r->blkio.weight.set || r->blkio.leaf_weight.set ||
	       r->blkio.weight_device.n || r->blkio.read_bps.n || r->blkio.write_bps.n || r->blkio.read_iops.n ||
	       r->blkio.write_iops.n || r->hugepages.n || r->network.class_id.set || r->network.n_priorities || r->rdma.n ||
	       r->unified.n;
}

bool process_mount_is_grant(const struct oci_mount *m, bool *ret_readonly)
{
	_cleanup_mount_options_ struct mount_options o = { 0 };

	if (mount_options_parse(m->options, &o, NULL) < 0)
		return false;
	*ret_readonly = o.flags & MS_RDONLY || o.attr_set;
	return (o.flags & MS_BIND || (m->type && strcmp(m->type, "bind") == 0)) && m->source && *m->source == '/' &&
	       strcmp(m->source, m->destination) == 0 && !o.data && o.idmap == MOUNT_IDMAP_NONE &&
	       !(o.flags & (MS_NOEXEC | MS_REMOUNT)) && !m->uid_mappings.n;
}

/* A bind mount of a path onto itself is what a grant does. */
static int take_mounts(const struct oci_spec *spec, struct process_policy *p, struct error *err)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		bool readonly;
		char *path;

		if (!process_mount_is_grant(&spec->mounts[i], &readonly))
			continue; /* refused by the plan */
		path = process_path_normalize(spec->mounts[i].source);
		if (!path || strv_push(readonly ? &p->read_only : &p->read_write, path) < 0)
			return error_oom(err);
	}
	return 0;
}

static enum process_view choose_view(const struct oci_spec *spec)
{
	_cleanup_free_ char *root = spec->root.path ? process_path_normalize(spec->root.path) : NULL;

	if (root && strcmp(spec->root.path, "/") == 0)
		return PROCESS_VIEW_HOST;
	return may_chroot() ? PROCESS_VIEW_CHROOT : PROCESS_VIEW_PATH;
}

int process_setup(const struct oci_spec *spec, struct process_setup *ret, struct error *err)
{
	_cleanup_(process_setup_free) struct process_setup s = { 0 };
	int r;

	r = process_policy_parse(spec, &s.policy, err);
	if (r == 0)
		r = take_mounts(spec, &s.policy, err);
	if (r < 0)
		return r;
	process_host_probe(&s.host);
	s.host.cgroup = process_wants_cgroup(spec);
	s.view = choose_view(spec);
	*ret = s;
	s = (struct process_setup){ 0 };
	return 0;
}

void process_setup_free(struct process_setup *setup)
{
	process_policy_free(&setup->policy);
}

int process_setup_check(const struct process_setup *setup, struct error *err)
{
	unsigned missing = process_promises_missing(&setup->policy, &setup->host) & setup->policy.floor;
	_cleanup_strbuf_ struct strbuf lost = STRBUF_INIT, rest = STRBUF_INIT;

	if (missing == 0)
		return 0;
	for (unsigned i = 0; process_promise_name(i); i++) {
		const char *why;

		if (missing & 1u << i) {
			process_promise_kept(1u << i, &setup->policy, &setup->host, &why);
			strbuf_addf(&lost, "%s%s (%s)", lost.len ? ", " : "", process_promise_name(i), why);
		} else if (setup->policy.floor & 1u << i) {
			strbuf_addf(&rest, "%s%s", rest.len ? "," : "", process_promise_name(i));
		}
	}
	return error_set(err, EOPNOTSUPP, "this host cannot keep what the process boundary promises: %s; to do without, set annotation "
			 PROCESS_ANNOTATION_PREFIX "floor=%s", strbuf_str(&lost), strbuf_str(&rest));
}
