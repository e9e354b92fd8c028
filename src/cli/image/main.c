/* ringwall-image: the one program that parses hostile archives and talks to registries. */
#include <locale.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/parse.h"
#include "cli/image/image_cli.h"
#include "image/lockdown.h"
#include "image/reference.h"
#include "image/rootless.h"

#ifndef RINGWALL_VERSION
#error "the build defines RINGWALL_VERSION"
#endif

static struct cli cli;

static const struct option global_options[] = {
    {0, "store", OPTION_STRING, &cli.store, "DIR",
     "where images are kept; /var/lib/ringwall or, without privilege, below $XDG_DATA_HOME",
     .environment = "RINGWALL_STORE"},
    {0, "log-format", OPTION_STRING, &cli.log_format, "text|json", "how errors and warnings are written",
     .fallback = "text"},
    {0, "log-level", OPTION_STRING, &cli.log_level, "debug|info|warning|error", "the least important message to show",
     .fallback = "warning"},
    {0, "debug", OPTION_FLAG, &cli.debug, NULL, "the same as --log-level debug"},
    {'h', "help", OPTION_FLAG, &cli.help, NULL, "tell how to use the program or a command"},
    {'v', "version", OPTION_FLAG, &cli.version, NULL, "print the version"},
    {0},
};

static int run_man(struct cli *c, char **operands, struct error *err)
{
	const struct command *command;

	if (!operands[0]) {
		program_print_man(&image_program, stdout);
		return 0;
	}
	command = command_find(&image_program, operands[0], err);
	if (!command)
		return -EINVAL;
	command_print_man(&image_program, command, stdout);
	return 0;
}

static int run_completion(struct cli *c, char **operands, struct error *err)
{
	return program_print_completion(&image_program, operands[0], stdout, err);
}

static const struct command image_man = {.name = "man",
					 .operands = "[COMMAND]",
					 .summary = "print a manual page",
					 .flags = COMMAND_HIDDEN,
					 .max_operands = 1,
					 .run = run_man};
static const struct command image_completion = {.name = "completion",
						.operands = "bash|zsh|fish",
						.summary = "print a completion script",
						.flags = COMMAND_HIDDEN,
						.min_operands = 1,
						.max_operands = 1,
						.run = run_completion};

/* clang-format off */
static const struct command *const verbs[] = {
	&image_pull, &image_load, &image_import, &image_commit,
	&image_push, &image_save,
	&image_ls, &image_inspect,
	&image_tag, &image_rm, &image_gc, &image_check,
	&image_man, &image_completion,
	NULL,
};
/* clang-format on */

const struct program image_program = {
    .name = "ringwall-image",
    .version = RINGWALL_VERSION,
    .summary = "bring images in, look at them, send them out",
    .details =
	"The same as 'ringwall image'. Images come from registries, OCI layouts and Docker archives; their layers are "
	"unpacked once and shared by all boxes.\n\nExit status: 0, or 125 when the command failed.",
    .options = global_options,
    .commands = verbs,
};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

static void log_line(const char *level, const char *message)
{
	if (cli.log_format && strcmp(cli.log_format, "json") == 0) {
		_cleanup_json_ struct json_object *o = json_object_new_object();
		time_t t = time(NULL);
		char now[32];
		struct tm tm;

		strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
		json_object_object_add(o, "level", json_object_new_string(level));
		json_object_object_add(o, "msg", json_object_new_string(message));
		json_object_object_add(o, "time", json_object_new_string(now));
		fprintf(stderr, "%s\n",
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		return;
	}
	fprintf(stderr, "ringwall: %s%s%s\n", strcmp(level, "error") == 0 ? "" : level,
		strcmp(level, "error") == 0 ? "" : ": ", message);
}

static void sink(void *data, enum log_level level, const char *message)
{
	log_line(level_names[level], message);
}

static void open_log(void)
{
	enum log_level level = LOG_LEVEL_WARN;

	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (cli.log_level && strcmp(cli.log_level, level_names[i]) == 0)
			level = (enum log_level)i;
	log_set_sink(sink, NULL, cli.debug ? LOG_LEVEL_DEBUG : level);
}

int image_cli_open(struct cli *c, bool exclusive, struct content *ret, struct error *err)
{
	_cleanup_content_ struct content content = CONTENT_INIT;
	int r;

	if ((r = rootless_enter(&c->single_id, err)) < 0 || (r = content_open(c->store, &content, err)) < 0 ||
	    (r = content_lock(&content, exclusive, true, err)) < 0)
		return r;
	*ret = content;
	content = CONTENT_INIT;
	return 0;
}

int image_cli_lock_down(const struct content *content, const char *const *reads, const char *write, bool network,
			bool devices, struct error *err)
{
	const char *writes[] = {content->path, write, NULL};
	struct lockdown l = {.writes = writes, .reads = reads, .network = network, .devices = devices};

	return lockdown_enter(&l, err);
}

static int limit(const struct option_number *n, const char *name, uint64_t *ret, struct error *err)
{
	if (n->v <= 0)
		return error_set(err, EINVAL, "--%s %lld: expected a number above 0", name, (long long)n->v);
	*ret = (uint64_t)n->v;
	return 0;
}

int image_cli_limits(const struct limit_options *o, struct image_limits *ret, struct error *err)
{
	struct image_limits l = {.allow_devices = o->allow_devices};
	int r;

	if ((r = limit(&o->unpacked, "max-unpacked-size", &l.unpacked, err)) < 0 ||
	    (r = limit(&o->entries, "max-entries", &l.entries, err)) < 0 ||
	    (r = limit(&o->ratio, "max-ratio", &l.ratio, err)) < 0 ||
	    (r = limit(&o->layers, "max-layers", &l.layers, err)) < 0)
		return r;
	*ret = l;
	return 0;
}

int image_cli_local_name(const char *text, char **ret, struct error *err)
{
	_cleanup_image_ref_ struct image_ref ref = {0};
	int r = image_ref_parse(text, &ref, err);

	if (r < 0)
		return r;
	if (ref.digest)
		return error_set(err, EINVAL, "'%s': a name with a digest cannot be given to an image", text);
	*ret = image_ref_name(&ref, IMAGE_LOCAL_REGISTRY);
	return *ret ? 0 : error_oom(err);
}

int image_cli_print_json(struct json_object *o, struct error *err)
{
	_cleanup_json_ struct json_object *owned = o;
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								 JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!text)
		return error_oom(err);
	puts(text);
	return 0;
}

void image_cli_size(uint64_t bytes, char ret[32])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	double v = (double)bytes;
	size_t unit = 0;

	while (v >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
		v /= 1000;
		unit++;
	}
	snprintf(ret, 32, v >= 100 || unit == 0 ? "%.0f %s" : "%.1f %s", v, units[unit]);
}

void image_cli_age(const char *rfc3339, char ret[32])
{
	static const struct {
		const char *name;
		long seconds;
	} units[] = {{"year", 31536000}, {"month", 2592000}, {"week", 604800}, {"day", 86400},
		     {"hour", 3600},	 {"minute", 60},     {"second", 1}};
	struct tm tm = {0};
	long age;

	if (!rfc3339 || !strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm)) {
		strcpy(ret, "N/A");
		return;
	}
	age = (long)(time(NULL) - timegm(&tm));
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		long n = age / units[i].seconds;

		if (n > 0) {
			snprintf(ret, 32, "%ld %s%s ago", n, units[i].name, n > 1 ? "s" : "");
			return;
		}
	}
	strcpy(ret, "just now");
}

static int run_command(const struct command *command, char **argv, struct error *err)
{
	_cleanup_free_ char *store = NULL;
	char **operands;
	int r;

	if ((r = options_defaults(command->options, err)) < 0 ||
	    (r = options_parse(command->options, global_options, false, argv, &operands, err)) < 0)
		return r;
	open_log();
	if (cli.help) {
		command_print_help(&image_program, command, stdout);
		return 0;
	}
	if ((r = command_check_operands(&image_program, command, operands, err)) < 0)
		return r;
	store = image_store_default_path(cli.store); /* now: in a user namespace everybody looks like root */
	if (!store)
		return error_set(err, ENOENT, "no place for the image store: set HOME or give --store DIR");
	cli.store = store;
	r = command->run(&cli, operands, err);
	options_free(command->options);
	return r;
}

static int run(char **argv, struct error *err)
{
	const struct command *command;
	char **operands;
	int r;

	if ((r = options_defaults(global_options, err)) < 0 ||
	    (r = options_parse(NULL, global_options, true, argv + 1, &operands, err)) < 0)
		return r;
	if (cli.version) {
		printf("ringwall-image version %s\n", RINGWALL_VERSION);
		return 0;
	}
	if (!operands[0] || strcmp(operands[0], "help") == 0) {
		command = operands[0] && operands[1] ? command_find(&image_program, operands[1], err) : NULL;
		if (operands[0] && operands[1] && !command)
			return -EINVAL;
		if (command)
			command_print_help(&image_program, command, stdout);
		else
			program_print_help(&image_program, operands[0] || cli.help ? stdout : stderr);
		return operands[0] || cli.help ? 0 : EXIT_IMAGE_FAILED;
	}
	command = command_find(&image_program, operands[0], err);
	return command ? run_command(command, operands + 1, err) : -EINVAL;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	int r;

	/* names in archives are bytes: a UTF-8 locale keeps libarchive from refusing those beyond ASCII */
	setlocale(LC_CTYPE, "C.UTF-8");
	r = run(argv, &err);
	if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = error_sys(&err, errno, "cannot write the output");
	if (r < 0) {
		log_line("error", err.message);
		return EXIT_IMAGE_FAILED;
	}
	return r;
}
