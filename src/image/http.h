/*
 * HTTP to one registry, by libcurl: TLS with the system's and the registry's own authorities, bounded answers,
 * deadlines against servers that hang, retries with growing pauses, credentials that are never sent to another host.
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct http_options {
	bool insecure;	      /* plain HTTP and unverified certificates are fine */
	unsigned timeout;     /* seconds without progress */
	unsigned retries;     /* after the first attempt */
	unsigned retry_delay; /* milliseconds before the first retry; doubled each time */
	const char *cert_dir; /* NULL: certs.d/HOST of containers and docker */
	const char *user_agent;
};

struct http_client {
	struct http_options options;
	char *host;   /* host[:port], owned */
	bool plain;   /* plain HTTP */
	char *ca_pem; /* owned: additional authorities, PEM; or NULL */
	size_t ca_len;
	char *client_cert, *client_key; /* owned paths, or NULL */
	CURL *easy;			/* reused, for its connections */
};

/* Finds certificates and makes the handle. curl_global_init() must have been called. */
int http_client_init(struct http_client *c, const char *host, const struct http_options *options, struct error *err);
void http_client_free(struct http_client *c);

struct http_auth {
	const char *bearer;	     /* or */
	const char *user, *password; /* basic; all may be NULL */
};

struct http_request {
	const char *method; /* "GET", "HEAD", "POST", "PUT", "PATCH" */
	const char *url;
	const struct http_auth *auth; /* or NULL */
	const char *const *headers;   /* NULL-terminated, or NULL */
	const void *body;	      /* sent, or NULL */
	size_t body_len;
	int body_fd; /* sent from its start when body is NULL and body_size above 0 */
	uint64_t body_size;
	size_t max_answer; /* bytes of the body that are kept; more is an error */
	bool once;	   /* do not retry */
	bool same_host;	   /* do not follow redirections */
};

struct http_response {
	long status;
	char *body; /* owned, NUL-terminated */
	size_t len;
	char *content_type, *location, *digest; /* owned, or NULL */
	char **challenges;			/* WWW-Authenticate, owned */
};

/* Gives any answer of the server, whatever its status; an error only when there was none. */
int http_perform(struct http_client *c, const struct http_request *request, struct http_response *ret,
		 struct error *err);
void http_response_free(struct http_response *r);

/* What both http_perform() and background downloads set on a handle. */
void http_setup(struct http_client *c, CURL *easy, const char *url, const struct http_auth *auth);
/* Whether a transfer that ended so is worth another attempt. */
bool http_is_transient(CURLcode code, long status);
/* The error of a transfer that failed without an answer. */
int http_transfer_error(struct http_client *c, CURLcode code, const char *url, struct error *err);
/* The error for an answer that is no success, with what the registry says about it. */
int http_status_error(long status, const char *body, const char *what, struct error *err);

#define _cleanup_http_response_ _cleanup_(http_response_free)
