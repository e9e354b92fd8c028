#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/strv.h"
#include "opt/options.h"

static struct {
	const char *bundle, *format;
	char **env;
	bool detach, tty, help;
	struct option_number fds, memory;
} opt;

static const struct option table[] = {
	{ 'b', "bundle", OPTION_STRING, &opt.bundle, "DIR", "the bundle", .fallback = "." },
	{ 'd', "detach", OPTION_FLAG, &opt.detach, NULL, "go to the background" },
	{ 't', "tty", OPTION_FLAG, &opt.tty, NULL, "a terminal" },
	{ 'e', "env", OPTION_LIST, &opt.env, "NAME=VALUE", "set a variable" },
	{ 0, "preserve-fds", OPTION_NUMBER, &opt.fds, "N", "pass descriptors" },
	{ 'm', "memory", OPTION_SIZE, &opt.memory, "BYTES", "limit memory", .aliases = "mem memory-limit" },
	{ 'f', "format", OPTION_STRING, &opt.format, "table|json", "how", .fallback = "table", .environment = "TEST_FORMAT" },
	{ 0 },
};

static const struct option globals[] = {
	{ 'h', "help", OPTION_FLAG, &opt.help, NULL, "help" },
	{ 0 },
};

static struct error err;

static int reset(void **state)
{
	options_free(table);
	memset(&opt, 0, sizeof(opt));
	err = ERROR_INIT;
	unsetenv("TEST_FORMAT");
	return 0;
}

/* Parses the words of LINE; the operands that are left, joined with ','. NULL on failure. */
static const char *parse(const char *line, bool stop)
{
	static char joined[256];
	static char **argv;
	char **operands;

	strv_free(argv);
	argv = strv_split(line, " ");
	if (!argv)
		argv = calloc(1, sizeof(*argv));
	if (options_defaults(table, &err) < 0 || options_parse(table, globals, stop, argv, &operands, &err) < 0)
		return NULL;
	joined[0] = 0;
	for (size_t i = 0; operands[i]; i++) {
		strcat(joined, i ? "," : "");
		strcat(joined, operands[i]);
	}
	return joined;
}

static void test_forms(void **state)
{
	assert_string_equal(parse("-b /x --detach id --preserve-fds=3 -m 512m", false), "id");
	assert_string_equal(opt.bundle, "/x");
	assert_true(opt.detach);
	assert_int_equal(opt.fds.v, 3);
	assert_int_equal(opt.memory.v, 512 << 20);
	assert_true(opt.memory.given);
}

static void test_letters(void **state)
{
	assert_string_equal(parse("-dtb/x one -hm=1g two", false), "one,two");
	assert_true(opt.detach && opt.tty && opt.help);
	assert_string_equal(opt.bundle, "/x");
	assert_int_equal(opt.memory.v, 1 << 30);
}

static void test_negation_and_repetition(void **state)
{
	assert_string_equal(parse("--detach --detach=false -e A=1 --env B=2 --env=C=3 -t=false", false), "");
	assert_false(opt.detach);
	assert_false(opt.tty);
	assert_int_equal(strv_len(opt.env), 3);
	assert_string_equal(opt.env[2], "C=3");
}

static void test_operands_end_options(void **state)
{
	assert_string_equal(parse("-d id ls -l --help", true), "id,ls,-l,--help");
	assert_false(opt.help);
	assert_string_equal(parse("-d -- -x --help", false), "-x,--help");
	assert_string_equal(parse("- -d", false), "-");
}

static void test_defaults_and_environment(void **state)
{
	assert_non_null(parse("", false));
	assert_string_equal(opt.bundle, ".");
	assert_string_equal(opt.format, "table");
	assert_false(opt.memory.given);
	setenv("TEST_FORMAT", "json", 1);
	assert_non_null(parse("", false));
	assert_string_equal(opt.format, "json");
	assert_non_null(parse("-f table", false));
	assert_string_equal(opt.format, "table");
	setenv("TEST_FORMAT", "yaml", 1);
	assert_null(parse("", false));
	assert_non_null(strstr(err.message, "TEST_FORMAT"));
}

static void test_aliases_and_globals(void **state)
{
	assert_string_equal(parse("--mem 4k --help", false), "");
	assert_int_equal(opt.memory.v, 4096);
	assert_true(opt.help);
	assert_non_null(parse("--memory-limit=-1", false));
	assert_int_equal(opt.memory.v, -1);
}

static void refused(const char *line, const char *reason)
{
	assert_null(parse(line, false));
	if (!strstr(err.message, reason))
		fail_msg("'%s' gave '%s', which does not say '%s'", line, err.message, reason);
}

static void test_errors(void **state)
{
	refused("--bundel x", "did you mean --bundle?");
	refused("--detahc", "did you mean --detach?");
	refused("--zzz", "unknown option --zzz");
	refused("-x", "unknown option -x");
	refused("--bundle", "needs a value");
	refused("-b", "needs a value");
	refused("--memory 12q", "not a size");
	refused("--memory 99999999999999999999", "out of range");
	refused("--memory 9223372036854775808", "out of range");
	refused("--preserve-fds=x", "not a whole number");
	refused("--format=yaml", "not one of table|json");
	refused("--detach=maybe", "neither true nor false");
}

static const struct command command = {
	.name = "create",
	.operands = "ID",
	.summary = "make a box",
	.details = "First.\n\nSecond 'quoted' \\ paragraph.",
	.options = table,
	.min_operands = 1,
	.max_operands = 1,
};

static const struct command *const commands[] = { &command, NULL };
static const struct program program = {
	.name = "prog", .version = "1", .summary = "does things", .options = globals, .commands = commands,
};

static void test_commands(void **state)
{
	char *none[] = { NULL }, *two[] = { (char[]){ "a" }, (char[]){ "b" }, NULL };

	assert_ptr_equal(command_find(&program, "create", &err), &command);
	assert_null(command_find(&program, "craete", &err));
	assert_non_null(strstr(err.message, "did you mean 'create'?"));
	assert_int_equal(command_check_operands(&program, &command, none, &err), -EINVAL);
	assert_int_equal(command_check_operands(&program, &command, two, &err), -EINVAL);
	assert_non_null(strstr(err.message, "'b' is one operand too many"));
}

static char *printed(void (*print)(FILE *f))
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	print(f);
	fclose(f);
	return text;
}

static void print_all(FILE *f)
{
	program_print_help(&program, f);
	command_print_help(&program, &command, f);
	program_print_man(&program, f);
	command_print_man(&program, &command, f);
	assert_int_equal(program_print_completion(&program, "bash", f, &err), 0);
	assert_int_equal(program_print_completion(&program, "zsh", f, &err), 0);
	assert_int_equal(program_print_completion(&program, "fish", f, &err), 0);
	assert_int_equal(program_print_completion(&program, "csh", f, &err), -EINVAL);
}

static void test_generated(void **state)
{
	_cleanup_free_ char *text = printed(print_all);

	assert_non_null(strstr(text, "-f, --format table|json"));
	assert_non_null(strstr(text, "(default: table) [TEST_FORMAT]"));
	assert_non_null(strstr(text, "\\fB\\-\\-preserve\\-fds\\fR \\fIN\\fR"));
	assert_non_null(strstr(text, "paragraph"));
	assert_non_null(strstr(text, "compgen -W 'table json'"));
	assert_non_null(strstr(text, "complete -c prog"));
	assert_null(strstr(text, "memory-limit"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_forms, reset),
		cmocka_unit_test_setup(test_letters, reset),
		cmocka_unit_test_setup(test_negation_and_repetition, reset),
		cmocka_unit_test_setup(test_operands_end_options, reset),
		cmocka_unit_test_setup(test_defaults_and_environment, reset),
		cmocka_unit_test_setup(test_aliases_and_globals, reset),
		cmocka_unit_test_setup(test_errors, reset),
		cmocka_unit_test_setup(test_commands, reset),
		cmocka_unit_test_setup(test_generated, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
