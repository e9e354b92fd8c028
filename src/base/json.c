#include "base/json.h"

#include <limits.h>
#include <string.h>

#include "base/strv.h"
#include "base/utf8.h"

#define JSON_MAX_DEPTH 64
/* A tree costs up to 800 bytes for two of text: these bound what a few megabytes can make us allocate to some 150 MB. */
#define JSON_MAX_CONTAINERS (1u << 16)
#define JSON_MAX_VALUES (1u << 20)

static void cleanup_tokener(struct json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}

/* Brackets and commas inside strings count too: good enough for a bound, and one pass without a parser. */
static int check_size(const char *data, size_t len, struct error *err)
{
	size_t containers = 0, values = 0;

	if (len <= JSON_MAX_CONTAINERS)
		return 0;
	for (size_t i = 0; i < len; i++) {
		containers += data[i] == '{' || data[i] == '[';
		values += data[i] == ',';
	}
	if (containers > JSON_MAX_CONTAINERS)
		return error_set(err, E2BIG, "JSON text with %zu objects and arrays; at most %u are accepted", containers,
				 JSON_MAX_CONTAINERS);
	if (values > JSON_MAX_VALUES)
		return error_set(err, E2BIG, "JSON text with %zu values; at most %u are accepted", values, JSON_MAX_VALUES);
	return 0;
}

/*
 * json-c cuts a key at a NUL, so that two keys could become one, or one that everybody else ignores one that we know.
 * Whether a string that holds the escape is a key shows after its end.
 */
static int check_keys(const char *data, size_t len, struct error *err)
{
	static const char escape[] = "\\u0000";
	const char *end = data + len, *p = data;

	while ((p = memmem(p, (size_t)(end - p), escape, sizeof(escape) - 1))) {
		const char *start = p, *q;

		while (start > data && start[-1] == '\\')
			start--;
		if ((p - start) % 2) { /* an escaped backslash, then the text "u0000" */
			p++;
			continue;
		}
		for (q = p; q < end && *q != '"'; q++)
			if (*q == '\\')
				q++;
		for (q++; q < end && strchr(" \t\r\n", *q) && *q; q++)
			;
		if (q < end && *q == ':')
			return error_set(err, EINVAL, "invalid JSON at byte %zu: a key holds a NUL byte", (size_t)(p - data));
		p = MIN(q, end); /* further ones in that string would tell the same */
	}
	return 0;
}

int json_parse(const char *data, size_t len, struct json_object **ret, struct error *err)
{
	_cleanup_(cleanup_tokener) struct json_tokener *tok = json_tokener_new_ex(JSON_MAX_DEPTH);
	_cleanup_json_ struct json_object *obj = NULL;
	enum json_tokener_error e;
	size_t end;
	int r;

	if (!tok)
		return error_oom(err);
	if (len > INT_MAX - 1)
		return error_set(err, EFBIG, "JSON text of %zu bytes is too large", len);
	r = check_size(data, len, err);
	if (r == 0)
		r = check_keys(data, len, err);
	if (r < 0)
		return r;
	end = utf8_valid(data, len); /* json-c's own check lets overlong forms and surrogates pass */
	if (end < len)
		return error_set(err, EINVAL, "invalid JSON at byte %zu: not UTF-8", end);
	/* Without the last flag json-c 0.16 refuses even white space after the end; we look at the rest ourselves. */
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	obj = json_tokener_parse_ex(tok, data, (int)len);
	e = json_tokener_get_error(tok);
	end = json_tokener_get_parse_end(tok);
	if (e == json_tokener_continue) { /* a bare number or an unfinished text: only the end tells */
		obj = json_tokener_parse_ex(tok, "", 1);
		e = json_tokener_get_error(tok);
	}
	if (e != json_tokener_success)
		return error_set(err, EINVAL, "invalid JSON at byte %zu: %s", end, json_tokener_error_desc(e));
	for (size_t i = end; i < len; i++)
		if (!data[i] || !strchr(" \t\r\n", data[i]))
			return error_set(err, EINVAL, "invalid JSON at byte %zu: text after the end", i);
	*ret = take_ptr(obj);
	return 0;
}

static int wrong(const char *where, const char *key, const char *expected, struct json_object *got, struct error *err)
{
	return error_set(err, EINVAL, "%s%s%s: expected %s, got %.80s", where, *where ? "." : "", key, expected,
			 json_object_to_json_string_ext(got, JSON_C_TO_STRING_PLAIN));
}

static int find(struct json_object *o, const char *where, const char *key, enum json_type type, const char *expected,
		struct json_object **ret, struct error *err)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !v)
		return 0;
	if (json_object_get_type(v) != type)
		return wrong(where, key, expected, v, err);
	*ret = v;
	return 1;
}

int json_get_object(struct json_object *o, const char *where, const char *key, struct json_object **ret, struct error *err)
{
	return find(o, where, key, json_type_object, "an object", ret, err);
}

int json_get_array(struct json_object *o, const char *where, const char *key, struct json_object **ret, struct error *err)
{
	return find(o, where, key, json_type_array, "an array", ret, err);
}

static int check_string(struct json_object *v, const char *where, const char *key, const char **ret, struct error *err)
{
	const char *s = json_object_get_string(v);

	if (strlen(s) != (size_t)json_object_get_string_len(v))
		return error_set(err, EINVAL, "%s%s%s: the string holds a NUL byte", where, *where ? "." : "", key);
	*ret = s;
	return 1;
}

int json_get_string(struct json_object *o, const char *where, const char *key, const char **ret, struct error *err)
{
	struct json_object *v;
	int r = find(o, where, key, json_type_string, "a string", &v, err);

	return r <= 0 ? r : check_string(v, where, key, ret, err);
}

int json_dup_string(struct json_object *o, const char *where, const char *key, char **ret, struct error *err)
{
	const char *s;
	char *copy;
	int r = json_get_string(o, where, key, &s, err);

	if (r <= 0)
		return r;
	copy = strdup(s);
	if (!copy)
		return error_oom(err);
	free(*ret);
	*ret = copy;
	return 1;
}

int json_dup_strv(struct json_object *o, const char *where, const char *key, char ***ret, struct error *err)
{
	_cleanup_strv_ char **v = NULL;
	struct json_object *a;
	size_t n;
	int r = json_get_array(o, where, key, &a, err);

	if (r <= 0)
		return r;
	n = json_object_array_length(a);
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return error_oom(err);
	for (size_t i = 0; i < n; i++) {
		struct json_object *e = json_object_array_get_idx(a, i);
		const char *s;

		if (!json_object_is_type(e, json_type_string))
			return wrong(where, key, "an array of strings", a, err);
		r = check_string(e, where, key, &s, err);
		if (r < 0)
			return r;
		v[i] = strdup(s);
		if (!v[i])
			return error_oom(err);
	}
	strv_free(*ret);
	*ret = take_ptr(v);
	return 1;
}

int json_get_bool(struct json_object *o, const char *where, const char *key, bool *ret, struct error *err)
{
	struct json_object *v;
	int r = find(o, where, key, json_type_boolean, "true or false", &v, err);

	if (r > 0)
		*ret = json_object_get_boolean(v);
	return r;
}

int json_get_i64(struct json_object *o, const char *where, const char *key, int64_t min, int64_t max, int64_t *ret,
		 struct error *err)
{
	struct json_object *v;
	int64_t n;
	int r = find(o, where, key, json_type_int, "an integer", &v, err);

	if (r <= 0)
		return r;
	n = json_object_get_int64(v);
	if (n < min || n > max || (n == INT64_MAX && json_object_get_uint64(v) != (uint64_t)INT64_MAX))
		return error_set(err, ERANGE, "%s%s%s: %s is not between %lld and %lld", where, *where ? "." : "", key,
				 json_object_get_string(v), (long long)min, (long long)max);
	*ret = n;
	return 1;
}

int json_get_u64(struct json_object *o, const char *where, const char *key, uint64_t *ret, struct error *err)
{
	struct json_object *v;
	int r = find(o, where, key, json_type_int, "an unsigned integer", &v, err);

	if (r <= 0)
		return r;
	if (json_object_get_int64(v) < 0)
		return error_set(err, ERANGE, "%s%s%s: %s is negative", where, *where ? "." : "", key,
				 json_object_get_string(v));
	*ret = json_object_get_uint64(v);
	return 1;
}

int json_get_u32(struct json_object *o, const char *where, const char *key, uint32_t *ret, struct error *err)
{
	int64_t n;
	int r = json_get_i64(o, where, key, 0, UINT32_MAX, &n, err);

	if (r > 0)
		*ret = (uint32_t)n;
	return r;
}
