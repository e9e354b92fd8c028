#include "boundary/process/promises.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "host/landlock.h"

static const char *const names[] = {
	"no-new-privileges", "system-calls", "files",   "truncation", "device-requests", "socket-kinds",
	"tcp-ports",	     "abstract-sockets", "signals", "terminal",   "processes",
};

static const char no_landlock[] = "no Landlock: not in this kernel, not switched on (boot with lsm=landlock,...), or hidden by a filter around us";
static const char no_seccomp[] = "no seccomp filters: not in this kernel, or hidden by a filter around us";

const char *process_promise_name(unsigned bit_index)
{
	return bit_index < ARRAY_SIZE(names) ? names[bit_index] : NULL;
}

void process_host_probe(struct process_host *ret)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	*ret = (struct process_host){
		.landlock = landlock_abi(),
		.seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0,
	};
}

static const char *kept_by_seccomp(const struct process_host *host, const char *how, const char **why)
{
	*why = no_seccomp;
	return host->seccomp ? how : NULL;
}

static const char *kept_by_landlock(const struct process_host *host, int abi, const char *how, const char *needs, const char **why)
{
	*why = host->landlock ? needs : no_landlock;
	return host->landlock >= abi ? how : NULL;
}

static const char *ports_kept(const struct process_policy *p, const struct process_host *host, const char **why)
{
	if (p->tcp_connect.any && p->tcp_bind.any)
		return "all ports were granted";
	if (!p->tcp_connect.any && !p->tcp_connect.n && !p->tcp_bind.any && !p->tcp_bind.n)
		return kept_by_seccomp(host, "no TCP at all: seccomp", why);
	return kept_by_landlock(host, 4, "Landlock", "needs Landlock ABI 4 (Linux 6.7)", why);
}

static const char *abstract_kept(const struct process_policy *p, const struct process_host *host, const char **why)
{
	if (p->allow & PROCESS_ALLOW_ABSTRACT_UNIX)
		return "granted";
	if (!(p->allow & PROCESS_ALLOW_UNIX))
		return kept_by_seccomp(host, "no unix sockets at all: seccomp", why);
	return kept_by_landlock(host, 6, "Landlock", "needs Landlock ABI 6 (Linux 6.12)", why);
}

static const char *ioctls_kept(const struct process_policy *p, const struct process_host *host, const char **why)
{
	if (!p->devices)
		return kept_by_seccomp(host, "only ordinary requests for files and terminals: seccomp", why);
	return kept_by_landlock(host, 5, "Landlock", "with a device granted it needs Landlock ABI 5 (Linux 6.10)", why);
}

static const char *processes_kept(const struct process_host *host, const char **why)
{
	if (host->cgroup)
		return "control group";
	return kept_by_seccomp(host, "one session, which seccomp lets no process leave", why);
}

const char *process_promise_kept(enum process_promise bit, const struct process_policy *policy,
				 const struct process_host *host, const char **ret_why)
{
	switch (bit) {
	case PROCESS_PROMISE_PRIVILEGES:
		return "no_new_privs, no capabilities but those asked for";
	case PROCESS_PROMISE_CALLS:
		return kept_by_seccomp(host, "seccomp, default-deny", ret_why);
	case PROCESS_PROMISE_FILES:
		return kept_by_landlock(host, 1, "Landlock", no_landlock, ret_why);
	case PROCESS_PROMISE_TRUNCATION:
		if (host->landlock >= 3)
			return "Landlock";
		return kept_by_seccomp(host, "no truncate(2), no O_TRUNC without writing: seccomp", ret_why);
	case PROCESS_PROMISE_IOCTLS:
		return ioctls_kept(policy, host, ret_why);
	case PROCESS_PROMISE_SOCKETS:
		return kept_by_seccomp(host, "seccomp", ret_why);
	case PROCESS_PROMISE_PORTS:
		return ports_kept(policy, host, ret_why);
	case PROCESS_PROMISE_ABSTRACT:
		return abstract_kept(policy, host, ret_why);
	case PROCESS_PROMISE_SIGNALS:
		if (policy->allow & PROCESS_ALLOW_SIGNALS)
			return "granted";
		return kept_by_landlock(host, 6, "Landlock", "needs Landlock ABI 6 (Linux 6.12)", ret_why);
	case PROCESS_PROMISE_TERMINAL:
		return kept_by_seccomp(host, "own session; no TIOCSTI and TIOCLINUX: seccomp", ret_why);
	case PROCESS_PROMISE_PROCESSES:
		return processes_kept(host, ret_why);
	}
	*ret_why = "unknown promise";
	return NULL;
}

unsigned process_promises_missing(const struct process_policy *policy, const struct process_host *host)
{
	unsigned missing = 0;
	const char *why;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!process_promise_kept(1u << i, policy, host, &why))
			missing |= 1u << i;
	return missing;
}
