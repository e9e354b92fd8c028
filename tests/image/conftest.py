"""Tests of `ringwall image`. RINGWALL=PATH chooses the program (build/ringwall)."""
import ctypes
import os
import subprocess

import pytest

from images import Store

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18


def pytest_configure(config):
    """Own mounts and an own network that is nothing but a loopback."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNS | CLONE_NEWNET) == 0:
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))
