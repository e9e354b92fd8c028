#!/usr/bin/env python3
"""Makes the built-in image `base`: an OCI layout in a tar file, from a static busybox. Same input, same bytes.

usage: make-base-image.py BUSYBOX TAR HEADER
HEADER defines IMAGE_BASE_DIGEST, the digest of the image's manifest.
"""
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUP = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n"
DIRS = ["bin", "dev", "etc", "home", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "usr/bin", "usr/sbin",
        "usr/local", "usr/local/bin", "var", "var/log", "var/tmp", "var/www"]
STICKY = {"tmp", "var/tmp"}


def entry(name, kind, mode, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname = kind, mode, size, link
    info.uname = info.gname = ""
    return info


def add_file(tar, name, data, mode=0o644):
    tar.addfile(entry(name, tarfile.REGTYPE, mode, len(data)), io.BytesIO(data))


def make_layer(busybox, version):
    out = io.BytesIO()
    with open(busybox, "rb") as f:
        program = f.read()
    if b"\0/lib64/ld-linux" in program or b"/ld-linux" in program[:4096]:
        sys.exit(f"{busybox} is linked dynamically: install busybox-static")
    applets = subprocess.run([busybox, "--list-full"], check=True, capture_output=True, text=True).stdout.split()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        dirs = set(DIRS) | {os.path.dirname(a) for a in applets if os.path.dirname(a)}
        for name in sorted(dirs):
            tar.addfile(entry(name, tarfile.DIRTYPE, 0o1777 if name in STICKY else 0o700 if name == "root" else 0o755))
        add_file(tar, "bin/busybox", program, 0o755)
        for name in sorted(set(applets)):
            if name not in ("bin/busybox", "linuxrc"):
                tar.addfile(entry(name, tarfile.SYMTYPE, 0o777, link="/bin/busybox"))
        add_file(tar, "etc/group", GROUP.encode())
        add_file(tar, "etc/hosts", b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
        add_file(tar, "etc/nsswitch.conf", b"hosts: files dns\n")
        add_file(tar, "etc/os-release",
                 f'ID=ringwall-base\nNAME="Ringwall base"\nPRETTY_NAME="Ringwall base ({version})"\n'.encode())
        add_file(tar, "etc/passwd", PASSWD.encode())
        add_file(tar, "etc/profile", b"export PS1='\\u@\\h:\\w\\$ '\n")
        add_file(tar, "etc/resolv.conf", b"")
    return out.getvalue()


def go_architecture():
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "i386": "386", "armv7l": "arm"}.get(machine, machine)


def main():
    busybox, target, header = sys.argv[1:]
    version = subprocess.run([busybox], check=True, capture_output=True, text=True).stdout.split("\n")[0].split(" (")[0]
    blobs = {}

    def blob(media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

    def blob_json(media_type, value):
        return blob(media_type, json.dumps(value, separators=(",", ":")).encode())

    layer = blob("application/vnd.oci.image.layer.v1.tar", make_layer(busybox, version))
    config = blob_json("application/vnd.oci.image.config.v1+json", {
        "created": "1970-01-01T00:00:00Z", "architecture": go_architecture(), "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sh"],
                   "Labels": {"org.opencontainers.image.title": "ringwall base",
                              "org.opencontainers.image.description": version}},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "make-base-image.py", "comment": version}]})
    manifest = blob_json("application/vnd.oci.image.manifest.v1+json", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
        "layers": [layer]})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {**manifest, "platform": {"architecture": go_architecture(), "os": "linux"},
         "annotations": {"org.opencontainers.image.ref.name": "localhost/base:latest"}}]}
    with tarfile.open(target + ".tmp", "w", format=tarfile.PAX_FORMAT) as tar:
        add_file(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add_file(tar, "index.json", json.dumps(index, separators=(",", ":")).encode())
        for digest, data in sorted(blobs.items()):
            add_file(tar, "blobs/sha256/" + digest, data)
    os.replace(target + ".tmp", target)
    with open(header, "w", encoding="ascii") as f:
        f.write("/* Made by make-base-image.py: the digest of the built-in image's manifest. */\n#pragma once\n\n"
                f'#define IMAGE_BASE_DIGEST "{manifest["digest"]}"\n')


if __name__ == "__main__":
    main()
