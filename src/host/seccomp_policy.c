#include "host/seccomp_policy.h"

#include "base/strv.h"

void seccomp_policy_free(struct seccomp_policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_rules; i++) {
		strv_free(p->rules[i].names);
		free(p->rules[i].args);
	}
	free(p->rules);
	strv_free(p->architectures);
	strv_free(p->flags);
	free(p->listener_path);
	free(p->listener_metadata);
	free(p);
}
