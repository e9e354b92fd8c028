#include "oci/spec_build.h"

#include <string.h>

#include "base/strv.h"
#include "oci/records.h"

/* A zeroed element more at the end of *ARRAY, or NULL. The count grows by one. */
static void *append(void *array, size_t *n, size_t size)
{
	void **list = array;
	char *grown = reallocarray(*list, *n + 1, size);

	if (!grown)
		return NULL;
	*list = grown;
	memset(grown + *n * size, 0, size);
	return grown + (*n)++ * size;
}

int oci_set_string(char **member, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	free(*member);
	*member = copy;
	return 0;
}

static int set_strv(char ***member, char *const *v)
{
	char **copy = v ? strv_copy(v) : NULL;

	if (v && !copy)
		return -ENOMEM;
	strv_free(*member);
	*member = copy;
	return 0;
}

int oci_add_mount(struct oci_spec *spec, const char *destination, const char *type, const char *source,
		  char *const *options)
{
	struct oci_mount *m = append(&spec->mounts, &spec->n_mounts, sizeof(*m));

	if (!m || oci_set_string(&m->destination, destination) < 0 || oci_set_string(&m->type, type) < 0 ||
	    oci_set_string(&m->source, source) < 0)
		return -ENOMEM;
	return set_strv(&m->options, options);
}

void oci_remove_mount(struct oci_spec *spec, const char *destination)
{
	size_t kept = 0;

	for (size_t i = 0; i < spec->n_mounts; i++) {
		if (strcmp(spec->mounts[i].destination, destination) == 0)
			json_record_free(&oci_mount_record, &spec->mounts[i]);
		else
			spec->mounts[kept++] = spec->mounts[i];
	}
	spec->n_mounts = kept;
}

int oci_set_namespace(struct oci_spec *spec, int type, const char *path)
{
	struct oci_namespace *ns = (struct oci_namespace *)oci_spec_namespace(spec, type);

	spec->has_linux = true;
	if (!ns)
		ns = append(&spec->linux_.namespaces, &spec->linux_.n_namespaces, sizeof(*ns));
	if (!ns)
		return -ENOMEM;
	ns->type = type;
	return oci_set_string(&ns->path, path);
}

void oci_remove_namespace(struct oci_spec *spec, int type)
{
	struct oci_namespace *v = spec->linux_.namespaces;
	size_t kept = 0;

	for (size_t i = 0; i < spec->linux_.n_namespaces; i++) {
		if (v[i].type == type)
			free(v[i].path);
		else
			v[kept++] = v[i];
	}
	spec->linux_.n_namespaces = kept;
}

int oci_add_id_map(struct id_maps *maps, uint32_t inside, uint32_t outside, uint32_t count)
{
	struct id_map *m = append(&maps->v, &maps->n, sizeof(*m));

	if (!m)
		return -ENOMEM;
	*m = (struct id_map){ inside, outside, count };
	return 0;
}

/* In a list of pairs: replaces the value of KEY, or appends. */
static int set_pair(struct json_pair **list, size_t *n, const char *key, const char *value)
{
	struct json_pair *p;

	for (size_t i = 0; i < *n; i++)
		if (strcmp((*list)[i].key, key) == 0)
			return oci_set_string(&(*list)[i].value, value);
	p = append(list, n, sizeof(*p));
	if (!p || oci_set_string(&p->key, key) < 0)
		return -ENOMEM;
	return oci_set_string(&p->value, value);
}

int oci_set_annotation(struct oci_spec *spec, const char *key, const char *value)
{
	return set_pair((struct json_pair **)&spec->annotations, &spec->n_annotations, key, value);
}

int oci_set_sysctl(struct oci_spec *spec, const char *key, const char *value)
{
	spec->has_linux = true;
	return set_pair((struct json_pair **)&spec->linux_.sysctl, &spec->linux_.n_sysctl, key, value);
}

int oci_set_rlimit(struct oci_process *process, int resource, uint64_t soft, uint64_t hard)
{
	struct oci_rlimit *limit = NULL;

	for (size_t i = 0; i < process->n_rlimits; i++)
		if (process->rlimits[i].resource == resource)
			limit = &process->rlimits[i];
	if (!limit)
		limit = append(&process->rlimits, &process->n_rlimits, sizeof(*limit));
	if (!limit)
		return -ENOMEM;
	*limit = (struct oci_rlimit){ resource, soft, hard };
	return 0;
}

int oci_add_gid(struct oci_process *process, uint32_t gid)
{
	uint32_t *g = append(&process->additional_gids, &process->n_additional_gids, sizeof(*g));

	if (!g)
		return -ENOMEM;
	*g = gid;
	return 0;
}

int oci_add_device(struct oci_spec *spec, const struct oci_device *device)
{
	struct oci_device *d = append(&spec->linux_.devices, &spec->linux_.n_devices, sizeof(*d));

	spec->has_linux = true;
	if (!d)
		return -ENOMEM;
	*d = *device;
	d->path = NULL;
	return oci_set_string(&d->path, device->path);
}

int oci_add_device_rule(struct oci_spec *spec, const struct device_rule *rule)
{
	struct device_rule *r = append(&spec->linux_.resources.devices.v, &spec->linux_.resources.devices.n, sizeof(*r));

	spec->has_linux = true;
	if (!r)
		return -ENOMEM;
	*r = *rule;
	return 0;
}

int oci_add_hook(struct oci_hooks *hooks, const char *path, char *const *args, char *const *env, int64_t timeout)
{
	struct oci_hook *h = append(&hooks->v, &hooks->n, sizeof(*h));

	if (!h || oci_set_string(&h->path, path) < 0 || set_strv(&h->args, args) < 0)
		return -ENOMEM;
	h->timeout = timeout;
	return set_strv(&h->env, env);
}
