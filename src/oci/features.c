#include "oci/features.h"

#include <seccomp.h>
#include <stdarg.h>

#include "base/json.h"
#include "host/caps.h"
#include "host/mount_options.h"
#include "host/seccomp.h"
#include "oci/records.h"

#define OLDEST_VERSION "1.0.0"

/* Every function below takes the NULL of a failed one before it and remembers that: one check at the end is enough. */
struct builder {
	bool failed;
};

static struct json_object *made(struct builder *b, struct json_object *v)
{
	if (!v)
		b->failed = true;
	return v;
}

static struct json_object *object(struct builder *b)
{
	return made(b, json_object_new_object());
}

static void add(struct builder *b, struct json_object *o, const char *key, struct json_object *v)
{
	if (!o || !v || json_object_object_add(o, key, v) < 0) {
		json_object_put(v);
		b->failed = true;
	}
}

static void append(struct builder *b, struct json_object *array, const char *s)
{
	struct json_object *v = made(b, json_object_new_string(s));

	if (!array || json_object_array_add(array, v) < 0) {
		json_object_put(v);
		b->failed = true;
	}
}

static void add_string(struct builder *b, struct json_object *o, const char *key, const char *s)
{
	add(b, o, key, made(b, json_object_new_string(s)));
}

static void add_true(struct builder *b, struct json_object *o, const char *key)
{
	add(b, o, key, made(b, json_object_new_boolean(true)));
}

static void add_names(struct builder *b, struct json_object *o, const char *key, const struct json_names *names)
{
	struct json_object *a = made(b, json_object_new_array());

	for (size_t i = 0; i < names->n; i++)
		append(b, a, names->v[i].name);
	add(b, o, key, a);
}

/* Objects like {"enabled": true}, with whatever more keys are true. */
static void add_enabled(struct builder *b, struct json_object *o, const char *key, ...)
{
	struct json_object *e = object(b);
	const char *k;
	va_list ap;

	va_start(ap, key);
	while ((k = va_arg(ap, const char *)))
		add_true(b, e, k);
	va_end(ap);
	add(b, o, key, e);
}

static void add_capabilities(struct builder *b, struct json_object *o)
{
	struct json_object *a = made(b, json_object_new_array());

	for (unsigned i = 0; cap_to_string(i); i++)
		append(b, a, cap_to_string(i));
	add(b, o, "capabilities", a);
}

static void add_mount_options(struct builder *b, struct json_object *o)
{
	struct json_object *a = made(b, json_object_new_array());

	for (size_t i = 0; mount_option_name(i); i++)
		append(b, a, mount_option_name(i));
	add(b, o, "mountOptions", a);
}

static void add_seccomp(struct builder *b, struct json_object *linux_)
{
	struct json_object *o = object(b), *a = made(b, json_object_new_array());
	const char *supported[8];
	size_t n = seccomp_flags_supported(supported);

	add_true(b, o, "enabled");
	add_names(b, o, "actions", &oci_seccomp_acts);
	add_names(b, o, "operators", &oci_seccomp_ops);
	add_names(b, o, "archs", &oci_seccomp_archs);
	add_names(b, o, "knownFlags", &oci_seccomp_flags);
	for (size_t i = 0; i < n; i++)
		append(b, a, supported[i]);
	add(b, o, "supportedFlags", a);
	add(b, linux_, "seccomp", o);
}

static void add_memory_policy(struct builder *b, struct json_object *linux_)
{
	struct json_object *o = object(b);

	add_names(b, o, "modes", &oci_memory_modes);
	add_names(b, o, "flags", &oci_memory_flags);
	add(b, linux_, "memoryPolicy", o);
}

static void add_linux(struct builder *b, struct json_object *root)
{
	struct json_object *linux_ = object(b), *extensions = object(b);

	add_names(b, linux_, "namespaces", &oci_namespace_types);
	add_capabilities(b, linux_);
	add_enabled(b, linux_, "cgroup", "v1", "v2", "systemd", "systemdUser", "rdma", NULL);
	add_seccomp(b, linux_);
	add_enabled(b, linux_, "apparmor", "enabled", NULL);
	add_enabled(b, linux_, "selinux", "enabled", NULL);
	add_enabled(b, linux_, "intelRdt", "enabled", "schemata", "monitoring", NULL);
	add_memory_policy(b, linux_);
	add_enabled(b, extensions, "idmap", "enabled", NULL);
	add(b, linux_, "mountExtensions", extensions);
	add_enabled(b, linux_, "netDevices", "enabled", NULL);
	add(b, root, "linux", linux_);
}

static void add_annotations(struct builder *b, struct json_object *root, const char *version)
{
	const struct scmp_version *s = seccomp_version();
	struct json_object *o = object(b);
	char text[64];

	add_string(b, o, "org.ringwall.version", version);
	add_string(b, o, "org.opencontainers.runc.checkpoint.enabled", "true"); /* what engines look for */
	if (s) {
		snprintf(text, sizeof(text), "%u.%u.%u", s->major, s->minor, s->micro);
		add_string(b, o, "io.github.seccomp.libseccomp.version", text);
	}
	add(b, root, "annotations", o);
}

int oci_features(const char *version, struct json_object **ret, struct error *err)
{
	static const struct json_name hook_names[] = { { "prestart" },	     { "createRuntime" }, { "createContainer" },
						       { "startContainer" }, { "poststart" },	  { "poststop" } };
	static const struct json_names hooks = JSON_NAMES(hook_names);
	static const struct json_name unsafe_names[] = { { "org.systemd.property." } };
	static const struct json_names unsafe = JSON_NAMES(unsafe_names);
	struct builder b = { 0 };
	_cleanup_json_ struct json_object *root = object(&b);

	add_string(&b, root, "ociVersionMin", OLDEST_VERSION);
	add_string(&b, root, "ociVersionMax", OCI_SPEC_VERSION);
	add_names(&b, root, "hooks", &hooks);
	add_mount_options(&b, root);
	add_linux(&b, root);
	add_annotations(&b, root, version);
	add_names(&b, root, "potentiallyUnsafeConfigAnnotations", &unsafe);
	if (b.failed)
		return error_oom(err);
	*ret = take_ptr(root);
	return 0;
}
