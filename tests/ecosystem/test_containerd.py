"""containerd with its runc.v2 shim and our program as the runtime's binary."""
import os
import shutil
import subprocess
import tempfile
import time

import pytest

from conftest import PROGRAM, SCALE, execute, stop_group

CONFIG = """version = 2
root = "{d}/root"
state = "{d}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{d}/containerd.sock"
[ttrpc]
  address = "{d}/containerd.sock.ttrpc"
[debug]
  level = "warn"
"""


class Ctr:
    def __init__(self, directory):
        self.directory = directory
        self.command = ["ctr", f"--address={directory}/containerd.sock", "--namespace=rwt"]

    def __call__(self, *args, **more):
        return execute([*self.command, *args], **more)

    def run(self, *args, **more):
        return self("run", "--snapshotter=native", f"--runc-binary={PROGRAM}", f"--runc-root={self.directory}/runc", *args, **more)


@pytest.fixture(scope="module")
def ctr(rootfs_tar):
    if not shutil.which("containerd") or not shutil.which("ctr"):
        pytest.fail("containerd is not installed: tools/setup test")
    d = tempfile.mkdtemp(prefix="rwt-ctd.")
    with open(f"{d}/config.toml", "w") as f:
        f.write(CONFIG.format(d=d))
    log = open(f"{d}/log", "w")
    daemon = subprocess.Popen(["containerd", "--config", f"{d}/config.toml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        c = Ctr(d)
        end = time.monotonic() + 30 * SCALE
        while c("version", status=None).returncode:
            assert time.monotonic() < end and daemon.poll() is None, open(f"{d}/log").read()[-2000:]
            time.sleep(0.1)
        # ctr imports images only: the tar becomes the one layer of an OCI image.
        image(rootfs_tar, f"{d}/image.tar")
        c("image", "import", "--snapshotter=native", f"{d}/image.tar")
        yield c
    finally:
        stop_group(daemon)
        log.close()
        subprocess.run(f"umount -R {d} 2>/dev/null; true", shell=True)
        shutil.rmtree(d, ignore_errors=True)


def image(layer, target):
    """An OCI layout with one layer, as a tar."""
    import hashlib
    import io
    import json
    import tarfile
    blobs = {}

    def blob(data):
        d = hashlib.sha256(data).hexdigest()
        blobs[d] = data
        return f"sha256:{d}"
    data = open(layer, "rb").read()
    diff = blob(data)
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
                         "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob(config), "size": len(config)},
                           "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": diff, "size": len(data)}]}).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": blob(manifest),
                        "size": len(manifest), "annotations": {"io.containerd.image.name": "docker.io/library/bb:latest",
                                                               "org.opencontainers.image.ref.name": "latest"}}]}).encode()
    with tarfile.open(target, "w") as tar:
        for name, content in [("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), ("index.json", index), *((f"blobs/sha256/{d}", b) for d, b in blobs.items())]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


IMAGE = "docker.io/library/bb:latest"


def test_run(ctr):
    assert ctr.run("--rm", IMAGE, "rwt-a", "echo", "hello").out == "hello\n"
    ctr.run("--rm", IMAGE, "rwt-b", "sh", "-c", "exit 7", status=7)


def test_life_of_a_task(ctr):
    ctr.run("-d", IMAGE, "rwt-c", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    try:
        assert "RUNNING" in ctr("task", "ls").out
        assert ctr("task", "exec", "--exec-id=e1", "rwt-c", "echo", "inside").out == "inside\n"
        ctr("task", "exec", "--exec-id=e2", "rwt-c", "sh", "-c", "exit 4", status=4)
        ctr("task", "pause", "rwt-c")
        assert "PAUSED" in ctr("task", "ls").out
        ctr("task", "resume", "rwt-c")
        assert len(ctr("task", "ps", "rwt-c").out.splitlines()) >= 2
        ctr("task", "metrics", "rwt-c")
        ctr("task", "kill", "-s", "TERM", "rwt-c")
        end = time.monotonic() + 20 * SCALE
        while "STOPPED" not in ctr("task", "ls").out:
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        ctr("task", "kill", "-s", "KILL", "rwt-c", status=None)
        ctr("task", "rm", "-f", "rwt-c", status=None)
        ctr("container", "rm", "rwt-c", status=None)
    assert "rwt-c" not in ctr("task", "ls").out
    assert not os.path.exists(f"{ctr.directory}/runc/rwt/rwt-c")


def test_limits_and_mounts(ctr, tmp_path):
    (tmp_path / "file").write_text("from the host\n")
    r = ctr.run("--rm", "--memory-limit=67108864", f"--mount=type=bind,src={tmp_path},dst=/data,options=rbind:ro", "--env=A=b", "--cwd=/tmp", IMAGE, "rwt-d",
                "sh", "-c", "cat /data/file; echo $A; pwd; echo x >/data/file || echo ro")
    assert r.out.split("\n")[:4] == ["from the host", "b", "/tmp", "ro"]


def test_seccomp_default_profile(ctr):
    assert "Seccomp:\t2" in ctr.run("--rm", "--seccomp", IMAGE, "rwt-e", "grep", "Seccomp:", "/proc/self/status").out
