#include "host/cgroup_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/strv.h"

char *cgroup_path_clean(const char *path)
{
	_cleanup_strv_ char **parts = strv_split(path, "/");
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	size_t kept = 0;

	for (size_t i = 0; i < strv_len(parts); i++) {
		if (strcmp(parts[i], ".") == 0)
			continue;
		if (strcmp(parts[i], "..") == 0) {
			if (kept)
				kept--;
			continue;
		}
		if (kept != i) {
			char *t = parts[kept];

			parts[kept] = parts[i];
			parts[i] = t;
		}
		kept++;
	}
	for (size_t i = 0; i < kept; i++) {
		strbuf_addc(&b, '/');
		strbuf_adds(&b, parts[i]);
	}
	if (!kept)
		strbuf_addc(&b, '/');
	return strbuf_take(&b);
}

int cgroup_path_resolve(const char *path, const char *id, char **ret, struct error *err)
{
	_cleanup_free_ char *clean = NULL;

	if (!path || !*path) {
		if (!*id || strchr(id, '/') || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
			return error_set(err, EINVAL, "cannot name a control group after the id '%s'", id);
		path = id;
	}
	clean = cgroup_path_clean(path);
	if (!clean)
		return error_oom(err);
	if (strcmp(clean, "/") == 0)
		return error_set(err, EINVAL,
				 "linux.cgroupsPath '%s' is the root control group, which is the host's: name one "
				 "below it",
				 path);
	*ret = take_ptr(clean);
	return 0;
}

void cgroup_unit_free(struct cgroup_unit *unit)
{
	free(unit->slice);
	free(unit->name);
	*unit = (struct cgroup_unit){0};
}

/* systemd's unit names, and what D-Bus and we can carry without quoting. */
static bool unit_part_valid(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@", s[i]))
			return false;
	return len < 200;
}

static bool ends_with(const char *s, const char *suffix)
{
	size_t a = strlen(s), b = strlen(suffix);

	return a > b && strcmp(s + a - b, suffix) == 0;
}

int cgroup_path_unit(const char *path, const char *id, bool user, struct cgroup_unit *ret, struct error *err)
{
	_cleanup_cgroup_unit_ struct cgroup_unit u = {0};
	const char *prefix = "ringwall", *name = id, *second, *third;
	size_t prefix_len = strlen(prefix);
	int n;

	if (path && *path) {
		second = strchr(path, ':');
		third = second ? strchr(second + 1, ':') : NULL;
		if (!third || strchr(third + 1, ':') || !third[1])
			return error_set(err, EINVAL,
					 "linux.cgroupsPath '%s' is not of the form 'slice:prefix:name' that the "
					 "systemd manager needs (for example 'system.slice:ringwall:%s')",
					 path, id);
		prefix = second + 1;
		prefix_len = (size_t)(third - prefix);
		name = third + 1;
		u.slice = strndup(path, (size_t)(second - path));
	} else {
		u.slice = strdup("");
	}
	if (!u.slice)
		return error_oom(err);
	if (!*u.slice) {
		free(u.slice);
		u.slice = strdup(user ? "user.slice" : "system.slice");
		if (!u.slice)
			return error_oom(err);
	}
	if (!ends_with(u.slice, ".slice") || !unit_part_valid(u.slice, strlen(u.slice)))
		return error_set(err, EINVAL, "linux.cgroupsPath: '%s' is not the name of a systemd slice", u.slice);
	if (!unit_part_valid(prefix, prefix_len) || !unit_part_valid(name, strlen(name)))
		return error_set(err, EINVAL,
				 "linux.cgroupsPath: '%.*s' and '%s' do not make a systemd unit's name (letters, "
				 "digits and :-_.\\@ do)",
				 (int)prefix_len, prefix, name);
	if (ends_with(name, ".slice"))
		return error_set(err, EINVAL, "linux.cgroupsPath: '%s' would be a slice, but a box runs in a scope",
				 name);
	n = asprintf(&u.name, "%.*s%s%s.scope", (int)prefix_len, prefix, prefix_len ? "-" : "", name);
	if (n < 0) {
		u.name = NULL;
		return error_oom(err);
	}
	*ret = u;
	u = (struct cgroup_unit){0};
	return 0;
}
