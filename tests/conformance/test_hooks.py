"""Hooks: when, where and with what each of the six kinds runs."""
import json
import os
import stat

import pytest

pytestmark = pytest.mark.needs("hooks")

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


@pytest.fixture
def log(workdir):
    return os.path.join(workdir, "hooks.log")


def hook(log, script, **more):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


@pytest.mark.needs("mounts")
def test_order_namespaces_and_state(ringwall, bundle, log):
    # startContainer runs inside: its log is in the root.
    bundle.config["hooks"] = {k: [hook(log, f'echo "{k} $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/net) $(cat | tr -d \'\\n\')" >>{log}')]
                              for k in KINDS if k != "startContainer"}
    bundle.config["hooks"]["startContainer"] = [{"path": "/bin/sh", "args": ["sh", "-c", "(echo startContainer; readlink /proc/self/ns/mnt; cat) >/tmp/hook"]}]
    bundle.config["annotations"] = {"org.example": "annotation"}
    id = ringwall.create(bundle)
    assert [line.split()[0] for line in open(log)] == ["prestart", "createRuntime", "createContainer"]
    assert not os.path.exists(os.path.join(bundle.rootfs, "tmp/hook")), "startContainer ran at create"
    pid = ringwall.state(id)["pid"]
    box_mnt = os.readlink(f"/proc/{pid}/ns/mnt")
    ringwall("start", id)
    inside = open(os.path.join(bundle.rootfs, "tmp/hook")).read().split("\n", 2)
    assert inside[:2] == ["startContainer", box_mnt]
    assert json.loads(inside[2])["id"] == id
    lines = {line.split()[0]: line.split(" ", 3) for line in open(log)}
    assert list(lines) == ["prestart", "createRuntime", "createContainer", "poststart"]
    host_mnt = os.readlink("/proc/self/ns/mnt")
    for kind in ("prestart", "createRuntime", "poststart"):
        assert lines[kind][1] == host_mnt, kind
    assert lines["createContainer"][1] != host_mnt
    for kind, status in (("prestart", ("created", "creating")), ("createRuntime", ("created", "creating")),
                         ("createContainer", ("created", "creating")), ("poststart", ("running",))):
        state = json.loads(lines[kind][3])
        assert state["id"] == id and state["status"] in status, (kind, state)
        assert os.path.realpath(state["bundle"]) == os.path.realpath(bundle.path)
        assert state["annotations"]["org.example"] == "annotation"
        if kind != "createContainer":
            assert state["pid"] == pid
    ringwall("delete", "-f", id)
    last = [line.split(" ", 3) for line in open(log)][-1]
    assert last[0] == "poststop" and json.loads(last[3])["status"] == "stopped"


def test_hooks_of_a_kind_run_in_order(ringwall, bundle, log):
    bundle.config["hooks"] = {"createRuntime": [hook(log, f"echo {n} >>{log}") for n in range(4)]}
    ringwall.run(bundle.args("/bin/true"))
    assert open(log).read().split() == ["0", "1", "2", "3"]


def test_args_and_env_are_exact(ringwall, bundle, log):
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["zero", "-c", f'(echo "$0"; echo "$1"; env) >{log}', "name", "one two"],
                                                 "env": ["ONLY=this", "PATH=/usr/bin:/bin"]}]}
    ringwall.run(bundle.args("/bin/true"))
    lines = open(log).read().splitlines()
    assert lines[:2] == ["name", "one two"] and "ONLY=this" in lines
    assert {line.split("=")[0] for line in lines[2:]} <= {"ONLY", "PATH", "PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_failing_hook_stops_the_box(ringwall, bundle, log, kind):
    """And its exit status and output are told; nothing is left."""
    fails_at(ringwall, bundle, log, kind)


@pytest.mark.needs("namespaces")
@pytest.mark.parametrize("kind", ["createContainer", "startContainer"])
def test_failing_hook_inside_stops_the_box(ringwall, bundle, log, kind):
    fails_at(ringwall, bundle, log, kind)


def fails_at(ringwall, bundle, log, kind):
    bundle.sh("echo ran >/tmp/ran")
    bundle.config["hooks"] = {kind: [hook(log, "echo the reason >&2; exit 7")], "poststop": [hook(log, f"echo poststop >>{log}")]}
    r = ringwall.run(bundle, status="fail")
    assert "7" in r.err and kind.lower()[:6] in r.err.lower(), r
    assert not os.path.exists(os.path.join(bundle.rootfs, "tmp/ran"))


def test_failing_poststart_hook_stops_the_box(ringwall, bundle, log):
    """runtime-spec 1.2.1 and later: an error, and the lifecycle goes on with the destruction."""
    bundle.config["hooks"] = {"poststart": [hook(log, "echo why >&2; exit 3"), hook(log, f"echo second >>{log}")],
                              "poststop": [hook(log, f"echo stopped >>{log}")]}
    id = ringwall.create(bundle)
    r = ringwall("start", id, status="fail")
    assert "poststart" in r.err and "why" in r.err
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)
    assert open(log).read() == "stopped\n"
    os.unlink(log)
    assert "poststart" in ringwall.run(bundle, status="fail").err
    assert open(log).read() == "stopped\n"


def test_poststop_hooks_run_after_a_failed_creation(ringwall, bundle, log):
    bundle.config["hooks"] = {"createRuntime": [hook(log, "exit 1")], "poststop": [hook(log, f"cat >{log}")]}
    assert "createRuntime" in ringwall.create(bundle, status="fail").err
    assert json.loads(open(log).read())["status"] == "stopped"


def test_failing_poststop_only_warns(ringwall, bundle, log):
    """runtime-spec: a failing poststop hook is logged, the lifecycle goes on."""
    bundle.config["hooks"] = {"poststop": [hook(log, "exit 3"), hook(log, f"echo second >>{log}")]}
    id = ringwall.start(bundle.sh("exit 0"))
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)
    assert open(log).read() == "second\n"


@pytest.mark.parametrize("path", ["/no/such/hook", "relative"])
def test_missing_hook_is_named(ringwall, bundle, path):
    bundle.config["hooks"] = {"createRuntime": [{"path": path}]}
    assert path in ringwall.run(bundle.args("/bin/true"), status="fail").err


def test_hook_timeout(ringwall, bundle, log):
    bundle.config["hooks"] = {"createRuntime": [hook(log, "sleep 60", timeout=1)]}
    r = ringwall.run(bundle.args("/bin/true"), status="fail", timeout=20)
    assert r.status != "timeout"


def test_hook_gets_no_extra_descriptors(ringwall, bundle, log):
    bundle.config["hooks"] = {"createRuntime": [hook(log, f"ls /proc/self/fd >{log}")]}
    ringwall.run(bundle.args("/bin/true"))
    assert set(open(log).read().split()) <= {"0", "1", "2", "3"}  # 3: ls reads the folder itself


@pytest.mark.needs("namespaces")
def test_create_runtime_hook_can_enter_the_network_namespace(ringwall, bundle, log):
    """What CNI does: the namespace of the pid in the state is the box's own, before the root is pivoted."""
    script = f'pid=$(sed "s/.*\\"pid\\": *\\([0-9]*\\).*/\\1/" | tr -d "\\n "); nsenter --net=/proc/$pid/ns/net ip link add hookdev type veth peer name hookpeer && echo $pid >{log}'
    bundle.config["hooks"] = {"createRuntime": [hook(log, f"tr -d '\\n' | {{ {script}; }}")]}
    assert "hookdev" in ringwall.run(bundle.args("/bin/ip", "-o", "link")).out
