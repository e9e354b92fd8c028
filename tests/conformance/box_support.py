"""What the tests of boxes made from images share: a program with its own state and image store, and a look at what it left."""
import os
import shutil
import subprocess
import tempfile

import pytest

from conftest import PROGRAM, SCALE, wait_for

STORE = None  # one image store for the session: the built-in image is unpacked once


class Boxes:
    def __init__(self, directory, store):
        self.directory, self.store = directory, store
        self.root = os.path.join(directory, "run")
        self.names = []
        self.prefix = f"rwt-{os.getpid()}-{os.path.basename(directory)[-6:]}".replace("_", "x")

    def name(self, hint):
        name = f"{self.prefix}-{hint}"
        self.names.append(name)
        return name

    def command(self, *args):
        return [PROGRAM, f"--root={self.root}", f"--store={self.store}", *map(str, args)]

    def __call__(self, *args, status=0, timeout=60, **more):
        more.setdefault("stdin", subprocess.DEVNULL)
        if "input" in more:
            del more["stdin"]
        with tempfile.TemporaryFile(dir=self.directory) as out, tempfile.TemporaryFile(dir=self.directory) as err:
            r = subprocess.run(self.command(*args), stdout=out, stderr=err, timeout=timeout * SCALE, **more)
            out.seek(0)
            err.seek(0)
            r.out, r.err = out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")
        shown = f"{' '.join(map(str, args))}: status {r.returncode}\n--- stdout\n{r.out}\n--- stderr\n{r.err}"
        if status == "fail":
            assert r.returncode != 0, shown
        elif status is not None:
            assert r.returncode == status, shown
        r.shown = shown
        return r

    def run(self, *args, flags=(), network="none", **more):
        """`run --rm` in the foreground, with no network unless asked."""
        chosen = [f"--network={network}"] if network else []
        return self("run", "--rm", *chosen, *flags, "base", *args, **more)

    def detached(self, hint, *args, flags=(), network="none", **more):
        name = self.name(hint)
        chosen = [f"--network={network}"] if network else []
        r = self("run", "-d", "--name", name, *chosen, *flags, "base", *args, **more)
        assert r.out == name + "\n", r.shown
        return name

    def list(self):
        return self("list", "-q").out.split()

    def finish(self):
        left = self.list()
        for name in left:
            self("delete", "-f", name, status=None)
        unexpected = [n for n in left if n not in self.names]
        folders = os.path.join(self.store, "boxes")
        pins = os.path.join(self.store, "pins")
        assert not unexpected, f"boxes left behind: {unexpected}"
        assert os.listdir(folders) == [] if os.path.isdir(folders) else True, "folders of boxes left behind"
        assert os.listdir(pins) == [] if os.path.isdir(pins) else True, "pinned images left behind"
        assert not os.path.isdir(self.root) or [n for n in os.listdir(self.root) if n[0] != "."] == [], "state left behind"
        with open("/proc/self/mountinfo") as f:
            assert self.store not in f.read(), "mounts left behind"
        for base, dirs, _ in os.walk("/sys/fs/cgroup"):
            mine = [d for d in dirs if d.startswith(self.prefix)]
            assert not mine, f"control groups left behind: {base}/{mine}"
        wait_for(lambda: not monitors(self.store), 5, lambda: f"monitors left behind: {monitors(self.store)}")


def monitors(store):
    """Pids of the monitors that look after boxes of STORE."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"ringwall-monitor") and any(w.startswith(store.encode()) for w in words):
            found.append(int(pid))
    return found


@pytest.fixture(scope="session")
def image_store():
    directory = tempfile.mkdtemp(prefix="ringwall-store.")
    yield os.path.join(directory, "store")
    shutil.rmtree(directory)


@pytest.fixture
def boxes(image_store):
    directory = tempfile.mkdtemp(prefix="ringwall-boxes.")
    os.chmod(directory, 0o711)  # as /run is: the root of a user namespace walks through
    b = Boxes(directory, image_store)
    yield b
    b.finish()
    shutil.rmtree(directory)
