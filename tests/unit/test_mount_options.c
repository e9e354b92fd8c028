#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "base/strv.h"
#include "host/mount_options.h"

static void parse(const char *list, struct mount_options *ret)
{
	_cleanup_strv_ char **v = strv_split(list, ",");
	struct error err = ERROR_INIT;

	assert_int_equal(mount_options_parse(v, ret, &err), 0);
}

static void flags(void **state)
{
	_cleanup_mount_options_ struct mount_options o = { 0 };

	parse("nosuid,noexec,nodev,relatime,ro,mode=755,size=65536k", &o);
	assert_int_equal(o.flags, MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME | MS_RDONLY);
	assert_int_equal(o.cleared & MS_RDONLY, 0);
	assert_string_equal(o.data, "mode=755,size=65536k");
	assert_int_equal(mount_flags_to_attr(o.flags),
			 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY);
	assert_int_equal(mount_flags_superblock(o.flags), MS_RDONLY);
}

static void nothing(void **state)
{
	_cleanup_mount_options_ struct mount_options o = { 0 };

	assert_int_equal(mount_options_parse(NULL, &o, NULL), 0);
	assert_int_equal(o.flags, 0);
	assert_null(o.data);
	parse("defaults,x-systemd.automount,X-mount.mkdir", &o);
	assert_int_equal(o.flags, 0);
	assert_null(o.data);
}

static void the_last_one_wins(void **state)
{
	struct mount_options o = { 0 };

	parse("ro,rw", &o);
	assert_int_equal(o.flags, 0);
	assert_int_equal(o.cleared, MS_RDONLY);
	parse("rw,ro", &o);
	assert_int_equal(o.flags, MS_RDONLY);
	assert_int_equal(o.cleared, 0);
	parse("noatime,strictatime", &o);
	assert_int_equal(o.flags, MS_STRICTATIME);
	parse("rro,rrw", &o);
	assert_int_equal(o.attr_set, 0);
	assert_int_equal(o.attr_clr, MOUNT_ATTR_RDONLY);
	parse("rrw,rro", &o);
	assert_int_equal(o.attr_set, MOUNT_ATTR_RDONLY);
	assert_int_equal(o.attr_clr, 0);
}

static void recursive(void **state)
{
	struct mount_options o = { 0 };

	parse("rbind,rro,rnosuid,rnoexec", &o);
	assert_int_equal(o.flags, MS_BIND | MS_REC);
	assert_int_equal(o.attr_set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	assert_int_equal(o.attr_clr, 0);
	parse("rnoatime,rstrictatime", &o); /* the kernel refuses a part of the access-time field in attr_clr */
	assert_int_equal(o.attr_set, MOUNT_ATTR_STRICTATIME);
	assert_int_equal(o.attr_clr, MOUNT_ATTR__ATIME);
	parse("rnoatime,ratime", &o);
	assert_int_equal(o.attr_set, MOUNT_ATTR_RELATIME);
	assert_int_equal(o.attr_clr, MOUNT_ATTR__ATIME);
}

static void propagation(void **state)
{
	_cleanup_strv_ char **many = strv_split("shared,shared,shared,shared,shared,shared,shared,shared,slave", ",");
	struct mount_options o = { 0 };
	struct error err = ERROR_INIT;

	parse("rslave,shared", &o);
	assert_int_equal(o.n_propagation, 2);
	assert_int_equal(o.propagation[0], MS_SLAVE | MS_REC);
	assert_int_equal(o.propagation[1], MS_SHARED);
	assert_int_equal(o.flags, 0);
	assert_int_equal(mount_options_parse(many, &o, &err), -E2BIG);
}

static void special(void **state)
{
	_cleanup_mount_options_ struct mount_options o = { 0 };

	parse("tmpcopyup,copy-symlink,src-nofollow,dest-nofollow,ridmap", &o);
	assert_true(o.tmp_copy_up && o.copy_symlink && o.source_nofollow && o.destination_nofollow);
	assert_int_equal(o.idmap, MOUNT_IDMAP_RECURSIVE);
	assert_null(o.idmap_mappings);
	assert_null(o.data);
	parse("idmap=uids=0-1-10;gids=0-1-10", &o);
	assert_int_equal(o.idmap, MOUNT_IDMAP);
	assert_string_equal(o.idmap_mappings, "uids=0-1-10;gids=0-1-10");
	assert_null(o.data);
}

static void every_name_is_found(void **state)
{
	const char *previous = "";

	for (size_t i = 0; mount_option_name(i); i++) {
		char *const v[] = { (char *)mount_option_name(i), NULL };
		_cleanup_mount_options_ struct mount_options o = { 0 };

		assert_true(strcmp(previous, v[0]) < 0);
		previous = v[0];
		assert_int_equal(mount_options_parse(v, &o, NULL), 0);
		assert_null(o.data);
	}
}

static void idmaps(void **state)
{
	struct id_map uid = { 0, 100000, 1000 }, gid = { 0, 200000, 1000 };
	const struct id_maps uids = { &uid, 1 }, gids = { &gid, 1 };
	struct id_maps u = { 0 }, g = { 0 };
	struct error err = ERROR_INIT;

	assert_int_equal(mount_idmap_parse("uids=0-1-10#20-30-1;gids=@0-5-10", &uids, &gids, &u, &g, &err), 0);
	assert_int_equal(u.n, 2);
	assert_int_equal(u.v[1].inside, 20);
	assert_int_equal(u.v[1].outside, 30);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.v[0].outside, 200005);
	free(u.v);
	free(g.v);

	static const char *const bad[] = {
		"", "uids=0-1-10", "uids=0-1;gids=0-0-1", "uids=0-1-0;gids=0-0-1", "uids=0-4294967295-10;gids=0-0-1",
		"uids=0-99999999999-1;gids=0-0-1", "uids=@0-999-2;gids=0-0-1", "uids=0-0-1;uids=0-0-1;gids=0-0-1", "pids=0-0-1",
		"uids=0-0-1x;gids=0-0-1", "uids=-0-0-1;gids=0-0-1",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(mount_idmap_parse(bad[i], &uids, &gids, &u, &g, &err), -EINVAL);
		assert_non_null(strstr(err.message, "idmap"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags),       cmocka_unit_test(nothing), cmocka_unit_test(the_last_one_wins),
		cmocka_unit_test(recursive),   cmocka_unit_test(propagation), cmocka_unit_test(special),
		cmocka_unit_test(every_name_is_found), cmocka_unit_test(idmaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
