/*
 * The layer reader: decompression and unpacking of whatever bytes, into a directory of its own. Nothing may appear beside
 * it, and what is unpacked must be removable.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"
#include "image/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char top[] = "/tmp/ringwall-fuzz-layer.XXXXXX";

static void require(bool what)
{
	if (!what)
		abort();
}

static void clean_up(void)
{
	remove_tree_at(AT_FDCWD, top, NULL);
}

static void set_up(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	require(mkdtemp(top) != NULL);
	atexit(clean_up);
}

static void fill_lower(int lower)
{
	_cleanup_close_ int fd = -1;

	require(mkdirat(lower, "d", 0711) == 0 && symlinkat("d", lower, "l") == 0);
	fd = openat(lower, "d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	require(fd >= 0 && fd_write_all(fd, "below", 5) == 0);
}

static int open_fresh(int dir, const char *name)
{
	int fd;

	require(mkdirat(dir, name, 0700) == 0);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	require(fd >= 0);
	return fd;
}

static void unpack(int fd, int root, int lower)
{
	struct image_limits limits = { .unpacked = 8 << 20, .entries = 2000, .ratio = 100, .layers = 1 };
	struct layer_input input = { .fd = fd, .length = (uint64_t)lseek(fd, 0, SEEK_END) };
	struct unpack_request request = { .root = root, .lowers = &lower, .n_lowers = 1, .squash_ids = getuid() != 0,
					  .limits = &limits };
	_cleanup_layer_stream_ struct layer_stream *stream = NULL;
	struct unpack_result result;
	struct error err = ERROR_INIT;
	char diff_id[DIGEST_TEXT_MAX];
	uint64_t unpacked;
	int r;

	require(layer_stream_open(&input, &limits, &stream, &err) == 0);
	r = unpack_layer(stream, &request, &result, &err);
	if (r >= 0)
		r = layer_stream_finish(stream, diff_id, &unpacked, &err);
	require(r >= 0 || (err.code == -r && err.message[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int dir = -1, fd = -1, root = -1, lower = -1;
	struct stat st;

	set_up();
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = memfd_create("layer", MFD_CLOEXEC);
	require(dir >= 0 && fd >= 0 && fd_write_all(fd, data, size) == 0);
	lower = open_fresh(dir, "lower");
	fill_lower(lower);
	root = open_fresh(dir, "root");
	unpack(fd, root, lower);
	require(remove_tree_at(dir, "root", NULL) == 0 && remove_tree_at(dir, "lower", NULL) == 0);
	require(fstat(dir, &st) == 0 && st.st_nlink == 2); /* nothing came out of the root */
	return 0;
}
