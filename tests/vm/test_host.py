"""What only this second host has: cgroup v2 with every controller, eBPF device rules, systemd's manager, AppArmor, user
sessions with delegated control groups, and a kernel that CRIU can checkpoint. Nothing may be skipped here."""
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../conformance"))
from conftest import PROGRAM, SCALE, Boundary, Bundle, Runtime, cgroup_file, wait_for  # noqa: E402


def sh(command, status=0, timeout=60, **more):
    r = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=timeout * SCALE, stdin=subprocess.DEVNULL, **more)
    assert status is None or r.returncode == status, f"{command}\nexit status {r.returncode}\n{r.stdout}\n{r.stderr}"
    return r.stdout.strip()


@pytest.fixture
def workdir():
    path = f"/var/tmp/host-{time.monotonic_ns()}"
    os.makedirs(path)
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def ringwall(workdir):
    runtime = Runtime(Boundary("container", set()), workdir)
    yield runtime
    runtime.finish()


@pytest.fixture
def bundle(workdir):
    return Bundle(os.path.join(workdir, "bundle"))


def group(pid):
    return "/sys/fs/cgroup" + open(f"/proc/{pid}/cgroup").read().strip().split("::")[1]


def read(pid, name):
    with open(f"{group(pid)}/{name}") as f:
        return f.read().strip()


def started(ringwall, bundle, *, globals=(), **resources):
    bundle.linux["resources"] = resources
    bundle.save()
    id = ringwall.id()
    # Not through ringwall(): a file of ours as standard output would be one of the host's, which CRIU refuses to save.
    subprocess.run(ringwall.command("run", "-d", f"--bundle={bundle.path}", id, globals=globals), check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30 * SCALE)
    return id, ringwall.state(id)["pid"]


# ------------------------------------------------------------------------------------------------------------ controllers

RESOURCES = {"memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
             "cpu": {"shares": 2048, "quota": 30000, "period": 60000, "burst": 1000, "cpus": "0", "mems": "0"},
             "pids": {"limit": 55}, "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}


def check_resources(pid):
    assert read(pid, "memory.max") == str(64 << 20) and read(pid, "memory.low") == str(32 << 20)
    assert read(pid, "memory.swap.max") == str(32 << 20)
    assert read(pid, "cpu.max") == "30000 60000" and int(read(pid, "cpu.weight")) > 40
    assert read(pid, "pids.max") == "55"


def test_every_controller_cgroupfs(ringwall, bundle):
    id, pid = started(ringwall, bundle, **RESOURCES)
    check_resources(pid)
    assert read(pid, "cpu.max.burst") == "1000"
    assert read(pid, "cpuset.cpus") == "0" and read(pid, "hugetlb.2MB.max") == str(4 << 20)
    path = group(pid)
    ringwall("delete", "-f", id)
    assert not os.path.exists(path)


def test_io_controller(ringwall, bundle):
    number = os.stat("/dev/vda").st_rdev
    dev = {"major": os.major(number), "minor": os.minor(number)}
    id, pid = started(ringwall, bundle, blockIO={"weight": 500, "throttleReadBpsDevice": [{**dev, "rate": 1 << 20}],
                                                 "throttleWriteIOPSDevice": [{**dev, "rate": 100}]})
    limits = read(pid, "io.max")
    assert f"{dev['major']}:{dev['minor']} rbps={1 << 20} wbps=max riops=max wiops=100" in limits


def test_unified(ringwall, bundle):
    id, pid = started(ringwall, bundle, unified={"memory.high": "50000000", "pids.max": "44", "cpu.weight": "77"})
    assert (read(pid, "memory.high"), read(pid, "pids.max"), read(pid, "cpu.weight")) == ("49999872", "44", "77")


@pytest.mark.parametrize("key", ["no.such", "memory/../pids.max", "nosuch.file"])
def test_bad_unified_key_is_named(ringwall, bundle, key):
    bundle.linux["resources"] = {"unified": {key: "1"}}
    assert key in ringwall.run(bundle, status="fail").err


def test_pause_uses_the_v2_freezer(ringwall, bundle):
    id, pid = started(ringwall, bundle)
    ringwall("pause", id)
    assert "frozen 1" in read(pid, "cgroup.events")
    ringwall("resume", id)
    assert "frozen 0" in read(pid, "cgroup.events")


def test_update(ringwall, bundle):
    id, pid = started(ringwall, bundle, **RESOURCES)
    ringwall("update", "--memory=128m", "--pids-limit=99", "--cpu-quota=20000", "--cpu-period=40000", id)
    assert read(pid, "memory.max") == str(128 << 20) and read(pid, "pids.max") == "99" and read(pid, "cpu.max") == "20000 40000"


def test_events_have_every_statistic(ringwall, bundle):
    id, pid = started(ringwall, bundle, **RESOURCES)
    data = ringwall("events", "--stats", id).json["data"]
    assert data["pids"]["limit"] == 55 and data["memory"]["usage"]["limit"] == 64 << 20
    assert data["cpu"]["usage"]["total"] > 0


# ---------------------------------------------------------------------------------------------------------------- devices

def test_device_rules_are_an_ebpf_program(ringwall, bundle):
    bundle.caps("CAP_MKNOD")
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]}
    bundle.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]
    bundle.sh("probe open r /dev/kmsg; probe open w /dev/kmsg; probe open rw /dev/null; probe mknod b 254 0 /dev/vda; probe mknod c 10 229 /dev/fuse")
    r = ringwall.run(bundle)
    assert r.lines[0] in ("ok", "EPERM") and r.lines[1] == "EPERM" and r.lines[2] == "ok"
    assert "ok" not in r.lines[3] and "ok" not in r.lines[4]


def test_device_rules_hold_for_exec_and_survive_update(ringwall, bundle):
    bundle.caps("CAP_MKNOD")
    id, pid = started(ringwall, bundle, devices=[{"allow": False, "access": "rwm"}])
    ringwall("update", "--pids-limit=50", id)
    assert "ok" not in ringwall("exec", id, "/bin/probe", "mknod", "b", "254", "0", "/dev/vda").out
    assert ringwall("exec", id, "/bin/probe", "open", "rw", "/dev/zero").out == "ok\n"


# ---------------------------------------------------------------------------------------------------------------- systemd

SYSTEMD = ["--systemd-cgroup"]


def test_systemd_scope(ringwall, bundle):
    bundle.linux["cgroupsPath"] = f"system.slice:rwt:{ringwall.id('scope')}"
    unit = "rwt-" + ringwall.ids[-1] + ".scope"
    id, pid = started(ringwall, bundle, globals=SYSTEMD, **RESOURCES)
    assert group(pid).endswith(unit) or unit in group(pid)
    check_resources(pid)
    assert sh(f"systemctl is-active {unit}") == "active"
    shown = dict(line.split("=", 1) for line in sh(f"systemctl show {unit}").splitlines())
    assert shown["MemoryMax"] == str(64 << 20) and shown["TasksMax"] == "55" and shown["Delegate"] == "yes"
    ringwall("update", "--memory=128m", id)
    assert read(pid, "memory.max") == str(128 << 20)
    sh("systemctl daemon-reload")
    assert read(pid, "memory.max") == str(128 << 20), "systemd put the old limit back"
    ringwall("delete", "-f", id)
    wait_for(lambda: sh(f"systemctl is-active {unit}", status=None) != "active")


def test_systemd_default_path(ringwall, bundle):
    id, pid = started(ringwall, bundle, globals=SYSTEMD)
    assert ".scope" in group(pid) and id in group(pid)
    ringwall("pause", id)
    ringwall("resume", id)
    ringwall("exec", id, "/bin/true")
    ringwall("delete", "-f", id)
    wait_for(lambda: id not in sh("systemctl list-units --all --plain --no-legend '*.scope'"))


def test_systemd_slice_is_made(ringwall, bundle):
    bundle.linux["cgroupsPath"] = f"rwtlab-inner.slice:rwt:{ringwall.id('slice')}"
    id, pid = started(ringwall, bundle, globals=SYSTEMD)
    assert "/rwtlab.slice/rwtlab-inner.slice/" in group(pid)


def test_systemd_bad_path_is_named(ringwall, bundle):
    bundle.linux["cgroupsPath"] = "/not/for/systemd"
    assert "/not/for/systemd" in ringwall.run(bundle, status="fail", globals=SYSTEMD).err


def test_a_killed_box_leaves_no_scope(ringwall, bundle):
    id, pid = started(ringwall, bundle, globals=SYSTEMD)
    os.kill(pid, 9)
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)
    wait_for(lambda: id not in sh("systemctl list-units --all --plain --no-legend '*.scope'"))


# --------------------------------------------------------------------------------------------------------------- AppArmor

PROFILE = """
profile rwt-lab flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  mount,
  umount,
  pivot_root,
  signal,
  ptrace,
  unix,
  deny /etc/forbidden rw,
}
"""


@pytest.fixture
def profile(workdir):
    path = os.path.join(workdir, "profile")
    with open(path, "w") as f:
        f.write(PROFILE)
    sh(f"apparmor_parser -r {path}")
    yield "rwt-lab"
    sh(f"apparmor_parser -R {path}")


def test_apparmor_label_is_applied_and_enforced(ringwall, bundle, profile):
    bundle.file("/etc/forbidden", "secret")
    bundle.process["apparmorProfile"] = profile
    r = ringwall.run(bundle.sh("probe label; cat /etc/forbidden || echo denied"))
    assert r.lines == ["rwt-lab (enforce)", "denied"]


def test_apparmor_of_exec(ringwall, bundle, profile):
    id, pid = started(ringwall, bundle)
    assert ringwall("exec", f"--apparmor={profile}", id, "/bin/probe", "label").out == "rwt-lab (enforce)\n"
    assert ringwall("exec", id, "/bin/probe", "label").out == "unconfined\n"


def test_missing_apparmor_profile_is_named(ringwall, bundle):
    bundle.process["apparmorProfile"] = "no-such-profile"
    assert "no-such-profile" in ringwall.run(bundle, status="fail").err


def test_selinux_label_is_refused_where_it_is_not_enforced(ringwall, bundle):
    bundle.process["selinuxLabel"] = "system_u:system_r:container_t:s0"
    assert "SELinux" in ringwall.run(bundle, status="fail").err


# --------------------------------------------------------------------------------------------------------------- rootless

def as_user(user, command, status=0):
    uid = {"user": 1000, "nosub": 1001}[user]
    sh(f"systemctl start user@{uid}")
    r = subprocess.run(["systemd-run", "--user", "-M", f"{user}@", "--pipe", "--wait", "-q", "-p", "Delegate=yes", "/bin/sh", "-c", command],
                       capture_output=True, text=True, timeout=90 * SCALE, stdin=subprocess.DEVNULL)
    assert status is None or r.returncode == status, f"{command}\nexit status {r.returncode}\n{r.stdout}\n{r.stderr}"
    return r


@pytest.fixture
def rootless(workdir):
    """A bundle that a user without privilege owns, as `spec --rootless` makes its configuration."""
    def make(user, change=None):
        uid = {"user": 1000, "nosub": 1001}[user]
        b = Bundle(os.path.join(workdir, "rootless"))
        b.process.pop("capabilities")
        b.no_namespace("network").namespace("user")
        b.config["mounts"] = [m for m in b.config["mounts"] if m["type"] not in ("sysfs", "devpts")]
        b.linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        b.linux["gidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        if change:
            change(b)
        b.save()
        sh(f"chown -R {uid}:{uid} {workdir}")
        return b
    return make


@pytest.mark.parametrize("user", ["user", "nosub"])
def test_rootless_run(rootless, user, workdir):
    b = rootless(user, lambda b: b.sh("id -u; cat /proc/self/uid_map; touch /tmp/x && echo made"))
    r = as_user(user, f"{PROGRAM} --root={workdir}/state run -b {b.path} rwt-rootless")
    lines = r.stdout.splitlines()
    assert lines[0] == "0" and lines[2] == "made" and lines[1].split()[2] == "1"


def test_rootless_with_delegated_controllers(rootless, workdir):
    b = rootless("user", lambda b: (b.args("/bin/probe", "wait"), b.linux.update(resources={"memory": {"limit": 64 << 20}, "pids": {"limit": 44}})))
    script = (f"set -e; R='{PROGRAM} --root={workdir}/state --systemd-cgroup'; $R run -d -b {b.path} rwt-deleg; "
              f"pid=$($R state rwt-deleg | sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p'); g=/sys/fs/cgroup$(cut -d: -f3 /proc/$pid/cgroup); "
              f"echo $g; cat $g/memory.max $g/pids.max; $R exec rwt-deleg /bin/echo inside; $R pause rwt-deleg; $R resume rwt-deleg; $R delete -f rwt-deleg")
    lines = as_user("user", script).stdout.splitlines()
    assert "user@1000.service" in lines[0] and lines[1:3] == [str(64 << 20), "44"] and lines[3] == "inside"


def test_rootless_with_subordinate_ids(rootless, workdir):
    def change(b):
        b.sh("cat /proc/self/uid_map; probe ids")
        b.process["user"] = {"uid": 1000, "gid": 1000}
        b.linux["uidMappings"] = b.linux["gidMappings"] = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]
    b = rootless("user", change)
    r = as_user("user", f"{PROGRAM} --root={workdir}/state run -b {b.path} rwt-sub")
    assert "uid 1000 1000 1000" in r.stdout


def test_rootless_podman(workdir):
    sh(f"mkdir -p {workdir}/img/bin && cp /bin/busybox {workdir}/img/bin && for a in sh echo id cat; do ln -s busybox {workdir}/img/bin/$a; done; chown -R user {workdir}")
    pod = f"podman --runtime={PROGRAM} --root={workdir}/pod --runroot={workdir}/podrun --storage-driver=vfs --events-backend=file"
    r = as_user("user", f"cd {workdir} && tar -C img -c . | {pod} import -q - bb && {pod} run --rm --network=none --memory=64m bb sh -c 'id -u; cat /proc/self/cgroup' "
                        f"&& {pod} run --rm --network=slirp4netns bb echo net")
    assert "\n0\n" in "\n" + r.stdout and "net" in r.stdout
    as_user("user", f"{pod} unshare rm -rf {workdir}/pod", status=None)


# ------------------------------------------------------------------------------------------------------------------- CRIU

def test_checkpoint_and_restore(ringwall, bundle, workdir):
    images = os.path.join(workdir, "images")
    count = bundle.file("/tmp/count", "")
    bundle.process["capabilities"] = {s: ["CAP_KILL"] for s in ("bounding", "effective", "permitted")}
    bundle.sh("n=0; while :; do n=$((n+1)); echo $n >/tmp/count; usleep 50000; done")
    id, pid = started(ringwall, bundle)
    wait_for(lambda: open(count).read().strip() and int(open(count).read() or 0) > 3)
    ringwall("checkpoint", f"--image-path={images}", id, timeout=90)
    assert os.path.exists(f"{images}/inventory.img")
    assert ringwall("state", id, status=None).status != 0 or ringwall.state(id)["status"] == "stopped"
    before = int(open(count).read())
    ringwall("delete", "-f", id, status=None)
    again = ringwall.id("restored")
    ringwall("restore", "-d", f"--image-path={images}", f"--bundle={bundle.path}", again, timeout=90)
    assert ringwall.state(again)["status"] == "running"
    wait_for(lambda: int(open(count).read().strip() or 0) > before)
    assert int(open(count).read().strip() or before + 1) >= before, "it began anew"
    ringwall("exec", again, "/bin/true")
    ringwall("delete", "-f", again)


def test_checkpoint_leave_running(ringwall, bundle, workdir):
    id, pid = started(ringwall, bundle.args("/bin/sleep", "1000"))
    ringwall("checkpoint", "--leave-running", f"--image-path={workdir}/images", id, timeout=90)
    assert ringwall.state(id)["status"] == "running"


def test_checkpoint_failure_is_told(ringwall, bundle, workdir):
    r = ringwall("checkpoint", f"--image-path={workdir}/images", ringwall.id(), status="fail")
    assert r.err


def test_podman_checkpoint_and_restore(workdir):
    sh(f"mkdir -p {workdir}/img/bin {workdir}/img/tmp && cp /bin/busybox {workdir}/img/bin && for a in sh echo sleep cat; do ln -s busybox {workdir}/img/bin/$a; done")
    pod = f"podman --runtime={PROGRAM} --root={workdir}/pod --runroot={workdir}/podrun --storage-driver=vfs --events-backend=file"
    try:
        sh(f"tar -C {workdir}/img -c . | {pod} import -q - bb", timeout=90)
        sh(f"{pod} run -d --name c --network=none bb sh -c 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done'", timeout=90)
        wait_for(lambda: len(sh(f"{pod} logs c").split()) > 3)
        sh(f"{pod} container checkpoint c", timeout=120)
        assert sh(f"{pod} inspect -f '{{{{.State.Status}}}}' c") == "exited"
        seen = int(sh(f"{pod} logs c").split()[-1])
        sh(f"{pod} container restore c", timeout=120)
        wait_for(lambda: int(sh(f"{pod} logs c").split()[-1]) > seen, 20)
        lines = list(map(int, sh(f"{pod} logs c").split()))
        assert lines == sorted(lines), "it began anew"
    finally:
        sh(f"{pod} rm -fa -t 0; umount -R {workdir}/pod {workdir}/podrun", status=None)


def test_podman_with_the_systemd_manager(workdir):
    sh(f"mkdir -p {workdir}/img/bin && cp /bin/busybox {workdir}/img/bin && for a in sh echo id cat sleep; do ln -s busybox {workdir}/img/bin/$a; done")
    pod = f"podman --runtime={PROGRAM} --root={workdir}/pod --runroot={workdir}/podrun --storage-driver=vfs --events-backend=file --cgroup-manager=systemd"
    try:
        sh(f"tar -C {workdir}/img -c . | {pod} import -q - bb", timeout=90)
        assert sh(f"{pod} run --rm --network=none --memory=64m --security-opt apparmor=unconfined bb echo hello") == "hello"
        sh(f"{pod} run -d --name c --network=none bb sleep 1000")
        assert sh(f"{pod} exec c echo inside") == "inside"
        sh(f"{pod} pause c && {pod} unpause c && {pod} update --memory=100m c", status=None)
        sh(f"{pod} rm -f -t 0 c")
        assert "libpod-" not in sh("systemctl list-units --all --plain --no-legend 'libpod-*.scope'", status=None).replace("libpod-conmon", "")
    finally:
        sh(f"{pod} rm -fa -t 0; umount -R {workdir}/pod {workdir}/podrun", status=None)


def test_doctor_and_the_process_wall(ringwall, bundle):
    """Linux 6.1 has Landlock, but not all that the process wall promises: it says so and refuses, and no other wall steps in."""
    walls = {w["name"]: w for w in json.loads(sh(f"{PROGRAM} doctor --json"))["walls"]}
    assert walls["container"]["usable"] is True
    assert walls["process"]["usable"] is False and "Landlock" in walls["process"]["reason"]
    r = ringwall.run(bundle.args("/bin/true"), status=125, globals=["--isolation=process"])
    assert "Landlock" in r.err
