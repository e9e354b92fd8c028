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

static int run_man(struct cli *cli, char **operands, struct error *err)
{
	const struct command *command;

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
	.max_operands = 1,
	.run = run_man,
};
