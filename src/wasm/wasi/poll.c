/* poll_oneoff: any number of clocks and descriptors at once. */
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "wasm/wasi/internal.h"

#define MAX_SUBSCRIPTIONS 4096u

struct subscription {
	uint64_t userdata;
	uint8_t type;
	uint32_t fd;           /* of the module; for clocks the clock */
	uint64_t deadline;     /* clocks: monotonic nanoseconds when it fires */
	uint16_t error;        /* known at once */
};

static uint64_t now(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static void parse_clock(const uint8_t *p, struct subscription *s)
{
	uint64_t timeout, base = now(CLOCK_MONOTONIC);
	uint16_t flags;

	memcpy(&s->fd, p + 16, 4);
	memcpy(&timeout, p + 24, 8);
	memcpy(&flags, p + 40, 2);
	if (s->fd > 1) {
		s->error = s->fd > 3 ? WASI_EINVAL : WASI_ENOTSUP;
		return;
	}
	if (flags & WASI_SUBCLOCKFLAGS_ABSTIME) {
		uint64_t t = s->fd == 0 ? now(CLOCK_REALTIME) : base;

		timeout = timeout > t ? timeout - t : 0;
	}
	s->deadline = add(base, timeout);
}

static enum wasi_errno parse(struct wasi_call *c, uint32_t n, struct subscription *subs, struct pollfd *pfds)
{
	const uint8_t *p = wasi_span(c, wasi_u32(c, 0), (uint64_t)n * WASI_SUBSCRIPTION_SIZE);

	if (!p)
		return WASI_EFAULT;
	for (uint32_t i = 0; i < n; i++, p += WASI_SUBSCRIPTION_SIZE) {
		struct subscription *s = &subs[i];
		struct wasi_fd *f;

		*s = (struct subscription){ .deadline = UINT64_MAX };
		pfds[i] = (struct pollfd){ .fd = -1 };
		memcpy(&s->userdata, p, 8);
		s->type = p[8];
		if (s->type == WASI_EVENTTYPE_CLOCK) {
			parse_clock(p, s);
			continue;
		}
		if (s->type > WASI_EVENTTYPE_FD_WRITE)
			return WASI_EINVAL;
		memcpy(&s->fd, p + 16, 4);
		s->error = (uint16_t)wasi_get_fd(c->w, s->fd, 0, &f);
		if (!s->error && !(f->rights & (WASI_RIGHT_POLL_FD_READWRITE | WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE)))
			s->error = WASI_ENOTCAPABLE;
		if (!s->error)
			pfds[i] = (struct pollfd){ .fd = f->fd, .events = s->type == WASI_EVENTTYPE_FD_READ ? POLLIN : POLLOUT };
	}
	return WASI_SUCCESS;
}

static int timeout_until(const struct subscription *subs, uint32_t n, struct timespec *ret)
{
	uint64_t first = UINT64_MAX, t = now(CLOCK_MONOTONIC);

	for (uint32_t i = 0; i < n; i++) {
		if (subs[i].error)
			first = 0;
		first = MIN(first, subs[i].deadline);
	}
	if (first == UINT64_MAX)
		return 0;
	first = first > t ? first - t : 0;
	*ret = (struct timespec){ .tv_sec = (time_t)(first / 1000000000u), .tv_nsec = (long)(first % 1000000000u) };
	return 1;
}

static bool make_event(const struct subscription *s, const struct pollfd *p, uint64_t t, uint8_t out[WASI_EVENT_SIZE])
{
	uint64_t bytes = 0;
	uint16_t flags = 0;
	int n = 0;

	if (s->type == WASI_EVENTTYPE_CLOCK ? !s->error && s->deadline > t : !s->error && !p->revents)
		return false;
	memset(out, 0, WASI_EVENT_SIZE);
	memcpy(out, &s->userdata, 8);
	memcpy(out + 8, &s->error, 2);
	out[10] = s->type;
	if (s->type != WASI_EVENTTYPE_CLOCK && !s->error) {
		if (s->type == WASI_EVENTTYPE_FD_READ && ioctl(p->fd, FIONREAD, &n) == 0 && n > 0)
			bytes = (uint64_t)n;
		flags = p->revents & POLLHUP ? WASI_EVENTRWFLAGS_HANGUP : 0;
	}
	memcpy(out + 16, &bytes, 8);
	memcpy(out + 24, &flags, 2);
	return true;
}

static enum wasi_errno wait_and_report(struct wasi_call *c, uint32_t n, struct subscription *subs, struct pollfd *pfds)
{
	uint32_t events = 0, out = wasi_u32(c, 1);
	struct timespec ts;
	uint64_t t;
	int r;

	if (!wasi_span(c, out, (uint64_t)n * WASI_EVENT_SIZE))
		return WASI_EFAULT;
	do {
		bool bounded = timeout_until(subs, n, &ts);

		r = ppoll(pfds, n, bounded ? &ts : NULL, NULL);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return wasi_from_errno(errno);
	t = now(CLOCK_MONOTONIC);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t event[WASI_EVENT_SIZE];

		if (!make_event(&subs[i], &pfds[i], t, event))
			continue;
		wasi_put(c, out + events * WASI_EVENT_SIZE, event, sizeof(event));
		events++;
	}
	return wasi_put32(c, wasi_u32(c, 3), events);
}

static enum wasi_errno poll_oneoff(struct wasi_call *c)
{
	uint32_t n = wasi_u32(c, 2);
	struct subscription *subs;
	struct pollfd *pfds;
	enum wasi_errno e;

	if (n == 0 || n > MAX_SUBSCRIPTIONS)
		return WASI_EINVAL;
	subs = calloc(n, sizeof(*subs));
	pfds = calloc(n, sizeof(*pfds));
	e = subs && pfds ? parse(c, n, subs, pfds) : WASI_ENOMEM;
	if (!e)
		e = wait_and_report(c, n, subs, pfds);
	free(subs);
	free(pfds);
	return e;
}

const struct wasi_entry wasi_poll_functions[] = {
	{ "poll_oneoff", "iiii:i", poll_oneoff },
	{ NULL, NULL, NULL },
};
