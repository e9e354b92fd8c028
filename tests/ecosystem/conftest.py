"""The engines that people have, on top of our program: Podman and containerd, from Debian's packages, each with storage,
state and sockets of its own in a temporary folder. RINGWALL chooses the program (build/ringwall)."""
import ctypes
import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("RINGWALL", os.path.join(TOP, "build/ringwall")))
SCALE = float(os.environ.get("RINGWALL_TIMEOUT_SCALE", "1"))
APPLETS = "sh sleep cat echo true false id ls mount hostname pwd env ps test touch kill stty seq head grep".split()
MS_REC, MS_PRIVATE, MS_SHARED = 0x4000, 1 << 18, 1 << 20


def pytest_configure(config):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x20000) == 0, "these tests need root: no mount namespace"
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    libc.mount(b"none", b"/", None, MS_REC | MS_SHARED, None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("RINGWALL_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be skipped: {report.longrepr}"


def execute(command, status=0, timeout=60, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    if "input" in more:
        del more["stdin"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        r = subprocess.run(command, stdout=out, stderr=err, timeout=timeout * SCALE, **more)
        out.seek(0)
        err.seek(0)
        r.out, r.err = out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")
    if status is not None:
        assert r.returncode == status, f"{' '.join(command)}\nexit status {r.returncode}\n{r.out}\n{r.err}"
    return r


def on_terminal(command, text=b"", ready=b"ready", timeout=40, size=(30, 90)):
    """Runs COMMAND on a terminal; types TEXT once READY was shown. Returns exit status and what was shown."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    shown, end = b"", time.monotonic() + timeout * SCALE
    os.set_blocking(master, False)
    while time.monotonic() < end:
        try:
            more = os.read(master, 4096)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        except OSError:
            break
        shown += more
        if text and ready in shown:
            os.write(master, text)
            text = b""
    process.wait(max(1, end - time.monotonic()))
    os.close(master)
    return process.returncode, shown.decode("utf-8", "replace").replace("\r\n", "\n")


@pytest.fixture(scope="session")
def rootfs_tar(tmp_path_factory):
    """A file system of busybox alone, as a tar."""
    root = tmp_path_factory.mktemp("rootfs")
    os.chmod(root, 0o755)
    for d in ("bin", "dev", "etc", "proc", "sys", "tmp", "root", "run"):
        os.makedirs(root / d)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in APPLETS:
        os.symlink("busybox", root / "bin" / applet)
    with open(root / "etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n")
    tar = tmp_path_factory.mktemp("tar") / "rootfs.tar"
    execute(["tar", "-C", str(root), "-cf", str(tar), "."])
    return str(tar)


def stop_group(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
