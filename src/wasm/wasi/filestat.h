#pragma once

#include <sys/stat.h>
#include <time.h>

#include "wasm/wasi/internal.h"

/* Writes the filestat structure to linear memory. */
enum wasi_errno wasi_put_filestat(const struct wasi_call *c, uint32_t ptr, const struct stat *st);
/* The fstflags and two times in nanoseconds as utimensat(2) wants them. */
enum wasi_errno wasi_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec ret[2]);
