#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/utf8.h"

static int parses(const char *s)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;

	return json_parse(s, strlen(s), &o, &err);
}

static void strict(void **state)
{
	assert_int_equal(parses("{\"a\": [1, 2]}\n "), 0);
	assert_int_equal(parses("12"), 0);
	assert_int_equal(parses("{\"a\": 1,}"), -EINVAL);
	assert_int_equal(parses("{\"a\": 'x'}"), -EINVAL);
	assert_int_equal(parses("{\"a\": 1} x"), -EINVAL);
	assert_int_equal(parses("{\"a\": \"\xff\"}"), -EINVAL);
	assert_int_equal(parses("{\"a\": "), -EINVAL);
	assert_int_equal(parses(""), -EINVAL);
}

static void deep(void **state)
{
	char s[400];

	memset(s, '[', sizeof(s));
	s[sizeof(s) - 1] = 0;
	assert_int_equal(parses(s), -EINVAL);
}

static void getters(void **state)
{
	static const char text[] = "{\"s\": \"x\", \"nul\": \"a\\u0000b\", \"neg\": -1, \"big\": 18446744073709551615, \"n\": null}";
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	const char *s = NULL;
	uint64_t u = 0;
	int64_t i = 0;

	assert_int_equal(json_parse(text, strlen(text), &o, &err), 0);
	assert_int_equal(json_get_string(o, "", "s", &s, &err), 1);
	assert_string_equal(s, "x");
	assert_int_equal(json_get_string(o, "", "n", &s, &err), 0);
	assert_int_equal(json_get_string(o, "", "nul", &s, &err), -EINVAL);
	assert_int_equal(json_get_string(o, "linux", "neg", &s, &err), -EINVAL);
	assert_non_null(strstr(err.message, "linux.neg: expected a string, got -1"));
	assert_int_equal(json_get_u64(o, "", "neg", &u, &err), -ERANGE);
	assert_int_equal(json_get_u64(o, "", "big", &u, &err), 1);
	assert_true(u == UINT64_MAX);
	assert_int_equal(json_get_i64(o, "", "big", INT64_MIN, INT64_MAX, &i, &err), -ERANGE);
}

static void nul_in_keys(void **state)
{
	assert_int_equal(parses("{\"a\\u0000b\": 1}"), -EINVAL);
	assert_int_equal(parses("{\"\\u0000\" \n : 1}"), -EINVAL);
	assert_int_equal(parses("{\"x\": \"\\u0000\", \"k\\\\\\u0000\": 1}"), -EINVAL);
	assert_int_equal(parses("{\"a\": \"b\\u0000\"}"), 0);
	assert_int_equal(parses("{\"a\\\\u0000\": \"b\"}"), 0);
	assert_int_equal(parses("[\"\\u0000\\\"\", 1]"), 0);
	assert_int_equal(parses("\"\\u0000"), -EINVAL);
}

static void utf8(void **state)
{
	static const char *const good[] = { "", "plain ascii, long enough for words", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
					    "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
					    "seven by\xc3\xa9 the word" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xe0\xa0",
					   "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
					   "\xff", "\xe2\x82\x41", "\xf0\x90\x80" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(utf8_valid(good[i], strlen(good[i])), strlen(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(utf8_valid(bad[i], strlen(bad[i])), 0);
	assert_int_equal(utf8_valid("twelve bytes\xff", 13), 12);
}

static void neutralized(void **state)
{
	static const struct {
		const char *from, *to;
	} texts[] = {
		{ "plain caf\xc3\xa9 \xe2\x82\xac", "plain caf\xc3\xa9 \xe2\x82\xac" },
		{ "a\033[31m\nb\177", "a?[31m?b?" },
		{ "csi \xc2\x9b" "1m", "csi ??1m" },
		{ "bad \xff\xc3", "bad ??" },
		{ "cut \xe2\x82", "cut ??" },
		{ "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_free_ char *s = strdup(texts[i].from);

		utf8_neutralize(s);
		assert_string_equal(s, texts[i].to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(strict), cmocka_unit_test(deep), cmocka_unit_test(getters),
					       cmocka_unit_test(nul_in_keys), cmocka_unit_test(utf8), cmocka_unit_test(neutralized) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
