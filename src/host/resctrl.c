#include "host/resctrl.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/strbuf.h"
#include "base/strv.h"

#define FILE_MAX 65536

struct resctrl {
	char *dir;    /* of the class */
	char *mon;    /* the box's monitoring group in it; NULL: none */
	bool own_dir; /* the class is the box's alone */
};

void resctrl_free(struct resctrl *rdt)
{
	if (!rdt)
		return;
	free(rdt->dir);
	free(rdt->mon);
	free(rdt);
}

/* ---- schemata ---- */

/* All lines asked for, each ended by a newline. A memory bandwidth line in l3CacheSchema gives way to memBwSchema. */
static char *wanted_schemata(const struct resctrl_request *q)
{
	_cleanup_strv_ char **l3 = q->l3_cache_schema ? strv_split(q->l3_cache_schema, "\n") : NULL;
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	for (char **line = l3; line && *line; line++)
		if (!q->mem_bw_schema || strncmp(*line, "MB:", 3) != 0)
			strbuf_addf(&b, "%s\n", *line);
	if (q->mem_bw_schema && *q->mem_bw_schema)
		strbuf_addf(&b, "%s\n", q->mem_bw_schema);
	for (char *const *line = q->schemata; line && *line; line++)
		strbuf_addf(&b, "%s\n", *line);
	return strbuf_take(&b);
}

/* The value of DOMAIN ("0") on the line of RESOURCE ("L3") in SCHEMATA. Bit masks are hexadecimal, bandwidths not. */
static bool find_value(const char *schemata, const char *resource, const char *domain, unsigned long *ret)
{
	_cleanup_strv_ char **lines = strv_split(schemata, "\n");

	for (char **line = lines; line && *line; line++) {
		char *name = *line + strspn(*line, " \t"), *colon = strchr(name, ':'), *save = NULL;

		if (!colon)
			continue;
		*colon = 0;
		if (strcmp(name, resource) != 0)
			continue;
		for (char *pair = strtok_r(colon + 1, ";", &save); pair; pair = strtok_r(NULL, ";", &save)) {
			char *equals = strchr(pair, '=');

			if (!equals)
				continue;
			*equals = 0;
			if (strcmp(pair, domain) == 0) {
				*ret = strtoul(equals + 1, NULL, name[0] == 'L' ? 16 : 10);
				return true;
			}
		}
	}
	return false;
}

/* Whether an existing class has what each "RESOURCE:DOMAIN=VALUE" of LINE says. */
static bool line_agrees(const char *existing, const char *line)
{
	_cleanup_free_ char *copy = strdup(line);
	char *colon = copy ? strchr(copy, ':') : NULL, *save = NULL;

	if (!colon)
		return false;
	*colon = 0;
	for (char *pair = strtok_r(colon + 1, ";", &save); pair; pair = strtok_r(NULL, ";", &save)) {
		char *equals = strchr(pair, '=');
		unsigned long value;

		if (!equals)
			return false;
		*equals = 0;
		if (!find_value(existing, copy, pair, &value) ||
		    value != strtoul(equals + 1, NULL, copy[0] == 'L' ? 16 : 10))
			return false;
	}
	return true;
}

static int check_existing(const struct resctrl *rdt, const char *wanted, struct error *err)
{
	_cleanup_free_ char *path = NULL, *existing = NULL;
	_cleanup_strv_ char **lines = strv_split(wanted, "\n");
	int r;

	if (asprintf(&path, "%s/schemata", rdt->dir) < 0) {
		path = NULL;
		return error_oom(err);
	}
	r = file_read_at(AT_FDCWD, path, FILE_MAX, &existing, NULL, err);
	if (r < 0)
		return r;
	for (char **line = lines; line && *line; line++)
		if (!line_agrees(existing, *line))
			return error_set(
			    err, EEXIST,
			    "linux.intelRdt: the class '%s' exists and has not '%s': choose another closID, or "
			    "leave the schemata out",
			    rdt->dir, *line);
	return 0;
}

/* ---- making ---- */

/* What the kernel says about the last write, or "". */
static void last_status(const char *root, char *buf, size_t size)
{
	_cleanup_free_ char *path = NULL, *text = NULL;

	*buf = 0;
	if (asprintf(&path, "%s/info/last_cmd_status", root) < 0) {
		path = NULL;
		return;
	}
	if (file_read_at(AT_FDCWD, path, FILE_MAX, &text, NULL, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = 0;
	if (*text && strcmp(text, "ok") != 0)
		snprintf(buf, size, " (the kernel says: %s)", text);
}

static int write_schemata(const struct resctrl *rdt, const char *root, const char *wanted, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	char why[256];
	int r;

	if (asprintf(&path, "%s/schemata", rdt->dir) < 0) {
		path = NULL;
		return error_oom(err);
	}
	r = file_write_at(AT_FDCWD, path, wanted);
	if (r == 0)
		return 0;
	last_status(root, why, sizeof(why));
	return error_set(err, -r, "linux.intelRdt: cannot write '%.*s' to '%s': %s%s", (int)strcspn(wanted, "\n"),
			 wanted, path, strerror(-r), why);
}

static int make_dir(const char *path, bool *ret_made, struct error *err)
{
	*ret_made = mkdir(path, 0755) == 0;
	if (*ret_made || errno == EEXIST)
		return 0;
	if (errno == ENOSPC)
		return error_set(
		    err, ENOSPC,
		    "linux.intelRdt: the hardware has no free class for '%s': remove one below " RESCTRL_ROOT
		    ", or share one by its closID",
		    path);
	return error_sys(err, errno, "linux.intelRdt: cannot make '%s'", path);
}

static int check_mounted(const char *root, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/schemata", root) < 0) {
		path = NULL;
		return error_oom(err);
	}
	if (access(path, F_OK) == 0)
		return 0;
	return error_set(err, ENOTSUP,
			 "linux.intelRdt cannot be enforced: resctrl is not mounted at '%s' (mount -t resctrl resctrl "
			 "%s; it needs a processor with RDT or PQoS and CONFIG_X86_CPU_RESCTRL)",
			 root, root);
}

/* The name becomes a directory: one of the file system's own is no class. */
static int check_name(const char *name, struct error *err)
{
	static const char *const taken[] = {".", "..", "info", "mon_groups", "mon_data"};
	bool bad = !*name || strchr(name, '/') || strchr(name, '\n') || strlen(name) > NAME_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		bad |= strcmp(name, taken[i]) == 0;
	return bad ? error_set(err, EINVAL, "linux.intelRdt: '%s' cannot be the name of a class (closID)", name) : 0;
}

static int make_class(struct resctrl *rdt, const struct resctrl_request *q, const char *root, const char *wanted,
		      struct error *err)
{
	bool made;
	int r;

	if (q->clos_id && !*wanted) {
		if (access(rdt->dir, F_OK) == 0)
			return 0;
		return error_set(err, ENOENT,
				 "linux.intelRdt: the class '%s' (closID) does not exist: make it first, or say in "
				 "schemata what it should be",
				 rdt->dir);
	}
	r = make_dir(rdt->dir, &made, err);
	if (r < 0)
		return r;
	if (!made && q->clos_id)
		return check_existing(rdt, wanted, err);
	r = *wanted ? write_schemata(rdt, root, wanted, err) : 0;
	if (r < 0 && made)
		rmdir(rdt->dir);
	return r;
}

static int make_monitoring(struct resctrl *rdt, const char *id, struct error *err)
{
	bool made;

	if (asprintf(&rdt->mon, "%s/mon_groups/%s", rdt->dir, id) < 0) {
		rdt->mon = NULL;
		return error_oom(err);
	}
	return make_dir(rdt->mon, &made, err);
}

int resctrl_create(const struct resctrl_request *q, struct resctrl **ret, struct error *err)
{
	_cleanup_resctrl_ struct resctrl *rdt = calloc(1, sizeof(*rdt));
	_cleanup_free_ char *wanted = wanted_schemata(q);
	const char *root = q->root ? q->root : RESCTRL_ROOT, *name = q->clos_id ? q->clos_id : q->id;
	bool is_default = strcmp(name, "/") == 0;
	int r;

	if (!rdt || !wanted)
		return error_oom(err);
	r = check_mounted(root, err);
	if (r == 0 && !is_default)
		r = check_name(name, err);
	if (r == 0)
		r = check_name(q->id, err);
	if (r < 0)
		return r;
	rdt->own_dir = !q->clos_id;
	if ((is_default ? asprintf(&rdt->dir, "%s", root) : asprintf(&rdt->dir, "%s/%s", root, name)) < 0) {
		rdt->dir = NULL;
		return error_oom(err);
	}
	r = make_class(rdt, q, root, wanted, err);
	if (r == 0 && q->monitoring) {
		r = make_monitoring(rdt, q->id, err);
		if (r < 0 && rdt->own_dir)
			rmdir(rdt->dir);
	}
	if (r < 0)
		return r;
	*ret = take_ptr(rdt);
	return 0;
}

static int put_pid(const char *dir, pid_t pid, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	char line[24];
	int r;

	if (asprintf(&path, "%s/tasks", dir) < 0) {
		path = NULL;
		return error_oom(err);
	}
	snprintf(line, sizeof(line), "%d", pid);
	r = file_write_at(AT_FDCWD, path, line);
	return r < 0 ? error_sys(err, r, "linux.intelRdt: cannot put process %d into '%s'", pid, dir) : 0;
}

/* Only members of the class may be in its monitoring groups, so the class comes first. */
int resctrl_attach(const struct resctrl *rdt, pid_t pid, struct error *err)
{
	int r = put_pid(rdt->dir, pid, err);

	return r == 0 && rdt->mon ? put_pid(rdt->mon, pid, err) : r;
}

static int remove_dir(const char *dir, struct error *err)
{
	if (rmdir(dir) == 0 || errno == ENOENT)
		return 0;
	return error_sys(err, errno, "cannot remove '%s'", dir);
}

int resctrl_destroy(const struct resctrl *rdt, struct error *err)
{
	int mon = rdt->mon ? remove_dir(rdt->mon, err) : 0;
	int dir = rdt->own_dir ? remove_dir(rdt->dir, mon < 0 ? NULL : err) : 0;

	return mon < 0 ? mon : dir;
}

/* ---- state ---- */

static bool put(struct json_object *o, const char *key, struct json_object *value)
{
	if (o && value && json_object_object_add(o, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

struct json_object *resctrl_to_json(const struct resctrl *rdt)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	if (!put(o, "dir", json_object_new_string(rdt->dir)) || !put(o, "own", json_object_new_boolean(rdt->own_dir)))
		return NULL;
	if (rdt->mon && !put(o, "monitoring", json_object_new_string(rdt->mon)))
		return NULL;
	return take_ptr(o);
}

static bool dir_valid(const char *dir)
{
	return dir[0] == '/' && strlen(dir) < PATH_MAX && !strstr(dir, "/..");
}

int resctrl_from_json(struct json_object *o, struct resctrl **ret, struct error *err)
{
	_cleanup_resctrl_ struct resctrl *rdt = calloc(1, sizeof(*rdt));
	int r;

	if (!rdt)
		return error_oom(err);
	r = json_dup_string(o, "intelRdt", "dir", &rdt->dir, err);
	if (r >= 0)
		r = json_dup_string(o, "intelRdt", "monitoring", &rdt->mon, err);
	if (r >= 0)
		r = json_get_bool(o, "intelRdt", "own", &rdt->own_dir, err);
	if (r < 0)
		return r;
	if (!rdt->dir || !dir_valid(rdt->dir) ||
	    (rdt->mon && (strncmp(rdt->mon, rdt->dir, strlen(rdt->dir)) != 0 || !dir_valid(rdt->mon))))
		return error_set(err, EBADMSG, "intelRdt: '%s' is not the directory of a class",
				 rdt->dir ? rdt->dir : "");
	*ret = take_ptr(rdt);
	return 0;
}

/* ---- statistics ---- */

static uint64_t read_u64(const char *dir, const char *domain, const char *file, bool *ret_found)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	uint64_t v = 0;

	*ret_found = false;
	if (asprintf(&path, "%s/mon_data/%s/%s", dir, domain, file) < 0) {
		path = NULL;
		return 0;
	}
	if (file_read_at(AT_FDCWD, path, 64, &text, NULL, NULL) < 0)
		return 0;
	text[strcspn(text, "\n")] = 0;
	*ret_found = parse_u64(text, &v) == 0; /* "Unavailable", "Error": the counter is not ready */
	return v;
}

static bool push(struct json_object *list, struct json_object *value)
{
	if (list && value && json_object_array_add(list, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

/* One cache domain ("mon_L3_00") to an entry of each list. */
static bool add_domain(const char *dir, const char *domain, struct json_object *cmt, struct json_object *mbm)
{
	bool has_occupancy, has_total, has_local;
	uint64_t occupancy = read_u64(dir, domain, "llc_occupancy", &has_occupancy);
	uint64_t total = read_u64(dir, domain, "mbm_total_bytes", &has_total);
	uint64_t local = read_u64(dir, domain, "mbm_local_bytes", &has_local);
	_cleanup_json_ struct json_object *c = json_object_new_object(), *m = json_object_new_object();

	if (!c || !m)
		return false;
	if (has_occupancy &&
	    (!put(c, "llc_occupancy", json_object_new_uint64(occupancy)) || !push(cmt, json_object_get(c))))
		return false;
	if (!has_total && !has_local)
		return true;
	return put(m, "mbm_total_bytes", json_object_new_uint64(total)) &&
	       put(m, "mbm_local_bytes", json_object_new_uint64(local)) && push(mbm, json_object_get(m));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_l3(const struct dirent *e)
{
	return strncmp(e->d_name, "mon_L3_", 7) == 0;
}

static bool add_monitoring(const char *dir, struct json_object *o)
{
	_cleanup_json_ struct json_object *cmt = json_object_new_array(), *mbm = json_object_new_array();
	_cleanup_free_ char *path = NULL;
	struct dirent **domains;
	bool ok = true;
	int n;

	if (asprintf(&path, "%s/mon_data", dir) < 0) {
		path = NULL;
		return false;
	}
	n = scandir(path, &domains, is_l3, by_name);
	for (int i = 0; i < n; i++) {
		ok = ok && add_domain(dir, domains[i]->d_name, cmt, mbm);
		free(domains[i]);
	}
	if (n >= 0)
		free(domains);
	if (ok && json_object_array_length(cmt))
		ok = put(o, "cmt_stats", json_object_get(cmt));
	if (ok && json_object_array_length(mbm))
		ok = put(o, "mbm_stats", json_object_get(mbm));
	return ok;
}

static bool add_schemata(const char *dir, struct json_object *o)
{
	_cleanup_json_ struct json_object *list = json_object_new_array();
	_cleanup_free_ char *path = NULL, *text = NULL;
	char *save = NULL;

	if (asprintf(&path, "%s/schemata", dir) < 0) {
		path = NULL;
		return false;
	}
	if (!list)
		return false;
	if (file_read_at(AT_FDCWD, path, FILE_MAX, &text, NULL, NULL) < 0)
		return true;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (strncmp(line, "L3", 2) == 0 && !put(o, "l3_cache_schema", json_object_new_string(line)))
			return false;
		if (strncmp(line, "MB:", 3) == 0 && !put(o, "mem_bw_schema", json_object_new_string(line)))
			return false;
		if (!push(list, json_object_new_string(line)))
			return false;
	}
	return put(o, "schemata", json_object_get(list));
}

struct json_object *resctrl_stats_to_json(const struct resctrl *rdt)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	if (!o || !add_schemata(rdt->dir, o) || !add_monitoring(rdt->mon ? rdt->mon : rdt->dir, o))
		return NULL;
	return take_ptr(o);
}
