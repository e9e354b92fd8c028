/* image: handed to ringwall-image, a program of its own, because archives and registries are hostile and libcurl is large. */
#include <string.h>
#include <unistd.h>

#include "base/strv.h"
#include "cli/cli.h"
#include "image/store.h"

static int run_image(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_free_ char *program = NULL;
	_cleanup_strv_ char **argv = NULL;
	int r = image_helper_path("ringwall-image", &program, err);

	if (r < 0)
		return r;
	if (strv_add(&argv, "ringwall-image") < 0 ||
	    (cli->store && (strv_add(&argv, "--store") < 0 || strv_add(&argv, cli->store) < 0)) ||
	    strv_add(&argv, "--log-format") < 0 || strv_add(&argv, cli->log_format) < 0 ||
	    (cli->debug && strv_add(&argv, "--debug") < 0) || strv_extend(&argv, operands) < 0)
		return error_oom(err);
	execv(program, argv);
	return error_sys(err, errno, "cannot start '%s'", program);
}

const struct command cli_image = {
	.name = "image",
	.group = "Images",
	.operands = "COMMAND [ARG...]",
	.summary = "pull, push, load, save, list and remove images",
	.details = "'ringwall image --help' lists the commands.",
	.flags = COMMAND_RAW,
	.max_operands = -1,
	.run = run_image,
};
