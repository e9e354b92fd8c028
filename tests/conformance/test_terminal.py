"""Terminals: --console-socket, and a terminal proxied by run and exec."""
import fcntl
import os
import pty
import struct
import subprocess
import termios
import time

import pytest

from conftest import SCALE

pytestmark = pytest.mark.needs("terminal")


def with_pty(ringwall, *args, size=(33, 77), text=None, until=b"end"):
    """Runs a verb on a terminal of ours and returns (exit status, what the terminal showed)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    before = termios.tcgetattr(slave)
    process = ringwall.popen(*args, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    shown, end = b"", time.monotonic() + 20 * SCALE
    os.set_blocking(master, False)
    while time.monotonic() < end:
        ended = process.poll() is not None  # before the read: what was written by then is read still
        try:
            shown += os.read(master, 4096)
        except BlockingIOError:
            if text and b"ready" in shown:
                os.write(master, text)
                text = None
            if ended:
                break
            time.sleep(0.02)
        except OSError:
            break
    status = process.wait(10 * SCALE)
    after = termios.tcgetattr(slave)
    os.close(slave)
    os.close(master)
    assert before == after, "the caller's terminal settings were not put back"
    return status, shown.decode("utf-8", "replace").replace("\r\n", "\n")


def test_console_socket(ringwall, bundle, console):
    bundle.process["terminal"] = True
    id = ringwall.create(bundle.sh("probe tty; read x; echo got $x; echo end"), f"--console-socket={console.path}")
    ringwall("start", id)
    console.write(b"typed\n")
    text = console.read(b"end\n")
    assert "tty 1 1 1" in text and "controlling ok" in text and "session own" in text and "console same" in text
    assert "name /dev/pts/0" in text or "name /dev/console" in text
    assert "got typed" in text
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)


def test_console_size(ringwall, bundle, console):
    bundle.process["terminal"] = True
    bundle.process["consoleSize"] = {"height": 41, "width": 123}
    id = ringwall.create(bundle.sh("probe winsize; echo end"), f"--console-socket={console.path}")
    ringwall("start", id)
    assert "rows 41 columns 123" in console.read(b"end\n")
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)


def test_terminal_belongs_to_the_boxes_user(ringwall, bundle, console):
    bundle.process["terminal"] = True
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    id = ringwall.create(bundle.sh("stat -c %u $(tty); echo x >$(tty) && echo writable; echo end"), f"--console-socket={console.path}")
    ringwall("start", id)
    text = console.read(b"end\n")
    assert text.startswith("1000\n") and "writable" in text
    ringwall.wait_status(id, "stopped")
    ringwall("delete", id)


def test_create_with_a_terminal_needs_a_console_socket(ringwall, bundle):
    bundle.process["terminal"] = True
    r = ringwall.create(bundle, status="fail")
    assert "console" in r.err


def test_console_socket_without_a_terminal_is_refused(ringwall, bundle, console):
    """As runc has it: a socket that would never get a terminal is a mistake of the caller's."""
    assert "terminal" in ringwall.create(bundle, f"--console-socket={console.path}", status="fail").err


def test_missing_console_socket_is_named(ringwall, bundle, workdir):
    bundle.process["terminal"] = True
    r = ringwall.create(bundle, f"--console-socket={workdir}/no.sock", status="fail")
    assert "no.sock" in r.err


def test_run_proxies_a_terminal(ringwall, bundle):
    bundle.process["terminal"] = True
    bundle.sh("probe tty; probe winsize; echo ready; read x; echo got $x; exit 5").save()
    status, shown = with_pty(ringwall, "run", f"--bundle={bundle.path}", ringwall.id(), text=b"words\n")
    assert status == 5
    assert "tty 1 1 1" in shown and "rows 33 columns 77" in shown and "got words" in shown


def test_exec_proxies_a_terminal(ringwall, bundle):
    id = ringwall.start(bundle)
    status, shown = with_pty(ringwall, "exec", "--tty", id, "/bin/sh", "-c", "probe tty; probe winsize; echo ready; read x; echo got $x; exit 6", text=b"words\n")
    assert status == 6
    assert "tty 1 1 1" in shown and "rows 33 columns 77" in shown and "got words" in shown
    ringwall("delete", "-f", id)


def test_control_c_reaches_the_workload(ringwall, bundle):
    bundle.process["terminal"] = True
    bundle.args("/bin/probe", "wait", "ready").save()
    status, shown = with_pty(ringwall, "run", f"--bundle={bundle.path}", ringwall.id(), text=b"\x03")
    assert status == 0 and "signal 2" in shown


def test_foreground_run_without_a_terminal_of_ours(ringwall, bundle):
    """`run` with terminal: true whose own streams are no terminal still gives the workload one."""
    bundle.process["terminal"] = True
    r = ringwall.run(bundle.sh("probe tty; echo end"), status=None)
    assert r.status != "timeout"


def test_descriptor_of_the_pidfd_socket(ringwall, bundle, sockets):
    s = sockets("pidfd.sock")
    id = ringwall.create(bundle, f"--pidfd-socket={s.path}")
    fd = s.receive()
    info = open(f"/proc/self/fdinfo/{fd}").read()
    assert f"Pid:\t{ringwall.state(id)['pid']}\n" in info
    ringwall("delete", "-f", id)
