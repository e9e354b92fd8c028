#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "host/cgroup_internal.h"

const char *cgroup_layout_name(enum cgroup_layout layout)
{
	static const char *const names[] = {
	    [CGROUP_LAYOUT_NONE] = "none",
	    [CGROUP_LAYOUT_V1] = "v1",
	    [CGROUP_LAYOUT_HYBRID] = "hybrid",
	    [CGROUP_LAYOUT_V2] = "v2",
	};

	return names[layout];
}

void cgroup_host_free(struct cgroup_host *host)
{
	free(host->v1_controllers);
	free(host->v2_controllers);
	free(host->own_v2_path);
	*host = (struct cgroup_host){0};
}

static char *names_of(unsigned bits, bool v2)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	for (int c = 0; c < CGROUP_CONTROLLERS; c++)
		if (bits & CGROUP_BIT(c))
			strbuf_addf(&b, "%s%s", b.len ? "," : "",
				    v2 ? cgroup_controller_v2_name(c) : cgroup_controller_v1_name(c));
	return strbuf_take(&b);
}

static bool writable(const char *mount, const char *path)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s%s", mount, path);
	return access(dir, W_OK | X_OK) == 0;
}

/* Where a rootless group goes: see make_v2_delegated(). */
static bool v2_writable(const struct cgroup_hierarchy *v2)
{
	_cleanup_free_ char *parent = strdup(v2->own ? v2->own : "/");
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!slash)
		return false;
	slash[slash == parent] = 0;
	return writable(v2->mount, parent) || writable(v2->mount, v2->own ? v2->own : "/");
}

static unsigned v2_controllers(const char *mount)
{
	struct cgroup_node node = {.dir = (char *)mount};
	char buf[512];

	return cgroup_file_read(&node, "cgroup.controllers", buf, sizeof(buf)) < 0
		   ? 0
		   : cgroup_controllers_parse(buf, true);
}

int cgroup_host_probe(const char *root, const char *proc_self, struct cgroup_host *ret, struct error *err)
{
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = {0};
	struct cgroup_host host = {0};
	unsigned v1 = 0;
	bool v1_writable = true;
	int r;

	r = cgroup_hierarchies_find(root ? root : CGROUP_ROOT, proc_self ? proc_self : "/proc/self", true, true, &h,
				    err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < h.n_v1; i++) {
		if (access(h.v1[i].mount, F_OK) < 0)
			continue;
		v1 |= h.v1[i].controllers;
		v1_writable &= writable(h.v1[i].mount, "");
	}
	if (h.pure_v2)
		host.layout = CGROUP_LAYOUT_V2;
	else if (v1)
		host.layout = h.v2.mount ? CGROUP_LAYOUT_HYBRID : CGROUP_LAYOUT_V1;
	host.can_create = (v1 || h.v2.mount) && (!v1 || v1_writable) && (!h.v2.mount || v2_writable(&h.v2));
	host.v1_controllers = names_of(v1, false);
	host.v2_controllers = names_of(h.v2.mount ? v2_controllers(h.v2.mount) : 0, true);
	if (h.v2.mount)
		host.own_v2_path = strdup(h.v2.own ? h.v2.own : "/");
	if (!host.v1_controllers || !host.v2_controllers || (h.v2.mount && !host.own_v2_path)) {
		cgroup_host_free(&host);
		return error_oom(err);
	}
	*ret = host;
	return 0;
}
