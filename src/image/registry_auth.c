/* Tokens (distribution: Token Authentication Specification) and basic authentication. */
#include "image/registry_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "base/strv.h"

#define TOKEN_ANSWER_MAX (1 << 20)

struct http_auth registry_auth(const struct registry *r)
{
	if (r->token)
		return (struct http_auth){.bearer = r->token};
	if (r->basic)
		return (struct http_auth){.user = r->credentials.user, .password = r->credentials.password};
	return (struct http_auth){0};
}

/* The owned value of PARAMETER in a challenge: scheme key="value",key=value. NULL when it is not there. */
static char *challenge_value(const char *challenge, const char *parameter)
{
	const char *p = challenge + strcspn(challenge, " ");
	size_t n = strlen(parameter);

	while (*p) {
		const char *name, *value;
		size_t name_len, len;

		p += strspn(p, " ,\t");
		name = p;
		name_len = strcspn(p, "=, ");
		p += name_len;
		if (*p != '=') {
			if (!name_len && !*p)
				break;
			continue;
		}
		p++;
		if (*p == '"') {
			value = ++p;
			len = strcspn(p, "\"");
			p += len + (p[len] == '"');
		} else {
			value = p;
			len = strcspn(p, ", ");
			p += len;
		}
		if (name_len == n && strncasecmp(name, parameter, n) == 0)
			return strndup(value, len);
	}
	return NULL;
}

static int add_query(struct strbuf *url, struct http_client *c, const char *key, const char *value)
{
	char *escaped = curl_easy_escape(c->easy, value, 0);

	if (!escaped)
		return -ENOMEM;
	strbuf_addf(url, "%c%s=%s", strchr(strbuf_str(url), '?') ? '&' : '?', key, escaped);
	curl_free(escaped);
	return 0;
}

static int read_token(const struct http_response *answer, const char *realm, char **ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	const char *token = NULL;
	int r = json_parse(answer->body, answer->len, &o, err);

	if (r >= 0 && !json_object_is_type(o, json_type_object))
		r = error_set(err, EINVAL, "expected an object");
	if (r >= 0 && (r = json_get_string(o, "", "token", &token, err)) == 0)
		r = json_get_string(o, "", "access_token", &token, err);
	if (r >= 0 && (!token || !*token || strpbrk(token, "\r\n")))
		r = error_set(err, EINVAL, "there is no usable token in it");
	if (r < 0) {
		error_prefix(err, "the answer of the token server '%s'", realm);
		return r;
	}
	*ret = strdup(token);
	return *ret ? 0 : error_oom(err);
}

/* POST with a refresh token (OAuth 2), for those who logged in with an identity token. */
static int ask_with_refresh_token(struct registry *r, const char *realm, const char *service, const char *scope,
				  struct http_response *ret, struct error *err)
{
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
	_cleanup_strbuf_ struct strbuf form = STRBUF_INIT;
	struct http_request request = {
	    .method = "POST", .url = realm, .headers = headers, .max_answer = TOKEN_ANSWER_MAX};

	strbuf_adds(&form, "?grant_type=refresh_token&client_id=ringwall");
	if (add_query(&form, &r->client, "service", service) < 0 || add_query(&form, &r->client, "scope", scope) < 0 ||
	    add_query(&form, &r->client, "refresh_token", r->credentials.identity_token) < 0 || strbuf_failed(&form))
		return error_oom(err);
	request.body = form.data + 1;
	request.body_len = form.len - 1;
	return http_perform(&r->client, &request, ret, err);
}

static int ask_with_password(struct registry *r, const char *realm, const char *service, const char *scope,
			     struct http_response *ret, struct error *err)
{
	struct http_auth auth = {.user = r->credentials.user, .password = r->credentials.password};
	_cleanup_strbuf_ struct strbuf url = STRBUF_INIT;
	struct http_request request = {.method = "GET", .auth = &auth, .max_answer = TOKEN_ANSWER_MAX};

	strbuf_adds(&url, realm);
	if ((*service && add_query(&url, &r->client, "service", service) < 0) ||
	    add_query(&url, &r->client, "scope", scope) < 0 ||
	    (r->credentials.user && add_query(&url, &r->client, "account", r->credentials.user) < 0) ||
	    strbuf_failed(&url))
		return error_oom(err);
	request.url = strbuf_str(&url);
	return http_perform(&r->client, &request, ret, err);
}

static int authenticate_bearer(struct registry *r, const char *challenge, struct error *err)
{
	_cleanup_free_ char *realm = challenge_value(challenge, "realm"),
			    *service = challenge_value(challenge, "service");
	_cleanup_http_response_ struct http_response answer = {0};
	_cleanup_free_ char *scope = NULL, *token = NULL;
	int code;

	if (!realm)
		return error_set(err, EPROTO, "'%s': the registry names no token server", r->name);
	if (strncmp(realm, "https://", 8) != 0 && !(r->client.plain && strncmp(realm, "http://", 7) == 0))
		return error_set(err, EPROTO, "'%s': the token server '%s' does not use TLS: no password is sent there",
				 r->name, realm);
	if (asprintf(&scope, "repository:%s:%s", r->repository, r->options.push ? "pull,push" : "pull") < 0)
		return error_oom(err);
	code = r->credentials.identity_token ? ask_with_refresh_token(r, realm, service ?: "", scope, &answer, err)
					     : ask_with_password(r, realm, service ?: "", scope, &answer, err);
	if (code < 0) {
		error_prefix(err, "token server '%s'", realm);
		return code;
	}
	if (answer.status != 200)
		return http_status_error(answer.status, answer.body, r->name, err);
	code = read_token(&answer, realm, &token, err);
	if (code < 0)
		return code;
	free(r->token);
	r->token = take_ptr(token);
	return 0;
}

int registry_authenticate(struct registry *r, char *const *challenges, struct error *err)
{
	bool basic = false;

	for (char *const *c = challenges; c && *c; c++) {
		if (strncasecmp(*c, "Bearer ", 7) == 0)
			return authenticate_bearer(r, *c, err);
		basic |= strncasecmp(*c, "Basic", 5) == 0;
	}
	if (!basic)
		return error_set(err, EPROTO, "'%s': the registry wants an authentication that is not known here",
				 r->name);
	if (!r->credentials.user || r->basic) /* none, or they were refused already */
		return http_status_error(401, NULL, r->name, err);
	if (!r->client.plain || r->options.http.insecure || strncmp(r->name, "localhost", 9) == 0 ||
	    strncmp(r->name, "127.", 4) == 0 || strncmp(r->name, "[::1]", 5) == 0) {
		r->basic = true;
		return 0;
	}
	return error_set(err, EPROTO, "'%s': the registry wants a password without TLS", r->name);
}

int registry_perform(struct registry *r, const struct http_request *request, struct http_response *ret,
		     struct error *err)
{
	_cleanup_http_response_ struct http_response answer = {0};
	struct http_request actual = *request;
	_cleanup_free_ char *url = NULL;
	struct http_auth auth;
	int code;

	if (*request->url == '/') {
		if (asprintf(&url, "%s%s", r->base, request->url) < 0)
			return error_oom(err);
		actual.url = url;
	}
	auth = registry_auth(r);
	actual.auth = &auth;
	code = http_perform(&r->client, &actual, &answer, err);
	if (code < 0)
		return code;
	if (answer.status == 401) {
		if ((code = registry_authenticate(r, answer.challenges, err)) < 0)
			return code;
		http_response_free(&answer);
		auth = registry_auth(r);
		if ((code = http_perform(&r->client, &actual, &answer, err)) < 0)
			return code;
	}
	*ret = answer;
	answer = (struct http_response){0};
	return 0;
}
