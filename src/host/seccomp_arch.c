#include "host/seccomp_arch.h"

#include <linux/audit.h>
#include <seccomp.h>
#include <string.h>
#include <sys/utsname.h>

#ifndef __x86_64__
#error "the list of architectures a filter can meet is written for x86-64 hosts"
#endif

const struct seccomp_abi_info seccomp_abis[SECCOMP_ABI_COUNT] = {
	[SECCOMP_ABI_X86_64] = { "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0, SECCOMP_X32_BIT - 1, true },
	[SECCOMP_ABI_X32] = { "SCMP_ARCH_X32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, SECCOMP_X32_BIT, UINT32_MAX, false },
	[SECCOMP_ABI_I386] = { "SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386, 0, UINT32_MAX, false },
};

/* What else the OCI runtime-spec names; runc and libseccomp add the last ones. */
static const char *const foreign[] = {
	"SCMP_ARCH_ARM",      "SCMP_ARCH_AARCH64",  "SCMP_ARCH_MIPS",	   "SCMP_ARCH_MIPS64",	"SCMP_ARCH_MIPS64N32",
	"SCMP_ARCH_MIPSEL",   "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",	"SCMP_ARCH_PPC64",
	"SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",	    "SCMP_ARCH_S390X",	   "SCMP_ARCH_PARISC",	"SCMP_ARCH_PARISC64",
	"SCMP_ARCH_RISCV64",  "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",   "SCMP_ARCH_SH",	"SCMP_ARCH_SHEB",
};

#define VERSION(major, minor) ((major) * 1000 + (minor))

/* Calls that the linked libseccomp may not know, and since when Linux has them; from 424 on all architectures number alike. */
static const struct {
	const char *name;
	uint16_t nr, since;
} recent[] = {
	{ "futex_waitv", 449, VERSION(5, 16) },
	{ "set_mempolicy_home_node", 450, VERSION(5, 17) },
	{ "cachestat", 451, VERSION(6, 5) },
	{ "fchmodat2", 452, VERSION(6, 6) },
	{ "map_shadow_stack", 453, VERSION(6, 6) },
	{ "futex_wake", 454, VERSION(6, 7) },
	{ "futex_wait", 455, VERSION(6, 7) },
	{ "futex_requeue", 456, VERSION(6, 7) },
	{ "statmount", 457, VERSION(6, 8) },
	{ "listmount", 458, VERSION(6, 8) },
	{ "lsm_get_self_attr", 459, VERSION(6, 8) },
	{ "lsm_set_self_attr", 460, VERSION(6, 8) },
	{ "lsm_list_modules", 461, VERSION(6, 8) },
	{ "mseal", 462, VERSION(6, 10) },
	{ "setxattrat", 463, VERSION(6, 13) },
	{ "getxattrat", 464, VERSION(6, 13) },
	{ "listxattrat", 465, VERSION(6, 13) },
	{ "removexattrat", 466, VERSION(6, 13) },
	{ "open_tree_attr", 467, VERSION(6, 15) },
	{ "file_getattr", 468, VERSION(6, 17) },
	{ "file_setattr", 469, VERSION(6, 17) },
	{ "listns", 470, VERSION(6, 19) },
};
#define MAP_SHADOW_STACK 453 /* the only one that x32 lacks */

/* x86-64 numbers that have a name but were never implemented, or no longer are. */
static const uint16_t unimplemented[] = {
	134, /* uselib */	    156, /* _sysctl */	  174, /* create_module */   177, /* get_kernel_syms */
	178, /* query_module */	    180, /* nfsservctl */ 181, /* getpmsg */	     182, /* putpmsg */
	183, /* afs_syscall */	    184, /* tuxcall */	  185, /* security */	     205, /* set_thread_area */
	211, /* get_thread_area */  214, /* epoll_ctl_old */ 215, /* epoll_wait_old */ 236, /* vserver */
};
#define LOOKUP_DCOOKIE 212 /* gone since Linux 6.7 */

/* socketcall(2) on i386: sub-call and, since Linux 4.3, the number of its own. libseccomp reports -100 - subcall. */
#define I386_SOCKETCALL 102
static const uint16_t i386_socket_direct[] = {
	[1] = 359,  [2] = 361,	[3] = 362,  [4] = 363,	[6] = 367,  [7] = 368,	[8] = 360,  [11] = 369, [12] = 371,
	[13] = 373, [14] = 366, [15] = 365, [16] = 370, [17] = 372, [18] = 364, [19] = 337, [20] = 345,
};

/* ipc(2) on i386: likewise since Linux 5.1, reported as -200 - subcall. */
#define I386_IPC 117
static const uint16_t i386_ipc_direct[] = {
	[2] = 393, [3] = 394, [11] = 400, [12] = 401, [13] = 399, [14] = 402, [21] = 397, [22] = 398, [23] = 395, [24] = 396,
};

int seccomp_abi_from_string(const char *name)
{
	if (strcmp(name, "SCMP_ARCH_NATIVE") == 0)
		return SECCOMP_ABI_X86_64;
	for (int i = 0; i < SECCOMP_ABI_COUNT; i++)
		if (strcmp(name, seccomp_abis[i].name) == 0)
			return i;
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (strcmp(name, foreign[i]) == 0)
			return -ENOEXEC;
	return -EINVAL;
}

static int64_t direct_number(const uint16_t *table, size_t n, uint32_t subcall)
{
	return subcall < n && table[subcall] ? table[subcall] : -ENOSYS;
}

/* The i386 calls that had, or still have, only a multiplexer. NR is what libseccomp's resolver said. */
static int64_t resolve_i386_mux(int nr, struct seccomp_mux *ret_mux)
{
	if (nr <= -101 && nr >= -120) {
		*ret_mux = (struct seccomp_mux){ I386_SOCKETCALL, (uint32_t)(-100 - nr) };
		return direct_number(i386_socket_direct, ARRAY_SIZE(i386_socket_direct), ret_mux->subcall);
	}
	if (nr <= -201 && nr >= -224) {
		*ret_mux = (struct seccomp_mux){ I386_IPC, (uint32_t)(-200 - nr) };
		return direct_number(i386_ipc_direct, ARRAY_SIZE(i386_ipc_direct), ret_mux->subcall);
	}
	return -ENOSYS;
}

int64_t seccomp_resolve(enum seccomp_abi abi, const char *name, struct seccomp_mux *ret_mux)
{
	uint32_t base = abi == SECCOMP_ABI_X32 ? SECCOMP_X32_BIT : 0;
	int nr = seccomp_syscall_resolve_name_arch(seccomp_abis[abi].token, name);

	*ret_mux = (struct seccomp_mux){ 0 };
	if (nr >= 0)
		return nr;
	if (abi == SECCOMP_ABI_I386 && nr < -100) {
		int64_t r = resolve_i386_mux(nr, ret_mux);

		if (ret_mux->nr)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(recent); i++)
		if (strcmp(name, recent[i].name) == 0)
			return base && recent[i].nr == MAP_SHADOW_STACK ? -ENOSYS : (int64_t)(base | recent[i].nr);
	return -ENOSYS;
}

bool seccomp_name_known(const char *name)
{
	if (seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(recent); i++)
		if (strcmp(name, recent[i].name) == 0)
			return true;
	return false;
}

static unsigned running_version(void)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return UINT16_MAX;
	return VERSION(major, minor);
}

size_t seccomp_implemented(uint32_t *ret, size_t max)
{
	unsigned version = running_version();
	size_t n = 0;

	for (uint32_t nr = 0; nr < SECCOMP_NR_END && n < max; nr++) {
		bool there = true;
		char buf[64];

		for (size_t i = 0; i < ARRAY_SIZE(unimplemented); i++)
			there &= nr != unimplemented[i];
		for (size_t i = 0; i < ARRAY_SIZE(recent); i++)
			there &= nr != recent[i].nr || version >= recent[i].since;
		if (nr == LOOKUP_DCOOKIE)
			there = version < VERSION(6, 7);
		if (there && seccomp_name_of(nr, buf))
			ret[n++] = nr;
	}
	return n;
}

const char *seccomp_name_of(uint32_t nr, char buf[64])
{
	char *name;

	for (size_t i = 0; i < ARRAY_SIZE(recent); i++)
		if (nr == recent[i].nr)
			return recent[i].name;
	name = nr <= INT32_MAX ? seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)nr) : NULL;
	if (!name)
		return NULL;
	strncpy(buf, name, 63);
	buf[63] = 0;
	free(name);
	return buf;
}
