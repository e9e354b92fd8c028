/* The options that create, run and restore share. */
#pragma once

#include "cli/cli.h"

struct create_flags {
	const char *bundle, *config, *console_socket, *pidfd_socket, *pid_file;
	struct option_number preserve_fds;
	bool no_pivot, no_new_keyring, no_subreaper;
};

#define CREATE_FLAG_ROWS(f)                                                                                            \
	{ 'b', "bundle", OPTION_STRING, &(f).bundle, "DIR", "directory of the bundle; the current one when not given" }, \
	{ 0, "console-socket", OPTION_STRING, &(f).console_socket, "SOCKET",                                           \
	  "unix socket that gets the master side of the box's terminal" },                                             \
	{ 0, "pidfd-socket", OPTION_STRING, &(f).pidfd_socket, "SOCKET", "unix socket that gets a pidfd of the workload" }, \
	{ 0, "pid-file", OPTION_STRING, &(f).pid_file, "FILE", "write the workload's process ID to FILE" },            \
	{ 0, "preserve-fds", OPTION_NUMBER, &(f).preserve_fds, "N",                                                    \
	  "pass N descriptors, from 3 (plus $LISTEN_FDS) on, to the workload" },                                       \
	{ 0, "no-pivot", OPTION_FLAG, &(f).no_pivot, NULL,                                                             \
	  "do not use pivot_root(2), for a root file system on a ramdisk (a weaker wall)" },                           \
	{ 0, "no-new-keyring", OPTION_FLAG, &(f).no_new_keyring, NULL, "let the box share the caller's session keyring" }, \
	{ 0, "no-subreaper", OPTION_FLAG, &(f).no_subreaper, NULL, "do not become the reaper of the box's orphans" }

/* What FLAGS and the global options say. */
int create_flags_apply(const struct cli *cli, const struct create_flags *flags, struct create_options *ret,
		       struct error *err);

/* `run ID` of a bundle, in the foreground or detached: exit status or a negative errno. */
struct run_mode {
	bool detach, keep;
};
int run_bundle(const struct cli *cli, const char *id, const struct create_flags *flags, const struct run_mode *mode,
	       struct error *err);
