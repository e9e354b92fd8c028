#include "host/cgroup_systemd_properties.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitlist.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/strbuf.h"
#include "host/cgroup_convert.h"

#define ANNOTATION_PREFIX "org.systemd.property."
#define USEC_PER_SEC 1000000
#define CPUS_MAX 8192
#define LONG_BITS (8 * sizeof(long))
#define QUOTA_GRANULE 10000 /* systemd keeps CPUQuotaPerSecUSec in whole per cents */

int cgroup_systemd_property(struct json_object *properties, const char *name, const char *type,
			    struct json_object *value, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	_cleanup_json_ struct json_object *v = value;
	struct json_object *n = json_object_new_string(name), *t = json_object_new_string(type);

	if (o && n && t && v && json_object_object_add(o, "name", n) == 0) {
		n = NULL;
		if (json_object_object_add(o, "type", t) == 0) {
			t = NULL;
			if (json_object_object_add(o, "value", json_object_get(v)) == 0 &&
			    json_object_array_add(properties, json_object_get(o)) == 0)
				return 0;
		}
	}
	json_object_put(n);
	json_object_put(t);
	return error_oom(err);
}

static int add_u64(struct json_object *properties, const char *name, uint64_t v, struct error *err)
{
	return cgroup_systemd_property(properties, name, "t", json_object_new_uint64(v), err);
}

/* -1 is systemd's infinity. */
static int add_limit(struct json_object *properties, const char *name, int64_t v, struct error *err)
{
	return add_u64(properties, name, v < 0 ? UINT64_MAX : (uint64_t)v, err);
}

/* ---- limits ---- */

/* A CPU list ("0-3,7") to the bytes of a bit mask, lowest first. */
static int add_cpu_mask(struct json_object *properties, const char *name, const char *list, struct error *err)
{
	_cleanup_json_ struct json_object *bytes = json_object_new_array();
	unsigned long bits[CPUS_MAX / LONG_BITS];
	size_t len = 0;
	int r = bitlist_parse(list, bits, CPUS_MAX, err);

	if (r < 0)
		return error_prefix(err, "linux.resources.cpu");
	for (size_t i = 0; i < CPUS_MAX; i++)
		if (bits[i / LONG_BITS] >> i % LONG_BITS & 1)
			len = i / 8 + 1;
	for (size_t i = 0; bytes && i < len; i++)
		json_object_array_add(bytes,
				      json_object_new_int((int)(bits[i / sizeof(long)] >> i % sizeof(long) * 8 & 255)));
	if (!bytes || json_object_array_length(bytes) != len)
		return error_oom(err);
	return cgroup_systemd_property(properties, name, "ay", json_object_get(bytes), err);
}

static int add_quota(struct json_object *properties, const struct cgroup_resources *r, bool v2, struct error *err)
{
	uint64_t period = r->cpu.period.set && r->cpu.period.v ? r->cpu.period.v : 100000, per_sec = UINT64_MAX;
	int64_t quota = r->cpu.quota.set ? r->cpu.quota.v : 0;
	int e = 0;

	if (v2 && r->cpu.period.set && r->cpu.period.v)
		e = add_u64(properties, "CPUQuotaPeriodUSec", r->cpu.period.v, err);
	if (e < 0 || !quota)
		return e;
	if (quota > 0) {
		if (__builtin_mul_overflow((uint64_t)quota, (uint64_t)USEC_PER_SEC, &per_sec))
			return error_set(err, ERANGE, "linux.resources.cpu.quota: %" PRId64 " is too large", quota);
		per_sec /= period;
		per_sec = (per_sec + QUOTA_GRANULE - 1) / QUOTA_GRANULE * QUOTA_GRANULE;
	}
	return add_u64(properties, "CPUQuotaPerSecUSec", per_sec, err);
}

static int add_memory(struct json_object *properties, const struct cgroup_resources *r, bool v2, struct error *err)
{
	int64_t limit = r->memory.limit.set ? r->memory.limit.v : 0, swap;
	bool zero;
	int e = 0;

	if (limit)
		e = add_limit(properties, v2 ? "MemoryMax" : "MemoryLimit", limit, err);
	if (e < 0 || !v2)
		return e;
	if (r->memory.reservation.set && r->memory.reservation.v)
		e = add_limit(properties, "MemoryLow", r->memory.reservation.v, err);
	/* On an update the limit may be the one already there: the file is then written alone. */
	if (e == 0 && r->memory.swap.set && (limit || r->memory.swap.v < 0)) {
		e = cgroup_swap_from_memsw(r->memory.swap.v, limit, &swap, &zero, err);
		if (e == 0 && (swap || zero))
			e = add_limit(properties, "MemorySwapMax", swap, err);
	}
	return e;
}

int cgroup_systemd_limits(const struct cgroup_resources *r, bool v2, struct json_object *properties, struct error *err)
{
	int e = add_memory(properties, r, v2, err);

	if (e == 0 && r->cpu.shares.set && r->cpu.shares.v)
		e = v2 ? add_u64(properties, "CPUWeight", cgroup_weight_from_shares(r->cpu.shares.v), err)
		       : add_u64(properties, "CPUShares", r->cpu.shares.v, err);
	if (e == 0)
		e = add_quota(properties, r, v2, err);
	if (e == 0 && r->pids.limit.set)
		e = add_limit(properties, "TasksMax", r->pids.limit.v > 0 ? r->pids.limit.v : -1, err);
	if (e == 0 && v2 && r->cpu.cpus && *r->cpu.cpus)
		e = add_cpu_mask(properties, "AllowedCPUs", r->cpu.cpus, err);
	if (e == 0 && v2 && r->cpu.mems && *r->cpu.mems)
		e = add_cpu_mask(properties, "AllowedMemoryNodes", r->cpu.mems, err);
	if (e == 0 && v2 && r->blkio.weight.set && r->blkio.weight.v)
		e = add_u64(properties, "IOWeight", cgroup_io_weight_from_blkio(r->blkio.weight.v), err);
	return e;
}

/* ---- annotations ---- */

static const struct {
	const char *prefix, *type;
} number_types[] = {{"byte ", "y"},   {"int16 ", "n"}, {"uint16 ", "q"}, {"int32 ", "i"},
		    {"uint32 ", "u"}, {"int64 ", "x"}, {"uint64 ", "t"}};

static const char *skip_blank(const char *p)
{
	return p + strspn(p, " \t");
}

/* One quoted string at *P, with backslash escapes of the quote and of itself. */
static struct json_object *parse_quoted(const char **p)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	const char *s = *p;
	char quote = *s++;

	for (; *s && *s != quote; s++) {
		if (*s == '\\' && s[1])
			s++;
		strbuf_addc(&b, *s);
	}
	if (*s != quote || strbuf_failed(&b))
		return NULL;
	*p = s + 1;
	return json_object_new_string(strbuf_str(&b));
}

static struct json_object *parse_strings(const char *p)
{
	_cleanup_json_ struct json_object *list = json_object_new_array();

	p = skip_blank(p + 1);
	while (list && *p != ']') {
		struct json_object *s = *p == '\'' || *p == '"' ? parse_quoted(&p) : NULL;

		if (!s)
			return NULL;
		json_object_array_add(list, s);
		p = skip_blank(p);
		if (*p == ',')
			p = skip_blank(p + 1);
		else if (*p != ']')
			return NULL;
	}
	return *skip_blank(p + 1) ? NULL : take_ptr(list);
}

static struct json_object *parse_integer(const char *s, const char *type)
{
	static const struct {
		char type;
		int64_t min;
		uint64_t max;
	} ranges[] = {{'y', 0, UINT8_MAX},	   {'n', INT16_MIN, INT16_MAX}, {'q', 0, UINT16_MAX},
		      {'i', INT32_MIN, INT32_MAX}, {'u', 0, UINT32_MAX},	{'x', INT64_MIN, INT64_MAX},
		      {'t', 0, UINT64_MAX}};
	uint64_t u;
	int64_t i;

	for (size_t k = 0; k < ARRAY_SIZE(ranges); k++) {
		if (ranges[k].type != *type)
			continue;
		if (*s == '-')
			return parse_i64(s, &i) == 0 && i >= ranges[k].min ? json_object_new_int64(i) : NULL;
		return parse_u64(s, &u) == 0 && u <= ranges[k].max ? json_object_new_uint64(u) : NULL;
	}
	return NULL;
}

/* *RET_TYPE is the D-Bus signature. NULL: not a value that we know. */
static struct json_object *parse_variant(const char *s, const char **ret_type)
{
	struct json_object *o;

	s = skip_blank(s);
	if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) {
		*ret_type = "b";
		return json_object_new_boolean(*s == 't');
	}
	if (*s == '\'' || *s == '"') {
		*ret_type = "s";
		o = parse_quoted(&s);
		if (o && *skip_blank(s)) {
			json_object_put(o);
			return NULL;
		}
		return o;
	}
	if (*s == '[') {
		*ret_type = "as";
		return parse_strings(s);
	}
	*ret_type = "i";
	for (size_t i = 0; i < ARRAY_SIZE(number_types); i++) {
		size_t len = strlen(number_types[i].prefix);

		if (strncmp(s, number_types[i].prefix, len) == 0) {
			*ret_type = number_types[i].type;
			s = skip_blank(s + len);
		}
	}
	return parse_integer(s, *ret_type);
}

static bool property_name_valid(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalpha((unsigned char)name[i]))
			return false;
	return len >= 3 && len < 64;
}

/* "TimeoutStopSec" with "uint64 90" is "TimeoutStopUSec" with 90000000. */
static int add_seconds(struct json_object *properties, const char *name, const char *value, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	const char *type;
	char usec[80];
	double seconds;
	char *end;

	o = parse_variant(value, &type);
	if (o && json_object_is_type(o, json_type_int)) {
		seconds = (double)json_object_get_int64(o);
	} else {
		seconds = strtod(value, &end);
		if (end == value || *end)
			return error_set(err, EINVAL,
					 "annotation " ANNOTATION_PREFIX "%s: '%s' is not a number of seconds", name,
					 value);
	}
	if (!(seconds >= 0) || seconds > 1e12)
		return error_set(err, ERANGE, "annotation " ANNOTATION_PREFIX "%s: '%s' seconds are out of range", name,
				 value);
	snprintf(usec, sizeof(usec), "%.*sUSec", (int)strlen(name) - 3, name);
	return add_u64(properties, usec, (uint64_t)(seconds * USEC_PER_SEC), err);
}

static bool ends_in_sec(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && strcmp(name + len - 3, "Sec") == 0 && islower((unsigned char)name[len - 4]);
}

int cgroup_systemd_annotations(const struct cgroup_annotation *v, size_t n, struct json_object *properties,
			       struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = v[i].key + strlen(ANNOTATION_PREFIX), *type;
		struct json_object *value;
		int r;

		if (strncmp(v[i].key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)) != 0)
			continue;
		if (!property_name_valid(name))
			return error_set(err, EINVAL, "annotation %s: '%s' is not the name of a systemd property",
					 v[i].key, name);
		if (ends_in_sec(name)) {
			r = add_seconds(properties, name, v[i].value, err);
		} else {
			value = parse_variant(v[i].value, &type);
			if (!value)
				return error_set(err, EINVAL,
						 "annotation %s: '%s' is not a value in GVariant's text form (true, "
						 "'text', uint64 5, ['a', 'b'])",
						 v[i].key, v[i].value);
			r = cgroup_systemd_property(properties, name, type, value, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}
