/*
 * Diagnostics that are not errors (a warning, a note for --debug). Code below src/cli hands them to the one sink that
 * the program's main installs; without a sink they are dropped. Errors travel as `struct error`, never through here.
 */
#pragma once

#include "base/cleanup.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

typedef void (*log_sink)(void *data, enum log_level level, const char *message);

/* Installs SINK for messages of LEVEL and above. Not thread-safe: once, at the start of main. */
void log_set_sink(log_sink sink, void *data, enum log_level level);

/* MESSAGE is cut at 1023 bytes and neutralized, see base/utf8.h. */
void log_message(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_debug(...) log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_message(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
