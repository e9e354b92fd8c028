/* The pure parts of control groups: paths, conversions, device rules and the programs made of them, unit properties. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "host/cgroup_convert.h"
#include "host/cgroup_devices_bpf.h"
#include "host/cgroup_layout.h"
#include "host/cgroup_path.h"
#include "host/cgroup_systemd_properties.h"

/* ---- paths ---- */

static void assert_clean(const char *path, const char *expected)
{
	_cleanup_free_ char *s = cgroup_path_clean(path);

	assert_string_equal(s, expected);
}

static void test_path_clean(void **state)
{
	assert_clean("/a/b", "/a/b");
	assert_clean("a//b/", "/a/b");
	assert_clean("/a/./b/../c", "/a/c");
	assert_clean("../../etc", "/etc");
	assert_clean("/a/../../../b", "/b");
	assert_clean("a/b/../../c/d", "/c/d");
	assert_clean("..", "/");
	assert_clean("", "/");
}

static void test_path_resolve(void **state)
{
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(cgroup_path_resolve(NULL, "box", &a, &err), 0);
	assert_string_equal(a, "/box");
	assert_int_equal(cgroup_path_resolve("x/../pods/p1", "box", &b, &err), 0);
	assert_string_equal(b, "/pods/p1");
	assert_int_equal(cgroup_path_resolve("/", "box", &c, &err), -EINVAL);
	assert_non_null(strstr(err.message, "root control group"));
	assert_int_equal(cgroup_path_resolve("/a/..", "box", &c, &err), -EINVAL);
	assert_int_equal(cgroup_path_resolve("", "../box", &c, &err), -EINVAL);
	assert_int_equal(cgroup_path_resolve(NULL, "..", &c, &err), -EINVAL);
	assert_null(c);
}

static void test_path_unit(void **state)
{
	struct cgroup_unit u = {0};
	struct error err = ERROR_INIT;
	static const char *const bad[] = {"/a/b",	   "a:b",	   "a.slice:b:c:d",
					  "a.slice:b:",	   "a:b:c",	   "a.slice:b:c.slice",
					  "a.slice:b/c:d", "a.slice:b:c d"};

	assert_int_equal(cgroup_path_unit(NULL, "id", false, &u, &err), 0);
	assert_string_equal(u.slice, "system.slice");
	assert_string_equal(u.name, "ringwall-id.scope");
	cgroup_unit_free(&u);
	assert_int_equal(cgroup_path_unit(":libpod:0123", "id", true, &u, &err), 0);
	assert_string_equal(u.slice, "user.slice");
	assert_string_equal(u.name, "libpod-0123.scope");
	cgroup_unit_free(&u);
	assert_int_equal(cgroup_path_unit("machine.slice::x", "id", true, &u, &err), 0);
	assert_string_equal(u.slice, "machine.slice");
	assert_string_equal(u.name, "x.scope");
	cgroup_unit_free(&u);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cgroup_path_unit(bad[i], "id", false, &u, &err), -EINVAL);
}

/* ---- conversions ---- */

static void test_weights(void **state)
{
	static const struct {
		uint64_t shares, weight;
	} cases[] = {{0, 0},	       {1, 1},	  {2, 1},    {1024, 100}, {262144, 10000},
		     {1000000, 10000}, {102, 17}, {512, 59}, {2048, 174}, {10240, 639}};
	uint64_t last = 0;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cgroup_weight_from_shares(cases[i].shares), cases[i].weight);
	for (uint64_t s = 2; s < 300000; s += 7) {
		uint64_t w = cgroup_weight_from_shares(s);

		assert_true(w >= last && w <= 10000);
		last = w;
	}
	assert_int_equal(cgroup_io_weight_from_blkio(0), 0);
	assert_int_equal(cgroup_io_weight_from_blkio(10), 1);
	assert_int_equal(cgroup_io_weight_from_blkio(500), 4950);
	assert_int_equal(cgroup_io_weight_from_blkio(1000), 10000);
}

static void test_swap(void **state)
{
	struct error err = ERROR_INIT;
	int64_t swap;
	bool zero;

	assert_int_equal(cgroup_swap_from_memsw(300, 100, &swap, &zero, &err), 0);
	assert_int_equal(swap, 200);
	assert_false(zero);
	assert_int_equal(cgroup_swap_from_memsw(100, 100, &swap, &zero, &err), 0);
	assert_int_equal(swap, 0);
	assert_true(zero);
	assert_int_equal(cgroup_swap_from_memsw(0, -1, &swap, &zero, &err), 0);
	assert_int_equal(swap, -1);
	assert_int_equal(cgroup_swap_from_memsw(-1, 100, &swap, &zero, &err), 0);
	assert_int_equal(swap, -1);
	assert_int_equal(cgroup_swap_from_memsw(0, 100, &swap, &zero, &err), 0);
	assert_int_equal(swap, 0);
	assert_false(zero);
	assert_int_equal(cgroup_swap_from_memsw(50, 100, &swap, &zero, &err), -EINVAL);
	assert_int_equal(cgroup_swap_from_memsw(50, 0, &swap, &zero, &err), -EINVAL);
}

static void test_controllers(void **state)
{
	assert_int_equal(cgroup_controllers_parse("cpu,cpuacct", false),
			 CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_CPUACCT));
	assert_int_equal(cgroup_controllers_parse("cpuset cpu io memory hugetlb pids rdma misc\n", true),
			 CGROUP_V2_CONTROLLERS);
	assert_int_equal(cgroup_controllers_parse("name=systemd", false), CGROUP_BIT(CGROUP_SYSTEMD));
	assert_int_equal(cgroup_controllers_parse("name=other,debug", false), 0);
	assert_int_equal(cgroup_controllers_parse("io", false), 0);
	assert_int_equal(cgroup_controllers_parse("", true), 0);
}

/* ---- device rules ---- */

/* The meaning of an ordered list, the slow and obvious way: each kind of access is decided by its last match. */
static bool reference(const struct device_rules *rules, char type, int64_t major, int64_t minor, unsigned access)
{
	for (unsigned bit = 1; bit <= 4; bit <<= 1) {
		bool ok = false;

		if (!(access & bit))
			continue;
		for (size_t i = 0; i < rules->n; i++) {
			const struct device_rule *d = &rules->v[i];

			if ((d->type == 'a' || d->type == type) && (d->major < 0 || d->major == major) &&
			    (d->minor < 0 || d->minor == minor) &&
			    (bit == BPF_DEVCG_ACC_READ	  ? d->read
			     : bit == BPF_DEVCG_ACC_WRITE ? d->write
							  : d->mknod))
				ok = d->allow;
		}
		if (!ok)
			return false;
	}
	return true;
}

/* Runs the few instructions that our programs are made of. */
static bool run(const struct bpf_program *p, char type, uint32_t major, uint32_t minor, unsigned access)
{
	struct bpf_cgroup_dev_ctx ctx = {.access_type =
					     access << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
					 .major = major,
					 .minor = minor};
	uint64_t reg[11] = {[1] = (uintptr_t)&ctx};

	for (size_t pc = 0; pc < p->n; pc++) {
		const struct bpf_insn *i = &p->v[pc];
		uint64_t *dst = &reg[i->dst_reg], src = reg[i->src_reg];

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			*dst = *(uint32_t *)((uintptr_t)src + (uintptr_t)i->off);
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			*dst = (uint32_t)src;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			*dst = (uint32_t)*dst & (uint32_t)i->imm;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			*dst = (uint32_t)*dst >> i->imm;
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			*dst = (uint64_t)(int64_t)i->imm;
			break;
		case BPF_JMP32 | BPF_JNE | BPF_K:
			if ((uint32_t)*dst != (uint32_t)i->imm)
				pc += (size_t)i->off;
			break;
		case BPF_JMP32 | BPF_JEQ | BPF_K:
			if ((uint32_t)*dst == (uint32_t)i->imm)
				pc += (size_t)i->off;
			break;
		case BPF_JMP | BPF_EXIT:
			return reg[0] != 0;
		default:
			fail_msg("unknown instruction %#x", i->code);
		}
	}
	fail_msg("the program runs off its end");
	return false;
}

/* What v1's kernel does with a default and exceptions. */
static bool listed(const struct device_list *list, char type, int64_t major, int64_t minor, unsigned access)
{
	unsigned left = access;

	for (size_t i = 0; i < list->exceptions.n; i++) {
		const struct device_rule *d = &list->exceptions.v[i];
		unsigned bits = (d->read ? BPF_DEVCG_ACC_READ : 0u) | (d->write ? BPF_DEVCG_ACC_WRITE : 0u) |
				(d->mknod ? BPF_DEVCG_ACC_MKNOD : 0u);

		if (d->type == type && (d->major < 0 || d->major == major) && (d->minor < 0 || d->minor == minor))
			left &= ~bits;
	}
	return list->default_allow ? left == access : left == 0;
}

static struct device_rule random_rule(void)
{
	struct device_rule d = {.allow = rand() % 2, .type = "abc"[rand() % 3]};
	unsigned bits = 1 + (unsigned)rand() % 7;

	d.major = rand() % 4 - 1;
	d.minor = rand() % 4 - 1;
	d.read = bits & 1;
	d.write = bits & 2;
	d.mknod = bits & 4;
	if (rand() % 8 == 0)
		d = (struct device_rule){rand() % 2, 'a', -1, -1, true, true, true};
	return d;
}

static void test_device_rules_agree(void **state)
{
	size_t expressible = 0;

	srand(1);
	for (int round = 0; round < 3000; round++) {
		struct device_rule v[8];
		struct device_rules rules = {v, (size_t)rand() % 9};
		_cleanup_bpf_program_ struct bpf_program program = {0};
		_cleanup_device_list_ struct device_list list = {0};
		bool on_v1;

		for (size_t i = 0; i < rules.n; i++)
			v[i] = random_rule();
		assert_int_equal(device_rules_compile(&rules, &program, NULL), 0);
		assert_true(program.n <= program.cap);
		on_v1 = device_list_build(&rules, &list, NULL) == 0;
		expressible += on_v1;
		for (unsigned access = 1; access < 8; access++) {
			for (int64_t major = 0; major < 4; major++) {
				for (int64_t minor = 0; minor < 4; minor++) {
					bool c = reference(&rules, 'c', major, minor, access);
					bool b = reference(&rules, 'b', major, minor, access);

					assert_int_equal(run(&program, 'c', (uint32_t)major, (uint32_t)minor, access),
							 c);
					assert_int_equal(run(&program, 'b', (uint32_t)major, (uint32_t)minor, access),
							 b);
					if (on_v1) {
						assert_int_equal(listed(&list, 'c', major, minor, access), c);
						assert_int_equal(listed(&list, 'b', major, minor, access), b);
					}
					if (device_rules_allow_all(&rules))
						assert_true(c && b);
				}
			}
		}
	}
	assert_true(expressible > 500);
}

static void test_device_defaults(void **state)
{
	struct device_rule deny = {false, 'a', -1, -1, true, true, true};
	struct cgroup_resources r = {.devices = {&deny, 1}};
	_cleanup_device_rules_ struct device_rules rules = {0};
	_cleanup_bpf_program_ struct bpf_program p = {0};
	struct error err = ERROR_INIT;

	assert_int_equal(device_rules_build(&r, &rules, &err), 0);
	assert_false(device_rules_allow_all(&rules));
	assert_int_equal(device_rules_compile(&rules, &p, &err), 0);
	assert_true(run(&p, 'c', 1, 3, 7));	    /* null */
	assert_true(run(&p, 'c', 136, 1234567, 6)); /* pts */
	assert_true(run(&p, 'c', 9, 9, BPF_DEVCG_ACC_MKNOD));
	assert_false(run(&p, 'c', 9, 9, BPF_DEVCG_ACC_READ));
	assert_false(run(&p, 'b', 8, 0, BPF_DEVCG_ACC_READ));
	assert_false(run(&p, 'c', 1, 1, BPF_DEVCG_ACC_WRITE)); /* mem */
	assert_false(run(&p, 'c', UINT32_MAX, UINT32_MAX, BPF_DEVCG_ACC_READ));
	device_rules_free(&rules);
	deny.allow = true;
	assert_int_equal(device_rules_build(&r, &rules, &err), 0);
	assert_true(device_rules_allow_all(&rules));
	device_rules_free(&rules);
	deny.type = 'x';
	assert_int_equal(device_rules_build(&r, &rules, &err), -EINVAL);
	deny.type = 0;
	assert_int_equal(device_rules_build(&r, &rules, &err), -EINVAL);
	deny.type = 'c';
	deny.major = 1ll << 33;
	assert_int_equal(device_rules_build(&r, &rules, &err), -EINVAL);
}

static void test_device_hole(void **state)
{
	struct device_rule v[] = {{true, 'c', 10, -1, true, true, false}, {false, 'c', 10, 232, true, true, true}};
	struct device_rules rules = {v, 2};
	_cleanup_device_list_ struct device_list list = {0};
	struct error err = ERROR_INIT;

	assert_int_equal(device_list_build(&rules, &list, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "'c 10:232 rwm'"));
	v[1].read = v[1].write = false; /* mknod was never allowed: no hole */
	assert_int_equal(device_list_build(&rules, &list, &err), 0);
	assert_int_equal(list.exceptions.n, 1);
}

static void test_device_list_parse(void **state)
{
	_cleanup_device_list_ struct device_list deny = {0}, allow = {0};
	struct error err = ERROR_INIT;
	char buf[80];

	assert_int_equal(device_list_parse("c *:* m\nb 8:0 rw\n", &deny, &err), 0);
	assert_false(deny.default_allow);
	assert_int_equal(deny.exceptions.n, 2);
	device_rule_format(&deny.exceptions.v[0], buf, sizeof(buf));
	assert_string_equal(buf, "c *:* m");
	device_rule_format(&deny.exceptions.v[1], buf, sizeof(buf));
	assert_string_equal(buf, "b 8:0 rw");
	assert_int_equal(device_list_parse("a *:* rwm\n", &allow, &err), 0);
	assert_true(allow.default_allow);
	device_list_free(&allow);
	assert_int_equal(device_list_parse("nonsense\n", &allow, &err), -EBADMSG);
	allow = (struct device_list){0};
}

static void test_device_program_limit(void **state)
{
	size_t n = 2000;
	_cleanup_free_ struct device_rule *v = calloc(n, sizeof(*v));
	struct device_rules rules = {v, n};
	_cleanup_bpf_program_ struct bpf_program p = {0};
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < n; i++)
		v[i] = (struct device_rule){true, 'c', (int64_t)i, 1, true, false, false};
	assert_int_equal(device_rules_compile(&rules, &p, &err), -E2BIG);
}

/* ---- systemd properties ---- */

static void assert_json(struct json_object *o, const char *expected)
{
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			    expected);
}

static void assert_annotation(const char *name, const char *value, const char *expected)
{
	_cleanup_json_ struct json_object *list = json_object_new_array();
	_cleanup_free_ char *key = NULL;
	struct error err = ERROR_INIT;
	struct cgroup_annotation a;
	int r;

	assert_true(asprintf(&key, "org.systemd.property.%s", name) > 0);
	a = (struct cgroup_annotation){key, value};
	r = cgroup_systemd_annotations(&a, 1, list, &err);
	if (expected) {
		assert_int_equal(r, 0);
		assert_json(list, expected);
	} else {
		assert_true(r == -EINVAL || r == -ERANGE);
		assert_non_null(strstr(err.message, "org.systemd.property"));
	}
}

static void test_systemd_annotations(void **state)
{
	assert_annotation("CollectMode", "'inactive'",
			  "[{\"name\":\"CollectMode\",\"type\":\"s\",\"value\":\"inactive\"}]");
	assert_annotation("TimeoutStopUSec", "uint64 123456789",
			  "[{\"name\":\"TimeoutStopUSec\",\"type\":\"t\",\"value\":123456789}]");
	assert_annotation("TimeoutStopSec", "uint64 90",
			  "[{\"name\":\"TimeoutStopUSec\",\"type\":\"t\",\"value\":90000000}]");
	assert_annotation("TimeoutStopSec", "1.5", "[{\"name\":\"TimeoutStopUSec\",\"type\":\"t\",\"value\":1500000}]");
	assert_annotation("MemoryAccounting", "true",
			  "[{\"name\":\"MemoryAccounting\",\"type\":\"b\",\"value\":true}]");
	assert_annotation("After", "['a.service', \"b\"]",
			  "[{\"name\":\"After\",\"type\":\"as\",\"value\":[\"a.service\",\"b\"]}]");
	assert_annotation("After", "[]", "[{\"name\":\"After\",\"type\":\"as\",\"value\":[]}]");
	assert_annotation("Nice", "-5", "[{\"name\":\"Nice\",\"type\":\"i\",\"value\":-5}]");
	assert_annotation("Some", "uint32 4294967296", NULL);
	assert_annotation("Some", "byte 256", NULL);
	assert_annotation("Some", "byte -1", NULL);
	assert_annotation("Some", "'open", NULL);
	assert_annotation("Some", "'a' b", NULL);
	assert_annotation("Some", "['a'", NULL);
	assert_annotation("Some", "['a' 'b']", NULL);
	assert_annotation("Some", "", NULL);
	assert_annotation("Some", "maybe", NULL);
	assert_annotation("x", "true", NULL);
	assert_annotation("Bad-Name", "true", NULL);
	assert_annotation("TimeoutStopSec", "-1", NULL);
	assert_annotation("TimeoutStopSec", "soon", NULL);
}

static void test_systemd_limits(void **state)
{
	_cleanup_json_ struct json_object *v2 = json_object_new_array(), *v1 = json_object_new_array(),
					  *bad = json_object_new_array();
	struct cgroup_resources r = {
	    .memory = {.limit = {true, 1000}, .swap = {true, 1500}},
	    .cpu = {.shares = {true, 1024}, .quota = {true, 25000}, .period = {true, 100000}, .cpus = (char *)"0-1,9"},
	    .pids = {.limit = {true, 32}},
	};
	struct error err = ERROR_INIT;

	assert_int_equal(cgroup_systemd_limits(&r, true, v2, &err), 0);
	assert_json(
	    v2,
	    "[{\"name\":\"MemoryMax\",\"type\":\"t\",\"value\":1000},{\"name\":\"MemorySwapMax\",\"type\":\"t\",\"value\":500},"
	    "{\"name\":\"CPUWeight\",\"type\":\"t\",\"value\":100},{\"name\":\"CPUQuotaPeriodUSec\",\"type\":\"t\",\"value\":100000},"
	    "{\"name\":\"CPUQuotaPerSecUSec\",\"type\":\"t\",\"value\":250000},{\"name\":\"TasksMax\",\"type\":\"t\",\"value\":32},"
	    "{\"name\":\"AllowedCPUs\",\"type\":\"ay\",\"value\":[3,2]}]");
	assert_int_equal(cgroup_systemd_limits(&r, false, v1, &err), 0);
	assert_json(
	    v1,
	    "[{\"name\":\"MemoryLimit\",\"type\":\"t\",\"value\":1000},{\"name\":\"CPUShares\",\"type\":\"t\",\"value\":1024},"
	    "{\"name\":\"CPUQuotaPerSecUSec\",\"type\":\"t\",\"value\":250000},{\"name\":\"TasksMax\",\"type\":\"t\",\"value\":32}]");
	r.cpu.cpus = (char *)"3-1";
	assert_int_equal(cgroup_systemd_limits(&r, true, bad, &err), -EINVAL);
	r.cpu.cpus = (char *)"0-99999999";
	assert_int_equal(cgroup_systemd_limits(&r, true, bad, &err), -ERANGE);
	r.cpu.cpus = (char *)"0-";
	assert_int_equal(cgroup_systemd_limits(&r, true, bad, &err), -EINVAL);
}

static void test_systemd_devices(void **state)
{
	struct device_rule v[] = {{false, 'a', -1, -1, true, true, true},
				  {true, 'b', 8, 0, true, false, false},
				  {true, 'b', 253, -1, true, true, false}};
	struct cgroup_resources r = {.devices = {v, 3}};
	_cleanup_json_ struct json_object *list = json_object_new_array(), *all = json_object_new_array();
	const char *text;

	assert_int_equal(cgroup_systemd_devices(&r,
						"Character devices:\n  1 mem\n136 pts\n253 other\n\n"
						"Block devices:\n  8 sd\n253 device-mapper\n",
						list, NULL),
			 0);
	text = json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	assert_non_null(strstr(text, "{\"name\":\"DevicePolicy\",\"type\":\"s\",\"value\":\"strict\"}"));
	assert_non_null(strstr(text, "[\"/dev/block/8:0\",\"r\"]"));
	assert_non_null(strstr(text, "[\"block-device-mapper\",\"rw\"]"));
	assert_non_null(strstr(text, "[\"char-pts\",\"rwm\"]"));
	assert_non_null(strstr(text, "[\"char-*\",\"m\"]"));
	v[0].allow = true;
	r.devices.n = 1;
	assert_int_equal(cgroup_systemd_devices(&r, "", all, NULL), 0);
	assert_json(all, "[{\"name\":\"DevicePolicy\",\"type\":\"s\",\"value\":\"auto\"}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_path_clean),
	    cmocka_unit_test(test_path_resolve),
	    cmocka_unit_test(test_path_unit),
	    cmocka_unit_test(test_weights),
	    cmocka_unit_test(test_swap),
	    cmocka_unit_test(test_controllers),
	    cmocka_unit_test(test_device_rules_agree),
	    cmocka_unit_test(test_device_defaults),
	    cmocka_unit_test(test_device_hole),
	    cmocka_unit_test(test_device_list_parse),
	    cmocka_unit_test(test_device_program_limit),
	    cmocka_unit_test(test_systemd_annotations),
	    cmocka_unit_test(test_systemd_limits),
	    cmocka_unit_test(test_systemd_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
