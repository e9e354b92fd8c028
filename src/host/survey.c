#include "host/survey.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/strv.h"
#include "host/cgroup.h"
#include "host/subid.h"

enum { SMALL_FILE_MAX = 65536 };

#define say(f, ...) snprintf((f)->detail, sizeof((f)->detail), __VA_ARGS__)
#define mend(f, ...) snprintf((f)->mend, sizeof((f)->mend), __VA_ARGS__)

/* The first line of PATH; false when it cannot be read. */
static bool read_line(const char *path, char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;

	if (file_read_at(AT_FDCWD, path, SMALL_FILE_MAX, &text, NULL, NULL) < 0)
		return false;
	snprintf(buf, size, "%.*s", (int)strcspn(text, "\n"), text);
	return true;
}

static bool is_on_path(const char *program)
{
	const char *path = getenv("PATH");
	_cleanup_strv_ char **dirs = NULL;

	if (strchr(program, '/'))
		return access(program, X_OK) == 0;
	dirs = strv_split(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ":");
	for (char **d = dirs; d && *d; d++) {
		char candidate[512];

		snprintf(candidate, sizeof(candidate), "%s/%s", *d, program);
		if (access(candidate, X_OK) == 0)
			return true;
	}
	return false;
}

static void kernel(struct host_fact *f)
{
	struct utsname u;

	uname(&u);
	f->ok = true;
	say(f, "%s %s on %s", u.sysname, u.release, u.machine);
}

static void control_groups(struct host_fact *f)
{
	struct cgroup_host host = { 0 };

	if (cgroup_host_probe(NULL, NULL, &host, NULL) < 0 || host.layout == CGROUP_LAYOUT_NONE) {
		say(f, "none mounted: no limits, no statistics, no pause");
		mend(f, "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	} else {
		f->ok = host.can_create;
		say(f, "%s; v1: %s; v2: %s%s", cgroup_layout_name(host.layout),
		    host.v1_controllers && *host.v1_controllers ? host.v1_controllers : "-",
		    host.v2_controllers && *host.v2_controllers ? host.v2_controllers : "-",
		    host.can_create ? "" : "; none may be made by this user");
		if (!host.can_create)
			mend(f, "systemd-run --user --scope -p Delegate=yes ringwall ...");
	}
	cgroup_host_free(&host);
}

static void security_modules(struct host_fact *f)
{
	f->ok = read_line("/sys/kernel/security/lsm", f->detail, sizeof(f->detail));
	if (!f->ok) {
		say(f, "cannot be told: securityfs is not mounted");
		mend(f, "mount -t securityfs securityfs /sys/kernel/security");
	}
}

static void user_namespaces(struct host_fact *f)
{
	char max[32] = "0", restricted[32] = "0", clone[32] = "1";

	(void)read_line("/proc/sys/user/max_user_namespaces", max, sizeof(max));
	(void)read_line("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", restricted, sizeof(restricted));
	(void)read_line("/proc/sys/kernel/unprivileged_userns_clone", clone, sizeof(clone));
	if (strcmp(max, "0") == 0) {
		say(f, "none are allowed: no boxes without privilege");
		mend(f, "sysctl -w user.max_user_namespaces=65536");
	} else if (strcmp(clone, "0") == 0) {
		say(f, "only root may make them: no boxes without privilege");
		mend(f, "sysctl -w kernel.unprivileged_userns_clone=1");
	} else if (strcmp(restricted, "1") == 0) {
		say(f, "AppArmor keeps them from programs without a profile");
		mend(f, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
	} else {
		f->ok = true;
		say(f, "at most %s", max);
	}
}

static void subordinate_ids(struct host_fact *f)
{
	struct id_maps uids = { 0 }, gids = { 0 };

	if (geteuid() == 0) {
		f->ok = true;
		say(f, "root needs none");
	} else if (subid_maps(&uids, &gids, NULL) == 0) {
		f->ok = uids.n > 1;
		if (f->ok)
			say(f, "%u and more", uids.v[1].count);
		else if (!is_on_path("newuidmap"))
			say(f, "newuidmap is missing: a box has one user only");
		else
			say(f, "no ranges in /etc/subuid and /etc/subgid: a box has one user only");
		if (!f->ok && !is_on_path("newuidmap"))
			mend(f, "apt-get install uidmap");
		else if (!f->ok)
			mend(f, "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 \"$(id -un)\"");
	}
	free(uids.v);
	free(gids.v);
}

static void overlayfs(struct host_fact *f)
{
	_cleanup_free_ char *text = NULL;

	f->ok = file_read_at(AT_FDCWD, "/proc/filesystems", SMALL_FILE_MAX, &text, NULL, NULL) == 0 && strstr(text, "\toverlay\n");
	if (f->ok) {
		say(f, "boxes share the layers of their images");
	} else {
		say(f, "missing: no boxes from images");
		mend(f, "modprobe overlay");
	}
}

static bool kernel_at_least(int major, int minor)
{
	struct utsname u;
	int a = 0, b = 0;

	uname(&u);
	(void)sscanf(u.release, "%d.%d", &a, &b);
	return a > major || (a == major && b >= minor);
}

static void idmapped_mounts(struct host_fact *f)
{
	f->ok = kernel_at_least(5, 12);
	say(f, f->ok ? "mount_setattr(2) with MOUNT_ATTR_IDMAP" : "the kernel is older than 5.12");
}

static void seccomp_notify(struct host_fact *f)
{
	char actions[200] = "";

	f->ok = read_line("/proc/sys/kernel/seccomp/actions_avail", actions, sizeof(actions));
	say(f, "%s", f->ok ? actions : "no filters in this kernel");
}

static void raising_limits(struct host_fact *f)
{
	struct rlimit limit = { 0 };
	char status[32] = "";
	_cleanup_free_ char *text = NULL;
	const char *caps = NULL;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	if (file_read_at(AT_FDCWD, "/proc/self/status", SMALL_FILE_MAX, &text, NULL, NULL) == 0)
		caps = strstr(text, "CapEff:\t");
	if (caps)
		snprintf(status, sizeof(status), "%.16s", caps + 8);
	f->ok = caps && (strtoull(status, NULL, 16) & 1ull << 24); /* CAP_SYS_RESOURCE */
	say(f, f->ok ? "allowed; open files are %llu now" : "not allowed (no CAP_SYS_RESOURCE): a box gets at most %llu open files",
	    (unsigned long long)limit.rlim_max);
}

static void tun_device(struct host_fact *f)
{
	f->ok = access("/dev/net/tun", R_OK | W_OK) == 0;
	if (f->ok) {
		say(f, "/dev/net/tun");
	} else {
		say(f, "/dev/net/tun cannot be opened: no private network without privilege");
		mend(f, "modprobe tun; mknod -m 666 /dev/net/tun c 10 200");
	}
}

static void kvm_device(struct host_fact *f)
{
	f->ok = access("/dev/kvm", R_OK | W_OK) == 0;
	if (f->ok)
		say(f, "/dev/kvm");
	else if (access("/dev/kvm", F_OK) == 0)
		say(f, "/dev/kvm may not be opened by this user"), mend(f, "usermod -aG kvm \"$(id -un)\"");
	else
		say(f, "no /dev/kvm: virtual machines run on the software engine");
}

/* A program that some feature needs. */
static void program(struct host_fact *f, const char *name, const char *package, const char *need)
{
	f->ok = is_on_path(name);
	if (f->ok) {
		say(f, "%s", need);
	} else {
		say(f, "%s is missing: %s", name, need);
		mend(f, "apt-get install %s", package);
	}
}

static const char *criu_program;

static void criu(struct host_fact *f)
{
	program(f, criu_program, "criu", "checkpoint and restore");
}

static void nft(struct host_fact *f)
{
	program(f, "nft", "nftables", "NAT and published ports of private networks");
}

static void pasta(struct host_fact *f)
{
	program(f, "pasta", "passt", "private networks without privilege");
}

static const struct {
	const char *name;
	void (*look)(struct host_fact *f);
} checks[] = {
	{ "kernel", kernel },
	{ "control groups", control_groups },
	{ "security modules", security_modules },
	{ "user namespaces", user_namespaces },
	{ "subordinate ids", subordinate_ids },
	{ "overlayfs", overlayfs },
	{ "id-mapped mounts", idmapped_mounts },
	{ "seccomp actions", seccomp_notify },
	{ "raising limits", raising_limits },
	{ "tun device", tun_device },
	{ "kvm", kvm_device },
	{ "nft", nft },
	{ "pasta", pasta },
	{ "criu", criu },
};

size_t host_survey(const char *criu_path, struct host_fact *ret, size_t max)
{
	size_t n = MIN(max, ARRAY_SIZE(checks));

	criu_program = criu_path;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct host_fact){ .name = checks[i].name };
		checks[i].look(&ret[i]);
	}
	return n;
}
