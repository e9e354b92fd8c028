#include "host/cgroup_devices_bpf.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "host/cgroup_internal.h"

#define PROGRAM_NAME "ringwall_dev"
#define ATTACHED_MAX 64 /* the kernel's own limit (BPF_CGROUP_MAX_PROGS) */
#define FIELD "linux.resources.devices"

/* Registers of the program. R0 is the answer; R1 comes with the context. */
enum {
	ANSWER = BPF_REG_0,
	CONTEXT = BPF_REG_1,
	TYPE = BPF_REG_2,
	ACCESS = BPF_REG_3,
	MAJOR = BPF_REG_4,
	MINOR = BPF_REG_5,
	SCRATCH = BPF_REG_6
};

#define INSN_MAX 4096 /* that of kernels before 5.2, and of unprivileged programs */
#define INSNS_PER_RULE 8
#define ACCESS_ALL (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD)

void bpf_program_free(struct bpf_program *p)
{
	free(p->v);
	*p = (struct bpf_program){0};
}

/* Room was allocated for the worst case. */
static struct bpf_insn *emit(struct bpf_program *p, unsigned code, unsigned dst, unsigned src, int off, uint32_t imm)
{
	struct bpf_insn *i = &p->v[p->n++];

	*i = (struct bpf_insn){
	    .code = (uint8_t)code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = (int32_t)imm};
	return i;
}

static void emit_answer(struct bpf_program *p, uint32_t answer)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, ANSWER, 0, 0, answer);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_prologue(struct bpf_program *p)
{
	const int size = BPF_LDX | BPF_MEM | BPF_W;

	emit(p, size, ACCESS, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	emit(p, BPF_ALU | BPF_MOV | BPF_X, TYPE, ACCESS, 0, 0);
	emit(p, BPF_ALU | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, ACCESS, 0, 0, 16);
	emit(p, size, MAJOR, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	emit(p, size, MINOR, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

static uint32_t access_bits(const struct device_rule *d)
{
	return (d->read ? BPF_DEVCG_ACC_READ : 0u) | (d->write ? BPF_DEVCG_ACC_WRITE : 0u) |
	       (d->mknod ? BPF_DEVCG_ACC_MKNOD : 0u);
}

/*
 * ACCESS holds what is still to be decided. A matching "deny" that has any of it ends with no; a matching "allow" takes
 * its kinds out, and when none is left ends with yes.
 */
static void emit_rule(struct bpf_program *p, const struct device_rule *d)
{
	struct bpf_insn *to_next[4];
	uint32_t bits = access_bits(d);
	size_t jumps = 0;

	if (d->type != 'a')
		to_next[jumps++] = emit(p, BPF_JMP32 | BPF_JNE | BPF_K, TYPE, 0, 0,
					d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (d->major >= 0)
		to_next[jumps++] = emit(p, BPF_JMP32 | BPF_JNE | BPF_K, MAJOR, 0, 0, (uint32_t)d->major);
	if (d->minor >= 0)
		to_next[jumps++] = emit(p, BPF_JMP32 | BPF_JNE | BPF_K, MINOR, 0, 0, (uint32_t)d->minor);
	if (bits != ACCESS_ALL && d->allow) {
		emit(p, BPF_ALU | BPF_AND | BPF_K, ACCESS, 0, 0, ~bits & ACCESS_ALL);
		to_next[jumps++] = emit(p, BPF_JMP32 | BPF_JNE | BPF_K, ACCESS, 0, 0, 0);
	} else if (bits != ACCESS_ALL) {
		emit(p, BPF_ALU | BPF_MOV | BPF_X, SCRATCH, ACCESS, 0, 0);
		emit(p, BPF_ALU | BPF_AND | BPF_K, SCRATCH, 0, 0, bits);
		to_next[jumps++] = emit(p, BPF_JMP32 | BPF_JEQ | BPF_K, SCRATCH, 0, 0, 0);
	}
	emit_answer(p, d->allow);
	for (size_t i = 0; i < jumps; i++)
		to_next[i]->off = (int16_t)(&p->v[p->n] - to_next[i] - 1);
}

int device_rules_compile(const struct device_rules *rules, struct bpf_program *ret, struct error *err)
{
	struct bpf_program p = {.cap = rules->n * INSNS_PER_RULE + 8};
	bool complete = false;

	p.v = calloc(p.cap, sizeof(*p.v));
	if (!p.v)
		return error_oom(err);
	emit_prologue(&p);
	for (size_t i = rules->n; i > 0 && !complete; i--) {
		const struct device_rule *d = &rules->v[i - 1];

		if (!access_bits(d))
			continue;
		emit_rule(&p, d);
		complete = d->type == 'a' && d->major < 0 && d->minor < 0 && access_bits(d) == ACCESS_ALL;
	}
	if (!complete)
		emit_answer(&p, 0);
	if (p.n > INSN_MAX) {
		bpf_program_free(&p);
		return error_set(err, E2BIG, FIELD ": %zu rules are more than fit into one device filter", rules->n);
	}
	*ret = p;
	return 0;
}

/* ---- the kernel ---- */

static int bpf(int cmd, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

static int load(const struct bpf_program *p, struct error *err)
{
	union bpf_attr attr = {
	    .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
	    .insns = (uintptr_t)p->v,
	    .insn_cnt = (uint32_t)p->n,
	    .license = (uintptr_t) "Apache-2.0",
	    .prog_name = PROGRAM_NAME,
	};
	int fd = bpf(BPF_PROG_LOAD, &attr); /* close-on-exec by the kernel */

	if (fd == -EPERM)
		return error_set(err, EPERM,
				 FIELD " cannot be enforced: loading the device filter is not permitted (it needs "
				       "CAP_BPF and CAP_NET_ADMIN or CAP_SYS_ADMIN of the initial user namespace)");
	if (fd == -EINVAL || fd == -ENOSYS)
		return error_set(err, -fd,
				 FIELD " cannot be enforced: this kernel takes no device filters (it needs "
				       "CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF, Linux 5.1)");
	return fd < 0 ? error_sys(err, fd, FIELD " cannot be enforced: loading the device filter failed") : fd;
}

/* Our earlier programs in the group: their descriptors into FDS. */
static size_t find_ours(int group_fd, int fds[ATTACHED_MAX])
{
	uint32_t ids[ATTACHED_MAX];
	union bpf_attr query = {.query = {.target_fd = (uint32_t)group_fd,
					  .attach_type = BPF_CGROUP_DEVICE,
					  .prog_ids = (uintptr_t)ids,
					  .prog_cnt = ATTACHED_MAX}};
	size_t n = 0;

	if (bpf(BPF_PROG_QUERY, &query) < 0)
		return 0;
	for (uint32_t i = 0; i < query.query.prog_cnt && i < ATTACHED_MAX; i++) {
		union bpf_attr get = {.prog_id = ids[i]};
		struct bpf_prog_info info = {0};
		union bpf_attr ask;
		int fd = bpf(BPF_PROG_GET_FD_BY_ID, &get);

		if (fd < 0)
			continue;
		ask = (union bpf_attr){
		    .info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof(info), .info = (uintptr_t)&info}};
		if (bpf(BPF_OBJ_GET_INFO_BY_FD, &ask) == 0 && strcmp(info.name, PROGRAM_NAME) == 0)
			fds[n++] = fd;
		else
			close(fd);
	}
	return n;
}

static int attach(int group_fd, int prog_fd, int replace_fd)
{
	union bpf_attr attr = {
	    .target_fd = (uint32_t)group_fd,
	    .attach_bpf_fd = (uint32_t)prog_fd,
	    .attach_type = BPF_CGROUP_DEVICE,
	    .attach_flags = BPF_F_ALLOW_MULTI | (replace_fd >= 0 ? BPF_F_REPLACE : 0u),
	    .replace_bpf_fd = replace_fd >= 0 ? (uint32_t)replace_fd : 0,
	};

	return bpf(BPF_PROG_ATTACH, &attr);
}

static int detach(int group_fd, int prog_fd)
{
	union bpf_attr attr = {
	    .target_fd = (uint32_t)group_fd, .attach_bpf_fd = (uint32_t)prog_fd, .attach_type = BPF_CGROUP_DEVICE};

	return bpf(BPF_PROG_DETACH, &attr);
}

static int attach_failed(int r, struct error *err)
{
	return error_sys(err, r, FIELD " cannot be enforced: attaching the device filter failed");
}

/*
 * One of ours: the kernel swaps the two (Linux 5.6). Else the new one joins the old ones, when all must say yes, and
 * then they go.
 */
static int swap(int group_fd, int prog_fd, const int *old, size_t n_old, struct error *err)
{
	int r;

	if (n_old == 1 && attach(group_fd, prog_fd, old[0]) == 0)
		return 0;
	r = attach(group_fd, prog_fd, -1);
	if (r < 0)
		return attach_failed(r, err);
	for (size_t i = 0; i < n_old; i++) {
		r = detach(group_fd, old[i]);
		if (r < 0)
			return error_sys(
			    err, r, FIELD ": the new device filter is in force, but an old one cannot be detached");
	}
	return 0;
}

int device_program_attach(int group_fd, const struct bpf_program *program, bool replace, struct error *err)
{
	_cleanup_close_ int prog_fd = load(program, err);
	int old[ATTACHED_MAX];
	size_t n_old = 0;
	int r;

	if (prog_fd < 0)
		return prog_fd;
	if (replace)
		n_old = find_ours(group_fd, old);
	r = swap(group_fd, prog_fd, old, n_old, err);
	for (size_t i = 0; i < n_old; i++)
		close(old[i]);
	return r;
}

int cgroup_v2_devices(const struct cgroup_apply *a, struct error *err)
{
	_cleanup_device_rules_ struct device_rules rules = {0};
	_cleanup_bpf_program_ struct bpf_program program = {0};
	_cleanup_close_ int fd = -1;
	int r;

	r = device_rules_build(a->r, &rules, err);
	if (r < 0)
		return r;
	if (a->create && device_rules_allow_all(&rules))
		return 0;
	r = device_rules_compile(&rules, &program, err);
	if (r < 0)
		return r;
	fd = open(a->node->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "cannot open control group '%s'", a->node->dir);
	return device_program_attach(fd, &program, !a->create, err);
}
