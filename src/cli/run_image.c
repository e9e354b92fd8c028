#include "cli/run_image.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"
#include "cli/attach.h"
#include "cli/box_config.h"
#include "cli/box_start.h"
#include "cli/bundle.h"
#include "cli/network.h"
#include "cli/relay.h"
#include "cli/stage.h"
#include "monitor/life.h"

enum { LABEL_FILE_MAX = 1 << 20 };

/* ---- the image ---- */

static int pull(const struct cli *cli, const struct run_options *o, const char *name, struct error *err)
{
	_cleanup_strv_ char **argv = NULL;

	if (strv_add(&argv, "pull") < 0 || (o->quiet && strv_add(&argv, "--quiet") < 0) ||
	    (o->platform && (strv_add(&argv, "--platform") < 0 || strv_add(&argv, o->platform) < 0)) || strv_add(&argv, name) < 0)
		return error_oom(err);
	return image_helper_run(cli->store, argv, err);
}

/* Resolves NAME (and, with OWNER, keeps the image for it), fetching it first when --pull wants that. */
static int get_image(const struct cli *cli, const struct run_options *o, const char *name, const char *owner,
		     const char *alive, struct image *ret, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	int r = image_store_open_with_base(cli->store, &store, err);

	if (r < 0)
		return r;
	if (strcmp(o->pull, "always") == 0) {
		r = pull(cli, o, name, err);
		if (r < 0)
			return r;
	}
	r = owner ? image_store_pin(store, name, o->platform, owner, alive, ret, err)
		  : image_store_resolve(store, name, o->platform, ret, err);
	if (r != -ENOENT || strcmp(o->pull, "missing") != 0)
		return r;
	r = pull(cli, o, name, err);
	if (r < 0)
		return r;
	return owner ? image_store_pin(store, name, o->platform, owner, alive, ret, err)
		     : image_store_resolve(store, name, o->platform, ret, err);
}

/* ---- the record ---- */

static int add(struct image_box *box, const char *key, struct json_object *value)
{
	return value && json_object_object_add(box->record, key, value) == 0 ? 0 : -ENOMEM;
}

static int add_text(struct image_box *box, const char *key, const char *value)
{
	return value ? add(box, key, json_object_new_string(value)) : 0;
}

static int add_list(struct image_box *box, const char *key, char *const *v)
{
	struct json_object *o;

	if (!v || !*v)
		return 0;
	o = json_object_new_array();
	for (; o && *v; v++)
		json_object_array_add(o, json_object_new_string(*v));
	return add(box, key, o);
}

/* "on-failure:5" is a policy and how often. */
static int add_restart(struct image_box *box, const struct run_options *o, struct error *err)
{
	static const char *const policies[] = { "no", "on-failure", "always", "unless-stopped" };
	_cleanup_free_ char *policy = strndup(o->restart, strcspn(o->restart, ":"));
	const char *colon = strchr(o->restart, ':');
	uint32_t retries = 0;
	bool known = false;

	for (size_t i = 0; policy && i < ARRAY_SIZE(policies); i++)
		known |= strcmp(policy, policies[i]) == 0;
	if (!known || (colon && (strcmp(policy, "on-failure") != 0 || parse_u32(colon + 1, &retries) < 0)))
		return error_set(err, EINVAL, "option --restart: '%s' is not one of no, on-failure[:N], always, unless-stopped",
				 o->restart);
	if (o->rm && strcmp(policy, "no") != 0)
		return error_set(err, EINVAL, "--rm and --restart exclude each other");
	return add_text(box, "restart", policy) < 0 || add(box, "maxRetries", json_object_new_int64(retries)) < 0 ? error_oom(err)
														 : 0;
}

static int add_labels(struct image_box *box, const struct run_options *o, const struct image *image, struct error *err)
{
	_cleanup_strv_ char **all = strv_copy(image->labels);

	for (char **f = o->label_files; f && *f; f++) {
		_cleanup_free_ char *text = NULL;
		_cleanup_strv_ char **lines = NULL;
		int r = file_read_at(AT_FDCWD, *f, LABEL_FILE_MAX, &text, NULL, err);

		if (r < 0)
			return r;
		lines = strv_split(text, "\n");
		for (char **l = lines; l && *l; l++)
			if (**l != '#' && strv_env_set(&all, *l) < 0)
				return error_oom(err);
	}
	for (char **l = o->labels; l && *l; l++) {
		_cleanup_free_ char *label = NULL;

		if (asprintf(&label, strchr(*l, '=') ? "%s" : "%s=", *l) < 0 || strv_env_set(&all, label) < 0)
			return error_oom(err);
	}
	return add_list(box, "labels", all) < 0 ? error_oom(err) : 0;
}

static int add_ports(struct image_box *box, const struct box_request *rq, struct error *err)
{
	struct json_object *ports = json_object_new_array();
	int r = 0;

	if (!ports || add(box, "ports", ports) < 0)
		return error_oom(err);
	if (rq->options->publish && strcmp(rq->network, "private") != 0)
		return error_set(err, EINVAL, "--publish needs --network private");
	if (rq->options->ip && (strcmp(rq->network, "private") != 0 || rq->rootless))
		return error_set(err, EINVAL, "--ip needs --network private, and privilege: pasta gives a box the host's address");
	for (char **p = rq->options->publish; r == 0 && p && *p; p++)
		r = network_parse_port(*p, ports, err);
	return r;
}

static int check_hosts(const struct run_options *o, struct error *err)
{
	for (char **h = o->add_hosts; h && *h; h++)
		if (!strchr(*h, ':') || strpbrk(*h, " \t\n"))
			return error_set(err, EINVAL, "option --add-host: '%s' is not of the form NAME:ADDRESS", *h);
	return 0;
}

static int add_user_map(struct image_box *box, const struct oci_spec *spec)
{
	if (spec->linux_.uid_mappings.n == 0)
		return 0;
	return add(box, "mapFrom", json_object_new_int64(spec->linux_.uid_mappings.v[0].outside)) |
	       add(box, "mapCount", json_object_new_int64(spec->linux_.uid_mappings.v[0].count));
}

static int fill_record(struct image_box *box, const struct box_request *rq, const struct oci_spec *spec,
		       const struct boundary_ops *wall, struct error *err)
{
	const struct run_options *o = rq->options;
	const struct image *image = rq->image;
	const char *stop_signal = o->stop_signal ? o->stop_signal : image->stop_signal ? image->stop_signal : "TERM";
	time_t now = time(NULL);
	char created[32];
	struct tm tm;
	int r, signal;

	r = cli_parse_signal(stop_signal, &signal, err);
	if (r < 0)
		return r;
	gmtime_r(&now, &tm);
	strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
	r = add(box, "version", json_object_new_int(1));
	r |= add_text(box, "id", box->id);
	r |= add_text(box, "image", image->name);
	r |= add_text(box, "imageDigest", image->digest);
	r |= add_text(box, "imageID", image->config_digest);
	r |= add_list(box, "layers", image->layers);
	r |= add_text(box, "created", created);
	r |= add_text(box, "isolation", wall->name);
	r |= add_list(box, "command", spec->process->args);
	r |= add_text(box, "hostname", spec->hostname);
	r |= add_text(box, "user", o->user ? o->user : image->user);
	r |= add_list(box, "groups", o->groups);
	r |= add(box, "terminal", json_object_new_boolean(o->tty));
	r |= add(box, "interactive", json_object_new_boolean(o->interactive));
	r |= add(box, "remove", json_object_new_boolean(o->rm));
	r |= add_text(box, "stopSignal", stop_signal);
	r |= add(box, "stopTimeout", json_object_new_int64(o->stop_timeout.v));
	r |= add(box, "logMaxSize", json_object_new_int64(o->log_max_size.v));
	r |= add(box, "logMaxFiles", json_object_new_int64(o->log_max_files.v));
	r |= add_text(box, "network", rq->network);
	r |= add(box, "unpacked", json_object_new_boolean(!rq->own_view));
	r |= add_text(box, "ip", o->ip);
	r |= add_list(box, "dns", o->dns);
	r |= add_list(box, "dnsSearch", o->dns_search);
	r |= add_list(box, "dnsOptions", o->dns_options);
	r |= add_list(box, "hosts", o->add_hosts);
	r |= add_user_map(box, spec);
	if (r < 0)
		return error_oom(err);
	r = add_restart(box, o, err);
	if (r == 0)
		r = add_labels(box, o, image, err);
	if (r == 0)
		r = add_ports(box, rq, err);
	return r < 0 ? r : check_hosts(o, err);
}

/* ---- making it ---- */

static int make_name(const struct run_options *o, char *buf, size_t size, struct error *err)
{
	unsigned char bytes[6];

	if (o->name) {
		int r = box_check_id(o->name, err);

		snprintf(buf, size, "%s", o->name);
		return r;
	}
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return error_sys(err, errno, "cannot get random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(buf + 2 * i, size - 2 * i, "%02x", bytes[i]);
	return 0;
}

/* A leading "--" after IMAGE only separates. */
static char **skip_dashes(char **command)
{
	return command[0] && strcmp(command[0], "--") == 0 ? command + 1 : command;
}

/* The configuration for WALL, in REQUEST also what the wall decides. */
static int config_for(const struct boundary_ops *wall, const struct cli *cli, struct box_request *rq, struct oci_spec **ret,
		      struct error *err)
{
	struct cli chosen = *cli;

	chosen.isolation = wall->name;
	rq->own_view = wall->caps & BOUNDARY_NETWORK;
	rq->network = rq->options->network ? rq->options->network : rq->own_view ? "private" : "none";
	rq->cli = &chosen;
	return box_config_build(rq, ret, err);
}

/*
 * Checks that WALL takes the configuration, before anything is made. Without privilege that can only be told in the user
 * namespace that the box is made from; there boundary_create() will.
 */
static int check_wall(const struct boundary_ops *wall, const struct cli *cli, const struct oci_spec *spec, bool later,
		      struct error *err)
{
	struct create_options create = CREATE_OPTIONS_INIT;
	struct cli chosen = *cli;
	_cleanup_(plan_free) struct plan plan = { .boundary = wall };
	int r;

	chosen.isolation = wall->name;
	cli_create_options(cli, &create);
	r = cli_wall(&chosen, spec, &create, &wall, err);
	if (r < 0 || later)
		return r;
	r = wall->plan(spec, &create, &plan, err);
	return r < 0 ? r : plan_check(&plan, err);
}

/* --isolation auto: the strongest wall that can take the box, each asked with the configuration it would get. */
static int choose_wall(const struct cli *cli, struct box_request *rq, const struct boundary_ops **ret, struct oci_spec **ret_spec,
		       struct error *err)
{
	const struct boundary_ops *floor;
	size_t n = 0;

	if (!cli->at_least)
		return error_set(err, EINVAL, "--isolation auto needs the weakest wall you accept, as in --at-least container");
	floor = boundary_find(cli->at_least, err);
	if (!floor)
		return error_prefix(err, "option --at-least");
	while (boundaries[n])
		n++;
	while (n-- > 0) { /* the array begins with the weakest */
		_cleanup_oci_spec_ struct oci_spec *spec = NULL;
		struct probe probe = { 0 };

		if (boundaries[n]->strength < floor->strength)
			continue;
		boundaries[n]->probe(&probe);
		if (!probe.usable) {
			error_set(err, EOPNOTSUPP, "%s: %s", boundaries[n]->name, probe.reason);
			continue;
		}
		if (config_for(boundaries[n], cli, rq, &spec, err) < 0)
			continue;
		if (!cli_wall_takes_program(boundaries[n], spec)) {
			error_set(err, EOPNOTSUPP, "%s runs modules only", boundaries[n]->name);
			continue;
		}
		if (check_wall(boundaries[n], cli, spec, rq->rootless && rq->own_view, err) < 0)
			continue;
		fprintf(stderr, "ringwall: isolation auto: chose %s\n", boundaries[n]->name);
		*ret = boundaries[n];
		*ret_spec = take_ptr(spec);
		return 0;
	}
	return error_prefix(err, "no wall at least as strong as '%s' can take this box", floor->name);
}

/* The wall that --isolation asks for, and the configuration for it. */
static int configure(const struct cli *cli, struct box_request *rq, const struct boundary_ops **ret, struct oci_spec **ret_spec,
		     struct error *err)
{
	const char *name = cli->isolation ? cli->isolation : "container";
	const struct boundary_ops *wall;

	if (strcmp(name, "auto") == 0)
		return choose_wall(cli, rq, ret, ret_spec, err);
	wall = boundary_find(name, err);
	if (!wall)
		return -EINVAL;
	*ret = wall;
	return config_for(wall, cli, rq, ret_spec, err);
}

static int write_config(const struct image_box *box, const struct oci_spec *spec, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = oci_spec_to_json(spec, &text, err);

	return r < 0 ? r : file_replace_at(box->dir_fd, BOX_CONFIG_FILE, text, strlen(text), 0600, err);
}

static int fill_box(const struct cli *cli, const struct run_options *o, const char *name, char **command,
		    struct image_box *box, struct error *err)
{
	_cleanup_image_ struct image image = { 0 };
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	struct box_request request = { .cli = cli, .options = o, .image = &image, .id = box->id, .folder = box->path,
				       .command = skip_dashes(command), .rootless = geteuid() != 0 };
	const struct boundary_ops *wall;
	int r;

	r = get_image(cli, o, name, box->id, box->path, &image, err);
	if (r == 0)
		r = configure(cli, &request, &wall, &spec, err);
	if (r == 0)
		r = check_wall(wall, cli, spec, request.rootless && request.own_view, err);
	if (r == 0)
		r = fill_record(box, &request, spec, wall, err);
	if (r == 0 && !request.own_view)
		r = stage_unpack(box, err);
	if (r == 0)
		r = write_config(box, spec, err);
	return r < 0 ? r : image_box_save(box, err);
}

int run_image_config(struct cli *cli, const struct run_options *o, const char *name, char **command, struct oci_spec **ret,
		     struct error *err)
{
	_cleanup_image_ struct image image = { 0 };
	struct box_request request = { .cli = cli, .options = o, .image = &image, .id = o->name ? o->name : "box", .folder = "/",
				       .command = skip_dashes(command), .rootless = geteuid() != 0 };
	const struct boundary_ops *wall;
	int r = get_image(cli, o, name, NULL, NULL, &image, err);

	return r < 0 ? r : configure(cli, &request, &wall, ret, err);
}

/* ---- running it ---- */

/* This process stays with the workload, which has our standard input and output. */
static int run_in_foreground(const struct cli *cli, const struct image_box *box, const struct run_options *o, struct error *err)
{
	struct create_options create = CREATE_OPTIONS_INIT;
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_box_ struct box *state = NULL;
	_cleanup_close_ int life = -1, null = -1;
	struct life_record record = { .status = EXIT_RINGWALL_FAILED };
	struct error again = ERROR_INIT;
	int r;

	life = life_take(box->dir_fd, err);
	if (life < 0)
		return life;
	if (!o->interactive && !o->tty) {
		null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		create.stdio[0] = null;
	}
	create.pid_file = o->bundle.pid_file;
	create.preserve_fds = (int)o->bundle.preserve_fds.v;
	record.started = life_now();
	r = relay_prepare(true, err);
	if (r == 0)
		r = box_start_here(cli, box, &create, &state, &started, err);
	if (r == 0)
		r = relay_wait(&started, &record.status, err);
	record.finished = life_now();
	(void)life_write(life, &record);
	/* A box that never ran is of no use to anybody. */
	if (box_clean(cli, box, o->rm || !state, &again) < 0)
		log_warn("cannot tidy up after box '%s': %s", box->id, again.message);
	return r < 0 ? r : record.status;
}

/* In the foreground, but with a restart policy: a monitor starts it, and we are attached. */
static int run_attached(const struct cli *cli, const struct image_box *box, struct error *err)
{
	_cleanup_close_ int ours = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "cannot make a socket");
	ours = pair[0];
	r = box_start_monitored(cli, box, pair[1], err);
	close(pair[1]);
	if (r != 0) {
		(void)box_clean(cli, box, true, NULL);
		return r;
	}
	return attach_run(ours, &(struct attach_mode){ .input = image_box_flag(box, "interactive"),
						       .terminal = image_box_flag(box, "terminal"), .signal_box = box->id },
			  cli, err);
}

static int run_detached(const struct cli *cli, const struct image_box *box, struct error *err)
{
	int r = box_start_monitored(cli, box, -1, err);

	if (r == 0)
		puts(box->id);
	else
		(void)box_clean(cli, box, true, NULL);
	return r;
}

static int write_cidfile(const char *path, const char *id, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_sys(err, errno, "cannot write the name of the box to '%s'", path);
	return fd_write_all(fd, id, strlen(id)) < 0 ? error_set(err, EIO, "cannot write '%s'", path) : 0;
}

/* A box made from a bundle may have the name. */
static int check_name(const struct cli *cli, const char *id, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", cli->root, id) < 0)
		return error_oom(err);
	return access(path, F_OK) < 0 ? 0 : error_set(err, EEXIST, "the name '%s' is in use; remove that box with: ringwall rm %s", id, id);
}

int run_image(struct cli *cli, const struct run_options *o, const char *name, char **command, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	struct error again = ERROR_INIT;
	char id[BOX_ID_MAX + 1];
	int r;

	r = make_name(o, id, sizeof(id), err);
	if (r == 0)
		r = image_store_open_with_base(cli->store, &store, err); /* makes the folder that the box's is in */
	if (r == 0)
		r = check_name(cli, id, err);
	if (r == 0)
		r = image_box_new(cli, id, &box, err);
	if (r < 0)
		return r;
	r = fill_box(cli, o, name, command, &box, err);
	if (r == 0)
		r = write_cidfile(o->cidfile, id, err);
	if (r < 0) {
		if (box_clean(cli, &box, true, &again) < 0)
			log_warn("cannot remove box '%s': %s", id, again.message);
		return r;
	}
	if (o->detach)
		return run_detached(cli, &box, err);
	if (strcmp(image_box_string(&box, "restart"), "no") != 0)
		return run_attached(cli, &box, err);
	return run_in_foreground(cli, &box, o, err);
}
