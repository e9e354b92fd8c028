#include "cpu/soft/cache.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/soft/fault.h"
#include "cpu/soft/mmu.h"

#define ARENA_BYTES (64ull << 20)
#define THUNK_MAX 256

struct code_cache {
	uint8_t *write, *exec; /* two mappings of one memory */
	struct emit e;
	uint8_t *first;        /* behind the stubs */
	struct stubs stubs;
	uint64_t generation;
	struct soft_vm *vm;
};

static int map_arena(struct code_cache *c, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, ARENA_BYTES) < 0)
		return error_sys(err, errno, "cannot create the code cache");
	c->write = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (c->write == MAP_FAILED)
		return error_sys(err, errno, "cannot map the code cache");
	c->exec = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (c->exec == MAP_FAILED)
		return error_sys(err, errno, "cannot map the code cache for execution; vm.memfd_noexec must not be 2");
	return 0;
}

int cache_create(struct soft_vm *vm, struct code_cache **ret, struct error *err)
{
	struct code_cache *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return error_oom(err);
	c->write = c->exec = MAP_FAILED;
	c->vm = vm;
	if ((r = map_arena(c, err)) < 0) {
		cache_free(c);
		return r;
	}
	c->e = (struct emit){ c->write, c->write + ARENA_BYTES, c->exec - c->write };
	stubs_emit(&c->e, &c->stubs);
	c->first = c->e.p;
	if ((r = fault_install((uint64_t)c->exec, (uint64_t)c->exec + ARENA_BYTES, c->stubs.leave, err)) < 0) {
		cache_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void cache_free(struct code_cache *c)
{
	if (!c)
		return;
	if (c->first)
		fault_remove();
	if (c->write != MAP_FAILED)
		munmap(c->write, ARENA_BYTES);
	if (c->exec != MAP_FAILED)
		munmap(c->exec, ARENA_BYTES);
	free(c);
}

const struct stubs *cache_stubs(const struct code_cache *c)
{
	return &c->stubs;
}

uint64_t cache_generation(const struct code_cache *c)
{
	return c->generation;
}

bool cache_contains(const struct code_cache *c, uint64_t rip)
{
	return rip - (uint64_t)c->exec < ARENA_BYTES;
}

void *cache_make_thunk(struct code_cache *c, const struct insn *in)
{
	struct hmem m = { H_R15, H_NONE, 0, 0 };

	if (c->e.p + THUNK_MAX > c->e.end) {
		c->e.p = c->first;
		c->generation++;
	}
	void *code = exec_addr(&c->e);
	if (insn_has_mem(in))
		emit_core_load(&c->e, H_R15, CORE_OFF(mem_host));
	native_emit(&c->e, in, &m);
	emit_call(&c->e, c->stubs.leave);
	return code;
}

void cache_memory_written(struct code_cache *c _unused_, uint64_t pa _unused_, uint64_t len _unused_)
{
}

void cache_mappings_changed(struct vcpu *v _unused_)
{
}

void cache_page_flushed(struct vcpu *v _unused_, uint64_t va _unused_)
{
}

void cache_global_flush(struct vcpu *v _unused_)
{
}

void cache_privilege_changed(struct vcpu *v _unused_)
{
}
