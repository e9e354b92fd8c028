#include "base/strv.h"

#include <stdarg.h>
#include <string.h>

size_t strv_len(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

void strv_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

int strv_push(char ***v, char *s)
{
	size_t n = strv_len(*v);
	char **p;

	if (!s)
		return -ENOMEM;
	p = realloc(*v, (n + 2) * sizeof(*p));
	if (!p) {
		free(s);
		return -ENOMEM;
	}
	p[n] = s;
	p[n + 1] = NULL;
	*v = p;
	return 0;
}

int strv_add(char ***v, const char *s)
{
	return strv_push(v, strdup(s));
}

int strv_addf(char ***v, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? -ENOMEM : strv_push(v, s);
}

int strv_extend(char ***v, char *const *more)
{
	for (size_t i = 0; more && more[i]; i++) {
		int r = strv_add(v, more[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

char **strv_copy(char *const *v)
{
	char **copy = calloc(strv_len(v) + 1, sizeof(*copy));

	for (size_t i = 0; copy && v && v[i]; i++) {
		copy[i] = strdup(v[i]);
		if (!copy[i]) {
			strv_free(copy);
			return NULL;
		}
	}
	return copy;
}

bool strv_contains(char *const *v, const char *s)
{
	for (size_t i = 0; v && v[i]; i++)
		if (strcmp(v[i], s) == 0)
			return true;
	return false;
}

char **strv_split(const char *s, const char *separators)
{
	char **v = NULL;

	while (*s) {
		size_t n = strcspn(s, separators);

		if (n && strv_push(&v, strndup(s, n)) < 0) {
			strv_free(v);
			return NULL;
		}
		s += n;
		s += strspn(s, separators);
	}
	return v;
}

const char *strv_env_get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; env && env[i]; i++)
		if (strncmp(env[i], name, n) == 0 && env[i][n] == '=')
			return env[i] + n + 1;
	return NULL;
}

int strv_env_set(char ***env, const char *assignment)
{
	size_t n = strcspn(assignment, "=");

	for (size_t i = 0; *env && (*env)[i]; i++) {
		if (strncmp((*env)[i], assignment, n) == 0 && ((*env)[i][n] == '=' || (*env)[i][n] == 0)) {
			char *s = strdup(assignment);

			if (!s)
				return -ENOMEM;
			free((*env)[i]);
			(*env)[i] = s;
			return 0;
		}
	}
	return strv_add(env, assignment);
}
