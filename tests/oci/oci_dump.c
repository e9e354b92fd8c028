/*
 * What the OCI layer reads and writes, for tests in other languages:
 *	oci-dump config [FILE]      parse it, write it back
 *	oci-dump default [rootless] the default configuration
 *	oci-dump features           the features object
 *	oci-dump check              configurations, one a line, on the standard input: "ok" or the reason, one a line
 * Exit status 1 and the reason on the standard error when the configuration is refused.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/json.h"
#include "oci/features.h"
#include "oci/spec_build.h"

static int dump_config(const char *file, char **ret, struct error *err)
{
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = file_read_at(AT_FDCWD, file, OCI_CONFIG_MAX, &text, &len, err);

	if (r == 0)
		r = oci_spec_parse(text, len, &spec, err);
	return r < 0 ? r : oci_spec_to_json(spec, ret, err);
}

static int dump_default(bool rootless, char **ret, struct error *err)
{
	const struct oci_default how = { .rootless = rootless, .uid = getuid(), .gid = getgid() };
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	int r = oci_spec_default(&how, &spec, err);

	return r < 0 ? r : oci_spec_to_json(spec, ret, err);
}

static int dump_features(char **ret, struct error *err)
{
	_cleanup_json_ struct json_object *o = NULL;
	int r = oci_features("0.0.0", &o, err);

	if (r < 0)
		return r;
	*ret = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	return *ret ? 0 : error_oom(err);
}

static int check_lines(void)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		_cleanup_oci_spec_ struct oci_spec *spec = NULL;
		struct error err = ERROR_INIT;
		int r = oci_spec_parse(line, (size_t)n, &spec, &err);

		puts(r < 0 ? err.message : "ok");
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *argument = argc > 2 ? argv[2] : NULL;
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;
	int r;

	if (strcmp(what, "check") == 0)
		return check_lines();
	if (strcmp(what, "config") == 0)
		r = dump_config(argument ? argument : "/dev/stdin", &text, &err);
	else if (strcmp(what, "default") == 0)
		r = dump_default(argument != NULL, &text, &err);
	else if (strcmp(what, "features") == 0)
		r = dump_features(&text, &err);
	else
		r = error_set(&err, EINVAL, "usage: oci-dump config [FILE] | default [rootless] | features | check");
	if (r < 0)
		fprintf(stderr, "%s\n", err.message);
	else
		fputs(text, stdout);
	return r < 0;
}
