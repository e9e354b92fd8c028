/* Mount options, one comma-separated list, and explicit id maps. */
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "host/mount_options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_mount_options_ struct mount_options options = { 0 };
	struct id_map map = { 0, 100000, 65536 };
	const struct id_maps box = { &map, 1 };
	_cleanup_free_ char *text = strndup((const char *)data, size);
	_cleanup_strv_ char **v = text ? strv_split(text, ",") : NULL;
	struct id_maps uids = { 0 }, gids = { 0 };
	struct error err = ERROR_INIT;

	if (mount_options_parse(v, &options, &err) < 0)
		return 0;
	if ((options.flags & options.cleared) || options.n_propagation > MOUNT_PROPAGATIONS_MAX)
		abort();
	if (options.idmap_mappings &&
	    mount_idmap_parse(options.idmap_mappings, &box, &box, &uids, &gids, &err) == 0) {
		if (!uids.n || !gids.n)
			abort();
		free(uids.v);
		free(gids.v);
	}
	return 0;
}
