#include "oci/spec.h"

#include <string.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/utf8.h"
#include "oci/records.h"

#define AT(member) JSON_AT(struct oci_spec, member)

static const struct json_field root_fields[] = {
	{ "path", JSON_STRING, AT(root.path), .required = true },
	{ "readonly", JSON_BOOL, AT(root.readonly) },
};

static const struct json_record root = { sizeof(struct oci_spec), JSON_FIELDS(root_fields) };

/* "solaris", "windows", "zos" and "freebsd" are for other platforms' runtimes: a Linux one ignores them. */
static const struct json_field spec_fields[] = {
	{ "ociVersion", JSON_STRING, AT(version), .required = true },
	{ "process", JSON_POINTER, AT(process), .record = &oci_process_record },
	{ "root", JSON_RECORD, JSON_HAS(struct oci_spec, has_root), .record = &root },
	{ "hostname", JSON_STRING, AT(hostname) },
	{ "domainname", JSON_STRING, AT(domainname) },
	{ "mounts", JSON_RECORDS, AT(mounts), JSON_COUNT(struct oci_spec, n_mounts), .record = &oci_mount_record },
	{ "hooks", JSON_RECORD, .record = &oci_hooks_record },
	{ "annotations", JSON_STRING_MAP, AT(annotations), JSON_COUNT(struct oci_spec, n_annotations) },
	{ "linux", JSON_RECORD, AT(linux_), JSON_HAS(struct oci_spec, has_linux), .record = &oci_linux_record },
	{ "vm", JSON_POINTER, AT(vm), .record = &oci_vm_record },
};

static const struct json_record spec_record = { sizeof(struct oci_spec), JSON_FIELDS(spec_fields) };

/* Into RECORD, which is empty on failure. */
static int parse_into(const char *json, size_t len, const struct json_record *type, const char *where, void *record,
		      struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	int r;

	if (len > OCI_CONFIG_MAX)
		return error_set(err, EFBIG, "%zu bytes; at most %u are accepted", len, OCI_CONFIG_MAX);
	r = json_parse(json, len, &o, err);
	if (r < 0)
		return r;
	r = json_record_read(type, o, where, record, err);
	if (r < 0)
		json_record_free(type, record);
	return r;
}

static int parse(const char *json, size_t len, const struct json_record *type, const char *where, void **ret,
		 struct error *err)
{
	_cleanup_free_ void *record = calloc(1, type->size);
	int r = record ? parse_into(json, len, type, where, record, err) : error_oom(err);

	if (r == 0)
		*ret = take_ptr(record);
	return r;
}

int oci_spec_parse(const char *json, size_t len, struct oci_spec **ret, struct error *err)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	int r = parse(json, len, &spec_record, NULL, (void **)&spec, err);

	if (r == 0)
		r = oci_spec_check(spec, err);
	if (r < 0)
		return r;
	*ret = take_ptr(spec);
	return 0;
}

int oci_spec_load(int bundle_fd, struct oci_spec **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = file_read_at(bundle_fd, "config.json", OCI_CONFIG_MAX, &text, &len, err);

	if (r < 0)
		return r;
	r = oci_spec_parse(text, len, ret, err);
	return r < 0 ? error_prefix(err, "config.json") : 0;
}

int oci_process_parse(const char *json, size_t len, struct oci_process **ret, struct error *err)
{
	return parse(json, len, &oci_process_record, "process", (void **)ret, err);
}

int oci_resources_parse(const char *json, size_t len, struct cgroup_resources *ret, struct error *err)
{
	struct cgroup_resources resources;
	int r = parse_into(json, len, &oci_resources_record, "resources", &resources, err);

	if (r == 0)
		*ret = resources;
	return r;
}

int oci_seccomp_parse(const char *json, size_t len, struct seccomp_policy **ret, struct error *err)
{
	return parse(json, len, &oci_seccomp_record, "seccomp", (void **)ret, err);
}

static int to_json(const struct json_record *type, const void *record, char **ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	const char *text;
	size_t valid;
	int r = json_record_write(type, record, &o);

	if (r < 0)
		return error_sys(err, r, "cannot write the configuration as JSON");
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_PRETTY_TAB |
							 JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return error_oom(err);
	valid = utf8_valid(text, strlen(text));
	if (text[valid]) /* it came from a command line or a file name */
		return error_set(err, EILSEQ, "the configuration can only hold UTF-8; give another value near '...%.*s'",
				 (int)MIN(valid, (size_t)60), text + valid - MIN(valid, (size_t)60));
	return asprintf(ret, "%s\n", text) < 0 ? error_oom(err) : 0;
}

int oci_spec_to_json(const struct oci_spec *spec, char **ret, struct error *err)
{
	return to_json(&spec_record, spec, ret, err);
}

int oci_process_to_json(const struct oci_process *process, char **ret, struct error *err)
{
	return to_json(&oci_process_record, process, ret, err);
}

void oci_spec_free(struct oci_spec *spec)
{
	if (!spec)
		return;
	json_record_free(&spec_record, spec);
	free(spec);
}

void oci_process_free(struct oci_process *process)
{
	if (!process)
		return;
	json_record_free(&oci_process_record, process);
	free(process);
}

const char *oci_spec_annotation(const struct oci_spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->n_annotations; i++)
		if (strcmp(spec->annotations[i].key, key) == 0)
			return spec->annotations[i].value;
	return NULL;
}

const struct oci_namespace *oci_spec_namespace(const struct oci_spec *spec, int type)
{
	for (size_t i = 0; i < spec->linux_.n_namespaces; i++)
		if (spec->linux_.namespaces[i].type == type)
			return &spec->linux_.namespaces[i];
	return NULL;
}
