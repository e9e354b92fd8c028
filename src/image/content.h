/*
 * The writing side of the store (store.h has the layout). Nothing gets its final name before it is complete and its
 * digest is verified, and that name is given by rename(2), so the store is sound after a kill at any moment; what a
 * killed writer left in ingest/ is resumed (downloads) or removed by the next writer or by gc.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "image/hash.h"

struct content {
	int dirfd;
	int lock;
	char *path; /* owned, absolute */
};

/* Opens the store at PATH (NULL: the default), making it if it is not there. A folder that holds other things is
 * refused. */
int content_open(const char *path, struct content *ret, struct error *err);
void content_close(struct content *c);

/*
 * Takes the store's lock until content_close(): shared by those who add, exclusive for those who remove. -EWOULDBLOCK
 * when not WAIT and somebody is in the way.
 */
int content_lock(struct content *c, bool exclusive, bool wait, struct error *err);

/* "blobs/sha256/HEX" of a valid digest. Owned; NULL when out of memory. */
char *content_blob_path(const char *digest) _must_check_;
/* Opens a blob for reading; -ENOENT without a message in ERR when it is not there. RET_SIZE may be NULL. */
int content_blob_open(struct content *c, const char *digest, int *ret_fd, uint64_t *ret_size, struct error *err);
bool content_blob_exists(struct content *c, const char *digest);
/* Reads a blob of at most MAX bytes whole; NUL-terminated, owned. The digest is verified again. */
int content_blob_read(struct content *c, const char *digest, size_t max, char **ret, size_t *ret_len,
		      struct error *err);
/* Stores DATA as a blob; RET_DIGEST gets its sha256 digest. */
int content_blob_put(struct content *c, const void *data, size_t len, char ret_digest[DIGEST_TEXT_MAX],
		     struct error *err);

/* A blob being written. */
struct blob_writer {
	struct content *content;
	int fd;
	char digest[DIGEST_TEXT_MAX];	 /* wanted; "" when it is only known at the end */
	char name[DIGEST_TEXT_MAX + 16]; /* below ingest/ */
	uint64_t size;			 /* wanted; UINT64_MAX when not known */
	uint64_t offset;		 /* bytes written and hashed so far: where a download goes on */
	struct hash *hash;
};

#define BLOB_WRITER_INIT ((struct blob_writer){.fd = -1})

/*
 * Begins (or resumes) writing the blob DIGEST of SIZE bytes. 1: it is there already, nothing to do. 0: W is ready,
 * W->offset bytes are there. -EAGAIN: somebody else is writing it; try again later. DIGEST may be NULL and SIZE
 * UINT64_MAX where they are not known.
 */
int blob_begin(struct content *c, const char *digest, uint64_t size, struct blob_writer *w, struct error *err);
/* Throws away what was written: the next byte is the first. */
int blob_restart(struct blob_writer *w, struct error *err);
/* -EFBIG when that is more than the wanted size. */
int blob_append(struct blob_writer *w, const void *data, size_t len, struct error *err);
/* Verifies size and digest and gives the blob its name. A wrong blob is removed: -EBADMSG. W->digest has the digest. */
int blob_commit(struct blob_writer *w, struct error *err);
/* Ends writing; what is there is kept for a later attempt if KEEP and the digest is known. Safe after commit. */
void blob_abort(struct blob_writer *w, bool keep);

static inline void cleanup_blob(struct blob_writer *w)
{
	blob_abort(w, false);
}

#define _cleanup_blob_ _cleanup_(cleanup_blob)
#define _cleanup_content_ _cleanup_(content_close)
#define CONTENT_INIT ((struct content){.dirfd = -1, .lock = -1})

/* A layer being unpacked into ingest/NAME/diff. */
struct layer_writer {
	struct content *content;
	int lock;  /* held while the layer is being made */
	int dirfd; /* of ingest/NAME */
	int diff;  /* of ingest/NAME/diff, the layer's root */
	char name[DIGEST_TEXT_MAX + 16];
};

#define LAYER_WRITER_INIT ((struct layer_writer){.lock = -1, .dirfd = -1, .diff = -1})

/* The layer ID of a diff-id: "sha256-HEX"; of a chain-id: "chain-sha256-HEX". */
void layer_id(const char *digest, bool chain, char ret[DIGEST_TEXT_MAX + 8]);
bool content_layer_exists(struct content *c, const char *id);
/* Opens layers/ID/diff as a directory (O_PATH). */
int content_layer_open(struct content *c, const char *id, int *ret_fd, struct error *err);

/*
 * Waits for others that unpack KEY (a layer ID), then makes an empty folder to unpack it into. The caller looks again
 * with content_layer_exists() whether there is still something to do.
 */
int layer_begin(struct content *c, const char *key, struct layer_writer *w, struct error *err);
/* Writes layer.json with INFO (JSON text) and commits the folder as layers/ID. */
int layer_commit(struct layer_writer *w, const char *id, const char *info, struct error *err);
/* Removes what is uncommitted and lets the lock go. Safe after commit. */
void layer_end(struct layer_writer *w);

#define _cleanup_layer_ _cleanup_(layer_end)
