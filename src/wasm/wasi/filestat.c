#include "wasm/wasi/filestat.h"

#include <string.h>

static uint64_t nanoseconds(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

enum wasi_errno wasi_put_filestat(const struct wasi_call *c, uint32_t ptr, const struct stat *st)
{
	uint64_t out[WASI_FILESTAT_SIZE / 8] = {
		st->st_dev, st->st_ino, wasi_filetype(st->st_mode), st->st_nlink, (uint64_t)st->st_size,
		nanoseconds(st->st_atim), nanoseconds(st->st_mtim), nanoseconds(st->st_ctim),
	};

	return wasi_put(c, ptr, out, sizeof(out));
}

static enum wasi_errno one_time(uint64_t ns, bool set, bool now, struct timespec *ret)
{
	if (set && now)
		return WASI_EINVAL;
	ret->tv_sec = set ? (time_t)(ns / 1000000000u) : 0;
	ret->tv_nsec = set ? (long)(ns % 1000000000u) : now ? UTIME_NOW : UTIME_OMIT;
	return WASI_SUCCESS;
}

enum wasi_errno wasi_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec ret[2])
{
	enum wasi_errno e = one_time(atim, flags & WASI_FSTFLAGS_ATIM, flags & WASI_FSTFLAGS_ATIM_NOW, &ret[0]);

	return e ? e : one_time(mtim, flags & WASI_FSTFLAGS_MTIM, flags & WASI_FSTFLAGS_MTIM_NOW, &ret[1]);
}
