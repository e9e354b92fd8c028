/* config.json: whatever the bytes, a specification or an error; what is accepted survives being written and read again. */
#include <stdlib.h>
#include <string.h>

#include "host/mount_options.h"
#include "oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
	if (!what)
		abort();
}

static void round_trip(const struct oci_spec *spec)
{
	_cleanup_oci_spec_ struct oci_spec *again = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *second = NULL;
	struct error err = ERROR_INIT;

	require(oci_spec_to_json(spec, &text, &err) == 0);
	require(oci_spec_parse(text, strlen(text), &again, &err) == 0);
	require(oci_spec_to_json(again, &second, &err) == 0);
	require(strcmp(text, second) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	_cleanup_oci_process_ struct oci_process *process = NULL;
	struct error err = ERROR_INIT;
	int r = oci_spec_parse((const char *)data, size, &spec, &err);

	require(r == 0 ? spec != NULL : r < 0 && !spec && err.code == -r && err.message[0]);
	if (spec)
		round_trip(spec);
	for (size_t i = 0; spec && i < spec->n_mounts; i++) {
		_cleanup_mount_options_ struct mount_options options = { 0 };

		mount_options_parse(spec->mounts[i].options, &options, &err);
	}
	oci_process_parse((const char *)data, size, &process, &err);
	return 0;
}
