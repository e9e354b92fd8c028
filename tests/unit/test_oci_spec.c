#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "oci/spec_build.h"

/* --- the examples that come with the specification --- */

static const char *const good_examples[] = {
	"minimal", "minimal-for-start", "spec-example", "linux-netdevice", "linux-rdma", "zos-minimal", "zos-example",
	"freebsd-minimal", "freebsd-example",
};

static char *example(const char *kind, const char *name, size_t *len)
{
	char path[256], *text = NULL;
	struct error err = ERROR_INIT;

	snprintf(path, sizeof(path), TEST_DATA "/oci-schema/test/config/%s/%s.json", kind, name);
	if (file_read_at(AT_FDCWD, path, OCI_CONFIG_MAX, &text, len, &err) < 0)
		fail_msg("%s", err.message);
	return text;
}

/* Good by the schema, but what they ask for would change the host. */
static const char *refused_on_linux(const char *name)
{
	if (strcmp(name, "linux-netdevice") == 0)
		return "linux.netDevices: 'eth0' cannot be moved into the host's network namespace";
	if (strcmp(name, "zos-example") == 0 || strcmp(name, "freebsd-example") == 0)
		return "hostname: 'slartibartfast' cannot be set in the host's uts namespace";
	return NULL;
}

static void good(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good_examples); i++) {
		_cleanup_oci_spec_ struct oci_spec *spec = NULL;
		size_t len;
		_cleanup_free_ char *text = example("good", good_examples[i], &len);
		struct error err = ERROR_INIT;
		const char *refused = refused_on_linux(good_examples[i]);

		if (oci_spec_parse(text, len, &spec, &err) < 0) {
			if (!refused || !strstr(err.message, refused))
				fail_msg("%s: %s", good_examples[i], err.message);
		} else {
			assert_null(refused);
		}
	}
}

static void bad(void **state)
{
	static const struct {
		const char *name, *message;
	} examples[] = {
		{ "invalid-json", "invalid JSON at byte 1" },
		{ "linux-hugepage", "linux.resources.hugepageLimits[0].pageSize: '64kB' is not a size" },
		{ "linux-netdevice", "linux.netDevices.eth0.name: expected a string, got 23" },
		{ "linux-rdma", "linux.resources.rdma.mlx5_1.hcaHandles: expected an unsigned integer, got \"not a uint32\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		struct oci_spec *spec = NULL;
		size_t len;
		_cleanup_free_ char *text = example("bad", examples[i].name, &len);
		struct error err = ERROR_INIT;

		assert_int_equal(oci_spec_parse(text, len, &spec, &err), -EINVAL);
		assert_null(spec);
		if (!strstr(err.message, examples[i].message))
			fail_msg("%s: %s", examples[i].name, err.message);
	}
}

/* --- one rule a line --- */

#define NS(list) "{\"ociVersion\":\"1.3.0\",\"linux\":{\"namespaces\":[" list "]"
#define ALL_NS                                                                                                         \
	"{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"},"           \
	"{\"type\":\"user\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}"
/* A configuration with one key more at the top, in linux (all namespaces new), in resources, in process. */
#define TOP(text) "{\"ociVersion\":\"1.3.0\"," text "}"
#define LINUX(text) NS(ALL_NS) "," text "}}"
#define RESOURCES(text) LINUX("\"resources\":{" text "}")
#define PROCESS(text) TOP("\"process\":{\"cwd\":\"/\",\"args\":[\"a\"]," text "}")
#define SECCOMP(text) LINUX("\"seccomp\":{" text "}")
#define HOST_NS(text) TOP("\"linux\":{" text "}")
#define MOUNTS(text) TOP("\"mounts\":[{" text "}]")
#define MAP(a, b, n) "{\"containerID\":" #a ",\"hostID\":" #b ",\"size\":" #n "}"

static const char *const accepted[] = {
	"{\"ociVersion\":\"1.0.0\"}",
	"{\"ociVersion\":\"1.0.2-dev\"}",
	"{\"ociVersion\":\"1.99.7+build.5\"}",
	"{\"ociVersion\":\"0.5.0-dev\"}",
	TOP("\"unknown\":{\"anything\":[1,2.5,null]}"),
	TOP("\"process\":null,\"hooks\":null,\"linux\":null"),
	TOP("\"windows\":{\"layerFolders\":[]},\"solaris\":{},\"zos\":{},\"freebsd\":{}"),
	TOP("\"root\":{\"path\":\"r\",\"readonly\":true}"),
	TOP("\"annotations\":{\"a\":\"\"}"),
	TOP("\"hooks\":{\"prestart\":[{\"path\":\"/h\",\"timeout\":1}],\"poststop\":[]}"),
	TOP("\"hostname\":\"\""),
	NS("{\"type\":\"uts\"}") "},\"hostname\":\"box\",\"domainname\":\"example\"}",
	PROCESS("\"env\":[\"A=\",\"B=c=d\"]"),
	PROCESS("\"user\":{\"uid\":4294967294,\"gid\":0,\"additionalGids\":[],\"umask\":511,\"username\":\"x\"}"),
	PROCESS("\"consoleSize\":{\"height\":0,\"width\":65535}"),
	PROCESS("\"capabilities\":{\"bounding\":[\"CAP_NET_ADMIN\",\"CAP_OF_THE_FUTURE\"]}"),
	PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":18446744073709551615},"
		"{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":0}]"),
	PROCESS("\"oomScoreAdj\":-1000"),
	PROCESS("\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":-20}"),
	PROCESS("\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":99,\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"]}"),
	PROCESS("\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":1,\"deadline\":1}"),
	PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\"}"),
	PROCESS("\"execCPUAffinity\":{\"initial\":\"0-1, 3\",\"final\":\"\"}"),
	MOUNTS("\"destination\":\"/d\""),
	MOUNTS("\"destination\":\"relative\",\"type\":\"tmpfs\""),
	MOUNTS("\"destination\":\"/d\",\"options\":[\"idmap\"],\"uidMappings\":[" MAP(0, 1, 1) "],\"gidMappings\":[" MAP(0, 1, 1) "]"),
	NS("{\"type\":\"user\"}") "},\"mounts\":[{\"destination\":\"/d\",\"options\":[\"ridmap\"]}]}",
	NS("") "}}",
	NS("{\"type\":\"pid\",\"path\":\"\"},{\"type\":\"network\",\"path\":\"/proc/1/ns/net\"}") "}}",
	LINUX("\"uidMappings\":[" MAP(0, 0, 4294967295) "],\"gidMappings\":[" MAP(0, 5, 1) "," MAP(1, 6, 1) "]"),
	LINUX("\"sysctl\":{\"net.ipv4.ip_forward\":\"1\",\"kernel/shmmax\":\"1\",\"kernel.domainname\":\"x\","
	      "\"fs.mqueue.msg_max\":\"1\"}"),
	NS("{\"type\":\"network\",\"path\":\"/n\"}") ",\"sysctl\":{\"net.core.somaxconn\":\"1\"}}}",
	LINUX("\"maskedPaths\":[\"/a\"],\"readonlyPaths\":[\"/b\"]"),
	HOST_NS("\"maskedPaths\":[]"),
	LINUX("\"timeOffsets\":{\"monotonic\":{\"secs\":-5,\"nanosecs\":999999999},\"boottime\":{}}"),
	LINUX("\"rootfsPropagation\":\"rslave\""),
	LINUX("\"rootfsPropagation\":\"\""),
	LINUX("\"personality\":{\"domain\":\"LINUX\"}"),
	LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_WEIGHTED_INTERLEAVE\",\"nodes\":\"0-1\",\"flags\":[\"MPOL_F_STATIC_NODES\"]}"),
	LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_DEFAULT\"}"),
	LINUX("\"intelRdt\":{\"closID\":\"group\",\"schemata\":[\"L3:0=f\"],\"enableMonitoring\":true}"),
	LINUX("\"intelRdt\":{\"closID\":\"/\",\"l3CacheSchema\":\"L3:0=f\\nL3:1=f\"}"),
	LINUX("\"intelRdt\":{\"closID\":\"\"}"),
	LINUX("\"netDevices\":{\"eth0\":{},\"eth1\":{\"name\":\"fifteen-letters\"}}"),
	LINUX("\"devices\":[{\"type\":\"p\",\"path\":\"/f\"},{\"type\":\"c\",\"path\":\"/c\",\"major\":1,\"minor\":0,"
	      "\"fileMode\":511}]"),
	LINUX("\"cgroupsPath\":\"/a/..b/c..\""),
	LINUX("\"cgroupsPath\":\"system.slice:ringwall:box\""),
	RESOURCES("\"pids\":{\"limit\":-1}"),
	RESOURCES("\"memory\":{\"limit\":-1,\"swappiness\":100}"),
	RESOURCES("\"cpu\":{\"cpus\":\"0-3,7\",\"mems\":\"0\",\"idle\":1,\"quota\":-1}"),
	RESOURCES("\"devices\":[{\"allow\":false},{\"allow\":true,\"type\":\"\",\"access\":\"\"}]"),
	RESOURCES("\"hugepageLimits\":[{\"pageSize\":\"64KB\",\"limit\":0}]"),
	RESOURCES("\"unified\":{\"memory.high\":\"max\"}"),
	RESOURCES("\"network\":{\"classID\":4294967295}"),
	SECCOMP("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":4095"),
	SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"open\"],\"action\":\"SCMP_ACT_TRACE\",\"errnoRet\":65535}]"),
	SECCOMP("\"defaultAction\":\"SCMP_ACT_KILL_THREAD\",\"listenerPath\":\"/l\",\"listenerMetadata\":\"m\","
		"\"syscalls\":[{\"names\":[\"open\"],\"action\":\"SCMP_ACT_NOTIFY\"}]"),
	TOP("\"vm\":{\"kernel\":{\"path\":\"/k\"},\"image\":{\"path\":\"/i\",\"format\":\"qcow2\"}}"),
};

static void rules_accept(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		_cleanup_oci_spec_ struct oci_spec *spec = NULL;
		struct error err = ERROR_INIT;

		if (oci_spec_parse(accepted[i], strlen(accepted[i]), &spec, &err) < 0)
			fail_msg("%s: %s", accepted[i], err.message);
	}
}

static const struct {
	const char *text, *message; /* the message begins so */
} refused[] = {
	/* types and shapes */
	{ "[]", "expected an object, got []" },
	{ "null", "expected an object, got null" },
	{ "\"x\"", "expected an object, got \"x\"" },
	{ "", "invalid JSON" },
	{ TOP("\"mounts\":{}"), "mounts: expected an array of objects, got {}" },
	{ TOP("\"mounts\":[null]"), "mounts[0]: expected an object, got null" },
	{ TOP("\"hostname\":5"), "hostname: expected a string, got 5" },
	{ TOP("\"hostname\":\"a\\u0000b\""), "hostname: the string holds a NUL byte" },
	{ TOP("\"annotations\":{\"k\":1}"), "annotations.k: expected a string, got 1" },
	{ TOP("\"annotations\":{\"\":\"v\"}"), "annotations: the empty key is not allowed" },
	{ PROCESS("\"args\":[\"a\",1]"), "process.args[1]: expected a string, got 1" },
	{ PROCESS("\"terminal\":\"yes\""), "process.terminal: expected true or false, got \"yes\"" },
	{ PROCESS("\"user\":{\"uid\":1.5}"), "process.user.uid: expected an unsigned integer, got 1.5" },
	{ RESOURCES("\"memory\":{\"limit\":1e30}"), "linux.resources.memory.limit: expected an integer, got 1e30" },
	{ RESOURCES("\"memory\":{\"limit\":9223372036854775808}"),
	  "linux.resources.memory.limit: 9223372036854775808 is not between" },
	/* ociVersion */
	{ "{}", "ociVersion: missing; it must be given" },
	{ "{\"ociVersion\":\"2.0.0\"}", "ociVersion: '2.0.0' is not supported; versions 1.x up to 1.3.0 are" },
	{ "{\"ociVersion\":\"1.0\"}", "ociVersion: '1.0' is not a version such as 1.3.0" },
	{ "{\"ociVersion\":\"1.0.0.0\"}", "ociVersion: '1.0.0.0' is not a version" },
	{ "{\"ociVersion\":\"\"}", "ociVersion: '' is not a version" },
	{ "{\"ociVersion\":\"1..0\"}", "ociVersion: '1..0' is not a version" },
	{ "{\"ociVersion\":\"v1.0.0\"}", "ociVersion: 'v1.0.0' is not a version" },
	{ "{\"ociVersion\":\"1.0.99999999999\"}", "ociVersion: '1.0.99999999999' is not a version" },
	/* root, uts names */
	{ TOP("\"root\":{}"), "root.path: missing; it must be given" },
	{ TOP("\"root\":{\"path\":\"\"}"), "root.path: empty" },
	{ TOP("\"hostname\":\"box\""), "hostname: 'box' cannot be set in the host's uts namespace; add {\"type\": \"uts\"}" },
	{ TOP("\"domainname\":\"box\""), "domainname: 'box' cannot be set in the host's uts namespace" },
	{ NS("{\"type\":\"uts\"}") "},\"hostname\":\"0123456789012345678901234567890123456789012345678901234567890123x\"}",
	  "hostname: '0123456789012345678901234567890123456789012345678901234567890123x' is 65 bytes long" },
	/* process */
	{ TOP("\"process\":{\"args\":[\"a\"]}"), "process.cwd: missing" },
	{ TOP("\"process\":{\"args\":[\"a\"],\"cwd\":\"tmp\"}"), "process.cwd: 'tmp' is not an absolute path" },
	{ TOP("\"process\":{\"args\":[\"a\"],\"cwd\":\"\"}"), "process.cwd: '' is not an absolute path" },
	{ TOP("\"process\":{\"cwd\":\"/\"}"), "process.args: missing; name the program to run" },
	{ TOP("\"process\":{\"cwd\":\"/\",\"args\":[]}"), "process.args: empty; name the program to run" },
	{ TOP("\"process\":{\"cwd\":\"/\",\"args\":[\"\"]}"), "process.args: the first one is empty" },
	{ PROCESS("\"env\":[\"NOVALUE\"]"), "process.env: 'NOVALUE' is not of the form NAME=value" },
	{ PROCESS("\"env\":[\"=x\"]"), "process.env: '=x' is not of the form NAME=value" },
	{ PROCESS("\"user\":{\"uid\":4294967295}"), "process.user.uid: 4294967295 is not between 0 and 4294967294" },
	{ PROCESS("\"user\":{\"gid\":-1}"), "process.user.gid: -1 is not between 0 and 4294967294" },
	{ PROCESS("\"user\":{\"additionalGids\":[0,4294967295]}"), "process.user.additionalGids[1]: 4294967295 is not between" },
	{ PROCESS("\"user\":{\"umask\":512}"), "process.user.umask: 512 is not between 0 and 511" },
	{ PROCESS("\"consoleSize\":{\"height\":1}"), "process.consoleSize.width: missing" },
	{ PROCESS("\"consoleSize\":{\"height\":1,\"width\":65536}"), "process.consoleSize.width: 65536 is not between 0 and 65535" },
	{ PROCESS("\"capabilities\":{\"bounding\":\"CAP_KILL\"}"), "process.capabilities.bounding: expected an array of strings" },
	{ PROCESS("\"capabilities\":{\"bounding\":[7]}"), "process.capabilities.bounding[0]: expected a string, got 7" },
	{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_NOPE\",\"soft\":1,\"hard\":1}]"), "process.rlimits[0].type: unknown value 'RLIMIT_NOPE'" },
	{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":2,\"hard\":1}]"),
	  "process.rlimits[0].soft: 2 is more than the hard limit 1 of RLIMIT_AS" },
	{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":1}]"), "process.rlimits[0].hard: missing" },
	{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1},{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1}]"),
	  "process.rlimits: RLIMIT_AS is given twice" },
	{ PROCESS("\"oomScoreAdj\":1001"), "process.oomScoreAdj: 1001 is not between -1000 and 1000" },
	{ PROCESS("\"scheduler\":{}"), "process.scheduler.policy: missing" },
	{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_X\"}"),
	  "process.scheduler.policy: unknown value 'SCHED_X'; known are SCHED_OTHER, SCHED_FIFO" },
	{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_ISO\"}"), "process.scheduler.policy: Linux reserves SCHED_ISO" },
	{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_FIFO\"}"), "process.scheduler.priority: 0 is not between 1 and 99" },
	{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":1}"),
	  "process.scheduler.priority: 1 given, but only SCHED_FIFO and SCHED_RR have one, not SCHED_OTHER" },
	{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"nice\":20}"), "process.scheduler.nice: 20 is not between -20 and 19" },
	{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"runtime\":1}"), "process.scheduler: runtime, deadline and period belong to" },
	{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":3,\"deadline\":2}"),
	  "process.scheduler: SCHED_DEADLINE needs 0 < runtime <= deadline <= period, not 3, 2, 0" },
	{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"flags\":[\"X\"]}"), "process.scheduler.flags[0]: unknown value 'X'" },
	{ PROCESS("\"ioPriority\":{\"priority\":1}"), "process.ioPriority.class: missing" },
	{ PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}"), "process.ioPriority.priority: 8 is not between 0 and 7" },
	{ PROCESS("\"execCPUAffinity\":{\"initial\":\"0;1\"}"), "process.execCPUAffinity.initial: '0;1' is not a list such as 0-3,8" },
	{ PROCESS("\"execCPUAffinity\":{\"final\":\"3-1\"}"), "process.execCPUAffinity.final: '3-1' is not a list" },
	/* mounts */
	{ MOUNTS("\"type\":\"proc\""), "mounts[0].destination: missing" },
	{ MOUNTS("\"destination\":\"\""), "mounts[0].destination: empty" },
	{ MOUNTS("\"destination\":\"/d\",\"uidMappings\":[" MAP(0, 0, 1) "]"), "mounts[0].gidMappings: missing" },
	{ MOUNTS("\"destination\":\"/d\",\"gidMappings\":[" MAP(0, 0, 1) "]"), "mounts[0].uidMappings: missing" },
	{ MOUNTS("\"destination\":\"/d\",\"options\":[\"idmap\"]"), "mounts[0] (/d): the option idmap needs uidMappings and gidMappings" },
	/* hooks */
	{ TOP("\"hooks\":{\"poststart\":[{\"args\":[\"x\"]}]}"), "hooks.poststart[0].path: missing" },
	{ TOP("\"hooks\":{\"createContainer\":[{\"path\":\"h\"}]}"), "hooks.createContainer[0].path: 'h' is not an absolute path" },
	{ TOP("\"hooks\":{\"prestart\":[{\"path\":\"/h\",\"timeout\":0}]}"), "hooks.prestart[0].timeout: 0 is not between 1 and" },
	/* namespaces, maps */
	{ NS("{\"type\":\"pid\"},{\"type\":\"pid\",\"path\":\"/p\"}") "}}", "linux.namespaces: the pid namespace is listed twice" },
	{ NS("{\"type\":\"net\"}") "}}", "linux.namespaces[0].type: unknown value 'net'; known are pid, network" },
	{ NS("{}") "}}", "linux.namespaces[0].type: missing" },
	{ NS("{\"type\":\"pid\",\"path\":\"p\"}") "}}", "linux.namespaces[0].path: 'p' is not an absolute path" },
	{ HOST_NS("\"uidMappings\":[" MAP(0, 0, 1) "]"), "linux.uidMappings: given without a user namespace; add {\"type\": \"user\"}" },
	{ LINUX("\"uidMappings\":[" MAP(0, 0, 1) "]"), "linux.gidMappings: missing; a user namespace needs both" },
	{ LINUX("\"uidMappings\":[" MAP(0, 0, 0) "]"), "linux.uidMappings[0].size: 0 maps nothing" },
	{ LINUX("\"uidMappings\":[" MAP(1, 0, 4294967295) "]"), "linux.uidMappings[0]: containerID 1, hostID 0, size 4294967295 goes past" },
	{ LINUX("\"gidMappings\":[" MAP(0, 0, 10) "," MAP(9, 50, 1) "]"), "linux.gidMappings: entries 0 and 1 map the same ids" },
	{ LINUX("\"gidMappings\":[" MAP(0, 10, 10) "," MAP(50, 5, 6) "]"), "linux.gidMappings: entries 0 and 1 map the same ids" },
	{ LINUX("\"uidMappings\":[{\"containerID\":0,\"size\":1}]"), "linux.uidMappings[0].hostID: missing" },
	{ LINUX("\"timeOffsets\":{\"boottime\":{\"nanosecs\":1000000000}}"), "linux.timeOffsets.boottime.nanosecs: 1000000000 is not between" },
	{ HOST_NS("\"timeOffsets\":{\"boottime\":{\"secs\":1}}"), "linux.timeOffsets: given without a time namespace" },
	{ NS("{\"type\":\"time\",\"path\":\"/t\"}") ",\"timeOffsets\":{\"boottime\":{\"secs\":1}}}}", "linux.timeOffsets: the time namespace '/t' exists" },
	/* sysctl */
	{ HOST_NS("\"sysctl\":{\"net.core.somaxconn\":\"1\"}"),
	  "linux.sysctl: 'net.core.somaxconn' cannot be set in the host's network namespace; add {\"type\": \"network\"}" },
	{ HOST_NS("\"sysctl\":{\"kernel.shmmax\":\"1\"}"), "linux.sysctl: 'kernel.shmmax' cannot be set in the host's ipc namespace" },
	{ HOST_NS("\"sysctl\":{\"kernel.domainname\":\"1\"}"), "linux.sysctl: 'kernel.domainname' cannot be set in the host's uts namespace" },
	{ LINUX("\"sysctl\":{\"kernel.hostname\":\"x\"}"), "linux.sysctl: 'kernel.hostname' conflicts with hostname" },
	{ LINUX("\"sysctl\":{\"vm.swappiness\":\"1\"}"), "linux.sysctl: 'vm.swappiness' belongs to the whole machine" },
	{ LINUX("\"sysctl\":{\"net.//.kernel.core_pattern\":\"1\"}"), "linux.sysctl: 'net.//.kernel.core_pattern' is not the name of" },
	{ LINUX("\"sysctl\":{\"net/../kernel/core_pattern\":\"1\"}"), "linux.sysctl: 'net/../kernel/core_pattern' is not the name of" },
	{ LINUX("\"sysctl\":{\"net.core.somaxconn\":1}"), "linux.sysctl.net.core.somaxconn: expected a string, got 1" },
	/* paths, cgroup, devices */
	{ LINUX("\"maskedPaths\":[\"proc\"]"), "linux.maskedPaths: 'proc' is not an absolute path" },
	{ LINUX("\"readonlyPaths\":[\"\"]"), "linux.readonlyPaths: '' is not an absolute path" },
	{ HOST_NS("\"maskedPaths\":[\"/a\"]"), "linux.maskedPaths: would change the host's mount namespace" },
	{ HOST_NS("\"readonlyPaths\":[\"/a\"]"), "linux.readonlyPaths: would change the host's mount namespace" },
	{ LINUX("\"cgroupsPath\":\"/a/../../b\""), "linux.cgroupsPath: '/a/../../b' leads upwards" },
	{ LINUX("\"cgroupsPath\":\"..\""), "linux.cgroupsPath: '..' leads upwards" },
	{ LINUX("\"devices\":[{\"path\":\"/d\"}]"), "linux.devices[0].type: missing" },
	{ LINUX("\"devices\":[{\"type\":\"x\",\"path\":\"/d\"}]"), "linux.devices[0].type: unknown value 'x'; known are c, b, u, p" },
	{ LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"/d\",\"major\":1}]"), "linux.devices[0].minor: missing; the device '/d' of type c needs it" },
	{ LINUX("\"devices\":[{\"type\":\"p\",\"path\":\"d\"}]"), "linux.devices[0].path: 'd' is not an absolute path" },
	{ LINUX("\"devices\":[{\"type\":\"p\",\"path\":\"/d\",\"uid\":4294967295}]"), "linux.devices[0].uid: 4294967295 is not between" },
	{ LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"/d\",\"major\":-1,\"minor\":1}]"), "linux.devices[0].major: -1 is not between 0 and" },
	{ LINUX("\"netDevices\":{\"a/b\":{}}"), "linux.netDevices.a/b: not the name of a network interface" },
	{ LINUX("\"netDevices\":{\"eth0\":{\"name\":\"sixteen-letters!\"}}"), "linux.netDevices.eth0.name: 'sixteen-letters!' is not the name" },
	{ LINUX("\"netDevices\":{\"..\":{}}"), "linux.netDevices...: not the name of a network interface" },
	{ HOST_NS("\"netDevices\":{\"eth0\":{}}"), "linux.netDevices: 'eth0' cannot be moved into the host's network namespace" },
	/* the rest of linux */
	{ LINUX("\"rootfsPropagation\":\"public\""), "linux.rootfsPropagation: unknown value 'public'; known are private, shared" },
	{ LINUX("\"personality\":{}"), "linux.personality.domain: missing" },
	{ LINUX("\"personality\":{\"domain\":\"BSD\"}"), "linux.personality.domain: unknown value 'BSD'" },
	{ LINUX("\"personality\":{\"domain\":\"LINUX\",\"flags\":[\"X\"]}"), "linux.personality.flags: the specification defines no flags" },
	{ LINUX("\"memoryPolicy\":{\"nodes\":\"0\"}"), "linux.memoryPolicy.mode: missing" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_BIND\"}"), "linux.memoryPolicy.nodes: missing; MPOL_BIND needs at least one node" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_LOCAL\",\"nodes\":\"0\"}"), "linux.memoryPolicy.nodes: '0' given, but MPOL_LOCAL takes no nodes" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"x\"}"), "linux.memoryPolicy.nodes: 'x' is not a list" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":[\"MPOL_F_STATIC_NODES\",\"MPOL_F_RELATIVE_NODES\"]}"),
	  "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_PREFERRED\",\"flags\":[\"MPOL_F_STATIC_NODES\"]}"), "linux.memoryPolicy.flags: MPOL_F_STATIC" },
	{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_INTERLEAVE\",\"nodes\":\"0\",\"flags\":[\"MPOL_F_NUMA_BALANCING\"]}"),
	  "linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING goes with" },
	{ LINUX("\"intelRdt\":{\"closID\":\"../x\"}"), "linux.intelRdt.closID: '../x' is neither" },
	{ LINUX("\"intelRdt\":{\"closID\":\"..\"}"), "linux.intelRdt.closID: '..' is neither" },
	{ LINUX("\"intelRdt\":{\"schemata\":[\"L3:0=f\\nMB:0=1\"]}"), "linux.intelRdt.schemata: 'L3:0=f?MB:0=1' holds a line break" },
	{ LINUX("\"intelRdt\":{\"memBwSchema\":\"L3:0=f\"}"), "linux.intelRdt.memBwSchema: 'L3:0=f' does not begin with MB:" },
	/* resources */
	{ RESOURCES("\"pids\":{}"), "linux.resources.pids.limit: missing" },
	{ RESOURCES("\"memory\":{\"limit\":-2}"), "linux.resources.memory.limit: -2 is not between -1 and" },
	{ RESOURCES("\"memory\":{\"swappiness\":101}"), "linux.resources.memory.swappiness: 101 is not between 0 and 100" },
	{ RESOURCES("\"cpu\":{\"cpus\":\"a\"}"), "linux.resources.cpu.cpus: 'a' is not a list" },
	{ RESOURCES("\"cpu\":{\"mems\":\"0-999999\"}"), "linux.resources.cpu.mems: '0-999999': 999999 is more than" },
	{ RESOURCES("\"cpu\":{\"idle\":2}"), "linux.resources.cpu.idle: 2 is not between 0 and 1" },
	{ RESOURCES("\"devices\":[{\"type\":\"c\"}]"), "linux.resources.devices[0].allow: missing" },
	{ RESOURCES("\"devices\":[{\"allow\":true,\"type\":\"p\"}]"), "linux.resources.devices[0].type: unknown value 'p'" },
	{ RESOURCES("\"devices\":[{\"allow\":true,\"access\":\"rx\"}]"), "linux.resources.devices[0].access: 'rx' is not made of r, w and m" },
	{ RESOURCES("\"devices\":[{\"allow\":true,\"major\":-2}]"), "linux.resources.devices[0].major: -2 is not between -1" },
	{ RESOURCES("\"blockIO\":{\"weight\":65536}"), "linux.resources.blockIO.weight: 65536 is not between 0 and 65535" },
	{ RESOURCES("\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":1,\"rate\":1}]}"),
	  "linux.resources.blockIO.throttleReadBpsDevice[0].minor: missing" },
	{ RESOURCES("\"hugepageLimits\":[{\"pageSize\":\"02MB\",\"limit\":1}]"), "linux.resources.hugepageLimits[0].pageSize: '02MB' is not" },
	{ RESOURCES("\"hugepageLimits\":[{\"pageSize\":\"2MB\"}]"), "linux.resources.hugepageLimits[0].limit: missing" },
	{ RESOURCES("\"network\":{\"priorities\":[{\"name\":\"e\"}]}"), "linux.resources.network.priorities[0].priority: missing" },
	{ RESOURCES("\"unified\":{\"a/b.c\":\"1\"}"), "linux.resources.unified: 'a/b.c' is not the name of a cgroup v2 file" },
	{ RESOURCES("\"unified\":{\"..\":\"1\"}"), "linux.resources.unified: '..' is not the name of a cgroup v2 file" },
	{ RESOURCES("\"unified\":{\"memory\":\"1\"}"), "linux.resources.unified: 'memory' is not the name of a cgroup v2 file" },
	{ RESOURCES("\"rdma\":{\"a b\":{}}"), "linux.resources.rdma: 'a b' is not the name of a device" },
	/* seccomp */
	{ SECCOMP(""), "linux.seccomp.defaultAction: missing" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_NOPE\""), "linux.seccomp.defaultAction: unknown value 'SCMP_ACT_NOPE'; known are SCMP_ACT_ALLOW" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1"), "linux.seccomp.defaultErrnoRet: 1 given, but SCMP_ACT_ALLOW returns no error" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":4096"), "linux.seccomp.defaultErrnoRet: 4096 is not between 0 and 4095" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/l\""), "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_VAX\"]"), "linux.seccomp.architectures: unknown value 'SCMP_ARCH_VAX'" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"X\"]"), "linux.seccomp.flags: unknown value 'X'" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerMetadata\":\"x\""), "linux.seccomp.listenerMetadata: given without listenerPath" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"action\":\"SCMP_ACT_LOG\"}]"), "linux.seccomp.syscalls[0].names: missing" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_LOG\"}]"), "linux.seccomp.syscalls[0].names: empty" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"open\"],\"action\":\"SCMP_ACT_KILL\",\"errnoRet\":1}]"),
	  "linux.seccomp.syscalls[0].errnoRet: 1 given, but SCMP_ACT_KILL returns no error" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"open\"],\"action\":\"SCMP_ACT_NOTIFY\"}]"),
	  "linux.seccomp.listenerPath: missing" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/l\",\"syscalls\":[{\"names\":[\"write\"],\"action\":\"SCMP_ACT_NOTIFY\"}]"),
	  "linux.seccomp.syscalls: SCMP_ACT_NOTIFY cannot be used for the write system call" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":6,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]"),
	  "linux.seccomp.syscalls[0].args[0].index: 6 is not between 0 and 5" },
	{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"EQ\"}]}]"),
	  "linux.seccomp.syscalls[0].args[0].op: unknown value 'EQ'" },
	/* vm */
	{ TOP("\"vm\":{}"), "vm.kernel: missing" },
	{ TOP("\"vm\":{\"kernel\":{}}"), "vm.kernel.path: missing" },
	{ TOP("\"vm\":{\"kernel\":{\"path\":\"/k\"},\"image\":{\"path\":\"/i\",\"format\":\"iso\"}}"), "vm.image.format: unknown value 'iso'" },
	{ TOP("\"vm\":{\"kernel\":{\"path\":\"/k\"},\"hwConfig\":{\"iomems\":[{\"firstMFN\":1}]}}"), "vm.hwConfig.iomems[0].nrMFNs: missing" },
};

static void rules_refuse(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct oci_spec *spec = NULL;
		struct error err = ERROR_INIT;
		int r = oci_spec_parse(refused[i].text, strlen(refused[i].text), &spec, &err);

		if (r >= 0 || spec || strncmp(err.message, refused[i].message, strlen(refused[i].message)) != 0)
			fail_msg("%s\n gave: %s\n not: %s", refused[i].text, err.message, refused[i].message);
		assert_int_equal(err.code, -r);
	}
}

/* --- typed values --- */

static struct oci_spec *must_parse(const char *text)
{
	struct oci_spec *spec = NULL;
	struct error err = ERROR_INIT;

	if (oci_spec_parse(text, strlen(text), &spec, &err) < 0)
		fail_msg("%s", err.message);
	return spec;
}

static void values(void **state)
{
	_cleanup_oci_spec_ struct oci_spec *spec = must_parse(
		"{\"ociVersion\":\"1.3.0\",\"process\":{\"cwd\":\"/w\",\"args\":[\"a\",\"b\"],\"user\":{\"uid\":7,\"gid\":8,"
		"\"additionalGids\":[9,10],\"umask\":18},\"capabilities\":{\"effective\":[\"CAP_KILL\"]},\"oomScoreAdj\":0},"
		"\"mounts\":[{\"destination\":\"rel/d\",\"options\":[\"ro\"]}],\"linux\":{\"namespaces\":[" ALL_NS "],"
		"\"resources\":{\"memory\":{\"limit\":0},\"devices\":[{\"allow\":true,\"type\":\"c\",\"minor\":3,\"access\":\"wm\"}]},"
		"\"rootfsPropagation\":\"rshared\",\"devices\":[{\"type\":\"b\",\"path\":\"/d\",\"major\":8,\"minor\":1,\"fileMode\":33206}],"
		"\"netDevices\":{\"eth0\":{\"name\":\"\"}},\"seccomp\":{\"defaultAction\":\"SCMP_ACT_KILL\"}}}");
	const struct device_rule *rule = &spec->linux_.resources.devices.v[0];
	const struct oci_process *p = spec->process;

	assert_int_equal(p->uid, 7);
	assert_int_equal(p->n_additional_gids, 2);
	assert_int_equal(p->additional_gids[1], 10);
	assert_true(p->has_umask && p->umask == 022);
	assert_true(p->has_capabilities && p->capabilities.effective == 1 << 5 && p->capabilities.bounding == 0);
	assert_true(p->has_oom_score_adj && p->oom_score_adj == 0);
	assert_null(p->scheduler);
	assert_false(spec->has_root);
	assert_string_equal(spec->mounts[0].destination, "/rel/d");
	assert_true(spec->linux_.resources.memory.limit.set && spec->linux_.resources.memory.limit.v == 0);
	assert_false(spec->linux_.resources.memory.swap.set);
	assert_true(rule->allow && rule->type == 'c' && rule->major == -1 && rule->minor == 3);
	assert_true(!rule->read && rule->write && rule->mknod);
	assert_int_equal(spec->linux_.rootfs_propagation, MS_SHARED | MS_REC);
	assert_true(spec->linux_.devices[0].has_mode && spec->linux_.devices[0].mode == 0666);
	assert_false(spec->linux_.devices[0].has_uid);
	assert_string_equal(spec->linux_.net_devices[0].name, "eth0");
	assert_null(spec->linux_.net_devices[0].new_name);
	assert_int_equal(spec->linux_.seccomp->default_act, SECCOMP_ACT_KILL_THREAD);
	assert_non_null(oci_spec_namespace(spec, CLONE_NEWUSER));
	assert_null(oci_spec_annotation(spec, "none"));
}

static void capture(void *data, enum log_level level, const char *message)
{
	struct strbuf *b = data;

	strbuf_addf(b, "%s\n", message);
}

static void warnings(void **state)
{
	_cleanup_strbuf_ struct strbuf log = STRBUF_INIT;
	struct oci_spec *spec;

	log_set_sink(capture, &log, LOG_LEVEL_WARN);
	spec = must_parse("{\"ociVersion\":\"0.9.0\",\"mounts\":[{\"destination\":\"d\"}],\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],"
			  "\"capabilities\":{\"ambient\":[\"CAP_NOPE\",\"\\u001b[31m\"]}}}");
	log_set_sink(NULL, NULL, LOG_LEVEL_WARN);
	oci_spec_free(spec);
	assert_non_null(strstr(strbuf_str(&log), "process.capabilities.ambient: unknown capabilities are ignored: 'CAP_NOPE', '?[31m'\n"));
	assert_non_null(strstr(strbuf_str(&log), "mounts: the destination 'd' is not absolute; '/d' is meant"));
	assert_non_null(strstr(strbuf_str(&log), "ociVersion: '0.9.0' is older than 1.0"));
}

/* --- reading what was written --- */

static void assert_round_trip(const struct oci_spec *spec)
{
	_cleanup_oci_spec_ struct oci_spec *again = NULL;
	_cleanup_free_ char *first = NULL;
	_cleanup_free_ char *second = NULL;

	assert_int_equal(oci_spec_to_json(spec, &first, NULL), 0);
	again = must_parse(first);
	assert_int_equal(oci_spec_to_json(again, &second, NULL), 0);
	assert_string_equal(first, second);
}

static void round_trip(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		_cleanup_oci_spec_ struct oci_spec *spec = must_parse(accepted[i]);

		assert_round_trip(spec);
	}
}

static void nothing_is_lost(void **state)
{
	static const char text[] =
		"{\"ociVersion\":\"1.3.0\",\"process\":{\"user\":{\"uid\":1,\"gid\":2},\"args\":[\"a\"],\"cwd\":\"/\","
		"\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"nice\":-3,\"priority\":5,\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\","
		"\"SCHED_FLAG_KEEP_PARAMS\"]}},\"linux\":{\"resources\":{\"memory\":{\"limit\":0,\"disableOOMKiller\":false}},"
		"\"namespaces\":[{\"type\":\"pid\",\"path\":\"/p\"}],\"personality\":{\"domain\":\"LINUX\"}}}";
	_cleanup_oci_spec_ struct oci_spec *spec = must_parse(text);
	_cleanup_free_ char *written = NULL;
	char *to;

	assert_int_equal(oci_spec_to_json(spec, &written, NULL), 0);
	to = written;
	for (const char *from = written; *from; from++) /* no string in it has white space */
		if (!strchr(" \t\n", *from))
			*to++ = *from;
	*to = 0;
	assert_string_equal(written, text);
}

static void defaults(void **state)
{
	static const struct oci_default kinds[] = { { .rootless = false }, { .rootless = true, .uid = 1000, .gid = 100 },
						    { .cgroup_namespace = true } };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_oci_spec_ struct oci_spec *spec = NULL;
		struct error err = ERROR_INIT;

		assert_int_equal(oci_spec_default(&kinds[i], &spec, &err), 0);
		assert_round_trip(spec);
		assert_int_equal(spec->n_mounts, 7);
		assert_int_equal(spec->linux_.n_namespaces, 5 + kinds[i].cgroup_namespace);
		assert_int_equal(!oci_spec_namespace(spec, CLONE_NEWUSER), !kinds[i].rootless);
		assert_int_equal(!oci_spec_namespace(spec, CLONE_NEWNET), kinds[i].rootless);
		assert_true(spec->process->terminal);
		assert_string_equal(spec->process->args[0], "sh");
	}
}

static void building(void **state)
{
	const struct oci_default plain = { 0 };
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	struct error err = ERROR_INIT;
	char *text = NULL;
	char path[] = "/dev/fuse";
	const struct oci_device fuse = { .path = path, .type = 'c', .major = 10, .minor = 229 };

	assert_int_equal(oci_spec_default(&plain, &spec, NULL), 0);
	oci_remove_mount(spec, "/dev/mqueue");
	oci_remove_mount(spec, "/nowhere");
	assert_int_equal(spec->n_mounts, 6);
	oci_remove_namespace(spec, CLONE_NEWNET);
	assert_null(oci_spec_namespace(spec, CLONE_NEWNET));
	assert_int_equal(oci_set_namespace(spec, CLONE_NEWPID, "/p"), 0);
	assert_string_equal(oci_spec_namespace(spec, CLONE_NEWPID)->path, "/p");
	assert_int_equal(spec->linux_.n_namespaces, 4);
	assert_int_equal(oci_set_annotation(spec, "k", "1"), 0);
	assert_int_equal(oci_set_annotation(spec, "k", "2"), 0);
	assert_int_equal(spec->n_annotations, 1);
	assert_string_equal(oci_spec_annotation(spec, "k"), "2");
	assert_int_equal(oci_set_sysctl(spec, "kernel.shmmax", "1"), 0);
	assert_int_equal(oci_set_rlimit(spec->process, RLIMIT_NOFILE, 5, 6), 0);
	assert_int_equal(spec->process->n_rlimits, 1);
	assert_int_equal(oci_add_gid(spec->process, 5), 0);
	assert_int_equal(oci_add_device(spec, &fuse), 0);
	assert_int_equal(oci_add_hook(&spec->hooks.poststop, "/h", NULL, NULL, 3), 0);
	assert_round_trip(spec);
	assert_int_equal(oci_set_annotation(spec, "latin", "caf\xe9"), 0);
	assert_int_equal(oci_spec_to_json(spec, &text, &err), -EILSEQ);
	assert_non_null(strstr(err.message, "\"latin\": \"caf"));
	assert_null(text);
}

/* --- parts --- */

static void process_alone(void **state)
{
	static const char good_process[] = "{\"cwd\":\"/\",\"args\":[\"id\"],\"terminal\":true}", bad_process[] = "{\"cwd\":\"x\",\"args\":[\"id\"]}";
	_cleanup_oci_process_ struct oci_process *p = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(oci_process_parse(good_process, strlen(good_process), &p, &err), 0);
	assert_true(p->terminal);
	oci_process_free(p);
	p = NULL;
	assert_int_equal(oci_process_parse(bad_process, strlen(bad_process), &p, &err), -EINVAL);
	assert_string_equal(err.message, "process.cwd: 'x' is not an absolute path");
	assert_null(p);
}

static void resources_alone(void **state)
{
	static const char good_resources[] = "{\"memory\":{\"limit\":5},\"unified\":{\"a.b\":\"c\"}}", bad_resources[] = "{\"memory\":{\"limit\":\"5\"}}";
	struct cgroup_resources r = { 0 };
	struct error err = ERROR_INIT;

	assert_int_equal(oci_resources_parse(good_resources, strlen(good_resources), &r, &err), 0);
	assert_int_equal(r.memory.limit.v, 5);
	cgroup_resources_free(&r);
	assert_int_equal(oci_resources_parse(bad_resources, strlen(bad_resources), &r, &err), -EINVAL);
	assert_string_equal(err.message, "resources.memory.limit: expected an integer, got \"5\"");
}

/* --- size and depth --- */

static void large(void **state)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	struct oci_spec *spec = NULL;
	struct error err = ERROR_INIT;

	strbuf_adds(&b, "{\"ociVersion\":\"1.3.0\",\"annotations\":{\"big\":\"");
	for (int i = 0; i < 10 << 10; i++)
		strbuf_addf(&b, "%01024d", i);
	strbuf_adds(&b, "\"}}");
	assert_int_equal(oci_spec_parse(b.data, b.len, &spec, &err), 0);
	assert_int_equal(strlen(spec->annotations[0].value), 10 << 20);
	oci_spec_free(spec);
	spec = NULL;
	b.data[1] = '!'; /* and a broken one of that size */
	assert_int_equal(oci_spec_parse(b.data, b.len, &spec, &err), -EINVAL);
	strbuf_reset(&b);
	for (int i = 0; i < 17 << 10; i++)
		strbuf_addf(&b, "%1024s", "");
	assert_int_equal(oci_spec_parse(b.data, b.len, &spec, &err), -EFBIG);
	assert_non_null(strstr(err.message, "at most 16777216 are accepted"));
}

/* Many small things: the time must not grow with their square (a quadratic walk would exceed the test's time limit). */
static void many(void **state)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	_cleanup_oci_spec_ struct oci_spec *spec = NULL;
	struct error err = ERROR_INIT;

	strbuf_adds(&b, "{\"ociVersion\":\"1.3.0\",\"annotations\":{\"0\":\"\"");
	for (int i = 1; i < 40000; i++)
		strbuf_addf(&b, ",\"%d\":\"v\"", i);
	strbuf_adds(&b, "},\"mounts\":[{\"destination\":\"/\"}");
	for (int i = 0; i < 40000; i++)
		strbuf_adds(&b, ",{\"destination\":\"/m\"}");
	strbuf_adds(&b, "]}");
	assert_int_equal(oci_spec_parse(b.data, b.len, &spec, &err), 0);
	assert_int_equal(spec->n_annotations, 40000);
	assert_int_equal(spec->n_mounts, 40001);
}

/* A few bytes of text that would become gigabytes in memory. */
static void bombs(void **state)
{
	static const char *const elements[] = { "{},", "[],", "1," };

	for (size_t i = 0; i < ARRAY_SIZE(elements); i++) {
		_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
		struct oci_spec *spec = NULL;
		struct error err = ERROR_INIT;

		strbuf_adds(&b, "{\"ociVersion\":\"1.3.0\",\"x\":[");
		while (b.len < 10 << 20)
			strbuf_adds(&b, elements[i]);
		strbuf_adds(&b, "1]}");
		assert_int_equal(oci_spec_parse(b.data, b.len, &spec, &err), -E2BIG);
		assert_non_null(strstr(err.message, "are accepted"));
	}
}

/* Values that a careless check would walk over and over. */
static void slow_values(void **state)
{
	static const char *const values[][3] = {
		{ "{\"ociVersion\":\"1.3.0\",\"x\":\"", "\\u0000", "\"}" },
		{ "{\"ociVersion\":\"1.3.0\",\"linux\":{\"resources\":{\"cpu\":{\"cpus\":\"0", " ,0-8191", "\"}}}}" },
		{ "{\"ociVersion\":\"1.3.0\",\"linux\":{\"cgroupsPath\":\"", "/.", "\"}}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
		struct oci_spec *spec = NULL;
		struct error err = ERROR_INIT;

		strbuf_adds(&b, values[i][0]);
		while (b.len < 2 << 20)
			strbuf_adds(&b, values[i][1]);
		strbuf_adds(&b, values[i][2]);
		if (oci_spec_parse(b.data, b.len, &spec, &err) < 0)
			fail_msg("%zu: %s", i, err.message);
		oci_spec_free(spec);
	}
}

static void too_many_maps(void **state)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	struct oci_spec *spec = NULL;
	struct error err = ERROR_INIT;

	strbuf_adds(&b, "{\"ociVersion\":\"1.3.0\",\"linux\":{\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[");
	for (int i = 0; i < 341; i++)
		strbuf_addf(&b, "%s{\"containerID\":%d,\"hostID\":%d,\"size\":1}", i ? "," : "", i, i);
	strbuf_adds(&b, "]}}");
	assert_int_equal(oci_spec_parse(b.data, b.len, &spec, &err), -E2BIG);
	assert_string_equal(err.message, "linux.uidMappings: 341 entries; the kernel takes at most 340");
}

static void deep(void **state)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	struct oci_spec *spec = NULL;

	strbuf_adds(&b, "{\"ociVersion\":\"1.3.0\",\"x\":");
	for (int i = 0; i < 1000; i++)
		strbuf_addc(&b, '[');
	assert_int_equal(oci_spec_parse(b.data, b.len, &spec, NULL), -EINVAL);
}

static void not_utf8(void **state)
{
	static const char *const texts[] = {
		"{\"ociVersion\":\"1.3.0\",\"annotations\":{\"a\":\"\xff\"}}",
		"{\"ociVersion\":\"1.3.0\",\"annotations\":{\"\xc0\x80\":\"\"}}",
		"{\"ociVersion\":\"1.3.0\",\"annotations\":{\"a\":\"\xed\xa0\x80\"}}",
		"\xef\xbb\xbf{\"ociVersion\":\"1.3.0\"}",
	};
	static const char nul[] = "{\"ociVersion\":\"1.3.0\"}\0{}";
	struct oci_spec *spec = NULL;
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (oci_spec_parse(texts[i], strlen(texts[i]), &spec, &err) != -EINVAL)
			fail_msg("%s", texts[i]);
	assert_int_equal(oci_spec_parse(nul, sizeof(nul) - 1, &spec, &err), -EINVAL);
	assert_null(spec);
}

/* A hostile key in the message is cut and neutralized. */
static void hostile_message(void **state)
{
	static const char head[] = "{\"ociVersion\":\"1.3.0\",\"annotations\":{\"\\u001b[31m";
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	struct oci_spec *spec = NULL;
	struct error err = ERROR_INIT;

	strbuf_adds(&b, head);
	for (int i = 0; i < 100000; i++)
		strbuf_addc(&b, 'k');
	strbuf_adds(&b, "\":1}}");
	assert_int_equal(oci_spec_parse(b.data, b.len, &spec, &err), -EINVAL);
	assert_null(strchr(err.message, 033));
	assert_non_null(strstr(err.message, "expected a string, got 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),		 cmocka_unit_test(bad),		   cmocka_unit_test(rules_accept),
		cmocka_unit_test(rules_refuse),	 cmocka_unit_test(values),	   cmocka_unit_test(warnings),
		cmocka_unit_test(round_trip),	 cmocka_unit_test(nothing_is_lost), cmocka_unit_test(defaults),
		cmocka_unit_test(building),	 cmocka_unit_test(process_alone),  cmocka_unit_test(resources_alone),
		cmocka_unit_test(large),	 cmocka_unit_test(many),	   cmocka_unit_test(bombs), cmocka_unit_test(slow_values),
		cmocka_unit_test(too_many_maps),
		cmocka_unit_test(deep),		 cmocka_unit_test(not_utf8),	   cmocka_unit_test(hostile_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
