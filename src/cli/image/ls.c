/* image ls, image inspect: what is there. */
#include <string.h>

#include "base/strv.h"
#include "cli/image/image_cli.h"
#include "image/manifest.h"
#include "image/record.h"
#include "image/reference.h"

static struct {
	bool json, quiet, digests, no_trunc;
} opt;

static const struct option ls_options[] = {
    {'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "print image IDs only"},
    {0, "json", OPTION_FLAG, &opt.json, NULL, "print JSON"},
    {0, "digests", OPTION_FLAG, &opt.digests, NULL, "print the digests of the manifests too"},
    {0, "no-trunc", OPTION_FLAG, &opt.no_trunc, NULL, "print IDs in full"},
    {'a', "all", OPTION_FLAG, &(bool){false}, NULL, "", .hidden = true},
    {0},
};

/* One line of the list; strings borrowed from the record. */
struct row {
	const char *name, *id, *digest, *created, *os, *architecture, *variant;
	uint64_t size;
};

static void read_row(const char *name, struct json_object *image, struct row *ret)
{
	struct json_object *o;

	*ret = (struct row){.name = name};
	if (json_get_object(image, "", "config", &o, NULL) > 0)
		json_get_string(o, "", "digest", &ret->id, NULL);
	if (json_get_object(image, "", "manifest", &o, NULL) > 0)
		json_get_string(o, "", "digest", &ret->digest, NULL);
	json_get_string(image, "", "created", &ret->created, NULL);
	json_get_u64(image, "", "size", &ret->size, NULL);
	if (json_get_object(image, "", "platform", &o, NULL) > 0) {
		json_get_string(o, "", "os", &ret->os, NULL);
		json_get_string(o, "", "architecture", &ret->architecture, NULL);
		json_get_string(o, "", "variant", &ret->variant, NULL);
	}
}

struct listing {
	char *const *patterns;
	struct json_object *json; /* or NULL */
	char **lines;		  /* text, to be sorted */
};

static const char *short_id(const char *digest, char buf[16])
{
	const char *colon = digest ? strchr(digest, ':') : NULL;

	if (!colon)
		return "<none>";
	snprintf(buf, 16, "%.12s", colon + 1);
	return buf;
}

static int add_text(struct listing *l, const struct row *row)
{
	char id[16], size[32], age[32];
	/* "repository:tag" or "repository@digest" */
	const char *split = strchr(row->name, '@') ?: strrchr(row->name, ':');
	int repository = split ? (int)(split - row->name) : (int)strlen(row->name);
	const char *tag = split && *split == ':' ? split + 1 : "<none>";

	if (opt.quiet)
		return strv_addf(&l->lines, "%s", opt.no_trunc ? row->id : short_id(row->id, id));
	image_cli_size(row->size, size);
	image_cli_age(row->created, age);
	if (opt.digests)
		return strv_addf(&l->lines, "%-40.*s %-12s %-71s %-12s %-14s %s", repository, row->name, tag,
				 row->digest, opt.no_trunc ? row->id : short_id(row->id, id), age, size);
	return strv_addf(&l->lines, "%-40.*s %-12s %-12s %-14s %s", repository, row->name, tag,
			 opt.no_trunc ? row->id : short_id(row->id, id), age, size);
}

static void add_string(struct json_object *o, const char *key, const char *value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_string(value));
}

static void add_json(struct listing *l, const struct row *row)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "name", row->name);
	add_string(o, "id", row->id);
	add_string(o, "digest", row->digest);
	add_string(o, "created", row->created);
	add_string(o, "os", row->os);
	add_string(o, "architecture", row->architecture);
	add_string(o, "variant", row->variant);
	json_object_object_add(o, "size", json_object_new_uint64(row->size));
	json_object_array_add(l->json, o);
}

/* Whether the user asked for NAME: without patterns all, else by part of the repository or by the full name. */
static bool is_wanted(const struct listing *l, const char *name)
{
	if (!l->patterns[0])
		return true;
	for (char *const *p = l->patterns; *p; p++)
		if (strstr(name, *p))
			return true;
	return false;
}

static int visit(void *data, const char *name, struct json_object *record, struct error *err)
{
	struct json_object *images;
	struct listing *l = data;

	if (!is_wanted(l, name) || json_get_array(record, "", "images", &images, NULL) <= 0)
		return 0;
	for (size_t i = 0; i < json_object_array_length(images); i++) {
		struct json_object *image = json_object_array_get_idx(images, i);
		struct row row;

		if (!json_object_is_type(image, json_type_object))
			continue;
		read_row(name, image, &row);
		if (l->json)
			add_json(l, &row);
		else if (add_text(l, &row) < 0)
			return error_oom(err);
	}
	return 0;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_lines(char **lines)
{
	size_t n = strv_len(lines);

	if (n)
		qsort(lines, n, sizeof(*lines), compare_lines);
	if (!opt.quiet && opt.digests)
		printf("%-40s %-12s %-71s %-12s %-14s %s\n", "REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED",
		       "SIZE");
	else if (!opt.quiet)
		printf("%-40s %-12s %-12s %-14s %s\n", "REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE");
	for (size_t i = 0; i < n; i++)
		if (!opt.quiet || i == 0 || strcmp(lines[i], lines[i - 1]) != 0)
			puts(lines[i]);
}

static int run_ls(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	struct listing l = {.patterns = operands, .json = opt.json ? json_object_new_array() : NULL};
	int r = image_store_open(cli->store, &store, err);

	if (r >= 0)
		r = image_record_each(image_store_dirfd(store), visit, &l, err);
	else if (r == -ENOENT)
		r = 0; /* no store, no images */
	if (r >= 0 && opt.json) {
		r = image_cli_print_json(l.json, err);
		l.json = NULL;
	} else if (r >= 0) {
		print_lines(l.lines);
	}
	json_object_put(l.json);
	strv_free(l.lines);
	return r;
}

const struct command image_ls = {
    .name = "ls",
    .group = "Looking at images",
    .operands = "[NAME...]",
    .summary = "list the images",
    .options = ls_options,
    .max_operands = -1,
    .run = run_ls,
};

static const char *inspect_platform;

static const struct option inspect_options[] = {
    {0, "platform", OPTION_STRING, &inspect_platform, "OS/ARCH[/VARIANT]", "choose this variant of the image"},
    {0, "json", OPTION_FLAG, &(bool){false}, NULL, "", .hidden = true},
    {0},
};

/* Every name that means the image ID. */
struct name_search {
	const char *id;
	struct json_object *tags, *digests;
};

static int match_name(void *data, const char *name, struct json_object *record, struct error *err)
{
	struct json_object *images, *target;
	struct name_search *s = data;
	const char *digest = NULL;

	if (json_get_array(record, "", "images", &images, NULL) <= 0)
		return 0;
	if (json_get_object(record, "", "target", &target, NULL) > 0)
		json_get_string(target, "", "digest", &digest, NULL);
	for (size_t i = 0; i < json_object_array_length(images); i++) {
		_cleanup_free_ char *with_digest = NULL;
		struct row row;

		read_row(name, json_object_array_get_idx(images, i), &row);
		if (!row.id || strcmp(row.id, s->id) != 0)
			continue;
		if (!strchr(name, '@'))
			json_object_array_add(s->tags, json_object_new_string(name));
		if (digest && asprintf(&with_digest, "%.*s@%s", (int)((strchr(name, '@') ?: strrchr(name, ':')) - name),
				       name, digest) > 0)
			json_object_array_add(s->digests, json_object_new_string(with_digest));
		break;
	}
	return 0;
}

static void take_key(struct json_object *to, const char *to_key, struct json_object *from, const char *from_key)
{
	struct json_object *v;

	if (json_object_object_get_ex(from, from_key, &v) && v)
		json_object_object_add(to, to_key, json_object_get(v));
}

static int inspect_one(struct image_store *store, struct content *content, const char *text, struct json_object *list,
		       struct error *err)
{
	_cleanup_image_ struct image image = {0};
	_cleanup_json_ struct json_object *config = NULL;
	struct json_object *o, *rootfs, *out, *layers, *v;
	_cleanup_free_ char *data = NULL;
	struct name_search names;
	size_t len;
	int r;

	if ((r = image_store_resolve(store, text, inspect_platform, &image, err)) < 0 ||
	    (r = content_blob_read(content, image.config_digest, IMAGE_CONFIG_MAX, &data, &len, err)) < 0 ||
	    (r = json_parse(data, len, &config, err)) < 0)
		return r;
	o = json_object_new_object();
	json_object_array_add(list, o);
	names = (struct name_search){image.config_digest, json_object_new_array(), json_object_new_array()};
	add_string(o, "Id", image.config_digest);
	json_object_object_add(o, "RepoTags", names.tags);
	json_object_object_add(o, "RepoDigests", names.digests);
	add_string(o, "Digest", image.digest);
	r = image_record_each(image_store_dirfd(store), match_name, &names, err);
	if (r < 0)
		return r;
	take_key(o, "Created", config, "created");
	take_key(o, "Author", config, "author");
	add_string(o, "Os", image.os);
	add_string(o, "Architecture", image.architecture);
	add_string(o, "Variant", image.variant);
	take_key(o, "Config", config, "config");
	if (json_object_object_get_ex(config, "rootfs", &rootfs) && json_object_object_get_ex(rootfs, "diff_ids", &v)) {
		out = json_object_new_object();
		json_object_object_add(out, "Type", json_object_new_string("layers"));
		json_object_object_add(out, "Layers", json_object_get(v));
		json_object_object_add(o, "RootFS", out);
	}
	take_key(o, "History", config, "history");
	layers = json_object_new_array();
	for (char **l = image.layers; *l; l++)
		json_object_array_add(layers, json_object_new_string(*l));
	json_object_object_add(o, "LayerDirs", layers);
	return 0;
}

static int run_inspect(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	_cleanup_content_ struct content content = CONTENT_INIT;
	_cleanup_json_ struct json_object *list = json_object_new_array();
	int r;

	if (!list)
		return error_oom(err);
	if ((r = image_store_open(cli->store, &store, err)) < 0 || (r = content_open(cli->store, &content, err)) < 0)
		return r;
	for (char **o = operands; *o; o++) {
		r = inspect_one(store, &content, *o, list, err);
		if (r < 0)
			return r;
	}
	return image_cli_print_json(take_ptr(list), err);
}

const struct command image_inspect = {
    .name = "inspect",
    .group = "Looking at images",
    .operands = "IMAGE...",
    .summary = "print all there is to know about images, as JSON",
    .options = inspect_options,
    .min_operands = 1,
    .max_operands = -1,
    .run = run_inspect,
};
