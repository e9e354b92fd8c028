#include "image/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "image/limits.h"
#include "image/registry_internal.h"

static const char *const manifest_headers[] = {
    "Accept: " MEDIA_OCI_INDEX ", " MEDIA_DOCKER_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST,
    NULL,
};

static bool is_local(const char *host)
{
	return strcmp(host, "localhost") == 0 || strncmp(host, "localhost:", 10) == 0 ||
	       strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0;
}

static const char *api_host(const char *registry)
{
	return strcmp(registry, IMAGE_DEFAULT_REGISTRY) == 0 ? "registry-1.docker.io" : registry;
}

static int set_base(struct registry *r, const char *host, bool plain, struct error *err)
{
	free(r->base);
	r->client.plain = plain;
	if (asprintf(&r->base, "%s://%s/v2", plain ? "http" : "https", host) < 0) {
		r->base = NULL;
		return error_oom(err);
	}
	return 0;
}

/*
 * One unauthenticated request tells whether the registry speaks TLS. A local or --insecure one may not: only then, and
 * only when the connection itself failed, is plain HTTP tried.
 */
static int find_protocol(struct registry *r, const char *host, struct http_response *ret, struct error *err)
{
	bool may_be_plain = r->options.http.insecure || is_local(host);
	struct http_request request = {.method = "GET", .once = may_be_plain};
	_cleanup_free_ char *url = NULL;
	struct error why = ERROR_INIT;

	for (bool plain = false;; plain = true) {
		int code = set_base(r, host, plain, err);

		free(url);
		url = NULL;
		if (code < 0 || asprintf(&url, "%s/", r->base) < 0)
			return code < 0 ? code : error_oom(err);
		request.url = url;
		code = http_perform(&r->client, &request, ret, &why);
		if (code >= 0)
			return 0;
		if (plain || !may_be_plain || (code != -EPROTO && code != -EIO && code != -ECONNREFUSED)) {
			if (err)
				*err = why;
			return code;
		}
		log_debug("'%s': no TLS (%s), trying plain HTTP", host, why.message);
		request.once = false;
	}
}

/* Finds out how to speak with the registry, and authenticates. */
static int ping(struct registry *r, const char *host, struct error *err)
{
	_cleanup_http_response_ struct http_response answer = {0};
	struct http_request request = {.method = "GET", .url = "/"};
	int code = find_protocol(r, host, &answer, err);

	if (code < 0)
		return code;
	if (answer.status == 401) {
		code = registry_authenticate(r, answer.challenges, err);
		if (code < 0)
			return code;
		http_response_free(&answer);
		if ((code = registry_perform(r, &request, &answer, err)) < 0)
			return code;
	}
	if (answer.status == 401 || answer.status == 403)
		return http_status_error(answer.status, answer.body, r->name, err);
	if (answer.status != 200 && answer.status != 404)
		return http_status_error(answer.status, answer.body, host, err);
	return 0;
}

static int source_read(struct image_source *s, const struct descriptor *d, size_t max, char **ret, size_t *ret_len,
		       struct error *err);
static int source_prefetch(struct image_source *s, const struct descriptor *v, size_t n, struct error *err);
static int source_open(struct image_source *s, const struct descriptor *d, struct layer_input *ret, bool *ret_in_store,
		       struct error *err);
static void source_close(struct image_source *s);

static const struct image_source_ops registry_ops = {
    .read = source_read, .prefetch = source_prefetch, .open = source_open, .close = source_close};

int registry_open(const struct image_ref *ref, struct content *c, const struct registry_options *options,
		  struct registry **ret, struct error *err)
{
	_cleanup_registry_ struct registry *r = calloc(1, sizeof(*r));
	const char *registry = ref->registry ?: IMAGE_DEFAULT_REGISTRY;
	int code;

	if (!r)
		return error_oom(err);
	r->source.ops = &registry_ops;
	r->options = *options;
	r->content = c;
	r->repository = image_ref_api_repository(ref);
	if (!r->repository || asprintf(&r->name, "%s/%s", registry, r->repository) < 0)
		return error_oom(err);
	code = options->credentials
		   ? credentials_parse(options->credentials, &r->credentials, err)
		   : credentials_find(options->auth_file, registry, r->repository, &r->credentials, err);
	if (code < 0 || (code = http_client_init(&r->client, api_host(registry), &options->http, err)) < 0 ||
	    (code = ping(r, api_host(registry), err)) < 0)
		return code;
	*ret = take_ptr(r);
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	downloads_free(r);
	http_client_free(&r->client);
	credentials_free(&r->credentials);
	free(r->name);
	free(r->repository);
	free(r->base);
	free(r->token);
	free(r);
}

struct image_source *registry_source(struct registry *r)
{
	return &r->source;
}

static int get_manifest(struct registry *r, const char *what, size_t max, struct http_response *ret, struct error *err)
{
	_cleanup_http_response_ struct http_response answer = {0};
	_cleanup_free_ char *url = NULL, *name = NULL;
	struct http_request request = {.method = "GET", .headers = manifest_headers, .max_answer = max};
	int code;

	if (asprintf(&url, "/%s/manifests/%s", r->repository, what) < 0 ||
	    asprintf(&name, "%s%c%s", r->name, strchr(what, ':') ? '@' : ':', what) < 0)
		return error_oom(err);
	request.url = url;
	code = registry_perform(r, &request, &answer, err);
	if (code < 0)
		return code;
	if (answer.status != 200)
		return http_status_error(answer.status, answer.body, name, err);
	*ret = answer;
	answer = (struct http_response){0};
	return 0;
}

static int keep_document(struct registry *r, const char *data, size_t len, const char *digest, struct error *err)
{
	char got[DIGEST_TEXT_MAX];
	int code = content_blob_put(r->content, data, len, got, err);

	if (code < 0 || !digest || strncmp(digest, "sha256:", 7) != 0)
		return code;
	return strcmp(digest, got) == 0
		   ? 0
		   : error_set(err, EBADMSG, "registry '%s' lies: it sent %s when asked for %s", r->name, got, digest);
}

static int check_digest(const char *name, const char *want, const char *data, size_t len, struct error *err)
{
	_cleanup_hash_ struct hash *h = NULL;
	char got[DIGEST_TEXT_MAX];
	int r = hash_new(want, &h, err);

	if (r < 0)
		return r;
	hash_update(h, data, len);
	if ((r = hash_final(h, got, err)) < 0)
		return r;
	if (strcmp(want, got) != 0)
		return error_set(err, EBADMSG,
				 "registry '%s' lies: it sent a manifest with digest %s when asked for %s", name, got,
				 want);
	return 0;
}

int registry_resolve(struct registry *r, const struct image_ref *ref, struct descriptor *ret, struct error *err)
{
	_cleanup_http_response_ struct http_response answer = {0};
	const char *what = ref->digest ?: ref->tag ?: IMAGE_DEFAULT_TAG, *type;
	_cleanup_descriptor_ struct descriptor d = {0};
	char digest[DIGEST_TEXT_MAX];
	int code;

	code = get_manifest(r, what, IMAGE_MANIFEST_MAX, &answer, err);
	if (code < 0)
		return code;
	if (ref->digest) {
		snprintf(digest, sizeof(digest), "%s", ref->digest);
		code = check_digest(r->name, digest, answer.body, answer.len, err);
	} else {
		code = hash_bytes(answer.body, answer.len, digest, err);
	}
	if (code < 0)
		return code;
	code = manifest_kind(answer.body, answer.len, answer.content_type, err);
	if (code < 0) {
		error_prefix(err, "'%s'", r->name);
		return code;
	}
	type = answer.content_type;
	if (!type || (strcmp(type, MEDIA_OCI_INDEX) != 0 && strcmp(type, MEDIA_DOCKER_INDEX) != 0 &&
		      strcmp(type, MEDIA_OCI_MANIFEST) != 0 && strcmp(type, MEDIA_DOCKER_MANIFEST) != 0))
		type = code == MANIFEST_INDEX ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
	if (strncmp(digest, "sha256:", 7) == 0 && (code = keep_document(r, answer.body, answer.len, digest, err)) < 0)
		return code;
	d.media_type = strdup(type);
	d.digest = strdup(digest);
	d.size = answer.len;
	if (!d.media_type || !d.digest)
		return error_oom(err);
	*ret = d;
	d = (struct descriptor){0};
	return 0;
}

static bool is_manifest_type(const char *t)
{
	return strcmp(t, MEDIA_OCI_INDEX) == 0 || strcmp(t, MEDIA_DOCKER_INDEX) == 0 ||
	       strcmp(t, MEDIA_OCI_MANIFEST) == 0 || strcmp(t, MEDIA_DOCKER_MANIFEST) == 0;
}

static int source_read(struct image_source *s, const struct descriptor *d, size_t max, char **ret, size_t *ret_len,
		       struct error *err)
{
	struct registry *r = (struct registry *)s;
	_cleanup_http_response_ struct http_response answer = {0};
	struct http_request request = {.method = "GET", .max_answer = MIN((size_t)d->size, max)};
	_cleanup_free_ char *url = NULL;
	int code;

	if (is_manifest_type(d->media_type)) {
		code = get_manifest(r, d->digest, request.max_answer, &answer, err);
	} else {
		if (asprintf(&url, "/%s/blobs/%s", r->repository, d->digest) < 0)
			return error_oom(err);
		request.url = url;
		code = registry_perform(r, &request, &answer, err);
		if (code >= 0 && answer.status != 200)
			code = http_status_error(answer.status, answer.body, d->digest, err);
	}
	if (code < 0)
		return code;
	*ret = take_ptr(answer.body);
	*ret_len = answer.len;
	return 0;
}

static int source_prefetch(struct image_source *s, const struct descriptor *v, size_t n, struct error *err)
{
	return downloads_add((struct registry *)s, v, n, err);
}

static int source_open(struct image_source *s, const struct descriptor *d, struct layer_input *ret, bool *ret_in_store,
		       struct error *err)
{
	int code = downloads_wait((struct registry *)s, d->digest, err);

	if (code >= 0)
		*ret_in_store = true;
	return code;
}

static void source_close(struct image_source *s)
{
}

int registry_push_manifest(struct registry *r, const char *tag, const char *media_type, const char *data, size_t len,
			   struct error *err)
{
	_cleanup_http_response_ struct http_response answer = {0};
	_cleanup_free_ char *url = NULL, *header = NULL;
	struct http_request request = {.method = "PUT", .body = data, .body_len = len};
	int code;

	if (asprintf(&url, "/%s/manifests/%s", r->repository, tag) < 0 ||
	    asprintf(&header, "Content-Type: %s", media_type) < 0)
		return error_oom(err);
	request.url = url;
	request.headers = (const char *const[]){header, NULL};
	code = registry_perform(r, &request, &answer, err);
	if (code < 0)
		return code;
	return answer.status == 201 || answer.status == 200
		   ? 0
		   : http_status_error(answer.status, answer.body, r->name, err);
}

/* The address to send the blob to, from the answer to POST: absolute, or relative to the registry. */
static int upload_url(struct registry *r, const char *location, const char *digest, char **ret, struct error *err)
{
	CURLU *u = curl_url();
	_cleanup_free_ char *query = NULL;
	char *text = NULL;
	int code = 0;

	if (!u)
		return error_oom(err);
	if (!location || asprintf(&query, "digest=%s", digest) < 0)
		code = error_set(err, EPROTO, "'%s': the registry does not tell where to upload to", r->name);
	else if (curl_url_set(u, CURLUPART_URL, r->base, 0) || curl_url_set(u, CURLUPART_URL, location, 0) ||
		 curl_url_set(u, CURLUPART_QUERY, query, CURLU_APPENDQUERY) || curl_url_get(u, CURLUPART_URL, &text, 0))
		code = error_set(err, EPROTO, "'%s': the registry tells to upload to '%.200s', which is no address",
				 r->name, location);
	else if (strncmp(r->base, "https:", 6) == 0 && strncmp(text, "https:", 6) != 0)
		code = error_set(err, EPROTO, "'%s': the registry wants the upload without TLS", r->name);
	else if (!(*ret = strdup(text)))
		code = error_oom(err);
	curl_free(text);
	curl_url_cleanup(u);
	return code;
}

static int has_blob(struct registry *r, const struct descriptor *d, struct error *err)
{
	_cleanup_http_response_ struct http_response answer = {0};
	struct http_request request = {.method = "HEAD"};
	_cleanup_free_ char *url = NULL;
	int code;

	if (asprintf(&url, "/%s/blobs/%s", r->repository, d->digest) < 0)
		return error_oom(err);
	request.url = url;
	code = registry_perform(r, &request, &answer, err);
	return code < 0 ? code : answer.status == 200;
}

int registry_push_blob(struct registry *r, const struct descriptor *d, bool *ret_sent, struct error *err)
{
	_cleanup_http_response_ struct http_response begun = {0}, done = {0};
	struct http_request begin = {.method = "POST", .same_host = true}, put = {.method = "PUT"};
	_cleanup_free_ char *start = NULL, *url = NULL;
	_cleanup_close_ int fd = -1;
	uint64_t size;
	int code = has_blob(r, d, err);

	if (code != 0) {
		if (ret_sent)
			*ret_sent = false;
		return code < 0 ? code : 0;
	}
	if ((code = content_blob_open(r->content, d->digest, &fd, &size, err)) < 0)
		return code;
	if (asprintf(&start, "/%s/blobs/uploads/", r->repository) < 0)
		return error_oom(err);
	begin.url = start;
	code = registry_perform(r, &begin, &begun, err);
	if (code < 0)
		return code;
	if (begun.status != 202)
		return http_status_error(begun.status, begun.body, r->name, err);
	if ((code = upload_url(r, begun.location, d->digest, &url, err)) < 0)
		return code;
	put.url = url;
	put.headers = (const char *const[]){"Content-Type: application/octet-stream", NULL};
	put.body_fd = fd;
	put.body_size = size;
	put.once = true; /* an upload address serves once */
	/* an upload address elsewhere (object storage) must not see our token */
	if (strncmp(url, r->base, strlen(r->base)) == 0) {
		code = registry_perform(r, &put, &done, err);
	} else {
		code = http_perform(&r->client, &put, &done, err);
	}
	if (code < 0)
		return code;
	if (done.status != 201 && done.status != 200 && done.status != 204)
		return http_status_error(done.status, done.body, r->name, err);
	if (ret_sent)
		*ret_sent = true;
	return 0;
}
