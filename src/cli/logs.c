/* `logs`: what a detached box wrote, from its bounded log files. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#include "base/parse.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "cli/image_box.h"
#include "monitor/life.h"
#include "monitor/protocol.h"

enum { FILES_MAX = 100, STAMP_LEN = 30 };

static struct {
	bool follow, timestamps;
	const char *since, *until, *tail;
} opt;

static const struct option options[] = {
	{ 'f', "follow", OPTION_FLAG, &opt.follow, NULL, "go on until the box ends" },
	{ 'n', "tail", OPTION_STRING, &opt.tail, "N", "only the last N lines", .fallback = "all" },
	{ 0, "since", OPTION_STRING, &opt.since, "TIME", "only what was written since TIME: RFC 3339, seconds since 1970, or 10m for "
	  "ten minutes ago" },
	{ 0, "until", OPTION_STRING, &opt.until, "TIME", "only what was written before TIME" },
	{ 't', "timestamps", OPTION_FLAG, &opt.timestamps, NULL, "show when each line was written" },
	{ 0 },
};

struct printer {
	char since[STAMP_LEN + 1], until[STAMP_LEN + 1]; /* "": no limit; RFC 3339 in UTC sorts as text */
	bool continues[2]; /* the stream's last record was a part of a line */
	uint64_t skip;     /* lines still to be left out, for --tail */
	struct strbuf held[2]; /* the beginning of a line that may be left out, when its end comes */
};

static void format_stamp(int64_t seconds, char *buf, size_t size)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
}

/* TEXT to a time that can be compared with the records' as text. */
static int parse_time(const char *option, const char *text, char *buf, size_t size, struct error *err)
{
	uint64_t ms;
	int64_t seconds;
	struct tm tm = { 0 };
	const char *rest;

	buf[0] = 0;
	if (!text)
		return 0;
	if (parse_i64(text, &seconds) == 0) {
		format_stamp(seconds, buf, size);
		return 0;
	}
	if (cli_parse_duration(text, &ms, NULL) == 0) {
		format_stamp(time(NULL) - (int64_t)(ms / 1000), buf, size);
		return 0;
	}
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		rest = strptime(text, "%Y-%m-%d", &tm);
	if (!rest || (*rest && *rest != 'Z' && *rest != '.'))
		return error_set(err, EINVAL, "option --%s: '%s' is not a time; write 2026-01-31T12:00:00Z (UTC), seconds since 1970, or 10m",
				 option, text);
	format_stamp(timegm(&tm), buf, size);
	if (*rest == '.') /* fractions compare as text */
		snprintf(buf + strlen(buf), size - strlen(buf), "%.10s", rest);
	return 0;
}

struct record {
	const char *stamp, *text;
	size_t text_len;
	int stream; /* 0 stdout, 1 stderr */
	bool whole;
};

/* "TIME stdout|stderr F|P TEXT" */
static int parse_record(const char *line, size_t len, struct record *ret)
{
	const char *p = line + STAMP_LEN;

	if (len < STAMP_LEN + 10 || p[0] != ' ' || (memcmp(p + 1, "stdout ", 7) != 0 && memcmp(p + 1, "stderr ", 7) != 0) ||
	    (p[8] != 'F' && p[8] != 'P') || p[9] != ' ')
		return -EINVAL;
	*ret = (struct record){ .stamp = line, .text = p + 10, .text_len = len - STAMP_LEN - 10,
				.stream = p[4] == 'o' ? 0 : 1, /* stdOut, stdErr */
				.whole = p[8] == 'F' };
	return 0;
}

static void print_record(struct printer *pr, const char *line, size_t len)
{
	struct record rec;
	FILE *f;

	if (parse_record(line, len, &rec) < 0)
		return;
	if ((pr->since[0] && strncmp(rec.stamp, pr->since, strlen(pr->since)) < 0) ||
	    (pr->until[0] && strncmp(rec.stamp, pr->until, strlen(pr->until)) >= 0))
		return;
	if (pr->skip) {
		if (!rec.whole) {
			strbuf_add(&pr->held[rec.stream], rec.text, rec.text_len);
		} else {
			strbuf_reset(&pr->held[rec.stream]);
			pr->skip--;
		}
		return;
	}
	f = rec.stream ? stderr : stdout;
	if (opt.timestamps && !pr->continues[rec.stream])
		fprintf(f, "%.*s ", STAMP_LEN, rec.stamp);
	fwrite(strbuf_str(&pr->held[rec.stream]), 1, pr->held[rec.stream].len, f);
	strbuf_reset(&pr->held[rec.stream]);
	fwrite(rec.text, 1, rec.text_len, f);
	if (rec.whole)
		fputc('\n', f);
	pr->continues[rec.stream] = !rec.whole;
}

/* Prints what F has from here on; whole lines only, the file's position stays at the first that is not. */
static void print_file(struct printer *pr, FILE *f)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	off_t at = ftello(f);
	ssize_t n;

	while ((n = getline(&line, &size, f)) > 0) {
		if (line[n - 1] != '\n') {
			(void)fseeko(f, at, SEEK_SET);
			break;
		}
		print_record(pr, line, (size_t)n - 1);
		at += n;
	}
	clearerr(f);
}

static FILE *open_log(int dir_fd, unsigned n)
{
	char name[32];
	int fd;
	FILE *f;

	snprintf(name, sizeof(name), n ? MONITOR_LOG ".%u" : MONITOR_LOG, n);
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	f = fd < 0 ? NULL : fdopen(fd, "re");
	if (fd >= 0 && !f)
		close(fd);
	return f;
}

static uint64_t count_lines(int dir_fd)
{
	uint64_t lines = 0;

	for (unsigned n = FILES_MAX; n-- > 0;) {
		_cleanup_fclose_ FILE *f = open_log(dir_fd, n);
		_cleanup_free_ char *line = NULL;
		size_t size = 0;
		struct record rec;
		ssize_t len;

		while (f && (len = getline(&line, &size, f)) > 0)
			lines += parse_record(line, (size_t)len - 1, &rec) == 0 && rec.whole;
	}
	return lines;
}

/* The older files first. */
static void print_rotated(struct printer *pr, int dir_fd)
{
	for (unsigned n = FILES_MAX; n-- > 1;) {
		_cleanup_fclose_ FILE *f = open_log(dir_fd, n);

		if (f)
			print_file(pr, f);
	}
}

static bool is_alive(const struct image_box *box)
{
	struct life_record life;
	bool alive = false;

	return life_read(box->dir_fd, &life, &alive) == 0 && alive;
}

/* Whether the file called "log" is another than F (it was rotated away). */
static bool was_rotated(int dir_fd, FILE *f)
{
	struct stat now, open;

	return fstatat(dir_fd, MONITOR_LOG, &now, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fileno(f), &open) == 0 &&
	       now.st_ino != open.st_ino;
}

static int follow(struct printer *pr, const struct image_box *box, FILE **f, struct error *err)
{
	_cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	bool last = false;

	if (watch < 0 || inotify_add_watch(watch, box->path, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF) < 0)
		return error_sys(err, errno, "cannot watch '%s'", box->path);
	for (;;) {
		struct pollfd change = { .fd = watch, .events = POLLIN };
		char events[4096];

		if (*f)
			print_file(pr, *f);
		if (fflush(stdout) == EOF)
			return error_sys(err, errno, "cannot write the log");
		if (!*f || was_rotated(box->dir_fd, *f)) {
			if (*f)
				fclose(*f);
			*f = open_log(box->dir_fd, 0);
			if (*f)
				continue;
		}
		if (last)
			return 0;
		last = !is_alive(box); /* then what it wrote is in the file: one more look */
		if (!last && poll(&change, 1, 1000) > 0)
			while (read(watch, events, sizeof(events)) > 0)
				;
	}
}

static void free_printer(struct printer *pr)
{
	strbuf_free(&pr->held[0]);
	strbuf_free(&pr->held[1]);
}

static int run_logs(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_(free_printer) struct printer pr = { .skip = 0 };
	int r;

	r = parse_time("since", opt.since, pr.since, sizeof(pr.since), err);
	if (r == 0)
		r = parse_time("until", opt.until, pr.until, sizeof(pr.until), err);
	if (r == 0)
		r = image_box_load(cli, operands[0], &box, err);
	if (r < 0)
		return r;
	if (strcmp(opt.tail, "all") != 0) {
		uint64_t tail, lines;

		if (parse_u64(opt.tail, &tail) < 0)
			return error_set(err, EINVAL, "option --tail: '%s' is neither a number nor all", opt.tail);
		lines = count_lines(box.dir_fd);
		pr.skip = lines > tail ? lines - tail : 0;
	}
	print_rotated(&pr, box.dir_fd);
	f = open_log(box.dir_fd, 0);
	if (!f && errno != ENOENT)
		return error_sys(err, errno, "cannot open the log of box '%s'", box.id);
	if (!f && !opt.follow)
		return error_set(err, ENOENT, "box '%s' has no log: only detached boxes keep what they write", box.id);
	if (opt.follow)
		return follow(&pr, &box, &f, err);
	print_file(&pr, f);
	return 0;
}

const struct command cli_logs = {
	.name = "logs",
	.group = "Boxes made from images",
	.operands = "ID",
	.summary = "show what a detached box wrote",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_logs,
};
