/* `commit`: what a box changed becomes a layer of a new image. ringwall-image makes it; we know the box. */
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "cli/image_box.h"
#include "cli/stage.h"
#include "image/store.h"

static struct {
	const char *author, *message, *compression;
	char **changes;
	bool pause, quiet;
} opt = { .pause = true };

static const struct option options[] = {
	{ 'c', "change", OPTION_LIST, &opt.changes, "INSTRUCTION", "change the image's configuration: 'CMD [\"/bin/sh\"]', 'ENV A=b'" },
	{ 'a', "author", OPTION_STRING, &opt.author, "NAME", "who made it" },
	{ 'm', "message", OPTION_STRING, &opt.message, "TEXT", "a comment for the image's history" },
	{ 0, "compression", OPTION_STRING, &opt.compression, "gzip|zstd|none", "of the layer", .fallback = "gzip" },
	{ 'p', "pause", OPTION_FLAG, &opt.pause, NULL, "hold the box still meanwhile (--pause=false: do not)" },
	{ 'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "do not print the image's ID" },
	{ 0 },
};

static int arguments(const struct image_box *box, const char *name, char ***ret, struct error *err)
{
	_cleanup_strv_ char **command = image_box_strings(box, "command");
	_cleanup_strbuf_ struct strbuf created_by = STRBUF_INIT;
	int64_t count = image_box_number(box, "mapCount");
	int r = strv_add(ret, "commit") | strv_addf(ret, "--compression=%s", opt.compression);

	for (char **c = command; c && *c; c++)
		strbuf_addf(&created_by, "%s%s", created_by.len ? " " : "", *c);
	r |= strv_addf(ret, "--created-by=%s", strbuf_str(&created_by));
	if (opt.author)
		r |= strv_addf(ret, "--author=%s", opt.author);
	if (opt.message)
		r |= strv_addf(ret, "--message=%s", opt.message);
	for (char **c = opt.changes; c && *c; c++)
		r |= strv_addf(ret, "--change=%s", *c);
	if (opt.quiet)
		r |= strv_add(ret, "--quiet");
	if (count) {
		r |= strv_addf(ret, "--uid-map=0:%lld:%lld", (long long)image_box_number(box, "mapFrom"), (long long)count);
		r |= strv_addf(ret, "--gid-map=0:%lld:%lld", (long long)image_box_number(box, "mapFrom"), (long long)count);
	}
	r |= strv_add(ret, "--") | strv_add(ret, image_box_string(box, "imageDigest"));
	r |= strv_addf(ret, "%s/upper", box->path) | strv_add(ret, name);
	return r < 0 || strbuf_failed(&created_by) ? error_oom(err) : 0;
}

/* Holds the box still; false when it does not run, or cannot be paused. */
static bool hold(const struct cli *cli, const char *id, struct box **ret)
{
	struct error reason = ERROR_INIT;

	if (!opt.pause || box_load(cli->root, id, true, ret, NULL) < 0 || boundary_status(*ret) != BOX_RUNNING)
		return false;
	if (boundary_pause(*ret, &reason) == 0)
		return true;
	log_warn("box '%s' goes on while it is committed: %s", id, reason.message);
	return false;
}

static int run_commit(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	_cleanup_strv_ char **argv = NULL;
	_cleanup_box_ struct box *state = NULL;
	struct error again = ERROR_INIT;
	bool held;
	int r;

	r = image_box_load(cli, operands[0], &box, err);
	if (r < 0)
		return r;
	if (image_box_flag(&box, "unpacked"))
		return error_set(err, EOPNOTSUPP, "box '%s' runs on a copy of its image, not on layers: what it changed is not known apart",
				 box.id);
	r = arguments(&box, operands[1], &argv, err);
	if (r < 0)
		return r;
	held = hold(cli, box.id, &state);
	r = stage_enter_user_namespace(err);
	if (r == 0)
		r = image_helper_run(cli->store, argv, err);
	if (held && boundary_resume(state, &again) < 0)
		log_warn("cannot let box '%s' go on: %s", box.id, again.message);
	return r;
}

const struct command cli_commit = {
	.name = "commit",
	.group = "Boxes made from images",
	.operands = "ID IMAGE",
	.summary = "make an image of what a box changed",
	.options = options,
	.min_operands = 2,
	.max_operands = 2,
	.run = run_commit,
};
