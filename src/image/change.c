#include "image/change.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/strv.h"

static struct json_object *child(struct json_object *o, const char *key, struct json_object *(*make)(void))
{
	struct json_object *v;

	if (json_object_object_get_ex(o, key, &v) && v)
		return v;
	v = make();
	if (v)
		json_object_object_add(o, key, v);
	return v;
}

static int set_string(struct json_object *c, const char *key, const char *value, struct error *err)
{
	struct json_object *v = json_object_new_string(value);

	return v && json_object_object_add(c, key, v) >= 0 ? 0 : error_oom(err);
}

/* A JSON array of strings as it is; any other text for the shell. */
static int set_command(struct json_object *c, const char *key, const char *value, struct error *err)
{
	struct json_object *v = NULL;

	if (*value == '[') {
		int r = json_parse(value, strlen(value), &v, err);

		if (r < 0)
			return r;
		for (size_t i = 0; json_object_is_type(v, json_type_array) && i < json_object_array_length(v); i++)
			if (!json_object_is_type(json_object_array_get_idx(v, i), json_type_string)) {
				json_object_put(v);
				return error_set(err, EINVAL, "expected an array of strings");
			}
	} else {
		v = json_object_new_array();
		if (!v)
			return error_oom(err);
		json_object_array_add(v, json_object_new_string("/bin/sh"));
		json_object_array_add(v, json_object_new_string("-c"));
		json_object_array_add(v, json_object_new_string(value));
	}
	return json_object_object_add(c, key, v) < 0 ? error_oom(err) : 0;
}

static int set_env(struct json_object *c, const char *key, const char *value, struct error *err)
{
	_cleanup_strv_ char **env = NULL;
	struct json_object *array;
	int r = json_dup_strv(c, "config", "Env", &env, err);

	if (r < 0)
		return r;
	if (!strchr(value, '=') || *value == '=')
		return error_set(err, EINVAL, "expected NAME=value");
	if (strv_env_set(&env, value) < 0)
		return error_oom(err);
	array = json_object_new_array();
	if (!array)
		return error_oom(err);
	for (char **e = env; *e; e++)
		json_object_array_add(array, json_object_new_string(*e));
	return json_object_object_add(c, "Env", array) < 0 ? error_oom(err) : 0;
}

static int set_label(struct json_object *c, const char *key, const char *value, struct error *err)
{
	const char *equals = strchr(value, '=');
	_cleanup_free_ char *name = NULL;
	struct json_object *labels;

	if (!equals || equals == value)
		return error_set(err, EINVAL, "expected KEY=value");
	name = strndup(value, (size_t)(equals - value));
	labels = child(c, "Labels", json_object_new_object);
	if (!name || !labels)
		return error_oom(err);
	return set_string(labels, name, equals + 1, err);
}

/* Docker's sets: objects whose keys count. */
static int add_to_set(struct json_object *c, const char *key, const char *value, struct error *err)
{
	_cleanup_strv_ char **words = strv_split(value, " \t");
	struct json_object *set = child(c, key, json_object_new_object);

	if (!words)
		return error_set(err, EINVAL, "expected a value");
	if (!set)
		return error_oom(err);
	for (char **w = words; *w; w++) {
		_cleanup_free_ char *port = NULL;

		if (strcmp(key, "ExposedPorts") == 0 && !strchr(*w, '/') && asprintf(&port, "%s/tcp", *w) < 0)
			return error_oom(err);
		json_object_object_add(set, port ?: *w, json_object_new_object());
	}
	return 0;
}

static const struct {
	const char *word, *key;
	int (*set)(struct json_object *c, const char *key, const char *value, struct error *err);
} instructions[] = {
    {"CMD", "Cmd", set_command},
    {"ENTRYPOINT", "Entrypoint", set_command},
    {"ENV", "Env", set_env},
    {"EXPOSE", "ExposedPorts", add_to_set},
    {"LABEL", "Labels", set_label},
    {"STOPSIGNAL", "StopSignal", set_string},
    {"USER", "User", set_string},
    {"VOLUME", "Volumes", add_to_set},
    {"WORKDIR", "WorkingDir", set_string},
};

int change_apply(struct json_object *config, const char *text, struct error *err)
{
	size_t len = strcspn(text, " \t=");
	const char *value = text + len + (text[len] != 0);
	struct json_object *c = child(config, "config", json_object_new_object);

	if (!c)
		return error_oom(err);
	while (isspace((unsigned char)*value))
		value++;
	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
		int r;

		if (strlen(instructions[i].word) != len || strncasecmp(instructions[i].word, text, len) != 0)
			continue;
		r = instructions[i].set(c, instructions[i].key, value, err);
		if (r < 0)
			error_prefix(err, "change '%s'", text);
		return r;
	}
	return error_set(
	    err, EINVAL,
	    "change '%s': expected CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR", text);
}

int change_add_history(struct json_object *config, const char *created_by, const char *comment, struct error *err)
{
	struct json_object *history = child(config, "history", json_object_new_array), *o = json_object_new_object();
	time_t t = time(NULL);
	char now[32];
	struct tm tm;

	if (!history || !o)
		return error_oom(err);
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	json_object_object_add(o, "created", json_object_new_string(now));
	if (created_by)
		json_object_object_add(o, "created_by", json_object_new_string(created_by));
	if (comment)
		json_object_object_add(o, "comment", json_object_new_string(comment));
	json_object_array_add(history, o);
	return set_string(config, "created", now, err);
}
