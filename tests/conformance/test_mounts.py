"""mounts: types, every option, id maps, and what hostile roots do to mount targets."""
import os
import subprocess

import pytest

pytestmark = pytest.mark.needs("mounts")


def mount_line(result, destination):
    found = [line for line in result.lines if line.split(" ")[4:5] == [destination]]
    assert len(found) == 1, (destination, result)
    before, after = found[0].split(" - ")
    return {"options": before.split(" ")[5].split(","), "tags": before.split(" ")[6:], "type": after.split(" ")[0],
            "super": after.split(" ")[2].split(","), "source": after.split(" ")[1]}


def show(ringwall, bundle, destination):
    return mount_line(ringwall.run(bundle.args("/bin/cat", "/proc/self/mountinfo")), destination)


@pytest.fixture
def host(workdir):
    path = os.path.join(workdir, "host")
    os.makedirs(path)
    with open(os.path.join(path, "file"), "w") as f:
        f.write("from the host\n")
    return path


def test_bind(ringwall, bundle, host):
    r = ringwall.run(bundle.mount("/data", "bind", host, ["bind"]).sh("cat /data/file; echo new >/data/new"))
    assert r.out == "from the host\n" and open(os.path.join(host, "new")).read() == "new\n"


def test_bind_of_a_file_makes_the_target(ringwall, bundle, host):
    r = ringwall.run(bundle.mount("/deep/er/file", "bind", os.path.join(host, "file"), ["bind", "ro"]).sh("cat /deep/er/file; echo x >/deep/er/file || echo ro"))
    assert r.lines == ["from the host", "ro"]


def test_bind_readonly(ringwall, bundle, host):
    r = ringwall.run(bundle.mount("/data", "bind", host, ["bind", "ro"]).sh("echo x >/data/file || echo refused"))
    assert r.out == "refused\n" and open(os.path.join(host, "file")).read() == "from the host\n"


def test_bind_relative_source_is_relative_to_the_bundle(ringwall, bundle):
    os.makedirs(os.path.join(bundle.path, "beside"))
    open(os.path.join(bundle.path, "beside/x"), "w").close()
    assert ringwall.run(bundle.mount("/data", "bind", "beside", ["bind"]).args("/bin/ls", "/data")).out == "x\n"


def test_missing_bind_source_is_named(ringwall, bundle):
    r = ringwall.run(bundle.mount("/data", "bind", "/no/such/source", ["bind"]), status="fail")
    assert "/no/such/source" in r.err


def test_rbind_takes_submounts_along(ringwall, bundle, host):
    sub = os.path.join(host, "sub")
    os.makedirs(sub)
    subprocess.run(["mount", "-t", "tmpfs", "sub", sub], check=True)
    try:
        open(os.path.join(sub, "below"), "w").close()
        bundle.mount("/r", "bind", host, ["rbind"]).mount("/b", "bind", host, ["bind"])
        r = ringwall.run(bundle.sh("ls /r/sub; echo -; ls /b/sub"))
        assert r.lines == ["below", "-"]
    finally:
        subprocess.run(["umount", sub], check=True)


@pytest.mark.parametrize("option", ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"])
def test_flag_options_of_a_bind_mount(ringwall, bundle, host, option):
    assert option in show(ringwall, bundle.mount("/data", "bind", host, ["bind", option]), "/data")["options"]


@pytest.mark.parametrize("option,flag", [("rro", "ro"), ("rnosuid", "nosuid"), ("rnodev", "nodev"), ("rnoexec", "noexec"), ("rnoatime", "noatime"),
                                         ("rnosymfollow", "nosymfollow")])
def test_recursive_attributes(ringwall, bundle, host, option, flag):
    sub = os.path.join(host, "sub")
    os.makedirs(sub)
    subprocess.run(["mount", "-t", "tmpfs", "sub", sub], check=True)
    try:
        bundle.mount("/data", "bind", host, ["rbind", option]).args("/bin/cat", "/proc/self/mountinfo")
        r = ringwall.run(bundle)
        assert flag in mount_line(r, "/data")["options"] and flag in mount_line(r, "/data/sub")["options"]
    finally:
        subprocess.run(["umount", sub], check=True)


def test_clearing_options(ringwall, bundle):
    bundle.mount("/t", "tmpfs", "tmpfs", ["ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec"])
    options = show(ringwall, bundle, "/t")["options"]
    assert "rw" in options and not {"nosuid", "nodev", "noexec"} & set(options)


@pytest.mark.parametrize("option,tag", [("private", None), ("rprivate", None), ("slave", "master:"), ("rslave", "master:"), ("shared", "shared:"),
                                        ("rshared", "shared:"), ("unbindable", "unbindable"), ("runbindable", "unbindable")])
def test_propagation(ringwall, bundle, host, option, tag):
    tags = " ".join(show(ringwall, bundle.mount("/data", "bind", host, ["rbind", option]), "/data")["tags"])
    assert (tag in tags) if tag else tags.strip() in ("", "-"), tags


def test_shared_mount_spreads_and_private_does_not(ringwall, bundle, host):
    bundle.caps("CAP_SYS_ADMIN").mount("/shared", "bind", host, ["bind"]).sh("mkdir -p /shared/m && mount -t tmpfs inner /shared/m && echo done")
    r = ringwall.run(bundle)
    assert r.out == "done\n"
    assert "inner" not in open("/proc/self/mountinfo").read(), "a mount made in the box reached the host"


def test_tmpfs_options(ringwall, bundle):
    got = show(ringwall, bundle.mount("/t", "tmpfs", "tmpfs", ["size=1m", "mode=1750", "nosuid"]), "/t")
    assert got["type"] == "tmpfs" and "size=1024k" in got["super"] and "mode=1750" in got["super"] and "nosuid" in got["options"]


def test_tmpcopyup(ringwall, bundle):
    bundle.file("/var/lib/db/content", "copied up")
    os.symlink("content", os.path.join(bundle.rootfs, "var/lib/db/link"))
    os.chmod(os.path.join(bundle.rootfs, "var/lib/db"), 0o750)
    bundle.mount("/var/lib/db", "tmpfs", "tmpfs", ["tmpcopyup"])
    r = ringwall.run(bundle.sh("cat /var/lib/db/content; echo; readlink /var/lib/db/link; stat -c %a /var/lib/db; echo new >/var/lib/db/new; mount | grep -c ' /var/lib/db '"))
    assert r.lines == ["copied up", "content", "750", "1"]
    assert not os.path.exists(os.path.join(bundle.rootfs, "var/lib/db/new"))


def test_copy_symlink(ringwall, bundle, host):
    os.symlink("/some/where", os.path.join(host, "link"))
    bundle.mount("/etc/link", "bind", os.path.join(host, "link"), ["bind", "copy-symlink"])
    assert ringwall.run(bundle.args("/bin/readlink", "/etc/link")).out == "/some/where\n"


def test_proc_sysfs_mqueue_cgroup_types(ringwall, bundle):
    bundle.mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"])
    r = ringwall.run(bundle.args("/bin/cat", "/proc/self/mountinfo"))
    assert mount_line(r, "/dev/mqueue")["type"] == "mqueue"
    assert mount_line(r, "/proc")["type"] == "proc" and mount_line(r, "/sys")["type"] == "sysfs"
    assert mount_line(r, "/dev/pts")["type"] == "devpts"


def test_cgroup_mount(ringwall, bundle):
    bundle.namespace("cgroup")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"])
    r = ringwall.run(bundle.sh("ls /sys/fs/cgroup; cat /proc/self/cgroup; find /sys/fs/cgroup -maxdepth 2 | head -40; touch /sys/fs/cgroup/x || echo ro"))
    assert r.lines[-1] == "ro"
    assert ("cgroup.procs" in r.out) or ("memory" in r.lines)


def test_overlay(ringwall, bundle, workdir):
    layers = {n: os.path.join(workdir, n) for n in ("lower", "upper", "work")}
    for path in layers.values():
        os.makedirs(path)
    # overlayfs does not take the upper layer from an overlayfs
    subprocess.run(["mount", "-t", "tmpfs", "layers", workdir + "/upper"], check=True)
    try:
        for n in ("u", "w"):
            os.makedirs(f"{workdir}/upper/{n}")
        open(layers["lower"] + "/below", "w").close()
        bundle.mount("/o", "overlay", "overlay", [f"lowerdir={layers['lower']}", f"upperdir={workdir}/upper/u", f"workdir={workdir}/upper/w"])
        assert ringwall.run(bundle.sh("ls /o; echo x >/o/above")).out == "below\n"
        assert os.listdir(f"{workdir}/upper/u") == ["above"] and os.listdir(layers["lower"]) == ["below"]
    finally:
        subprocess.run(["umount", workdir + "/upper"], check=True)


def test_order_of_mounts(ringwall, bundle, host):
    bundle.mount("/a", "tmpfs").mount("/a/b", "bind", host, ["bind"]).mount("/a/b/file", "bind", "/dev/null", ["bind"])
    assert ringwall.run(bundle.sh("ls /a; cat /a/b/file; ls /a/b")).lines == ["b", "file"]


def test_unknown_type_and_option_are_named(ringwall, bundle):
    assert "nosuchfs" in ringwall.run(bundle.mount("/x", "nosuchfs"), status="fail").err
    bundle.config["mounts"].pop()
    assert "nosuchoption" in ringwall.run(bundle.mount("/x", "tmpfs", "tmpfs", ["nosuchoption=1"]), status="fail").err


def test_relative_destination(ringwall, bundle):
    """runtime-spec 1.3: destinations should be absolute; a relative one is taken from the root (or refused), never from the host's cwd."""
    bundle.mount("relative", "tmpfs")
    r = ringwall.run(bundle.args("/bin/cat", "/proc/self/mountinfo"), status=None)
    assert r.status != 0 or mount_line(r, "/relative")["type"] == "tmpfs"


def test_idmapped_mount(ringwall, bundle, host):
    os.chown(os.path.join(host, "file"), 5000, 5000)
    m = {"destination": "/data", "type": "bind", "source": host, "options": ["bind", "idmap"],
         "uidMappings": [{"containerID": 5000, "hostID": 7000, "size": 1}], "gidMappings": [{"containerID": 5000, "hostID": 7000, "size": 1}]}
    bundle.config["mounts"].append(m)
    assert ringwall.run(bundle.args("/bin/stat", "-c", "%u %g", "/data/file")).out == "7000 7000\n"


def test_idmapped_mount_with_user_namespace(ringwall, bundle, host):
    """Files of host ids 0.. show as the box's 0.. through a mount mapped like the user namespace."""
    bundle.userns()
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.config["mounts"].append({"destination": "/data", "type": "bind", "source": host, "options": ["bind", "idmap"],
                                    "uidMappings": maps, "gidMappings": maps})
    os.chown(host, 0, 0)
    r = ringwall.run(bundle.sh("stat -c %u /data/file; echo x >/data/new"))
    assert r.out == "0\n" and os.stat(os.path.join(host, "new")).st_uid == 0


def test_idmap_of_a_file_system_that_cannot_is_refused_by_name(ringwall, bundle):
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.config["mounts"].append({"destination": "/p", "type": "bind", "source": "/proc/sys", "options": ["bind", "idmap"],
                                    "uidMappings": maps, "gidMappings": maps})
    r = ringwall.run(bundle.args("/bin/true"), status="fail")
    assert "proc" in r.err and "map" in r.err


def test_mount_targets_stay_in_the_root(ringwall, bundle, host, workdir):
    """Absolute and climbing symlinks at a target are resolved inside the root."""
    outside = os.path.join(workdir, "outside")
    os.makedirs(outside)
    os.symlink(outside, os.path.join(bundle.rootfs, "absolute"))
    os.symlink("../" * 12 + outside.lstrip("/"), os.path.join(bundle.rootfs, "climbing"))
    bundle.mount("/absolute/x", "bind", host, ["bind"]).mount("/climbing/y", "tmpfs")
    ringwall.run(bundle.args("/bin/true"), status=None)
    assert os.listdir(outside) == [], "something was made outside the root"


def test_mount_over_the_root_is_refused_or_contained(ringwall, bundle, host):
    ringwall.run(bundle.mount("/", "bind", host, ["bind"]).args("/bin/true"), status=None)


def test_proc_must_not_be_replaced(ringwall, bundle, host):
    """A bind mount below /proc would let an image lie to the runtime (CVE-2019-16884)."""
    bundle.mount("/proc/self/attr", "bind", host, ["bind"])
    ringwall.run(bundle.args("/bin/true"), status="fail")
