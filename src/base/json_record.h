/*
 * Records: C structures that mirror JSON objects. A table of fields says which key becomes which member; from that one
 * table a record is read (hostile input, every error names the key, the value and what was expected), written back and
 * freed. A record starts zeroed: NULL, 0 and a false "has" flag mean that the key is absent. Unknown keys are ignored.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Where in the document we are, for messages: "linux.namespaces[2]". Lives on the stack of the reader. */
struct json_place {
	const struct json_place *up;
	const char *key; /* NULL: the element INDEX of the array above */
	size_t index;
	struct error *err;
};

struct json_name { /* one value of an enumeration, or one flag */
	const char *name;
	int64_t value;
};

struct json_names {
	const struct json_name *v;
	size_t n;
};

struct json_field;

/* A member that no kind describes. read: V is not null. write: *RET stays NULL to leave the key out. */
struct json_codec {
	int (*read)(const struct json_place *at, struct json_object *v, const struct json_field *field, void *record);
	int (*write)(const struct json_field *field, const void *record, struct json_object **ret);
	void (*free)(const struct json_field *field, void *record); /* or NULL */
};

enum json_kind {
	JSON_STRING,     /* char *, owned; no NUL byte inside */
	JSON_STRINGS,    /* char **, owned, NULL-terminated */
	JSON_BOOL,       /* bool */
	JSON_SIGNED,     /* an int of any size, from `min` to `max` (0: the largest); both 0: whatever its type holds */
	JSON_UNSIGNED,   /* likewise */
	JSON_UNSIGNEDS,  /* uint32_t * and a size_t count; `max` for each */
	JSON_ENUM,       /* a string of `names`, to an integer of any size */
	JSON_FLAGS,      /* an array of strings of `names`, OR-ed */
	JSON_RECORD,     /* an object, to a structure in the record, or to the record itself (offset 0, its own fields) */
	JSON_POINTER,    /* an object, to an owned allocated structure */
	JSON_RECORDS,    /* an array of objects: pointer and size_t count, owned */
	JSON_MAP,        /* an object of objects: the same; an element's first member is its key, a char * */
	JSON_STRING_MAP, /* an object of strings: pointer and size_t count of struct json_pair, or its like */
	JSON_CODEC,
};

struct json_pair {
	char *key, *value;
};

struct json_field {
	const char *key;
	enum json_kind kind;
	uint16_t offset, size; /* of the member, JSON_AT() */
	uint16_t has, count;   /* 1 + offset of the bool and size_t that go with it, JSON_HAS() and JSON_COUNT(); 0: none */
	bool required;         /* absent: an error. Always written */
	bool always;           /* written even when absent would mean the same */
	int64_t min;
	uint64_t max;
	union {
		const struct json_record *record;
		const struct json_names *names;
		const struct json_codec *codec;
	};
};

struct json_record {
	size_t size;
	const struct json_field *fields;
	size_t n_fields;
	const void *defaults; /* what a record holds before it is read; NULL: zeros */
	/* Looks at the values together once they are all read; may change them. */
	int (*check)(const struct json_place *at, void *record);
};

#define JSON_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define JSON_HAS(type, member) .has = 1 + offsetof(type, member)
#define JSON_COUNT(type, member) .count = 1 + offsetof(type, member)
#define JSON_FIELDS(table) .fields = (table), .n_fields = sizeof(table) / sizeof((table)[0])
#define JSON_NAMES(table) { (table), sizeof(table) / sizeof((table)[0]) }

/*
 * Reads O into RECORD, which holds nothing yet. On failure what was read so far is in RECORD: free it either way with
 * json_record_free(). WHERE names the object for messages; NULL at the top of a document.
 */
int json_record_read(const struct json_record *type, struct json_object *o, const char *where, void *record,
		     struct error *err);
/* A new object from RECORD; absent members are left out. */
int json_record_write(const struct json_record *type, const void *record, struct json_object **ret);
/* Frees what RECORD holds, not RECORD itself, and zeroes it. */
void json_record_free(const struct json_record *type, void *record);

/* Reports that the member KEY (NULL: the object itself) of the object AT is wrong: "<place>.<key>: <message>". */
int json_wrong(const struct json_place *at, const char *key, int code, const char *fmt, ...) _printf_(4, 5);

/* The first name of VALUE, or NULL. */
const char *json_value_name(const struct json_names *names, int64_t value);

/* A JSON string without NUL bytes, for codecs; NULL: not one, and the reason is in AT's error. Owned by V. */
const char *json_text(const struct json_place *at, struct json_object *v);
