#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "oci/spec.h"

/* --- the examples that come with the specification --- */

static const char *const good_examples[] = {
	"minimal", "minimal-for-start", "spec-example", "linux-netdevice", "linux-rdma", "zos-minimal", "zos-example",
	"freebsd-minimal", "freebsd-example",
};

static char *example(const char *kind, const char *name, size_t *len)
{
	char path[256], *text = NULL;
	struct error err = ERROR_INIT;

	snprintf(path, sizeof(path), TEST_DATA "/oci-schema/test/config/%s/%s.json", kind, name);
	if (file_read_at(AT_FDCWD, path, OCI_CONFIG_MAX, &text, len, &err) < 0)
		fail_msg("%s", err.message);
	return text;
}

/* Good by the schema, but what they ask for would change the host. */
static const char *refused_on_linux(const char *name)
{
	if (strcmp(name, "linux-netdevice") == 0)
		return "linux.netDevices: 'eth0' cannot be moved into the host's network namespace";
	if (strcmp(name, "zos-example") == 0 || strcmp(name, "freebsd-example") == 0)
		return "hostname: 'slartibartfast' cannot be set in the host's uts namespace";
	return NULL;
}

static void good(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good_examples); i++) {
		_cleanup_oci_spec_ struct oci_spec *spec = NULL;
		size_t len;
		_cleanup_free_ char *text = example("good", good_examples[i], &len);
		struct error err = ERROR_INIT;
		const char *refused = refused_on_linux(good_examples[i]);

		if (oci_spec_parse(text, len, &spec, &err) < 0) {
			if (!refused || !strstr(err.message, refused))
				fail_msg("%s: %s", good_examples[i], err.message);
		} else {
			assert_null(refused);
		}
	}
}

static void bad(void **state)
{
	static const struct {
		const char *name, *message;
	} examples[] = {
		{ "invalid-json", "invalid JSON at byte 1" },
		{ "linux-hugepage", "linux.resources.hugepageLimits[0].pageSize: '64kB' is not a size" },
		{ "linux-netdevice", "linux.netDevices.eth0.name: expected a string, got 23" },
		{ "linux-rdma", "linux.resources.rdma.mlx5_1.hcaHandles: expected an unsigned integer, got \"not a uint32\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		struct oci_spec *spec = NULL;
		size_t len;
		_cleanup_free_ char *text = example("bad", examples[i].name, &len);
		struct error err = ERROR_INIT;

		assert_int_equal(oci_spec_parse(text, len, &spec, &err), -EINVAL);
		assert_null(spec);
		if (!strstr(err.message, examples[i].message))
			fail_msg("%s: %s", examples[i].name, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
