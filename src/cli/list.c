/* `list`: a table or JSON in runc's form, which `state` shares. */
#include "cli/list.h"

#include <pwd.h>
#include <string.h>

#include "base/json.h"
#include "base/strv.h"
#include "cli/image_box.h"

static struct {
	const char *format;
	bool quiet;
} opt;

static const struct option options[] = {
	{ 'f', "format", OPTION_STRING, &opt.format, "table|json", "how to print the list", .fallback = "table" },
	{ 'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "print the ids only" },
	{ 0 },
};

/* The user's name from /etc/passwd, without loading the name service's libraries; "#1000" when it has none. */
static void owner_name(uid_t uid, char *buf, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen("/etc/passwd", "re");
	struct passwd *pw;

	snprintf(buf, size, "#%u", (unsigned)uid);
	while (f && (pw = fgetpwent(f)))
		if (pw->pw_uid == uid) {
			snprintf(buf, size, "%s", pw->pw_name);
			return;
		}
}

int list_describe(const struct box *box, struct json_object **ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	char owner[64];
	int r;

	r = box_state_json(box, boundary_status(box), &o, err);
	if (r < 0)
		return r;
	owner_name(box->owner, owner, sizeof(owner));
	json_object_object_add(o, "rootfs", json_object_new_string(box->rootfs ? box->rootfs : ""));
	json_object_object_add(o, "created", json_object_new_string(box->created ? box->created : ""));
	json_object_object_add(o, "owner", json_object_new_string(owner));
	json_object_object_add(o, "isolation", json_object_new_string(box->boundary ? box->boundary : ""));
	*ret = take_ptr(o);
	return 0;
}

static const char *field(struct json_object *row, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(row, key, &v) ? json_object_get_string(v) : "";
}

static void print_table(struct json_object *rows)
{
	static const struct {
		const char *title, *key;
	} columns[] = { { "ID", "id" },		{ "PID", "pid" },	  { "STATUS", "status" },
			{ "BUNDLE", "bundle" }, { "CREATED", "created" }, { "OWNER", "owner" } };
	size_t n = json_object_array_length(rows), width[ARRAY_SIZE(columns)];

	for (size_t c = 0; c < ARRAY_SIZE(columns); c++) {
		width[c] = MAX(strlen(columns[c].title), (size_t)9);
		for (size_t i = 0; i < n; i++)
			width[c] = MAX(width[c], strlen(field(json_object_array_get_idx(rows, i), columns[c].key)));
	}
	for (size_t i = 0; i <= n; i++) {
		for (size_t c = 0; c < ARRAY_SIZE(columns); c++) {
			const char *text =
				i == 0 ? columns[c].title : field(json_object_array_get_idx(rows, i - 1), columns[c].key);

			printf("%-*s%s", (int)width[c], text, c + 1 < ARRAY_SIZE(columns) ? "   " : "\n");
		}
	}
}

/* Boxes made from images that their wall knows nothing of: stopped, or about to be restarted. */
static int collect_idle(const struct cli *cli, char *const *known, struct json_object *rows, struct error *err)
{
	_cleanup_strv_ char **ids = NULL;
	int r = image_box_list(cli, &ids, err);

	for (size_t i = 0; r >= 0 && ids && ids[i]; i++) {
		_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
		struct json_object *row;

		if (strv_contains(known, ids[i]))
			continue;
		r = image_box_load(cli, ids[i], &box, err);
		if (r == 0)
			r = image_box_describe(cli, &box, &row, err);
		if (r == 0)
			json_object_array_add(rows, row);
		else if (r == -ENOENT)
			r = 0;
	}
	return r;
}

static int collect(const struct cli *cli, struct json_object *rows, struct error *err)
{
	_cleanup_strv_ char **ids = NULL;
	int r = box_list(cli->root, &ids, err);

	for (size_t i = 0; r >= 0 && ids && ids[i]; i++) {
		_cleanup_box_ struct box *box = NULL;
		struct json_object *row;

		r = box_load(cli->root, ids[i], false, &box, err);
		if (r == -ENOENT) { /* deleted meanwhile */
			r = 0;
			continue;
		}
		if (r == 0)
			r = list_describe(box, &row, err);
		if (r == 0)
			json_object_array_add(rows, row);
	}
	return r < 0 ? r : collect_idle(cli, ids, rows, err);
}

static int run_list(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_json_ struct json_object *rows = json_object_new_array();
	int r;

	if (!rows)
		return error_oom(err);
	r = collect(cli, rows, err);
	if (r < 0)
		return r;
	if (opt.quiet) {
		for (size_t i = 0; i < json_object_array_length(rows); i++)
			puts(field(json_object_array_get_idx(rows, i), "id"));
		return 0;
	}
	if (strcmp(opt.format, "json") == 0)
		return json_object_array_length(rows) ? cli_print_json(rows, false, err) : (puts("null"), 0);
	print_table(rows);
	return 0;
}

const struct command cli_list = {
	.name = "list",
	.group = "Looking at boxes",
	.summary = "list the boxes",
	.options = options,
	.max_operands = 0,
	.run = run_list,
};

static int run_state(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_box_ struct image_box made = IMAGE_BOX_INIT;
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_box_ struct box *box = NULL;
	int r;

	r = box_load(cli->root, operands[0], false, &box, err);
	if (r == 0)
		r = list_describe(box, &o, err);
	else if (r == -ENOENT && image_box_load(cli, operands[0], &made, NULL) == 0)
		r = image_box_describe(cli, &made, &o, err);
	return r < 0 ? r : cli_print_json(o, true, err);
}

const struct command cli_state = {
	.name = "state",
	.group = "Looking at boxes",
	.operands = "ID",
	.summary = "print the state of a box as JSON",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_state,
};
