/* `events`: statistics in runc's form, once or at an interval, until the box ends. */
#include <poll.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "cli/cli.h"

static struct {
	const char *interval;
	bool stats;
} opt;

static const struct option options[] = {
	{ 0, "stats", OPTION_FLAG, &opt.stats, NULL, "print the statistics once and end" },
	{ 0, "interval", OPTION_STRING, &opt.interval, "DURATION", "time between two statistics", .fallback = "5s" },
	{ 0 },
};

static int print_event(const struct box *box, const char *type, struct json_object *data, struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	if (!o) {
		json_object_put(data);
		return error_oom(err);
	}
	json_object_object_add(o, "type", json_object_new_string(type));
	json_object_object_add(o, "id", json_object_new_string(box->id));
	if (data)
		json_object_object_add(o, "data", data);
	return cli_print_json(o, false, err);
}

static int print_stats(struct box *box, struct error *err)
{
	struct json_object *data;
	int r = boundary_stats(box, &data, err);

	return r < 0 ? r : print_event(box, "stats", data, err);
}

/* Reports what the OOM killer did since the last look. */
static int print_oom(const struct box *box, struct cgroup_oom *oom, struct error *err)
{
	uint64_t events = 0;
	bool gone = false;
	int r = cgroup_oom_read(oom, &events, &gone, err);

	for (; r == 0 && events; events--)
		r = print_event(box, "oom", NULL, err);
	return r;
}

static int watch(struct box *box, int interval_ms, struct error *err)
{
	_cleanup_close_ int pidfd = box_pidfd(box, err);
	_cleanup_cgroup_oom_ struct cgroup_oom *oom = NULL;
	struct error none = ERROR_INIT;
	int r = 0;

	if (pidfd < 0)
		return pidfd;
	if (boundary_watch_oom(box, &oom, &none) < 0)
		log_warn("no event tells when memory runs out: %s", none.message);
	while (r == 0) {
		struct pollfd fds[] = {
			{ .fd = pidfd, .events = POLLIN },
			{ .fd = oom ? cgroup_oom_fd(oom) : -1, .events = POLLIN },
		};
		int n = poll(fds, ARRAY_SIZE(fds), interval_ms);

		if (n < 0 && errno != EINTR)
			return error_sys(err, errno, "cannot wait for the box");
		if (fds[1].revents)
			r = print_oom(box, oom, err);
		if (fds[0].revents)
			return r;
		if (n == 0)
			r = print_stats(box, err);
		if (r == 0 && fflush(stdout) == EOF)
			r = error_sys(err, errno, "cannot write the events");
	}
	return r;
}

static int run_events(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_box_ struct box *box = NULL;
	uint64_t interval;
	int r;

	r = cli_parse_duration(opt.interval, &interval, err);
	if (r < 0)
		return error_prefix(err, "option --interval");
	if (interval == 0 || interval > INT32_MAX)
		return error_set(err, EINVAL, "option --interval: '%s' is out of range", opt.interval);
	r = box_load(cli->root, operands[0], false, &box, err);
	if (r < 0)
		return r;
	return opt.stats ? print_stats(box, err) : watch(box, (int)interval, err);
}

const struct command cli_events = {
	.name = "events",
	.group = "Looking at boxes",
	.operands = "ID",
	.summary = "print the resource statistics of a box as JSON",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_events,
};
