#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/strv.h"
#include "image/record.h"
#include "image/reference.h"
#include "image/store.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check_name(const char *text, const char *registry, const char *want)
{
	_cleanup_image_ref_ struct image_ref ref = {0};
	_cleanup_free_ char *name = NULL;
	struct error err = ERROR_INIT;

	if (image_ref_parse(text, &ref, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	name = image_ref_name(&ref, registry);
	assert_string_equal(name, want);
}

static void references_are_normalized(void **state)
{
	check_name("debian", "docker.io", "docker.io/library/debian:latest");
	check_name("debian", "localhost", "localhost/debian:latest");
	check_name("debian:12", "docker.io", "docker.io/library/debian:12");
	check_name("me/tool", "docker.io", "docker.io/me/tool:latest");
	check_name("index.docker.io/debian", "x", "docker.io/library/debian:latest");
	check_name("quay.io/a/b/c:v1.2-3", "x", "quay.io/a/b/c:v1.2-3");
	check_name("localhost/x", "y", "localhost/x:latest");
	check_name("localhost:5000/x", "y", "localhost:5000/x:latest");
	check_name("[::1]:5000/x:t", "y", "[::1]:5000/x:t");
	check_name("a.b/c@sha256:" HEX64, "y", "a.b/c@sha256:" HEX64);
	check_name("a.b/c:tag@sha256:" HEX64, "y", "a.b/c:tag");
	check_name("under_score/dou__ble/da--sh/do.t", "docker.io",
		   "docker.io/under_score/dou__ble/da--sh/do.t:latest");
}

static void bad_references_are_refused(void **state)
{
	static const char *const bad[] = {"",
					  "/",
					  "a/",
					  "a//b",
					  "Debian",
					  "a:",
					  "a:b:c",
					  "a b",
					  "-a",
					  "a-",
					  "a___b",
					  "a..b",
					  "../a",
					  "a@sha256:12",
					  "a@md5:" HEX64,
					  "a\n",
					  "host.x/",
					  "a.b:x/c",
					  "a.b:123456/c",
					  "a:.b",
					  ":5000/a",
					  ".hidden/x",
					  "a@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"};
	char longest[600];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_image_ref_ struct image_ref ref = {0};
		struct error err = ERROR_INIT;

		if (image_ref_parse(bad[i], &ref, &err) >= 0)
			fail_msg("'%s' was taken", bad[i]);
		assert_true(err.message[0]);
		assert_null(ref.repository);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	struct image_ref ref = {0};
	assert_int_equal(image_ref_parse(longest, &ref, NULL), -ENAMETOOLONG);
	assert_int_equal(image_ref_parse(longest + 350, &ref, NULL), -ENAMETOOLONG);
}

static void platforms_match(void **state)
{
	assert_true(image_platform_matches("linux", "arm64", "v8", "linux/arm64"));
	assert_true(image_platform_matches("linux", "arm64", NULL, "linux/arm64/v8"));
	assert_true(image_platform_matches("linux", "arm", "v7", "linux/arm/v7"));
	assert_false(image_platform_matches("linux", "arm", "v6", "linux/arm/v7"));
	assert_false(image_platform_matches("windows", "amd64", NULL, NULL));
	assert_false(image_platform_matches("linux", NULL, NULL, NULL));
	assert_true(image_platform_matches("linux", image_host_architecture(), NULL, NULL));
	assert_true(image_platform_matches("linux", image_host_architecture(), NULL, "linux"));
}

/* A store laid out by hand: the reader is held to the documented format, not to what the writer happens to do. */
struct fixture {
	char path[64];
	int fd;
	struct image_store *store;
};

static void write_record(struct fixture *f, const char *name, const char *config_hex, const char *extra)
{
	_cleanup_free_ char *path = image_record_path(name), *text = NULL;
	_cleanup_close_ int fd = -1;

	assert_true(
	    asprintf(&text,
		     "{\"schema\":1,\"name\":\"%s\",\"target\":{\"digest\":\"sha256:%s\"},\"images\":[{\"platform\":"
		     "{\"os\":\"linux\",\"architecture\":\"%s\"},\"manifest\":{\"digest\":\"sha256:" HEX64
		     "\"},\"config\":{\"digest\":\"sha256:%s\"},%s}]}",
		     name, config_hex, image_host_architecture(), config_hex, extra) > 0);
	fd = openat(f->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->path, "/tmp/ringwall-test-store.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdir_parents_at(f->fd, "layers/sha256-1/diff", 0755), 0);
	assert_int_equal(mkdir_parents_at(f->fd, "layers/empty/diff", 0755), 0);
	assert_int_equal(mkdir_parents_at(f->fd, "images", 0755), 0);
	assert_int_equal(image_store_open(f->path, &f->store, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	image_store_close(f->store);
	close(f->fd);
	assert_int_equal(remove_tree_at(AT_FDCWD, f->path, NULL), 0);
	free(f);
	return 0;
}

#define ID_A "aaaa456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID_B "aaab456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LAYERS "\"layers\":[\"sha256-1\"]"

static void resolve_reads_the_config(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_ struct image image = {0};
	struct error err = ERROR_INIT;

	write_record(f, "docker.io/library/debian:12", ID_A,
		     LAYERS
		     ",\"execution\":{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\",\"d\"],\"Env\":[\"A=b\"],\"WorkingDir\":"
		     "\"/w\",\"User\":\"u:g\",\"StopSignal\":\"SIGINT\",\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":"
		     "{\"/v\":{}},\"Labels\":{\"k\":\"v=w\"},\"Healthcheck\":{\"Test\":[\"NONE\"]},\"Shell\":null}");
	if (image_store_resolve(f->store, "debian:12", NULL, &image, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(image.name, "docker.io/library/debian:12");
	assert_string_equal(image.config_digest, "sha256:" ID_A);
	assert_string_equal(image.entrypoint[0], "/e");
	assert_int_equal(strv_len(image.cmd), 2);
	assert_string_equal(image.env[0], "A=b");
	assert_string_equal(image.workdir, "/w");
	assert_string_equal(image.user, "u:g");
	assert_string_equal(image.stop_signal, "SIGINT");
	assert_string_equal(image.exposed_ports[0], "80/tcp");
	assert_string_equal(image.volumes[0], "/v");
	assert_string_equal(image.labels[0], "k=v=w");
	assert_string_equal(image.healthcheck[0], "NONE");
	assert_int_equal(strv_len(image.layers), 1);
	assert_true(strstr(image.layers[0], "/layers/sha256-1/diff"));
}

static void resolve_by_prefix_and_digest(void **state)
{
	struct fixture *f = *state;
	struct image image = {0};

	write_record(f, "docker.io/library/a:latest", ID_A, LAYERS);
	write_record(f, "localhost/a2:latest", ID_A, LAYERS);
	write_record(f, "localhost/b:latest", ID_B, LAYERS);
	assert_int_equal(image_store_resolve(f->store, "aaa", NULL, &image, NULL), -ENOTUNIQ);
	assert_int_equal(image_store_resolve(f->store, "aaab", NULL, &image, NULL), 0);
	assert_string_equal(image.name, "localhost/b:latest");
	image_free(&image);
	assert_int_equal(image_store_resolve(f->store, "sha256:" ID_A, NULL, &image, NULL), 0);
	image_free(&image);
	assert_int_equal(image_store_resolve(f->store, "b@sha256:" HEX64, NULL, &image, NULL), 0);
	image_free(&image);
	assert_int_equal(image_store_resolve(f->store, "b:latest@sha256:" ID_A, NULL, &image, NULL), -ENOENT);
	assert_int_equal(image_store_resolve(f->store, "b", "linux/s390x", &image, NULL), -ENOENT);
	assert_int_equal(image_store_resolve(f->store, "nosuch", NULL, &image, NULL), -ENOENT);
}

static void short_names_prefer_this_host(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_ struct image image = {0};

	write_record(f, "docker.io/library/a:latest", ID_A, LAYERS);
	write_record(f, "localhost/a:latest", ID_B, LAYERS);
	assert_int_equal(image_store_resolve(f->store, "a", NULL, &image, NULL), 0);
	assert_string_equal(image.name, "localhost/a:latest");
}

static void damaged_records_are_refused(void **state)
{
	struct fixture *f = *state;
	struct image image = {0};

	write_record(f, "localhost/a:latest", ID_A, "\"layers\":[\"../../etc\"]");
	assert_int_equal(image_store_resolve(f->store, "a", NULL, &image, NULL), -EINVAL);
	write_record(f, "localhost/a:latest", ID_A, "\"layers\":[\"sha256-2\"]");
	assert_int_equal(image_store_resolve(f->store, "a", NULL, &image, NULL), -ENOENT);
	write_record(f, "localhost/a:latest", ID_A, "\"layers\":[7]");
	assert_int_equal(image_store_resolve(f->store, "a", NULL, &image, NULL), -EINVAL);
	write_record(f, "localhost/a:latest", ID_A, LAYERS ",\"execution\":{\"Env\":\"x\"}");
	assert_int_equal(image_store_resolve(f->store, "a", NULL, &image, NULL), -EINVAL);
	write_record(f, "localhost/a:latest", ID_A, "\"layers\":[]");
	assert_int_equal(image_store_resolve(f->store, "a", NULL, &image, NULL), 0);
	assert_true(strstr(image.layers[0], "/layers/empty/diff"));
	image_free(&image);
}

static void pins_are_written_and_removed(void **state)
{
	struct fixture *f = *state;
	_cleanup_image_ struct image image = {0};
	_cleanup_free_ char *text = NULL;

	write_record(f, "localhost/a:latest", ID_A, LAYERS);
	assert_int_equal(image_store_pin(f->store, "a", NULL, "../x", "/", &image, NULL), -EINVAL);
	assert_int_equal(image_store_pin(f->store, "nosuch", NULL, "box", "/", &image, NULL), -ENOENT);
	assert_int_equal(faccessat(f->fd, "pins/box", F_OK, 0), -1);
	assert_int_equal(image_store_pin(f->store, "a", NULL, "box", "/run/x", &image, NULL), 0);
	assert_int_equal(file_read_at(f->fd, "pins/box", 4096, &text, NULL, NULL), 0);
	assert_non_null(strstr(text, "\"sha256-1\""));
	assert_int_equal(image_store_unpin(f->store, "box", NULL), 0);
	assert_int_equal(image_store_unpin(f->store, "box", NULL), 0);
	assert_int_equal(faccessat(f->fd, "pins/box", F_OK, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(references_are_normalized),
	    cmocka_unit_test(bad_references_are_refused),
	    cmocka_unit_test(platforms_match),
	    cmocka_unit_test_setup_teardown(resolve_reads_the_config, setup, teardown),
	    cmocka_unit_test_setup_teardown(resolve_by_prefix_and_digest, setup, teardown),
	    cmocka_unit_test_setup_teardown(short_names_prefer_this_host, setup, teardown),
	    cmocka_unit_test_setup_teardown(damaged_records_are_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(pins_are_written_and_removed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
