"""Networks of boxes made from images. The suite has a network namespace of its own; all traffic stays in it."""
import json
import os
import socket
import subprocess

import pytest

from box_support import boxes, image_store  # noqa: F401 (fixtures)
from conftest import wait_for

SERVER = "mkdir -p /www; echo hello > /www/index.html; exec busybox httpd -f -p 80 -h /www"


@pytest.fixture(scope="module", autouse=True)
def outside():
    """An address of this host that is not loopback, and a default route, as every host has."""
    def ip(*args, check=True):
        subprocess.run(["ip", *args], check=check)
    ip("link", "add", "rwt-out", "type", "veth", "peer", "name", "rwt-peer")
    ip("addr", "add", "192.0.2.1/24", "dev", "rwt-out")
    ip("link", "set", "rwt-out", "up")
    ip("link", "set", "rwt-peer", "up")
    ip("route", "add", "default", "via", "192.0.2.2", "dev", "rwt-out")
    yield "192.0.2.1"
    ip("link", "del", "rwt-out")


@pytest.fixture(autouse=True)
def nothing_left(boxes):
    yield
    for name in boxes.list():
        boxes("delete", "-f", name)
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
    assert "ringwall" not in tables and "ringwall0" not in links and "\nrw0" not in links, (tables, links)


def get(address, port, timeout=3):
    with socket.create_connection((address, port), timeout=timeout) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while chunk := s.recv(4096):
            data += chunk
    return data.rpartition(b"\r\n\r\n")[2].decode()


def address_of(boxes, name):
    return json.loads(boxes("inspect", name).out)[0]["network"]["address"]


def fetch(boxes, address, port):
    """The same from inside another box."""
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {port} | tail -n 1"
    return boxes.run("sh", "-c", script, network=None).out


def test_none_has_only_loopback(boxes):
    assert boxes.run("sh", "-c", "ls /sys/class/net", network="none").out == "lo\n"


def test_host_is_the_callers(boxes):
    out = boxes.run("readlink", "/proc/self/ns/net", network="host").out.strip()
    assert out == os.readlink("/proc/self/ns/net")


def test_given_namespace(boxes):
    p = subprocess.Popen(["unshare", "-n", "sleep", "100"])
    try:
        path = f"/proc/{p.pid}/ns/net"
        wait_for(lambda: os.readlink(path) != os.readlink("/proc/self/ns/net"), 5)
        assert boxes.run("readlink", "/proc/self/ns/net", network=f"ns:{path}").out.strip() == os.readlink(path)
    finally:
        p.kill()
        p.wait()


def test_private(boxes):
    out = boxes.run("sh", "-c", "ip -4 -o addr show eth0; ip route; cat /etc/hosts", network="private").out
    assert "10.209.0.2/16" in out and "default via 10.209.0.1" in out
    assert "10.209.0.2\t" in out, "its own address is in /etc/hosts"


def test_boxes_reach_each_other_and_ports_are_published(boxes, outside):
    name = boxes.detached("web", "sh", "-c", SERVER, network=None, flags=["-p", "8080:80", "-p", "127.0.0.1:9090:80", "-p", "7000-7001:80-81"])
    address = address_of(boxes, name)
    wait_for(lambda: fetch(boxes, address, 80) == "hello\n", 10)
    assert get("127.0.0.1", 8080) == "hello\n"
    assert get("127.0.0.1", 9090) == "hello\n"
    assert get("127.0.0.1", 7000) == "hello\n"
    assert get(outside, 8080) == "hello\n"
    with pytest.raises(OSError):
        get(outside, 9090)
    assert fetch(boxes, outside, 8080) == "hello\n", "through the host's own address"
    r = boxes("run", "--rm", "-p", "8080:80", "base", "true", status=125)
    assert "cannot publish" in r.err
    boxes("rm", "-f", name)
    with pytest.raises(OSError):
        get("127.0.0.1", 8080)


def test_udp_port(boxes):
    server = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 5000))\n"
              "while True:\n  data, peer = s.recvfrom(100); s.sendto(data, peer)")
    host = [f"-v={d}:{d}:ro" for d in ("/usr", "/lib", "/lib64")]  # busybox has no UDP server; the host's python is one
    boxes.detached("udp", "/usr/bin/python3", "-c", server, network=None, flags=["-p", "5000:5000/udp", *host])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)

        def echoed():
            s.sendto(b"datagram", ("127.0.0.1", 5000))
            try:
                return s.recv(100) == b"datagram"
            except OSError:
                return False
        wait_for(echoed, 10)


def test_fixed_address(boxes):
    name = boxes.detached("fixed", "sleep", "100", network=None, flags=["--ip", "10.209.3.4"])
    assert address_of(boxes, name) == "10.209.3.4"
    assert "taken" in boxes("run", "--rm", "--ip", "10.209.3.4", "base", "true", status=125).err
    assert "not in the private network" in boxes("run", "--rm", "--ip", "192.168.1.1", "base", "true", status=125).err


def test_restart_keeps_the_ports(boxes):
    name = boxes.detached("again", "sh", "-c", SERVER, network=None, flags=["-p", "8081:80"])
    wait_for(lambda: get("127.0.0.1", 8081) == "hello\n" if reachable(8081) else False, 10)
    boxes("restart", "-t", "0", name)
    wait_for(lambda: get("127.0.0.1", 8081) == "hello\n" if reachable(8081) else False, 10)


def reachable(port):
    try:
        get("127.0.0.1", port, 1)
        return True
    except OSError:
        return False


def test_killed_monitor(boxes):
    """The box goes on; deleting it takes the network down too."""
    from box_support import monitors
    name = boxes.detached("killed", "sh", "-c", SERVER, network=None, flags=["-p", "8082:80"])
    wait_for(lambda: reachable(8082), 10)
    os.kill(monitors(boxes.store)[0], 9)
    boxes("delete", "-f", name)
    assert not reachable(8082)


def test_many_at_once(boxes):
    names = [boxes.name(f"many{i}") for i in range(6)]
    processes = [subprocess.Popen(boxes.command("run", "-d", "--name", n, "base", "sleep", "100"), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL) for n in names]
    assert [p.wait(60) for p in processes] == [0] * len(names)
    assert len({address_of(boxes, n) for n in names}) == len(names)


@pytest.mark.parametrize("port", ["0:80", "70000:80", "80:0", "x", "1:2:3:4", "80/sctp", "300.1.1.1:80:80", "1-3:1-2", ""])
def test_bad_ports(boxes, port):
    assert "--publish" in boxes("run", "--rm", "-p", port, "base", "true", status=125).err


def test_publish_needs_a_private_network(boxes):
    assert "--network private" in boxes("run", "--rm", "--network", "none", "-p", "80:80", "base", "true", status=125).err


def test_address_needs_a_private_network(boxes):
    assert "--ip" in boxes("run", "--rm", "--network", "none", "--ip", "10.209.0.9", "base", "true", status=125).err
