/*
 * The default profile of boxes made from images: default-deny, with what ordinary programs need allowed. Written from
 * what Docker's and Podman's published profiles allow (data), so that an image that runs there runs here. Capabilities
 * open the calls they govern.
 */
#pragma once

#include <stdint.h>

#include "host/seccomp_policy.h"

/* A policy for a process whose bounding set is CAPS (1 << CAP_x). Owned: seccomp_policy_free(). NULL: out of memory. */
struct seccomp_policy *seccomp_default_policy(uint64_t caps);
