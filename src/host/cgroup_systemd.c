/*
 * The systemd manager's half in the runtime: it starts ringwall-systemd (src/systemd), which alone links libsystemd,
 * and talks to it over its standard input and output, one line of JSON each way.
 *
 * `ringwall-systemd start`: makes the scope with itself as its first process, answers, and stays until its input ends,
 * so that the box's own processes are born in the scope and never run outside of it.
 */
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/json.h"
#include "host/cgroup_internal.h"
#include "host/cgroup_path.h"
#include "host/cgroup_systemd_properties.h"

#ifndef RINGWALL_LIBEXECDIR
#define RINGWALL_LIBEXECDIR "/usr/libexec/ringwall"
#endif

#define HELPER_NAME "ringwall-systemd"
#define ANSWER_MAX 65536
#define ANSWER_TIMEOUT_MS 60000 /* more than systemd's own job timeouts that matter here */

extern char **environ;

struct helper {
	pid_t pid;
	int fd; /* a socket: its standard input and output */
};

#define HELPER_INIT ((struct helper){.fd = -1})

/*
 * Ends the helper's standard input and waits for it. Closing would not do: a child of ours may hold a copy of the
 * descriptor.
 */
void cgroup_systemd_release(int *hold_fd, pid_t *hold_pid)
{
	if (*hold_pid <= 0)
		return;
	shutdown(*hold_fd, SHUT_RDWR);
	*hold_fd = safe_close(*hold_fd);
	while (waitpid(*hold_pid, NULL, 0) < 0 && errno == EINTR)
		;
	*hold_pid = 0;
}

static void helper_end(struct helper *h)
{
	cgroup_systemd_release(&h->fd, &h->pid);
}

#define _cleanup_helper_ _cleanup_(helper_end)

/* Beside our own executable (a build tree), else where it is installed. */
static char *helper_path(void)
{
	_cleanup_free_ char *path = NULL;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = 0;
		*strrchr(self, '/') = 0;
		if (asprintf(&path, "%s/" HELPER_NAME, self) < 0)
			return NULL;
		if (access(path, X_OK) == 0)
			return take_ptr(path);
	}
	return strdup(RINGWALL_LIBEXECDIR "/" HELPER_NAME);
}

/* The group may outlive the program that made it, and where that was installed. */
static char *helper_of(const struct cgroup *cg)
{
	return cg->systemd_helper && access(cg->systemd_helper, X_OK) == 0 ? strdup(cg->systemd_helper) : helper_path();
}

static int spawn_on(const char *path, const char *verb, int fd, pid_t *ret)
{
	char *argv[] = {(char *)HELPER_NAME, (char *)verb, NULL};
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn(ret, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static int spawn(const struct cgroup *cg, const char *verb, struct helper *ret, struct error *err)
{
	_cleanup_free_ char *path = helper_of(cg);
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2], r;
	pid_t pid;

	if (!path)
		return error_oom(err);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "cannot make a socket pair");
	ours = pair[0];
	theirs = pair[1];
	r = spawn_on(path, verb, theirs, &pid);
	if (r == ENOENT)
		return error_set(err, ENOENT,
				 "the systemd manager needs the program '%s', which is not installed (or use "
				 "--cgroup-manager=cgroupfs)",
				 path);
	if (r)
		return error_sys(err, r, "cannot start '%s'", path);
	*ret = (struct helper){.pid = pid, .fd = take_fd(&ours)};
	return 0;
}

/* No SIGPIPE when the helper died. */
static int send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Reads one line, up to a deadline. */
static int read_line(int fd, char *buf, size_t size)
{
	int64_t deadline = cgroup_now_ms() + ANSWER_TIMEOUT_MS;
	size_t len = 0;

	while (len + 1 < size) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - cgroup_now_ms();
		ssize_t n;

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
		if (!p.revents)
			continue;
		n = read(fd, buf + len, size - 1 - len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EPIPE;
		len += n > 0 ? (size_t)n : 0;
		buf[len] = 0;
		if (strchr(buf, '\n'))
			return 0;
	}
	return -EMSGSIZE;
}

static int converse(struct helper *h, struct json_object *question, struct json_object **ret, struct error *err)
{
	_cleanup_json_ struct json_object *answer = NULL;
	_cleanup_free_ char *buf = malloc(ANSWER_MAX);
	const char *text = json_object_to_json_string_ext(question, JSON_C_TO_STRING_PLAIN), *message = NULL;
	int64_t code = EIO;
	int r;

	if (!buf || !text)
		return error_oom(err);
	r = send_all(h->fd, text, strlen(text));
	if (r == 0)
		r = send_all(h->fd, "\n", 1);
	if (r == 0)
		r = read_line(h->fd, buf, ANSWER_MAX);
	if (r < 0)
		return error_sys(err, r, "the program " HELPER_NAME " gave no answer");
	r = json_parse(buf, strcspn(buf, "\n"), &answer, err);
	if (r < 0)
		return error_prefix(err, "the answer of " HELPER_NAME);
	r = json_get_string(answer, "", "error", &message, err);
	if (r == 0) {
		*ret = take_ptr(answer);
		return 0;
	}
	if (r > 0)
		r = json_get_i64(answer, "", "errno", 1, 4095, &code, err);
	return r < 0 ? r : error_set(err, (int)code, "systemd: %s", message);
}

static bool put(struct json_object *o, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(o, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

/* {"unit": ..., "user": ..., "properties": [...]}; PROPERTIES is taken over and may be NULL. */
static struct json_object *question_new(const struct cgroup *cg, struct json_object *properties)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	bool ok = !properties;

	if (o && properties)
		ok = put(o, "properties", properties);
	if (!o || !ok || !put(o, "unit", json_object_new_string(cg->unit)) ||
	    !put(o, "user", json_object_new_boolean(cg->user_manager)))
		return NULL;
	return take_ptr(o);
}

/* v2's device filter is a program beside systemd's; on v1 the two share the group's files. */
static int device_properties(const struct cgroup_resources *r, bool v2, struct json_object *list, struct error *err)
{
	_cleanup_free_ char *proc_devices = NULL;

	if (v2)
		return 0;
	proc_devices = cgroup_proc_devices();
	return proc_devices ? cgroup_systemd_devices(r, proc_devices, list, err) : error_oom(err);
}

static int scope_properties(const struct cgroup_request *request, const struct cgroup_unit *unit, bool v2,
			    struct json_object *list, struct error *err)
{
	static const char *const on[] = {"Delegate", "CPUAccounting", "MemoryAccounting", "TasksAccounting"};
	_cleanup_free_ char *description = NULL;
	int r;

	if (asprintf(&description, "ringwall box %s", request->id) < 0)
		return error_oom(err);
	r = cgroup_systemd_property(list, "Description", "s", json_object_new_string(description), err);
	if (r == 0)
		r = cgroup_systemd_property(list, "Slice", "s", json_object_new_string(unit->slice), err);
	if (r == 0)
		r = cgroup_systemd_property(list, "DefaultDependencies", "b", json_object_new_boolean(false), err);
	if (r == 0)
		r = cgroup_systemd_property(list, "CollectMode", "s", json_object_new_string("inactive-or-failed"),
					    err);
	for (size_t i = 0; i < ARRAY_SIZE(on) && r == 0; i++)
		r = cgroup_systemd_property(list, on[i], "b", json_object_new_boolean(true), err);
	if (r == 0)
		r = cgroup_systemd_property(list, v2 ? "IOAccounting" : "BlockIOAccounting", "b",
					    json_object_new_boolean(true), err);
	if (r == 0 && request->resources)
		r = cgroup_systemd_limits(request->resources, v2, list, err);
	if (r == 0 && request->resources && !request->rootless)
		r = device_properties(request->resources, v2, list, err);
	if (r == 0)
		r = cgroup_systemd_annotations(request->annotations, request->n_annotations, list, err);
	return r;
}

static int start_scope(struct cgroup *cg, struct json_object *question, char **ret_path, struct error *err)
{
	_cleanup_helper_ struct helper h = HELPER_INIT;
	_cleanup_json_ struct json_object *answer = NULL;
	_cleanup_free_ char *path = NULL;
	int r = spawn(cg, "start", &h, err);

	if (r == 0)
		r = converse(&h, question, &answer, err);
	if (r == 0)
		r = json_dup_string(answer, "", "controlGroup", &path, err);
	if (r < 0)
		return r;
	if (!path || path[0] != '/' || !path[1] || strstr(path, "/.."))
		return error_set(err, EBADMSG, "systemd told no control group for the unit '%s'", cg->unit);
	cg->hold_fd = take_fd(&h.fd);
	cg->hold_pid = h.pid;
	h.pid = 0;
	*ret_path = take_ptr(path);
	return 0;
}

int cgroup_systemd_start(struct cgroup *cg, const struct cgroup_request *request, bool v2, char **ret_path,
			 struct error *err)
{
	_cleanup_cgroup_unit_ struct cgroup_unit unit = {0};
	_cleanup_json_ struct json_object *list = json_object_new_array(), *question = NULL;
	int r;

	if (!list)
		return error_oom(err);
	cg->user_manager = request->rootless;
	r = cgroup_path_unit(request->path, request->id, cg->user_manager, &unit, err);
	if (r == 0)
		r = scope_properties(request, &unit, v2, list, err);
	if (r < 0)
		return r;
	cg->unit = strdup(unit.name);
	if (!cg->unit)
		return error_oom(err);
	question = question_new(cg, take_ptr(list));
	if (!question)
		return error_oom(err);
	r = start_scope(cg, question, ret_path, err);
	if (r < 0) { /* there is no unit to stop */
		free(cg->unit);
		cg->unit = NULL;
	}
	return r;
}

/* QUESTION (NULL: no memory) is taken over. */
static int ask(const struct cgroup *cg, const char *verb, struct json_object *question, struct error *err)
{
	_cleanup_helper_ struct helper h = HELPER_INIT;
	_cleanup_json_ struct json_object *q = question, *answer = NULL;
	int r;

	if (!q)
		return error_oom(err);
	r = spawn(cg, verb, &h, err);
	return r < 0 ? r : converse(&h, q, &answer, err);
}

int cgroup_systemd_attach(const struct cgroup *cg, pid_t pid, struct error *err)
{
	struct json_object *question = question_new(cg, NULL);

	if (question && !put(question, "pid", json_object_new_int(pid))) {
		json_object_put(question);
		question = NULL;
	}
	return ask(cg, "attach", question, err);
}

int cgroup_systemd_update(struct cgroup *cg, const struct cgroup_resources *r, struct error *err)
{
	_cleanup_json_ struct json_object *list = json_object_new_array();
	int e;

	if (!list)
		return error_oom(err);
	e = cgroup_systemd_limits(r, !cg->n_v1, list, err);
	if (e == 0 && r->devices.n && !cg->rootless)
		e = device_properties(r, !cg->n_v1, list, err);
	if (e < 0 || json_object_array_length(list) == 0)
		return e;
	return ask(cg, "set", question_new(cg, take_ptr(list)), err);
}

/* systemd removes the group of a scope without processes by itself; then there is nothing to ask for. */
int cgroup_systemd_stop(struct cgroup *cg, struct error *err)
{
	const struct cgroup_node *node = cgroup_any_node(cg);

	if (node && access(node->dir, F_OK) < 0)
		return 0;
	return ask(cg, "stop", question_new(cg, NULL), err);
}
