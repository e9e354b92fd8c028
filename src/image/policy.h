/*
 * Signature policy, containers-policy.json(5). Requirements that this program can decide (insecureAcceptAnything,
 * reject) are honoured; those that need signatures to be verified (signedBy, sigstoreSigned, signedBaseLayer) refuse
 * the image by name. Nothing is ever passed over.
 */
#pragma once

#include "base/error.h"

struct policy;

/*
 * Reads FILE, or without one ~/.config/containers/policy.json or else /etc/containers/policy.json. Where no file is,
 * everything is accepted.
 */
int policy_open(const char *file, struct policy **ret, struct error *err);
void policy_free(struct policy *p);

/*
 * Whether an image may be used that comes by TRANSPORT ("docker" for registries, "oci", "oci-archive",
 * "docker-archive", "tarball"). SCOPE is the most specific name: "docker.io/library/debian:12" for registries, an
 * absolute path for files. 0, or -EACCES with the reason.
 */
int policy_check(const struct policy *p, const char *transport, const char *scope, struct error *err);

static inline void cleanup_policy(struct policy **p)
{
	policy_free(*p);
}

#define _cleanup_policy_ _cleanup_(cleanup_policy)
