#include "host/cgroup_devices.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#define ANY (-1)

/* What a box may always use: runc's and crun's list. */
static const struct device_rule defaults[] = {
    {true, 'c', ANY, ANY, false, false, true}, /* mknod of anything; using it is another matter */
    {true, 'b', ANY, ANY, false, false, true}, {true, 'c', 1, 3, true, true, true}, /* null */
    {true, 'c', 1, 5, true, true, true},					    /* zero */
    {true, 'c', 1, 7, true, true, true},					    /* full */
    {true, 'c', 1, 8, true, true, true},					    /* random */
    {true, 'c', 1, 9, true, true, true},					    /* urandom */
    {true, 'c', 5, 0, true, true, true},					    /* tty */
    {true, 'c', 5, 1, true, true, true},					    /* console */
    {true, 'c', 5, 2, true, true, true},					    /* ptmx */
    {true, 'c', 136, ANY, true, true, true},					    /* pts */
    {true, 'c', 10, 200, true, true, true},					    /* net/tun */
};

void device_rules_free(struct device_rules *rules)
{
	free(rules->v);
	*rules = (struct device_rules){0};
}

void device_list_free(struct device_list *list)
{
	device_rules_free(&list->exceptions);
}

int device_rules_build(const struct cgroup_resources *r, struct device_rules *ret, struct error *err)
{
	struct device_rules rules = {.n = r->devices.n + ARRAY_SIZE(defaults)};

	for (size_t i = 0; i < r->devices.n; i++) {
		const struct device_rule *d = &r->devices.v[i];

		if (!d->type || !strchr("abc", d->type))
			return error_set(err, EINVAL, "linux.resources.devices: type '%c' is not a, b or c", d->type);
		if (d->major > UINT32_MAX || d->minor > UINT32_MAX)
			return error_set(err, EINVAL,
					 "linux.resources.devices: there is no device %" PRId64 ":%" PRId64, d->major,
					 d->minor);
	}
	rules.v = calloc(rules.n, sizeof(*rules.v));
	if (!rules.v)
		return error_oom(err);
	if (r->devices.n)
		memcpy(rules.v, r->devices.v, r->devices.n * sizeof(*rules.v));
	memcpy(rules.v + r->devices.n, defaults, sizeof(defaults));
	*ret = rules;
	return 0;
}

static bool is_everything(const struct device_rule *d)
{
	return d->type == 'a' && d->major < 0 && d->minor < 0 && d->read && d->write && d->mknod;
}

bool device_rules_allow_all(const struct device_rules *rules)
{
	for (size_t i = rules->n; i > 0; i--) {
		const struct device_rule *d = &rules->v[i - 1];

		if (!d->allow)
			return false;
		if (is_everything(d))
			return true;
	}
	return false;
}

void device_rule_format(const struct device_rule *d, char *buf, size_t size)
{
	char major[24] = "*", minor[24] = "*";

	if (d->major >= 0)
		snprintf(major, sizeof(major), "%" PRId64, d->major);
	if (d->minor >= 0)
		snprintf(minor, sizeof(minor), "%" PRId64, d->minor);
	snprintf(buf, size, "%c %s:%s %s%s%s", d->type, major, minor, d->read ? "r" : "", d->write ? "w" : "",
		 d->mknod ? "m" : "");
}

/* ---- the canonical form ---- */

static bool number_covers(int64_t a, int64_t b)
{
	return a < 0 || a == b;
}

static bool numbers_meet(int64_t a, int64_t b)
{
	return a < 0 || b < 0 || a == b;
}

static bool same_device(const struct device_rule *a, const struct device_rule *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

/* Takes D's access away from the exceptions that it meets. */
static int take_away(struct device_list *list, const struct device_rule *d, struct error *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->exceptions.n; i++) {
		struct device_rule *e = &list->exceptions.v[i];
		bool meets = e->type == d->type && numbers_meet(e->major, d->major) &&
			     numbers_meet(e->minor, d->minor) &&
			     ((e->read && d->read) || (e->write && d->write) || (e->mknod && d->mknod));

		if (meets && !(number_covers(d->major, e->major) && number_covers(d->minor, e->minor))) {
			char rule[80], wider[80];

			device_rule_format(d, rule, sizeof(rule));
			device_rule_format(e, wider, sizeof(wider));
			return error_set(err, ENOTSUP,
					 "linux.resources.devices: cgroup v1 cannot %s '%s' out of the wider '%s' "
					 "before it: list the devices one by one",
					 d->allow ? "allow" : "deny", rule, wider);
		}
		if (meets) {
			e->read &= !d->read;
			e->write &= !d->write;
			e->mknod &= !d->mknod;
		}
		if (e->read || e->write || e->mknod)
			list->exceptions.v[kept++] = *e;
	}
	list->exceptions.n = kept;
	return 0;
}

static void add_exception(struct device_list *list, const struct device_rule *d)
{
	for (size_t i = 0; i < list->exceptions.n; i++) {
		struct device_rule *e = &list->exceptions.v[i];

		if (same_device(e, d)) {
			e->read |= d->read;
			e->write |= d->write;
			e->mknod |= d->mknod;
			return;
		}
	}
	list->exceptions.v[list->exceptions.n++] = *d;
}

static int list_apply(struct device_list *list, struct device_rule d, struct error *err)
{
	if (!d.read && !d.write && !d.mknod)
		return 0;
	if (is_everything(&d)) {
		list->default_allow = d.allow;
		list->exceptions.n = 0;
		return 0;
	}
	if (d.type == 'a') {
		int r;

		d.type = 'b';
		r = list_apply(list, d, err);
		if (r < 0)
			return r;
		d.type = 'c';
	}
	if (d.allow == list->default_allow)
		return take_away(list, &d, err);
	add_exception(list, &d);
	return 0;
}

int device_list_build(const struct device_rules *rules, struct device_list *ret, struct error *err)
{
	_cleanup_device_list_ struct device_list list = {0};
	int r;

	/* Each rule adds two exceptions at most. */
	list.exceptions.v = calloc(rules->n * 2 + 1, sizeof(*list.exceptions.v));
	if (!list.exceptions.v)
		return error_oom(err);
	for (size_t i = 0; i < rules->n; i++) {
		r = list_apply(&list, rules->v[i], err);
		if (r < 0)
			return r;
	}
	*ret = list;
	list = (struct device_list){0};
	return 0;
}

static int parse_number(const char *s, int64_t *ret)
{
	if (strcmp(s, "*") == 0) {
		*ret = ANY;
		return 0;
	}
	return parse_i64(s, ret);
}

int device_list_parse(const char *text, struct device_list *ret, struct error *err)
{
	_cleanup_device_list_ struct device_list list = {0};
	_cleanup_free_ char *copy = strdup(text);
	char *save = NULL;
	size_t lines = 1;

	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	list.exceptions.v = calloc(lines, sizeof(*list.exceptions.v));
	if (!copy || !list.exceptions.v)
		return error_oom(err);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct device_rule d = {.allow = true};
		char major[24], minor[24], access[8];

		if (sscanf(line, "%c %23[^:]:%23s %7s", &d.type, major, minor, access) != 4 ||
		    parse_number(major, &d.major) < 0 || parse_number(minor, &d.minor) < 0)
			return error_set(err, EBADMSG, "cannot read the line '%s' of devices.list", line);
		d.read = strchr(access, 'r');
		d.write = strchr(access, 'w');
		d.mknod = strchr(access, 'm');
		if (d.type == 'a') {
			list.default_allow = true;
			list.exceptions.n = 0;
			break;
		}
		list.exceptions.v[list.exceptions.n++] = d;
	}
	*ret = list;
	list = (struct device_list){0};
	return 0;
}
