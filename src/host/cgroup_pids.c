#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/fdio.h"
#include "base/parse.h"
#include "base/strv.h"
#include "host/cgroup_internal.h"

#define PROCS_MAX (64u << 20)
#define FREEZE_MS 500
#define KILL_ROUNDS 20

struct pids {
	pid_t *v; /* owned */
	size_t n, cap;
};

static int pids_add(struct pids *p, pid_t pid)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		pid_t *v = reallocarray(p->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		p->v = v;
		p->cap = cap;
	}
	p->v[p->n++] = pid;
	return 0;
}

static int read_procs(int dirfd, struct pids *p)
{
	_cleanup_close_ int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fd_read_all(fd, PROCS_MAX, &text, NULL);
	if (r == -EOPNOTSUPP || r == -ENODEV) /* a threaded group: its processes are listed above; or just removed */
		return 0;
	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint32_t pid;

		/* 0 is a process that our pid namespace cannot see. */
		if (parse_u32(line, &pid) < 0 || pid == 0)
			continue;
		r = pids_add(p, (pid_t)pid);
		if (r < 0)
			return r;
	}
	return 0;
}

static int list_children(int dirfd, char ***ret)
{
	_cleanup_strv_ char **names = NULL;
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((e = readdir(dir))) {
		if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (strv_add(&names, e->d_name) < 0)
			return -ENOMEM;
	}
	*ret = take_ptr(names);
	return 0;
}

/* One level of the walk: the children still to visit. */
struct level {
	char **names; /* owned */
	size_t next;
};

struct walk {
	struct level *v; /* owned */
	size_t n;
	int fd; /* the directory of the deepest level; owned */
};

static void walk_free(struct walk *w)
{
	for (size_t i = 0; i < w->n; i++)
		strv_free(w->v[i].names);
	free(w->v);
	safe_close(w->fd);
}

/* Enters FD (taken over). */
static int walk_push(struct walk *w, int fd)
{
	struct level *v = reallocarray(w->v, w->n + 1, sizeof(*v));

	safe_close(w->fd);
	w->fd = fd;
	if (!v)
		return -ENOMEM;
	w->v = v;
	w->v[w->n++] = (struct level){0};
	return list_children(fd, &w->v[w->n - 1].names);
}

static int walk_pop(struct walk *w)
{
	int fd;

	strv_free(w->v[--w->n].names);
	if (!w->n)
		return 0;
	fd = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	safe_close(w->fd);
	w->fd = fd;
	return 0;
}

/*
 * All processes below the directory. The box decides how deep its groups are nested, so the walk holds one descriptor
 * and no recursion.
 */
static int walk_tree(const char *path, struct pids *pids)
{
	_cleanup_(walk_free) struct walk w = {.fd = -1};
	int fd, r;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = walk_push(&w, fd);
	if (r == 0)
		r = read_procs(w.fd, pids);
	while (r == 0 && w.n) {
		struct level *l = &w.v[w.n - 1];
		const char *name = l->names ? l->names[l->next] : NULL;

		if (!name) {
			r = walk_pop(&w);
			continue;
		}
		l->next++;
		fd = openat(w.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) {
			r = errno == ENOENT ? 0 : -errno;
			continue;
		}
		r = walk_push(&w, fd);
		if (r == 0)
			r = read_procs(w.fd, pids);
	}
	return r;
}

static int collect(const struct cgroup *cg, const struct cgroup_node *node, struct pids *pids)
{
	int r = -EAGAIN;

	/* -EAGAIN: a group vanished under the walk's feet. */
	for (int try = 0; try < 10 && r == -EAGAIN; try++) {
		pids->n = 0;
		r = walk_tree(node->dir, pids);
	}
	return r;
}

/*
 * The node that knows all processes: v2 where there is one; of the v1 ones the freezer, because stopping and listing
 * then speak of the same processes.
 */
static const struct cgroup_node *list_node(const struct cgroup *cg)
{
	const struct cgroup_node *node = cg->v2.dir ? &cg->v2 : cgroup_node_of(cg, CGROUP_FREEZER, NULL);

	return node ? node : cgroup_any_node(cg);
}

int cgroup_pids(const struct cgroup *cg, pid_t **ret, size_t *ret_n, struct error *err)
{
	struct pids pids = {0};
	int r = 0;

	if (cgroup_exists(cg)) {
		const struct cgroup_node *node = list_node(cg);

		r = collect(cg, node, &pids);
		if (r < 0) {
			free(pids.v);
			return error_sys(err, r, "cannot list the processes of control group '%s'", node->dir);
		}
	}
	*ret = pids.v;
	*ret_n = pids.n;
	return 0;
}

/* Signals everybody once. *RET_FAILED: the first errno other than ESRCH, as a negative number. */
static int signal_all(const struct cgroup *cg, const struct cgroup_node *node, int signal, size_t *ret_n,
		      int *ret_failed)
{
	struct pids pids = {0};
	int r = collect(cg, node, &pids);

	*ret_n = 0;
	for (size_t i = 0; i < pids.n && r == 0; i++) {
		if (kill(pids.v[i], signal) == 0)
			++*ret_n;
		else if (errno != ESRCH && !*ret_failed)
			*ret_failed = -errno;
	}
	free(pids.v);
	return r;
}

static int kill_failed(const struct cgroup_node *node, int signal, int r, struct error *err)
{
	return error_sys(err, r, "cannot send signal %d to the processes of control group '%s'", signal, node->dir);
}

/*
 * Stopped processes cannot fork, so one round reaches all of them. Where the group cannot be stopped, SIGKILL is
 * repeated until a round finds nobody to kill; other signals go out once.
 */
int cgroup_kill(const struct cgroup *cg, int signal, struct error *err)
{
	const struct cgroup_node *node;
	bool was_frozen = false, frozen;
	int r = 0, failed = 0;
	size_t n;

	if (!cgroup_exists(cg))
		return error_set(err, ENOTSUP, "this box has no control group, so its processes cannot all be found");
	if (signal == SIGKILL && cg->v2.dir && cgroup_file_write(&cg->v2, "cgroup.kill", "1") == 0)
		return 0;
	node = list_node(cg);
	cgroup_is_frozen(cg, &was_frozen, NULL);
	frozen = was_frozen || cgroup_freeze(cg, FREEZE_MS, NULL) == 0;
	for (int round = 0; round < KILL_ROUNDS; round++) {
		r = signal_all(cg, node, signal, &n, &failed);
		if (r < 0 || !n || frozen || signal != SIGKILL)
			break;
		cgroup_sleep_ms(1);
	}
	/* A paused box stays paused, but v1 delivers SIGKILL only to the thawed. */
	if (frozen && (!was_frozen || signal == SIGKILL))
		cgroup_thaw(cg, NULL);
	if (r < 0 || failed < 0)
		return kill_failed(node, signal, r < 0 ? r : failed, err);
	return 0;
}

static bool has_pid(const struct pids *p, pid_t pid)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i] == pid)
			return true;
	return false;
}

/* Moves those that are in the group but not in NODE. *RET_MOVED: how many there were. */
static int move_missing(const struct cgroup *cg, const struct cgroup_node *node, size_t *ret_moved)
{
	struct pids all = {0}, in = {0};
	int r = collect(cg, list_node(cg), &all);

	*ret_moved = 0;
	if (r == 0)
		r = collect(cg, node, &in);
	for (size_t i = 0; i < all.n && r == 0; i++) {
		if (has_pid(&in, all.v[i]))
			continue;
		++*ret_moved;
		r = cgroup_file_write_u64(node, "cgroup.procs", (uint64_t)all.v[i]);
		if (r == -ESRCH)
			r = 0;
	}
	free(all.v);
	free(in.v);
	return r;
}

/* What a process forks before it is moved is found in the next round; stopped processes do not fork. */
int cgroup_move_into(const struct cgroup *cg, const struct cgroup_node *node, struct error *err)
{
	bool was_frozen = true, froze;
	size_t moved = 1;
	int r = 0;

	cgroup_is_frozen(cg, &was_frozen, NULL);
	froze = !was_frozen && cgroup_freeze(cg, FREEZE_MS, NULL) == 0;
	for (int round = 0; round < KILL_ROUNDS && r == 0 && moved; round++)
		r = move_missing(cg, node, &moved);
	if (froze)
		cgroup_thaw(cg, NULL);
	if (r == 0 && moved)
		r = -EAGAIN;
	return r < 0 ? error_sys(err, r, "cannot bring the processes of the box into control group '%s'", node->dir)
		     : 0;
}
