/* image load, image import: files into the store. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strv.h"
#include "cli/image/image_cli.h"
#include "image/load.h"
#include "image/policy.h"
#include "image/reference.h"

static struct {
	const char *input, *tag, *platform, *policy;
	bool builtin, quiet, json, all_platforms;
	struct limit_options limits;
} opt;

static const struct option options[] = {
    {'i', "input", OPTION_STRING, &opt.input, "FILE", "the archive or layout; '-' is standard input"},
    {'t', "tag", OPTION_STRING, &opt.tag, "NAME", "call the image NAME instead of what the archive calls it"},
    {0, "platform", OPTION_STRING, &opt.platform, "OS/ARCH[/VARIANT]", "choose this variant of multi-platform images"},
    {0, "all-platforms", OPTION_FLAG, &opt.all_platforms, NULL, "take every variant"},
    {0, "policy", OPTION_STRING, &opt.policy, "FILE",
     "what may be loaded (containers-policy.json(5)), instead of /etc/containers/policy.json",
     .aliases = "signature-policy"},
    {0, "builtin", OPTION_FLAG, &opt.builtin, NULL, "load the built-in image 'base'", .hidden = true},
    {'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "print nothing"},
    {0, "json", OPTION_FLAG, &opt.json, NULL, "print the loaded images as JSON"},
    LIMIT_OPTIONS(opt.limits),
    {0},
};

struct loaded {
	struct json_object *list;
};

static void loaded(void *data, const char *name, const char *id)
{
	struct loaded *l = data;
	struct json_object *o;

	if (l->list) {
		o = json_object_new_object();
		json_object_object_add(o, "name", json_object_new_string(name));
		json_object_object_add(o, "id", json_object_new_string(id));
		json_object_array_add(l->list, o);
	} else if (!opt.quiet) {
		printf("Loaded image: %s\n", name);
	}
}

/* Splits "PATH:REF" where PATH is there and "PATH:REF" is not; skips skopeo's transport names. */
static int split_path(const char *text, char **ret_path, const char **ret_only, struct error *err)
{
	static const char *const transports[] = {"oci:", "oci-archive:", "docker-archive:"};
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(transports); i++)
		if (strncmp(text, transports[i], strlen(transports[i])) == 0) {
			text += strlen(transports[i]);
			break;
		}
	*ret_path = strdup(text);
	if (!*ret_path)
		return error_oom(err);
	*ret_only = NULL;
	if (stat(text, &st) == 0)
		return 0;
	for (char *colon = strchr(*ret_path, ':'); colon; colon = strchr(colon + 1, ':')) {
		*colon = 0;
		if (stat(*ret_path, &st) == 0) {
			*ret_only = colon + 1;
			return 0;
		}
		*colon = ':';
	}
	return 0;
}

/* PATH as a scope of the signature policy: absolute, with the chosen image's name. */
static int check_policy(const struct policy *policy, struct bundle *bundle, const char *path, const char *only,
			struct error *err)
{
	_cleanup_free_ char *absolute = NULL, *scope = NULL;
	const char *transport = "docker-archive";
	struct stat st;

	if (bundle_has(bundle, "index.json"))
		transport = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? "oci" : "oci-archive";
	absolute = strcmp(path, "-") == 0 ? strdup("/dev/stdin") : realpath(path, NULL);
	if (!absolute || asprintf(&scope, "%s%s%s", absolute, only ? ":" : "", only ?: "") < 0)
		return error_oom(err);
	return policy_check(policy, transport, scope, err);
}

static int find_input(char **operands, char **ret_path, const char **ret_only, struct error *err)
{
	if (opt.builtin)
		return image_helper_path("base-image.tar", ret_path, err);
	if (opt.input && operands[0])
		return error_set(err, EINVAL, "give the archive once: as '%s' or with --input '%s'", operands[0],
				 opt.input);
	return split_path(opt.input ?: operands[0] ?: "-", ret_path, ret_only, err);
}

static int open_input(const char *path, struct error *err)
{
	int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					: open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? error_sys(err, errno, "cannot open '%s'", path) : fd;
}

static int run_load(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_content_ struct content content = CONTENT_INIT;
	_cleanup_bundle_ struct bundle *bundle = NULL;
	_cleanup_free_ char *path = NULL, *name = NULL;
	_cleanup_policy_ struct policy *policy = NULL;
	_cleanup_close_ int fd = -1;
	struct load_request request = {.loaded = loaded};
	struct loaded result = {0};
	int r;

	if ((r = find_input(operands, &path, &request.only, err)) < 0 ||
	    (opt.tag && (r = image_cli_local_name(opt.tag, &name, err)) < 0) ||
	    (r = image_cli_limits(&opt.limits, &request.ingest.limits, err)) < 0 ||
	    (r = policy_open(opt.policy, &policy, err)) < 0 || (r = fd = open_input(path, err)) < 0 ||
	    (r = image_cli_open(cli, false, &content, err)) < 0 ||
	    (r = image_cli_lock_down(&content, (const char *[]){path, NULL}, NULL, false, opt.limits.allow_devices,
				     err)) < 0 ||
	    (r = bundle_open(take_fd(&fd), path, &content, &request.ingest.limits, &bundle, err)) < 0 ||
	    (!opt.builtin && (r = check_policy(policy, bundle, path, request.only, err)) < 0))
		return r;
	request.ingest.squash_ids = cli->single_id;
	request.ingest.content = &content;
	request.ingest.platform = opt.platform;
	request.ingest.all_platforms = opt.all_platforms;
	request.bundle = bundle;
	request.path = path;
	request.name = name;
	request.data = &result;
	result.list = opt.json ? json_object_new_array() : NULL;
	r = load_bundle(&request, err);
	if (!result.list)
		return r;
	if (r < 0) {
		json_object_put(result.list);
		return r;
	}
	return image_cli_print_json(result.list, err);
}

const struct command image_load = {
    .name = "load",
    .group = "Bringing images in",
    .operands = "[FILE[:REF]]",
    .summary = "load images from an OCI layout or a Docker archive",
    .details =
	"FILE is a folder with an OCI layout, or a tar file (plain or compressed) with an OCI layout or as 'docker save' "
	"writes it; without one, standard input is read. REF chooses one image of several.",
    .options = options,
    .max_operands = 1,
    .run = run_load,
};
