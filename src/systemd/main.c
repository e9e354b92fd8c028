/*
 * ringwall-systemd: speaks to systemd over D-Bus for the runtime, which is static and does not link libsystemd.
 * One verb on the command line, one line of JSON on standard input, one on standard output:
 *
 *	start {"unit", "user", "properties": [{"name", "type", "value"}]}  ->  {"controlGroup": "/system.slice/..."}
 *	set   {"unit", "user", "properties"}                               ->  {}
 *	attach {"unit", "user", "pid"}                                     ->  {}
 *	stop  {"unit", "user"}                                             ->  {}
 *
 * or {"error": message, "errno": number}. `start` puts this process into the new scope, which keeps it alive, and
 * stays there until its standard input ends: by then the runtime has its own process in the scope.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/json.h"

#define DESTINATION "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define PRIVATE_ADDRESS "unix:path=/run/systemd/private"
#define QUESTION_MAX 65536
#define JOB_TIMEOUT_SEC 30

struct request {
	const char *unit;
	bool user;
	struct json_object *properties; /* array or NULL; part of the question's tree */
	uint32_t pid;
};

#define _cleanup_bus_ _cleanup_(sd_bus_flush_close_unrefp)
#define _cleanup_message_ _cleanup_(sd_bus_message_unrefp)
#define _cleanup_bus_error_ _cleanup_(sd_bus_error_free)

static int bus_failed(struct error *err, int r, const sd_bus_error *e, const char *what, const char *unit)
{
	if (e && sd_bus_error_is_set(e))
		return error_set(err, sd_bus_error_get_errno(e), "cannot %s unit '%s': %s (%s)", what, unit, e->message,
				 e->name);
	return error_sys(err, r, "cannot %s unit '%s'", what, unit);
}

/* ---- the connection ---- */

/* Root reaches systemd without a D-Bus daemon, too. */
static int open_private(sd_bus **ret)
{
	_cleanup_bus_ sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus, PRIVATE_ADDRESS);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		*ret = take_ptr(bus);
	return r;
}

static int connect_bus(bool user, sd_bus **ret, struct error *err)
{
	int r = user ? sd_bus_open_user(ret) : sd_bus_open_system(ret);

	if (r < 0 && !user && geteuid() == 0 && open_private(ret) >= 0)
		r = 0;
	if (r < 0 && user)
		return error_sys(
		    err, r,
		    "cannot reach the user's systemd (is XDG_RUNTIME_DIR or DBUS_SESSION_BUS_ADDRESS set, and "
		    "the dbus-user-session package installed? or use --cgroup-manager=cgroupfs)");
	if (r < 0)
		return error_sys(err, r,
				 "cannot reach systemd (is this host running it? or use --cgroup-manager=cgroupfs)");
	return 0;
}

/* ---- properties ---- */

static int append_array(sd_bus_message *m, char type, struct json_object *v)
{
	const char element[] = {type, 0};
	int r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, element);

	for (size_t i = 0; r >= 0 && i < json_object_array_length(v); i++) {
		struct json_object *e = json_object_array_get_idx(v, i);

		if (type == 's')
			r = sd_bus_message_append(m, "s", json_object_get_string(e));
		else if (type == 'u')
			r = sd_bus_message_append(m, "u", (uint32_t)json_object_get_uint64(e));
		else if (type == 'y')
			r = sd_bus_message_append(m, "y", (uint8_t)json_object_get_int(e));
		else
			r = -EINVAL;
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_pairs(sd_bus_message *m, struct json_object *v)
{
	int r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "(ss)");

	for (size_t i = 0; r >= 0 && i < json_object_array_length(v); i++) {
		struct json_object *e = json_object_array_get_idx(v, i);

		if (!json_object_is_type(e, json_type_array) || json_object_array_length(e) != 2)
			return -EINVAL;
		r = sd_bus_message_append(m, "(ss)", json_object_get_string(json_object_array_get_idx(e, 0)),
					  json_object_get_string(json_object_array_get_idx(e, 1)));
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_basic(sd_bus_message *m, char type, struct json_object *v)
{
	switch (type) {
	case 'b':
		return sd_bus_message_append(m, "b", (int)json_object_get_boolean(v));
	case 's':
		return sd_bus_message_append(m, "s", json_object_get_string(v));
	case 'y':
		return sd_bus_message_append(m, "y", (uint8_t)json_object_get_int(v));
	case 'n':
		return sd_bus_message_append(m, "n", (int16_t)json_object_get_int(v));
	case 'q':
		return sd_bus_message_append(m, "q", (uint16_t)json_object_get_int(v));
	case 'i':
		return sd_bus_message_append(m, "i", json_object_get_int(v));
	case 'u':
		return sd_bus_message_append(m, "u", (uint32_t)json_object_get_uint64(v));
	case 'x':
		return sd_bus_message_append(m, "x", json_object_get_int64(v));
	case 't':
		return sd_bus_message_append(m, "t", json_object_get_uint64(v));
	default:
		return -EINVAL;
	}
}

static int append_value(sd_bus_message *m, const char *type, struct json_object *v)
{
	bool array = json_object_is_type(v, json_type_array);

	if (strcmp(type, "a(ss)") == 0)
		return array ? append_pairs(m, v) : -EINVAL;
	if (type[0] == 'a' && type[1] && !type[2])
		return array ? append_array(m, type[1], v) : -EINVAL;
	return type[0] && !type[1] ? append_basic(m, type[0], v) : -EINVAL;
}

static int append_property(sd_bus_message *m, struct json_object *p, struct error *err)
{
	const char *name = NULL, *type = NULL;
	struct json_object *value;
	int r;

	r = json_get_string(p, "properties", "name", &name, err);
	if (r >= 0)
		r = json_get_string(p, "properties", "type", &type, err);
	if (r < 0)
		return r;
	if (!name || !type || !json_object_object_get_ex(p, "value", &value))
		return error_set(err, EINVAL, "a property has no name, type or value");
	r = sd_bus_message_open_container(m, SD_BUS_TYPE_STRUCT, "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", name);
	if (r >= 0)
		r = sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, type);
	if (r >= 0)
		r = append_value(m, type, value);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? error_sys(err, r, "property '%s' of type '%s'", name, type) : 0;
}

/* PID 0: no "PIDs" property. */
static int append_properties(sd_bus_message *m, struct json_object *list, pid_t pid, struct error *err)
{
	int r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "(sv)");

	if (r >= 0 && pid)
		r = sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, (uint32_t)pid);
	if (r < 0)
		return error_sys(err, r, "cannot build a D-Bus message");
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *p = json_object_array_get_idx(list, i);

		if (!json_object_is_type(p, json_type_object))
			return error_set(err, EINVAL, "property %zu is not an object", i);
		r = append_property(m, p, err);
		if (r < 0)
			return r;
	}
	r = sd_bus_message_close_container(m);
	return r < 0 ? error_sys(err, r, "cannot build a D-Bus message") : 0;
}

/* ---- jobs ---- */

struct job {
	char path[256];				 /* "" until the call that starts it was answered */
	char early[8][256], early_result[8][32]; /* jobs that ended before we knew which is ours */
	size_t n_early;
	char result[32];
	bool done;
};

static int on_job_removed(sd_bus_message *m, void *data, sd_bus_error *unused)
{
	const char *path, *unit, *result;
	struct job *job = data;
	uint32_t id;

	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (!*job->path) {
		size_t i = job->n_early++ % ARRAY_SIZE(job->early);

		snprintf(job->early[i], sizeof(job->early[i]), "%s", path);
		snprintf(job->early_result[i], sizeof(job->early_result[i]), "%s", result);
	} else if (strcmp(job->path, path) == 0) {
		snprintf(job->result, sizeof(job->result), "%s", result);
		job->done = true;
	}
	return 0;
}

static int job_watch(sd_bus *bus, struct job *job, struct error *err)
{
	int r = sd_bus_match_signal(bus, NULL, DESTINATION, MANAGER_PATH, MANAGER, "JobRemoved", on_job_removed, job);

	if (r < 0) /* a private connection has no broker that filters by sender */
		r = sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER, "JobRemoved", on_job_removed, job);
	return r < 0 ? error_sys(err, r, "cannot watch systemd's jobs") : 0;
}

static void job_named(struct job *job, const char *path)
{
	snprintf(job->path, sizeof(job->path), "%s", path);
	for (size_t i = 0; i < ARRAY_SIZE(job->early); i++) {
		if (strcmp(job->early[i], path) == 0) {
			memcpy(job->result, job->early_result[i], sizeof(job->result));
			job->done = true;
		}
	}
}

static int job_wait(sd_bus *bus, struct job *job, const char *what, const char *unit, struct error *err)
{
	time_t deadline = time(NULL) + JOB_TIMEOUT_SEC;

	while (!job->done) {
		int r = sd_bus_process(bus, NULL);

		if (r == 0)
			r = sd_bus_wait(bus, 1000000);
		if (r < 0 && r != -EINTR)
			return error_sys(err, r, "lost systemd while waiting for it to %s unit '%s'", what, unit);
		if (time(NULL) > deadline)
			return error_set(err, ETIMEDOUT, "systemd did not %s unit '%s' within %d seconds", what, unit,
					 JOB_TIMEOUT_SEC);
	}
	if (strcmp(job->result, "done") != 0)
		return error_set(err, EIO, "systemd could not %s unit '%s': the job's result is '%s' (see journalctl)",
				 what, unit, job->result);
	return 0;
}

/* ---- verbs ---- */

static int start_transient(sd_bus *bus, const struct request *q, struct job *job, sd_bus_error *e, struct error *err)
{
	_cleanup_message_ sd_bus_message *m = NULL, *reply = NULL;
	const char *path;
	int r;

	r = sd_bus_message_new_method_call(bus, &m, DESTINATION, MANAGER_PATH, MANAGER, "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", q->unit, "fail");
	if (r < 0)
		return bus_failed(err, r, NULL, "start", q->unit);
	r = append_properties(m, q->properties, getpid(), err);
	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call(bus, m, 0, e, &reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return bus_failed(err, r, e, "start", q->unit);
	job_named(job, path);
	return 0;
}

static int control_group(sd_bus *bus, const char *unit, struct json_object *answer, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
	_cleanup_free_ char *path = NULL, *group = NULL;
	int r = sd_bus_path_encode(MANAGER_PATH "/unit", unit, &path);

	if (r >= 0)
		r = sd_bus_get_property_string(bus, DESTINATION, path, DESTINATION ".Scope", "ControlGroup", &e,
					       &group);
	if (r < 0)
		return bus_failed(err, r, &e, "find the control group of", unit);
	json_object_object_add(answer, "controlGroup", json_object_new_string(group));
	return 0;
}

static void reset_failed(sd_bus *bus, const char *unit)
{
	sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "ResetFailedUnit", NULL, NULL, "s", unit);
}

static int do_start(sd_bus *bus, const struct request *q, struct json_object *answer, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
	struct job job = {0};
	int r = job_watch(bus, &job, err);

	if (r < 0)
		return r;
	r = start_transient(bus, q, &job, &e, err);
	if (r < 0 && sd_bus_error_has_name(&e, DESTINATION ".UnitExists")) {
		/* What an earlier box of that name left behind when it failed. */
		reset_failed(bus, q->unit);
		sd_bus_error_free(&e);
		r = start_transient(bus, q, &job, &e, err);
	}
	if (r == 0)
		r = job_wait(bus, &job, "start", q->unit, err);
	return r < 0 ? r : control_group(bus, q->unit, answer, err);
}

static int do_set(sd_bus *bus, const struct request *q, struct json_object *answer, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
	_cleanup_message_ sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(bus, &m, DESTINATION, MANAGER_PATH, MANAGER, "SetUnitProperties");
	if (r >= 0)
		r = sd_bus_message_append(m, "sb", q->unit, 1);
	if (r < 0)
		return bus_failed(err, r, NULL, "change", q->unit);
	r = append_properties(m, q->properties, 0, err);
	if (r < 0)
		return r;
	r = sd_bus_call(bus, m, 0, &e, NULL);
	return r < 0 ? bus_failed(err, r, &e, "change", q->unit) : 0;
}

/* A user's systemd may ask the system's to do this, where the user himself has no right to move a process. */
static int do_attach(sd_bus *bus, const struct request *q, struct json_object *answer, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "AttachProcessesToUnit", &e, NULL, "ssau",
				   q->unit, "", 1, q->pid);

	return r < 0 ? bus_failed(err, r, &e, "put the box's process into", q->unit) : 0;
}

static int do_stop(sd_bus *bus, const struct request *q, struct json_object *answer, struct error *err)
{
	_cleanup_bus_error_ sd_bus_error e = SD_BUS_ERROR_NULL;
	_cleanup_message_ sd_bus_message *reply = NULL;
	struct job job = {0};
	const char *path;
	int r = job_watch(bus, &job, err);

	if (r < 0)
		return r;
	r = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "StopUnit", &e, &reply, "ss", q->unit,
			       "replace");
	if (r < 0 && sd_bus_error_has_name(&e, DESTINATION ".NoSuchUnit"))
		return 0;
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return bus_failed(err, r, &e, "stop", q->unit);
	job_named(&job, path);
	r = job_wait(bus, &job, "stop", q->unit, err);
	reset_failed(bus, q->unit);
	return r;
}

static const struct verb {
	const char *name;
	int (*run)(sd_bus *bus, const struct request *q, struct json_object *answer, struct error *err);
} verbs[] = {{"start", do_start}, {"set", do_set}, {"attach", do_attach}, {"stop", do_stop}};

/* ---- the conversation ---- */

static int read_question(struct json_object **ret, struct error *err)
{
	_cleanup_free_ char *buf = malloc(QUESTION_MAX);
	size_t len = 0;

	while (buf && len < QUESTION_MAX) {
		ssize_t n = read(STDIN_FILENO, buf + len, QUESTION_MAX - len);
		char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(err, EINVAL, "the question on standard input ends before its line does");
		len += (size_t)n;
		end = memchr(buf, '\n', len);
		if (end)
			return json_parse(buf, (size_t)(end - buf), ret, err);
	}
	return error_set(err, E2BIG, "the question is longer than %d bytes", QUESTION_MAX);
}

static int parse_question(struct json_object *o, struct request *ret, struct error *err)
{
	int r = json_get_string(o, "", "unit", &ret->unit, err);

	if (r >= 0)
		r = json_get_bool(o, "", "user", &ret->user, err);
	if (r >= 0)
		r = json_get_array(o, "", "properties", &ret->properties, err);
	if (r >= 0)
		r = json_get_u32(o, "", "pid", &ret->pid, err);
	if (r < 0)
		return r;
	return ret->unit ? 0 : error_set(err, EINVAL, "the question names no unit");
}

static int carry_out(const struct verb *verb, struct json_object *answer, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_bus_ sd_bus *bus = NULL;
	struct request q = {0};
	int r = read_question(&o, err);

	if (r == 0)
		r = parse_question(o, &q, err);
	if (r == 0)
		r = connect_bus(q.user, &bus, err);
	return r < 0 ? r : verb->run(bus, &q, answer, err);
}

static void wait_for_end_of_input(void)
{
	char byte;
	ssize_t n;

	do
		n = read(STDIN_FILENO, &byte, 1);
	while (n > 0 || (n < 0 && errno == EINTR));
}

int main(int argc, char **argv)
{
	_cleanup_json_ struct json_object *answer = json_object_new_object();
	struct error err = ERROR_INIT;
	const struct verb *verb = NULL;
	const char *text;
	int r;

	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, argv[1]) == 0)
			verb = &verbs[i];
	if (!verb || !answer) {
		fprintf(
		    stderr,
		    "usage: ringwall-systemd start|set|attach|stop, with a line of JSON on standard input; ringwall starts it "
		    "by itself\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = carry_out(verb, answer, &err);
	if (r < 0) {
		json_object_object_add(answer, "error", json_object_new_string(err.message));
		json_object_object_add(answer, "errno", json_object_new_int(-r));
	}
	text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
	if (fd_write_all(STDOUT_FILENO, text, strlen(text)) < 0 || fd_write_all(STDOUT_FILENO, "\n", 1) < 0)
		return 1;
	if (r == 0 && verb->run == do_start)
		wait_for_end_of_input();
	return r < 0;
}
