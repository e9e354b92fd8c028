/* The system-call filter of a process-wall box: default-deny, and shut against what Landlock does not see. */
#pragma once

#include "boundary/process/policy.h"
#include "boundary/process/promises.h"
#include "host/seccomp_policy.h"

/* Owned: seccomp_policy_free(). NULL: out of memory. */
struct seccomp_policy *process_profile(const struct process_policy *policy, const struct process_host *host);

#define PROCESS_PROFILE_DESCRIPTION 128

/* Everything that process_profile() looks at, as a text to find its compiled form by. */
void process_profile_describe(const struct process_policy *policy, const struct process_host *host,
			      char ret[PROCESS_PROFILE_DESCRIPTION]);
