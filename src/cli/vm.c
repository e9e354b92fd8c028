/* `vm boot`: a kernel in the microvm machine, its serial port on the terminal. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "machine/microvm.h"

static struct {
	const char *kernel, *initrd, *append, *engine, *serial;
	struct option_number memory, cpus;
	bool stats;
} opt;

static const struct option options[] = {
	{ 'k', "kernel", OPTION_STRING, &opt.kernel, "FILE", "the kernel: a bzImage, or an ELF file with a PVH entry" },
	{ 'i', "initrd", OPTION_STRING, &opt.initrd, "FILE", "the initial RAM disk" },
	{ 'a', "append", OPTION_STRING, &opt.append, "LINE", "the kernel's command line", .fallback = "console=ttyS0" },
	{ 'm', "memory", OPTION_SIZE, &opt.memory, "SIZE", "the guest's memory", .fallback = "512m" },
	{ 'c', "cpus", OPTION_NUMBER, &opt.cpus, "N", "virtual processors", .fallback = "1" },
	{ 0, "engine", OPTION_STRING, &opt.engine, "auto|soft|interpreter", "what runs the guest's code", .fallback = "auto" },
	{ 0, "serial", OPTION_STRING, &opt.serial, "stdio|file:PATH|none", "where the serial port leads", .fallback = "stdio" },
	{ 0, "stats", OPTION_FLAG, &opt.stats, NULL, "print what the engine did, on standard error, at the end" },
	{ 0 },
};

/* Exit statuses that tell the ends apart; a debug exit has its own, odd ones, as under QEMU. */
enum { STATUS_OFF = 0, STATUS_RESET = 120, STATUS_TRIPLE_FAULT = 121, STATUS_ESCAPED = 122 };

struct file {
	void *data;
	size_t len;
};

static void unmap(struct file *f)
{
	if (f->data)
		munmap(f->data, f->len);
}

static int map_file(const char *path, const char *what, struct file *ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, errno, "cannot open the %s '%s'", what, path);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return error_set(err, EINVAL, "the %s '%s' is %s", what, path, S_ISREG(st.st_mode) ? "empty" : "not a regular file");
	void *p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return error_sys(err, errno, "cannot map the %s '%s'", what, path);
	*ret = (struct file){ p, st.st_size };
	return 0;
}

/* Where the serial port's output goes, and its input comes from. */
static int open_serial(int *ret_in, int *ret_out, int *ret_owned, struct error *err)
{
	*ret_in = *ret_out = *ret_owned = -1;
	if (strcmp(opt.serial, "stdio") == 0) {
		*ret_in = STDIN_FILENO;
		*ret_out = STDOUT_FILENO;
	} else if (strncmp(opt.serial, "file:", 5) == 0) {
		*ret_owned = *ret_out = open(opt.serial + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (*ret_out < 0)
			return error_sys(err, errno, "cannot open '%s' for the serial port", opt.serial + 5);
	} else if (strcmp(opt.serial, "none") != 0) {
		return error_set(err, EINVAL, "--serial %s: give stdio, file:PATH or none", opt.serial);
	}
	return 0;
}

static bool raw_terminal(int fd, struct termios *old)
{
	struct termios raw;

	if (fd < 0 || !isatty(fd) || tcgetattr(fd, old) < 0)
		return false;
	raw = *old;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST | ONLCR;
	return tcsetattr(fd, TCSANOW, &raw) == 0;
}

static void print_stats(const struct cpu_stats *s)
{
	fprintf(stderr,
		"interpreted %llu, blocks %llu of %llu instructions, code %llu bytes, exits %llu (misses %llu, lookups %llu, links %llu), "
		"fills %llu, flushes %llu, invalidated %llu\n",
		(unsigned long long)s->interpreted, (unsigned long long)s->blocks, (unsigned long long)s->block_insns,
		(unsigned long long)s->code_bytes, (unsigned long long)s->exits, (unsigned long long)s->misses, (unsigned long long)s->lookups,
		(unsigned long long)s->links, (unsigned long long)s->fills, (unsigned long long)s->flushes, (unsigned long long)s->invalidated);
}

static int tell_end(const struct microvm_result *r, struct error *err)
{
	switch (r->end) {
	case MICROVM_POWER_OFF: return STATUS_OFF;
	case MICROVM_RESET: return STATUS_RESET;
	case MICROVM_DEBUG_EXIT: return (r->status << 1 | 1) & 0xff;
	case MICROVM_ESCAPED: return STATUS_ESCAPED;
	case MICROVM_TRIPLE_FAULT: fprintf(stderr, "ringwall: the guest stopped: %s\n", err->message); return STATUS_TRIPLE_FAULT;
	default: return -EIO;
	}
}

static int boot(struct error *err)
{
	_cleanup_(unmap) struct file kernel = { 0 }, initrd = { 0 };
	_cleanup_close_ int owned = -1;
	struct microvm_result result;
	struct termios old;
	int in, out, r;

	if (!opt.kernel)
		return error_set(err, EINVAL, "vm boot needs --kernel FILE");
	if ((r = map_file(opt.kernel, "kernel", &kernel, err)) < 0 || (opt.initrd && (r = map_file(opt.initrd, "initrd", &initrd, err)) < 0) ||
	    (r = open_serial(&in, &out, &owned, err)) < 0)
		return r;
	if (opt.cpus.v < 1 || opt.cpus.v > CPU_MAX || opt.memory.v <= 0)
		return error_set(err, EINVAL, "--cpus takes 1 to %u, --memory a size", CPU_MAX);
	bool raw = raw_terminal(in, &old);
	struct microvm_config config = {
		.engine = strcmp(opt.engine, "auto") ? opt.engine : "soft",
		.cpus = opt.cpus.v,
		.memory = opt.memory.v,
		.kernel = kernel.data,
		.kernel_len = kernel.len,
		.initrd = initrd.data,
		.initrd_len = initrd.len,
		.command_line = opt.append,
		.console_in = in,
		.console_out = out,
		.escape = raw,
	};
	r = microvm_run(&config, &result, err);
	if (raw)
		tcsetattr(in, TCSANOW, &old);
	if (r < 0)
		return r;
	if (opt.stats)
		print_stats(&result.stats);
	return tell_end(&result, err);
}

static int run_vm(struct cli *cli _unused_, char **operands, struct error *err)
{
	if (strcmp(operands[0], "boot") != 0)
		return error_set(err, EINVAL, "'%s' is not a command of vm; there is 'boot'", operands[0]);
	return boot(err);
}

const struct command cli_vm = {
	.name = "vm",
	.group = "Virtual machines",
	.operands = "boot",
	.summary = "boot a kernel in a virtual machine",
	.details = "The exit status tells how the guest ended: 0 power-off, 120 reset, 121 triple fault, 122 left with Ctrl-A x, and "
		   "2 * N + 1 when it wrote N to the debug exit port 0xf4.",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_vm,
};
