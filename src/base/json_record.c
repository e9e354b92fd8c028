#include "base/json_record.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/strv.h"

/* --- places and messages --- */

static void place_append(struct strbuf *b, const struct json_place *at)
{
	if (!at)
		return;
	place_append(b, at->up);
	if (at->key)
		strbuf_addf(b, "%s%.128s", b->len ? "." : "", at->key);
	else if (at->up)
		strbuf_addf(b, "[%zu]", at->index);
}

int json_wrong(const struct json_place *at, const char *key, int code, const char *fmt, ...)
{
	_cleanup_strbuf_ struct strbuf place = STRBUF_INIT;
	char message[ERROR_MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	place_append(&place, at);
	if (key)
		strbuf_addf(&place, "%s%s", place.len ? "." : "", key);
	return error_set(at->err, code, "%.400s%s%s", strbuf_str(&place), place.len ? ": " : "", message);
}

static int wrong_type(const struct json_place *at, const char *expected, struct json_object *got)
{
	return json_wrong(at, NULL, EINVAL, "expected %s, got %.80s", expected,
			  got ? json_object_to_json_string_ext(got, JSON_C_TO_STRING_PLAIN) : "null");
}

static int oom(const struct json_place *at)
{
	return error_oom(at->err);
}

/* --- names --- */

const char *json_value_name(const struct json_names *names, int64_t value)
{
	for (size_t i = 0; i < names->n; i++)
		if (names->v[i].value == value)
			return names->v[i].name;
	return NULL;
}

static int unknown_name(const struct json_place *at, const struct json_names *names, const char *got)
{
	_cleanup_strbuf_ struct strbuf all = STRBUF_INIT;

	for (size_t i = 0; i < names->n; i++)
		strbuf_addf(&all, "%s%s", i ? ", " : "", names->v[i].name);
	return json_wrong(at, NULL, EINVAL, "unknown value '%.80s'; known are %s", got, strbuf_str(&all));
}

/* --- members --- */

static void *member(const struct json_field *f, const void *record)
{
	return (char *)record + f->offset;
}

static size_t *count_of(const struct json_field *f, const void *record)
{
	return (size_t *)((char *)record + f->count - 1);
}

static bool *has_of(const struct json_field *f, const void *record)
{
	return (bool *)((char *)record + f->has - 1);
}

static void store_integer(const struct json_field *f, void *record, uint64_t v)
{
	void *p = member(f, record);

	switch (f->size) {
	case 1:
		*(uint8_t *)p = (uint8_t)v;
		break;
	case 2:
		*(uint16_t *)p = (uint16_t)v;
		break;
	case 4:
		*(uint32_t *)p = (uint32_t)v;
		break;
	default:
		*(uint64_t *)p = v;
		break;
	}
}

static uint64_t load_unsigned(const struct json_field *f, const void *record)
{
	const void *p = member(f, record);

	switch (f->size) {
	case 1:
		return *(const uint8_t *)p;
	case 2:
		return *(const uint16_t *)p;
	case 4:
		return *(const uint32_t *)p;
	default:
		return *(const uint64_t *)p;
	}
}

static int64_t load_signed(const struct json_field *f, const void *record)
{
	unsigned shift = 64 - 8u * f->size;

	return (int64_t)(load_unsigned(f, record) << shift) >> shift;
}

/* --- reading --- */

static int read_object(const struct json_place *at, const struct json_record *type, struct json_object *o, void *record);

const char *json_text(const struct json_place *at, struct json_object *v)
{
	const char *s;

	if (!json_object_is_type(v, json_type_string)) {
		wrong_type(at, "a string", v);
		return NULL;
	}
	s = json_object_get_string(v);
	if (strlen(s) != (size_t)json_object_get_string_len(v)) {
		json_wrong(at, NULL, EINVAL, "the string holds a NUL byte");
		return NULL;
	}
	return s;
}

static int read_string(const struct json_place *at, struct json_object *v, char **ret)
{
	const char *s = json_text(at, v);

	if (!s)
		return -EINVAL;
	*ret = strdup(s);
	return *ret ? 0 : oom(at);
}

static int read_strings(const struct json_place *at, struct json_object *v, char ***ret)
{
	size_t n;
	char **list;

	if (!json_object_is_type(v, json_type_array))
		return wrong_type(at, "an array of strings", v);
	n = json_object_array_length(v);
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return oom(at);
	*ret = list;
	for (size_t i = 0; i < n; i++) {
		const struct json_place here = { .up = at, .index = i, .err = at->err };
		int r = read_string(&here, json_object_array_get_idx(v, i), &list[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_bool(const struct json_place *at, struct json_object *v, bool *ret)
{
	if (!json_object_is_type(v, json_type_boolean))
		return wrong_type(at, "true or false", v);
	*ret = json_object_get_boolean(v);
	return 0;
}

static int read_signed(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	int64_t natural = INT64_MAX >> (64 - 8u * f->size), n;
	int64_t min = f->min || f->max ? f->min : -natural - 1;
	int64_t max = f->max ? (int64_t)f->max : natural;

	if (!json_object_is_type(v, json_type_int))
		return wrong_type(at, "an integer", v);
	n = json_object_get_int64(v);
	if (n < min || n > max || (n == INT64_MAX && json_object_get_uint64(v) != (uint64_t)INT64_MAX))
		return json_wrong(at, NULL, ERANGE, "%s is not between %lld and %lld", json_object_get_string(v),
				  (long long)min, (long long)max);
	store_integer(f, record, (uint64_t)n);
	return 0;
}

static int read_unsigned_value(const struct json_place *at, struct json_object *v, uint64_t max, uint64_t *ret)
{
	if (!json_object_is_type(v, json_type_int))
		return wrong_type(at, "an unsigned integer", v);
	if (json_object_get_int64(v) < 0 || json_object_get_uint64(v) > max)
		return json_wrong(at, NULL, ERANGE, "%s is not between 0 and %llu", json_object_get_string(v),
				  (unsigned long long)max);
	*ret = json_object_get_uint64(v);
	return 0;
}

static int read_unsigned(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	uint64_t n;
	int r = read_unsigned_value(at, v, f->max ? f->max : UINT64_MAX >> (64 - 8u * f->size), &n);

	if (r < 0)
		return r;
	if (n < (uint64_t)f->min)
		return json_wrong(at, NULL, ERANGE, "%llu is less than %lld", (unsigned long long)n, (long long)f->min);
	store_integer(f, record, n);
	return 0;
}

static int read_unsigneds(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	uint32_t *list;
	size_t n;

	if (!json_object_is_type(v, json_type_array))
		return wrong_type(at, "an array of unsigned integers", v);
	n = json_object_array_length(v);
	if (n == 0)
		return 0;
	list = calloc(n, sizeof(*list));
	if (!list)
		return oom(at);
	*(uint32_t **)member(f, record) = list;
	for (size_t i = 0; i < n; i++) {
		const struct json_place here = { .up = at, .index = i, .err = at->err };
		uint64_t u;
		int r = read_unsigned_value(&here, json_object_array_get_idx(v, i), f->max ? f->max : UINT32_MAX, &u);

		if (r < 0)
			return r;
		list[i] = (uint32_t)u;
	}
	*count_of(f, record) = n;
	return 0;
}

static int read_name(const struct json_place *at, struct json_object *v, const struct json_names *names, uint64_t *ret)
{
	const char *s = json_text(at, v);

	if (!s)
		return -EINVAL;
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->v[i].name, s) == 0) {
			*ret = (uint64_t)names->v[i].value;
			return 0;
		}
	return unknown_name(at, names, s);
}

static int read_enum(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	uint64_t value;
	int r = read_name(at, v, f->names, &value);

	if (r == 0)
		store_integer(f, record, value);
	return r;
}

static int read_flags(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	uint64_t all = 0;

	if (!json_object_is_type(v, json_type_array))
		return wrong_type(at, "an array of strings", v);
	for (size_t i = 0, n = json_object_array_length(v); i < n; i++) {
		const struct json_place here = { .up = at, .index = i, .err = at->err };
		uint64_t one;
		int r = read_name(&here, json_object_array_get_idx(v, i), f->names, &one);

		if (r < 0)
			return r;
		all |= one;
	}
	store_integer(f, record, all);
	return 0;
}

static void init(const struct json_record *type, void *record)
{
	if (type->defaults)
		memcpy(record, type->defaults, type->size);
}

static int read_pointer(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	void *p = calloc(1, f->record->size);

	if (!p)
		return oom(at);
	*(void **)member(f, record) = p;
	init(f->record, p);
	return read_object(at, f->record, v, p);
}

static int read_records(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	size_t *count = count_of(f, record), size = f->record->size, n;
	char *list;

	if (!json_object_is_type(v, json_type_array))
		return wrong_type(at, "an array of objects", v);
	n = json_object_array_length(v);
	if (n == 0)
		return 0;
	list = calloc(n, size);
	if (!list)
		return oom(at);
	*(void **)member(f, record) = list;
	for (size_t i = 0; i < n; i++) {
		const struct json_place here = { .up = at, .index = i, .err = at->err };
		int r;

		init(f->record, list + i * size);
		*count = i + 1;
		r = read_object(&here, f->record, json_object_array_get_idx(v, i), list + i * size);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The elements of both kinds of map begin with their key. */
static int read_map(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	size_t *count = count_of(f, record), size, n;
	char *list;

	if (!json_object_is_type(v, json_type_object))
		return wrong_type(at, "an object", v);
	size = f->kind == JSON_MAP ? f->record->size : sizeof(struct json_pair);
	n = (size_t)json_object_object_length(v);
	if (n == 0)
		return 0;
	list = calloc(n, size);
	if (!list)
		return oom(at);
	*(void **)member(f, record) = list;
	json_object_object_foreach(v, key, value) {
		const struct json_place here = { .up = at, .key = key, .err = at->err };
		struct json_pair *element = (struct json_pair *)(list + *count * size);
		int r;

		if (f->kind == JSON_MAP)
			init(f->record, element);
		++*count;
		element->key = strdup(key);
		if (!element->key)
			return oom(at);
		r = f->kind == JSON_MAP ? read_object(&here, f->record, value, element) :
					  read_string(&here, value, &element->value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_value(const struct json_place *at, struct json_object *v, const struct json_field *f, void *record)
{
	switch (f->kind) {
	case JSON_STRING:
		return read_string(at, v, member(f, record));
	case JSON_STRINGS:
		return read_strings(at, v, member(f, record));
	case JSON_BOOL:
		return read_bool(at, v, member(f, record));
	case JSON_SIGNED:
		return read_signed(at, v, f, record);
	case JSON_UNSIGNED:
		return read_unsigned(at, v, f, record);
	case JSON_UNSIGNEDS:
		return read_unsigneds(at, v, f, record);
	case JSON_ENUM:
		return read_enum(at, v, f, record);
	case JSON_FLAGS:
		return read_flags(at, v, f, record);
	case JSON_RECORD:
		return read_object(at, f->record, v, member(f, record));
	case JSON_POINTER:
		return read_pointer(at, v, f, record);
	case JSON_RECORDS:
		return read_records(at, v, f, record);
	case JSON_MAP:
	case JSON_STRING_MAP:
		return read_map(at, v, f, record);
	case JSON_CODEC:
		return f->codec->read(at, v, f, record);
	}
	return -EINVAL;
}

static int read_object(const struct json_place *at, const struct json_record *type, struct json_object *o, void *record)
{
	if (!json_object_is_type(o, json_type_object))
		return wrong_type(at, "an object", o);
	for (size_t i = 0; i < type->n_fields; i++) {
		const struct json_field *f = &type->fields[i];
		const struct json_place here = { .up = at, .key = f->key, .err = at->err };
		struct json_object *v;
		int r;

		if (!json_object_object_get_ex(o, f->key, &v) || !v) {
			if (f->required)
				return json_wrong(&here, NULL, EINVAL, "missing; it must be given");
			continue;
		}
		r = read_value(&here, v, f, record);
		if (r < 0)
			return r;
		if (f->has)
			*has_of(f, record) = true;
	}
	return type->check ? type->check(at, record) : 0;
}

int json_record_read(const struct json_record *type, struct json_object *o, const char *where, void *record,
		     struct error *err)
{
	const struct json_place at = { .key = where, .err = err };

	memset(record, 0, type->size);
	init(type, record);
	return read_object(&at, type, o, record);
}

/* --- writing --- */

static int write_value(const struct json_field *f, const void *record, struct json_object **ret);

static struct json_object *new_strings(char *const *v)
{
	struct json_object *a = json_object_new_array();

	for (size_t i = 0; a && v && v[i]; i++)
		json_object_array_add(a, json_object_new_string(v[i]));
	return a;
}

static struct json_object *new_unsigneds(const uint32_t *v, size_t n)
{
	struct json_object *a = json_object_new_array();

	for (size_t i = 0; a && i < n; i++)
		json_object_array_add(a, json_object_new_uint64(v[i]));
	return a;
}

static struct json_object *new_flags(const struct json_names *names, uint64_t flags)
{
	struct json_object *a = json_object_new_array();

	for (size_t i = 0; a && i < names->n; i++)
		if ((flags & (uint64_t)names->v[i].value) == (uint64_t)names->v[i].value) {
			json_object_array_add(a, json_object_new_string(names->v[i].name));
			flags &= ~(uint64_t)names->v[i].value;
		}
	return a;
}

static struct json_object *new_enum(const struct json_field *f, const void *record)
{
	const char *name = json_value_name(f->names, load_signed(f, record));

	return name ? json_object_new_string(name) : NULL;
}

static int write_records(const struct json_field *f, const void *record, struct json_object **ret)
{
	const char *list = *(char *const *)member(f, record);
	struct json_object *a = f->kind == JSON_RECORDS ? json_object_new_array() : json_object_new_object();

	if (!a)
		return -ENOMEM;
	*ret = a;
	for (size_t i = 0, n = *count_of(f, record); i < n; i++) {
		size_t size = f->kind == JSON_STRING_MAP ? sizeof(struct json_pair) : f->record->size;
		const struct json_pair *element = (const struct json_pair *)(list + i * size);
		struct json_object *o = NULL;
		int r = 0;

		if (f->kind == JSON_STRING_MAP)
			o = json_object_new_string(element->value);
		else
			r = json_record_write(f->record, element, &o);
		if (r < 0)
			return r;
		if (!o)
			return -ENOMEM;
		if (f->kind == JSON_RECORDS)
			json_object_array_add(a, o);
		else
			json_object_object_add(a, element->key, o);
	}
	return 0;
}

static bool present(const struct json_record *type, const struct json_field *f, const void *record)
{
	static const char zeros[16];
	const void *absent = type->defaults ? member(f, type->defaults) : zeros;

	if (f->has)
		return *has_of(f, record);
	if (f->required || f->always || f->kind == JSON_CODEC || f->kind == JSON_RECORD)
		return true;
	if (f->count)
		return *count_of(f, record) > 0;
	return memcmp(member(f, record), absent, MIN((size_t)f->size, sizeof(zeros))) != 0;
}

static int write_embedded(const struct json_field *f, const void *record, struct json_object **ret)
{
	struct json_object *o = NULL;
	int r = json_record_write(f->record, member(f, record), &o);

	if (r < 0)
		return r;
	if (!f->has && !f->required && !f->always && json_object_object_length(o) == 0)
		json_object_put(o);
	else
		*ret = o;
	return 0;
}

static int write_value(const struct json_field *f, const void *record, struct json_object **ret)
{
	const void *p = member(f, record);

	switch (f->kind) {
	case JSON_STRING:
		if (!*(char *const *)p)
			return 0;
		*ret = json_object_new_string(*(char *const *)p);
		break;
	case JSON_STRINGS:
		*ret = new_strings(*(char **const *)p);
		break;
	case JSON_BOOL:
		*ret = json_object_new_boolean(*(const bool *)p);
		break;
	case JSON_SIGNED:
		*ret = json_object_new_int64(load_signed(f, record));
		break;
	case JSON_UNSIGNED:
		*ret = json_object_new_uint64(load_unsigned(f, record));
		break;
	case JSON_UNSIGNEDS:
		*ret = new_unsigneds(*(uint32_t *const *)p, *count_of(f, record));
		break;
	case JSON_ENUM:
		*ret = new_enum(f, record);
		break;
	case JSON_FLAGS:
		*ret = new_flags(f->names, load_unsigned(f, record));
		break;
	case JSON_RECORD:
		return write_embedded(f, record, ret);
	case JSON_POINTER:
		return *(void *const *)p ? json_record_write(f->record, *(void *const *)p, ret) : 0;
	case JSON_RECORDS:
	case JSON_MAP:
	case JSON_STRING_MAP:
		return write_records(f, record, ret);
	case JSON_CODEC:
		return f->codec->write(f, record, ret);
	}
	return *ret ? 0 : -ENOMEM;
}

int json_record_write(const struct json_record *type, const void *record, struct json_object **ret)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return -ENOMEM;
	for (size_t i = 0; i < type->n_fields; i++) {
		const struct json_field *f = &type->fields[i];
		struct json_object *v = NULL;
		int r = present(type, f, record) ? write_value(f, record, &v) : 0;

		if (r == 0 && v && json_object_object_add(o, f->key, v) < 0)
			r = -ENOMEM;
		if (r < 0) {
			json_object_put(v);
			json_object_put(o);
			return r;
		}
	}
	*ret = o;
	return 0;
}

/* --- freeing --- */

static void free_records(const struct json_field *f, void *record)
{
	void **list = member(f, record);
	size_t *count = count_of(f, record);

	for (size_t i = 0; i < *count; i++) {
		size_t size = f->kind == JSON_STRING_MAP ? sizeof(struct json_pair) : f->record->size;
		struct json_pair *element = (struct json_pair *)((char *)*list + i * size);

		if (f->kind != JSON_RECORDS)
			free(element->key);
		if (f->kind == JSON_STRING_MAP)
			free(element->value);
		else
			json_record_free(f->record, element);
	}
	free(*list);
	*list = NULL;
	*count = 0;
}

static void free_members(const struct json_record *type, void *record)
{
	for (size_t i = 0; i < type->n_fields; i++) {
		const struct json_field *f = &type->fields[i];
		void **p = member(f, record);

		switch (f->kind) {
		case JSON_STRING:
			free(*p);
			*p = NULL;
			break;
		case JSON_UNSIGNEDS:
			free(*p);
			*p = NULL;
			*count_of(f, record) = 0;
			break;
		case JSON_STRINGS:
			strv_free((char **)*p);
			*p = NULL;
			break;
		case JSON_RECORD:
			free_members(f->record, p);
			break;
		case JSON_POINTER:
			if (*p)
				free_members(f->record, *p);
			free(*p);
			*p = NULL;
			break;
		case JSON_RECORDS:
		case JSON_MAP:
		case JSON_STRING_MAP:
			free_records(f, record);
			break;
		case JSON_CODEC:
			if (f->codec->free)
				f->codec->free(f, record);
			break;
		case JSON_BOOL:
		case JSON_SIGNED:
		case JSON_UNSIGNED:
		case JSON_ENUM:
		case JSON_FLAGS:
			break;
		}
	}
}

void json_record_free(const struct json_record *type, void *record)
{
	free_members(type, record);
	memset(record, 0, type->size);
}
