/* Capabilities, the system call filter, labels: what --cap-add, --security-opt and --privileged say. */
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>

#include "base/fdio.h"
#include "base/strv.h"
#include "cli/box_config.h"
#include "host/seccomp_default.h"

/* What ordinary server programs need as their own root. */
#define DEFAULT_CAPS                                                                                                   \
	(1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER | 1ull << CAP_FSETID | 1ull << CAP_KILL |   \
	 1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_SETFCAP | 1ull << CAP_SETGID | 1ull << CAP_SETPCAP |               \
	 1ull << CAP_SETUID | 1ull << CAP_SYS_CHROOT)

static int change_caps(char *const *names, const char *option, bool add, uint64_t *caps, struct error *err)
{
	for (; names && *names; names++) {
		int cap;

		if (strcasecmp(*names, "ALL") == 0) {
			*caps = add ? cap_all_known() : 0;
			continue;
		}
		cap = cap_from_string(*names);
		if (cap < 0)
			return error_set(err, EINVAL, "option --%s: unknown capability '%s'", option, *names);
		if (add)
			*caps |= 1ull << cap;
		else
			*caps &= ~(1ull << cap);
	}
	return 0;
}

static int set_caps(const struct box_request *rq, struct oci_process *process, struct error *err)
{
	const struct run_options *o = rq->options;
	uint64_t caps = o->privileged ? cap_all_known() : rq->own_view ? DEFAULT_CAPS : 0;
	bool drop_all = strv_contains(o->cap_drop, "ALL") || strv_contains(o->cap_drop, "all");
	int r;

	if (drop_all) /* --cap-drop ALL --cap-add X is X, in whatever order */
		caps = 0;
	r = change_caps(o->cap_add, "cap-add", true, &caps, err);
	if (r == 0 && !drop_all)
		r = change_caps(o->cap_drop, "cap-drop", false, &caps, err);
	process->has_capabilities = true;
	process->capabilities = (struct cap_sets){ .bounding = caps, .effective = caps, .permitted = caps };
	return r;
}

struct security {
	const char *seccomp; /* file name, "unconfined" or NULL: the default profile */
	bool unmask_all;
	char **unmask; /* owned */
};

static int load_seccomp(const char *file, struct oci_spec *spec, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = file_read_at(AT_FDCWD, file, OCI_CONFIG_MAX, &text, &len, err);

	if (r == 0)
		r = oci_seccomp_parse(text, len, &spec->linux_.seccomp, err);
	return r < 0 ? error_prefix(err, "seccomp profile '%s'", file) : 0;
}

static int set_label(struct oci_process *process, const char *value, struct error *err)
{
	if (strcmp(value, "disable") == 0)
		return oci_set_string(&process->selinux_label, NULL) < 0 ? error_oom(err) : 0;
	if (strncmp(value, "full:", 5) == 0)
		return oci_set_string(&process->selinux_label, value + 5) < 0 ? error_oom(err) : 0;
	return error_set(err, EINVAL, "option --security-opt: label=%s is neither label=disable nor label=full:LABEL", value);
}

/* One KEY=VALUE or KEY:VALUE. */
static int apply_option(struct oci_spec *spec, struct security *s, const char *text, struct error *err)
{
	size_t len = strcspn(text, "=:");
	const char *value = text[len] ? text + len + 1 : "";
	_cleanup_strv_ char **paths = NULL;

	if (strncmp(text, "no-new-privileges", len) == 0 && len == 17) {
		spec->process->no_new_privileges = strcmp(value, "false") != 0;
		return 0;
	}
	if (len == 7 && strncmp(text, "seccomp", len) == 0 && *value) {
		s->seccomp = value;
		return 0;
	}
	if (len == 8 && strncmp(text, "apparmor", len) == 0 && *value)
		return oci_set_string(&spec->process->apparmor_profile, value) < 0 ? error_oom(err) : 0;
	if (len == 5 && strncmp(text, "label", len) == 0 && *value)
		return set_label(spec->process, value, err);
	if (len == 6 && strncmp(text, "unmask", len) == 0 && *value) {
		s->unmask_all |= strcmp(value, "ALL") == 0;
		paths = strv_split(value, ":");
		return strv_extend(&s->unmask, paths) < 0 ? error_oom(err) : 0;
	}
	if (len == 4 && strncmp(text, "mask", len) == 0 && *value) {
		paths = strv_split(value, ":");
		return strv_extend(&spec->linux_.masked_paths, paths) < 0 ? error_oom(err) : 0;
	}
	return error_set(err, EINVAL, "option --security-opt: '%s' is not one of seccomp=, apparmor=, label=, mask=, unmask=, "
			 "no-new-privileges", text);
}

static int remove_paths(char ***paths, char *const *unwanted)
{
	char **kept = NULL;

	for (char **p = *paths; p && *p; p++)
		if (!strv_contains(unwanted, *p) && strv_add(&kept, *p) < 0) {
			strv_free(kept);
			return -ENOMEM;
		}
	strv_free(*paths);
	*paths = kept;
	return 0;
}

static int set_masks(struct oci_spec *spec, const struct security *s, bool privileged, struct error *err)
{
	if (privileged || s->unmask_all) {
		strv_free(spec->linux_.masked_paths);
		strv_free(spec->linux_.readonly_paths);
		spec->linux_.masked_paths = spec->linux_.readonly_paths = NULL;
		return 0;
	}
	return remove_paths(&spec->linux_.masked_paths, s->unmask) < 0 ||
			       remove_paths(&spec->linux_.readonly_paths, s->unmask) < 0
		       ? error_oom(err)
		       : 0;
}

static int set_seccomp(struct oci_spec *spec, const struct security *s, bool privileged, struct error *err)
{
	if (s->seccomp ? strcmp(s->seccomp, "unconfined") == 0 : privileged)
		return 0;
	if (s->seccomp && strcmp(s->seccomp, "default") != 0)
		return load_seccomp(s->seccomp, spec, err);
	spec->linux_.seccomp = seccomp_default_policy(spec->process->capabilities.bounding);
	return spec->linux_.seccomp ? 0 : error_oom(err);
}

int box_config_security(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const struct run_options *o = rq->options;
	struct security s = { 0 };
	int r;

	spec->process->no_new_privileges = !rq->own_view;
	r = set_caps(rq, spec->process, err);
	for (char **t = o->security_opt; r == 0 && t && *t; t++)
		r = apply_option(spec, &s, *t, err);
	/* A wall without namespaces has a filter of its own, always, and nothing to mask. */
	if (r == 0 && (rq->own_view || s.seccomp))
		r = set_seccomp(spec, &s, o->privileged, err);
	if (r == 0)
		r = set_masks(spec, &s, o->privileged || !rq->own_view, err);
	strv_free(s.unmask);
	return r;
}
