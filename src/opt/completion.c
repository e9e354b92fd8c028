#include <string.h>

#include "opt/options.h"

typedef void (*word_fn)(FILE *f, const struct option *o, const struct command *c);

static void for_each_option(const struct option *options, const struct command *c, FILE *f, word_fn put)
{
	for (const struct option *o = options; o && (o->name || o->letter); o++)
		if (!o->hidden)
			put(f, o, c);
}

static bool wants(const struct command *c, const char *operand)
{
	return c->operands && strncmp(c->operands, operand, strlen(operand)) == 0;
}

/* What can follow the option, as a shell word list; NULL for a file name. */
static const char *choices(const struct option *o, char *buf, size_t size)
{
	if (!o->argument || !strchr(o->argument, '|') || strpbrk(o->argument, "[]: "))
		return NULL;
	snprintf(buf, size, "%s", o->argument);
	for (char *p = buf; *p; p++)
		if (*p == '|')
			*p = ' ';
	return buf;
}

static void bash_word(FILE *f, const struct option *o, const struct command *c)
{
	if (o->name)
		fprintf(f, "--%s ", o->name);
	if (o->letter)
		fprintf(f, "-%c ", o->letter);
}

static void bash_choice(FILE *f, const struct option *o, const struct command *c)
{
	char buf[128];
	const char *words = choices(o, buf, sizeof(buf));

	if (words && o->name)
		fprintf(f, "\t%s:--%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", c ? c->name : "*", o->name,
			words);
}

static void print_bash(const struct program *p, FILE *f)
{
	fprintf(f,
		"# bash completion for %s, generated from its option tables\n"
		"_%s()\n{\n"
		"\tlocal cur prev verb word verbs options\n"
		"\tcur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=\n"
		"\tverbs='",
		p->name, p->name);
	for (const struct command *const *c = p->commands; *c; c++)
		if (!((*c)->flags & COMMAND_HIDDEN))
			fprintf(f, "%s ", (*c)->name);
	fputs("'\n\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	      "\t\tcase \" $verbs \" in *\" $word \"*) verb=$word; break ;; esac\n\tdone\n"
	      "\tcase \"$verb:$prev\" in\n",
	      f);
	for (const struct command *const *c = p->commands; *c; c++)
		for_each_option((*c)->options, *c, f, bash_choice);
	for_each_option(p->options, NULL, f, bash_choice);
	fputs("\tesac\n\tcase \"$verb\" in\n\t'') options='", f);
	for_each_option(p->options, NULL, f, bash_word);
	fputs("' ;;\n", f);
	for (const struct command *const *c = p->commands; *c; c++) {
		fprintf(f, "\t%s) options='", (*c)->name);
		for_each_option((*c)->options, *c, f, bash_word);
		fputs("--help' ;;\n", f);
	}
	fputs("\tesac\n\tcase \"$verb:$cur\" in\n\t*:-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
	      "\t:*) COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\")) ;;\n",
	      f);
	for (const struct command *const *c = p->commands; *c; c++) {
		if (wants(*c, "ID"))
			fprintf(f, "\t%s:*) COMPREPLY=($(compgen -W \"$(%s list -q 2>/dev/null)\" -- \"$cur\")) ;;\n",
				(*c)->name, p->name);
		else if (wants(*c, "IMAGE"))
			fprintf(f, "\t%s:*) COMPREPLY=($(compgen -W \"$(%s image ls -q 2>/dev/null)\" -- \"$cur\")) ;;\n",
				(*c)->name, p->name);
	}
	fprintf(f, "\t*) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n\tesac\n}\ncomplete -o filenames -F _%s %s\n", p->name,
		p->name);
}

/* Inside single quotes. */
static void put_quoted(FILE *f, const char *s, const char *escape)
{
	for (; *s; s++) {
		if (*s == '\'')
			fputs("'\\''", f);
		else if (strchr(escape, *s))
			fprintf(f, "\\%c", *s);
		else
			fputc(*s, f);
	}
}

static void zsh_spec(FILE *f, const struct option *o, const struct command *c)
{
	char buf[128];
	const char *words = choices(o, buf, sizeof(buf));

	for (int i = 0; i < 2; i++) {
		if (i == 0 ? !o->name : !o->letter)
			continue;
		fputs(" \\\n\t\t'", f);
		if (o->kind == OPTION_LIST)
			fputc('*', f);
		if (i == 0)
			fprintf(f, "--%s%s", o->name, o->kind == OPTION_FLAG ? "" : "=");
		else
			fprintf(f, "-%c%s", o->letter, o->kind == OPTION_FLAG ? "" : "+");
		fputc('[', f);
		put_quoted(f, o->help, "[]:");
		fputc(']', f);
		if (o->kind != OPTION_FLAG) {
			fputc(':', f);
			put_quoted(f, o->argument ? o->argument : "value", "[]:");
			if (words)
				fprintf(f, ":(%s)", words);
			else
				fputs(":_files", f);
		}
		fputc('\'', f);
	}
}

static void print_zsh(const struct program *p, FILE *f)
{
	fprintf(f,
		"#compdef %s\n# generated from its option tables\n_%s()\n{\n\tlocal context state line verb\n"
		"\t_arguments -C",
		p->name, p->name);
	for_each_option(p->options, NULL, f, zsh_spec);
	fputs(" \\\n\t\t'1:command:->commands' '*::argument:->arguments'\n\tcase $state in\n\tcommands)\n\t\tlocal -a verbs=(\n",
	      f);
	for (const struct command *const *c = p->commands; *c; c++) {
		if ((*c)->flags & COMMAND_HIDDEN)
			continue;
		fprintf(f, "\t\t\t'%s:", (*c)->name);
		put_quoted(f, (*c)->summary, "");
		fputs("'\n", f);
	}
	fputs("\t\t)\n\t\t_describe command verbs ;;\n\targuments)\n\t\tverb=$line[1]\n\t\tcase $verb in\n", f);
	for (const struct command *const *c = p->commands; *c; c++) {
		fprintf(f, "\t\t%s) _arguments", (*c)->name);
		for_each_option((*c)->options, *c, f, zsh_spec);
		if (wants(*c, "ID"))
			fprintf(f, " \\\n\t\t'*:box:($(%s list -q 2>/dev/null))' ;;\n", p->name);
		else if (wants(*c, "IMAGE"))
			fprintf(f, " \\\n\t\t'*:image:($(%s image ls -q 2>/dev/null))' ;;\n", p->name);
		else
			fputs(" \\\n\t\t'*:file:_files' ;;\n", f);
	}
	fprintf(f, "\t\tesac ;;\n\tesac\n}\n_%s \"$@\"\n", p->name);
}

static const struct program *fish_program; /* the one being printed: fish lines repeat its name */

static void fish_line(FILE *f, const struct option *o, const struct command *c)
{
	char buf[128];
	const char *words = choices(o, buf, sizeof(buf));

	fprintf(f, "complete -c %s -n '%s%s'", fish_program->name, c ? "__fish_seen_subcommand_from " : "__fish_use_subcommand",
		c ? c->name : "");
	if (o->name)
		fprintf(f, " -l %s", o->name);
	if (o->letter)
		fprintf(f, " -s %c", o->letter);
	if (words)
		fprintf(f, " -x -a '%s'", words);
	else if (o->kind != OPTION_FLAG)
		fputs(" -r", f);
	fputs(" -d '", f);
	for (const char *s = o->help; *s; s++)
		fprintf(f, *s == '\'' ? "\\%c" : "%c", *s);
	fputs("'\n", f);
}

static void print_fish(const struct program *p, FILE *f)
{
	fish_program = p;
	fprintf(f, "# fish completion for %s, generated from its option tables\n", p->name);
	for_each_option(p->options, NULL, f, fish_line);
	for (const struct command *const *c = p->commands; *c; c++) {
		if ((*c)->flags & COMMAND_HIDDEN)
			continue;
		fprintf(f, "complete -c %s -f -n __fish_use_subcommand -a %s -d '", p->name, (*c)->name);
		for (const char *s = (*c)->summary; *s; s++)
			fprintf(f, *s == '\'' ? "\\%c" : "%c", *s);
		fputs("'\n", f);
		for_each_option((*c)->options, *c, f, fish_line);
		if (wants(*c, "ID"))
			fprintf(f, "complete -c %s -f -n '__fish_seen_subcommand_from %s' -a '(%s list -q 2>/dev/null)'\n",
				p->name, (*c)->name, p->name);
		else if (wants(*c, "IMAGE"))
			fprintf(f, "complete -c %s -f -n '__fish_seen_subcommand_from %s' -a '(%s image ls -q 2>/dev/null)'\n",
				p->name, (*c)->name, p->name);
	}
}

int program_print_completion(const struct program *program, const char *shell, FILE *f, struct error *err)
{
	if (strcmp(shell, "bash") == 0)
		print_bash(program, f);
	else if (strcmp(shell, "zsh") == 0)
		print_zsh(program, f);
	else if (strcmp(shell, "fish") == 0)
		print_fish(program, f);
	else
		return error_set(err, EINVAL, "no completion for the shell '%s'; there is one for bash, zsh and fish", shell);
	return 0;
}
