"""The framework of the conformance tests: runs the program under test on bundles made here, behind every boundary that can
do what a test needs, and fails a test that leaves anything behind.

RINGWALL=PATH chooses the program (build/ringwall), RINGWALL_PROBE the workload (build/tests/conformance/probe).
RINGWALL_BOUNDARIES=NAME,... runs only these. RINGWALL_NO_SKIP=1 makes a skip a failure: the second host has everything that a test may need.
"""
import atexit
import copy
import ctypes
import errno
import functools
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.path.abspath(os.environ.get("RINGWALL", os.path.join(TOP, "build/ringwall")))
PROBE = os.path.abspath(os.environ.get("RINGWALL_PROBE", os.path.join(TOP, "build/tests/conformance/probe")))
SCALE = float(os.environ.get("RINGWALL_TIMEOUT_SCALE", "1"))
STAND_IN = not os.path.basename(PROGRAM).startswith("ringwall")  # another runtime, to try the tests themselves

APPLETS = ("cat chmod chown cp cut dd df echo env false find grep head hostname id ip kill ln ls mkdir mknod mount mv nproc ps pwd "
           "readlink rm sed seq setsid sh sleep sort stat stty tail tar test touch tr true tty umount uname usleep wc").split()


class Boundary:
    """One wall as the tests see it. CAN: the `needs` marks that it meets."""
    def __init__(self, name, can):
        self.name, self.can = name, can

    def __repr__(self):
        return self.name


# A boundary joins the suite with one line here.
BOUNDARIES = [
    Boundary("container", {"lifecycle", "exec", "pause", "stats", "update", "terminal", "hooks", "namespaces", "mounts", "devices",
                           "users", "capabilities", "cgroups", "seccomp", "rootfs", "signals", "rlimits"}),
    Boundary("process", {"lifecycle", "signals", "rlimits", "hooks", "exec", "pause", "stats", "process-wall"}),
    Boundary("wasm", {"wasm-wall"}),
]

CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWIPC = 0x20000, 0x40000000, 0x08000000
MS_REC, MS_PRIVATE, MS_SHARED = 0x4000, 1 << 18, 1 << 20
PR_SET_CHILD_SUBREAPER = 36
libc = ctypes.CDLL(None, use_errno=True)


def libc_check(result, what):
    if result < 0:
        e = ctypes.get_errno()
        raise OSError(e, f"{what}: {os.strerror(e)}")
    return result


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*what): generated only for the boundaries that can do all of WHAT")
    if os.geteuid() != 0:
        return
    # Own mount, network and IPC namespaces make 'what is left behind' exact although others use the machine. Mounts are
    # shared below, as systemd has it, so that a mount which spreads is seen. What is orphaned becomes our child.
    libc_check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC), "unshare")
    libc_check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount --make-rprivate /")
    libc_check(libc.mount(b"none", b"/", None, MS_REC | MS_SHARED, None), "mount --make-rshared /")
    libc_check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False, stderr=subprocess.DEVNULL)
    if STAND_IN:  # crun refuses hybrid cgroups
        subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=False, stderr=subprocess.DEVNULL)


def pytest_generate_tests(metafunc):
    if "boundary" not in metafunc.fixturenames:
        return
    needs = {"lifecycle"}
    for mark in metafunc.definition.iter_markers("needs"):
        needs |= set(mark.args)
    if any(n.endswith("-wall") for n in needs):  # one wall's own tests, which bring their own workload
        needs.discard("lifecycle")
    able = [b for b in BOUNDARIES if needs <= b.can]
    assert able, f"no boundary can do {needs}"
    metafunc.parametrize("boundary", able, ids=repr)


def pytest_collection_modifyitems(config, items):
    chosen = ["container"] if STAND_IN else os.environ.get("RINGWALL_BOUNDARIES", "").split(",")
    if not any(chosen):
        return
    others = [i for i in items if hasattr(i, "callspec") and "boundary" in i.callspec.params and i.callspec.params["boundary"].name not in chosen]
    config.hook.pytest_deselected(items=others)
    items[:] = [i for i in items if i not in others]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("RINGWALL_NO_SKIP") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be skipped: {report.longrepr}"


# ---------------------------------------------------------------------------------------------------------------- running


class Result:
    """What a finished command left: exit status, standard output and error as text."""
    def __init__(self, args, status, out, err):
        self.args, self.status, self.out, self.err = args, status, out, err

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"{' '.join(map(str, self.args))}\nexit status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Runtime:
    """The program under test with its own state directory."""
    def __init__(self, boundary, directory):
        self.boundary = boundary
        self.root = os.path.join(directory, "state")
        self.directory = directory
        self.ids = []
        self.env = {**os.environ, "TMPDIR": directory}
        self.background = []

    def id(self, hint="box"):
        name = f"rwt-{os.getpid()}-{len(self.ids)}-{hint}"
        self.ids.append(name)
        return name

    def command(self, *args, globals=()):
        chosen = [] if STAND_IN or self.boundary.name == "container" else [f"--isolation={self.boundary.name}"]
        return [PROGRAM, f"--root={self.root}", *chosen, *map(str, globals), *map(str, args)]

    def __call__(self, *args, status=0, timeout=30, globals=(), **more):
        """Runs one verb to its end. STATUS: the expected exit status, None for any, "fail" for any but 0."""
        command = self.command(*args, globals=globals)
        more.setdefault("stdin", subprocess.DEVNULL)
        if "input" in more:
            del more["stdin"]
        # Files, not pipes: a detached box keeps them open.
        with tempfile.TemporaryFile(dir=self.directory) as out, tempfile.TemporaryFile(dir=self.directory) as err:
            try:
                r = subprocess.run(command, stdout=out, stderr=err, timeout=timeout * SCALE, env=more.pop("env", self.env), **more)
                code = r.returncode
            except subprocess.TimeoutExpired:
                code = "timeout"
            out.seek(0)
            err.seek(0)
            result = Result(command, code, out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace"))
        if status == "fail":
            assert result.status not in (0, "timeout") and result.status > 0, f"should have failed: {result!r}"
        elif status is not None:
            assert result.status == status, f"expected exit status {status}: {result!r}"
        return result

    def run(self, bundle, *flags, status=0, id=None, timeout=30, **more):
        """`run` in the foreground, then nothing is left of it."""
        bundle.save()
        return self("run", *flags, f"--bundle={bundle.path}", id or self.id(), status=status, timeout=timeout, **more)

    def create(self, bundle, *flags, id=None, status=0, **more):
        bundle.save()
        id = id or self.id()
        r = self("create", *flags, f"--bundle={bundle.path}", id, status=status, **more)
        return id if status == 0 else r

    def start(self, bundle, *flags, id=None, **more):
        """create and start; the workload is `probe wait` unless the bundle says otherwise."""
        id = self.create(bundle, *flags, id=id, **more)
        self("start", id)
        return id

    def popen(self, *args, globals=(), **more):
        process = subprocess.Popen(self.command(*args, globals=globals), env=more.pop("env", self.env), **more)
        self.background.append(process)
        return process

    def state(self, id):
        return self("state", id).json

    def wait_status(self, id, wanted, timeout=10):
        return wait_for(lambda: self.state(id)["status"] == wanted, timeout, lambda: f"status {wanted}: {self.state(id)}")

    def delete(self, id, *flags, **more):
        return self("delete", *flags, id, **more)

    def finish(self):
        """Ends what the test left running, with the program's own means."""
        for process in self.background:
            if process.poll() is None:
                process.kill()
            process.wait()
            for f in (process.stdin, process.stdout, process.stderr):
                if f:
                    f.close()
        if os.path.isdir(self.root):
            for id in self.ids:
                if os.path.exists(os.path.join(self.root, id)):
                    self("delete", "-f", id, status=None)


def wait_for(condition, timeout=10, message=lambda: "condition"):
    """Polls CONDITION until it is true and returns its value."""
    end = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {timeout} s: {message() if callable(message) else message}"
        time.sleep(0.02)


# ---------------------------------------------------------------------------------------------------------------- bundles

def default_config():
    """A configuration as `spec` makes it, with what most tests need and nothing that slows them down."""
    return {
        "ociVersion": "1.0.2" if STAND_IN else "1.3.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/probe", "wait"],
            "env": ["PATH=/bin", "TERM=dumb"],
            "cwd": "/",
            "capabilities": {k: ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"] for k in ("bounding", "effective", "permitted")},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys", "/proc/bus"],
        },
    }


@functools.lru_cache(maxsize=None)
def workload(name):
    """A copy of the host's program NAME that every bundle links to."""
    source = {"busybox": "/bin/busybox", "probe": PROBE}[name]
    target = os.path.join(session_directory(), name)
    shutil.copy2(source, target)
    return target


@functools.lru_cache(maxsize=None)
def session_directory():
    """Where all tests work: a tmpfs of our own mount namespace, where the kernel can map ids on one (6.3)."""
    path = tempfile.mkdtemp(prefix="ringwall-session.")
    if os.geteuid() == 0 and tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 3):
        libc_check(libc.mount(b"tmpfs", path.encode(), b"tmpfs", 0, b"mode=755"), "mount tmpfs")
        atexit.register(lambda: (libc.umount2(path.encode(), 2), os.rmdir(path)))
    else:
        os.chmod(path, 0o755)
        atexit.register(shutil.rmtree, path, True)
    return path


def make_rootfs(path):
    for d in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp", "home", "mnt"):
        os.makedirs(os.path.join(path, d), exist_ok=True)
    os.chmod(os.path.join(path, "tmp"), 0o1777)
    bin = os.path.join(path, "bin")
    for name in ("busybox", "probe"):
        os.link(workload(name), os.path.join(bin, name))
    for applet in APPLETS:
        os.symlink("busybox", os.path.join(bin, applet))
    with open(os.path.join(path, "etc/passwd"), "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n")
    with open(os.path.join(path, "etc/group"), "w") as f:
        f.write("root:x:0:\ntty:x:5:\nuser:x:1000:\n")


class Bundle:
    """A bundle of its own for one test: change .config, then let the runtime at it."""
    def __init__(self, path, boundary=None):
        self.path = path
        self.rootfs = os.path.join(path, "rootfs")
        self.config = default_config()
        self.boundary = boundary
        os.makedirs(path)
        os.chmod(path, 0o755)
        make_rootfs(self.rootfs)

    @property
    def process(self):
        return self.config["process"]

    @property
    def linux(self):
        return self.config["linux"]

    def args(self, *args):
        self.process["args"] = list(args)
        return self

    def sh(self, script):
        return self.args("/bin/sh", "-c", script)

    def mount(self, destination, type="bind", source=None, options=()):
        self.config["mounts"].append({"destination": destination, "type": type, "source": source or type, "options": list(options)})
        return self

    def namespace(self, type, path=None):
        self.no_namespace(type)
        self.linux["namespaces"].append({"type": type, **({"path": path} if path else {})})
        return self

    def no_namespace(self, *types):
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] not in types]
        return self

    def caps(self, *names, sets=("bounding", "effective", "permitted")):
        self.process["capabilities"] = {s: list(names) for s in sets}
        return self

    def userns(self, host=100000, size=65536):
        self.namespace("user")
        self.linux["uidMappings"] = [{"containerID": 0, "hostID": host, "size": size}]
        self.linux["gidMappings"] = [{"containerID": 0, "hostID": host, "size": size}]
        for name in ("busybox", "probe"):  # of its own now, since their owner changes
            path = os.path.join(self.rootfs, "bin", name)
            os.unlink(path)
            shutil.copy2(workload(name), path)
        for folder, dirs, files in os.walk(self.rootfs):
            for name in dirs + files + ["."]:
                os.lchown(os.path.join(folder, name), host, host)
        return self

    def save(self):
        config = self.config
        if self.boundary and self.boundary.name == "process":
            config = process_config(self)
        with open(os.path.join(self.path, "config.json"), "w") as f:
            json.dump(config, f)

    def file(self, path, text="", mode=0o644):
        full = os.path.join(self.rootfs, path.lstrip("/"))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)
        os.chmod(full, mode)
        return full


def process_config(bundle):
    """The process wall has no view of its own: the same workload, without what needs namespaces, at its path on the host."""
    config = copy.deepcopy(bundle.config)
    for key in ("hostname", "mounts"):
        config.pop(key, None)
    for key in ("namespaces", "maskedPaths", "readonlyPaths"):
        config.get("linux", {}).pop(key, None)
    config["process"].pop("capabilities", None)
    return config


# ---------------------------------------------------------------------------------------------------------------- fixtures

@pytest.fixture(scope="session")
def doctor():
    if STAND_IN:
        return {}
    r = subprocess.run([PROGRAM, "doctor", "--json"], capture_output=True, text=True, timeout=60 * SCALE)
    if r.returncode: return {}
    found = json.loads(r.stdout)
    return {w["name"]: w for w in found.get("walls", found.get("boundaries", []))}


def read_lines(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as f:
        return f.read().splitlines()


def children():
    found = {}
    for task in os.listdir("/proc/self/task"):
        try:
            pids = open(f"/proc/self/task/{task}/children").read().split()
        except OSError:  # a thread of a test's that has just ended
            continue
        for pid in pids:
            try:
                found[int(pid)] = open(f"/proc/{pid}/comm").read().strip()
            except OSError:
                pass
    return found


def reap():
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def cgroups():
    """Control groups that carry one of the boxes' names, down to the depth at which runtimes make them."""
    found, level = [], ["/sys/fs/cgroup"]
    for _ in range(5):
        below = []
        for folder in level:
            try:
                with os.scandir(folder) as entries:
                    below += [e.path for e in entries if e.is_dir(follow_symlinks=False)]
            except FileNotFoundError:
                pass  # others end theirs meanwhile
        found += [path for path in below if f"rwt-{os.getpid()}-" in path]
        level = below
    return found


class Snapshot:
    """All that a box may leave behind."""
    def __init__(self):
        reap()
        self.mounts = [line.split(" ", 3)[3] for line in read_lines("/proc/self/mountinfo")]
        self.interfaces = sorted(name for _, name in socket.if_nameindex())
        self.processes = children()
        self.fds = set(os.listdir("/proc/self/fd"))
        self.cgroups = cgroups()
        # Others use these two as well: only what bears our name counts.
        self.run = [n for d in ("/run", "/dev/shm") for n in sorted(os.listdir(d)) if "ringwall" in n or "rwt-" in n]
        self.sysv = read_lines("/proc/sysvipc/shm")

    def left(self, before):
        found = []
        for name in ("mounts", "interfaces", "run", "sysv", "cgroups"):
            more = list(getattr(self, name))
            for item in getattr(before, name):
                if item in more:
                    more.remove(item)
            found += [f"{name}: {item}" for item in more if not (name == "run" and item in ("ringwall", "ringwall-seccomp", "crun", "runc"))]
        found += [f"process: {pid} ({name})" for pid, name in self.processes.items() if pid not in before.processes]
        found += [f"descriptor: {fd}" for fd in self.fds - before.fds if os.path.exists(f"/proc/self/fd/{fd}")]
        return found


@pytest.fixture(autouse=True)
def leaks(session):
    """Fails a test after which something is left: mounts, control groups, processes (and with them namespaces), links,
    descriptors, files of the state directory."""
    before = Snapshot()
    yield
    # A killed process is gone when its parent was told, which may be a moment later.
    end = time.monotonic() + 5 * SCALE
    while True:
        left = Snapshot().left(before)
        if not left or time.monotonic() > end:
            break
        time.sleep(0.02)
    for pid in Snapshot().processes.keys() - before.processes.keys():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def session():
    """Made before the first test looks around."""
    workload("busybox")
    workload("probe")
    return session_directory()


@pytest.fixture
def workdir(session, leaks):
    path = tempfile.mkdtemp(prefix="ringwall-test.", dir=session_directory())
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ringwall(boundary, workdir, doctor):
    if doctor and not doctor[boundary.name]["usable"]:
        pytest.skip(f"doctor: {doctor[boundary.name].get('reason')}")
    runtime = Runtime(boundary, workdir)
    yield runtime
    runtime.finish()
    rest = [f for f in os.listdir(runtime.root) if f != ".seccomp"] if os.path.isdir(runtime.root) else []  # the cache of filters
    assert not rest, f"left in the state directory: {rest}"


@pytest.fixture
def bundle(boundary, workdir):
    return Bundle(os.path.join(workdir, "bundle"), boundary)


@pytest.fixture
def bundles(boundary, workdir):
    """Makes more bundles."""
    made = []

    def make():
        made.append(Bundle(os.path.join(workdir, f"bundle-{len(made)}"), boundary))
        return made[-1]
    return make


class Console:
    """A unix socket that a runtime sends a terminal's master (or a pidfd, or a listener) to, as --console-socket wants it."""
    def __init__(self, directory, name="console.sock"):
        self.path = os.path.join(directory, name)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.listener.settimeout(15 * SCALE)
        self.fd = -1
        self.data = b""
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(15 * SCALE)
            try:
                self.data, fds, _, _ = socket.recv_fds(connection, 65536, 4)
            except OSError:
                return
            if fds:
                self.fd = fds[0]
                for extra in fds[1:]:
                    os.close(extra)

    def receive(self):
        self.thread.join(15 * SCALE)
        assert self.fd >= 0, "no descriptor came over the socket"
        return self.fd

    def read(self, until, timeout=10):
        """What the terminal shows until UNTIL (bytes) was seen or it hung up."""
        fd, text, end = self.receive(), b"", time.monotonic() + timeout * SCALE
        os.set_blocking(fd, False)
        while until not in text and time.monotonic() < end:
            try:
                more = os.read(fd, 4096)
            except BlockingIOError:
                time.sleep(0.02)
                continue
            except OSError as e:
                if e.errno == errno.EIO:
                    break
                raise
            if not more:
                break
            text += more
        return text.decode("utf-8", "replace").replace("\r\n", "\n")

    def write(self, data):
        os.write(self.receive(), data)

    def close(self):
        self.listener.close()
        self.thread.join(1)
        if self.fd >= 0:
            os.close(self.fd)


@pytest.fixture
def console(workdir):
    c = Console(workdir)
    yield c
    c.close()


@pytest.fixture
def sockets(workdir):
    made = []

    def make(name):
        made.append(Console(workdir, name))
        return made[-1]
    yield make
    for c in made:
        c.close()


def cgroup_file(pid, controller, name):
    """The content of a control group file of PID's, on v1 and v2."""
    for line in read_lines(f"/proc/{pid}/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "" and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            return open(f"/sys/fs/cgroup{path}/{name}").read().strip()
        if controller in controllers.split(","):
            for folder in (controllers, controller):
                if os.path.isdir(f"/sys/fs/cgroup/{folder}{path}"):
                    return open(f"/sys/fs/cgroup/{folder}{path}/{name}").read().strip()
    raise FileNotFoundError(f"{controller} {name} of {pid}")


CGROUP2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
