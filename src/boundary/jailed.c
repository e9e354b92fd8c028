#include "boundary/jailed.h"

#include <fcntl.h>
#include <linux/ioprio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bitlist.h"
#include "base/parse.h"
#include "base/strv.h"
#include "host/lsm.h"
#include "host/terminal.h"

void jailed_process_free(struct jailed_process *jp)
{
	free(jp->rlimits);
	strv_free(jp->env);
	jp->rlimits = NULL;
	jp->env = NULL;
}

static int translate_rlimits(const struct oci_process *p, struct jailed_process *jp, struct jail_process *out)
{
	jp->rlimits = calloc(p->n_rlimits + 1, sizeof(*jp->rlimits));
	if (!jp->rlimits)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_rlimits; i++)
		jp->rlimits[i] = (struct jail_rlimit){ p->rlimits[i].resource, p->rlimits[i].soft, p->rlimits[i].hard };
	out->rlimits = jp->rlimits;
	out->n_rlimits = p->n_rlimits;
	return 0;
}

static void translate_scheduling(const struct oci_process *p, struct jailed_process *jp, struct jail_process *out)
{
	if (p->scheduler) {
		jp->scheduler = (struct jail_scheduler){
			.policy = p->scheduler->policy,
			.nice = p->scheduler->nice,
			.priority = p->scheduler->priority,
			.flags = p->scheduler->flags,
			.runtime = p->scheduler->runtime,
			.deadline = p->scheduler->deadline,
			.period = p->scheduler->period,
		};
		out->scheduler = &jp->scheduler;
	}
	if (p->io_priority) {
		out->has_io_priority = true;
		out->io_priority = IOPRIO_PRIO_VALUE(p->io_priority->class, p->io_priority->priority);
	}
}

static int translate_memory_policy(const struct oci_memory_policy *policy, struct jailed_process *jp, struct jail_process *out,
				   struct error *err)
{
	int r;

	if (!policy)
		return 0;
	out->has_memory_policy = true;
	out->memory_policy_mode = policy->mode | (int)policy->flags;
	if (!policy->nodes || !*policy->nodes)
		return 0;
	r = bitlist_parse(policy->nodes, jp->memory_nodes, sizeof(jp->memory_nodes) * 8, err);
	if (r < 0)
		return error_prefix(err, "linux.memoryPolicy.nodes");
	out->memory_policy_nodes = jp->memory_nodes;
	out->memory_policy_max = sizeof(jp->memory_nodes) * 8;
	return 0;
}

static void translate_identity(const struct oci_process *p, struct jail_process *out)
{
	out->uid = p->uid;
	out->gid = p->gid;
	out->groups = p->additional_gids;
	out->n_groups = p->n_additional_gids;
	out->has_umask = true;
	out->umask = p->has_umask ? p->umask : 0022;
	out->has_caps = p->has_capabilities;
	out->caps = p->capabilities;
	out->no_new_privs = p->no_new_privileges;
	out->apparmor = p->apparmor_profile && *p->apparmor_profile ? p->apparmor_profile : NULL;
	if (out->apparmor && strcmp(out->apparmor, "unconfined") == 0 && !lsm_apparmor_enabled())
		out->apparmor = NULL; /* is what every process here is */
	out->selinux = p->selinux_label && *p->selinux_label ? p->selinux_label : NULL;
	out->has_oom_score_adj = p->has_oom_score_adj;
	out->oom_score_adj = p->oom_score_adj;
}

int jailed_translate(const struct oci_spec *spec, const struct oci_process *p, struct jailed_process *jp,
		     struct jail_process *out, struct error *err)
{
	int r;

	translate_identity(p, out);
	out->argv = p->args;
	out->cwd = p->cwd;
	out->has_personality = spec->linux_.has_personality;
	out->personality = spec->linux_.personality;
	out->terminal = p->terminal;
	out->console_width = (unsigned short)p->console_width;
	out->console_height = (unsigned short)p->console_height;
	out->new_session = true;
	jp->env = strv_copy(p->env);
	if (p->env && !jp->env)
		return error_oom(err);
	out->env = jp->env;
	translate_scheduling(p, jp, out);
	r = lsm_check(out->apparmor, out->selinux, spec->linux_.mount_label, err);
	if (r < 0)
		return r;
	if (translate_rlimits(p, jp, out) < 0)
		return error_oom(err);
	return translate_memory_policy(spec->linux_.memory_policy, jp, out, err);
}

int jailed_descriptors(int preserve, struct jailed_process *jp, struct jail_process *out, struct error *err)
{
	const char *listen = getenv("LISTEN_FDS");
	uint32_t n_listen = 0;

	if (listen && (parse_u32(listen, &n_listen) < 0 || n_listen > 65536))
		return error_set(err, EINVAL, "$LISTEN_FDS is '%s', not a small number", listen);
	if (n_listen && strv_addf(&jp->env, "LISTEN_FDS=%u", n_listen) < 0)
		return error_oom(err);
	out->env = jp->env;
	out->preserve_fds = preserve + (int)n_listen;
	for (int fd = 3; fd < 3 + out->preserve_fds; fd++) {
		int flags = fcntl(fd, F_GETFD);

		/* What we opened ourselves closes on exec; what was passed to us, cannot. */
		if (flags < 0 || flags & FD_CLOEXEC)
			return error_set(err, EBADF, "descriptor %d is to be passed on, but is not open", fd);
	}
	return 0;
}

int jailed_terminal(const char *console_socket, bool detach, const int stdio[3], struct jail_process *out, struct error *err)
{
	if (!out->terminal && console_socket)
		return error_set(err, EINVAL, "--console-socket is given, but no terminal is asked for (process.terminal is false)");
	if (out->terminal && !console_socket && detach)
		return error_set(err, EINVAL, "a terminal is asked for and nobody stays to serve it: give --console-socket");
	if (console_socket) {
		out->console_socket = socket_connect(AT_FDCWD, console_socket, SOCK_STREAM, err);
		if (out->console_socket < 0)
			return out->console_socket;
	}
	memcpy(out->stdio, stdio, sizeof(out->stdio));
	return 0;
}

int jailed_send_pidfd(const char *path, int pidfd, struct error *err)
{
	_cleanup_close_ int sock = -1;

	if (!path)
		return 0;
	sock = socket_connect(AT_FDCWD, path, SOCK_STREAM, err);
	return sock < 0 ? sock : socket_send_fd(sock, pidfd, "pidfd", err);
}
