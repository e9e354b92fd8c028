/* The bundle a verb is pointed at, and the wall its box is put behind. */
#pragma once

#include "cli/cli.h"

struct loaded_bundle {
	char *path, *config; /* owned */
	struct oci_spec *spec;
	struct bundle bundle; /* refers to the above */
};

/* Reads CONFIG (a file name; NULL: "config.json" in the bundle) of the bundle in DIR. */
int bundle_load(const char *dir, const char *config, struct loaded_bundle *ret, struct error *err);
void bundle_free(struct loaded_bundle *b);

/* Cgroup manager, rootless mode and whatever else the global options say of making a box. */
void cli_create_options(const struct cli *cli, struct create_options *options);

/* --at-least when it names promises of the process wall ("files,system-calls") instead of a wall, else NULL. */
const char *cli_promises(const struct cli *cli);

/* Whether a wall that --isolation auto considers can run SPEC's program at all: one for modules runs nothing else. */
bool cli_wall_takes_program(const struct boundary_ops *wall, const struct oci_spec *spec);

/*
 * The wall that --isolation names (container when it names none), usable on this host, or the reason why it is not.
 * "auto" takes the strongest usable wall that can honour SPEC and is not weaker than --at-least, and says which.
 */
int cli_wall(const struct cli *cli, const struct oci_spec *spec, const struct create_options *options,
	     const struct boundary_ops **ret, struct error *err);

#define _cleanup_bundle_ _cleanup_(bundle_free)
