"""The content store: verbs, formats, what other tools write and read, sharing, pins, damage, and death at any moment."""
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import tarfile
import time

import pytest

from images import ARCH, Image, Layer, Store, free_port, is_opaque, is_whiteout, sha256, tree, write_docker_archive, write_layout


def rootfs_layer(seed=1, files=60, size=40_000):
    r = random.Random(seed)
    layer = Layer().dir("etc").dir("usr").dir("usr/bin", mode=0o755)
    for i in range(files):
        layer.file(f"usr/bin/f{i}", r.randbytes(r.randrange(size)), mode=0o755)
    return layer.file("etc/passwd", "root:x:0:0::/:/bin/sh\n").symlink("bin", "usr/bin").hardlink("usr/bin/again", "usr/bin/f0")


# ------------------------------------------------------------------------------------------------------------- the verbs

def test_built_in_image(store):
    store("load", "--builtin")
    info = store.inspect("base")
    assert info["RepoTags"] == ["localhost/base:latest"]
    assert info["Config"]["Cmd"] == ["/bin/sh"]
    (layer,) = info["LayerDirs"]
    r = subprocess.run(["chroot", layer, "/bin/sh", "-c", "echo $(whoami) $(ls / | wc -l)"], stdout=subprocess.PIPE, check=True)
    assert r.stdout.split()[0] == b"root"
    assert os.stat(layer + "/tmp").st_mode & 0o7777 == 0o1777


def test_ls_inspect_tag_rm(store):
    a, b = Image([Layer().file("a")]), Image([Layer().file("a"), Layer().file("b")])
    store("load", store.layout(a, "one"))
    store("load", store.layout(b, "two"))
    assert set(store.ls()) == {"localhost/l:one", "localhost/l:two"}
    assert store.ls()["localhost/l:one"]["id"] == a.id
    info = store.inspect(a.id[7:15])
    assert info["Id"] == a.id and info["Digest"] == a.digest and info["RepoTags"] == ["localhost/l:one"]
    assert info["RepoDigests"] == [f"localhost/l@{a.digest}"]
    assert info["RootFS"]["Layers"] == a.config["rootfs"]["diff_ids"]
    store("tag", "l:one", "quay.example.com/team/x:v1")
    assert sorted(store.inspect(a.id)["RepoTags"]) == ["localhost/l:one", "quay.example.com/team/x:v1"]
    text = store("ls").out
    assert "REPOSITORY" in text and "quay.example.com/team/x" in text and a.id[7:19] in text
    assert store("ls", "-q").out.split().count(a.id[7:19]) == 1
    store.fails("rm", a.id[7:19], because="2 names")
    store("rm", "l:one")
    assert set(store.ls()) == {"quay.example.com/team/x:v1", "localhost/l:two"}
    store("rm", "-f", a.id[7:19])
    assert set(store.ls()) == {"localhost/l:two"}
    assert len(os.listdir(store.path + "/layers")) == 2
    store("rm", "--all")
    for folder in ("layers", "images", "blobs/sha256", "ingest"):
        assert os.listdir(os.path.join(store.path, folder)) == []


def test_unknown_images_and_names(store):
    store.fails("inspect", "nosuch", because="cannot open the image store|not in the store")
    store("load", "--builtin")
    store.fails("inspect", "nosuch", because="not in the store.*image pull nosuch")
    store.fails("rm", "nosuch", because="not in the store")
    store("rm", "--ignore", "nosuch")
    store.fails("tag", "base", "UPPER", because="no repository name")
    store.fails("frobnicate", because="unknown command")
    store.fails("load", "/nonexistent", because="cannot open '/nonexistent'")
    store.fails("load", "--platform", because="platform")


def test_two_images_share_layers(store):
    common = Layer().file("common", b"c" * 1000).bytes
    store.load([common, Layer().file("a")], ref="a")
    store.load([common, Layer().file("b")], ref="b")
    assert store.layers("localhost/l:a")[0] == store.layers("localhost/l:b")[0]
    store("rm", "l:a")
    assert open(store.layers("localhost/l:b")[0] + "/common", "rb").read() == b"c" * 1000
    store.check()


def test_reloading_changes_nothing(store):
    path = store.layout([rootfs_layer()])
    store("load", path)
    before = sorted(os.listdir(store.path + "/layers"))
    store("load", path)
    assert sorted(os.listdir(store.path + "/layers")) == before
    assert "0 blobs" in store("gc").out


def test_a_moved_tag_leaves_the_old_image_to_gc(store):
    path = store.layout(Image([Layer().file("old")]), "x")
    store("load", path)
    shutil.rmtree(path)
    write_layout(path, {"x": Image([Layer().file("new")])})
    store("load", path)
    assert len(os.listdir(store.path + "/layers")) == 2
    assert "3 blobs" in store("gc", "--dry-run").out
    assert len(os.listdir(store.path + "/layers")) == 2
    result = json.loads(store("gc", "--json").out)
    assert result["blobs"] == 3 and result["layers"] == 1
    assert os.listdir(store.layers("localhost/l:x")[0]) == ["new"]


def test_a_pinned_image_stays(store, tmp_path):
    """A box pins its layers: the image cannot be removed under it, and gc keeps them, until the box is gone."""
    layers = store.load([Layer().file("a")])
    alive = tmp_path / "box"
    alive.mkdir()
    os.makedirs(store.path + "/pins", exist_ok=True)
    with open(store.path + "/pins/box1", "w", encoding="utf-8") as f:
        json.dump({"alive": str(alive), "name": "localhost/l:t", "manifest": store.inspect("l:t")["Digest"],
                   "layers": [os.path.basename(os.path.dirname(l)) for l in layers]}, f)
    store.fails("rm", "l:t", because="used by the box 'box1'.*--force")
    store("rm", "--force", "l:t")
    assert os.path.exists(layers[0] + "/a")
    alive.rmdir()
    store("gc")
    assert not os.path.exists(layers[0]) and os.listdir(store.path + "/pins") == []


def test_a_folder_that_is_no_store(store, tmp_path):
    os.mkdir(store.path)
    (tmp_path / "store" / "precious").write_text("x")
    r = store("load", "--builtin", status=125)
    assert "not an image store and not empty" in r.err
    assert os.listdir(store.path) == ["precious"]


def test_damage_is_found_and_repaired(store):
    image = Image([rootfs_layer()])
    path = store.layout(image)
    store("load", path)
    blob = os.path.join(store.path, "blobs", image.layers[0]["digest"].replace(":", "/"))
    os.chmod(blob, 0o600)
    with open(blob, "r+b") as f:
        f.seek(100)
        f.write(b"damage")
    r = store("check", status=125)
    assert image.layers[0]["digest"] in r.out and "--repair" in r.err
    store("check", "--repair", status=125)
    assert not os.path.exists(blob)
    store("load", path)
    store.check()


def test_damaged_record_is_named(store):
    store("load", "--builtin")
    record = store.path + "/images/localhost!base:latest.json"
    with open(record, "w", encoding="utf-8") as f:
        f.write('{"schema": 1, "images": [')
    r = store("gc", status=125)
    assert "nothing was removed" in r.err and "localhost/base:latest" in r.err
    assert len(os.listdir(store.path + "/blobs/sha256")) == 3
    store("rm", "--force", "localhost/base:latest")
    assert store.ls() == {}


def test_output_is_checked(store):
    store("load", "--builtin")
    with open("/dev/full", "w", encoding="utf-8") as full:
        r = subprocess.run(store.command("ls"), stdout=full, stderr=subprocess.PIPE, env=store.env, check=False)
    assert r.returncode == 125 and b"cannot write" in r.stderr


# ------------------------------------------------------------------------------------------------- formats, other tools

@pytest.mark.parametrize("packed", ["plain", "gz", "zst", "pipe"])
def test_layout_in_a_tar(store, packed):
    path = store.layout(Image([rootfs_layer()]), "v1")
    tar = path + ".tar"
    subprocess.run(["tar", "-C", path, "-cf", tar, "."], check=True)
    if packed == "pipe":
        with open(tar, "rb") as f:
            store("load", "--tag", "piped:v1", input=f.read())
        assert "localhost/piped:v1" in store.ls()
    else:
        if packed == "gz":
            subprocess.run(["gzip", tar], check=True)
            tar += ".gz"
        elif packed == "zst":
            subprocess.run(["zstd", "-q", "--rm", tar], check=True)
            tar += ".zst"
        store("load", "-i", tar)
        assert "localhost/l:v1" in store.ls()
    store.check()
    store.assert_clean()


def test_several_images_in_a_layout(store, tmp_path):
    path = write_layout(str(tmp_path / "many"), {"a": Image([Layer().file("a")]), "b": Image([Layer().file("b")]),
                                                 "quay.example.com/x/y:z": Image([Layer().file("c")])})
    store("load", path)
    assert set(store.ls()) == {"localhost/many:a", "localhost/many:b", "quay.example.com/x/y:z"}
    store("rm", "-a")
    store("load", f"oci:{path}:b")
    assert set(store.ls()) == {"localhost/many:b"}
    store.fails("load", path, "--tag", "one", because="3 images")
    store.fails("load", path + ":nope", because="no image nope")


def test_docker_archive(store, tmp_path):
    image = Image([Layer().file("a"), Layer().whiteout("a").file("b")], docker=True)
    path = write_docker_archive(str(tmp_path / "d.tar"), image, ["debian:test", "quay.example.com/a/b:c"])
    store("load", path)
    assert set(store.ls()) == {"docker.io/library/debian:test", "quay.example.com/a/b:c"}
    assert store.inspect("debian:test")["Id"] == image.id
    layers = store.layers("debian:test")
    assert os.listdir(layers[0]) == ["a"] and is_whiteout(layers[1] + "/a")
    path = write_docker_archive(str(tmp_path / "noname.tar"), image, None)
    store("load", path)
    assert "localhost/noname:latest" in store.ls()
    bad = write_docker_archive(str(tmp_path / "bad.tar"), image, ["x"], ["0/layer.tar", "../../etc/passwd"])
    store.fails("load", bad, because="no member '../../etc/passwd'")
    bad = write_docker_archive(str(tmp_path / "bad2.tar"), image, ["x"], ["0/layer.tar"])
    store.fails("load", bad, because="lists 1 layers, the config 2")


def test_archive_members_that_lead_out(store, tmp_path):
    path = str(tmp_path / "links.tar")
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.type, info.linkname = tarfile.SYMTYPE, "../../../etc/passwd"
        tar.addfile(info)
    store.fails("load", path, because="leads out of the archive")
    layout = store.layout([Layer().file("x")])
    os.unlink(layout + "/index.json")
    os.symlink("/etc/passwd", layout + "/index.json")
    store.fails("load", layout, because="neither an OCI layout")


def test_import(store, tmp_path):
    tar = tmp_path / "root.tar.gz"
    tar.write_bytes(gzip.compress(rootfs_layer().bytes))
    r = store("import", tar, "mine:1", "-c", 'CMD ["/bin/x", "y"]', "-c", "ENV A=b c", "-c", "EXPOSE 80 53/udp", "-c", "USER 1000",
              "-c", "WORKDIR /w", "-c", "LABEL k=v", "-c", "VOLUME /data", "-c", "STOPSIGNAL SIGINT", "-c", "ENTRYPOINT run it",
              "-m", "note")
    info = store.inspect("mine:1")
    assert info["Id"] == r.out.strip()
    assert info["Config"] == {"Cmd": ["/bin/x", "y"], "Env": ["A=b c"], "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "User": "1000",
                              "WorkingDir": "/w", "Labels": {"k": "v"}, "Volumes": {"/data": {}}, "StopSignal": "SIGINT",
                              "Entrypoint": ["/bin/sh", "-c", "run it"]}
    assert info["History"][0]["comment"] == "note" and info["Architecture"] == ARCH
    store("import", "-", "piped", input=rootfs_layer().bytes)
    assert "localhost/piped:latest" in store.ls()
    store.fails("import", tar, "x", "-c", "RUN rm -rf /", because="RUN rm -rf /.*expected CMD")
    store.fails("import", tmp_path, "x", because="is a folder.*tar -C")
    store.fails("import", tar, because="NAME")
    store.check()


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_save_and_load_again(store, form, tmp_path):
    image = Image([rootfs_layer(), Layer().whiteout("etc/passwd").file("new")])
    before = [tree(l) for l in store.load(image)]
    out = str(tmp_path / "saved")
    store("save", "--format", form, "-o", out, "l:t")
    other = Store(str(tmp_path / "other"))
    os.mkdir(other.directory)
    other("load", out)
    assert other.inspect("localhost/l:t")["Digest"] == image.digest
    assert [tree(l) for l in other.layers("localhost/l:t")] == before
    if form == "oci-dir":
        store.fails("save", "--format", form, "-o", out, "l:t", because="holds a layout already")


def test_save_to_a_pipe_and_to_a_full_disk(store):
    store("load", "--builtin")
    r = store("save", "base")
    other = Store(os.path.join(store.directory, "o"))
    os.mkdir(other.directory)
    other("load", input=r.stdout)
    assert "localhost/base:latest" in other.ls()
    with open("/dev/full", "w", encoding="utf-8") as full:
        r = subprocess.run(store.command("save", "base"), stdout=full, stderr=subprocess.PIPE, env=store.env, check=False)
    assert r.returncode == 125


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_skopeo_reads_what_we_save(store, form, tmp_path):
    store("load", store.layout(Image([rootfs_layer()]), "v1"))
    out = str(tmp_path / "saved")
    store("save", "--format", form, "-o", out, "l:v1")
    source = {"docker-archive": f"docker-archive:{out}", "oci-archive": f"oci-archive:{out}", "oci-dir": f"oci:{out}"}[form]
    subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", source, f"dir:{tmp_path}/copied"], check=True)


@pytest.fixture(scope="module")
def made_by_umoci(tmp_path_factory):
    """A layout that umoci made: a base layer, and a second one with changes."""
    top = tmp_path_factory.mktemp("umoci")
    layout, bundle = str(top / "layout"), str(top / "bundle")

    def umoci(*args):
        subprocess.run(["umoci", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    umoci("init", "--layout", layout)
    umoci("new", "--image", layout + ":one")
    umoci("unpack", "--image", layout + ":one", bundle)
    root = os.path.join(bundle, "rootfs")
    with tarfile.open(fileobj=__import__("io").BytesIO(rootfs_layer().bytes)) as tar:
        tar.extractall(root, numeric_owner=True)
    umoci("repack", "--image", layout + ":one", bundle)
    shutil.rmtree(bundle)
    umoci("unpack", "--image", layout + ":one", bundle)
    os.unlink(root + "/etc/passwd")
    shutil.rmtree(root + "/usr/bin")
    os.mkdir(root + "/usr/bin")
    with open(root + "/usr/bin/only", "w", encoding="utf-8") as f:
        f.write("new")
    umoci("repack", "--image", layout + ":two", bundle)
    umoci("config", "--image", layout + ":two", "--config.user", "7", "--config.env", "X=y")
    return layout


def merged(store, name):
    """What a box would see of the image."""
    layers, point = store.layers(name), os.path.join(store.directory, "merged")
    os.makedirs(point, exist_ok=True)
    options = "ro,userxattr,lowerdir=" + ":".join(reversed(layers + ([store.directory] if len(layers) == 1 else [])))
    if len(layers) == 1:
        return tree(layers[0])
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, point], check=True)
    try:
        return tree(point)
    finally:
        subprocess.run(["umount", point], check=True)


def test_umoci_image(store, made_by_umoci, tmp_path):
    store("load", made_by_umoci)
    assert set(store.ls()) == {"localhost/layout:one", "localhost/layout:two"}
    for ref in ("one", "two"):
        bundle = str(tmp_path / ref)
        subprocess.run(["umoci", "unpack", "--image", f"{made_by_umoci}:{ref}", bundle], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        assert merged(store, f"layout:{ref}") == tree(bundle + "/rootfs")
    info = store.inspect("layout:two")
    assert info["Config"]["User"] == "7" and "X=y" in info["Config"]["Env"]


@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive", "zstd"])
def test_skopeo_image(store, made_by_umoci, form, tmp_path):
    out = str(tmp_path / "out")
    more = []
    if form == "zstd":
        form, more = "oci", ["--dest-compress-format", "zstd", "--dest-compress"]
    name = ":quay.example.com/x/y:z" if form == "docker-archive" else ":z"
    subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", *more, f"oci:{made_by_umoci}:two", f"{form}:{out}{name}"], check=True)
    store("load", out)
    (got,) = store.ls()
    plain = Store(str(tmp_path / "plain"))
    os.mkdir(plain.directory)
    plain("load", made_by_umoci + ":two")
    assert merged(store, got) == merged(plain, "layout:two")
    store.check()


def test_buildah_image(store, made_by_umoci, tmp_path):
    """Built from a Dockerfile's steps by buildah, taken as layout and as Docker archive."""
    env = {**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs", "HOME": str(tmp_path)}
    root, run = str(tmp_path / "bs"), str(tmp_path / "br")

    def buildah(*args):
        return subprocess.run(["buildah", "--root", root, "--runroot", run, "--storage-driver", "vfs", *args], check=True, env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.decode().strip()
    box = buildah("from", f"oci:{made_by_umoci}:one")
    (tmp_path / "add").write_text("added")
    buildah("copy", "--chown", "5:6", box, str(tmp_path / "add"), "/opt/tool/add")
    buildah("config", "--cmd", "/opt/tool/add", "--env", "B=1", box)
    buildah("commit", "-q", box, f"oci:{tmp_path}/built:v1")
    buildah("commit", "-q", "--format", "docker", box, f"docker-archive:{tmp_path}/built.tar:quay.example.com/b/c:v2")
    store("load", str(tmp_path / "built"))
    store("load", str(tmp_path / "built.tar"))
    for name in ("localhost/built:v1", "quay.example.com/b/c:v2"):
        seen = merged(store, name)
        assert seen["opt/tool/add"] == ("0o100644", 5, 6, sha256(b"added"))
        assert "B=1" in store.inspect(name)["Config"]["Env"]
    buildah("rm", box)


# ------------------------------------------------------------------------------------------------------------- committing

def test_commit(store, tmp_path):
    """What a box changed through overlayfs becomes a layer, and the new image shows what the box saw."""
    base = store.load([rootfs_layer().file("etc/hosts", "h").dir("var").file("var/log", "l").dir("old").file("old/x")])
    upper, work, point = (str(tmp_path / n) for n in ("upper", "work", "point"))
    for path in (upper, work, point):
        os.mkdir(path)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    f"userxattr,lowerdir={base[0]},upperdir={upper},workdir={work}", point], check=True)
    try:
        os.unlink(point + "/etc/passwd")
        shutil.rmtree(point + "/old")
        os.mkdir(point + "/old", 0o711)
        os.mkfifo(point + "/fifo")
        with open(point + "/old/new", "w", encoding="utf-8") as f:
            f.write("n")
        os.link(point + "/old/new", point + "/linked")
        os.setxattr(point + "/old/new", "user.tag", b"t")
        os.chown(point + "/old/new", 1000, 1001)
        os.chmod(point + "/old/new", 0o4755)
        os.symlink("old/new", point + "/sym")
        os.mkdir(point + "/" + "n" * 120)
        with open(point + "/" + "n" * 120 + "/" + "m" * 120, "wb") as f:
            f.write(b"long" * 100_000)
        expected = tree(point)
    finally:
        subprocess.run(["umount", point], check=True)
    for compression in ("gzip", "zstd", "none"):
        r = store("commit", "--compression", compression, "-c", "ENV NEW=1", "-m", "why", "l:t", upper, f"made:{compression}")
        assert merged(store, f"made:{compression}") == expected
        info = store.inspect(f"made:{compression}")
        assert info["Id"] == r.out.strip() and len(info["RootFS"]["Layers"]) == 2
        assert info["Config"]["Env"] == ["NEW=1"] and info["History"][-1]["comment"] == "why"
    layer = store.layers("made:gzip")[1]
    assert os.getxattr(layer + "/old/new", "user.tag") == b"t" and is_opaque(layer + "/old")
    a = store("commit", "l:t", upper, "again:1")
    store.check()
    store.assert_clean()
    assert len({store.inspect(f"made:{c}")["RootFS"]["Layers"][1] for c in ("gzip", "zstd", "none")}) == 1
    assert a.out.strip() in store("ls", "--no-trunc").out


def test_commit_translates_owners(store, tmp_path):
    store.load([Layer().file("f")])
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "a").write_text("a")
    os.chown(upper / "a", 100005, 100006)
    (upper / "b").write_text("b")
    os.chown(upper / "b", 5, 5)
    store("commit", "--uid-map", "0:100000:1000", "--gid-map", "0:100000:1000", "l:t", upper, "c:1")
    layer = store.layers("c:1")[1]
    assert tree(layer)["a"][1:3] == (5, 6)
    assert tree(layer)["b"][1:3] == (65534, 65534)


def test_commit_refuses_names_that_mean_whiteouts(store, tmp_path):
    store.load([Layer().file("f")])
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / ".wh.f").write_text("")
    store.fails("commit", "l:t", upper, "c:1", because=r"'.wh.f'.*cannot be in an image")


# ------------------------------------------------------------------------------------------------------- wrong documents

def layout_with(store, change):
    """A layout whose only image was changed by CHANGE(image)."""
    image = Image([Layer().file("f")])
    change(image)
    return store.layout(image)


def set_manifest(**keys):
    def change(image):
        image.manifest = {**image.manifest, **keys}
        image.descriptor = image.blob(image.manifest, image.manifest.get("mediaType", "application/vnd.oci.image.manifest.v1+json"))
    return change


def set_config(**keys):
    def change(image):
        image.config = {**image.config, **keys}
        image.seal()
    return change


WRONG = {
    "schema-1": (set_manifest(schemaVersion=1), "schema 1"),
    "schema-3": (set_manifest(schemaVersion=3), "schemaVersion"),
    "ambiguous": (set_manifest(manifests=[]), "image and as an index"),
    "lying-type": (set_manifest(mediaType="application/vnd.oci.image.index.v1+json"), "contradicts its media type"),
    "strange-type": (set_manifest(mediaType="application/x-strange"), "no image manifest"),
    "layers-no-list": (set_manifest(layers={}), "layers: expected an array"),
    "layer-no-object": (set_manifest(layers=[1]), r"layers\[0\]: expected an object"),
    "no-config": (set_manifest(config=None), "config is missing"),
    "artifact": (set_manifest(config={"mediaType": "application/vnd.cncf.helm", "digest": sha256(b""), "size": 0}), "artifact"),
    "bad-digest": (set_manifest(config={"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:../../x", "size": 1}),
                   "digest.*expected sha256"),
    "md5": (set_manifest(config={"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "md5:00", "size": 1}), "digest"),
    "negative-size": (set_manifest(config={"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b""), "size": -1}),
                      "size.*negative"),
    "huge-config": (set_manifest(config={"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b""),
                                         "size": 1 << 40}), "more than the limit"),
    "strange-layer": (lambda i: (i.layers[0].update(mediaType="application/vnd.docker.plugin"), i.seal()), "no layer that can be"),
    "no-rootfs": (set_config(rootfs=None), "rootfs is missing"),
    "bad-diff-id": (set_config(rootfs={"diff_ids": ["sha256:x"]}), "no digest"),
    "layer-count": (set_config(rootfs={"diff_ids": []}), "1 layers, the config 0"),
    "os-no-string": (set_config(os=5), "os: expected a string"),
    "wrong-size": (lambda i: (i.layers[0].update(size=i.layers[0]["size"] + 1), i.seal()), "descriptor says"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_document(store, name):
    change, because = WRONG[name]
    store.fails("load", layout_with(store, change), because=because)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schemaVersion":2}', '{"manifests":5}', '{"manifests":[{}]}', "\0" * 100,
                                  "[" * 100_000, '{"manifests":[{"mediaType":1,"digest":2,"size":3}]}', "\ufeff{}", '{"manifests":[]}'])
def test_wrong_index(store, text):
    path = store.layout([Layer().file("f")])
    with open(path + "/index.json", "w", encoding="utf-8") as f:
        f.write(text)
    store.fails("load", path, because="index|JSON|no image")


def test_huge_index(store):
    path = store.layout([Layer().file("f")])
    with open(path + "/index.json", "w", encoding="utf-8") as f:
        f.write('{"x":"' + "x" * (5 << 20) + '"}')
    store.fails("load", path, because="more than the limit")


def test_platforms(store, tmp_path):
    images = {a: Image([Layer().file(a)], arch=a) for a in (ARCH, "s390x", "arm")}
    index = Image([])
    path = str(tmp_path / "multi")
    write_layout(path, {None: Image([])})
    entries = []
    for arch, image in images.items():
        for digest, data in image.blobs.items():
            with open(f"{path}/blobs/{digest.replace(':', '/')}", "wb") as f:
                f.write(data)
        entries.append({**image.descriptor, "platform": {"os": "linux", "architecture": arch}})
    entries.append({**index.descriptor, "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {"vnd.docker.reference.type": "attestation-manifest"}})
    data = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}).encode()
    with open(f"{path}/blobs/{sha256(data).replace(':', '/')}", "wb") as f:
        f.write(data)
    with open(path + "/index.json", "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": sha256(data),
                                                      "size": len(data)}]}, f)
    store("load", path)
    assert os.listdir(store.layers("multi")[0]) == [ARCH]
    store("load", "--platform", "linux/s390x", "--tag", "other", path)
    assert os.listdir(store.inspect("other")["LayerDirs"][0]) == ["s390x"]
    store.fails("load", "--platform", "linux/riscv64", path, because=r"no variant for platform linux/riscv64; it has: linux/\w+, linux/")
    store("load", "--all-platforms", "--tag", "all", path)
    assert {i["architecture"] for i in json.loads(store("ls", "--json", "all").out)} == set(images)
    store("gc")
    store.check()


# ------------------------------------------------------------------------------------------------------------- policy

@pytest.mark.parametrize("requirement, because", [
    ({"type": "reject"}, "rejected by the signature policy"),
    ({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}, "demands 'signedBy'.*cannot verify signatures"),
    ({"type": "sigstoreSigned", "keyPath": "/k"}, "demands 'sigstoreSigned'"),
])
def test_policy(store, tmp_path, requirement, because):
    path = store.layout([Layer().file("f")])
    policy = tmp_path / "policy.json"

    def write(**transports):
        policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}], "transports": transports}))
    write(oci={"": [requirement]})
    store.fails("load", "--policy", policy, path, because=because)
    write(oci={os.path.dirname(path): [requirement]})
    store.fails("load", "--policy", policy, path, because=because)
    write(oci={os.path.dirname(path): [requirement], path: [{"type": "insecureAcceptAnything"}]})
    store("load", "--policy", policy, path)
    write(docker={"": [requirement]})
    store("load", "--policy", policy, path)
    policy.write_text(json.dumps({"default": [requirement]}))
    store.fails("load", "--policy", policy, path, because=because)
    store("load", "--builtin")


@pytest.mark.parametrize("text", ["", "{}", '{"default":[]}', '{"default":[{"type":"insecureAcceptAnythingg"}]}',
                                  '{"default":[{"type":"insecureAcceptAnything"}],"transport":{}}',
                                  '{"default":[{"type":"insecureAcceptAnything"}],"transports":{"oci":{"":[]}}}'])
def test_misspelt_policy_is_no_lenient_policy(store, tmp_path, text):
    (tmp_path / "policy.json").write_text(text)
    store.fails("load", "--policy", tmp_path / "policy.json", store.layout([Layer().file("f")]), because="signature policy")


def test_policy_file_of_the_user(store, tmp_path):
    os.makedirs(tmp_path / ".config/containers")
    (tmp_path / ".config/containers/policy.json").write_text('{"default":[{"type":"reject"}]}')
    store.fails("load", store.layout([Layer().file("f")]), because="rejected by the signature policy")


# ----------------------------------------------------------------------------------------------------------- kill -9

def test_kill_at_any_moment(store):
    """Killed at a random moment of load and gc, the store is sound, and the next load completes."""
    r = random.Random(4)
    layers = [rootfs_layer(i, files=150).bytes for i in range(3)]
    path = store.layout(Image(layers))
    begin = time.monotonic()
    store("load", path)
    duration = time.monotonic() - begin
    expected = [tree(l) for l in store.layers("localhost/l:t")]
    for i in range(16):
        if i % 4 == 0:
            store("rm", "--all", "--force")
        verb = ["load", path] if i % 4 < 3 else ["rm", "--all"]
        p = store.popen(*verb)
        time.sleep(r.uniform(0, duration * 1.1))
        p.send_signal(signal.SIGKILL)
        p.communicate()
        store.check()
        for name in store.ls():
            assert [tree(l) for l in store.layers(name)] == expected
    store("load", path)
    assert [tree(l) for l in store.layers("localhost/l:t")] == expected
    store("gc")
    store.assert_clean()
    store.check()


def test_two_loads_at_once(store):
    path = store.layout(Image([rootfs_layer(i, files=100).bytes for i in range(3)]))
    running = [store.popen("load", path) for _ in range(4)]
    for p in running:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
    assert len(os.listdir(store.path + "/layers")) == 3
    store.check()
    store.assert_clean()


def test_gc_waits_for_loads(store):
    """gc beside loads never removes what is being brought in."""
    paths = [store.layout(Image([rootfs_layer(i, files=60).bytes]), f"r{i}") for i in range(4)]
    running = [store.popen("load", p) for p in paths] + [store.popen("gc") for _ in range(3)]
    for p in running:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
    assert len(store.ls()) == 4
    store.check()


# ---------------------------------------------------------------------------------------------------------- confinement

@pytest.mark.skipif(os.geteuid() != 0, reason="the tests of capabilities need root")
def test_rights_are_given_up_before_anything_is_read(store, tmp_path):
    """While `load` waits for its archive it holds a handful of capabilities, a filter, and no way to new privileges."""
    p = store.popen("load", stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            status = dict(l.split(":\t", 1) for l in open(f"/proc/{p.pid}/status", encoding="utf-8").read().splitlines() if ":\t" in l)
            if status.get("Seccomp") == "2":
                break
            time.sleep(0.02)
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        allowed = sum(1 << c for c in (0, 1, 3, 4, 27, 31))  # chown dac_override fowner fsetid mknod setfcap
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[kind], 16) & ~allowed == 0, (kind, status[kind])
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    finally:
        p.communicate()



def rootless(store, *args, subids=True):
    """Runs a verb as a user without privilege, with or without subordinate IDs, in a mount namespace of its own."""
    ids = os.path.join(store.directory, "subids")
    with open(ids, "w", encoding="utf-8") as f:
        f.write("daemon:300000:65536\n" if subids else "")
    script = (f"mount --bind {ids} /etc/subuid && mount --bind {ids} /etc/subgid && "
              "exec setpriv --reuid 1 --regid 1 --clear-groups \"$@\"")
    return subprocess.run(["unshare", "-m", "sh", "-ec", script, "sh", *store.command(*args)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=store.env, timeout=60, check=False, cwd="/")


@pytest.fixture
def open_store(tmp_path_factory):
    """A store that the user daemon can reach and make."""
    top = tmp_path_factory.getbasetemp()
    path = top
    while path != path.parent and str(path) != "/tmp":
        os.chmod(path, 0o755)
        path = path.parent
    d = tmp_path_factory.mktemp("open")
    os.chmod(d, 0o777)
    os.chown(d, 1, 1)
    return Store(str(d))


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize("subids", [True, False])
def test_rootless(open_store, subids):
    """Without root: owners are shifted to subordinate IDs, or everything is the user's own; whiteouts and setuid bits stay."""
    store = open_store
    path = store.layout(Image([Layer().file("mine").file("theirs", uid=33, gid=44, mode=0o4755).dir("d").file("d/low"),
                               Layer().whiteout("mine").opaque("d").file("d/up", uid=33)]))
    subprocess.run(["chmod", "-R", "a+rX", os.path.dirname(path)], check=True)
    r = rootless(store, "load", path, subids=subids)
    assert r.returncode == 0, r.stderr
    lower, upper = (os.path.join(store.path, "layers", l, "diff") for l in
                    json.load(open(store.path + "/images/localhost!l:t.json", encoding="utf-8"))["images"][0]["layers"])
    shift = (lambda i: 300000 + i - 1) if subids else (lambda i: 1)
    assert tree(lower)["mine"][1:3] == (1, 1)
    assert tree(lower)["theirs"][:3] == ("0o104755", shift(33), shift(44))
    assert tree(upper)["d/up"][1] == shift(33)
    assert is_whiteout(upper + "/mine") and is_opaque(upper + "/d")
    r = rootless(store, "rm", "--all", subids=subids)
    assert r.returncode == 0, r.stderr
    assert os.listdir(store.path + "/layers") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_rootless_owner_beyond_the_map(open_store):
    store = open_store
    path = store.layout(Image([Layer().file("f", uid=70000)]))
    subprocess.run(["chmod", "-R", "a+rX", os.path.dirname(path)], check=True)
    r = rootless(store, "load", path)
    assert r.returncode == 125 and b"owner 70000:0 is outside" in r.stderr and b"/etc/subuid" in r.stderr
    assert rootless(store, "gc").returncode == 0
    assert os.listdir(store.path + "/layers") == [] and os.listdir(store.path + "/ingest") == []
