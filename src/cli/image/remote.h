/* Options of the verbs that talk to registries. */
#pragma once

#include "cli/image/image_cli.h"
#include "image/registry.h"

struct remote_options {
	const char *creds, *auth_file, *cert_dir;
	bool insecure, tls_verify;
	struct option_number timeout, retries, retry_delay;
};

#define REMOTE_OPTIONS(o)                                                                                                \
	{0, "creds", OPTION_STRING, &(o).creds, "USER:PASSWORD", "log in with this"},                                    \
	    {0,                                                                                                          \
	     "authfile",                                                                                                 \
	     OPTION_STRING,                                                                                              \
	     &(o).auth_file,                                                                                             \
	     "FILE",                                                                                                     \
	     "read credentials from FILE instead of containers/auth.json and ~/.docker/config.json",                     \
	     .environment = "REGISTRY_AUTH_FILE"},                                                                       \
	    {0,                                                                                                          \
	     "cert-dir",                                                                                                 \
	     OPTION_STRING,                                                                                              \
	     &(o).cert_dir,                                                                                              \
	     "DIR",                                                                                                      \
	     "certificates for the registry, instead of /etc/containers/certs.d/HOST"},                                  \
	    {0,		  "insecure",                                                                                    \
	     OPTION_FLAG, &(o).insecure,                                                                                 \
	     NULL,	  "plain HTTP and certificates that nobody vouches for are fine"},                               \
	    {0, "tls-verify", OPTION_FLAG, &(o).tls_verify, NULL, "", .hidden = true},                                   \
	    {0,                                                                                                          \
	     "timeout",                                                                                                  \
	     OPTION_NUMBER,                                                                                              \
	     &(o).timeout,                                                                                               \
	     "SECONDS",                                                                                                  \
	     "give up after so long without progress",                                                                   \
	     .fallback = "60"},                                                                                          \
	    {0, "retry", OPTION_NUMBER, &(o).retries, "N", "try so often again", .aliases = "retries", .fallback = "3"}, \
	{                                                                                                                \
		0, "retry-delay", OPTION_NUMBER, &(o).retry_delay, "MS",                                                 \
		    "wait so many milliseconds before the first new try; then twice as long", .fallback = "1000"         \
	}

int remote_options_read(const struct remote_options *o, struct registry_options *ret, struct error *err);
