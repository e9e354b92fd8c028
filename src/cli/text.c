/* Signals, durations and JSON between the user's text and values. */
#include <ctype.h>
#include <signal.h>
#include <string.h>

#include "base/parse.h"
#include "cli/cli.h"

int cli_print_json(struct json_object *o, bool pretty, struct error *err)
{
	const char *text = json_object_to_json_string_ext(
		o, (pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN) |
			   JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!text)
		return error_oom(err);
	puts(text);
	return 0;
}

static int parse_realtime_signal(const char *name, int *ret)
{
	bool from_max = strncasecmp(name, "RTMAX", 5) == 0;
	uint32_t offset = 0;
	int signal;

	if (!from_max && strncasecmp(name, "RTMIN", 5) != 0)
		return -EINVAL;
	if (name[5] && (name[5] != (from_max ? '-' : '+') || parse_u32(name + 6, &offset) < 0 || offset > 64))
		return -EINVAL;
	signal = from_max ? SIGRTMAX - (int)offset : SIGRTMIN + (int)offset;
	if (signal < SIGRTMIN || signal > SIGRTMAX)
		return -EINVAL;
	*ret = signal;
	return 0;
}

int cli_parse_signal(const char *text, int *ret, struct error *err)
{
	static const struct {
		const char *name;
		int number;
	} aliases[] = { { "IOT", SIGABRT }, { "CLD", SIGCHLD }, { "IO", SIGIO }, { "UNUSED", SIGSYS } };
	const char *name = text;
	uint32_t number;

	if (parse_u32(text, &number) == 0) {
		if (number > 64)
			return error_set(err, EINVAL, "there is no signal %s", text);
		*ret = (int)number;
		return 0;
	}
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int i = 1; i < 32; i++) {
		const char *known = sigabbrev_np(i);

		if (known && strcasecmp(known, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (strcasecmp(aliases[i].name, name) == 0) {
			*ret = aliases[i].number;
			return 0;
		}
	if (parse_realtime_signal(name, ret) == 0)
		return 0;
	return error_set(err, EINVAL, "unknown signal '%s'; signals are numbers or names such as TERM, KILL, RTMIN+3", text);
}

int cli_parse_duration(const char *text, uint64_t *ret_ms, struct error *err)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	uint64_t total = 0;
	const char *p = text;

	while (isdigit((unsigned char)*p)) {
		char *end;
		uint64_t n = strtoull(p, &end, 10), scale = 0;
		size_t len = strcspn(end, "0123456789");

		if (!*end && p == text) {
			scale = 1000;
			len = 0;
		}
		for (size_t i = 0; i < ARRAY_SIZE(units); i++)
			if (strlen(units[i].unit) == len && strncmp(end, units[i].unit, len) == 0)
				scale = units[i].ms;
		if (!scale || n > UINT32_MAX)
			break;
		total += n * scale;
		p = end + len;
		if (!*p) {
			*ret_ms = total;
			return 0;
		}
	}
	return error_set(err, EINVAL, "'%s' is not a duration; write it as 5s, 500ms, 1m30s", text);
}
