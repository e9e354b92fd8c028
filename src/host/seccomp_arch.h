/* The architectures a filter can meet on this host, and the numbers that system call names have there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bit 30 of a system call number marks the x32 ABI, which shares its audit architecture with x86-64. */
#define SECCOMP_X32_BIT 0x40000000u

enum seccomp_abi { SECCOMP_ABI_X86_64, SECCOMP_ABI_X32, SECCOMP_ABI_I386, SECCOMP_ABI_COUNT };

struct seccomp_abi_info {
	const char *name;     /* "SCMP_ARCH_X86_64" */
	uint32_t token;       /* libseccomp's */
	uint32_t audit;       /* AUDIT_ARCH_..., what the kernel reports */
	uint32_t first, last; /* system call numbers of this ABI within that audit architecture */
	bool wide;            /* arguments are compared as 64 bits, else as 32 */
};

extern const struct seccomp_abi_info seccomp_abis[SECCOMP_ABI_COUNT];

/*
 * "SCMP_ARCH_..." to an enum seccomp_abi; -ENOEXEC for an architecture this host cannot execute, -EINVAL for an unknown
 * name. The native one is SECCOMP_ABI_X86_64.
 */
int seccomp_abi_from_string(const char *name);

/*
 * The number of system call NAME in ABI, or -ENOSYS when it has none. Names newer than the linked libseccomp are known
 * too. On i386, calls that are (also) reached through socketcall(2) or ipc(2) tell the sub-call in RET_MUX.
 */
struct seccomp_mux {
	uint32_t nr;      /* number of socketcall or ipc; 0: not multiplexed */
	uint32_t subcall; /* value of its first argument */
};
int64_t seccomp_resolve(enum seccomp_abi abi, const char *name, struct seccomp_mux *ret_mux);

/* Whether any architecture has a call of that name. */
bool seccomp_name_known(const char *name);
/* The name of an x86-64 number, or NULL; static storage or valid until the next call. */
const char *seccomp_name_of(uint32_t nr, char buf[64]);

#define SECCOMP_NR_END 512 /* x86-64's own numbers end below; 512 to 547 belong to x32 */

/* The x86-64 numbers that the running kernel implements, ascending: at most MAX of them into RET; the count. */
size_t seccomp_implemented(uint32_t *ret, size_t max);
