/* What /proc/PID/stat tells of a process, proc_pid_stat(5). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_info {
	char state;          /* 'R', 'S', 'Z', ... */
	pid_t parent, session;
	uint64_t resident;   /* pages */
	bool ended;          /* a zombie, or on its way out: its memory, files, namespaces and control group are or will be gone */
	uint64_t start_time; /* clock ticks since boot */
};

/* 0 or a negative errno, -ESRCH when there is no such process. */
int process_info_read(pid_t pid, struct process_info *ret);
