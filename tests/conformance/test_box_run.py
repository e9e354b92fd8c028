"""`run IMAGE` and its options, as a user of Docker types them."""
import json
import os
import stat
import subprocess

import pytest

from box_support import boxes, image_store  # noqa: F401 (fixtures)


def test_output_and_status(boxes):
    r = boxes.run("sh", "-c", "echo out; echo err >&2; exit 7", status=7)
    assert (r.out, r.err) == ("out\n", "err\n")


def test_status_of_a_signal(boxes):
    boxes.run("sh", "-c", "kill -9 $$", flags=["--init"], status=137)


@pytest.mark.parametrize("command, status", [("nonexistent", 127), ("/etc/passwd", 126), ("/nonexistent/x", 127)])
def test_status_of_what_cannot_run(boxes, command, status):
    r = boxes.run(command, status=status)
    assert command in r.err
    assert r.err.count("\n") == 1, "told once"


def test_dashes_after_the_image(boxes):
    assert boxes.run("--", "echo", "-n", "x").out == "x"


def test_stdin_only_when_interactive(boxes):
    assert boxes.run("cat", input=b"typed").out == ""
    assert boxes.run("cat", flags=["-i"], input=b"typed").out == "typed"


def test_environment(boxes, tmp_path):
    (tmp_path / "env").write_text("# comment\nFROM_FILE=a b\n\nINHERITED\n")
    r = boxes.run("env", flags=["-e", "A=1", "-e", "B", "-e", "A=2", f"--env-file={tmp_path}/env"],
                  env={**os.environ, "B": "host", "INHERITED": "yes"})
    env = dict(line.split("=", 1) for line in r.out.splitlines())
    assert env["A"] == "2" and env["B"] == "host" and env["FROM_FILE"] == "a b" and env["INHERITED"] == "yes"
    assert env["HOME"] == "/root" and env["PATH"].endswith("/bin")


def test_names_and_etc_files(boxes):
    name = boxes.name("names")
    r = boxes("run", "--rm", "--name", name, "--network=none", "--add-host", "other:192.0.2.7", "--dns", "192.0.2.53", "--dns-search",
              "example.org", "base", "sh", "-c", "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf")
    assert r.out.startswith(f"{name}\n{name}\n")
    assert "192.0.2.7\tother" in r.out and "nameserver 192.0.2.53\nsearch example.org\n" in r.out
    assert boxes.run("hostname", flags=["-h", "chosen"]).out == "chosen\n"


@pytest.mark.parametrize("user, expected", [
    ("daemon", "uid=1(daemon) gid=1(daemon)"), ("1234", "uid=1234 gid=0(root)"), ("1234:5678", "uid=1234 gid=5678"),
    ("root:daemon", "uid=0(root) gid=1(daemon)")])
def test_user(boxes, user, expected):
    assert boxes.run("id", flags=["-u", user]).out.startswith(expected)


def test_user_that_does_not_exist(boxes):
    assert "no user 'nobody-knows'" in boxes.run("id", flags=["-u", "nobody-knows"], status=125).err
    assert "no group 'nobody-knows'" in boxes.run("id", flags=["-u", "root:nobody-knows"], status=125).err


def test_groups(boxes):
    assert "4242" in boxes.run("id", flags=["--group-add", "4242"]).out


def test_working_directory(boxes):
    assert boxes.run("pwd", flags=["-w", "/made/for/it"]).out == "/made/for/it\n"
    assert "absolute" in boxes.run("pwd", flags=["-w", "relative"], status=125).err


def test_entrypoint(boxes):
    assert boxes.run("a", "b", flags=["--entrypoint", "/bin/echo"]).out == "a b\n"


def test_init_reaps_and_passes_on(boxes):
    r = boxes.run("sh", "-c", "(sleep 0.1 &) ; sleep 0.4; ps -o pid,stat,args; exit 5", flags=["--init"], status=5)
    assert "ringwall-init" in r.out and " Z " not in r.out


def test_read_only_and_tmpfs(boxes):
    r = boxes.run("sh", "-c", "touch /x; touch /scratch/x && stat -f -c %T /scratch", flags=["--read-only", "--tmpfs", "/scratch:size=64k"])
    assert "Read-only file system" in r.err and r.out == "tmpfs\n"


def test_volume(boxes, tmp_path):
    (tmp_path / "f").write_text("host")
    assert boxes.run("sh", "-c", "cat /v/f; echo new > /v/g", flags=["-v", f"{tmp_path}:/v"]).out == "host"
    assert (tmp_path / "g").read_text() == "new\n"
    boxes.run("touch", "/v/h", flags=["-v", f"{tmp_path}:/v:ro"], status=1)
    boxes.run("touch", "/v/h", flags=["--mount", f"type=bind,source={tmp_path},target=/v,readonly"], status=1)
    assert not (tmp_path / "h").exists()


def test_volume_that_does_not_exist_is_not_made(boxes, tmp_path):
    r = boxes.run("true", flags=["-v", f"{tmp_path}/missing:/v"], status=125)
    assert "mkdir -p" in r.err and not (tmp_path / "missing").exists()


def test_named_volume_is_kept(boxes):
    boxes.run("sh", "-c", "echo kept > /v/f", flags=["-v", "some-volume:/v"])
    assert boxes.run("cat", "/v/f", flags=["-v", "some-volume:/v"]).out == "kept\n"


def test_changes_are_the_boxes_own(boxes):
    boxes.run("sh", "-c", "echo changed > /etc/passwd; rm -r /etc/group")
    assert boxes.run("sh", "-c", "cat /etc/passwd; ls /etc/group").out.startswith("root:")


def test_limits(boxes):
    r = boxes.run("sh", "-c", "ulimit -n; cat /proc/self/cgroup", flags=["--ulimit", "nofile=100:200", "-m", "64m", "--pids-limit", "20",
                                                                         "--cpus", "0.5"])
    assert r.out.startswith("100\n")
    assert boxes.run("sh", "-c", "x=; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1 & done; wait",
                     flags=["--pids-limit", "10"], status=None).err.count("fork") >= 1


def test_memory_limit_kills(boxes):
    boxes.run("sh", "-c", "x=x; while :; do x=$x$x; done", flags=["-m", "32m", "--memory-swap", "32m"], status=137)


def test_capabilities(boxes):
    def bounding(*flags):
        out = boxes.run("grep", "CapEff", "/proc/self/status", flags=flags).out
        return int(out.split()[1], 16)
    assert bounding("--cap-drop", "ALL") == 0
    assert bounding("--cap-drop", "ALL", "--cap-add", "NET_ADMIN") == 1 << 12
    assert bounding() & (1 << 21) == 0, "no CAP_SYS_ADMIN by default"
    assert bounding("--cap-add", "SYS_PTRACE") & (1 << 19)
    assert "unknown capability" in boxes.run("true", flags=["--cap-add", "MAGIC"], status=125).err


def test_security_options(boxes, tmp_path):
    def seccomp(*flags):
        return boxes.run("grep", "-E", "^(Seccomp|NoNewPrivs):", "/proc/self/status", flags=flags).out.split()
    assert seccomp() == ["NoNewPrivs:", "0", "Seccomp:", "2"]
    assert seccomp("--security-opt", "seccomp=unconfined") == ["NoNewPrivs:", "0", "Seccomp:", "0"]
    assert seccomp("--security-opt", "no-new-privileges")[1] == "1"
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}))
    r = boxes.run("mkdir", "/x", flags=["--security-opt", f"seccomp={profile}"], status=1)
    assert "No space left" in r.err
    assert "cannot open" in boxes.run("true", flags=["--security-opt", "seccomp=/nonexistent"], status=125).err
    assert "--security-opt" in boxes.run("true", flags=["--security-opt", "nonsense=1"], status=125).err


def test_masks(boxes):
    assert boxes.run("sh", "-c", "ls /sys/firmware | wc -l").out == "0\n"
    boxes.run("sh", "-c", "echo 1 > /proc/sys/kernel/panic", status=1)


def test_device(boxes):
    out = boxes.run("stat", "-c", "%t:%T", "/dev/loopy", flags=["--device", "/dev/zero:/dev/loopy:r"]).out
    assert out == "1:5\n"
    assert "cannot use the device" in boxes.run("true", flags=["--device", "/dev/nonexistent"], status=125).err


def test_user_namespace_shifts_the_layers(boxes):
    r = boxes.run("sh", "-c", "cat /proc/self/uid_map; stat -c %u /etc/passwd; touch /x && stat -c %u /x", flags=["--userns", "map:200000:65536"])
    assert r.out.split() == ["0", "200000", "65536", "0", "0"]


def test_terminal(boxes):
    import pty
    master, slave = pty.openpty()
    p = subprocess.Popen(boxes.command("run", "--rm", "-t", "--network=none", "base", "sh", "-c", "tty; exit 3"), stdin=slave, stdout=slave,
                         stderr=slave)
    os.close(slave)
    out = b""
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        if not data:
            break
        out += data
    os.close(master)
    assert p.wait(30) == 3
    assert b"/dev/pts/0" in out


def test_name_in_use(boxes):
    name = boxes.detached("twice", "sleep", "100")
    r = boxes("run", "--name", name, "base", "true", status=125)
    assert "in use" in r.err and f"ringwall rm {name}" in r.err


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", ".x", "x" * 300, ""])
def test_hostile_names(boxes, name):
    boxes("run", f"--name={name}", "base", "true", status=125)


def test_the_box_stays_without_rm(boxes):
    name = boxes.name("stays")
    boxes("run", "--name", name, "--network=none", "base", "sh", "-c", "exit 4", status=4)
    state = json.loads(boxes("inspect", name).out)[0]
    assert state["status"] == "stopped" and state["exitStatus"] == 4
    assert boxes("wait", name).out == "4\n"
    assert name in boxes.list()
    boxes("rm", name)
    assert name not in boxes.list()


def test_nothing_stays_of_what_never_ran(boxes):
    for flags in (["-u", "nobody-knows"], ["--cap-add", "MAGIC"], ["--isolation", "unknown"]):
        boxes("run", *flags, "--network=none", "base", "true", status=125)
    boxes("run", "--network=none", "base", "nonexistent", status=127)
    boxes("run", "-d", "--network=none", "base", "nonexistent", status=127)
    assert boxes.list() == []


def test_unknown_image(boxes):
    r = boxes("run", "--pull=never", "no-such-image", "true", status=125)
    assert "no-such-image" in r.err
    assert boxes.list() == []


def test_bundle_or_image(boxes, tmp_path):
    (tmp_path / "config.json").write_text("{")
    r = boxes("run", "base", status=125, cwd=tmp_path)  # a bundle: one operand, and a config.json is here
    assert "bundle" in r.err
    assert boxes("run", "--rm", "--network=none", "base", "echo", "image", cwd=tmp_path).out == "image\n"
    assert boxes("run", "--rm", "base", status=0, cwd=tmp_path, input=b"").out == ""


def test_modes_of_what_is_kept(boxes):
    name = boxes.detached("modes", "sleep", "100")
    folder = os.path.join(boxes.store, "boxes", name)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    for file in ("box.json", "config.json", "log", "life"):
        assert stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode) == 0o600, file
    assert stat.S_IMODE(os.stat(os.path.join(folder, "attach.sock")).st_mode) == 0o600


# ---- walls ----


def test_isolation_unknown_is_refused(boxes):
    r = boxes.run("true", flags=["--isolation", "glass"], status=125)
    assert "unknown isolation 'glass'" in r.err and "container" in r.err


def test_isolation_that_cannot_honour_is_refused(boxes):
    r = boxes.run("true", flags=["--isolation", "process", "--hostname", "x"], status=125)
    assert "process" in r.err and "hostname" in r.err
    r = boxes.run("true", flags=["--isolation", "process"], network="private", status=125)
    assert "network" in r.err


def test_auto_needs_a_floor_and_says_what_it_chose(boxes):
    assert "--at-least" in boxes.run("true", flags=["--isolation", "auto"], status=125).err
    r = boxes.run("true", flags=["--isolation", "auto", "--at-least", "container"])
    assert "chose container" in r.err
    r = boxes.run("true", flags=["--isolation", "auto", "--at-least", "process"])
    assert "chose" in r.err


def test_isolation_below_the_floor_is_refused(boxes):
    assert "weaker" in boxes.run("true", flags=["--isolation", "process", "--at-least", "container"], status=125).err


def test_process_wall_runs_an_image(boxes):
    r = boxes.run("sh", "-c", "head -n 1 /etc/passwd; ls /", flags=["--isolation", "process"], network=None)
    assert r.out.startswith("root:") and "bin\n" in r.out


def test_name_of_the_program_chooses(boxes, tmp_path):
    link = tmp_path / "ringwall-process"
    link.symlink_to(boxes.command()[0])
    r = subprocess.run([link, f"--store={boxes.store}", "plan", "--json", "base", "true"], capture_output=True, text=True, timeout=60)
    assert json.loads(r.stdout)["isolation"] == "process", r.stderr


def test_plan(boxes):
    plan = json.loads(boxes("plan", "--json", "-m", "64m", "base", "true").out)
    assert plan["isolation"] == "container" and plan["refused"] == 0 and len(plan["items"]) > 10
    plan = json.loads(boxes("--isolation", "process", "plan", "--json", "--hostname", "x", "base", "true", status=1).out)
    assert plan["refused"] >= 1 and any(i["refused"] and "hostname" in i["what"] for i in plan["items"])
    assert boxes.list() == []


def test_doctor(boxes):
    doctor = json.loads(boxes("doctor", "--json").out)
    walls = {w["name"]: w for w in doctor["walls"]}
    assert walls["container"]["usable"]
    for wall in walls.values():
        assert wall["usable"] or wall["reason"]
    names = {f["name"] for f in doctor["host"]}
    assert {"control groups", "overlayfs", "tun device", "criu", "nft", "pasta", "subordinate ids"} <= names


def test_compare(boxes):
    rows = {row["wall"]: row for row in json.loads(boxes("compare", "--json", "-n", "1", "base", "sh", "-c", "exit 3").out)}
    assert rows["container"]["ran"] and rows["container"]["status"] == 3 and rows["container"]["kernel"].startswith("Linux ")
    assert rows["container"]["startMs"] > 0 and rows["container"]["memoryKiB"] > 0 and " of " in rows["container"]["systemCalls"]
