/* Classes of service on a made-up /sys/fs/resctrl. */
#include "unit/cgroup_tree.h"

#include "base/json.h"
#include "host/resctrl.h"

static void resctrl_tree(struct tree *t)
{
	tree_new(t);
	tree_put(t, "cg/schemata", "    L3:0=fff;1=fff\n    MB:0=100;1=100\n");
	tree_put(t, "cg/tasks", "");
	tree_put(t, "cg/info/last_cmd_status", "ok\n");
}

/* mkdir(2) makes no files here, so classes that get written to exist beforehand. */
static void put_class(const struct tree *t, const char *name, const char *schemata)
{
	char path[128];

	snprintf(path, sizeof(path), "cg/%s/schemata", name);
	tree_put(t, path, schemata);
	snprintf(path, sizeof(path), "cg/%s/tasks", name);
	tree_put(t, path, "");
	snprintf(path, sizeof(path), "cg/%s/mon_groups/box/tasks", name);
	tree_put(t, path, "");
}

static void test_own_class(void **state)
{
	struct resctrl_request q = {.id = "box", .l3_cache_schema = "L3:0=f\nMB:0=10", .mem_bw_schema = "MB:0=20;1=30"};
	_cleanup_resctrl_ struct resctrl *rdt = NULL, *again = NULL;
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	resctrl_tree(&t);
	put_class(&t, "box", "");
	q.root = t.root;
	q.monitoring = true;
	if (resctrl_create(&q, &rdt, &err) < 0)
		fail_msg("%s", err.message);
	tree_expect(&t, "cg/box/schemata", "L3:0=f\nMB:0=20;1=30\n");
	assert_int_equal(resctrl_attach(rdt, 4711, &err), 0);
	tree_expect(&t, "cg/box/tasks", "4711");
	tree_expect(&t, "cg/box/mon_groups/box/tasks", "4711");

	o = resctrl_to_json(rdt);
	assert_int_equal(resctrl_from_json(o, &again, &err), 0);
	/* As the kernel would, let the files go with the directories. */
	assert_int_equal(unlink(strcat(strcpy((char[256]){0}, t.root), "/box/mon_groups/box/tasks")), 0);
	assert_true(resctrl_destroy(again, &err) < 0); /* plain files are left in the class */
	assert_false(tree_has(&t, "cg/box/mon_groups/box"));
	assert_true(tree_has(&t, "cg/box/schemata"));
	tree_free(&t);
}

static void test_own_class_made_and_removed(void **state)
{
	struct resctrl_request q = {.id = "box"};
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	resctrl_tree(&t);
	q.root = t.root;
	assert_int_equal(resctrl_create(&q, &rdt, &err), 0);
	assert_true(tree_has(&t, "cg/box"));
	assert_int_equal(resctrl_destroy(rdt, &err), 0);
	assert_false(tree_has(&t, "cg/box"));
	assert_int_equal(resctrl_destroy(rdt, &err), 0); /* twice is fine */
	tree_free(&t);
}

/* "/" is the root: joined, monitored, never removed. */
static void test_default_class(void **state)
{
	struct resctrl_request q = {.id = "box", .clos_id = "/", .monitoring = true};
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	resctrl_tree(&t);
	tree_put(&t, "cg/mon_groups/other/tasks", "");
	q.root = t.root;
	if (resctrl_create(&q, &rdt, &err) < 0)
		fail_msg("%s", err.message);
	assert_true(tree_has(&t, "cg/mon_groups/box"));
	assert_int_equal(resctrl_destroy(rdt, &err), 0);
	assert_false(tree_has(&t, "cg/mon_groups/box"));
	assert_true(tree_has(&t, "cg/schemata"));
	tree_free(&t);
}

static void test_failed_write_leaves_nothing(void **state)
{
	char *schemata[] = {(char *)"L3:0=f", NULL};
	struct resctrl_request q = {.id = "box", .schemata = schemata};
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	resctrl_tree(&t);
	tree_put(&t, "cg/info/last_cmd_status", "Mask f out of range\n");
	q.root = t.root;
	/* The directory is made, but no file is in it. */
	assert_int_equal(resctrl_create(&q, &rdt, &err), -ENOENT);
	assert_non_null(strstr(err.message, "Mask f out of range"));
	assert_false(tree_has(&t, "cg/box"));
	tree_free(&t);
}

static void test_shared_class(void **state)
{
	char *schemata[] = {(char *)"L3:0=0f;1=f0", (char *)"MB:1=50", NULL};
	char *other[] = {(char *)"L3:0=ff", NULL}, *missing[] = {(char *)"L2:0=1", NULL};
	struct resctrl_request q = {.id = "box", .clos_id = "gold", .schemata = schemata};
	_cleanup_resctrl_ struct resctrl *rdt = NULL, *no = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	resctrl_tree(&t);
	put_class(&t, "gold", "    L3:0=f;1=0f0\n    MB:0=100;1= 50\n");
	q.root = t.root;
	if (resctrl_create(&q, &rdt, &err) < 0)
		fail_msg("%s", err.message);
	tree_expect(&t, "cg/gold/schemata", "    L3:0=f;1=0f0\n    MB:0=100;1= 50\n"); /* not written to */
	assert_int_equal(resctrl_destroy(rdt, &err), 0);
	assert_true(tree_has(&t, "cg/gold"));
	q.schemata = other;
	assert_int_equal(resctrl_create(&q, &no, &err), -EEXIST);
	assert_non_null(strstr(err.message, "L3:0=ff"));
	q.schemata = missing;
	assert_int_equal(resctrl_create(&q, &no, &err), -EEXIST);
	/* Nothing asked: it only has to exist. */
	q.schemata = NULL;
	resctrl_free(rdt);
	rdt = NULL;
	assert_int_equal(resctrl_create(&q, &rdt, &err), 0);
	q.clos_id = "silver";
	assert_int_equal(resctrl_create(&q, &no, &err), -ENOENT);
	assert_non_null(strstr(err.message, "silver"));
	assert_false(tree_has(&t, "cg/silver"));
	tree_free(&t);
}

static void test_refusals(void **state)
{
	static const char *const names[] = {"", ".", "..", "a/b", "info", "mon_groups", "mon_data", "a\nb"};
	struct resctrl_request q = {.id = "box"};
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	resctrl_tree(&t);
	q.root = t.root;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		q.clos_id = names[i];
		assert_int_equal(resctrl_create(&q, &rdt, &err), -EINVAL);
	}
	q = (struct resctrl_request){.id = "box", .root = t.dir};
	assert_int_equal(resctrl_create(&q, &rdt, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "mount -t resctrl"));
	assert_null(rdt);
	tree_free(&t);
}

static void test_statistics(void **state)
{
	struct resctrl_request q = {.id = "box", .clos_id = "gold", .monitoring = true};
	_cleanup_resctrl_ struct resctrl *rdt = NULL;
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	resctrl_tree(&t);
	put_class(&t, "gold", "    L3:0=f\n    MB:0=100\n");
	tree_put(&t, "cg/gold/mon_groups/box/mon_data/mon_L3_01/llc_occupancy", "200\n");
	tree_put(&t, "cg/gold/mon_groups/box/mon_data/mon_L3_00/llc_occupancy", "100\n");
	tree_put(&t, "cg/gold/mon_groups/box/mon_data/mon_L3_00/mbm_total_bytes", "7\n");
	tree_put(&t, "cg/gold/mon_groups/box/mon_data/mon_L3_00/mbm_local_bytes", "Unavailable\n");
	q.root = t.root;
	assert_int_equal(resctrl_create(&q, &rdt, &err), 0);
	o = resctrl_stats_to_json(rdt);
	assert_string_equal(
	    json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
	    "{\"l3_cache_schema\":\"L3:0=f\",\"mem_bw_schema\":\"MB:0=100\",\"schemata\":[\"L3:0=f\",\"MB:0=100\"],"
	    "\"cmt_stats\":[{\"llc_occupancy\":100},{\"llc_occupancy\":200}],"
	    "\"mbm_stats\":[{\"mbm_total_bytes\":7,\"mbm_local_bytes\":0}]}");
	tree_free(&t);
}

static void test_bad_state(void **state)
{
	static const char *const bad[] = {"{}", "{\"dir\":\"x\"}", "{\"dir\":\"/sys/../etc\"}",
					  "{\"dir\":\"/sys/fs/resctrl/x\",\"monitoring\":\"/etc\"}", "{\"dir\":5}"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_resctrl_ struct resctrl *rdt = NULL;
		_cleanup_json_ struct json_object *o = NULL;
		struct error err = ERROR_INIT;

		assert_int_equal(json_parse(bad[i], strlen(bad[i]), &o, &err), 0);
		assert_true(resctrl_from_json(o, &rdt, &err) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_own_class),
	    cmocka_unit_test(test_own_class_made_and_removed),
	    cmocka_unit_test(test_default_class),
	    cmocka_unit_test(test_failed_write_leaves_nothing),
	    cmocka_unit_test(test_shared_class),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_statistics),
	    cmocka_unit_test(test_bad_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
