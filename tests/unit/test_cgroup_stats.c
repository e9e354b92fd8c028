/* Statistics: every file of a made-up v1, v2 and hybrid group lands in its field, and the JSON has runc's names. */
#include "unit/cgroup_tree.h"

#include "base/json.h"
#include "host/cgroup_internal.h"
#include "host/cgroup_stats.h"

static struct cgroup *open_group(const struct tree *t, const char *state_json)
{
	_cleanup_json_ struct json_object *o = NULL;
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;
	struct cgroup *cg = NULL;
	const char *p;
	char *q;

	/* '@' stands for the root, '#' for its length. */
	text = calloc(1, strlen(state_json) * 20);
	for (p = state_json, q = text; *p; p++)
		q += *p == '@'	 ? sprintf(q, "%s", t->root)
		     : *p == '#' ? sprintf(q, "%zu", strlen(t->root))
				 : sprintf(q, "%c", *p);
	if (json_parse(text, strlen(text), &o, &err) < 0 || cgroup_from_json(o, &cg, &err) < 0)
		fail_msg("%s", err.message);
	return cg;
}

#define ALL_BITS "32767"

static void test_v1(void **state)
{
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	_cleanup_cgroup_stats_ struct cgroup_stats s = {0};
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct json_object *usage, *list;
	struct tree t;

	tree_new(&t);
	tree_put(&t, "cg/b/cpuacct.usage", "123456789\n");
	tree_put(&t, "cg/b/cpuacct.stat", "user 7\nsystem 5\n");
	tree_put(&t, "cg/b/cpuacct.usage_percpu", "100 23 \n");
	tree_put(&t, "cg/b/cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 99\nnr_bursts 1\nburst_time 8\n");
	tree_put(&t, "cg/b/cpuset.effective_cpus", "0-2,5\n");
	tree_put(&t, "cg/b/cpuset.effective_mems", "0\n");
	tree_put(&t, "cg/b/memory.usage_in_bytes", "4096\n");
	tree_put(&t, "cg/b/memory.max_usage_in_bytes", "8192\n");
	tree_put(&t, "cg/b/memory.failcnt", "4\n");
	tree_put(&t, "cg/b/memory.limit_in_bytes", "9223372036854771712\n");
	tree_put(&t, "cg/b/memory.memsw.usage_in_bytes", "5000\n");
	tree_put(&t, "cg/b/memory.use_hierarchy", "1\n");
	tree_put(&t, "cg/b/memory.stat", "cache 11\nrss 22\nswap 33\nbroken\ntotal_rss x\n");
	tree_put(&t, "cg/b/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n");
	tree_put(&t, "cg/b/pids.current", "9\n");
	tree_put(&t, "cg/b/pids.max", "max\n");
	tree_put(&t, "cg/b/blkio.bfq.io_service_bytes_recursive", "Total 0\n");
	tree_put(&t, "cg/b/blkio.throttle.io_service_bytes_recursive",
		 "8:0 Read 100\n8:0 Write 200\n8:0 Total 300\nTotal 300\n");
	tree_put(&t, "cg/b/blkio.time_recursive", "8:16 77\n");
	tree_put(&t, "cg/b/hugetlb.2MB.usage_in_bytes", "2097152\n");
	tree_put(&t, "cg/b/hugetlb.2MB.max_usage_in_bytes", "4194304\n");
	tree_put(&t, "cg/b/hugetlb.2MB.failcnt", "1\n");
	tree_put(&t, "cg/b/rdma.current", "mlx4_0 hca_handle=2 hca_object=2000\n");
	tree_put(&t, "cg/b/rdma.max", "mlx4_0 hca_handle=3 hca_object=max\n");
	cg = open_group(&t,
			"{\"path\":\"/b\",\"v1\":[{\"dir\":\"@/b\",\"rootLength\":#,\"controllers\":" ALL_BITS "}]}");

	assert_int_equal(cgroup_stats_read(cg, &s, &err), 0);
	assert_int_equal(s.cpu.total, 123456789);
	assert_int_equal(s.cpu.user, 7 * 10000000);
	assert_int_equal(s.cpu.kernel, 5 * 10000000);
	assert_int_equal(s.cpu.n_per_cpu, 2);
	assert_int_equal(s.cpu.per_cpu[1], 23);
	assert_int_equal(s.cpu.throttled_periods, 2);
	assert_int_equal(s.cpu.throttled_time, 99);
	assert_int_equal(s.cpu.burst_time, 8);
	assert_int_equal(s.memory.memory.usage, 4096);
	assert_int_equal(s.memory.memory.max, 8192);
	assert_int_equal(s.memory.memory.failcnt, 4);
	assert_int_equal(s.memory.swap.usage, 5000);
	assert_int_equal(s.memory.swap_only.usage, 33);
	assert_int_equal(s.memory.cache, 11);
	assert_int_equal(s.memory.n_raw, 3);
	assert_int_equal(s.memory.oom_kills, 6);
	assert_int_equal(s.pids.current, 9);
	assert_true(s.pids.limit == UINT64_MAX);
	assert_int_equal(s.blkio.service_bytes.n, 3);
	assert_string_equal(s.blkio.service_bytes.v[1].op, "Write");
	assert_int_equal(s.blkio.service_bytes.v[1].value, 200);
	assert_int_equal(s.blkio.time.n, 1);
	assert_int_equal(s.blkio.time.v[0].minor, 16);
	assert_string_equal(s.blkio.time.v[0].op, "");
	assert_int_equal(s.hugetlb.n, 1);
	assert_string_equal(s.hugetlb.v[0].page_size, "2MB");
	assert_int_equal(s.hugetlb.v[0].max, 4194304);
	assert_int_equal(s.rdma.n, 1);
	assert_int_equal(s.rdma.v[0].hca_objects, 2000);
	assert_true(s.rdma.v[0].hca_objects_max == UINT64_MAX);

	o = cgroup_stats_to_json(&s);
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "cpuset", &usage) && json_object_object_get_ex(usage, "cpus", &list));
	assert_string_equal(json_object_to_json_string_ext(list, 0), "[0,1,2,5]");
	assert_true(json_object_object_get_ex(o, "memory", &usage) &&
		    json_object_object_get_ex(usage, "usage", &usage));
	assert_string_equal(json_object_to_json_string_ext(usage, 0),
			    "{\"limit\":9223372036854771712,\"usage\":4096,\"max\":8192,\"failcnt\":4}");
	assert_true(json_object_object_get_ex(o, "pids", &usage));
	assert_string_equal(json_object_to_json_string_ext(usage, 0), "{\"current\":9}");
	tree_free(&t);
}

static void test_v2(void **state)
{
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	_cleanup_cgroup_stats_ struct cgroup_stats s = {0};
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct json_object *psi;
	struct tree t;

	tree_new(&t);
	tree_put(&t, "cg/b/cpu.stat",
		 "usage_usec 12\nuser_usec 7\nsystem_usec 5\nnr_periods 3\nnr_throttled 2\nthrottled_usec 9\n");
	tree_put(&t, "cg/b/cpu.pressure",
		 "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\n"
		 "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	tree_put(&t, "cg/b/memory.current", "4096\n");
	tree_put(&t, "cg/b/memory.max", "max\n");
	tree_put(&t, "cg/b/memory.peak", "8192\n");
	tree_put(&t, "cg/b/memory.events", "low 0\nhigh 0\nmax 4\noom 2\noom_kill 1\noom_group_kill 0\n");
	tree_put(&t, "cg/b/memory.swap.current", "100\n");
	tree_put(&t, "cg/b/memory.swap.max", "1000\n");
	tree_put(&t, "cg/b/memory.stat", "anon 1\nfile 11\n");
	tree_put(&t, "cg/b/pids.current", "9\n");
	tree_put(&t, "cg/b/pids.max", "10\n");
	tree_put(&t, "cg/b/io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \nnonsense\n");
	tree_put(&t, "cg/b/hugetlb.1GB.current", "0\n");
	tree_put(&t, "cg/b/hugetlb.1GB.events", "max 12\n");
	tree_put(&t, "cg/b/hugetlb.1GB.rsvd.current", "0\n");
	tree_put(&t, "cg/b/misc.current", "sev 3\n");
	tree_put(&t, "cg/b/misc.events", "sev.max 5\n");
	tree_put(&t, "cg/b/cpuset.cpus.effective", "1\n");
	cg = open_group(&t, "{\"path\":\"/b\",\"v2\":{\"dir\":\"@/b\",\"rootLength\":#,\"controllers\":0}}");

	assert_int_equal(cgroup_stats_read(cg, &s, &err), 0);
	assert_int_equal(s.cpu.total, 12000);
	assert_int_equal(s.cpu.throttled_time, 9000);
	assert_true(s.cpu.psi.present && s.cpu.psi.some.avg10 == 1.5 && s.cpu.psi.some.total == 77);
	assert_false(s.memory.psi.present);
	assert_true(s.memory.memory.limit == UINT64_MAX);
	assert_int_equal(s.memory.memory.failcnt, 4);
	assert_int_equal(s.memory.swap.usage, 4196);
	assert_true(s.memory.swap.limit == UINT64_MAX);
	assert_int_equal(s.memory.oom_kills, 1);
	assert_int_equal(s.memory.cache, 11);
	assert_int_equal(s.blkio.service_bytes.n, 3);
	assert_string_equal(s.blkio.service_bytes.v[2].op, "Discard");
	assert_int_equal(s.blkio.serviced.v[1].value, 4);
	assert_int_equal(s.hugetlb.n, 1);
	assert_int_equal(s.hugetlb.v[0].failcnt, 12);
	assert_int_equal(s.misc.v[0].events, 5);
	assert_string_equal(s.cpuset.cpus, "1");
	o = cgroup_stats_to_json(&s);
	assert_true(json_object_object_get_ex(o, "cpu", &psi) && json_object_object_get_ex(psi, "psi", &psi) &&
		    json_object_object_get_ex(psi, "some", &psi));
	assert_true(json_object_object_get_ex(psi, "avg60", &psi));
	assert_true(json_object_get_double(psi) == 0.25);
	tree_free(&t);
}

static void test_missing(void **state)
{
	_cleanup_cgroup_ struct cgroup *cg = NULL;
	_cleanup_cgroup_stats_ struct cgroup_stats s = {0};
	_cleanup_json_ struct json_object *o = NULL;
	struct error err = ERROR_INIT;
	struct tree t;

	tree_new(&t);
	cg = open_group(&t, "{\"path\":\"/b\",\"v2\":{\"dir\":\"@/b\",\"rootLength\":#,\"controllers\":0}}");
	assert_int_equal(cgroup_stats_read(cg, &s, &err), -ENOENT);
	tree_put(&t, "cg/b/cgroup.procs", ""); /* a group without controllers */
	assert_int_equal(cgroup_stats_read(cg, &s, &err), 0);
	assert_false(s.memory.present);
	o = cgroup_stats_to_json(&s);
	assert_non_null(o);
	tree_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_v1),
	    cmocka_unit_test(test_v2),
	    cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
