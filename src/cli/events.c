/* `events`: statistics in runc's form, once or at an interval, until the box ends. */
#include <poll.h>
#include <string.h>

#include "base/json.h"
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

static int watch(struct box *box, int interval_ms, struct error *err)
{
	_cleanup_close_ int pidfd = box_pidfd(box, err);

	if (pidfd < 0)
		return pidfd;
	for (;;) {
		struct pollfd end = { .fd = pidfd, .events = POLLIN };
		int r = poll(&end, 1, interval_ms);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return error_sys(err, errno, "cannot wait for the box");
		r = print_stats(box, err);
		if (r == 0 && fflush(stdout) == EOF)
			r = error_sys(err, errno, "cannot write the statistics");
		if (r < 0)
			return r;
	}
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
