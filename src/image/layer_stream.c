#include "image/layer_stream.h"

#include <archive.h>
#include <isa-l/igzip_lib.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum {
	RING = 8,
	BUFFER_SIZE = 256 << 10,
	READER_UNPACKER = 0,
	READER_DIGEST = 1,
	READERS = 2,
};

struct layer_stream {
	const struct layer_input *input;
	const struct image_limits *limits;

	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned char *buffers; /* RING of BUFFER_SIZE bytes */
	size_t fill[RING];
	uint64_t written, read[READERS]; /* buffers, counted from the start */
	bool ended;			 /* no buffer follows */
	bool cancelled;			 /* the unpacker has given up */
	bool holding;			 /* the unpacker looks at buffer read[READER_UNPACKER] */
	struct error err;		 /* the producer's, once ended */

	struct hash *hash;
	pthread_t producer, digester;
	bool producer_runs, digester_runs;

	/* the producer's own */
	unsigned char *packed;
	size_t sniffed; /* bytes of packed that were read to tell the format */
	uint64_t packed_total, unpacked_total;
};

static ssize_t read_packed(struct layer_stream *s, void *buf, size_t len)
{
	const struct layer_input *in = s->input;
	ssize_t n;

	if (in->length != UINT64_MAX && len > in->length - s->packed_total)
		len = (size_t)(in->length - s->packed_total);
	if (len == 0)
		return 0;
	do
		n = in->length == UINT64_MAX ? read(in->fd, buf, len)
					     : pread(in->fd, buf, len, (off_t)(in->offset + s->packed_total));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(&s->err, errno, "cannot read the layer");
	if (n == 0 && in->length != UINT64_MAX)
		return error_set(&s->err, EBADMSG, "the layer ends after %llu of %llu bytes",
				 (unsigned long long)s->packed_total, (unsigned long long)in->length);
	s->packed_total += (uint64_t)n;
	if (n > 0 && in->copy) {
		int r = blob_append(in->copy, buf, (size_t)n, &s->err);

		if (r < 0)
			return r;
	}
	return n;
}

/* libarchive's view of the packed bytes: first those that were read to tell the format. */
static la_ssize_t read_for_filter(struct archive *a, void *data, const void **ret)
{
	struct layer_stream *s = data;
	ssize_t n;

	*ret = s->packed;
	if (s->sniffed) {
		n = (ssize_t)s->sniffed;
		s->sniffed = 0;
		return n;
	}
	n = read_packed(s, s->packed, BUFFER_SIZE);
	if (n < 0)
		archive_set_error(a, (int)-n, "%s", s->err.message);
	return n;
}

/* Waits for an empty buffer; NULL when nobody will read it. */
static unsigned char *ring_wait_empty(struct layer_stream *s)
{
	bool cancelled;
	uint64_t slot;

	pthread_mutex_lock(&s->mutex);
	while (!s->cancelled &&
	       s->written - MIN(s->read[READER_UNPACKER], s->digester_runs ? s->read[READER_DIGEST] : UINT64_MAX) >=
		   RING)
		pthread_cond_wait(&s->changed, &s->mutex);
	cancelled = s->cancelled;
	slot = s->written % RING;
	pthread_mutex_unlock(&s->mutex);
	return cancelled ? NULL : s->buffers + slot * BUFFER_SIZE;
}

static void ring_push(struct layer_stream *s, size_t len)
{
	pthread_mutex_lock(&s->mutex);
	s->fill[s->written % RING] = len;
	s->written++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mutex);
}

/* Waits for the next full buffer of READER: NULL at the end. */
static const unsigned char *ring_wait_full(struct layer_stream *s, int reader, size_t *ret_len)
{
	const unsigned char *p = NULL;

	pthread_mutex_lock(&s->mutex);
	while (s->read[reader] == s->written && !s->ended && !s->cancelled)
		pthread_cond_wait(&s->changed, &s->mutex);
	if (s->read[reader] < s->written && !s->cancelled) {
		p = s->buffers + s->read[reader] % RING * BUFFER_SIZE;
		*ret_len = s->fill[s->read[reader] % RING];
	}
	pthread_mutex_unlock(&s->mutex);
	return p;
}

static void ring_release(struct layer_stream *s, int reader)
{
	pthread_mutex_lock(&s->mutex);
	s->read[reader]++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mutex);
}

static int check_bomb(struct layer_stream *s)
{
	if (s->unpacked_total > s->limits->unpacked)
		return error_set(
		    &s->err, EFBIG,
		    "the layer unpacks to more than %llu bytes; raise the limit with --max-unpacked-size if you "
		    "trust it",
		    (unsigned long long)s->limits->unpacked);
	if (s->unpacked_total > IMAGE_RATIO_FLOOR && s->unpacked_total / s->limits->ratio > s->packed_total)
		return error_set(
		    &s->err, EFBIG,
		    "the layer is a decompression bomb: %llu bytes unpacked to more than %llu; raise the limit "
		    "with --max-ratio if you trust it",
		    (unsigned long long)s->packed_total, (unsigned long long)s->unpacked_total);
	return 0;
}

static int produce_plain(struct layer_stream *s)
{
	for (;;) {
		unsigned char *buf = ring_wait_empty(s);
		ssize_t n;
		int r;

		if (!buf)
			return -ECANCELED;
		if (s->sniffed) {
			n = (ssize_t)s->sniffed;
			memcpy(buf, s->packed, s->sniffed);
			s->sniffed = 0;
		} else {
			n = read_packed(s, buf, BUFFER_SIZE);
		}
		if (n <= 0)
			return (int)n;
		s->unpacked_total += (uint64_t)n;
		r = check_bomb(s);
		if (r < 0)
			return r;
		ring_push(s, (size_t)n);
	}
}

static int filter_failed(struct layer_stream *s, struct archive *a)
{
	if (s->err.code) /* our own reader failed, and said why */
		return -s->err.code;
	return error_set(&s->err, EBADMSG, "the layer cannot be decompressed: %s",
			 archive_error_string(a) ?: "damaged data");
}

static int produce_filtered(struct layer_stream *s, int filter)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	int r = -ENOMEM;

	if (!a)
		return error_oom(&s->err);
	if (archive_read_append_filter(a, filter) != ARCHIVE_OK || archive_read_support_format_raw(a) != ARCHIVE_OK ||
	    archive_read_support_format_empty(a) != ARCHIVE_OK ||
	    archive_read_open(a, s, NULL, read_for_filter, NULL) != ARCHIVE_OK) {
		r = filter_failed(s, a);
		goto out;
	}
	r = archive_read_next_header(a, &entry);
	if (r == ARCHIVE_EOF) {
		r = 0;
		goto out;
	}
	if (r != ARCHIVE_OK) {
		r = filter_failed(s, a);
		goto out;
	}
	for (;;) {
		unsigned char *buf = ring_wait_empty(s);
		la_ssize_t n;

		r = -ECANCELED;
		if (!buf)
			break;
		n = archive_read_data(a, buf, BUFFER_SIZE);
		r = n < 0 ? filter_failed(s, a) : 0;
		if (n <= 0)
			break;
		s->unpacked_total += (uint64_t)n;
		r = check_bomb(s);
		if (r < 0)
			break;
		ring_push(s, (size_t)n);
	}
out:
	archive_read_free(a);
	return r;
}

/* The next packed bytes; those read to tell the format first. 0 at the end. */
static ssize_t next_packed(struct layer_stream *s)
{
	size_t n = s->sniffed;

	s->sniffed = 0;
	return n ? (ssize_t)n : read_packed(s, s->packed, BUFFER_SIZE);
}

/* gzip by ISA-L, which is more than twice as fast as zlib; several members one after the other are one stream. */
static int produce_gzip(struct layer_stream *s)
{
	_cleanup_free_ struct inflate_state *z = malloc(sizeof(*z));
	bool ended = false;

	if (!z)
		return error_oom(&s->err);
	isal_inflate_init(z);
	z->crc_flag = ISAL_GZIP;
	z->avail_in = 0;
	while (!ended) {
		unsigned char *buf = ring_wait_empty(s);
		size_t len;
		int r;

		if (!buf)
			return -ECANCELED;
		z->next_out = buf;
		z->avail_out = BUFFER_SIZE;
		while (z->avail_out > 0 && !ended) {
			if (z->avail_in == 0) {
				ssize_t n = next_packed(s);

				if (n < 0)
					return (int)n;
				ended = n == 0;
				z->next_in = s->packed;
				z->avail_in = (uint32_t)n;
			}
			if (z->block_state == ISAL_BLOCK_FINISH) { /* another member, or what gzip(1) ignores */
				if (z->avail_in == 0 || z->next_in[0] != 0x1f) {
					ended = true;
					break;
				}
				isal_inflate_reset(z);
				z->crc_flag = ISAL_GZIP;
			}
			r = isal_inflate(z);
			if (r != ISAL_DECOMP_OK)
				return error_set(&s->err, EBADMSG,
						 "the layer cannot be decompressed: its gzip data is damaged (%d)", r);
			if (ended && z->avail_out > 0 && z->block_state != ISAL_BLOCK_FINISH)
				return error_set(&s->err, EBADMSG,
						 "the layer cannot be decompressed: its gzip data is cut off");
			if (z->avail_out == 0)
				ended = false; /* there may be more in the decompressor */
		}
		len = BUFFER_SIZE - z->avail_out;
		if (len == 0)
			break;
		s->unpacked_total += len;
		r = check_bomb(s);
		if (r < 0)
			return r;
		ring_push(s, len);
	}
	return 0;
}

/* What follows the compressed data belongs to the blob too (and to its digest). */
static int drain_packed(struct layer_stream *s)
{
	ssize_t n;

	do
		n = read_packed(s, s->packed, BUFFER_SIZE);
	while (n > 0);
	return (int)n;
}

static int tell_filter(struct layer_stream *s)
{
	static const struct {
		int filter;
		size_t len;
		const char *magic;
	} magics[] = {
	    {ARCHIVE_FILTER_GZIP, 2, "\x1f\x8b"},
	    {ARCHIVE_FILTER_ZSTD, 4, "\x28\xb5\x2f\xfd"},
	    {ARCHIVE_FILTER_ZSTD, 4, "\x50\x2a\x4d\x18"}, /* a skippable frame first (zstd:chunked) */
	    {ARCHIVE_FILTER_BZIP2, 3, "BZh"},
	    {ARCHIVE_FILTER_XZ, 6,
	     "\xfd"
	     "7zXZ"},
	};

	while (s->sniffed < 6) {
		ssize_t n = read_packed(s, s->packed + s->sniffed, BUFFER_SIZE - s->sniffed);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		s->sniffed += (size_t)n;
	}
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if (s->sniffed >= magics[i].len && memcmp(s->packed, magics[i].magic, magics[i].len) == 0)
			return magics[i].filter;
	return ARCHIVE_FILTER_NONE;
}

static void *producer_main(void *data)
{
	struct layer_stream *s = data;
	int r = tell_filter(s);

	if (r >= 0)
		r = r == ARCHIVE_FILTER_NONE   ? produce_plain(s)
		    : r == ARCHIVE_FILTER_GZIP ? produce_gzip(s)
					       : produce_filtered(s, r);
	if (r >= 0)
		r = drain_packed(s);
	pthread_mutex_lock(&s->mutex);
	if (r < 0 && !s->err.code)
		error_set(&s->err, ECANCELED, "the layer was not read to its end");
	s->ended = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static void *digester_main(void *data)
{
	struct layer_stream *s = data;
	const unsigned char *p;
	size_t len;

	while ((p = ring_wait_full(s, READER_DIGEST, &len))) {
		hash_update(s->hash, p, len);
		ring_release(s, READER_DIGEST);
	}
	return NULL;
}

int layer_stream_open(const struct layer_input *input, const struct image_limits *limits, struct layer_stream **ret,
		      struct error *err)
{
	_cleanup_layer_stream_ struct layer_stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_oom(err);
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->input = input;
	s->limits = limits;
	s->buffers = malloc(RING * BUFFER_SIZE);
	s->packed = malloc(BUFFER_SIZE);
	if (!s->buffers || !s->packed)
		return error_oom(err);
	r = hash_new(input->algorithm ?: "sha256", &s->hash, err);
	if (r < 0)
		return r;
	s->digester_runs = true; /* before the producer asks */
	r = pthread_create(&s->digester, NULL, digester_main, s);
	if (r != 0) {
		s->digester_runs = false;
		return error_sys(err, r, "cannot start a thread");
	}
	r = pthread_create(&s->producer, NULL, producer_main, s);
	if (r != 0)
		return error_sys(err, r, "cannot start a thread");
	s->producer_runs = true;
	*ret = take_ptr(s);
	return 0;
}

ssize_t layer_stream_next(struct layer_stream *s, const void **ret)
{
	size_t len = 0;

	if (s->holding)
		ring_release(s, READER_UNPACKER);
	*ret = ring_wait_full(s, READER_UNPACKER, &len);
	s->holding = *ret != NULL;
	if (s->holding)
		return (ssize_t)len;
	return s->err.code ? -s->err.code : 0; /* ended: the producer writes no more */
}

static void join(struct layer_stream *s)
{
	if (s->producer_runs)
		pthread_join(s->producer, NULL);
	s->producer_runs = false;
	if (s->digester_runs)
		pthread_join(s->digester, NULL);
	s->digester_runs = false;
}

int layer_stream_finish(struct layer_stream *s, char ret_diff_id[DIGEST_TEXT_MAX], uint64_t *ret_size,
			struct error *err)
{
	const void *p;
	ssize_t n;

	do
		n = layer_stream_next(s, &p);
	while (n > 0);
	join(s);
	if (n < 0) {
		if (err)
			*err = s->err;
		return (int)n;
	}
	*ret_size = s->unpacked_total;
	return hash_final(s->hash, ret_diff_id, err);
}

void layer_stream_free(struct layer_stream *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mutex);
	s->cancelled = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mutex);
	join(s);
	hash_free(s->hash);
	free(s->buffers);
	free(s->packed);
	pthread_mutex_destroy(&s->mutex);
	pthread_cond_destroy(&s->changed);
	free(s);
}
