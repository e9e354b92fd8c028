/* image save, image commit: out of the store, and out of a box into it. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/parse.h"
#include "base/strv.h"
#include "cli/image/image_cli.h"
#include "image/commit.h"
#include "image/save.h"

static struct {
	const char *output, *format, *platform;
	bool quiet;
} opt;

static const struct option save_options[] = {
    {'o', "output", OPTION_STRING, &opt.output, "FILE",
     "write to FILE (for oci-dir: a new or empty folder); '-' is standard output"},
    {0, "format", OPTION_STRING, &opt.format, "docker-archive|oci-archive|oci-dir",
     "docker-archive is an OCI layout that Docker reads too", .fallback = "docker-archive"},
    {0, "platform", OPTION_STRING, &opt.platform, "OS/ARCH[/VARIANT]", "choose this variant of the images"},
    {'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "", .hidden = true},
    {0},
};

struct images {
	struct image *v;
	size_t n;
};

static void images_free(struct images *images)
{
	for (size_t i = 0; i < images->n; i++)
		image_free(&images->v[i]);
	free(images->v);
}

/* Writes the archive beside its name and renames it, so that no half one is left. */
static int save_to_file(struct content *c, const struct images *images, enum save_format format, struct error *err)
{
	_cleanup_free_ char *tmp = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&tmp, "%s.%d.tmp", opt.output, getpid()) < 0)
		return error_oom(err);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return error_sys(err, errno, "cannot make '%s'", tmp);
	r = save_images(c, images->v, images->n, format, fd, err);
	if (r >= 0 && rename(tmp, opt.output) < 0)
		r = error_sys(err, errno, "cannot write '%s'", opt.output);
	if (r < 0)
		unlink(tmp);
	return r;
}

static int save_to_folder(struct content *c, const struct images *images, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (!opt.output || strcmp(opt.output, "-") == 0)
		return error_set(err, EINVAL, "--format oci-dir needs --output DIR");
	fd = open(opt.output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "cannot open '%s'", opt.output);
	if (faccessat(fd, "index.json", F_OK, 0) == 0)
		return error_set(err, EEXIST, "'%s' holds a layout already: choose another folder", opt.output);
	return save_images(c, images->v, images->n, SAVE_OCI_DIR, fd, err);
}

/* Where files will be made; NULL: nowhere. Owned. A folder to save to is made now. */
static int output_folder(enum save_format format, char **ret, struct error *err)
{
	char *slash;

	if (!opt.output || strcmp(opt.output, "-") == 0)
		return 0;
	if (format == SAVE_OCI_DIR && mkdir(opt.output, 0755) < 0 && errno != EEXIST)
		return error_sys(err, errno, "cannot make '%s'", opt.output);
	*ret = strdup(opt.output);
	if (!*ret)
		return error_oom(err);
	if (format == SAVE_OCI_DIR)
		return 0;
	slash = strrchr(*ret, '/');
	if (slash)
		slash[slash == *ret] = 0;
	else
		strcpy(*ret, ".");
	return 0;
}

static int run_save(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_free_ char *folder = NULL;
	_cleanup_image_store_ struct image_store *store = NULL;
	_cleanup_(images_free) struct images images = {0};
	_cleanup_content_ struct content content = CONTENT_INIT;
	enum save_format format = strcmp(opt.format, "oci-archive") == 0 ? SAVE_OCI_ARCHIVE
				  : strcmp(opt.format, "oci-dir") == 0	 ? SAVE_OCI_DIR
									 : SAVE_DOCKER_ARCHIVE;
	int r;

	images.v = calloc(strv_len(operands) + 1, sizeof(*images.v));
	if (!images.v)
		return error_oom(err);
	if ((r = output_folder(format, &folder, err)) < 0 || (r = image_cli_open(cli, false, &content, err)) < 0 ||
	    (r = image_cli_lock_down(&content, NULL, folder, false, false, err)) < 0 ||
	    (r = image_store_open(cli->store, &store, err)) < 0)
		return r;
	for (; operands[images.n]; images.n++)
		if ((r = image_store_resolve(store, operands[images.n], opt.platform, &images.v[images.n], err)) < 0)
			return r;
	if (format == SAVE_OCI_DIR)
		return save_to_folder(&content, &images, err);
	if (opt.output && strcmp(opt.output, "-") != 0)
		return save_to_file(&content, &images, format, err);
	if (isatty(STDOUT_FILENO))
		return error_set(err, EINVAL, "an archive on the terminal does nobody good: give --output FILE");
	return save_images(&content, images.v, images.n, format, STDOUT_FILENO, err);
}

const struct command image_save = {
    .name = "save",
    .group = "Sending images out",
    .operands = "IMAGE...",
    .summary = "write images to an archive or a layout",
    .options = save_options,
    .min_operands = 1,
    .max_operands = -1,
    .run = run_save,
};

static struct {
	const char *author, *message, *created_by, *compression;
	char **changes, **uids, **gids;
	bool quiet;
	struct limit_options limits;
} commit;

static const struct option commit_options[] = {
    {'c', "change", OPTION_LIST, &commit.changes, "INSTRUCTION",
     "change the image's config: 'CMD [\"/bin/sh\"]', 'ENV A=b' ..."},
    {'a', "author", OPTION_STRING, &commit.author, "NAME", "who made it"},
    {'m', "message", OPTION_STRING, &commit.message, "TEXT", "a comment for the image's history"},
    {0, "created-by", OPTION_STRING, &commit.created_by, "TEXT", "the command that made the changes"},
    {0, "compression", OPTION_STRING, &commit.compression, "gzip|zstd|none", "of the layer", .fallback = "gzip"},
    {0, "uid-map", OPTION_LIST, &commit.uids, "INSIDE:OUTSIDE:COUNT", "user IDs of the box's user namespace"},
    {0, "gid-map", OPTION_LIST, &commit.gids, "INSIDE:OUTSIDE:COUNT", "group IDs of the box's user namespace"},
    {'q', "quiet", OPTION_FLAG, &commit.quiet, NULL, "do not print the image's ID"},
    LIMIT_OPTIONS(commit.limits),
    {0},
};

static int parse_maps(char *const *texts, struct id_map **ret, size_t *ret_n, struct error *err)
{
	size_t n = strv_len((char **)texts);

	*ret = calloc(n + 1, sizeof(**ret));
	if (!*ret)
		return error_oom(err);
	for (size_t i = 0; i < n; i++) {
		_cleanup_strv_ char **parts = strv_split(texts[i], ":");
		struct id_map *m = &(*ret)[i];

		if (strv_len(parts) != 3 || parse_u32(parts[0], &m->inside) < 0 ||
		    parse_u32(parts[1], &m->outside) < 0 || parse_u32(parts[2], &m->count) < 0)
			return error_set(err, EINVAL, "'%s': expected INSIDE:OUTSIDE:COUNT", texts[i]);
	}
	*ret_n = n;
	return 0;
}

static int run_commit(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	_cleanup_content_ struct content content = CONTENT_INIT;
	_cleanup_image_ struct image base = {0};
	_cleanup_free_ struct id_map *uids = NULL, *gids = NULL;
	struct commit_request request = {.base = &base,
					 .changes = commit.changes,
					 .author = commit.author,
					 .message = commit.message,
					 .created_by = commit.created_by,
					 .compression = commit.compression};
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int upper = -1;
	char id[DIGEST_TEXT_MAX];
	int r;

	if ((r = image_cli_local_name(operands[2], &name, err)) < 0 ||
	    (r = image_cli_limits(&commit.limits, &request.limits, err)) < 0 ||
	    (r = parse_maps(commit.uids, &uids, &request.diff.n_uids, err)) < 0 ||
	    (r = parse_maps(commit.gids, &gids, &request.diff.n_gids, err)) < 0)
		return r;
	upper = open(operands[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (upper < 0)
		return error_sys(err, errno, "cannot open the upper directory '%s'", operands[1]);
	request.diff.upper = upper;
	request.diff.uids = uids;
	request.diff.gids = gids;
	request.names = (char *[]){name, NULL};
	request.limits.allow_devices = 1; /* nothing comes from elsewhere: what a box could make may stay */
	if ((r = image_cli_open(cli, false, &content, err)) < 0 ||
	    (r = image_cli_lock_down(&content, (const char *[]){operands[1], NULL}, NULL, false, true, err)) < 0 ||
	    (r = image_store_open(cli->store, &store, err)) < 0 ||
	    (r = image_store_resolve(store, operands[0], NULL, &base, err)) < 0 ||
	    (r = commit_image(&content, &request, id, err)) < 0)
		return r;
	if (!commit.quiet)
		puts(id);
	return 0;
}

const struct command image_commit = {
    .name = "commit",
    .group = "Bringing images in",
    .operands = "IMAGE UPPERDIR NAME",
    .summary = "make an image of a box's changes to IMAGE, an overlayfs upper directory",
    .details = "'ringwall commit' does this for a box.",
    .options = commit_options,
    .min_operands = 3,
    .max_operands = 3,
    .run = run_commit,
};
