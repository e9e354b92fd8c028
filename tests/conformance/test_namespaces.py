"""Namespaces: made, joined by path, left out; id maps and clocks."""
import os
import subprocess

import pytest

from conftest import wait_for

pytestmark = pytest.mark.needs("namespaces")

FILES = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "cgroup": "cgroup", "time": "time", "user": "user"}


def inside(ringwall, bundle, *names):
    """The namespaces that the workload sees itself in."""
    r = ringwall.run(bundle.sh("for n in " + " ".join(FILES[n] for n in names) + "; do readlink /proc/self/ns/$n; done"))
    return dict(zip(names, r.lines))


@pytest.mark.parametrize("name", ["pid", "network", "ipc", "uts", "mount", "cgroup", "time"])
def test_new_namespace(ringwall, bundle, name):
    bundle.namespace(name)
    assert inside(ringwall, bundle, name)[name] != os.readlink(f"/proc/self/ns/{FILES[name]}")


def test_new_user_namespace(ringwall, bundle):
    assert inside(ringwall, bundle.userns(), "user")["user"] != os.readlink("/proc/self/ns/user")


@pytest.mark.parametrize("name", ["pid", "network", "ipc", "uts", "cgroup", "time", "user"])
def test_namespace_left_out_is_the_hosts(ringwall, bundle, name):
    bundle.no_namespace(name)
    if name == "uts":
        bundle.config.pop("hostname")
    if name == "network":
        bundle.config["mounts"] = [m for m in bundle.config["mounts"] if m["type"] != "sysfs"]
    if name == "ipc":
        pass
    assert inside(ringwall, bundle, name)[name] == os.readlink(f"/proc/self/ns/{FILES[name]}")


@pytest.mark.parametrize("name", ["network", "ipc", "uts", "cgroup", "time"])
def test_join_by_path(ringwall, bundle, name):
    kind = {"network": "--net", "ipc": "--ipc", "uts": "--uts", "cgroup": "--cgroup", "time": "--time"}[name]
    holder = subprocess.Popen(["unshare", kind, *(["--fork"] if name == "time" else []), "sleep", "1000"], start_new_session=True)
    try:
        pid = holder.pid
        if name == "time":
            pid = int(wait_for(lambda: open(f"/proc/{holder.pid}/task/{holder.pid}/children").read().split()[:1])[0])
        path = f"/proc/{pid}/ns/{FILES[name]}"
        wait_for(lambda: os.readlink(path) != os.readlink(f"/proc/self/ns/{FILES[name]}"))
        if name == "uts":
            bundle.config.pop("hostname")
        bundle.namespace(name, path)
        assert inside(ringwall, bundle, name)[name] == os.readlink(path)
    finally:
        os.killpg(holder.pid, 9)
        holder.wait()


def test_join_the_pid_namespace_of_another_box(ringwall, bundle, bundles):
    first = ringwall.start(bundle)
    pid = ringwall.state(first)["pid"]
    other = bundles()
    other.namespace("pid", f"/proc/{pid}/ns/pid")
    assert inside(ringwall, other, "pid")["pid"] == os.readlink(f"/proc/{pid}/ns/pid")
    ringwall("delete", "-f", first)


def test_join_the_user_namespace_of_another_box(ringwall, bundle, bundles):
    first = ringwall.start(bundle.userns())
    pid = ringwall.state(first)["pid"]
    other = bundles()
    other.userns()
    del other.linux["uidMappings"], other.linux["gidMappings"]
    other.namespace("user", f"/proc/{pid}/ns/user").namespace("network", f"/proc/{pid}/ns/net")
    got = inside(ringwall, other, "user", "network")
    assert got["user"] == os.readlink(f"/proc/{pid}/ns/user") and got["network"] == os.readlink(f"/proc/{pid}/ns/net")
    ringwall("delete", "-f", first)


def test_wrong_path_is_named(ringwall, bundle):
    bundle.namespace("network", "/no/such/namespace")
    assert "/no/such/namespace" in ringwall.run(bundle, status="fail").err


def test_path_of_the_wrong_kind_is_named(ringwall, bundle):
    bundle.namespace("network", "/proc/self/ns/ipc")
    ringwall.run(bundle, status="fail")
    bundle.namespace("network", "/etc/passwd")
    assert "/etc/passwd" in ringwall.run(bundle, status="fail").err


def test_same_namespace_twice_is_refused(ringwall, bundle):
    bundle.linux["namespaces"].append({"type": "pid"})
    assert "pid" in ringwall.run(bundle, status="fail").err


def test_unknown_namespace_is_refused(ringwall, bundle):
    bundle.linux["namespaces"].append({"type": "nosuch"})
    assert "nosuch" in ringwall.run(bundle, status="fail").err


def test_first_process_is_pid_1(ringwall, bundle):
    assert any(line.startswith("pid 1 ppid 0") for line in ringwall.run(bundle.args("/bin/probe", "ids")).lines)


def test_id_maps(ringwall, bundle):
    bundle.userns()
    bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1000}, {"containerID": 1000, "hostID": 300000, "size": 10}]
    bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 2000}]
    r = ringwall.run(bundle.sh("cat /proc/self/uid_map /proc/self/gid_map"))
    assert [line.split() for line in r.lines] == [["0", "100000", "1000"], ["1000", "300000", "10"], ["0", "100000", "2000"]]


def test_id_maps_without_user_namespace_are_refused_or_ignored_loudly(ringwall, bundle):
    bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    r = ringwall.run(bundle.args("/bin/true"), status=None)
    assert r.status != 0 or r.err


def test_user_namespace_without_maps_is_refused(ringwall, bundle):
    bundle.namespace("user")
    assert ringwall.run(bundle.args("/bin/true"), status=None, timeout=10).status != "timeout"


def test_time_offsets(ringwall, bundle):
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 172800, "nanosecs": 0}, "boottime": {"secs": 604800, "nanosecs": 0}}
    import time
    r = dict(line.split() for line in ringwall.run(bundle.args("/bin/probe", "clocks")).lines)
    assert abs(int(r["monotonic"]) - time.monotonic() - 172800) < 100
    assert abs(int(r["boottime"]) - time.clock_gettime(time.CLOCK_BOOTTIME) - 604800) < 100


def test_time_offsets_without_namespace_are_refused(ringwall, bundle):
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 5}}
    assert "time" in ringwall.run(bundle.args("/bin/true"), status="fail").err.lower()


def test_loopback_is_up(ringwall, bundle):
    assert "UP" in ringwall.run(bundle.args("/bin/ip", "addr", "show", "lo")).lines[0]


def test_network_namespace_is_empty(ringwall, bundle):
    assert [line.split(":")[1].strip() for line in ringwall.run(bundle.args("/bin/ip", "-o", "link")).lines] == ["lo"]


def test_net_devices_are_moved_in(ringwall, bundle):
    subprocess.run(["ip", "link", "add", "rwt0", "type", "veth", "peer", "name", "rwt1"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "10.123.0.7/24", "dev", "rwt0"], check=True)
        subprocess.run(["ip", "link", "set", "rwt0", "up"], check=True)
        bundle.linux["netDevices"] = {"rwt0": {"name": "inside0"}}
        r = ringwall.run(bundle.args("/bin/ip", "-o", "addr", "show", "inside0"))
        assert "10.123.0.7/24" in r.out
    finally:
        subprocess.run(["ip", "link", "del", "rwt1"], check=False, stderr=subprocess.DEVNULL)


def test_missing_net_device_is_named(ringwall, bundle):
    bundle.linux["netDevices"] = {"nosuch0": {}}
    assert "nosuch0" in ringwall.run(bundle.args("/bin/true"), status="fail").err
