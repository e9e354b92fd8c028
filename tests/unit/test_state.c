#include "oci/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/strv.h"

static char root[] = "/tmp/test-state.XXXXXX";

static void test_ids(void **state)
{
	static const char *const bad[] = { "", ".", "..", "-x", ".x", "a/b", "a b", "a\n", "\xc3\xa9" };
	static const char *const good[] = { "a", "0", "a.b", "A-b_c+d", "_x", "+x" };
	char longest[BOX_ID_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(box_check_id(bad[i], NULL), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(box_check_id(good[i], NULL), 0);
	memset(longest, 'a', sizeof(longest));
	longest[BOX_ID_MAX + 1] = 0;
	assert_int_equal(box_check_id(longest, NULL), -EINVAL);
	longest[BOX_ID_MAX] = 0;
	assert_int_equal(box_check_id(longest, NULL), 0);
}

static void test_round_trip(void **state)
{
	_cleanup_box_ struct box *box = NULL, *again = NULL;
	_cleanup_json_ struct json_object *oci = NULL;
	struct error err = ERROR_INIT;
	char **ids = NULL;

	assert_int_equal(box_new(root, "one", "{}", 2, &box, &err), 0);
	assert_int_equal(box_new(root, "one", "{}", 2, &again, &err), -EEXIST);
	assert_int_equal(box_process_status(box), BOX_CREATING);
	box->bundle = strdup("/b \"quoted\"");
	box->rootfs = strdup("/b/rootfs");
	box->boundary = strdup("container");
	assert_int_equal(box_set_pid(box, getpid(), &err), 0);
	json_object_object_add(box->data, "x", json_object_new_int(7));
	assert_int_equal(box_save(box, &err), 0);

	assert_int_equal(box_load(root, "one", false, &again, &err), 0);
	assert_string_equal(again->bundle, box->bundle);
	assert_string_equal(again->created, box->created);
	assert_int_equal(strlen(again->created), strlen("2026-01-01T00:00:00.000000000Z"));
	assert_int_equal(again->pid, getpid());
	assert_int_equal(again->pid_start, box->pid_start);
	assert_int_equal(json_object_get_int(json_object_object_get(again->data, "x")), 7);
	assert_int_equal(box_process_status(again), BOX_RUNNING);
	assert_int_equal(mkdirat(again->dir_fd, BOX_START_GATE, 0700), 0);
	assert_int_equal(box_process_status(again), BOX_CREATED);
	again->pid_start++; /* a later process with the same number is another one */
	assert_int_equal(box_process_status(again), BOX_STOPPED);
	assert_int_equal(box_pidfd(again, &err), -ESRCH);

	assert_int_equal(box_state_json(box, BOX_RUNNING, &oci, &err), 0);
	assert_string_equal(json_object_get_string(json_object_object_get(oci, "status")), "running");
	assert_string_equal(json_object_get_string(json_object_object_get(oci, "ociVersion")), OCI_SPEC_VERSION);

	assert_int_equal(box_list(root, &ids, &err), 0);
	assert_int_equal(strv_len(ids), 1);
	strv_free(ids);
	assert_int_equal(box_remove(box, &err), 0);
	box_free(take_ptr(again));
	assert_int_equal(box_load(root, "one", false, &again, &err), -ENOENT);
}

static void test_cut_off(void **state)
{
	_cleanup_box_ struct box *box = NULL, *again = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(box_new(root, "two", "{}", 2, &box, &err), 0);
	box_free(take_ptr(box)); /* killed before its first save */
	assert_int_equal(box_load(root, "two", true, &again, &err), 0);
	assert_null(again->boundary);
	assert_int_equal(box_process_status(again), BOX_STOPPED);
	assert_int_equal(box_remove(again, &err), 0);
}

static void test_empty_record(void **state)
{
	_cleanup_box_ struct box *box = NULL, *again = NULL;
	struct error err = ERROR_INIT;

	/* What a reader may see while the creator writes its record for the first time. */
	assert_int_equal(box_new(root, "four", "{}", 2, &box, &err), 0);
	assert_int_equal(file_replace_at(box->dir_fd, BOX_STATE_FILE, "", 0, 0600, &err), 0);
	assert_int_equal(box_load(root, "four", false, &again, &err), 0);
	assert_int_equal(box_process_status(again), BOX_CREATING);
	box_free(take_ptr(again));
	box_unlock(box); /* as if it was killed */
	assert_int_equal(box_load(root, "four", false, &again, &err), -EUCLEAN);
	assert_int_equal(box_remove(box, &err), 0);
}

static void test_hostile_record(void **state)
{
	static const char *const records[] = { "{", "[]", "{\"version\":99}", "{\"version\":1,\"pid\":-4}",
					       "{\"version\":1,\"pid\":\"x\"}", "{\"version\":1,\"data\":[]}" };

	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		_cleanup_box_ struct box *box = NULL, *again = NULL;
		struct error err = ERROR_INIT;

		assert_int_equal(box_new(root, "three", "{}", 2, &box, &err), 0);
		assert_int_equal(file_replace_at(box->dir_fd, BOX_STATE_FILE, records[i], strlen(records[i]), 0600, &err), 0);
		assert_true(box_load(root, "three", false, &again, &err) < 0);
		assert_non_null(strstr(err.message, BOX_STATE_FILE));
		assert_int_equal(box_remove(box, &err), 0);
	}
}

/* Somebody else's directory, or a link to one, is not followed. */
static void test_foreign_directory(void **state)
{
	_cleanup_box_ struct box *box = NULL, *again = NULL;
	struct error err = ERROR_INIT;
	char path[128], link[128];

	assert_int_equal(box_new(root, "four", "{}", 2, &box, &err), 0);
	snprintf(path, sizeof(path), "%s/four", root);
	snprintf(link, sizeof(link), "%s/five", root);
	assert_int_equal(symlink(path, link), 0);
	assert_true(box_load(root, "five", false, &again, &err) < 0);
	assert_int_equal(unlink(link), 0);
	if (geteuid() == 0) { /* only root can give a directory away */
		assert_int_equal(chown(path, 65534, 65534), 0);
		assert_int_equal(box_load(root, "four", false, &again, &err), -EPERM);
		assert_non_null(strstr(err.message, "belongs to user 65534, not to 0"));
	}
	assert_null(again);
	assert_int_equal(box_remove(box, &err), 0);
}

static int make_root(void **state)
{
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	return rmdir(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_empty_record),
		cmocka_unit_test(test_hostile_record),
		cmocka_unit_test(test_foreign_directory),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
