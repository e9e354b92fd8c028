/* Arguments, environment, clocks, randomness, exit. */
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/strv.h"
#include "wasm/wasi/internal.h"

static enum wasi_errno sizes(struct wasi_call *c, char *const *v)
{
	uint32_t bytes = 0, n = 0;
	enum wasi_errno e;

	for (; v && v[n]; n++)
		bytes += (uint32_t)strlen(v[n]) + 1;
	e = wasi_put32(c, wasi_u32(c, 0), n);
	return e ? e : wasi_put32(c, wasi_u32(c, 1), bytes);
}

static enum wasi_errno strings(struct wasi_call *c, char *const *v)
{
	uint32_t pointers = wasi_u32(c, 0), buf = wasi_u32(c, 1);

	for (uint32_t n = 0; v && v[n]; n++) {
		size_t len = strlen(v[n]) + 1;
		enum wasi_errno e = wasi_put32(c, pointers + 4 * n, buf);

		if (!e)
			e = wasi_put(c, buf, v[n], len);
		if (e)
			return e;
		buf += (uint32_t)len;
	}
	return WASI_SUCCESS;
}

static enum wasi_errno args_sizes_get(struct wasi_call *c)
{
	return sizes(c, c->w->args);
}

static enum wasi_errno args_get(struct wasi_call *c)
{
	return strings(c, c->w->args);
}

static enum wasi_errno environ_sizes_get(struct wasi_call *c)
{
	return sizes(c, c->w->env);
}

static enum wasi_errno environ_get(struct wasi_call *c)
{
	return strings(c, c->w->env);
}

static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID };

static enum wasi_errno clock_call(struct wasi_call *c, int (*f)(clockid_t, struct timespec *), unsigned out)
{
	struct timespec t;

	if (wasi_u32(c, 0) >= ARRAY_SIZE(clocks))
		return WASI_EINVAL;
	if (f(clocks[wasi_u32(c, 0)], &t) < 0)
		return wasi_from_errno(errno);
	return wasi_put64(c, wasi_u32(c, out), (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

static enum wasi_errno clock_res_get(struct wasi_call *c)
{
	return clock_call(c, clock_getres, 1);
}

static enum wasi_errno clock_time_get(struct wasi_call *c)
{
	return clock_call(c, clock_gettime, 2);
}

static enum wasi_errno random_get(struct wasi_call *c)
{
	uint32_t len = wasi_u32(c, 1);
	uint8_t *p = wasi_span(c, wasi_u32(c, 0), len);

	if (!p)
		return WASI_EFAULT;
	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno != EINTR)
			return wasi_from_errno(errno);
		if (n > 0) {
			p += n;
			len -= (uint32_t)n;
		}
	}
	return WASI_SUCCESS;
}

static enum wasi_errno sched_yield_(struct wasi_call *c)
{
	sched_yield();
	return WASI_SUCCESS;
}

/* A module may only end itself; it has no way to name a signal that would tell the outside more than an exit status. */
static enum wasi_errno proc_raise(struct wasi_call *c)
{
	return WASI_ENOSYS;
}

const struct wasi_entry wasi_process_functions[] = {
	{ "args_get", "ii:i", args_get },
	{ "args_sizes_get", "ii:i", args_sizes_get },
	{ "clock_res_get", "ii:i", clock_res_get },
	{ "clock_time_get", "iIi:i", clock_time_get },
	{ "environ_get", "ii:i", environ_get },
	{ "environ_sizes_get", "ii:i", environ_sizes_get },
	{ "proc_raise", "i:i", proc_raise },
	{ "random_get", "ii:i", random_get },
	{ "sched_yield", ":i", sched_yield_ },
	{ NULL, NULL, NULL },
};
