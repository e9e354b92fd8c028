/* The container wall: namespaces, mounts, control groups, capabilities and seccomp of the host's own kernel. */
#pragma once

#include "boundary/boundary.h"
#include "boundary/jailed.h"
#include "jail/jail.h"

extern const struct boundary_ops container_boundary;

/* A jail translated from a configuration, and what it is made of. */
struct container_jail {
	struct jail jail;
	const struct oci_spec *spec;
	/* owned */
	struct jail_mount *mounts;
	char **sources; /* bind sources made absolute */
	struct id_maps *maps; /* of id-mapped mounts with maps in their options: 2 for each mount of the configuration */
	size_t n_maps;
	struct jail_device *devices;
	struct jail_sysctl *sysctls;
	struct jailed_process process;
	struct seccomp_program *seccomp;
	struct id_maps own_maps[2];
	struct id_map own_map[2];
	char *keyring;
};

#define CONTAINER_JAIL_INIT ((struct container_jail){ .jail = JAIL_INIT })
void container_jail_free(struct container_jail *cj);
#define _cleanup_container_jail_ _cleanup_(container_jail_free)

/* translate.c: what is made (create) and what runs (create and exec). SPEC and PROCESS must outlive RET. */
int translate_world(const struct box *box, const struct oci_spec *spec, const struct create_options *options,
		    struct container_jail *ret, struct error *err);
int translate_process(const struct box *box, const struct oci_spec *spec, const struct oci_process *process,
		      struct container_jail *ret, struct error *err);

/* plan.c */
int container_plan(const struct oci_spec *spec, const struct create_options *options, struct plan *ret, struct error *err);
void container_probe(struct probe *ret);

/* create.c, exec.c */
int container_create(struct box *box, const struct oci_spec *spec, const struct create_options *options,
		     struct started *ret, struct error *err);
int container_exec(struct box *box, const struct oci_spec *spec, const struct exec_request *request, struct started *ret,
		   struct error *err);

/* record.c: what the other verbs need to know of a box, in box->data. */
int container_record(struct box *box, const struct cgroup *cg, const struct oci_spec *spec, bool rootless, struct error *err);
/* Before the control group is made. */
int container_record_manager(struct box *box, enum cgroup_manager manager, struct error *err);
/* The box's control group as it was recorded; NULL when it has none. */
int container_cgroup(const struct box *box, struct cgroup **ret, struct error *err);
/* The control group of a box that has no record yet: taking it over again, as it was made, names it. */
int container_cgroup_again(const struct box *box, const struct oci_spec *spec, enum cgroup_manager manager,
			   struct cgroup **ret, struct error *err);
bool container_is_rootless(const struct box *box);
/* Whether the box's processes all end with its first one. */
bool container_owns_pids(const struct box *box);

/* What a control group is made from. */
int container_cgroup_request(const struct box *box, const struct oci_spec *spec, enum cgroup_manager manager, bool rootless,
			     struct cgroup_request *ret, struct cgroup_annotation **ret_annotations, struct error *err);

/* rdt.c: the class of service, recorded in box->data; *RET is NULL where none is asked for. */
struct resctrl;
int container_rdt_make(struct box *box, const struct oci_spec *spec, struct resctrl **ret, struct error *err);
int container_rdt(const struct box *box, struct resctrl **ret, struct error *err);
int container_rdt_destroy(const struct box *box, struct error *err);
int container_update_rdt(struct box *box, const char *l3_schema, const char *mem_bw_schema, struct error *err);

/* checkpoint.c */
int container_checkpoint(struct box *box, const struct oci_spec *spec, const struct checkpoint_request *request,
			 struct error *err);
int container_restore(struct box *box, const struct oci_spec *spec, const struct create_options *options,
		      const struct checkpoint_request *request, struct started *ret, struct error *err);

/* notify.c: before the process, *RET_SOCK stays -1 when no service manager waits; before a start, and after it. */
int container_notify_prepare(const struct box *box, struct container_jail *cj, int *ret_sock, struct error *err);
int container_notify_listen(const struct box *box, struct error *err);
/* Takes SOCK. Returns when the box is ready or gone, in the FOREGROUND at once. */
void container_notify_wait(const struct box *box, int sock, bool foreground);
