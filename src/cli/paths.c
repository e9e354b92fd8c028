#include <string.h>

#include "cli/cli.h"
#include "host/userns.h"
#include "oci/state.h"

static int user_store(const char *root, const char **slot, struct error *err)
{
	const char *dir = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	char *path;
	int n;

	if (dir && dir[0] == '/')
		n = asprintf(&path, "%s/ringwall", dir);
	else if (home && home[0] == '/')
		n = asprintf(&path, "%s/.local/share/ringwall", home);
	else
		n = asprintf(&path, "%s/.store", root); /* an engine that starts us without an environment wants no images */
	if (n < 0)
		return error_oom(err);
	*slot = path; /* lives as long as the program */
	return 0;
}

int cli_paths(struct cli *cli, struct error *err)
{
	/* As box_default_root() has it: root under a rootless engine is a user. */
	bool privileged = geteuid() == 0 && (userns_is_initial() || !getenv("XDG_RUNTIME_DIR"));
	char *root;
	int r;

	if (!cli->root) {
		r = box_default_root(&root, err);
		if (r < 0)
			return r;
		cli->root = root; /* lives as long as the program */
	}
	if (!cli->store) {
		cli->store = "/var/lib/ringwall";
		if (!privileged)
			return user_store(cli->root, &cli->store, err);
	}
	return 0;
}
