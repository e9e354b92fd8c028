/* What every verb shares: the global options, the chosen wall, and how results and errors are told. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "base/json.h"
#include "boundary/boundary.h"
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

/* Fills in what depends on the user: the state directory and the image store, both absolute. */
int cli_paths(struct cli *cli, struct error *err);

/* Installs the log sink that --log, --log-format and --log-level ask for. */
int cli_log_open(const struct cli *cli, struct error *err);
/* Tells the user of the error: once on stderr, and in the log file when there is one. */
void cli_log_error(const struct cli *cli, const struct error *err);

/* Prints O on standard output, indented or on one line. */
int cli_print_json(struct json_object *o, bool pretty, struct error *err);

/* "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3" to the number, or -EINVAL. */
int cli_parse_signal(const char *text, int *ret, struct error *err);
/* "5s", "500ms", "1m30s", or plain seconds, to milliseconds. */
int cli_parse_duration(const char *text, uint64_t *ret_ms, struct error *err);

extern const struct command cli_attach, cli_box_clean, cli_box_launch, cli_checkpoint, cli_commit, cli_compare, cli_completion, cli_cp,
	cli_create, cli_delete, cli_doctor, cli_events, cli_exec, cli_features, cli_image, cli_inspect, cli_kill, cli_list, cli_logs, cli_man, cli_pause, cli_plan,
	cli_ps, cli_rename,
	cli_restart, cli_restore, cli_resume, cli_rm, cli_run, cli_spec, cli_start, cli_state, cli_stats, cli_stop, cli_update, cli_wait,
	cli_vm, cli_wasm;
/* Gives `plan` the options of `run`; before its table is looked at. */
void cli_plan_options(void);
