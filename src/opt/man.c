#include <ctype.h>
#include <string.h>

#include "opt/options.h"

/* roff text: backslashes, and dots and quotes at the start of a line, would be read as requests; '-' is a minus. */
static void put_text(FILE *f, const char *s)
{
	bool line_start = true;

	for (; *s; s++) {
		if (line_start && (*s == '.' || *s == '\''))
			fputs("\\&", f);
		line_start = *s == '\n';
		if (*s == '\\')
			fputs("\\e", f);
		else if (*s == '-')
			fputs("\\-", f);
		else
			fputc(*s, f);
	}
}

static void put_upper(FILE *f, const char *s)
{
	for (; *s; s++)
		fputc(toupper((unsigned char)*s), f);
}

static void put_header(const struct program *program, const char *command, const char *summary, FILE *f)
{
	fputs(".TH ", f);
	put_upper(f, program->name);
	if (command) {
		fputc('-', f);
		put_upper(f, command);
	}
	fprintf(f, " 1 \"\" \"%s %s\" \"User Commands\"\n.SH NAME\n", program->name, program->version);
	fprintf(f, "%s%s%s \\- ", program->name, command ? "\\-" : "", command ? command : "");
	put_text(f, summary);
	fputc('\n', f);
}

/* Empty lines become paragraph requests. */
static void put_paragraphs(FILE *f, const char *text)
{
	const char *p;

	while ((p = strstr(text, "\n\n"))) {
		char part[4096];

		snprintf(part, sizeof(part), "%.*s", (int)MIN((size_t)(p - text), sizeof(part) - 1), text);
		put_text(f, part);
		fputs("\n.PP\n", f);
		text = p + 2;
	}
	put_text(f, text);
	fputc('\n', f);
}

static void put_options(const char *title, const struct option *options, FILE *f)
{
	if (!options || (!options->name && !options->letter))
		return;
	fprintf(f, ".SH %s\n", title);
	for (const struct option *o = options; o->name || o->letter; o++) {
		if (o->hidden)
			continue;
		fputs(".TP\n", f);
		if (o->letter)
			fprintf(f, "\\fB\\-%c\\fR%s", o->letter, o->name ? ", " : "");
		if (o->name) {
			fputs("\\fB\\-\\-", f);
			put_text(f, o->name);
			fputs("\\fR", f);
		}
		if (o->kind != OPTION_FLAG) {
			fputs(" \\fI", f);
			put_text(f, o->argument ? o->argument : "VALUE");
			fputs("\\fR", f);
		}
		fputc('\n', f);
		put_text(f, o->help);
		if (o->fallback) {
			fputs(" (default: ", f);
			put_text(f, o->fallback);
			fputc(')', f);
		}
		fputs(".\n", f);
		if (o->environment)
			fprintf(f, "Also set by the environment variable %s.\n", o->environment);
	}
}

void command_print_man(const struct program *program, const struct command *command, FILE *f)
{
	put_header(program, command->name, command->summary, f);
	fprintf(f, ".SH SYNOPSIS\n\\fB%s\\fR [\\fIGLOBAL OPTIONS\\fR] \\fB%s\\fR%s ", program->name, command->name,
		command->options ? " [\\fIOPTIONS\\fR]" : "");
	put_text(f, command->operands ? command->operands : "");
	fputc('\n', f);
	if (command->details) {
		fputs(".SH DESCRIPTION\n", f);
		put_paragraphs(f, command->details);
	}
	put_options("OPTIONS", command->options, f);
	fprintf(f, ".SH SEE ALSO\n.BR %s (1)\n", program->name);
}

void program_print_man(const struct program *program, FILE *f)
{
	put_header(program, NULL, program->summary, f);
	fprintf(f, ".SH SYNOPSIS\n\\fB%s\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n", program->name);
	if (program->details) {
		fputs(".SH DESCRIPTION\n", f);
		put_paragraphs(f, program->details);
	}
	fputs(".SH COMMANDS\n", f);
	for (const struct command *const *c = program->commands; *c; c++) {
		if ((*c)->flags & COMMAND_HIDDEN)
			continue;
		fprintf(f, ".TP\n.BR %s\\-%s (1)\n", program->name, (*c)->name);
		put_text(f, (*c)->summary);
		fputs(".\n", f);
	}
	put_options("OPTIONS", program->options, f);
}
