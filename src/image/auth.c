#include "image/auth.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strv.h"

#define AUTH_FILE_MAX (1 << 20)

void credentials_free(struct credentials *c)
{
	free(c->user);
	free(c->password);
	free(c->identity_token);
	*c = (struct credentials){0};
}

int credentials_parse(const char *text, struct credentials *ret, struct error *err)
{
	const char *colon = strchr(text, ':');

	if (!colon || colon == text)
		return error_set(err, EINVAL, "credentials: expected USER:PASSWORD");
	ret->user = strndup(text, (size_t)(colon - text));
	ret->password = strdup(colon + 1);
	if (!ret->user || !ret->password) {
		credentials_free(ret);
		return error_oom(err);
	}
	return 0;
}

static int parse_base64(const char *text, const char *file, struct credentials *ret, struct error *err)
{
	size_t len = strlen(text);
	_cleanup_free_ char *plain = malloc(len + 4);
	int n;

	if (!plain)
		return error_oom(err);
	n = len % 4 == 0 && len < (1 << 16)
		? EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)text, (int)len)
		: -1;
	if (n < 0)
		return error_set(err, EINVAL, "'%s': an \"auth\" is no base64", file);
	while (n > 0 && len > 0 && text[len - 1] == '=') { /* DecodeBlock counts the padding */
		n--;
		len--;
	}
	plain[n] = 0;
	if (credentials_parse(plain, ret, NULL) < 0)
		return error_set(err, EINVAL, "'%s': an \"auth\" does not hold USER:PASSWORD", file);
	return 0;
}

/* 1 when O has credentials. */
static int parse_entry(struct json_object *o, const char *file, struct credentials *ret, struct error *err)
{
	_cleanup_credentials_ struct credentials c = {0};
	const char *auth = NULL;
	int r;

	if ((r = json_dup_string(o, "auths", "identitytoken", &c.identity_token, err)) < 0 ||
	    (r = json_get_string(o, "auths", "auth", &auth, err)) < 0)
		return r;
	if (auth && *auth) {
		if ((r = parse_base64(auth, file, &c, err)) < 0)
			return r;
	} else if ((r = json_dup_string(o, "auths", "username", &c.user, err)) < 0 ||
		   (r = json_dup_string(o, "auths", "password", &c.password, err)) < 0) {
		return r;
	}
	if (!c.user && !c.identity_token)
		return 0;
	*ret = c;
	c = (struct credentials){0};
	return 1;
}

static void warn_of_helpers(struct json_object *o, const char *file, const char *registry)
{
	struct json_object *helpers;
	const char *helper = NULL;

	if (json_get_object(o, "", "credHelpers", &helpers, NULL) > 0)
		json_get_string(helpers, "", registry, &helper, NULL);
	if (!helper)
		json_get_string(o, "", "credsStore", &helper, NULL);
	if (helper)
		log_warn(
		    "'%s' names the credential helper '%s' for '%s', which is not run here: give --creds or an \"auth\"",
		    file, helper, registry);
}

/* 1 when the file has credentials for KEY or one of its parents. */
static int search_file(const char *file, char *const *keys, const char *registry, struct credentials *ret,
		       struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct json_object *auths, *entry;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if ((r = file_read_at(AT_FDCWD, file, AUTH_FILE_MAX, &text, &len, err)) < 0)
		return r;
	if ((r = json_parse(text, len, &o, err)) >= 0 && !json_object_is_type(o, json_type_object))
		r = error_set(err, EINVAL, "expected an object");
	if (r >= 0)
		r = json_get_object(o, "", "auths", &auths, err);
	if (r < 0) {
		error_prefix(err, "'%s'", file);
		return r;
	}
	for (; r > 0 && *keys; keys++) {
		int found = json_get_object(auths, "auths", *keys, &entry, NULL);

		if (found > 0 && (found = parse_entry(entry, file, ret, err)) != 0)
			return found;
	}
	warn_of_helpers(o, file, registry);
	return 0;
}

/* "host/a/b", "host/a", "host", and the forms older tools wrote. */
static int make_keys(const char *registry, const char *repository, char ***ret, struct error *err)
{
	_cleanup_free_ char *key = NULL;
	bool hub = strcmp(registry, "docker.io") == 0;
	int r;

	if (asprintf(&key, "%s/%s", registry, repository) < 0)
		return error_oom(err);
	for (char *slash = key + strlen(key); slash; slash = strrchr(key, '/')) {
		*slash = 0;
		if (strv_add(ret, key) < 0)
			return error_oom(err);
	}
	r = strv_addf(ret, "https://%s", registry);
	if (r >= 0)
		r = strv_addf(ret, "https://%s/v1/", registry);
	if (r >= 0 && hub)
		r = strv_add(ret, "https://index.docker.io/v1/");
	if (r >= 0 && hub)
		r = strv_add(ret, "index.docker.io");
	return r < 0 ? error_oom(err) : 0;
}

static int add_file(char ***files, const char *variable, const char *suffix)
{
	const char *base = getenv(variable);

	return base && *base ? strv_addf(files, "%s%s", base, suffix) : 0;
}

int credentials_find(const char *auth_file, const char *registry, const char *repository, struct credentials *ret,
		     struct error *err)
{
	const char *named = auth_file ?: getenv("REGISTRY_AUTH_FILE");
	_cleanup_strv_ char **files = NULL, **keys = NULL;
	int r = make_keys(registry, repository, &keys, err);

	if (r < 0)
		return r;
	if (named && *named) {
		r = search_file(named, keys, registry, ret, err);
		return r < 0 ? r : 0;
	}
	if (add_file(&files, "XDG_RUNTIME_DIR", "/containers/auth.json") < 0 ||
	    add_file(&files, "XDG_CONFIG_HOME", "/containers/auth.json") < 0 ||
	    add_file(&files, "HOME", "/.config/containers/auth.json") < 0 ||
	    add_file(&files, "DOCKER_CONFIG", "/config.json") < 0 ||
	    add_file(&files, "HOME", "/.docker/config.json") < 0)
		return error_oom(err);
	for (char **f = files; f && *f; f++) {
		struct error why = ERROR_INIT;

		r = search_file(*f, keys, registry, ret, &why);
		if (r > 0)
			return 0;
		if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -EACCES) {
			if (err)
				*err = why;
			return r;
		}
	}
	return 0;
}
