#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/parse.h"

static void sizes(void **state)
{
	uint64_t v = 7;

	assert_int_equal(parse_size("512M", &v), 0);
	assert_int_equal(v, 512ull << 20);
	assert_int_equal(parse_size("1GiB", &v), 0);
	assert_int_equal(v, 1ull << 30);
	assert_int_equal(parse_size("0", &v), 0);
	assert_int_equal(parse_size("18446744073709551615", &v), 0);
	assert_int_equal(parse_size("18446744073709551615k", &v), -ERANGE);
	assert_int_equal(parse_size("-1", &v), -EINVAL);
	assert_int_equal(parse_size("", &v), -EINVAL);
	assert_int_equal(parse_size("1x", &v), -EINVAL);
	assert_int_equal(parse_size("1 M", &v), -EINVAL);
}

static void numbers(void **state)
{
	uint32_t u;
	int64_t i;

	assert_int_equal(parse_u32("4294967295", &u), 0);
	assert_int_equal(parse_u32("4294967296", &u), -ERANGE);
	assert_int_equal(parse_u32("+1", &u), -EINVAL);
	assert_int_equal(parse_i64("-9", &i), 0);
	assert_int_equal(i, -9);
	assert_int_equal(parse_i64("--9", &i), -EINVAL);
	assert_int_equal(parse_mode("0755", &u), 0);
	assert_int_equal(u, 0755);
	assert_int_equal(parse_mode("10000", &u), -EINVAL);
	assert_int_equal(parse_mode("8", &u), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sizes), cmocka_unit_test(numbers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
