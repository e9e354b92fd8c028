"""Configurations that are wrong: a clear error, exit status 125, and nothing is left (the fixture `leaks` looks). What the
single rules are is in tests/unit/test_oci_spec.c; here is what a user sees of them."""
import glob
import json
import os

import pytest

from conftest import STAND_IN, TOP

FAILED = "fail" if STAND_IN else 125
BAD = sorted(glob.glob(os.path.join(TOP, "tests/data/oci-schema/test/config/bad/*.json")))
FOREIGN = {"freebsd-vnet-disable"}  # wrong in a section that is another platform's


def refused(ringwall, bundle, text, *words):
    """Both verbs that read a configuration refuse TEXT and name all of WORDS."""
    with open(os.path.join(bundle.path, "config.json"), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    for verb in "run", "create":
        r = ringwall(verb, f"--bundle={bundle.path}", ringwall.id(), status=FAILED)
        assert not r.out
        for word in words if not STAND_IN else ():
            assert word in r.err, r
        assert len(r.err) < 2000, "an error is one line for a person"


def changed(bundle, **top):
    return json.dumps({**bundle.config, **top})


@pytest.mark.parametrize("file", [f for f in BAD if os.path.basename(f)[:-5] not in FOREIGN], ids=lambda f: os.path.basename(f)[:-5])
def test_bad_examples_of_the_specification(ringwall, bundle, file):
    with open(file, "rb") as f:
        refused(ringwall, bundle, f.read(), "config.json" if "invalid-json" in file else "linux.")


@pytest.mark.parametrize("text, word", [
    (b"", "JSON"), (b"{", "JSON"), (b"[]", "expected an object"), (b"null", "expected an object"), (b"\0\0\0", "JSON"),
    (b"\xff\xfe{\0}\0", "UTF-8"), (b'{"ociVersion": "1.0.0", "hostname": "\xc0\x80"}', "UTF-8"), (b"[" * 100000, "at most"),
    (b'{"ociVersion": "1.0.0", "x": ' + b"[" * 1000, "JSON"),
], ids=["empty", "cut", "array", "null", "zeros", "utf-16", "overlong", "brackets", "deep"])
def test_not_json(ringwall, bundle, text, word):
    refused(ringwall, bundle, text, word)


def test_missing_file(ringwall, bundle):
    r = ringwall("run", f"--bundle={bundle.path}", ringwall.id(), status=FAILED)
    assert "config.json" in r.err
    r = ringwall("run", f"--bundle={bundle.path}/nowhere", ringwall.id(), status=FAILED)
    assert "nowhere" in r.err


def test_a_folder_or_a_device_is_no_configuration(ringwall, bundle):
    os.mkdir(os.path.join(bundle.path, "config.json"))
    r = ringwall("run", f"--bundle={bundle.path}", ringwall.id(), status=FAILED)
    assert "config.json" in r.err
    os.rmdir(os.path.join(bundle.path, "config.json"))
    os.symlink("/dev/zero", os.path.join(bundle.path, "config.json"))
    r = ringwall("run", f"--bundle={bundle.path}", ringwall.id(), status=FAILED)
    assert "config.json" in r.err


def test_version(ringwall, bundle):
    refused(ringwall, bundle, changed(bundle, ociVersion="2.0.0"), "ociVersion", "2.0.0")
    refused(ringwall, bundle, changed(bundle, ociVersion="one"), "ociVersion", "one")


def test_ten_megabytes(ringwall, bundle):
    bundle.args("/bin/echo", "still here").config["annotations"] = {"big": "x" * (10 << 20)}
    assert ringwall.run(bundle).out == "still here\n"


def test_too_large(ringwall, bundle):
    refused(ringwall, bundle, changed(bundle, annotations={"big": "x" * (17 << 20)}), "config.json")


def test_ten_megabytes_of_tiny_objects(ringwall, bundle):
    refused(ringwall, bundle, b'{"ociVersion": "1.0.0", "x": [' + b"{}," * (10 << 20 >> 2) + b"{}]}", "at most")


def test_hostile_text_does_not_reach_the_terminal(ringwall, bundle):
    refused(ringwall, bundle, changed(bundle, ociVersion="\x1b[31m\n\x07" + "y" * 5000), "ociVersion")
    r = ringwall("run", f"--bundle={bundle.path}", ringwall.id(), status=FAILED)
    assert "\x1b" not in r.err and "\x07" not in r.err and r.err.count("\n") <= 1


def test_error_as_json(ringwall, bundle):
    with open(os.path.join(bundle.path, "config.json"), "w") as f:
        f.write(changed(bundle, process={"cwd": "relative", "args": ["x"]}))
    log = os.path.join(bundle.path, "log")
    ringwall("create", f"--bundle={bundle.path}", ringwall.id(), globals=(f"--log={log}", "--log-format=json"), status=FAILED)
    with open(log) as f:
        last = json.loads(f.read().splitlines()[-1])
    assert last["level"] == "error" and "process.cwd" in last["msg"]


def test_unknown_keys_are_ignored(ringwall, bundle):
    bundle.args("/bin/echo", "fine").config.update({"future": {"key": [1, 2.5, None]}, "windows": {}, "solaris": {}})
    bundle.process["commandLine"] = "x"
    assert ringwall.run(bundle).out == "fine\n"


def test_null_is_absent(ringwall, bundle):
    bundle.args("/bin/echo", "fine").config.update({"hooks": None, "domainname": None})
    bundle.process["rlimits"] = None
    assert ringwall.run(bundle).out == "fine\n"


def test_create_without_a_process(ringwall, bundle):
    del bundle.config["process"]
    with open(os.path.join(bundle.path, "config.json"), "w") as f:
        config = {k: v for k, v in bundle.config.items() if k in ("ociVersion", "root")}
        json.dump(config, f)
    id = ringwall.id()
    r = ringwall("create", f"--bundle={bundle.path}", id, status=None)
    if r.status == 0:
        assert "process" in ringwall("start", id, status="fail").err
        ringwall.delete(id, "--force")
    else:
        assert "process" in r.err


@pytest.mark.parametrize("where, label", [("apparmorProfile", "rwt-no-such-profile"), ("selinuxLabel", "rwt_u:rwt_r:rwt_t:s0"),
                                          ("mountLabel", "rwt_u:object_r:rwt_t:s0")])
def test_labels_that_cannot_be_enforced_are_refused(ringwall, bundle, where, label):
    """Whether the host lacks the security module, the module the label, or the wall the means: it is named, and refused."""
    if where == "mountLabel":
        bundle.linux[where] = label
    else:
        bundle.process[where] = label
    r = ringwall.run(bundle.args("/bin/true"), status="fail")
    assert label in r.err or where in r.err
