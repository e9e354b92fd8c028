/* The microvm machine with small guests of our own: console, debug exit, triple fault, and kernels that are none. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "machine/microvm.h"

struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		Elf64_Nhdr nh;
		char name[4];
		uint32_t entry;
	} note;
	uint8_t code[256];
};

#define LOAD_AT 0x200000u

/* An ELF file with a PVH note whose 32-bit code is CODE. */
static struct image make_image(const uint8_t *code, size_t len)
{
	struct image im = { 0 };

	memcpy(im.eh.e_ident, ELFMAG, SELFMAG);
	im.eh.e_ident[EI_CLASS] = ELFCLASS64;
	im.eh.e_machine = EM_X86_64;
	im.eh.e_phoff = offsetof(struct image, ph);
	im.eh.e_phentsize = sizeof(Elf64_Phdr);
	im.eh.e_phnum = 2;
	im.ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = offsetof(struct image, code), .p_paddr = LOAD_AT, .p_filesz = sizeof(im.code),
				 .p_memsz = sizeof(im.code) };
	im.ph[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = offsetof(struct image, note), .p_filesz = sizeof(im.note) };
	im.note.nh = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = 4, .n_type = 18 };
	memcpy(im.note.name, "Xen", 4);
	im.note.entry = LOAD_AT;
	memcpy(im.code, code, len);
	return im;
}

static int run(const void *kernel, size_t len, const char *engine, struct microvm_result *result, char *console, struct error *err)
{
	int fds[2], r;

	assert_int_equal(pipe(fds), 0);
	struct microvm_config config = { .engine = engine, .cpus = 1, .memory = 16 << 20, .kernel = kernel, .kernel_len = len,
					 .command_line = "", .console_in = -1, .console_out = fds[1] };
	r = microvm_run(&config, result, err);
	close(fds[1]);
	ssize_t n = read(fds[0], console, 63);
	console[n > 0 ? n : 0] = 0;
	close(fds[0]);
	return r;
}

static const char *const engines[] = { "interpreter", "soft" };

static void test_console_and_debug_exit(void **state _unused_)
{
	/* mov $0x3f8, %dx; 'O', 'K' to it; 0x15 to the debug exit; cli; hlt */
	static const uint8_t code[] = { 0x66, 0xba, 0xf8, 0x03, 0xb0, 'O', 0xee, 0xb0, 'K', 0xee, 0xb0, 0x15, 0xe6, 0xf4, 0xfa, 0xf4, 0xeb, 0xfd };
	struct image im = make_image(code, sizeof(code));

	for (unsigned i = 0; i < ARRAY_SIZE(engines); i++) {
		struct microvm_result result = { 0 };
		struct error err = ERROR_INIT;
		char console[64];
		assert_int_equal(run(&im, sizeof(im), engines[i], &result, console, &err), 0);
		assert_int_equal(result.end, MICROVM_DEBUG_EXIT);
		assert_int_equal(result.status, 0x15);
		assert_string_equal(console, "OK");
	}
}

static void test_triple_fault_is_told(void **state _unused_)
{
	/* lidt of an empty table; ud2 */
	static const uint8_t code[] = { 0x0f, 0x01, 0x1d, 0x10, 0x00, 0x20, 0x00, 0x0f, 0x0b };
	struct image im = make_image(code, sizeof(code));
	struct microvm_result result = { 0 };
	struct error err = ERROR_INIT;
	char console[64];

	assert_int_equal(run(&im, sizeof(im), "soft", &result, console, &err), 0);
	assert_int_equal(result.end, MICROVM_TRIPLE_FAULT);
	assert_non_null(strstr(err.message, "triple fault at rip 0x200007"));
}

static void test_kernels_that_are_none(void **state _unused_)
{
	static const uint8_t code[] = { 0xf4 };
	struct microvm_result result;
	char console[64];

	for (unsigned i = 0; i < 7; i++) {
		struct image im = make_image(code, sizeof(code));
		struct error err = ERROR_INIT;
		size_t len = sizeof(im);
		switch (i) {
		case 0: im.eh.e_ident[0] = 'x'; break;           /* neither ELF nor bzImage */
		case 1: len = 20; break;                         /* cut off */
		case 2: im.eh.e_phnum = 0xffff; break;           /* headers outside the file */
		case 3: im.ph[0].p_filesz = 1 << 20; break;      /* segment outside the file */
		case 4: im.ph[0].p_paddr = ~0ull - 4096; break;  /* outside memory */
		case 5: im.note.nh.n_descsz = 0xffffffff; break; /* note outside its segment */
		case 6: im.eh.e_machine = EM_AARCH64; break;
		}
		assert_true(run(&im, len, "interpreter", &result, console, &err) < 0);
		assert_true(err.message[0]);
	}
}

static void test_absurd_sizes_are_refused(void **state _unused_)
{
	static const uint8_t code[] = { 0xf4 };
	struct image im = make_image(code, sizeof(code));
	struct microvm_config config = { .engine = "soft", .cpus = 1, .memory = 4096, .kernel = &im, .kernel_len = sizeof(im),
					 .command_line = "", .console_in = -1, .console_out = -1 };
	struct microvm_result result;
	struct error err = ERROR_INIT;

	assert_int_equal(microvm_run(&config, &result, &err), -EINVAL);
	config.memory = 1ull << 60;
	assert_int_equal(microvm_run(&config, &result, &err), -EINVAL);
	config.memory = 16 << 20;
	config.cpus = 0;
	assert_int_equal(microvm_run(&config, &result, &err), -EINVAL);
	config.cpus = CPU_MAX + 1;
	assert_int_equal(microvm_run(&config, &result, &err), -EINVAL);
	config.cpus = 1;
	config.engine = "magic";
	assert_int_equal(microvm_run(&config, &result, &err), -EINVAL);
	config.engine = "soft";
	config.initrd = &im; /* larger than memory, by its own word */
	config.initrd_len = 1ull << 40;
	assert_int_equal(microvm_run(&config, &result, &err), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_console_and_debug_exit),
		cmocka_unit_test(test_triple_fault_is_told),
		cmocka_unit_test(test_kernels_that_are_none),
		cmocka_unit_test(test_absurd_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
