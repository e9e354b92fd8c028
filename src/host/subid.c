#include "host/subid.h"

#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

#include "base/parse.h"
#include "base/strv.h"

enum { RANGES_MAX = 32 };

static int add_map(struct id_maps *maps, uint32_t inside, uint32_t outside, uint32_t count)
{
	struct id_map *v = reallocarray(maps->v, maps->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v[maps->n++] = (struct id_map){ inside, outside, count };
	maps->v = v;
	return 0;
}

/* The user's name, without the name service's libraries; "" when /etc/passwd has none. */
static void user_name(uid_t uid, char *buf, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen("/etc/passwd", "re");
	struct passwd *pw;

	buf[0] = 0;
	while (f && (pw = fgetpwent(f)))
		if (pw->pw_uid == uid) {
			snprintf(buf, size, "%s", pw->pw_name);
			return;
		}
}

/* Adds the lines "NAME-OR-UID:FIRST:COUNT" of PATH that are the user's. */
static int add_ranges(struct id_maps *maps, const char *path, const char *name, const char *number)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	uint64_t next = 1;

	while (f && getline(&line, &size, f) >= 0) {
		_cleanup_strv_ char **parts = NULL;
		uint32_t first, count;

		line[strcspn(line, "\n")] = 0;
		parts = strv_split(line, ":");
		if (strv_len(parts) != 3 || (strcmp(parts[0], name) != 0 && strcmp(parts[0], number) != 0))
			continue;
		if (parse_u32(parts[1], &first) < 0 || parse_u32(parts[2], &count) < 0 || count == 0 ||
		    next + count > UINT32_MAX || maps->n >= RANGES_MAX)
			continue;
		if (add_map(maps, (uint32_t)next, first, count) < 0)
			return -ENOMEM;
		next += count;
	}
	return 0;
}

static bool have_helpers(void)
{
	return access("/usr/bin/newuidmap", X_OK) == 0 && access("/usr/bin/newgidmap", X_OK) == 0;
}

int subid_maps(struct id_maps *ret_uids, struct id_maps *ret_gids, struct error *err)
{
	struct id_maps uids = { 0 }, gids = { 0 };
	char name[64], number[16];
	int r;

	user_name(geteuid(), name, sizeof(name));
	snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	r = add_map(&uids, 0, geteuid(), 1);
	if (r == 0)
		r = add_map(&gids, 0, getegid(), 1);
	if (r == 0 && have_helpers()) {
		r = add_ranges(&uids, "/etc/subuid", name, number);
		if (r == 0)
			r = add_ranges(&gids, "/etc/subgid", name, number);
	}
	if (r < 0) {
		free(uids.v);
		free(gids.v);
		return error_oom(err);
	}
	if (uids.n == 1 || gids.n == 1) /* one kind alone is of no use to programs that switch users */
		uids.n = gids.n = 1;
	*ret_uids = uids;
	*ret_gids = gids;
	return 0;
}
