"""The life of a box, verb by verb (runtime-spec 1.3 "Lifecycle" and "Operations"; the command line is runc's)."""
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import SCALE, wait_for


def test_run_exit_status(ringwall, bundle):
    ringwall.run(bundle.sh("exit 0"))
    ringwall.run(bundle.sh("exit 7"), status=7)
    ringwall.run(bundle.sh("exit 255"), status=255)


def test_run_killed_by_signal(ringwall, bundle):
    # The first process of a pid namespace is deaf to its own signals, so its child dies and the shell tells.
    ringwall.run(bundle.sh("sh -c 'kill -TERM $$'; exit $?"), status=128 + signal.SIGTERM)


def test_run_output(ringwall, bundle):
    r = ringwall.run(bundle.sh("echo to-out; echo to-err >&2"))
    assert (r.out, r.err) == ("to-out\n", "to-err\n")


def test_run_stdin(ringwall, bundle):
    assert ringwall.run(bundle.args("/bin/cat"), input=b"through\n").out == "through\n"


def test_run_command_not_found(ringwall, bundle):
    r = ringwall.run(bundle.args("/bin/no-such-program"), status="fail")
    assert "/bin/no-such-program" in r.err
    r = ringwall.run(bundle.args("no-such-program"), status="fail")
    assert "no-such-program" in r.err


def test_run_not_executable(ringwall, bundle):
    bundle.file("/etc/plain", "no program", 0o644)
    r = ringwall.run(bundle.args("/etc/plain"), status="fail")
    assert "/etc/plain" in r.err


def test_run_detach(ringwall, bundle):
    id = ringwall.id()
    pid_file = os.path.join(ringwall.directory, "pid")
    ringwall.run(bundle, "--detach", f"--pid-file={pid_file}", id=id)
    assert ringwall.state(id)["status"] == "running"
    assert int(open(pid_file).read()) == ringwall.state(id)["pid"]
    ringwall("kill", id, "KILL")
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)


def test_create_start_delete(ringwall, bundle):
    marker = bundle.file("/tmp/marker", "before")
    id = ringwall.create(bundle.sh("echo after >/tmp/marker"))
    state = ringwall.state(id)
    assert state["status"] == "created" and state["pid"] > 0
    assert open(marker).read() == "before", "the workload ran before start"
    ringwall("start", id)
    ringwall.wait_status(id, "stopped")
    assert open(marker).read() == "after\n"
    ringwall("delete", id)
    ringwall("state", id, status="fail")


def test_create_survives_its_caller(ringwall, bundle):
    bundle.sh("echo ran >/tmp/marker").save()
    id = ringwall.id()
    # The caller of create is a shell in a session of its own that is gone before start.
    subprocess.run(["setsid", "sh", "-c", '"$@" </dev/null >/dev/null 2>&1', "-", *ringwall.command("create", f"--bundle={bundle.path}", id)],
                   check=True, timeout=30 * SCALE, env=ringwall.env)
    ringwall("start", id)
    ringwall.wait_status(id, "stopped")
    assert open(os.path.join(bundle.rootfs, "tmp/marker")).read() == "ran\n"
    ringwall("delete", id)


def test_state_as_the_specification_has_it(ringwall, bundle):
    bundle.config["annotations"] = {"com.example.key": "value"}
    id = ringwall.create(bundle)
    state = ringwall.state(id)
    assert state["ociVersion"].startswith("1.")
    assert state["id"] == id
    assert state["status"] == "created"
    assert os.path.realpath(state["bundle"]) == os.path.realpath(bundle.path)
    assert state["annotations"]["com.example.key"] == "value"
    os.kill(state["pid"], 0)
    ringwall("delete", "--force", id)


def test_state_of_unknown_box(ringwall):
    r = ringwall("state", ringwall.id(), status="fail")
    assert ringwall.ids[-1] in r.err and r.out == ""


def test_same_id_twice(ringwall, bundle, bundles):
    id = ringwall.create(bundle)
    other = bundles()
    other.save()
    r = ringwall("create", f"--bundle={other.path}", id, status="fail")
    assert id in r.err
    assert ringwall.state(id)["status"] == "created", "the first box suffered"
    ringwall("delete", "-f", id)


def test_start_twice(ringwall, bundle):
    id = ringwall.start(bundle)
    ringwall("start", id, status="fail")
    assert ringwall.state(id)["status"] == "running"
    ringwall("delete", "-f", id)


def test_start_of_unknown_box(ringwall):
    ringwall("start", ringwall.id(), status="fail")


def test_delete_refuses_a_running_box(ringwall, bundle):
    id = ringwall.start(bundle)
    r = ringwall("delete", id, status="fail")
    assert r.err
    assert ringwall.state(id)["status"] == "running"
    ringwall("delete", "--force", id)


def test_delete_force_of_unknown_box_is_fine(ringwall):
    ringwall("delete", "--force", ringwall.id())
    ringwall("delete", ringwall.id(), status="fail")


def test_delete_force_kills_a_created_box(ringwall, bundle):
    id = ringwall.create(bundle)
    pid = ringwall.state(id)["pid"]
    ringwall("delete", "--force", id)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}") or "Z" in open(f"/proc/{pid}/stat").read())


def test_kill_by_name_number_and_default(ringwall, bundle):
    for flag, number in (("TERM", 15), ("SIGUSR1", 10), ("12", 12), (None, 15)):
        out = os.path.join(ringwall.directory, f"out-{flag}")
        with open(out, "w") as f:
            id = ringwall.id()
            bundle.args("/bin/probe", "wait", "ready").save()
            process = ringwall.popen("run", f"--bundle={bundle.path}", id, stdout=f, stdin=subprocess.DEVNULL)
            wait_for(lambda: "ready" in open(out).read())
            ringwall("kill", id, *([flag] if flag else []))
            assert process.wait(10 * SCALE) == 0
        assert open(out).read() == f"ready\nsignal {number}\n"


def test_kill_with_a_bad_signal(ringwall, bundle):
    id = ringwall.start(bundle)
    for bad in ("SIGNONE", "0x", "999", "-5"):
        r = ringwall("kill", id, bad, status="fail") if not bad.startswith("-") else ringwall("kill", id, "--", bad, status="fail")
        assert r.err
    assert ringwall.state(id)["status"] == "running"
    ringwall("delete", "-f", id)


def test_kill_a_stopped_box_fails(ringwall, bundle):
    id = ringwall.start(bundle.sh("exit 0"))
    ringwall.wait_status(id, "stopped")
    ringwall("kill", id, "KILL", status="fail")
    ringwall("delete", id)


def test_kill_a_created_box(ringwall, bundle):
    id = ringwall.create(bundle)
    ringwall("kill", id, "KILL")
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)


@pytest.mark.needs("cgroups")
def test_kill_all(ringwall, bundle):
    id = ringwall.start(bundle.args("/bin/probe", "tree", "3"))
    wait_for(lambda: len(ringwall("ps", "--format=json", id).json) == 4)
    ringwall("kill", "--all", id, "KILL")
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)


def test_signals_are_forwarded_by_run(ringwall, bundle):
    out = os.path.join(ringwall.directory, "out")
    with open(out, "w") as f:
        bundle.args("/bin/probe", "wait", "ready").save()
        process = ringwall.popen("run", f"--bundle={bundle.path}", ringwall.id(), stdout=f, stdin=subprocess.DEVNULL)
        wait_for(lambda: "ready" in open(out).read())
        process.send_signal(signal.SIGUSR1)
        assert process.wait(10 * SCALE) == 0
    assert "signal 10" in open(out).read()


@pytest.mark.needs("pause")
def test_pause_and_resume(ringwall, bundle):
    count = bundle.file("/tmp/count", "")
    id = ringwall.start(bundle.sh("while :; do echo x >>/tmp/count; usleep 10000; done"))
    wait_for(lambda: os.path.getsize(count) > 4)
    ringwall("pause", id)
    assert ringwall.state(id)["status"] == "paused"
    size = os.path.getsize(count)
    time.sleep(0.2)
    assert os.path.getsize(count) == size, "it runs although it is paused"
    ringwall("resume", id)
    assert ringwall.state(id)["status"] == "running"
    wait_for(lambda: os.path.getsize(count) > size)
    ringwall("delete", "-f", id)


@pytest.mark.needs("pause")
def test_pause_of_the_wrong_state(ringwall, bundle):
    id = ringwall.start(bundle.sh("exit 0"))
    ringwall.wait_status(id, "stopped")
    ringwall("pause", id, status="fail")
    ringwall("resume", id, status="fail")
    ringwall("delete", id)


@pytest.mark.needs("pause")
def test_a_paused_box_can_be_deleted(ringwall, bundle):
    id = ringwall.start(bundle)
    ringwall("pause", id)
    ringwall("delete", "--force", id)


@pytest.mark.needs("pause")
def test_a_paused_box_can_be_killed(ringwall, bundle):
    id = ringwall.start(bundle)
    ringwall("pause", id)
    ringwall("kill", id, "KILL")
    ringwall("resume", id, status=None)
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)


def test_list(ringwall, bundle, bundles):
    assert ringwall("list", "--quiet").out == ""
    first = ringwall.create(bundle)
    second = ringwall.start(bundles())
    assert set(ringwall("list", "-q").lines) == {first, second}
    found = {b["id"]: b for b in ringwall("list", "--format=json").json}
    assert found[first]["status"] == "created" and found[second]["status"] == "running"
    assert found[second]["pid"] == ringwall.state(second)["pid"]
    assert os.path.realpath(found[first]["bundle"]) == os.path.realpath(bundle.path)
    table = ringwall("list").lines
    assert table[0].split()[:4] == ["ID", "PID", "STATUS", "BUNDLE"] or table[0].split()[:2] in (["ID", "PID"], ["NAME", "PID"])
    assert any(first in line and "created" in line for line in table)
    for id in (first, second):
        ringwall("delete", "-f", id)


@pytest.mark.needs("cgroups")
def test_ps(ringwall, bundle):
    id = ringwall.start(bundle.args("/bin/probe", "tree", "2"))
    pids = wait_for(lambda: (lambda v: v if len(v) == 3 else None)(ringwall("ps", "--format=json", id).json))
    assert ringwall.state(id)["pid"] in pids
    table = ringwall("ps", id)
    assert table.out.splitlines()[0].split()[0] in ("PID", "UID")
    assert len(table.lines) == 4
    ringwall("delete", "-f", id)


@pytest.mark.needs("stats")
def test_events_stats(ringwall, bundle):
    id = ringwall.start(bundle)
    event = ringwall("events", "--stats", id).json
    assert event["type"] == "stats" and event["id"] == id
    data = event["data"]
    assert data["cpu"]["usage"]["total"] > 0
    assert data["pids"]["current"] >= 1
    assert data["memory"]["usage"]["usage"] > 0
    ringwall("delete", "-f", id)


@pytest.mark.needs("stats")
def test_events_stream(ringwall, bundle):
    id = ringwall.start(bundle)
    process = ringwall.popen("events", "--interval=1s", id, stdout=subprocess.PIPE, text=True)
    first = json.loads(process.stdout.readline())
    assert first["type"] == "stats"
    ringwall("kill", id, "KILL")
    # The stream ends with the box.
    assert process.wait(20 * SCALE) == 0
    process.stdout.close()
    ringwall("delete", id)


def test_pid_file_of_create(ringwall, bundle):
    path = os.path.join(ringwall.directory, "pid")
    id = ringwall.create(bundle, f"--pid-file={path}")
    assert int(open(path).read()) == ringwall.state(id)["pid"]
    ringwall("delete", "-f", id)


def test_preserve_fds(ringwall, bundle):
    bundle.args("/bin/probe", "fds")
    read, write = os.pipe()
    try:
        os.set_inheritable(read, True)

        def place():
            os.dup2(read, 3)
            os.dup2(read, 7)
            os.dup2(read, 4)
        r = ringwall.run(bundle, "--preserve-fds=2", pass_fds=(3, 4, 7), preexec_fn=place)
        inside = {line.split()[0] for line in r.lines}
        assert inside == {"0", "1", "2", "3", "4"}, r
    finally:
        os.close(read)
        os.close(write)


def test_no_descriptor_leaks_into_the_box(ringwall, bundle):
    bundle.args("/bin/probe", "fds")
    read, write = os.pipe()
    try:
        os.set_inheritable(read, True)
        r = ringwall.run(bundle, pass_fds=(read,))
        assert {line.split()[0] for line in r.lines} == {"0", "1", "2"}, r
    finally:
        os.close(read)
        os.close(write)


def test_listen_fds(ringwall, bundle):
    """systemd's socket activation: $LISTEN_FDS descriptors from 3 on come along."""
    bundle.sh("probe fds; env")
    read, write = os.pipe()
    try:
        r = ringwall.run(bundle, pass_fds=(3,), preexec_fn=lambda: os.dup2(read, 3), env={**ringwall.env, "LISTEN_FDS": "1"})
        assert "3" in {line.split()[0] for line in r.lines if line[0].isdigit()}
        assert "LISTEN_FDS=1" in r.lines and "LISTEN_PID=1" in r.lines or ringwall.boundary.name == "process"
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.needs("cgroups")
def test_many_at_once(ringwall, bundles):
    """Boxes started in parallel are all correct, and none is left (200 in the long check)."""
    count = 200 if os.environ.get("RINGWALL_LONG") else 20
    bundle = bundles()
    bundle.sh("echo $HOSTNAME_IS; exit 3").save()
    running = [ringwall.popen("run", f"--bundle={bundle.path}", ringwall.id(), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
               for _ in range(count)]
    assert [p.wait(120 * SCALE) for p in running] == [3] * count


def test_a_verb_for_a_box_with_a_broken_record(ringwall, bundle):
    """A damaged state directory is named, and `delete -f` still mends it."""
    id = ringwall.id()
    os.makedirs(os.path.join(ringwall.root, id))
    ringwall("state", id, status="fail")
    ringwall("list", status=None)
    ringwall("delete", "-f", id)
    assert not os.path.exists(os.path.join(ringwall.root, id))
