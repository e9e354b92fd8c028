/* `wasm wast`: the specification's test scripts. The engine is a program of its own, which takes this process's place. */
#include <string.h>
#include <unistd.h>

#include "base/strv.h"
#include "cli/cli.h"
#include "image/store.h"

static int run_wasm(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_free_ char *engine = NULL;
	_cleanup_strv_ char **args = NULL;
	int r;

	if (strcmp(operands[0], "wast") != 0)
		return error_set(err, EINVAL, "'wasm %s' is unknown; there is 'wasm wast FILE...'", operands[0]);
	r = image_helper_path("ringwall-wasm", &engine, err);
	if (r < 0)
		return r;
	if (strv_add(&args, "ringwall-wasm") < 0 || strv_add(&args, "--wast") < 0 || strv_extend(&args, operands + 1) < 0)
		return error_oom(err);
	execv(engine, args);
	return error_sys(err, errno, "cannot start '%s'", engine);
}

const struct command cli_wasm = {
	.name = "wasm",
	.group = "WebAssembly",
	.operands = "wast FILE...",
	.summary = "run test scripts of the WebAssembly specification",
	.details = "Every failed command is printed with its line; the exit status is 0 when there was none. Modules are run by "
		   "'ringwall --isolation wasm run FILE.wasm'.",
	.flags = COMMAND_STOPS_AT_OPERAND,
	.min_operands = 2,
	.max_operands = -1,
	.run = run_wasm,
};
