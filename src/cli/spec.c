/* `spec` and `features`: what a bundle's configuration may say. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "cli/cli.h"
#include "oci/features.h"
#include "oci/spec_build.h"

static struct {
	const char *bundle, *file;
	bool rootless;
} opt;

static const struct option options[] = {
	{ 'b', "bundle", OPTION_STRING, &opt.bundle, "DIR", "directory of the bundle", .fallback = "." },
	{ 'f', "file", OPTION_STRING, &opt.file, "FILE", "write to FILE; '-' is the standard output", .fallback = "config.json" },
	{ 0, "rootless", OPTION_FLAG, &opt.rootless, NULL, "for a box without privilege" },
	{ 0 },
};

static int run_spec(struct cli *cli, char **operands, struct error *err)
{
	struct oci_default how = { .rootless = opt.rootless, .uid = geteuid(), .gid = getegid() };
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	_cleanup_close_ int dir = -1, fd = -1;
	_cleanup_free_ char *text = NULL;
	struct cgroup_host host = { 0 };
	int r;

	if (cgroup_host_probe(NULL, NULL, &host, NULL) == 0)
		how.cgroup_namespace = host.layout == CGROUP_LAYOUT_V2;
	cgroup_host_free(&host);
	r = oci_spec_default(&how, &spec, err);
	if (r == 0)
		r = oci_spec_to_json(spec, &text, err);
	if (r < 0)
		return r;
	if (strcmp(opt.file, "-") == 0) {
		fputs(text, stdout);
		return 0;
	}
	dir = open(opt.bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_sys(err, errno, "cannot open the bundle '%s'", opt.bundle);
	fd = openat(dir, opt.file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return errno == EEXIST ? error_set(err, EEXIST, "'%s' exists already; remove it first", opt.file)
				       : error_sys(err, errno, "cannot make '%s'", opt.file);
	r = fd_write_all(fd, text, strlen(text));
	return r < 0 ? error_sys(err, r, "cannot write '%s'", opt.file) : 0;
}

const struct command cli_spec = {
	.name = "spec",
	.group = "Bundles",
	.summary = "write a configuration to begin with",
	.options = options,
	.run = run_spec,
};

static int run_features(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	int r = oci_features(cli_program.version, &o, err);

	return r < 0 ? r : cli_print_json(o, true, err);
}

const struct command cli_features = {
	.name = "features",
	.group = "Bundles",
	.summary = "print what of the runtime-spec is implemented, as JSON",
	.run = run_features,
};
