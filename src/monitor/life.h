/* The file "life" of a box: who looks after it, and how it ended last. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct life_record {
	int status;                 /* exit status, 128 + signal; -1: never ended */
	int64_t started, finished;  /* nanoseconds since 1970 */
	unsigned restarts;
};

/* Nanoseconds since 1970. */
int64_t life_now(void);

/* Opens the file in DIR_FD and takes its lock: the descriptor, -EBUSY when somebody else looks after (or removes) the box,
 * -ENOENT when it was just removed. */
int life_take(int dir_fd, struct error *err);

/* Writes how the workload ended; FD is from life_take(). */
int life_write(int fd, const struct life_record *record);

/* Reads the record in DIR_FD; ALIVE tells whether somebody holds the lock. -ENOENT when it was never started. */
int life_read(int dir_fd, struct life_record *ret, bool *ret_alive);

/* Waits until nobody holds the lock, then reads. */
int life_wait(int dir_fd, struct life_record *ret, struct error *err);
