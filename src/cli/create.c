#include "cli/create.h"

#include "cli/bundle.h"

static struct create_flags flags;

static const struct option options[] = {
	CREATE_FLAG_ROWS(flags),
	{ 'f', "config", OPTION_STRING, &flags.config, "FILE", "use FILE instead of the bundle's config.json" },
	{ 0 },
};

int create_flags_apply(const struct cli *cli, const struct create_flags *f, struct create_options *ret, struct error *err)
{
	if (f->preserve_fds.v < 0 || f->preserve_fds.v > 4096)
		return error_set(err, EINVAL, "option --preserve-fds: %lld is not between 0 and 4096",
				 (long long)f->preserve_fds.v);
	ret->console_socket = f->console_socket;
	ret->pidfd_socket = f->pidfd_socket;
	ret->pid_file = f->pid_file;
	ret->preserve_fds = (int)f->preserve_fds.v;
	ret->no_pivot = f->no_pivot;
	ret->no_new_keyring = f->no_new_keyring;
	ret->no_subreaper = f->no_subreaper;
	cli_create_options(cli, ret);
	return 0;
}

static int run_create(struct cli *cli, char **operands, struct error *err)
{
	struct create_options create = CREATE_OPTIONS_INIT;
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_bundle_ struct loaded_bundle bundle = { 0 };
	_cleanup_box_ struct box *box = NULL;
	const struct boundary_ops *wall;
	int r;

	r = create_flags_apply(cli, &flags, &create, err);
	if (r == 0)
		r = bundle_load(flags.bundle ? flags.bundle : ".", flags.config, &bundle, err);
	create.detach = true;
	if (r == 0)
		r = cli_wall(cli, bundle.spec, &create, &wall, err);
	if (r == 0)
		r = boundary_create(wall, cli->root, operands[0], &bundle.bundle, &create, &box, &started, err);
	return r;
}

const struct command cli_create = {
	.name = "create",
	.group = "Life of a box",
	.operands = "ID",
	.summary = "make a box from a bundle; its workload waits for start",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_create,
};
