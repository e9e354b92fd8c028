#include "monitor/log_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include "monitor/protocol.h"

int log_file_open(struct log_file *log, int dir_fd, uint64_t max_size, unsigned max_files, struct error *err)
{
	struct stat st;

	log->dir_fd = dir_fd;
	log->max_size = max_size;
	log->max_files = max_files;
	log->fd = openat(dir_fd, MONITOR_LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log->fd < 0)
		return error_sys(err, errno, "cannot open the box's log");
	if (fstat(log->fd, &st) == 0)
		log->size = (uint64_t)st.st_size;
	return 0;
}

void log_file_close(struct log_file *log)
{
	log->fd = safe_close(log->fd);
}

static void log_name(char *buf, size_t size, unsigned n)
{
	snprintf(buf, size, n ? MONITOR_LOG ".%u" : MONITOR_LOG, n);
}

/* log.2 -> log.3, log.1 -> log.2, log -> log.1, and a new log; the oldest is overwritten. */
static void rotate(struct log_file *log)
{
	char from[32], to[32];

	for (unsigned n = log->max_files - 1; n > 0; n--) {
		log_name(from, sizeof(from), n - 1);
		log_name(to, sizeof(to), n);
		(void)renameat(log->dir_fd, from, log->dir_fd, to);
	}
	if (log->max_files == 1)
		(void)unlinkat(log->dir_fd, MONITOR_LOG, 0);
	safe_close(log->fd);
	log->fd = openat(log->dir_fd, MONITOR_LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	log->size = 0;
}

/* RFC 3339 in UTC with nanoseconds, always 30 bytes: 2026-01-02T03:04:05.123456789Z */
static size_t format_time(char *buf, size_t size)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	return (size_t)snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
				tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
}

static void add_record(struct log_file *log, const char *stream, const char *text, size_t len, bool whole)
{
	char head[64];
	size_t n = format_time(head, sizeof(head));
	struct iovec iov[3];
	ssize_t written;

	n += (size_t)snprintf(head + n, sizeof(head) - n, " %s %c ", stream, whole ? 'F' : 'P');
	if (log->size && log->size + n + len + 1 > log->max_size)
		rotate(log);
	iov[0] = (struct iovec){ head, n };
	iov[1] = (struct iovec){ (void *)text, len };
	iov[2] = (struct iovec){ (void *)"\n", 1 };
	written = log->fd >= 0 ? writev(log->fd, iov, 3) : -1;
	if (written < 0)
		written = 0;
	log->size += (uint64_t)written;
	log->dropped += n + len + 1 - (size_t)written;
}

void log_file_add(struct log_file *log, const char *stream, const char *data, size_t len)
{
	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		add_record(log, stream, data, n, end);
		n += end ? 1 : 0;
		data += n;
		len -= n;
	}
}
