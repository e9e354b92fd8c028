#include "cli/box_start.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/strv.h"
#include "cli/box_etc.h"
#include "cli/box_users.h"
#include "cli/bundle.h"
#include "cli/network.h"
#include "cli/stage.h"
#include "host/path.h"
#include "image/store.h"
#include "monitor/protocol.h"
#include "oci/spec_build.h"

/* The configuration with everything in it that is only known now. NETNS: the network namespace to join, or -1. */
static int complete_config(const struct cli *cli, const struct image_box *box, int root_fd, int netns, struct loaded_bundle *ret,
			   struct error *err)
{
	_cleanup_bundle_ struct loaded_bundle b = { 0 };
	_cleanup_strv_ char **groups = image_box_strings(box, "groups");
	const char *user = image_box_string(box, "user");
	char own[32];
	int r = bundle_load(box->path, NULL, &b, err);

	if (r < 0)
		return r;
	/* Without a user namespace, and without privilege, there is one user only. */
	if (!user && image_box_flag(box, "unpacked") && geteuid() != 0) {
		snprintf(own, sizeof(own), "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
		user = own;
	}
	r = box_users_apply(root_fd, user, groups, b.spec->process, err);
	if (r < 0)
		return r;
	if (netns >= 0 && oci_set_namespace(b.spec, CLONE_NEWNET, fd_path(netns).s) < 0)
		return error_oom(err);
	r = stage_show(cli, box, b.spec, err);
	if (r < 0)
		return r;
	free(b.config);
	b.config = NULL;
	r = oci_spec_to_json(b.spec, &b.config, err);
	if (r < 0)
		return r;
	b.bundle.config = b.config;
	b.bundle.config_len = strlen(b.config);
	*ret = b;
	b = (struct loaded_bundle){ 0 };
	return 0;
}

/* Made first, then given its network, then started: nothing of the network's set-up happens behind the box's back. */
static int create_with_network(const struct cli *cli, const struct image_box *box, const struct boundary_ops *wall,
			       const struct loaded_bundle *bundle, struct create_options *create, struct box **ret_state,
			       struct started *ret, struct error *err)
{
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_box_ struct box *state = NULL;
	int r;

	create->run = false;
	r = boundary_create(wall, cli->root, box->id, &bundle->bundle, create, &state, &started, err);
	if (r < 0)
		return r;
	r = network_attach(cli, box, started.pid, err);
	if (r == 0) {
		_cleanup_box_ struct box *locked = NULL;

		r = box_load(cli->root, box->id, true, &locked, err);
		if (r == 0)
			r = boundary_start(locked, err);
	}
	if (r < 0) {
		struct error again = ERROR_INIT;

		if (boundary_delete(state, true, &again) < 0)
			log_warn("cannot remove box '%s': %s", box->id, again.message);
		network_detach(cli, box);
		return r;
	}
	*ret = started;
	started = STARTED_INIT;
	*ret_state = take_ptr(state);
	return 0;
}

int box_start_here(const struct cli *cli, const struct image_box *box, struct create_options *create,
		   struct box **ret_state, struct started *ret, struct error *err)
{
	_cleanup_bundle_ struct loaded_bundle bundle = { 0 };
	_cleanup_close_ int root_fd = -1, netns = -1;
	const struct boundary_ops *wall;
	struct cli chosen = *cli;
	bool rootless = geteuid() != 0;
	int r;

	chosen.isolation = image_box_string(box, "isolation");
	chosen.at_least = NULL;
	if (image_box_flag(box, "unpacked")) {
		root_fd = stage_open_unpacked(box, err);
	} else {
		r = stage_enter_user_namespace(err);
		if (r < 0)
			return r;
		root_fd = stage_mount(box, err);
	}
	if (root_fd < 0)
		return root_fd;
	if (network_comes_first(box)) {
		netns = network_make(box, err);
		if (netns < 0) {
			network_detach(cli, box);
			return netns;
		}
	}
	r = complete_config(cli, box, root_fd, netns, &bundle, err);
	if (r == 0)
		r = box_etc_write(box, NULL, NULL, err);
	if (r < 0)
		return r;
	cli_create_options(cli, create);
	if (rootless && !image_box_flag(box, "unpacked"))
		create->rootless = TRI_YES;
	r = cli_wall(&chosen, bundle.spec, create, &wall, err);
	if (r < 0)
		return r;
	if (network_is_private(box) && !network_comes_first(box))
		return create_with_network(cli, box, wall, &bundle, create, ret_state, ret, err);
	create->run = true;
	r = boundary_create(wall, cli->root, box->id, &bundle.bundle, create, ret_state, ret, err);
	if (r < 0)
		network_detach(cli, box);
	return r;
}

/* The mounts of our own stage would keep the box's folder from being removed. */
static void leave_stage(const struct cli *cli, const struct image_box *box)
{
	_cleanup_strv_ char **layers = image_box_strings(box, "layers");
	char path[64];

	if (chdir(cli->root) == 0)
		(void)umount2(".stage", MNT_DETACH);
	if (chdir(box->path) < 0)
		return;
	(void)umount2("rootfs", MNT_DETACH);
	for (size_t i = 0; i < strv_len(layers); i++) {
		snprintf(path, sizeof(path), "layers/%zu", i);
		(void)umount2(path, MNT_DETACH);
	}
	(void)chdir("/");
}

static void unpin(const struct cli *cli, const char *id)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	struct error err = ERROR_INIT;

	if (image_store_open(cli->store, &store, &err) < 0 || image_store_unpin(store, id, &err) < 0)
		log_debug("cannot release the image of box '%s': %s", id, err.message);
}

int box_clean(const struct cli *cli, const struct image_box *box, bool remove, struct error *err)
{
	_cleanup_box_ struct box *state = NULL;
	int r;

	r = image_box_flag(box, "unpacked") ? 0 : stage_enter_user_namespace(err);
	if (r < 0)
		return r;
	r = image_box_state(cli, box, true, &state, err);
	if (r == 0)
		r = boundary_delete(state, true, err);
	if (r < 0 && r != -ENOENT)
		return r;
	network_detach(cli, box);
	if (!remove)
		return 0;
	leave_stage(cli, box);
	r = image_box_remove(box, err);
	if (r == 0)
		unpin(cli, box->id);
	return r;
}

/* ---- through a monitor ---- */

/* "ringwall" with the global options that the monitor's calls need. */
static int add_own_command(const struct cli *cli, char ***argv, struct error *err)
{
	const char *const options[] = { "--root", cli->root, "--store", cli->store, "--cgroup-manager", cli->cgroup_manager,
					"--rootless", cli->rootless, "--log-level", cli->log_level };
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL);

	if (!self)
		return error_sys(err, errno, "cannot find the running program");
	if (strv_add(argv, self) < 0)
		return error_oom(err);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (strv_add(argv, options[i]) < 0)
			return error_oom(err);
	return 0;
}

static int monitor_command(const struct cli *cli, const struct image_box *box, int ready_fd, int client_fd, char ***ret,
			   struct error *err)
{
	_cleanup_strv_ char **argv = NULL;
	char *program;
	int r;

	r = image_helper_path("ringwall-monitor", &program, err);
	if (r < 0)
		return r;
	r = strv_push(&argv, program);
	r |= strv_addf(&argv, "--restart=%s", image_box_string(box, "restart"));
	r |= strv_addf(&argv, "--max-retries=%lld", (long long)image_box_number(box, "maxRetries"));
	r |= strv_addf(&argv, "--log-max-size=%lld", (long long)image_box_number(box, "logMaxSize"));
	r |= strv_addf(&argv, "--log-max-files=%lld", (long long)image_box_number(box, "logMaxFiles"));
	r |= strv_addf(&argv, "--tty=%s", image_box_flag(box, "terminal") ? "true" : "false");
	r |= strv_addf(&argv, "--interactive=%s", image_box_flag(box, "interactive") ? "true" : "false");
	r |= strv_addf(&argv, "--rm=%s", image_box_flag(box, "remove") ? "true" : "false");
	r |= strv_addf(&argv, "--ready-fd=%d", ready_fd);
	r |= strv_addf(&argv, "--client-fd=%d", client_fd);
	r |= strv_add(&argv, box->path);
	r |= strv_add(&argv, box->id);
	if (r < 0)
		return error_oom(err);
	r = add_own_command(cli, &argv, err);
	if (r < 0)
		return r;
	*ret = take_ptr(argv);
	return 0;
}

static _noreturn_ void become_monitor(char **argv, int ready_fd, int client_fd)
{
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	(void)fcntl(ready_fd, F_SETFD, 0);
	if (client_fd >= 0)
		(void)fcntl(client_fd, F_SETFD, 0);
	execv(argv[0], argv);
	_exit(EXIT_RINGWALL_FAILED);
}

int box_start_monitored(const struct cli *cli, const struct image_box *box, int client_fd, struct error *err)
{
	_cleanup_close_ int ready = -1;
	_cleanup_strv_ char **argv = NULL;
	int fds[2], r, status;
	pid_t pid;
	char byte;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(err, errno, "cannot make a pipe");
	ready = fds[0];
	r = monitor_command(cli, box, fds[1], client_fd, &argv, err);
	pid = r < 0 ? -1 : fork();
	if (pid == 0)
		become_monitor(argv, fds[1], client_fd);
	close(fds[1]);
	if (r < 0)
		return r;
	if (pid < 0)
		return error_sys(err, errno, "cannot start the monitor");
	if (fd_read_full(ready, &byte, 1) == 1)
		return 0;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot wait for the monitor");
	if (WIFSIGNALED(status))
		return error_set(err, EIO, "the monitor was killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_RINGWALL_FAILED;
}

/* ---- the verbs that the monitor calls ---- */

static int send_reply(const struct started *started, struct error *err)
{
	struct launch_reply reply = { .pid = started->pid };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { &reply, sizeof(reply) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (started->terminal >= 0) {
		struct cmsghdr *c;

		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &started->terminal, sizeof(int));
	}
	return sendmsg(LAUNCH_REPLY_FD, &message, MSG_NOSIGNAL) < 0 ? error_sys(err, errno, "cannot answer the monitor") : 0;
}

static int run_box_launch(struct cli *cli, char **operands, struct error *err)
{
	struct create_options create = CREATE_OPTIONS_INIT;
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	_cleanup_box_ struct box *state = NULL;
	int r;

	for (int fd = LAUNCH_REPLY_FD; fd < LAUNCH_STDIO_FD + 3; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return error_set(err, EINVAL, "box-launch is called by ringwall-monitor only");
	r = image_box_load(cli, operands[0], &box, err);
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++)
		create.stdio[i] = LAUNCH_STDIO_FD + i;
	r = box_start_here(cli, &box, &create, &state, &started, err);
	return r < 0 ? r : send_reply(&started, err);
}

const struct command cli_box_launch = {
	.name = "box-launch",
	.operands = "ID",
	.summary = "start a box for its monitor",
	.flags = COMMAND_HIDDEN,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_box_launch,
};

static bool clean_remove;
static const struct option clean_options[] = {
	{ 0, "rm", OPTION_FLAG, &clean_remove, NULL, "remove the box's folder too" },
	{ 0 },
};

static int run_box_clean(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	int r = image_box_load(cli, operands[0], &box, err);

	return r < 0 ? r : box_clean(cli, &box, clean_remove, err);
}

const struct command cli_box_clean = {
	.name = "box-clean",
	.operands = "ID",
	.summary = "tidy up after a box for its monitor",
	.options = clean_options,
	.flags = COMMAND_HIDDEN,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_box_clean,
};
