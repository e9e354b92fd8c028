#include "opt/options.h"

#include <ctype.h>
#include <string.h>

#include "base/strbuf.h"

enum { HELP_WIDTH = 100, HELP_COLUMN = 32 };

/* Writes TEXT in lines of HELP_WIDTH, each but the first indented by COLUMN; the cursor is at COLUMN already. */
static void print_wrapped(FILE *f, const char *text, size_t column)
{
	size_t at = column;

	while (*text) {
		size_t len = strcspn(text, " \n");

		if (at > column && at + 1 + len > HELP_WIDTH) {
			fprintf(f, "\n%*s", (int)column, "");
			at = column;
		} else if (at > column) {
			fputc(' ', f);
			at++;
		}
		fwrite(text, 1, len, f);
		at += len;
		text += len;
		if (text[0] == '\n' && text[1] == '\n') {
			fprintf(f, "\n\n%*s", (int)column, "");
			at = column;
		}
		text += strspn(text, " \n");
	}
	fputc('\n', f);
}

static void print_option(FILE *f, const struct option *o)
{
	_cleanup_strbuf_ struct strbuf head = STRBUF_INIT, help = STRBUF_INIT;

	if (o->letter && o->name)
		strbuf_addf(&head, "  -%c, --%s", o->letter, o->name);
	else if (o->letter)
		strbuf_addf(&head, "  -%c", o->letter);
	else
		strbuf_addf(&head, "      --%s", o->name);
	if (o->kind != OPTION_FLAG)
		strbuf_addf(&head, " %s", o->argument ? o->argument : "VALUE");
	strbuf_adds(&help, o->help);
	if (o->fallback)
		strbuf_addf(&help, " (default: %s)", o->fallback);
	if (o->environment)
		strbuf_addf(&help, " [%s]", o->environment);
	if (head.len + 2 > HELP_COLUMN)
		fprintf(f, "%s\n%*s", strbuf_str(&head), HELP_COLUMN, "");
	else
		fprintf(f, "%-*s", HELP_COLUMN, strbuf_str(&head));
	print_wrapped(f, strbuf_str(&help), HELP_COLUMN);
}

static void print_options(FILE *f, const char *title, const struct option *options)
{
	if (!options || (!options->name && !options->letter))
		return;
	fprintf(f, "\n%s:\n", title);
	for (const struct option *o = options; o->name || o->letter; o++)
		if (!o->hidden)
			print_option(f, o);
}

/* A summary as a sentence of its own. */
static void print_sentence(FILE *f, const char *summary)
{
	fputc(toupper((unsigned char)summary[0]), f);
	fprintf(f, "%s.\n", summary + 1);
}

void command_print_help(const struct program *program, const struct command *command, FILE *f)
{
	fprintf(f, "Usage: %s %s%s%s%s\n\n", program->name, command->name, command->options ? " [OPTIONS]" : "",
		command->operands ? " " : "", command->operands ? command->operands : "");
	print_sentence(f, command->summary);
	if (command->details) {
		fputc('\n', f);
		print_wrapped(f, command->details, 0);
	}
	print_options(f, "Options", command->options);
	fprintf(f, "\nGlobal options: %s --help\n", program->name);
}

void program_print_help(const struct program *program, FILE *f)
{
	const char *group = NULL;

	fprintf(f, "Usage: %s [OPTIONS] COMMAND [ARGUMENTS]\n\n", program->name);
	print_sentence(f, program->summary);
	if (program->details) {
		fputc('\n', f);
		print_wrapped(f, program->details, 0);
	}
	for (const struct command *const *c = program->commands; *c; c++) {
		if ((*c)->flags & COMMAND_HIDDEN)
			continue;
		if ((*c)->group && (!group || strcmp(group, (*c)->group) != 0)) {
			group = (*c)->group;
			fprintf(f, "\n%s:\n", group);
		}
		fprintf(f, "  %-12s ", (*c)->name);
		print_wrapped(f, (*c)->summary, 15);
	}
	print_options(f, "Global options", program->options);
	fprintf(f, "\n'%s COMMAND --help' tells more of a command.\n", program->name);
}
