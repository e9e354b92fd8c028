/*
 * Image records: STORE/images/NAME.json.
 *
 *   {"schema": 1, "name": "docker.io/library/debian:12", "updated": "2026-01-01T00:00:00Z",
 *    "target": {"mediaType": ..., "digest": ..., "size": ...},       what the name points at: an index or a manifest
 *    "images": [{"platform": {"os", "architecture", "variant"},      one for each platform that was unpacked
 *                "manifest": descriptor, "config": descriptor, "created": ..., "size": bytes unpacked,
 *                "layers": [layer IDs, lowest first], "history": n, "execution": the config's "config" object}]}
 *
 * This header is what reader and writer share; the reader needs json-c only.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"
#include "image/store.h"

#define IMAGE_RECORD_SCHEMA 1
#define IMAGE_RECORD_MAX (16u << 20) /* bytes */
#define IMAGE_EMPTY_LAYER "empty"    /* the layer ID of images that have none */

/* "images/<name with '/' as '!'>.json". Owned; NULL when out of memory. */
char *image_record_path(const char *name) _must_check_;
/* The image name that the file name FILE of images/ stands for; NULL when it is none (or out of memory). */
char *image_record_name(const char *file) _must_check_;

/* Reads the record of NAME under the store's folder; -ENOENT when there is none. The caller owns *RET. */
int image_record_read(int store_fd, const char *name, struct json_object **ret, struct error *err);

/* Calls VISIT for every record; a negative return ends the walk. Unreadable records are warned about and passed over.
 */
typedef int (*image_record_visit)(void *data, const char *name, struct json_object *record, struct error *err);
int image_record_each(int store_fd, image_record_visit visit, void *data, struct error *err);

/* "amd64" for this host, by the names of Go that OCI uses, and the variant ("v7", "v8") or NULL. Static storage. */
const char *image_host_architecture(void);
const char *image_host_variant(void);

/* Whether the image's platform answers to WANTED ("os/arch[/variant]"; NULL: this host's). */
bool image_platform_matches(const char *os, const char *arch, const char *variant, const char *wanted);

/* Whether ID is a layer's folder name: lower-case letters, digits and dashes. */
bool image_layer_id_valid(const char *id);
