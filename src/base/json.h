/*
 * Strict reading of hostile JSON on top of json-c: typed getters that say which key is wrong and what was expected.
 * WHERE is the path of the containing object for messages ("linux.resources", "" at the top).
 * An absent key and a JSON null are the same thing. Getters return 1 when the key was there, 0 when it was not (RET is
 * then untouched) and a negative errno with the reason when the value is of the wrong type or out of range.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Parses one whole JSON text (UTF-8 checked, depth at most 64, at most 65536 objects and arrays and 1048576 values). The caller owns *RET (json_object_put). */
int json_parse(const char *data, size_t len, struct json_object **ret, struct error *err);

int json_get_object(struct json_object *o, const char *where, const char *key, struct json_object **ret, struct error *err);
int json_get_array(struct json_object *o, const char *where, const char *key, struct json_object **ret, struct error *err);
/* The string stays owned by the JSON tree. A string with an embedded NUL is refused. */
int json_get_string(struct json_object *o, const char *where, const char *key, const char **ret, struct error *err);
/* An owned copy; an earlier value of *RET is freed. */
int json_dup_string(struct json_object *o, const char *where, const char *key, char **ret, struct error *err);
int json_dup_strv(struct json_object *o, const char *where, const char *key, char ***ret, struct error *err);
int json_get_bool(struct json_object *o, const char *where, const char *key, bool *ret, struct error *err);
int json_get_i64(struct json_object *o, const char *where, const char *key, int64_t min, int64_t max, int64_t *ret,
		 struct error *err);
int json_get_u64(struct json_object *o, const char *where, const char *key, uint64_t *ret, struct error *err);
int json_get_u32(struct json_object *o, const char *where, const char *key, uint32_t *ret, struct error *err);

static inline void cleanup_json(struct json_object **o)
{
	if (*o)
		json_object_put(*o);
}

#define _cleanup_json_ _cleanup_(cleanup_json)
