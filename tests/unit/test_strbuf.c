#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "base/strv.h"

static void grows(void **state)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	assert_string_equal(strbuf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		strbuf_addf(&b, "%d,", i % 10);
	assert_int_equal(b.len, 2000);
	strbuf_reset(&b);
	strbuf_adds(&b, "x");
	assert_string_equal(strbuf_str(&b), "x");
	assert_false(strbuf_failed(&b));
}

static void refuses_overflow(void **state)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	strbuf_adds(&b, "x");
	strbuf_add(&b, NULL, SIZE_MAX);
	assert_true(strbuf_failed(&b));
	assert_null(strbuf_take(&b));
}

static void environment(void **state)
{
	_cleanup_strv_ char **env = NULL;

	assert_int_equal(strv_env_set(&env, "A=1"), 0);
	assert_int_equal(strv_env_set(&env, "AB=2"), 0);
	assert_int_equal(strv_env_set(&env, "A=3"), 0);
	assert_int_equal(strv_len(env), 2);
	assert_string_equal(strv_env_get(env, "A"), "3");
	assert_null(strv_env_get(env, "B"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(grows), cmocka_unit_test(refuses_overflow),
					    cmocka_unit_test(environment) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
