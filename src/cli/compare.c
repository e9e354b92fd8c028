/*
 * `compare`: the same program behind every wall that is usable here, and one table of what that means. Each run is
 * `ringwall run` in a process of its own, as a user would type it; what the program prints comes out of the box.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fdio.h"
#include "base/strv.h"
#include "cli/run_image.h"
#include "host/seccomp.h"
#include "host/seccomp_reach.h"
#include "image/store.h"

enum { RUNS_MAX = 99, OUTPUT_MAX = 65536, DEADLINE_MS = 120000, WALLS_MAX = 16 };

static struct {
	struct option_number runs;
	bool json;
} opt;

static const struct option options[] = {
	{ 'n', "runs", OPTION_NUMBER, &opt.runs, "N", "how often the program is run behind each wall", .fallback = "5" },
	{ 0, "json", OPTION_FLAG, &opt.json, NULL, "print JSON" },
	{ 0 },
};

struct result {
	const struct boundary_ops *wall;
	bool ran;
	char reason[512];  /* why it did not run */
	char kernel[128];  /* `uname -sr` as seen inside */
	char calls[64];    /* how many system calls it can reach */
	double start_ms;   /* median time from the command to the end of a program that ends at once */
	long memory_kib;   /* median of the largest resident set of runtime and program */
	int status;
};

struct run_outcome {
	double ms;
	long rss_kib;
	int status;
	char output[OUTPUT_MAX];
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A wall for modules cannot run the image's program: it gets one of its own that says what it sees and ends. */
static int add_module_command(const struct cli *cli, const char *self, const char *wall, char ***ret, struct error *err)
{
	_cleanup_free_ char *module = NULL;
	int r = image_helper_path("probe.wat", &module, err);
	const char *const words[] = { self, "--root", cli->root, "--store", cli->store, "--isolation", wall, "run", "--rm", module };

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++)
		if (strv_add(ret, words[i]) < 0)
			r = error_oom(err);
	return r;
}

static int add_run_command(const struct cli *cli, const char *wall, const char *image, char *const *command, char ***ret,
			   struct error *err)
{
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
	const char *const words[] = { self, "--root", cli->root, "--store", cli->store, "--isolation", wall,
				      "run", "--rm", "--pull", "never", "--network", "none", image };

	if (!self)
		return error_sys(err, errno, "cannot find the running program");
	if (boundary_find(wall, NULL)->runs_modules)
		return add_module_command(cli, self, wall, ret, err);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strv_add(ret, words[i]) < 0)
			return error_oom(err);
	return strv_extend(ret, command) < 0 ? error_oom(err) : 0;
}

/* Runs ARGV; what it prints (both streams) is kept. A run that hangs is killed after two minutes. */
static int run_once(char **argv, struct run_outcome *ret, struct error *err)
{
	_cleanup_close_ int out = -1;
	struct rusage usage;
	double begin = now_ms();
	size_t len = 0;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(err, errno, "cannot make a pipe");
	out = fds[0];
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		(void)dup2(null, 0);
		(void)dup2(fds[1], 1);
		(void)dup2(fds[1], 2);
		execv(argv[0], argv);
		_exit(EXIT_RINGWALL_FAILED);
	}
	close(fds[1]);
	if (pid < 0)
		return error_sys(err, errno, "cannot fork");
	for (;;) {
		struct pollfd p = { .fd = out, .events = POLLIN };
		double left = begin + DEADLINE_MS - now_ms();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) == 0) {
			(void)kill(pid, SIGKILL);
			break;
		}
		n = read(out, ret->output + len, sizeof(ret->output) - 1 - len);
		if (n <= 0 || len + 1 == sizeof(ret->output))
			break;
		len += (size_t)n;
	}
	ret->output[len] = 0;
	while (wait4(pid, &status, 0, &usage) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot wait for '%s'", argv[0]);
	ret->ms = now_ms() - begin;
	ret->rss_kib = usage.ru_maxrss;
	ret->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return 0;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void last_line(const char *text, char *buf, size_t size)
{
	_cleanup_strv_ char **lines = strv_split(text, "\n");
	size_t n = strv_len(lines);

	snprintf(buf, size, "%s", n ? lines[n - 1] : "it printed nothing");
}

/* A wall that adds no filter of its own: what the configuration's lets through. */
static int reach_of_configuration(const struct oci_spec *spec, struct seccomp_reach *ret)
{
	_cleanup_free_ struct seccomp_program *program = NULL;

	if (spec->linux_.seccomp && seccomp_compile(spec->linux_.seccomp, &program, NULL) < 0)
		return -EINVAL;
	seccomp_reach(program, ret);
	return 0;
}

/* What the wall's plan says of system calls: "of 361, 303 pass, 3 for some arguments". */
static void reachable_calls(struct cli *cli, const struct boundary_ops *wall, const char *image, char *const *command, char *buf,
			    size_t size)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	_cleanup_(plan_free) struct plan plan = { .boundary = wall, .detailed = true };
	struct create_options create = CREATE_OPTIONS_INIT;
	struct cli chosen = *cli;
	struct seccomp_reach reach;

	chosen.isolation = wall->name;
	snprintf(buf, size, "?");
	if (run_image_config(&chosen, &run_opt, image, (char **)command, &spec, NULL) < 0 ||
	    wall->plan(spec, &create, &plan, NULL) < 0)
		return;
	for (size_t i = 0; i < plan.n_items; i++)
		if (strcmp(plan.items[i].what, "system calls") == 0 &&
		    sscanf(plan.items[i].how, "%*[^:]: of %u, %u pass, %u for", &reach.total, &reach.allowed, &reach.conditional) == 3) {
			snprintf(buf, size, "%u+%u of %u", reach.allowed, reach.conditional, reach.total);
			return;
		}
	if (reach_of_configuration(spec, &reach) == 0)
		snprintf(buf, size, "%u+%u of %u", reach.allowed, reach.conditional, reach.total);
}

/* All runs behind one wall. */
static int measure(struct cli *cli, const char *image, char *const *command, struct result *res, struct error *err)
{
	char *const uname_command[] = { (char[]){ "uname" }, (char[]){ "-sr" }, NULL };
	char *const true_command[] = { (char[]){ "true" }, NULL };
	_cleanup_strv_ char **quick = NULL, **seen = NULL, **own = NULL;
	static struct run_outcome outcome;
	double ms[RUNS_MAX], kib[RUNS_MAX];
	size_t n = (size_t)opt.runs.v;
	int r;

	r = add_run_command(cli, res->wall->name, image, uname_command, &seen, err);
	if (r == 0)
		r = add_run_command(cli, res->wall->name, image, true_command, &quick, err);
	if (r == 0)
		r = add_run_command(cli, res->wall->name, image, command[0] ? command : true_command, &own, err);
	if (r == 0)
		r = run_once(seen, &outcome, err);
	if (r < 0)
		return r;
	last_line(outcome.output, outcome.status ? res->reason : res->kernel, outcome.status ? sizeof(res->reason) : sizeof(res->kernel));
	if (outcome.status)
		return 0;
	for (size_t i = 0; i < n; i++) {
		r = run_once(quick, &outcome, err);
		if (r < 0)
			return r;
		ms[i] = outcome.ms;
		kib[i] = (double)outcome.rss_kib;
	}
	r = run_once(own, &outcome, err);
	if (r < 0)
		return r;
	res->status = outcome.status;
	res->start_ms = median(ms, n);
	res->memory_kib = (long)median(kib, n);
	reachable_calls(cli, res->wall, image, true_command, res->calls, sizeof(res->calls));
	res->ran = true;
	return 0;
}

static void print_table(const struct result *v, size_t n)
{
	printf("%-10s  %-28s  %9s  %10s  %-14s  %s\n", "WALL", "KERNEL IT SEES", "START", "MEMORY", "SYSTEM CALLS", "STATUS");
	for (size_t i = 0; i < n; i++)
		if (v[i].ran)
			printf("%-10s  %-28.28s  %6.1f ms  %6ld KiB  %-14s  %d\n", v[i].wall->name, v[i].kernel, v[i].start_ms,
			       v[i].memory_kib, v[i].calls, v[i].status);
		else
			printf("%-10s  not usable: %s\n", v[i].wall->name, v[i].reason);
	puts("START: median from the command to the end of a program that ends at once. MEMORY: largest resident set of the runtime\n"
	     "and the program. SYSTEM CALLS: always reachable + for some arguments, of those this kernel has.\n"
	     "A wall for WebAssembly runs a module of its own instead of the program.");
}

static int print_json(const struct result *v, size_t n, struct error *err)
{
	_cleanup_json_ struct json_object *all = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "wall", json_object_new_string(v[i].wall->name));
		json_object_object_add(o, "ran", json_object_new_boolean(v[i].ran));
		if (v[i].ran) {
			json_object_object_add(o, "kernel", json_object_new_string(v[i].kernel));
			json_object_object_add(o, "startMs", json_object_new_double(v[i].start_ms));
			json_object_object_add(o, "memoryKiB", json_object_new_int64(v[i].memory_kib));
			json_object_object_add(o, "systemCalls", json_object_new_string(v[i].calls));
			json_object_object_add(o, "status", json_object_new_int(v[i].status));
		} else {
			json_object_object_add(o, "reason", json_object_new_string(v[i].reason));
		}
		json_object_array_add(all, o);
	}
	return cli_print_json(all, true, err);
}

static int run_compare(struct cli *cli, char **operands, struct error *err)
{
	const char *image = operands[0] ? operands[0] : "base";
	char **command = operands[0] ? operands + 1 : operands;
	static struct result results[WALLS_MAX];
	_cleanup_oci_spec_ struct oci_spec *fetched = NULL;
	size_t n = 0, ran = 0;
	int r;

	if (command[0] && strcmp(command[0], "--") == 0)
		command++;
	if (opt.runs.v < 1 || opt.runs.v > RUNS_MAX)
		return error_set(err, EINVAL, "option --runs: %lld is not between 1 and %d", (long long)opt.runs.v, RUNS_MAX);
	r = options_defaults(run_option_table, err);
	if (r == 0) /* fetches the image, so that no run pays for that */
		r = run_image_config(cli, &run_opt, image, (char *[]){ (char[]){ "true" }, NULL }, &fetched, err);
	for (; r == 0 && boundaries[n] && n < WALLS_MAX; n++) {
		struct probe probe = { 0 };

		results[n].wall = boundaries[n];
		boundaries[n]->probe(&probe);
		if (probe.usable)
			r = measure(cli, image, command, &results[n], err);
		else
			snprintf(results[n].reason, sizeof(results[n].reason), "%s", probe.reason);
		ran += results[n].ran;
	}
	if (r < 0)
		return r;
	if (opt.json)
		r = print_json(results, n, err);
	else
		print_table(results, n);
	return r < 0 ? r : ran ? 0 : 1;
}

const struct command cli_compare = {
	.name = "compare",
	.group = "This host",
	.operands = "[IMAGE [COMMAND [ARGUMENTS]]]",
	.summary = "run the same program behind every usable wall, and print one table",
	.details = "IMAGE is 'base' and COMMAND 'true' when not given. The exit status is 0 when at least one wall was usable.",
	.options = options,
	.flags = COMMAND_STOPS_AT_OPERAND,
	.max_operands = -1,
	.run = run_compare,
};
