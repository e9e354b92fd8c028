/* `run --isolation wasm FILE.wasm`: a module of the host, without an image. */
#pragma once

#include "cli/run_options.h"

/* Whether OPERAND is such a file. */
bool run_module_is(const struct cli *cli, const char *operand);

/* Runs it: the module and the directories of --dir become volumes of a box made from the built-in image. */
int run_module(struct cli *cli, const struct run_options *options, const char *file, char **arguments, struct error *err);
