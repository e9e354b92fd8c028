#include "host/rlimit.h"

#include <string.h>
#include <sys/resource.h>

static const char *const names[] = {
	[RLIMIT_AS] = "RLIMIT_AS",
	[RLIMIT_CORE] = "RLIMIT_CORE",
	[RLIMIT_CPU] = "RLIMIT_CPU",
	[RLIMIT_DATA] = "RLIMIT_DATA",
	[RLIMIT_FSIZE] = "RLIMIT_FSIZE",
	[RLIMIT_LOCKS] = "RLIMIT_LOCKS",
	[RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",
	[RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE",
	[RLIMIT_NICE] = "RLIMIT_NICE",
	[RLIMIT_NOFILE] = "RLIMIT_NOFILE",
	[RLIMIT_NPROC] = "RLIMIT_NPROC",
	[RLIMIT_RSS] = "RLIMIT_RSS",
	[RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",
	[RLIMIT_RTTIME] = "RLIMIT_RTTIME",
	[RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
	[RLIMIT_STACK] = "RLIMIT_STACK",
};

int rlimit_from_string(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

const char *rlimit_to_string(int resource)
{
	return resource >= 0 && (size_t)resource < ARRAY_SIZE(names) ? names[resource] : NULL;
}

int rlimit_apply(pid_t pid, int resource, uint64_t soft, uint64_t hard, struct error *err)
{
	const struct rlimit wanted = { .rlim_cur = soft, .rlim_max = hard };
	const char *name = rlimit_to_string(resource);
	struct rlimit old;
	int code;

	if (!name)
		return error_set(err, EINVAL, "resource limit %d is unknown", resource);
	if (prlimit(pid, resource, &wanted, NULL) == 0)
		return 0;
	code = errno;
	if (code == EPERM && prlimit(pid, resource, NULL, &old) == 0 && hard > old.rlim_max)
		return error_set(err, EPERM,
				 "%s: the hard limit cannot be raised from %llu to %llu without CAP_SYS_RESOURCE; ask for at most %llu",
				 name, (unsigned long long)old.rlim_max, (unsigned long long)hard,
				 (unsigned long long)old.rlim_max);
	return error_sys(err, code, "%s: cannot set soft limit %llu, hard limit %llu", name, (unsigned long long)soft,
			 (unsigned long long)hard);
}
