"""Named attacks on container runtimes. Each test first shows that its setup is a real attack (that an unprotected program
falls for it, or that the race is really run), then that ours does not fall for it."""
import ctypes
import hashlib
import os
import shutil
import stat
import subprocess
import sys

import pytest

from conftest import PROBE, PROGRAM, SCALE, wait_for

pytestmark = pytest.mark.needs("mounts", "exec")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


# ------------------------------------------------------------------------ CVE-2019-5736: the runtime through /proc/PID/exe

ENTER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
pid, victim = int(sys.argv[1]), os.open(sys.argv[2], os.O_RDONLY)
spaces = [os.open(f"/proc/{pid}/ns/{n}", os.O_RDONLY) for n in ("mnt", "pid")]
assert all(libc.setns(fd, 0) == 0 for fd in spaces)
child = os.fork()
if child == 0:
    os.execve(victim, ["sleep", "0.05"], {})
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def attacked(ringwall, bundle, action, name):
    """What `probe overwrite` said it could do to a program called NAME while ACTION entered its box."""
    out = os.path.join(ringwall.directory, "attacker")
    id = ringwall.id()
    bundle.caps("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE").args("/bin/probe", "overwrite", "30", name).save()
    with open(out, "w") as f:
        process = ringwall.popen("run", f"--bundle={bundle.path}", id, stdout=f, stdin=subprocess.DEVNULL)
        wait_for(lambda: "ready" in open(out).read())
        try:
            action(id)
        finally:
            ringwall("kill", id, "TERM")
            process.wait(30 * SCALE)
    return open(out).read()


def test_overwriting_a_program_that_enters_is_a_real_attack(ringwall, bundle, workdir):
    victim = os.path.join(workdir, "victim")
    shutil.copy("/bin/busybox", victim)
    before = digest(victim)

    def enter(id):
        pid = str(ringwall.state(id)["pid"])
        for _ in range(20):
            subprocess.run([sys.executable, "-c", ENTER, pid, victim], check=False, timeout=30, stderr=subprocess.DEVNULL)
            if digest(victim) != before:
                return
    said = attacked(ringwall, bundle, enter, "victim")
    assert digest(victim) != before, f"the attack of these tests does not work, so they prove nothing: {said}"


def test_runtime_is_not_overwritten(ringwall, bundle):
    before, link = digest(PROGRAM), os.stat(PROGRAM)

    def enter(id):
        for _ in range(int(40 / min(SCALE, 4))):
            ringwall("exec", id, "/bin/true")
    said = attacked(ringwall, bundle, enter, "ringwall")
    after = os.stat(PROGRAM)
    assert digest(PROGRAM) == before and (after.st_ino, after.st_mtime_ns) == (link.st_ino, link.st_mtime_ns)
    assert said.endswith("written 0\n"), said


def test_exec_of_proc_self_exe(ringwall, bundle):
    """The other half of CVE-2019-5736: the workload's program is /proc/self/exe, so what runs is the runtime itself."""
    before = digest(PROGRAM)
    bundle.file("/bin/bait", "#!/proc/self/exe\n", 0o755)
    id = ringwall.start(bundle)
    ringwall("exec", id, "/proc/self/exe", status=None, timeout=10)
    ringwall("exec", id, "/bin/bait", status=None, timeout=10)
    ringwall("delete", "-f", id)
    ringwall.run(bundle.args("/proc/self/exe"), status=None, timeout=10)
    assert digest(PROGRAM) == before


# --------------------------------------------------------------------- CVE-2024-21626: leaked descriptors, working directory

@pytest.mark.parametrize("fd", range(3, 16))
def test_working_directory_through_a_descriptor(ringwall, bundle, fd):
    """No descriptor of ours leads out of the box."""
    bundle.process["cwd"] = f"/proc/self/fd/{fd}"
    r = ringwall.run(bundle.sh("pwd -P; ls -a; ls ../../../../../../../"), status=None)
    # What is not in the box's root, but in the host's, must not show.
    outside = set(os.listdir("/")) - set(os.listdir(bundle.rootfs)) - {"boot"}
    assert outside and not outside & set(r.lines), r


def test_working_directory_through_a_descriptor_of_the_host(ringwall, bundle, workdir):
    """The attack made certain: the caller itself passes a directory of the host's, and cwd names it."""
    open(os.path.join(workdir, "host-secret"), "w").close()
    fd = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        bundle.sh("ls")
        place = (lambda: os.dup2(fd, 3))
        bundle.process["cwd"] = "/"
        shown = ringwall.run(bundle.sh("ls /proc/self/fd/3/"), "--preserve-fds=1", pass_fds=(3,), preexec_fn=place)
        assert "host-secret" in shown.out, "the descriptor does not lead to the host, so this proves nothing"
        bundle.process["cwd"] = "/proc/self/fd/3"
        r = ringwall.run(bundle.sh("ls"), "--preserve-fds=1", status="fail", pass_fds=(3,), preexec_fn=place)
        assert "host-secret" not in r.out and "cwd" in r.err or "working directory" in r.err or "/proc/self/fd/3" in r.err
    finally:
        os.close(fd)


def test_exec_working_directory_through_a_descriptor(ringwall, bundle):
    id = ringwall.start(bundle)
    outside = set(os.listdir("/")) - set(os.listdir(bundle.rootfs)) - {"boot"}
    for fd in range(3, 12):
        r = ringwall("exec", f"--cwd=/proc/self/fd/{fd}", id, "/bin/sh", "-c", "ls -a; ls ../../../../..", status=None)
        assert not outside & set(r.lines), r
    ringwall("delete", "-f", id)


def test_a_link_to_a_descriptor_as_working_directory(ringwall, bundle):
    os.symlink("/proc/self/fd/7", os.path.join(bundle.rootfs, "link"))
    bundle.process["cwd"] = "/link"
    r = ringwall.run(bundle.sh("pwd -P; ls /proc/self/cwd/../../.."), status=None)
    assert os.path.basename(TOP_OF_HOST) not in r.out


TOP_OF_HOST = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# ------------------------------------------------------------------------------- CVE-2021-30465: symlink race at mount targets


class Swapper:
    """Exchanges two names for ever, as a hostile box does on a volume that it shares."""
    def __init__(self, a, b):
        self.process = subprocess.Popen([PROBE, "swap", a, b], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_symlink_race_at_a_mount_target(ringwall, bundle, workdir):
    shared, outside = os.path.join(workdir, "shared"), os.path.join(workdir, "outside")
    os.makedirs(shared + "/target/x")
    os.makedirs(outside)
    os.symlink("../" * 10 + outside.lstrip("/"), shared + "/link")
    os.makedirs(bundle.rootfs + "/etc/victim")
    bundle.mount("/shared", "bind", shared, ["bind"]).mount("/shared/target/x", "tmpfs", "planted", ["size=64k"])
    bundle.args("/bin/cat", "/proc/self/mountinfo")
    kinds = set()
    with Swapper(shared + "/target", shared + "/link"):
        for _ in range(int(60 / min(SCALE, 4))):
            kinds.add(stat.S_IFMT(os.lstat(shared + "/target").st_mode))
            # When the link is followed, then inside the root: what shows on the host decides.
            ringwall.run(bundle, status=None)
            assert os.listdir(outside) == [], "a mount target was made outside the root"
    assert len(kinds) == 2, "the race was not run"
    assert "planted" not in open("/proc/self/mountinfo").read()


# -------------------------------------------------------- CVE-2025-31133, 52565, 52881: masks, console, writes to /proc redirected

def hostile_dev(bundle, workdir, **links):
    """A /dev that the attacker prepared: links in place of device nodes."""
    dev = os.path.join(workdir, "dev")
    os.makedirs(dev)
    for name, target in links.items():
        os.symlink(target, os.path.join(dev, name))
    bundle.config["mounts"] = [m for m in bundle.config["mounts"] if not m["destination"].startswith("/dev")]
    bundle.config["mounts"].insert(1, {"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]})
    return dev


def test_masked_path_with_a_swapped_dev_null(ringwall, bundle, workdir):
    """The mask must be the real null device, not whatever the box's /dev/null leads to."""
    bundle.file("/etc/secret", "secret")
    bundle.file("/etc/planted", "planted")
    hostile_dev(bundle, workdir, null="/etc/planted")
    bundle.linux["maskedPaths"] = ["/etc/secret", "/proc/kcore"]
    r = ringwall.run(bundle.sh("cat /etc/secret; echo x >>/etc/secret"), status=None)
    assert "secret" not in r.out and "planted" not in r.out
    assert open(bundle.rootfs + "/etc/planted").read() == "planted", "the mask led to the attacker's file"


def test_masked_path_with_a_racing_dev_null(ringwall, bundle, workdir):
    bundle.file("/etc/secret", "secret")
    bundle.file("/etc/planted", "planted")
    dev = hostile_dev(bundle, workdir, other="/etc/planted")
    os.mknod(dev + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    bundle.linux["maskedPaths"] = ["/etc/secret"]
    bundle.sh("cat /etc/secret; echo x >>/etc/secret")
    kinds = set()
    with Swapper(dev + "/null", dev + "/other"):
        for _ in range(int(40 / min(SCALE, 4))):
            kinds.add(stat.S_IFMT(os.lstat(dev + "/null").st_mode))
            r = ringwall.run(bundle, status=None)
            assert "secret" not in r.out and "planted" not in r.out, r
    assert len(kinds) == 2, "the race was not run"
    assert open(bundle.rootfs + "/etc/planted").read() == "planted"


def test_masked_path_that_is_a_link(ringwall, bundle):
    """A masked path in the image may be a link: the mask stays in the root and nothing of the host is covered."""
    os.symlink("/../../../../../../etc/passwd", bundle.rootfs + "/etc/secret")
    bundle.linux["maskedPaths"] = ["/etc/secret"]
    before = open("/etc/passwd").read()
    ringwall.run(bundle.sh("true"), status=None)
    assert open("/etc/passwd").read() == before


@pytest.mark.needs("terminal")
@pytest.mark.parametrize("name", ["console", "ptmx", "tty"])
def test_console_that_is_a_link(ringwall, bundle, workdir, console, name):
    """CVE-2025-52565: the terminal must not be mounted on what a link in the box's /dev names."""
    target = bundle.file("/etc/planted", "planted")
    hostile_dev(bundle, workdir, **{name: "../etc/planted"})
    bundle.config["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]})
    bundle.process["terminal"] = True
    r = ringwall.create(bundle.sh("grep -c planted /proc/self/mountinfo; cat /etc/planted; echo end"), f"--console-socket={console.path}", status=None)
    if r.status == 0:
        ringwall("start", ringwall.ids[-1])
        text = console.read(b"end\n", timeout=5)
        assert text.startswith("0\n") and "planted" in text, text
        ringwall("delete", "-f", ringwall.ids[-1])
    assert open(target).read() == "planted"


def test_sysctl_redirected(ringwall, bundle, workdir):
    """CVE-2025-52881: a write meant for /proc/sys must not reach a file that was put in its place."""
    decoy = os.path.join(workdir, "decoy")
    os.makedirs(decoy + "/core")
    for path in ("/core/somaxconn", "/somaxconn"):
        with open(decoy + path, "w") as f:
            f.write("decoy")
    for destination in ("/proc/sys/net", "/proc/sys", "/proc"):
        bundle.config["mounts"] = [m for m in bundle.config["mounts"] if m["source"] != decoy]
        bundle.mount(destination, "bind", decoy, ["rbind"])
        bundle.linux["sysctl"] = {"net.core.somaxconn": "77"}
        ringwall.run(bundle.args("/bin/true"), status=None)
        assert open(decoy + "/core/somaxconn").read() == "decoy", f"the write went to the decoy at {destination}"


def test_proc_that_is_a_link(ringwall, bundle, workdir):
    """CVE-2019-19921: /proc of the image is a link to a place of the attacker's."""
    os.rmdir(bundle.rootfs + "/proc")
    os.makedirs(bundle.rootfs + "/evil/self/attr")
    os.symlink("/evil", bundle.rootfs + "/proc")
    r = ringwall.run(bundle.args("/bin/cat", "/proc/self/mountinfo"), status=None)
    assert r.status != 0 or any(line.split(" ")[4] in ("/proc", "/evil") and " - proc " in line for line in r.lines)


def test_hostile_links_everywhere(ringwall, bundle, workdir):
    """An image whose every usual mount target is a link out: nothing of the host is touched."""
    outside = os.path.join(workdir, "outside")
    os.makedirs(outside)
    for name in ("dev", "sys", "proc"):
        os.rmdir(os.path.join(bundle.rootfs, name))
        os.symlink("../" * 10 + outside.lstrip("/"), os.path.join(bundle.rootfs, name))
    ringwall.run(bundle.args("/bin/true"), status=None)
    assert os.listdir(outside) == []


# ------------------------------------------------------------------------------------------------- state of the caller

def test_terminal_injection(ringwall, bundle):
    """TIOCSTI into the caller's terminal: a foreground box without a terminal of its own is in its own session."""
    out = ringwall.run(bundle.args("/bin/probe", "ids")).out
    assert " sid 1 " in out or " sid 0 " not in out, out


def test_capabilities_of_the_caller_do_not_come_along(ringwall, bundle):
    libc = ctypes.CDLL(None)

    def raise_ambient():
        libc.prctl(47, 2, 21, 0, 0)  # PR_CAP_AMBIENT_RAISE CAP_SYS_ADMIN; may fail, then the test is the plain one
    bundle.process["capabilities"] = {}
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    r = ringwall.run(bundle.args("/bin/grep", "Cap", "/proc/self/status"), preexec_fn=raise_ambient)
    assert {int(line.split()[1], 16) for line in r.lines} == {0}
