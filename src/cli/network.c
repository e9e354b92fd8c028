#include "cli/network.h"

#include <string.h>

int network_parse_port(const char *text, struct json_object *ports, struct error *err)
{
	return error_set(err, ENOTSUP, "port '%s': not yet", text);
}

bool network_is_private(const struct image_box *box)
{
	const char *mode = image_box_string(box, "network");

	return mode && strcmp(mode, "private") == 0;
}

int network_attach(const struct cli *cli, const struct image_box *box, pid_t pid, struct error *err)
{
	return 0;
}

void network_detach(const struct cli *cli, const struct image_box *box)
{
}
