"""Faults on the create path: every system call failed once, in the runtime and in every process that it starts, and the
runtime killed at every system call. Nothing may be left: after a failed create by itself, after a kill by `delete -f`.

An ordinary run takes a spread of the calls (RINGWALL_FAULTS for each process, 40), RINGWALL_LONG=1 takes all.
"""
import errno
import os
import random
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../conformance"))
import conftest as lab  # noqa: E402
from conftest import TOP, Boundary, Bundle, Runtime, Snapshot, leaks, pytest_configure, session, wait_for, workdir  # noqa: E402,F401

INJECT = os.path.abspath(os.environ.get("RINGWALL_INJECT", os.path.join(TOP, "build/tests/fault/inject")))
SPREAD = int(os.environ.get("RINGWALL_FAULTS", "40"))
BRK = 12
LONG = bool(os.environ.get("RINGWALL_LONG"))


class Attempt:
    """One create under the injector."""
    def __init__(self, workdir, bundle, process, number, action):
        self.runtime = Runtime(Boundary("container", set()), workdir)
        self.runtime.ids.append(f"rwt-{os.getpid()}-fault")
        self.id = self.runtime.ids[0]
        self.report = os.path.join(workdir, "report")
        command = [INJECT, self.report, str(process), str(number), str(action),
                   *self.runtime.command("create", f"--bundle={bundle.path}", self.id)]
        with open(os.path.join(workdir, "err"), "w+") as err:
            try:
                self.status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, timeout=20 * lab.SCALE,
                                             env=self.runtime.env).returncode
            except subprocess.TimeoutExpired:
                self.status = "timeout"
            err.seek(0)
            self.err = err.read().strip()
        self.calls, self.injected = {}, None
        for line in open(self.report):
            words = line.split()
            if words[0] == "process":
                self.calls[int(words[1])] = int(words[2])
            else:
                self.injected = int(words[3])


def fault(workdir, bundle, before, process, number, action):
    """One fault and what was wrong about its outcome, or None."""
    a = Attempt(workdir, bundle, process, number, action)
    where = f"process {process}, call {number} (system call {a.injected})"
    complaint = None
    if a.status == "timeout":
        complaint = f"{where}: hangs"
    elif a.status == 0 or action == "kill":
        # What the fault did not stop, or was cut off: delete takes it all away.
        known = os.path.exists(os.path.join(a.runtime.root, a.id))
        r = a.runtime("delete", "--force", a.id, status=None)
        if r.status:
            complaint = f"{where}: delete -f failed ({'known' if known else 'unknown'} box): {r.err.strip()[-200:]}"
    elif a.injected == BRK and number <= 4 and a.status == 128 + signal.SIGSEGV:
        pass  # a static program's C library, before main(), has no other memory
    elif not a.err:
        complaint = f"{where}: exit status {a.status} without a word"
    if complaint is None:
        try:
            wait_for(lambda: not Snapshot().left(before), 3, lambda: "")
        except AssertionError:
            complaint = f"{where}, exit status {a.status} ({a.err[-160:]}): left: {'; '.join(Snapshot().left(before)[:4])}"
    rest = os.listdir(a.runtime.root) if os.path.isdir(a.runtime.root) else []
    if rest and complaint is None:
        complaint = f"{where}, exit status {a.status} ({a.err[-160:]}): left in the state directory: {rest}"
    a.runtime("delete", "--force", a.id, status=None)
    for pid in Snapshot().processes.keys() - before.processes.keys():
        os.kill(pid, 9)
    for path in sorted(Snapshot().cgroups, key=len, reverse=True):
        try:
            os.rmdir(path)
        except OSError:
            pass
    subprocess.run(["rm", "-rf", "--one-file-system", a.runtime.root], check=False)
    return complaint


def numbers(count):
    if LONG or count <= SPREAD:
        return range(1, count + 1)
    picked = random.Random(count)
    return sorted(picked.sample(range(1, count + 1), SPREAD))


@pytest.fixture
def bundle(workdir):
    b = Bundle(os.path.join(workdir, "bundle"))
    b.linux["resources"] = {"pids": {"limit": 50}, "devices": [{"allow": False, "access": "rwm"}]}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kcmp"], "action": "SCMP_ACT_ERRNO"}]}
    b.namespace("cgroup")
    b.save()
    return b


@pytest.fixture
def calls(workdir, bundle):
    """System calls of every process of an undisturbed create."""
    a = Attempt(workdir, bundle, 0, 0, errno.ENOMEM)
    assert a.status == 0, a.err
    a.runtime("delete", "--force", a.id)
    return a.calls


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EPERM])
def test_every_call_fails_once(workdir, bundle, calls, error):
    before = Snapshot()
    complaints = [fault(workdir, bundle, before, process, n, error) for process, count in calls.items() for n in numbers(count)]
    complaints = [c for c in complaints if c]
    assert not complaints, f"{len(complaints)} of {sum(len(numbers(c)) for c in calls.values())}:\n" + "\n".join(complaints)


def test_runtime_is_killed_at_every_call(workdir, bundle, calls):
    before = Snapshot()
    complaints = [fault(workdir, bundle, before, process, n, "kill") for process, count in calls.items() for n in numbers(count)]
    complaints = [c for c in complaints if c]
    assert not complaints, f"{len(complaints)} of {sum(len(numbers(c)) for c in calls.values())}:\n" + "\n".join(complaints)


def test_the_injector_injects(workdir, bundle, calls):
    """The instrument itself: a failing mkdirat of the runtime's is reported, and counted where it was asked for."""
    assert calls[0] > 50 and len(calls) >= 2, calls
    a = Attempt(workdir, bundle, 0, calls[0] // 2, errno.ENOSPC)
    assert a.injected is not None
    a.runtime("delete", "--force", a.id, status=None)
