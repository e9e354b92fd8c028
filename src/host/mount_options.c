#include "host/mount_options.h"

#include <string.h>
#include <sys/mount.h>

#include "base/parse.h"
#include "base/strbuf.h"

#define MS_ATIME_MODES (MS_NOATIME | MS_RELATIME | MS_STRICTATIME)

enum option_kind {
	OPTION_FLAGS,       /* clear `clear`, then set `set` in the MS_ flags */
	OPTION_PROPAGATION, /* `set` is a propagation */
	OPTION_RECURSIVE,   /* the same on mount_setattr attributes, for the whole tree */
	OPTION_TMP_COPY_UP,
	OPTION_COPY_SYMLINK,
	OPTION_SOURCE_NOFOLLOW,
	OPTION_DESTINATION_NOFOLLOW,
	OPTION_IDMAP, /* `set` is an enum mount_idmap */
};

struct option {
	const char *name;
	enum option_kind kind;
	uint64_t set, clear;
};

/* In strcmp order. The access-time modes exclude one another: the last one wins. */
static const struct option options[] = {
	{ "acl", OPTION_FLAGS, MS_POSIXACL, 0 },
	{ "async", OPTION_FLAGS, 0, MS_SYNCHRONOUS },
	{ "atime", OPTION_FLAGS, 0, MS_NOATIME },
	{ "bind", OPTION_FLAGS, MS_BIND, 0 },
	{ "copy-symlink", OPTION_COPY_SYMLINK, 0, 0 },
	{ "defaults", OPTION_FLAGS, 0, 0 },
	{ "dest-nofollow", OPTION_DESTINATION_NOFOLLOW, 0, 0 },
	{ "dev", OPTION_FLAGS, 0, MS_NODEV },
	{ "diratime", OPTION_FLAGS, 0, MS_NODIRATIME },
	{ "dirsync", OPTION_FLAGS, MS_DIRSYNC, 0 },
	{ "exec", OPTION_FLAGS, 0, MS_NOEXEC },
	{ "idmap", OPTION_IDMAP, MOUNT_IDMAP, 0 },
	{ "iversion", OPTION_FLAGS, MS_I_VERSION, 0 },
	{ "lazytime", OPTION_FLAGS, MS_LAZYTIME, 0 },
	{ "loud", OPTION_FLAGS, 0, MS_SILENT },
	{ "mand", OPTION_FLAGS, MS_MANDLOCK, 0 },
	{ "noacl", OPTION_FLAGS, 0, MS_POSIXACL },
	{ "noatime", OPTION_FLAGS, MS_NOATIME, MS_ATIME_MODES },
	{ "nodev", OPTION_FLAGS, MS_NODEV, 0 },
	{ "nodiratime", OPTION_FLAGS, MS_NODIRATIME, 0 },
	{ "noexec", OPTION_FLAGS, MS_NOEXEC, 0 },
	{ "noiversion", OPTION_FLAGS, 0, MS_I_VERSION },
	{ "nolazytime", OPTION_FLAGS, 0, MS_LAZYTIME },
	{ "nomand", OPTION_FLAGS, 0, MS_MANDLOCK },
	{ "norelatime", OPTION_FLAGS, 0, MS_RELATIME },
	{ "nostrictatime", OPTION_FLAGS, 0, MS_STRICTATIME },
	{ "nosuid", OPTION_FLAGS, MS_NOSUID, 0 },
	{ "nosymfollow", OPTION_FLAGS, MS_NOSYMFOLLOW, 0 },
	{ "private", OPTION_PROPAGATION, MS_PRIVATE, 0 },
	{ "ratime", OPTION_RECURSIVE, MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "rbind", OPTION_FLAGS, MS_BIND | MS_REC, 0 },
	{ "rdev", OPTION_RECURSIVE, 0, MOUNT_ATTR_NODEV },
	{ "rdiratime", OPTION_RECURSIVE, 0, MOUNT_ATTR_NODIRATIME },
	{ "relatime", OPTION_FLAGS, MS_RELATIME, MS_ATIME_MODES },
	{ "remount", OPTION_FLAGS, MS_REMOUNT, 0 },
	{ "rexec", OPTION_RECURSIVE, 0, MOUNT_ATTR_NOEXEC },
	{ "ridmap", OPTION_IDMAP, MOUNT_IDMAP_RECURSIVE, 0 },
	{ "rnoatime", OPTION_RECURSIVE, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
	{ "rnodev", OPTION_RECURSIVE, MOUNT_ATTR_NODEV, 0 },
	{ "rnodiratime", OPTION_RECURSIVE, MOUNT_ATTR_NODIRATIME, 0 },
	{ "rnoexec", OPTION_RECURSIVE, MOUNT_ATTR_NOEXEC, 0 },
	{ "rnorelatime", OPTION_RECURSIVE, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "rnostrictatime", OPTION_RECURSIVE, MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "rnosuid", OPTION_RECURSIVE, MOUNT_ATTR_NOSUID, 0 },
	{ "rnosymfollow", OPTION_RECURSIVE, MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "ro", OPTION_FLAGS, MS_RDONLY, 0 },
	{ "rprivate", OPTION_PROPAGATION, MS_PRIVATE | MS_REC, 0 },
	{ "rrelatime", OPTION_RECURSIVE, MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "rro", OPTION_RECURSIVE, MOUNT_ATTR_RDONLY, 0 },
	{ "rrw", OPTION_RECURSIVE, 0, MOUNT_ATTR_RDONLY },
	{ "rshared", OPTION_PROPAGATION, MS_SHARED | MS_REC, 0 },
	{ "rslave", OPTION_PROPAGATION, MS_SLAVE | MS_REC, 0 },
	{ "rstrictatime", OPTION_RECURSIVE, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "rsuid", OPTION_RECURSIVE, 0, MOUNT_ATTR_NOSUID },
	{ "rsymfollow", OPTION_RECURSIVE, 0, MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", OPTION_PROPAGATION, MS_UNBINDABLE | MS_REC, 0 },
	{ "rw", OPTION_FLAGS, 0, MS_RDONLY },
	{ "shared", OPTION_PROPAGATION, MS_SHARED, 0 },
	{ "silent", OPTION_FLAGS, MS_SILENT, 0 },
	{ "slave", OPTION_PROPAGATION, MS_SLAVE, 0 },
	{ "src-nofollow", OPTION_SOURCE_NOFOLLOW, 0, 0 },
	{ "strictatime", OPTION_FLAGS, MS_STRICTATIME, MS_ATIME_MODES },
	{ "suid", OPTION_FLAGS, 0, MS_NOSUID },
	{ "symfollow", OPTION_FLAGS, 0, MS_NOSYMFOLLOW },
	{ "sync", OPTION_FLAGS, MS_SYNCHRONOUS, 0 },
	{ "tmpcopyup", OPTION_TMP_COPY_UP, 0, 0 },
	{ "unbindable", OPTION_PROPAGATION, MS_UNBINDABLE, 0 },
};

static int compare(const void *key, const void *entry)
{
	return strcmp(key, ((const struct option *)entry)->name);
}

static const struct option *find(const char *name)
{
	return bsearch(name, options, ARRAY_SIZE(options), sizeof(options[0]), compare);
}

const char *mount_option_name(size_t i)
{
	return i < ARRAY_SIZE(options) ? options[i].name : NULL;
}

static int apply(struct mount_options *o, const struct option *opt, struct error *err)
{
	switch (opt->kind) {
	case OPTION_FLAGS:
		o->flags = (o->flags & ~opt->clear) | opt->set;
		o->cleared = (o->cleared | opt->clear) & ~opt->set;
		break;
	case OPTION_PROPAGATION:
		if (o->n_propagation == MOUNT_PROPAGATIONS_MAX)
			return error_set(err, E2BIG, "mount option '%s': more than %d propagation options; give one",
					 opt->name, MOUNT_PROPAGATIONS_MAX);
		o->propagation[o->n_propagation++] = opt->set;
		break;
	case OPTION_RECURSIVE:
		/* A later option undoes an earlier one. The kernel wants the whole access-time field cleared to set it. */
		o->attr_set = (o->attr_set & ~opt->clear) | opt->set;
		o->attr_clr = (o->attr_clr & ~(opt->set & ~MOUNT_ATTR__ATIME)) | opt->clear;
		break;
	case OPTION_TMP_COPY_UP:
		o->tmp_copy_up = true;
		break;
	case OPTION_COPY_SYMLINK:
		o->copy_symlink = true;
		break;
	case OPTION_SOURCE_NOFOLLOW:
		o->source_nofollow = true;
		break;
	case OPTION_DESTINATION_NOFOLLOW:
		o->destination_nofollow = true;
		break;
	case OPTION_IDMAP:
		o->idmap = (enum mount_idmap)opt->set;
		break;
	}
	return 0;
}

/* "idmap=MAPPINGS" and "ridmap=MAPPINGS": 1 when OPTION is one of them. */
static int apply_mappings(struct mount_options *o, const char *option, struct error *err)
{
	bool recursive = *option == 'r';
	char *copy;

	option += recursive;
	if (strncmp(option, "idmap=", 6) != 0)
		return 0;
	copy = strdup(option + 6);
	if (!copy)
		return error_oom(err);
	free(o->idmap_mappings);
	o->idmap_mappings = copy;
	o->idmap = recursive ? MOUNT_IDMAP_RECURSIVE : MOUNT_IDMAP;
	return 1;
}

/* Options for the user-space tools that keep fstab, mount(8). */
static bool is_comment(const char *option)
{
	return strncmp(option, "x-", 2) == 0 || strncmp(option, "X-", 2) == 0;
}

int mount_options_parse(char *const *given, struct mount_options *ret, struct error *err)
{
	_cleanup_mount_options_ struct mount_options o = { 0 };
	_cleanup_strbuf_ struct strbuf data = STRBUF_INIT;
	int r;

	for (size_t i = 0; given && given[i]; i++) {
		const struct option *opt = find(given[i]);

		r = opt ? apply(&o, opt, err) : apply_mappings(&o, given[i], err);
		if (r < 0)
			return r;
		if (opt || r > 0 || is_comment(given[i]) || !*given[i])
			continue;
		if (data.len)
			strbuf_addc(&data, ',');
		strbuf_adds(&data, given[i]);
	}
	if (data.len || strbuf_failed(&data)) {
		o.data = strbuf_take(&data);
		if (!o.data)
			return error_oom(err);
	}
	*ret = o;
	o = (struct mount_options){ 0 };
	return 0;
}

void mount_options_free(struct mount_options *o)
{
	free(o->idmap_mappings);
	free(o->data);
	*o = (struct mount_options){ 0 };
}

uint64_t mount_flags_to_attr(unsigned long flags)
{
	static const struct {
		unsigned long flag;
		uint64_t attr;
	} map[] = {
		{ MS_RDONLY, MOUNT_ATTR_RDONLY },     { MS_NOSUID, MOUNT_ATTR_NOSUID },
		{ MS_NODEV, MOUNT_ATTR_NODEV },       { MS_NOEXEC, MOUNT_ATTR_NOEXEC },
		{ MS_NOATIME, MOUNT_ATTR_NOATIME },   { MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
		{ MS_NODIRATIME, MOUNT_ATTR_NODIRATIME }, { MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
	};
	uint64_t attr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (flags & map[i].flag)
			attr |= map[i].attr;
	return attr;
}

unsigned long mount_flags_superblock(unsigned long flags)
{
	return flags & (MS_RDONLY | MS_SYNCHRONOUS | MS_DIRSYNC | MS_MANDLOCK | MS_LAZYTIME | MS_SILENT | MS_POSIXACL |
			MS_I_VERSION);
}

static int to_host(const struct id_maps *box, uint32_t id, uint32_t count, uint32_t *ret)
{
	for (size_t i = 0; i < box->n; i++) {
		const struct id_map *m = &box->v[i];

		if (id >= m->inside && id - m->inside < m->count && count <= m->count - (id - m->inside)) {
			*ret = m->outside + (id - m->inside);
			return 0;
		}
	}
	return -ENOENT;
}

/* One decimal id up to END, the separator that must follow it. */
static int next_id(const char **s, char end, uint32_t *ret)
{
	size_t n = strspn(*s, "0123456789");
	char digits[16];

	if (n == 0 || n >= sizeof(digits) || (*s)[n] != end)
		return -EINVAL;
	memcpy(digits, *s, n);
	digits[n] = 0;
	*s += n + (end != 0);
	return parse_u32(digits, ret);
}

static int parse_triple(const char *triple, const struct id_maps *box, struct id_maps *ret, struct error *err)
{
	bool relative = *triple == '@';
	const char *s = triple + relative;
	struct id_map m, *v;

	if (next_id(&s, '-', &m.inside) < 0 || next_id(&s, '-', &m.outside) < 0 || next_id(&s, 0, &m.count) < 0 ||
	    m.count == 0 || m.inside > UINT32_MAX - m.count || m.outside > UINT32_MAX - m.count)
		return error_set(err, EINVAL, "mount option idmap: '%s' is not [@]FROM-TO-COUNT", triple);
	if (relative && to_host(box, m.outside, m.count, &m.outside) < 0)
		return error_set(err, EINVAL, "mount option idmap: '%s': ids %u to %u are not mapped in the box's user namespace",
				 triple, m.outside, m.outside + m.count - 1);
	v = realloc(ret->v, (ret->n + 1) * sizeof(*v));
	if (!v)
		return error_oom(err);
	v[ret->n++] = m;
	ret->v = v;
	return 0;
}

static int parse_triples(char *list, const struct id_maps *box, struct id_maps *ret, struct error *err)
{
	char *save = NULL;

	if (ret->n)
		return error_set(err, EINVAL, "mount option idmap: 'uids=' or 'gids=' is given twice");
	for (char *t = strtok_r(list, "#", &save); t; t = strtok_r(NULL, "#", &save)) {
		int r = parse_triple(t, box, ret, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static void cleanup_id_maps(struct id_maps *m)
{
	free(m->v);
}

int mount_idmap_parse(const char *mappings, const struct id_maps *box_uids, const struct id_maps *box_gids,
		      struct id_maps *ret_uids, struct id_maps *ret_gids, struct error *err)
{
	_cleanup_(cleanup_id_maps) struct id_maps uids = { 0 };
	_cleanup_(cleanup_id_maps) struct id_maps gids = { 0 };
	_cleanup_free_ char *copy = strdup(mappings);
	char *save = NULL;

	if (!copy)
		return error_oom(err);
	for (char *part = strtok_r(copy, ";", &save); part; part = strtok_r(NULL, ";", &save)) {
		int r;

		if (strncmp(part, "uids=", 5) == 0)
			r = parse_triples(part + 5, box_uids, &uids, err);
		else if (strncmp(part, "gids=", 5) == 0)
			r = parse_triples(part + 5, box_gids, &gids, err);
		else
			r = error_set(err, EINVAL, "mount option idmap: '%s' is neither uids=... nor gids=...", part);
		if (r < 0)
			return r;
	}
	if (!uids.n || !gids.n)
		return error_set(err, EINVAL, "mount option idmap: '%s' maps no %s; give both uids=... and gids=...", mappings,
				 uids.n ? "gids" : "uids");
	*ret_uids = uids;
	*ret_gids = gids;
	uids = gids = (struct id_maps){ 0 };
	return 0;
}
