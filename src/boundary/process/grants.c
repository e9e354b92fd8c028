#include <string.h>

#include "boundary/process/setup.h"

/* A device without requests. */
#define DEVICE_STREAM (LANDLOCK_FS_READ_FILE | LANDLOCK_FS_WRITE_FILE)

#define FILE_READ (LANDLOCK_FS_EXECUTE | LANDLOCK_FS_READ_FILE)

/* What hardly any program can do without, and what tells little. */
static const struct {
	const char *path;
	uint64_t access;
} basics[] = {
	{ "/dev/null", DEVICE_STREAM },
	{ "/dev/zero", DEVICE_STREAM },
	{ "/dev/full", DEVICE_STREAM },
	{ "/dev/random", LANDLOCK_FS_READ_FILE },
	{ "/dev/urandom", LANDLOCK_FS_READ_FILE },
	{ "/proc/cpuinfo", LANDLOCK_FS_READ_FILE },
	{ "/proc/meminfo", LANDLOCK_FS_READ_FILE },
	{ "/proc/stat", LANDLOCK_FS_READ_FILE },
	{ "/proc/loadavg", LANDLOCK_FS_READ_FILE },
	{ "/proc/uptime", LANDLOCK_FS_READ_FILE },
	{ "/proc/version", LANDLOCK_FS_READ_FILE },
	{ "/proc/filesystems", LANDLOCK_FS_READ_FILE },
	{ "/proc/sys/kernel/osrelease", LANDLOCK_FS_READ_FILE },
	{ "/proc/sys/kernel/ngroups_max", LANDLOCK_FS_READ_FILE },
	{ "/proc/sys/vm/overcommit_memory", LANDLOCK_FS_READ_FILE },
	{ "/sys/devices/system/cpu", LANDLOCK_PATH_READ },
	{ "/sys/kernel/mm/transparent_hugepage", LANDLOCK_PATH_READ },
};

/* The host's programs and libraries, and the configuration they need. No keys, no users' data. */
static const struct {
	const char *path;
	uint64_t access;
} host_system[] = {
	{ "/usr", LANDLOCK_PATH_READ },
	{ "/bin", LANDLOCK_PATH_READ },
	{ "/sbin", LANDLOCK_PATH_READ },
	{ "/lib", LANDLOCK_PATH_READ },
	{ "/lib32", LANDLOCK_PATH_READ },
	{ "/lib64", LANDLOCK_PATH_READ },
	{ "/etc/alternatives", LANDLOCK_PATH_READ },
	{ "/etc/fonts", LANDLOCK_PATH_READ },
	{ "/etc/ld.so.conf.d", LANDLOCK_PATH_READ },
	{ "/etc/pki/ca-trust", LANDLOCK_PATH_READ },
	{ "/etc/pki/tls/certs", LANDLOCK_PATH_READ },
	{ "/etc/ssl/certs", LANDLOCK_PATH_READ },
	{ "/etc/terminfo", LANDLOCK_PATH_READ },
	{ "/etc/gai.conf", FILE_READ },
	{ "/etc/group", FILE_READ },
	{ "/etc/host.conf", FILE_READ },
	{ "/etc/hosts", FILE_READ },
	{ "/etc/ld.so.cache", FILE_READ },
	{ "/etc/ld.so.conf", FILE_READ },
	{ "/etc/locale.alias", FILE_READ },
	{ "/etc/localtime", FILE_READ },
	{ "/etc/mime.types", FILE_READ },
	{ "/etc/nsswitch.conf", FILE_READ },
	{ "/etc/os-release", FILE_READ },
	{ "/etc/passwd", FILE_READ },
	{ "/etc/protocols", FILE_READ },
	{ "/etc/resolv.conf", FILE_READ },
	{ "/etc/services", FILE_READ },
	{ "/etc/ssl/openssl.cnf", FILE_READ },
};

static int grant_all(struct landlock_rules *rules, char *const *paths, uint64_t access)
{
	int r = 0;

	for (; paths && *paths && r == 0; paths++)
		r = landlock_grant_path(rules, *paths, access, false);
	return r;
}

static int grant_ports(struct landlock_rules *rules, const struct process_ports *ports, uint64_t access)
{
	int r = 0;

	for (size_t i = 0; i < ports->n && r == 0; i++)
		r = landlock_grant_port(rules, ports->v[i], access);
	return r;
}

static int grant_host(const struct process_setup *s, struct landlock_rules *rules)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(basics) && r == 0; i++)
		r = landlock_grant_path(rules, basics[i].path, basics[i].access, true);
	if (s->view != PROCESS_VIEW_HOST || !s->policy.system)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(host_system) && r == 0; i++)
		r = landlock_grant_path(rules, host_system[i].path, host_system[i].access, true);
	return r;
}

static int grant_root(const struct process_setup *s, const char *root, bool readonly, struct landlock_rules *rules)
{
	uint64_t access = readonly ? LANDLOCK_PATH_READ : LANDLOCK_PATH_WRITE;

	if (s->view == PROCESS_VIEW_HOST)
		return 0;
	if (s->view == PROCESS_VIEW_PATH)
		return landlock_grant_path(rules, root, access, false);
	rules->root = strdup(root);
	return rules->root ? landlock_grant_path(rules, "/", access, false) : -ENOMEM;
}

static void choose_handled(const struct process_setup *s, struct landlock_rules *rules)
{
	const struct process_policy *p = &s->policy;

	rules->handled_fs = landlock_fs_of(s->host.landlock);
	if (!p->tcp_connect.any)
		rules->handled_net |= LANDLOCK_NET_CONNECT_TCP;
	if (!p->tcp_bind.any)
		rules->handled_net |= LANDLOCK_NET_BIND_TCP;
	if (!(p->allow & PROCESS_ALLOW_ABSTRACT_UNIX))
		rules->scoped |= LANDLOCK_SCOPED_ABSTRACT_UNIX;
	if (!(p->allow & PROCESS_ALLOW_SIGNALS))
		rules->scoped |= LANDLOCK_SCOPED_SIGNAL;
}

int process_grants(const struct process_setup *s, const char *root, bool root_readonly, bool terminal,
		   struct landlock_rules *ret, struct error *err)
{
	_cleanup_landlock_rules_ struct landlock_rules rules = { 0 };
	const struct process_policy *p = &s->policy;
	int r;

	choose_handled(s, &rules);
	r = grant_root(s, root, root_readonly, &rules);
	if (r == 0)
		r = grant_host(s, &rules);
	if (r == 0 && terminal)
		r = landlock_grant_path(&rules, "/dev/tty", LANDLOCK_PATH_DEVICE, true);
	if (r == 0)
		r = grant_all(&rules, p->read_only, LANDLOCK_PATH_READ);
	if (r == 0)
		r = grant_all(&rules, p->read_write, LANDLOCK_PATH_WRITE);
	if (r == 0)
		r = grant_all(&rules, p->devices, LANDLOCK_PATH_DEVICE);
	if (r == 0)
		r = grant_ports(&rules, &p->tcp_connect, LANDLOCK_NET_CONNECT_TCP);
	if (r == 0)
		r = grant_ports(&rules, &p->tcp_bind, LANDLOCK_NET_BIND_TCP);
	if (r < 0)
		return error_oom(err);
	*ret = rules;
	rules = (struct landlock_rules){ 0 };
	return 0;
}
