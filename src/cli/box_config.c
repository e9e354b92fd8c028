#include "cli/box_config.h"

#include <sched.h>
#include <string.h>

#include "base/parse.h"
#include "base/strv.h"

/* "private", "host" or "ns:PATH" for a namespace of TYPE. */
static int set_namespace(struct oci_spec *spec, int type, const char *option, const char *value, struct error *err)
{
	if (!value || strcmp(value, "private") == 0)
		return oci_set_namespace(spec, type, NULL) < 0 ? error_oom(err) : 0;
	if (strcmp(value, "host") == 0) {
		oci_remove_namespace(spec, type);
		return 0;
	}
	if (strncmp(value, "ns:/", 4) == 0)
		return oci_set_namespace(spec, type, value + 3) < 0 ? error_oom(err) : 0;
	return error_set(err, EINVAL, "option --%s: '%s' is not one of private, host, ns:PATH", option, value);
}

static int set_user_namespace(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const char *value = rq->options->userns;
	_cleanup_strv_ char **parts = NULL;
	uint32_t outside, count;

	oci_remove_namespace(spec, CLONE_NEWUSER);
	if (!value || strcmp(value, "host") == 0)
		return 0;
	parts = strv_split(value, ":");
	if (strv_len(parts) != 3 || strcmp(parts[0], "map") != 0 || parse_u32(parts[1], &outside) < 0 ||
	    parse_u32(parts[2], &count) < 0 || count == 0 || outside + (uint64_t)count > UINT32_MAX)
		return error_set(err, EINVAL, "option --userns: '%s' is neither host nor of the form map:OUTSIDE:COUNT", value);
	if (rq->rootless)
		return error_set(err, EINVAL, "option --userns map needs privilege; without it a box has a user namespace anyway");
	if (oci_set_namespace(spec, CLONE_NEWUSER, NULL) < 0 ||
	    oci_add_id_map(&spec->linux_.uid_mappings, 0, outside, count) < 0 ||
	    oci_add_id_map(&spec->linux_.gid_mappings, 0, outside, count) < 0)
		return error_oom(err);
	return 0;
}

/*
 * A wall without namespaces gets only those that the user asked for, and refuses them. Its network is the host's or none;
 * how much of the host's is granted is said in annotations (docs/process.md).
 */
static int without_own_view(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	static const int types[] = { CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP };
	static const struct {
		const char *key, *value;
	} grants[] = { { "tcp-connect", "any" }, { "tcp-bind", "any" }, { "allow", "udp" } };
	const struct {
		const char *option, *value;
		int type;
	} asked[] = { { "pid", rq->options->pid, CLONE_NEWPID },
		      { "ipc", rq->options->ipc, CLONE_NEWIPC },
		      { "uts", rq->options->uts, CLONE_NEWUTS },
		      { "cgroupns", rq->options->cgroupns, CLONE_NEWCGROUP } };
	char key[64];

	if (strcmp(rq->network, "host") != 0 && strcmp(rq->network, "none") != 0)
		return error_set(err, EOPNOTSUPP, "isolation '%s' has no network of its own: use --network none or --network host",
				 rq->cli->isolation);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		oci_remove_namespace(spec, types[i]);
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
		if (asked[i].value && set_namespace(spec, asked[i].type, asked[i].option, asked[i].value, err) < 0)
			return -err->code;
	for (size_t i = 0; strcmp(rq->network, "host") == 0 && i < ARRAY_SIZE(grants); i++) {
		snprintf(key, sizeof(key), "run.ringwall.process.%s", grants[i].key);
		if (oci_set_annotation(spec, key, grants[i].value) < 0)
			return error_oom(err);
	}
	return 0;
}

static int set_namespaces(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const struct run_options *o = rq->options;
	int r;

	if (!rq->own_view)
		return without_own_view(rq, spec, err);

	r = set_user_namespace(rq, spec, err);
	if (r == 0)
		r = set_namespace(spec, CLONE_NEWNET, "network", strcmp(rq->network, "none") == 0 ? "private" : rq->network, err);
	if (r == 0)
		r = set_namespace(spec, CLONE_NEWPID, "pid", o->pid, err);
	if (r == 0)
		r = set_namespace(spec, CLONE_NEWIPC, "ipc", o->ipc, err);
	if (r == 0)
		r = set_namespace(spec, CLONE_NEWUTS, "uts", o->uts, err);
	if (r == 0)
		r = set_namespace(spec, CLONE_NEWCGROUP, "cgroupns", o->cgroupns, err);
	return r;
}

static int set_names(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const struct run_options *o = rq->options;
	bool own = oci_spec_namespace(spec, CLONE_NEWUTS);
	char hostname[65];

	if (!own && rq->own_view && (o->hostname || o->domainname))
		return error_set(err, EINVAL, "options --hostname and --domainname need a UTS namespace of the box's own");
	snprintf(hostname, sizeof(hostname), "%.64s", o->hostname ? o->hostname : rq->id);
	if (oci_set_string(&spec->hostname, own ? hostname : o->hostname) < 0 ||
	    oci_set_string(&spec->domainname, o->domainname) < 0 || oci_set_string(&spec->root.path, "rootfs") < 0)
		return error_oom(err);
	spec->root.readonly = o->read_only;
	return 0;
}

static int set_cgroup(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const char *parent = rq->options->cgroup_parent;
	_cleanup_free_ char *path = NULL;
	int n;

	if (strcmp(rq->cli->cgroup_manager, "systemd") == 0)
		n = asprintf(&path, "%s:ringwall:%s", parent ? parent : "", rq->id);
	else if ((rq->rootless || !rq->own_view) && !parent)
		return 0; /* where that is possible, and something is asked that needs one */
	else
		n = asprintf(&path, "%s/%s", parent ? parent : "/ringwall", rq->id);
	if (n < 0)
		path = NULL;
	return path && oci_set_string(&spec->linux_.cgroups_path, path) == 0 ? 0 : error_oom(err);
}

/* KEY=VALUE of every list; an annotation without '=' is refused. */
static int set_annotations(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	for (char **a = rq->options->annotations; a && *a; a++) {
		_cleanup_free_ char *key = strdup(*a);
		char *equals = key ? strchr(key, '=') : NULL;

		if (!equals)
			return error_set(err, EINVAL, "option --annotation: '%s' is not of the form KEY=VALUE", *a);
		*equals = 0;
		if (oci_set_annotation(spec, key, equals + 1) < 0)
			return error_oom(err);
	}
	return 0;
}

static int set_sysctls(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	/* ping without a raw socket; only where the network namespace, and so the setting, is the box's own */
	const struct oci_namespace *net = oci_spec_namespace(spec, CLONE_NEWNET);

	if (net && !net->path && !rq->rootless && oci_set_sysctl(spec, "net.ipv4.ping_group_range", "0 0") < 0)
		return error_oom(err);
	for (char **s = rq->options->sysctls; s && *s; s++) {
		_cleanup_free_ char *key = strdup(*s);
		char *equals = key ? strchr(key, '=') : NULL;

		if (!equals)
			return error_set(err, EINVAL, "option --sysctl: '%s' is not of the form KEY=VALUE", *s);
		*equals = 0;
		if (oci_set_sysctl(spec, key, equals + 1) < 0)
			return error_oom(err);
	}
	return 0;
}

int box_config_build(const struct box_request *rq, struct oci_spec **ret, struct error *err)
{
	static int (*const parts[])(const struct box_request *, struct oci_spec *, struct error *) = {
		set_namespaces, set_names,	   set_cgroup,	      set_annotations,	   set_sysctls,
		box_config_grants, box_config_process, box_config_mounts, box_config_limits, box_config_devices, box_config_security,
	};
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	const struct oci_default how = { .cgroup_namespace = true };

	if (oci_spec_default(&how, &spec, err) < 0)
		return -err->code;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r = parts[i](rq, spec, err);

		if (r < 0)
			return r;
	}
	*ret = take_ptr(spec);
	return 0;
}
