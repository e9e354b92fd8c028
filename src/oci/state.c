#include "oci/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/strv.h"
#include "host/process_info.h"
#include "host/userns.h"

#define STATE_VERSION 1
#define STATE_MAX (4u << 20)
#define LOCK_TIMEOUT_MS 10000

int box_default_root(char **ret, struct error *err)
{
	const char *runtime_dir = getenv("XDG_RUNTIME_DIR");
	uid_t uid = geteuid();
	char *path;
	int n;

	/* Root of a user namespace, as under a rootless engine, is a user with a runtime directory of its own. */
	if (uid == 0 && (userns_is_initial() || !runtime_dir))
		n = asprintf(&path, "/run/ringwall");
	else if (runtime_dir && *runtime_dir == '/')
		n = asprintf(&path, "%s/ringwall", runtime_dir);
	else
		n = asprintf(&path, "/tmp/ringwall-%u", (unsigned)uid);
	if (n < 0)
		return error_oom(err);
	*ret = path;
	return 0;
}

int box_check_id(const char *id, struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
	size_t len = strlen(id);

	if (len == 0)
		return error_set(err, EINVAL, "the container id is empty");
	if (len > BOX_ID_MAX)
		return error_set(err, EINVAL, "the container id is %zu bytes long, more than %d", len, BOX_ID_MAX);
	if (id[0] == '.' || id[0] == '-' || strspn(id, allowed) != len)
		return error_set(err, EINVAL,
				 "invalid container id '%s': letters, digits and _+-. are allowed, and it may not begin with . or -",
				 id);
	return 0;
}

/* Proleptic Gregorian date of a day count since 1970-01-01; gmtime_r() would read /etc/localtime first. */
static void civil_date(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468, era = z / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

static char *now_rfc3339(void)
{
	struct timespec ts;
	int y, m, d;
	char *s;

	clock_gettime(CLOCK_REALTIME, &ts);
	civil_date(ts.tv_sec / 86400, &y, &m, &d);
	if (asprintf(&s, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", y, m, d, (int)(ts.tv_sec / 3600 % 24),
		     (int)(ts.tv_sec / 60 % 60), (int)(ts.tv_sec % 60), ts.tv_nsec) < 0)
		return NULL;
	return s;
}

static struct box *box_alloc(const char *root, const char *id)
{
	_cleanup_box_ struct box *box = calloc(1, sizeof(*box));

	if (!box)
		return NULL;
	box->dir_fd = -1;
	box->id = strdup(id);
	box->root = strdup(root);
	if (!box->id || !box->root)
		return NULL;
	return take_ptr(box);
}

void box_free(struct box *box)
{
	if (!box)
		return;
	safe_close(box->dir_fd);
	free(box->id);
	free(box->root);
	free(box->bundle);
	free(box->rootfs);
	free(box->boundary);
	free(box->created);
	json_object_put(box->annotations);
	json_object_put(box->data);
	free(box);
}

static char *box_path(const char *root, const char *id)
{
	char *path;

	return asprintf(&path, "%s/%s", root, id) < 0 ? NULL : path;
}

static int make_directory(const char *root, const char *id, const char *path, struct error *err)
{
	int r;

	if (mkdir(path, 0700) == 0)
		return 0;
	if (errno == ENOENT) {
		r = mkdir_parents_at(AT_FDCWD, root, 0711);
		if (r < 0)
			return error_sys(err, r, "cannot create the state directory '%s'", root);
		if (mkdir(path, 0700) == 0)
			return 0;
	}
	if (errno == EEXIST)
		return error_set(err, EEXIST, "container '%s' already exists ('%s'); remove it with: ringwall delete %s", id, path,
				 id);
	return error_sys(err, errno, "cannot create the state directory '%s'", path);
}

/*
 * What is read here decides which processes and groups are killed: a directory that somebody else made (below /tmp, with
 * no runtime directory at hand) or that leads elsewhere is not ours to follow.
 */
static int open_directory(const char *path, const char *id, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return error_set(err, ENOENT, "container '%s' does not exist", id);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, errno, "cannot open the state directory '%s'", path);
	if (st.st_uid != geteuid())
		return error_set(err, EPERM, "the state directory '%s' belongs to user %u, not to %u; run as that user or give another --root",
				 path, (unsigned)st.st_uid, (unsigned)geteuid());
	return take_fd(&fd);
}

/* A file that nobody has seen yet needs no detour over a temporary name; empty, it counts as not there. */
static int write_new(int dir_fd, const char *name, const char *data, size_t len, struct error *err)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return error_sys(err, errno, "cannot create '%s' in the state directory", name);
	r = fd_write_all(fd, data, len);
	return r < 0 ? error_sys(err, r, "cannot write '%s' in the state directory", name) : 0;
}

int box_new(const char *root, const char *id, const char *config, size_t config_len, struct box **ret, struct error *err)
{
	_cleanup_box_ struct box *box = NULL;
	_cleanup_free_ char *path = NULL;
	int r;

	r = box_check_id(id, err);
	if (r < 0)
		return r;
	box = box_alloc(root, id);
	path = box_path(root, id);
	if (!box || !path)
		return error_oom(err);
	box->owner = geteuid();
	box->created = now_rfc3339();
	box->data = json_object_new_object();
	if (!box->created || !box->data)
		return error_oom(err);

	r = make_directory(root, id, path, err);
	if (r < 0)
		return r;
	box->dir_fd = open_directory(path, id, err);
	if (box->dir_fd < 0)
		r = box->dir_fd;
	else if (flock(box->dir_fd, LOCK_EX | LOCK_NB) < 0)
		r = error_sys(err, errno, "cannot lock the state directory '%s'", path);
	else
		r = write_new(box->dir_fd, BOX_CONFIG_FILE, config, config_len, err);
	box->is_new = box->locked = true;
	if (r < 0) {
		if (box->dir_fd >= 0)
			unlinkat(box->dir_fd, BOX_CONFIG_FILE, 0);
		rmdir(path);
		return r;
	}
	*ret = take_ptr(box);
	return 0;
}

static int lock_directory(const struct box *box, struct error *err)
{
	struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
	struct stat st;

	for (int waited = 0; flock(box->dir_fd, LOCK_EX | LOCK_NB) < 0; waited += 5) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_sys(err, errno, "cannot lock container '%s'", box->id);
		if (waited >= LOCK_TIMEOUT_MS)
			return error_set(err, EBUSY, "another command is still working on container '%s'", box->id);
		nanosleep(&pause, NULL);
	}
	if (fstat(box->dir_fd, &st) < 0)
		return error_sys(err, errno, "cannot inspect the state directory of container '%s'", box->id);
	if (st.st_nlink == 0)
		return error_set(err, ENOENT, "container '%s' does not exist", box->id);
	return 0;
}

static int parse_record(struct box *box, struct json_object *o, struct error *err)
{
	struct json_object *v;
	int64_t version = 0, pid = 0;
	int r;

	r = json_get_i64(o, "", "version", 0, INT64_MAX, &version, err);
	if (r < 0)
		return r;
	if (version != STATE_VERSION)
		return error_set(err, EPROTO, "the state of container '%s' has version %lld, this program reads version %d", box->id,
				 (long long)version, STATE_VERSION);
	if ((r = json_dup_string(o, "", "bundle", &box->bundle, err)) < 0 ||
	    (r = json_dup_string(o, "", "rootfs", &box->rootfs, err)) < 0 ||
	    (r = json_dup_string(o, "", "boundary", &box->boundary, err)) < 0 ||
	    (r = json_dup_string(o, "", "created", &box->created, err)) < 0 ||
	    (r = json_get_u32(o, "", "owner", &box->owner, err)) < 0 ||
	    (r = json_get_bool(o, "", "process", &box->has_process, err)) < 0 ||
	    (r = json_get_bool(o, "", "poststart", &box->has_poststart, err)) < 0 ||
	    (r = json_get_bool(o, "", "poststop", &box->has_poststop, err)) < 0 ||
	    (r = json_get_i64(o, "", "pid", 0, INT32_MAX, &pid, err)) < 0 ||
	    (r = json_get_u64(o, "", "pidStart", &box->pid_start, err)) < 0)
		return r;
	box->pid = (pid_t)pid;
	r = json_get_object(o, "", "annotations", &v, err);
	if (r < 0)
		return r;
	if (r > 0)
		box->annotations = json_object_get(v);
	r = json_get_object(o, "", "data", &v, err);
	if (r < 0)
		return r;
	if (r > 0)
		box->data = json_object_get(v);
	return 0;
}

/* The creator of a box holds its lock as long as it works on it; who cannot take it, finds it at work. */
static bool creator_at_work(const struct box *box)
{
	_cleanup_close_ int fd = -1;

	if (box->locked)
		return box->is_new;
	fd = openat(box->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
}

int box_load(const char *root, const char *id, bool lock, struct box **ret, struct error *err)
{
	_cleanup_box_ struct box *box = NULL;
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t len;
	int r;

	r = box_check_id(id, err);
	if (r < 0)
		return r;
	box = box_alloc(root, id);
	path = box_path(root, id);
	if (!box || !path)
		return error_oom(err);
	box->dir_fd = open_directory(path, id, err);
	if (box->dir_fd < 0)
		return box->dir_fd;
	if (lock) {
		r = lock_directory(box, err);
		if (r < 0)
			return r;
		box->locked = true;
	}
	box->saved = true;
	/* A creator that was killed before its first save leaves no record; `delete` then has nothing else to undo. */
	r = file_read_at(box->dir_fd, BOX_STATE_FILE, STATE_MAX, &text, &len, err);
	if (r == 0 && len == 0)
		r = -ENOENT;
	if (r == -ENOENT && !lock && !creator_at_work(box))
		return error_set(err, EUCLEAN,
				 "the creation of container '%s' was cut off; remove it with: ringwall delete --force %s", id, id);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0) {
		r = json_parse(text, len, &o, err);
		if (r == 0)
			r = parse_record(box, o, err);
		if (r < 0)
			return error_prefix(err, "%s/" BOX_STATE_FILE, path);
	}
	if (!box->data)
		box->data = json_object_new_object();
	if (!box->data)
		return error_oom(err);
	*ret = take_ptr(box);
	return 0;
}

static int add(struct json_object *o, const char *key, struct json_object *value)
{
	return value && json_object_object_add(o, key, value) == 0 ? 0 : -ENOMEM;
}

static int add_string(struct json_object *o, const char *key, const char *value)
{
	return value ? add(o, key, json_object_new_string(value)) : 0;
}

int box_save(struct box *box, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	const char *text;
	size_t len;
	int r;

	if (!o)
		return error_oom(err);
	r = add(o, "version", json_object_new_int(STATE_VERSION));
	r |= add_string(o, "id", box->id);
	r |= add_string(o, "bundle", box->bundle);
	r |= add_string(o, "rootfs", box->rootfs);
	r |= add_string(o, "boundary", box->boundary);
	r |= add_string(o, "created", box->created);
	r |= add(o, "owner", json_object_new_int64(box->owner));
	r |= add(o, "process", json_object_new_boolean(box->has_process));
	r |= add(o, "poststart", json_object_new_boolean(box->has_poststart));
	r |= add(o, "poststop", json_object_new_boolean(box->has_poststop));
	r |= add(o, "pid", json_object_new_int(box->pid));
	r |= add(o, "pidStart", json_object_new_uint64(box->pid_start));
	if (box->annotations)
		r |= add(o, "annotations", json_object_get(box->annotations));
	r |= add(o, "data", json_object_get(box->data));
	text = r ? NULL : json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (!text)
		return error_oom(err);
	r = box->saved ? file_replace_at(box->dir_fd, BOX_STATE_FILE, text, len, 0600, err) :
			 write_new(box->dir_fd, BOX_STATE_FILE, text, len, err);
	box->saved = true;
	return r < 0 ? error_prefix(err, "cannot record the state of container '%s'", box->id) : 0;
}

void box_unlock(struct box *box)
{
	flock(box->dir_fd, LOCK_UN);
	box->locked = false;
}

int box_remove(struct box *box, struct error *err)
{
	static const char *const own[] = { BOX_START_GATE, BOX_CONFIG_FILE, BOX_STATE_FILE };
	_cleanup_free_ char *path = box_path(box->root, box->id);
	_cleanup_close_ int root_fd = -1;
	int r;

	if (!path)
		return error_oom(err);
	/* The record goes last but one, so that a removal cut off here can be done again. */
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		unlinkat(box->dir_fd, own[i], 0);
	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return error_sys(err, errno, "cannot remove the state directory '%s'", path);
	root_fd = open(box->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return error_sys(err, errno, "cannot open '%s'", box->root);
	r = remove_tree_at(root_fd, box->id, err);
	return r < 0 ? error_prefix(err, "cannot remove the state directory '%s'", path) : 0;
}

int box_set_pid(struct box *box, pid_t pid, struct error *err)
{
	struct process_info info;
	int r = process_info_read(pid, &info);

	if (r < 0)
		return error_sys(err, r, "cannot read the start time of process %d", (int)pid);
	box->pid = pid;
	box->pid_start = info.start_time;
	return 0;
}

static bool box_alive(const struct box *box)
{
	struct process_info info;

	/* The first two are there for speed: most boxes that are looked at twice are gone. */
	if (box->pid <= 0 || (kill(box->pid, 0) < 0 && errno == ESRCH) || process_info_read(box->pid, &info) < 0)
		return false;
	return info.start_time == box->pid_start && !info.ended;
}

enum box_status box_process_status(const struct box *box)
{
	if (box->pid == 0)
		return creator_at_work(box) ? BOX_CREATING : BOX_STOPPED;
	if (!box_alive(box))
		return BOX_STOPPED;
	return faccessat(box->dir_fd, BOX_START_GATE, F_OK, 0) == 0 ? BOX_CREATED : BOX_RUNNING;
}

int box_pidfd(const struct box *box, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (box->pid <= 0)
		return error_set(err, ESRCH, "container '%s' has no process", box->id);
	fd = (int)syscall(SYS_pidfd_open, box->pid, 0);
	if (fd < 0 && errno != ESRCH)
		return error_sys(err, errno, "cannot open process %d of container '%s'", (int)box->pid, box->id);
	/* Checked after opening: the descriptor then holds the very process that was looked at. */
	if (fd < 0 || !box_alive(box))
		return error_set(err, ESRCH, "container '%s' is not running", box->id);
	return take_fd(&fd);
}

const char *box_status_string(enum box_status status)
{
	switch (status) {
	case BOX_CREATING:
		return "creating";
	case BOX_CREATED:
		return "created";
	case BOX_RUNNING:
		return "running";
	case BOX_PAUSED:
		return "paused";
	case BOX_STOPPED:
		break;
	}
	return "stopped";
}

int box_state_json(const struct box *box, enum box_status status, struct json_object **ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	int r;

	if (!o)
		return error_oom(err);
	r = add_string(o, "ociVersion", OCI_SPEC_VERSION);
	r |= add_string(o, "id", box->id);
	r |= add_string(o, "status", box_status_string(status));
	r |= add(o, "pid", json_object_new_int(status == BOX_STOPPED ? 0 : box->pid));
	r |= add_string(o, "bundle", box->bundle);
	if (box->annotations)
		r |= add(o, "annotations", json_object_get(box->annotations));
	if (r)
		return error_oom(err);
	*ret = take_ptr(o);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int box_list(const char *root, char ***ret, struct error *err)
{
	_cleanup_closedir_ DIR *dir = opendir(root);
	_cleanup_strv_ char **v = NULL;
	struct dirent *e;

	if (!dir && errno != ENOENT)
		return error_sys(err, errno, "cannot read '%s'", root);
	while (dir && (e = readdir(dir)))
		if ((e->d_type == DT_DIR || e->d_type == DT_UNKNOWN) && box_check_id(e->d_name, NULL) == 0 &&
		    strv_add(&v, e->d_name) < 0)
			return error_oom(err);
	if (v)
		qsort(v, strv_len(v), sizeof(*v), compare_names);
	*ret = take_ptr(v);
	return 0;
}
