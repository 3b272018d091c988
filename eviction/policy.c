#include "eviction/policy.h"

#include <string.h>

static const struct policy_ops *const policies[] = { &policy_lru };

const struct policy_ops *policy_at(unsigned i)
{
	return i < ARRAY_LENGTH(policies) ? policies[i] : NULL;
}

const struct policy_ops *policy_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(policies); i++)
		if (strcmp(policies[i]->name, name) == 0)
			return policies[i];
	return NULL;
}
