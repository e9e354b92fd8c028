"""SELinux labels, on the second host booted with it. The policy is permissive: labels are applied and read back."""
import os
import subprocess

import pytest

from test_host import PROGRAM, bundle, ringwall, started, workdir  # noqa: F401

LABEL = "system_u:system_r:initrc_t:s0"


def test_selinux_is_on():
    assert "selinux" in open("/sys/kernel/security/lsm").read()
    assert os.path.exists("/sys/fs/selinux/enforce")


def test_process_label(ringwall, bundle):
    bundle.process["selinuxLabel"] = "system_u:system_r:init_t:s0"
    assert ringwall.run(bundle.args("/bin/probe", "label")).out == "system_u:system_r:init_t:s0\n"


def test_process_label_of_exec(ringwall, bundle):
    bundle.process["selinuxLabel"] = "system_u:system_r:init_t:s0"
    id, pid = started(ringwall, bundle)
    assert ringwall("exec", id, "/bin/probe", "label").out == "system_u:system_r:init_t:s0\n"
    assert ringwall("exec", f"--process-label={LABEL}", id, "/bin/probe", "label").out == LABEL + "\n"


def test_mount_label(ringwall, bundle):
    bundle.linux["mountLabel"] = "system_u:object_r:tmp_t:s0"
    bundle.mount("/labelled", "tmpfs", "tmpfs", ["size=64k"])
    r = ringwall.run(bundle.args("/bin/grep", " /labelled ", "/proc/self/mountinfo"))
    assert "context=" in r.out and "tmp_t" in r.out


def test_bad_label_is_named(ringwall, bundle):
    bundle.process["selinuxLabel"] = "no:such:label:s0"
    assert "no:such:label" in ringwall.run(bundle, status="fail").err


def test_apparmor_profile_is_refused_where_it_is_not_enforced(ringwall, bundle):
    bundle.process["apparmorProfile"] = "rwt-lab"
    assert "AppArmor" in ringwall.run(bundle, status="fail").err
