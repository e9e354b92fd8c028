"""tests/unit/test_cgroup_host.c, the control groups themselves, as the three kinds of caller that there are."""
import os
import re
import subprocess

import pytest

SCALE = float(os.environ.get("RINGWALL_TIMEOUT_SCALE", "1"))
ENVIRONMENT = "LD_LIBRARY_PATH=/lab RINGWALL_SYSTEMD=/lab/build/ringwall-systemd"
ROOT = {"test_refused_leaves_nothing", "test_nested_path_and_parents", "test_enter_list_kill", "test_freeze", "test_devices",
        "test_destroy_nested", "test_oom", "test_sub_group", "test_attach", "test_v2_limits", "test_v2_fall_back",
        "test_v2_statistics", "test_systemd"}


def sh(command):
    r = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60 * SCALE, stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout + r.stderr


@pytest.mark.parametrize("command, expected", [
    pytest.param(f"env {ENVIRONMENT} /lab/test-cgroup_host", ROOT, id="root"),
    pytest.param(f"systemd-run --user -M user@ --pipe --wait -q -p Delegate=yes env {ENVIRONMENT} RINGWALL_DELEGATED=1 "
                 "/lab/test-cgroup_host", {"test_systemd", "test_rootless_delegated"}, id="delegated-scope"),
    pytest.param(f"su user -c 'env {ENVIRONMENT} XDG_RUNTIME_DIR=/run/user/1000 /lab/test-cgroup_host'",
                 {"test_systemd", "test_rootless_undelegated"}, id="login-session"),
])
def test_control_groups(command, expected):
    os.chmod("/lab", 0o755)
    assert sh("systemctl start user@1000")[0] == 0
    status, out = sh(command)
    passed = set(re.findall(r"^\[ +OK \] (\w+)$", out, re.M))
    assert status == 0 and passed == expected, out
    assert sh("find /sys/fs/cgroup -name '*ringwall-test*'")[1] == ""
