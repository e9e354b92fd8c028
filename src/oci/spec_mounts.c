/* runtime-spec, config.md, "Mounts". */
#include "oci/records.h"

#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"

#define ID_MAPS_MAX 340 /* user_namespaces(7) */

static int check_id_map(const struct json_place *at, void *record)
{
	const struct id_map *m = record;

	if (m->count == 0)
		return json_wrong(at, "size", EINVAL, "0 maps nothing; leave the entry out");
	/* 4294967295 is the invalid id */
	if (m->inside > UINT32_MAX - m->count || m->outside > UINT32_MAX - m->count)
		return json_wrong(at, NULL, ERANGE, "containerID %u, hostID %u, size %u goes past the last id, 4294967294",
				  m->inside, m->outside, m->count);
	return 0;
}

static const struct json_field id_map_fields[] = {
	{ "containerID", JSON_UNSIGNED, JSON_AT(struct id_map, inside), .required = true },
	{ "hostID", JSON_UNSIGNED, JSON_AT(struct id_map, outside), .required = true },
	{ "size", JSON_UNSIGNED, JSON_AT(struct id_map, count), .required = true },
};

const struct json_record oci_id_map_record = { sizeof(struct id_map), JSON_FIELDS(id_map_fields), .check = check_id_map };

static bool overlap(uint32_t a, uint32_t n_a, uint32_t b, uint32_t n_b)
{
	return a < b ? b - a < n_a : a - b < n_b;
}

int oci_id_maps_check(const struct json_place *at, const char *key, const struct id_maps *maps)
{
	if (maps->n > ID_MAPS_MAX)
		return json_wrong(at, key, E2BIG, "%zu entries; the kernel takes at most %d", maps->n, ID_MAPS_MAX);
	for (size_t i = 0; i < maps->n; i++)
		for (size_t j = 0; j < i; j++) {
			const struct id_map *a = &maps->v[i], *b = &maps->v[j];

			if (overlap(a->inside, a->count, b->inside, b->count) ||
			    overlap(a->outside, a->count, b->outside, b->count))
				return json_wrong(at, key, EINVAL, "entries %zu and %zu map the same ids", j, i);
		}
	return 0;
}

/* The specification deprecates relative destinations and says they are relative to "/". */
static int make_absolute(const struct json_place *at, struct oci_mount *m)
{
	char *absolute;

	log_warn("mounts: the destination '%s' is not absolute; '/%s' is meant", m->destination, m->destination);
	if (asprintf(&absolute, "/%s", m->destination) < 0)
		return error_oom(at->err);
	free(m->destination);
	m->destination = absolute;
	return 0;
}

static int check_mount(const struct json_place *at, void *record)
{
	struct oci_mount *m = record;
	int r;

	if (!*m->destination)
		return json_wrong(at, "destination", EINVAL, "empty; give an absolute path");
	if (!m->uid_mappings.n != !m->gid_mappings.n)
		return json_wrong(at, m->uid_mappings.n ? "gidMappings" : "uidMappings", EINVAL,
				  "missing; an id-mapped mount needs both uidMappings and gidMappings");
	r = oci_id_maps_check(at, "uidMappings", &m->uid_mappings);
	if (r == 0)
		r = oci_id_maps_check(at, "gidMappings", &m->gid_mappings);
	if (r == 0 && *m->destination != '/')
		r = make_absolute(at, m);
	return r;
}

#define AT(member) JSON_AT(struct oci_mount, member)
static const struct json_field mount_fields[] = {
	{ "destination", JSON_STRING, AT(destination), .required = true },
	{ "type", JSON_STRING, AT(type) },
	{ "source", JSON_STRING, AT(source) },
	{ "options", JSON_STRINGS, AT(options) },
	{ "uidMappings", JSON_RECORDS, AT(uid_mappings.v), JSON_COUNT(struct oci_mount, uid_mappings.n),
	  .record = &oci_id_map_record },
	{ "gidMappings", JSON_RECORDS, AT(gid_mappings.v), JSON_COUNT(struct oci_mount, gid_mappings.n),
	  .record = &oci_id_map_record },
};

const struct json_record oci_mount_record = { sizeof(struct oci_mount), JSON_FIELDS(mount_fields), .check = check_mount };
