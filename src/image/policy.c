#include "image/policy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/log.h"

#define POLICY_MAX (4 << 20)

struct policy {
	char *file; /* NULL: there is none */
	struct json_object *o;
};

void policy_free(struct policy *p)
{
	if (!p)
		return;
	free(p->file);
	json_object_put(p->o);
	free(p);
}

static char *find_file(const char *file)
{
	static const char system_file[] = "/etc/containers/policy.json";
	const char *home = getenv("HOME");
	_cleanup_free_ char *own = NULL;

	if (file)
		return strdup(file);
	if (home && *home && asprintf(&own, "%s/.config/containers/policy.json", home) > 0 && access(own, F_OK) == 0)
		return take_ptr(own);
	return access(system_file, F_OK) == 0 || errno != ENOENT ? strdup(system_file) : NULL;
}

/* Every list of requirements must be one, and every type known: a misspelt policy must not pass for a lenient one. */
static int validate_requirements(struct json_object *list, const char *where, struct error *err)
{
	static const char *const known[] = {"insecureAcceptAnything", "reject", "signedBy", "sigstoreSigned",
					    "signedBaseLayer"};

	if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
		return error_set(err, EINVAL, "%s: expected a list with at least one requirement", where);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *r = json_object_array_get_idx(list, i);
		const char *type = "";
		bool found = false;

		if (json_object_is_type(r, json_type_object))
			json_get_string(r, where, "type", &type, NULL);
		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			found |= strcmp(type, known[k]) == 0;
		if (!found)
			return error_set(err, EINVAL, "%s: unknown type of requirement '%.100s'", where, type);
	}
	return 0;
}

static int validate(struct json_object *o, struct error *err)
{
	struct json_object *transports, *fallback;
	int r;

	if (!json_object_is_type(o, json_type_object))
		return error_set(err, EINVAL, "expected an object");
	json_object_object_foreach (o, key, value) {
		(void)value;
		if (strcmp(key, "default") != 0 && strcmp(key, "transports") != 0)
			return error_set(err, EINVAL, "unknown key '%.100s'", key);
	}
	if (!json_object_object_get_ex(o, "default", &fallback))
		return error_set(err, EINVAL, "default is missing");
	if ((r = validate_requirements(fallback, "default", err)) < 0 ||
	    (r = json_get_object(o, "", "transports", &transports, err)) <= 0)
		return r;
	json_object_object_foreach (transports, transport, scopes) {
		if (!json_object_is_type(scopes, json_type_object))
			return error_set(err, EINVAL, "transports.%.100s: expected an object", transport);
		json_object_object_foreach (scopes, scope, list) {
			char where[300];

			snprintf(where, sizeof(where), "transports.%.100s.\"%.150s\"", transport, scope);
			r = validate_requirements(list, where, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int policy_open(const char *file, struct policy **ret, struct error *err)
{
	_cleanup_policy_ struct policy *p = calloc(1, sizeof(*p));
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (!p)
		return error_oom(err);
	p->file = find_file(file);
	if (!p->file) {
		log_debug("there is no signature policy (/etc/containers/policy.json): every image is accepted");
		*ret = take_ptr(p);
		return 0;
	}
	if ((r = file_read_at(AT_FDCWD, p->file, POLICY_MAX, &text, &len, err)) >= 0 &&
	    (r = json_parse(text, len, &p->o, err)) >= 0)
		r = validate(p->o, err);
	if (r < 0) {
		error_prefix(err, "signature policy '%s'", p->file);
		return r;
	}
	*ret = take_ptr(p);
	return 0;
}

static struct json_object *lookup(struct json_object *scopes, const char *scope)
{
	struct json_object *list;

	return json_object_object_get_ex(scopes, scope, &list) ? list : NULL;
}

/* "*.example.com" for the host of SCOPE, from the longest on. */
static struct json_object *lookup_wildcard(struct json_object *scopes, const char *scope)
{
	size_t host = strcspn(scope, "/:");

	for (const char *dot = memchr(scope, '.', host); dot;
	     dot = memchr(dot + 1, '.', host - (size_t)(dot + 1 - scope))) {
		char pattern[300];
		struct json_object *list;

		snprintf(pattern, sizeof(pattern), "*%.*s", (int)(host - (size_t)(dot - scope)), dot);
		list = lookup(scopes, pattern);
		if (list)
			return list;
	}
	return NULL;
}

/* The requirements of the most specific scope. */
static struct json_object *find_requirements(const struct policy *p, const char *transport, const char *scope,
					     struct error *err)
{
	struct json_object *transports, *scopes, *list = NULL;
	_cleanup_free_ char *part = strdup(scope);

	if (!part) {
		error_oom(err);
		return NULL;
	}
	if (json_get_object(p->o, "", "transports", &transports, NULL) > 0 &&
	    json_get_object(transports, "", transport, &scopes, NULL) > 0) {
		while (!list && *part) {
			char *slash = strrchr(part, '/'), *at = strchr(part, '@'), *colon = strrchr(part, ':');

			list = lookup(scopes, part);
			if (at)
				*at = 0;
			else if (colon && (!slash || colon > slash) && (slash || strcmp(transport, "docker") != 0))
				*colon = 0;
			else if (slash)
				*slash = 0;
			else
				*part = 0;
		}
		if (!list && strcmp(transport, "docker") == 0)
			list = lookup_wildcard(scopes, scope);
		if (!list)
			list = lookup(scopes, "");
	}
	return list ?: lookup(p->o, "default");
}

int policy_check(const struct policy *p, const char *transport, const char *scope, struct error *err)
{
	struct json_object *list;

	if (!p->file)
		return 0;
	list = find_requirements(p, transport, scope, err);
	if (!list)
		return -EACCES;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *type = "";

		json_get_string(json_object_array_get_idx(list, i), "", "type", &type, NULL);
		if (strcmp(type, "reject") == 0)
			return error_set(err, EACCES, "'%s' is rejected by the signature policy '%s'", scope, p->file);
		if (strcmp(type, "insecureAcceptAnything") != 0)
			return error_set(
			    err, EACCES,
			    "'%s': the signature policy '%s' demands '%s', and this program cannot verify signatures: "
			    "verify and copy the image with skopeo, then load it from a place that the policy accepts",
			    scope, p->file, type);
	}
	return 0;
}
