/* Control groups on this host's real v1 or hybrid hierarchies. Skipped, with the reason, where there are none or no
 * rights. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <linux/sched.h>

#include "base/fdio.h"
#include "base/json.h"
#include "host/cgroup_internal.h"
#include "host/cgroup_stats.h"

static char id[64];
static enum cgroup_layout layout;
static bool usable;
static char why_not[256];

static void skip_because(const char *reason)
{
	print_message("skipped: %s\n", reason);
	skip();
}

static void need_groups(void)
{
	if (!usable)
		skip_because(why_not);
}

static void need_v1(void)
{
	need_groups();
	if (layout == CGROUP_LAYOUT_V2)
		skip_because("this host has cgroup v2 only");
}

static void need_v2(void)
{
	need_groups();
	if (layout != CGROUP_LAYOUT_V2)
		skip_because("this host's controllers are on cgroup v1");
}

static struct cgroup *make(const struct cgroup_resources *r)
{
	struct cgroup_request request = {.id = id, .resources = r};
	struct error err = ERROR_INIT;
	struct cgroup *cg = NULL;

	if (cgroup_create(&request, &cg, &err) < 0)
		fail_msg("%s", err.message);
	return cg;
}

/* Forks a process that joins CG and runs FN. */
static pid_t enter(struct cgroup *cg, int (*fn)(void))
{
	_cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
	struct clone_args args = {.exit_signal = SIGCHLD};
	struct error err = ERROR_INIT;
	int ready[2], go[2];
	char byte;
	pid_t pid;

	if (cgroup_entry_open(cg, NULL, &entry, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	do {
		args.flags = entry.clone_fd >= 0 ? CLONE_INTO_CGROUP : 0;
		args.cgroup = entry.clone_fd >= 0 ? (unsigned)entry.clone_fd : 0;
		pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	} while (pid < 0 && cgroup_entry_fall_back(cg, errno, 0, &entry, &err) == 0);
	if (pid < 0)
		fail_msg("%s", err.message);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (read(go[0], &byte, 1) != 1 || cgroup_entry_join(&entry, entry.clone_fd >= 0) < 0)
			_exit(99);
		if (write(ready[1], "x", 1) != 1)
			_exit(98);
		_exit(fn());
	}
	if (entry.attach && cgroup_attach(cg, pid, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(write(go[1], "x", 1), 1);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(go[0]);
	close(go[1]);
	return pid;
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int sleep_long(void)
{
	for (;;)
		pause();
	return 0;
}

static void destroy(struct cgroup *cg)
{
	struct error err = ERROR_INIT;

	if (cgroup_destroy(cg, &err) < 0)
		fail_msg("%s", err.message);
	for (size_t i = 0; i < cgroup_n_nodes(cg); i++)
		assert_int_equal(access(cgroup_node_at(cg, i)->dir, F_OK), -1);
	cgroup_free(cg);
}

static void read_file(const struct cgroup *cg, const char *controller, const char *file, char *buf, size_t size)
{
	struct cgroup_node node = {.dir = (char *)cgroup_dir(cg, controller)};

	assert_non_null(node.dir);
	assert_int_equal(cgroup_file_read(&node, file, buf, size), 0);
}

static void assert_file(const struct cgroup *cg, const char *controller, const char *file, const char *expected)
{
	char buf[512];

	read_file(cg, controller, file, buf, sizeof(buf));
	assert_string_equal(buf, expected);
}

/* No hierarchy has a group NAME. */
static void assert_no_group(const char *name)
{
	static const char *const dirs[] = {"", "/cpuset", "/pids", "/memory", "/freezer", "/systemd", "/unified"};
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), CGROUP_ROOT "%s/%s", dirs[i], name);
		assert_int_equal(access(path, F_OK), -1);
	}
}

/* ---- tests ---- */

static void test_v2_limits(void **state)
{
	struct unified_setting high = {(char *)"memory.high", (char *)"60000000"};
	struct cgroup_resources r = {
	    .memory = {.limit = {true, 64 << 20}, .swap = {true, 128 << 20}, .reservation = {true, 16 << 20}},
	    .cpu = {.shares = {true, 512},
		    .quota = {true, 50000},
		    .period = {true, 100000},
		    .burst = {true, 10000},
		    .cpus = (char *)"0"},
	    .pids = {.limit = {true, 77}},
	    .unified = {&high, 1},
	};
	struct error err = ERROR_INIT;
	struct cgroup *cg;

	need_v2();
	cg = make(&r);
	assert_file(cg, NULL, "memory.max", "67108864");
	assert_file(cg, NULL, "memory.low", "16777216");
	assert_file(cg, NULL, "memory.high", "59998208"); /* whole pages */
	assert_file(cg, NULL, "memory.swap.max", "67108864");
	assert_file(cg, NULL, "cpu.weight", "59");
	assert_file(cg, NULL, "cpu.max", "50000 100000");
	assert_file(cg, NULL, "cpu.max.burst", "10000");
	assert_file(cg, NULL, "cpuset.cpus", "0");
	assert_file(cg, NULL, "pids.max", "77");
	r = (struct cgroup_resources){.cpu = {.quota = {true, 5000}, .burst = {true, 4000}},
				      .pids.limit = {true, -1},
				      .memory.limit = {true, -1}};
	if (cgroup_update(cg, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_file(cg, NULL, "cpu.max", "5000 100000");
	assert_file(cg, NULL, "cpu.max.burst", "4000");
	assert_file(cg, NULL, "pids.max", "max");
	assert_file(cg, NULL, "memory.max", "max");
	assert_file(cg, NULL, "memory.swap.max", "max");
	r = (struct cgroup_resources){.cpu.idle = {true, 1}};
	assert_int_equal(cgroup_update(cg, &r, &err), 0);
	assert_file(cg, NULL, "cpu.idle", "1");
	r = (struct cgroup_resources){.cpu = {.idle = {true, 0}, .shares = {true, 1024}}};
	assert_int_equal(cgroup_update(cg, &r, &err), 0);
	assert_file(cg, NULL, "cpu.weight", "100");
	destroy(cg);
}

static void test_v1_limits(void **state)
{
	struct cgroup_resources r = {
	    .memory = {.limit = {true, 64 << 20}, .swap = {true, 128 << 20}, .reservation = {true, 16 << 20}},
	    .cpu = {.shares = {true, 512}, .quota = {true, 50000}, .period = {true, 100000}, .cpus = (char *)"0"},
	    .pids = {.limit = {true, 77}},
	};
	struct error err = ERROR_INIT;
	struct cgroup *cg;

	need_v1();
	cg = make(&r);
	assert_file(cg, "memory", "memory.limit_in_bytes", "67108864");
	assert_file(cg, "memory", "memory.memsw.limit_in_bytes", "134217728");
	assert_file(cg, "memory", "memory.soft_limit_in_bytes", "16777216");
	assert_file(cg, "cpu", "cpu.shares", "512");
	assert_file(cg, "cpu", "cpu.cfs_quota_us", "50000");
	assert_file(cg, "cpuset", "cpuset.cpus", "0");
	assert_file(cg, "pids", "pids.max", "77");
	/* Up and down again: limit and swap in the right order each time. */
	r = (struct cgroup_resources){.memory = {.limit = {true, 256 << 20}, .swap = {true, 512 << 20}},
				      .pids.limit = {true, -1},
				      .cpu.quota = {true, -1}};
	if (cgroup_update(cg, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_file(cg, "memory", "memory.memsw.limit_in_bytes", "536870912");
	assert_file(cg, "pids", "pids.max", "max");
	assert_file(cg, "cpu", "cpu.cfs_quota_us", "-1");
	r = (struct cgroup_resources){.memory = {.limit = {true, 32 << 20}, .swap = {true, 32 << 20}}};
	if (cgroup_update(cg, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_file(cg, "memory", "memory.limit_in_bytes", "33554432");
	r = (struct cgroup_resources){.memory.limit = {true, -1}};
	if (cgroup_update(cg, &r, &err) < 0)
		fail_msg("%s", err.message);
	destroy(cg);
}

/* Enforced or refused, never ignored. */
static void test_v1_kernel_memory(void **state)
{
	struct cgroup_resources r = {.memory.kernel = {true, 1 << 20}};
	struct cgroup_request request = {.id = id, .resources = &r};
	struct error err = ERROR_INIT;
	struct cgroup *cg = NULL;

	need_v1();
	if (cgroup_create(&request, &cg, &err) < 0) {
		assert_true(err.code == ENOTSUP || err.code == ENOENT || err.code == EOPNOTSUPP);
		assert_non_null(strstr(err.message, "memory.kernel"));
		return;
	}
	assert_file(cg, "memory", "memory.kmem.limit_in_bytes", "1048576");
	destroy(cg);
}

static void test_refused_leaves_nothing(void **state)
{
	struct cgroup_resources r = {.pids.limit = {true, 5}, .cpu.cpus = (char *)"4095"};
	struct cgroup_request request = {.id = id, .resources = &r, .path = "/ringwall-parent/child"};
	struct error err = ERROR_INIT;
	struct cgroup *cg = NULL;

	need_groups();
	assert_true(cgroup_create(&request, &cg, &err) < 0);
	assert_non_null(strstr(err.message, "cpuset.cpus"));
	assert_no_group("ringwall-parent");
}

static void test_nested_path_and_parents(void **state)
{
	struct cgroup_resources r = {0};
	struct cgroup_request request = {.id = id, .resources = &r, .path = "ringwall-parent/a/b"};
	struct error err = ERROR_INIT;
	struct cgroup *cg = NULL;

	need_groups();
	if (cgroup_create(&request, &cg, &err) < 0)
		fail_msg("%s", err.message);
	wait_for(enter(cg, getpagesize)); /* joins the nested cpuset, which needed its ancestors' lists */
	destroy(cg);
	assert_no_group("ringwall-parent");
}

/* Process PID is in the group in each hierarchy that has it. */
static void assert_inside(const struct cgroup *cg, pid_t pid)
{
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = {0};
	char proc[32], path[80];

	snprintf(proc, sizeof(proc), "/proc/%d", pid);
	snprintf(path, sizeof(path), "/%s", id);
	assert_int_equal(cgroup_hierarchies_find(CGROUP_ROOT, proc, true, true, &h, NULL), 0);
	for (size_t i = 0; i < cg->n_v1; i++)
		for (size_t k = 0; k < h.n_v1; k++)
			if (cg->v1[i].controllers == h.v1[k].controllers && cgroup_node_exists(&cg->v1[i]))
				assert_string_equal(h.v1[k].own, path);
	assert_int_equal(h.v2.own != NULL, layout != CGROUP_LAYOUT_V1);
	if (h.v2.own)
		assert_string_equal(h.v2.own, path);
}

static void test_enter_list_kill(void **state)
{
	struct cgroup_resources r = {0};
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	struct error err = ERROR_INIT;
	struct cgroup *cg, *again = NULL;
	pid_t a, b;
	size_t n;
	int status;

	need_groups();
	cg = make(&r);
	a = enter(cg, sleep_long);
	b = enter(cg, sleep_long);
	assert_inside(cg, a);
	assert_inside(cg, b);

	o = cgroup_to_json(cg);
	assert_int_equal(cgroup_from_json(o, &again, &err), 0);
	cgroup_free(cg);
	assert_int_equal(cgroup_pids(again, &pids, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_true((pids[0] == a && pids[1] == b) || (pids[0] == b && pids[1] == a));
	/* Somebody is inside: not ours to take over, not to be removed. */
	{
		struct cgroup_request request = {.id = id, .resources = &r};
		struct cgroup *other = NULL;

		assert_int_equal(cgroup_create(&request, &other, &err), -EBUSY);
		assert_non_null(strstr(err.message, "in use"));
	}
	assert_int_equal(cgroup_kill(again, SIGKILL, &err), 0);
	status = wait_for(a);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	wait_for(b);
	destroy(again);
}

/* The v1 way, which hybrid hosts otherwise never use. */
static void test_kill_by_freezer(void **state)
{
	struct cgroup_resources r = {0};
	struct error err = ERROR_INIT;
	struct cgroup *cg;
	pid_t a, b;
	int status;

	need_v1();
	cg = make(&r);
	if (cg->v2.dir) {
		assert_int_equal(rmdir(cg->v2.dir), 0);
		free(cg->v2.dir);
		cg->v2.dir = NULL;
	}
	a = enter(cg, sleep_long);
	b = enter(cg, sleep_long);
	assert_int_equal(cgroup_kill(cg, SIGUSR1, &err), 0);
	status = wait_for(a);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
	wait_for(b);
	a = enter(cg, sleep_long);
	assert_int_equal(cgroup_freeze(cg, 1000, &err), 0);
	assert_int_equal(cgroup_kill(cg, SIGKILL, &err), 0); /* frozen: thawed to die */
	status = wait_for(a);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	destroy(cg);
}

static int count_forever(void);
static volatile uint64_t *counter;

static int count_forever(void)
{
	for (;;)
		++*counter;
	return 0;
}

static void test_freeze(void **state)
{
	struct cgroup_resources r = {0};
	struct error err = ERROR_INIT;
	struct cgroup *cg;
	bool frozen;
	uint64_t seen;
	pid_t pid;

	need_groups();
	counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cg = make(&r);
	pid = enter(cg, count_forever);
	assert_int_equal(cgroup_freeze(cg, 2000, &err), 0);
	assert_int_equal(cgroup_is_frozen(cg, &frozen, &err), 0);
	assert_true(frozen);
	seen = *counter;
	cgroup_sleep_ms(30);
	assert_int_equal(*counter, seen);
	assert_int_equal(cgroup_thaw(cg, &err), 0);
	assert_int_equal(cgroup_is_frozen(cg, &frozen, &err), 0);
	assert_false(frozen);
	for (int i = 0; i < 1000 && *counter == seen; i++)
		cgroup_sleep_ms(5);
	assert_true(*counter != seen);
	assert_int_equal(cgroup_kill(cg, SIGKILL, &err), 0);
	wait_for(pid);
	destroy(cg);
	munmap((void *)counter, 4096);
}

/* Device nodes for the children below. */
static char nodes[64];

static int try_open(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", nodes, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int open_null(void)
{
	return try_open("null");
}

static int open_kmsg(void)
{
	return try_open("kmsg");
}

static void make_device_nodes(void)
{
	char path[128];

	strcpy(nodes, "/tmp/ringwall-dev.XXXXXX");
	assert_non_null(mkdtemp(nodes));
	snprintf(path, sizeof(path), "%s/null", nodes);
	assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 3)), 0);
	snprintf(path, sizeof(path), "%s/kmsg", nodes);
	assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 11)), 0);
}

static void test_devices(void **state)
{
	struct device_rule rules[] = {{false, 'a', -1, -1, true, true, true}, {true, 'c', 1, 11, true, true, false}};
	struct cgroup_resources r = {.devices = {rules, 1}};
	struct error err = ERROR_INIT;
	struct cgroup *cg;

	need_groups();
	make_device_nodes();

	cg = make(&r);
	assert_int_equal(WEXITSTATUS(wait_for(enter(cg, open_null))), 0);
	assert_int_equal(WEXITSTATUS(wait_for(enter(cg, open_kmsg))), EPERM);
	r.devices.n = 2;
	if (cgroup_update(cg, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(WEXITSTATUS(wait_for(enter(cg, open_kmsg))), 0);
	r.devices.n = 1;
	if (cgroup_update(cg, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(WEXITSTATUS(wait_for(enter(cg, open_kmsg))), EPERM);
	assert_int_equal(WEXITSTATUS(wait_for(enter(cg, open_null))), 0);
	/* Everything but one, and back. */
	rules[0].allow = true;
	rules[1].allow = false;
	r.devices.n = 2;
	if (cgroup_update(cg, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(WEXITSTATUS(wait_for(enter(cg, open_kmsg))), EPERM);
	r.devices.n = 1;
	if (cgroup_update(cg, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(WEXITSTATUS(wait_for(enter(cg, open_kmsg))), 0);
	destroy(cg);
	remove_tree_at(AT_FDCWD, nodes, NULL);
}

static int nest(void)
{
	return 0;
}

/* What a box may leave below its group: many levels and a process in the deepest. */
static void test_destroy_nested(void **state)
{
	struct cgroup_resources r = {0};
	struct error err = ERROR_INIT;
	_cleanup_free_ pid_t *pids = NULL;
	struct cgroup *cg;
	size_t n;
	int fd;

	need_groups();
	cg = make(&r);
	wait_for(enter(cg, nest));
	fd = open(cgroup_dir(cg, layout == CGROUP_LAYOUT_V2 ? NULL : "freezer"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 300; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "a-long-name-so-that-the-whole-path-is-longer-than-PATH_MAX", 0755), 0);
		assert_int_equal(mkdirat(fd, "x", 0755), 0);
		next = openat(fd, "a-long-name-so-that-the-whole-path-is-longer-than-PATH_MAX",
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
		assert_true(fd >= 0);
	}
	{
		pid_t pid = fork();
		char line[24];

		if (pid == 0) {
			sleep_long();
			_exit(0);
		}
		snprintf(line, sizeof(line), "%d", pid);
		assert_int_equal(file_write_at(fd, "cgroup.procs", line), 0);
		close(fd);
		if (cg->v2.dir && cg->n_v1) {
			assert_int_equal(rmdir(cg->v2.dir), 0);
			free(cg->v2.dir);
			cg->v2.dir = NULL;
		}
		assert_int_equal(cgroup_pids(cg, &pids, &n, &err), 0);
		assert_int_equal(n, 1);
		assert_int_equal(pids[0], pid);
		assert_int_equal(cgroup_destroy(cg, &err), -EBUSY);
		assert_non_null(strstr(err.message, "still in use"));
		assert_int_equal(cgroup_kill(cg, SIGKILL, &err), 0);
		wait_for(pid);
	}
	destroy(cg);
}

static int allocate_much(void)
{
	size_t size = 64 << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	return 0;
}

static void test_oom(void **state)
{
	struct cgroup_resources r = {.memory = {.limit = {true, 16 << 20}, .swap = {true, 16 << 20}}};
	_cleanup_cgroup_oom_ struct cgroup_oom *oom = NULL;
	struct error err = ERROR_INIT;
	struct pollfd p;
	struct cgroup *cg;
	uint64_t events;
	bool gone;
	pid_t pid;
	int status;

	need_groups();
	cg = make(&r);
	pid = enter(cg, sleep_long);
	assert_int_equal(cgroup_oom_open(cg, &oom, &err), 0);
	status = wait_for(enter(cg, allocate_much));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	p = (struct pollfd){.fd = cgroup_oom_fd(oom), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(cgroup_oom_read(oom, &events, &gone, &err), 0);
	assert_true(events >= 1);
	assert_false(gone);
	kill(pid, SIGKILL);
	wait_for(pid);
	destroy(cg);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(cgroup_oom_read(oom, &events, &gone, &err), 0);
	assert_int_equal(events, 0);
	assert_true(gone);
}

/* cpuset is made when a limit is asked for, and the processes come along. */
static void test_deferred(void **state)
{
	struct cgroup_resources r = {0};
	_cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
	_cleanup_cgroup_hierarchies_ struct cgroup_hierarchies h = {0};
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct cgroup *cg, *again = NULL;
	char expected[64], list[64];
	size_t there = 0;
	pid_t a, b;

	need_v1();
	cg = make(&r);
	if (!cg->n_v1 || cgroup_dir(cg, "cpuset"))
		fail_msg("a cpuset group was made for nothing");
	assert_int_equal(cgroup_hierarchies_of(cg, &h, &err), 0);
	for (size_t i = 0; i < h.n_v1; i++)
		assert_false(h.v1[i].controllers & CGROUP_BIT(CGROUP_CPUSET));
	a = enter(cg, sleep_long);
	b = enter(cg, sleep_long);
	o = cgroup_to_json(cg);
	assert_int_equal(cgroup_from_json(o, &again, &err), 0);
	cgroup_free(cg);
	r.cpu.cpus = (char *)"4095";
	assert_true(cgroup_update(again, &r, &err) < 0);
	assert_null(cgroup_dir(again, "cpuset"));
	r.cpu.cpus = (char *)"0";
	if (cgroup_update(again, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_file(again, "cpuset", "cpuset.cpus", "0");
	read_file(again, "cpuset", "cgroup.procs", list, sizeof(list));
	snprintf(expected, sizeof(expected), "%d\n%d", MIN(a, b), MAX(a, b));
	assert_string_equal(list, expected);
	assert_int_equal(cgroup_entry_open(again, NULL, &entry, &err), 0);
	for (size_t i = 0; i < again->n_v1; i++)
		there += cgroup_node_exists(&again->v1[i]);
	assert_int_equal(entry.n, there);
	assert_int_equal(cgroup_kill(again, SIGKILL, &err), 0);
	wait_for(a);
	wait_for(b);
	destroy(again);
}

static void test_sub_group(void **state)
{
	_cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
	struct cgroup_resources r = {0};
	struct error err = ERROR_INIT;
	struct cgroup *cg;

	need_groups();
	cg = make(&r);
	assert_int_equal(cgroup_entry_open(cg, "no/such", &entry, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/no/such"));
	assert_int_equal(cgroup_entry_open(cg, "../..", &entry, &err), 0); /* never above the group */
	cgroup_entry_close(&entry);
	destroy(cg);
}

static void test_attach(void **state)
{
	struct cgroup_resources r = {0};
	_cleanup_free_ pid_t *pids = NULL;
	struct error err = ERROR_INIT;
	struct cgroup *cg;
	pid_t pid;
	size_t n;

	need_groups();
	cg = make(&r);
	pid = fork();
	if (pid == 0)
		_exit(sleep_long());
	assert_int_equal(cgroup_attach(cg, pid, &err), 0);
	assert_int_equal(cgroup_pids(cg, &pids, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(pids[0], pid);
	kill(pid, SIGKILL);
	wait_for(pid);
	destroy(cg);
}

/* A box that gave its group children with controllers: nobody may be in the group itself any more. */
static void test_v2_fall_back(void **state)
{
	_cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
	struct clone_args args = {.exit_signal = SIGCHLD, .flags = CLONE_INTO_CGROUP};
	struct cgroup_resources r = {0};
	struct error err = ERROR_INIT;
	char path[PATH_MAX], line[24];
	struct cgroup *cg;
	pid_t init, pid;

	need_v2();
	cg = make(&r);
	init = enter(cg, sleep_long);
	snprintf(path, sizeof(path), "%s/inner", cgroup_dir(cg, NULL));
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/inner/cgroup.procs", cgroup_dir(cg, NULL));
	snprintf(line, sizeof(line), "%d", init);
	assert_int_equal(file_write_at(AT_FDCWD, path, line), 0);
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", cgroup_dir(cg, NULL));
	assert_int_equal(file_write_at(AT_FDCWD, path, "+pids"), 0);

	assert_int_equal(cgroup_entry_open(cg, NULL, &entry, &err), 0);
	args.cgroup = (unsigned)entry.clone_fd;
	assert_int_equal(syscall(SYS_clone3, &args, sizeof(args)), -1);
	assert_int_equal(errno, EBUSY);
	for (int with_init = 0; with_init < 2; with_init++) {
		_cleanup_free_ char *text = NULL;
		char wanted[128];

		assert_int_equal(cgroup_entry_fall_back(cg, EBUSY, with_init ? init : 0, &entry, &err), 0);
		args.cgroup = (unsigned)entry.clone_fd;
		pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
		if (pid == 0)
			_exit(sleep_long());
		assert_true(pid > 0);
		snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
		assert_int_equal(file_read_at(AT_FDCWD, path, 65536, &text, NULL, &err), 0);
		snprintf(wanted, sizeof(wanted), "0::/%s/%s\n", id, with_init ? "inner" : "ringwall-exec");
		assert_string_equal(text, wanted);
		kill(pid, SIGKILL);
		wait_for(pid);
	}
	assert_int_equal(cgroup_kill(cg, SIGKILL, &err), 0);
	wait_for(init);
	destroy(cg);
}

static void test_v2_statistics(void **state)
{
	struct cgroup_resources r = {0};
	_cleanup_cgroup_stats_ struct cgroup_stats s = {0};
	struct error err = ERROR_INIT;
	struct cgroup *cg;

	need_v2();
	cg = make(&r);
	wait_for(enter(cg, allocate_much));
	assert_int_equal(cgroup_stats_read(cg, &s, &err), 0);
	assert_true(s.cpu.present && s.cpu.total > 0);
	assert_true(s.memory.present && s.memory.memory.max >= 64 << 20);
	assert_true(s.pids.present && s.pids.current == 0);
	assert_true(s.cpuset.present);
	destroy(cg);
}

/* ---- without root ---- */

static struct cgroup *make_rootless(const struct cgroup_resources *r, const char *path, struct error *err)
{
	struct cgroup_request request = {.id = id, .resources = r, .rootless = true, .path = path};
	struct cgroup *cg = NULL;

	return cgroup_create(&request, &cg, err) < 0 ? NULL : cg;
}

static void need_user(void)
{
	if (geteuid() == 0 || layout != CGROUP_LAYOUT_V2)
		skip_because("runs as an ordinary user of a host with cgroup v2");
}

/* In a delegated scope: groups, limits and processes as for root. */
static void test_rootless_delegated(void **state)
{
	struct device_rule deny = {false, 'a', -1, -1, true, true, true};
	struct cgroup_resources r = {.pids.limit = {true, 77}, .memory.limit = {true, 64 << 20}, .devices = {&deny, 1}};
	struct error err = ERROR_INIT;
	struct cgroup *cg;
	pid_t pid;

	need_user();
	if (!getenv("RINGWALL_DELEGATED"))
		skip_because("RINGWALL_DELEGATED does not say that this is a delegated group");
	cg = make_rootless(&r, NULL, &err);
	if (!cg)
		fail_msg("%s", err.message);
	assert_true(cgroup_exists(cg));
	assert_non_null(strstr(cgroup_path(cg), "/user@"));
	assert_file(cg, NULL, "pids.max", "77");
	assert_file(cg, NULL, "memory.max", "67108864");
	pid = enter(cg, sleep_long);
	assert_int_equal(cgroup_kill(cg, SIGKILL, &err), 0);
	wait_for(pid);
	destroy(cg);
	/* Another part of the tree is not ours. */
	r = (struct cgroup_resources){0};
	assert_null(make_rootless(&r, "/not-mine", &err));
	assert_int_equal(err.code, EACCES);
	assert_non_null(strstr(err.message, "Delegate=yes"));
}

/* In a group of root's: no limit without rights, but also no need of a group without a limit. */
static void test_rootless_undelegated(void **state)
{
	struct device_rule deny = {false, 'a', -1, -1, true, true, true};
	struct cgroup_resources r = {.devices = {&deny, 1}};
	struct error err = ERROR_INIT;
	struct cgroup *cg;

	need_user();
	if (getenv("RINGWALL_DELEGATED"))
		skip_because("this is a delegated group");
	cg = make_rootless(&r, NULL, &err);
	if (!cg)
		fail_msg("%s", err.message);
	assert_false(cgroup_exists(cg));
	cgroup_free(cg);
	r.pids.limit = (struct opt_i64){true, -1}; /* no limit is what there is */
	cg = make_rootless(&r, NULL, &err);
	assert_non_null(cg);
	cgroup_free(cg);
	r.pids.limit.v = 5;
	assert_null(make_rootless(&r, NULL, &err));
	assert_non_null(strstr(err.message, "Delegate=yes"));
}

/* ---- systemd ---- */

/* The value that `systemctl show` tells of the unit's PROPERTY. */
static void assert_property(const char *unit, const char *property, const char *expected)
{
	char command[256], value[256] = "";
	FILE *f;

	snprintf(command, sizeof(command), "systemctl %s show --value -p %s %s", geteuid() ? "--user" : "", property,
		 unit);
	f = popen(command, "r");
	assert_non_null(f);
	if (!fgets(value, sizeof(value), f))
		*value = 0;
	value[strcspn(value, "\n")] = 0;
	pclose(f);
	assert_string_equal(value, expected);
}

static void test_systemd(void **state)
{
	struct device_rule deny = {false, 'a', -1, -1, true, true, true};
	struct cgroup_resources r = {
	    .devices = {&deny, 1},
	    .memory.limit = {true, 64 << 20},
	    .cpu = {.quota = {true, 50000}, .period = {true, 100000}, .cpus = (char *)"0"},
	    .pids.limit = {true, 77},
	};
	const struct cgroup_annotation annotations[] = {{"org.systemd.property.TimeoutStopSec", "7"},
							{"org.systemd.property.Description", "'a box'"},
							{"unrelated", "x"}};
	struct cgroup_request request = {.id = id,
					 .manager = CGROUP_MANAGER_SYSTEMD,
					 .resources = &r,
					 .annotations = annotations,
					 .n_annotations = 3,
					 .rootless = geteuid() != 0,
					 .systemd_helper = getenv("RINGWALL_SYSTEMD")};
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct cgroup *cg = NULL, *again = NULL, *other = NULL;
	bool v2 = layout == CGROUP_LAYOUT_V2, root = geteuid() == 0;
	char unit[128], expected[160];
	pid_t pid;

	if (root)
		need_groups();
	else /* a user's systemd has only some controllers to give */
		r.cpu.quota.set = r.cpu.period.set = false, r.cpu.cpus = NULL;
	if (access("/run/systemd/system", F_OK) < 0)
		skip_because("this host does not run systemd");
	if (!request.systemd_helper)
		skip_because("RINGWALL_SYSTEMD does not name the helper");
	if (cgroup_create(&request, &cg, &err) < 0)
		fail_msg("%s", err.message);
	snprintf(unit, sizeof(unit), "ringwall-%s.scope", id);
	snprintf(expected, sizeof(expected), "/%s.slice/%s", root ? "system" : "user", unit);
	assert_string_equal(cgroup_path(cg) + strlen(cgroup_path(cg)) - strlen(expected), expected);
	pid = enter(cg, sleep_long);
	assert_int_equal(cg->hold_pid, 0);
	assert_property(unit, "ActiveState", "active");
	assert_property(unit, "ControlGroup", cgroup_path(cg));
	assert_property(unit, "Delegate", "yes");
	assert_property(unit, "Description", "a box");
	assert_property(unit, "TimeoutStopUSec", "7s");
	assert_property(unit, "TasksMax", "77");
	assert_property(unit, v2 ? "MemoryMax" : "MemoryLimit", "67108864");
	if (root)
		assert_property(unit, "CPUQuotaPerSecUSec", "500ms");
	if (v2) {
		if (root)
			assert_property(unit, "AllowedCPUs", "0");
		assert_file(cg, NULL, "memory.max", "67108864");
		assert_file(cg, NULL, "pids.max", "77");
	} else {
		assert_property(unit, "DevicePolicy", "strict");
	}
	/* The same name again. */
	assert_true(cgroup_create(&request, &other, &err) < 0);
	assert_non_null(strstr(err.message, unit));

	o = cgroup_to_json(cg);
	assert_int_equal(cgroup_from_json(o, &again, &err), 0);
	cgroup_free(cg);
	r = (struct cgroup_resources){.memory.limit = {true, 128 << 20}, .pids.limit = {true, 88}};
	if (cgroup_update(again, &r, &err) < 0)
		fail_msg("%s", err.message);
	assert_property(unit, "TasksMax", "88");
	assert_int_equal(system(root ? "systemctl daemon-reload" : "systemctl --user daemon-reload"), 0);
	if (root) { /* a reload leaves the device filter in force */
		make_device_nodes();
		assert_int_equal(WEXITSTATUS(wait_for(enter(again, open_null))), 0);
		assert_int_equal(WEXITSTATUS(wait_for(enter(again, open_kmsg))), EPERM);
		remove_tree_at(AT_FDCWD, nodes, NULL);
	}
	if (v2) {
		assert_file(again, NULL, "memory.max", "134217728");
		assert_file(again, NULL, "pids.max", "88");
	}
	assert_int_equal(cgroup_kill(again, SIGKILL, &err), 0);
	wait_for(pid);
	destroy(again);
	assert_property(unit, "LoadState", "not-found");

	/* A failure after the scope was made takes it away again. */
	r = (struct cgroup_resources){.memory.swappiness = {true, 101}};
	assert_true(cgroup_create(&request, &cg, &err) < 0);
	assert_property(unit, "LoadState", "not-found");
}

static int setup(void **state)
{
	struct cgroup_host host;
	struct error err = ERROR_INIT;

	snprintf(id, sizeof(id), "ringwall-test-%d", getpid());
	if (cgroup_host_probe(NULL, NULL, &host, &err) < 0) {
		snprintf(why_not, sizeof(why_not), "%.200s", err.message);
		return 0;
	}
	usable = geteuid() == 0 && host.can_create;
	layout = host.layout;
	snprintf(why_not, sizeof(why_not), "needs root and writable control groups; here: euid %d, layout %s, %s",
		 (int)geteuid(), cgroup_layout_name(host.layout), host.can_create ? "writable" : "not writable");
	cgroup_host_free(&host);
	return 0;
}

/* What a failed test left. */
static int teardown(void **state)
{
	static const char *const dirs[] = {
	    "",		"/cpu",	     "/cpu,cpuacct", "/cpuacct", "/cpuset", "/memory", "/devices",
	    "/freezer", "/blkio",    "/pids",	     "/hugetlb", "/rdma",   "/misc",   "/net_cls,net_prio",
	    "/net_cls", "/net_prio", "/perf_event",  "/systemd", "/unified"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		struct cgroup_node node = {.root_len = strlen(CGROUP_ROOT) + strlen(dirs[i])};
		struct cgroup cg = {.path = id, .n_v1 = 1};

		assert_true(asprintf(&node.dir, CGROUP_ROOT "%s/%s", dirs[i], id) > 0);
		cg.v1[0] = node;
		cg.v1[0].controllers = CGROUP_BIT(CGROUP_FREEZER);
		if (access(node.dir, F_OK) == 0) {
			cgroup_kill(&cg, SIGKILL, NULL);
			cgroup_node_remove(&node, cgroup_now_ms() + 2000, NULL);
		}
		free(node.dir);
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_v1_limits),
	    cmocka_unit_test(test_v1_kernel_memory),
	    cmocka_unit_test(test_refused_leaves_nothing),
	    cmocka_unit_test(test_nested_path_and_parents),
	    cmocka_unit_test(test_enter_list_kill),
	    cmocka_unit_test(test_kill_by_freezer),
	    cmocka_unit_test(test_freeze),
	    cmocka_unit_test(test_devices),
	    cmocka_unit_test(test_destroy_nested),
	    cmocka_unit_test(test_oom),
	    cmocka_unit_test(test_deferred),
	    cmocka_unit_test(test_sub_group),
	    cmocka_unit_test(test_attach),
	    cmocka_unit_test(test_v2_limits),
	    cmocka_unit_test(test_v2_fall_back),
	    cmocka_unit_test(test_v2_statistics),
	    cmocka_unit_test(test_systemd),
	    cmocka_unit_test(test_rootless_delegated),
	    cmocka_unit_test(test_rootless_undelegated),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
