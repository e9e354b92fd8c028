/*
 * Making a specification in code: the default one that `spec` writes, and the pieces that are added to it. All strings
 * are copied. Each function returns 0 or a negative errno (-ENOMEM, unless it says otherwise).
 * What is built is not checked: write it with oci_spec_to_json() and parse that, as every boundary does.
 */
#pragma once

#include "oci/spec.h"

struct oci_default {
	bool rootless;         /* a user namespace in which UID and GID are 0, no network namespace, no limits */
	uint32_t uid, gid;     /* of the caller, where rootless */
	bool cgroup_namespace; /* as the cgroup v2 host wants it */
};

/* runc's default: a terminal, "sh" in "rootfs", five new namespaces, the usual mounts and masked paths. */
int oci_spec_default(const struct oci_default *how, struct oci_spec **ret, struct error *err);

/* Replaces the owned string *MEMBER by a copy of VALUE (NULL: by nothing). */
int oci_set_string(char **member, const char *value);

/* OPTIONS: NULL-terminated or NULL; TYPE and SOURCE may be NULL. */
int oci_add_mount(struct oci_spec *spec, const char *destination, const char *type, const char *source,
		  char *const *options);
/* Takes out every mount at DESTINATION. */
void oci_remove_mount(struct oci_spec *spec, const char *destination);

/* TYPE is CLONE_NEW...; PATH NULL: a new one. An entry of that type is replaced. */
int oci_set_namespace(struct oci_spec *spec, int type, const char *path);
void oci_remove_namespace(struct oci_spec *spec, int type);

int oci_add_id_map(struct id_maps *maps, uint32_t inside, uint32_t outside, uint32_t count);
/* An earlier annotation KEY is replaced; likewise the limit of RESOURCE, and the sysctl KEY. */
int oci_set_annotation(struct oci_spec *spec, const char *key, const char *value);
int oci_set_rlimit(struct oci_process *process, int resource, uint64_t soft, uint64_t hard);
int oci_set_sysctl(struct oci_spec *spec, const char *key, const char *value);
int oci_add_gid(struct oci_process *process, uint32_t gid);
/* DEVICE's path is copied. */
int oci_add_device(struct oci_spec *spec, const struct oci_device *device);
int oci_add_device_rule(struct oci_spec *spec, const struct device_rule *rule);
/* ARGS and ENV may be NULL; TIMEOUT in seconds, 0: none. */
int oci_add_hook(struct oci_hooks *hooks, const char *path, char *const *args, char *const *env, int64_t timeout);
