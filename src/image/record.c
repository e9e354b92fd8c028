#include "image/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/fdio.h"
#include "base/log.h"
#include "image/reference.h"

char *image_record_path(const char *name)
{
	char *path;

	if (asprintf(&path, "images/%s.json", name) < 0)
		return NULL;
	for (char *p = path + strlen("images/"); *p; p++)
		if (*p == '/')
			*p = '!';
	return path;
}

char *image_record_name(const char *file)
{
	size_t len = strlen(file);
	char *name;

	if (len <= 5 || strcmp(file + len - 5, ".json") != 0)
		return NULL;
	name = strndup(file, len - 5);
	for (char *p = name; p && *p; p++)
		if (*p == '!')
			*p = '/';
	return name;
}

bool image_layer_id_valid(const char *id)
{
	return *id && strlen(id) < 200 && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(id);
}

int image_record_read(int store_fd, const char *name, struct json_object **ret, struct error *err)
{
	_cleanup_free_ char *path = image_record_path(name), *text = NULL;
	_cleanup_json_ struct json_object *o = NULL;
	int64_t schema = 0;
	size_t len;
	int r;

	if (!path)
		return error_oom(err);
	r = file_read_at(store_fd, path, IMAGE_RECORD_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = json_parse(text, len, &o, err);
	if (r >= 0 && !json_object_is_type(o, json_type_object))
		r = error_set(err, EINVAL, "the record is not an object");
	if (r >= 0)
		r = json_get_i64(o, "", "schema", 0, 1 << 20, &schema, err);
	if (r >= 0 && schema != IMAGE_RECORD_SCHEMA)
		r = error_set(err, EINVAL, "schema %lld is not known to this version, which knows %d",
			      (long long)schema, IMAGE_RECORD_SCHEMA);
	if (r < 0) {
		error_prefix(err, "image record '%s' in the store", path);
		return r;
	}
	*ret = take_ptr(o);
	return 0;
}

int image_record_each(int store_fd, image_record_visit visit, void *data, struct error *err)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int fd, r;

	fd = openat(store_fd, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "cannot open the store's images folder");
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return error_oom(err);
	}
	while ((e = readdir(dir))) {
		_cleanup_free_ char *name = image_record_name(e->d_name);
		_cleanup_json_ struct json_object *o = NULL;
		struct error why = ERROR_INIT;

		if (!name)
			continue;
		r = image_record_read(store_fd, name, &o, &why);
		if (r == -ENOENT)
			continue;
		if (r < 0) {
			log_warn("passing over %s", why.message);
			continue;
		}
		r = visit(data, name, o, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct utsname *host_uname(void)
{
	static struct utsname u;

	if (!u.machine[0] && uname(&u) < 0)
		strcpy(u.machine, "unknown");
	return &u;
}

const char *image_host_architecture(void)
{
	static const struct {
		const char *machine, *arch;
	} names[] = {
	    {"x86_64", "amd64"},    {"aarch64", "arm64"},	{"i386", "386"},	{"i686", "386"},
	    {"armv7l", "arm"},	    {"armv6l", "arm"},		{"ppc64le", "ppc64le"}, {"s390x", "s390x"},
	    {"riscv64", "riscv64"}, {"loongarch64", "loong64"},
	};
	const char *machine = host_uname()->machine;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(machine, names[i].machine) == 0)
			return names[i].arch;
	return machine;
}

const char *image_host_variant(void)
{
	const char *machine = host_uname()->machine;

	if (strcmp(machine, "aarch64") == 0)
		return "v8";
	if (strcmp(machine, "armv7l") == 0)
		return "v7";
	if (strcmp(machine, "armv6l") == 0)
		return "v6";
	return NULL;
}

static bool same(const char *part, size_t len, const char *value)
{
	return value && strlen(value) == len && strncmp(part, value, len) == 0;
}

bool image_platform_matches(const char *os, const char *arch, const char *variant, const char *wanted)
{
	size_t n;

	if (!wanted)
		return same("linux", 5, os) && arch && strcmp(arch, image_host_architecture()) == 0 &&
		       (!variant || !image_host_variant() || strcmp(variant, image_host_variant()) == 0);
	n = strcspn(wanted, "/");
	if (!same(wanted, n, os))
		return false;
	if (!wanted[n])
		return arch && strcmp(arch, image_host_architecture()) == 0;
	wanted += n + 1;
	n = strcspn(wanted, "/");
	if (!same(wanted, n, arch))
		return false;
	return !wanted[n] || (variant ? strcmp(wanted + n + 1, variant) == 0
				      : strcmp(arch, "arm64") == 0 && strcmp(wanted + n + 1, "v8") == 0);
}
