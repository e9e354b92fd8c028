#include "boundary/process/policy.h"

#include <string.h>

#include "base/parse.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "boundary/process/promises.h"

static const char *const allow_names[] = {
	"udp", "unix", "abstract-unix", "netlink", "raw", "signals", "ptrace", "inotify", "ipc", "metadata",
};

const char *process_allow_name(unsigned bit_index)
{
	return bit_index < ARRAY_SIZE(allow_names) ? allow_names[bit_index] : NULL;
}

static bool is_dot(const char *part, size_t len)
{
	return len == 0 || (len == 1 && part[0] == '.');
}

char *process_path_normalize(const char *path)
{
	struct strbuf b = STRBUF_INIT;

	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");

		if (!is_dot(p, len)) {
			strbuf_addc(&b, '/');
			strbuf_add(&b, p, len);
		}
		p += len;
		p += *p == '/';
	}
	if (b.len == 0)
		strbuf_addc(&b, '/');
	return strbuf_take(&b);
}

static bool has_dotdot(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")); p += 2)
		if ((p == path || p[-1] == '/') && (p[2] == 0 || p[2] == '/'))
			return true;
	return false;
}

static int parse_paths(const char *key, const char *value, char ***ret, struct error *err)
{
	_cleanup_strv_ char **parts = strv_split(value, ":");

	if (!parts)
		return error_set(err, EINVAL, "annotation %s%s is empty; leave it out", PROCESS_ANNOTATION_PREFIX, key);
	for (char **p = parts; *p; p++) {
		char *path;

		if (**p != '/' || has_dotdot(*p))
			return error_set(err, EINVAL, "annotation %s%s: '%s' is not an absolute path without '..'",
					 PROCESS_ANNOTATION_PREFIX, key, *p);
		path = process_path_normalize(*p);
		if (!path || strv_push(ret, path) < 0)
			return error_oom(err);
	}
	return 0;
}

static int parse_ports(const char *key, const char *value, struct process_ports *ret, struct error *err)
{
	_cleanup_strv_ char **parts = strv_split(value, ",");

	if (strcmp(value, "any") == 0) {
		ret->any = true;
		return 0;
	}
	if (!parts)
		return error_set(err, EINVAL, "annotation %s%s is empty; leave it out", PROCESS_ANNOTATION_PREFIX, key);
	ret->v = calloc(strv_len(parts), sizeof(ret->v[0]));
	if (!ret->v)
		return error_oom(err);
	for (char **p = parts; *p; p++) {
		uint32_t port;

		if (parse_u32(*p, &port) < 0 || port > UINT16_MAX)
			return error_set(err, EINVAL, "annotation %s%s: '%s' is not a port (0 to 65535) or 'any'",
					 PROCESS_ANNOTATION_PREFIX, key, *p);
		ret->v[ret->n++] = (uint16_t)port;
	}
	return 0;
}

/* A list of names to bits. */
static int parse_names(const char *key, const char *value, const char *(*name_of)(unsigned), unsigned *ret, struct error *err)
{
	_cleanup_strv_ char **parts = strv_split(value, ",");
	_cleanup_strbuf_ struct strbuf known = STRBUF_INIT;

	for (unsigned i = 0; name_of(i); i++)
		strbuf_addf(&known, "%s%s", i ? ", " : "", name_of(i));
	for (char **p = parts; p && *p; p++) {
		unsigned i = 0;

		while (name_of(i) && strcmp(name_of(i), *p) != 0)
			i++;
		if (!name_of(i))
			return error_set(err, EINVAL, "annotation %s%s: unknown name '%s'; there are: %s",
					 PROCESS_ANNOTATION_PREFIX, key, *p, strbuf_str(&known));
		*ret |= 1u << i;
	}
	return 0;
}

static int parse_system(const char *value, bool *ret, struct error *err)
{
	if (parse_bool(value, ret) < 0)
		return error_set(err, EINVAL, "annotation " PROCESS_ANNOTATION_PREFIX "system: '%s' is neither true nor false",
				 value);
	return 0;
}

static int parse_one(const char *key, const char *value, struct process_policy *p, struct error *err)
{
	if (strcmp(key, "read-only") == 0)
		return parse_paths(key, value, &p->read_only, err);
	if (strcmp(key, "read-write") == 0)
		return parse_paths(key, value, &p->read_write, err);
	if (strcmp(key, "devices") == 0)
		return parse_paths(key, value, &p->devices, err);
	if (strcmp(key, "tcp-connect") == 0)
		return parse_ports(key, value, &p->tcp_connect, err);
	if (strcmp(key, "tcp-bind") == 0)
		return parse_ports(key, value, &p->tcp_bind, err);
	if (strcmp(key, "allow") == 0)
		return parse_names(key, value, process_allow_name, &p->allow, err);
	if (strcmp(key, "system") == 0)
		return parse_system(value, &p->system, err);
	if (strcmp(key, "floor") == 0) {
		p->floor = 0;
		return parse_names(key, value, process_promise_name, &p->floor, err);
	}
	return error_set(err, EINVAL,
			 "unknown annotation %s%s; there are: read-only, read-write, devices, tcp-connect, tcp-bind, allow, floor, system",
			 PROCESS_ANNOTATION_PREFIX, key);
}

int process_policy_parse(const struct oci_spec *spec, struct process_policy *ret, struct error *err)
{
	_cleanup_(process_policy_free) struct process_policy p = { .floor = PROCESS_PROMISES_ALL, .system = true };
	size_t prefix = strlen(PROCESS_ANNOTATION_PREFIX);

	for (size_t i = 0; i < spec->n_annotations; i++) {
		const struct oci_annotation *a = &spec->annotations[i];
		int r;

		if (strncmp(a->key, PROCESS_ANNOTATION_PREFIX, prefix) != 0)
			continue;
		r = parse_one(a->key + prefix, a->value, &p, err);
		if (r < 0)
			return r;
	}
	if (p.allow & PROCESS_ALLOW_ABSTRACT_UNIX)
		p.allow |= PROCESS_ALLOW_UNIX;
	*ret = p;
	p = (struct process_policy){ 0 };
	return 0;
}

void process_policy_free(struct process_policy *policy)
{
	strv_free(policy->read_only);
	strv_free(policy->read_write);
	strv_free(policy->devices);
	free(policy->tcp_connect.v);
	free(policy->tcp_bind.v);
	*policy = (struct process_policy){ 0 };
}
