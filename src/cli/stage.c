#include "cli/stage.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fdio.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "host/copy_tree.h"
#include "host/idmap.h"
#include "host/mount.h"
#include "host/path.h"
#include "host/subid.h"
#include "host/userns.h"
#include "oci/spec_build.h"

enum { LAYERS_MAX = 200 }; /* as many "/proc/self/fd/N" as fit in the one page of mount options */

static void cleanup_maps(struct id_maps *m)
{
	free(m->v);
}

int stage_enter_user_namespace(struct error *err)
{
	_cleanup_(cleanup_maps) struct id_maps uids = { 0 }, gids = { 0 };
	_cleanup_close_ int fd = -1;
	int r;

	if (geteuid() == 0)
		return 0;
	r = subid_maps(&uids, &gids, err);
	if (r < 0)
		return r;
	fd = userns_make(&uids, &gids, err);
	if (fd < 0)
		return fd;
	if (setns(fd, CLONE_NEWUSER) < 0)
		return error_sys(err, errno, "cannot enter the new user namespace");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return error_sys(err, errno, "cannot become root of the new user namespace");
	return 0;
}

int stage_join_user_namespace(const struct box *state, struct error *err)
{
	_cleanup_close_ int pidfd = -1;

	if (geteuid() == 0)
		return 0;
	pidfd = box_pidfd(state, err);
	if (pidfd < 0)
		return pidfd;
	if (setns(pidfd, CLONE_NEWUSER) < 0)
		return error_sys(err, errno, "cannot enter the user namespace of box '%s'", state->id);
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return error_sys(err, errno, "cannot become root of the box's user namespace");
	return 0;
}

int stage_open_running_root(const struct box *state, struct error *err)
{
	_cleanup_close_ int pidfd = box_pidfd(state, err), root = -1;
	char path[64];

	if (pidfd < 0)
		return pidfd;
	snprintf(path, sizeof(path), "/proc/%d/root", (int)state->pid);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_sys(err, errno, "cannot open the root directory of box '%s'", state->id);
	safe_close(pidfd);
	pidfd = box_pidfd(state, err); /* still the same process: the root was its own */
	return pidfd < 0 ? pidfd : take_fd(&root);
}

struct fds {
	int v[LAYERS_MAX + 2];
	size_t n;
};

static void fds_close(struct fds *f)
{
	for (size_t i = 0; i < f->n; i++)
		close(f->v[i]);
}

/* Opens PATH and adds "/proc/self/fd/N" to DATA: no path's length, colons or commas matter then. */
static int add_directory(struct fds *fds, int dir_fd, const char *path, const char *before, struct strbuf *data,
			 struct error *err)
{
	int fd = openat(dir_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return error_sys(err, errno, "cannot open '%s'", path);
	fds->v[fds->n++] = fd;
	strbuf_addf(data, "%s%s", before, fd_path(fd).s);
	return 0;
}

/* With a user namespace of the box's own, the layers' ids are shifted by mounts of our own; overlayfs itself cannot. */
static int add_mapped_directory(struct fds *fds, const struct image_box *box, int dir_fd, const char *path, size_t index, int userns,
				const char *before, struct strbuf *data, struct error *err)
{
	_cleanup_close_ int tree = mount_clone_path(path, false, true), target = -1, mapped = -1;
	char name[32];

	if (tree < 0)
		return error_sys(err, tree, "cannot open the layer '%s'", path);
	if (mount_set_idmap(tree, userns, false) < 0)
		return error_sys(err, errno, "the file system of '%s' takes no id maps; keep the images on another (--store)", path);
	snprintf(name, sizeof(name), "layers/%zu", index);
	if ((mkdirat(dir_fd, "layers", 0700) < 0 && errno != EEXIST) ||
	    (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST))
		return error_sys(err, errno, "cannot make '%s/%s'", box->path, name);
	target = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (target < 0 || mount_attach(tree, target) < 0)
		return error_sys(err, errno, "cannot mount the layer '%s'", path);
	mapped = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (mapped < 0)
		return error_sys(err, errno, "cannot open the mounted layer '%s'", path);
	fds->v[fds->n++] = mapped;
	strbuf_addf(data, "%s%s", before, fd_path(mapped).s);
	take_fd(&mapped);
	return 0;
}

/* The user namespace that the record's "mapFrom" and "mapCount" describe, -1 when it has none. */
static int box_user_namespace(const struct image_box *box, int *ret, struct error *err)
{
	struct id_map map = { .outside = (uint32_t)image_box_number(box, "mapFrom"), .count = (uint32_t)image_box_number(box, "mapCount") };
	struct id_maps maps = { &map, 1 };

	if (map.count == 0)
		return 0;
	*ret = userns_make(&maps, &maps, err);
	if (*ret < 0)
		return *ret;
	if (fchownat(box->dir_fd, "upper", map.outside, map.outside, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchownat(box->dir_fd, "work", map.outside, map.outside, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "cannot give the box's folder to its root user");
	return 0;
}

static int add_layers(struct fds *fds, const struct image_box *box, int dir_fd, char *const *layers, struct strbuf *data,
		      struct error *err)
{
	_cleanup_close_ int userns = -1;
	size_t n = strv_len(layers);
	int r = box_user_namespace(box, &userns, err);

	for (size_t i = n; r == 0 && i-- > 0;) {
		const char *before = i + 1 == n ? "lowerdir=" : ":";

		r = userns < 0 ? add_directory(fds, AT_FDCWD, layers[i], before, data, err)
			       : add_mapped_directory(fds, box, dir_fd, layers[i], i, userns, before, data, err);
	}
	return r;
}

static int mount_overlay(const struct image_box *box, int dir_fd, struct error *err)
{
	_cleanup_(fds_close) struct fds fds = { .n = 0 };
	_cleanup_strbuf_ struct strbuf data = STRBUF_INIT;
	_cleanup_strv_ char **layers = image_box_strings(box, "layers");
	_cleanup_close_ int target = -1;
	size_t n = strv_len(layers);
	int r;

	if (n == 0 || n > LAYERS_MAX)
		return error_set(err, EINVAL, "the image has %zu layers; between 1 and %d can be mounted", n, LAYERS_MAX);
	r = add_layers(&fds, box, dir_fd, layers, &data, err);
	if (r == 0)
		r = add_directory(&fds, dir_fd, "upper", ",upperdir=", &data, err);
	if (r == 0)
		r = add_directory(&fds, dir_fd, "work", ",workdir=", &data, err);
	if (r < 0)
		return r;
	strbuf_adds(&data, ",userxattr");
	if (strbuf_failed(&data))
		return error_oom(err);
	target = openat(dir_fd, "rootfs", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (target < 0)
		return error_sys(err, errno, "cannot open '%s/rootfs'", box->path);
	if (mount("overlay", fd_path(target).s, "overlay", 0, strbuf_str(&data)) < 0)
		return error_sys(err, errno, "cannot mount the %zu layers of box '%s' with overlayfs", n, box->id);
	return 0;
}

int stage_mount(const struct image_box *box, struct error *err)
{
	_cleanup_close_ int dir_fd = -1;
	int fd, r;

	if (unshare(CLONE_NEWNS) < 0)
		return error_sys(err, errno, "cannot make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return error_sys(err, errno, "cannot take the mounts out of the host's sight");
	/* Anew: what was opened before belongs to the host's mounts, which overlayfs does not take from here. */
	dir_fd = open(box->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir_fd < 0)
		return error_sys(err, errno, "cannot open '%s'", box->path);
	r = mount_overlay(box, dir_fd, err);
	if (r < 0)
		return r;
	fd = openat(dir_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? error_sys(err, errno, "cannot open '%s/rootfs'", box->path) : fd;
}

static int copy_directory(const char *from, int to_dir, const char *to, struct error *err)
{
	_cleanup_close_ int source = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_close_ int target = openat(to_dir, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (source < 0 || target < 0)
		return error_sys(err, errno, "cannot copy '%s'", from);
	return copy_tree(source, target, err);
}

/* In a child: its mount namespace ends with it. The merged layers appear over "upper", which the wall never uses. */
static int copy_merged(const struct image_box *box, struct error *err)
{
	_cleanup_close_ int target = openat(box->dir_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), root = -1;

	if (target < 0)
		return error_sys(err, errno, "cannot open '%s/rootfs'", box->path);
	root = stage_mount(box, err);
	return root < 0 ? root : copy_tree(root, target, err);
}

int stage_unpack(const struct image_box *box, struct error *err)
{
	_cleanup_strv_ char **layers = image_box_strings(box, "layers");
	int status;
	pid_t pid;

	if (strv_len(layers) == 1)
		return copy_directory(layers[0], box->dir_fd, "rootfs", err);
	pid = fork();
	if (pid == 0) {
		struct error reason = ERROR_INIT;

		if (copy_merged(box, &reason) == 0)
			_exit(0);
		fprintf(stderr, "ringwall: %s\n", reason.message);
		_exit(1);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, EIO, "cannot merge the %zu layers of the image into one directory", strv_len(layers));
	return 0;
}

int stage_open_unpacked(const struct image_box *box, struct error *err)
{
	int fd = openat(box->dir_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? error_sys(err, errno, "cannot open '%s/rootfs'", box->path) : fd;
}

static int show_directory(const struct image_box *box, const char *stage, const char *name, struct error *err)
{
	_cleanup_free_ char *from = NULL, *to = NULL;

	if (asprintf(&from, "%s/%s", box->path, name) < 0 || asprintf(&to, "%s/%s", stage, name) < 0)
		return error_oom(err);
	if (mkdir(to, 0755) < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0)
		return error_sys(err, errno, "cannot show '%s' at '%s'", from, to);
	return 0;
}

int stage_show(const struct cli *cli, const struct image_box *box, struct oci_spec *spec, struct error *err)
{
	_cleanup_free_ char *stage = NULL, *root = NULL;
	size_t len = strlen(box->path);
	int r;

	if (image_box_number(box, "mapCount") == 0)
		return 0;
	if (asprintf(&stage, "%s/.stage", cli->root) < 0 || asprintf(&root, "%s/rootfs", stage) < 0)
		return error_oom(err);
	r = mkdir_parents_at(AT_FDCWD, stage, 0711);
	if (r < 0)
		return error_sys(err, r, "cannot make '%s'", stage);
	if (mount("stage", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711,size=64k") < 0)
		return error_sys(err, errno, "cannot mount '%s'", stage);
	r = show_directory(box, stage, "rootfs", err);
	if (r == 0)
		r = show_directory(box, stage, "etc", err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const char *source = spec->mounts[i].source;
		_cleanup_free_ char *shown = NULL;

		if (!source || strncmp(source, box->path, len) != 0 || strncmp(source + len, "/etc/", 5) != 0)
			continue;
		if (asprintf(&shown, "%s%s", stage, source + len) < 0 || oci_set_string(&spec->mounts[i].source, shown) < 0)
			return error_oom(err);
	}
	return oci_set_string(&spec->root.path, root) < 0 ? error_oom(err) : 0;
}
