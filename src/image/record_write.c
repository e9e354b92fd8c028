/* The writing half of records (record.h has the format). */
#include "image/ingest.h"

#include <string.h>
#include <time.h>

#include "base/fdio.h"
#include "base/strv.h"
#include "image/record.h"

static void add_string(struct json_object *o, const char *key, const char *value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_string(value));
}

static struct json_object *image_to_json(const struct record_image *image)
{
	struct json_object *o = json_object_new_object(), *platform = json_object_new_object();
	struct json_object *layers = json_object_new_array();

	if (!o || !platform || !layers)
		return NULL;
	add_string(platform, "os", image->config->os);
	add_string(platform, "architecture", image->config->architecture);
	add_string(platform, "variant", image->config->variant);
	json_object_object_add(o, "platform", platform);
	json_object_object_add(o, "manifest", descriptor_to_json(image->manifest));
	json_object_object_add(o, "config", descriptor_to_json(&image->parsed->config));
	add_string(o, "created", image->config->created);
	json_object_object_add(o, "size", json_object_new_uint64(image->bytes));
	for (char *const *l = image->layers; l && *l; l++)
		json_object_array_add(layers, json_object_new_string(*l));
	json_object_object_add(o, "layers", layers);
	json_object_object_add(o, "history", json_object_new_uint64(image->config->history));
	if (image->config->execution)
		json_object_object_add(o, "execution", json_object_get(image->config->execution));
	return o;
}

static int put_record(struct content *c, const char *name, struct json_object *o, struct error *err)
{
	_cleanup_free_ char *path = image_record_path(name);
	char now[32];
	time_t t = time(NULL);
	struct tm tm;
	const char *text;
	size_t len;

	if (!path)
		return error_oom(err);
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "updated", json_object_new_string(now));
	text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (!text)
		return error_oom(err);
	if (len > IMAGE_RECORD_MAX)
		return error_set(err, EFBIG, "the image's record of %zu bytes is larger than %u", len,
				 IMAGE_RECORD_MAX);
	return file_replace_at(c->dirfd, path, text, len, 0600, err);
}

int record_write(struct content *c, const char *name, const struct descriptor *target,
		 const struct record_image *images, size_t n, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	struct json_object *array = json_object_new_array();

	if (!o || !array)
		return error_oom(err);
	json_object_object_add(o, "schema", json_object_new_int(IMAGE_RECORD_SCHEMA));
	json_object_object_add(o, "target", descriptor_to_json(target));
	json_object_object_add(o, "images", array);
	for (size_t i = 0; i < n; i++) {
		struct json_object *image = image_to_json(&images[i]);

		if (!image)
			return error_oom(err);
		json_object_array_add(array, image);
	}
	return put_record(c, name, o, err);
}

int record_copy(struct content *c, const char *old_name, const char *new_name, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	int r = image_record_read(c->dirfd, old_name, &o, err);

	return r < 0 ? r : put_record(c, new_name, o, err);
}
