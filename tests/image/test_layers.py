"""How layers are unpacked: all that is right comes out as it was, and all that is wrong is refused, leaving nothing."""
import gzip
import os
import stat
import subprocess
import tarfile

import pytest

from images import Image, Layer, is_opaque, is_whiteout, sha256, tree


# ------------------------------------------------------------------------------------------------------------ faithfully

@pytest.mark.parametrize("compression", ["gzip", "zstd", "none", "bzip2", "xz"])
def test_compressions(store, compression):
    data = os.urandom(300_000) + b"\0" * 300_000
    image = Image([Layer().dir("d", mode=0o750, uid=5, gid=6).file("d/f", data, mode=0o640, uid=7, gid=8)], compression)
    (layer,) = store.load(image)
    assert tree(layer) == {"d": ("0o40750", 5, 6, None), "d/f": ("0o100640", 7, 8, sha256(data))}
    assert os.stat(layer + "/d/f").st_mtime == 1000000000
    assert os.stat(layer + "/d").st_mtime == 1000000000
    store.check()


def test_gzip_of_several_members(store):
    """pigz, and estargz: many gzip members one after the other are one stream."""
    plain = Layer().file("a", os.urandom(100_000)).file("b", b"y" * 100_000).bytes
    image = Image([plain], "none")
    packed = b"".join(gzip.compress(plain[i:i + 30_000]) for i in range(0, len(plain), 30_000))
    image.layers = [image.blob(packed, "application/vnd.oci.image.layer.v1.tar+gzip")]
    (layer,) = store.load(image.seal())
    assert sorted(os.listdir(layer)) == ["a", "b"]


def test_modes_owners_and_special_bits(store):
    (layer,) = store.load([Layer().dir("sticky", mode=0o1777).dir("gid", mode=0o2755, gid=50).file("gid/in", uid=0, gid=0)
                           .file("suid", mode=0o4755).file("both", mode=0o6711, uid=1000, gid=1001).dir("ro", mode=0o555)
                           .file("ro/f", mode=0o0).symlink("l", "target", uid=12, gid=13)])
    modes = {k: v[:3] for k, v in tree(layer).items()}
    assert modes["sticky"] == ("0o41777", 0, 0)
    assert modes["gid"] == ("0o42755", 0, 50)
    assert modes["gid/in"] == ("0o100644", 0, 0), "a set-group-ID folder must not hand its group down"
    assert modes["suid"] == ("0o104755", 0, 0)
    assert modes["both"] == ("0o106711", 1000, 1001)
    assert modes["ro/f"] == ("0o100000", 0, 0)
    assert modes["l"] == ("0o120777", 12, 13)


def test_the_store_is_closed_to_others(store):
    store.load([Layer().file("suid", mode=0o4755)])
    assert stat.S_IMODE(os.stat(store.path).st_mode) == 0o700


def test_long_names_and_bytes(store):
    long = "/".join(["x" * 200] * 15)
    odd = "n\u00e4me-\u65e5\u672c"
    (layer,) = store.load([Layer().file(long).file(odd).symlink("l", "y" * 3000)])
    assert os.path.exists(os.path.join(layer, long))
    assert os.path.exists(os.path.join(layer, odd))
    assert os.readlink(layer + "/l") == "y" * 3000


def test_names_that_are_not_utf8(store):
    layer = Layer(format=tarfile.GNU_FORMAT)
    layer.tar.errors = "surrogateescape"
    layer.tar.encoding = "utf-8"
    (got,) = store.load([layer.file(b"\xff\xfe-latin-\xe9".decode("utf-8", "surrogateescape"))])
    assert os.listdir(os.fsencode(got)) == [b"\xff\xfe-latin-\xe9"]


def test_hard_links(store):
    (layer,) = store.load([Layer().dir("a").file("a/f", "one").hardlink("b", "a/f").hardlink("/c", "/a/f").symlink("s", "f")
                           .hardlink("s2", "s").hardlink("b", "b")])
    st = os.stat(layer + "/a/f")
    assert st.st_nlink == 3 and os.stat(layer + "/b").st_ino == st.st_ino == os.stat(layer + "/c").st_ino
    assert os.path.islink(layer + "/s2")


def test_hard_link_into_a_lower_layer(store):
    first, second = store.load([Layer().dir("d", mode=0o711).file("d/f", "below", mode=0o4755, uid=3), Layer().hardlink("g", "d/f")])
    assert open(second + "/g", encoding="ascii").read() == "below"
    assert os.stat(second + "/g").st_ino == os.stat(second + "/d/f").st_ino
    assert tree(second)["d/f"][:2] == ("0o104755", 3)
    assert tree(second)["d"][0] == "0o40711"
    assert os.path.basename(os.path.dirname(second)).startswith("chain-")


def test_xattrs_and_file_capabilities(store):
    cap = bytes.fromhex("0100000200040000000000000000000000000000")
    pax = {"SCHILY.xattr.user.mine": "v1", "SCHILY.xattr.security.capability": cap.decode("latin-1"),
           "SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    layer = Layer()
    layer.tar.encoding = "latin-1"
    (got,) = store.load([layer.file("f", mode=0o755, pax={k: v for k, v in pax.items() if "overlay" not in k})
                         .dir("d", pax={k: v for k, v in pax.items() if "overlay" in k})])
    assert os.getxattr(got + "/f", "user.mine") == b"v1"
    assert os.getxattr(got + "/f", "security.capability") == cap
    assert os.listxattr(got + "/d") == [], "a layer must not speak to overlayfs"


def test_sparse_files(store, tmp_path):
    source = tmp_path / "sparse"
    with open(source, "wb") as f:
        f.write(b"begin")
        f.seek(5_000_000)
        f.write(b"end")
        f.truncate(9_000_000)
    for form in ("gnu", "posix"):
        plain = subprocess.run(["tar", "--format", form, "-S", "-C", tmp_path, "-c", "sparse"], stdout=subprocess.PIPE,
                               check=True).stdout
        (layer,) = store.load(Image([plain]), ref=form)
        st = os.stat(layer + "/sparse")
        assert st.st_size == 9_000_000 and st.st_blocks * 512 < 1_000_000
        with open(layer + "/sparse", "rb") as f:
            assert f.read() == source.read_bytes()


def test_whiteouts_and_opaque_folders(store):
    layers = store.load([
        Layer().file("gone").file("stays").dir("d").file("d/low").dir("again").file("again/low").dir("late").file("late/low"),
        Layer().whiteout("gone").opaque("d").file("d/up").whiteout("again").dir("again").file("again/up")
        .dir("late").whiteout("late").file("empty/.wh..wh.plnk", b""),
    ])
    up = layers[1]
    assert is_whiteout(up + "/gone")
    assert is_opaque(up + "/d") and os.listdir(up + "/d") == ["up"]
    assert is_opaque(up + "/again") and os.listdir(up + "/again") == ["up"]
    assert is_opaque(up + "/late")
    merged = os.path.join(store.directory, "m")
    os.mkdir(merged)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"ro,userxattr,lowerdir={layers[1]}:{layers[0]}", merged], check=True)
    try:
        assert sorted(os.listdir(merged)) == ["again", "d", "empty", "late", "stays"]
        assert os.listdir(merged + "/d") == ["up"]
        assert os.listdir(merged + "/again") == ["up"]
        assert os.listdir(merged + "/late") == []
    finally:
        subprocess.run(["umount", merged], check=True)


def test_opaque_root_hides_all_beneath(store):
    layers = store.load([Layer().file("low"), Layer().opaque("").file("up"), Layer().file("top")])
    assert [sorted(os.listdir(l)) for l in layers] == [["up"], ["top"]]


def test_folders_that_are_not_named_come_from_below(store):
    layers = store.load([Layer().dir("opt", mode=0o700, uid=9).dir("usr").dir("usr/lib").symlink("lib", "usr/lib"),
                         Layer().file("opt/tool/f").file("lib/x.so")])
    assert tree(layers[1])["opt"][:3] == ("0o40700", 9, 0)
    assert tree(layers[1])["opt/tool"][:3] == ("0o40755", 0, 0)
    assert os.path.isfile(layers[1] + "/usr/lib/x.so"), "a link in the layer below is followed"
    assert not os.path.lexists(layers[1] + "/lib")


def test_dependent_layers_are_not_shared(store):
    top = Layer().file("opt/f").bytes
    one = store.load([Layer().dir("opt", mode=0o700), top], ref="one")
    two = store.load([Layer().dir("opt", mode=0o711), top], ref="two")
    assert one[1] != two[1]
    assert tree(one[1])["opt"][0] == "0o40700" and tree(two[1])["opt"][0] == "0o40711"


def test_links_inside_the_layer_are_followed_inside_it(store):
    (layer,) = store.load([Layer().dir("real").symlink("abs", "/real").symlink("up", "../../real").symlink("dangling", "/new/place")
                           .file("abs/a").file("up/b").file("dangling/c")])
    assert sorted(os.listdir(layer + "/real")) == ["a", "b"]
    assert os.path.isfile(layer + "/new/place/c")


def test_duplicate_entries_the_last_one_counts(store):
    (layer,) = store.load([Layer().file("a", "1").file("a", "2").dir("d").file("d/in").file("d", "now a file").file("e").dir("e")
                           .file("e/in").symlink("l", "x").file("l", "no link").dir("m", mode=0o700).dir("m", mode=0o711)
                           .file("h", "h").hardlink("h2", "h").file("h", "new")])
    assert open(layer + "/a", encoding="ascii").read() == "2"
    assert open(layer + "/d", encoding="ascii").read() == "now a file"
    assert os.listdir(layer + "/e") == ["in"]
    assert not os.path.islink(layer + "/l")
    assert tree(layer)["m"][0] == "0o40711"
    assert open(layer + "/h2", encoding="ascii").read() == "h"


def test_root_entry_and_leading_dots(store):
    (layer,) = store.load([Layer().dir("./", mode=0o700).dir("./a//").file(".//a/./b").file("/abs")])
    assert sorted(os.listdir(layer)) == ["a", "abs"]
    assert stat.S_IMODE(os.stat(layer).st_mode) == 0o700


def test_empty_layer_and_no_layer(store):
    (layer,) = store.load([Layer()], ref="empty")
    assert os.listdir(layer) == []
    (layer,) = store.load([], ref="none")
    assert os.listdir(layer) == []


def test_devices_below_dev_are_left_out(store):
    (layer,) = store.load([Layer().dir("dev").add("dev/sda", tarfile.BLKTYPE, major=8).add("fifo", tarfile.FIFOTYPE)])
    assert os.listdir(layer + "/dev") == []
    assert stat.S_ISFIFO(os.stat(layer + "/fifo").st_mode)


def test_devices_elsewhere_on_demand(store):
    path = store.layout([Layer().add("x", tarfile.CHRTYPE, major=1, minor=3, mode=0o666)])
    store.fails("load", path, because=r"'x'.*device node.*--allow-devices")
    store("load", "--allow-devices", path)
    assert os.stat(store.layers("localhost/l:t")[0] + "/x").st_rdev == os.makedev(1, 3)


# --------------------------------------------------------------------------------------------------------------- hostile

def deep_by_links():
    layer = Layer()
    path = "a"
    for i in range(30):
        layer.dir(path)
        layer.symlink(f"l{i}", "/" + path)
        path += "/a"
    return layer.file("l29/" + "b/" * 1100 + "f")


HOSTILE = {
    "dotdot": (lambda: Layer().file("../escape"), r"'\.\./escape'.*\.\."),
    "dotdot-inside": (lambda: Layer().file("a/../../escape"), r"\.\."),
    "hardlink-out": (lambda: Layer().hardlink("a", "../../etc/passwd"), r"'a'.*hard link.*\.\."),
    "hardlink-abs": (lambda: Layer().hardlink("a", "/etc/passwd"), r"hard link to 'etc/passwd', which this image does not have"),
    "hardlink-through-link": (lambda: Layer().symlink("l", "/etc").hardlink("a", "l/passwd"), r"hard link to 'l/passwd'"),
    "hardlink-to-dir": (lambda: Layer().dir("d").hardlink("a", "d"), r"hard link to the folder"),
    "hardlink-to-root": (lambda: Layer().hardlink("a", "/"), r"hard link to the root"),
    "hardlink-to-whiteout": (lambda: Layer().whiteout("w").hardlink("a", "w"), r"hard link to 'w'"),
    "parent-is-file": (lambda: Layer().file("f").file("f/g"), r"'f/g'.*no folder"),
    "link-loop": (lambda: Layer().symlink("a", "b").symlink("b", "a").file("a/f"), r"too many symbolic links"),
    "device": (lambda: Layer().add("sda", tarfile.BLKTYPE, major=8), r"device node \(block device 8:0\)"),
    "device-through-link": (lambda: Layer().dir("dev").symlink("d", "dev").add("d/sda", tarfile.BLKTYPE, major=8), r"device node"),
    "whiteout-device": (lambda: Layer().add("w", tarfile.CHRTYPE), r"0:0.*whiteout"),
    "whiteout-dot": (lambda: Layer().file(".wh..", b""), r"whiteout of nothing"),
    "whiteout-nothing": (lambda: Layer().file(".wh.", b""), r"whiteout of nothing"),
    "long-component": (lambda: Layer().file("x" * 300), r"longer than 255"),
    "long-path": (lambda: Layer().file("/".join(["x" * 200] * 30)), r"longer than 4095"),
    "deep": (lambda: Layer().file("a/" * 1500 + "f"), r"1501 folders"),
    "deep-by-links": (deep_by_links, r"folders|cannot make"),
    "negative-owner": (lambda: Layer().file("f", pax={"uid": "-5"}), r"owner|damaged"),
    "huge-owner": (lambda: Layer().file("f", pax={"uid": "99999999999"}), r"owner 99999999999"),
    "root-is-file": (lambda: Layer().file("./"), r"."),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_layer(store, name):
    make, because = HOSTILE[name]
    path = store.layout([make()])
    if name == "root-is-file":  # a trailing slash makes it a folder everywhere
        store("load", path)
    else:
        store.fails("load", path, because=because)
        assert os.listdir(os.path.join(store.path, "layers")) == []
        assert os.listdir(os.path.join(store.path, "images")) == []
    for escaped in ("escape", "passwd"):
        assert not os.path.exists(os.path.join(store.path, escaped))


def test_not_a_tar(store):
    store.fails("load", store.layout([b"this is no archive" * 1000]), because=r"no tar archive")


def test_truncated_tar(store):
    store.fails("load", store.layout([Layer().file("f", b"x" * 100_000).bytes[:50_000]]), because=r"'f'.*damaged")


def test_truncated_gzip(store):
    image = Image([Layer().file("f", os.urandom(100_000))])
    whole = image.blobs[image.layers[0]["digest"]]
    image.layers = [image.blob(whole[:50_000], image.layers[0]["mediaType"])]
    store.fails("load", store.layout(image.seal()), because=r"damaged|decompressed")


def test_wrong_diff_id(store):
    layer = Layer().file("f")
    store.fails("load", store.layout(Image([layer], diff_ids=[sha256(b"else")])), because=r"unpacks to sha256:.*config says")


def test_wrong_blob_digest(store):
    path = store.layout(Image([Layer().file("f")]))
    layer = [f for f in os.listdir(path + "/blobs/sha256") if open(f"{path}/blobs/sha256/{f}", "rb").read(2) == b"\x1f\x8b"]
    other = gzip.compress(Layer().file("f", "evil").bytes)
    size = os.path.getsize(f"{path}/blobs/sha256/{layer[0]}")
    with open(f"{path}/blobs/sha256/{layer[0]}", "wb") as f:
        f.write(other[:size].ljust(size, b"\0"))
    store.fails("load", path, because=r"layer sha256:|wrong content")


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_decompression_bomb(store, how, tmp_path):
    """A file of zeros that packs to almost nothing: stopped by the ratio long before the disk is full."""
    size = 300 << 20
    head = tarfile.TarInfo("zeros")
    head.size = size
    with open(tmp_path / "bomb.tar", "wb") as f:
        f.write(head.tobuf())
        f.truncate(512 + size + 1024)
    packed = subprocess.run([how, "-c", tmp_path / "bomb.tar"], stdout=subprocess.PIPE, check=True).stdout
    image = Image([b""])
    image.layers = [image.blob(packed, "application/vnd.oci.image.layer.v1.tar+" + how)]
    os.unlink(tmp_path / "bomb.tar")
    store.fails("load", store.layout(image.seal()), because=r"decompression bomb.*--max-ratio")


def test_limits(store):
    path = store.layout([Layer().file("a", b"x" * 5000).file("b").file("c")])
    store.fails("load", "--max-entries", "2", path, because=r"more than 2 entries.*--max-entries")
    store.fails("load", "--max-unpacked-size", "4k", path, because=r"--max-unpacked-size")
    store.fails("load", "--max-layers", "1", store.layout([Layer().file("a"), Layer().file("b")]), because=r"2 layers.*--max-layers")
    store("load", path)


def test_a_hole_of_exabytes(store):
    layer = Layer()
    layer.file("f", b"x" * 512, pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f",
                                     "GNU.sparse.realsize": str(1 << 62)})
    path = store.layout([layer])
    r = store("load", path, status=None)
    assert r.returncode in (0, 125)
    if r.returncode == 125:
        store.assert_clean()
    else:
        assert os.stat(store.layers("localhost/l:t")[0] + "/f").st_size < 1 << 40


def test_deep_leftovers_are_removed(store):
    """What failed half-way is removed, however deep it is."""
    layer = Layer()
    for i in range(40):
        layer.dir("/".join(["a"] * (i * 25 + 1)))
    store.fails("load", store.layout([layer.file("../x")]), because=r"\.\.")
