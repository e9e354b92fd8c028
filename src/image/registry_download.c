/* Blobs fetched in the background: several at once, each resumed where an earlier attempt ended. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/log.h"
#include "base/strv.h"
#include "image/registry_internal.h"

#define PROGRESS_RESETS_ATTEMPTS (1 << 20) /* bytes that show that a retry was worth it */

enum state { WAITING, RUNNING, DONE, FAILED };

struct transfer {
	const struct descriptor *d;
	struct registry *registry;
	enum state state;
	unsigned attempts, delay;
	uint64_t not_before; /* milliseconds on the monotonic clock */
	bool authenticated;  /* a 401 was answered already */
	bool from_scratch;   /* a resumed blob was wrong: it was fetched anew */
	bool resumed;
	CURL *easy;
	struct blob_writer writer;
	uint64_t started_at; /* offset when this attempt began */
	long status;
	bool status_checked;
	uint64_t range_start;
	char *url;
	char **challenges;
	char message[512]; /* of an error answer */
	size_t message_len;
	struct error err;
};

struct downloads {
	struct registry *registry;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t thread;
	bool started, stop;
	CURLM *multi;
	struct transfer **v;
	size_t n, cap;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct transfer *find(struct downloads *d, const char *digest)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->v[i]->d->digest, digest) == 0)
			return d->v[i];
	return NULL;
}

static int add_transfer(struct downloads *d, const struct descriptor *descriptor, struct error *err)
{
	struct transfer *t;

	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 16;
		struct transfer **v = reallocarray(d->v, cap, sizeof(*v));

		if (!v)
			return error_oom(err);
		d->v = v;
		d->cap = cap;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return error_oom(err);
	t->d = descriptor;
	t->registry = d->registry;
	t->writer = BLOB_WRITER_INIT;
	t->delay = d->registry->options.http.retry_delay;
	d->v[d->n++] = t;
	return 0;
}

int downloads_add(struct registry *r, const struct descriptor *v, size_t n, struct error *err)
{
	int code = 0;

	if (!r->downloads) {
		r->downloads = calloc(1, sizeof(*r->downloads));
		if (!r->downloads)
			return error_oom(err);
		r->downloads->registry = r;
		pthread_mutex_init(&r->downloads->mutex, NULL);
		pthread_cond_init(&r->downloads->changed, NULL);
	}
	for (size_t i = 0; i < n && code >= 0; i++)
		if (!content_blob_exists(r->content, v[i].digest) && !find(r->downloads, v[i].digest))
			code = add_transfer(r->downloads, &v[i], err);
	return code;
}

static void set_state(struct transfer *t, enum state state)
{
	struct downloads *d = t->registry->downloads;

	pthread_mutex_lock(&d->mutex);
	t->state = state;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->mutex);
}

static void fail(struct transfer *t)
{
	blob_abort(&t->writer, t->err.code != EFBIG); /* a blob that is too long is wrong from the start */
	set_state(t, FAILED);
}

static size_t on_header(char *line, size_t size, size_t len, void *p)
{
	struct transfer *t = p;

	if (len > 5 && strncmp(line, "HTTP/", 5) == 0) {
		strv_free(t->challenges);
		t->challenges = NULL;
		t->range_start = UINT64_MAX;
		t->status_checked = false;
	} else if (len > 17 && strncasecmp(line, "WWW-Authenticate:", 17) == 0) {
		char *value = strndup(line + 17, len - 17);

		if (!value)
			return 0;
		value[strcspn(value, "\r\n")] = 0;
		if (strv_len(t->challenges) > 16 || strv_add(&t->challenges, value + strspn(value, " \t")) < 0)
			len = 0;
		free(value);
	} else if (len > 20 && strncasecmp(line, "Content-Range: bytes ", 21) == 0) {
		t->range_start = strtoull(line + 21, NULL, 10);
	}
	return len;
}

/* What the answer's status means for the bytes that follow: 1 take them, 0 they are an error's text, negative: fail. */
static int check_status(struct transfer *t)
{
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
	if (t->status == 206) {
		if (t->range_start != t->writer.offset)
			return error_set(&t->err, EPROTO, "blob %s: the registry sends another part than was asked for",
					 t->d->digest);
		return 1;
	}
	if (t->status != 200)
		return 0;
	return t->writer.offset ? (blob_restart(&t->writer, &t->err) < 0 ? -EIO : 1) : 1;
}

static size_t on_body(char *data, size_t size, size_t n, void *p)
{
	struct transfer *t = p;

	if (!t->status_checked) {
		if (check_status(t) < 0)
			return 0;
		t->status_checked = true;
	}
	if (t->status != 200 && t->status != 206) {
		size_t room = sizeof(t->message) - 1 - t->message_len, take = MIN(room, n);

		memcpy(t->message + t->message_len, data, take);
		t->message_len += take;
		t->message[t->message_len] = 0;
		return n;
	}
	return blob_append(&t->writer, data, n, &t->err) < 0 ? 0 : n;
}

static int setup(struct transfer *t)
{
	struct http_auth auth = registry_auth(t->registry);
	char range[32];

	if (!t->easy && !(t->easy = curl_easy_init()))
		return error_oom(&t->err);
	curl_easy_reset(t->easy);
	free(t->url);
	if (asprintf(&t->url, "%s/%s/blobs/%s", t->registry->base, t->registry->repository, t->d->digest) < 0) {
		t->url = NULL;
		return error_oom(&t->err);
	}
	http_setup(&t->registry->client, t->easy, t->url, &auth);
	curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	if (t->writer.offset) {
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)t->writer.offset);
		curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
		t->resumed = true;
	}
	t->started_at = t->writer.offset;
	t->status = 0;
	t->status_checked = false;
	t->range_start = UINT64_MAX;
	t->message_len = 0;
	t->message[0] = 0;
	return 0;
}

static void finish(struct transfer *t)
{
	struct error err = ERROR_INIT;

	if (blob_commit(&t->writer, &err) >= 0) {
		set_state(t, DONE);
		return;
	}
	if (err.code == EBADMSG && t->resumed &&
	    !t->from_scratch) { /* what an earlier attempt left may be the culprit */
		t->from_scratch = true;
		t->resumed = false;
		set_state(t, WAITING);
		return;
	}
	t->err = err;
	fail(t);
}

/* Opens the writer where there is none, and starts the transfer. False: not now. */
static bool start(struct downloads *d, struct transfer *t)
{
	int r;

	if (t->writer.fd < 0) {
		r = blob_begin(t->registry->content, t->d->digest, t->d->size, &t->writer, &t->err);
		if (r == -EAGAIN) { /* another process fetches it: look again later */
			t->err = ERROR_INIT;
			t->not_before = now_ms() + 100;
			return false;
		}
		if (r != 0) {
			if (r > 0)
				set_state(t, DONE);
			else
				fail(t);
			return false;
		}
		if (t->writer.offset == t->writer.size) {
			t->resumed = true;
			finish(t);
			return false;
		}
	}
	if (setup(t) < 0 || curl_multi_add_handle(d->multi, t->easy) != CURLM_OK) {
		error_set(&t->err, ENOMEM, "cannot start a download");
		fail(t);
		return false;
	}
	set_state(t, RUNNING);
	return true;
}

static void retry(struct transfer *t, const char *why)
{
	if (t->writer.offset > t->started_at + PROGRESS_RESETS_ATTEMPTS) {
		t->attempts = 0;
		t->delay = t->registry->options.http.retry_delay;
	}
	log_info("blob %s: %s; trying again in %u ms", t->d->digest, why, t->delay);
	t->attempts++;
	t->not_before = now_ms() + t->delay;
	t->delay = MIN(t->delay * 2, 60000u);
	set_state(t, WAITING);
}

static bool may_retry(const struct transfer *t)
{
	return t->attempts < t->registry->options.http.retries ||
	       t->writer.offset > t->started_at + PROGRESS_RESETS_ATTEMPTS;
}

static void on_refused(struct transfer *t)
{
	struct error err = ERROR_INIT;

	if (t->authenticated) {
		http_status_error(t->status, t->message, t->registry->name, &t->err);
		fail(t);
		return;
	}
	t->authenticated = true;
	if (registry_authenticate(t->registry, t->challenges, &err) < 0) {
		t->err = err;
		fail(t);
		return;
	}
	set_state(t, WAITING);
}

static void on_end(struct transfer *t, CURLcode code)
{
	bool success;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
	success = code == CURLE_OK && (t->status == 200 || t->status == 206);
	if (success && t->writer.offset == t->writer.size) {
		finish(t);
	} else if (t->err.code) { /* our own callbacks refused the data */
		fail(t);
	} else if (code == CURLE_OK && t->status == 401) {
		on_refused(t);
	} else if (code == CURLE_OK && t->status == 416 && blob_restart(&t->writer, NULL) >= 0 && may_retry(t)) {
		retry(t, "the registry cannot go on where we ended");
	} else if (success && may_retry(t)) {
		retry(t, "the registry cut it off");
	} else if (http_is_transient(code, t->status) && may_retry(t)) {
		retry(t, code == CURLE_OK ? "the registry has a problem" : curl_easy_strerror(code));
	} else {
		if (success)
			error_set(&t->err, EBADMSG, "blob %s has %llu bytes, its descriptor says %llu", t->d->digest,
				  (unsigned long long)t->writer.offset, (unsigned long long)t->d->size);
		else if (code == CURLE_OK)
			http_status_error(t->status, t->message, t->d->digest, &t->err);
		else
			http_transfer_error(&t->registry->client, code, t->url, &t->err);
		fail(t);
	}
}

static void report(struct downloads *d)
{
	const struct registry_options *o = &d->registry->options;
	uint64_t bytes = 0, all = 0;
	unsigned done = 0;

	if (!o->progress)
		return;
	for (size_t i = 0; i < d->n; i++) {
		all += d->v[i]->d->size;
		bytes += d->v[i]->state == DONE ? d->v[i]->d->size : d->v[i]->writer.offset;
		done += d->v[i]->state == DONE;
	}
	o->progress(o->progress_data, bytes, all, done, (unsigned)d->n);
}

/* Starts what may start. The number of transfers that are not over. */
static unsigned schedule(struct downloads *d)
{
	unsigned running = 0, left = 0;
	uint64_t now = now_ms();

	for (size_t i = 0; i < d->n; i++)
		running += d->v[i]->state == RUNNING;
	for (size_t i = 0; i < d->n; i++) {
		struct transfer *t = d->v[i];

		if (t->state == WAITING && running < d->registry->options.parallel && now >= t->not_before)
			running += start(d, t);
		left += t->state == WAITING || t->state == RUNNING;
	}
	return left;
}

static bool is_stopped(struct downloads *d)
{
	bool stop;

	pthread_mutex_lock(&d->mutex);
	stop = d->stop;
	pthread_mutex_unlock(&d->mutex);
	return stop;
}

static void *downloads_main(void *data)
{
	struct downloads *d = data;

	while (!is_stopped(d) && schedule(d) > 0) {
		int running, queued;
		CURLMsg *m;

		curl_multi_perform(d->multi, &running);
		while ((m = curl_multi_info_read(d->multi, &queued))) {
			struct transfer *t;
			CURLcode code = m->data.result;

			if (m->msg != CURLMSG_DONE)
				continue;
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
			curl_multi_remove_handle(d->multi, t->easy);
			on_end(t, code);
		}
		report(d);
		curl_multi_poll(d->multi, NULL, 0, running ? 100 : 20, NULL);
	}
	report(d);
	return NULL;
}

static int ensure_started(struct downloads *d, struct error *err)
{
	int r;

	if (d->started)
		return 0;
	d->multi = curl_multi_init();
	if (!d->multi)
		return error_oom(err);
	r = pthread_create(&d->thread, NULL, downloads_main, d);
	if (r != 0)
		return error_sys(err, r, "cannot start a thread");
	d->started = true;
	return 0;
}

int downloads_wait(struct registry *r, const char *digest, struct error *err)
{
	struct transfer *t = r->downloads ? find(r->downloads, digest) : NULL;
	int code;

	if (content_blob_exists(r->content, digest))
		return 0;
	if (!t)
		return error_set(err, ENOENT, "blob %s was not asked for", digest);
	code = ensure_started(r->downloads, err);
	if (code < 0)
		return code;
	pthread_mutex_lock(&r->downloads->mutex);
	while (t->state != DONE && t->state != FAILED)
		pthread_cond_wait(&r->downloads->changed, &r->downloads->mutex);
	pthread_mutex_unlock(&r->downloads->mutex);
	if (t->state == DONE)
		return 0;
	if (err)
		*err = t->err;
	return t->err.code ? -t->err.code : -EIO;
}

void downloads_free(struct registry *r)
{
	struct downloads *d = r->downloads;

	if (!d)
		return;
	if (d->started) {
		pthread_mutex_lock(&d->mutex);
		d->stop = true;
		pthread_mutex_unlock(&d->mutex);
		curl_multi_wakeup(d->multi);
		pthread_join(d->thread, NULL);
	}
	for (size_t i = 0; i < d->n; i++) {
		struct transfer *t = d->v[i];

		if (t->easy) {
			if (t->state == RUNNING)
				curl_multi_remove_handle(d->multi, t->easy);
			curl_easy_cleanup(t->easy);
		}
		blob_abort(&t->writer, true);
		free(t->url);
		strv_free(t->challenges);
		free(t);
	}
	free(d->v);
	if (d->multi)
		curl_multi_cleanup(d->multi);
	pthread_mutex_destroy(&d->mutex);
	pthread_cond_destroy(&d->changed);
	free(d);
	r->downloads = NULL;
}
