#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cgroup_devices.h"
#include "host/cgroup_internal.h"

#define FIELD "linux.resources.devices"
#define FREEZE_MS 1000

/* devices.allow or devices.deny of a node, opened at the first line. */
struct device_file {
	const struct cgroup_node *node;
	const char *name;
	int fd;
};

static int put_line(struct device_file *f, const char *line, struct error *err)
{
	char path[PATH_MAX];

	if (f->fd < 0) {
		snprintf(path, sizeof(path), "%s/%s", f->node->dir, f->name);
		f->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (f->fd < 0)
			return error_sys(err, errno, FIELD ": cannot open '%s'", path);
	}
	if (write(f->fd, line, strlen(line)) < 0) {
		if (errno == EPERM)
			return error_set(err, EPERM,
					 FIELD ": cannot write '%s' to %s/%s: a parent control group does not allow "
					       "this device to its children",
					 line, f->node->dir, f->name);
		return cgroup_set_failed(f->node, FIELD, f->name, line, -errno, err);
	}
	return 0;
}

static bool list_has(const struct device_list *list, const struct device_rule *d)
{
	for (size_t i = 0; i < list->exceptions.n; i++) {
		const struct device_rule *e = &list->exceptions.v[i];

		if (e->type == d->type && e->major == d->major && e->minor == d->minor && (!d->read || e->read) &&
		    (!d->write || e->write) && (!d->mknod || e->mknod))
			return true;
	}
	return false;
}

/* Writes the exceptions of LIST that HAVE (or NULL) lacks. */
static int put_exceptions(struct device_file *f, const struct device_list *list, const struct device_list *have,
			  struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < list->exceptions.n && r == 0; i++) {
		char line[80];

		if (have && list_has(have, &list->exceptions.v[i]))
			continue;
		device_rule_format(&list->exceptions.v[i], line, sizeof(line));
		r = put_line(f, line, err);
	}
	return r;
}

/* Removes from the group the parts of HAVE's exceptions that LIST does not have. */
static int remove_exceptions(struct device_file *deny, const struct device_list *list, const struct device_list *have,
			     struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < have->exceptions.n && r == 0; i++) {
		struct device_rule d = have->exceptions.v[i];
		char line[80];

		for (size_t j = 0; j < list->exceptions.n; j++) {
			const struct device_rule *e = &list->exceptions.v[j];

			if (e->type != d.type || e->major != d.major || e->minor != d.minor)
				continue;
			d.read &= !e->read;
			d.write &= !e->write;
			d.mknod &= !e->mknod;
		}
		if (!d.read && !d.write && !d.mknod)
			continue;
		device_rule_format(&d, line, sizeof(line));
		r = put_line(deny, line, err);
	}
	return r;
}

/* A new group has its parent's rules: narrow them. */
static int apply_new(struct device_file *allow, struct device_file *deny, const struct device_list *list,
		     struct error *err)
{
	int r;

	if (list->default_allow)
		return put_exceptions(deny, list, NULL, err);
	r = put_line(deny, "a", err);
	return r < 0 ? r : put_exceptions(allow, list, NULL, err);
}

/* A group in use: from one "deny" default to another only the differences are written, additions first. */
static int apply_used(struct device_file *allow, struct device_file *deny, const struct device_list *list,
		      struct error *err)
{
	_cleanup_device_list_ struct device_list have = {0};
	_cleanup_free_ char *text = NULL;
	int r = cgroup_file_read_all(allow->node, "devices.list", &text);

	if (r < 0)
		return error_sys(err, r, FIELD ": cannot read '%s/devices.list'", allow->node->dir);
	r = device_list_parse(text, &have, err);
	if (r < 0)
		return r;
	if (list->default_allow) {
		r = put_line(allow, "a", err);
		return r < 0 ? r : put_exceptions(deny, list, NULL, err);
	}
	if (have.default_allow) {
		r = put_line(deny, "a", err);
		return r < 0 ? r : put_exceptions(allow, list, NULL, err);
	}
	r = put_exceptions(allow, list, &have, err);
	return r < 0 ? r : remove_exceptions(deny, list, &have, err);
}

int cgroup_v1_devices(const struct cgroup_apply *a, struct error *err)
{
	_cleanup_device_rules_ struct device_rules rules = {0};
	_cleanup_device_list_ struct device_list list = {0};
	struct device_file allow = {a->node, "devices.allow", -1}, deny = {a->node, "devices.deny", -1};
	bool freeze, frozen = false;
	int r;

	r = device_rules_build(a->r, &rules, err);
	if (r < 0)
		return r;
	if (a->create && device_rules_allow_all(&rules))
		return 0;
	r = device_list_build(&rules, &list, err);
	if (r < 0)
		return r;
	/* "Everything but ..." passes through "everything" on v1: nobody may run meanwhile. */
	freeze = !a->create && list.default_allow && list.exceptions.n && cgroup_is_frozen(a->cg, &frozen, NULL) == 0 &&
		 !frozen;
	if (freeze) {
		r = cgroup_freeze(a->cg, FREEZE_MS, err);
		if (r < 0)
			return r;
	}
	r = a->create ? apply_new(&allow, &deny, &list, err) : apply_used(&allow, &deny, &list, err);
	if (freeze) {
		int t = cgroup_thaw(a->cg, r < 0 ? NULL : err);

		r = r < 0 ? r : t;
	}
	safe_close(allow.fd);
	safe_close(deny.fd);
	return r;
}
