/* image pull, image push: registries. */
#include <curl/curl.h>
#include <string.h>
#include <time.h>

#include "base/strv.h"
#include "cli/image/image_cli.h"
#include "cli/image/remote.h"
#include "image/ingest.h"
#include "image/policy.h"
#include "image/push.h"
#include "image/record.h"
#include "image/reference.h"
#include "image/registry.h"

static struct {
	struct remote_options remote;
	struct limit_options limits;
	struct option_number parallel;
	const char *platform, *policy;
	bool missing, quiet, json, all_platforms, progress_always;
} opt;

static int number(const struct option_number *n, const char *name, int64_t max, unsigned *ret, struct error *err)
{
	if (n->v < 0 || n->v > max)
		return error_set(err, EINVAL, "--%s %lld: expected a number from 0 to %lld", name, (long long)n->v,
				 (long long)max);
	*ret = (unsigned)n->v;
	return 0;
}

int remote_options_read(const struct remote_options *o, struct registry_options *ret, struct error *err)
{
	int r;

	ret->http.insecure = o->insecure;
	ret->http.cert_dir = o->cert_dir;
	ret->http.user_agent = "ringwall/" RINGWALL_VERSION;
	ret->credentials = o->creds;
	ret->auth_file = o->auth_file;
	if ((r = number(&o->timeout, "timeout", 86400, &ret->http.timeout, err)) < 0 ||
	    (r = number(&o->retries, "retry", 100, &ret->http.retries, err)) < 0 ||
	    (r = number(&o->retry_delay, "retry-delay", 600000, &ret->http.retry_delay, err)) < 0)
		return r;
	if (ret->http.timeout == 0)
		return error_set(err, EINVAL, "--timeout 0: expected at least 1 second");
	return 0;
}

static int add_below(char ***v, const char *variable, const char *suffix)
{
	const char *base = getenv(variable);

	return base && *base == '/' ? strv_addf(v, "%s%s", base, suffix) : 0;
}

/* Files that the registry client reads on its own after rights are given up. */
static int remote_lock_down(const struct remote_options *o, const struct content *content, bool devices,
			    struct error *err)
{
	_cleanup_strv_ char **reads = NULL;

	if ((o->auth_file && strv_add(&reads, o->auth_file) < 0) ||
	    (o->cert_dir && strv_add(&reads, o->cert_dir) < 0) || add_below(&reads, "REGISTRY_AUTH_FILE", "") < 0 ||
	    add_below(&reads, "SSL_CERT_FILE", "") < 0 ||
	    add_below(&reads, "XDG_RUNTIME_DIR", "/containers/auth.json") < 0 ||
	    add_below(&reads, "XDG_CONFIG_HOME", "/containers/auth.json") < 0 ||
	    add_below(&reads, "HOME", "/.config/containers/auth.json") < 0 ||
	    add_below(&reads, "DOCKER_CONFIG", "/config.json") < 0 ||
	    add_below(&reads, "HOME", "/.docker/config.json") < 0)
		return error_oom(err);
	return image_cli_lock_down(content, (const char *const *)reads, NULL, true, devices, err);
}

/* One line, redrawn in place, on a terminal. */
static void show_progress(void *data, uint64_t bytes, uint64_t all_bytes, unsigned blobs, unsigned all_blobs)
{
	static struct timespec last, first;
	static uint64_t first_bytes;
	static const char bar[] = "========================================";
	struct timespec now;
	char got[32], all[32], speed[32];
	double seconds;
	int width;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!first.tv_sec) {
		first = now;
		first_bytes = bytes;
	}
	if (blobs < all_blobs && (now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000 < 100)
		return;
	last = now;
	seconds = (double)(now.tv_sec - first.tv_sec) + (double)(now.tv_nsec - first.tv_nsec) / 1e9;
	width = all_bytes ? (int)((double)bytes / (double)all_bytes * 40) : 40;
	image_cli_size(bytes, got);
	image_cli_size(all_bytes, all);
	image_cli_size(seconds > 0.1 ? (uint64_t)((double)(bytes - first_bytes) / seconds) : 0, speed);
	fprintf(stderr, "\r\x1b[K%u of %u blobs [%-40.*s] %s of %s, %s/s%s", blobs, all_blobs, width, bar, got, all,
		speed, blobs == all_blobs ? "\n" : "");
}

static int check_policy(const char *file, const struct image_ref *ref, struct error *err)
{
	_cleanup_policy_ struct policy *policy = NULL;
	_cleanup_free_ char *scope = image_ref_name(ref, IMAGE_DEFAULT_REGISTRY);
	int r;

	if (!scope)
		return error_oom(err);
	r = policy_open(file, &policy, err);
	return r < 0 ? r : policy_check(policy, "docker", scope, err);
}

/* Whether the image is here already. */
static bool is_here(struct cli *cli, const char *text, struct image *ret)
{
	_cleanup_image_store_ struct image_store *store = NULL;

	return image_store_open(cli->store, &store, NULL) >= 0 &&
	       image_store_resolve(store, text, opt.platform, ret, NULL) >= 0;
}

static int print_pulled(const char *name, const char *id, const char *digest, struct error *err)
{
	struct json_object *o;

	if (opt.json) {
		o = json_object_new_object();
		json_object_object_add(o, "name", json_object_new_string(name));
		json_object_object_add(o, "id", json_object_new_string(id));
		json_object_object_add(o, "digest", json_object_new_string(digest));
		return image_cli_print_json(o, err);
	}
	puts(id);
	return 0;
}

static int pull(struct cli *cli, const struct image_ref *ref, struct error *err)
{
	_cleanup_content_ struct content content = CONTENT_INIT;
	_cleanup_registry_ struct registry *registry = NULL;
	_cleanup_descriptor_ struct descriptor target = {0};
	struct registry_options options = {0};
	struct ingest_request request = {.platform = opt.platform, .all_platforms = opt.all_platforms};
	_cleanup_free_ char *name = image_ref_name(ref, IMAGE_DEFAULT_REGISTRY);
	char id[DIGEST_TEXT_MAX];
	int r;

	if (!name)
		return error_oom(err);
	if ((r = remote_options_read(&opt.remote, &options, err)) < 0 ||
	    (r = image_cli_limits(&opt.limits, &request.limits, err)) < 0)
		return r;
	if (opt.parallel.v < 1 || opt.parallel.v > 64)
		return error_set(err, EINVAL, "--parallel %lld: expected a number from 1 to 64",
				 (long long)opt.parallel.v);
	options.parallel = (unsigned)opt.parallel.v;
	if (!opt.quiet && (isatty(STDERR_FILENO) || opt.progress_always))
		options.progress = show_progress;
	if ((r = image_cli_open(cli, false, &content, err)) < 0 ||
	    (r = remote_lock_down(&opt.remote, &content, opt.limits.allow_devices, err)) < 0 ||
	    (r = registry_open(ref, &content, &options, &registry, err)) < 0 ||
	    (r = registry_resolve(registry, ref, &target, err)) < 0)
		return r;
	request.content = &content;
	request.squash_ids = cli->single_id;
	request.source = registry_source(registry);
	r = ingest_image(&request, name, &target, id, err);
	return r < 0 ? r : print_pulled(name, id, target.digest, err);
}

static int run_pull(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_ref_ struct image_ref ref = {0};
	const char *text = operands[0];
	_cleanup_image_ struct image here = {0};
	int r;

	if (strncmp(text, "docker://", 9) == 0)
		text += 9;
	r = image_ref_parse(text, &ref, err);
	if (r < 0)
		return r;
	if (opt.missing && is_here(cli, text, &here))
		return print_pulled(here.name, here.config_digest, here.digest, err);
	if ((r = check_policy(opt.policy, &ref, err)) < 0)
		return r;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return error_set(err, EIO, "libcurl cannot be used");
	r = pull(cli, &ref, err);
	curl_global_cleanup();
	return r;
}

static const struct option pull_options[] = {
    {0, "platform", OPTION_STRING, &opt.platform, "OS/ARCH[/VARIANT]", "choose this variant of a multi-platform image"},
    {0, "all-platforms", OPTION_FLAG, &opt.all_platforms, NULL, "take every variant"},
    {0, "missing", OPTION_FLAG, &opt.missing, NULL, "ask the registry only when the image is not here"},
    {0, "policy", OPTION_STRING, &opt.policy, "FILE",
     "what may be pulled (containers-policy.json(5)), instead of /etc/containers/policy.json",
     .aliases = "signature-policy"},
    {0, "parallel", OPTION_NUMBER, &opt.parallel, "N", "fetch so many blobs at once", .fallback = "4"},
    {'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "show no progress"},
    {0, "progress", OPTION_FLAG, &opt.progress_always, NULL, "show progress without a terminal too", .hidden = true},
    {0, "json", OPTION_FLAG, &opt.json, NULL, "print the result as JSON"},
    REMOTE_OPTIONS(opt.remote),
    LIMIT_OPTIONS(opt.limits),
    {0},
};

const struct command image_pull = {
    .name = "pull",
    .group = "Bringing images in",
    .operands = "NAME[:TAG][@DIGEST]",
    .summary = "fetch an image from a registry",
    .details =
	"A download that was cut off goes on where it ended. Registries on this host may speak plain HTTP; all others need "
	"TLS, or --insecure.",
    .options = pull_options,
    .min_operands = 1,
    .max_operands = 1,
    .run = run_pull,
};

static int push(struct cli *cli, const char *text, const struct image_ref *ref, struct error *err)
{
	_cleanup_image_store_ struct image_store *store = NULL;
	_cleanup_content_ struct content content = CONTENT_INIT;
	_cleanup_registry_ struct registry *registry = NULL;
	struct registry_options options = {.push = true, .parallel = 1};
	_cleanup_image_ struct image image = {0};
	char digest[DIGEST_TEXT_MAX];
	int r;

	if ((r = remote_options_read(&opt.remote, &options, err)) < 0 ||
	    (r = image_cli_open(cli, false, &content, err)) < 0 ||
	    (r = remote_lock_down(&opt.remote, &content, false, err)) < 0 ||
	    (r = image_store_open(cli->store, &store, err)) < 0 ||
	    (r = image_store_resolve(store, text, opt.platform, &image, err)) < 0 ||
	    (r = registry_open(ref, &content, &options, &registry, err)) < 0 ||
	    (r = push_image(&content, registry, &image, ref->tag ?: IMAGE_DEFAULT_TAG, opt.all_platforms, digest,
			    err)) < 0)
		return r;
	if (!opt.quiet)
		puts(digest);
	return 0;
}

static int run_push(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_ref_ struct image_ref ref = {0};
	const char *to = operands[1] ?: operands[0];
	int r;

	if (strncmp(to, "docker://", 9) == 0)
		to += 9;
	r = image_ref_parse(to, &ref, err);
	if (r < 0)
		return r;
	if (ref.digest)
		return error_set(err, EINVAL, "'%s': a digest cannot be pushed to; give a tag", to);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return error_set(err, EIO, "libcurl cannot be used");
	r = push(cli, operands[0], &ref, err);
	curl_global_cleanup();
	return r;
}

static const struct option push_options[] = {
    {0, "platform", OPTION_STRING, &opt.platform, "OS/ARCH[/VARIANT]", "send this variant of a multi-platform image"},
    {0, "all-platforms", OPTION_FLAG, &opt.all_platforms, NULL, "send the index with every variant"},
    {'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "do not print the digest"},
    REMOTE_OPTIONS(opt.remote),
    {0},
};

const struct command image_push = {
    .name = "push",
    .group = "Sending images out",
    .operands = "IMAGE [NAME[:TAG]]",
    .summary = "send an image to a registry",
    .options = push_options,
    .min_operands = 1,
    .max_operands = 2,
    .run = run_push,
};
