#include "cli/box_users.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/parse.h"
#include "base/strv.h"
#include "host/path.h"
#include "oci/spec_build.h"

enum { FILE_MAX = 4 << 20 };

struct account {
	bool found;
	uint32_t uid, gid;
	char *name, *home; /* owned */
};

static void account_free(struct account *a)
{
	free(a->name);
	free(a->home);
}

/* The lines of the file PATH in the box; NULL when there is no such regular file. */
static char **read_lines(int root_fd, const char *path)
{
	_cleanup_free_ char *text = NULL;
	/* Not blocking: the image may have put a FIFO there. */
	_cleanup_close_ int fd = path_open(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fd_read_all(fd, FILE_MAX, &text, NULL) < 0)
		return NULL;
	return strv_split(text, "\n");
}

/* Splits LINE at colons in place into at most MAX fields; the count. */
static size_t split_fields(char *line, char **fields, size_t max)
{
	size_t n = 0;

	while (n < max) {
		fields[n++] = line;
		line = strchr(line, ':');
		if (!line)
			break;
		*line++ = 0;
	}
	return n;
}

/* Finds the account that is called TEXT, or has the number TEXT. */
static int find_account(int root_fd, const char *text, struct account *ret)
{
	_cleanup_strv_ char **lines = read_lines(root_fd, "/etc/passwd");
	uint32_t wanted;
	bool number = parse_u32(text, &wanted) == 0;

	for (char **l = lines; l && *l; l++) {
		char *f[7];
		uint32_t uid, gid;

		if (split_fields(*l, f, 7) < 6 || parse_u32(f[2], &uid) < 0 || parse_u32(f[3], &gid) < 0)
			continue;
		if (strcmp(f[0], text) != 0 && !(number && uid == wanted))
			continue;
		ret->found = true;
		ret->uid = uid;
		ret->gid = gid;
		ret->name = strdup(f[0]);
		ret->home = strdup(f[5]);
		return ret->name && ret->home ? 0 : -ENOMEM;
	}
	return 0;
}

static int find_group(int root_fd, const char *text, uint32_t *ret, struct error *err)
{
	_cleanup_strv_ char **lines = NULL;

	if (parse_u32(text, ret) == 0)
		return 0;
	lines = read_lines(root_fd, "/etc/group");
	for (char **l = lines; l && *l; l++) {
		char *f[4];

		if (split_fields(*l, f, 4) >= 3 && strcmp(f[0], text) == 0 && parse_u32(f[2], ret) == 0)
			return 0;
	}
	return error_set(err, ENOENT, "the image has no group '%s' in /etc/group", text);
}

/* Groups of which NAME is a member. */
static int add_memberships(int root_fd, const char *name, struct oci_process *process)
{
	_cleanup_strv_ char **lines = read_lines(root_fd, "/etc/group");

	for (char **l = lines; l && *l; l++) {
		_cleanup_strv_ char **members = NULL;
		char *f[4];
		uint32_t gid;

		if (split_fields(*l, f, 4) < 4 || parse_u32(f[2], &gid) < 0)
			continue;
		members = strv_split(f[3], ",");
		if (strv_contains(members, name) && gid != process->gid && oci_add_gid(process, gid) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int set_home(struct oci_process *process, const char *home)
{
	_cleanup_free_ char *assignment = NULL;

	if (strv_env_get(process->env, "HOME"))
		return 0;
	if (asprintf(&assignment, "HOME=%s", home && home[0] == '/' ? home : "/") < 0)
		return -ENOMEM;
	return strv_env_set(&process->env, assignment);
}

int box_users_apply(int root_fd, const char *text, char *const *groups, struct oci_process *process, struct error *err)
{
	_cleanup_(account_free) struct account account = { 0 };
	_cleanup_free_ char *user = NULL;
	const char *colon;
	int r;

	if (!text || !*text)
		text = "0";
	colon = strchrnul(text, ':');
	user = strndup(text, (size_t)(colon - text));
	if (!user || find_account(root_fd, user, &account) < 0)
		return error_oom(err);
	if (account.found) {
		process->uid = account.uid;
		process->gid = account.gid;
	} else if (parse_u32(user, &process->uid) < 0) {
		return error_set(err, ENOENT, "the image has no user '%s' in /etc/passwd", user);
	}
	if (*colon && colon[1]) {
		r = find_group(root_fd, colon + 1, &process->gid, err);
		if (r < 0)
			return r;
	} else if (account.found && add_memberships(root_fd, account.name, process) < 0) {
		return error_oom(err);
	}
	for (; groups && *groups; groups++) {
		uint32_t gid;

		r = find_group(root_fd, *groups, &gid, err);
		if (r < 0)
			return r;
		if (oci_add_gid(process, gid) < 0)
			return error_oom(err);
	}
	return set_home(process, account.home) < 0 ? error_oom(err) : 0;
}
