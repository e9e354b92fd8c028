/* Choosing the wall. There is no falling back: what was asked for is used or refused. */
#include <string.h>

#include "base/log.h"
#include "cli/bundle.h"

void cli_create_options(const struct cli *cli, struct create_options *options)
{
	if (strcmp(cli->cgroup_manager, "systemd") == 0)
		options->cgroup_manager = CGROUP_MANAGER_SYSTEMD;
	else if (strcmp(cli->cgroup_manager, "disabled") == 0)
		options->cgroup_manager = CGROUP_MANAGER_DISABLED;
	else
		options->cgroup_manager = CGROUP_MANAGER_CGROUPFS;
	if (strcmp(cli->rootless, "true") == 0)
		options->rootless = TRI_YES;
	else if (strcmp(cli->rootless, "false") == 0)
		options->rootless = TRI_NO;
}

bool cli_wall_takes_program(const struct boundary_ops *wall, const struct oci_spec *spec)
{
	const char *program = spec->process && spec->process->args ? spec->process->args[0] : NULL;
	const char *dot = program ? strrchr(program, '.') : NULL;

	return !wall->runs_modules || (dot && (strcmp(dot, ".wasm") == 0 || strcmp(dot, ".wat") == 0));
}

/* Whether B can honour what is asked for; REASON says why not. */
static bool fits(const struct boundary_ops *b, const struct oci_spec *spec, const struct create_options *options,
		 struct error *reason)
{
	_cleanup_(plan_free) struct plan plan = { .boundary = b };
	struct probe probe = { 0 };

	b->probe(&probe);
	if (!probe.usable) {
		error_set(reason, EOPNOTSUPP, "%s", probe.reason);
		return false;
	}
	if (!cli_wall_takes_program(b, spec)) {
		error_set(reason, EOPNOTSUPP, "it runs modules only");
		return false;
	}
	return b->plan(spec, options, &plan, reason) == 0 && plan_check(&plan, reason) == 0;
}

static int choose(const struct boundary_ops *floor, const struct oci_spec *spec, const struct create_options *options,
		  const struct boundary_ops **ret, struct error *err)
{
	const struct boundary_ops *best = NULL;
	struct error reason = ERROR_INIT;

	for (size_t i = 0; boundaries[i]; i++) {
		const struct boundary_ops *b = boundaries[i];

		if (b->strength < floor->strength || (best && b->strength <= best->strength))
			continue;
		if (fits(b, spec, options, &reason))
			best = b;
		else
			log_info("isolation auto: not %s: %s", b->name, reason.message);
	}
	if (!best)
		return error_set(err, EOPNOTSUPP, "no wall at least as strong as '%s' can take this box here (%s); see: ringwall doctor",
				 floor->name, reason.message);
	fprintf(stderr, "ringwall: isolation auto: chose %s\n", best->name);
	*ret = best;
	return 0;
}

static int require_usable(const struct boundary_ops *b, struct error *err)
{
	struct probe probe = { 0 };

	b->probe(&probe);
	if (probe.usable)
		return 0;
	return error_set(err, EOPNOTSUPP, "isolation '%s' is not usable on this host: %s%s%s", b->name, probe.reason,
			 probe.mend[0] ? "; mend it with: " : "", probe.mend);
}

const char *cli_promises(const struct cli *cli)
{
	bool process = cli->isolation && strcmp(cli->isolation, "process") == 0;

	return process && cli->at_least && !boundary_find(cli->at_least, NULL) ? cli->at_least : NULL;
}

/* Of a bundle the configuration alone counts, as other verbs will read it again. */
static int check_promises(const struct cli *cli, const struct oci_spec *spec, struct error *err)
{
	const char *floor = spec ? oci_spec_annotation(spec, "run.ringwall.process.floor") : NULL;

	if (floor && strcmp(floor, cli_promises(cli)) == 0)
		return 0;
	return error_set(err, EINVAL, "option --at-least '%s': neither a wall, nor what the bundle's annotation run.ringwall.process.floor says",
			 cli->at_least);
}

int cli_wall(const struct cli *cli, const struct oci_spec *spec, const struct create_options *options,
	     const struct boundary_ops **ret, struct error *err)
{
	const char *name = cli->isolation ? cli->isolation : "container";
	const struct boundary_ops *floor = NULL, *b;
	int r;

	if (cli_promises(cli)) {
		r = check_promises(cli, spec, err);
		if (r < 0)
			return r;
	} else if (cli->at_least) {
		floor = boundary_find(cli->at_least, err);
		if (!floor)
			return error_prefix(err, "option --at-least");
	}
	if (strcmp(name, "auto") == 0) {
		if (!floor)
			return error_set(err, EINVAL, "--isolation auto needs the weakest wall you accept, as in --at-least container");
		return choose(floor, spec, options, ret, err);
	}
	b = boundary_find(name, err);
	if (!b)
		return -EINVAL;
	if (floor && b->strength < floor->strength)
		return error_set(err, EINVAL, "isolation '%s' is weaker than --at-least %s", b->name, floor->name);
	/* Planning and creating tell precisely what fails, and whether the box can do without; a probe would cost time. */
	if (b->strength > BOUNDARY_STRENGTH_CONTAINER) {
		r = require_usable(b, err);
		if (r < 0)
			return r;
	}
	*ret = b;
	return 0;
}
