#include "base/error.h"

#include <stdarg.h>
#include <string.h>

#include "base/utf8.h"

int error_set(struct error *err, int code, const char *fmt, ...)
{
	if (code < 0)
		code = -code;
	if (code == 0)
		code = EIO;
	if (err) {
		va_list ap;

		err->code = code;
		err->exit_status = 0;
		va_start(ap, fmt);
		vsnprintf(err->message, sizeof(err->message), fmt, ap);
		va_end(ap);
		utf8_neutralize(err->message);
	}
	return -code;
}

int error_sys(struct error *err, int code, const char *fmt, ...)
{
	if (code < 0)
		code = -code;
	if (code == 0)
		code = EIO;
	if (err) {
		char head[ERROR_MESSAGE_MAX / 2];
		va_list ap;

		va_start(ap, fmt);
		vsnprintf(head, sizeof(head), fmt, ap);
		va_end(ap);
		return error_set(err, code, "%s: %s", head, strerror(code));
	}
	return -code;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char head[ERROR_MESSAGE_MAX / 4], tail[ERROR_MESSAGE_MAX];
	int exit_status, r;
	va_list ap;

	if (!err)
		return -EIO;
	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	memcpy(tail, err->message, sizeof(tail));
	tail[sizeof(tail) - 1] = 0;
	exit_status = err->exit_status;
	r = error_set(err, err->code ? err->code : EIO, "%s: %.*s", head, (int)sizeof(tail) - 300, tail);
	err->exit_status = exit_status;
	return r;
}

int error_oom(struct error *err)
{
	return error_set(err, ENOMEM, "out of memory");
}
