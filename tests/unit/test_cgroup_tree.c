/* Control groups on made-up trees: what is found, which files get which values, what is refused and how it is told. */
#include "unit/cgroup_tree.h"

#include "base/json.h"
#include "host/cgroup_internal.h"

#define V2_FILES                                                                                                           \
	"cgroup.procs cgroup.freeze cgroup.kill cgroup.subtree_control memory.max memory.low memory.swap.max memory.high " \
	"cpu.weight cpu.max cpu.max.burst cpu.idle cpuset.cpus cpuset.mems pids.max io.max io.weight hugetlb.2MB.max "     \
	"hugetlb.2MB.rsvd.max rdma.max"
#define ALL_V2 "cpuset cpu io memory hugetlb pids rdma misc\n"

/* Pure v2 with the group /box already made, for mkdir(2) makes no files here. */
static void v2_tree(struct tree *t, const char *controllers)
{
	tree_new(t);
	tree_put(t, "cg/cgroup.controllers", ALL_V2);
	tree_put(t, "cg/cgroup.subtree_control", "");
	tree_put(t, "proc/cgroup", "0::/user.slice/me.scope\n");
	tree_put_files(t, "cg/box", V2_FILES);
	tree_put(t, "cg/box/cgroup.controllers", controllers);
	tree_put(t, "cg/box/cgroup.events", "populated 0\nfrozen 0\n");
}

static const char *const v1_dirs[] = {"cpu,cpuacct", "cpuset",	"memory",  "blkio",
				      "pids",	     "devices", "freezer", "systemd"};

static void v1_tree(struct tree *t)
{
	tree_new(t);
	tree_put(t, "proc/cgroup",
		 "8:name=systemd:/\n7:freezer:/\n6:devices:/\n5:pids:/\n4:blkio:/\n3:memory:/host/me\n2:cpuset:/\n"
		 "1:cpu,cpuacct:/\n0::/\n");
	for (size_t i = 0; i < ARRAY_SIZE(v1_dirs); i++) {
		char dir[64];

		snprintf(dir, sizeof(dir), "cg/%s/box", v1_dirs[i]);
		tree_put_files(t, dir, "cgroup.procs tasks");
	}
	tree_put(t, "cg/cpuset/cpuset.cpus", "0-3\n");
	tree_put(t, "cg/cpuset/cpuset.mems", "0\n");
	tree_put_files(t, "cg/cpuset/box", "cpuset.cpus cpuset.mems");
	tree_put_files(
	    t, "cg/memory/box",
	    "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes memory.oom_control "
	    "memory.swappiness");
	tree_put_files(t, "cg/cpu,cpuacct/box",
		       "cpu.shares cpu.cfs_quota_us cpu.cfs_period_us cpu.cfs_burst_us cpu.idle");
	tree_put_files(t, "cg/blkio/box",
		       "blkio.bfq.weight blkio.throttle.read_bps_device blkio.throttle.write_iops_device");
	tree_put_files(t, "cg/pids/box", "pids.max");
	tree_put_files(t, "cg/devices/box", "devices.allow devices.deny");
	tree_put(t, "cg/freezer/box/freezer.state", "THAWED\n");
}

static int create(const struct tree *t, const struct cgroup_resources *r, struct cgroup **ret, struct error *err)
{
	struct cgroup_request request = {
	    .id = "box", .resources = r, .root = t->root, .proc_self = t->proc, .rootless = true, .path = "/box"};

	return cgroup_create(&request, ret, err);
}

/* RESOURCES are refused on tree T, and the message has all of WORDS (NULL-terminated). */
static void assert_refused(const struct tree *t, const struct cgroup_resources *r, int code, ...)
{
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	struct error err = ERROR_INIT;
	const char *word;
	va_list ap;

	assert_int_equal(create(t, r, &cg, &err), -code);
	assert_null(cg);
	va_start(ap, code);
	while ((word = va_arg(ap, const char *)))
		if (!strstr(err.message, word))
			fail_msg("no '%s' in '%s'", word, err.message);
	va_end(ap);
}

/* ---- v2 ---- */

static void test_v2_limits(void **state)
{
	struct blkio_device read = {.major = 8, .minor = 0, .rate = 1048576}, write = {.major = 8, .minor = 16};
	struct hugepage_limit huge = {(char *)"2MB", 4194304};
	struct rdma_limit rdma = {(char *)"mlx5_1", {true, 3}, {true, 10000}};
	struct unified_setting unified = {(char *)"memory.high", (char *)"500000"};
	struct cgroup_resources r = {
	    .memory = {.limit = {true, 1000000}, .swap = {true, 3000000}, .reservation = {true, 4096}},
	    .cpu = {.shares = {true, 512},
		    .quota = {true, 50000},
		    .period = {true, 200000},
		    .burst = {true, 1000},
		    .cpus = (char *)"0-1",
		    .mems = (char *)"0"},
	    .pids = {.limit = {true, 77}},
	    .blkio = {.weight = {true, 500}, .read_bps = {&read, 1}},
	    .hugepages = {&huge, 1},
	    .rdma = {&rdma, 1},
	    .unified = {&unified, 1},
	};
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	v2_tree(&t, ALL_V2);
	if (create(&t, &r, &cg, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(cgroup_path(cg), "/box");
	tree_expect(&t, "cg/box/memory.max", "1000000");
	tree_expect(&t, "cg/box/memory.swap.max", "2000000");
	tree_expect(&t, "cg/box/memory.low", "4096");
	tree_expect(&t, "cg/box/memory.high", "500000");
	tree_expect(&t, "cg/box/cpu.weight", "59");
	tree_expect(&t, "cg/box/cpu.max", "50000 200000");
	tree_expect(&t, "cg/box/cpu.max.burst", "1000");
	tree_expect(&t, "cg/box/cpuset.cpus", "0-1");
	tree_expect(&t, "cg/box/pids.max", "77");
	tree_expect(&t, "cg/box/io.weight", "4950");
	tree_expect(&t, "cg/box/io.max", "8:0 rbps=1048576");
	tree_expect(&t, "cg/box/hugetlb.2MB.max", "4194304");
	tree_expect(&t, "cg/box/hugetlb.2MB.rsvd.max", "4194304");
	tree_expect(&t, "cg/box/rdma.max", "mlx5_1 hca_handle=3 hca_object=10000");

	/* An update of one half keeps the other. */
	tree_put(&t, "cg/box/cpu.max", "50000 200000\n");
	tree_put(&t, "cg/box/memory.max", "1000000\n");
	r = (struct cgroup_resources){.cpu.quota = {true, -1},
				      .pids.limit = {true, -1},
				      .memory.swap = {true, 1000000},
				      .blkio.write_iops = {&write, 1}};
	tree_put(&t, "cg/box/memory.swap.max", "");
	tree_put(&t, "cg/box/io.max", "");
	assert_int_equal(cgroup_update(cg, &r, &err), 0);
	/* Over a longer line: a plain file, unlike the kernel's, keeps the rest. */
	tree_expect(&t, "cg/box/cpu.max", "max 20000000\n");
	tree_expect(&t, "cg/box/pids.max", "max");
	tree_expect(&t, "cg/box/memory.swap.max", "0");
	tree_expect(&t, "cg/box/io.max", "8:16 wiops=max");

	tree_put(&t, "cg/box/memory.current", "900000\n");
	r = (struct cgroup_resources){.memory = {.limit = {true, 800000}, .check_before_update = {true, true}}};
	assert_int_equal(cgroup_update(cg, &r, &err), -EBUSY);
	assert_non_null(strstr(err.message, "checkBeforeUpdate"));
	tree_free(&t);
}

static void test_v2_bfq(void **state)
{
	struct blkio_device w = {.major = 8, .minor = 0, .weight = {true, 20}};
	struct cgroup_resources r = {.blkio = {.weight = {true, 500}}};
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	struct tree t;

	v2_tree(&t, ALL_V2);
	tree_put(&t, "cg/box/io.bfq.weight", "");
	assert_int_equal(create(&t, &r, &cg, NULL), 0);
	tree_expect(&t, "cg/box/io.bfq.weight", "500");
	r = (struct cgroup_resources){.blkio.weight_device = {&w, 1}};
	tree_put(&t, "cg/box/io.bfq.weight", "");
	assert_int_equal(cgroup_update(cg, &r, NULL), 0);
	tree_expect(&t, "cg/box/io.bfq.weight", "8:0 20");
	tree_free(&t);
}

static void test_v2_refusals(void **state)
{
	struct unified_setting u[] = {{(char *)"cgroup.procs", (char *)"1"},
				      {(char *)"../box/pids.max", (char *)"1"},
				      {(char *)"nodot", (char *)"1"},
				      {(char *)"memory.nosuch", (char *)"1"}};
	struct net_priority prio = {(char *)"eth0", 5};
	struct hugepage_limit huge = {(char *)"../../x", 1};
	struct tree t;

	v2_tree(&t, ALL_V2);
	assert_refused(&t, &(struct cgroup_resources){.memory.swappiness = {true, 5}}, ENOTSUP, "swappiness", "v2",
		       NULL);
	assert_refused(&t, &(struct cgroup_resources){.memory.kernel = {true, 5}}, ENOTSUP, "memory.kernel", NULL);
	assert_refused(&t, &(struct cgroup_resources){.memory.disable_oom_killer = {true, true}}, ENOTSUP,
		       "disableOOMKiller", NULL);
	assert_refused(&t, &(struct cgroup_resources){.cpu.realtime_period = {true, 5}}, ENOTSUP, "realtimePeriod",
		       NULL);
	assert_refused(&t, &(struct cgroup_resources){.blkio.leaf_weight = {true, 5}}, ENOTSUP, "leafWeight", NULL);
	assert_refused(&t, &(struct cgroup_resources){.network.class_id = {true, 5}}, ENOTSUP, "net_cls", "v2", NULL);
	assert_refused(&t, &(struct cgroup_resources){.network = {.priorities = &prio, .n_priorities = 1}}, ENOTSUP,
		       "net_prio", NULL);
	assert_refused(&t, &(struct cgroup_resources){.memory.swap = {true, 5}}, EINVAL, "memory.limit", NULL);
	assert_refused(&t, &(struct cgroup_resources){.hugepages = {&huge, 1}}, EINVAL, "hugepageLimits", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(u); i++)
		assert_refused(&t, &(struct cgroup_resources){.unified = {&u[i], 1}}, i == 3 ? ENOENT : EINVAL,
			       "unified", u[i].file, NULL);
	tree_free(&t);
}

static void test_v2_missing_controller(void **state)
{
	struct cgroup_resources r = {.pids.limit = {true, 5}};
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	struct tree t;

	/* The kernel would add to box/cgroup.controllers what is written above; here nothing does. */
	v2_tree(&t, "cpu memory\n");
	assert_refused(&t, &r, ENOTSUP, "'pids'", "cgroup.controllers", NULL);
	tree_expect(&t, "cg/cgroup.subtree_control", "+cpuset +io +pids +hugetlb +rdma +misc");
	/* "No limit" needs no controller. */
	r.pids.limit.v = -1;
	assert_int_equal(create(&t, &r, &cg, NULL), 0);
	tree_free(&t);
}

static void test_v2_in_use(void **state)
{
	struct cgroup_resources r = {0};
	struct tree t;

	v2_tree(&t, ALL_V2);
	tree_put(&t, "cg/box/cgroup.procs", "4711\n4712\n");
	assert_refused(&t, &r, EBUSY, "process 4711", NULL);
	tree_put(&t, "cg/box/cgroup.procs", "");
	tree_put(&t, "cg/box/cgroup.freeze", "1\n");
	assert_refused(&t, &r, EBUSY, "frozen", NULL);
	tree_free(&t);
}

/* ---- v1 ---- */

static void test_v1_limits(void **state)
{
	struct blkio_device read = {.major = 8, .minor = 0, .rate = 1048576};
	struct cgroup_resources r = {
	    .memory = {.limit = {true, 1000000},
		       .swap = {true, 3000000},
		       .reservation = {true, 4096},
		       .swappiness = {true, 0},
		       .disable_oom_killer = {true, true}},
	    .cpu = {.shares = {true, 512},
		    .quota = {true, 50000},
		    .period = {true, 200000},
		    .burst = {true, 1000},
		    .cpus = (char *)"0-1"},
	    .pids = {.limit = {true, 77}},
	    .blkio = {.weight = {true, 500}, .read_bps = {&read, 1}},
	};
	_cleanup_cgroup_ struct cgroup *cg = NULL, *again = NULL;
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	v1_tree(&t);
	if (create(&t, &r, &cg, &err) < 0)
		fail_msg("%s", err.message);
	tree_expect(&t, "cg/memory/box/memory.limit_in_bytes", "1000000");
	tree_expect(&t, "cg/memory/box/memory.memsw.limit_in_bytes", "3000000");
	tree_expect(&t, "cg/memory/box/memory.soft_limit_in_bytes", "4096");
	tree_expect(&t, "cg/memory/box/memory.swappiness", "0");
	tree_expect(&t, "cg/memory/box/memory.oom_control", "1");
	tree_expect(&t, "cg/cpu,cpuacct/box/cpu.shares", "512");
	tree_expect(&t, "cg/cpu,cpuacct/box/cpu.cfs_quota_us", "50000");
	tree_expect(&t, "cg/cpu,cpuacct/box/cpu.cfs_period_us", "200000");
	tree_expect(&t, "cg/cpu,cpuacct/box/cpu.cfs_burst_us", "1000");
	tree_expect(&t, "cg/cpuset/box/cpuset.cpus", "0-1");
	tree_expect(&t, "cg/cpuset/box/cpuset.mems", "0"); /* its parent's */
	tree_expect(&t, "cg/pids/box/pids.max", "77");
	tree_expect(&t, "cg/blkio/box/blkio.bfq.weight", "500");
	tree_expect(&t, "cg/blkio/box/blkio.throttle.read_bps_device", "8:0 1048576");
	assert_string_equal(cgroup_dir(cg, "cpuacct") + strlen(t.root), "/cpu,cpuacct/box");

	o = cgroup_to_json(cg);
	assert_int_equal(cgroup_from_json(o, &again, &err), 0);
	assert_string_equal(cgroup_path(again), "/box");
	assert_string_equal(cgroup_dir(again, "memory"), cgroup_dir(cg, "memory"));
	assert_null(cgroup_dir(again, NULL));
	r = (struct cgroup_resources){.memory = {.limit = {true, -1}}, .cpu.shares = {true, 2048}};
	tree_put(&t, "cg/memory/box/memory.limit_in_bytes", "");
	tree_put(&t, "cg/memory/box/memory.memsw.limit_in_bytes", "");
	assert_int_equal(cgroup_update(again, &r, &err), 0);
	tree_expect(&t, "cg/memory/box/memory.limit_in_bytes", "-1");
	tree_expect(&t, "cg/memory/box/memory.memsw.limit_in_bytes", "-1");
	tree_expect(&t, "cg/cpu,cpuacct/box/cpu.shares", "2048");
	tree_free(&t);
}

static void test_v1_refusals(void **state)
{
	struct unified_setting u = {(char *)"memory.high", (char *)"1"};
	struct hugepage_limit huge = {(char *)"2MB", 4194304};
	struct tree t;

	v1_tree(&t);
	assert_refused(&t, &(struct cgroup_resources){.unified = {&u, 1}}, ENOTSUP, "unified", "memory.high", NULL);
	assert_refused(&t, &(struct cgroup_resources){.hugepages = {&huge, 1}}, ENOTSUP, "hugetlb", "mount -t cgroup",
		       NULL);
	assert_refused(&t, &(struct cgroup_resources){.memory.kernel = {true, 5}}, ENOENT, "memory.kernel",
		       "memory.kmem.limit_in_bytes", "use memory.limit", NULL);
	assert_refused(&t, &(struct cgroup_resources){.cpu.realtime_runtime = {true, 5}}, ENOENT, "realtimeRuntime",
		       "CONFIG_RT_GROUP_SCHED", NULL);
	assert_refused(&t, &(struct cgroup_resources){.cpu.shares = {true, 1}}, ERANGE, "shares", NULL);
	assert_refused(&t, &(struct cgroup_resources){.memory.swappiness = {true, 101}}, EINVAL, "swappiness", NULL);
	assert_refused(&t, &(struct cgroup_resources){.memory = {.limit = {true, 10}, .swap = {true, 5}}}, EINVAL,
		       "memory.swap", NULL);
	tree_free(&t);
}

/* A hierarchy that the kernel lists but nobody mounted is passed over; one mounted elsewhere is found in mountinfo. */
static void test_v1_mountinfo(void **state)
{
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	_cleanup_free_ char *info = NULL;
	struct cgroup_resources r = {0};
	struct error err = ERROR_INIT;
	struct tree t;

	v1_tree(&t);
	tree_put(&t, "proc/cgroup", "9:perf_event:/\n8:net_cls,net_prio:/outer/me\n5:pids:/\n");
	tree_put_files(&t, "other place/box", "cgroup.procs tasks");
	assert_true(
	    asprintf(&info,
		     "33 1 0:30 / /sys rw - sysfs sysfs rw\n"
		     "34 1 0:31 /outer %s/other\\040place rw,nosuid shared:3 - cgroup none rw,net_cls,net_prio\n",
		     t.dir) > 0);
	tree_put(&t, "proc/mountinfo", info);
	if (create(&t, &r, &cg, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(cgroup_dir(cg, "net_prio") + strlen(t.dir), "/other place/box");
	assert_non_null(cgroup_dir(cg, "pids"));
	assert_null(cgroup_dir(cg, "perf_event"));
	assert_null(cgroup_dir(cg, "memory"));
	tree_free(&t);
}

static void test_hybrid(void **state)
{
	struct hugepage_limit huge = {(char *)"2MB", 4194304};
	struct cgroup_resources r = {.hugepages = {&huge, 1}, .pids.limit = {true, 5}};
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	v1_tree(&t);
	tree_put(&t, "cg/unified/cgroup.controllers", "hugetlb\n");
	tree_put(&t, "cg/unified/cgroup.subtree_control", "");
	tree_put_files(&t, "cg/unified/box", "cgroup.procs hugetlb.2MB.max hugetlb.2MB.rsvd.max");
	tree_put(&t, "cg/unified/box/cgroup.controllers", "hugetlb\n");
	if (create(&t, &r, &cg, &err) < 0)
		fail_msg("%s", err.message);
	tree_expect(&t, "cg/unified/box/hugetlb.2MB.max", "4194304");
	tree_expect(&t, "cg/pids/box/pids.max", "5");
	tree_expect(&t, "cg/unified/cgroup.subtree_control", "");
	assert_string_equal(cgroup_dir(cg, "") + strlen(t.root), "/unified/box");
	tree_free(&t);
}

static void test_probe(void **state)
{
	struct cgroup_host host;
	struct tree t;

	v1_tree(&t);
	tree_put(&t, "cg/unified/cgroup.controllers", "hugetlb\n");
	assert_int_equal(cgroup_host_probe(t.root, t.proc, &host, NULL), 0);
	assert_int_equal(host.layout, CGROUP_LAYOUT_HYBRID);
	assert_string_equal(host.v1_controllers, "cpu,cpuacct,cpuset,memory,blkio,devices,freezer,pids,name=systemd");
	assert_string_equal(host.v2_controllers, "hugetlb");
	cgroup_host_free(&host);
	tree_free(&t);

	v2_tree(&t, "");
	assert_int_equal(cgroup_host_probe(t.root, t.proc, &host, NULL), 0);
	assert_int_equal(host.layout, CGROUP_LAYOUT_V2);
	assert_string_equal(host.v1_controllers, "");
	assert_string_equal(host.v2_controllers, "cpu,cpuset,memory,io,pids,hugetlb,rdma,misc");
	assert_string_equal(host.own_v2_path, "/user.slice/me.scope");
	cgroup_host_free(&host);
	tree_free(&t);

	tree_new(&t);
	tree_put(&t, "proc/cgroup", "3:memory:/\n");
	assert_int_equal(cgroup_host_probe(t.root, t.proc, &host, NULL), 0);
	assert_int_equal(host.layout, CGROUP_LAYOUT_NONE);
	assert_false(host.can_create);
	cgroup_host_free(&host);
	tree_free(&t);
}

/* ---- found again ---- */

static struct cgroup *find(const struct tree *t, const char *path, bool rootless, enum cgroup_manager manager)
{
	struct cgroup_request request = {
	    .id = "box", .root = t->root, .proc_self = t->proc, .rootless = rootless, .path = path, .manager = manager};
	struct error err = ERROR_INIT;
	struct cgroup *cg;

	if (cgroup_find(&request, &cg, &err) < 0)
		fail_msg("%s", err.message);
	return cg;
}

static void assert_found(const struct tree *t, const char *path, bool rootless, enum cgroup_manager manager,
			 const char *expected)
{
	_cleanup_cgroup_ struct cgroup *cg = find(t, path, rootless, manager);

	assert_int_equal(cgroup_exists(cg), expected != NULL);
	if (expected)
		assert_string_equal(cgroup_path(cg), expected);
}

static void test_find(void **state)
{
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	struct tree t;

	v1_tree(&t);
	tree_put(&t, "cg/memory/box/tasks", "99\n"); /* in use */
	cg = find(&t, NULL, false, CGROUP_MANAGER_CGROUPFS);
	assert_string_equal(cgroup_path(cg), "/box");
	assert_int_equal(cgroup_n_nodes(cg), ARRAY_SIZE(v1_dirs));
	assert_found(&t, "/elsewhere", false, CGROUP_MANAGER_CGROUPFS, NULL);
	assert_found(&t, NULL, false, CGROUP_MANAGER_DISABLED, NULL);
	tree_free(&t);

	v2_tree(&t, "");
	assert_found(&t, NULL, false, CGROUP_MANAGER_CGROUPFS, "/box");
	assert_found(&t, NULL, true, CGROUP_MANAGER_CGROUPFS, NULL);
	tree_put_files(&t, "cg/user.slice/me.scope/box", "cgroup.procs");
	assert_found(&t, NULL, true, CGROUP_MANAGER_CGROUPFS, "/user.slice/me.scope/box");
	tree_put_files(&t, "cg/user.slice/box", "cgroup.procs");
	assert_found(&t, NULL, true, CGROUP_MANAGER_CGROUPFS, "/user.slice/box");
	tree_put_files(&t, "cg/a.slice/a-b.slice/docker-7.scope", "cgroup.procs");
	assert_found(&t, "a-b.slice:docker:7", false, CGROUP_MANAGER_SYSTEMD, "/a.slice/a-b.slice/docker-7.scope");
	tree_put_files(&t, "cg/ringwall-7.scope", "cgroup.procs");
	assert_found(&t, "-.slice:ringwall:7", false, CGROUP_MANAGER_SYSTEMD, "/ringwall-7.scope");
	tree_put(&t, "proc/cgroup", "0::/user.slice/user-7.slice/user@7.service/app.slice/sh.scope\n");
	tree_put_files(&t, "cg/user.slice/user-7.slice/user@7.service/user.slice/ringwall-box.scope", "cgroup.procs");
	assert_found(&t, NULL, true, CGROUP_MANAGER_SYSTEMD,
		     "/user.slice/user-7.slice/user@7.service/user.slice/ringwall-box.scope");
	tree_free(&t);
}

/* ---- without a group ---- */

static void test_disabled(void **state)
{
	struct cgroup_resources r = {.pids.limit = {true, 5}};
	struct cgroup_request request = {.id = "box", .manager = CGROUP_MANAGER_DISABLED, .resources = &r};
	_cleanup_cgroup_ struct cgroup *cg = NULL, *again = NULL;
	_cleanup_cgroup_entry_ struct cgroup_entry entry = CGROUP_ENTRY_INIT;
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	bool frozen = true;

	assert_int_equal(cgroup_create(&request, &cg, &err), -EINVAL);
	assert_non_null(strstr(err.message, "disabled"));
	r.pids.limit.set = false;
	assert_int_equal(cgroup_create(&request, &cg, &err), 0);
	assert_false(cgroup_exists(cg));
	o = cgroup_to_json(cg);
	assert_int_equal(cgroup_from_json(o, &again, &err), 0);
	assert_false(cgroup_exists(again));
	assert_int_equal(cgroup_entry_open(again, NULL, &entry, &err), 0);
	assert_int_equal(entry.clone_fd, -1);
	assert_int_equal(cgroup_entry_join(&entry, false), 0);
	assert_int_equal(cgroup_is_frozen(again, &frozen, &err), 0);
	assert_false(frozen);
	assert_int_equal(cgroup_freeze(again, 10, &err), -ENOTSUP);
	assert_int_equal(cgroup_kill(again, 9, &err), -ENOTSUP);
	assert_int_equal(cgroup_destroy(again, &err), 0);
}

static void test_no_hierarchy(void **state)
{
	struct cgroup_request request = {.id = "box"};
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	tree_new(&t);
	tree_put(&t, "proc/cgroup", "3:memory:/\n");
	request.root = t.root;
	request.proc_self = t.proc;
	assert_int_equal(cgroup_create(&request, &cg, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "--cgroup-manager=disabled"));
	request.rootless = true;
	assert_int_equal(cgroup_create(&request, &cg, &err), 0);
	assert_false(cgroup_exists(cg));
	tree_free(&t);
}

/* Nothing may be made on v1: a group that consists of deferred hierarchies is none. */
static void test_rootless_v1_without_rights(void **state)
{
	struct cgroup_request request = {.id = "new", .rootless = true};
	_cleanup_cgroup_ struct cgroup *cg = NULL, *again = NULL;
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	v1_tree(&t);
	/* A mount point that is not there stands for one that may not be written to: root may write anywhere. */
	tree_put(&t, "proc/cgroup", "5:nothing:/\n3:perf_event:/\n2:cpuset:/\n");
	request.root = t.root;
	request.proc_self = t.proc;
	assert_int_equal(cgroup_create(&request, &cg, &err), 0);
	assert_false(cgroup_exists(cg));
	o = cgroup_to_json(cg);
	assert_int_equal(cgroup_from_json(o, &again, &err), 0);
	assert_false(cgroup_exists(again));
	tree_free(&t);
}

static void test_bad_state(void **state)
{
	static const char *const bad[] = {
	    "{\"manager\":\"other\"}",
	    "{\"path\":\"/x\"}",
	    "{\"path\":\"/x\",\"v1\":[3]}",
	    "{\"path\":\"/x\",\"v2\":{\"dir\":\"/etc\",\"rootLength\":4}}",
	    "{\"path\":\"/x\",\"v2\":{\"dir\":\"/sys/fs/cgroup/../../etc\",\"rootLength\":14}}",
	    "{\"path\":\"/x\",\"v2\":{\"dir\":\"relative/x\",\"rootLength\":8}}",
	    "{\"path\":\"/x\",\"v2\":{\"dir\":\"/sys/fs/cgroup/x\",\"rootLength\":99}}",
	    "{\"path\":\"/x\",\"v2\":{\"dir\":\"/sys/fs/cgroup/x\",\"rootLength\":14,\"madeFrom\":3}}",
	    "{\"path\":\"/x\",\"v2\":{\"rootLength\":14}}",
	    "{\"path\":7}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_cgroup_ struct cgroup *cg = NULL;
		_cleanup_json_ struct json_object *o = NULL;
		struct error err = ERROR_INIT;

		assert_int_equal(json_parse(bad[i], strlen(bad[i]), &o, &err), 0);
		assert_true(cgroup_from_json(o, &cg, &err) < 0);
		assert_null(cg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_v2_limits),	cmocka_unit_test(test_v2_bfq),
	    cmocka_unit_test(test_v2_refusals), cmocka_unit_test(test_v2_missing_controller),
	    cmocka_unit_test(test_v2_in_use),	cmocka_unit_test(test_v1_limits),
	    cmocka_unit_test(test_v1_refusals), cmocka_unit_test(test_v1_mountinfo),
	    cmocka_unit_test(test_hybrid),	cmocka_unit_test(test_probe),
	    cmocka_unit_test(test_disabled),	cmocka_unit_test(test_no_hierarchy),
	    cmocka_unit_test(test_bad_state),	cmocka_unit_test(test_rootless_v1_without_rights),
	    cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
