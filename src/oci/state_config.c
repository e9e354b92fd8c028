#include "oci/state.h"

#include "base/fdio.h"

int box_config(const struct box *box, struct oci_spec **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = file_read_at(box->dir_fd, BOX_CONFIG_FILE, OCI_CONFIG_MAX, &text, &len, err);

	if (r == 0)
		r = oci_spec_parse(text, len, ret, err);
	return r < 0 ? error_prefix(err, "configuration of container '%s'", box->id) : 0;
}
