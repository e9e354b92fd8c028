/* `checkpoint` and `restore`: CRIU's options under runc's names. */
#include "base/log.h"
#include "base/strv.h"
#include "cli/bundle.h"
#include "cli/create.h"
#include "cli/relay.h"

static struct {
	struct checkpoint_request request;
	char **empty_ns, **external;
	const char *criu;
} opt;

#define r_ opt.request
#define COMMON_ROWS                                                                                                    \
	{ 0, "image-path", OPTION_STRING, &r_.image_path, "DIR", "where CRIU's image files are", .fallback = "checkpoint" }, \
	{ 0, "work-path", OPTION_STRING, &r_.work_path, "DIR", "where CRIU puts logs and work files" },                \
	{ 0, "tcp-established", OPTION_FLAG, &r_.tcp_established, NULL, "keep established TCP connections" },          \
	{ 0, "tcp-close", OPTION_FLAG, &r_.tcp_close, NULL, "close TCP connections" },                                 \
	{ 0, "ext-unix-sk", OPTION_FLAG, &r_.ext_unix_sk, NULL, "allow unix sockets connected to the outside" },       \
	{ 0, "shell-job", OPTION_FLAG, &r_.shell_job, NULL, "allow jobs of a shell" },                                 \
	{ 0, "file-locks", OPTION_FLAG, &r_.file_locks, NULL, "keep file locks" },                                     \
	{ 0, "lazy-pages", OPTION_FLAG, &r_.lazy_pages, NULL, "bring memory in when it is touched, by userfaultfd(2)" }, \
	{ 0, "manage-cgroups-mode", OPTION_STRING, &r_.manage_cgroups_mode, "soft|full|strict|ignore",                 \
	  "how control groups are restored" },                                                                         \
	{ 0, "empty-ns", OPTION_LIST, &opt.empty_ns, "NAMESPACE", "make this namespace, but leave it empty" },         \
	{ 0, "auto-dedup", OPTION_FLAG, &r_.auto_dedup, NULL, "keep each memory page once" }

static const struct option checkpoint_options[] = {
	COMMON_ROWS,
	{ 0, "parent-path", OPTION_STRING, &r_.parent_path, "DIR", "image files of an earlier pre-dump" },
	{ 0, "leave-running", OPTION_FLAG, &r_.leave_running, NULL, "let the box go on afterwards", .aliases = "leave-runnning" },
	{ 0, "pre-dump", OPTION_FLAG, &r_.pre_dump, NULL, "save the memory only, and let the box go on" },
	{ 0, "status-fd", OPTION_STRING, &r_.status_fd, "FD", "CRIU writes a NUL to FD when lazy pages are ready" },
	{ 0, "page-server", OPTION_STRING, &r_.page_server, "ADDRESS:PORT", "send memory pages there" },
	{ 0, "network-lock", OPTION_STRING, &r_.network_lock, "iptables|nftables|skip", "how the network is held still" },
	{ 0, "tcp-skip-in-flight", OPTION_FLAG, &r_.skip_in_flight, NULL, "leave out connections that are being made" },
	{ 0 },
};

static struct create_flags restore_flags;
static bool restore_detach;

static const struct option restore_options[] = {
	CREATE_FLAG_ROWS(restore_flags),
	{ 'd', "detach", OPTION_FLAG, &restore_detach, NULL, "do not wait for the workload" },
	COMMON_ROWS,
	{ 0, "lsm-profile", OPTION_STRING, &r_.lsm_profile, "TYPE:NAME", "security profile of the restored processes" },
	{ 0, "lsm-mount-context", OPTION_STRING, &r_.lsm_mount_context, "CONTEXT", "SELinux context of the restored mounts" },
	{ 0 },
};

static int run_checkpoint(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_box_ struct box *box = NULL;
	struct error again = ERROR_INIT;
	int r;

	r_.empty_ns = opt.empty_ns;
	r = box_load(cli->root, operands[0], true, &box, err);
	if (r == 0)
		r = boundary_checkpoint(box, &r_, err);
	if (r < 0 || r_.leave_running || r_.pre_dump)
		return r;
	if (boundary_delete(box, true, &again) < 0)
		log_warn("cannot remove the checkpointed box '%s': %s", box->id, again.message);
	return 0;
}

const struct command cli_checkpoint = {
	.name = "checkpoint",
	.group = "Life of a box",
	.operands = "ID",
	.summary = "save a running box to files (CRIU)",
	.options = checkpoint_options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_checkpoint,
};

static int restore(struct cli *cli, const char *id, struct error *err)
{
	struct create_options create = CREATE_OPTIONS_INIT;
	_cleanup_(started_close) struct started started = STARTED_INIT;
	_cleanup_bundle_ struct loaded_bundle bundle = { 0 };
	_cleanup_box_ struct box *box = NULL;
	const struct boundary_ops *wall;
	struct error again = ERROR_INIT;
	int r, status = 0;

	r = create_flags_apply(cli, &restore_flags, &create, err);
	if (r == 0)
		r = bundle_load(restore_flags.bundle ? restore_flags.bundle : ".", restore_flags.config, &bundle, err);
	create.detach = restore_detach;
	create.run = true;
	if (r == 0)
		r = cli_wall(cli, bundle.spec, &create, &wall, err);
	if (r == 0 && !restore_detach)
		r = relay_prepare(!create.no_subreaper, err);
	if (r == 0)
		r = boundary_restore(wall, cli->root, id, &bundle.bundle, &create, &r_, &box, &started, err);
	if (r < 0 || restore_detach)
		return r;
	r = relay_wait(&started, &status, err);
	if (boundary_delete(box, true, &again) < 0)
		log_warn("cannot remove box '%s': %s", box->id, again.message);
	return r < 0 ? r : status;
}

static int run_restore(struct cli *cli, char **operands, struct error *err)
{
	r_.empty_ns = opt.empty_ns;
	return restore(cli, operands[0], err);
}

const struct command cli_restore = {
	.name = "restore",
	.group = "Life of a box",
	.operands = "ID",
	.summary = "bring back a checkpointed box (CRIU)",
	.options = restore_options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_restore,
};
