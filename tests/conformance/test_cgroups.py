"""linux.cgroupsPath and linux.resources. What cgroup v2 and systemd alone can is in tests/vm."""
import json
import os

import pytest

from conftest import CGROUP2, cgroup_file, read_lines, wait_for

pytestmark = pytest.mark.needs("cgroups")


def started(ringwall, bundle, **resources):
    bundle.linux["resources"] = resources
    id = ringwall.start(bundle)
    return id, ringwall.state(id)["pid"]


def test_own_control_group(ringwall, bundle):
    id, pid = started(ringwall, bundle)
    own = read_lines("/proc/self/cgroup")
    assert any(id in line for line in read_lines(f"/proc/{pid}/cgroup")) and read_lines(f"/proc/{pid}/cgroup") != own


def test_cgroups_path(ringwall, bundle):
    name = f"/rwt-{os.getpid()}-parent/leaf"
    bundle.linux["cgroupsPath"] = name
    id, pid = started(ringwall, bundle)
    assert any(line.endswith(name) for line in read_lines(f"/proc/{pid}/cgroup")), read_lines(f"/proc/{pid}/cgroup")
    ringwall("delete", "-f", id)
    # The parent was made for this box; whether a runtime takes it away differs, so the test does.
    for line in read_lines("/proc/self/mountinfo"):
        if " - cgroup" in line:
            parent = line.split(" ")[4] + os.path.dirname(name)
            if os.path.isdir(parent):
                assert not os.path.isdir(parent + "/leaf")
                os.rmdir(parent)


@pytest.mark.parametrize("path", ["/../../rwt-escape", "../../../rwt-escape", "/a/../../rwt-escape"])
def test_cgroups_path_does_not_climb(ringwall, bundle, path):
    bundle.linux["cgroupsPath"] = path
    r = ringwall.run(bundle.args("/bin/cat", "/proc/self/cgroup"), status=None)
    assert ".." not in r.out
    for line in read_lines("/proc/self/mountinfo"):
        if " - cgroup" in line:
            for tail in ("/rwt-escape", "/a"):
                if os.path.isdir(line.split(" ")[4] + tail):
                    os.rmdir(line.split(" ")[4] + tail)


def test_memory_limit(ringwall, bundle):
    id, pid = started(ringwall, bundle, memory={"limit": 64 << 20, "reservation": 32 << 20})
    if CGROUP2:
        assert cgroup_file(pid, "memory", "memory.max") == str(64 << 20) and cgroup_file(pid, "memory", "memory.low") == str(32 << 20)
    else:
        assert cgroup_file(pid, "memory", "memory.limit_in_bytes") == str(64 << 20)
        assert cgroup_file(pid, "memory", "memory.soft_limit_in_bytes") == str(32 << 20)


def test_memory_limit_is_enforced(ringwall, bundle):
    bundle.linux["resources"] = {"memory": {"limit": 32 << 20, "swap": 32 << 20}}
    r = ringwall.run(bundle.args("/bin/probe", "eat", "200"), status=None)
    assert r.status == 128 + 9 and "done" not in r.out


def test_cpu(ringwall, bundle):
    id, pid = started(ringwall, bundle, cpu={"shares": 512, "quota": 50000, "period": 100000})
    if CGROUP2:
        assert cgroup_file(pid, "cpu", "cpu.max") == "50000 100000"
        assert 1 < int(cgroup_file(pid, "cpu", "cpu.weight")) < 100
    else:
        assert cgroup_file(pid, "cpu", "cpu.shares") == "512"
        assert cgroup_file(pid, "cpu", "cpu.cfs_quota_us") == "50000" and cgroup_file(pid, "cpu", "cpu.cfs_period_us") == "100000"


def test_cpu_burst_and_idle(ringwall, bundle):
    id, pid = started(ringwall, bundle, cpu={"quota": 50000, "period": 100000, "burst": 10000})
    assert cgroup_file(pid, "cpu", "cpu.max.burst" if CGROUP2 else "cpu.cfs_burst_us") == "10000"
    ringwall("delete", "-f", id)
    id, pid = started(ringwall, bundle, cpu={"idle": 1})
    assert cgroup_file(pid, "cpu", "cpu.idle") == "1"


def test_cpuset(ringwall, bundle):
    id, pid = started(ringwall, bundle, cpu={"cpus": "0", "mems": "0"})
    assert cgroup_file(pid, "cpuset", "cpuset.cpus") == "0" and cgroup_file(pid, "cpuset", "cpuset.mems") == "0"
    assert "Cpus_allowed_list:\t0" in read_lines(f"/proc/{pid}/status")


def test_pids(ringwall, bundle):
    bundle.linux["resources"] = {"pids": {"limit": 10}}
    r = ringwall.run(bundle.args("/bin/probe", "spawn", "50"), status=None)
    assert r.out == "9\n"


def test_pids_limit_values(ringwall, bundle):
    id, pid = started(ringwall, bundle, pids={"limit": 77})
    assert cgroup_file(pid, "pids", "pids.max") == "77"
    ringwall("delete", "-f", id)
    id, pid = started(ringwall, bundle, pids={"limit": -1})
    assert cgroup_file(pid, "pids", "pids.max") == "max"


def test_block_io_weight(ringwall, bundle):
    id, pid = started(ringwall, bundle, blockIO={"weight": 300})
    names = ["io.bfq.weight", "io.weight"] if CGROUP2 else ["blkio.bfq.weight", "blkio.weight"]
    values = []
    for name in names:
        try:
            values.append(cgroup_file(pid, "io" if CGROUP2 else "blkio", name))
        except FileNotFoundError:
            pass
    assert not values or any(v.split()[-1] in ("300", "2930") for v in values), values


def test_hugetlb(ringwall, bundle):
    names = sorted(os.listdir("/sys/kernel/mm/hugepages")) if os.path.isdir("/sys/kernel/mm/hugepages") else []
    if "hugepages-2048kB" not in names or "hugetlb" not in open("/proc/cgroups").read():
        pytest.skip("doctor: the kernel has no huge pages of 2 MiB")
    hierarchy = [line for line in read_lines("/proc/cgroups") if line.startswith("hugetlb")][0].split()
    if not CGROUP2 and hierarchy[1] == "0" and not os.path.isdir("/sys/fs/cgroup/hugetlb"):
        r = ringwall.run(_with(bundle, hugepageLimits=[{"pageSize": "2MB", "limit": 4 << 20}]), status=None)
        assert r.status == 0 or "hugetlb" in r.err
        return
    id, pid = started(ringwall, bundle, hugepageLimits=[{"pageSize": "2MB", "limit": 4 << 20}])
    assert cgroup_file(pid, "hugetlb", "hugetlb.2MB.max" if CGROUP2 else "hugetlb.2MB.limit_in_bytes") == str(4 << 20)


def _with(bundle, **resources):
    bundle.linux["resources"] = resources
    return bundle.args("/bin/true")


def test_device_rules(ringwall, bundle):
    """Deny all, allow two, one of them only for reading: what is not allowed cannot be made or opened."""
    bundle.caps("CAP_MKNOD").linux["resources"] = {"devices": [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "r"}]}
    r = ringwall.run(bundle.sh("probe mknod c 1 7 /dev/mine; probe mknod b 7 0 /dev/loop0; probe mknod c 1 1 /dev/mem; probe open r /dev/null; probe mknod c 1 7 /dev/m2"))
    assert r.lines[0] == "open ok"
    assert "ok" not in r.lines[1] and "ok" not in r.lines[2]
    assert r.lines[3] == "ok", "default devices are always allowed"
    assert r.lines[4] == "open ok"


def test_device_rules_read_only(ringwall, bundle):
    bundle.linux["devices"] = [{"path": "/dev/myzero", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"},
                                             {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]}
    r = ringwall.run(bundle.sh("probe open r /dev/myzero; probe open w /dev/myzero"))
    assert r.lines[1] == "EPERM" and r.lines[0] in ("ok", "EPERM")


def test_bad_device_rule(ringwall, bundle):
    assert "access" in ringwall.run(_with(bundle, devices=[{"allow": True, "type": "c", "access": "xyz"}]), status="fail").err


def test_update_flags(ringwall, bundle):
    id, pid = started(ringwall, bundle, memory={"limit": 64 << 20}, pids={"limit": 100})
    ringwall("update", "--memory=128m", "--pids-limit=50", "--cpu-quota=30000", "--cpu-period=60000", "--cpu-share=256", id)
    assert cgroup_file(pid, "pids", "pids.max") == "50"
    assert cgroup_file(pid, "memory", "memory.max" if CGROUP2 else "memory.limit_in_bytes") == str(128 << 20)
    if CGROUP2:
        assert cgroup_file(pid, "cpu", "cpu.max") == "30000 60000"
    else:
        assert cgroup_file(pid, "cpu", "cpu.cfs_quota_us") == "30000" and cgroup_file(pid, "cpu", "cpu.shares") == "256"


def test_update_from_a_file_and_standard_input(ringwall, bundle, workdir):
    id, pid = started(ringwall, bundle)
    path = os.path.join(workdir, "resources.json")
    with open(path, "w") as f:
        json.dump({"pids": {"limit": 33}}, f)
    ringwall("update", f"--resources={path}", id)
    assert cgroup_file(pid, "pids", "pids.max") == "33"
    ringwall("update", "--resources=-", id, input=b'{"pids": {"limit": 44}}')
    assert cgroup_file(pid, "pids", "pids.max") == "44"


def test_update_of_something_bad_changes_nothing(ringwall, bundle):
    id, pid = started(ringwall, bundle, pids={"limit": 33})
    ringwall("update", "--resources=-", id, input=b'{"pids": {"limit": "many"}}', status="fail")
    ringwall("update", "--memory=lots", id, status="fail")
    assert cgroup_file(pid, "pids", "pids.max") == "33"


def test_cgroup_namespace_hides_the_hosts_path(ringwall, bundle):
    bundle.namespace("cgroup")
    lines = ringwall.run(bundle.args("/bin/cat", "/proc/self/cgroup")).lines
    own = [line for line in lines if line.split(":")[1] not in ("",) or CGROUP2]
    assert all(line.rsplit(":", 1)[1] == "/" for line in own if "rwt" in line or CGROUP2), lines


def test_processes_left_in_the_box_die_with_it(ringwall, bundle):
    """Without a pid namespace, delete must still find everything that the box started."""
    bundle.no_namespace("pid").sh("(setsid sleep 1000 &) ; (sleep 1000 &) ; exec sleep 1000")
    id = ringwall.start(bundle)
    wait_for(lambda: len(ringwall("ps", "--format=json", id).json) == 3)
    ringwall("delete", "--force", id)


@pytest.mark.needs("stats")
def test_oom_event(ringwall, bundle):
    import subprocess
    bundle.linux["resources"] = {"memory": {"limit": 32 << 20, "swap": 32 << 20}}
    id = ringwall.create(bundle.sh("probe eat 200; sleep 30"))
    process = ringwall.popen("events", "--interval=60s", id, stdout=subprocess.PIPE)
    ringwall("start", id)
    os.set_blocking(process.stdout.fileno(), False)
    text = b""

    def seen():
        nonlocal text
        text += process.stdout.read() or b""
        return b'"oom"' in text
    wait_for(seen, 15)
    ringwall("delete", "-f", id)
