/* User and group id mappings, as user_namespaces(7) and the OCI runtime-spec (config-linux, "User namespace mappings") have them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct id_map {
	uint32_t inside;  /* OCI containerID */
	uint32_t outside; /* OCI hostID */
	uint32_t count;
};

struct id_maps {
	struct id_map *v; /* owned */
	size_t n;
};
