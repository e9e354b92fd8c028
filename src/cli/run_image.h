/* `run IMAGE`, and what `plan` needs of it. */
#pragma once

#include "cli/run_options.h"
#include "oci/spec.h"

/* Exit status or a negative errno. COMMAND: what followed IMAGE. */
int run_image(struct cli *cli, const struct run_options *options, const char *image, char **command, struct error *err);

/* Only the configuration that run_image() would use. */
int run_image_config(struct cli *cli, const struct run_options *options, const char *image, char **command,
		     struct oci_spec **ret, struct error *err);
