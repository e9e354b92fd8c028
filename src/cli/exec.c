/* `exec`: the box's own process configuration, changed by the options or replaced by --process. */
#include <fcntl.h>
#include <string.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/strv.h"
#include "cli/box_users.h"
#include "cli/cli.h"
#include "cli/image_box.h"
#include "cli/relay.h"
#include "cli/stage.h"

static struct {
	const char *console_socket, *pidfd_socket, *cwd, *user, *process, *pid_file, *label, *apparmor, *cgroup;
	char **env, **gids, **caps;
	bool tty, detach, no_new_privs, ignore_paused, interactive;
	struct option_number preserve_fds;
} opt;

static const struct option options[] = {
	{ 'd', "detach", OPTION_FLAG, &opt.detach, NULL, "do not wait for the program" },
	{ 't', "tty", OPTION_FLAG, &opt.tty, NULL, "give the program a terminal" },
	{ 'i', "interactive", OPTION_FLAG, &opt.interactive, NULL, "no effect: standard input is always passed on", .hidden = true },
	{ 'e', "env", OPTION_LIST, &opt.env, "NAME=VALUE", "set an environment variable" },
	{ 'u', "user", OPTION_STRING, &opt.user, "USER[:GROUP]", "run as this user; names are looked up in the box's own files" },
	{ 'w', "cwd", OPTION_STRING, &opt.cwd, "DIR", "working directory inside the box", .aliases = "workdir" },
	{ 'g', "additional-gids", OPTION_LIST, &opt.gids, "GID", "additional group" },
	{ 'c', "cap", OPTION_LIST, &opt.caps, "CAP", "give the program a capability" },
	{ 'p', "process", OPTION_STRING, &opt.process, "FILE", "take the whole process configuration from a JSON file" },
	{ 0, "console-socket", OPTION_STRING, &opt.console_socket, "SOCKET", "unix socket that gets the terminal's master side" },
	{ 0, "pidfd-socket", OPTION_STRING, &opt.pidfd_socket, "SOCKET", "unix socket that gets a pidfd of the program" },
	{ 0, "pid-file", OPTION_STRING, &opt.pid_file, "FILE", "write the program's process ID to FILE" },
	{ 0, "process-label", OPTION_STRING, &opt.label, "LABEL", "SELinux label of the program" },
	{ 0, "apparmor", OPTION_STRING, &opt.apparmor, "PROFILE", "AppArmor profile of the program" },
	{ 0, "no-new-privs", OPTION_FLAG, &opt.no_new_privs, NULL, "let no program gain privileges" },
	{ 0, "cgroup", OPTION_STRING, &opt.cgroup, "PATH", "run in this existing group below the box's" },
	{ 0, "ignore-paused", OPTION_FLAG, &opt.ignore_paused, NULL, "go on although the box is paused" },
	{ 0, "preserve-fds", OPTION_NUMBER, &opt.preserve_fds, "N", "pass N descriptors from 3 on to the program" },
	{ 0 },
};

static int set(struct json_object *o, const char *key, struct json_object *value, struct error *err)
{
	return value && json_object_object_add(o, key, value) == 0 ? 0 : error_oom(err);
}

static struct json_object *string_array(char *const *v)
{
	struct json_object *o = json_object_new_array();

	for (; o && v && *v; v++)
		json_object_array_add(o, json_object_new_string(*v));
	return o;
}

/* Adds ASSIGNMENTS to the "env" of PROCESS, each replacing an earlier one of its name. */
static int set_env(struct json_object *process, char *const *assignments, struct error *err)
{
	_cleanup_strv_ char **env = NULL;

	if (json_dup_strv(process, "process", "env", &env, err) < 0)
		return -err->code;
	for (; assignments && *assignments; assignments++)
		if (strchr(*assignments, '=')) {
			if (strv_env_set(&env, *assignments) < 0)
				return error_oom(err);
		} else if (getenv(*assignments) &&
			   (strv_addf(&env, "%s=%s", *assignments, getenv(*assignments)) < 0)) {
			return error_oom(err);
		}
	return set(process, "env", string_array(env), err);
}

/* Whether the user or the group is given by name, which only the box's own files can resolve. */
static bool names_a_user(const char *text)
{
	return text[strspn(text, "0123456789:")] != 0;
}

static int set_user(struct json_object *process, const char *text, struct error *err)
{
	char uid_text[32];
	const char *colon = strchrnul(text, ':');
	struct json_object *user = json_object_new_object();
	uint32_t uid, gid = 0;

	snprintf(uid_text, sizeof(uid_text), "%.*s", (int)(colon - text), text);
	if (parse_u32(uid_text, &uid) < 0 || (*colon && parse_u32(colon + 1, &gid) < 0)) {
		json_object_put(user);
		return error_set(err, EINVAL, "option --user: '%s' is not of the form UID[:GID] with numbers", text);
	}
	json_object_object_add(user, "uid", json_object_new_int64(uid));
	json_object_object_add(user, "gid", json_object_new_int64(gid));
	return set(process, "user", user, err);
}

static int set_gids(struct json_object *process, char *const *gids, struct error *err)
{
	struct json_object *user, *list = json_object_new_array();

	for (; gids && *gids; gids++) {
		_cleanup_strv_ char **parts = strv_split(*gids, ",");

		for (char **p = parts; p && *p; p++) {
			uint32_t gid;

			if (parse_u32(*p, &gid) < 0) {
				json_object_put(list);
				return error_set(err, EINVAL, "option --additional-gids: '%s' is not a group ID", *p);
			}
			json_object_array_add(list, json_object_new_int64(gid));
		}
	}
	if (!json_object_object_get_ex(process, "user", &user)) {
		user = json_object_new_object();
		json_object_object_add(process, "user", user);
	}
	return set(user, "additionalGids", list, err);
}

/* runc's rule: an added capability is put into every set, the ambient one only where it is already used. */
static int add_caps(struct json_object *process, char *const *caps, struct error *err)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	struct json_object *o;

	if (!json_object_object_get_ex(process, "capabilities", &o)) {
		o = json_object_new_object();
		json_object_object_add(process, "capabilities", o);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		_cleanup_strv_ char **names = NULL;

		if (json_dup_strv(o, "capabilities", sets[i], &names, err) < 0)
			return -err->code;
		for (char *const *c = caps; *c; c++) {
			char name[64];

			snprintf(name, sizeof(name), "%s%s", strncasecmp(*c, "CAP_", 4) == 0 ? "" : "CAP_", *c);
			for (char *p = name; *p; p++)
				if (*p >= 'a' && *p <= 'z')
					*p -= 32;
			if (cap_from_string(name) < 0)
				return error_set(err, EINVAL, "option --cap: unknown capability '%s'", *c);
			if (!strv_contains(names, name) && strv_add(&names, name) < 0)
				return error_oom(err);
		}
		if (set(o, sets[i], string_array(names), err) < 0)
			return -err->code;
	}
	return 0;
}

static int set_options(struct json_object *process, char **arguments, struct error *err)
{
	int r = set(process, "args", string_array(arguments), err);

	if (r == 0)
		r = set(process, "terminal", json_object_new_boolean(opt.tty), err);
	if (r == 0 && opt.env)
		r = set_env(process, opt.env, err);
	if (r == 0 && opt.user && !names_a_user(opt.user))
		r = set_user(process, opt.user, err);
	if (r == 0 && opt.gids)
		r = set_gids(process, opt.gids, err);
	if (r == 0 && opt.caps)
		r = add_caps(process, opt.caps, err);
	if (r == 0 && opt.cwd)
		r = set(process, "cwd", json_object_new_string(opt.cwd), err);
	if (r == 0 && opt.label)
		r = set(process, "selinuxLabel", json_object_new_string(opt.label), err);
	if (r == 0 && opt.apparmor)
		r = set(process, "apparmorProfile", json_object_new_string(opt.apparmor), err);
	if (r == 0 && opt.no_new_privs)
		r = set(process, "noNewPrivileges", json_object_new_boolean(true), err);
	return r;
}

static int parse_process(struct json_object *process, struct oci_process **ret, struct error *err)
{
	const char *text = json_object_to_json_string_ext(process, JSON_C_TO_STRING_PLAIN);

	return text ? oci_process_parse(text, strlen(text), ret, err) : error_oom(err);
}

static int from_options(const struct box *box, char **arguments, struct oci_process **ret, struct error *err)
{
	_cleanup_json_ struct json_object *config = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_object *process;
	size_t len;
	int r;

	if (!arguments[0])
		return error_set(err, EINVAL, "missing operand; usage: ringwall exec [OPTIONS] ID COMMAND [ARGUMENTS]");
	r = file_read_at(box->dir_fd, BOX_CONFIG_FILE, OCI_CONFIG_MAX, &text, &len, err);
	if (r == 0)
		r = json_parse(text, len, &config, err);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(config, "process", &process))
		return error_set(err, EINVAL, "the configuration of box '%s' has no process; give one with --process", box->id);
	r = set_options(process, arguments, err);
	return r < 0 ? r : parse_process(process, ret, err);
}

static int from_file(struct oci_process **ret, struct error *err)
{
	_cleanup_json_ struct json_object *process = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = file_read_at(AT_FDCWD, opt.process, OCI_CONFIG_MAX, &text, &len, err);
	if (r == 0)
		r = json_parse(text, len, &process, err);
	if (r == 0 && opt.tty)
		r = set(process, "terminal", json_object_new_boolean(true), err);
	if (r < 0)
		return error_prefix(err, "process configuration '%s'", opt.process);
	return parse_process(process, ret, err);
}

/* Without privilege, a box made from an image lives in a user namespace that its configuration does not tell of. */
static int join_image_box(const struct cli *cli, const struct box *state, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;

	if (geteuid() == 0 || image_box_load(cli, state->id, &box, NULL) < 0 || image_box_flag(&box, "unpacked"))
		return 0;
	return stage_join_user_namespace(state, err);
}

static int resolve_user(const struct box *box, struct oci_process *process, struct error *err)
{
	_cleanup_close_ int root = stage_open_running_root(box, err);

	return root < 0 ? root : box_users_apply(root, opt.user, NULL, process, err);
}

static int run_exec(struct cli *cli, char **operands, struct error *err)
{
	struct exec_request request = EXEC_REQUEST_INIT;
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_oci_process_ struct oci_process *process = NULL;
	_cleanup_box_ struct box *box = NULL;
	int r, status;

	r = box_load(cli->root, operands[0], false, &box, err);
	if (r < 0)
		return r;
	r = opt.process ? from_file(&process, err) : from_options(box, operands + 1, &process, err);
	if (r < 0)
		return r;
	r = join_image_box(cli, box, err);
	if (r == 0 && opt.user && names_a_user(opt.user))
		r = resolve_user(box, process, err);
	if (r < 0)
		return r;
	request.process = process;
	request.console_socket = opt.console_socket;
	request.pidfd_socket = opt.pidfd_socket;
	request.pid_file = opt.pid_file;
	request.cgroup = opt.cgroup;
	request.preserve_fds = (int)opt.preserve_fds.v;
	request.detach = opt.detach;
	request.ignore_paused = opt.ignore_paused;
	if (!opt.detach)
		r = relay_prepare(false, err);
	if (r == 0)
		r = boundary_exec(box, &request, &started, err);
	if (r < 0 || opt.detach)
		return r;
	r = relay_wait(&started, &status, err);
	return r < 0 ? r : status;
}

const struct command cli_exec = {
	.name = "exec",
	.group = "Life of a box",
	.operands = "ID COMMAND [ARGUMENTS]",
	.summary = "run another program in a box",
	.options = options,
	.flags = COMMAND_STOPS_AT_OPERAND,
	.min_operands = 1,
	.max_operands = -1,
	.run = run_exec,
};
