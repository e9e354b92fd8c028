/* Manifests, indexes, configs, references and policies: whatever the bytes, a value or an error with a reason. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/change.h"
#include "image/manifest.h"
#include "image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
	if (!what)
		abort();
}

static void check_descriptor(const struct descriptor *d)
{
	_cleanup_descriptor_ struct descriptor copy = {0};

	require(d->media_type && image_digest_valid(d->digest) && d->size <= INT64_MAX);
	require(descriptor_copy(d, &copy, NULL) == 0 && strcmp(copy.digest, d->digest) == 0);
}

static void fuzz_reference(const char *text)
{
	_cleanup_image_ref_ struct image_ref ref = {0}, again = {0};
	_cleanup_free_ char *name = NULL, *same = NULL;
	struct error err = ERROR_INIT;

	if (image_ref_parse(text, &ref, &err) < 0) {
		require(err.message[0] && !ref.repository);
		return;
	}
	name = image_ref_name(&ref, IMAGE_LOCAL_REGISTRY);
	require(name && strlen(name) <= IMAGE_REF_MAX && !strchr(name, '!') && !strstr(name, ".."));
	require(image_ref_parse(name, &again, NULL) == 0);
	same = image_ref_name(&again, IMAGE_LOCAL_REGISTRY);
	require(strcmp(name, same) == 0);
}

static void fuzz_change(const char *text)
{
	_cleanup_json_ struct json_object *config = json_object_new_object();
	struct error err = ERROR_INIT;

	if (change_apply(config, text, &err) < 0)
		require(err.message[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_image_config_ struct image_config config = {0};
	_cleanup_manifest_ struct manifest manifest = {0};
	_cleanup_index_ struct index index = {0};
	_cleanup_free_ char *text = strndup((const char *)data, size);
	struct error err = ERROR_INIT;
	bool have_manifest, have_config;

	manifest_kind(text, strlen(text), NULL, &err);
	manifest_kind(text, strlen(text), MEDIA_OCI_INDEX, &err);
	if (index_parse((const char *)data, size, &index, &err) >= 0)
		for (size_t i = 0; i < index.n; i++)
			check_descriptor(&index.v[i]);
	have_manifest = manifest_parse((const char *)data, size, &manifest, &err) >= 0;
	if (have_manifest) {
		check_descriptor(&manifest.config);
		for (size_t i = 0; i < manifest.n_layers; i++)
			check_descriptor(&manifest.layers[i]);
	}
	have_config = image_config_parse((const char *)data, size, &config, &err) >= 0;
	if (have_config)
		for (char **d = config.diff_ids; d && *d; d++)
			require(image_digest_valid(*d));
	if (have_manifest && have_config)
		manifest_check_layers(&manifest, &config, 100, &err);
	fuzz_reference(text);
	fuzz_change(text);
	return 0;
}
