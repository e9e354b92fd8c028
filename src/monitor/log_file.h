/* The bounded log of a box: at most FILES files of about SIZE bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct log_file {
	int dir_fd, fd;
	uint64_t size, max_size;
	unsigned max_files;
	uint64_t dropped; /* bytes that could not be written (disk full) */
};

#define LOG_FILE_INIT ((struct log_file){ .dir_fd = -1, .fd = -1 })

/* Opens the log in DIR_FD (which stays the caller's) to append. */
int log_file_open(struct log_file *log, int dir_fd, uint64_t max_size, unsigned max_files, struct error *err);
void log_file_close(struct log_file *log);

/* Adds DATA of STREAM ("stdout", "stderr") as records; never fails: what cannot be written is counted. */
void log_file_add(struct log_file *log, const char *stream, const char *data, size_t len);
