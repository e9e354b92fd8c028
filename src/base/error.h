/*
 * Errors. A function that can fail returns 0 (or a count) or a negative errno, and says why in a caller-owned
 * `struct error`, which needs no allocation. The message names what failed, with which value, and how to mend it.
 * `ret_` outputs are untouched on failure. A NULL `struct error *` is allowed everywhere: the reason is then dropped.
 */
#pragma once

#include <errno.h>

#include "base/cleanup.h"

#define ERROR_MESSAGE_MAX 1024

struct error {
	int code;                        /* positive errno; 0 when no error is recorded */
	int exit_status;                 /* with which the program should end because of it; 0: its usual one */
	char message[ERROR_MESSAGE_MAX]; /* one line, UTF-8, no final full stop, no trailing newline */
};

#define ERROR_INIT ((struct error){0})

/* Records CODE (a positive errno) and the message, neutralized as base/utf8.h has it; returns -CODE. */
int error_set(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);

/* As error_set(), with ": <strerror(code)>" appended. CODE may be given negative, as system wrappers return it. */
int error_sys(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);

/* Puts "<prefix>: " before the recorded message and returns the recorded -code (-EIO if none was recorded). */
int error_prefix(struct error *err, const char *fmt, ...) _printf_(2, 3);

/* The one way to report an allocation that failed. */
int error_oom(struct error *err);
