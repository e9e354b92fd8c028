"""What the image tests share: making layers and layouts of any wickedness, a store to put them in, registries to fetch from."""
import gzip
import hashlib
import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import tarfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("RINGWALL", os.path.join(TOP, "build/ringwall")))
SCALE = float(os.environ.get("RINGWALL_TIMEOUT_SCALE", "1"))

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker.distribution."
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layer:
    """A tar archive under construction: each method adds an entry."""
    def __init__(self, format=tarfile.PAX_FORMAT):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=format)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, link="", major=0, minor=0, mtime=1000000000,
            pax=None):
        info = tarfile.TarInfo(name)
        info.name = name  # as it is: TarInfo() does not clean it, and neither do we
        info.type, info.mode, info.uid, info.gid, info.linkname = kind, mode, uid, gid, link
        info.devmajor, info.devminor, info.mtime = major, minor, mtime
        info.size = len(data) if kind == tarfile.REGTYPE else 0
        info.pax_headers = pax or {}
        self.tar.addfile(info, io.BytesIO(data) if info.size else None)
        return self

    def file(self, name, data=b"x", **more):
        return self.add(name, data=data if isinstance(data, bytes) else data.encode(), **more)

    def dir(self, name, mode=0o755, **more):
        return self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def symlink(self, name, to, **more):
        return self.add(name, tarfile.SYMTYPE, link=to, mode=0o777, **more)

    def hardlink(self, name, to):
        return self.add(name, tarfile.LNKTYPE, link=to)

    def whiteout(self, name):
        parent, base = os.path.split(name)
        return self.file(os.path.join(parent, ".wh." + base), b"")

    def opaque(self, name):
        return self.file(os.path.join(name, ".wh..wh..opq"), b"")

    @property
    def bytes(self):
        if not self.tar.closed:
            self.tar.close()
        return self.out.getvalue()


def compress(data, how):
    if how == "gzip":
        return gzip.compress(data, mtime=0)
    if how == "none":
        return data
    return subprocess.run({"zstd": ["zstd", "-q"], "bzip2": ["bzip2"], "xz": ["xz"]}[how], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


MEDIA = {"gzip": OCI + "layer.v1.tar+gzip", "zstd": OCI + "layer.v1.tar+zstd", "none": OCI + "layer.v1.tar"}


class Image:
    """Manifest, config and blobs of an image made of LAYERS (Layer objects or tar bytes)."""
    def __init__(self, layers, compression="gzip", config=None, arch=ARCH, diff_ids=None, os="linux", docker=False):
        self.blobs = {}
        tars = [l.bytes if isinstance(l, Layer) else l for l in layers]
        media = DOCKER.replace("distribution", "image") + "rootfs.diff.tar.gzip" if docker else MEDIA.get(compression, MEDIA["gzip"])
        self.layers = [self.blob(compress(t, compression), media) for t in tars]
        self.config = {"architecture": arch, "os": os, "config": config or {"Cmd": ["/bin/sh"]},
                       "rootfs": {"type": "layers", "diff_ids": diff_ids or [sha256(t) for t in tars]},
                       "history": [{"created_by": "test"} for _ in tars]}
        self.arch, self.os, self.docker = arch, os, docker
        self.seal()

    def blob(self, data, media):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        self.blobs[sha256(data)] = data
        return {"mediaType": media, "digest": sha256(data), "size": len(data)}

    def seal(self):
        """Makes the manifest anew from self.config and self.layers."""
        self.config_descriptor = self.blob(self.config, "application/vnd.docker.container.image.v1+json" if self.docker
                                           else OCI + "config.v1+json")
        media = DOCKER + "manifest.v2+json" if self.docker else OCI + "manifest.v1+json"
        self.manifest = {"schemaVersion": 2, "mediaType": media, "config": self.config_descriptor, "layers": self.layers}
        self.descriptor = self.blob(self.manifest, media)
        return self

    @property
    def id(self):
        return self.config_descriptor["digest"]

    @property
    def digest(self):
        return self.descriptor["digest"]


def write_layout(path, images):
    """An OCI layout at PATH. IMAGES: {ref: Image}."""
    os.makedirs(os.path.join(path, "blobs/sha256"))
    entries = []
    for ref, image in images.items():
        for digest, data in image.blobs.items():
            with open(os.path.join(path, "blobs", digest.replace(":", "/")), "wb") as f:
                f.write(data)
        entries.append({**image.descriptor, "platform": {"architecture": image.arch, "os": image.os},
                        "annotations": {"org.opencontainers.image.ref.name": ref} if ref else {}})
    with open(os.path.join(path, "index.json"), "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "manifests": entries}, f)
    with open(os.path.join(path, "oci-layout"), "w", encoding="utf-8") as f:
        f.write('{"imageLayoutVersion": "1.0.0"}')
    return path


def write_docker_archive(path, image, tags, layer_files=None):
    """As `docker save` writes it, with uncompressed layers."""
    with tarfile.open(path, "w") as tar:
        def put(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        names = []
        for i, l in enumerate(image.layers):
            names.append(f"{i}/layer.tar")
            data = image.blobs[l["digest"]]
            put(names[-1], gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        put("config.json", image.blobs[image.id])
        put("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": tags, "Layers": layer_files or names}]).encode())
    return path


class Store:
    """A store of its own and the verbs of `ringwall image` on it."""
    def __init__(self, directory):
        self.directory = directory
        self.path = os.path.join(directory, "store")
        self.env = {**os.environ, "HOME": directory, "TMPDIR": directory}
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "RINGWALL_STORE", "http_proxy",
                     "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            self.env.pop(name, None)

    def command(self, *args):
        return [PROGRAM, f"--store={self.path}", "image", *map(str, args)]

    def __call__(self, *args, status=0, timeout=60, env=None, **more):
        more.setdefault("stdin", subprocess.DEVNULL)
        if "input" in more:
            del more["stdin"]
        r = subprocess.run(self.command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout * SCALE,
                           env={**self.env, **(env or {})}, **more)
        r.out, r.err = r.stdout.decode("utf-8", "replace"), r.stderr.decode("utf-8", "replace")
        assert status is None or r.returncode == status, f"{args}: {r.returncode}\n{r.out}\n{r.err}"
        return r

    def popen(self, *args, **more):
        return subprocess.Popen(self.command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, **more)

    def fails(self, *args, because, **more):
        """Exit code 125, one line that matches BECAUSE, and nothing left."""
        r = self(*args, status=125, **more)
        assert re.search(because, r.err), f"expected {because!r} in: {r.err}"
        assert len(r.err.strip().splitlines()) == 1, r.err
        self.assert_clean()
        return r

    def load(self, image, ref="t", compression=None, **more):
        """Loads IMAGE (or a list of layers) as localhost/l:REF; its layer directories, lowest first."""
        self.layout(image, ref, compression)
        self("load", self.last, **more)
        return self.layers(f"localhost/l:{ref}")

    def layout(self, image, ref="t", compression=None):
        if not isinstance(image, Image):
            image = Image(image, compression or "gzip")
        n = len(os.listdir(self.directory))
        self.last = write_layout(os.path.join(self.directory, f"in{n}", "l"), {ref: image})
        return self.last

    def inspect(self, name):
        return json.loads(self("inspect", name).out)[0]

    def layers(self, name):
        return self.inspect(name)["LayerDirs"]

    def ls(self):
        return {i["name"]: i for i in json.loads(self("ls", "--json").out)}

    def leftovers(self):
        ingest = os.path.join(self.path, "ingest")
        return os.listdir(ingest) if os.path.isdir(ingest) else []

    def assert_clean(self):
        assert not self.leftovers()

    def check(self):
        """Sound: every blob has its digest, every image is whole."""
        return self("check")


def is_whiteout(path):
    st = os.lstat(path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def is_opaque(path):
    try:
        return os.getxattr(path, "user.overlay.opaque") == b"y"
    except OSError:
        return False


def tree(path):
    """{name: (type and mode, uid, gid, size or target, content digest)} of everything below PATH."""
    result = {}
    for base, dirs, files in os.walk(path):
        for name in dirs + files:
            full = os.path.join(base, name)
            st = os.lstat(full)
            more = os.readlink(full) if stat.S_ISLNK(st.st_mode) else None
            if stat.S_ISREG(st.st_mode):
                with open(full, "rb") as f:
                    more = sha256(f.read())
            elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
                more = st.st_rdev
            result[os.path.relpath(full, path)] = (oct(st.st_mode), st.st_uid, st.st_gid, more)
    return result


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class DockerRegistry:
    """Debian's docker-registry on a random port of the loopback."""
    def __init__(self, directory, http="", auth=""):
        self.port = free_port()
        self.name = f"127.0.0.1:{self.port}"
        self.data = os.path.join(directory, "registry")
        config = os.path.join(directory, "registry.yml")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {self.data}\n"
                    f"  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{self.port}\n{http}{auth}")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("docker-registry does not start")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
