#include "host/landlock.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define NR_CREATE_RULESET 444
#define NR_ADD_RULE 445
#define NR_RESTRICT_SELF 446

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

struct ruleset_attr { /* grew with the ABI: an older kernel takes a shorter one, or zeros */
	uint64_t handled_access_fs, handled_access_net, scoped;
};

struct path_beneath_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

struct net_port_attr {
	uint64_t allowed_access, port;
};

/* What may be granted on something that is no directory. */
#define FILE_ACCESS                                                                                                    \
	(LANDLOCK_FS_EXECUTE | LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_READ_FILE | LANDLOCK_FS_TRUNCATE | LANDLOCK_FS_IOCTL_DEV)

int landlock_abi(void)
{
	long r = syscall(NR_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);

	return r < 0 ? 0 : (int)r;
}

uint64_t landlock_fs_of(int abi)
{
	uint64_t all = LANDLOCK_FS_MAKE_SYM * 2 - 1;

	if (abi < 1)
		return 0;
	if (abi >= 2)
		all |= LANDLOCK_FS_REFER;
	if (abi >= 3)
		all |= LANDLOCK_FS_TRUNCATE;
	if (abi >= 5)
		all |= LANDLOCK_FS_IOCTL_DEV;
	return all;
}

uint64_t landlock_net_of(int abi)
{
	return abi >= 4 ? LANDLOCK_NET_BIND_TCP | LANDLOCK_NET_CONNECT_TCP : 0;
}

uint64_t landlock_scopes_of(int abi)
{
	return abi >= 6 ? LANDLOCK_SCOPED_ABSTRACT_UNIX | LANDLOCK_SCOPED_SIGNAL : 0;
}

int landlock_grant_path(struct landlock_rules *rules, const char *path, uint64_t access, bool optional)
{
	struct landlock_path *v = reallocarray(rules->paths, rules->n_paths + 1, sizeof(*v));
	char *copy;

	if (!v)
		return -ENOMEM;
	rules->paths = v;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	v[rules->n_paths++] = (struct landlock_path){ copy, access, optional };
	return 0;
}

int landlock_grant_port(struct landlock_rules *rules, uint16_t port, uint64_t access)
{
	struct landlock_port *v = reallocarray(rules->ports, rules->n_ports + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	rules->ports = v;
	v[rules->n_ports++] = (struct landlock_port){ port, access };
	return 0;
}

/* Opens PATH, below ROOT_FD as its root unless that is -1. */
static int open_path(int root_fd, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	if (root_fd < 0)
		return open(path, O_PATH | O_CLOEXEC);
	return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

static int add_path(int ruleset, int root_fd, const struct landlock_path *p, uint64_t handled, struct error *err)
{
	_cleanup_close_ int fd = open_path(root_fd, p->path);
	struct path_beneath_attr attr = { .allowed_access = p->access & handled, .parent_fd = fd };
	long r;

	if (fd < 0 && p->optional && (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP))
		return 0;
	if (fd < 0)
		return error_sys(err, errno, "cannot give access to '%s'", p->path);
	if (attr.allowed_access == 0)
		return 0;
	r = syscall(NR_ADD_RULE, ruleset, RULE_PATH_BENEATH, &attr, 0);
	if (r < 0 && errno == EINVAL && attr.allowed_access & ~FILE_ACCESS) { /* no directory */
		attr.allowed_access &= FILE_ACCESS;
		r = attr.allowed_access ? syscall(NR_ADD_RULE, ruleset, RULE_PATH_BENEATH, &attr, 0) : 0;
	}
	if (r < 0 && !(errno == EBADFD && p->optional))
		return error_sys(err, errno, "cannot give access to '%s' through Landlock", p->path);
	return 0;
}

static int add_port(int ruleset, const struct landlock_port *p, uint64_t handled, struct error *err)
{
	struct net_port_attr attr = { p->access & handled, p->port };

	if (attr.allowed_access == 0)
		return 0;
	if (syscall(NR_ADD_RULE, ruleset, RULE_NET_PORT, &attr, 0) < 0)
		return error_sys(err, errno, "cannot give access to TCP port %u through Landlock", p->port);
	return 0;
}

static size_t attr_size(int abi)
{
	if (abi >= 6)
		return sizeof(struct ruleset_attr);
	return abi >= 4 ? offsetof(struct ruleset_attr, scoped) : offsetof(struct ruleset_attr, handled_access_net);
}

int landlock_make_ruleset(const struct landlock_rules *rules, struct error *err)
{
	int abi = landlock_abi();
	struct ruleset_attr attr = {
		.handled_access_fs = rules->handled_fs & landlock_fs_of(abi),
		.handled_access_net = rules->handled_net & landlock_net_of(abi),
		.scoped = rules->scoped & landlock_scopes_of(abi),
	};
	_cleanup_close_ int fd = -1, root_fd = -1;
	int r = 0;

	if (abi == 0)
		return error_set(err, EOPNOTSUPP, "no Landlock: not in this kernel, not switched on (boot with lsm=landlock,...), or hidden by a filter around us");
	fd = (int)syscall(NR_CREATE_RULESET, &attr, attr_size(abi), 0);
	if (fd < 0)
		return error_sys(err, errno, "cannot create a Landlock ruleset");
	if (rules->root) {
		root_fd = open(rules->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root_fd < 0)
			return error_sys(err, errno, "cannot open the root directory '%s'", rules->root);
	}
	for (size_t i = 0; i < rules->n_paths && r == 0; i++)
		r = add_path(fd, root_fd, &rules->paths[i], attr.handled_access_fs, err);
	for (size_t i = 0; i < rules->n_ports && r == 0; i++)
		r = add_port(fd, &rules->ports[i], attr.handled_access_net, err);
	return r < 0 ? r : take_fd(&fd);
}

int landlock_ruleset_add(int ruleset_fd, const char *path, uint64_t access, struct error *err)
{
	struct landlock_path p = { (char *)path, access, true };

	return add_path(ruleset_fd, -1, &p, landlock_fs_of(landlock_abi()), err);
}

int landlock_enforce(int ruleset_fd, struct error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_sys(err, errno, "cannot set no_new_privs");
	if (syscall(NR_RESTRICT_SELF, ruleset_fd, 0) < 0) {
		if (errno == E2BIG)
			return error_set(err, E2BIG, "Landlock allows 16 nested rulesets, and all are taken");
		return error_sys(err, errno, "cannot enforce the Landlock ruleset");
	}
	return 0;
}

void landlock_rules_free(struct landlock_rules *rules)
{
	for (size_t i = 0; i < rules->n_paths; i++)
		free(rules->paths[i].path);
	free(rules->paths);
	free(rules->ports);
	free(rules->root);
	*rules = (struct landlock_rules){ 0 };
}
