#include "jail/child.h"

#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/bitlist.h"
#include "base/fdio.h"
#include "base/log.h"
#include "host/credentials.h"
#include "host/path.h"
#include "host/rlimit.h"

#define KEYCTL_JOIN_SESSION_KEYRING 1

struct kernel_sched_attr { /* sched_setattr(2) */
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

static int set_scheduler(const struct jail_scheduler *s, pid_t pid, struct error *err)
{
	struct kernel_sched_attr attr = {
		.size = sizeof(attr),
		.policy = (uint32_t)s->policy,
		.flags = s->flags,
		.nice = s->nice,
		.priority = (uint32_t)s->priority,
		.runtime = s->runtime,
		.deadline = s->deadline,
		.period = s->period,
	};

	if (syscall(SYS_sched_setattr, pid, &attr, 0) < 0)
		return error_sys(err, errno, "cannot set the scheduler to policy %d, nice %d, priority %d", s->policy, s->nice,
				 s->priority);
	return 0;
}

/* Limits that may need more privilege than a user namespace gives. PID 0: the calling process. */
int process_apply_privileged(const struct jail_process *p, pid_t pid, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < p->n_rlimits && r == 0; i++)
		r = rlimit_apply(pid, p->rlimits[i].resource, p->rlimits[i].soft, p->rlimits[i].hard, err);
	if (r == 0 && p->scheduler)
		r = set_scheduler(p->scheduler, pid, err);
	if (r == 0 && p->has_io_priority && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, p->io_priority) < 0)
		r = error_sys(err, errno, "cannot set the I/O priority to class %d, level %d", IOPRIO_PRIO_CLASS(p->io_priority),
			      (int)IOPRIO_PRIO_DATA(p->io_priority));
	return r;
}

int process_set_affinity(const char *cpus, struct error *err)
{
	cpu_set_t set;
	int r;

	if (!cpus)
		return 0;
	r = bitlist_parse(cpus, (unsigned long *)&set, sizeof(set) * 8, err);
	if (r < 0)
		return r;
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return error_sys(err, errno, "cannot run on processors %s only", cpus);
	return 0;
}

static int join_keyring(const char *name, struct error *err)
{
	if (!name || syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) >= 0)
		return 0;
	/* a kernel without keys, or a filter around us that keeps keys from everybody below it */
	if (errno == ENOSYS || errno == EPERM)
		return 0;
	return error_sys(err, errno, "cannot join a new session keyring '%s' (--no-new-keyring keeps the caller's)", name);
}

static int set_memory_policy(const struct jail_process *p, struct error *err)
{
	if (!p->has_memory_policy)
		return 0;
	if (syscall(SYS_set_mempolicy, p->memory_policy_mode, p->memory_policy_nodes, p->memory_policy_max) < 0)
		return error_sys(err, errno, "cannot set the memory policy");
	return 0;
}

/* What this process may have at all: what is asked beyond that was never ours to give, and less is the safer side. */
static void keep_available(struct cap_sets *want)
{
	struct cap_sets have;
	uint64_t missing;

	if (caps_get(&have) < 0)
		return;
	missing = (want->permitted | want->effective | want->inheritable) & ~have.permitted;
	for (unsigned cap = 0; cap < 64; cap++)
		if (missing & 1ull << cap)
			log_warn("%s is asked for, but not available to this process", cap_to_string(cap) ?: "a capability");
	want->permitted &= have.permitted;
	want->effective &= have.permitted;
	want->inheritable &= have.permitted;
	want->ambient &= have.permitted;
}

/* The sets until child_launch(), which needs one more to load a filter and to leave our program. */
static struct cap_sets caps_for_now(const struct cap_sets *final)
{
	struct cap_sets now = *final, have;

	if (caps_get(&have) == 0) {
		now.permitted |= have.permitted & 1ull << 21 /* CAP_SYS_ADMIN */;
		now.effective |= have.permitted & 1ull << 21;
	}
	return now;
}

static int limit_capabilities(struct child *c, struct error *err)
{
	struct jail_process *p = &c->jail->process;
	int r;

	/* Who has no capability to drop cannot gain one either, with no_new_privs. */
	if (!caps_have(8 /* CAP_SETPCAP */) && p->no_new_privs)
		return 0;
	r = caps_limit_bounding(p->caps.bounding, err);
	if (r == 0)
		keep_available(&p->caps);
	return r;
}

/* Not through the kernel's magic links: /proc/self/fd/N may lead to a directory of the host (CVE-2024-21626). */
static int enter_directory(const char *path)
{
	_cleanup_close_ int fd = path_open_plain(path, O_PATH | O_DIRECTORY);

	return fd < 0 ? fd : fchdir(fd) < 0 ? -errno : 0;
}

static int change_directory(const struct child *c, bool *done, struct error *err)
{
	const char *cwd = c->jail->process.cwd;
	int r = *done ? 0 : enter_directory(cwd);

	if (r == 0)
		*done = true;
	if (r == -ELOOP)
		return error_set(err, ELOOP, "the working directory '%s' leads through a link of /proc to a descriptor, or in circles",
				 cwd);
	return r == 0 || r == -EACCES ? 0 : error_sys(err, r, "cannot change into the working directory '%s'", cwd);
}

/* Once more from the other side: one outside the root would be a way out. */
static int check_directory(const char *cwd, struct error *err)
{
	char path[4096];

	if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
		return error_sys(err, errno, "cannot tell the working directory '%s'", cwd);
	if (path[0] != '/')
		return error_set(err, EPERM, "the working directory '%s' is outside the container's root", cwd);
	return 0;
}

static int become_user(struct child *c, struct error *err)
{
	struct jail_process *p = &c->jail->process;
	bool in_directory = !p->cwd;
	struct cap_sets now;
	int r;

	r = change_directory(c, &in_directory, err); /* as root, who may reach more; then as the user */
	if (r == 0)
		r = limit_capabilities(c, err);
	if (r < 0)
		return r;
	now = caps_for_now(&p->caps);
	r = ids_set(p->uid, p->gid, p->groups, p->n_groups, err);
	if (r == 0)
		r = caps_set(&now, err);
	if (r == 0)
		r = change_directory(c, &in_directory, err);
	if (r == 0 && !in_directory)
		r = error_sys(err, EACCES, "cannot change into the working directory '%s'", p->cwd);
	return r == 0 && p->cwd ? check_directory(p->cwd, err) : r;
}

int child_become(struct child *c, struct error *err)
{
	struct jail_process *p = &c->jail->process;
	int r;

	r = join_keyring(p->keyring, err);
	if (r == 0)
		r = set_memory_policy(p, err);
	if (r == 0)
		r = process_set_affinity(p->final_cpus, err);
	if (r == 0 && p->has_personality && personality(p->personality) < 0)
		r = error_sys(err, errno, "cannot set the personality to %#lx", p->personality);
	if (r < 0)
		return r;
	if (p->has_umask)
		umask(p->umask);
	r = become_user(c, err);
	if (r == 0 && p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = error_sys(err, errno, "cannot set no_new_privs");
	return r;
}
