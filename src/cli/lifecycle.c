/* start, pause, resume, kill, delete: the verbs that are one call each. */
#include <regex.h>
#include <signal.h>

#include "base/strv.h"
#include "cli/box_start.h"
#include "cli/cli.h"
#include "cli/stop.h"

typedef int (*locked_verb)(struct box *box, struct error *err);

static int on_locked_box(const struct cli *cli, const char *id, locked_verb verb, struct error *err)
{
	_cleanup_box_ struct box *box = NULL;
	int r = box_load(cli->root, id, true, &box, err);

	return r < 0 ? r : verb(box, err);
}

/* Calls VERB for every box whose id matches the extended regular expression PATTERN. */
static int on_matching_boxes(const struct cli *cli, const char *pattern,
			     int (*verb)(const struct cli *cli, const char *id, struct error *err), struct error *err)
{
	_cleanup_strv_ char **ids = NULL;
	regex_t regex;
	int r;

	r = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
	if (r != 0) {
		char reason[128];

		regerror(r, &regex, reason, sizeof(reason));
		return error_set(err, EINVAL, "regular expression '%s': %s", pattern, reason);
	}
	r = box_list(cli->root, &ids, err);
	for (size_t i = 0; r >= 0 && ids && ids[i]; i++)
		if (regexec(&regex, ids[i], 0, NULL, 0) == 0)
			r = verb(cli, ids[i], err);
	regfree(&regex);
	return r;
}

/* A created box is started; one made from an image that ended is made again, detached. */
static int run_start(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	int r = on_locked_box(cli, operands[0], boundary_start, err);

	if (r != -ENOENT || image_box_load(cli, operands[0], &box, NULL) < 0)
		return r;
	return box_start_monitored(cli, &box, -1, err);
}

const struct command cli_start = {
	.name = "start",
	.group = "Life of a box",
	.operands = "ID",
	.summary = "start the workload of a created box, or again of a stopped one made from an image",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_start,
};

static int run_pause(struct cli *cli, char **operands, struct error *err)
{
	return on_locked_box(cli, operands[0], boundary_pause, err);
}

const struct command cli_pause = {
	.name = "pause",
	.group = "Life of a box",
	.operands = "ID",
	.summary = "stop all processes of a box for a while",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_pause,
};

static int run_resume(struct cli *cli, char **operands, struct error *err)
{
	return on_locked_box(cli, operands[0], boundary_resume, err);
}

const struct command cli_resume = {
	.name = "resume",
	.group = "Life of a box",
	.operands = "ID",
	.summary = "let a paused box go on",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_resume,
};

static struct {
	bool all, regex;
	int signal;
} kill_opt;

static const struct option kill_options[] = {
	{ 'a', "all", OPTION_FLAG, &kill_opt.all, NULL, "signal every process of the box" },
	{ 'r', "regex", OPTION_FLAG, &kill_opt.regex, NULL, "ID is an extended regular expression: signal every box it matches" },
	{ 0 },
};

static int kill_one(const struct cli *cli, const char *id, struct error *err)
{
	_cleanup_box_ struct box *box = NULL;
	int r = box_load(cli->root, id, false, &box, err);

	return r < 0 ? r : boundary_signal(box, kill_opt.signal, kill_opt.all, err);
}

static int run_kill(struct cli *cli, char **operands, struct error *err)
{
	int r = cli_parse_signal(operands[1] ? operands[1] : "TERM", &kill_opt.signal, err);

	if (r < 0)
		return r;
	return kill_opt.regex ? on_matching_boxes(cli, operands[0], kill_one, err) : kill_one(cli, operands[0], err);
}

const struct command cli_kill = {
	.name = "kill",
	.group = "Life of a box",
	.operands = "ID [SIGNAL]",
	.summary = "send a signal (TERM when none is named) to the workload",
	.options = kill_options,
	.min_operands = 1,
	.max_operands = 2,
	.run = run_kill,
};

static struct {
	bool force, regex;
} delete_opt;

static const struct option delete_options[] = {
	{ 'f', "force", OPTION_FLAG, &delete_opt.force, NULL, "kill the workload first; a box that does not exist is no error" },
	{ 'r', "regex", OPTION_FLAG, &delete_opt.regex, NULL, "ID is an extended regular expression: delete every box it matches" },
	{ 0 },
};

static int delete_one(const struct cli *cli, const char *id, struct error *err)
{
	_cleanup_box_ struct box *box = NULL;
	int r = remove_image_box(cli, id, delete_opt.force, err);

	if (r != -ENOENT)
		return r;
	r = box_load(cli->root, id, true, &box, err);
	if (r == -ENOENT && delete_opt.force)
		return box_check_id(id, err);
	return r < 0 ? r : boundary_delete(box, delete_opt.force, err);
}

static int run_delete(struct cli *cli, char **operands, struct error *err)
{
	int r = 0;

	for (; r >= 0 && *operands; operands++)
		r = delete_opt.regex ? on_matching_boxes(cli, *operands, delete_one, err) : delete_one(cli, *operands, err);
	return r;
}

const struct command cli_delete = {
	.name = "delete",
	.group = "Life of a box",
	.operands = "ID...",
	.summary = "remove a box and everything made for it",
	.options = delete_options,
	.min_operands = 1,
	.max_operands = -1,
	.run = run_delete,
};

const struct command cli_rm = {
	.name = "rm",
	.group = "Boxes made from images",
	.operands = "ID...",
	.summary = "the same as delete",
	.options = delete_options,
	.min_operands = 1,
	.max_operands = -1,
	.run = run_delete,
};
