/* `ps`: the host's ps(1), its lines kept that are about the box's processes. */
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/json.h"
#include "base/parse.h"
#include "base/strv.h"
#include "cli/cli.h"

extern char **environ;

static struct {
	const char *format;
} opt;

static const struct option options[] = {
	{ 'f', "format", OPTION_STRING, &opt.format, "table|json", "how to print the processes", .fallback = "table" },
	{ 0 },
};

static int print_json(const pid_t *pids, size_t n, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_array();

	for (size_t i = 0; o && i < n; i++)
		json_object_array_add(o, json_object_new_int(pids[i]));
	return o ? cli_print_json(o, false, err) : error_oom(err);
}

/* The Nth blank-separated field of LINE as a number; -EINVAL when it is none. */
static int nth_number(const char *line, int n, uint64_t *ret)
{
	char word[32];
	size_t len;

	line += strspn(line, " ");
	for (; n > 0; n--) {
		line += strcspn(line, " \n");
		line += strspn(line, " ");
	}
	len = strcspn(line, " \n");
	if (len >= sizeof(word))
		return -EINVAL;
	memcpy(word, line, len);
	word[len] = 0;
	return parse_u64(word, ret);
}

/* Which column is headed "PID"; -1 when none is. */
static int pid_column(const char *header)
{
	_cleanup_strv_ char **titles = strv_split(header, " \n");

	for (int i = 0; titles && titles[i]; i++)
		if (strcmp(titles[i], "PID") == 0)
			return i;
	return -1;
}

static bool is_among(uint64_t pid, const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((uint64_t)pids[i] == pid)
			return true;
	return false;
}

static int filter(FILE *f, const pid_t *pids, size_t n, struct error *err)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int column;

	if (getline(&line, &size, f) < 0)
		return error_set(err, EIO, "ps printed nothing");
	column = pid_column(line);
	if (column < 0)
		return error_set(err, EINVAL, "the output of ps has no PID column with these options");
	fputs(line, stdout);
	while (getline(&line, &size, f) >= 0) {
		uint64_t pid;

		if (nth_number(line, column, &pid) == 0 && is_among(pid, pids, n))
			fputs(line, stdout);
	}
	return 0;
}

static int print_table(const pid_t *pids, size_t n, char **arguments, struct error *err)
{
	char *fallback[] = { (char[]){ "ps" }, (char[]){ "-ef" }, NULL };
	_cleanup_strv_ char **given = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	posix_spawn_file_actions_t actions;
	int pipe_fds[2], r, status;
	pid_t child;

	if (arguments[0] && (strv_add(&given, "ps") < 0 || strv_extend(&given, arguments) < 0))
		return error_oom(err);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_sys(err, errno, "cannot make a pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
	r = posix_spawnp(&child, "ps", &actions, NULL, given ? given : fallback, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	f = fdopen(pipe_fds[0], "re");
	if (r != 0)
		return error_sys(err, r, "cannot run ps (Debian package procps; --format json needs none)");
	r = f ? filter(f, pids, n, err) : error_oom(err);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return r;
}

static int run_ps(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	_cleanup_box_ struct box *box = NULL;
	size_t n = 0;
	int r;

	r = box_load(cli->root, operands[0], false, &box, err);
	if (r == 0)
		r = boundary_pids(box, &pids, &n, err);
	if (r < 0)
		return r;
	return strcmp(opt.format, "json") == 0 ? print_json(pids, n, err) : print_table(pids, n, operands + 1, err);
}

const struct command cli_ps = {
	.name = "ps",
	.group = "Looking at boxes",
	.operands = "ID [PS-OPTIONS]",
	.summary = "list the processes of a box",
	.details = "What follows ID goes to ps(1); '-ef' when nothing does.",
	.options = options,
	.flags = COMMAND_STOPS_AT_OPERAND,
	.min_operands = 1,
	.max_operands = -1,
	.run = run_ps,
};
