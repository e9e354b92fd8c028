/* The strict JSON reader: any bytes. */
#include <stdint.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct json_object *child = NULL;
	const char *s = NULL;
	uint64_t n = 0;

	if (json_parse((const char *)data, size, &o, &err) < 0)
		return 0;
	json_get_string(o, "", "ociVersion", &s, &err);
	json_get_u64(o, "", "number", &n, &err);
	json_get_object(o, "", "process", &child, &err);
	return 0;
}
