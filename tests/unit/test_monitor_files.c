/* The monitor's files: the bounded log, and who looks after a box. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "monitor/life.h"
#include "monitor/log_file.h"

static char directory[] = "/tmp/ringwall-unit.XXXXXX";
static int dir_fd;

static int set_up(void **state)
{
	strcpy(strrchr(directory, '.'), ".XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	close(dir_fd);
	return remove_tree_at(AT_FDCWD, directory, NULL);
}

static const char *content(const char *name)
{
	static char text[8192];
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd_read_full(fd, text, sizeof(text) - 1);

	assert_true(n >= 0);
	close(fd);
	text[n] = 0;
	return text;
}

static void test_records(void **state)
{
	struct log_file log = LOG_FILE_INIT;
	const char *text, *second;

	assert_int_equal(log_file_open(&log, dir_fd, 4096, 2, NULL), 0);
	log_file_add(&log, "stdout", "one\npart", 8);
	log_file_add(&log, "stderr", "\n", 1);
	log_file_close(&log);
	text = content("log");
	assert_int_equal(text[10], 'T');
	assert_memory_equal(text + 29, "Z stdout F one\n", 15);
	second = strchr(text, '\n') + 1;
	assert_memory_equal(second + 29, "Z stdout P part\n", 16);
	assert_memory_equal(strchr(second, '\n') + 1 + 29, "Z stderr F \n", 12);
}

static void test_rotation(void **state)
{
	struct log_file log = LOG_FILE_INIT;
	struct stat st;

	assert_int_equal(log_file_open(&log, dir_fd, 200, 3, NULL), 0);
	for (int i = 0; i < 50; i++)
		log_file_add(&log, "stdout", "0123456789\n", 11);
	log_file_close(&log);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fstatat(dir_fd, i == 0 ? "log" : i == 1 ? "log.1" : "log.2", &st, 0), 0);
		assert_true(st.st_size <= 200);
	}
	assert_int_equal(fstatat(dir_fd, "log.3", &st, 0), -1);
	assert_int_equal(log.dropped, 0);
}

static void test_one_file_only(void **state)
{
	struct log_file log = LOG_FILE_INIT;
	struct stat st;

	assert_int_equal(log_file_open(&log, dir_fd, 200, 1, NULL), 0);
	for (int i = 0; i < 50; i++)
		log_file_add(&log, "stdout", "0123456789\n", 11);
	log_file_close(&log);
	assert_int_equal(fstatat(dir_fd, "log", &st, 0), 0);
	assert_true(st.st_size <= 200);
	assert_int_equal(fstatat(dir_fd, "log.1", &st, 0), -1);
}

static void test_a_line_longer_than_the_file(void **state)
{
	struct log_file log = LOG_FILE_INIT;
	char line[1000];
	struct stat st;

	memset(line, 'x', sizeof(line));
	assert_int_equal(log_file_open(&log, dir_fd, 200, 2, NULL), 0);
	for (int i = 0; i < 5; i++)
		log_file_add(&log, "stdout", line, sizeof(line));
	log_file_close(&log);
	assert_int_equal(fstatat(dir_fd, "log", &st, 0), 0);
	assert_true(st.st_size < 1100);
}

static void test_life(void **state)
{
	struct life_record record = { .status = 137, .started = 1, .finished = 1700000000123456789, .restarts = 4 }, read;
	bool alive;
	int fd = life_take(dir_fd, NULL);

	assert_true(fd >= 0);
	assert_int_equal(life_take(dir_fd, NULL), -EBUSY);
	assert_int_equal(life_read(dir_fd, &read, &alive), 0);
	assert_true(alive);
	assert_int_equal(read.status, -1);
	assert_int_equal(life_write(fd, &record), 0);
	close(fd);
	assert_int_equal(life_read(dir_fd, &read, &alive), 0);
	assert_false(alive);
	assert_int_equal(read.status, 137);
	assert_int_equal(read.restarts, 4);
	assert_true(read.finished == record.finished);
	assert_int_equal(life_wait(dir_fd, &read, NULL), 0);
}

static void test_damaged_life(void **state)
{
	struct life_record read;
	bool alive;

	assert_int_equal(file_replace_at(dir_fd, "life", "nonsense", 8, 0600, NULL), 0);
	assert_int_equal(life_read(dir_fd, &read, &alive), 0);
	assert_int_equal(read.status, -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_records), TEST(test_rotation),	TEST(test_one_file_only),
					    TEST(test_a_line_longer_than_the_file), TEST(test_life), TEST(test_damaged_life) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
