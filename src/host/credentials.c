#include "host/credentials.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int caps_limit_bounding(uint64_t keep, struct error *err)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (keep & 1ull << cap)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL) /* past the last one the kernel knows */
			return 0;
		if (errno == EPERM && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0)
			continue;
		return error_sys(err, errno, "cannot drop %s from the bounding set", cap_to_string(cap) ?: "a capability");
	}
	return 0;
}

int caps_set(const struct cap_sets *s, struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)s->effective, (uint32_t)s->permitted, (uint32_t)s->inheritable },
		{ (uint32_t)(s->effective >> 32), (uint32_t)(s->permitted >> 32), (uint32_t)(s->inheritable >> 32) },
	};

	if (syscall(SYS_capset, &header, data) < 0)
		return error_sys(err, errno, "cannot set the capabilities");
	return 0;
}

int caps_get(struct cap_sets *ret)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	ret->effective = data[0].effective | (uint64_t)data[1].effective << 32;
	ret->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	ret->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	ret->bounding = ret->ambient = 0;
	return 0;
}

bool caps_have(unsigned cap)
{
	struct cap_sets sets;

	return caps_get(&sets) == 0 && sets.effective & 1ull << cap;
}

int caps_raise_ambient(uint64_t ambient, struct error *err)
{
	for (unsigned cap = 0; cap < 64; cap++)
		if (ambient & 1ull << cap && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return error_sys(err, errno, "cannot make %s ambient (it must be permitted and inheritable too)",
					 cap_to_string(cap) ?: "a capability");
	return 0;
}

int ids_set(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t n_groups, struct error *err)
{
	/* In a user namespace that its maker may only map himself into, setgroups(2) is denied and there is none to drop. */
	if (setgroups(n_groups, groups) < 0 && (errno != EPERM || n_groups))
		return error_sys(err, errno, "cannot set %zu additional groups", n_groups);
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_sys(err, errno, "cannot keep capabilities over the change of user");
	if (setresgid(gid, gid, gid) < 0)
		return error_sys(err, errno, "cannot become group %u%s", gid,
				 errno == EINVAL ? " (it is not mapped into the user namespace)" : "");
	if (setresuid(uid, uid, uid) < 0)
		return error_sys(err, errno, "cannot become user %u%s", uid,
				 errno == EINVAL ? " (it is not mapped into the user namespace)" : "");
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return error_sys(err, errno, "cannot reset PR_SET_KEEPCAPS");
	return 0;
}
