/*
 * A bundle's config.json as typed data: the whole of the OCI runtime-spec 1.3 for Linux, plus the "vm" section.
 * Everything is owned by the struct oci_spec and freed by oci_spec_free(). An absent optional object is a NULL pointer,
 * a zero count, or a field whose `set`/`has_` bit is false. Unknown keys are ignored, as the specification demands;
 * unknown enumeration values are errors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/caps.h"
#include "host/idmap.h"
#include "host/resources.h"
#include "host/seccomp_policy.h"

#define OCI_SPEC_VERSION "1.3.0"
#define OCI_CONFIG_MAX (16u << 20) /* bytes; a larger config.json is refused */

struct oci_rlimit {
	int resource; /* RLIMIT_... */
	uint64_t soft, hard;
};

struct oci_scheduler { /* sched_setattr(2) */
	int policy;     /* SCHED_... */
	int32_t nice, priority;
	uint64_t flags; /* SCHED_FLAG_... */
	uint64_t runtime, deadline, period;
};

struct oci_io_priority {
	int class; /* IOPRIO_CLASS_... */
	int priority;
};

struct oci_process {
	bool terminal;
	bool has_console_size;
	uint32_t console_width, console_height; /* characters */
	uint32_t uid, gid;
	bool has_umask;
	uint32_t umask;
	uint32_t *additional_gids;
	size_t n_additional_gids;
	char *cwd;
	char **args;
	char **env;
	bool has_capabilities;
	struct cap_sets capabilities;
	struct oci_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privileges;
	char *apparmor_profile;
	bool has_oom_score_adj;
	int oom_score_adj;
	char *selinux_label;
	struct oci_scheduler *scheduler;     /* or NULL */
	struct oci_io_priority *io_priority; /* or NULL */
	struct {
		char *initial, *final; /* CPU lists */
	} exec_cpu_affinity;
};

struct oci_mount {
	char *destination; /* absolute: a relative one was made so */
	char *type;        /* file system type; NULL for a bind mount without one */
	char *source;
	char **options; /* as written; src/host/mount_options.h interprets them */
	struct id_maps uid_mappings, gid_mappings;
};

struct oci_hook {
	char *path;
	char **args; /* argv, args[0] included; NULL: {path} */
	char **env;
	int64_t timeout; /* seconds; 0: none */
};

struct oci_hooks {
	struct oci_hook *v;
	size_t n;
};

struct oci_namespace {
	int type;   /* CLONE_NEW... */
	char *path; /* NULL: a new one */
};

struct oci_device {
	char *path;
	char type; /* 'c', 'b', 'u', 'p' */
	int64_t major, minor;
	bool has_mode, has_uid, has_gid;
	uint32_t mode, uid, gid;
};

struct oci_time_offset {
	bool set;
	int64_t secs;
	uint32_t nanosecs;
};

struct oci_intel_rdt {
	char *clos_id; /* a directory in resctrl; "/": its root, the default group; NULL: one named after the box */
	char **schemata;                        /* lines; they win over the two schemas below */
	char *l3_cache_schema, *mem_bw_schema;  /* the first may be several lines */
	bool enable_cmt, enable_mbm, enable_monitoring;
};

struct oci_memory_policy { /* set_mempolicy(2) */
	int mode;
	char *nodes;
	unsigned flags;
};

struct oci_net_device {
	char *name;     /* interface in the runtime's network namespace */
	char *new_name; /* name inside; NULL: the same */
};

struct oci_sysctl {
	char *key, *value;
};

struct oci_linux {
	struct id_maps uid_mappings, gid_mappings;
	struct oci_device *devices;
	size_t n_devices;
	struct oci_net_device *net_devices;
	size_t n_net_devices;
	char *cgroups_path;
	struct cgroup_resources resources;
	struct oci_namespace *namespaces;
	size_t n_namespaces;
	unsigned rootfs_propagation; /* MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, each maybe with MS_REC; 0: not given */
	struct seccomp_policy *seccomp; /* or NULL */
	struct oci_sysctl *sysctl; /* as written: host/sysctl.h makes the path */
	size_t n_sysctl;
	char **masked_paths, **readonly_paths;
	char *mount_label;
	struct oci_intel_rdt *intel_rdt; /* or NULL */
	bool has_personality;
	unsigned long personality; /* personality(2) argument */
	struct oci_memory_policy *memory_policy; /* or NULL */
	struct oci_time_offset monotonic_offset, boottime_offset;
};

struct oci_iomem { /* guest frames GFN.. are machine frames MFN.. (pages) */
	uint64_t first_gfn, first_mfn, n_mfns;
};

struct oci_vm {
	char *hypervisor_path;
	char **hypervisor_parameters;
	char *kernel_path;
	char **kernel_parameters;
	char *kernel_initrd;
	char *image_path, *image_format;
	bool has_hw_config;
	char *device_tree;
	uint32_t vcpus;
	uint64_t memory; /* bytes */
	char **dtdevs;
	struct oci_iomem *iomems;
	size_t n_iomems;
	uint32_t *irqs;
	size_t n_irqs;
};

struct oci_annotation {
	char *key, *value;
};

struct oci_spec {
	char *version;
	struct {
		char *path; /* as written: relative to the bundle or absolute */
		bool readonly;
	} root;
	bool has_root;
	char *hostname, *domainname;
	struct oci_process *process; /* NULL: only create is possible, not start */
	struct oci_mount *mounts;
	size_t n_mounts;
	struct {
		struct oci_hooks prestart, create_runtime, create_container, start_container, poststart, poststop;
	} hooks;
	struct oci_annotation *annotations;
	size_t n_annotations;
	bool has_linux;
	struct oci_linux linux_;
	struct oci_vm *vm; /* or NULL */
};

/* Parses and validates a whole config.json. *RET is freed with oci_spec_free(). */
int oci_spec_parse(const char *json, size_t len, struct oci_spec **ret, struct error *err);

/* Reads "config.json" in BUNDLE_FD. */
int oci_spec_load(int bundle_fd, struct oci_spec **ret, struct error *err);

/* Parses a process object alone, as `exec --process` takes it. Freed with oci_process_free(). */
int oci_process_parse(const char *json, size_t len, struct oci_process **ret, struct error *err);

/* Parses a linux.resources object alone, as `update --resources` takes it, into *RET; free with cgroup_resources_free(). */
int oci_resources_parse(const char *json, size_t len, struct cgroup_resources *ret, struct error *err);

/* Parses a linux.seccomp object alone, as a profile's file has it. Freed with seccomp_policy_free() and free(). */
int oci_seccomp_parse(const char *json, size_t len, struct seccomp_policy **ret, struct error *err);

void oci_spec_free(struct oci_spec *spec);
void oci_process_free(struct oci_process *process);

/* The JSON text of SPEC or PROCESS, indented, ending in a newline: parsing it again gives the same. *RET is owned. */
int oci_spec_to_json(const struct oci_spec *spec, char **ret, struct error *err);
int oci_process_to_json(const struct oci_process *process, char **ret, struct error *err);

/* The value of annotation KEY, or NULL. */
const char *oci_spec_annotation(const struct oci_spec *spec, const char *key);
/* The namespace entry of TYPE (CLONE_NEW...), or NULL when the spec does not ask for it. */
const struct oci_namespace *oci_spec_namespace(const struct oci_spec *spec, int type);

static inline void cleanup_oci_spec(struct oci_spec **spec)
{
	oci_spec_free(*spec);
}

static inline void cleanup_oci_process(struct oci_process **process)
{
	oci_process_free(*process);
}

#define _cleanup_oci_spec_ _cleanup_(cleanup_oci_spec)
#define _cleanup_oci_process_ _cleanup_(cleanup_oci_process)
