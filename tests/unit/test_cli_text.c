/* What users type, as the command line reads it: signals and durations. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cli/cli.h"

static struct error err;

static void assert_signal(const char *text, int expected)
{
	int signal = -1;

	assert_int_equal(cli_parse_signal(text, &signal, &err), 0);
	assert_int_equal(signal, expected);
}

static void test_signals(void **state)
{
	static const char *const bad[] = { "", "FOO", "SIG", "65", "-1", "9x", "RTMIN+99", "RTMAX+1", "TERMX", "RTMIN-1" };
	int signal;

	assert_signal("9", 9);
	assert_signal("0", 0);
	assert_signal("KILL", SIGKILL);
	assert_signal("sigterm", SIGTERM);
	assert_signal("SIGUSR1", SIGUSR1);
	assert_signal("IOT", SIGABRT);
	assert_signal("RTMIN", SIGRTMIN);
	assert_signal("SIGRTMIN+3", SIGRTMIN + 3);
	assert_signal("RTMAX-2", SIGRTMAX - 2);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cli_parse_signal(bad[i], &signal, &err), -EINVAL);
}

static void assert_duration(const char *text, uint64_t expected)
{
	uint64_t ms = 0;

	assert_int_equal(cli_parse_duration(text, &ms, &err), 0);
	assert_int_equal(ms, expected);
}

static void test_durations(void **state)
{
	static const char *const bad[] = { "", "s", "5x", "-5s", "5s5", "1m s", "99999999999s", "5 s" };
	uint64_t ms;

	assert_duration("5s", 5000);
	assert_duration("500ms", 500);
	assert_duration("1m30s", 90000);
	assert_duration("2h", 7200000);
	assert_duration("10", 10000);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (cli_parse_duration(bad[i], &ms, &err) != -EINVAL)
			fail_msg("'%s' was taken for a duration", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_signals), cmocka_unit_test(test_durations) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
