#include "opt/options.h"

#include <string.h>

#include "base/parse.h"
#include "base/strv.h"

static bool is_end(const struct option *o)
{
	return !o->name && !o->letter;
}

/* Whether WORD (LEN bytes) is one of the words of LIST, which are separated by SEPARATOR. */
static bool word_in(const char *list, char separator, const char *word, size_t len)
{
	while (list && *list) {
		const char *end = strchrnul(list, separator);

		if ((size_t)(end - list) == len && memcmp(list, word, len) == 0)
			return true;
		list = *end ? end + 1 : end;
	}
	return false;
}

static const struct option *find_long(const struct option *o, const char *name, size_t len)
{
	for (; o && !is_end(o); o++) {
		if (o->name && strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
		if (word_in(o->aliases, ' ', name, len))
			return o;
	}
	return NULL;
}

static const struct option *find_letter(const struct option *o, char letter)
{
	for (; o && !is_end(o); o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static bool takes_value(const struct option *o)
{
	return o->kind != OPTION_FLAG;
}

/* How the user wrote the option, for messages: "--memory" or "-m". */
static const char *option_label(const struct option *o, char *buf, size_t size)
{
	if (o->name)
		snprintf(buf, size, "--%s", o->name);
	else
		snprintf(buf, size, "-%c", o->letter);
	return buf;
}

static bool is_choice(const struct option *o)
{
	return o->argument && strchr(o->argument, '|') && !strchr(o->argument, ':') && o->kind == OPTION_STRING &&
	       o->argument[0] >= 'a' && o->argument[0] <= 'z';
}

static int assign_number(const struct option *o, const char *value, struct error *err)
{
	struct option_number *n = o->value;
	char label[64];
	uint64_t size;
	int64_t v;
	int r;

	if (o->kind == OPTION_NUMBER || value[0] == '-') {
		r = parse_i64(value, &v);
	} else {
		r = parse_size(value, &size);
		if (r == 0 && size > INT64_MAX)
			r = -ERANGE;
		v = (int64_t)size;
	}
	if (r < 0)
		return error_set(err, EINVAL, "option %s: '%s' is %s", option_label(o, label, sizeof(label)), value,
				 r == -ERANGE		      ? "out of range"
				 : o->kind == OPTION_NUMBER ? "not a whole number"
							      : "not a size (a number with an optional unit b, k, m, g or t)");
	*n = (struct option_number){ .given = true, .v = v };
	return 0;
}

/* VALUE is NULL for a flag without one. */
static int assign(const struct option *o, const char *value, struct error *err)
{
	char label[64];

	switch (o->kind) {
	case OPTION_FLAG: {
		bool v = true;

		if (value && parse_bool(value, &v) < 0)
			return error_set(err, EINVAL, "option %s: '%s' is neither true nor false",
					 option_label(o, label, sizeof(label)), value);
		*(bool *)o->value = v;
		return 0;
	}
	case OPTION_STRING:
		if (is_choice(o) && !word_in(o->argument, '|', value, strlen(value)))
			return error_set(err, EINVAL, "option %s: '%s' is not one of %s",
					 option_label(o, label, sizeof(label)), value, o->argument);
		*(const char **)o->value = value;
		return 0;
	case OPTION_LIST:
		return strv_add(o->value, value) < 0 ? error_oom(err) : 0;
	case OPTION_NUMBER:
	case OPTION_SIZE:
		return assign_number(o, value, err);
	}
	return error_set(err, EINVAL, "option of unknown kind");
}

int options_defaults(const struct option *options, struct error *err)
{
	for (const struct option *o = options; o && !is_end(o); o++) {
		const char *value = o->environment ? getenv(o->environment) : NULL;
		int r;

		if (!value || !*value)
			value = o->fallback;
		if (!value)
			continue;
		r = assign(o, value, err);
		if (r < 0 && value != o->fallback)
			return error_prefix(err, "environment variable %s", o->environment);
		if (r < 0)
			return r;
	}
	return 0;
}

void options_free(const struct option *options)
{
	for (const struct option *o = options; o && !is_end(o); o++)
		if (o->kind == OPTION_LIST) {
			strv_free(*(char ***)o->value);
			*(char ***)o->value = NULL;
		}
}

bool option_name_is_near(const char *a, const char *b)
{
	enum { MAX_LEN = 40 };
	size_t la = strlen(a), lb = strlen(b);
	unsigned row[3][MAX_LEN + 1];

	if (la > MAX_LEN || lb > MAX_LEN || !la || !lb)
		return false;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) { /* Damerau-Levenshtein, three rows */
		unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *twice = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned cost = a[i - 1] == b[j - 1] ? 0 : 1;

			now[j] = MIN(before[j], now[j - 1]) + 1;
			now[j] = MIN(now[j], before[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = MIN(now[j], twice[j - 2] + 1);
		}
	}
	return row[la % 3][lb] <= (MIN(la, lb) <= 3 ? 1u : 2u) || (la >= 4 && strncmp(a, b, la) == 0);
}

static int unknown_long(const struct option *options, const struct option *globals, const char *name, size_t len,
			struct error *err)
{
	const struct option *tables[] = { options, globals };
	char given[64];

	snprintf(given, sizeof(given), "%.*s", (int)MIN(len, sizeof(given) - 1), name);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct option *o = tables[i]; o && !is_end(o); o++)
			if (o->name && !o->hidden && option_name_is_near(given, o->name))
				return error_set(err, EINVAL, "unknown option --%s; did you mean --%s?", given, o->name);
	return error_set(err, EINVAL, "unknown option --%s; --help lists the options", given);
}

/* WORD is what follows "--". Returns how many further arguments were used (0 or 1). */
static int parse_long(const struct option *options, const struct option *globals, const char *word, const char *next,
		      struct error *err)
{
	size_t len = strcspn(word, "=");
	const char *value = word[len] ? word + len + 1 : NULL;
	const struct option *o = find_long(options, word, len);
	int r;

	if (!o)
		o = find_long(globals, word, len);
	if (!o)
		return unknown_long(options, globals, word, len, err);
	if (!takes_value(o) || value) {
		r = assign(o, value, err);
		return r < 0 ? r : 0;
	}
	if (!next)
		return error_set(err, EINVAL, "option --%.*s needs a value: --%.*s %s", (int)len, word, (int)len, word,
				 o->argument ? o->argument : "VALUE");
	r = assign(o, next, err);
	return r < 0 ? r : 1;
}

/* WORD is what follows "-": letters of flags, the last of which may take a value. */
static int parse_letters(const struct option *options, const struct option *globals, const char *word, const char *next,
			 struct error *err)
{
	for (const char *p = word; *p; p++) {
		const struct option *o = find_letter(options, *p);
		int r;

		if (!o)
			o = find_letter(globals, *p);
		if (!o)
			return error_set(err, EINVAL, "unknown option -%c%s%s; --help lists the options", *p,
					 word[1] ? " in -" : "", word[1] ? word : "");
		if (!takes_value(o)) {
			r = assign(o, p[1] == '=' ? p + 2 : NULL, err);
			if (r < 0)
				return r;
			if (p[1] == '=')
				return 0;
			continue;
		}
		if (p[1]) {
			r = assign(o, p + 1 + (p[1] == '='), err);
			return r < 0 ? r : 0;
		}
		if (!next)
			return error_set(err, EINVAL, "option -%c needs a value: -%c %s", *p, *p,
					 o->argument ? o->argument : "VALUE");
		r = assign(o, next, err);
		return r < 0 ? r : 1;
	}
	return 0;
}

int options_parse(const struct option *options, const struct option *globals, bool stop_at_operand, char **argv,
		  char ***ret_operands, struct error *err)
{
	size_t n_operands = 0, i;

	for (i = 0; argv[i]; i++) {
		char *word = argv[i];
		int r;

		if (strcmp(word, "--") == 0) {
			i++;
			break;
		}
		if (word[0] != '-' || !word[1]) {
			if (stop_at_operand)
				break;
			argv[n_operands++] = word;
			continue;
		}
		r = word[1] == '-' ? parse_long(options, globals, word + 2, argv[i + 1], err)
				   : parse_letters(options, globals, word + 1, argv[i + 1], err);
		if (r < 0)
			return r;
		i += (size_t)r;
	}
	while (argv[i])
		argv[n_operands++] = argv[i++];
	argv[n_operands] = NULL;
	*ret_operands = argv;
	return 0;
}

const struct command *command_find(const struct program *program, const char *name, struct error *err)
{
	for (const struct command *const *c = program->commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	for (const struct command *const *c = program->commands; *c; c++)
		if (!((*c)->flags & COMMAND_HIDDEN) && option_name_is_near(name, (*c)->name)) {
			error_set(err, EINVAL, "unknown command '%s'; did you mean '%s'?", name, (*c)->name);
			return NULL;
		}
	error_set(err, EINVAL, "unknown command '%s'; '%s --help' lists the commands", name, program->name);
	return NULL;
}

int command_check_operands(const struct program *program, const struct command *command, char *const *operands,
			   struct error *err)
{
	size_t n = strv_len(operands);
	const char *problem = NULL;

	if (n < (size_t)command->min_operands)
		problem = "missing operand";
	else if (command->max_operands >= 0 && n > (size_t)command->max_operands)
		return error_set(err, EINVAL, "'%s' is one operand too many; usage: %s %s%s %s",
				 operands[command->max_operands], program->name, command->name,
				 command->options ? " [OPTIONS]" : "", command->operands ? command->operands : "");
	if (problem)
		return error_set(err, EINVAL, "%s; usage: %s %s%s %s", problem, program->name, command->name,
				 command->options ? " [OPTIONS]" : "", command->operands ? command->operands : "");
	return 0;
}
