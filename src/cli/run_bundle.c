/* `run ID`: create, start and wait in one, without the start gate. */
#include "base/log.h"
#include "cli/bundle.h"
#include "cli/create.h"
#include "cli/relay.h"

static int attend(struct box *box, const struct started *started, const struct run_mode *mode, struct error *err)
{
	struct error again = ERROR_INIT;
	int status = 0, r;

	r = relay_wait(started, &status, err);
	if (!mode->keep && boundary_delete(box, true, &again) < 0)
		log_warn("cannot remove container '%s': %s", box->id, again.message);
	return r < 0 ? r : status;
}

int run_bundle(const struct cli *cli, const char *id, const struct create_flags *flags, const struct run_mode *mode,
	       struct error *err)
{
	struct create_options create = CREATE_OPTIONS_INIT;
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_bundle_ struct loaded_bundle bundle = { 0 };
	_cleanup_box_ struct box *box = NULL;
	const struct boundary_ops *wall;
	int r;

	r = create_flags_apply(cli, flags, &create, err);
	if (r == 0)
		r = bundle_load(flags->bundle ? flags->bundle : ".", flags->config, &bundle, err);
	create.detach = mode->detach;
	create.run = true;
	if (r == 0)
		r = cli_wall(cli, bundle.spec, &create, &wall, err);
	if (r == 0 && !mode->detach)
		r = relay_prepare(!create.no_subreaper, err);
	if (r == 0)
		r = boundary_create(wall, cli->root, id, &bundle.bundle, &create, &box, &started, err);
	if (r < 0)
		return r;
	return mode->detach ? 0 : attend(box, &started, mode, err);
}
