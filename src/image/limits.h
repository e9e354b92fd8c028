/* What a hostile layer may cost at most. Every limit has an option of the image verbs, which the errors name. */
#pragma once

#include <stdint.h>

struct image_limits {
	uint64_t unpacked; /* bytes of one layer, unpacked: --max-unpacked-size */
	uint64_t entries;  /* of one layer's archive: --max-entries */
	uint64_t ratio;	   /* unpacked to packed bytes, looked at past IMAGE_RATIO_FLOOR bytes: --max-ratio */
	uint64_t layers;   /* of one image: --max-layers */
	int allow_devices; /* make device nodes: --allow-devices */
};

#define IMAGE_RATIO_FLOOR (128ull << 20)
#define IMAGE_LIMITS_DEFAULT                                                                                           \
	((struct image_limits){.unpacked = 64ull << 30, .entries = 4000000, .ratio = 250, .layers = 200})
#define IMAGE_DEPTH_MAX 1024 /* folders below each other */

#define IMAGE_MANIFEST_MAX (4u << 20) /* bytes, as the distribution-spec advises registries */
#define IMAGE_CONFIG_MAX (8u << 20)
