/*
 * One table for each command. From it come the parser, --help, the manual page and the completion of bash, zsh and fish,
 * so that none of them can disagree with another.
 *
 *   static struct { const char *bundle; bool detach; } opt;
 *   static const struct option options[] = {
 *           { 'b', "bundle", OPTION_STRING, &opt.bundle, "DIR", "the bundle's directory", .fallback = "." },
 *           { 'd', "detach", OPTION_FLAG, &opt.detach, NULL, "do not wait for the workload" },
 *           { 0 },
 *   };
 *
 * Understood: -b DIR, -bDIR, -df (bundled flags), --bundle DIR, --bundle=DIR, --detach=false, "--". A name that is not in
 * a command's own table is looked for in the program's, so global options may follow the command.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum option_kind {
	OPTION_FLAG,   /* bool: --name, --name=true|false */
	OPTION_STRING, /* const char *: points into argv or the environment, not owned; the last one counts */
	OPTION_LIST,   /* char **: an owned strv; each appearance appends */
	OPTION_NUMBER, /* struct option_number: decimal, may be negative */
	OPTION_SIZE,   /* struct option_number: bytes with an optional unit, "512m"; "-1" is no limit */
};

struct option_number {
	bool given;
	int64_t v;
};

struct option {
	char letter;      /* 0: none */
	const char *name; /* long name without dashes; NULL together with letter 0 ends the table */
	enum option_kind kind;
	void *value;          /* what the kind says */
	const char *argument; /* placeholder in --help: "DIR", "FILE", "a|b" (then only these are accepted); NULL for flags */
	const char *help;     /* one sentence, no capital, no full stop */
	const char *aliases;  /* hidden names, separated by spaces; or NULL */
	const char *fallback; /* value when not given, shown in --help; not for flags and lists */
	const char *environment; /* variable that gives the value when the command line does not */
	bool hidden;             /* accepted, but not shown */
};

struct cli; /* the program's own context, defined by each executable */

enum {
	COMMAND_STOPS_AT_OPERAND = 1 << 0, /* what follows the first operand is not ours (exec ID ls -l) */
	COMMAND_HIDDEN = 1 << 1,
	COMMAND_RAW = 1 << 2, /* takes its arguments as they are (it hands them to another program) */
};

struct command {
	const char *name;
	const char *group;    /* heading in the list of commands */
	const char *operands; /* synopsis: "ID [SIGNAL]"; completion knows ID, IMAGE, FILE and DIR */
	const char *summary;  /* one line, no capital, no full stop */
	const char *details;  /* paragraphs separated by empty lines, wrapped when shown; or NULL */
	const struct option *options; /* or NULL */
	unsigned flags;
	int min_operands, max_operands; /* max -1: any number */
	/* Exit status (0 to 255), or a negative errno with the reason in ERR. */
	int (*run)(struct cli *cli, char **operands, struct error *err);
};

struct program {
	const char *name, *version, *summary, *details;
	const struct option *options;              /* global */
	const struct command *const *commands;     /* NULL-terminated, in the order of the help text */
};

/*
 * Parses ARGV (without the program's or the command's name), a NULL-terminated array that is reordered in place: on
 * success *RET_OPERANDS is its NULL-terminated tail of operands. Names are looked up in OPTIONS, then in GLOBALS (both
 * may be NULL). With STOP_AT_OPERAND, parsing ends before the first operand; an immediately following "--" is dropped.
 */
int options_parse(const struct option *options, const struct option *globals, bool stop_at_operand, char **argv,
		  char ***ret_operands, struct error *err);

/* Gives OPTIONS their fallbacks and what the environment says; before options_parse(). */
int options_defaults(const struct option *options, struct error *err);

/* Frees the lists that OPTIONS collected. */
void options_free(const struct option *options);

/* The command called NAME; else NULL, ERR naming the nearest one. */
const struct command *command_find(const struct program *program, const char *name, struct error *err);

/* Checks the number of operands; the error shows the synopsis. */
int command_check_operands(const struct program *program, const struct command *command, char *const *operands,
			   struct error *err);

/* True when A and B are a few keystrokes apart: for "did you mean". */
bool option_name_is_near(const char *a, const char *b);

void program_print_help(const struct program *program, FILE *f);
void command_print_help(const struct program *program, const struct command *command, FILE *f);

/* roff, man(7): section 1, the page PROGRAM(1) or PROGRAM-COMMAND(1). */
void program_print_man(const struct program *program, FILE *f);
void command_print_man(const struct program *program, const struct command *command, FILE *f);

/* A completion script for SHELL ("bash", "zsh" or "fish"); -EINVAL for another. */
int program_print_completion(const struct program *program, const char *shell, FILE *f, struct error *err);
