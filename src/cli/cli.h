/* What every verb shares: the global options, the chosen wall, and how results and errors are told. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "opt/options.h"

/* Exit statuses of our own, as Docker has them; every other status is the workload's. */
enum {
	EXIT_RINGWALL_FAILED = 125,
	EXIT_CANNOT_EXECUTE = 126,
	EXIT_NOT_FOUND = 127,
};

struct cli {
	const char *root;  /* state directory of the boxes */
	const char *store; /* image store */
	const char *log_file, *log_format, *log_level;
	bool debug;
	bool systemd_cgroup;
	const char *cgroup_manager;
	const char *rootless; /* "true", "false", "auto" */
	const char *criu;
	const char *isolation, *at_least;
	bool help, version;
};

extern const struct program cli_program;

/* Fills in what depends on the user: the state directory and the image store. */
int cli_paths(struct cli *cli, struct error *err);

/* Installs the log sink that --log, --log-format and --log-level ask for. */
int cli_log_open(const struct cli *cli, struct error *err);
/* Tells the user of the error: once on stderr, and in the log file when there is one. */
void cli_log_error(const struct cli *cli, const struct error *err);

extern const struct command cli_completion, cli_man;
