#include "monitor/life.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fdio.h"
#include "monitor/protocol.h"

int64_t life_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int life_take(int dir_fd, struct error *err)
{
	_cleanup_close_ int fd = openat(dir_fd, MONITOR_LIFE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0)
		return error_sys(err, errno, "cannot open the box's file '%s'", MONITOR_LIFE);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? error_set(err, EBUSY, "the box is running already")
					    : error_sys(err, errno, "cannot lock the box's file '%s'", MONITOR_LIFE);
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return error_set(err, ENOENT, "the box was removed meanwhile");
	return take_fd(&fd);
}

int life_write(int fd, const struct life_record *record)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "%d %lld %lld %u\n", record->status, (long long)record->started,
			 (long long)record->finished, record->restarts);

	if (pwrite(fd, text, (size_t)n, 0) != n || ftruncate(fd, n) < 0)
		return -EIO;
	return 0;
}

static int read_record(int fd, struct life_record *ret)
{
	char text[128];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	struct life_record record = { .status = -1 };
	long long started, finished;

	if (n < 0)
		return -errno;
	text[n] = 0;
	if (sscanf(text, "%d %lld %lld %u", &record.status, &started, &finished, &record.restarts) == 4) {
		record.started = started;
		record.finished = finished;
	} else {
		record.status = -1;
	}
	*ret = record;
	return 0;
}

int life_read(int dir_fd, struct life_record *ret, bool *ret_alive)
{
	_cleanup_close_ int fd = openat(dir_fd, MONITOR_LIFE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	*ret_alive = flock(fd, LOCK_SH | LOCK_NB) < 0;
	return read_record(fd, ret);
}

int life_wait(int dir_fd, struct life_record *ret, struct error *err)
{
	_cleanup_close_ int fd = openat(dir_fd, MONITOR_LIFE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return error_sys(err, errno, "the box was never started");
	while (flock(fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return error_sys(err, errno, "cannot wait for the box");
	r = read_record(fd, ret);
	return r < 0 ? error_sys(err, r, "cannot read how the box ended") : 0;
}
