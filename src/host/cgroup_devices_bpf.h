/*
 * Device rules on cgroup v2: an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE that runs the ordered list, last match
 * first, for each access of a device by a process of the group. Made with bpf(2) alone.
 */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>

#include "base/error.h"
#include "host/cgroup_devices.h"

struct bpf_program {
	struct bpf_insn *v; /* owned */
	size_t n, cap;
};

void bpf_program_free(struct bpf_program *p);

/* Translates RULES. Pure. */
int device_rules_compile(const struct device_rules *rules, struct bpf_program *ret, struct error *err);

/*
 * Puts PROGRAM in force for the v2 group GROUP_FD in place of our earlier one, without a moment in which neither
 * is. REPLACE false: the group is new and has none.
 */
int device_program_attach(int group_fd, const struct bpf_program *program, bool replace, struct error *err);

#define _cleanup_bpf_program_ _cleanup_(bpf_program_free)
