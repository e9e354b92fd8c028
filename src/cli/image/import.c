/* image import: a plain root file system becomes an image. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strv.h"
#include "cli/image/image_cli.h"
#include "image/change.h"
#include "image/compose.h"
#include "image/policy.h"
#include "image/record.h"

static struct {
	char **changes;
	const char *message, *platform, *policy;
	bool quiet;
	struct limit_options limits;
} opt;

static const struct option options[] = {
    {'c', "change", OPTION_LIST, &opt.changes, "INSTRUCTION",
     "change the image's config: 'CMD [\"/bin/sh\"]', 'ENV A=b', 'USER 1000' ..."},
    {'m', "message", OPTION_STRING, &opt.message, "TEXT", "a comment for the image's history"},
    {0, "platform", OPTION_STRING, &opt.platform, "OS/ARCH[/VARIANT]",
     "what the files are for; this host's by default"},
    {0, "policy", OPTION_STRING, &opt.policy, "FILE",
     "what may be imported (containers-policy.json(5)), instead of /etc/containers/policy.json",
     .aliases = "signature-policy"},
    {'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "print nothing"},
    LIMIT_OPTIONS(opt.limits),
    {0},
};

static int set_platform(struct json_object *config, struct error *err)
{
	_cleanup_strv_ char **parts = opt.platform ? strv_split(opt.platform, "/") : NULL;
	size_t n = strv_len(parts);

	if (opt.platform && (n < 2 || n > 3))
		return error_set(err, EINVAL, "--platform '%s': expected OS/ARCH[/VARIANT]", opt.platform);
	json_object_object_add(config, "os", json_object_new_string(n ? parts[0] : "linux"));
	json_object_object_add(config, "architecture",
			       json_object_new_string(n ? parts[1] : image_host_architecture()));
	if (n > 2)
		json_object_object_add(config, "variant", json_object_new_string(parts[2]));
	return 0;
}

/* The blob must be read twice when its first bytes are looked at: what cannot seek is copied to a nameless file. */
static int open_input(struct content *c, const char *path, int *ret, uint64_t *ret_size, struct error *err)
{
	_cleanup_close_ int fd =
	    strcmp(path, "-") == 0 ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_close_ int copy = -1;
	char buf[64 << 10];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, errno, "cannot open '%s'", path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, EISDIR, "'%s' is a folder: give a tar file, as 'tar -C %s -c .' makes it", path,
				 path);
	if (!S_ISREG(st.st_mode)) {
		copy = openat(c->dirfd, "ingest", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (copy < 0)
			return error_sys(err, errno, "cannot make a temporary file in '%s/ingest'", c->path);
		while ((n = read(fd, buf, sizeof(buf))) != 0) {
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return error_sys(err, errno, "cannot read '%s'", path);
			if (write(copy, buf, (size_t)n) != n)
				return error_sys(err, errno, "cannot write a temporary file in '%s/ingest'", c->path);
		}
		if (fstat(copy, &st) < 0)
			return error_sys(err, errno, "cannot look at a temporary file");
		*ret = take_fd(&copy);
	} else {
		*ret = take_fd(&fd);
	}
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int run_import(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_json_ struct json_object *config = json_object_new_object();
	_cleanup_policy_ struct policy *policy = NULL;
	_cleanup_content_ struct content content = CONTENT_INIT;
	struct layer_job job = {.name = operands[0]};
	struct composed_layer layer = {0};
	struct image_limits limits;
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int fd = -1;
	char id[DIGEST_TEXT_MAX];
	int r;

	if (!config)
		return error_oom(err);
	if ((r = image_cli_local_name(operands[1], &name, err)) < 0 ||
	    (r = image_cli_limits(&opt.limits, &limits, err)) < 0 || (r = set_platform(config, err)) < 0)
		return r;
	for (char **c = opt.changes; c && *c; c++)
		if ((r = change_apply(config, *c, err)) < 0)
			return r;
	if ((r = change_add_history(config, NULL, opt.message ?: "imported by ringwall", err)) < 0 ||
	    (r = policy_open(opt.policy, &policy, err)) < 0 ||
	    (r = policy_check(policy, "tarball", operands[0], err)) < 0 ||
	    (r = image_cli_open(cli, false, &content, err)) < 0 ||
	    (r = open_input(&content, operands[0], &fd, &job.input.length, err)) < 0 ||
	    (r = image_cli_lock_down(&content, NULL, NULL, false, opt.limits.allow_devices, err)) < 0)
		return r;
	job.squash_ids = cli->single_id;
	job.input.fd = fd;
	r = compose_layer(&content, &job, &limits, &layer, err);
	if (r >= 0)
		r = compose_image(&content, (char *[]){name, NULL}, config, &layer, 1, id, err);
	composed_layer_free(&layer);
	if (r >= 0 && !opt.quiet)
		puts(id);
	return r;
}

const struct command image_import = {
    .name = "import",
    .group = "Bringing images in",
    .operands = "FILE NAME",
    .summary = "make an image of one layer from a tar file of a root file system",
    .details = "FILE is plain or compressed with gzip or zstd; '-' is standard input.",
    .options = options,
    .min_operands = 2,
    .max_operands = 2,
    .run = run_import,
};
