/* What this runtime implements: runtime-spec, features.md. Whether the host has it too is `doctor`'s to say. */
#pragma once

#include <json-c/json.h>

#include "base/error.h"

/* The features object; VERSION is ringwall's own, for the annotations. *RET is owned (json_object_put). */
int oci_features(const char *version, struct json_object **ret, struct error *err);
