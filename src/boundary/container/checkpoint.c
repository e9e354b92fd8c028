/*
 * Checkpoint and restore with the criu(8) program. What came from outside of the box is named "external" when it is saved
 * and given anew when it is restored: bind mounts, masked paths, the view of the control groups, and descriptors 0 to 2.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/strv.h"
#include "boundary/container/container.h"
#include "host/cgroup_layout.h"
#include "host/mount.h"
#include "host/path.h"
#include "host/userns.h"

#define DESCRIPTORS_FILE "descriptors.json" /* the same name and form as runc's and crun's */
#define LOG_MAX (64u << 20)

/* ---- running criu ---- */

/* The last line with "Error" in CRIU's log, which says more than its exit status. */
static void find_reason(const char *work, const char *log, char *ret, size_t size)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	const char *found = NULL;

	snprintf(ret, size, "see %s/%s", work, log);
	if (asprintf(&path, "%s/%s", work, log) < 0) {
		path = NULL;
		return;
	}
	if (file_read_at(AT_FDCWD, path, LOG_MAX, &text, NULL, NULL) < 0)
		return;
	for (const char *p = text; (p = strstr(p, "Error ")); p++)
		found = p;
	if (found)
		snprintf(ret, size, "%.*s (see %s)", (int)strcspn(found, "\n"), found, path);
}

/* What a child of ours does before it becomes criu; -errno ends it. */
typedef int (*preparation)(void *data, struct error *err);

static int run_criu(char **argv, const char *work, const char *log, preparation prepare, void *data, struct error *err)
{
	int status, fds[2];
	struct error theirs = ERROR_INIT;
	char reason[512];
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(err, errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0) {
		struct error mine = ERROR_INIT;
		int r = prepare ? prepare(data, &mine) : 0;

		if (r == 0) {
			execvp(argv[0], argv);
			error_sys(&mine, errno, "cannot execute criu; install it with: apt-get install criu");
		}
		(void)!write(fds[1], &mine, sizeof(mine));
		_exit(1);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return error_sys(err, errno, "cannot make a process for criu");
	}
	n = fd_read_full(fds[0], &theirs, sizeof(theirs));
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot wait for criu");
	if (n == (ssize_t)sizeof(theirs))
		return error_set(err, theirs.code, "%s", theirs.message);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	find_reason(work, log, reason, sizeof(reason));
	return error_set(err, EIO, "criu failed: %s", reason);
}

static int add_flag(char ***argv, bool wanted, const char *flag)
{
	return wanted ? strv_add(argv, flag) : 0;
}

static int add_value(char ***argv, const char *flag, const char *value)
{
	return value ? strv_add(argv, flag) | strv_add(argv, value) : 0;
}

/* Options that saving and restoring share. */
static int add_common(char ***argv, const struct checkpoint_request *q, const char *root, const char *work)
{
	int r = 0;

	r |= add_value(argv, "--images-dir", q->image_path);
	r |= add_value(argv, "--work-dir", work);
	r |= add_value(argv, "--root", root);
	r |= strv_add(argv, "-v4");
	r |= add_flag(argv, q->tcp_established, "--tcp-established");
	r |= add_flag(argv, q->tcp_close, "--tcp-close");
	r |= add_flag(argv, q->ext_unix_sk, "--ext-unix-sk");
	r |= add_flag(argv, q->shell_job, "--shell-job");
	r |= add_flag(argv, q->file_locks, "--file-locks");
	r |= add_flag(argv, q->lazy_pages, "--lazy-pages");
	r |= add_flag(argv, q->auto_dedup, "--auto-dedup");
	r |= add_value(argv, "--network-lock", q->network_lock);
	r |= strv_addf(argv, "--manage-cgroups=%s", q->manage_cgroups_mode ? q->manage_cgroups_mode : "soft");
	for (char *const *p = q->empty_ns; p && *p; p++)
		r |= add_value(argv, "--empty-ns", strcmp(*p, "network") == 0 ? "net" : *p);
	for (char *const *p = q->external; p && *p; p++)
		r |= add_value(argv, "--external", *p);
	return r < 0 ? -ENOMEM : 0;
}

/* ---- what comes from outside ---- */

static bool is_directory_in(pid_t pid, const char *path)
{
	_cleanup_free_ char *full = NULL;
	struct stat st;

	if (asprintf(&full, "/proc/%d/root%s", (int)pid, path) < 0) {
		full = NULL;
		return false;
	}
	return lstat(full, &st) < 0 || S_ISDIR(st.st_mode);
}

static int add_external(char ***argv, const char *key, const char *value)
{
	return strv_add(argv, "--external") | strv_addf(argv, "mnt[%s]:%s", key, value);
}

/* The view of the control groups: one mount, or one for each hierarchy of v1 in a tmpfs that CRIU makes itself. */
static int add_hierarchy(char ***argv, const char *destination, const struct cgroup_hierarchy *h, bool alone, bool save)
{
	_cleanup_free_ char *point = NULL, *dir = NULL;

	if (asprintf(&point, "%s%s", destination, alone ? "" : strrchr(h->mount, '/')) < 0) {
		point = NULL;
		return -ENOMEM;
	}
	if (asprintf(&dir, "%s%s", h->mount, h->own) < 0) {
		dir = NULL;
		return -ENOMEM;
	}
	return add_external(argv, point, save ? point : dir);
}

static int add_cgroups(char ***argv, const char *destination, const struct cgroup *cgroup, bool save)
{
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = { 0 };
	int r;

	if (!cgroup_exists(cgroup) || cgroup_hierarchies_of(cgroup, &h, NULL) < 0)
		return 0;
	r = h.v2.mount ? add_hierarchy(argv, destination, &h.v2, h.pure_v2, save) : 0;
	for (size_t i = 0; i < h.n_v1; i++)
		r |= add_hierarchy(argv, destination, &h.v1[i], false, save);
	return r;
}

/* PID: of the box that is saved; 0 when it is restored, and the values are what is mounted anew. */
static int add_externals(char ***argv, const struct container_jail *cj, const struct cgroup *cgroup, pid_t pid)
{
	int r = 0;

	for (size_t i = 0; i < cj->jail.n_mounts; i++) {
		const struct jail_mount *m = &cj->jail.mounts[i];

		if (m->kind == JAIL_MOUNT_BIND)
			r |= add_external(argv, m->destination, pid ? m->destination : m->source);
		else if (m->kind == JAIL_MOUNT_CGROUP)
			r |= add_cgroups(argv, m->destination, cgroup, pid);
	}
	for (char *const *p = cj->jail.masked_paths; p && *p; p++)
		if (!pid || !is_directory_in(pid, *p)) /* masked directories are a tmpfs, which CRIU makes again itself */
			r |= add_external(argv, *p, pid ? *p : "/dev/null");
	return r < 0 ? -ENOMEM : 0;
}

/* ---- descriptors 0 to 2 ---- */

static int save_descriptors(pid_t pid, const char *dir, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_array();
	_cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *text;

	if (!o)
		return error_oom(err);
	if (dir_fd < 0)
		return error_sys(err, errno, "cannot open the image directory '%s'", dir);
	for (int i = 0; i < 3; i++) {
		char path[64], target[4096];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, i);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = 0;
		json_object_array_add(o, json_object_new_string(target));
	}
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	return text ? file_replace_at(dir_fd, DESCRIPTORS_FILE, text, strlen(text), 0600, err) : error_oom(err);
}

/* A pipe of the caller's becomes one of ours; files and /dev/null are opened by CRIU itself. */
static int inherit_descriptors(char ***argv, const char *dir, struct error *err)
{
	_cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (dir_fd < 0)
		return error_sys(err, errno, "cannot open the image directory '%s'", dir);
	r = file_read_at(dir_fd, DESCRIPTORS_FILE, 65536, &text, &len, err);
	if (r == 0)
		r = json_parse(text, len, &o, err);
	if (r < 0)
		return error_prefix(err, "'%s' is not the checkpoint of a box", dir);
	if (!json_object_is_type(o, json_type_array))
		return error_set(err, EINVAL, "%s/" DESCRIPTORS_FILE " is not an array", dir);
	for (size_t i = 0; i < json_object_array_length(o) && i < 3; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(o, i));

		if (!name || (strncmp(name, "pipe:", 5) != 0 && strncmp(name, "socket:", 7) != 0))
			continue;
		if (strv_add(argv, "--inherit-fd") < 0 || strv_addf(argv, "fd[%zu]:%s", i, name) < 0)
			return error_oom(err);
	}
	return 0;
}

/* ---- checkpoint ---- */

static int make_directories(const struct checkpoint_request *q, struct error *err)
{
	int r = mkdir_parents_at(AT_FDCWD, q->image_path, 0700);

	if (r < 0)
		return error_sys(err, r, "cannot make the image directory '%s'", q->image_path);
	r = q->work_path ? mkdir_parents_at(AT_FDCWD, q->work_path, 0700) : 0;
	return r < 0 ? error_sys(err, r, "cannot make the work directory '%s'", q->work_path) : 0;
}

static int add_page_server(char ***argv, const char *address)
{
	const char *colon = address ? strrchr(address, ':') : NULL;

	if (!address)
		return 0;
	if (!colon)
		return -EINVAL;
	return strv_add(argv, "--page-server") | strv_add(argv, "--address") |
	       strv_addf(argv, "%.*s", (int)(colon - address), address) | add_value(argv, "--port", colon + 1);
}

static int refuse_terminal(const struct oci_spec *spec, struct error *err)
{
	if (spec->process && spec->process->terminal)
		return error_set(err, EOPNOTSUPP, "a container with a terminal cannot be saved: its other side is with somebody else");
	return 0;
}

static int dump_arguments(const struct box *box, const struct container_jail *cj, const struct cgroup *cgroup,
			  const struct checkpoint_request *q, const char *work, char ***argv, struct error *err)
{
	int r = strv_add(argv, "criu") | strv_add(argv, q->pre_dump ? "pre-dump" : "dump") | strv_add(argv, "--tree") |
		strv_addf(argv, "%d", (int)box->pid) | add_common(argv, q, box->rootfs, work) |
		add_value(argv, "--log-file", "dump.log") | add_flag(argv, q->leave_running, "--leave-running") |
		add_flag(argv, q->pre_dump, "--track-mem") | add_value(argv, "--prev-images-dir", q->parent_path) |
		add_value(argv, "--status-fd", q->status_fd) | add_flag(argv, q->skip_in_flight, "--skip-in-flight") |
		/* mounts below the host's, as rootfsPropagation and binds have it */
		strv_add(argv, "--enable-external-masters") | add_externals(argv, cj, cgroup, box->pid);

	if (r < 0)
		return error_oom(err);
	if (add_page_server(argv, q->page_server) < 0)
		return error_set(err, EINVAL, "option --page-server: '%s' is not of the form ADDRESS:PORT", q->page_server);
	return 0;
}

int container_checkpoint(struct box *box, const struct oci_spec *spec, const struct checkpoint_request *q, struct error *err)
{
	_cleanup_container_jail_ struct container_jail cj = CONTAINER_JAIL_INIT;
	struct create_options options = CREATE_OPTIONS_INIT;
	const char *work = q->work_path ? q->work_path : q->image_path;
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	_cleanup_strv_ char **argv = NULL;
	int r;

	r = refuse_terminal(spec, err);
	if (r == 0)
		r = make_directories(q, err);
	if (r == 0)
		r = container_cgroup(box, &cgroup, err);
	if (r == 0)
		r = translate_world(box, spec, &options, &cj, err);
	if (r == 0 && !q->pre_dump)
		r = save_descriptors(box->pid, q->image_path, err);
	if (r == 0)
		r = dump_arguments(box, &cj, cgroup, q, work, &argv, err);
	return r < 0 ? r : run_criu(argv, work, "dump.log", NULL, NULL, err);
}

/* ---- restore ---- */

struct restoring {
	const struct container_jail *cj;
	const char *rootfs;
	const struct cgroup_entry *entry;
};

/* A mount point for everything that CRIU will mount: the image may lack it. */
static int make_targets(const struct restoring *s, int root_fd, struct error *err)
{
	for (size_t i = 0; i < s->cj->jail.n_mounts; i++) {
		const struct jail_mount *m = &s->cj->jail.mounts[i];
		struct stat st;
		int fd;

		if (m->kind == JAIL_MOUNT_BIND && stat(m->source, &st) == 0 && !S_ISDIR(st.st_mode))
			fd = path_make_file(root_fd, m->destination, 0644, err);
		else
			fd = path_make_directory(root_fd, m->destination, 0755, err);
		if (fd < 0)
			return fd;
		close(fd);
	}
	return 0;
}

/* CRIU wants the root to be a mount: in a mount namespace that ends with it. */
static int prepare_root(void *data, struct error *err)
{
	const struct restoring *s = data;
	_cleanup_close_ int root = -1, tree = -1;
	int r;

	r = cgroup_entry_join(s->entry, false);
	if (r < 0)
		return error_sys(err, r, "cannot enter the control group");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return error_sys(err, errno, "cannot make a mount namespace");
	root = open(s->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_sys(err, errno, "cannot open the root file system '%s'", s->rootfs);
	r = make_targets(s, root, err);
	if (r < 0)
		return r;
	tree = mount_clone(root, true);
	r = tree < 0 ? tree : mount_attach(tree, root);
	return r < 0 ? error_sys(err, r, "cannot mount the root file system '%s'", s->rootfs) : 0;
}

static int restore_arguments(const struct box *box, const struct container_jail *cj, const struct cgroup *cgroup,
			     const struct checkpoint_request *q, const char *work, const char *pid_file, char ***argv,
			     struct error *err)
{
	int r = strv_add(argv, "criu") | strv_add(argv, "restore") | add_common(argv, q, box->rootfs, work) |
		add_value(argv, "--log-file", "restore.log") | strv_add(argv, "--restore-detached") |
		strv_add(argv, "--restore-sibling") | add_value(argv, "--pidfile", pid_file) |
		add_value(argv, "--lsm-profile", q->lsm_profile) | add_value(argv, "--lsm-mount-context", q->lsm_mount_context) |
		add_externals(argv, cj, cgroup, 0);

	if (r == 0 && cgroup_exists(cgroup))
		r = strv_add(argv, "--cgroup-root") | strv_add(argv, cgroup_path(cgroup));
	if (r < 0)
		return error_oom(err);
	return inherit_descriptors(argv, q->image_path, err);
}

static int read_pid(const char *path, pid_t *ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	uint32_t pid;
	int r = file_read_at(AT_FDCWD, path, 32, &text, NULL, err);

	unlink(path);
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = 0;
	if (parse_u32(text, &pid) < 0)
		return error_set(err, EPROTO, "criu wrote '%s' as the pid of what it restored", text);
	*ret = (pid_t)pid;
	return 0;
}

static int restore_processes(struct box *box, const struct oci_spec *spec, const struct container_jail *cj,
			     struct cgroup *cgroup, const struct checkpoint_request *q, pid_t *ret, struct error *err)
{
	_cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
	const char *work = q->work_path ? q->work_path : q->image_path;
	struct restoring restoring = { .cj = cj, .rootfs = box->rootfs, .entry = &entry };
	_cleanup_strv_ char **argv = NULL;
	_cleanup_free_ char *pid_file = NULL;
	int r;

	if (asprintf(&pid_file, "%s/%s/criu.pid", box->root, box->id) < 0) {
		pid_file = NULL;
		return error_oom(err);
	}
	r = cgroup ? cgroup_entry_open(cgroup, NULL, &entry, err) : 0;
	if (r == 0)
		r = restore_arguments(box, cj, cgroup, q, work, pid_file, &argv, err);
	if (r == 0)
		r = run_criu(argv, work, "restore.log", prepare_root, &restoring, err);
	return r < 0 ? r : read_pid(pid_file, ret, err);
}

int container_restore(struct box *box, const struct oci_spec *spec, const struct create_options *options,
		      const struct checkpoint_request *q, struct started *ret, struct error *err)
{
	_cleanup_container_jail_ struct container_jail cj = CONTAINER_JAIL_INIT;
	_cleanup_free_ struct cgroup_annotation *annotations = NULL;
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	bool rootless = geteuid() != 0 || !userns_is_initial();
	struct cgroup_request request;
	pid_t pid = 0;
	int r;

	r = refuse_terminal(spec, err);
	if (r == 0)
		r = translate_world(box, spec, options, &cj, err);
	if (r == 0)
		r = container_record_manager(box, options->cgroup_manager, err);
	if (r == 0)
		r = container_cgroup_request(box, spec, options->cgroup_manager, rootless, &request, &annotations, err);
	if (r == 0)
		r = cgroup_create(&request, &cgroup, err);
	if (r == 0)
		r = container_record(box, cgroup, spec, rootless, err);
	if (r == 0)
		r = restore_processes(box, spec, &cj, cgroup, q, &pid, err);
	if (r == 0)
		r = box_set_pid(box, pid, err);
	if (r == 0)
		r = box_save(box, err);
	if (r < 0)
		return r;
	ret->pid = pid;
	ret->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return 0;
}
