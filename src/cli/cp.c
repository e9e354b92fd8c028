/*
 * `cp`: files between the host and a box. The box's side is hostile: every name is looked up below a directory descriptor
 * inside its root, no link is followed but the one the user named, and what is found is checked after it was opened.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/log.h"
#include "cli/box_start.h"
#include "cli/image_box.h"
#include "cli/stage.h"
#include "host/path.h"

enum { DEPTH_MAX = 256, BUFFER_SIZE = 65536 };

static struct {
	bool archive, follow, quiet;
} opt;

static const struct option options[] = {
	{ 'a', "archive", OPTION_FLAG, &opt.archive, NULL, "keep owners and groups; else into a box they are its root, out of it the caller" },
	{ 'L', "follow-link", OPTION_FLAG, &opt.follow, NULL, "copy what a symbolic link SOURCE points to" },
	{ 'q', "quiet", OPTION_FLAG, &opt.quiet, NULL, "do not tell what is left out (sockets, devices)" },
	{ 0 },
};

struct owner {
	uid_t uid;
	gid_t gid;
};

struct copy {
	struct owner owner; /* of what is made, without --archive */
	unsigned depth;
};

/* ---- copying ---- */

static int copy_bytes(int from, int to)
{
	_cleanup_free_ char *buf = malloc(BUFFER_SIZE);

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(from, buf, BUFFER_SIZE);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		r = fd_write_all(to, buf, (size_t)n);
		if (r < 0)
			return r;
	}
}

/* Owner, then mode (a change of owner clears set-id bits), then times. */
static int set_attributes(const struct copy *c, int fd, const struct stat *st)
{
	uid_t uid = opt.archive ? st->st_uid : c->owner.uid;
	gid_t gid = opt.archive ? st->st_gid : c->owner.gid;
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (geteuid() == 0 && fchown(fd, uid, gid) < 0)
		return -errno;
	if (fchmod(fd, st->st_mode & (opt.archive ? 07777 : 0777)) < 0)
		return -errno;
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int copy_file(const struct copy *c, int from_dir, const char *from, int to_dir, const char *to, struct error *err)
{
	/* Not blocking: by now it may be a FIFO. */
	_cleanup_close_ int in = openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), out = -1;
	struct stat st;
	int r;

	if (in < 0 || fstat(in, &st) < 0)
		return error_sys(err, errno, "cannot open '%s'", from);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "'%s' changed while it was copied", from);
	if (unlinkat(to_dir, to, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "cannot replace '%s'", to);
	out = openat(to_dir, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return error_sys(err, errno, "cannot make '%s'", to);
	r = copy_bytes(in, out);
	if (r == 0)
		r = set_attributes(c, out, &st);
	return r < 0 ? error_sys(err, r, "cannot copy '%s'", from) : 0;
}

static int copy_link(const struct copy *c, int from_dir, const char *from, int to_dir, const char *to, const struct stat *st,
		     struct error *err)
{
	char target[4097];
	ssize_t n = readlinkat(from_dir, from, target, sizeof(target) - 1);

	if (n < 0)
		return error_sys(err, errno, "cannot read the link '%s'", from);
	target[n] = 0;
	if (unlinkat(to_dir, to, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "cannot replace '%s'", to);
	if (symlinkat(target, to_dir, to) < 0)
		return error_sys(err, errno, "cannot make the link '%s'", to);
	if (geteuid() == 0 && fchownat(to_dir, to, opt.archive ? st->st_uid : c->owner.uid, opt.archive ? st->st_gid : c->owner.gid,
				       AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "cannot give '%s' its owner", to);
	return 0;
}

static int copy_entry(struct copy *c, int from_dir, const char *from, int to_dir, const char *to, struct error *err);

/* What is in directory FROM_FD (taken over) into TO_FD. */
static int copy_contents(struct copy *c, int from_fd, int to_fd, struct error *err)
{
	_cleanup_closedir_ DIR *dir = fdopendir(from_fd);
	struct dirent *e;
	int r = 0;

	if (!dir) {
		r = error_sys(err, errno, "cannot read a directory");
		close(from_fd);
		return r;
	}
	while (r == 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = copy_entry(c, dirfd(dir), e->d_name, to_fd, e->d_name, err);
	return r;
}

static int copy_directory(struct copy *c, int from_dir, const char *from, int to_dir, const char *to, struct error *err)
{
	_cleanup_close_ int in = openat(from_dir, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), out = -1;
	bool made = mkdirat(to_dir, to, 0700) == 0;
	struct stat st;
	int r;

	if (!made && errno != EEXIST)
		return error_sys(err, errno, "cannot make the directory '%s'", to);
	out = openat(to_dir, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0 || out < 0 || fstat(in, &st) < 0)
		return error_sys(err, errno, "cannot copy the directory '%s'", from);
	if (++c->depth > DEPTH_MAX)
		return error_set(err, ELOOP, "'%s' is nested more than %d directories deep", from, DEPTH_MAX);
	r = copy_contents(c, take_fd(&in), out, err);
	c->depth--;
	if (r == 0 && made) {
		r = set_attributes(c, out, &st);
		if (r < 0)
			return error_sys(err, r, "cannot finish the directory '%s'", to);
	}
	return r;
}

static int copy_entry(struct copy *c, int from_dir, const char *from, int to_dir, const char *to, struct error *err)
{
	struct stat st;

	if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "cannot look at '%s'", from);
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return copy_file(c, from_dir, from, to_dir, to, err);
	case S_IFDIR:
		return copy_directory(c, from_dir, from, to_dir, to, err);
	case S_IFLNK:
		return copy_link(c, from_dir, from, to_dir, to, &st, err);
	default:
		if (!opt.quiet)
			log_warn("'%s' is left out: neither file, directory nor symbolic link", from);
		return 0;
	}
}

/* ---- the two sides ---- */

struct side {
	int root_fd;      /* of the box; -1: the host */
	const char *path;
	bool contents;    /* the path ends in "/.": what is in the directory */
	bool must_be_dir; /* it ends in a slash */
};

static void describe_path(struct side *s)
{
	size_t len = strlen(s->path);

	s->contents = len >= 1 && s->path[len - 1] == '.' && (len == 1 || s->path[len - 2] == '/');
	s->must_be_dir = s->contents || (len && s->path[len - 1] == '/');
}

/* Opens PATH on its side; FLAGS as for open(2). */
static int open_on(const struct side *s, const char *path, int flags)
{
	int fd;

	if (s->root_fd >= 0)
		return path_open(s->root_fd, path, flags, 0);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The directory that holds the last component of PATH, which comes back in NAME. -EINVAL for "/", ".", "..". */
static int open_parent(const struct side *s, char *name, size_t size, struct error *err)
{
	_cleanup_free_ char *copy = strdup(s->path);
	size_t len = copy ? strlen(copy) : 0;
	char *slash;
	int fd;

	if (!copy)
		return error_oom(err);
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = 0;
	slash = strrchr(copy, '/');
	snprintf(name, size, "%s", slash ? slash + 1 : copy);
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(slash ? slash + 1 : copy) >= size)
		return error_set(err, EINVAL, "'%s' does not end in a name", s->path);
	if (slash)
		slash[slash == copy ? 1 : 0] = 0;
	fd = open_on(s, slash ? copy : s->root_fd >= 0 ? "/" : ".", O_RDONLY | O_DIRECTORY);
	return fd < 0 ? error_sys(err, fd, "cannot open the directory of '%s'", s->path) : fd;
}

/* Whether PATH is a directory on its side: its descriptor, -ENOENT, -ENOTDIR, ... */
static int open_directory(const struct side *s)
{
	return open_on(s, s->path, O_RDONLY | O_DIRECTORY);
}

/* Where the copy goes: a directory (owned descriptor) and the name in it, as cp(1) and Docker decide. */
static int resolve_target(const struct side *to, const char *source_name, int *ret_dir, char *name, size_t size, struct error *err)
{
	int fd = open_directory(to);

	if (fd >= 0) {
		*ret_dir = fd;
		snprintf(name, size, "%s", source_name);
		return 0;
	}
	if (fd != -ENOENT && fd != -ENOTDIR)
		return error_sys(err, fd, "cannot open '%s'", to->path);
	if (to->must_be_dir)
		return error_set(err, -fd, "'%s' is not a directory", to->path);
	fd = open_parent(to, name, size, err);
	if (fd < 0)
		return fd;
	*ret_dir = fd;
	return 0;
}

/* SOURCE/. : what is in the directory, into the target, which is made when it is missing. */
static int copy_all_in(struct copy *c, const struct side *from, const struct side *to, struct error *err)
{
	_cleanup_close_ int in = open_directory(from), out = -1, parent = -1;
	char name[256];

	if (in < 0)
		return error_sys(err, in, "cannot open the directory '%s'", from->path);
	out = open_directory(to);
	if (out == -ENOENT) {
		parent = open_parent(to, name, sizeof(name), err);
		if (parent < 0)
			return parent;
		if (mkdirat(parent, name, 0755) < 0 || (geteuid() == 0 && fchownat(parent, name, c->owner.uid, c->owner.gid, AT_SYMLINK_NOFOLLOW) < 0))
			return error_sys(err, errno, "cannot make '%s'", to->path);
		out = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (out < 0)
		return error_sys(err, out == -1 ? errno : out, "cannot open '%s'", to->path);
	return copy_contents(c, take_fd(&in), out, err);
}

static int copy_sides(struct copy *c, const struct side *from, const struct side *to, struct error *err)
{
	_cleanup_close_ int parent = -1, target = -1, followed = -1;
	char source_name[256], name[256];
	struct stat st;
	int r;

	if (from->contents)
		return copy_all_in(c, from, to, err);
	parent = open_parent(from, source_name, sizeof(source_name), err);
	if (parent < 0)
		return parent;
	if (fstatat(parent, source_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "cannot copy '%s'", from->path);
	r = resolve_target(to, source_name, &target, name, sizeof(name), err);
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode) && (opt.follow || from->must_be_dir)) {
		/* The link is resolved inside the root it is in; what it leads to is copied by descriptor. */
		followed = open_on(from, from->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
		if (followed < 0)
			return error_sys(err, followed, "cannot open '%s'", from->path);
		if (fstat(followed, &st) < 0 || !S_ISREG(st.st_mode))
			return error_set(err, EINVAL, "'%s' does not lead to a file; for a directory, name it with '/.' at the end", from->path);
		(void)unlinkat(target, name, 0);
		r = openat(target, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (r < 0)
			return error_sys(err, errno, "cannot make '%s'", name);
		safe_close(parent);
		parent = r;
		r = copy_bytes(followed, parent);
		if (r == 0)
			r = set_attributes(c, parent, &st);
		return r < 0 ? error_sys(err, r, "cannot copy '%s'", from->path) : 0;
	}
	return copy_entry(c, parent, source_name, target, name, err);
}

/* ---- the box ---- */

/* "BOX:PATH": the box's part, or NULL for a path of the host ("./a:b", "/a:b" and names without a colon). */
static char *box_part(const char *text)
{
	const char *colon = strchr(text, ':');
	char *id;

	if (!colon || text[0] == '/' || text[0] == '.')
		return NULL;
	id = strndup(text, (size_t)(colon - text));
	if (id && box_check_id(id, NULL) < 0) {
		free(id);
		return NULL;
	}
	return id;
}

static int open_root(const struct cli *cli, const char *id, struct owner *owner, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	_cleanup_box_ struct box *state = NULL;
	bool made = image_box_load(cli, id, &box, NULL) == 0;
	int r = box_load(cli->root, id, false, &state, err);

	if (made)
		owner->uid = owner->gid = (uid_t)image_box_number(&box, "mapFrom");
	if (made && image_box_flag(&box, "unpacked"))
		return stage_open_unpacked(&box, err);
	if (r == 0 && boundary_status(state) != BOX_STOPPED) {
		r = made ? stage_join_user_namespace(state, err) : 0;
		return r < 0 ? r : stage_open_running_root(state, err);
	}
	if (!made)
		return r < 0 ? r : error_set(err, EINVAL, "box '%s' is stopped; its files are in '%s'", id, state->rootfs);
	r = stage_enter_user_namespace(err);
	return r < 0 ? r : stage_mount(&box, err);
}

static int run_cp(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_free_ char *from_box = box_part(operands[0]), *to_box = box_part(operands[1]);
	struct side from = { .root_fd = -1, .path = operands[0] }, to = { .root_fd = -1, .path = operands[1] };
	_cleanup_close_ int root = -1, here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct owner inside = { 0, 0 };
	struct copy c = { .owner = { geteuid(), getegid() } };

	if (strcmp(operands[0], "-") == 0 || strcmp(operands[1], "-") == 0)
		return error_set(err, EOPNOTSUPP, "'-' (a tar archive through a pipe) is not understood; use tar itself: ringwall exec ID tar -c PATH");
	if (!from_box == !to_box)
		return error_set(err, EINVAL, "one of SOURCE and TARGET is of the form ID:PATH, the other a path of the host");
	root = open_root(cli, from_box ? from_box : to_box, &inside, err);
	if (root < 0)
		return root;
	/* A new mount namespace moved us to its root. */
	if (here >= 0 && fchdir(here) < 0)
		return error_sys(err, errno, "cannot return to the current directory");
	if (from_box) {
		from.root_fd = root;
		from.path = strchr(operands[0], ':') + 1;
		c.owner = (struct owner){ geteuid(), getegid() };
	} else {
		to.root_fd = root;
		to.path = strchr(operands[1], ':') + 1;
		c.owner = inside;
	}
	if (!*from.path || !*to.path)
		return error_set(err, EINVAL, "the path after '%s:' is empty", from_box ? from_box : to_box);
	describe_path(&from);
	describe_path(&to);
	return copy_sides(&c, &from, &to, err);
}

const struct command cli_cp = {
	.name = "cp",
	.group = "Boxes made from images",
	.operands = "SOURCE TARGET",
	.summary = "copy files between the host and a box, running or not",
	.details = "One of SOURCE and TARGET is ID:PATH, the other a path of the host (which begins with / or . if it has a colon). "
		   "Directories are copied whole; SOURCE/. means what is in the directory. A TARGET that is a directory gets the "
		   "copy under the source's name.",
	.options = options,
	.min_operands = 2,
	.max_operands = 2,
	.run = run_cp,
};
