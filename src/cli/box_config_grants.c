/* What the process wall is to let through, as the annotations that it reads (docs/process.md). */
#include <string.h>

#include "base/strbuf.h"
#include "base/strv.h"
#include "cli/box_config.h"
#include "cli/bundle.h"

#define PREFIX "run.ringwall.process."

static int add_to_annotation(struct oci_spec *spec, const char *key, const char *value, char separator)
{
	const char *old = oci_spec_annotation(spec, key);
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

	if (old)
		strbuf_addf(&b, "%s%c", old, separator);
	strbuf_adds(&b, value);
	return strbuf_failed(&b) ? -ENOMEM : oci_set_annotation(spec, key, strbuf_str(&b));
}

int box_config_grants(const struct box_request *rq, struct oci_spec *spec, struct error *err)
{
	const struct run_options *o = rq->options;
	const struct {
		const char *option;
		char *const *values;
		const char *key;
		char separator;
	} lists[] = {
		{ "ro", o->grant_ro, PREFIX "read-only", ':' },
		{ "rw", o->grant_rw, PREFIX "read-write", ':' },
		{ "allow-device", o->allow_device, PREFIX "devices", ':' },
		{ "allow-tcp-connect", o->allow_tcp_connect, PREFIX "tcp-connect", ',' },
		{ "allow-tcp-bind", o->allow_tcp_bind, PREFIX "tcp-bind", ',' },
		{ "allow", o->allow, PREFIX "allow", ',' },
	};
	bool process = rq->cli->isolation && strcmp(rq->cli->isolation, "process") == 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (char *const *v = lists[i].values; v && *v; v++) {
			if (!process)
				return error_set(err, EOPNOTSUPP, "option --%s: only --isolation process grants parts of the host",
						 lists[i].option);
			if (lists[i].separator == ':' && strchr(*v, ':'))
				return error_set(err, EINVAL, "option --%s: '%s': a path with a colon cannot be granted", lists[i].option, *v);
			if (add_to_annotation(spec, lists[i].key, *v, lists[i].separator) < 0)
				return error_oom(err);
		}
	if (process && cli_promises(rq->cli) && oci_set_annotation(spec, PREFIX "floor", cli_promises(rq->cli)) < 0)
		return error_oom(err);
	return 0;
}
