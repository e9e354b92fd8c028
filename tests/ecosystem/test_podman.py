"""Podman with --runtime: what its users type."""
import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest

from conftest import PROGRAM, SCALE, execute, on_terminal

# Where root lacks CAP_SYS_RESOURCE, Podman's own defaults for these two cannot be raised.
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]


class Podman:
    def __init__(self, directory, *more):
        self.command = ["podman", f"--root={directory}/root", f"--runroot={directory}/run", f"--tmpdir={directory}/tmp",
                        "--storage-driver=vfs", "--events-backend=file", f"--runtime={PROGRAM}", *more]

    def __call__(self, *args, **more):
        return execute([*self.command, *args], **more)

    def run(self, *args, **more):
        return self("run", "--network=none", *LIMITS, *args, **more)


@pytest.fixture(scope="module")
def podman(rootfs_tar):
    if not shutil.which("podman"):
        pytest.fail("podman is not installed: tools/setup test")
    directory = tempfile.mkdtemp(prefix="ringwall-podman.")
    p = Podman(directory, "--cgroup-manager=cgroupfs")
    p("import", "-q", rootfs_tar, "bb")
    yield p
    p("rm", "-fa", status=None)
    left = p("ps", "-aq").out
    subprocess.run(f"umount -R {directory}/root {directory}/run {directory}/tmp 2>/dev/null; true", shell=True)
    shutil.rmtree(directory, ignore_errors=True)
    assert left == ""


@pytest.fixture
def name(podman):
    """A name for a container that is gone afterwards."""
    n = f"rwt{os.getpid()}x{time.monotonic_ns()}"
    yield n
    podman("rm", "-f", "-t", "0", n, status=None)


def test_uses_our_program(podman):
    info = json.loads(podman("info", "--format=json").out)
    assert info["host"]["ociRuntime"]["path"] == PROGRAM
    assert "ringwall" in info["host"]["ociRuntime"]["version"]


def test_run_output_and_status(podman):
    assert podman.run("--rm", "bb", "echo", "hello").out == "hello\n"
    podman.run("--rm", "bb", "sh", "-c", "exit 9", status=9)
    podman.run("--rm", "bb", "/no/such", status=127)
    podman.run("--rm", "bb", "/etc", status=126)


def test_run_with_the_flags_people_use(podman, tmp_path):
    (tmp_path / "file").write_text("from the host\n")
    tmp_path.chmod(0o755)
    r = podman.run("--rm", "-v", f"{tmp_path}:/data:ro", "-e", "A=b", "-w", "/tmp", "-u", "1000:1000", "--hostname=boxy", "--read-only", "--tmpfs=/scratch",
                   "--cap-drop=all", "--memory=64m", "--cpus=0.5", "--pids-limit=50", "bb", "sh", "-c",
                   "cat /data/file; echo $A; pwd; id -u; hostname; touch /x || echo ro; touch /scratch/y && echo rw; grep CapEff /proc/self/status")
    assert r.out.split("\n")[:7] == ["from the host", "b", "/tmp", "1000", "boxy", "ro", "rw"] and r.out.endswith("CapEff:\t0000000000000000\n")


def test_exec_pause_stop_remove(podman, name):
    podman.run("-d", "--name", name, "bb", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done")
    assert podman("exec", name, "echo", "inside").out == "inside\n"
    assert podman("exec", "-u", "1000", "-w", "/tmp", "-e", "X=y", name, "sh", "-c", "id -u; pwd; echo $X").out == "1000\n/tmp\ny\n"
    podman("exec", name, "sh", "-c", "exit 4", status=4)
    podman("pause", name)
    assert podman("inspect", "-f", "{{.State.Status}}", name).out == "paused\n"
    podman("unpause", name)
    assert "sleep" in podman("top", name).out
    podman("stop", "-t", "10", name)
    assert podman("inspect", "-f", "{{.State.ExitCode}}", name).out == "5\n"
    podman("start", name)
    assert podman("exec", name, "echo", "again").out == "again\n"
    podman("rm", "-f", "-t", "0", name)


def test_kill_and_wait(podman, name):
    podman.run("-d", "--name", name, "bb", "sleep", "1000")
    podman("kill", "-s", "KILL", name)
    assert podman("wait", name).out == "137\n"


def test_logs_and_attach(podman, name):
    podman.run("-d", "--name", name, "bb", "sh", "-c", "echo one; echo two >&2")
    podman("wait", name)
    r = podman("logs", name)
    assert (r.out, r.err) == ("one\n", "two\n")


def test_interactive(podman):
    assert podman.run("--rm", "-i", "bb", "cat", input=b"through\n").out == "through\n"


def test_terminal(podman):
    status, shown = on_terminal([*podman.command, "run", "--rm", "-it", "--network=none", *LIMITS, "bb", "sh", "-c",
                                 "test -t 0 && stty size; echo ready; read x; echo got $x; exit 3"], text=b"typed\n")
    assert status == 3 and "30 90" in shown and "got typed" in shown, shown


def test_exec_on_a_terminal(podman, name):
    podman.run("-d", "--name", name, "bb", "sleep", "1000")
    status, shown = on_terminal([*podman.command, "exec", "-it", name, "sh", "-c", "test -t 0 && echo ready; read x; echo got $x; exit 3"], text=b"typed\n")
    assert status == 3 and "got typed" in shown, shown


def test_default_seccomp_profile_is_in_force(podman):
    assert "Seccomp:\t2" in podman.run("--rm", "bb", "grep", "Seccomp:", "/proc/self/status").out


def test_user_namespace(podman):
    r = podman.run("--rm", "--uidmap=0:200000:1000", "--gidmap=0:200000:1000", "bb", "cat", "/proc/self/uid_map")
    assert r.out.split() == ["0", "200000", "1000"]


def test_update_by_restart_policy_and_limits(podman, name):
    podman.run("-d", "--name", name, "--memory=64m", "bb", "sleep", "1000")
    stats = json.loads(podman("stats", "--no-stream", "--format=json", name).out)
    assert stats[0]["pids"] == "1"


def test_a_pod_shares_namespaces(podman, name):
    podman.run("-d", "--name", name, "bb", "sleep", "1000")
    r = podman("run", "--rm", f"--pid=container:{name}", "--network=none", *LIMITS, "bb", "ps")
    assert "sleep 1000" in r.out


def test_twenty_at_once(podman):
    running = [subprocess.Popen([*podman.command, "run", "--rm", "--network=none", *LIMITS, "bb", "sh", "-c", f"exit {n}"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for n in range(1, 5)]
    assert [p.wait(120 * SCALE) for p in running] == list(range(1, 5))
