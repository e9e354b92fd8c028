"""linux.seccomp: actions, arguments, architectures, flags, and the listener."""
import array
import errno
import json
import os
import platform

import pytest

pytestmark = pytest.mark.needs("seccomp")
NR = {"getpid": 39, "uname": 63, "personality": 135, "getrandom": 318, "mkdir": 83, "kcmp": 312, "newest": 1023, "dup3": 292}


def profile(bundle, *rules, default="SCMP_ACT_ALLOW", **more):
    bundle.linux["seccomp"] = {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules), **more}
    return bundle


def rule(*names, action="SCMP_ACT_ERRNO", **more):
    return {"names": list(names), "action": action, **more}


def call(ringwall, bundle, name, *args, status=0):
    return ringwall.run(bundle.args("/bin/probe", "syscall", str(NR[name]), *map(str, args)), status=status)


def test_errno(ringwall, bundle):
    assert call(ringwall, profile(bundle, rule("uname")), "uname").out == "errno EPERM\n"
    assert call(ringwall, profile(bundle, rule("uname", errnoRet=errno.EXDEV)), "uname").out == "errno EXDEV\n"


def test_errno_zero(ringwall, bundle):
    assert call(ringwall, profile(bundle, rule("mkdir", errnoRet=0)), "mkdir", 0, 0).out == "0\n"


def test_kill(ringwall, bundle):
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"):
        bundle.args("/bin/sh", "-c", "probe syscall 312; echo $?")
        assert ringwall.run(profile(bundle, rule("kcmp", action=action))).out == f"{128 + 31}\n", action


def test_trap(ringwall, bundle):
    bundle.args("/bin/sh", "-c", "probe syscall 312; echo $?")
    assert ringwall.run(profile(bundle, rule("kcmp", action="SCMP_ACT_TRAP"))).out == f"{128 + 31}\n"


def test_log_lets_through(ringwall, bundle):
    assert call(ringwall, profile(bundle, rule("getpid", action="SCMP_ACT_LOG")), "getpid").out == "1\n"


def test_trace_without_tracer(ringwall, bundle):
    assert call(ringwall, profile(bundle, rule("uname", action="SCMP_ACT_TRACE")), "uname").out == "errno ENOSYS\n"


@pytest.mark.parametrize("op,value,hit,miss", [("EQ", 5, 5, 6), ("NE", 5, 6, 5), ("LT", 5, 4, 5), ("LE", 5, 5, 6), ("GT", 5, 6, 5), ("GE", 5, 5, 4)])
def test_argument_comparison(ringwall, bundle, op, value, hit, miss):
    profile(bundle, rule("kcmp", args=[{"index": 4, "value": value, "op": f"SCMP_CMP_{op}"}], errnoRet=77))
    got_hit = call(ringwall, bundle, "kcmp", 1, 1, 99, 0, hit).out
    got_miss = call(ringwall, bundle, "kcmp", 1, 1, 99, 0, miss).out
    assert got_hit != got_miss and errno.errorcode[77] in got_hit


def test_masked_argument(ringwall, bundle):
    profile(bundle, rule("personality", args=[{"index": 0, "value": 0xff, "valueTwo": 0x08, "op": "SCMP_CMP_MASKED_EQ"}]))
    assert call(ringwall, bundle, "personality", 0x40008).out == "errno EPERM\n"
    assert "errno" not in call(ringwall, bundle, "personality", 0x40000).out


def test_several_arguments_of_one_rule_are_and(ringwall, bundle):
    profile(bundle, rule("kcmp", args=[{"index": 2, "value": 99, "op": "SCMP_CMP_EQ"}, {"index": 4, "value": 5, "op": "SCMP_CMP_EQ"}], errnoRet=77))
    assert errno.errorcode[77] in call(ringwall, bundle, "kcmp", 1, 1, 99, 0, 5).out
    assert errno.errorcode[77] not in call(ringwall, bundle, "kcmp", 1, 1, 99, 0, 6).out


def test_allow_list(ringwall, bundle):
    allowed = ("execve exit exit_group brk mmap munmap mprotect read write writev close fstat newfstatat arch_prctl set_tid_address set_robust_list rseq "
               "prlimit64 readlink readlinkat getrandom rt_sigaction rt_sigprocmask rt_sigreturn futex ioctl lseek getpid uname fcntl capset capget setuid setgid setgroups "
               "setresuid setresgid prctl umask chdir openat openat2 dup2 dup3 getppid gettid getuid keyctl epoll_ctl statx kill tgkill execveat close_range seccomp "
               "sendmsg recvmsg sendto recvfrom getdents64 access faccessat faccessat2 mknod pivot_root mount umount2 setsid").split()
    profile(bundle, rule(*allowed, action="SCMP_ACT_ALLOW"), default="SCMP_ACT_ERRNO", defaultErrnoRet=errno.EACCES)
    assert call(ringwall, bundle, "mkdir", 0, 0).out == "errno EACCES\n"
    assert call(ringwall, bundle, "getpid").out == "1\n"


def test_number_newer_than_the_profile_gives_enosys(ringwall, bundle):
    profile(bundle, rule("read", action="SCMP_ACT_ALLOW"), default="SCMP_ACT_ALLOW")
    assert call(ringwall, bundle, "newest").out == "errno ENOSYS\n"


def test_unknown_name_is_warned_about(ringwall, bundle):
    r = ringwall.run(profile(bundle, rule("no_such_syscall", "uname")).args("/bin/probe", "syscall", "63"))
    assert r.out == "errno EPERM\n"


def test_filter_mode_is_visible(ringwall, bundle):
    assert "Seccomp:\t2" in ringwall.run(profile(bundle, rule("uname")).args("/bin/grep", "Seccomp", "/proc/self/status")).lines


def test_no_filter_without_a_profile(ringwall, bundle):
    assert "Seccomp:\t0" in ringwall.run(bundle.args("/bin/grep", "Seccomp:", "/proc/self/status")).lines


@pytest.mark.parametrize("flag", ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"])
def test_flags(ringwall, bundle, flag):
    assert call(ringwall, profile(bundle, rule("uname"), flags=[flag]), "uname").out == "errno EPERM\n"


@pytest.mark.parametrize("broken", [
    {"defaultAction": "SCMP_ACT_NONE"}, {"architectures": ["SCMP_ARCH_PDP11"]}, {"flags": ["SECCOMP_FILTER_FLAG_NONE"]},
    {"syscalls": [{"names": ["uname"], "action": "SCMP_ACT_NONE"}]}, {"syscalls": [{"names": [], "action": "SCMP_ACT_ALLOW"}]},
    {"syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]},
    {"syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NONE"}]}]},
])
def test_bad_profile_is_refused(ringwall, bundle, broken):
    profile(bundle)
    bundle.linux["seccomp"].update(broken)
    r = ringwall.run(bundle.args("/bin/true"), status="fail")
    value = json.dumps(broken)
    named = [w for w in ("NONE", "PDP11", "names", "index") if w in value or w == "index"]
    assert any(w in r.err for w in named), r


def test_foreign_architecture(ringwall, bundle):
    """A 32-bit call is not let through by a profile for 64 bits only."""
    profile(bundle, rule("uname"))
    bundle.linux["seccomp"]["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert call(ringwall, bundle, "uname").out == "errno EPERM\n"


def test_default_profile_of_podman(ringwall, bundle):
    """The profile that Podman and Docker ship, whole."""
    path = "/usr/share/containers/seccomp.json"
    if not os.path.exists(path):
        pytest.skip(f"no {path}: package golang-github-containers-common is missing")
    source = json.load(open(path))
    rules = [{k: v for k, v in s.items() if k in ("names", "action", "args", "errnoRet") and v is not None} for s in source["syscalls"]
             if not (s.get("includes") or {}).get("caps") and "amd64" in ((s.get("includes") or {}).get("arches") or ["amd64"])]
    bundle.linux["seccomp"] = {"defaultAction": source["defaultAction"], "defaultErrnoRet": source.get("defaultErrnoRet", 38),
                               "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": rules}
    r = ringwall.run(bundle.sh("uname -s; probe syscall 175 0 0 0; mkdir /tmp/x && echo made"))
    assert r.lines == ["Linux", "errno EPERM", "made"], "init_module is not denied, or too much is"


def test_without_no_new_privileges(ringwall, bundle):
    """The filter is installed while the runtime still may, so it works without no_new_privs and binds execve, too."""
    bundle.process["noNewPrivileges"] = False
    assert call(ringwall, profile(bundle, rule("uname")), "uname").out == "errno EPERM\n"


def test_listener(ringwall, bundle, sockets):
    """SCMP_ACT_NOTIFY: the agent gets the descriptor and the container's state; its answer is the call's result."""
    import fcntl
    import struct
    agent = sockets("seccomp.sock")
    profile(bundle, rule("mkdir", action="SCMP_ACT_NOTIFY"), listenerPath=agent.path, listenerMetadata="meta data")
    id = ringwall.id()
    out = os.path.join(ringwall.directory, "out")
    bundle.args("/bin/probe", "syscall", str(NR["mkdir"]), "0", "0").save()
    with open(out, "w") as f:
        process = ringwall.popen("run", f"--bundle={bundle.path}", id, stdout=f)
        fd = agent.receive()
        state = json.loads(agent.data)
        assert state["metadata"] == "meta data" and state["state"]["id"] == id and state["fds"] == ["seccompFd"]
        assert state["pid"] > 0 and state["ociVersion"]
        notification = array.array("B", bytes(80))
        fcntl.ioctl(fd, 0xC0502100, notification)  # SECCOMP_IOCTL_NOTIF_RECV
        cookie = struct.unpack_from("Q", notification)[0]
        fcntl.ioctl(fd, 0xC0182101, struct.pack("QqiI", cookie, 0, -errno.EOWNERDEAD, 0))  # SECCOMP_IOCTL_NOTIF_SEND
        assert process.wait(20) == 0
    assert open(out).read() == "errno EOWNERDEAD\n"


def test_listener_that_is_not_there_is_named(ringwall, bundle, workdir):
    profile(bundle, rule("mkdir", action="SCMP_ACT_NOTIFY"), listenerPath=os.path.join(workdir, "nobody.sock"))
    assert "nobody.sock" in ringwall.run(bundle.args("/bin/true"), status="fail").err


assert platform.machine() == "x86_64", "system call numbers above are those of x86-64"
