/*
 * `run`: of a bundle, as runc has it, or of an image, as Docker has it. It is a bundle when --bundle or --config is given,
 * or when there is one operand, the current directory holds a config.json, and no option that only images have is given.
 */
#include <unistd.h>

#include "cli/run_image.h"
#include "cli/run_module.h"

static bool is_bundle(const struct run_options *o, char *const *operands)
{
	if (o->bundle.bundle || o->bundle.config)
		return true;
	return !operands[1] && !run_options_want_image(o) && access(BOX_CONFIG_FILE, F_OK) == 0;
}

static int run_run(struct cli *cli, char **operands, struct error *err)
{
	const struct run_mode mode = { .detach = run_opt.detach, .keep = run_opt.keep };

	if (run_module_is(cli, operands[0]))
		return run_module(cli, &run_opt, operands[0], operands + 1, err);
	if (run_opt.dirs)
		return error_set(err, EINVAL, "--dir is for a module: run --isolation wasm FILE.wasm; for other walls there is --volume");
	if (!is_bundle(&run_opt, operands))
		return run_image(cli, &run_opt, operands[0], operands + 1, err);
	if (operands[1])
		return error_set(err, EINVAL, "'%s' is one operand too many: a bundle's configuration has the command", operands[1]);
	return run_bundle(cli, operands[0], &run_opt.bundle, &mode, err);
}

const struct command cli_run = {
	.name = "run",
	.group = "Life of a box",
	.operands = "IMAGE [COMMAND [ARGUMENTS]]",
	.summary = "make a box from an image (or a bundle), start it and wait for it",
	.details = "IMAGE is a name in the image store; it is fetched from its registry when it is missing. 'base' is built in. "
		   "The exit status is the workload's. The box stays until 'ringwall rm' unless --rm is given.\n\n"
		   "'ringwall --isolation wasm run FILE.wasm [ARGUMENTS]' runs a WebAssembly module (or its text, FILE.wat) of the "
		   "host; it sees the directories of --dir and nothing else.\n\n"
		   "'ringwall run [--bundle DIR] ID' runs the OCI bundle in DIR as runc does, and removes the box afterwards. It is "
		   "meant when --bundle or --config is given, or when the current directory holds a config.json, there is one "
		   "operand, and no option is given that only images have.",
	.options = run_option_table,
	.flags = COMMAND_STOPS_AT_OPERAND,
	.min_operands = 1,
	.max_operands = -1,
	.run = run_run,
};
