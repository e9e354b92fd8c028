#include "cli/stop.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "base/parse.h"
#include "cli/box_start.h"
#include "monitor/life.h"
#include "monitor/protocol.h"

enum { POLL_MS = 20, KILL_PATIENCE_MS = 10000 };

static bool is_alive(const struct image_box *box)
{
	struct life_record life;
	bool alive = false;

	return life_read(box->dir_fd, &life, &alive) == 0 && alive;
}

/* True when nobody looks after the box any more. */
static bool wait_for_end(const struct image_box *box, uint64_t timeout_ms)
{
	for (uint64_t waited = 0; is_alive(box); waited += POLL_MS) {
		if (waited >= timeout_ms)
			return false;
		(void)poll(NULL, 0, POLL_MS);
	}
	return true;
}

static int signal_box(const struct cli *cli, const struct image_box *box, int signal, struct error *err)
{
	_cleanup_box_ struct box *state = NULL;
	int r = image_box_state(cli, box, false, &state, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (boundary_status(state) == BOX_PAUSED)
		(void)boundary_resume(state, NULL);
	r = boundary_signal(state, signal, false, err);
	return r == -ESRCH ? 0 : r;
}

/* Sends SIGNAL, and KILL after TIMEOUT_MS, to a workload that nobody but us waits for. */
static int stop_process(struct box *state, int signal, uint64_t timeout_ms, struct error *err)
{
	_cleanup_close_ int pidfd = box_pidfd(state, err);
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	int r;

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	if (boundary_status(state) == BOX_PAUSED)
		(void)boundary_resume(state, NULL);
	r = boundary_signal(state, signal, false, err);
	if (r == 0 && poll(&end, 1, (int)timeout_ms) == 0)
		r = boundary_signal(state, SIGKILL, false, err);
	if (r == 0 && poll(&end, 1, KILL_PATIENCE_MS) == 0)
		return error_set(err, ETIMEDOUT, "box '%s' did not end within %d s of being killed", state->id, KILL_PATIENCE_MS / 1000);
	return r == -ESRCH ? 0 : r;
}

/* What looked after the box was killed; the workload may have lived on. */
static int stop_orphan(const struct cli *cli, const struct image_box *box, int signal, uint64_t timeout_ms, struct error *err)
{
	_cleanup_box_ struct box *state = NULL;
	int r = image_box_state(cli, box, false, &state, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = stop_process(state, signal, timeout_ms, err);
	return r < 0 ? r : box_clean(cli, box, false, err);
}

int stop_image_box(const struct cli *cli, const struct image_box *box, int signal, uint64_t timeout_ms, struct error *err)
{
	_cleanup_close_ int marker = -1;
	int r;

	if (!is_alive(box))
		return stop_orphan(cli, box, signal, timeout_ms, err);
	marker = openat(box->dir_fd, MONITOR_STOPPED, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (marker < 0)
		return error_sys(err, errno, "cannot mark box '%s' as stopped", box->id);
	r = signal_box(cli, box, signal, err);
	if (r < 0)
		return r;
	if (wait_for_end(box, timeout_ms))
		return 0;
	r = signal_box(cli, box, SIGKILL, err);
	if (r < 0)
		return r;
	if (!wait_for_end(box, KILL_PATIENCE_MS))
		return error_set(err, ETIMEDOUT, "box '%s' did not end within %d s of being killed", box->id, KILL_PATIENCE_MS / 1000);
	return 0;
}

static bool is_running(const struct cli *cli, const struct image_box *box)
{
	_cleanup_box_ struct box *state = NULL;

	return is_alive(box) || (image_box_state(cli, box, false, &state, NULL) == 0 && boundary_status(state) != BOX_STOPPED);
}

int remove_image_box(const struct cli *cli, const char *id, bool force, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	_cleanup_close_ int life = -1;
	int r = image_box_load(cli, id, &box, err);

	if (r < 0)
		return r;
	if (!force && is_running(cli, &box))
		return error_set(err, EBUSY, "box '%s' is running; stop it first (ringwall stop %s) or use --force", id, id);
	r = stop_image_box(cli, &box, SIGKILL, 0, err);
	if (r < 0)
		return r;
	life = life_take(box.dir_fd, err); /* so that nobody starts it meanwhile */
	if (life == -ENOENT)
		return 0;
	return life < 0 ? life : box_clean(cli, &box, true, err);
}

static struct {
	struct option_number time;
	const char *signal;
} opt;

static const struct option options[] = {
	{ 't', "time", OPTION_NUMBER, &opt.time, "SECONDS", "how long to wait before the workload is killed; the box's own choice "
	  "(--stop-timeout), or 10", .aliases = "timeout" },
	{ 's', "signal", OPTION_STRING, &opt.signal, "SIGNAL", "what to send first; the box's own choice (--stop-signal), or TERM" },
	{ 0 },
};

static int stop_bundle_box(const struct cli *cli, const char *id, int signal, uint64_t timeout_ms, struct error *err)
{
	_cleanup_box_ struct box *state = NULL;
	int r = box_load(cli->root, id, false, &state, err);

	return r < 0 ? r : stop_process(state, signal, timeout_ms, err);
}

static int stop_one(const struct cli *cli, const char *id, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	const char *name = opt.signal;
	int64_t seconds = opt.time.given ? opt.time.v : 10;
	int signal, r;

	r = image_box_load(cli, id, &box, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0) {
		name = name ? name : image_box_string(&box, "stopSignal");
		seconds = opt.time.given ? opt.time.v : image_box_number(&box, "stopTimeout");
	}
	if (seconds < 0 || seconds > 1000000)
		return error_set(err, EINVAL, "option --time: %lld s is out of range", (long long)seconds);
	if (cli_parse_signal(name ? name : "TERM", &signal, err) < 0)
		return -EINVAL;
	return box.id ? stop_image_box(cli, &box, signal, (uint64_t)seconds * 1000, err)
		      : stop_bundle_box(cli, id, signal, (uint64_t)seconds * 1000, err);
}

static int run_stop(struct cli *cli, char **operands, struct error *err)
{
	int r = 0;

	for (; r >= 0 && *operands; operands++)
		r = stop_one(cli, *operands, err);
	return r;
}

const struct command cli_stop = {
	.name = "stop",
	.group = "Boxes made from images",
	.operands = "ID...",
	.summary = "end a box's workload, kindly first; no restart policy brings it back",
	.options = options,
	.min_operands = 1,
	.max_operands = -1,
	.run = run_stop,
};

static int run_restart(struct cli *cli, char **operands, struct error *err)
{
	int r = 0;

	for (; r >= 0 && *operands; operands++) {
		_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;

		r = image_box_load(cli, *operands, &box, err);
		if (r == 0)
			r = stop_one(cli, *operands, err);
		if (r == 0)
			r = box_start_monitored(cli, &box, -1, err);
		if (r > 0)
			return r;
	}
	return r;
}

const struct command cli_restart = {
	.name = "restart",
	.group = "Boxes made from images",
	.operands = "ID...",
	.summary = "stop a box and start it again, detached",
	.options = options,
	.min_operands = 1,
	.max_operands = -1,
	.run = run_restart,
};
