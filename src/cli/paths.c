#include <string.h>

#include "cli/cli.h"

/* FIRST/ringwall if that variable is set, else HOME/TAIL/ringwall; static storage through *SLOT. */
static int user_path(const char **slot, const char *variable, const char *tail, struct error *err)
{
	const char *dir = getenv(variable), *home = getenv("HOME");
	char *path;

	if (dir && dir[0] == '/') {
		if (asprintf(&path, "%s/ringwall", dir) < 0)
			return error_oom(err);
	} else if (tail && home && home[0] == '/') {
		if (asprintf(&path, "%s/%s/ringwall", home, tail) < 0)
			return error_oom(err);
	} else if (!tail) {
		if (asprintf(&path, "/tmp/ringwall-%u", (unsigned)geteuid()) < 0)
			return error_oom(err);
	} else {
		return error_set(err, ENOENT, "neither %s nor HOME is set; give --root and --store", variable);
	}
	*slot = path; /* lives as long as the program */
	return 0;
}

int cli_paths(struct cli *cli, struct error *err)
{
	bool privileged = geteuid() == 0;

	if (!cli->root) {
		cli->root = "/run/ringwall";
		if (!privileged) {
			int r = user_path(&cli->root, "XDG_RUNTIME_DIR", NULL, err);

			if (r < 0)
				return r;
		}
	}
	if (!cli->store) {
		cli->store = "/var/lib/ringwall";
		if (!privileged)
			return user_path(&cli->store, "XDG_DATA_HOME", ".local/share", err);
	}
	return 0;
}
