#include "image/http.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/strv.h"

#define CERTIFICATE_MAX (1 << 20)
#define REDIRECTS_MAX 10
#define SLOWEST 256 /* bytes per second */

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n > m && strcmp(s + n - m, suffix) == 0;
}

/* NAME.crt: an authority; NAME.cert and NAME.key: who we are (containers-certs.d(5)). */
static int read_certificates(struct http_client *c, const char *dir, struct error *err)
{
	_cleanup_strbuf_ struct strbuf pem = STRBUF_INIT;
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *e;
	int r;

	if (!d)
		return errno == ENOENT ? 0 : error_sys(err, errno, "cannot read the certificates in '%s'", dir);
	while ((e = readdir(d))) {
		_cleanup_free_ char *text = NULL;

		if (has_suffix(e->d_name, ".crt")) {
			r = file_read_at(dirfd(d), e->d_name, CERTIFICATE_MAX, &text, NULL, err);
			if (r < 0)
				return r;
			strbuf_adds(&pem, text);
			strbuf_addc(&pem, '\n');
		} else if (has_suffix(e->d_name, ".cert") || has_suffix(e->d_name, ".key")) {
			char **slot = has_suffix(e->d_name, ".key") ? &c->client_key : &c->client_cert;

			free(*slot);
			if (asprintf(slot, "%s/%s", dir, e->d_name) < 0) {
				*slot = NULL;
				return error_oom(err);
			}
		}
	}
	if (strbuf_failed(&pem))
		return error_oom(err);
	if (pem.len) {
		c->ca_len = pem.len;
		c->ca_pem = strbuf_take(&pem);
	}
	if (!c->client_cert != !c->client_key)
		return error_set(err, EINVAL, "'%s' has a client's certificate (.cert) or key (.key) but not both",
				 dir);
	return 0;
}

static int find_certificates(struct http_client *c, struct error *err)
{
	static const char *const places[] = {"/etc/containers/certs.d", "/etc/docker/certs.d"};

	if (c->options.cert_dir) {
		if (access(c->options.cert_dir, F_OK) < 0)
			return error_sys(err, errno, "cannot read the certificates in '%s'", c->options.cert_dir);
		return read_certificates(c, c->options.cert_dir, err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *dir = NULL;
		int r;

		if (asprintf(&dir, "%s/%s", places[i], c->host) < 0)
			return error_oom(err);
		r = read_certificates(c, dir, err);
		if (r < 0 || c->ca_pem || c->client_cert)
			return r;
	}
	return 0;
}

int http_client_init(struct http_client *c, const char *host, const struct http_options *options, struct error *err)
{
	int r;

	*c = (struct http_client){.options = *options};
	c->host = strdup(host);
	c->easy = curl_easy_init();
	if (!c->host || !c->easy) {
		http_client_free(c);
		return error_oom(err);
	}
	r = find_certificates(c, err);
	if (r < 0)
		http_client_free(c);
	return r;
}

void http_client_free(struct http_client *c)
{
	if (c->easy)
		curl_easy_cleanup(c->easy);
	free(c->host);
	free(c->ca_pem);
	free(c->client_cert);
	free(c->client_key);
	*c = (struct http_client){0};
}

void http_response_free(struct http_response *r)
{
	free(r->body);
	free(r->content_type);
	free(r->location);
	free(r->digest);
	strv_free(r->challenges);
	*r = (struct http_response){0};
}

static void setup_tls(struct http_client *c, CURL *easy)
{
	const char *bundle = getenv("SSL_CERT_FILE");

	if (bundle && *bundle)
		curl_easy_setopt(easy, CURLOPT_CAINFO, bundle);
	if (c->ca_pem) {
		struct curl_blob blob = {c->ca_pem, c->ca_len, CURL_BLOB_NOCOPY};

		curl_easy_setopt(easy, CURLOPT_CAPATH, "/etc/ssl/certs");
		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
	}
	if (c->client_cert) {
		curl_easy_setopt(easy, CURLOPT_SSLCERT, c->client_cert);
		curl_easy_setopt(easy, CURLOPT_SSLKEY, c->client_key);
	}
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->options.insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

void http_setup(struct http_client *c, CURL *easy, const char *url, const struct http_auth *auth)
{
	bool plain = strncmp(url, "http://", 7) == 0;

	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, c->options.user_agent ?: "ringwall");
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	/* what came encrypted goes on encrypted */
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, plain ? "http,https" : "https");
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)c->options.timeout);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)c->options.timeout);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	setup_tls(c, easy);
	if (auth && auth->bearer) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, auth->bearer);
	} else if (auth && auth->user) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERNAME, auth->user);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, auth->password ?: "");
	}
}

bool http_is_transient(CURLcode code, long status)
{
	switch (code) {
	case CURLE_OK:
		return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	default:
		return false;
	}
}

int http_transfer_error(struct http_client *c, CURLcode code, const char *url, struct error *err)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return error_set(err, EACCES,
				 "the certificate of '%s' is not trusted (%s): put its authority into "
				 "/etc/containers/certs.d/%s/ca.crt, or give --insecure if you must",
				 c->host, curl_easy_strerror(code), c->host);
	case CURLE_SSL_CONNECT_ERROR:
		return error_set(err, EPROTO,
				 "'%s' does not speak TLS: if it is meant to speak plain HTTP, give --insecure",
				 c->host);
	case CURLE_OPERATION_TIMEDOUT:
		return error_set(err, ETIMEDOUT,
				 "registry '%s' is too slow or hangs (nothing useful for %u seconds; --timeout): %s",
				 c->host, c->options.timeout, url);
	case CURLE_TOO_MANY_REDIRECTS:
		return error_set(err, ELOOP, "registry '%s' redirects in a circle (more than %d times): %s", c->host,
				 REDIRECTS_MAX, url);
	case CURLE_COULDNT_RESOLVE_HOST:
		return error_set(err, EHOSTUNREACH,
				 "registry '%s': the name cannot be resolved: check it, and the network", c->host);
	case CURLE_COULDNT_CONNECT:
		return error_set(err, ECONNREFUSED,
				 "registry '%s' cannot be reached: check its name and port, and the network", c->host);
	case CURLE_UNSUPPORTED_PROTOCOL:
		return error_set(err, EPROTO, "registry '%s' redirects to a protocol that is not allowed: %s", c->host,
				 url);
	case CURLE_FILESIZE_EXCEEDED:
	case CURLE_WRITE_ERROR:
		return error_set(err, EFBIG, "registry '%s' sends more than the limit for this kind of answer: %s",
				 c->host, url);
	case CURLE_PARTIAL_FILE:
		return error_set(err, EBADMSG, "registry '%s' cut the answer off: %s", c->host, url);
	default:
		return error_set(err, EIO, "registry '%s': %s: %s", c->host, curl_easy_strerror(code), url);
	}
}

int http_status_error(long status, const char *body, const char *what, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	struct json_object *errors;
	const char *message = NULL;
	char detail[256] = "";

	if (body && json_parse(body, strlen(body), &o, NULL) >= 0 && json_object_is_type(o, json_type_object) &&
	    json_get_array(o, "", "errors", &errors, NULL) > 0 && json_object_array_length(errors) > 0 &&
	    json_object_is_type(json_object_array_get_idx(errors, 0), json_type_object))
		json_get_string(json_object_array_get_idx(errors, 0), "", "message", &message, NULL);
	if (message)
		snprintf(detail, sizeof(detail), " (it says: %.200s)", message);
	if (status == 401 || status == 403)
		return error_set(
		    err, EACCES,
		    "%s: access denied (HTTP %ld)%s: log in with 'docker login' or 'podman login', or give --creds "
		    "USER:PASSWORD",
		    what, status, detail);
	if (status == 404)
		return error_set(err, ENOENT, "%s: not found in the registry%s", what, detail);
	if (status == 429)
		return error_set(err, EBUSY, "%s: the registry asks to come back later (HTTP 429)%s", what, detail);
	return error_set(err, EIO, "%s: the registry answers HTTP %ld%s", what, status, detail);
}

/* An answer being received. */
struct receiver {
	struct strbuf body;
	size_t max;
	struct http_response *response;
};

static size_t receive_body(char *data, size_t size, size_t n, void *p)
{
	struct receiver *r = p;

	if (n > r->max - r->body.len)
		return 0;
	strbuf_add(&r->body, data, n);
	return strbuf_failed(&r->body) ? 0 : n;
}

static bool header_is(const char *line, size_t len, const char *name, char **ret)
{
	size_t n = strlen(name);

	if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return false;
	for (n++; n < len && (line[n] == ' ' || line[n] == '\t'); n++)
		;
	while (len > n && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	*ret = strndup(line + n, len - n);
	return true;
}

static size_t receive_header(char *line, size_t size, size_t len, void *p)
{
	struct http_response *r = ((struct receiver *)p)->response;
	char *value = NULL;

	if (len > 5 && strncmp(line, "HTTP/", 5) == 0) { /* a new answer: after a redirection, or 100 Continue */
		http_response_free(r);
	} else if (header_is(line, len, "WWW-Authenticate", &value)) {
		if (!value || strv_len(r->challenges) > 16 || strv_push(&r->challenges, value) < 0)
			return 0;
	} else if (header_is(line, len, "Content-Type", &value)) {
		free(r->content_type);
		r->content_type = value;
		if (value)
			value[strcspn(value, "; ")] = 0;
	} else if (header_is(line, len, "Location", &value)) {
		free(r->location);
		r->location = value;
	} else if (header_is(line, len, "Docker-Content-Digest", &value)) {
		free(r->digest);
		r->digest = value;
	}
	return len;
}

struct sender {
	int fd;
	const char *data;
	uint64_t size, at;
};

static size_t send_body(char *buf, size_t size, size_t n, void *p)
{
	struct sender *s = p;
	size_t want = (size_t)MIN((uint64_t)n, s->size - s->at);
	ssize_t got = (ssize_t)want;

	if (want == 0)
		return 0;
	if (s->data)
		memcpy(buf, s->data + s->at, want);
	else
		got = pread(s->fd, buf, want, (off_t)s->at);
	if (got <= 0)
		return CURL_READFUNC_ABORT;
	s->at += (uint64_t)got;
	return (size_t)got;
}

static int seek_body(void *p, curl_off_t offset, int origin)
{
	struct sender *s = p;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > s->size)
		return CURL_SEEKFUNC_FAIL;
	s->at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static void setup_method(CURL *easy, const struct http_request *request, struct sender *sender)
{
	bool sends = request->body || request->body_size > 0;

	if (strcmp(request->method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (strcmp(request->method, "GET") == 0)
		return;
	curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L); /* also with nothing to send: Content-Length 0 */
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	*sender = (struct sender){.fd = request->body_fd,
				  .data = request->body,
				  .size = !sends	  ? 0
					  : request->body ? request->body_len
							  : request->body_size};
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, send_body);
	curl_easy_setopt(easy, CURLOPT_READDATA, sender);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, seek_body);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, sender);
	curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)sender->size);
}

static CURLcode attempt(struct http_client *c, const struct http_request *request, struct http_response *ret)
{
	struct receiver receiver = {.max = request->max_answer ?: 64 << 10, .response = ret};
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	struct sender sender;
	CURLcode code;

	curl_easy_reset(c->easy);
	http_setup(c, c->easy, request->url, request->auth);
	for (const char *const *h = request->headers; h && *h; h++)
		headers = curl_slist_append(headers, *h) ?: headers;
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, request->same_host ? 0L : 1L);
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, receive_body);
	curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, &receiver);
	curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, receive_header);
	curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, &receiver);
	if (request->body_size == 0) /* a small answer that drips in is a hanging one */
		curl_easy_setopt(c->easy, CURLOPT_TIMEOUT, 4L * (long)c->options.timeout);
	setup_method(c->easy, request, &sender);
	code = curl_easy_perform(c->easy);
	curl_slist_free_all(headers);
	if (code == CURLE_OK) {
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &ret->status);
		ret->len = receiver.body.len;
		ret->body = strbuf_take(&receiver.body);
	}
	strbuf_free(&receiver.body);
	return code;
}

int http_perform(struct http_client *c, const struct http_request *request, struct http_response *ret,
		 struct error *err)
{
	unsigned delay = c->options.retry_delay;

	for (unsigned i = 0;; i++) {
		_cleanup_http_response_ struct http_response response = {0};
		CURLcode code = attempt(c, request, &response);

		log_debug("%s %s: %s, HTTP %ld", request->method, request->url, curl_easy_strerror(code),
			  response.status);
		if (!request->once && i < c->options.retries && http_is_transient(code, response.status)) {
			log_info("registry '%s': %s; trying again in %u ms", c->host,
				 code == CURLE_OK ? "the server has a problem" : curl_easy_strerror(code), delay);
			nanosleep(&(struct timespec){delay / 1000, delay % 1000 * 1000000L}, NULL);
			delay *= 2;
			continue;
		}
		if (code != CURLE_OK)
			return http_transfer_error(c, code, request->url, err);
		if (!response.body && !(response.body = strdup("")))
			return error_oom(err);
		*ret = response;
		response = (struct http_response){0};
		return 0;
	}
}
