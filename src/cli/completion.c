#include <string.h>

#include "cli/cli.h"

static int run_completion(struct cli *cli, char **operands, struct error *err)
{
	return program_print_completion(&cli_program, operands[0], stdout, err);
}

const struct command cli_completion = {
	.name = "completion",
	.group = "This program",
	.operands = "bash|zsh|fish",
	.summary = "print a completion script for a shell",
	.details = "To use it at once in bash: source <(ringwall completion bash)",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_completion,
};

static const char *all_to;
static const struct option man_options[] = {
	{ 0, "all", OPTION_STRING, &all_to, "DIR", "write every page to DIR, as files for man1/" },
	{ 0 },
};

/* COMMAND NULL: the page of the program. */
static int write_page(const char *dir, const struct command *command, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fclose_ FILE *f = NULL;

	if (asprintf(&path, "%s/ringwall%s%s.1", dir, command ? "-" : "", command ? command->name : "") < 0)
		return error_oom(err);
	f = fopen(path, "we");
	if (!f)
		return error_sys(err, errno, "cannot write '%s'", path);
	if (command)
		command_print_man(&cli_program, command, f);
	else
		program_print_man(&cli_program, f);
	return fflush(f) == EOF ? error_sys(err, errno, "cannot write '%s'", path) : 0;
}

static int write_all(const char *dir, struct error *err)
{
	int r = write_page(dir, NULL, err);

	for (const struct command *const *c = cli_program.commands; r == 0 && *c; c++)
		if (!((*c)->flags & COMMAND_HIDDEN))
			r = write_page(dir, *c, err);
	return r;
}

static int run_man(struct cli *cli, char **operands, struct error *err)
{
	const struct command *command;

	if (all_to)
		return write_all(all_to, err);
	if (!operands[0]) {
		program_print_man(&cli_program, stdout);
		return 0;
	}
	command = command_find(&cli_program, operands[0], err);
	if (!command)
		return -EINVAL;
	command_print_man(&cli_program, command, stdout);
	return 0;
}

const struct command cli_man = {
	.name = "man",
	.group = "This program",
	.operands = "[COMMAND]",
	.summary = "print a manual page in roff",
	.details = "To read one at once: ringwall man run | man -l -",
	.options = man_options,
	.max_operands = 1,
	.run = run_man,
};
