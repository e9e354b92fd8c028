#include "image/store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strv.h"
#include "image/record.h"
#include "image/reference.h"

struct image_store {
	int dirfd;
	char *path;
};

char *image_store_default_path(const char *path)
{
	const char *env = getenv("RINGWALL_STORE"), *base;
	char *s;

	if (path)
		return realpath(path, NULL) ?: strdup(path);
	if (env && *env)
		return realpath(env, NULL) ?: strdup(env);
	if (geteuid() == 0 && !getenv("RINGWALL_ROOTLESS"))
		return strdup("/var/lib/ringwall");
	base = getenv("XDG_DATA_HOME");
	if (base && *base == '/')
		return asprintf(&s, "%s/ringwall", base) < 0 ? NULL : s;
	base = getenv("HOME");
	if (!base || *base != '/')
		return NULL;
	return asprintf(&s, "%s/.local/share/ringwall", base) < 0 ? NULL : s;
}

int image_store_open(const char *path, struct image_store **ret, struct error *err)
{
	_cleanup_free_ char *where = image_store_default_path(path);
	_cleanup_free_ struct image_store *store = NULL;
	_cleanup_close_ int fd = -1;

	if (!where)
		return error_set(err, ENOENT, "no place for the image store: set HOME or give --store DIR");
	fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "cannot open the image store '%s'", where);
	store = calloc(1, sizeof(*store));
	if (!store)
		return error_oom(err);
	store->dirfd = take_fd(&fd);
	store->path = take_ptr(where);
	*ret = take_ptr(store);
	return 0;
}

void image_store_close(struct image_store *store)
{
	if (!store)
		return;
	safe_close(store->dirfd);
	free(store->path);
	free(store);
}

const char *image_store_path(const struct image_store *store)
{
	return store->path;
}

int image_store_dirfd(const struct image_store *store)
{
	return store->dirfd;
}

void image_free(struct image *image)
{
	free(image->name);
	free(image->digest);
	free(image->config_digest);
	free(image->os);
	free(image->architecture);
	free(image->variant);
	strv_free(image->layers);
	strv_free(image->entrypoint);
	strv_free(image->cmd);
	strv_free(image->env);
	free(image->workdir);
	free(image->user);
	free(image->stop_signal);
	strv_free(image->exposed_ports);
	strv_free(image->volumes);
	strv_free(image->labels);
	strv_free(image->healthcheck);
	*image = (struct image){0};
}

/* The keys of the object KEY (Docker writes sets so), or "key=value" where VALUES. */
static int read_map(struct json_object *o, const char *key, bool values, char ***ret, struct error *err)
{
	struct json_object *map;
	int r = json_get_object(o, "config", key, &map, err);

	if (r <= 0)
		return r;
	json_object_object_foreach (map, k, v) {
		if (values && !json_object_is_type(v, json_type_string))
			return error_set(err, EINVAL, "config.%s.%s: expected a string", key, k);
		r = values ? strv_addf(ret, "%s=%s", k, json_object_get_string(v)) : strv_add(ret, k);
		if (r < 0)
			return error_oom(err);
	}
	return 0;
}

static int read_execution(struct json_object *c, struct image *image, struct error *err)
{
	struct json_object *health;
	int r;

	if ((r = json_dup_strv(c, "config", "Entrypoint", &image->entrypoint, err)) < 0 ||
	    (r = json_dup_strv(c, "config", "Cmd", &image->cmd, err)) < 0 ||
	    (r = json_dup_strv(c, "config", "Env", &image->env, err)) < 0 ||
	    (r = json_dup_string(c, "config", "WorkingDir", &image->workdir, err)) < 0 ||
	    (r = json_dup_string(c, "config", "User", &image->user, err)) < 0 ||
	    (r = json_dup_string(c, "config", "StopSignal", &image->stop_signal, err)) < 0 ||
	    (r = read_map(c, "ExposedPorts", false, &image->exposed_ports, err)) < 0 ||
	    (r = read_map(c, "Volumes", false, &image->volumes, err)) < 0 ||
	    (r = read_map(c, "Labels", true, &image->labels, err)) < 0 ||
	    (r = json_get_object(c, "config", "Healthcheck", &health, err)) < 0)
		return r;
	if (r > 0 && (r = json_dup_strv(health, "config.Healthcheck", "Test", &image->healthcheck, err)) < 0)
		return r;
	return 0;
}

static int read_layers(struct image_store *store, struct json_object *o, struct image *image, struct error *err)
{
	_cleanup_strv_ char **ids = NULL;
	int r = json_dup_strv(o, "images", "layers", &ids, err);

	if (r < 0)
		return r;
	if (strv_len(ids) == 0 && strv_add(&ids, IMAGE_EMPTY_LAYER) < 0)
		return error_oom(err);
	for (char **id = ids; *id; id++) {
		char *path;

		if (!image_layer_id_valid(*id))
			return error_set(err, EINVAL, "'%s' is no layer ID", *id);
		if (asprintf(&path, "%s/layers/%s/diff", store->path, *id) < 0 || strv_push(&image->layers, path) < 0)
			return error_oom(err);
		if (access(path, F_OK) < 0)
			return error_sys(err, errno,
					 "layer '%s' is missing from the store: pull or load the image again", path);
	}
	return 0;
}

/* Says in ERR which image R is about, and returns R. */
static int in_image(struct error *err, int r, const char *name)
{
	error_prefix(err, "image '%s'", name);
	return r;
}

static int read_image(struct image_store *store, const char *name, struct json_object *o, struct image *ret,
		      struct error *err)
{
	_cleanup_image_ struct image image = {0};
	struct json_object *platform, *manifest, *config, *execution;
	int r;

	image.name = strdup(name);
	if (!image.name)
		return error_oom(err);
	if ((r = json_get_object(o, "images", "manifest", &manifest, err)) < 0 ||
	    (r && (r = json_dup_string(manifest, "manifest", "digest", &image.digest, err)) < 0) ||
	    (r = json_get_object(o, "images", "config", &config, err)) < 0 ||
	    (r && (r = json_dup_string(config, "config", "digest", &image.config_digest, err)) < 0) ||
	    (r = json_get_object(o, "images", "platform", &platform, err)) < 0)
		goto broken;
	if (r && ((r = json_dup_string(platform, "platform", "os", &image.os, err)) < 0 ||
		  (r = json_dup_string(platform, "platform", "architecture", &image.architecture, err)) < 0 ||
		  (r = json_dup_string(platform, "platform", "variant", &image.variant, err)) < 0))
		goto broken;
	if (!image.digest || !image.config_digest) {
		r = error_set(err, EINVAL, "the record names no manifest or no config");
		goto broken;
	}
	if ((r = read_layers(store, o, &image, err)) < 0 ||
	    (r = json_get_object(o, "images", "execution", &execution, err)) < 0 ||
	    (r && (r = read_execution(execution, &image, err)) < 0))
		goto broken;
	*ret = image;
	image = (struct image){0};
	return 0;
broken:
	return in_image(err, r, name);
}

/* The entry of RECORD for PLATFORM; without a wish, the only one also when it is another machine's. */
static int select_platform(const char *name, struct json_object *record, const char *platform, struct json_object **ret,
			   struct error *err)
{
	struct json_object *images, *o = NULL;
	int r = json_get_array(record, "", "images", &images, err);
	size_t n;

	if (r < 0)
		return in_image(err, r, name);
	n = r ? json_object_array_length(images) : 0;
	for (size_t i = 0; i < n; i++) {
		const char *os = NULL, *arch = NULL, *variant = NULL;
		struct json_object *p;

		o = json_object_array_get_idx(images, i);
		if (!json_object_is_type(o, json_type_object))
			return error_set(err, EINVAL, "image '%s': images[%zu] is not an object", name, i);
		if ((r = json_get_object(o, "images", "platform", &p, err)) < 0 ||
		    (r && ((r = json_get_string(p, "platform", "os", &os, err)) < 0 ||
			   (r = json_get_string(p, "platform", "architecture", &arch, err)) < 0 ||
			   (r = json_get_string(p, "platform", "variant", &variant, err)) < 0)))
			return in_image(err, r, name);
		if (image_platform_matches(os, arch, variant, platform)) {
			*ret = o;
			return 0;
		}
	}
	if (!platform && n == 1) {
		log_warn("image '%s' is made for another platform than this host's linux/%s", name,
			 image_host_architecture());
		*ret = o;
		return 0;
	}
	return error_set(err, ENOENT, "image '%s' is not here for platform %s%s: pull it with --platform", name,
			 platform ? "" : "linux/", platform ?: image_host_architecture());
}

/* 1 when the record NAME is there (and has DIGEST, if one is asked for), 0 when not. */
static int try_name(struct image_store *store, const char *name, const char *digest, const char *platform,
		    struct image *ret, struct error *err)
{
	_cleanup_json_ struct json_object *record = NULL;
	_cleanup_image_ struct image image = {0};
	struct json_object *o, *target;
	const char *target_digest = NULL;
	int r = image_record_read(store->dirfd, name, &record, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if ((r = select_platform(name, record, platform, &o, err)) < 0 ||
	    (r = read_image(store, name, o, &image, err)) < 0)
		return r;
	if (digest && strcmp(image.digest, digest) != 0) {
		if ((r = json_get_object(record, "", "target", &target, err)) < 0 ||
		    (r && (r = json_get_string(target, "target", "digest", &target_digest, err)) < 0))
			return r;
		if (!target_digest || strcmp(target_digest, digest) != 0)
			return 0;
	}
	*ret = image;
	image = (struct image){0};
	return 1;
}

struct digest_search {
	struct image_store *store;
	const char *repository; /* "registry/repository" */
	const char *digest, *platform;
	struct image *ret;
	bool found;
};

static int match_digest(void *data, const char *name, struct json_object *record, struct error *err)
{
	struct digest_search *s = data;
	size_t len = strlen(s->repository);
	int r;

	if (s->found || strncmp(name, s->repository, len) != 0 || (name[len] != ':' && name[len] != '@'))
		return 0;
	r = try_name(s->store, name, s->digest, s->platform, s->ret, err);
	s->found = r > 0;
	return r;
}

/* NAME@DIGEST: whatever tag of the repository has that digest. */
static int try_digest(struct image_store *store, const struct image_ref *ref, const char *registry,
		      const char *platform, struct image *ret, struct error *err)
{
	struct image_ref plain = {.registry = ref->registry, .repository = ref->repository};
	_cleanup_free_ char *name = image_ref_name(&plain, registry);
	struct digest_search search = {store, name, ref->digest, platform, ret, false};
	int r;

	if (!name)
		return error_oom(err);
	*strrchr(name, ':') = 0;
	r = image_record_each(store->dirfd, match_digest, &search, err);
	return r < 0 ? r : search.found;
}

static int try_reference(struct image_store *store, const struct image_ref *ref, const char *platform,
			 struct image *ret, struct error *err)
{
	static const char *const registries[] = {IMAGE_LOCAL_REGISTRY, IMAGE_DEFAULT_REGISTRY};
	int r = 0;

	for (size_t i = 0; i < (ref->registry ? 1 : ARRAY_SIZE(registries)) && r == 0; i++) {
		_cleanup_free_ char *name = image_ref_name(ref, registries[i]);

		if (!name)
			return error_oom(err);
		r = try_name(store, name, ref->digest, platform, ret, err);
		if (r == 0 && ref->digest)
			r = try_digest(store, ref, registries[i], platform, ret, err);
	}
	return r;
}

struct prefix_search {
	const char *digits;
	char *name;   /* owned: a record that matches */
	char *config; /* owned: its config digest */
	bool ambiguous;
};

static bool digest_has_prefix(const char *digest, const char *digits)
{
	const char *colon = digest ? strchr(digest, ':') : NULL;

	return colon && strncmp(colon + 1, digits, strlen(digits)) == 0;
}

static int match_prefix(void *data, const char *name, struct json_object *record, struct error *err)
{
	struct prefix_search *s = data;
	struct json_object *images, *target, *o;
	const char *digest = NULL;
	size_t n;

	if (json_get_object(record, "", "target", &target, NULL) > 0)
		json_get_string(target, "target", "digest", &digest, NULL);
	n = json_get_array(record, "", "images", &images, NULL) > 0 ? json_object_array_length(images) : 0;
	for (size_t i = 0; i < n; i++) {
		const char *manifest = NULL, *config = NULL;
		struct json_object *e = json_object_array_get_idx(images, i);

		if (!json_object_is_type(e, json_type_object))
			continue;
		if (json_get_object(e, "", "manifest", &o, NULL) > 0)
			json_get_string(o, "", "digest", &manifest, NULL);
		if (json_get_object(e, "", "config", &o, NULL) > 0)
			json_get_string(o, "", "digest", &config, NULL);
		if (!config || (!digest_has_prefix(config, s->digits) && !digest_has_prefix(manifest, s->digits) &&
				!digest_has_prefix(digest, s->digits)))
			continue;
		if (s->config) { /* two names of one image are no ambiguity */
			s->ambiguous |= strcmp(s->config, config) != 0;
			continue;
		}
		s->config = strdup(config);
		s->name = strdup(name);
		if (!s->config || !s->name)
			return error_oom(err);
	}
	return 0;
}

static int try_prefix(struct image_store *store, const char *text, const char *platform, struct image *ret,
		      struct error *err)
{
	const char *digits = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
	struct prefix_search search = {.digits = digits};
	size_t len = strlen(digits);
	int r;

	if (len < 3 || len > 64 || strspn(digits, "0123456789abcdef") != len)
		return 0;
	r = image_record_each(store->dirfd, match_prefix, &search, err);
	if (r >= 0 && search.ambiguous)
		r = error_set(err, ENOTUNIQ, "image ID '%s' is ambiguous: give more digits", digits);
	else if (r >= 0)
		r = search.name ? try_name(store, search.name, NULL, platform, ret, err) : 0;
	free(search.name);
	free(search.config);
	return r;
}

int image_store_resolve(struct image_store *store, const char *text, const char *platform, struct image *ret,
			struct error *err)
{
	_cleanup_image_ref_ struct image_ref ref = {0};
	struct error why = ERROR_INIT;
	int r = 0, bad;

	bad = image_ref_parse(text, &ref, &why);
	if (bad >= 0)
		r = try_reference(store, &ref, platform, ret, err);
	if (r == 0)
		r = try_prefix(store, text, platform, ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (bad < 0 && strncmp(text, "sha256:", 7) != 0) {
		if (err)
			*err = why;
		return bad;
	}
	return error_set(err, ENOENT, "image '%s' is not in the store '%s': get it with 'ringwall image pull %s'", text,
			 store->path, text);
}

static bool owner_valid(const char *owner)
{
	return *owner && *owner != '.' && strlen(owner) < 200 &&
	       strspn(owner, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") == strlen(owner);
}

static int write_pin(struct image_store *store, const char *owner, const char *alive, const struct image *image,
		     struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	_cleanup_free_ char *path = NULL;
	struct json_object *layers;
	const char *text;
	int r;

	layers = json_object_new_array();
	if (!o || !layers || asprintf(&path, "pins/%s", owner) < 0)
		return error_oom(err);
	json_object_object_add(o, "alive", json_object_new_string(alive));
	json_object_object_add(o, "name", json_object_new_string(image->name));
	json_object_object_add(o, "manifest", json_object_new_string(image->digest));
	for (char **l = image->layers; *l; l++) {
		const char *id = *l + strlen(store->path) + strlen("/layers/");

		json_object_array_add(layers, json_object_new_string_len(id, (int)strcspn(id, "/")));
	}
	json_object_object_add(o, "layers", layers);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (!text)
		return error_oom(err);
	if (mkdirat(store->dirfd, "pins", 0700) < 0 && errno != EEXIST)
		return error_sys(err, errno, "cannot make '%s/pins'", store->path);
	r = file_replace_at(store->dirfd, path, text, strlen(text), 0600, err);
	if (r < 0)
		error_prefix(err, "image store '%s'", store->path);
	return r;
}

int image_store_pin(struct image_store *store, const char *text, const char *platform, const char *owner,
		    const char *alive, struct image *ret, struct error *err)
{
	_cleanup_image_ struct image image = {0};
	_cleanup_close_ int lock = -1;
	int r;

	if (!owner_valid(owner))
		return error_set(err, EINVAL,
				 "'%s' cannot own an image: expected letters, digits, '_', '.', '+' and '-'", owner);
	lock = openat(store->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0)
		return error_sys(err, errno, "cannot open '%s/lock'", store->path);
	while (flock(lock, LOCK_SH) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot lock '%s/lock'", store->path);
	if ((r = image_store_resolve(store, text, platform, &image, err)) < 0 ||
	    (r = write_pin(store, owner, alive, &image, err)) < 0)
		return r;
	*ret = image;
	image = (struct image){0};
	return 0;
}

int image_store_unpin(struct image_store *store, const char *owner, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (!owner_valid(owner))
		return error_set(err, EINVAL, "'%s' cannot own an image", owner);
	if (asprintf(&path, "pins/%s", owner) < 0)
		return error_oom(err);
	if (unlinkat(store->dirfd, path, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "cannot remove '%s/%s'", store->path, path);
	return 0;
}
