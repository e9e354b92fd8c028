/*
 * Compiled filters on disk. A file's name is the SHA-256 of everything that goes into its program; the file holds the
 * program and a SHA-256 of itself. Who can write to the directory decides what filters we load, so it must be ours and
 * nobody else's. Files appear whole (O_TMPFILE and linkat), so neither a reader nor a kill sees half of one.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/bpf_common.h>
#include <link.h>
#include <nettle/sha2.h>
#include <seccomp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/strv.h"
#include "host/seccomp.h"

#define CACHE_FILES_MAX 64
#define MAGIC "rwcbpf\0\1"
#define NAME_LEN (2 * SHA256_DIGEST_SIZE)

struct header {
	char magic[8];
	uint32_t flags, n;
	uint8_t key[SHA256_DIGEST_SIZE];
	uint8_t digest[SHA256_DIGEST_SIZE]; /* of what is before it and of the instructions */
};

/* ---- the key ---- */

static void hash_u64(struct sha256_ctx *h, uint64_t v)
{
	sha256_update(h, sizeof(v), (const uint8_t *)&v);
}

static void hash_string(struct sha256_ctx *h, const char *s)
{
	if (s)
		sha256_update(h, strlen(s) + 1, (const uint8_t *)s);
}

static void hash_strings(struct sha256_ctx *h, char *const *v)
{
	hash_u64(h, strv_len(v)); /* first, so that no list can pass for another */
	for (; v && *v; v++)
		hash_string(h, *v);
}

static int hash_build_id(struct dl_phdr_info *info, size_t size, void *data)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_NOTE)
			sha256_update(data, p->p_memsz, (const uint8_t *)(info->dlpi_addr + p->p_vaddr));
	}
	return 1; /* the program itself comes first; its libraries do not matter */
}

/* What could make the same policy compile differently: this program (its build id), libseccomp, kernel, machine. */
static void hash_environment(struct sha256_ctx *h)
{
	const struct scmp_version *v = seccomp_version();
	struct utsname u = { 0 };

	hash_string(h, MAGIC);
	dl_iterate_phdr(hash_build_id, h);
	if (v)
		hash_u64(h, (uint64_t)v->major << 40 | (uint64_t)v->minor << 20 | v->micro);
	uname(&u);
	hash_string(h, u.release);
	hash_string(h, u.machine);
}

static void hash_rule(struct sha256_ctx *h, const struct seccomp_rule *r)
{
	hash_strings(h, r->names);
	hash_u64(h, r->act);
	hash_u64(h, r->has_errno ? r->errno_ret : UINT64_MAX);
	hash_u64(h, r->n_args);
	for (size_t i = 0; i < r->n_args; i++) {
		hash_u64(h, (uint64_t)r->args[i].index << 32 | r->args[i].op);
		hash_u64(h, r->args[i].value);
		hash_u64(h, r->args[i].value_two);
	}
}

static void policy_key(const struct seccomp_policy *p, uint8_t key[SHA256_DIGEST_SIZE])
{
	struct sha256_ctx h;

	sha256_init(&h);
	hash_environment(&h);
	hash_u64(&h, p->default_act);
	hash_u64(&h, p->has_default_errno ? p->default_errno : UINT64_MAX);
	hash_strings(&h, p->architectures);
	hash_u64(&h, (uint64_t)p->in_order << 1 | p->has_flags);
	hash_strings(&h, p->flags);
	hash_u64(&h, p->n_rules);
	for (size_t i = 0; i < p->n_rules; i++)
		hash_rule(&h, &p->rules[i]);
	sha256_digest(&h, SHA256_DIGEST_SIZE, key);
}

static void hex_name(const uint8_t key[SHA256_DIGEST_SIZE], char name[NAME_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA256_DIGEST_SIZE; i++) {
		name[2 * i] = digits[key[i] >> 4];
		name[2 * i + 1] = digits[key[i] & 15];
	}
	name[NAME_LEN] = 0;
}

static void program_digest(const struct header *head, const struct sock_filter *insns,
			   uint8_t digest[SHA256_DIGEST_SIZE])
{
	struct sha256_ctx h;

	sha256_init(&h);
	sha256_update(&h, offsetof(struct header, digest), (const uint8_t *)head);
	sha256_update(&h, head->n * sizeof(insns[0]), (const uint8_t *)insns);
	sha256_digest(&h, SHA256_DIGEST_SIZE, digest);
}

/* ---- the directory ---- */

static bool ours_alone(const struct stat *st)
{
	return st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

static int open_directory(const char *path)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		r = mkdir_parents_at(AT_FDCWD, path, 0700);
		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return ours_alone(&st) ? take_fd(&fd) : -EPERM;
}

static int load(int dir, const char *name, const uint8_t key[SHA256_DIGEST_SIZE], struct seccomp_program **ret)
{
	_cleanup_free_ struct seccomp_program *p = NULL;
	_cleanup_close_ int fd = -1;
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct header head;
	struct stat st;
	size_t len;

	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || !ours_alone(&st))
		return -EPERM;
	if (fd_read_full(fd, &head, sizeof(head)) != sizeof(head) || memcmp(head.magic, MAGIC, sizeof(head.magic)) != 0 ||
	    memcmp(head.key, key, sizeof(head.key)) != 0 || head.n == 0 || head.n > BPF_MAXINSNS)
		return -EBADMSG;
	len = head.n * sizeof(p->insns[0]);
	if ((size_t)st.st_size != sizeof(head) + len)
		return -EBADMSG;
	p = malloc(sizeof(*p) + len);
	if (!p)
		return -ENOMEM;
	p->flags = head.flags;
	p->n = (unsigned short)head.n;
	if (fd_read_full(fd, p->insns, len) != (ssize_t)len)
		return -EBADMSG;
	program_digest(&head, p->insns, digest);
	if (memcmp(digest, head.digest, sizeof(digest)) != 0)
		return -EBADMSG;
	*ret = take_ptr(p);
	return 0;
}

/* Removes the oldest files until there is room for one more. */
static int make_room(int dir)
{
	for (;;) {
		_cleanup_closedir_ DIR *d = NULL;
		char oldest[NAME_LEN + 1] = "";
		struct timespec when = { 0 };
		unsigned n = 0;
		struct dirent *e;
		int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || !(d = fdopendir(fd))) {
			safe_close(fd);
			return -errno;
		}
		while ((e = readdir(d))) {
			struct stat st;

			if (strlen(e->d_name) != NAME_LEN || fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			n++;
			if (!oldest[0] || st.st_mtim.tv_sec < when.tv_sec ||
			    (st.st_mtim.tv_sec == when.tv_sec && st.st_mtim.tv_nsec < when.tv_nsec)) {
				memcpy(oldest, e->d_name, sizeof(oldest));
				when = st.st_mtim;
			}
		}
		if (n < CACHE_FILES_MAX)
			return 0;
		if (unlinkat(dir, oldest, 0) < 0 && errno != ENOENT)
			return -errno;
	}
}

static int store(int dir, const char *name, const uint8_t key[SHA256_DIGEST_SIZE], const struct seccomp_program *p)
{
	struct header head = { .magic = MAGIC, .flags = p->flags, .n = p->n };
	_cleanup_close_ int fd = -1;
	char link[32];
	int r;

	memcpy(head.key, key, sizeof(head.key));
	program_digest(&head, p->insns, head.digest);
	r = make_room(dir);
	if (r < 0)
		return r;
	fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, &head, sizeof(head));
	if (r == 0)
		r = fd_write_all(fd, p->insns, p->n * sizeof(p->insns[0]));
	if (r < 0)
		return r;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	unlinkat(dir, name, 0); /* what is there did not verify */
	if (linkat(AT_FDCWD, link, dir, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* What a program comes from when it is not in the cache. */
struct source {
	const struct seccomp_policy *policy; /* or NULL: */
	struct seccomp_policy *(*build)(const void *data);
	const void *data;
};

static int compile(const struct source *s, struct seccomp_program **ret, struct error *err)
{
	_cleanup_seccomp_policy_ struct seccomp_policy *built = NULL;

	if (s->policy)
		return seccomp_compile(s->policy, ret, err);
	built = s->build(s->data);
	return built ? seccomp_compile(built, ret, err) : error_oom(err);
}

static int open_cache(const char *path)
{
	int dir = path ? open_directory(path) : -ENOENT;

	if (path && dir < 0)
		log_debug("seccomp: cache '%s' is not used: %s", path,
			  dir == -EPERM ? "it is not private to us" : strerror(-dir));
	return dir;
}

static int look_up(int dir, const uint8_t key[SHA256_DIGEST_SIZE], const struct source *source, struct seccomp_program **ret,
		   struct error *err)
{
	char name[NAME_LEN + 1];
	int r;

	hex_name(key, name);
	r = load(dir, name, key, ret);
	if (r == 0)
		return 0;
	if (r != -ENOENT)
		log_debug("seccomp: cached filter %s is rebuilt: %s", name, strerror(-r));
	r = compile(source, ret, err);
	if (r < 0)
		return r;
	r = store(dir, name, key, *ret);
	if (r < 0)
		log_debug("seccomp: cannot cache filter %s: %s", name, strerror(-r));
	return 0;
}

int seccomp_compile_cached(const char *cache_dir, const struct seccomp_policy *policy, struct seccomp_program **ret,
			   struct error *err)
{
	const struct source source = { .policy = policy };
	_cleanup_close_ int dir = open_cache(cache_dir);
	uint8_t key[SHA256_DIGEST_SIZE];

	if (dir < 0)
		return compile(&source, ret, err);
	policy_key(policy, key);
	return look_up(dir, key, &source, ret, err);
}

int seccomp_build_cached(const char *cache_dir, const char *description, struct seccomp_policy *(*build)(const void *data),
			 const void *data, struct seccomp_program **ret, struct error *err)
{
	const struct source source = { .build = build, .data = data };
	_cleanup_close_ int dir = open_cache(cache_dir);
	uint8_t key[SHA256_DIGEST_SIZE];
	struct sha256_ctx h;

	if (dir < 0)
		return compile(&source, ret, err);
	sha256_init(&h);
	hash_environment(&h);
	hash_string(&h, description);
	sha256_digest(&h, SHA256_DIGEST_SIZE, key);
	return look_up(dir, key, &source, ret, err);
}

int seccomp_cache_dir(char **ret, struct error *err)
{
	const char *dir = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

	*ret = NULL;
	if (!dir || *dir != '/')
		return 0;
	if (asprintf(ret, "%s/ringwall-seccomp", dir) < 0) {
		*ret = NULL;
		return error_oom(err);
	}
	return 0;
}
