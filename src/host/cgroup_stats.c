#include "host/cgroup_stats.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "host/cgroup_stats_internal.h"

static void blkio_free(struct cgroup_blkio_list *list)
{
	free(list->v);
}

void cgroup_stats_free(struct cgroup_stats *s)
{
	free(s->cpu.per_cpu);
	free(s->cpuset.cpus);
	free(s->cpuset.mems);
	for (size_t i = 0; i < s->memory.n_raw; i++)
		free(s->memory.raw[i].key);
	free(s->memory.raw);
	blkio_free(&s->blkio.service_bytes);
	blkio_free(&s->blkio.serviced);
	blkio_free(&s->blkio.queued);
	blkio_free(&s->blkio.service_time);
	blkio_free(&s->blkio.wait_time);
	blkio_free(&s->blkio.merged);
	blkio_free(&s->blkio.time);
	blkio_free(&s->blkio.sectors);
	for (size_t i = 0; i < s->hugetlb.n; i++)
		free(s->hugetlb.v[i].page_size);
	free(s->hugetlb.v);
	for (size_t i = 0; i < s->rdma.n; i++)
		free(s->rdma.v[i].device);
	free(s->rdma.v);
	for (size_t i = 0; i < s->misc.n; i++)
		free(s->misc.v[i].resource);
	free(s->misc.v);
	*s = (struct cgroup_stats){0};
}

int cgroup_stats_read(const struct cgroup *cg, struct cgroup_stats *ret, struct error *err)
{
	_cleanup_cgroup_stats_ struct cgroup_stats s = {0};
	const struct cgroup_node *node;

	if (!cgroup_exists(cg))
		return error_set(err, ENOTSUP, "there are no statistics: this box has no control group");
	node = cgroup_any_node(cg);
	if (access(node->dir, F_OK) < 0)
		return error_sys(err, errno, "there are no statistics: control group '%s'", node->dir);
	if (cgroup_stats_v1(cg, &s) < 0 || cgroup_stats_v2(cg, &s) < 0)
		return error_oom(err);
	*ret = s;
	s = (struct cgroup_stats){0};
	return 0;
}

/* ---- readers ---- */

uint64_t cgroup_stats_u64(const struct cgroup_node *node, const char *file)
{
	uint64_t v;

	return cgroup_file_read_u64(node, file, &v) < 0 ? 0 : v;
}

/* Cuts "KEY VALUE" at the blank. */
static bool split_pair(char *line, uint64_t *ret)
{
	char *blank = strchr(line, ' ');

	if (!blank)
		return false;
	*blank = 0;
	if (strcmp(blank + 1, "max") == 0) {
		*ret = UINT64_MAX;
		return true;
	}
	return parse_u64(blank + 1, ret) == 0;
}

void cgroup_stats_keys(const struct cgroup_node *node, const char *file, const struct cgroup_stats_key *keys)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	uint64_t v;

	if (cgroup_file_read_all(node, file, &text) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!split_pair(line, &v))
			continue;
		for (const struct cgroup_stats_key *k = keys; k->key; k++)
			if (strcmp(k->key, line) == 0)
				*k->value = v;
	}
}

int cgroup_stats_memory_stat(const struct cgroup_node *node, struct cgroup_stats *ret)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	size_t lines = 1;
	uint64_t v;

	if (cgroup_file_read_all(node, "memory.stat", &text) < 0)
		return 0;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	ret->memory.raw = calloc(lines, sizeof(*ret->memory.raw));
	if (!ret->memory.raw)
		return -ENOMEM;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct cgroup_stat_entry *e = &ret->memory.raw[ret->memory.n_raw];

		if (!split_pair(line, &v))
			continue;
		e->key = strdup(line);
		if (!e->key)
			return -ENOMEM;
		e->value = v;
		ret->memory.n_raw++;
	}
	return 0;
}

uint64_t cgroup_stats_raw(const struct cgroup_stats *s, const char *key)
{
	for (size_t i = 0; i < s->memory.n_raw; i++)
		if (strcmp(s->memory.raw[i].key, key) == 0)
			return s->memory.raw[i].value;
	return 0;
}

int cgroup_stats_blkio_add(struct cgroup_blkio_list *list, uint64_t major, uint64_t minor, const char *op,
			   uint64_t value)
{
	struct cgroup_blkio_entry *v = reallocarray(list->v, list->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	list->v = v;
	v = &list->v[list->n++];
	*v = (struct cgroup_blkio_entry){.major = major, .minor = minor, .value = value};
	snprintf(v->op, sizeof(v->op), "%s", op);
	return 0;
}

int cgroup_stats_cpuset(const struct cgroup_node *node, const char *cpus, const char *mems, struct cgroup_stats *ret)
{
	char buf[4096];

	if (cgroup_file_read(node, cpus, buf, sizeof(buf)) < 0)
		return 0;
	ret->cpuset.present = true;
	ret->cpuset.cpus = strdup(buf);
	if (cgroup_file_read(node, mems, buf, sizeof(buf)) < 0)
		*buf = 0;
	ret->cpuset.mems = strdup(buf);
	return ret->cpuset.cpus && ret->cpuset.mems ? 0 : -ENOMEM;
}

void cgroup_stats_pids(const struct cgroup_node *node, struct cgroup_stats *ret)
{
	ret->pids.present = cgroup_file_read_u64(node, "pids.current", &ret->pids.current) == 0;
	if (ret->pids.present)
		ret->pids.limit = cgroup_stats_u64(node, "pids.max");
}

/* The SIZE of a file name "hugetlb.SIZE.USAGE"; NULL: another file. Owned. */
static char *hugetlb_size(const char *name, const char *usage)
{
	const char *size = name + strlen("hugetlb."), *end;

	if (strncmp(name, "hugetlb.", strlen("hugetlb.")) != 0)
		return NULL;
	end = strchr(size, '.');
	return end && strcmp(end + 1, usage) == 0 ? strndup(size, (size_t)(end - size)) : NULL;
}

static uint64_t hugetlb_u64(const struct cgroup_node *node, const char *size, const char *what)
{
	char file[128];
	uint64_t v = 0;

	snprintf(file, sizeof(file), "hugetlb.%s.%s", size, what);
	/* v2 counts failures as "max N" in a file of events. */
	if (strcmp(what, "events") == 0)
		return cgroup_file_read_key(node, file, "max", &v) < 0 ? 0 : v;
	return cgroup_stats_u64(node, file);
}

int cgroup_stats_hugetlb(const struct cgroup_node *node, const char *usage, const char *max, const char *failcnt,
			 struct cgroup_stats *ret)
{
	_cleanup_closedir_ DIR *dir = opendir(node->dir);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char *size = hugetlb_size(e->d_name, usage);
		struct cgroup_hugetlb_usage *v;

		if (!size)
			continue;
		v = reallocarray(ret->hugetlb.v, ret->hugetlb.n + 1, sizeof(*v));
		if (!v) {
			free(size);
			return -ENOMEM;
		}
		ret->hugetlb.v = v;
		v[ret->hugetlb.n++] = (struct cgroup_hugetlb_usage){
		    .page_size = size,
		    .usage = hugetlb_u64(node, size, usage),
		    .max = max ? hugetlb_u64(node, size, max) : 0,
		    .failcnt = hugetlb_u64(node, size, failcnt),
		};
	}
	return 0;
}

/* "DEVICE hca_handle=N hca_object=N", N may be "max". */
static bool parse_rdma(char *line, const char **ret_device, uint64_t *ret_handles, uint64_t *ret_objects)
{
	char *save = NULL, *device = strtok_r(line, " ", &save);

	*ret_handles = *ret_objects = 0;
	*ret_device = device;
	if (!device)
		return false;
	for (char *word = strtok_r(NULL, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');
		uint64_t v = UINT64_MAX;

		if (!equals || (strcmp(equals + 1, "max") != 0 && parse_u64(equals + 1, &v) < 0))
			continue;
		*equals = 0;
		if (strcmp(word, "hca_handle") == 0)
			*ret_handles = v;
		else if (strcmp(word, "hca_object") == 0)
			*ret_objects = v;
	}
	return true;
}

static struct cgroup_rdma_usage *rdma_of(struct cgroup_stats *s, const char *device)
{
	struct cgroup_rdma_usage *v;

	for (size_t i = 0; i < s->rdma.n; i++)
		if (strcmp(s->rdma.v[i].device, device) == 0)
			return &s->rdma.v[i];
	v = reallocarray(s->rdma.v, s->rdma.n + 1, sizeof(*v));
	if (!v)
		return NULL;
	s->rdma.v = v;
	v = &v[s->rdma.n];
	*v = (struct cgroup_rdma_usage){.device = strdup(device)};
	if (!v->device)
		return NULL;
	s->rdma.n++;
	return v;
}

int cgroup_stats_rdma(const struct cgroup_node *node, struct cgroup_stats *ret)
{
	for (int limits = 0; limits < 2; limits++) {
		_cleanup_free_ char *text = NULL;
		char *save = NULL;

		if (cgroup_file_read_all(node, limits ? "rdma.max" : "rdma.current", &text) < 0)
			return 0;
		for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			struct cgroup_rdma_usage *u;
			const char *device;
			uint64_t handles, objects;

			if (!parse_rdma(line, &device, &handles, &objects))
				continue;
			u = rdma_of(ret, device);
			if (!u)
				return -ENOMEM;
			*(limits ? &u->hca_handles_max : &u->hca_handles) = handles;
			*(limits ? &u->hca_objects_max : &u->hca_objects) = objects;
		}
	}
	return 0;
}

void cgroup_stats_psi(const struct cgroup_node *node, const char *file, struct cgroup_psi *ret)
{
	char buf[512], *save = NULL;

	/* The file is there, but does not open, with psi=0 on the kernel's command line. */
	if (cgroup_file_read(node, file, buf, sizeof(buf)) < 0)
		return;
	for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct cgroup_psi_window w;
		char kind[8];

		if (sscanf(line, "%7s avg10=%lf avg60=%lf avg300=%lf total=%" SCNu64, kind, &w.avg10, &w.avg60,
			   &w.avg300, &w.total) != 5)
			continue;
		if (strcmp(kind, "some") == 0)
			ret->some = w;
		else if (strcmp(kind, "full") == 0)
			ret->full = w;
		ret->present = true;
	}
}
