#include "host/cgroup_layout.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"

#define PROC_CGROUP_MAX 16384
#define MOUNTINFO_MAX (16u << 20)

static const struct {
	const char *v1, *v2;
} names[CGROUP_CONTROLLERS] = {
    [CGROUP_CPU] = {"cpu", "cpu"},
    [CGROUP_CPUACCT] = {"cpuacct", NULL},
    [CGROUP_CPUSET] = {"cpuset", "cpuset"},
    [CGROUP_MEMORY] = {"memory", "memory"},
    [CGROUP_IO] = {"blkio", "io"},
    [CGROUP_DEVICES] = {"devices", NULL},
    [CGROUP_FREEZER] = {"freezer", NULL},
    [CGROUP_PIDS] = {"pids", "pids"},
    [CGROUP_HUGETLB] = {"hugetlb", "hugetlb"},
    [CGROUP_RDMA] = {"rdma", "rdma"},
    [CGROUP_MISC] = {"misc", "misc"},
    [CGROUP_NET_CLS] = {"net_cls", NULL},
    [CGROUP_NET_PRIO] = {"net_prio", NULL},
    [CGROUP_PERF_EVENT] = {"perf_event", NULL},
    [CGROUP_SYSTEMD] = {"name=systemd", NULL},
};

const char *cgroup_controller_v1_name(enum cgroup_controller c)
{
	return names[c].v1;
}

const char *cgroup_controller_v2_name(enum cgroup_controller c)
{
	return names[c].v2;
}

unsigned cgroup_controllers_parse(const char *list, bool v2)
{
	unsigned bits = 0;

	for (const char *p = list; *p;) {
		size_t len = strcspn(p, ", \n");

		for (int c = 0; len && c < CGROUP_CONTROLLERS; c++) {
			const char *name = v2 ? names[c].v2 : names[c].v1;

			if (name && strlen(name) == len && memcmp(name, p, len) == 0)
				bits |= CGROUP_BIT(c);
		}
		p += len;
		p += strspn(p, ", \n");
	}
	return bits;
}

static void hierarchy_free(struct cgroup_hierarchy *h)
{
	free(h->mount);
	free(h->own);
}

void cgroup_hierarchies_free(struct cgroup_hierarchies *h)
{
	for (size_t i = 0; i < h->n_v1; i++)
		hierarchy_free(&h->v1[i]);
	hierarchy_free(&h->v2);
	*h = (struct cgroup_hierarchies){0};
}

/* Splits one line "ID:CONTROLLERS:PATH" in place. */
static bool split_line(char *line, char **ret_list, char **ret_path)
{
	char *list = strchr(line, ':'), *path;

	if (!list)
		return false;
	path = strchr(++list, ':');
	if (!path || path[1] != '/')
		return false;
	*path++ = 0;
	*ret_list = list;
	*ret_path = path;
	return true;
}

static int add_v1(struct cgroup_hierarchies *h, const char *root, const char *list, const char *own)
{
	unsigned bits = cgroup_controllers_parse(list, false);
	struct cgroup_hierarchy *v;

	if (!bits || h->n_v1 == CGROUP_HIERARCHIES_MAX)
		return 0;
	v = &h->v1[h->n_v1++];
	*v = (struct cgroup_hierarchy){.controllers = bits};
	if (strncmp(list, "name=", 5) == 0)
		list += 5;
	v->own = strdup(own);
	if (!v->own || asprintf(&v->mount, "%s/%s", root, list) < 0)
		return -ENOMEM;
	return 0;
}

static int add_v2(struct cgroup_hierarchies *h, const char *root, const char *sub, const char *own)
{
	if (own && !h->v2.own) {
		h->v2.own = strdup(own);
		if (!h->v2.own)
			return -ENOMEM;
	}
	if (!h->v2.mount && asprintf(&h->v2.mount, "%s%s", root, sub) < 0) {
		h->v2.mount = NULL;
		return -ENOMEM;
	}
	return 0;
}

static bool has_v2(const char *root, const char *sub)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s/cgroup.controllers", root, sub);
	return access(path, F_OK) == 0;
}

static int parse_proc_cgroup(char *text, const char *root, bool want_v2, struct cgroup_hierarchies *h)
{
	char *save = NULL;
	int r = 0;

	for (char *line = strtok_r(text, "\n", &save); line && r == 0; line = strtok_r(NULL, "\n", &save)) {
		char *list, *path;

		if (!split_line(line, &list, &path))
			continue;
		if (*list)
			r = h->pure_v2 ? 0 : add_v1(h, root, list, path);
		else if (h->pure_v2)
			r = add_v2(h, root, "", path);
		else if (want_v2 && has_v2(root, "/unified"))
			r = add_v2(h, root, "/unified", path);
	}
	return r;
}

/* The kernel shows the whole file in one read, so a full buffer alone means that there is more. */
static int read_proc_cgroup(const char *proc_self, char *buf, size_t size, struct error *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/cgroup", proc_self);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	n = fd < 0 ? -1 : read(fd, buf, size);
	if (n < 0)
		return error_sys(err, errno, "cannot read '%s'", path);
	if ((size_t)n == size)
		return error_set(err, EFBIG, "'%s' is longer than %zu bytes", path, size);
	buf[n] = 0;
	return 0;
}

int cgroup_hierarchies_find(const char *root, const char *proc_self, bool want_v2, bool want_own,
			    struct cgroup_hierarchies *ret, struct error *err)
{
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = {0};
	char text[PROC_CGROUP_MAX];
	int r;

	if (has_v2(root, "")) {
		h.pure_v2 = true;
		if (add_v2(&h, root, "", NULL) < 0)
			return error_oom(err);
	}
	if (!h.pure_v2 || want_own) {
		r = read_proc_cgroup(proc_self, text, sizeof(text), err);
		if (r < 0)
			return r;
		if (parse_proc_cgroup(text, root, want_v2, &h) < 0)
			return error_oom(err);
	}
	*ret = h;
	h = (struct cgroup_hierarchies){0};
	return 0;
}

/* mountinfo escapes blanks, tabs, newlines and backslashes as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* "ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [TAGS] - TYPE SOURCE SUPEROPTIONS" */
static bool parse_mount(char *line, char **ret_root, char **ret_mount, char **ret_type, char **ret_super)
{
	char *tail = strstr(line, " - "), *save = NULL, *field[5];

	if (!tail)
		return false;
	*tail = 0;
	tail += 3;
	for (int i = 0; i < 5; i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return false;
	}
	*ret_root = field[3];
	*ret_mount = field[4];
	*ret_type = strtok_r(tail, " ", &save);
	if (!*ret_type || !strtok_r(NULL, " ", &save))
		return false;
	*ret_super = strtok_r(NULL, " ", &save);
	unescape(*ret_root);
	unescape(*ret_mount);
	return *ret_super != NULL;
}

int cgroup_mountinfo_find(const char *proc_self, enum cgroup_controller c, const char *own, char **ret, char **ret_own)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX], *save = NULL;

	snprintf(path, sizeof(path), "%s/mountinfo", proc_self);
	if (file_read_at(AT_FDCWD, path, MOUNTINFO_MAX, &text, NULL, NULL) < 0)
		return -ENOENT;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *root, *mount, *type, *super;
		size_t len;

		if (!parse_mount(line, &root, &mount, &type, &super) || strcmp(type, "cgroup") != 0 ||
		    !(cgroup_controllers_parse(super, false) & CGROUP_BIT(c)))
			continue;
		len = strlen(root);
		if (len > 1 && strncmp(own, root, len) == 0 && (own[len] == '/' || !own[len]))
			own += len;
		*ret = strdup(mount);
		*ret_own = strdup(*own ? own : "/");
		if (*ret && *ret_own)
			return 0;
		free(*ret);
		free(*ret_own);
		return -ENOMEM;
	}
	return -ENOENT;
}
