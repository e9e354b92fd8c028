#include "image/load.h"

#include <ctype.h>
#include <string.h>

#include "image/reference.h"

char *load_default_name(const char *path, const char *tag)
{
	_cleanup_image_ref_ struct image_ref ref = {0};
	_cleanup_free_ char *copy = strdup(path), *name = NULL;
	size_t len;
	char *base;

	if (!copy)
		return NULL;
	for (len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = 0;
	base = strrchr(copy, '/') ? strrchr(copy, '/') + 1 : copy;
	base[strcspn(base, ".")] = 0;
	for (char *p = base; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (asprintf(&name, IMAGE_LOCAL_REGISTRY "/%s:%s", base, tag) < 0)
		return NULL;
	return image_ref_parse(name, &ref, NULL) < 0 ? NULL : take_ptr(name);
}

int load_bundle(struct load_request *request, struct error *err)
{
	if (bundle_has(request->bundle, "index.json") && bundle_has(request->bundle, "oci-layout"))
		return load_oci(request, err);
	if (bundle_has(request->bundle, "manifest.json"))
		return load_docker(request, err);
	return error_set(
	    err, EINVAL,
	    "'%s' is neither an OCI layout (no oci-layout, index.json) nor a Docker archive (no manifest.json); for a "
	    "plain root file system use 'ringwall image import'",
	    request->path);
}
