#include "host/process_info.h"

#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fdio.h"

#define PF_EXITING 0x4u /* Linux, include/linux/sched.h; part of the ABI of proc_pid_stat(5), field 9 */

int process_info_read(pid_t pid, struct process_info *ret)
{
	char path[32], text[1024], *p;
	_cleanup_close_ int fd = -1;
	struct process_info info;
	unsigned long long start, resident;
	int parent, session, threads;
	unsigned flags;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = fd_read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return (int)n;
	text[n] = 0;
	/* The command name may hold anything, also parentheses and spaces: fields are counted from the last ')'. */
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1,
			 " %c %d %*d %d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu %*u %llu",
			 &info.state, &parent, &session, &flags, &threads, &start, &resident) != 7)
		return -EPROTO;
	/* What is told is the first thread's, and others may live on without it. The first process of a pid namespace stays
	 * for as long as a parent outside does not reap one of its others. */
	info.ended = threads <= 1 && (info.state == 'Z' || info.state == 'X' || flags & PF_EXITING);
	info.parent = parent;
	info.session = session;
	info.start_time = start;
	info.resident = resident;
	*ret = info;
	return 0;
}
