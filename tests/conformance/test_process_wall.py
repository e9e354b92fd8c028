"""The process wall: every attempt to reach beyond it succeeds without the wall, by the same user, and fails with it; what
is granted works; what cannot be promised or honoured is refused. docs/process.md is what is tested."""
import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

import pytest

from conftest import PROGRAM, SCALE, TOP, wait_for

pytestmark = pytest.mark.needs("process-wall")

ESCAPE = os.path.abspath(os.environ.get("RINGWALL_ESCAPE", os.path.join(TOP, "build/tests/probes/escape")))
NOBODY = 65534
PREFIX = "run.ringwall.process."
USERS = ("nobody", "root") if os.geteuid() == 0 else ("self",)


class User:
    """Somebody who runs boxes: the program, the probe and files of his own in a directory that he may enter."""
    def __init__(self, name, directory):
        self.uid = NOBODY if name == "nobody" else os.getuid()
        self.gid = NOBODY if name == "nobody" else os.getgid()
        self.home = directory
        os.makedirs(directory)
        self.program = shutil.copy2(PROGRAM, os.path.join(directory, "ringwall"))
        os.makedirs(os.path.join(directory, "bin"))
        self.escape = shutil.copy2(ESCAPE, os.path.join(directory, "bin/escape"))
        self.root = os.path.join(directory, "state")
        self.bundles = 0
        self.processes = []
        self.own(directory, self.program, self.escape, os.path.dirname(self.escape))

    def own(self, *paths):
        for p in paths:
            os.chown(p, self.uid, self.gid)

    def file(self, name, text="secret", mode=0o644):
        path = os.path.join(self.home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.own(os.path.dirname(path))
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        self.own(path)
        return path

    def folder(self, name):
        path = os.path.join(self.home, name)
        os.makedirs(path)
        self.own(path)
        return path

    def config(self, args, root="/", **annotations):
        named = {PREFIX + k.replace("_", "-"): v for k, v in annotations.items()}
        if root == "/":
            key = PREFIX + "read-only"
            named[key] = ":".join(filter(None, [os.path.dirname(self.escape), named.get(key)]))
        return {
            "ociVersion": "1.3.0",
            "root": {"path": root, "readonly": True},
            "process": {"user": {"uid": self.uid, "gid": self.gid}, "cwd": "/", "args": list(args), "env": ["PATH=/usr/bin:/bin"]},
            "annotations": named,
        }

    def bundle(self, config):
        self.bundles += 1
        path = os.path.join(self.home, f"bundle-{self.bundles}")
        os.makedirs(path)
        with open(os.path.join(path, "config.json"), "w") as f:
            json.dump(config, f)
        self.own(path, os.path.join(path, "config.json"))
        return path

    def command(self, *args):
        return [self.program, f"--root={self.root}", "--isolation=process", *args]

    def popen(self, command, **more):
        if os.geteuid() == 0 and self.uid:
            more.update(user=self.uid, group=self.gid, extra_groups=[])
        more.setdefault("stdin", subprocess.DEVNULL)
        more["env"] = {k: v for k, v in {**more.get("env", os.environ), "HOME": self.home}.items() if not k.startswith("XDG_")}
        return subprocess.Popen(command, text=True, **more)

    def call(self, command, **more):
        # Files, not pipes: a detached box keeps them open.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            p = self.popen(command, stdout=out, stderr=err, **more)
            try:
                code = p.wait(timeout=30 * SCALE)
            except subprocess.TimeoutExpired:
                p.kill()
                code = p.wait()
            out.seek(0)
            err.seek(0)
            return code, out.read(), err.read()

    def ringwall(self, *args, status=0, **more):
        code, out, err = self.call(self.command(*args), **more)
        if status is not None:
            assert (code != 0) if status == "fail" else code == status, f"{args}: exit status {code}\n{out}\n{err}"
        return out if status == 0 else out + err

    def run(self, config, status=0, **more):
        return self.ringwall("run", f"--bundle={self.bundle(config)}", f"box-{self.bundles}", status=status, **more)

    def outside(self, name, argument=""):
        code, out, err = self.call([self.escape, name, str(argument)])
        assert code == 0, err
        return out.strip()

    def inside(self, name, argument="", stdin=subprocess.DEVNULL, **annotations):
        return self.run(self.config([self.escape, name, str(argument)], **annotations), stdin=stdin).strip()

    def victim(self):
        """A process of the same user, outside; it ignores SIGUSR1."""
        p = self.popen([self.escape, "sleep", "100"], stdout=subprocess.PIPE)
        assert p.stdout.readline() == "ready\n"
        self.processes.append(p)
        return p.pid

    def finish(self):
        for p in self.processes:
            p.kill()
            p.communicate()


@pytest.fixture(params=USERS)
def user(request, ringwall, workdir):
    u = User(request.param, os.path.join(workdir, "user"))
    yield u
    u.finish()


@pytest.fixture
def root(ringwall, workdir):
    if os.geteuid() != 0:
        pytest.skip("the attempt needs root to succeed without a wall")
    u = User("root", os.path.join(workdir, "user"))
    yield u
    u.finish()


REFUSED = {"EACCES", "EPERM", "ENOSYS", "EXDEV"}


def check(user, name, argument="", again=lambda: None, without_wall="done", **annotations):
    """NAME fails behind the wall and, afterwards, succeeds without it. AGAIN restores what a success changes."""
    inside = user.inside(name, argument, **annotations)
    assert inside in REFUSED, f"{name} behind the wall: {inside}"
    outside = user.outside(name, argument)
    again()
    if outside in ("EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EOPNOTSUPP"):
        pytest.skip(f"this kernel cannot do it at all: {name} gives {outside}")
    assert outside == without_wall, f"{name} without a wall: {outside}; the test cannot fail"


# ---- files

@pytest.mark.parametrize("name", ["read-file", "write-file", "truncate", "open-truncate", "chmod", "chown", "utime",
                                  "hard-link", "execute", "remove-file", "rename-file"])
def test_files_elsewhere(user, name):
    path = user.file("elsewhere/secret", "#!/bin/true\n", 0o755)
    check(user, name, path)


@pytest.mark.parametrize("name", ["write-file", "truncate", "open-truncate", "chmod", "utime", "fchmod", "futimens", "set-flags",
                                  "remove-file", "rename-file"])
def test_files_granted_read_only(user, name):
    path = user.file("granted/file", "text")
    assert user.inside("read-file", path, read_only=os.path.dirname(path)) == "done"
    check(user, name, path, read_only=os.path.dirname(path))


@pytest.mark.parametrize("name", ["create-file", "make-directory"])
def test_making_files_elsewhere(user, name):
    folder = user.folder("elsewhere")
    check(user, name, f"{folder}/new")
    check(user, name, f"{folder}/newer", read_only=folder)


def test_attributes(user):
    check(user, "setxattr", user.file("elsewhere/file"))


def test_list_directory(user):
    check(user, "list-directory", user.folder("elsewhere"))
    check(user, "list-directory", "/")


def test_shadow_is_not_read(root):
    check(root, "read-file", "/etc/shadow")


def test_devices(root):
    check(root, "make-device", os.path.join(root.folder("granted"), "null"), read_write=os.path.join(root.home, "granted"))


def test_open_by_handle(root):
    check(root, "open-by-handle", "/etc/shadow")


def test_inotify(user):
    folder = user.folder("elsewhere")
    check(user, "inotify", folder)
    assert user.inside("inotify", folder, allow="inotify") == "done"


def test_granted_for_writing(user):
    path = user.file("granted/file", "text")
    folder = os.path.dirname(path)
    for name, argument in (("read-file", path), ("write-file", path), ("truncate", path), ("create-file", f"{folder}/new"),
                           ("make-directory", f"{folder}/dir"), ("list-directory", folder), ("hard-link", path),
                           ("rename-file", path), ("remove-file", f"{folder}/new")):
        assert user.inside(name, argument, read_write=folder) == "done", name
    assert os.path.exists(f"{path}.renamed")


def test_a_link_out_of_a_grant_leads_nowhere(user):
    secret = user.file("elsewhere/secret")
    folder = user.folder("granted")
    os.symlink(secret, f"{folder}/link")
    assert user.inside("read-file", f"{folder}/link", read_write=folder) == "EACCES"
    assert user.outside("read-file", f"{folder}/link") == "done"


def test_metadata_can_be_allowed(user):
    path = user.file("granted/file", "text")
    for name in ("chmod", "fchmod", "utime", "futimens"):
        assert user.inside(name, path, read_write=os.path.dirname(path), allow="metadata") == "done", name


# ---- network

@pytest.fixture
def ports():
    """Two TCP ports of 127.0.0.1 that somebody listens on (with fast open), and a UDP port."""
    made = []
    for _ in range(2):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        s.listen(16)
        made.append(s)
    u = socket.socket(type=socket.SOCK_DGRAM)
    u.bind(("127.0.0.1", 0))
    made.append(u)
    yield [s.getsockname()[1] for s in made]
    for s in made:
        s.close()


@pytest.mark.parametrize("name", ["tcp-connect", "mptcp-connect", "tcp-fastopen"])
def test_tcp(user, ports, name):
    check(user, name, ports[0])
    check(user, name, ports[0], tcp_connect=str(ports[1]))


def test_tcp_connect_granted(user, ports):
    assert user.inside("tcp-connect", ports[0], tcp_connect=f"{ports[1]},{ports[0]}") == "done"
    assert user.inside("tcp-connect", ports[0], tcp_connect="any") == "done"
    assert user.inside("tcp-bind", 0, tcp_connect="any") in REFUSED


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_tcp_bind(user):
    a, b = free_port(), free_port()
    check(user, "tcp-bind", a)
    check(user, "tcp-bind", a, tcp_bind=str(b))
    check(user, "tcp-bind", a, tcp_connect="any")
    assert user.inside("tcp-bind", b, tcp_bind=str(b)) == "done"


def test_listening_on_a_port_that_was_never_bound(user):
    check(user, "tcp-listen", tcp_connect="any")


def test_udp(user, ports):
    check(user, "udp", ports[2])
    check(user, "udp", ports[2], tcp_connect="any", tcp_bind="any")
    assert user.inside("udp", ports[2], allow="udp") == "done"


@pytest.mark.parametrize("name", ["netlink", "netlink-rubbish", "vsock"])
def test_other_sockets(user, name):
    check(user, name, tcp_connect="any", tcp_bind="any", allow="udp,unix")


@pytest.mark.parametrize("name", ["raw", "packet"])
def test_raw_sockets(root, name):
    check(root, name, tcp_connect="any", tcp_bind="any", allow="udp,unix,netlink")


def test_netlink_can_be_allowed(user):
    assert user.inside("netlink", allow="netlink") == "done"


@pytest.fixture
def socket_files(workdir):
    """A listening stream socket and a datagram socket in the file system, and an abstract one, open to everybody."""
    made, names = [], []
    for kind, name in ((socket.SOCK_STREAM, f"{workdir}/stream"), (socket.SOCK_DGRAM, f"{workdir}/dgram"),
                       (socket.SOCK_STREAM, f"\0ringwall-test-{os.getpid()}")):
        s = socket.socket(socket.AF_UNIX, kind)
        s.bind(name)
        if kind == socket.SOCK_STREAM:
            s.listen(16)
        if name[0] == "/":
            os.chmod(name, 0o777)
        made.append(s)
        names.append(name.lstrip("\0"))
    yield names
    for s in made:
        s.close()


def test_socket_files(user, socket_files):
    stream, dgram, _ = socket_files
    check(user, "unix", stream)
    check(user, "unix", stream, read_write=os.path.dirname(stream))
    check(user, "unix-pair", dgram)
    assert user.inside("unix", stream, allow="unix") == "done"


def test_abstract_sockets(user, socket_files):
    check(user, "abstract", socket_files[2])
    check(user, "abstract", socket_files[2], allow="unix")
    assert user.inside("abstract", socket_files[2], allow="abstract-unix") == "done"


# ---- other processes

@pytest.mark.parametrize("name", ["kill", "tgkill", "sigqueue", "pidfd-signal", "pidfd-getfd", "ptrace", "vm-read", "proc-mem",
                                  "proc-environ", "prlimit", "renice", "ioprio", "affinity"])
def test_other_processes(user, name):
    check(user, name, user.victim())


@pytest.mark.parametrize("name", ["ptrace", "vm-read", "pidfd-getfd"])
def test_other_processes_with_ptrace_allowed(user, name):
    check(user, name, user.victim(), allow="ptrace")


@pytest.mark.parametrize("name", ["proc-mem", "proc-environ"])
def test_other_processes_with_proc_granted(user, name):
    check(user, name, user.victim(), read_write="/proc")


def test_processes_are_not_listed(user):
    check(user, "proc-list")


def test_signals_can_be_allowed(user):
    assert user.inside("kill", user.victim(), allow="signals") == "done"


def test_signals_inside(user):
    out = user.run(user.config(["/bin/sh", "-c", "sleep 100 & kill $! && wait $!; echo $?"]))
    assert out == f"{128 + signal.SIGTERM}\n"


# ---- the kernel

@pytest.mark.parametrize("name", ["userns", "clone-userns", "clone3-userns", "add-key", "keyctl", "io_uring", "userfaultfd", "perf",
                                  "shm", "msg"])
def test_kernel(user, name):
    if user.outside(name) in ("EPERM", "EACCES") and user.uid:
        pytest.skip(f"only root may do it on this host: {name}")
    check(user, name)


def test_posix_queues(user):
    check(user, "mq", "ringwall-test")


@pytest.mark.parametrize("name", ["mountns", "setns", "bpf", "fsopen"])
def test_kernel_as_root(root, name):
    check(root, name)


def test_mount_and_chroot(root):
    folder = root.folder("granted")
    check(root, "chroot", folder, read_write=folder)
    check(root, "mount", folder, read_write=folder, again=lambda: subprocess.run(["umount", folder], check=True))


def test_the_32_bit_gate_is_shut(user):
    assert user.outside("gate-32") == "done"
    config = user.config([user.escape, "gate-32"])
    user.run(config, status=128 + signal.SIGSYS)


def test_ipc_and_ptrace_can_be_allowed(user):
    assert user.inside("shm", allow="ipc") == "done"
    assert user.inside("vm-read", os.getpid(), allow="ptrace") in REFUSED
    out = user.run(user.config([user.escape, "gate-32"]), status=None)
    assert "done" not in out


# ---- terminal, descriptors, environment

@pytest.mark.parametrize("name", ["tiocsti", "tiocsti-rubbish"])
def test_nothing_is_typed_into_the_callers_terminal(user, name):
    def on_terminal(attempt):
        master, slave = pty.openpty()
        try:
            user.own(os.ttyname(slave))
            return attempt(slave)
        finally:
            os.close(slave)
            os.close(master)

    assert on_terminal(lambda fd: user.inside(name, stdin=fd)) in REFUSED

    def without_wall(fd):
        return user.call([user.escape, name], stdin=fd, start_new_session=True,
                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))[1].strip()
    outside = on_terminal(without_wall)
    if outside == "EIO":
        pytest.skip("this kernel has TIOCSTI switched off (dev.tty.legacy_tiocsti)")
    assert outside == "done"


def test_descriptors_are_closed(user):
    r, w = os.pipe()
    try:
        config = user.config([user.escape, "descriptors"])
        assert user.run(config, pass_fds=[r, w]).strip() == "EBADF"
        assert user.call([user.escape, "descriptors"], pass_fds=[r, w])[1].strip() == "done"
    finally:
        os.close(r)
        os.close(w)


def test_environment_is_cleared(user):
    env = {**os.environ, "RINGWALL_TEST_SECRET": "x"}
    assert user.run(user.config([user.escape, "environment", "RINGWALL_TEST_SECRET"]), env=env).strip() == "ENOENT"
    assert user.call([user.escape, "environment", "RINGWALL_TEST_SECRET"], env=env)[1].strip() == "done"


def test_no_privilege_is_gained(user):
    assert user.inside("new-privileges") == "EPERM"
    assert user.outside("new-privileges") == "done"


def test_no_capabilities(root):
    out = root.run(root.config(["/bin/grep", "Cap", "/proc/self/status"]))
    values = {line.split()[0]: int(line.split()[1], 16) for line in out.splitlines()}
    assert values == {f"Cap{s}:": 0 for s in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


# ---- processes of the box are found without a control group

def ended(pids):
    """Whether all are gone, or dead and only not yet reaped."""
    for p in pids:
        try:
            fields = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        if fields[0] not in "ZX" or int(fields[17]) > 1:
            return False
    return True


def running(*args):
    wanted = b"".join(a.encode() + b"\0" for a in args)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{pid}/cmdline", "rb").read() == wanted:
                return True
        except OSError:
            continue
    return False


def test_nobody_leaves_the_session(user):
    check(user, "setsid")


def test_delete_ends_all_processes(user):
    script = "(sleep 300 & sleep 300 &) ; sleep 300 & exec sleep 300"
    user.ringwall("run", "--detach", f"--bundle={user.bundle(user.config(['/bin/sh', '-c', script]))}", "many")
    pids = wait_for(lambda: (lambda v: v if len(v) == 4 else None)(json.loads(user.ringwall("ps", "--format=json", "many"))), 10)
    user.ringwall("delete", "--force", "many")
    assert ended(pids)


def test_kill_all_after_the_first_process_ended(user):
    script = "sleep 300 & sleep 300 & exit 0"
    user.ringwall("run", "--detach", f"--bundle={user.bundle(user.config(['/bin/sh', '-c', script]))}", "orphans")
    wait_for(lambda: json.loads(user.ringwall("state", "orphans"))["status"] == "stopped", 10)
    pids = json.loads(user.ringwall("ps", "--format=json", "orphans"))
    assert len(pids) == 2
    user.ringwall("delete", "orphans")
    assert ended(pids)


def test_a_process_whose_first_thread_ended_is_found(user):
    config = user.config([user.escape, "headless", "300"])
    user.ringwall("run", "--detach", f"--bundle={user.bundle(config)}", "headless")
    (pid,) = json.loads(user.ringwall("ps", "--format=json", "headless"))
    wait_for(lambda: open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z", 10)
    assert len(json.loads(user.ringwall("ps", "--format=json", "headless"))) == 1
    user.ringwall("delete", "--force", "headless")
    assert ended([pid])


def test_pause_and_resume(user):
    path = user.file("count/ticks", "")
    script = f"while :; do echo x >>{path}; sleep 0.02; done"
    config = user.config(["/bin/sh", "-c", script], read_write=os.path.dirname(path))
    user.ringwall("run", "--detach", f"--bundle={user.bundle(config)}", "ticker")
    wait_for(lambda: os.path.getsize(path) > 4, 10)
    user.ringwall("pause", "ticker")
    assert json.loads(user.ringwall("state", "ticker"))["status"] == "paused"
    size = os.path.getsize(path)
    time.sleep(0.3)
    assert os.path.getsize(path) == size
    user.ringwall("resume", "ticker")
    wait_for(lambda: os.path.getsize(path) > size, 10)
    user.ringwall("delete", "--force", "ticker")


def test_exec_is_behind_the_same_wall(user):
    secret = user.file("elsewhere/secret")
    user.ringwall("run", "--detach", f"--bundle={user.bundle(user.config(['/bin/sleep', '300']))}", "host")
    assert user.ringwall("exec", "host", user.escape, "read-file", secret).strip() == "EACCES"
    assert user.ringwall("exec", "host", user.escape, "setsid").strip() == "EPERM"
    user.ringwall("exec", "--detach", "host", "/bin/sleep", "300")
    assert len(json.loads(user.ringwall("ps", "--format=json", "host"))) == 2
    user.ringwall("delete", "--force", "host")


def test_exec_does_not_grow_the_record_for_ever(user):
    user.ringwall("run", "--detach", f"--bundle={user.bundle(user.config(['/bin/sleep', '300']))}", "busy")
    user.ringwall("exec", "--detach", "busy", "/bin/sleep", "300")
    for _ in range(40):
        user.ringwall("exec", "busy", "/bin/true")
    record = json.load(open(os.path.join(user.root, "busy/state.json")))
    sessions = record["data"]["sessions"]
    assert len(sessions) <= 33
    assert len(json.loads(user.ringwall("ps", "--format=json", "busy"))) == 2  # the early one is still known
    user.ringwall("delete", "--force", "busy")


def test_killed_in_the_making_nothing_is_left(user):
    bundle = user.bundle(user.config(["/bin/sleep", "4243"]))
    for i in range(25):
        p = user.popen(user.command("run", f"--bundle={bundle}", f"cut-{i}"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(i * 0.0003)
        p.kill()
        p.wait()
        user.ringwall("delete", "--force", f"cut-{i}")
    wait_for(lambda: not running("/bin/sleep", "4243"), 10)


# ---- inside another container

def hide_calls(*numbers):
    """A filter program as bwrap --seccomp takes it: ENOSYS for the NUMBERS, as container engines hide clone3."""
    code = [struct.pack("HBBI", 0x20, 0, 0, 0)]
    for i, n in enumerate(numbers):
        code.append(struct.pack("HBBI", 0x15, len(numbers) - i, 0, n))
    code.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
    code.append(struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | 38))
    return b"".join(code)


@pytest.mark.parametrize("hidden", [(), (435,)], ids=["plain", "without-clone3"])
def test_inside_bubblewrap(user, hidden):
    if not shutil.which("bwrap"):
        pytest.skip("package bubblewrap is missing")
    secret = user.file("elsewhere/secret")
    config = user.config(["/bin/sh", "-c", f"{user.escape} read-file {secret}; {user.escape} userns; {user.escape} read-file {user.escape}"])
    bundle = user.bundle(config)
    read, write = os.pipe()
    os.write(write, hide_calls(*hidden))
    os.close(write)
    outer = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--bind", user.home, user.home,
             "--seccomp", str(read)]
    try:
        code, out, err = user.call([*outer, *user.command("run", f"--bundle={bundle}", "inner")], pass_fds=[read])
    finally:
        os.close(read)
    if "setting up uid map" in err or "No permissions to create" in err:
        pytest.skip(f"this user cannot make a container: {err}")
    assert (code, out.split()) == (0, ["EACCES", "EPERM", "done"]), err


# ---- roots

def make_root(user):
    folder = user.folder("image")
    os.makedirs(f"{folder}/bin")
    shutil.copy2("/bin/busybox", f"{folder}/bin/busybox")
    os.symlink("busybox", f"{folder}/bin/sh")
    shutil.copy2(user.escape, f"{folder}/bin/escape")
    with open(f"{folder}/data", "w") as f:
        f.write("image\n")
    subprocess.run(["chown", "-R", f"{user.uid}:{user.gid}", folder], check=True)
    return folder


def test_a_program_of_an_image(user):
    image = make_root(user)
    secret = user.file("elsewhere/secret")
    out = user.run(user.config(["sh", "-c", "echo $0 $(busybox uname -s)"], root=image))
    assert out == "sh Linux\n"
    data = "/data" if user.uid == 0 else f"{image}/data"  # root gets the image as its root directory
    assert user.run(user.config(["/bin/escape", "read-file", data], root=image)).strip() == "done"
    assert user.run(user.config(["/bin/escape", "write-file", data], root=image)).strip() == "EACCES"
    assert user.run(user.config(["/bin/escape", "read-file", secret], root=image)).strip() == ("ENOENT" if user.uid == 0 else "EACCES")
    config = user.config(["/bin/escape", "write-file", data], root=image)
    config["root"]["readonly"] = False
    assert user.run(config).strip() == "done"


def test_a_dynamic_program_of_an_image_needs_a_root(user):
    image = make_root(user)
    shutil.copy2("/bin/true", f"{image}/bin/dynamic")
    if user.uid == 0:  # gets the image as its root directory, which has no loader
        assert "dynamic" in user.run(user.config(["dynamic"], root=image), status=127)
        return
    with open(f"{image}/bin/script", "w") as f:
        f.write("#!/bin/sh\n")
    os.chmod(f"{image}/bin/script", 0o755)
    assert "dynamically linked" in user.run(user.config(["dynamic"], root=image), status="fail")
    assert "script" in user.run(user.config(["/bin/script"], root=image), status="fail")
    assert "no-such-program" in user.run(user.config(["no-such-program"], root=image), status=127)


# ---- what is refused

REFUSALS = {
    "linux.namespaces: pid": lambda c: c.update(linux={"namespaces": [{"type": "pid"}]}),
    "linux.namespaces: user": lambda c: c.update(linux={"namespaces": [{"type": "user"}]}),
    "hostname": lambda c: c.update(hostname="box"),
    "mounts[0] /tmp": lambda c: c.update(mounts=[{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]),
    "mounts[0] /mnt": lambda c: c.update(mounts=[{"destination": "/mnt", "type": "bind", "source": "/tmp", "options": ["bind"]}]),
    "linux.devices": lambda c: c.update(linux={"devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]}),
    "linux.sysctl": lambda c: c.update(linux={"sysctl": {"net.ipv4.ip_forward": "1"}}),
    "linux.uidMappings": lambda c: c.update(linux={"uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}),
    "process.capabilities CAP_SYS_ADMIN": lambda c: c["process"].update(
        capabilities={s: ["CAP_SYS_ADMIN"] for s in ("bounding", "effective", "permitted")}),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_cannot_be_honoured_is_refused(user, what):
    config = user.config(["/bin/true"])
    user.run(config)
    REFUSALS[what](config)
    out = user.run(config, status=125)
    assert what in out, out


def test_another_user_is_refused(user):
    config = user.config(["/bin/true"])
    config["process"]["user"]["uid"] = 12345
    if user.uid == 0:
        config["process"]["args"] = ["/usr/bin/id", "-u"]
        assert user.run(config) == "12345\n"
    else:
        assert "process.user 12345" in user.run(config, status=125)


BAD_ANNOTATIONS = {
    "read-only": "relative/path", "read-write": "/tmp/../etc", "tcp-connect": "80,x", "tcp-bind": "65536", "allow": "udp,everything",
    "floor": "files,nothing", "system": "maybe", "read-onyl": "/tmp",
}


@pytest.mark.parametrize("key", BAD_ANNOTATIONS)
def test_bad_annotations(user, key):
    config = user.config(["/bin/true"])
    config["annotations"][PREFIX + key] = BAD_ANNOTATIONS[key]
    assert key in user.run(config, status=125)


def test_a_missing_path_is_named(user):
    assert "/no/such/path" in user.run(user.config(["/bin/true"], read_write="/no/such/path"), status=125)


def test_a_bind_mount_onto_itself_is_a_grant(user):
    path = user.file("granted/file")
    config = user.config([user.escape, "write-file", path])
    config["mounts"] = [{"destination": os.path.dirname(path), "type": "bind", "source": os.path.dirname(path), "options": ["rbind"]}]
    assert user.run(config).strip() == "done"
    config["mounts"][0]["options"] = ["rbind", "ro"]
    assert user.run(config).strip() == "EACCES"


def test_without_the_hosts_system(user):
    assert user.run(user.config([user.escape, "read-file", "/etc/passwd"])).strip() == "done"
    assert user.run(user.config([user.escape, "read-file", "/etc/passwd"], system="false")).strip() == "EACCES"


def test_a_second_filter_from_the_configuration(user):
    config = user.config([user.escape, "read-file", user.escape])
    assert user.run(config).strip() == "done"
    config["linux"] = {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
                                   "syscalls": [{"names": ["openat", "open"], "action": "SCMP_ACT_ERRNO", "errnoRet": 33}]}}
    assert user.run(config).strip() == "EDOM"
    config["process"]["args"] = [user.escape, "setsid"]  # the wall's own is still there
    assert user.run(config).strip() == "EPERM"
