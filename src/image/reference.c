#include "image/reference.h"

#include <stdlib.h>
#include <string.h>

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

bool image_tag_valid(const char *s)
{
	size_t n = 0;

	if (!is_alnum(*s) && *s != '_')
		return false;
	for (; s[n]; n++)
		if (!is_alnum(s[n]) && !strchr("_.-", s[n]))
			return false;
	return n <= 128;
}

bool image_digest_valid(const char *s)
{
	size_t want;

	if (strncmp(s, "sha256:", 7) == 0)
		want = 64;
	else if (strncmp(s, "sha512:", 7) == 0)
		want = 128;
	else
		return false;
	s += 7;
	return strlen(s) == want && strspn(s, "0123456789abcdef") == want;
}

/* One path component: alphanumerics joined by ".", "_", "__" or dashes. */
static bool component_valid(const char *s, size_t len)
{
	size_t i = 0;

	if (len == 0)
		return false;
	for (;;) {
		size_t start = i, sep;

		while (i < len && is_lower_alnum(s[i]))
			i++;
		if (i == start)
			return false;
		if (i == len)
			return true;
		sep = i;
		if (s[i] == '-') {
			while (i < len && s[i] == '-')
				i++;
		} else if (s[i] == '.') {
			i++;
		} else if (s[i] == '_') {
			i += i + 1 < len && s[i + 1] == '_' ? 2 : 1;
		}
		if (i == sep)
			return false;
	}
}

static bool repository_valid(const char *s)
{
	for (;;) {
		size_t len = strcspn(s, "/");

		if (!component_valid(s, len))
			return false;
		if (!s[len])
			return true;
		s += len + 1;
	}
}

/* Host name, IPv4 or [IPv6], and an optional port. */
static bool registry_valid(const char *s)
{
	size_t n;

	if (*s == '[') {
		n = 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
		if (n < 4 || s[n] != ']')
			return false;
		n++;
	} else {
		for (n = 0; is_alnum(s[n]) || s[n] == '.' || s[n] == '-'; n++)
			if (s[n] == '.' && (n == 0 || s[n - 1] == '.'))
				return false;
		if (n == 0 || s[0] == '-')
			return false;
	}
	if (!s[n])
		return true;
	if (s[n] != ':' || !s[n + 1] || strlen(s + n + 1) > 5)
		return false;
	return strspn(s + n + 1, "0123456789") == strlen(s + n + 1);
}

static bool names_registry(const char *first, size_t len)
{
	if (len == strlen(IMAGE_LOCAL_REGISTRY) && strncmp(first, IMAGE_LOCAL_REGISTRY, len) == 0)
		return true;
	for (size_t i = 0; i < len; i++)
		if (first[i] == '.' || first[i] == ':' || (first[i] >= 'A' && first[i] <= 'Z'))
			return true;
	return false;
}

void image_ref_free(struct image_ref *ref)
{
	free(ref->registry);
	free(ref->repository);
	free(ref->tag);
	free(ref->digest);
	*ref = (struct image_ref){0};
}

/* Cuts the digest, the tag and the registry off COPY; what is left is the repository. */
static int split(char *copy, struct image_ref *ref, const char *text, struct error *err)
{
	char *at = strchr(copy, '@'), *slash, *colon, *rest = copy;

	if (at) {
		*at = 0;
		if (!image_digest_valid(at + 1))
			return error_set(
			    err, EINVAL,
			    "image reference '%s': '%s' is no digest; expected sha256: or sha512: and lower-case hex digits",
			    text, at + 1);
		ref->digest = strdup(at + 1);
		if (!ref->digest)
			return error_oom(err);
	}
	slash = strrchr(copy, '/');
	colon = strrchr(slash ? slash : copy, ':');
	if (colon) {
		*colon = 0;
		if (!image_tag_valid(colon + 1))
			return error_set(
			    err, EINVAL,
			    "image reference '%s': '%s' is no tag; expected at most 128 letters, digits, '_', '.' and '-'",
			    text, colon + 1);
		ref->tag = strdup(colon + 1);
		if (!ref->tag)
			return error_oom(err);
	}
	slash = strchr(copy, '/');
	if (slash && names_registry(copy, (size_t)(slash - copy))) {
		*slash = 0;
		if (!registry_valid(copy))
			return error_set(err, EINVAL, "image reference '%s': '%s' is no registry host", text, copy);
		if (strcmp(copy, "index.docker.io") == 0)
			ref->registry = strdup(IMAGE_DEFAULT_REGISTRY);
		else
			ref->registry = strdup(copy);
		if (!ref->registry)
			return error_oom(err);
		rest = slash + 1;
	}
	if (!repository_valid(rest))
		return error_set(
		    err, EINVAL,
		    "image reference '%s': '%s' is no repository name; expected lower-case letters and digits, "
		    "joined by '.', '_', '-' and '/'",
		    text, rest);
	ref->repository = strdup(rest);
	return ref->repository ? 0 : error_oom(err);
}

int image_ref_parse(const char *text, struct image_ref *ret, struct error *err)
{
	_cleanup_image_ref_ struct image_ref ref = {0};
	_cleanup_free_ char *copy = NULL, *longest = NULL;
	int r;

	if (!*text)
		return error_set(err, EINVAL, "the image reference is empty");
	if (strlen(text) > 512)
		return error_set(err, ENAMETOOLONG, "image reference '%.60s...' is longer than 512 bytes", text);
	copy = strdup(text);
	if (!copy)
		return error_oom(err);
	r = split(copy, &ref, text, err);
	if (r < 0)
		return r;
	longest = image_ref_name(&ref, IMAGE_DEFAULT_REGISTRY);
	if (!longest)
		return error_oom(err);
	if (strlen(longest) > IMAGE_REF_MAX)
		return error_set(err, ENAMETOOLONG, "image reference '%.60s...' is too long: %zu bytes in full, at most %d", text,
				 strlen(longest), IMAGE_REF_MAX);
	*ret = ref;
	ref = (struct image_ref){0};
	return 0;
}

char *image_ref_api_repository(const struct image_ref *ref)
{
	bool hub = !ref->registry || strcmp(ref->registry, IMAGE_DEFAULT_REGISTRY) == 0;
	char *s;

	if (asprintf(&s, "%s%s", hub && !strchr(ref->repository, '/') ? "library/" : "", ref->repository) < 0)
		return NULL;
	return s;
}

char *image_ref_name(const struct image_ref *ref, const char *registry)
{
	bool hub;
	char *s;
	int r;

	if (ref->registry)
		registry = ref->registry;
	hub = strcmp(registry, IMAGE_DEFAULT_REGISTRY) == 0;
	r = asprintf(&s, "%s/%s%s%s%s", registry, hub && !strchr(ref->repository, '/') ? "library/" : "",
		     ref->repository, ref->tag || !ref->digest ? ":" : "@",
		     ref->tag	   ? ref->tag
		     : ref->digest ? ref->digest
				   : IMAGE_DEFAULT_TAG);
	return r < 0 ? NULL : s;
}
