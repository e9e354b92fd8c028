/* From an image and Docker's options to the configuration of a box. Each part fills in its share of SPEC. */
#pragma once

#include "cli/run_options.h"
#include "image/store.h"
#include "oci/spec_build.h"

struct box_request {
	const struct cli *cli;
	const struct run_options *options;
	const struct image *image;
	const char *id, *folder; /* the box's folder, absolute */
	char **command;          /* what followed IMAGE; empty: the image's */
	bool rootless;           /* made by somebody else than root */
	bool own_view;           /* the wall has namespaces, and so mounts and a network of the box's own */
	const char *network;     /* what --network says, or the wall's default */
};

/* *RET is freed with oci_spec_free(). The user is still 0: names are looked up in the mounted root file system. */
int box_config_build(const struct box_request *request, struct oci_spec **ret, struct error *err);

int box_config_grants(const struct box_request *request, struct oci_spec *spec, struct error *err);
int box_config_process(const struct box_request *request, struct oci_spec *spec, struct error *err);
int box_config_mounts(const struct box_request *request, struct oci_spec *spec, struct error *err);
int box_config_limits(const struct box_request *request, struct oci_spec *spec, struct error *err);
int box_config_security(const struct box_request *request, struct oci_spec *spec, struct error *err);
int box_config_devices(const struct box_request *request, struct oci_spec *spec, struct error *err);
