#include "boundary/process/track.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fdio.h"
#include "base/parse.h"
#include "host/process_info.h"

#define SESSIONS_KEY "sessions"
#define SESSIONS_MAX 32 /* beyond it those that ended are looked for */
#define ROUNDS_MAX 200
#define KILL_SECONDS 10

struct session {
	pid_t leader;
	uint64_t start; /* of the leader */
	bool leader_lives;
};

struct sessions {
	struct session *v; /* owned */
	size_t n;
};

static void sessions_free(struct sessions *s)
{
	free(s->v);
}

/* Whether a process has one of the sessions listed; ENTRY: [leader, start time]. */
static bool in_use(struct json_object *entry)
{
	pid_t leader = (pid_t)json_object_get_int64(json_object_array_get_idx(entry, 0));
	_cleanup_closedir_ DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		uint32_t pid;

		if (parse_u32(e->d_name, &pid) == 0 && getsid((pid_t)pid) == leader)
			return true;
	}
	return !d;
}

/* A box that programs are put into for weeks must not gather the names of all that ended. */
static struct json_object *without_ended(struct json_object *list)
{
	struct json_object *kept = json_object_new_array();

	for (size_t i = 0; kept && i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (in_use(entry))
			json_object_array_add(kept, json_object_get(entry));
	}
	return kept;
}

int track_add_session(struct box *box, pid_t pid, struct error *err)
{
	struct json_object *list = NULL, *entry, *kept;
	struct process_info info;

	if (process_info_read(pid, &info) < 0) /* ended already */
		return 0;
	if (!json_object_object_get_ex(box->data, SESSIONS_KEY, &list) || !json_object_is_type(list, json_type_array))
		list = NULL;
	if (!list || json_object_array_length(list) >= SESSIONS_MAX) {
		kept = list ? without_ended(list) : json_object_new_array();
		if (!kept || json_object_object_add(box->data, SESSIONS_KEY, kept) < 0)
			return error_oom(err);
		list = kept;
	}
	entry = json_object_new_array();
	if (!entry || json_object_array_add(entry, json_object_new_int64(pid)) < 0 ||
	    json_object_array_add(entry, json_object_new_uint64(info.start_time)) < 0 || json_object_array_add(list, entry) < 0) {
		json_object_put(entry);
		return error_oom(err);
	}
	return 0;
}

static void add_session(struct sessions *s, pid_t leader, uint64_t start)
{
	struct process_info info;
	bool lives = process_info_read(leader, &info) == 0;

	if (leader <= 0 || (lives && info.start_time != start))
		return; /* the number belongs to somebody else by now, so nobody of that session is left */
	s->v[s->n++] = (struct session){ leader, start, lives };
}

static int read_sessions(const struct box *box, struct sessions *ret)
{
	struct json_object *list = NULL;
	size_t n = 0;

	if (json_object_object_get_ex(box->data, SESSIONS_KEY, &list) && json_object_is_type(list, json_type_array))
		n = json_object_array_length(list);
	ret->v = calloc(n + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	add_session(ret, box->pid, box->pid_start);
	for (size_t i = 0; i < n; i++) {
		struct json_object *e = json_object_array_get_idx(list, i);

		if (json_object_is_type(e, json_type_array) && json_object_array_length(e) == 2)
			add_session(ret, (pid_t)json_object_get_int64(json_object_array_get_idx(e, 0)),
				    json_object_get_uint64(json_object_array_get_idx(e, 1)));
	}
	return 0;
}

/* With its leader gone a session's number could in theory be another's: ours are all under a filter. */
static bool is_filtered(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return file_read_at(AT_FDCWD, path, 1 << 16, &text, NULL, NULL) == 0 && strstr(text, "\nNoNewPrivs:\t1\n") &&
	       strstr(text, "\nSeccomp:\t2\n");
}

/* Asked of every process on the host, so it must be cheap: no file is read. */
static bool may_belong(const struct sessions *s, pid_t pid)
{
	pid_t session = getsid(pid);

	for (size_t i = 0; i < s->n; i++)
		if (session == s->v[i].leader || pid == s->v[i].leader)
			return true;
	return false;
}

static bool belongs(const struct sessions *s, pid_t pid, const struct process_info *info)
{
	for (size_t i = 0; i < s->n; i++) {
		if (pid == s->v[i].leader) /* maybe not yet a session's leader */
			return true;
		if (info->session == s->v[i].leader && info->start_time >= s->v[i].start)
			return s->v[i].leader_lives || is_filtered(pid);
	}
	return false;
}

static uint64_t cpu_time(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void add_usage(struct process_usage *u, pid_t pid, const struct process_info *info)
{
	u->count++;
	u->cpu_ns += cpu_time(pid);
	u->memory_bytes += info->resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct member {
	pid_t pid;
	struct process_info info;
};

/* All live processes of the sessions. */
static int scan(const struct sessions *s, struct member **ret, size_t *ret_n)
{
	_cleanup_closedir_ DIR *d = opendir("/proc");
	_cleanup_free_ struct member *v = NULL;
	size_t n = 0, cap = 0;
	struct dirent *e;

	if (!d)
		return -errno;
	while (s->n && (e = readdir(d))) {
		struct process_info info;
		uint32_t pid;

		if (parse_u32(e->d_name, &pid) < 0 || !may_belong(s, (pid_t)pid))
			continue;
		if (process_info_read((pid_t)pid, &info) < 0 || info.ended || !belongs(s, (pid_t)pid, &info))
			continue;
		if (n == cap) {
			struct member *more = reallocarray(v, cap = cap ? cap * 2 : 16, sizeof(*v));

			if (!more)
				return -ENOMEM;
			v = more;
		}
		v[n++] = (struct member){ (pid_t)pid, info };
	}
	*ret = take_ptr(v);
	*ret_n = n;
	return 0;
}

static int members(const struct box *box, struct member **ret, size_t *ret_n, struct error *err)
{
	_cleanup_(sessions_free) struct sessions s = { 0 };
	int r = read_sessions(box, &s);

	if (r == 0)
		r = scan(&s, ret, ret_n);
	return r < 0 ? error_sys(err, r, "cannot find the processes of container '%s'", box->id) : 0;
}

int track_processes(const struct box *box, pid_t **ret, size_t *ret_n, struct process_usage *usage, struct error *err)
{
	_cleanup_free_ struct member *v = NULL;
	size_t n = 0;
	pid_t *pids;
	int r;

	r = members(box, &v, &n, err);
	if (r < 0)
		return r;
	pids = calloc(n + 1, sizeof(*pids));
	if (!pids)
		return error_oom(err);
	if (usage)
		*usage = (struct process_usage){ 0 };
	for (size_t i = 0; i < n; i++) {
		pids[i] = v[i].pid;
		if (usage)
			add_usage(usage, v[i].pid, &v[i].info);
	}
	*ret = pids;
	*ret_n = n;
	return 0;
}

/* To the very process that was found: its number may have a new owner. -ESRCH: it is gone. */
static int signal_member(const struct member *m, int signal)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, m->pid, 0);
	struct process_info info;

	if (fd < 0)
		return -errno;
	if (process_info_read(m->pid, &info) < 0 || info.start_time != m->info.start_time)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 ? -errno : 0;
}

/* Whether SIGNAL still has something to do. */
static bool pending(const struct member *m, int signal)
{
	return signal == SIGKILL || (signal == SIGSTOP && m->info.state != 'T' && m->info.state != 't');
}

/* Sends SIGNAL to every process found; *RET_PENDING: how many were not yet in the state it leads to. The number found. */
static int signal_round(const struct box *box, int signal, size_t *ret_pending, struct error *err)
{
	_cleanup_free_ struct member *v = NULL;
	size_t n = 0;
	int r = members(box, &v, &n, err);

	*ret_pending = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		int one = signal_member(&v[i], signal);

		*ret_pending += pending(&v[i], signal);
		if (one < 0 && one != -ESRCH)
			r = error_sys(err, one, "cannot signal process %d of container '%s'", (int)v[i].pid, box->id);
	}
	return r < 0 ? r : (int)n;
}

static void nap(void)
{
	nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
}

int track_signal(const struct box *box, int signal, struct error *err)
{
	size_t left;
	int r = signal_round(box, signal, &left, err);

	for (int round = 0; r >= 0 && left && round < ROUNDS_MAX; round++) {
		nap();
		r = signal_round(box, signal, &left, err);
	}
	if (r >= 0 && left)
		return error_set(err, ETIMEDOUT, "%zu processes of container '%s' do not stop", left, box->id);
	return r < 0 ? r : 0;
}

/*
 * The process that made the box and adopts its orphans has no child any more: then the box has no process, save for what
 * `exec` put there. Spares the foreground `run` a look at every process of the host.
 */
static bool known_empty(const struct box *box, bool made_by_us)
{
	struct json_object *sessions;
	siginfo_t info;
	int adopts = 0;

	if (!made_by_us || json_object_object_get_ex(box->data, SESSIONS_KEY, &sessions) ||
	    prctl(PR_GET_CHILD_SUBREAPER, &adopts) < 0 || !adopts)
		return false;
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
}

static int kill_all(const struct box *box, struct error *err)
{
	struct timespec now, end;
	size_t left;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += KILL_SECONDS;
	for (;;) {
		r = signal_round(box, SIGSTOP, &left, err); /* who is stopped cannot fork away */
		if (r > 0)
			r = signal_round(box, SIGKILL, &left, err);
		if (r <= 0)
			return r;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec)
			return error_set(err, EBUSY, "%zu processes of container '%s' do not die", left, box->id);
		nap();
	}
}

int track_kill(const struct box *box, struct error *err)
{
	_cleanup_box_ struct box *fresh = NULL;

	/* What `exec` noted since the caller read the record. */
	if (box_load(box->root, box->id, false, &fresh, NULL) < 0)
		return kill_all(box, err);
	return known_empty(fresh, box->is_new) ? 0 : kill_all(fresh, err);
}
