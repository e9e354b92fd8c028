#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/cli.h"

static struct {
	int fd; /* the log file; -1: stderr */
	bool json;
} out = { .fd = -1 };

static const char *const level_names[] = { "debug", "info", "warning", "error" };

/* RFC 3339 with nanoseconds and the local offset, as runc's log has it. */
static void format_time(char *buf, size_t size)
{
	struct timespec now;
	struct tm tm;
	char date[32], zone[8];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(zone, sizeof(zone), "Z");
	snprintf(buf, size, "%s.%09ld%s", date, now.tv_nsec, zone);
}

static void write_record(int fd, bool json, enum log_level level, const char *message)
{
	char line[ERROR_MESSAGE_MAX * 2], now[64];
	int n;

	format_time(now, sizeof(now));
	if (json) {
		_cleanup_json_ struct json_object *o = json_object_new_object();
		const char *text;

		json_object_object_add(o, "level", json_object_new_string(level_names[level]));
		json_object_object_add(o, "msg", json_object_new_string(message));
		json_object_object_add(o, "time", json_object_new_string(now));
		text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
		if (!text)
			return;
		n = snprintf(line, sizeof(line), "%s\n", text);
	} else {
		n = snprintf(line, sizeof(line), "time=\"%s\" level=%s msg=\"%s\"\n", now, level_names[level], message);
	}
	if (n > 0)
		(void)fd_write_all(fd, line, MIN((size_t)n, sizeof(line) - 1));
}

static void sink(void *data, enum log_level level, const char *message)
{
	if (out.fd >= 0)
		write_record(out.fd, out.json, level, message);
	else if (out.json)
		write_record(STDERR_FILENO, true, level, message);
	else
		fprintf(stderr, "ringwall: %s: %s\n", level_names[level], message);
}

static enum log_level parse_level(const struct cli *cli)
{
	if (cli->debug)
		return LOG_LEVEL_DEBUG;
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (strncmp(cli->log_level, level_names[i], 4) == 0)
			return (enum log_level)i;
	return LOG_LEVEL_WARN;
}

int cli_log_open(const struct cli *cli, struct error *err)
{
	out.json = strcmp(cli->log_format, "json") == 0;
	if (cli->log_file && strcmp(cli->log_file, "/dev/stderr") != 0) {
		safe_close(out.fd);
		out.fd = open(cli->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
		if (out.fd < 0)
			return error_sys(err, errno, "cannot open the log file '%s'", cli->log_file);
	}
	log_set_sink(sink, NULL, parse_level(cli));
	return 0;
}

void cli_log_error(const struct cli *cli, const struct error *err)
{
	if (out.fd >= 0)
		write_record(out.fd, out.json, LOG_LEVEL_ERROR, err->message);
	if (out.fd < 0 && out.json)
		write_record(STDERR_FILENO, true, LOG_LEVEL_ERROR, err->message);
	else
		fprintf(stderr, "ringwall: %s\n", err->message);
}
