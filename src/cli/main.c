/* The command line: global options, the array of verbs, the one place where an error becomes text and an exit status. */
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"
#include "oci/spec.h"

#ifndef RINGWALL_VERSION
#error "the build defines RINGWALL_VERSION"
#endif

static struct cli cli;

static const struct option global_options[] = {
	{ 0, "root", OPTION_STRING, &cli.root, "DIR", "where the state of the boxes is kept; /run/ringwall or, without "
	  "privilege, below $XDG_RUNTIME_DIR", .environment = "RINGWALL_ROOT" },
	{ 0, "store", OPTION_STRING, &cli.store, "DIR", "where images are kept; /var/lib/ringwall or, without privilege, "
	  "below $XDG_DATA_HOME", .environment = "RINGWALL_STORE" },
	{ 0, "isolation", OPTION_STRING, &cli.isolation, "WALL", "the wall to put the box behind; 'auto' takes the first "
	  "usable one that --at-least allows", .environment = "RINGWALL_ISOLATION" },
	{ 0, "at-least", OPTION_STRING, &cli.at_least, "WALL", "the weakest wall that --isolation=auto may choose, or the "
	  "weakest form in which the process wall may run" },
	{ 0, "log", OPTION_STRING, &cli.log_file, "FILE", "append the log to FILE", .fallback = "/dev/stderr" },
	{ 0, "log-format", OPTION_STRING, &cli.log_format, "text|json", "how the log is written", .fallback = "text" },
	{ 0, "log-level", OPTION_STRING, &cli.log_level, "debug|info|warning|error", "the least important message to log",
	  .fallback = "warning" },
	{ 0, "debug", OPTION_FLAG, &cli.debug, NULL, "the same as --log-level debug" },
	{ 0, "cgroup-manager", OPTION_STRING, &cli.cgroup_manager, "cgroupfs|systemd|disabled",
	  "who makes the control groups", .fallback = "cgroupfs" },
	{ 0, "systemd-cgroup", OPTION_FLAG, &cli.systemd_cgroup, NULL, "the same as --cgroup-manager systemd" },
	{ 0, "rootless", OPTION_STRING, &cli.rootless, "true|false|auto", "go on where a control group may not be written",
	  .fallback = "auto" },
	{ 0, "criu", OPTION_STRING, &cli.criu, "FILE", "the criu program for checkpoint and restore", .fallback = "criu" },
	{ 'h', "help", OPTION_FLAG, &cli.help, NULL, "tell how to use the program or a command", .aliases = "usage" },
	{ '?', NULL, OPTION_FLAG, &cli.help, NULL, "", .hidden = true },
	{ 'v', "version", OPTION_FLAG, &cli.version, NULL, "print the version" },
	{ 'V', NULL, OPTION_FLAG, &cli.version, NULL, "", .hidden = true },
	{ 0 },
};

static const struct command *const verbs[] = {
	&cli_run,
	&cli_create,
	&cli_start,
	&cli_exec,
	&cli_kill,
	&cli_pause,
	&cli_resume,
	&cli_update,
	&cli_checkpoint,
	&cli_restore,
	&cli_delete,
	&cli_rm,
	&cli_logs,
	&cli_attach,
	&cli_wait,
	&cli_stop,
	&cli_restart,
	&cli_rename,
	&cli_cp,
	&cli_commit,
	&cli_list,
	&cli_state,
	&cli_inspect,
	&cli_stats,
	&cli_ps,
	&cli_events,
	&cli_image,
	&cli_vm,
	&cli_wasm,
	&cli_spec,
	&cli_features,
	&cli_doctor,
	&cli_plan,
	&cli_compare,
	&cli_completion,
	&cli_man,
	&cli_box_launch,
	&cli_box_clean,
	NULL,
};

const struct program cli_program = {
	.name = "ringwall",
	.version = RINGWALL_VERSION,
	.summary = "run a workload behind the isolation boundary of your choice",
	.details = "A box is one workload behind one wall: container, process, or another that 'ringwall doctor' lists. Every "
		   "wall takes the same commands, the same OCI bundles and the same images. A program called ringwall-WALL "
		   "(a link to this one) uses that wall.\n\n"
		   "Exit status: the workload's; 125 when ringwall failed, 126 when the program cannot be executed, 127 when "
		   "it was not found.",
	.options = global_options,
	.commands = verbs,
};

/* A link named ringwall-WALL chooses that wall. */
static void isolation_from_name(const char *argv0)
{
	static const char prefix[] = "ringwall-";
	const char *base = strrchr(argv0, '/');

	base = base ? base + 1 : argv0;
	if (strncmp(base, prefix, sizeof(prefix) - 1) == 0 && base[sizeof(prefix) - 1])
		cli.isolation = base + sizeof(prefix) - 1;
}

static int print_version(void)
{
	printf("ringwall version %s\nspec: %s\n", RINGWALL_VERSION, OCI_SPEC_VERSION);
	return 0;
}

static int run_command(const struct command *command, char **argv, struct error *err)
{
	char **operands = argv;
	int r;

	r = options_defaults(command->options, err);
	if (r < 0)
		return r;
	if (!(command->flags & COMMAND_RAW)) {
		r = options_parse(command->options, global_options, command->flags & COMMAND_STOPS_AT_OPERAND, argv, &operands,
				  err);
		if (r < 0)
			return r;
	}
	if (cli.help) {
		command_print_help(&cli_program, command, stdout);
		return 0;
	}
	r = cli_log_open(&cli, err); /* again: a global option may follow the command */
	if (r < 0)
		return r;
	r = command_check_operands(&cli_program, command, operands, err);
	if (r < 0)
		return r;
	if (cli.systemd_cgroup)
		cli.cgroup_manager = "systemd";
	r = cli_paths(&cli, err);
	if (r < 0)
		return r;
	r = command->run(&cli, operands, err);
	options_free(command->options);
	return r;
}

static int run(char **argv, struct error *err)
{
	const struct command *command;
	char **operands;
	int r;

	r = options_defaults(global_options, err);
	if (r < 0)
		return r;
	cli_plan_options();
	isolation_from_name(argv[0] ? argv[0] : "");
	r = options_parse(NULL, global_options, true, argv + 1, &operands, err);
	if (r < 0)
		return r;
	r = cli_log_open(&cli, err);
	if (r < 0)
		return r;
	if (cli.version)
		return print_version();
	if (!operands[0] || (cli.help && !operands[0]) || strcmp(operands[0], "help") == 0) {
		if (operands[0] && operands[1]) {
			command = command_find(&cli_program, operands[1], err);
			if (!command)
				return -EINVAL;
			command_print_help(&cli_program, command, stdout);
			return 0;
		}
		program_print_help(&cli_program, operands[0] || cli.help ? stdout : stderr);
		return operands[0] || cli.help ? 0 : EXIT_RINGWALL_FAILED;
	}
	command = command_find(&cli_program, operands[0], err);
	if (!command)
		return -EINVAL;
	return run_command(command, operands + 1, err);
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	int r = run(argv, &err);

	if (r >= 0 && fflush(stdout) == EOF)
		r = error_sys(&err, errno, "cannot write the output");
	if (r >= 0)
		return r;
	cli_log_error(&cli, &err);
	return err.exit_status ? err.exit_status : EXIT_RINGWALL_FAILED;
}
