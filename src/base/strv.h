/* NULL-terminated arrays of owned strings (argv, environment, lists in a configuration). NULL is the empty array. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

size_t strv_len(char *const *v);
void strv_free(char **v);
/* Appends a copy of S / S itself. 0 or -ENOMEM; strv_push() frees S on failure. */
int strv_add(char ***v, const char *s);
int strv_push(char ***v, char *s);
int strv_addf(char ***v, const char *fmt, ...) _printf_(2, 3);
/* Appends copies of all of MORE. */
int strv_extend(char ***v, char *const *more);
char **strv_copy(char *const *v);
bool strv_contains(char *const *v, const char *s);
/* Splits S at any of SEPARATORS, dropping empty parts. NULL when out of memory or when no part is left. */
char **strv_split(const char *s, const char *separators);

/* Environment arrays, "NAME=value". */
const char *strv_env_get(char *const *env, const char *name);
/* Sets ASSIGNMENT ("NAME=value"), replacing an earlier one of that name. */
int strv_env_set(char ***env, const char *assignment);

static inline void cleanup_strv(char ***v)
{
	strv_free(*v);
}

#define _cleanup_strv_ _cleanup_(cleanup_strv)
