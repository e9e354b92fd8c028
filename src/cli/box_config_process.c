/* What runs in the box: arguments, environment, directory, capabilities' bounds, limits of the process. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "base/fdio.h"
#include "base/parse.h"
#include "base/strv.h"
#include "cli/box_config.h"
#include "host/rlimit.h"

enum { ENV_FILE_MAX = 1 << 20 };

#define BOX_INIT_PATH "/run/ringwall-init"

/* Docker's rule: entry point and command; a new entry point forgets the image's command. */
static int set_args(const struct box_request *rq, struct oci_process *process, struct error *err)
{
	const struct run_options *o = rq->options;
	_cleanup_strv_ char **args = NULL;
	int r = 0;

	if (o->init)
		r = strv_add(&args, BOX_INIT_PATH) | strv_add(&args, "--");
	if (o->entrypoint && *o->entrypoint)
		r |= strv_add(&args, o->entrypoint);
	else if (!o->entrypoint)
		r |= strv_extend(&args, rq->image->entrypoint);
	if (rq->command[0])
		r |= strv_extend(&args, rq->command);
	else if (!o->entrypoint)
		r |= strv_extend(&args, rq->image->cmd);
	if (r < 0)
		return error_oom(err);
	if (strv_len(args) == (o->init ? 2u : 0u))
		return error_set(err, EINVAL, "image '%s' has no command; give one: ringwall run %s COMMAND", rq->image->name,
				 rq->image->name);
	strv_free(process->args);
	process->args = take_ptr(args);
	return 0;
}

static int set_assignment(char ***env, const char *text, struct error *err)
{
	const char *value;

	if (*text == '=' || !*text)
		return error_set(err, EINVAL, "'%s' is not a variable's name", text);
	if (strchr(text, '='))
		return strv_env_set(env, text) < 0 ? error_oom(err) : 0;
	value = getenv(text);
	if (value) {
		_cleanup_free_ char *assignment = NULL;

		if (asprintf(&assignment, "%s=%s", text, value) < 0)
			return error_oom(err);
		return strv_env_set(env, assignment) < 0 ? error_oom(err) : 0;
	}
	return 0;
}

static int add_env_file(char ***env, const char *path, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_strv_ char **lines = NULL;
	int r = file_read_at(AT_FDCWD, path, ENV_FILE_MAX, &text, NULL, err);

	if (r < 0)
		return r;
	lines = strv_split(text, "\n");
	for (char **l = lines; l && *l; l++) {
		char *line = *l + strspn(*l, " \t");

		line[strcspn(line, "\r")] = 0;
		if (*line == '#' || !*line)
			continue;
		r = set_assignment(env, line, err);
		if (r < 0)
			return error_prefix(err, "environment file '%s'", path);
	}
	return 0;
}

static int set_env(const struct box_request *rq, struct oci_process *process, struct error *err)
{
	const struct run_options *o = rq->options;
	_cleanup_strv_ char **env = NULL;
	_cleanup_free_ char *hostname = NULL;
	int r;

	r = strv_add(&env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (o->tty)
		r |= strv_add(&env, "TERM=xterm");
	if (asprintf(&hostname, "HOSTNAME=%s", o->hostname ? o->hostname : rq->id) < 0)
		hostname = NULL;
	if (r < 0 || !hostname || strv_push(&env, take_ptr(hostname)) < 0)
		return error_oom(err);
	for (char **e = rq->image->env; e && *e; e++)
		if (strv_env_set(&env, *e) < 0)
			return error_oom(err);
	for (char **f = o->env_files; f && *f; f++) {
		r = add_env_file(&env, *f, err);
		if (r < 0)
			return r;
	}
	for (char **e = o->env; e && *e; e++) {
		r = set_assignment(&env, *e, err);
		if (r < 0)
			return error_prefix(err, "option --env");
	}
	strv_free(process->env);
	process->env = take_ptr(env);
	return 0;
}

/* NAME=SOFT[:HARD]; -1 and "unlimited" are no limit. */
static int add_ulimit(struct oci_process *process, const char *text, struct error *err)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_strv_ char **values = NULL;
	const char *equals = strchr(text, '=');
	uint64_t limit[2];
	int resource;

	values = equals ? strv_split(equals + 1, ":") : NULL;
	if (!values || strv_len(values) > 2 || asprintf(&name, "RLIMIT_%.*s", (int)(equals - text), text) < 0)
		return error_set(err, EINVAL, "option --ulimit: '%s' is not of the form NAME=SOFT[:HARD]", text);
	for (char *p = name; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	resource = rlimit_from_string(name);
	if (resource < 0)
		return error_set(err, EINVAL, "option --ulimit: unknown limit in '%s'", text);
	for (size_t i = 0; i < 2; i++) {
		const char *v = values[i] ? values[i] : values[0];

		if (strcmp(v, "-1") == 0 || strcmp(v, "unlimited") == 0)
			limit[i] = RLIM_INFINITY;
		else if (parse_u64(v, &limit[i]) < 0)
			return error_set(err, EINVAL, "option --ulimit: '%s' is not a number in '%s'", v, text);
		if (!values[1] && i == 0)
			limit[1] = limit[0];
	}
	if (limit[0] > limit[1])
		return error_set(err, EINVAL, "option --ulimit: in '%s' the soft limit is above the hard one", text);
	return oci_set_rlimit(process, resource, limit[0], limit[1]) < 0 ? error_oom(err) : 0;
}

int box_config_process(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const struct run_options *o = rq->options;
	struct oci_process *process = spec->process;
	const char *cwd = o->workdir ? o->workdir : rq->image->workdir;
	int r;

	process->terminal = o->tty;
	if (!rq->own_view && !o->user && !rq->image->user && geteuid() != 0) { /* nobody else can be had */
		process->uid = geteuid();
		process->gid = getegid();
	}
	process->n_rlimits = 0;
	if (cwd && cwd[0] && cwd[0] != '/')
		return error_set(err, EINVAL, "the working directory '%s' is not an absolute path", cwd);
	if (oci_set_string(&process->cwd, cwd && cwd[0] ? cwd : "/") < 0)
		return error_oom(err);
	r = set_args(rq, process, err);
	if (r == 0)
		r = set_env(rq, process, err);
	for (char **u = o->ulimits; r == 0 && u && *u; u++)
		r = add_ulimit(process, *u, err);
	if (r == 0 && o->oom_score_adj.given) {
		if (o->oom_score_adj.v < -1000 || o->oom_score_adj.v > 1000)
			return error_set(err, EINVAL, "option --oom-score-adj: %lld is not between -1000 and 1000",
					 (long long)o->oom_score_adj.v);
		process->has_oom_score_adj = true;
		process->oom_score_adj = (int)o->oom_score_adj.v;
	}
	return r;
}
