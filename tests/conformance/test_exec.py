"""exec: another process in a running box."""
import json
import os
import signal
import subprocess

import pytest

from conftest import SCALE, wait_for

pytestmark = pytest.mark.needs("exec")


@pytest.fixture
def box(ringwall, bundle):
    return ringwall.start(bundle)


def test_exec_exit_status_and_output(ringwall, box):
    assert ringwall("exec", box, "/bin/echo", "in", "the box").out == "in the box\n"
    ringwall("exec", box, "/bin/sh", "-c", "exit 9", status=9)


def test_exec_killed_by_signal(ringwall, box):
    ringwall("exec", box, "/bin/sh", "-c", "kill -9 $$", status=128 + 9)


def test_exec_not_found(ringwall, box):
    r = ringwall("exec", box, "/bin/no-such-program", status="fail")
    assert "no-such-program" in r.err


def test_exec_in_unknown_or_stopped_box(ringwall, bundle):
    ringwall("exec", ringwall.id(), "/bin/true", status="fail")
    id = ringwall.start(bundle.sh("exit 0"))
    ringwall.wait_status(id, "stopped")
    ringwall("exec", id, "/bin/true", status="fail")
    ringwall("delete", id)


@pytest.mark.needs("namespaces")
def test_exec_joins_every_namespace(ringwall, bundle):
    for extra in ("cgroup",):
        bundle.namespace(extra)
    id = ringwall.start(bundle)
    pid = ringwall.state(id)["pid"]
    r = ringwall("exec", id, "/bin/sh", "-c", "for n in /proc/self/ns/*; do readlink $n; done")
    for ns in ("pid", "net", "ipc", "uts", "mnt", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{ns}") in r.lines, ns


@pytest.mark.needs("namespaces")
def test_exec_joins_the_user_namespace(ringwall, bundle):
    id = ringwall.start(bundle.userns())
    pid = ringwall.state(id)["pid"]
    r = ringwall("exec", id, "/bin/sh", "-c", "readlink /proc/self/ns/user; id -u; cat /proc/self/uid_map")
    assert r.lines[0] == os.readlink(f"/proc/{pid}/ns/user")
    assert r.lines[1] == "0" and r.lines[2].split() == ["0", "100000", "65536"]


@pytest.mark.needs("cgroups")
def test_exec_joins_the_control_groups(ringwall, box):
    ids = json.loads(ringwall("ps", "--format=json", box).out)
    process = ringwall.popen("exec", box, "/bin/sleep", "60")
    wait_for(lambda: len(ringwall("ps", "--format=json", box).json) == len(ids) + 1)
    process.kill()
    process.wait()
    ringwall("kill", "--all", box, "KILL")


def test_exec_flags(ringwall, box):
    r = ringwall("exec", "--cwd=/tmp", "--env=A=1", "-e", "B=two words", "--user=1000:1001", "--additional-gids=7", "-g", "8", box,
                 "/bin/sh", "-c", "pwd; echo $A; echo $B; probe ids")
    lines = r.lines
    assert lines[:3] == ["/tmp", "1", "two words"]
    assert "uid 1000 1000 1000" in lines and "gid 1001 1001 1001" in lines and "groups 7 8" in lines


def test_exec_keeps_the_configured_environment(ringwall, bundle):
    bundle.process["env"].append("FROM_CONFIG=yes")
    id = ringwall.start(bundle)
    assert "FROM_CONFIG=yes" in ringwall("exec", id, "/bin/env").lines


@pytest.mark.needs("capabilities")
def test_exec_capabilities(ringwall, bundle):
    id = ringwall.start(bundle.caps("CAP_KILL"))
    sets = lambda *flags: dict(line.split(":\t") for line in ringwall("exec", *flags, id, "/bin/grep", "Cap", "/proc/self/status").lines)
    assert int(sets()["CapEff"], 16) == 1 << 5
    more = sets("--cap=CAP_NET_RAW")
    assert int(more["CapEff"], 16) == (1 << 5) | (1 << 13) and int(more["CapBnd"], 16) & (1 << 13)


@pytest.mark.needs("capabilities")
def test_exec_no_new_privs(ringwall, bundle):
    bundle.process["noNewPrivileges"] = False
    id = ringwall.start(bundle)
    assert "no_new_privs 0" in ringwall("exec", id, "/bin/probe", "ids").lines
    assert "no_new_privs 1" in ringwall("exec", "--no-new-privs", id, "/bin/probe", "ids").lines


def test_exec_has_the_boxes_seccomp_filter(ringwall, bundle):
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]}
    id = ringwall.start(bundle)
    r = ringwall("exec", id, "/bin/mkdir", "/tmp/new", status="fail")
    assert not os.path.exists(os.path.join(bundle.rootfs, "tmp/new")), r


def test_exec_process_file(ringwall, box, workdir):
    path = os.path.join(workdir, "process.json")
    with open(path, "w") as f:
        json.dump({"user": {"uid": 33, "gid": 34}, "args": ["/bin/sh", "-c", "id -u; id -g; pwd; echo $X"], "cwd": "/var",
                   "env": ["PATH=/bin", "X=from file"], "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}]}, f)
    assert ringwall("exec", f"--process={path}", box).lines == ["33", "34", "/var", "from file"]


def test_exec_detach_and_pid_file(ringwall, box, workdir):
    path = os.path.join(workdir, "pid")
    ringwall("exec", "--detach", f"--pid-file={path}", box, "/bin/probe", "wait")
    pid = int(open(path).read())
    assert os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "probe"
    os.kill(pid, signal.SIGTERM)


def test_exec_preserve_fds(ringwall, box):
    read, write = os.pipe()
    try:
        r = ringwall("exec", "--preserve-fds=1", box, "/bin/probe", "fds", pass_fds=(3,), preexec_fn=lambda: os.dup2(read, 3))
        assert {line.split()[0] for line in r.lines} == {"0", "1", "2", "3"}
    finally:
        os.close(read)
        os.close(write)


def test_exec_in_a_paused_box_is_refused(ringwall, box):
    ringwall("pause", box)
    r = ringwall("exec", box, "/bin/true", status="fail", timeout=10)
    assert "paused" in r.err
    ringwall("resume", box)


@pytest.mark.needs("terminal")
@pytest.mark.needs("terminal")
def test_exec_with_a_terminal(ringwall, box, console):
    ringwall("exec", "--tty", "--detach", f"--console-socket={console.path}", box, "/bin/sh", "-c", "probe tty; echo end")
    text = console.read(b"end\n")
    assert "tty 1 1 1" in text and "controlling ok" in text and "session own" in text


def test_exec_two_at_once(ringwall, box):
    running = [ringwall.popen("exec", box, "/bin/sh", "-c", f"usleep 100000; exit {n}", stdin=subprocess.DEVNULL) for n in range(1, 9)]
    assert [p.wait(30 * SCALE) for p in running] == list(range(1, 9))


def test_exec_ends_with_the_box(ringwall, box):
    process = ringwall.popen("exec", box, "/bin/sleep", "100", stdin=subprocess.DEVNULL)
    wait_for(lambda: len(ringwall("ps", "--format=json", box).json) == 2)
    ringwall("delete", "-f", box)
    assert process.wait(10 * SCALE) == 128 + 9


def test_exec_cgroup_and_umask_from_the_configuration(ringwall, bundle):
    bundle.process["user"]["umask"] = 0o027
    id = ringwall.start(bundle)
    assert "umask 027" in ringwall("exec", id, "/bin/probe", "ids").lines
