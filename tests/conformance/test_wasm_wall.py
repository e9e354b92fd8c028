"""The wasm wall: a module runs as a box, sees the directories that it is given and nothing else, and cannot leave them."""
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM, SCALE, TOP

pytestmark = pytest.mark.needs("wasm-wall")

SPEC = os.path.join(TOP, "tests/data/wasm-spec")

# Opens the path in the first argument beneath descriptor 3 and copies it to standard output; exits with the WASI error.
CAT = r"""
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $strlen (param $p i32) (result i32) (local $n i32)
    (block $done (loop $next
      (br_if $done (i32.eqz (i32.load8_u (i32.add (local.get $p) (local.get $n)))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $next)))
    (local.get $n))
  (func $check (param $errno i32) (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func (export "_start") (local $path i32)
    (call $check (call $args (i32.const 16) (i32.const 1024)))
    (local.set $path (i32.load (i32.const 20)))
    (call $check (call $open (i32.const 3) (i32.const 1) (local.get $path) (call $strlen (local.get $path))
                             (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))
    (i32.store (i32.const 32) (i32.const 4096))
    (i32.store (i32.const 36) (i32.const 4096))
    (call $check (call $read (i32.load (i32.const 8)) (i32.const 32) (i32.const 1) (i32.const 40)))
    (i32.store (i32.const 36) (i32.load (i32.const 40)))
    (call $check (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 44)))))
"""
SPIN = '(module (func (export "_start") (loop $l (br $l))))'
ENOTCAPABLE, ENOENT, ELOOP = 76, 44, 32


class Wasm:
    def __init__(self, directory):
        self.directory = directory
        self.n = 0

    def module(self, text):
        self.n += 1
        path = os.path.join(self.directory, f"m{self.n}.wat")
        with open(path, "w") as f:
            f.write(text)
        return path

    def command(self, *args):
        return [PROGRAM, "--root", os.path.join(self.directory, "state"), "--store", os.path.join(self.directory, "store"),
                "--isolation", "wasm", *args]

    def __call__(self, *args, timeout=60):
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=timeout * SCALE,
                              stdin=subprocess.DEVNULL)


@pytest.fixture
def wasm(boundary, workdir, doctor):
    return Wasm(str(workdir))


def test_exit_status_and_output(wasm):
    m = wasm.module('(module (import "wasi_snapshot_preview1" "proc_exit" (func $e (param i32))) (memory 1)'
                    ' (func (export "_start") (call $e (i32.const 42))))')
    r = wasm("run", "--rm", m)
    assert (r.returncode, r.stdout) == (42, ""), r.stderr


def test_trap_is_named(wasm):
    r = wasm("run", "--rm", wasm.module('(module (func (export "_start") unreachable))'))
    assert r.returncode == 134 and "unreachable" in r.stderr, r


@pytest.mark.parametrize("text,message", [
    ("(module", "')' is expected"),
    ("(module (func $f (result i32) (i64.const 1)) (func (export \"_start\") (drop (call $f))))", "type mismatch"),
    ('(module (import "env" "f" (func)) (func (export "_start")))', "unknown import 'f' from 'env'"),
    ('(module (import "wasi_snapshot_preview1" "fd_close" (func)) (func (export "_start")))', "another signature"),
    ("(module)", "_start"),
])
def test_what_cannot_run_is_refused(wasm, text, message):
    r = wasm("run", "--rm", wasm.module(text))
    assert r.returncode in (126, 134) and message in r.stderr, r


def test_directories(wasm):
    d = os.path.join(wasm.directory, "data")
    os.mkdir(d)
    with open(os.path.join(d, "greeting"), "w") as f:
        f.write("hello")
    r = wasm("run", "--rm", "--dir", f"{d}:/data", wasm.module(CAT), "greeting")
    assert (r.returncode, r.stdout) == (0, "hello"), r


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "out", "sub/../../secret", "proc", "deep/up/secret"])
def test_no_path_leads_out(wasm, path):
    d = os.path.join(wasm.directory, "data")
    os.makedirs(os.path.join(d, "sub"))
    os.makedirs(os.path.join(d, "deep"))
    with open(os.path.join(wasm.directory, "secret"), "w") as f:
        f.write("secret")
    os.symlink("../secret", os.path.join(d, "out"))
    os.symlink("/proc/self/root/etc/passwd", os.path.join(d, "proc"))
    os.symlink("../..", os.path.join(d, "deep/up"))
    r = wasm("run", "--rm", "--dir", f"{d}:/data", wasm.module(CAT), path)
    assert r.returncode in (ENOTCAPABLE, ENOENT, ELOOP) and r.stdout == "", r


def test_read_only_directory(wasm):
    d = os.path.join(wasm.directory, "data")
    os.mkdir(d)
    m = wasm.module(CAT.replace("(i32.const 0) (i64.const 2)", "(i32.const 1) (i64.const 66)"))  # create, read and write
    r = wasm("run", "--rm", "--dir", f"{d}:/data:ro", m, "new")
    assert r.returncode == ENOTCAPABLE and os.listdir(d) == [], r
    r = wasm("run", "--rm", "--dir", f"{d}:/data", m, "new")
    assert r.returncode == 0 and os.listdir(d) == ["new"], r


def test_box_verbs(wasm):
    assert wasm("run", "-d", "--name", "spin", wasm.module(SPIN)).returncode == 0
    try:
        assert wasm("pause", "spin").returncode == 0
        assert json.loads(wasm("state", "spin").stdout)["status"] == "paused"
        assert wasm("resume", "spin").returncode == 0
        r = wasm("exec", "spin", "true")
        assert r.returncode == 125 and "cannot run another program" in r.stderr, r
        assert wasm("kill", "spin", "KILL").returncode == 0
        deadline = time.time() + 20 * SCALE
        while json.loads(wasm("state", "spin").stdout)["status"] != "stopped" and time.time() < deadline:
            time.sleep(0.05)
        assert json.loads(wasm("state", "spin").stdout)["status"] == "stopped"
    finally:
        assert wasm("rm", "-f", "spin").returncode == 0


def test_specification(boundary, doctor):
    """A part of the scripts, through the command line; the whole is the unit test wasm-wast."""
    files = [os.path.join(SPEC, "core", f) for f in ("i32.wast", "try_table.wast", "array.wast", "memory64.wast")]
    r = subprocess.run([PROGRAM, "wasm", "wast", *files], capture_output=True, text=True, timeout=60 * SCALE)
    assert r.returncode == 0 and " 0 failed" in r.stdout, r
