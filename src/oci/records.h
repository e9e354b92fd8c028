/* The tables of fields behind spec.h: one for each section of config.json. Private to src/oci. */
#pragma once

#include "base/json_record.h"
#include "oci/spec.h"

extern const struct json_record oci_process_record;   /* struct oci_process */
extern const struct json_record oci_mount_record;     /* struct oci_mount */
extern const struct json_record oci_hooks_record;     /* struct oci_spec: its hooks */
extern const struct json_record oci_linux_record;     /* struct oci_linux */
extern const struct json_record oci_resources_record; /* struct cgroup_resources */
extern const struct json_record oci_seccomp_record;   /* struct seccomp_policy */
extern const struct json_record oci_vm_record;        /* struct oci_vm */
extern const struct json_record oci_id_map_record;    /* struct id_map */

/* The names the specification gives, for `features`. */
extern const struct json_names oci_seccomp_acts, oci_seccomp_ops, oci_seccomp_archs, oci_seccomp_flags;
extern const struct json_names oci_namespace_types, oci_memory_modes, oci_memory_flags;

/* Refuses more maps than the kernel takes, and ones that overlap. KEY names the list for the message. */
int oci_id_maps_check(const struct json_place *at, const char *key, const struct id_maps *maps);

/* The checks that need more than one section. */
int oci_spec_check(const struct oci_spec *spec, struct error *err);
