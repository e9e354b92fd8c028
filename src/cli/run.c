/* `run`: of a bundle, as runc has it, or of an image. */
#include "cli/cli.h"
#include "cli/create.h"

static struct create_flags flags;
static struct run_mode mode;

static const struct option options[] = {
	CREATE_FLAG_ROWS(flags),
	{ 'f', "config", OPTION_STRING, &flags.config, "FILE", "use FILE instead of the bundle's config.json" },
	{ 'd', "detach", OPTION_FLAG, &mode.detach, NULL, "do not wait for the workload" },
	{ 0, "keep", OPTION_FLAG, &mode.keep, NULL, "keep the box when the workload ended" },
	{ 0 },
};

static int run_run(struct cli *cli, char **operands, struct error *err)
{
	return run_bundle(cli, operands[0], &flags, &mode, err);
}

const struct command cli_run = {
	.name = "run",
	.group = "Life of a box",
	.operands = "ID",
	.summary = "make a box from a bundle, start it and wait for it",
	.options = options,
	.flags = COMMAND_STOPS_AT_OPERAND,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_run,
};
