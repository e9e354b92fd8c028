#include "cli/run_module.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strbuf.h"
#include "base/strv.h"
#include "cli/run_image.h"

#define MODULE_IN_BOX "/module.wasm"

bool run_module_is(const struct cli *cli, const char *operand)
{
	struct stat st;
	const char *dot = strrchr(operand, '.');

	return cli->isolation && strcmp(cli->isolation, "wasm") == 0 && dot &&
	       (strcmp(dot, ".wasm") == 0 || strcmp(dot, ".wat") == 0) && stat(operand, &st) == 0 && S_ISREG(st.st_mode);
}

/* HOST as an absolute path without a colon, which the volume syntax could not hold. */
static int host_path(const char *path, char ret[PATH_MAX], struct error *err)
{
	if (!realpath(path, ret))
		return error_sys(err, errno, "cannot find '%s'", path);
	if (strchr(ret, ':'))
		return error_set(err, EINVAL, "'%s' has a colon in its path, which separates it from its place in the box", ret);
	return 0;
}

/* "HOST[:GUEST[:ro]]" as a volume at GUEST, and as a line of the annotation. */
static int add_directory(const char *text, char ***volumes, struct strbuf *lines, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	char host[PATH_MAX], *guest, *mode = NULL;
	int r;

	if (!copy)
		return error_oom(err);
	guest = strchr(copy, ':');
	if (guest)
		*guest++ = 0;
	mode = guest ? strchr(guest, ':') : NULL;
	if (mode)
		*mode++ = 0;
	if (mode && strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
		return error_set(err, EINVAL, "option --dir: '%s' is neither ro nor rw", mode);
	r = host_path(copy, host, err);
	if (r < 0)
		return error_prefix(err, "option --dir");
	if (!guest || !*guest)
		guest = host;
	if (*guest != '/')
		return error_set(err, EINVAL, "option --dir: '%s' is not an absolute path in the box", guest);
	/* Kept apart from what is in the image: the module sees it under GUEST all the same. */
	if (strv_addf(volumes, "%s:/dirs%s:%s", host, strcmp(guest, "/") ? guest : "/root", mode ? mode : "rw") < 0)
		return error_oom(err);
	strbuf_addf(lines, "/dirs%s:%s:%s\n", strcmp(guest, "/") ? guest : "/root", guest, mode ? mode : "rw");
	return 0;
}

int run_module(struct cli *cli, const struct run_options *options, const char *file, char **arguments, struct error *err)
{
	_cleanup_strbuf_ struct strbuf lines = STRBUF_INIT;
	_cleanup_strv_ char **volumes = strv_copy(options->volumes), **annotations = strv_copy(options->annotations);
	struct run_options o = *options;
	char path[PATH_MAX];
	int r;

	if (!volumes || !annotations)
		return error_oom(err);
	r = host_path(file, path, err);
	if (r == 0 && strv_addf(&volumes, "%s:" MODULE_IN_BOX ":ro", path) < 0)
		r = error_oom(err);
	for (size_t i = 0; r == 0 && o.dirs && o.dirs[i]; i++)
		r = add_directory(o.dirs[i], &volumes, &lines, err);
	if (r == 0 && (strbuf_failed(&lines) || strv_addf(&annotations, "run.ringwall.wasm.dirs=%s", strbuf_str(&lines)) < 0))
		r = error_oom(err);
	if (r < 0)
		return r;
	o.volumes = volumes;
	o.annotations = annotations;
	o.entrypoint = MODULE_IN_BOX;
	o.network = o.network ? o.network : "none";
	return run_image(cli, &o, "base", arguments, err);
}
