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

struct seccomp_rule *seccomp_policy_add(struct seccomp_policy *p, enum seccomp_act act, const char *names)
{
	struct seccomp_rule *rules = realloc(p->rules, (p->n_rules + 1) * sizeof(*rules));

	if (!rules)
		return NULL;
	p->rules = rules;
	rules[p->n_rules] = (struct seccomp_rule){ .act = act, .names = strv_split(names, " ") };
	return rules[p->n_rules].names ? &rules[p->n_rules++] : NULL;
}

int seccomp_rule_add_arg(struct seccomp_rule *rule, uint32_t index, enum seccomp_op op, uint64_t value, uint64_t value_two)
{
	struct seccomp_arg *args = realloc(rule->args, (rule->n_args + 1) * sizeof(*args));

	if (!args)
		return -ENOMEM;
	rule->args = args;
	args[rule->n_args++] = (struct seccomp_arg){ index, op, value, value_two };
	return 0;
}
