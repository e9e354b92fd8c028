/* image rm, gc, tag, check: keeping the store in order. */
#include <fcntl.h>
#include <string.h>

#include "base/strv.h"
#include "cli/image/image_cli.h"
#include "image/gc.h"
#include "image/ingest.h"
#include "image/record.h"
#include "image/reference.h"

static struct {
	bool force, all, json, quiet, dry_run, repair, ignore;
} opt;

static void print_removed(void *data, const char *kind, const char *name)
{
	if (!opt.quiet && !opt.json)
		printf("%s %s: %s\n", opt.dry_run ? "Would delete" : "Deleted", kind, name);
}

static int print_result(const struct gc_result *result, struct error *err)
{
	struct json_object *o;
	char size[32];

	if (!opt.json) {
		image_cli_size(result->bytes, size);
		if (!opt.quiet)
			printf("Reclaimed: %s in %llu blobs and %llu partial downloads, %llu layers\n", size,
			       (unsigned long long)result->blobs, (unsigned long long)result->partials,
			       (unsigned long long)result->layers);
		return 0;
	}
	o = json_object_new_object();
	json_object_object_add(o, "blobs", json_object_new_uint64(result->blobs));
	json_object_object_add(o, "layers", json_object_new_uint64(result->layers));
	json_object_object_add(o, "partials", json_object_new_uint64(result->partials));
	json_object_object_add(o, "pins", json_object_new_uint64(result->pins));
	json_object_object_add(o, "bytes", json_object_new_uint64(result->bytes));
	return image_cli_print_json(o, err);
}

static int run_gc(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_content_ struct content content = CONTENT_INIT;
	struct gc_result result = {0};
	int r;

	if ((r = image_cli_open(cli, true, &content, err)) < 0 ||
	    (r = image_cli_lock_down(&content, NULL, NULL, false, false, err)) < 0 ||
	    (r = gc_run(&content, opt.dry_run, print_removed, NULL, &result, err)) < 0)
		return r;
	return print_result(&result, err);
}

static const struct option gc_options[] = {
    {'n', "dry-run", OPTION_FLAG, &opt.dry_run, NULL, "tell what would be removed"},
    {'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "print nothing"},
    {0, "json", OPTION_FLAG, &opt.json, NULL, "print the result as JSON"},
    {0},
};

const struct command image_gc = {
    .name = "gc",
    .group = "Keeping order",
    .summary = "remove blobs and layers that no image and no box uses",
    .details = "Waits for commands that add images. What a killed command left goes too.",
    .options = gc_options,
    .run = run_gc,
};

/* The full names that TEXT means: one by name, all by ID. */
struct id_search {
	const char *id;
	char **names;
};

static int match_id(void *data, const char *name, struct json_object *record, struct error *err)
{
	struct json_object *images, *config;
	struct id_search *s = data;
	const char *digest = NULL;

	if (json_get_array(record, "", "images", &images, NULL) <= 0)
		return 0;
	for (size_t i = 0; i < json_object_array_length(images); i++) {
		struct json_object *image = json_object_array_get_idx(images, i);

		if (json_object_is_type(image, json_type_object) &&
		    json_get_object(image, "", "config", &config, NULL) > 0 &&
		    json_get_string(config, "", "digest", &digest, NULL) > 0 && strcmp(digest, s->id) == 0)
			return strv_add(&s->names, name) < 0 ? error_oom(err) : 0;
	}
	return 0;
}

/* The name TEXT has in the store though its record may be damaged; NULL when there is no such file. */
static char *raw_name(struct content *c, const char *text)
{
	static const char *const registries[] = {IMAGE_LOCAL_REGISTRY, IMAGE_DEFAULT_REGISTRY};
	_cleanup_image_ref_ struct image_ref ref = {0};

	if (image_ref_parse(text, &ref, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(registries); i++) {
		_cleanup_free_ char *name = image_ref_name(&ref, registries[i]);
		_cleanup_free_ char *path = name ? image_record_path(name) : NULL;

		if (path && faccessat(c->dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return take_ptr(name);
	}
	return NULL;
}

static int remove_record(struct content *c, const char *name, struct error *err)
{
	_cleanup_free_ char *path = image_record_path(name);

	if (!path)
		return error_oom(err);
	if (unlinkat(c->dirfd, path, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "cannot remove '%s/%s'", c->path, path);
	if (!opt.quiet)
		printf("Untagged: %s\n", name);
	return 0;
}

static int check_unused(struct content *c, const char *manifest, const char *text, struct error *err)
{
	_cleanup_free_ char *owner = NULL;
	int r = gc_pinned_by(c, manifest, &owner, err);

	if (r < 0 || !owner)
		return r;
	return error_set(err, EBUSY, "image '%s' is used by the box '%s': delete the box first, or give --force", text,
			 owner);
}

static int remove_one(struct content *c, struct image_store *store, const char *text, struct error *err)
{
	_cleanup_free_ char *raw = raw_name(c, text);
	_cleanup_image_ struct image image = {0};
	_cleanup_strv_ char **owned = NULL;
	struct id_search search = {0};
	int r;

	if (raw && opt.force)
		return remove_record(c, raw, err);
	r = image_store_resolve(store, text, NULL, &image, err);
	if (r == -ENOENT && raw) /* another platform's, or its layers are gone */
		return remove_record(c, raw, err);
	if (r < 0)
		return r == -ENOENT && opt.ignore ? 0 : r;
	if (!opt.force && (r = check_unused(c, image.digest, text, err)) < 0)
		return r;
	if (raw)
		return remove_record(c, raw, err);
	search.id = image.config_digest;
	r = image_record_each(c->dirfd, match_id, &search, err);
	owned = search.names;
	if (r < 0)
		return r;
	if (strv_len(owned) > 1 && !opt.force)
		return error_set(err, EINVAL, "image '%s' has %zu names: remove them by name, or give --force", text,
				 strv_len(owned));
	for (char **n = owned; n && *n; n++)
		if ((r = remove_record(c, *n, err)) < 0)
			return r;
	return 0;
}

static int collect_name(void *data, const char *name, struct json_object *record, struct error *err)
{
	return strv_add(data, name) < 0 ? error_oom(err) : 0;
}

static int run_rm(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	_cleanup_content_ struct content content = CONTENT_INIT;
	_cleanup_strv_ char **all = NULL;
	struct gc_result result;
	int r;

	if (!operands[0] && !opt.all)
		return error_set(err, EINVAL, "name the images to remove, or give --all");
	if ((r = image_cli_open(cli, false, &content, err)) < 0 ||
	    (r = image_cli_lock_down(&content, NULL, NULL, false, false, err)) < 0 ||
	    (r = image_store_open(cli->store, &store, err)) < 0)
		return r;
	if (opt.all && (r = image_record_each(content.dirfd, collect_name, &all, err)) < 0)
		return r;
	for (char **o = opt.all ? all : operands; o && *o; o++)
		if ((r = remove_one(&content, store, *o, err)) < 0)
			return r;
	/* what nothing uses any more goes now, unless somebody is adding: then it waits for the next gc */
	r = content_lock(&content, true, false, err);
	if (r == -EWOULDBLOCK)
		return 0;
	return r < 0 ? r : gc_run(&content, false, print_removed, NULL, &result, err);
}

static const struct option rm_options[] = {
    {'f', "force", OPTION_FLAG, &opt.force, NULL,
     "also when a box uses it (whose layers stay) or it has several names"},
    {'a', "all", OPTION_FLAG, &opt.all, NULL, "remove every image"},
    {'i', "ignore", OPTION_FLAG, &opt.ignore, NULL, "do not mind images that are not there"},
    {'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "print nothing"},
    {0},
};

const struct command image_rm = {
    .name = "rm",
    .group = "Keeping order",
    .operands = "IMAGE...",
    .summary = "remove images, and the layers that nothing else uses",
    .options = rm_options,
    .max_operands = -1,
    .run = run_rm,
};

static int run_tag(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	_cleanup_content_ struct content content = CONTENT_INIT;
	_cleanup_image_ struct image image = {0};
	_cleanup_free_ char *name = NULL;
	int r;

	if ((r = image_cli_local_name(operands[1], &name, err)) < 0 ||
	    (r = image_cli_open(cli, false, &content, err)) < 0 ||
	    (r = image_store_open(cli->store, &store, err)) < 0 ||
	    (r = image_store_resolve(store, operands[0], NULL, &image, err)) < 0)
		return r;
	return record_copy(&content, image.name, name, err);
}

const struct command image_tag = {
    .name = "tag",
    .group = "Keeping order",
    .operands = "IMAGE NAME",
    .summary = "give an image another name",
    .min_operands = 2,
    .max_operands = 2,
    .run = run_tag,
};

static void print_complaint(void *data, const char *what, const char *why)
{
	struct json_object *list = data;

	if (list) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "what", json_object_new_string(what));
		json_object_object_add(o, "why", json_object_new_string(why));
		json_object_array_add(list, o);
	} else {
		printf("%s: %s\n", what, why);
	}
}

static int run_check(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_content_ struct content content = CONTENT_INIT;
	_cleanup_json_ struct json_object *list = opt.json ? json_object_new_array() : NULL;
	int r, n;

	if ((r = image_cli_open(cli, opt.repair, &content, err)) < 0 ||
	    (r = image_cli_lock_down(&content, NULL, NULL, false, false, err)) < 0)
		return r;
	n = check_store(&content, opt.repair, print_complaint, list, err);
	if (n < 0)
		return n;
	if (list && (r = image_cli_print_json(take_ptr(list), err)) < 0)
		return r;
	if (n == 0)
		return 0;
	return error_set(err, EBADMSG, "the image store '%s' has %d damaged parts%s", content.path, n,
			 opt.repair ? "; they were removed: pull the images again"
				    : ": 'image check --repair' removes them, so that they can be pulled again");
}

static const struct option check_options[] = {
    {0, "repair", OPTION_FLAG, &opt.repair, NULL, "remove what is damaged"},
    {0, "json", OPTION_FLAG, &opt.json, NULL, "print the complaints as JSON"},
    {0},
};

const struct command image_check = {
    .name = "check",
    .group = "Keeping order",
    .summary = "verify every blob and that every image is whole",
    .options = check_options,
    .run = run_check,
};
