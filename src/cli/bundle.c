#include "cli/bundle.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/fdio.h"

int bundle_load(const char *dir, const char *config, struct loaded_bundle *ret, struct error *err)
{
	_cleanup_bundle_ struct loaded_bundle b = { 0 };
	_cleanup_free_ char *file = NULL;
	size_t len;
	int r;

	b.path = realpath(dir, NULL);
	if (!b.path)
		return error_sys(err, errno, "cannot find the bundle '%s'", dir);
	if (config && config[0] == '/')
		r = asprintf(&file, "%s", config);
	else
		r = asprintf(&file, "%s/%s", b.path, config ? config : BOX_CONFIG_FILE);
	if (r < 0) {
		file = NULL;
		return error_oom(err);
	}
	r = file_read_at(AT_FDCWD, file, OCI_CONFIG_MAX, &b.config, &len, err);
	if (r < 0)
		return r;
	r = oci_spec_parse(b.config, len, &b.spec, err);
	if (r < 0)
		return error_prefix(err, "%s", file);
	b.bundle = (struct bundle){ .path = b.path, .config = b.config, .config_len = len, .spec = b.spec };
	*ret = b;
	b = (struct loaded_bundle){ 0 };
	return 0;
}

void bundle_free(struct loaded_bundle *b)
{
	free(b->path);
	free(b->config);
	if (b->spec)
		oci_spec_free(b->spec);
	*b = (struct loaded_bundle){ 0 };
}
