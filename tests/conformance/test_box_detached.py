"""Detached boxes: their monitor, logs, attach, restart, stop, and the verbs on their files."""
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from box_support import boxes, image_store, monitors  # noqa: F401 (fixtures)
from conftest import wait_for


def inspect(boxes, name):
    return json.loads(boxes("inspect", name).out)[0]


def test_logs(boxes):
    name = boxes.detached("logs", "sh", "-c", "echo one; echo two >&2; printf half; sleep 0.2; echo ' line'")
    assert boxes("wait", name).out == "0\n"
    r = boxes("logs", name)
    assert r.out == "one\nhalf line\n" and r.err == "two\n"
    assert boxes("logs", "--tail", "1", name).out == "half line\n"
    stamped = boxes("logs", "-t", name).out.splitlines()
    assert stamped[0][10] == "T" and stamped[0].endswith("Z one")
    assert boxes("logs", "--since", "1h", name).out == "one\nhalf line\n"
    assert boxes("logs", "--since", "2099-01-01T00:00:00Z", name).out == ""
    assert boxes("logs", "--until", "2000-01-01", name).out == ""
    assert "not a time" in boxes("logs", "--since", "yesterday", name, status=125).err


def test_logs_follow(boxes):
    name = boxes.detached("follow", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    assert boxes("logs", "-f", name, timeout=20).out == "1\n2\n3\n"


def test_logs_are_bounded(boxes):
    name = boxes.detached("bounded", "sh", "-c", "seq 1 20000", flags=["--log-max-size", "16k", "--log-max-files", "2"])
    boxes("wait", name)
    folder = os.path.join(boxes.store, "boxes", name)
    logs = sorted(f for f in os.listdir(folder) if f == "log" or f.startswith("log."))
    assert logs == ["log", "log.1"]
    assert all(os.path.getsize(os.path.join(folder, f)) <= 16384 for f in logs)
    lines = boxes("logs", name).out.splitlines()
    assert lines[-1] == "20000" and lines == [str(i) for i in range(int(lines[0]), 20001)], "the newest lines, none missing"


def test_binary_output_survives(boxes):
    name = boxes.detached("binary", "sh", "-c", r"printf 'a\000b\377c\n'")
    boxes("wait", name)
    r = subprocess.run(boxes.command("logs", name), stdout=subprocess.PIPE, timeout=30)
    assert r.stdout == b"a\0b\377c\n"


def test_foreground_boxes_have_no_log(boxes):
    name = boxes.name("nolog")
    boxes("run", "--name", name, "--network=none", "base", "true")
    assert "no log" in boxes("logs", name, status=125).err


def test_wait(boxes):
    name = boxes.detached("wait", "sh", "-c", "sleep 0.3; exit 9")
    assert boxes("wait", name).out == "9\n"
    state = inspect(boxes, name)
    assert state["exitStatus"] == 9 and state["restarts"] == 0


def test_wait_for_a_box_that_is_removed(boxes):
    name = boxes.detached("gone", "sh", "-c", "sleep 0.5; exit 6", flags=["--rm"])
    assert boxes("wait", name).out == "6\n"
    wait_for(lambda: name not in boxes.list(), 5)


def test_attach(boxes):
    name = boxes.detached("attach", "cat", flags=["-i"])
    p = subprocess.run(boxes.command("attach", name), input=b"typed\n", stdout=subprocess.PIPE, timeout=30)
    assert p.stdout == b"typed\n" and p.returncode == 0
    assert boxes("logs", name).out == "typed\n"
    assert "not running detached" in boxes("attach", name, status=125).err


def attach_in_terminal(boxes, name, *flags):
    import pty
    master, slave = pty.openpty()
    p = subprocess.Popen(boxes.command("attach", *flags, name), stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    return p, master


def read_until(fd, text, timeout=10):
    os.set_blocking(fd, False)
    seen = b""

    def more():
        nonlocal seen
        try:
            seen += os.read(fd, 4096)
        except (BlockingIOError, OSError):
            pass
        return text in seen
    wait_for(more, timeout, lambda: f"{text!r} in {seen!r}")
    return seen


def test_attach_terminal_and_detach_keys(boxes):
    name = boxes.detached("keys", "sh", flags=["-i", "-t"])
    p, master = attach_in_terminal(boxes, name)
    os.write(master, b"echo $((40+2)) $(tty)\n")
    read_until(master, b"42 /dev/pts/0")
    os.write(master, b"\x10\x11")  # ctrl-p ctrl-q
    assert p.wait(10) == 0
    os.close(master)
    assert inspect(boxes, name)["status"] == "running"
    p, master = attach_in_terminal(boxes, name)
    os.write(master, b"exit 5\n")
    assert p.wait(10) == 5
    os.close(master)


def test_attach_terminal_size(boxes):
    import fcntl
    import struct
    import termios
    name = boxes.detached("size", "sh", flags=["-i", "-t"])
    p, master = attach_in_terminal(boxes, name)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    os.kill(p.pid, signal.SIGWINCH)
    time.sleep(0.3)
    os.write(master, b"stty size\n")
    read_until(master, b"33 77")
    os.write(master, b"exit\n")
    p.wait(10)
    os.close(master)


def test_others_may_not_attach(boxes):
    name = boxes.detached("others", "cat", flags=["-i"])
    socket_path = os.path.join(boxes.store, "boxes", name, "attach.sock")
    for path in (boxes.store, os.path.join(boxes.store, "boxes"), os.path.dirname(socket_path)):
        os.chmod(path, 0o755)
    os.chmod(socket_path, 0o666)
    try:
        code = ("import socket, os, sys; os.chdir(sys.argv[1]); os.setgid(4242); os.setuid(4242); "
                "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(5); s.connect('attach.sock'); "
                "print(s.recv(10))")
        r = subprocess.run(["python3", "-c", code, os.path.dirname(socket_path)], capture_output=True, text=True, timeout=30)
        assert r.stdout == "b''\n", r
    finally:
        for path in (boxes.store, os.path.join(boxes.store, "boxes"), os.path.dirname(socket_path)):
            os.chmod(path, 0o700)
    assert inspect(boxes, name)["status"] == "running"


def test_hostile_client(boxes):
    import socket
    name = boxes.detached("hostile", "cat", flags=["-i"])
    where = os.getcwd()
    os.chdir(os.path.join(boxes.store, "boxes", name))
    try:
        for packet in (b"?", b"w12", b"w" + b"\xff" * 4, b"x9", b"", b"o" * 16384):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect("attach.sock")
            s.send(packet)
            s.close()
        crowd = []
        for _ in range(40):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(2)
            try:
                s.connect("attach.sock")
            except OSError:
                pass
            crowd.append(s)
        for s in crowd:
            s.close()
    finally:
        os.chdir(where)
    p = subprocess.run(boxes.command("attach", name), input=b"still here\n", stdout=subprocess.PIPE, timeout=30)
    assert p.stdout == b"still here\n"


def test_restart_on_failure(boxes):
    name = boxes.detached("onfail", "sh", "-c", "echo run; exit 3", flags=["--restart", "on-failure:2"])
    assert boxes("wait", name).out == "3\n"
    assert inspect(boxes, name)["restarts"] == 2
    assert boxes("logs", name).out == "run\n" * 3


def test_restart_not_after_success(boxes):
    name = boxes.detached("success", "true", flags=["--restart", "on-failure"])
    assert boxes("wait", name).out == "0\n"
    assert inspect(boxes, name)["restarts"] == 0


def test_restart_always_until_stopped(boxes):
    name = boxes.detached("always", "sh", "-c", "echo run; sleep 0.1", flags=["--restart", "always"])
    wait_for(lambda: boxes("logs", name).out.count("run") >= 3, 10)
    boxes("stop", "-t", "1", name)
    count = boxes("logs", name).out.count("run")
    time.sleep(0.5)
    assert boxes("logs", name).out.count("run") == count
    assert inspect(boxes, name)["status"] == "stopped"
    assert monitors(boxes.store) == []


def test_restart_in_the_foreground(boxes):
    name = boxes.name("fg")
    r = boxes("run", "--name", name, "--restart", "on-failure:1", "--network=none", "base", "sh", "-c", "echo x; exit 4", status=4)
    assert r.out == "x\nx\n"


def test_stop_is_kind_first(boxes):
    name = boxes.detached("kind", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    wait_for(lambda: "up" in boxes("logs", name).out, 10)
    boxes("stop", name)
    assert boxes("logs", name).out == "up\nbye\n" and inspect(boxes, name)["exitStatus"] == 0


def test_stop_signal_and_kill(boxes):
    name = boxes.detached("unkind", "sh", "-c", "trap '' TERM; trap 'exit 8' USR1; echo up; while :; do sleep 0.05; done",
                          flags=["--stop-signal", "SIGUSR1"])
    wait_for(lambda: "up" in boxes("logs", name).out, 10)
    boxes("stop", name)
    assert inspect(boxes, name)["exitStatus"] == 8
    boxes("start", name)
    wait_for(lambda: boxes("logs", name).out.count("up") == 2, 10)
    boxes("stop", "-s", "TERM", "-t", "0", name)
    assert inspect(boxes, name)["exitStatus"] == 137


def test_start_again_keeps_the_changes(boxes):
    name = boxes.detached("again", "sh", "-c", "echo x >> /count; wc -l < /count")
    boxes("wait", name)
    boxes("start", name)
    boxes("wait", name)
    boxes("restart", name)
    boxes("wait", name)
    assert boxes("logs", name).out == "1\n2\n3\n"
    assert "it is running" in boxes("start", boxes.detached("up", "sleep", "100"), status=125).err


def test_delete_refuses_a_running_box(boxes):
    name = boxes.detached("busy", "sleep", "100")
    assert "--force" in boxes("rm", name, status=125).err
    boxes("rm", "-f", name)
    assert name not in boxes.list()


def test_rename(boxes):
    name, new = boxes.detached("old", "sleep", "100"), boxes.name("new")
    assert "stop it first" in boxes("rename", name, new, status=125).err
    boxes("stop", "-t", "0", name)
    boxes("rename", name, new)
    assert new in boxes.list() and name not in boxes.list()
    boxes("start", new)
    assert boxes("exec", new, "echo", "alive").out == "alive\n"
    assert os.listdir(os.path.join(boxes.store, "pins")) == [new]


def test_exec_user_by_name(boxes):
    name = boxes.detached("exec", "sleep", "100")
    assert boxes("exec", "-u", "daemon", name, "id", "-un").out == "daemon\n"
    assert "no user" in boxes("exec", "-u", "nobody-knows", name, "id", status=125).err
    boxes("exec", name, "sh", "-c", "exit 9", status=9)


def test_pause_and_stats(boxes):
    name = boxes.detached("pause", "sleep", "100")
    boxes("pause", name)
    assert inspect(boxes, name)["status"] == "paused"
    boxes("resume", name)
    stats = json.loads(boxes("stats", "--no-stream", "--format", "json", name).out)
    assert stats["pids"]["current"] == 1


def test_killed_monitor_leaves_a_box_that_can_be_deleted(boxes):
    name = boxes.detached("orphan", "sleep", "100")
    pid = monitors(boxes.store)[0]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not monitors(boxes.store), 5)
    assert inspect(boxes, name)["status"] == "running"
    assert "--force" in boxes("delete", name, status=125).err
    boxes("stop", "-t", "0", name)
    assert inspect(boxes, name)["status"] == "stopped"
    boxes("start", name)
    boxes("delete", "-f", name)
    assert name not in boxes.list()


def test_start_and_delete_at_once(boxes):
    """Whoever comes first: afterwards the box runs, or nothing of it is there."""
    for i in range(6):
        name = boxes.detached(f"race{i}", "sleep", "100")
        boxes("stop", "-t", "0", name)
        start = subprocess.Popen(boxes.command("start", name), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        boxes("delete", "-f", name, status=None)
        start.wait(30)
        boxes("delete", "-f", name)
    assert boxes.list() == []


def test_a_bundles_box_of_the_same_name_is_left_alone(boxes, tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    name = boxes.name("same")
    boxes("spec", "-b", bundle)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=["/busybox", "sleep", "100"])
    (bundle / "rootfs").mkdir()
    subprocess.run(["cp", "/bin/busybox", bundle / "rootfs"], check=True)
    (bundle / "config.json").write_text(json.dumps(config))
    boxes("create", "-b", bundle, name)
    assert "in use" in boxes("run", "-d", "--name", name, "--network=none", "base", "true", status=125).err
    assert json.loads(boxes("state", name).out)["status"] == "created"
    boxes("delete", "-f", name)


def test_killed_run_leaves_a_box_that_can_be_deleted(boxes):
    name = boxes.name("killed")
    p = subprocess.Popen(boxes.command("run", "--name", name, "--network=none", "base", "sleep", "100"), stdin=subprocess.DEVNULL)
    wait_for(lambda: json.loads(boxes("list", "-f", "json").out or "null") and inspect(boxes, name)["status"] == "running", 10)
    p.kill()
    p.wait()
    boxes("delete", "-f", name)
    assert name not in boxes.list()


def test_signals_reach_the_workload(boxes):
    name = boxes.name("signals")
    p = subprocess.Popen(boxes.command("run", "--rm", "--name", name, "--network=none", "base", "sh", "-c",
                                       "trap 'exit 11' TERM; echo up; while :; do sleep 0.05; done"), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"up\n"
    p.terminate()
    assert p.wait(10) == 11


def test_idle_monitor_is_small(boxes):
    name = boxes.detached("small", "sleep", "100")
    pid = monitors(boxes.store)[0]

    def pss():
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return int(next(line for line in f if line.startswith("Pss:")).split()[1])
    wait_for(lambda: pss() < 400, 10, lambda: f"{pss()} KiB")
    assert inspect(boxes, name)["status"] == "running"


def test_parallel(boxes):
    failures = []

    def one(i):
        r = subprocess.run(boxes.command("run", "--rm", "--network=none", "base", "sh", "-c", f"echo {i}"), stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=120)
        if r.stdout != f"{i}\n":
            failures.append((i, r.returncode, r.stdout, r.stderr))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []


# ---- cp and commit ----


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/e/f").write_text("file")
    (tmp_path / "d/link").symlink_to("/etc/passwd")
    os.chmod(tmp_path / "d/e/f", 0o751)
    return tmp_path


@pytest.mark.parametrize("running", [True, False])
def test_cp(boxes, tree, running):
    name = boxes.detached("cp", "sleep", "100")
    if not running:
        boxes("stop", "-t", "0", name)
    boxes("cp", tree / "d", f"{name}:/tmp")
    boxes("cp", f"{tree}/d/.", f"{name}:/made")
    boxes("cp", tree / "d/e/f", f"{name}:/made/renamed")
    boxes("cp", f"{name}:/made", tree / "back")
    boxes("cp", f"{name}:/tmp/d/e/f", f"{tree}/back")
    assert sorted(os.listdir(tree / "back")) == ["e", "f", "link", "renamed"]
    assert (tree / "back/e/f").read_text() == "file" and os.stat(tree / "back/e/f").st_mode & 0o777 == 0o751
    assert os.readlink(tree / "back/link") == "/etc/passwd"


@pytest.mark.parametrize("source, target, reason", [
    ("/nonexistent", ".", "No such file"), ("/etc/passwd", "missing/", "not a directory"), ("/", ".", "does not end in a name"),
    ("/..", ".", "does not end in a name"), ("", ".", "empty")])
def test_cp_refuses(boxes, tree, source, target, reason):
    name = boxes.detached("cpbad", "sleep", "100")
    assert reason in boxes("cp", f"{name}:{source}", target, status=125, cwd=tree).err
    assert "ID:PATH" in boxes("cp", "a", "b", status=125).err
    assert "tar" in boxes("cp", f"{name}:/etc", "-", status=125).err


def test_cp_does_not_leave_the_box(boxes, tree):
    """Links that the box made lead nowhere but into the box."""
    script = ("mkdir /trap; ln -s ../../../../../../../../etc/shadow /trap/up; ln -s /proc/1/root/etc/shadow /trap/magic; "
              "ln -s / /trap/root; ln -s ../../../../../../tmp /trap/tmp; mkfifo /trap/fifo; echo ready; sleep 100")
    name = boxes.detached("trap", "sh", "-c", script)
    wait_for(lambda: "ready" in boxes("logs", name).out, 10)
    for link in ("up", "magic"):
        boxes("cp", "-L", f"{name}:/trap/{link}", tree / "stolen", status=125)
        assert not (tree / "stolen").exists()
    (tree / "mine").write_text("mine")
    boxes("cp", tree / "mine", f"{name}:/trap/root/planted")
    assert not os.path.exists("/planted") and boxes("exec", name, "cat", "/planted").out == "mine"
    boxes("cp", f"{name}:/trap", tree / "all")  # the FIFO is left out, not waited for
    assert sorted(os.listdir(tree / "all")) == ["magic", "root", "tmp", "up"]
    assert os.path.islink(tree / "all/root")


def test_commit(boxes):
    name = boxes.detached("commit", "sh", "-c", "echo changed > /file; rm -r /etc/group; sleep 100")
    wait_for(lambda: boxes("exec", name, "cat", "/file", status=None).out == "changed\n", 10)
    boxes("commit", "-c", 'CMD ["cat", "/file"]', name, "committed")
    assert inspect(boxes, name)["status"] == "running"
    assert boxes("run", "--rm", "--network=none", "committed").out == "changed\n"
    boxes("run", "--rm", "--network=none", "committed", "ls", "/etc/group", status=1)
    r = boxes("run", "--rm", "--isolation=process", "committed", status=None)  # two layers, merged for a wall without mounts
    assert r.out == "changed\n", r.shown
    boxes("image", "rm", "committed")
