#include "cli/image_box.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/strv.h"
#include "cli/list.h"
#include "monitor/life.h"

enum { RECORD_MAX = 4 << 20 };

int image_box_folder(const struct cli *cli, char **ret, struct error *err)
{
	return asprintf(ret, "%s/boxes", cli->store) < 0 ? error_oom(err) : 0;
}

static int open_box(const struct cli *cli, const char *id, struct image_box *box, struct error *err)
{
	int r = box_check_id(id, err);

	if (r < 0)
		return r;
	box->id = strdup(id);
	if (!box->id || asprintf(&box->path, "%s/boxes/%s", cli->store, id) < 0)
		return error_oom(err);
	box->dir_fd = open(box->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (box->dir_fd < 0)
		return errno == ENOENT ? error_set(err, ENOENT, "there is no box '%s' made from an image", id)
				       : error_sys(err, errno, "cannot open '%s'", box->path);
	return 0;
}

static int make_folder(const struct cli *cli, const char *id, struct error *err)
{
	static const char *const parts[] = { "upper", "work", "rootfs", "etc" };
	_cleanup_free_ char *folder = NULL, *path = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	r = image_box_folder(cli, &folder, err);
	if (r < 0)
		return r;
	r = mkdir_parents_at(AT_FDCWD, folder, 0700);
	if (r < 0)
		return error_sys(err, r, "cannot make '%s'", folder);
	if (asprintf(&path, "%s/%s", folder, id) < 0)
		return error_oom(err);
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? error_set(err, EEXIST,
						   "the name '%s' is in use; remove that box with: ringwall rm %s", id, id)
				       : error_sys(err, errno, "cannot make '%s'", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_sys(err, errno, "cannot open '%s'", path);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (mkdirat(fd, parts[i], 0755) < 0)
			return error_sys(err, errno, "cannot make '%s/%s'", path, parts[i]);
	return 0;
}

int image_box_new(const struct cli *cli, const char *id, struct image_box *ret, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	mode_t mask;
	int r = box_check_id(id, err);

	if (r < 0)
		return r;
	mask = umask(0);
	r = make_folder(cli, id, err);
	umask(mask);
	if (r == 0)
		r = open_box(cli, id, &box, err);
	if (r < 0 && r != -EEXIST && box.path)
		(void)image_box_remove(&box, NULL);
	if (r < 0)
		return r;
	box.record = json_object_new_object();
	if (!box.record)
		return error_oom(err);
	*ret = box;
	box = IMAGE_BOX_INIT;
	return 0;
}

int image_box_load(const struct cli *cli, const char *id, struct image_box *ret, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = open_box(cli, id, &box, err);
	if (r == 0)
		r = file_read_at(box.dir_fd, IMAGE_BOX_RECORD, RECORD_MAX, &text, &len, err);
	if (r == 0)
		r = json_parse(text, len, &box.record, err);
	else if (r == -ENOENT && box.dir_fd >= 0) /* its making was cut off: it can be removed, and nothing else */
		box.record = json_object_new_object(), r = 0;
	if (r < 0)
		return r;
	*ret = box;
	box = IMAGE_BOX_INIT;
	return 0;
}

int image_box_save(const struct image_box *box, struct error *err)
{
	const char *text = json_object_to_json_string_ext(box->record, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
									       JSON_C_TO_STRING_NOSLASHESCAPE);

	return text ? file_replace_at(box->dir_fd, IMAGE_BOX_RECORD, text, strlen(text), 0600, err) : error_oom(err);
}

int image_box_state(const struct cli *cli, const struct image_box *box, bool lock, struct box **ret, struct error *err)
{
	_cleanup_box_ struct box *state = NULL;
	int r = box_load(cli->root, box->id, lock, &state, err);

	if (r < 0)
		return r;
	/* A record that was cut off before its first save names no bundle yet, and may be ours. */
	if (state->bundle && strcmp(state->bundle, box->path) != 0)
		return error_set(err, ENOENT, "box '%s' does not exist at its wall; one made from the bundle '%s' has its name",
				 box->id, state->bundle);
	*ret = take_ptr(state);
	return 0;
}

int image_box_remove(const struct image_box *box, struct error *err)
{
	return remove_tree_at(AT_FDCWD, box->path, err);
}

void image_box_free(struct image_box *box)
{
	free(box->id);
	free(box->path);
	safe_close(box->dir_fd);
	if (box->record)
		json_object_put(box->record);
	*box = IMAGE_BOX_INIT;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int image_box_list(const struct cli *cli, char ***ret, struct error *err)
{
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_strv_ char **v = NULL;
	_cleanup_free_ char *folder = NULL;
	struct dirent *e;
	int r;

	r = image_box_folder(cli, &folder, err);
	if (r < 0)
		return r;
	dir = opendir(folder);
	if (!dir && errno != ENOENT)
		return error_sys(err, errno, "cannot read '%s'", folder);
	while (dir && (e = readdir(dir)))
		if (box_check_id(e->d_name, NULL) == 0 && strv_add(&v, e->d_name) < 0)
			return error_oom(err);
	if (v)
		qsort(v, strv_len(v), sizeof(*v), compare_names);
	*ret = take_ptr(v);
	return 0;
}

const char *image_box_string(const struct image_box *box, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(box->record, key, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : NULL;
}

bool image_box_flag(const struct image_box *box, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(box->record, key, &v) && json_object_get_boolean(v);
}

int64_t image_box_number(const struct image_box *box, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(box->record, key, &v) ? json_object_get_int64(v) : 0;
}

char **image_box_strings(const struct image_box *box, const char *key)
{
	char **v = NULL;

	return json_dup_strv(box->record, "", key, &v, NULL) < 0 ? NULL : v;
}

/* A box that its wall knows nothing of (any more). */
static int describe_idle(const struct image_box *box, struct json_object **ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	static const char *const strings[] = { "created", "isolation" };
	struct life_record life;
	bool alive = false;

	if (!o)
		return error_oom(err);
	(void)life_read(box->dir_fd, &life, &alive);
	json_object_object_add(o, "ociVersion", json_object_new_string(OCI_SPEC_VERSION));
	json_object_object_add(o, "id", json_object_new_string(box->id));
	json_object_object_add(o, "status", json_object_new_string(alive ? "restarting" : "stopped"));
	json_object_object_add(o, "pid", json_object_new_int(0));
	json_object_object_add(o, "bundle", json_object_new_string(box->path));
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		const char *s = image_box_string(box, strings[i]);

		json_object_object_add(o, strings[i], json_object_new_string(s ? s : ""));
	}
	json_object_object_add(o, "owner", json_object_new_string(""));
	*ret = take_ptr(o);
	return 0;
}

int image_box_describe(const struct cli *cli, const struct image_box *box, struct json_object **ret, struct error *err)
{
	_cleanup_box_ struct box *state = NULL;
	const char *image = image_box_string(box, "image");
	int r = image_box_state(cli, box, false, &state, err);

	if (r == -ENOENT)
		r = describe_idle(box, ret, err);
	else if (r == 0)
		r = list_describe(state, ret, err);
	if (r == 0 && image)
		json_object_object_add(*ret, "image", json_object_new_string(image));
	return r;
}
