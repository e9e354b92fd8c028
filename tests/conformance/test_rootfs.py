"""The root file system: root, masked and read-only paths, devices, hostname, sysctl."""
import os
import stat

import pytest

pytestmark = pytest.mark.needs("rootfs", "mounts")


def probe_stat(result):
    """Lines of `probe stat` as {path: fields}."""
    return {line.split()[0]: line.split()[1:] for line in result.lines}


def test_root_is_the_bundles(ringwall, bundle):
    bundle.file("/only-here", "x")
    assert "only-here" in ringwall.run(bundle.args("/bin/ls", "/")).lines


def test_absolute_root_path(ringwall, bundle):
    bundle.config["root"]["path"] = bundle.rootfs
    bundle.file("/only-here", "x")
    assert "only-here" in ringwall.run(bundle.args("/bin/ls", "/")).lines


def test_root_through_a_symlink(ringwall, bundle):
    os.symlink("rootfs", os.path.join(bundle.path, "link"))
    bundle.config["root"]["path"] = "link"
    ringwall.run(bundle.args("/bin/true"))


def test_readonly_root(ringwall, bundle):
    bundle.config["root"]["readonly"] = True
    r = ringwall.run(bundle.sh("touch /file; echo $?; touch /dev/shm/file && echo shm"))
    assert r.lines == ["1", "shm"] and "Read-only" in r.err


def test_missing_root_is_named(ringwall, bundle):
    bundle.config["root"]["path"] = "no-such-root"
    assert "no-such-root" in ringwall.run(bundle, status="fail").err


def test_nothing_of_the_host_is_reachable(ringwall, bundle):
    r = ringwall.run(bundle.sh("cat /proc/self/mountinfo; ls /.. ; ls -a /"))
    assert bundle.path not in r.out.replace(bundle.rootfs, ""), "the bundle's path shows besides as root"
    assert "put_old" not in r.out and ".pivot" not in r.out
    assert len([line for line in r.lines if line.split(" ")[4:5] == ["/"]]) == 1, r


def test_no_pivot(ringwall, bundle):
    bundle.file("/only-here", "x")
    assert "only-here" in ringwall.run(bundle.args("/bin/ls", "/"), "--no-pivot").lines


def test_rootfs_propagation(ringwall, bundle):
    for value, tag in (("private", None), ("slave", "master:"), ("shared", "shared:"), ("unbindable", "unbindable")):
        bundle.linux["rootfsPropagation"] = value
        r = ringwall.run(bundle.args("/bin/grep", "^[0-9]* [0-9]* [0-9:]* [^ ]* / ", "/proc/self/mountinfo"))
        options = r.out.split(" - ")[0]
        assert (tag in options) if tag else ("shared:" not in options and "master:" not in options), (value, r)


def test_hostname_and_domainname(ringwall, bundle):
    bundle.config["hostname"] = "name-of-box"
    bundle.config["domainname"] = "example.org"
    r = ringwall.run(bundle.sh("hostname; cat /proc/sys/kernel/domainname"))
    assert r.lines == ["name-of-box", "example.org"]
    assert os.uname().nodename != "name-of-box"


def test_hostname_without_uts_namespace_is_refused(ringwall, bundle):
    bundle.no_namespace("uts")
    before = os.uname().nodename
    assert "uts" in ringwall.run(bundle.args("/bin/true"), status="fail").err.lower()
    assert os.uname().nodename == before


def test_masked_paths(ringwall, bundle):
    bundle.file("/etc/secret", "secret")
    bundle.file("/var/secrets/one", "secret")
    bundle.linux["maskedPaths"] = ["/etc/secret", "/var/secrets", "/proc/kcore", "/no/such/path"]
    r = ringwall.run(bundle.sh("cat /etc/secret; ls -a /var/secrets; cat /proc/kcore | head -c 1 | wc -c; touch /var/secrets/new || echo refused"))
    assert "secret" not in r.out.replace("/var/secrets", "")
    assert r.lines[-2:] == ["0", "refused"]


def test_readonly_paths(ringwall, bundle):
    bundle.file("/etc/config", "config")
    os.makedirs(os.path.join(bundle.rootfs, "var/data"))
    bundle.linux["readonlyPaths"] = ["/etc/config", "/var/data", "/proc/sys", "/no/such/path"]
    r = ringwall.run(bundle.sh("cat /etc/config; echo x >/etc/config || echo a; touch /var/data/x || echo b; echo x >/proc/sys/kernel/hostname || echo c"))
    assert r.lines == ["config", "a", "b", "c"] or r.out.split() == ["configa", "b", "c"], r


def test_default_devices(ringwall, bundle):
    names = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
    r = ringwall.run(bundle.args("/bin/probe", "stat", *(f"/dev/{n}" for n in names)))
    for name, number in names.items():
        assert probe_stat(r)[f"/dev/{name}"][:2] == ["char", "0666"] and probe_stat(r)[f"/dev/{name}"][4] == number, r
    r = ringwall.run(bundle.sh("for l in ptmx fd stdin stdout stderr; do readlink /dev/$l; done; echo x >/dev/null; head -c 3 /dev/zero | wc -c"))
    assert r.lines == ["pts/ptmx", "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "3"], r


def test_configured_devices(ringwall, bundle):
    bundle.linux["devices"] = [
        {"path": "/dev/mynull", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 12, "gid": 34},
        {"path": "/dev/sub/fifo", "type": "p", "fileMode": 0o622},
        {"path": "/dev/block", "type": "b", "major": 7, "minor": 0, "fileMode": 0o600},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 5},
    ]
    got = probe_stat(ringwall.run(bundle.args("/bin/probe", "stat", "/dev/mynull", "/dev/sub/fifo", "/dev/block", "/dev/unbuffered")))
    assert got["/dev/mynull"][:5] == ["char", "0640", "12", "34", "1:3"]
    assert got["/dev/sub/fifo"][:2] == ["fifo", "0622"]
    assert got["/dev/block"][:2] == ["block", "0600"] and got["/dev/block"][4] == "7:0"
    assert got["/dev/unbuffered"][0] == "char" and got["/dev/unbuffered"][4] == "1:5"


def test_bad_device(ringwall, bundle):
    bundle.linux["devices"] = [{"path": "/dev/x", "type": "z", "major": 1, "minor": 3}]
    assert "type" in ringwall.run(bundle, status="fail").err
    bundle.linux["devices"] = [{"path": "relative", "type": "c", "major": 1, "minor": 3}]
    assert "relative" in ringwall.run(bundle, status="fail").err


def test_sysctl(ringwall, bundle):
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "net.core.somaxconn": "77"}
    bundle.linux["readonlyPaths"] = []
    r = ringwall.run(bundle.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced /proc/sys/net/core/somaxconn"))
    assert r.lines == ["1", "1", "77"]


@pytest.mark.parametrize("key", ["kernel.panic", "vm.overcommit_memory", "kernel.core_pattern", "fs.file-max", "net/../kernel/panic", "../x"])
def test_sysctl_of_the_host_is_refused(ringwall, bundle, key):
    path = "/proc/sys/" + key.replace(".", "/") if ".." not in key else "/proc/sys/kernel/panic"
    before = open(path).read()
    bundle.linux["sysctl"] = {key: "0"}
    assert key in ringwall.run(bundle.args("/bin/true"), status="fail").err
    assert open(path).read() == before


def test_sysctl_without_its_namespace_is_refused(ringwall, bundle):
    bundle.no_namespace("network")
    bundle.linux["sysctl"] = {"net.core.somaxconn": "77"}
    assert "net.core.somaxconn" in ringwall.run(bundle.args("/bin/true"), status="fail").err


def test_proc_shows_only_the_box(ringwall, bundle):
    r = ringwall.run(bundle.sh("ls /proc | grep -c '^[0-9]'; cat /proc/1/comm"))
    assert int(r.lines[0]) <= 4


def test_the_bundle_may_be_the_working_directory(ringwall, bundle):
    bundle.args("/bin/echo", "here").save()
    assert ringwall("run", ringwall.id(), cwd=bundle.path).out == "here\n"


def test_box_files_are_owned_by_container_ids(ringwall, bundle):
    bundle.userns()
    r = ringwall.run(bundle.sh("touch /tmp/mine; probe stat /tmp/mine /bin/probe"))
    got = probe_stat(r)
    assert got["/tmp/mine"][2:4] == ["0", "0"] and got["/bin/probe"][2:4] == ["0", "0"]
    assert os.lstat(os.path.join(bundle.rootfs, "tmp/mine")).st_uid == 100000
    assert stat.S_ISREG(os.lstat(os.path.join(bundle.rootfs, "tmp/mine")).st_mode)
