"""The `process` object of config.json, field by field."""
import os
import resource

import pytest

from conftest import SCALE


def test_args_reach_the_workload_as_they_are(ringwall, bundle):
    args = ["with space", "", "quote\"'", "umlaut-ä", "--flag", "back\\slash"]
    r = ringwall.run(bundle.args("/bin/sh", "-c", 'for a in "$@"; do echo "[$a]"; done', "sh", *args))
    assert r.lines == [f"[{a}]" for a in args]


def test_env_is_exactly_what_is_configured(ringwall, bundle):
    bundle.process["env"] = ["PATH=/bin", "A=1", "EMPTY=", "EQUALS=a=b"]
    r = ringwall.run(bundle.args("/bin/env"), env={**ringwall.env, "LEAKED": "from the host"})
    # busybox's env prints what it got; runtimes may add HOME.
    got = {line for line in r.lines if not line.startswith("HOME=")}
    assert got == {"PATH=/bin", "A=1", "EMPTY=", "EQUALS=a=b"}


def test_path_search_uses_the_boxes_path(ringwall, bundle):
    bundle.file("/opt/bin/only-here", "#!/bin/sh\necho found\n", 0o755)
    bundle.process["env"] = ["PATH=/nowhere:/opt/bin:/bin"]
    assert ringwall.run(bundle.args("only-here")).out == "found\n"


def test_cwd(ringwall, bundle):
    bundle.process["cwd"] = "/var/tmp"
    assert ringwall.run(bundle.args("/bin/pwd")).out.strip().endswith("/var/tmp")


@pytest.mark.needs("mounts")
def test_cwd_is_made_when_missing(ringwall, bundle):
    bundle.process["cwd"] = "/made/for/it"
    assert ringwall.run(bundle.args("/bin/pwd")).out == "/made/for/it\n"


def test_relative_cwd_is_refused(ringwall, bundle):
    bundle.process["cwd"] = "var"
    assert "cwd" in ringwall.run(bundle, status="fail").err


def test_no_args_is_refused(ringwall, bundle):
    bundle.process["args"] = []
    assert "args" in ringwall.run(bundle, status="fail").err


@pytest.mark.needs("users")
def test_user_and_groups(ringwall, bundle):
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6, 70000]}
    lines = ringwall.run(bundle.args("/bin/probe", "ids")).lines
    assert "uid 1000 1000 1000" in lines and "gid 1001 1001 1001" in lines and "groups 5 6 70000" in lines


@pytest.mark.needs("users")
def test_no_additional_groups_leak(ringwall, bundle):
    r = ringwall.run(bundle.args("/bin/probe", "ids"), extra_groups=[3, 4])
    assert "groups" in r.lines, r


@pytest.mark.needs("users")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_umask(ringwall, bundle, umask):
    bundle.process["user"]["umask"] = umask
    assert f"umask {umask:03o}" in ringwall.run(bundle.args("/bin/probe", "ids")).lines


@pytest.mark.needs("users")
def test_umask_defaults_to_0022(ringwall, bundle):
    r = ringwall.run(bundle.args("/bin/probe", "ids"), preexec_fn=lambda: os.umask(0o077))
    assert "umask 022" in r.lines


def test_no_new_privileges(ringwall, bundle):
    bundle.process["noNewPrivileges"] = True
    assert "no_new_privs 1" in ringwall.run(bundle.args("/bin/probe", "ids")).lines


@pytest.mark.needs("capabilities")
def test_new_privileges_stay_possible_when_configured(ringwall, bundle):
    bundle.process["noNewPrivileges"] = False
    assert "no_new_privs 0" in ringwall.run(bundle.args("/bin/probe", "ids")).lines


CAPS = {"bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"], "permitted": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"],
        "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]}
BIT = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_NET_RAW": 13}


def capability_sets(result):
    return {k: int(v, 16) for k, v in (line.split(":\t") for line in result.lines)}


@pytest.mark.needs("capabilities", "users")
def test_capability_sets_of_a_user(ringwall, bundle):
    # As another user than root, so that exec does not compute the sets anew from uid 0: what is ambient stays.
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = CAPS
    got = capability_sets(ringwall.run(bundle.args("/bin/grep", "Cap", "/proc/self/status")))
    assert got["CapBnd"] == 1 << 5 | 1 << 0 | 1 << 13
    assert got["CapAmb"] == got["CapInh"] == got["CapEff"] == got["CapPrm"] == 1 << 0


@pytest.mark.needs("capabilities")
def test_capability_sets_of_root(ringwall, bundle):
    bundle.caps("CAP_KILL", "CAP_CHOWN")
    got = capability_sets(ringwall.run(bundle.args("/bin/grep", "Cap", "/proc/self/status")))
    assert got["CapEff"] == got["CapPrm"] == got["CapBnd"] == (1 << 5 | 1)
    assert got["CapInh"] == got["CapAmb"] == 0


@pytest.mark.needs("capabilities")
def test_no_capabilities(ringwall, bundle):
    bundle.process["capabilities"] = {}
    assert set(capability_sets(ringwall.run(bundle.args("/bin/grep", "Cap", "/proc/self/status"))).values()) == {0}


@pytest.mark.needs("capabilities")
def test_unknown_capability_is_warned_about(ringwall, bundle):
    """The specification: values that cannot be mapped to the kernel's interface are logged as a warning."""
    bundle.caps("CAP_KILL", "CAP_NO_SUCH")
    r = ringwall.run(bundle.args("/bin/true"), status=None)
    assert "CAP_NO_SUCH" in r.err


def rlimits(result):
    return {int(n): (int(s), int(h)) for n, s, h in (line.split() for line in result.lines)}


@pytest.mark.needs("rlimits")
def test_rlimits(ringwall, bundle):
    wanted = {"RLIMIT_NOFILE": (100, 200), "RLIMIT_CORE": (0, 0), "RLIMIT_CPU": (1000, 2000), "RLIMIT_FSIZE": (1 << 20, 1 << 21),
              "RLIMIT_AS": (1 << 32, 1 << 33), "RLIMIT_NPROC": (500, 501), "RLIMIT_STACK": (1 << 20, 1 << 22)}
    bundle.process["rlimits"] = [{"type": k, "soft": s, "hard": h} for k, (s, h) in wanted.items()]
    got = rlimits(ringwall.run(bundle.args("/bin/probe", "rlimits")))
    assert {k: got[getattr(resource, k)] for k in wanted} == wanted


@pytest.mark.needs("rlimits")
def test_rlimit_errors(ringwall, bundle):
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 200, "hard": 100}]
    assert "RLIMIT_NOFILE" in ringwall.run(bundle.args("/bin/true"), status="fail").err
    bundle.process["rlimits"] = [{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]
    assert "RLIMIT_NONE" in ringwall.run(bundle.args("/bin/true"), status="fail").err
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}] * 2
    assert "RLIMIT_NOFILE" in ringwall.run(bundle.args("/bin/true"), status="fail").err


@pytest.mark.needs("rlimits")
def test_raising_an_rlimit_without_the_privilege_names_it(ringwall, bundle):
    """Without CAP_SYS_RESOURCE nobody raises a hard limit; the message says which, from what, to what."""
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 5000, "hard": 5000}]

    def lower():
        import ctypes
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
        ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)  # drop CAP_SYS_RESOURCE from the bounding set
    r = ringwall.run(bundle.args("/bin/true"), status="fail", preexec_fn=lower)
    assert "RLIMIT_NOFILE" in r.err and "5000" in r.err and "1000" in r.err


@pytest.mark.needs("rootfs")
def test_oom_score_adj(ringwall, bundle):
    bundle.process["oomScoreAdj"] = 321
    assert ringwall.run(bundle.args("/bin/cat", "/proc/self/oom_score_adj")).out == "321\n"


@pytest.mark.needs("rootfs")
@pytest.mark.parametrize("value", [1001, -1001, "many"])
def test_bad_oom_score_adj(ringwall, bundle, value):
    bundle.process["oomScoreAdj"] = value
    assert "oomScoreAdj" in ringwall.run(bundle, status="fail").err


@pytest.mark.needs("namespaces")
def test_scheduler(ringwall, bundle):
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    assert ringwall.run(bundle.args("/bin/probe", "scheduler")).out.startswith("policy 3 nice 5 ")
    bundle.process["scheduler"] = {"policy": "SCHED_IDLE"}
    assert ringwall.run(bundle.args("/bin/probe", "scheduler")).out.startswith("policy 5 ")


@pytest.mark.needs("namespaces")
def test_bad_scheduler(ringwall, bundle):
    bundle.process["scheduler"] = {"policy": "SCHED_NONE"}
    assert "SCHED_NONE" in ringwall.run(bundle, status="fail").err


@pytest.mark.needs("namespaces")
def test_io_priority(ringwall, bundle):
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    assert ringwall.run(bundle.args("/bin/probe", "ioprio")).out == "class 2 priority 6\n"
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    assert ringwall.run(bundle.args("/bin/probe", "ioprio")).out.startswith("class 3 ")


@pytest.mark.needs("namespaces")
def test_exec_cpu_affinity(ringwall, bundle):
    cpu = sorted(os.sched_getaffinity(0))[-1]
    bundle.process["execCPUAffinity"] = {"initial": str(cpu), "final": str(cpu)}
    id = ringwall.start(bundle)
    assert ringwall("exec", id, "/bin/probe", "affinity").out == f"{cpu}\n"
    ringwall("delete", "-f", id)


def test_signals_are_clean(ringwall, bundle):
    import signal

    def dirty():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
    out = ringwall.run(bundle.args("/bin/probe", "signals"), preexec_fn=dirty).lines
    assert not [line for line in out if line.startswith("blocked")], out


@pytest.mark.needs("namespaces")
def test_session_keyring_is_new(ringwall, bundle):
    bundle.linux.pop("maskedPaths")
    first = ringwall.run(bundle.args("/bin/probe", "keyring")).out
    assert "_ses" not in first or "rwt-" in first, first


@pytest.mark.needs("namespaces")
def test_no_new_keyring(ringwall, bundle):
    assert ringwall.run(bundle.args("/bin/probe", "keyring"), "--no-new-keyring", status=None).status in (0, 1)


@pytest.mark.needs("namespaces")
def test_personality(ringwall, bundle):
    bundle.linux["personality"] = {"domain": "LINUX32"}
    assert int(ringwall.run(bundle.args("/bin/probe", "personality")).out, 16) & 0xff == 0x08
    bundle.linux["personality"] = {"domain": "LINUX"}
    assert int(ringwall.run(bundle.args("/bin/probe", "personality")).out, 16) & 0xff == 0


@pytest.mark.needs("namespaces")
def test_bad_personality(ringwall, bundle):
    bundle.linux["personality"] = {"domain": "SOLARIS"}
    assert "SOLARIS" in ringwall.run(bundle, status="fail").err


@pytest.mark.needs("namespaces")
def test_memory_policy(ringwall, bundle):
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    assert ringwall.run(bundle.args("/bin/probe", "mempolicy")).out == "mode 0x2 nodes 0x1\n"


@pytest.mark.needs("namespaces")
def test_bad_memory_policy(ringwall, bundle):
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_NONE", "nodes": "0"}
    assert "MPOL_NONE" in ringwall.run(bundle, status="fail").err
