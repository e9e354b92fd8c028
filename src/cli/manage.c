/* wait, inspect, rename, stats: the smaller verbs of boxes made from images. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fdio.h"
#include "base/strv.h"
#include "cli/box_start.h"
#include "cli/bundle.h"
#include "cli/image_box.h"
#include "cli/list.h"
#include "image/store.h"
#include "monitor/life.h"
#include "oci/spec_build.h"

/* ---- wait ---- */

static int wait_one(const struct cli *cli, const char *id, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	struct life_record life;
	int r = image_box_load(cli, id, &box, err);

	if (r == 0)
		r = life_wait(box.dir_fd, &life, err);
	if (r < 0)
		return r;
	if (life.status < 0)
		return error_set(err, ENOENT, "nobody saw how box '%s' ended: what looked after it was killed", id);
	printf("%d\n", life.status);
	return 0;
}

static int run_wait(struct cli *cli, char **operands, struct error *err)
{
	int r = 0;

	for (; r >= 0 && *operands; operands++)
		r = wait_one(cli, *operands, err);
	return r;
}

const struct command cli_wait = {
	.name = "wait",
	.group = "Boxes made from images",
	.operands = "ID...",
	.summary = "wait until a box ended for good, and print its exit status",
	.min_operands = 1,
	.max_operands = -1,
	.run = run_wait,
};

/* ---- inspect ---- */

static void add_time(struct json_object *o, const char *key, int64_t ns)
{
	time_t t = (time_t)(ns / 1000000000);
	char text[48], date[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%09dZ", date, (int)(ns % 1000000000));
	json_object_object_add(o, key, json_object_new_string(text));
}

static void add_life(const struct image_box *box, struct json_object *o)
{
	struct life_record life;
	bool alive;

	if (life_read(box->dir_fd, &life, &alive) < 0 || life.status < 0)
		return;
	json_object_object_add(o, "exitStatus", json_object_new_int(life.status));
	json_object_object_add(o, "restarts", json_object_new_int64(life.restarts));
	add_time(o, "started", life.started);
	add_time(o, "finished", life.finished);
}

static void add_file(const struct image_box *box, const char *file, const char *key, struct json_object *o)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *content;
	size_t len;

	if (file_read_at(box->dir_fd, file, OCI_CONFIG_MAX, &text, &len, NULL) == 0 &&
	    json_parse(text, len, &content, NULL) == 0)
		json_object_object_add(o, key, content);
}

static int inspect_image_box(const struct cli *cli, const char *id, struct json_object **ret, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	_cleanup_json_ struct json_object *o = NULL;
	int r = image_box_load(cli, id, &box, err);

	if (r == 0)
		r = image_box_describe(cli, &box, &o, err);
	if (r < 0)
		return r;
	json_object_object_add(o, "box", json_object_get(box.record));
	add_life(&box, o);
	add_file(&box, IMAGE_BOX_NETWORK, "network", o);
	add_file(&box, BOX_CONFIG_FILE, "config", o);
	*ret = take_ptr(o);
	return 0;
}

static int inspect_bundle_box(const struct cli *cli, const char *id, struct json_object **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_box_ struct box *box = NULL;
	struct json_object *config;
	size_t len;
	int r = box_load(cli->root, id, false, &box, err);

	if (r == 0)
		r = list_describe(box, ret, err);
	if (r < 0)
		return r;
	if (file_read_at(box->dir_fd, BOX_CONFIG_FILE, OCI_CONFIG_MAX, &text, &len, NULL) == 0 &&
	    json_parse(text, len, &config, NULL) == 0)
		json_object_object_add(*ret, "config", config);
	return 0;
}

static int run_inspect(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_json_ struct json_object *all = json_object_new_array();

	for (; all && *operands; operands++) {
		struct json_object *o;
		int r = inspect_image_box(cli, *operands, &o, err);

		if (r == -ENOENT)
			r = inspect_bundle_box(cli, *operands, &o, err);
		if (r < 0)
			return r;
		json_object_array_add(all, o);
	}
	return all ? cli_print_json(all, true, err) : error_oom(err);
}

const struct command cli_inspect = {
	.name = "inspect",
	.group = "Looking at boxes",
	.operands = "ID...",
	.summary = "print all that is known of a box as JSON",
	.min_operands = 1,
	.max_operands = -1,
	.run = run_inspect,
};

/* ---- rename ---- */

/* What in the configuration has the old folder's path, or the old name as its control group. */
static int rewrite_config(const struct image_box *box, const char *old_path, const char *old_id, struct error *err)
{
	_cleanup_bundle_ struct loaded_bundle b = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t len = strlen(old_path);
	int r = bundle_load(box->path, NULL, &b, err);

	for (size_t i = 0; r == 0 && i < b.spec->n_mounts; i++) {
		_cleanup_free_ char *source = NULL;
		const char *old = b.spec->mounts[i].source;

		if (!old || strncmp(old, old_path, len) != 0 || old[len] != '/')
			continue;
		if (asprintf(&source, "%s%s", box->path, old + len) < 0 ||
		    oci_set_string(&b.spec->mounts[i].source, source) < 0)
			return error_oom(err);
	}
	if (r == 0 && b.spec->linux_.cgroups_path) {
		char *path = b.spec->linux_.cgroups_path, *tail = path + strlen(path) - MIN(strlen(path), strlen(old_id));
		_cleanup_free_ char *renamed = NULL;

		if (strcmp(tail, old_id) == 0) {
			if (asprintf(&renamed, "%.*s%s", (int)(tail - path), path, box->id) < 0 ||
			    oci_set_string(&b.spec->linux_.cgroups_path, renamed) < 0)
				return error_oom(err);
		}
	}
	if (r == 0)
		r = oci_spec_to_json(b.spec, &text, err);
	return r < 0 ? r : file_replace_at(box->dir_fd, BOX_CONFIG_FILE, text, strlen(text), 0600, err);
}

/* The image is kept for the new name, and then no more for the old. */
static int move_pin(const struct cli *cli, const struct image_box *box, const char *old_id, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	_cleanup_image_ struct image image = { 0 };
	const char *digest = image_box_string(box, "imageDigest");
	int r = image_store_open(cli->store, &store, err);

	if (r == 0)
		r = image_store_pin(store, digest ? digest : "", NULL, box->id, box->path, &image, err);
	if (r == 0)
		r = image_store_unpin(store, old_id, err);
	return r;
}

static int run_rename(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT, renamed = IMAGE_BOX_INIT;
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int life = -1;
	int r;

	r = box_check_id(operands[1], err);
	if (r == 0)
		r = image_box_load(cli, operands[0], &box, err);
	if (r < 0)
		return r;
	life = life_take(box.dir_fd, NULL);
	if (life < 0)
		return error_set(err, EBUSY, "box '%s' is running; stop it first: ringwall stop %s", box.id, box.id);
	if (asprintf(&path, "%s/boxes/%s", cli->store, operands[1]) < 0)
		return error_oom(err);
	if (renameat2(AT_FDCWD, box.path, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
		return error_sys(err, errno, "cannot rename box '%s' to '%s'", box.id, operands[1]);
	r = image_box_load(cli, operands[1], &renamed, err);
	if (r == 0)
		r = rewrite_config(&renamed, box.path, box.id, err);
	if (r < 0)
		return r;
	json_object_object_add(renamed.record, "id", json_object_new_string(operands[1]));
	r = image_box_save(&renamed, err);
	return r < 0 ? r : move_pin(cli, &renamed, box.id, err);
}

const struct command cli_rename = {
	.name = "rename",
	.group = "Boxes made from images",
	.operands = "ID NEW-ID",
	.summary = "give a stopped box another name",
	.min_operands = 2,
	.max_operands = 2,
	.run = run_rename,
};

/* ---- stats ---- */

static struct {
	bool no_stream;
	const char *format;
} stats_opt;

static const struct option stats_options[] = {
	{ 0, "no-stream", OPTION_FLAG, &stats_opt.no_stream, NULL, "print once and end" },
	{ 0, "format", OPTION_STRING, &stats_opt.format, "table|json", "how to print", .fallback = "table" },
	{ 0 },
};

/* The number at a path of keys; 0 when it is not there. */
static uint64_t number_at(struct json_object *o, const char *const *keys)
{
	for (; *keys; keys++)
		if (!json_object_object_get_ex(o, *keys, &o))
			return 0;
	return json_object_get_uint64(o);
}

static void format_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t u = 0;
	double v = (double)bytes;

	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	snprintf(buf, size, u ? "%.1f%s" : "%.0f%s", v, units[u]);
}

#define PATH_OF(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct sample {
	uint64_t cpu_ns, at_ns;
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* One line; *BEFORE is the sample of the last one, for the share of a CPU. */
static int print_stats(const struct cli *cli, const char *id, struct sample *before, struct error *err)
{
	_cleanup_json_ struct json_object *stats = NULL;
	_cleanup_box_ struct box *box = NULL;
	struct sample now;
	char used[32], limit[32];
	uint64_t max;
	double share = 0;
	int r = box_load(cli->root, id, false, &box, err);

	if (r == 0)
		r = boundary_stats(box, &stats, err);
	if (r < 0)
		return r;
	now = (struct sample){ number_at(stats, PATH_OF("cpu", "usage", "total")), monotonic_ns() };
	if (before->at_ns && now.at_ns > before->at_ns && now.cpu_ns >= before->cpu_ns)
		share = 100.0 * (double)(now.cpu_ns - before->cpu_ns) / (double)(now.at_ns - before->at_ns);
	*before = now;
	if (strcmp(stats_opt.format, "json") == 0) {
		json_object_object_add(stats, "id", json_object_new_string(id));
		return cli_print_json(stats, false, err);
	}
	format_size(number_at(stats, PATH_OF("memory", "usage", "usage")), used, sizeof(used));
	max = number_at(stats, PATH_OF("memory", "usage", "limit"));
	if (max >= (uint64_t)1 << 60 || max == 0)
		snprintf(limit, sizeof(limit), "-");
	else
		format_size(max, limit, sizeof(limit));
	printf("%-20s %7.2f%% %12.3f %10s %10s %6llu\n", id, share, (double)now.cpu_ns / 1e9, used, limit,
	       (unsigned long long)number_at(stats, PATH_OF("pids", "current")));
	return 0;
}

static int run_stats(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_strv_ char **all = NULL;
	_cleanup_free_ struct sample *samples = NULL;
	size_t n;
	int r = 0;

	if (operands[0])
		all = strv_copy(operands);
	else
		r = box_list(cli->root, &all, err);
	n = strv_len(all);
	samples = calloc(n + 1, sizeof(*samples));
	if (r < 0 || !samples)
		return r < 0 ? r : error_oom(err);
	do {
		if (strcmp(stats_opt.format, "table") == 0)
			printf("%-20s %8s %12s %10s %10s %6s\n", "ID", "CPU", "CPU SECONDS", "MEMORY", "LIMIT", "PIDS");
		for (size_t i = 0; i < n; i++) {
			r = print_stats(cli, all[i], &samples[i], err);
			if (r < 0 && operands[0])
				return r;
		}
		if (fflush(stdout) == EOF)
			return error_sys(err, errno, "cannot write the statistics");
	} while (!stats_opt.no_stream && poll(NULL, 0, 1000) == 0);
	return 0;
}

const struct command cli_stats = {
	.name = "stats",
	.group = "Looking at boxes",
	.operands = "[ID...]",
	.summary = "show what boxes use, every second",
	.options = stats_options,
	.max_operands = -1,
	.run = run_stats,
};
