#include "base/log.h"

#include <stdarg.h>

#include "base/utf8.h"

static struct {
	log_sink sink;
	void *data;
	enum log_level level;
} current = { .level = LOG_LEVEL_WARN };

void log_set_sink(log_sink sink, void *data, enum log_level level)
{
	current.sink = sink;
	current.data = data;
	current.level = level;
}

void log_message(enum log_level level, const char *fmt, ...)
{
	char message[1024];
	va_list ap;

	if (!current.sink || level < current.level)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	utf8_neutralize(message);
	current.sink(current.data, level, message);
}
