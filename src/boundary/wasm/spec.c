#include <linux/capability.h>
#include <sched.h>
#include <string.h>

#include "base/strv.h"
#include "boundary/wasm/wasm.h"
#include "image/store.h"

#define ENGINE "ringwall-wasm"
#define ENGINE_IN_BOX "/dev/" ENGINE

void wasm_spec_free(struct wasm_spec *s)
{
	free(s->mounts);
	strv_free(s->args);
	free(s->engine);
	strv_free(s->bind_options);
	*s = (struct wasm_spec){ 0 };
}

/* Kernel file systems that no path of a module can lead to. A terminal still comes out of a devpts. */
static bool is_dropped(const struct oci_mount *m, bool terminal)
{
	static const char *const types[] = { "proc", "sysfs", "cgroup", "cgroup2", "mqueue" };

	for (size_t i = 0; m->type && i < ARRAY_SIZE(types); i++)
		if (strcmp(m->type, types[i]) == 0)
			return true;
	return !terminal && m->type && strcmp(m->type, "devpts") == 0;
}

static bool has_dev(const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (strcmp(spec->mounts[i].destination, "/dev") == 0)
			return true;
	return false;
}

static int derive_mounts(const struct oci_spec *spec, struct wasm_spec *s, struct error *err)
{
	static char *const tmpfs_options[] = { (char *)"nosuid", (char *)"mode=755", (char *)"size=65536k", NULL };
	size_t n = 0;

	s->mounts = calloc(spec->n_mounts + 2, sizeof(*s->mounts));
	if (!s->mounts || strv_add(&s->bind_options, "bind") < 0 || strv_add(&s->bind_options, "ro") < 0 ||
	    strv_add(&s->bind_options, "nosuid") < 0 || strv_add(&s->bind_options, "nodev") < 0)
		return error_oom(err);
	if (!has_dev(spec))
		s->mounts[n++] = (struct oci_mount){ .destination = (char *)"/dev", .type = (char *)"tmpfs",
						     .source = (char *)"tmpfs", .options = (char **)tmpfs_options };
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (!is_dropped(&spec->mounts[i], spec->process->terminal))
			s->mounts[n++] = spec->mounts[i];
	s->mounts[n++] = (struct oci_mount){ .destination = (char *)ENGINE_IN_BOX, .type = (char *)"bind", .source = s->engine,
					     .options = s->bind_options };
	s->spec.mounts = s->mounts;
	s->spec.n_mounts = n;
	return 0;
}

/* "PATH[:GUEST[:ro]]" */
static int add_directory(const char *text, size_t len, char ***args, struct error *err)
{
	_cleanup_free_ char *copy = strndup(text, len);
	char *guest, *mode = NULL;

	if (!copy)
		return error_oom(err);
	guest = strchr(copy, ':');
	if (guest)
		*guest++ = 0;
	mode = guest ? strchr(guest, ':') : NULL;
	if (mode)
		*mode++ = 0;
	if (*copy != '/' || (mode && strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0))
		return error_set(err, EINVAL, "annotation " WASM_ANNOTATION_DIRS ": '%.*s' is not PATH[:GUEST[:ro]] with an absolute PATH",
				 (int)len, text);
	if (strv_add(args, "--dir") < 0 || strv_add(args, copy) < 0 || strv_add(args, guest && *guest ? guest : copy) < 0 ||
	    strv_add(args, mode ? mode : "rw") < 0)
		return error_oom(err);
	return 0;
}

static int add_directories(const struct oci_spec *spec, char ***args, struct error *err)
{
	const char *dirs = oci_spec_annotation(spec, WASM_ANNOTATION_DIRS);

	if (!dirs)
		return add_directory("/:/", 3, args, err);
	while (*dirs) {
		size_t len = strcspn(dirs, "\n");
		int r = len ? add_directory(dirs, len, args, err) : 0;

		if (r < 0)
			return r;
		dirs += len;
		dirs += *dirs == '\n';
	}
	return 0;
}

static int derive_args(const struct oci_spec *spec, struct wasm_spec *s, struct error *err)
{
	int r;

	if (strv_add(&s->args, ENGINE_IN_BOX) < 0)
		return error_oom(err);
	r = add_directories(spec, &s->args, err);
	if (r < 0)
		return r;
	if (strv_add(&s->args, "--") < 0 || strv_extend(&s->args, spec->process->args) < 0)
		return error_oom(err);
	s->process.args = s->args;
	return 0;
}

int wasm_spec_derive(const struct oci_spec *spec, struct wasm_spec *s, struct error *err)
{
	int r;

	if (!spec->process || !spec->process->args || !spec->process->args[0])
		return error_set(err, EINVAL, "the configuration names no module: process.args[0] is its path in the box");
	s->spec = *spec;
	s->process = *spec->process;
	s->spec.process = &s->process;
	s->process.has_capabilities = true;
	s->process.capabilities = (struct cap_sets){ 0 };
	s->process.no_new_privileges = true;
	s->spec.linux_.masked_paths = NULL; /* all of them are in file systems that are not there */
	s->spec.linux_.readonly_paths = NULL;
	r = image_helper_path(ENGINE, &s->engine, err);
	if (r == 0)
		r = derive_mounts(spec, s, err);
	return r < 0 ? r : derive_args(spec, s, err);
}
